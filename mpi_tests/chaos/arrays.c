/* SPDX-License-Identifier: BSD-3-Clause */
/* arrays.c -- operations on arrays, each computed a second time by every rank for itself.
 *
 * All data is a function of the operation, the rank and the position, so every rank knows what any
 * root sends. */
#include "chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 6 << 20 /* of one communicator's arrays */, MOST_PIECES = 20 };

/* A hyperslab and where its elements are in a buffer: element i, j, ... at base + i * stride[0] +
 * j * stride[1] + ... of span elements. */
typedef struct region {
    int64_t offset[MOST_NDIM], count[MOST_NDIM], stride[MOST_NDIM];
    int64_t size, base, span;
} region;

/* ---- the oracle ---- */

static void store(char *to, int64_t item, uint64_t value)
{
    memcpy(to, &value, (size_t)item); /* the low bytes: little endian, or whatever, but alike */
}

/* Calls back with the position of each element in the array and in the buffer. */
typedef void (*visitor)(void *arg, int64_t in_array, int64_t in_buffer);

static void visit(const shadow *s, const region *r, visitor call, void *arg)
{
    int64_t index[MOST_NDIM] = {0};

    for (int64_t k = 0; k < r->size; k++) {
        int64_t at = 0, buffer = r->base;

        for (int d = 0; d < s->ndim; d++) {
            at = at * s->extent[d] + r->offset[d] + index[d];
            buffer += index[d] * r->stride[d];
        }
        call(arg, at, buffer);
        for (int d = s->ndim - 1; d >= 0 && ++index[d] == r->count[d]; d--)
            index[d] = 0;
    }
}

typedef struct writer {
    char *copy;
    int64_t item;
    uint64_t seed;
} writer;

static void write_value(void *arg, int64_t in_array, int64_t in_buffer)
{
    writer *w = arg;

    store(w->copy + in_array * w->item, w->item, value_of(w->seed, in_buffer));
}

/* What the operation does to the array, done to the copy. */
static void apply(shadow *s, const region *r, uint64_t seed)
{
    writer w = {s->copy, s->item, seed};

    visit(s, r, write_value, &w);
}

static char *buffer_of(const shadow *s, const region *r, uint64_t seed)
{
    char *data = malloc((size_t)(r->span * s->item) + 1);

    for (int64_t i = 0; i < r->span; i++)
        store(data + i * s->item, s->item, value_of(seed, i));
    return data;
}

void check_array(context *c, const shadow *s, const char *after)
{
    const char *seen = nsh_array_data(s->array);
    int64_t nbytes = s->size * s->item, i = 0;

    (void)c;
    if (nsh_array_version(s->array) != s->version)
        finding("after %s: version %lld, not %lld", after, (long long)nsh_array_version(s->array),
                (long long)s->version);
    if (nbytes == 0 || memcmp(seen, s->copy, (size_t)nbytes) == 0)
        return;
    while (seen[i] == s->copy[i])
        i++;
    finding("after %s: byte %lld of %lld is %#x, not %#x", after, (long long)i, (long long)nbytes,
            (unsigned char)seen[i], (unsigned char)s->copy[i]);
}

/* ---- shapes ---- */

static void pack(const shadow *s, region *r)
{
    r->size = 1;
    for (int d = s->ndim - 1; d >= 0; d--) {
        r->stride[d] = r->size;
        r->size *= r->count[d];
    }
    r->base = 0;
    r->span = r->size;
}

static region random_region(context *c, const shadow *s)
{
    region r;

    memset(&r, 0, sizeof r);
    for (int d = 0; d < s->ndim; d++) {
        r.offset[d] = chaos_below(&c->same, s->extent[d]);
        r.count[d] = 1 + chaos_below(&c->same, s->extent[d] - r.offset[d]);
        if (chaos_below(&c->same, 3) == 0) {
            r.offset[d] = 0;
            r.count[d] = s->extent[d];
        }
        if (chaos_below(&c->same, 40) == 0)
            r.count[d] = 0;
    }
    pack(s, &r);
    return r;
}

/* The same hyperslab of data that lies in another order of dimensions, with gaps, backwards, or
 * one element for many. */
