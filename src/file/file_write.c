/* SPDX-License-Identifier: BSD-3-Clause */
/* file_write.c -- the bytes of arrays, and of all ranks' hyperslabs, to files.
 *
 * Invariant: ranks write disjoint bytes of the space that the I/O rank has allocated in the file;
 * or the I/O rank receives all bytes and HDF5 writes them. */
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/message.h"
#include "file/file.h"

#include "core/agree.h"
#include "base/fault.h"
#include "base/hash.h"
#include "file/file_part.h"
#include "core/ring.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

/* ---- write ---- */

/* [I/O rank] Create the dataset, with space for its bytes in the file. */
static int make_dataset(nsh_file *file, nsh__call call, const char *name, const nsh_array *array,
                        nsh__found *out)
{
    const char *words = nsh__call_name(call);
    nsh__element element;
    int rc = nsh__element_of_type(&array->type, &element);

    if (rc == NSH_SUCCESS)
        rc = nsh__file_writable(file, call);
    if (rc == NSH_SUCCESS)
        rc = nsh__h5_make(words, file->h5, name, &element, array->ndim, array->extent, false);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__h5_flush(words, file->h5);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_find(file, call, name, array, true, out);
    if (rc == NSH_SUCCESS && array->nbytes > 0 && out->dataset.offset < 0)
        rc = nsh__fail(NSH_ERR_INTERNAL, "%s: HDF5 has no room for \"%.80s\"", words, name);
    if (rc != NSH_SUCCESS)
        nsh__h5_remove(file->h5, name);
    return rc;
}

/* Write the bytes [begin, end) of the array. */
static int write_range(nsh_file *file, nsh__call call, const nsh__found *found,
                       const nsh_array *array, int64_t begin, int64_t end)
{
    nsh__slab all;
    int fd, rc;

    if (begin == end)
        return NSH_SUCCESS;
    rc = nsh__file_fd(file, call, &found->place, &fd);
    if (rc != NSH_SUCCESS)
        return rc;
    file->dirty_fd = fd;
    nsh__slab_packed(&all, array->nbytes);
    return nsh__disk_write(nsh__call_name(call), file->path, fd, found->dataset.offset, &all,
                           array->replica.ro, &all, begin, end - begin);
}

/* Write this node's part of the array's bytes. The first and the last page may also hold what HDF5
 * writes on rank 0 and what comes before or after them: rank 0's node writes them. */
static int write_part(nsh_file *file, nsh__call call, const nsh__found *found,
                      const nsh_array *array)
{
    const nsh_comm *comm = file->comm;
    int64_t at = found->dataset.offset, last = nsh__last_cut(at, array->nbytes), begin, end;
    int rc;

    if (!nsh__comm_leads(comm) || comm->node_index >= file->writers)
        return NSH_SUCCESS;
    nsh__part_of_file(at, last, file->writers, comm->node_index, &begin, &end);
    rc = write_range(file, call, found, array, begin, end);
    if (rc == NSH_SUCCESS && comm->node_index == 0)
        rc = write_range(file, call, found, array, last, array->nbytes);
    return rc;
}

int nsh__file_write(nsh_file *file, nsh__call call, const char *name, const nsh_array *array)
{
    nsh__found found;
    int rc =
        array != NULL ? nsh__file_check_array(file, call, array) : nsh__file_null(call, "array");
    uint64_t signature = nsh__file_name_signature(file, call, name, &rc);

    rc = nsh__file_enter(file, call, rc, nsh__mix(signature, array != NULL ? array->id : 0));
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file))
        rc = make_dataset(file, call, name, array, &found);
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc != NSH_SUCCESS || array->nbytes == 0)
        return nsh__file_changed(file, call, rc);
    rc = write_part(file, call, &found, array);
    rc = nsh__file_enter(file, call, rc, 1);
    if (rc != NSH_SUCCESS && nsh__file_is_io_rank(file))
        nsh__h5_remove(file->h5, name);
    file->failed |= rc != NSH_SUCCESS;
    return nsh__file_changed(file, call, rc);
}

