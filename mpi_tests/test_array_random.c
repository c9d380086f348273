/* test_array_random.c -- ranks: 1 3 5  layouts: one-node odd-even per-rank hosts-2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations by random roots, compared bitwise with a copy that every rank keeps for itself
 * and updates with plain MPI_Bcast. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { MAX_NDIM = 8 };

typedef struct world {
    nsh_comm *comm;
    nsh_array *array;
    int ndim;
    int64_t extent[MAX_NDIM];
    int64_t size, item;
    char *copy; /* the oracle */
} world;

/* A random shape: some tiny, some of several segments, some without elements. */
static void random_shape(world *w, int round)
{
    int64_t limit = round % 4 == 0 ? 3 << 20 : round % 4 == 1 ? 100 << 10 : 300;

    w->ndim = (int)check_random_below(MAX_NDIM + 1);
    w->size = 1;
    for (int d = 0; d < w->ndim; d++) {
        int64_t most = w->size == 0 || limit < w->size ? 1 : limit / w->size;

        w->extent[d] = check_random_below(most > 4 && d + 1 < w->ndim ? 5 : most) + 1;
        if (round % 9 == 8 && d == 0)
            w->extent[d] = 0;
        w->size *= w->extent[d];
    }
}

static int64_t random_slab(const world *w, int64_t offset[], int64_t count[])
{
    int64_t n = 1;

    for (int d = 0; d < w->ndim; d++) {
        bool empty = w->extent[d] == 0 || check_random_below(10 * w->ndim) == 0;

        offset[d] = check_random_below(w->extent[d] + (empty ? 1 : 0));
        count[d] = empty ? 0 : 1 + check_random_below(w->extent[d] - offset[d]);
        if (check_random_below(3) == 0) {
            offset[d] = 0;
            count[d] = w->extent[d];
        }
        n *= count[d];
    }
    return n;
}

/* Element number i of a packed hyperslab, as an element of the array. */
static int64_t element_of(const world *w, const int64_t offset[], const int64_t count[], int64_t i)
{
    int64_t index[MAX_NDIM], position = 0;

    for (int d = w->ndim - 1; d >= 0; d--) {
        index[d] = offset[d] + i % count[d];
        i /= count[d];
    }
    for (int d = 0; d < w->ndim; d++)
        position = position * w->extent[d] + index[d];
    return position;
}

static void put(world *w, const int64_t offset[], const int64_t count[], int64_t n,
                const char *packed)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(w->copy + element_of(w, offset, count, i) * w->item, packed + i * w->item,
               (size_t)w->item);
}

static char *random_data(int64_t bytes, int root)
{
    char *data = malloc((size_t)bytes + 1);
    uint64_t seed = check_random();

    for (int64_t i = 0; i < bytes; i++)
        data[i] = check_rank == root ? (char)(seed >> (i % 57)) + (char)i : 0x55;
    return data;
}

static void do_set(world *w, int root, int64_t offset[], int64_t count[], int64_t n, bool any)
{
    char *data = random_data(n * w->item, root);
    bool mine = check_rank == root;

    CHECK_ALL(nsh_array_set(w->array, mine ? data : NULL, mine ? offset : NULL, mine ? count : NULL,
                            any ? NSH_ROOT_ANY : root),
              NSH_SUCCESS);
    MPI_Bcast(data, (int)(n * w->item), MPI_BYTE, root, MPI_COMM_WORLD);
    put(w, offset, count, n, data);
    free(data);
}