static void spread(context *c, const shadow *s, region *r)
{
    int first = (int)chaos_below(&c->same, s->ndim), step = 1 + (int)chaos_below(&c->same, 2);
    int64_t length = 1 + chaos_below(&c->same, 3);

    r->base = 0;
    r->span = 1;
    if (r->size == 0)
        return;
    for (int k = 0; k < s->ndim; k++) {
        int d = (first + k * (s->ndim == 2 ? 1 : step)) % s->ndim;
        int64_t reach = length * (r->count[d] - 1);

        r->stride[d] = length;
        length *= r->count[d];
        if (chaos_below(&c->same, 8) == 0) {
            r->stride[d] = 0;
            continue;
        }
        r->span += reach;
        if (chaos_below(&c->same, 4) == 0) {
            r->stride[d] = -r->stride[d];
            r->base += reach;
        }
    }
}

/* ---- create and free ---- */

static int64_t bytes_of_all(const context *c)
{
    int64_t sum = 0;

    for (int i = 0; i < MOST_ARRAYS; i++)
        if (c->arrays[i].array != NULL)
            sum += c->arrays[i].size * c->arrays[i].item;
    return sum;
}

shadow *new_array(context *c, MPI_Datatype type, int ndim, const int64_t extent[])
{
    nsh_array_options options = NSH_ARRAY_OPTIONS_INIT;
    nsh_array *found = NULL;
    char name[64];
    shadow *s = NULL;
    int item;

    for (int i = 0; i < MOST_ARRAYS && s == NULL; i++)
        if (c->arrays[i].array == NULL)
            s = &c->arrays[i];
    if (s == NULL)
        return NULL;
    memset(s, 0, sizeof *s);
    MPI_Type_size(type, &item);
    s->type = type;
    s->item = item;
    s->ndim = ndim;
    s->size = 1;
    for (int d = 0; d < ndim; d++)
        s->size *= s->extent[d] = extent[d];
    snprintf(name, sizeof name, "array %lld", (long long)c->op);
    if (chaos_below(&c->same, 2) == 0)
        options.name = name;
    CREATE(c->mpi, nsh_array_create(c->comm, type, ndim, extent, &options, &s->array));
    s->copy = calloc(1, (size_t)(s->size * s->item) + 1);
    if (options.name != NULL) {
        CALL(nsh_array_find(c->comm, name, &found));
        if (found != s->array)
            finding("nsh_array_find gives another array");
    }
    check_array(c, s, "create");
    return s;
}

static void create_array(context *c)
{
    const MPI_Datatype types[] = {MPI_INT64_T, MPI_INT64_T, MPI_DOUBLE, MPI_INT32_T, MPI_BYTE};
    int64_t kind = chaos_below(&c->same, 20), extent[MOST_NDIM], size = 1;
    int64_t limit = kind < 10 ? 64 : kind < 17 ? 20000 : 200000;
    int ndim = (int)chaos_below(&c->same, MOST_NDIM + 1);
    MPI_Datatype type = types[chaos_below(&c->same, 5)];

    if (bytes_of_all(c) + limit * 8 > MOST_BYTES)
        return;
    for (int d = 0; d < ndim; d++) {
        int64_t most = limit / size;

        extent[d] = 1 + chaos_below(&c->same, most > 4 && d + 1 < ndim ? most / 4 : most);
        size *= extent[d];
    }
    if (ndim > 0 && chaos_below(&c->same, 25) == 0)
        extent[0] = 0;
    new_array(c, type, ndim, extent);
}

/* What is held stays as it was, though the array is gone for this rank. */
static void hold(context *c, shadow *s)
{
    held *h = &c->held[chaos_below(&c->own, MOST_HELD)];

    if (h->hold != NULL || s->size == 0 || s->size * s->item > 100000 ||
        nsh_array_comm(s->array) == NULL) /* a shell */
        return;
    h->nbytes = s->size * s->item;
    h->data = nsh_array_data(s->array);
    h->copy = malloc((size_t)h->nbytes);
    memcpy(h->copy, s->copy, (size_t)h->nbytes);
    CALL(nsh_array_hold(s->array, &h->hold));
}

