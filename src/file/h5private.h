/* SPDX-License-Identifier: BSD-3-Clause */
/* h5private.h -- what the files h5*.c have in common. All functions are [local]; all but
 * nsh__h5_enter are called between nsh__h5_enter and nsh__h5_leave, by the thread that has entered.
 */
#ifndef NSH_FILE_H5PRIVATE_H
#define NSH_FILE_H5PRIVATE_H

#include "disk/disk.h"
#include "file/h5.h"
#include "file/h5driver.h"

enum {
    NSH__H5_OPEN = 8
}; /* number of datasets that stay open: opening one costs as much as a
                              small write */

typedef struct nsh__h5_open_dataset {
    char *name;
    hid_t id;
    hid_t memory; /* type of its elements in memory */
    bool plain;   /* the type in the file is the same */
    bool length;  /* it is the scale of a dimension without coordinates */
} nsh__h5_open_dataset;

struct nsh__h5 {
    hid_t id;
    nsh__h5_backing backing;
    int next; /* the index in open[] that is replaced next */
    nsh__h5_open_dataset open[NSH__H5_OPEN];
};

/* What nsh__h5_enter saves and nsh__h5_leave restores. */
typedef struct nsh__h5_visit {
    nsh__disk_guard guard;
    unsigned is_v2;
    H5E_auto2_t print2;
#ifndef H5_NO_DEPRECATED_SYMBOLS
    H5E_auto1_t print1;
#endif
    void *data;
} nsh__h5_visit;

/* The first and the last call of a function that uses HDF5: the second gives its code, rc. */
nsh__h5_visit nsh__h5_enter(void);
int nsh__h5_leave(nsh__h5_visit *visit, int rc);

/* Set the detail to HDF5's reason of its last failure and return code, or NSH_ERR_IO for an error
 * of the system. */
int nsh__h5_failed(const char *call, int code, const char *what, const char *name);

/* The outcome of a call that may have written: rc, or NSH_ERR_IO where a write has failed. */
int nsh__h5_written(const char *call, const nsh__h5 *h5, int rc);

/* Does the object exist? The name "" is the file itself. */
int nsh__h5_exists(const nsh__h5 *h5, const char *name);

/* The open dataset of that name, which h5 closes. */
int nsh__h5_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__h5_open_dataset **out);

/* Close a dataset that stayed open; accepts a free place. It may write what HDF5 has kept. */
void nsh__h5_forget(nsh__h5 *h5, nsh__h5_open_dataset *dataset);

/* Close all open datasets and remove the link of this name, if it exists. */
void nsh__h5_unlink(nsh__h5 *h5, const char *name);

/* Is the dataset the scale of a dimension that has a length, but no coordinates? */
bool nsh__h5_is_length(hid_t dataset);

/* A dataset becomes such a scale, of n elements; negative on failure. */
int nsh__h5_make_length(hid_t dataset, hsize_t n);

/* Turn such a dataset into coordinates; negative on failure. */
int nsh__h5_make_coordinate(hid_t dataset, const char *name);

/* Set an attribute of text on an open object; negative on failure. */
int nsh__h5_put_text(hid_t at, const char *attr, int64_t n, const char *text);

/* The HDF5 type of an element type, which the caller closes; negative on failure. */
hid_t nsh__h5_type_of(const nsh__element *element);

/* Give those types in this element type that are not numbers names in the file: netCDF-4 does not
 * show elements of unnamed types. Negative on failure. */
int nsh__h5_commit_types(hid_t file, const nsh__element *element);

/* The type in memory of elements with this type in a file, which the caller closes, and whether it
 * is the same. */
hid_t nsh__h5_memory_type(hid_t in_file, bool *plain);

/* The element type of an HDF5 type in memory. NSH_ERR_TYPE. */
int nsh__h5_element_of(const char *call, const char *name, hid_t type, nsh__element *out);

#endif
