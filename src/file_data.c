/* SPDX-License-Identifier: BSD-3-Clause */
/* file_data.c -- the bytes of arrays to and from files.
 *
 * Invariant: ranks write disjoint bytes of a file, and leaders read disjoint hyperslabs into their
 * replicas, which are then exchanged; or else the owner does it all. */
#include "file.h"

#include "agree.h"
#include "fault.h"
#include "hash.h"
#include "ring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUT = 1 << 20,     /* parts of a file begin at multiples of this */
    SEGMENT = 64 << 20 /* bytes that the owner has in private memory at once, at most */
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The part of n units that is the k-th of `parts`. */
static void share(int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    int64_t each = n / parts, more = n % parts;

    *begin = k * each + min64(k, more);
    *end = *begin + each + (k < more);
}

/* The same of n bytes, cut at multiples of CUT. */
static void share_bytes(int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    share((n + CUT - 1) / CUT, parts, k, begin, end);
    *begin = min64(*begin * CUT, n);
    *end = min64(*end * CUT, n);
}

/* ---- write ---- */

static int check_array(const nsh_file *file, nsh__call call, const nsh_array *array)
{
    int rc = nsh__array_usable(array, call);

    if (rc == NSH_SUCCESS && array->comm != file->comm)
        rc = nsh__fail(NSH_ERR_ARG, "%s: array and file are on different communicators",
                       nsh__call_name(call));
    return rc;
}

/* By the owner: the dataset, with room for its bytes. */
static int make_dataset(nsh_file *file, nsh__call call, const char *name, const nsh_array *array,
                        nsh__found *out)
{
    const char *words = nsh__call_name(call);
    nsh__form form;
    int rc = nsh__form_of_type(&array->type, &form);

    if (rc == NSH_SUCCESS)
        rc = nsh__file_writable(file, call);
    if (rc == NSH_SUCCESS)
        rc = nsh__h5_make(words, file->h5, name, &form, array->ndim, array->extent, false);
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

/* This node's part of the array's bytes. */
static int write_part(nsh_file *file, nsh__call call, const nsh__found *found,
                      const nsh_array *array)
{
    const nsh_comm *comm = file->comm;
    int64_t begin, end;
    nsh__slab all;
    int rc;

    if (!nsh__comm_leads(comm) || comm->node_index >= file->writers)
        return NSH_SUCCESS;
    share_bytes(array->nbytes, file->writers, comm->node_index, &begin, &end);
    if (begin == end)
        return NSH_SUCCESS;
    rc = nsh__file_fd(file, call, &found->place);
    if (rc != NSH_SUCCESS)
        return rc;
    file->fd_dirty = true;
    nsh__slab_packed(&all, array->nbytes);
    return nsh__disk_write(nsh__call_name(call), file->path, file->fd, found->dataset.offset, &all,
                           array->replica.ro, &all, begin, end - begin);
}

int nsh__file_write(nsh_file *file, nsh__call call, const char *name, const nsh_array *array)
{
    nsh__found found;
    int rc = array != NULL ? check_array(file, call, array) : nsh__file_null(call, "array");
    uint64_t mark = nsh__file_name_mark(file, call, name, &rc);

    rc = nsh__file_enter(file, call, rc, nsh__mix(mark, array != NULL ? array->id : 0));
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_owns(file)) {
        rc = make_dataset(file, call, name, array, &found);
        nsh__file_changed(file, rc);
    }
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc != NSH_SUCCESS || array->nbytes == 0)
        return rc;
    rc = write_part(file, call, &found, array);
    rc = nsh__file_enter(file, call, rc, 1);
    if (rc != NSH_SUCCESS && nsh__file_owns(file)) {
        nsh__h5_remove(file->h5, name);
        file->failed = true;
    }
    return rc;
}

int nsh_file_write(nsh_file *file, const char *name, const nsh_array *array)
{
    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_WRITE, "file");
    return nsh__file_write(file, NSH__CALL_FILE_WRITE, name, array);
}

/* ---- read around HDF5 ---- */

/* A hyperslab on its way from a dataset to an array. */
typedef struct fetch {
    nsh_file *file;
    nsh__call call;
    const char *name;
    const nsh__found *found;
    const int64_t *offset, *count; /* in the dataset */
    nsh_array *into;
    const int64_t *into_offset;
    nsh__slab in_file, in_memory; /* the same bytes, there and there */
} fetch;

/* As the nodes share it among them, in the terms of the array: what node `node` reads. Contiguous
 * memory is shared by bytes, other by the first dimension that can be divided. */