void hold_some(context *c)
{
    for (int i = 0; i < MOST_ARRAYS; i++)
        if (c->arrays[i].array != NULL && chaos_below(&c->own, 4) == 0)
            hold(c, &c->arrays[i]);
}

void check_held(context *c, bool release)
{
    for (int i = 0; i < MOST_HELD; i++) {
        held *h = &c->held[i];

        if (h->hold == NULL)
            continue;
        if (memcmp(h->data, h->copy, (size_t)h->nbytes) != 0)
            finding("a replica that is held has other contents");
        if (!release && chaos_below(&c->own, 10) != 0)
            continue;
        CALL(nsh_hold_release(&h->hold));
        free(h->copy);
    }
}

void drop_array(context *c, shadow *s)
{
    if (chaos_below(&c->own, 4) == 0)
        hold(c, s);
    free(s->copy);
    bury(c, (dead){.kind = DEAD_ARRAY, .handle.array = s->array});
    s->array = NULL;
}

void drop_arrays(context *c)
{
    int first = (int)chaos_below(&c->own, MOST_ARRAYS);

    for (int k = 0; k < MOST_ARRAYS; k++)
        if (c->arrays[(first + k) % MOST_ARRAYS].array != NULL)
            drop_array(c, &c->arrays[(first + k) % MOST_ARRAYS]);
}

shadow *any_array(context *c)
{
    int first = (int)chaos_below(&c->same, MOST_ARRAYS);

    for (int k = 0; k < MOST_ARRAYS; k++)
        if (c->arrays[(first + k) % MOST_ARRAYS].array != NULL &&
            c->arrays[(first + k) % MOST_ARRAYS].size > 0)
            return &c->arrays[(first + k) % MOST_ARRAYS];
    return NULL;
}

/* ---- one rank has the data ---- */

static void set(context *c, shadow *s)
{
    region r = random_region(c, s);
    int root = (int)chaos_below(&c->same, c->size);
    bool any = chaos_below(&c->same, 6) == 0, mine = c->rank == root;
    uint64_t seed = operation_seed(c, root);
    char *data = mine ? buffer_of(s, &r, seed) : NULL;

    CALL(nsh_array_set(s->array, data, mine ? r.offset : NULL, mine ? r.count : NULL,
                       any ? NSH_ROOT_ANY : root));
    apply(s, &r, seed);
    s->version++;
    free(data);
    check_array(c, s, "nsh_array_set");
}

static void set_strided(context *c, shadow *s)
{
    region r = random_region(c, s);
    int root = (int)chaos_below(&c->same, c->size);
    bool any = chaos_below(&c->same, 6) == 0, mine = c->rank == root;
    uint64_t seed = operation_seed(c, root);
    char *data;

    spread(c, s, &r);
    data = mine ? buffer_of(s, &r, seed) : NULL;
    CALL(nsh_array_set_strided(s->array, mine ? data + r.base * s->item : NULL, r.stride, r.offset,
                               r.count, any ? NSH_ROOT_ANY : root));
    apply(s, &r, seed);
    s->version++;
    free(data);
    check_array(c, s, "nsh_array_set_strided");
}

static void set_many(context *c, shadow *s)
{
    region r[MOST_PIECES];
    nsh_piece pieces[MOST_PIECES];
    char *data[MOST_PIECES] = {NULL};
    int root = (int)chaos_below(&c->same, c->size), n = (int)chaos_below(&c->same, MOST_PIECES + 1);
    bool any = chaos_below(&c->same, 6) == 0, mine = c->rank == root;
    uint64_t seed = operation_seed(c, root);

    for (int i = 0; i < n; i++) {
        r[i] = random_region(c, s);
        if (chaos_below(&c->same, 3) == 0)
            spread(c, s, &r[i]);
        if (mine)
            data[i] = buffer_of(s, &r[i], seed + (uint64_t)i);
        if (mine)
            pieces[i] =
                (nsh_piece){data[i] + r[i].base * s->item, r[i].offset, r[i].count, r[i].stride};
        apply(s, &r[i], seed + (uint64_t)i);
    }
    CALL(nsh_array_set_many(s->array, n, mine ? pieces : NULL, any ? NSH_ROOT_ANY : root));
    s->version++;
    for (int i = 0; i < n; i++)
        free(data[i]);
    check_array(c, s, "nsh_array_set_many");
}