int nsh_file_write(nsh_file *file, const char *name, const nsh_array *array)
{
    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_WRITE, "file");
    return nsh__file_write(file, NSH__CALL_FILE_WRITE, name, array);
}

/* ---- every rank its own hyperslab ---- */

int nsh__file_partition(const nsh_file *file, nsh__call call, MPI_Datatype handle, int ndim,
                        const int64_t extent[], const void *data, const int64_t offset[],
                        const int64_t count[], nsh__type *type, nsh__partition *out,
                        uint64_t *signature)
{
    const char *words = nsh__call_name(call);
    int64_t size, nbytes;
    int rank = file->comm->rank, d, rc;

    *out = (nsh__partition){.type = type, .ndim = ndim, .extent = extent, .data = data};
    *signature = nsh__mix(10, (uint64_t)ndim);
    if (ndim < 0 || ndim > NSH__MAX_NDIM || (ndim > 0 && extent == NULL))
        return nsh__fail(NSH_ERR_ARG, "%s: ndim %d, extent %s (rank %d)", words, ndim,
                         extent != NULL ? "given" : "NULL", rank);
    for (d = 0; d < ndim; d++)
        *signature = nsh__mix(*signature, (uint64_t)extent[d]);
    rc = nsh__type_init(words, rank, handle, type);
    if (rc != NSH_SUCCESS)
        return rc;
    *signature = nsh__mix(*signature, type->signature);
    if (!nsh__shape_size(ndim, extent, type->itemsize, &size, &nbytes))
        return nsh__fail(NSH_ERR_ARG, "%s: an extent is negative or the whole too large (rank %d)",
                         words, rank);
    d = nsh__hyperslab_outside(ndim, extent, offset, count);
    if (d >= 0)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: offset %" PRId64 " and count %" PRId64 " exceed extent %" PRId64
                         " in dimension %d (rank %d)",
                         words, offset != NULL ? offset[d] : 0,
                         count != NULL ? count[d] : extent[d], extent[d], d, rank);
    out->nbytes = type->itemsize;
    for (d = 0; d < ndim; d++) {
        out->offset[d] = offset != NULL ? offset[d] : 0;
        out->count[d] = count != NULL ? count[d] : extent[d];
        out->nbytes *= out->count[d];
    }
    if (out->nbytes > 0 && data == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: data is NULL (rank %d)", words, rank);
    return NSH_SUCCESS;
}

/* Does this rank write? A dataset without dimensions has no hyperslabs: rank 0 writes it. */
static bool has_part(const nsh_file *file, const nsh__partition *partition)
{
    return partition->nbytes > 0 && (partition->ndim > 0 || nsh__file_is_io_rank(file));
}

static int write_own_hyperslab(nsh_file *file, nsh__call call, const nsh__found *found,
                               const nsh__partition *partition)
{
    nsh__slab in_file, packed;
    int fd, rc;

    if (!has_part(file, partition))
        return NSH_SUCCESS;
    rc = nsh__file_fd(file, call, &found->place, &fd);
    if (rc != NSH_SUCCESS)
        return rc;
    file->dirty_fd = fd;
    nsh__slab_of(&in_file, partition->ndim, partition->extent, partition->offset, partition->count,
                 partition->type->itemsize);
    nsh__slab_packed(&packed, partition->nbytes);
    return nsh__disk_write(nsh__call_name(call), file->path, fd, found->dataset.offset, &in_file,
                           partition->data, &packed, 0, partition->nbytes);
}

/* ---- the I/O rank receives everything ---- */