/* Data with a gap after each row, last row first. */
static void do_strided(world *w, int root, int64_t offset[], int64_t count[], int64_t n)
{
    char *data = random_data(n * w->item, root);
    int64_t stride[MAX_NDIM], row = w->ndim > 0 ? count[w->ndim - 1] : 1;
    int64_t rows = row > 0 ? n / row : 0, gap = row + 2;
    char *spread = calloc((size_t)(rows * gap + 1), (size_t)w->item);

    for (int64_t r = 0; r < rows; r++)
        memcpy(spread + (rows - 1 - r) * gap * w->item, data + r * row * w->item,
               (size_t)(row * w->item));
    for (int d = w->ndim - 1; d >= 0; d--)
        stride[d] = d == w->ndim - 1 ? 1 : d == w->ndim - 2 ? -gap : stride[d + 1] * count[d + 1];
    CHECK_ALL(nsh_array_set_strided(w->array, spread + (rows > 0 ? rows - 1 : 0) * gap * w->item,
                                    stride, offset, count, root),
              NSH_SUCCESS);
    MPI_Bcast(data, (int)(n * w->item), MPI_BYTE, root, MPI_COMM_WORLD);
    put(w, offset, count, n, data);
    free(spread);
    free(data);
}

static void do_update(world *w, int root, int64_t offset[], int64_t count[], int64_t n)
{
    char *data = random_data(n * w->item, root);
    void *view = NULL;

    CHECK_ALL(nsh_array_update_begin(w->array, offset, count, root, &view), NSH_SUCCESS);
    CHECK((view != NULL) == (check_rank == root && nsh_array_nbytes(w->array) > 0));
    if (view != NULL && n > 0) {
        int64_t first = element_of(w, offset, count, 0);

        for (int64_t i = 0; i < n; i++)
            memcpy((char *)view + (element_of(w, offset, count, i) - first) * w->item,
                   data + i * w->item, (size_t)w->item);
    }
    CHECK_ALL(nsh_array_update_end(w->array), NSH_SUCCESS);
    MPI_Bcast(data, (int)(n * w->item), MPI_BYTE, root, MPI_COMM_WORLD);
    put(w, offset, count, n, data);
    free(data);
}

/* Several hyperslabs that may overlap: the later one wins. */
static void do_many(world *w, int root)
{
    enum { PIECES = 5 };
    int64_t offset[PIECES][MAX_NDIM], count[PIECES][MAX_NDIM], n[PIECES];
    nsh_piece pieces[PIECES];
    char *data[PIECES];

    for (int i = 0; i < PIECES; i++) {
        n[i] = random_slab(w, offset[i], count[i]);
        data[i] = random_data(n[i] * w->item, root);
        pieces[i] = (nsh_piece){data[i], offset[i], count[i], NULL};
    }
    CHECK_ALL(nsh_array_set_many(w->array, PIECES, check_rank == root ? pieces : NULL, root),
              NSH_SUCCESS);
    for (int i = 0; i < PIECES; i++) {
        MPI_Bcast(data[i], (int)(n[i] * w->item), MPI_BYTE, root, MPI_COMM_WORLD);
        put(w, offset[i], count[i], n[i], data[i]);
        free(data[i]);
    }
}

/* Every rank its slice of the first dimension, in reverse order of ranks. */
static void do_allgather(world *w)
{
    int64_t offset[MAX_NDIM] = {0}, count[MAX_NDIM] = {0}, n;

    if (w->ndim == 0)
        return;
    for (int r = 0; r < check_size; r++) {
        int64_t at = check_size - 1 - r, first = w->extent[0] * at / check_size;
        char *data;

        memset(offset, 0, sizeof offset);
        memcpy(count, w->extent, sizeof count);
        offset[0] = first;
        count[0] = w->extent[0] * (at + 1) / check_size - first;
        n = w->extent[0] > 0 ? w->size / w->extent[0] * count[0] : 0;
        data = random_data(n * w->item, r);
        if (r == check_rank) {
            w->copy = realloc(w->copy, (size_t)(w->size * w->item * 2 + 2));
            memcpy(w->copy + w->size * w->item, data, (size_t)(n * w->item));
        }
        free(data);
    }
    memset(offset, 0, sizeof offset);
    memcpy(count, w->extent, sizeof count);
    offset[0] = w->extent[0] * (check_size - 1 - check_rank) / check_size;
    count[0] = w->extent[0] * (check_size - check_rank) / check_size - offset[0];
    CHECK_ALL(nsh_array_allgather(w->array, w->copy + w->size * w->item, offset, count),
              NSH_SUCCESS);
    for (int r = 0; r < check_size; r++) {
        int64_t at = check_size - 1 - r, first = w->extent[0] * at / check_size;
        int64_t row = w->extent[0] > 0 ? w->size / w->extent[0] * w->item : 0;
        int64_t bytes = (w->extent[0] * (at + 1) / check_size - first) * row;

        if (r == check_rank)
            memcpy(w->copy + first * row, w->copy + w->size * w->item, (size_t)bytes);
        MPI_Bcast(w->copy + first * row, (int)bytes, MPI_BYTE, r, MPI_COMM_WORLD);
    }
}