typedef struct view_writer {
    char *first; /* of the hyperslab, in the array's own layout */
    int64_t item, origin;
    uint64_t seed;
} view_writer;

static void write_view(void *arg, int64_t in_array, int64_t in_buffer)
{
    view_writer *w = arg;

    store(w->first + (in_array - w->origin) * w->item, w->item, value_of(w->seed, in_buffer));
}

static void update(context *c, shadow *s)
{
    region r = random_region(c, s);
    int root = (int)chaos_below(&c->same, c->size);
    uint64_t seed = operation_seed(c, root);
    view_writer w = {NULL, s->item, 0, seed};
    void *view = NULL;
    shadow *other;

    CALL(nsh_array_update_begin(s->array, r.offset, r.count, root, &view));
    for (int d = 0; d < s->ndim; d++)
        w.origin = w.origin * s->extent[d] + r.offset[d];
    w.first = view;
    if (c->rank == root)
        visit(s, &r, write_view, &w);
    else if (view != NULL)
        finding("nsh_array_update_begin: a view on rank %d, root is %d", c->rank, root);
    c->op++; /* a new seed for what happens meanwhile */
    other = any_array(c);
    between_calls(c);
    if (chaos_below(&c->same, 3) == 0)
        checked_barrier(c);
    else if (other != NULL && other != s)
        set(c, other);
    CALL(nsh_array_update_end(s->array));
    apply(s, &r, seed);
    s->version++;
    check_array(c, s, "nsh_array_update_end");
}

/* ---- a rank that has no data ---- */

static void must_fail(const char *text, int rc)
{
    if (rc != NSH_ERR_IO || strstr(nsh_error_detail(), "no data") == NULL)
        finding("%s -> %s | %s, not the code of the rank without data", text, nsh_strerror(rc),
                nsh_error_detail());
}

static void set_fail(context *c, shadow *s)
{
    int root = (int)chaos_below(&c->same, c->size), how = (int)chaos_below(&c->same, 3), rc;
    bool any = chaos_below(&c->same, 3) == 0;

    if (c->rank == root)
        rc = CODE(nsh_array_set_fail(s->array, any ? NSH_ROOT_ANY : root, NSH_ERR_IO, "no data"));
    else if (how == 0)
        rc = CODE(nsh_array_set(s->array, NULL, NULL, NULL, any ? NSH_ROOT_ANY : root));
    else if (how == 1)
        rc = CODE(
            nsh_array_set_strided(s->array, NULL, NULL, NULL, NULL, any ? NSH_ROOT_ANY : root));
    else
        rc = CODE(nsh_array_set_many(s->array, 3, NULL, any ? NSH_ROOT_ANY : root));
    must_fail("nsh_array_set_fail", rc);
    check_array(c, s, "nsh_array_set_fail");
}

static void write_zero(void *arg, int64_t in_array, int64_t in_buffer)
{
    writer *w = arg;

    (void)in_buffer;
    memset(w->copy + in_array * w->item, 0, (size_t)w->item);
}

static void update_fail(context *c, shadow *s)
{
    region r = random_region(c, s);
    writer w = {s->copy, s->item, 0};
    int root = (int)chaos_below(&c->same, c->size), rc;
    void *view = NULL;

    CALL(nsh_array_update_begin(s->array, r.offset, r.count, root, &view));
    if (view != NULL && r.size > 0)
        memset(view, 0x77, (size_t)s->item);
    between_calls(c);
    if (c->rank == root)
        rc = CODE(nsh_array_update_fail(s->array, NSH_ERR_IO, "no data"));
    else
        rc = CODE(nsh_array_update_end(s->array));
    must_fail("nsh_array_update_fail", rc);
    visit(s, &r, write_zero, &w);
    s->version++;
    check_array(c, s, "nsh_array_update_fail");
}

