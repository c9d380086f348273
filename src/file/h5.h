/* SPDX-License-Identifier: BSD-3-Clause */
/* h5.h -- HDF5 as one process uses it: files, datasets, attributes. Nothing here calls MPI, and
 * only h5*.c include hdf5.h.
 *
 * All functions are [local]. A rank calls them with a handle of its own: the I/O rank with that of
 * the file, between two agreements; any rank with that of its reader (nsh_file_get). They enter and
 * leave HDF5 by themselves (h5private.h), so none of them is called between nsh__h5_enter and
 * nsh__h5_leave. They return a status; the detail of a failure has the name of the public call and
 * HDF5's reason. Inside them HDF5 prints nothing, only one thread runs, and SIGXFSZ does not end
 * the process. In builds without HDF5 they return NSH_ERR_UNSUPPORTED. */
#ifndef NSH_FILE_H5_H
#define NSH_FILE_H5_H

#include <stdbool.h>
#include <stdint.h>

#include <nodeshare/file.h>

#include "file/element.h"
#include "base/hyperslab.h"

typedef struct nsh__h5 nsh__h5;

/* Bytes of a name within a file, at most. */
enum { NSH__FILE_NAME = 1023 };

/* Bytes of an attribute: of numbers; of text that lies in the object header; of any text. */
enum { NSH__ATTR_NUMBERS = 32 << 10, NSH__ATTR_SHORT = 60000, NSH__ATTR_LONG = 1 << 30 };

/* Bytes of one value. */
static inline size_t nsh__attr_size(nsh_attr_type type)
{
    return type == NSH_ATTR_TEXT ? 1 : type == NSH_ATTR_INT32 || type == NSH_ATTR_FLOAT ? 4 : 8;
}

/* What a dataset is. Travels between ranks as bytes. */
typedef struct nsh__dataset {
    int32_t ndim;
    int32_t growing;    /* its leading dimension is unlimited */
    int32_t chunked;    /* chunk says how */
    int32_t attributes; /* how many */
    int64_t extent[NSH__MAX_NDIM];
    int64_t chunk[NSH__MAX_NDIM];
    int64_t size, nbytes; /* elements, bytes of them in memory */
    int64_t stored;       /* bytes in the file; -1: see nsh__h5_stored */
    int64_t offset;       /* of its bytes in the file, if they lie there as in memory; else -1 */
    char filters[64];     /* names with commas */
    nsh__element element;
} nsh__dataset;

/* The version of HDF5 that is linked, such as "1.10.8", or "none". */
const char *nsh__h5_version(void);

/* NSH_SUCCESS, or why HDF5 cannot be used. Called by any rank, before any other function here. */
int nsh__h5_available(const char *call);

/* Open the file of a descriptor, which is or was at path: create empties it, continue and open keep
 * its contents. HDF5 opens the file a second time, so the descriptor may be closed afterwards, and
 * may be read-only if the path may be opened for writing. create and continue open a working copy,
 * which only the caller uses and which gets no lock of HDF5. NSH_ERR_STATE: path leads to another
 * file by now, and HDF5 cannot open the former one any more. */
int nsh__h5_create(const char *call, const char *path, int fd, nsh__h5 **out);
int nsh__h5_continue(const char *call, const char *path, int fd, nsh__h5 **out);
int nsh__h5_open(const char *call, const char *path, int fd, bool write, nsh__h5 **out);

/* Write everything to the file, which then has its final length. */
int nsh__h5_flush(const char *call, nsh__h5 *h5);

/* From now on nothing is written to the file, and changes fail. Accepts NULL. */
void nsh__h5_cancel(nsh__h5 *h5);

/* Flush and close; *h5 is NULL afterwards, whatever the outcome. call NULL: failures are ignored.
 */
int nsh__h5_close(const char *call, nsh__h5 **h5);

/* ---- datasets ---- */

/* NSH_ERR_NOT_FOUND, NSH_ERR_TYPE, NSH_ERR_FORMAT. */
int nsh__h5_describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out);

/* The dataset's bytes in the file. For a chunked dataset this looks at each chunk. */
int nsh__h5_stored(const char *call, nsh__h5 *h5, const char *name, int64_t *bytes);

/* A new dataset and the groups on the way to it; its bytes are not written yet. series: of frames
 * of that extent, none so far. NSH_ERR_EXISTS. */
int nsh__h5_make(const char *call, nsh__h5 *h5, const char *name, const nsh__element *element,
                 int ndim, const int64_t extent[], bool series);

/* Remove the dataset of that name, if it exists. */
void nsh__h5_remove(nsh__h5 *h5, const char *name);

/* Read or write a hyperslab, packed in data, with elements as nsh__h5_describe says. */
int nsh__h5_read(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                 const int64_t count[], void *data);
int nsh__h5_write(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                  const int64_t count[], const void *data);

/* Give a growing dataset another leading extent. */
int nsh__h5_resize(const char *call, nsh__h5 *h5, const char *name, int64_t leading);

/* The full names of all datasets, or of an object's attributes, with a NUL after each, in *names,
 * which the caller frees; name NULL or "": the file. */
int nsh__h5_list(const char *call, nsh__h5 *h5, char **names, int64_t *bytes);
int nsh__h5_list_attrs(const char *call, nsh__h5 *h5, const char *name, char **names,
                       int64_t *bytes);

/* ---- attributes and dimension scales ---- */

int nsh__h5_set_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t n, const void *values);

/* The values of the attribute in *values, which the caller frees, and their number; for text its
 * bytes, and a NUL that is not counted. */
int nsh__h5_get_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t *n, void **values);

int nsh__h5_set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                    const char *unit, const double points[]);

#endif
