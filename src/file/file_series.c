/* SPDX-License-Identifier: BSD-3-Clause */
/* file_series.c -- frames appended along an unlimited leading dimension.
 *
 * Invariant: a series has grown by whole frames, or the file is invalid and will not be committed.
 */
#include "file/file.h"

#include "core/agree.h"
#include "base/hash.h"

#include <string.h>

/* A series that has been extended by one frame: the frame's number, and how frames are chunked. */
typedef struct grown {
    int64_t frame;
    int64_t chunk[NSH__MAX_NDIM];
} grown;

/* [I/O rank] Extend the series by one frame; create the series if it does not exist. */
static int grow_series(nsh_file *file, nsh__call call, const char *name, const nsh__type *type,
                       int ndim, const int64_t extent[], grown *out)
{
    const char *words = nsh__call_name(call);
    int64_t whole[NSH__MAX_NDIM + 1] = {0};
    nsh__element element;
    nsh__found found;
    nsh__detail kept;
    int rc = nsh__element_of_type(type, &element);

    nsh__detail_keep(&kept);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_writable(file, call);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_find(file, call, name, NULL, false, &found);
    if (rc == NSH_ERR_NOT_FOUND) {
        nsh__detail_restore(&kept);
        for (int d = 0; d < ndim; d++)
            whole[1 + d] = extent[d];
        rc = nsh__h5_make(words, file->h5, name, &element, ndim + 1, whole, true);
        if (rc == NSH_SUCCESS)
            rc = nsh__file_find(file, call, name, NULL, false, &found);
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__file_fits(call, name, &found.dataset, &element, ndim, extent, 1);
    if (rc != NSH_SUCCESS)
        return rc;
    if (found.dataset.extent[0] == INT64_MAX)
        return nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" is full", words, name);
    out->frame = found.dataset.extent[0];
    memcpy(out->chunk, found.dataset.chunk + 1, (size_t)ndim * sizeof *out->chunk);
    return nsh__h5_resize(words, file->h5, name, out->frame + 1);
}

/* [I/O rank] Append a whole frame from the replica. */
static int append_frame(nsh_file *file, nsh__call call, const char *name, const nsh_array *array)
{
    int64_t offset[NSH__MAX_NDIM + 1] = {0}, count[NSH__MAX_NDIM + 1] = {1};
    nsh__disk_guard guard;
    grown room;
    int rc;

    nsh__disk_guard_begin(&guard); /* one guard for all calls of HDF5 */
    rc = grow_series(file, call, name, &array->type, array->ndim, array->extent, &room);
    offset[0] = rc == NSH_SUCCESS ? room.frame : 0;
    for (int d = 0; d < array->ndim; d++)
        count[1 + d] = array->extent[d];
    if (rc == NSH_SUCCESS && array->nbytes > 0)
        rc = nsh__h5_write(nsh__call_name(call), file->h5, name, offset, count, array->replica.ro);
    nsh__disk_guard_end(&guard);
    return rc;
}

static int fail_too_many_dims(nsh__call call, int ndim)
{
    return nsh__fail(NSH_ERR_ARG, "%s: frames of %d dimensions", nsh__call_name(call), ndim);
}

int nsh_file_append(nsh_file *file, const char *name, const nsh_array *frame)
{
    const nsh__call call = NSH__CALL_FILE_APPEND;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = frame != NULL ? nsh__file_check_array(file, call, frame) : nsh__file_null(call, "frame");
    if (rc == NSH_SUCCESS && frame->ndim >= NSH__MAX_NDIM)
        rc = fail_too_many_dims(call, frame->ndim);
    signature = nsh__file_name_signature(file, call, name, &rc);
    rc = nsh__file_enter(file, call, rc, nsh__mix(signature, frame != NULL ? frame->id : 0));
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file))
        rc = append_frame(file, call, name, frame);
    return nsh__file_changed(file, call, nsh__file_answer(file, call, rc, NULL, 0));
}

int nsh_file_append_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                              const int64_t extent[], const void *data, const int64_t offset[],
                              const int64_t count[])
{
    const nsh__call call = NSH__CALL_FILE_APPEND_HYPERSLAB;
    nsh__type described;
    nsh__partition partition;
    grown room = {0};
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = nsh__file_partition(file, call, type, ndim, extent, data, offset, count, &described,
                             &partition, &signature);
    if (rc == NSH_SUCCESS && ndim >= NSH__MAX_NDIM)
        rc = fail_too_many_dims(call, ndim);
    signature = nsh__mix(signature, nsh__file_name_signature(file, call, name, &rc));
    rc = nsh__file_enter(file, call, rc, signature);
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file))
        rc = grow_series(file, call, name, &described, ndim, extent, &room);
    rc = nsh__file_answer(file, call, rc, &room, sizeof room);
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    rc = nsh__file_gather(file, call, name, &partition, room.frame, room.chunk);
    file->failed |= rc != NSH_SUCCESS; /* the series has a frame that no rank has written */
    return nsh__file_changed(file, call, rc);
}
