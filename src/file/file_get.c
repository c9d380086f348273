/* SPDX-License-Identifier: BSD-3-Clause */
/* file_get.c -- one rank reads by itself.
 *
 * Invariant: the reader's handle, the descriptor, and what it knows of a dataset are of one file:
 * the target of this file handle. A commit, which may replace the target, frees the reader. */
#include "core/enter.h"
#include "file/file.h"

#include "base/fault.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct nsh__reader {
    nsh__h5 *h5;
    int fd;                        /* the file's */
    char name[NSH__FILE_NAME + 1]; /* of the dataset that was described last; "": none */
    nsh__dataset dataset;
};

static const char call[] = "nsh_file_get";

void nsh__file_reader_free(nsh_file *file)
{
    nsh__reader *reader = file->reader;

    if (reader == NULL)
        return;
    nsh__h5_close(NULL, &reader->h5);
    free(reader);
    file->reader = NULL;
}

static int get_reader(nsh_file *file, nsh__reader **out)
{
    const nsh__place target = {.identity = file->target};
    int rc = NSH_SUCCESS;

    if (file->in_place || !file->there)
        return nsh__fail(NSH_ERR_STATE, "%s: %.120s %s (rank %d)", call, file->path,
                         file->in_place ? "is changed in place" : "has not been committed yet",
                         file->comm->rank);
    if (file->reader == NULL) {
        file->reader = nsh__fault(file_alloc) ? NULL : calloc(1, sizeof *file->reader);
        if (file->reader == NULL)
            return nsh__fail(NSH_ERR_NOMEM, "%s: no memory", call);
        rc = nsh__file_fd(file, NSH__CALL_FILE_GET, &target, &file->reader->fd);
        if (rc == NSH_SUCCESS)
            rc = nsh__h5_open(call, file->path, file->reader->fd, false, &file->reader->h5);
        if (rc != NSH_SUCCESS)
            nsh__file_reader_free(file);
    }
    *out = file->reader;
    return rc;
}

static int describe_for_get(nsh__reader *reader, const char *name)
{
    int rc;

    if (strcmp(reader->name, name) == 0)
        return NSH_SUCCESS;
    reader->name[0] = '\0';
    rc = nsh__h5_describe(call, reader->h5, name, &reader->dataset);
    if (rc == NSH_SUCCESS)
        memcpy(reader->name, name, strlen(name) + 1);
    return rc;
}

static int check_get_slab(const nsh_file *file, const nsh__dataset *dataset, const int64_t offset[],
                          const int64_t count[])
{
    int d = nsh__hyperslab_outside(dataset->ndim, dataset->extent, offset, count);

    if (d < 0)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_ARG,
                     "%s: offset %" PRId64 " and count %" PRId64 " exceed extent %" PRId64
                     " in dimension %d (rank %d)",
                     call, offset != NULL ? offset[d] : 0,
                     count != NULL ? count[d] : dataset->extent[d], dataset->extent[d], d,
                     file->comm->rank);
}

/* Does the caller's type match the elements of the dataset? */
static int check_type(const nsh_file *file, const char *name, const nsh__dataset *dataset,
                      MPI_Datatype handle)
{
    nsh__type type;
    nsh__element element;
    int rc = nsh__type_init(call, file->comm->rank, handle, &type);

    if (rc == NSH_SUCCESS)
        rc = nsh__element_of_type(&type, &element);
    return rc != NSH_SUCCESS ? rc : nsh__file_same_element(call, name, dataset, &element);
}

/* Does the caller's memory hold the bytes of the hyperslab? */
static int check_out_bytes(const nsh_file *file, const char *name, int64_t bytes, const void *out,
                           int64_t out_bytes)
{
    if (bytes > out_bytes)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: the hyperslab of \"%.80s\" has %" PRId64
                         " bytes, out_bytes is %" PRId64 " (rank %d)",
                         call, name, bytes, out_bytes, file->comm->rank);
    if (bytes > 0 && out == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: out is NULL (rank %d)", call, file->comm->rank);
    return NSH_SUCCESS;
}

/* Read the bytes of a hyperslab, packed. */
static int read_slab(const nsh_file *file, const nsh__reader *reader, const nsh__slab *in_file,
                     const int64_t offset[], const int64_t count[], void *out)
{
    static const int64_t zeros[NSH__MAX_NDIM];
    const nsh__dataset *dataset = &reader->dataset;
    nsh__slab packed;

    if (dataset->offset < 0)
        return nsh__h5_read(call, reader->h5, reader->name, offset != NULL ? offset : zeros,
                            count != NULL ? count : dataset->extent, out);
    nsh__slab_packed(&packed, in_file->nbytes);
    return nsh__disk_read(call, file->path, reader->fd, dataset->offset, in_file, out, &packed, 0,
                          packed.nbytes);
}

int nsh_file_get(nsh_file *file, const char *name, const int64_t offset[], const int64_t count[],
                 MPI_Datatype type, void *out, int64_t out_bytes)
{
    const nsh__dataset *dataset;
    nsh__slab in_file;
    nsh__reader *reader = NULL;
    int64_t item;
    int rc = NSH_SUCCESS;

    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_GET, "file");
    if (file->reply->object.state == NSH__OBJECT_SHELL)
        return nsh__comm_present(file->comm, call);
    nsh__file_name_signature(file, NSH__CALL_FILE_GET, name, &rc);
    if (rc == NSH_SUCCESS)
        rc = get_reader(file, &reader);
    if (rc == NSH_SUCCESS)
        rc = describe_for_get(reader, name);
    if (rc == NSH_SUCCESS)
        rc = check_type(file, name, &reader->dataset, type);
    if (rc == NSH_SUCCESS)
        rc = check_get_slab(file, &reader->dataset, offset, count);
    if (rc != NSH_SUCCESS)
        return rc;
    dataset = &reader->dataset;
    item = dataset->element.node[0].size * dataset->element.node[0].count;
    nsh__slab_of(&in_file, dataset->ndim, dataset->extent, offset, count, item);
    rc = check_out_bytes(file, name, in_file.nbytes, out, out_bytes);
    if (rc != NSH_SUCCESS || in_file.nbytes == 0)
        return rc;
    return read_slab(file, reader, &in_file, offset, count, out);
}