static void do_fill(world *w)
{
    uint64_t value = check_random();

    CHECK_ALL(nsh_array_fill(w->array, &value), NSH_SUCCESS);
    for (int64_t i = 0; i < w->size; i++)
        memcpy(w->copy + i * w->item, &value, (size_t)w->item);
}

static void operate(world *w)
{
    int64_t offset[MAX_NDIM] = {0}, count[MAX_NDIM] = {0};
    int root = (int)check_random_below(check_size), what = (int)check_random_below(8);
    int64_t n = random_slab(w, offset, count);

    switch (what) {
    case 0:
        do_strided(w, root, offset, count, n);
        break;
    case 1:
        do_update(w, root, offset, count, n);
        break;
    case 2:
        do_many(w, root);
        break;
    case 3:
        do_allgather(w);
        break;
    case 4:
        do_fill(w);
        break;
    case 5:
        do_set(w, root, offset, count, n, true);
        break;
    default:
        do_set(w, root, offset, count, n, false);
    }
}

static void compare(world *w)
{
    int64_t offset[MAX_NDIM] = {0}, count[MAX_NDIM] = {0}, n;
    char *part;

    CHECK_MEM(nsh_array_data(w->array), w->copy, w->size * w->item);
    n = random_slab(w, offset, count);
    part = malloc((size_t)(n * w->item) + 1);
    CHECK_EQ(nsh_array_get(w->array, offset, count, part), NSH_SUCCESS);
    for (int64_t i = 0; i < n; i++)
        if (memcmp(part + i * w->item, w->copy + element_of(w, offset, count, i) * w->item,
                   (size_t)w->item) != 0) {
            CHECK(!"nsh_array_get gives the replica's elements");
            break;
        }
    free(part);
}

int main(int argc, char **argv)
{
    static const struct {
        MPI_Datatype type;
        int64_t item;
    } types[] = {{MPI_BYTE, 1}, {MPI_INT32_T, 4}, {MPI_DOUBLE, 8}};
    world w = {.comm = NULL};
    int operations;

    check_init(&argc, &argv);
    operations = check_size > 3 ? 5 : 40; /* MPI_Bcast takes its time where ranks exceed cores */
    check_case("create the communicator");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &w.comm), NSH_SUCCESS);
    for (int round = 0; round < (check_size > 3 ? 9 : 12); round++) {
        uint64_t sum = 0;
        int64_t version;

        random_shape(&w, round);
        w.item = types[round % 3].item;
        check_case("%d dimensions, %lld elements of %d bytes", w.ndim, (long long)w.size,
                   (int)w.item);
        CHECK_ALL(nsh_array_create(w.comm, types[round % 3].type, w.ndim, w.extent, NULL, &w.array),
                  NSH_SUCCESS);
        w.copy = calloc((size_t)w.size * (size_t)w.item + 1, 1);
        compare(&w);
        version = nsh_array_version(w.array);
        for (int i = 0; i < operations / (w.size > 100000 ? 3 : 1); i++) {
            operate(&w);
            compare(&w);
        }
        CHECK(nsh_array_version(w.array) > version || w.ndim == 0);
        CHECK_ALL(nsh_array_checksum(w.array, &sum), NSH_SUCCESS);
        CHECK_ALL(nsh_array_free(&w.array), NSH_SUCCESS);
        CHECK(w.array == NULL);
        free(w.copy);
    }
    CHECK_ALL(nsh_comm_free(&w.comm), NSH_SUCCESS);
    return check_finish();
}