/* The ranks' hyperslabs, which the I/O rank receives and writes with HDF5. */
typedef struct delivery {
    nsh_file *file;
    nsh__call call;
    const char *name;
    const nsh__partition *partition; /* of this rank */
    int64_t leading;
    const int64_t *chunk; /* of the dataset, in the dimensions of the partition; all 0: not chunked
                          */
    char *buffer;         /* for the largest box */
} delivery;

/* The current box of this rank's hyperslab, packed. */
static const char *own_box(const delivery *v, const nsh__boxes *b)
{
    nsh__slab slab;

    nsh__boxes_slab(b, &slab);
    if (slab.ndim == 0)
        return v->partition->data + slab.start;
    nsh__slab_pack(v->buffer, v->partition->data, &slab, 0, slab.nbytes);
    return v->buffer;
}

/* [I/O rank] Write one box of a rank's hyperslab, which is at data. */
static int write_box(const delivery *v, const int64_t *offset, const nsh__boxes *b,
                     const char *data)
{
    int64_t at[NSH__MAX_NDIM + 1] = {v->leading}, size[NSH__MAX_NDIM + 1] = {1};
    int front = v->leading >= 0;

    for (int d = 0; d < b->ndim; d++) {
        at[front + d] = offset[d] + b->at[d];
        size[front + d] = b->size[d];
    }
    return nsh__h5_write(nsh__call_name(v->call), v->file->h5, v->name, at, size, data);
}

/* [I/O rank] Receive one box of rank r and write it. After a failure boxes are still received,
 * because their ranks send them. */
static int receive_box(const delivery *v, int r, const int64_t *offset, const nsh__boxes *b, int rc)
{
    nsh_comm *comm = v->file->comm;
    MPI_Request request = MPI_REQUEST_NULL;
    const char *data = v->buffer;
    int got = NSH_SUCCESS;

    if (r == comm->rank) {
        data = own_box(v, b);
    } else {
        got = nsh__irecv(comm, v->buffer, nsh__boxes_bytes(b), r, NSH__TAG_FILE, &request);
        if (got == NSH_SUCCESS)
            got = nsh__wait_requests(&comm->wait, 1, &request);
        if (got != NSH_SUCCESS) {
            nsh__drop_request(&request, true);
            return nsh__comm_break(comm, got);
        }
    }
    return rc == NSH_SUCCESS ? write_box(v, offset, b, data) : rc;
}

static int send_box(const delivery *v, const nsh__boxes *b)
{
    nsh_comm *comm = v->file->comm;
    MPI_Request request = MPI_REQUEST_NULL;
    int rc = nsh__isend(comm, own_box(v, b), nsh__boxes_bytes(b), 0, NSH__TAG_FILE, &request);

    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, 1, &request);
    if (rc != NSH_SUCCESS) {
        nsh__drop_request(&request, false);
        return nsh__comm_break(comm, rc);
    }
    return NSH_SUCCESS;
}

/* [collective] Receive and write the hyperslabs of all ranks, in rank order. */
static int gather_boxes(const delivery *v, const int64_t *table)
{
    nsh_comm *comm = v->file->comm;
    int ndim = v->partition->ndim, rc = NSH_SUCCESS;
    nsh__boxes b;

    for (int r = 0; r < comm->size; r++) {
        const int64_t *offset = table + (int64_t)r * 2 * ndim, *count = offset + ndim;

        if (r > 0 && ndim == 0)
            break;
        nsh__boxes_begin(&b, ndim, offset, count, v->partition->type->itemsize, v->chunk);
        for (; !b.done; nsh__boxes_next(&b)) {
            if (nsh__file_is_io_rank(v->file))
                rc = receive_box(v, r, offset, &b, rc);
            else if (r == comm->rank)
                rc = send_box(v, &b);
            if (rc == NSH_ERR_MPI || nsh__comm_whole(comm, nsh__call_name(v->call)) != 0)
                return rc != NSH_SUCCESS ? rc : NSH_ERR_STATE;
        }
    }
    return rc;
}

