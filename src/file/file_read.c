/* SPDX-License-Identifier: BSD-3-Clause */
/* file_read.c -- bytes of files into arrays.
 *
 * Invariant: leaders read disjoint hyperslabs into their replicas and then send them to the other
 * nodes; or the I/O rank reads all with HDF5 and sets the array. */
#include "core/comm_break.h"
#include "file/file.h"

#include "core/agree.h"
#include "base/fault.h"
#include "base/hash.h"
#include "file/file_part.h"
#include "core/ring.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- read without HDF5 ---- */

/* A hyperslab that is read from a dataset into an array. */
typedef struct fetch {
    nsh_file *file;
    nsh__call call;
    const char *name;
    const nsh__found *found;
    const int64_t *offset, *count; /* in the dataset */
    nsh_array *into;
    int missing; /* leading dimensions that the array lacks: 0 or 1, of extent 1 */
    int64_t extent[NSH__MAX_NDIM], into_offset[NSH__MAX_NDIM]; /* of the array, with those
                                                                  dimensions added */
    int readers;                                               /* nodes that read */
    bool by_bytes; /* it is contiguous in the array, and is treated as a row of bytes */
    nsh__slab in_file, in_memory; /* the same bytes, in the file and in memory */
} fetch;

/* The array with as many dimensions as the dataset, or as a row of bytes. */
static nsh__destination destination_of(const fetch *f)
{
    nsh__destination destination = nsh__array_destination(f->into);

    if (f->by_bytes)
        return (nsh__destination){1, &f->into->nbytes, 1, destination.replica};
    destination.ndim += f->missing;
    destination.extent = f->extent;
    return destination;
}

/* The part that node `node` reads, in the array's terms. Contiguous memory is divided by bytes,
 * other memory along the first dimension that can be divided. */
static void part_of_node(const fetch *f, const nsh__destination *destination, int node,
                         int64_t *offset, int64_t *count)
{
    int64_t at = f->in_file.ndim == 0 ? f->found->dataset.offset + f->in_file.start : 0;
    int64_t begin, end;
    int d = 0;

    if (f->by_bytes) {
        nsh__part_of_file(at, f->in_memory.nbytes, f->readers, node, &begin, &end);
        offset[0] = f->in_memory.start + begin;
        count[0] = end - begin;
        return;
    }
    while (d + 1 < destination->ndim && f->count[d] == 1)
        d++;
    for (int k = 0; k < destination->ndim; k++) {
        offset[k] = f->into_offset[k];
        count[k] = f->count[k];
    }
    nsh__part_of(f->count[d], f->readers, node, &begin, &end);
    offset[d] += begin;
    count[d] = end - begin;
}

/* Read this node's part: a hyperslab again, or a range of bytes. */
static int read_part(const fetch *f, const nsh__destination *destination, const int64_t *offset,
                     const int64_t *count)
{
    const nsh__dataset *dataset = &f->found->dataset;
    const char *words = nsh__call_name(f->call);
    nsh__slab in_file = f->in_file, in_memory = f->in_memory;
    int64_t from = 0, n = count[0], place[NSH__MAX_NDIM];
    int fd, rc;

    if (f->file->comm->node_index >= f->readers)
        return NSH_SUCCESS;
    rc = nsh__file_fd(f->file, f->call, &f->found->place, &fd);
    if (rc != NSH_SUCCESS)
        return rc;
    if (f->by_bytes) {
        from = offset[0] - f->in_memory.start;
    } else {
        for (int d = 0; d < dataset->ndim; d++)
            place[d] = f->offset[d] + offset[d] - f->into_offset[d];
        nsh__slab_of(&in_file, dataset->ndim, dataset->extent, place, count, destination->itemsize);
        nsh__slab_of(&in_memory, destination->ndim, destination->extent, offset, count,
                     destination->itemsize);
        n = in_memory.nbytes;
    }
    if (n == 0)
        return NSH_SUCCESS;
    return nsh__disk_read(words, f->file->path, fd, dataset->offset, &in_file, destination->replica,
                          &in_memory, from, n);
}

/* Write the parts of all ranks to a table; only leaders have one. */
static void write_table(const fetch *f, const nsh__destination *destination, int64_t *table)
{
    const nsh_comm *comm = f->file->comm;
    int width = 2 * destination->ndim;

    for (int node = 0; node < comm->node_count; node++) {
        int64_t *row = table + (int64_t)comm->leader_of[node] * width;

        part_of_node(f, destination, node, row, row + destination->ndim);
    }
}

/* [collective] Send all parts to all nodes. A failure leaves the hyperslab indeterminate. */
static int exchange_slabs(const fetch *f, const nsh__destination *destination, const int64_t *table,
                          int64_t *work)
{
    nsh_comm *comm = f->file->comm;
    int rc = NSH_SUCCESS;

    if (nsh__comm_leads(comm))
        rc = nsh__ring_slabs(comm, destination, table, work);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_enter(f->file, f->call, rc, 5);
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(comm, rc);
}

