/* SPDX-License-Identifier: BSD-3-Clause */
/* h5.h -- HDF5, as one process uses it: files, datasets, attributes. No MPI in here, and HDF5
 * nowhere else: only h5*.c see hdf5.h.
 *
 * All functions are [local], return a status and word a failure with the name of the public call
 * and with HDF5's own reason. HDF5 prints nothing meanwhile, one thread at a time is inside, and
 * SIGXFSZ does not end the process. In builds without HDF5 they return NSH_ERR_UNSUPPORTED. */
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
    int64_t offset;       /* where its bytes lie in the file as they lie in memory; -1: nowhere */
    char filters[64];     /* names with commas */
    nsh__element element;
} nsh__dataset;

/* The version that is linked, "1.10.8"; "none". */
const char *nsh__h5_version(void);

/* NSH_SUCCESS, or why there is no HDF5. */
int nsh__h5_available(const char *call);

/* The file behind a descriptor, which is or was at path: made new in place of what it holds; or as
 * it is. HDF5 opens it a second time, so the descriptor may be closed, and may be open for reading
 * only where the path may be opened for more. create and continue: of a working copy, which is the
 * caller's alone and gets no lock of HDF5. NSH_ERR_STATE: path leads to another file by now, and
 * HDF5 cannot open the former one any more. */
int nsh__h5_create(const char *call, const char *path, int fd, nsh__h5 **out);
int nsh__h5_continue(const char *call, const char *path, int fd, nsh__h5 **out);
int nsh__h5_open(const char *call, const char *path, int fd, bool write, nsh__h5 **out);

/* Everything out to the file, which then is as long as it will be. */
int nsh__h5_flush(const char *call, nsh__h5 *h5);

/* From now on nothing more goes to the file, and changes fail. Accepts NULL. */
void nsh__h5_cancel(nsh__h5 *h5);

/* Flush and close; *h5 is NULL afterwards, whatever the outcome. call NULL: nobody wants to know.
 */
int nsh__h5_close(const char *call, nsh__h5 **h5);

/* ---- datasets ---- */

/* NSH_ERR_NOT_FOUND, NSH_ERR_TYPE, NSH_ERR_FORMAT. */
int nsh__h5_describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out);

/* Bytes in the file, also of chunks: looks at each of them. */
int nsh__h5_stored(const char *call, nsh__h5 *h5, const char *name, int64_t *bytes);

/* A new dataset and the groups on the way to it; its bytes are in no file yet. series: of frames of
 * that extent, none so far. NSH_ERR_EXISTS. */
int nsh__h5_make(const char *call, nsh__h5 *h5, const char *name, const nsh__element *element,
                 int ndim, const int64_t extent[], bool series);

/* Nothing, if there is none of that name. */
void nsh__h5_remove(nsh__h5 *h5, const char *name);

/* A hyperslab, packed in data, elements as nsh__h5_describe says. */
int nsh__h5_read(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                 const int64_t count[], void *data);
int nsh__h5_write(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                  const int64_t count[], const void *data);

/* Give a growing dataset another leading extent. */
int nsh__h5_resize(const char *call, nsh__h5 *h5, const char *name, int64_t leading);

/* The full names of all datasets, or of an object's attributes, NUL after each, in *names, to be
 * freed; name NULL or "": the file. */
int nsh__h5_list(const char *call, nsh__h5 *h5, char **names, int64_t *bytes);
int nsh__h5_list_attrs(const char *call, nsh__h5 *h5, const char *name, char **names,
                       int64_t *bytes);

/* ---- attributes and dimension scales ---- */

int nsh__h5_set_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t n, const void *values);

/* Values of the attribute in *values, to be freed, and how many; text: its bytes, and a NUL that is
 * not counted. */
int nsh__h5_get_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t *n, void **values);

int nsh__h5_set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                    const char *unit, const double points[]);

#endif