/* The largest box that the I/O rank will receive, or this rank will send. */
static int64_t largest_box(const delivery *v, const int64_t *table)
{
    const nsh_comm *comm = v->file->comm;
    int ndim = v->partition->ndim;
    int64_t most = 1;
    nsh__boxes b;

    for (int r = 0; r < comm->size && ndim > 0; r++) {
        const int64_t *offset = table + (int64_t)r * 2 * ndim;

        if (!nsh__file_is_io_rank(v->file) && r != comm->rank)
            continue;
        nsh__boxes_begin(&b, ndim, offset, offset + ndim, v->partition->type->itemsize, v->chunk);
        for (; !b.done; nsh__boxes_next(&b))
            most = nsh__boxes_bytes(&b) > most ? nsh__boxes_bytes(&b) : most;
    }
    return most;
}

int nsh__file_gather(nsh_file *file, nsh__call call, const char *name,
                     const nsh__partition *partition, int64_t leading, const int64_t chunk[])
{
    delivery v = {file, call, name, partition, leading, chunk, NULL};
    nsh_comm *comm = file->comm;
    int ndim = partition->ndim, rc = NSH_SUCCESS;
    int64_t most, *table = nsh__fault(file_buffer)
                               ? NULL
                               : calloc((size_t)comm->size * 2 * (size_t)ndim + 1, sizeof *table);

    if (table == NULL)
        rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %d hyperslabs", nsh__call_name(call),
                       comm->size);
    rc = nsh__file_enter(file, call, rc, 11);
    if (rc == NSH_SUCCESS) {
        for (int d = 0; d < ndim; d++) {
            table[(int64_t)comm->rank * 2 * ndim + d] = partition->offset[d];
            table[((int64_t)comm->rank * 2 + 1) * ndim + d] = partition->count[d];
        }
        rc = nsh__ring_table(comm, table, 2 * ndim);
        if (rc != NSH_SUCCESS) /* MPI may still write to the table */
            return nsh__comm_break(comm, rc);
        most = largest_box(&v, table);
        if (most > INT_MAX && comm->size > 1)
            rc = nsh__fail(NSH_ERR_ARG,
                           "%s: \"%.80s\" has to go through rank 0 in pieces of %" PRId64
                           " bytes, more than one message may have (rank %d)",
                           nsh__call_name(call), name, most, comm->rank);
        else if (nsh__fault(file_buffer) || (v.buffer = malloc((size_t)most)) == NULL)
            rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for a segment", nsh__call_name(call));
        rc = nsh__file_enter(file, call, rc, 12);
    }
    if (rc == NSH_SUCCESS) {
        rc = gather_boxes(&v, table);
        /* Contiguous bytes may next be read without HDF5, which has buffered some of them. */
        if (rc == NSH_SUCCESS && nsh__file_is_io_rank(file) && leading < 0)
            rc = nsh__h5_flush(nsh__call_name(call), file->h5);
        rc = nsh__file_enter(file, call, rc, 13);
    }
    free(v.buffer);
    free(table);
    return rc;
}

/* [I/O rank] Write zeros to the part of a new dataset that lies before the old end of the file:
 * HDF5 may have given it bytes of something deleted. Bytes after the old end are zero. */
static int clear_reused(nsh_file *file, nsh__call call, const nsh__found *found, int64_t old_end)
{
    const nsh__dataset *dataset = &found->dataset;
    int64_t n = old_end - dataset->offset;
    int fd, rc;

    if (n <= 0 || dataset->nbytes == 0)
        return NSH_SUCCESS;
    rc = nsh__file_fd(file, call, &found->place, &fd);
    if (rc != NSH_SUCCESS)
        return rc;
    file->dirty_fd = fd;
    rc = nsh__disk_zero(nsh__call_name(call), file->path, fd, dataset->offset,
                        n < dataset->nbytes ? n : dataset->nbytes);
    if (rc == NSH_SUCCESS && !file->coherent) /* before the bytes of other nodes reach the server */
        rc = nsh__disk_sync(nsh__call_name(call), file->path, fd);
    return rc;
}