static int fetch_bytes(const fetch *f)
{
    nsh_comm *comm = f->file->comm;
    const int64_t *mine;
    nsh__destination destination = destination_of(f);
    int64_t *table, rows = (int64_t)comm->size * 2;
    int rc = NSH_SUCCESS;

    table = nsh__fault(file_buffer)
                ? NULL
                : calloc(2 * (size_t)rows * (size_t)destination.ndim, sizeof *table);
    if (table == NULL) {
        rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for the parts of %d nodes",
                       nsh__call_name(f->call), comm->node_count);
    } else {
        write_table(f, &destination, table);
        mine = table + (int64_t)comm->rank * 2 * destination.ndim;
        if (nsh__comm_leads(comm))
            rc = read_part(f, &destination, mine, mine + destination.ndim);
    }
    rc = nsh__file_enter(f->file, f->call, rc, 4);
    if (rc == NSH_SUCCESS && comm->node_count > 1)
        rc = exchange_slabs(f, &destination, table, table + rows * destination.ndim);
    free(table);
    if (rc == NSH_SUCCESS)
        nsh__array_changed(f->into);
    return rc;
}

/* ---- read through HDF5 ---- */

/* [collective] Read one box with HDF5 on the I/O rank and set it in every replica. */
static int fetch_box(const fetch *f, const nsh__boxes *b, char **buffer, int64_t *capacity)
{
    int64_t from[NSH__MAX_NDIM], to[NSH__MAX_NDIM];
    int64_t bytes = nsh__boxes_bytes(b);
    nsh_piece piece = {NULL, to + f->missing, b->size + f->missing, NULL};
    int rc = NSH_SUCCESS;

    for (int d = 0; d < b->ndim; d++) {
        from[d] = f->offset[d] + b->at[d];
        to[d] = f->into_offset[d] + b->at[d];
    }
    if (nsh__file_is_io_rank(f->file)) {
        if (bytes > *capacity) {
            free(*buffer);
            *buffer = nsh__fault(file_buffer) ? NULL : malloc((size_t)bytes);
            *capacity = *buffer != NULL ? bytes : 0;
        }
        if (*buffer == NULL)
            rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %" PRId64 " bytes",
                           nsh__call_name(f->call), bytes);
        else
            rc =
                nsh__h5_read(nsh__call_name(f->call), f->file->h5, f->name, from, b->size, *buffer);
        piece.data = *buffer;
    }
    return nsh__array_set_for(f->into, f->call, &piece, 0, rc);
}

static int fetch_boxes(const fetch *f)
{
    char *buffer = NULL;
    int64_t capacity = 0;
    int rc = NSH_SUCCESS;
    nsh__boxes b;

    nsh__boxes_begin(&b, f->found->dataset.ndim, f->offset, f->count, f->into->type.itemsize,
                     f->found->dataset.chunk);
    for (; !b.done && rc == NSH_SUCCESS; nsh__boxes_next(&b))
        rc = fetch_box(f, &b, &buffer, &capacity);
    free(buffer);
    return rc;
}

int nsh__file_fetch(nsh_file *file, nsh__call call, const char *name, const nsh__found *found,
                    const int64_t offset[], const int64_t count[], nsh_array *into,
                    const int64_t into_offset[])
{
    static const int64_t zeros[NSH__MAX_NDIM];
    const nsh__dataset *dataset = &found->dataset;
    fetch f = {.file = file, .call = call, .name = name, .found = found, .into = into};

    f.offset = offset != NULL ? offset : zeros;
    f.count = count != NULL ? count : dataset->extent;
    f.readers = found->place.alone ? 1 : file->comm->node_count;
    f.missing = dataset->ndim - into->ndim;
    f.extent[0] = 1;
    for (int d = 0; d < into->ndim; d++) {
        f.extent[f.missing + d] = into->extent[d];
        f.into_offset[f.missing + d] = into_offset != NULL ? into_offset[d] : 0;
    }
    nsh__slab_of(&f.in_memory, dataset->ndim, f.extent, f.into_offset, f.count,
                 into->type.itemsize);
    if (f.in_memory.nbytes == 0)
        return NSH_SUCCESS;
    nsh__slab_of(&f.in_file, dataset->ndim, dataset->extent, f.offset, f.count,
                 into->type.itemsize);
    f.by_bytes = f.in_memory.ndim == 0;
    return dataset->offset >= 0 ? fetch_bytes(&f) : fetch_boxes(&f);
}

/* ---- read, load ---- */

/* [collective] Look the dataset up and agree; whole: its extents must be those of the array. */
static int find_for_read(nsh_file *file, nsh__call call, const char *name, const nsh_array *into,
                         bool whole, nsh__found *found)
{
    int rc = into != NULL ? nsh__file_check_array(file, call, into) : nsh__file_null(call, "array");
    uint64_t signature = nsh__file_name_signature(file, call, name, &rc);

    rc = nsh__file_enter(file, call, rc, nsh__mix(signature, into != NULL ? into->id : 0));
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_is_io_rank(file))
        rc = nsh__file_find(file, call, name, into, whole, found);
    return nsh__file_answer(file, call, rc, found, sizeof *found);
}