/* Repeated where there was no room, as NOMEM is more than IO. */
static void gather_fail(context *c, shadow *s)
{
    bool reduce = s->type == MPI_INT64_T && chaos_below(&c->same, 2) == 0, again = false;
    int who = (int)chaos_below(&c->same, c->size), rc;
    char *data = calloc(1, (size_t)(s->size * s->item));
    unsigned fills = 0;

    do {
        if (c->rank == who)
            rc = reduce ? CODE(nsh_array_allreduce_fail(s->array, MPI_SUM, NSH_ERR_IO, "no data"))
                        : CODE(nsh_array_allgather_fail(s->array, NSH_ERR_IO, "no data"));
        else if (reduce)
            rc = CODE(nsh_array_allreduce(s->array, data, MPI_SUM));
        else
            rc = CODE(nsh_array_allgather(s->array, data, NULL, NULL));
    } while (rc == NSH_ERR_NOMEM && repeat_create(c->mpi, "gather_fail", rc, &fills, &again));
    free(data);
    must_fail(reduce ? "nsh_array_allreduce_fail" : "nsh_array_allgather_fail", rc);
    check_array(c, s, "a failed allgather or allreduce");
}

/* ---- every rank has data ---- */

/* Rows are dealt in an order of ranks of this operation; some ranks have none. */
static region rows_of(const shadow *s, const context *c, int part, int holes)
{
    int64_t begin, end;
    region r;

    memset(&r, 0, sizeof r);
    nsh_split(s->extent[0], c->size, part, &begin, &end);
    if (holes > 0 && part % (holes + 1) == 0)
        end = begin;
    for (int d = 1; d < s->ndim; d++)
        r.count[d] = s->extent[d];
    r.offset[0] = begin;
    r.count[0] = end - begin;
    pack(s, &r);
    return r;
}

static void allgather(context *c, shadow *s)
{
    int shift = (int)chaos_below(&c->same, c->size), holes = (int)chaos_below(&c->same, 3);
    region mine;
    char *data;

    if (s->ndim == 0) /* there is no zero count to leave it out */
        return;
    for (int rank = 0; rank < c->size; rank++) {
        region r = rows_of(s, c, (rank + shift) % c->size, holes);

        apply(s, &r, operation_seed(c, rank));
    }
    mine = rows_of(s, c, (c->rank + shift) % c->size, holes);
    data = buffer_of(s, &mine, operation_seed(c, c->rank));
    CREATE(c->mpi, nsh_array_allgather(s->array, data, mine.offset, mine.count));
    free(data);
    s->version++;
    check_array(c, s, "nsh_array_allgather");
}

/* (a, b) after (c, d): x -> a (c x + d) + b, of halves of 64 bits: not commutative. */
static uint64_t compose(uint64_t f, uint64_t g)
{
    uint32_t a = (uint32_t)(f >> 32), b = (uint32_t)f, c = (uint32_t)(g >> 32), d = (uint32_t)g;

    return (uint64_t)(a * c) << 32 | (uint32_t)(a * d + b);
}

static void compose_op(void *in, void *inout, int *n, MPI_Datatype *type)
{
    const uint64_t *f = in;
    uint64_t *g = inout;

    (void)type;
    for (int i = 0; i < *n; i++)
        g[i] = compose(f[i], g[i]);
}

/* What rank brings: not so large that a sum overflows. */
static int64_t contribution(const context *c, int rank, int64_t i, int op)
{
    uint64_t value = value_of(operation_seed(c, rank), i);

    return op == 3 ? (int64_t)value : (int64_t)(value % 1000000);
}

static int64_t reduce_all(const context *c, int64_t i, int op)
{
    int64_t result = contribution(c, 0, i, op), next;

    for (int rank = 1; rank < c->size; rank++) {
        next = contribution(c, rank, i, op);
        result = op == 0   ? result + next
                 : op == 1 ? (result > next ? result : next)
                 : op == 2 ? result ^ next
                           : (int64_t)compose((uint64_t)result, (uint64_t)next);
    }
    return result;
}