/* [I/O rank] Create a dataset that is zero. */
static int make_zero_dataset(nsh_file *file, nsh__call call, const char *name,
                             const nsh__partition *partition, const nsh__element *element,
                             nsh__found *out)
{
    const char *words = nsh__call_name(call);
    int64_t old_end = out->place.identity.bytes;
    int rc =
        nsh__h5_make(words, file->h5, name, element, partition->ndim, partition->extent, false);

    if (rc == NSH_SUCCESS)
        rc = nsh__h5_flush(words, file->h5);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_find(file, call, name, NULL, false, out);
    if (rc == NSH_SUCCESS && out->dataset.nbytes > 0 && out->dataset.offset < 0)
        rc = nsh__fail(NSH_ERR_INTERNAL, "%s: HDF5 has no room for \"%.80s\"", words, name);
    return rc == NSH_SUCCESS ? clear_reused(file, call, out, old_end) : rc;
}

/* [I/O rank] Look the dataset up, or create it. */
static int prepare_dataset(nsh_file *file, nsh__call call, const char *name,
                           const nsh__partition *partition, nsh__found *out)
{
    nsh__element element;
    nsh__detail kept;
    int rc = nsh__element_of_type(partition->type, &element);

    nsh__detail_keep(&kept);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_writable(file, call);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_find(file, call, name, NULL, false, out);
    if (rc == NSH_ERR_NOT_FOUND) {
        nsh__detail_restore(&kept);
        rc = make_zero_dataset(file, call, name, partition, &element, out);
    }
    if (rc != NSH_SUCCESS)
        return rc;
    return nsh__file_fits(call, name, &out->dataset, &element, partition->ndim, partition->extent,
                          0);
}

/* [collective] Agree on the arguments, and on whether any rank has short runs. */
static int enter_partitions(nsh_file *file, nsh__call call, int code, uint64_t signature,
                            const nsh__partition *partition, bool *merged)
{
    nsh__agreement agreement = {.call = call,
                                .code = code,
                                .signature = nsh__mix(file->reply->id, signature),
                                .range = true};

    if (code == NSH_SUCCESS && has_part(file, partition) && nsh__file_is_short(partition))
        agreement.low = -1;
    nsh__agreement_enter(file->comm, &agreement);
    code = nsh__agreement_leave(file->comm, &agreement);
    *merged = agreement.low < 0;
    return code;
}

int nsh_file_write_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                             const int64_t extent[], const void *data, const int64_t offset[],
                             const int64_t count[])
{
    const nsh__call call = NSH__CALL_FILE_WRITE_HYPERSLAB;
    nsh__type described;
    nsh__partition partition;
    nsh__found found;
    uint64_t signature;
    bool merged;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = nsh__file_partition(file, call, type, ndim, extent, data, offset, count, &described,
                             &partition, &signature);
    signature = nsh__mix(signature, nsh__file_name_signature(file, call, name, &rc));
    rc = enter_partitions(file, call, rc, signature, &partition, &merged);
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file))
        rc = prepare_dataset(file, call, name, &partition, &found);
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc != NSH_SUCCESS || found.dataset.nbytes == 0)
        return nsh__file_changed(file, call, rc);
    if (found.dataset.offset < 0 || file->writers < file->comm->node_count) {
        rc = nsh__file_gather(file, call, name, &partition, -1, found.dataset.chunk);
    } else if (merged) {
        rc = nsh__file_merge(file, call, &found, &partition, has_part(file, &partition));
    } else {
        rc = write_own_hyperslab(file, call, &found, &partition);
        rc = nsh__file_enter(file, call, rc, 14);
    }
    file->failed |= rc != NSH_SUCCESS; /* some ranks have written, others have not */
    return nsh__file_changed(file, call, rc);
}