int nsh__file_match(nsh_file *file, nsh__call call, const char *name, const nsh_array *into)
{
    nsh__found found;

    return find_for_read(file, call, name, into, true, &found);
}

int nsh__file_read(nsh_file *file, nsh__call call, const char *name, nsh_array *into)
{
    nsh__found found;
    int rc = find_for_read(file, call, name, into, true, &found);

    return rc == NSH_SUCCESS ? nsh__file_fetch(file, call, name, &found, NULL, NULL, into, NULL)
                             : rc;
}

int nsh_file_read(nsh_file *file, const char *name, nsh_array *into)
{
    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_READ, "file");
    return nsh__file_read(file, NSH__CALL_FILE_READ, name, into);
}

/* Does the hyperslab lie in the dataset and in the array? All ranks pass the same arguments. */
static int check_read_slabs(const nsh_file *file, const nsh__dataset *dataset,
                            const int64_t offset[], const int64_t count[], const nsh_array *into,
                            const int64_t into_offset[])
{
    const char *words = "nsh_file_read_hyperslab";
    int missing = dataset->ndim - into->ndim, d;

    if (missing != 0 && (missing != 1 || (count != NULL ? count[0] : dataset->extent[0]) != 1))
        return nsh__fail(NSH_ERR_ARG,
                         "%s: a hyperslab of %d dimensions that is no frame, an array of %d", words,
                         dataset->ndim, into->ndim);
    if (count == NULL)
        count = dataset->extent;
    d = nsh__hyperslab_outside(dataset->ndim, dataset->extent, offset, count);
    if (d >= 0)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: offset %" PRId64 " and count %" PRId64 " exceed extent %" PRId64
                         " of the dataset in dimension %d (rank %d)",
                         words, offset != NULL ? offset[d] : 0, count[d], dataset->extent[d], d,
                         file->comm->rank);
    d = nsh__hyperslab_outside(into->ndim, into->extent, into_offset, count + missing);
    if (d >= 0)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: offset %" PRId64 " and count %" PRId64 " exceed extent %" PRId64
                         " of the array in dimension %d (rank %d)",
                         words, into_offset != NULL ? into_offset[d] : 0, count[missing + d],
                         into->extent[d], d, file->comm->rank);
    return NSH_SUCCESS;
}

static uint64_t numbers_signature(uint64_t signature, int n, const int64_t numbers[])
{
    signature = nsh__mix(signature, numbers != NULL);
    for (int d = 0; d < n && numbers != NULL; d++)
        signature = nsh__mix(signature, (uint64_t)numbers[d]);
    return signature;
}

int nsh_file_read_hyperslab(nsh_file *file, const char *name, const int64_t offset[],
                            const int64_t count[], nsh_array *into, const int64_t into_offset[])
{
    const nsh__call call = NSH__CALL_FILE_READ_HYPERSLAB;
    nsh__found found;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = find_for_read(file, call, name, into, false, &found);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = check_read_slabs(file, &found.dataset, offset, count, into, into_offset);
    signature = numbers_signature(numbers_signature(9, found.dataset.ndim, offset),
                                  found.dataset.ndim, count);
    rc = nsh__file_enter(file, call, rc, numbers_signature(signature, into->ndim, into_offset));
    if (rc != NSH_SUCCESS)
        return rc;
    return nsh__file_fetch(file, call, name, &found, offset, count, into, into_offset);
}

/* [collective] Create an array with the type and extent of the dataset. */
static int make_array(nsh_file *file, const nsh__found *found, nsh_array **made)
{
    const nsh__dataset *dataset = &found->dataset;
    MPI_Datatype type = MPI_BYTE;
    bool derived = false;
    int rc = nsh__element_to_mpi(&dataset->element, &type, &derived);

    rc = nsh__file_enter(file, NSH__CALL_FILE_LOAD, rc, 6);
    if (rc == NSH_SUCCESS)
        rc = nsh_array_create(file->comm, type, dataset->ndim, dataset->extent, NULL, made);
    if (derived)
        MPI_Type_free(&type);
    return rc;
}

int nsh_file_load(nsh_file *file, const char *name, nsh_array **out)
{
    const nsh__call call = NSH__CALL_FILE_LOAD;
    nsh_array *array = NULL;
    nsh__found found;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = out != NULL ? NSH_SUCCESS : nsh__file_null(call, "out");
    signature = nsh__file_name_signature(file, call, name, &rc);
    rc = nsh__file_enter(file, call, rc, signature);
    if (rc == NSH_SUCCESS && nsh__file_is_io_rank(file))
        rc = nsh__file_find(file, call, name, NULL, false, &found);
    else if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc == NSH_SUCCESS)
        rc = make_array(file, &found, &array);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_fetch(file, call, name, &found, NULL, NULL, array, NULL);
    if (rc != NSH_SUCCESS) {
        nsh_array_free(&array);
        return rc;
    }
    *out = array;
    return NSH_SUCCESS;
}