static void part_of_node(const fetch *f, const nsh__target *target, int node, int64_t *offset,
                         int64_t *count)
{
    int nodes = f->file->comm->node_count, d = 0;
    int64_t begin, end;

    if (target->itemsize == 1 && target->ndim == 1) {
        share_bytes(f->in_memory.nbytes, nodes, node, &begin, &end);
        offset[0] = f->in_memory.start + begin;
        count[0] = end - begin;
        return;
    }
    while (d + 1 < target->ndim && f->count[d] == 1)
        d++;
    for (int k = 0; k < target->ndim; k++) {
        offset[k] = f->into_offset[k];
        count[k] = f->count[k];
    }
    share(f->count[d], nodes, node, &begin, &end);
    offset[d] += begin;
    count[d] = end - begin;
}

/* Read this node's part: a hyperslab again, or a range of bytes. */
static int read_part(const fetch *f, const nsh__target *target, const int64_t *offset,
                     const int64_t *count)
{
    const nsh__dataset *dataset = &f->found->dataset;
    const char *words = nsh__call_name(f->call);
    nsh__slab in_file = f->in_file, in_memory = f->in_memory;
    int64_t from = 0, n = count[0], place[NSH__MAX_NDIM];
    int rc = nsh__file_fd(f->file, f->call, &f->found->place);

    if (rc != NSH_SUCCESS)
        return rc;
    if (target->itemsize == 1 && target->ndim == 1) {
        from = offset[0] - f->in_memory.start;
    } else {
        for (int d = 0; d < dataset->ndim; d++)
            place[d] = f->offset[d] + offset[d] - f->into_offset[d];
        nsh__slab_of(&in_file, dataset->ndim, dataset->extent, place, count, target->itemsize);
        nsh__slab_of(&in_memory, target->ndim, target->extent, offset, count, target->itemsize);
        n = in_memory.nbytes;
    }
    if (n == 0)
        return NSH_SUCCESS;
    return nsh__disk_read(words, f->file->path, f->file->fd, dataset->offset, &in_file,
                          target->replica, &in_memory, from, n);
}

/* Everybody's part, by rank: only leaders have one. */
static void write_table(const fetch *f, const nsh__target *target, int64_t *table)
{
    const nsh_comm *comm = f->file->comm;
    int width = 2 * target->ndim;

    for (int node = 0; node < comm->node_count; node++) {
        int64_t *row = table + (int64_t)comm->leader_of[node] * width;

        part_of_node(f, target, node, row, row + target->ndim);
    }
}

/* After the exchange has begun there is no way back to what was. */
static int exchange(const fetch *f, const nsh__target *target, const int64_t *table, int64_t *work)
{
    nsh_comm *comm = f->file->comm;
    int rc = NSH_SUCCESS;

    if (nsh__comm_leads(comm))
        rc = nsh__ring_slabs(comm, target, table, work);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_enter(f->file, f->call, rc, 5);
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(comm, rc);
}

static int fetch_bytes(const fetch *f)
{
    nsh_comm *comm = f->file->comm;
    bool contiguous = f->in_memory.ndim == 0;
    const int64_t *mine;
    nsh__target target = nsh__array_target(f->into);
    int64_t *table, rows = (int64_t)comm->size * 2;
    int rc = NSH_SUCCESS;

    if (contiguous)
        target = (nsh__target){1, &f->into->nbytes, 1, f->into->replica.rw};
    table = nsh__fault(file_buffer) ? NULL
                                    : calloc(2 * (size_t)rows * (size_t)target.ndim, sizeof *table);
    if (table == NULL) {
        rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for the parts of %d nodes",
                       nsh__call_name(f->call), comm->node_count);
    } else {
        write_table(f, &target, table);
        mine = table + (int64_t)comm->rank * 2 * target.ndim;
        if (nsh__comm_leads(comm))
            rc = read_part(f, &target, mine, mine + target.ndim);
    }
    rc = nsh__file_enter(f->file, f->call, rc, 4);
    if (rc == NSH_SUCCESS && comm->node_count > 1)
        rc = exchange(f, &target, table, table + rows * target.ndim);
    free(table);
    if (rc == NSH_SUCCESS)
        f->into->version++;
    return rc;
}

/* ---- read through HDF5 ---- */

/* Boxes of at most SEGMENT bytes (or one element) that make up a hyperslab, in order. */
typedef struct boxes {
    int ndim, cut; /* the dimension that is divided: those before it go one by one */
    int64_t step;  /* along it */
    const int64_t *count;
    int64_t at[NSH__MAX_NDIM]; /* the box: where it is within the hyperslab */
    int64_t size[NSH__MAX_NDIM];
    bool done;
} boxes;

static void size_box(boxes *b)
{
    for (int d = 0; d < b->ndim; d++)
        b->size[d] = d < b->cut ? 1 : b->count[d];
    if (b->ndim > 0)
        b->size[b->cut] = min64(b->step, b->count[b->cut] - b->at[b->cut]);
}

