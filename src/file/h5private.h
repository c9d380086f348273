/* SPDX-License-Identifier: BSD-3-Clause */
/* h5private.h -- what h5*.c share. */
#ifndef NSH_FILE_H5PRIVATE_H
#define NSH_FILE_H5PRIVATE_H

#include "disk/disk.h"
#include "file/h5.h"
#include "file/h5driver.h"

enum { NSH__H5_OPEN = 8 }; /* datasets that stay open: opening one costs as much as a small write */

typedef struct nsh__h5_open_dataset {
    char *name;
    hid_t id;
    hid_t memory; /* type of its elements in memory */
    bool plain;   /* which is that in the file */
    bool length;  /* it has been the scale of a dimension without coordinates */
} nsh__h5_open_dataset;

struct nsh__h5 {
    hid_t id;
    nsh__h5_backing backing;
    int next; /* the next of these to give up its place */
    nsh__h5_open_dataset open[NSH__H5_OPEN];
};

/* Around every visit to HDF5. */
typedef struct nsh__h5_visit {
    nsh__disk_guard guard;
    unsigned is_v2;
    H5E_auto2_t print2;
#ifndef H5_NO_DEPRECATED_SYMBOLS
    H5E_auto1_t print1;
#endif
    void *data;
} nsh__h5_visit;

void nsh__h5_enter(nsh__h5_visit *visit);
void nsh__h5_leave(nsh__h5_visit *visit);

/* What HDF5 says of its last failure, worded; code, or NSH_ERR_IO where the system is to blame. */
int nsh__h5_failed(const char *call, int code, const char *what, const char *name);

/* The outcome of a call that may have written: rc, or NSH_ERR_IO where a write has failed. */
int nsh__h5_written(const char *call, const nsh__h5 *h5, int rc);

/* "" and NULL are the file itself. */
int nsh__h5_exists(const nsh__h5 *h5, const char *name);

/* An open dataset, which stays the file's. */
int nsh__h5_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__h5_open_dataset **out);

/* Close a dataset that stayed open; accepts a free place. It may write what HDF5 has kept. */
void nsh__h5_forget(nsh__h5 *h5, nsh__h5_open_dataset *dataset);

/* Take the link and what is open under this name away. */
void nsh__h5_unlink(nsh__h5 *h5, const char *name);

/* Is the dataset the scale of a dimension that has a length, but no coordinates? */
bool nsh__h5_is_length(hid_t dataset);

/* A dataset becomes such a scale, of n elements; negative on failure. */
int nsh__h5_make_length(hid_t dataset, hsize_t n);

/* The elements of such a dataset become coordinates; negative on failure. */
int nsh__h5_make_coordinate(hid_t dataset, const char *name);

/* An attribute of text on an open object; negative on failure. */
int nsh__h5_put_text(hid_t at, const char *attr, int64_t n, const char *text);

/* The HDF5 type of a form; negative on failure. */
hid_t nsh__h5_type_of(const nsh__element *element);

/* Give the types of this form that are no numbers names in the file: netCDF-4 shows no elements of
 * types without. Negative on failure. */
int nsh__h5_commit_types(hid_t file, const nsh__element *element);

/* The type in memory of elements with this type in a file, and whether it is the same. */
hid_t nsh__h5_memory_type(hid_t in_file, bool *plain);

/* The form of a type in memory. NSH_ERR_TYPE. */
int nsh__h5_element_of(const char *call, const char *name, hid_t type, nsh__element *out);

#endif