static void allreduce(context *c, shadow *s)
{
    int op = (int)chaos_below(&c->same, 4);
    MPI_Op ops[4] = {MPI_SUM, MPI_MAX, MPI_BXOR, MPI_OP_NULL};
    int64_t *data;

    if (s->type != MPI_INT64_T)
        return;
    data = malloc((size_t)s->size * 8);
    if (op == 3)
        MPI_Op_create(compose_op, 0, &ops[3]);
    for (int64_t i = 0; i < s->size; i++)
        data[i] = contribution(c, c->rank, i, op);
    CREATE(c->mpi, nsh_array_allreduce(s->array, data, ops[op]));
    for (int64_t i = 0; i < s->size; i++)
        data[i] = reduce_all(c, i, op);
    memcpy(s->copy, data, (size_t)s->size * 8);
    s->version++;
    free(data);
    if (op == 3)
        MPI_Op_free(&ops[3]);
    check_array(c, s, "nsh_array_allreduce");
}

static void fill(context *c, shadow *s)
{
    uint64_t value = operation_seed(c, 0);

    CALL(nsh_array_fill(s->array, &value));
    for (int64_t i = 0; i < s->size; i++)
        store(s->copy + i * s->item, s->item, value);
    s->version++;
    check_array(c, s, "nsh_array_fill");
}

/* ---- look ---- */

/* The same contents on a communicator of this process alone have the same checksum. */
static void checksum(context *c, shadow *s)
{
    nsh_comm *serial = NULL;
    nsh_array *twin = NULL;
    uint64_t seen = 0, expected = 1;

    (void)c;

    CALL(nsh_array_checksum(s->array, &seen));
    if (s->size * s->item > 100000 || atomic_load(&chaos->full) != 0)
        return;
    FIRST(nsh_comm_create_serial(&serial));
    FIRST(nsh_array_create(serial, s->type, s->ndim, s->extent, NULL, &twin));
    CALL(nsh_array_set(twin, s->copy, NULL, NULL, 0));
    CALL(nsh_array_checksum(twin, &expected));
    CALL(nsh_array_free(&twin));
    CALL(nsh_comm_free(&serial));
    if (seen != expected)
        finding("checksum %llx, not %llx", (unsigned long long)seen, (unsigned long long)expected);
}

static void get(context *c, shadow *s)
{
    region r = random_region(c, s);
    shadow from_get = *s;
    char *out = malloc((size_t)(r.size * s->item) + 1);

    CALL(nsh_array_get(s->array, r.offset, r.count, out));
    /* The packed hyperslab put back into a copy changes nothing. */
    from_get.copy = malloc((size_t)(s->size * s->item) + 1);
    memcpy(from_get.copy, s->copy, (size_t)(s->size * s->item));
    for (int64_t k = 0, index[MOST_NDIM] = {0}; k < r.size; k++) {
        int64_t at = 0;

        for (int d = 0; d < s->ndim; d++)
            at = at * s->extent[d] + r.offset[d] + index[d];
        memcpy(from_get.copy + at * s->item, out + k * s->item, (size_t)s->item);
        for (int d = s->ndim - 1; d >= 0 && ++index[d] == r.count[d]; d--)
            index[d] = 0;
    }
    check_array(c, &from_get, "nsh_array_get");
    free(from_get.copy);
    free(out);
}

static void like(context *c, shadow *s)
{
    nsh_array *twin = NULL;

    if (bytes_of_all(c) + s->size * s->item > MOST_BYTES)
        return;
    CREATE(c->mpi, nsh_array_like(s->array, NULL, &twin));
    if (nsh_array_nbytes(twin) != s->size * s->item)
        finding("nsh_array_like: %lld bytes, not %lld", (long long)nsh_array_nbytes(twin),
                (long long)(s->size * s->item));
    CALL(nsh_array_free(&twin));
}

void do_array(context *c)
{
    static void (*const changes[])(context *, shadow *) = {
        set,  set,      set, set_strided, set_many,   update,   allgather,   allreduce,  allreduce,
        fill, checksum, get, like,        drop_array, set_fail, update_fail, gather_fail};
    shadow *s = any_array(c);

    if (s == NULL || chaos_below(&c->same, 6) == 0)
        create_array(c);
    else
        changes[chaos_below(&c->same, sizeof changes / sizeof changes[0])](c, s);
}