/* Steps along the cut are whole chunks where that is possible, so that none is read twice. */
static void first_box(boxes *b, int ndim, const int64_t count[], int64_t item,
                      const int64_t chunk[])
{
    int64_t inner = item;

    *b = (boxes){.ndim = ndim, .cut = ndim - 1, .count = count};
    while (b->cut > 0 && inner <= SEGMENT / count[b->cut])
        inner *= count[b->cut--];
    if (ndim > 0) {
        b->step = inner < SEGMENT ? SEGMENT / inner : 1;
        if (chunk[b->cut] > 0 && b->step > chunk[b->cut])
            b->step -= b->step % chunk[b->cut];
    }
    size_box(b);
}

static void next_box(boxes *b)
{
    int d = b->cut;

    if (b->ndim == 0) {
        b->done = true;
        return;
    }
    b->at[d] += b->size[d];
    while (d > 0 && b->at[d] >= b->count[d]) {
        b->at[d--] = 0;
        b->at[d]++;
    }
    b->done = b->at[0] >= b->count[0];
    size_box(b);
}

static int64_t box_elements(const boxes *b)
{
    int64_t n = 1;

    for (int d = 0; d < b->ndim; d++)
        n *= b->size[d];
    return n;
}

/* One box: from the owner's HDF5 through its memory into every replica. */
static int fetch_box(const fetch *f, const boxes *b, char **buffer, int64_t *room)
{
    int64_t from[NSH__MAX_NDIM], to[NSH__MAX_NDIM];
    int64_t bytes = box_elements(b) * f->into->type.itemsize;
    nsh_piece piece = {NULL, to, b->size, NULL};
    int rc = NSH_SUCCESS;

    for (int d = 0; d < b->ndim; d++) {
        from[d] = f->offset[d] + b->at[d];
        to[d] = f->into_offset[d] + b->at[d];
    }
    if (nsh__file_owns(f->file)) {
        if (bytes > *room) {
            free(*buffer);
            *buffer = nsh__fault(file_buffer) ? NULL : malloc((size_t)bytes);
            *room = *buffer != NULL ? bytes : 0;
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
    int64_t room = 0;
    int rc = NSH_SUCCESS;
    boxes b;

    first_box(&b, f->into->ndim, f->count, f->into->type.itemsize, f->found->dataset.chunk);
    for (; !b.done && rc == NSH_SUCCESS; next_box(&b))
        rc = fetch_box(f, &b, &buffer, &room);
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
    f.into_offset = into_offset != NULL ? into_offset : zeros;
    nsh__slab_of(&f.in_memory, into->ndim, into->extent, f.into_offset, f.count,
                 into->type.itemsize);
    if (f.in_memory.nbytes == 0)
        return NSH_SUCCESS;
    nsh__slab_of(&f.in_file, dataset->ndim, dataset->extent, f.offset, f.count,
                 into->type.itemsize);
    return dataset->offset >= 0 ? fetch_bytes(&f) : fetch_boxes(&f);
}

/* ---- read, load ---- */

/* The steps before bytes move. */
static int find(nsh_file *file, nsh__call call, const char *name, const nsh_array *into,
                nsh__found *found)
{
    int rc = into != NULL ? check_array(file, call, into) : nsh__file_null(call, "array");
    uint64_t mark = nsh__file_name_mark(file, call, name, &rc);

    rc = nsh__file_enter(file, call, rc, nsh__mix(mark, into != NULL ? into->id : 0));
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_owns(file))
        rc = nsh__file_find(file, call, name, into, true, found);
    return nsh__file_answer(file, call, rc, found, sizeof *found);
}

int nsh__file_match(nsh_file *file, nsh__call call, const char *name, const nsh_array *into)
{
    nsh__found found;

    return find(file, call, name, into, &found);
}

int nsh__file_read(nsh_file *file, nsh__call call, const char *name, nsh_array *into)
{
    nsh__found found;
    int rc = find(file, call, name, into, &found);

    return rc == NSH_SUCCESS ? nsh__file_fetch(file, call, name, &found, NULL, NULL, into, NULL)
                             : rc;
}

int nsh_file_read(nsh_file *file, const char *name, nsh_array *into)
{
    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_READ, "file");
    return nsh__file_read(file, NSH__CALL_FILE_READ, name, into);
}

/* An array for what was found. */
static int make_array(nsh_file *file, const nsh__found *found, nsh_array **made)
{
    const nsh__dataset *dataset = &found->dataset;
    MPI_Datatype type = MPI_BYTE;
    bool derived = false;
    int rc = nsh__form_to_mpi(&dataset->form, &type, &derived);

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
    uint64_t mark;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = out != NULL ? NSH_SUCCESS : nsh__file_null(call, "out");
    mark = nsh__file_name_mark(file, call, name, &rc);
    rc = nsh__file_enter(file, call, rc, mark);
    if (rc == NSH_SUCCESS && nsh__file_owns(file))
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
