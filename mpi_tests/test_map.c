/* test_map.c -- ranks: 1 2 3  layouts: one-node cliques-2 odd-even per-rank hosts-2 serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* nsh_map and nsh_map_rows: every index once, reductions with the same bits, failures. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { MOST_INDICES = 5000, CONTEXTS = 4, SCHEDULES = 3 };

static nsh_comm *comm;
static atomic_int *ran; /* index -> how often, over all ranks of all nodes */
static atomic_int *foreign;

static nsh_map_options options_of(int context, int schedule)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;

    o.context = (nsh_map_context)context;
    o.schedule = (nsh_map_schedule)schedule;
    o.threads = 2;
    return o;
}

static void forget(void)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        for (int i = 0; i < MOST_INDICES; i++)
            ran[i] = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* ---- every index once ---- */

static int workers_of(const nsh_map_options *o)
{
    int here =
        o->context == NSH_MAP_THREADS || o->context == NSH_MAP_RANKS_THREADS ? o->threads : 1;

    return o->context == NSH_MAP_RANKS || o->context == NSH_MAP_RANKS_THREADS ? here * check_size
                                                                              : here;
}

static int count_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    const nsh_map_options *o = arg;
    int per_rank =
        o->context == NSH_MAP_THREADS || o->context == NSH_MAP_RANKS_THREADS ? o->threads : 1;

    if (index < 0 || index >= MOST_INDICES || worker->rank != check_rank ||
        worker->count != workers_of(o) || worker->thread < 0 || worker->thread >= per_rank ||
        worker->id != worker->rank * per_rank + worker->thread || worker->accumulator != NULL)
        (*foreign)++;
    else
        ran[index]++;
    return NSH_SUCCESS;
}

static void once_each(int context, int schedule)
{
    const int64_t sizes[] = {0, 1, 2, 7, 100, MOST_INDICES};

    check_case("each index once: context %d, schedule %d", context, schedule);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        nsh_map_options o = options_of(context, schedule);

        o.block = k == 4 ? 3 : 0;
        o.chunk = k == 3 ? 2 : 0;
        forget();
        CHECK_ALL(nsh_map(comm, sizes[k], count_index, &o, &o), NSH_SUCCESS);
        for (int64_t i = 0; i < sizes[k]; i++)
            CHECK_EQ(ran[i], 1); /* at once: the call is a barrier */
        if (sizes[k] < MOST_INDICES)
            CHECK_EQ(ran[sizes[k]], 0);
    }
    CHECK_EQ(*foreign, 0);
}

/* ---- reductions ---- */

/* 2 x 2 matrices over the integers modulo 2^64: a product that does not commute. */
typedef struct matrix {
    uint64_t a[4];
    double sum;
} matrix;

static matrix product(const matrix *x, const matrix *y)
{
    return (matrix){{x->a[0] * y->a[0] + x->a[1] * y->a[2], x->a[0] * y->a[1] + x->a[1] * y->a[3],
                     x->a[2] * y->a[0] + x->a[3] * y->a[2], x->a[2] * y->a[1] + x->a[3] * y->a[3]},
                    x->sum + y->sum};
}

static matrix of_index(int64_t i)
{
    uint64_t u = (uint64_t)i * 2654435761u;

    return (matrix){{u, u ^ 5, 3 * u + 1, u >> 3}, 1.0 / (double)(i + 1) * (i % 2 == 0 ? 1 : -3)};
}

static int multiply_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    matrix *acc = worker->accumulator, one = of_index(index);

    (void)arg;
    *acc = product(acc, &one);
    return NSH_SUCCESS;
}

static void multiply(void *into, const void *from, void *arg)
{
    (void)arg;
    *(matrix *)into = product(into, from);
}

/* What the header says, in other words: blocks in order, each from the identity. */
static matrix oracle(int64_t n, int64_t block, const matrix *identity)
{
    matrix all = *identity;

    for (int64_t first = 0; first < n; first += block) {
        matrix acc = *identity;

        for (int64_t i = first; i < n && i < first + block; i++) {
            matrix one = of_index(i);

            acc = product(&acc, &one);
        }
        all = first == 0 ? acc : product(&all, &acc);
    }
    return all;
}

static void reductions(void)
{
    const matrix identity = {{1, 0, 0, 1}, 0};
    const int64_t sizes[] = {0, 1, 10, 4096, MOST_INDICES}, blocks[] = {0, 7, 100000};

    check_case("reductions: the same bits whoever works");
    for (int k = 0; k < 15; k++) {
        int64_t n = sizes[k / 3], block = blocks[k % 3];
        matrix expected = oracle(n, block > 0 ? block : (n + 4095) / 4096 + (n == 0), &identity);

        for (int way = 0; way < CONTEXTS * SCHEDULES; way++) {
            nsh_map_options o = options_of(way % CONTEXTS, way / CONTEXTS);
            matrix result;

            if (k % 3 != way % 3 && n != MOST_INDICES) /* not all of everything */
                continue;
            memset(&result, 0x55, sizeof result);
            o.block = block;
            o.reduce_bytes = sizeof result;
            o.identity = &identity;
            o.combine = multiply;
            o.result = &result;
            CHECK_ALL(nsh_map(comm, n, multiply_index, NULL, &o), NSH_SUCCESS);
            CHECK_MEM(&result, &expected, sizeof result);
        }
    }
}

static int large_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    char *acc = worker->accumulator;

    (void)arg;
    acc[index % 3] = (char)(acc[index % 3] + 1);
    acc[(3 << 20) - 1]++;
    return NSH_SUCCESS;
}

static void add_large(void *into, const void *from, void *arg)
{
    char *a = into;
    const char *b = from;

    (void)arg;
    for (int i = 0; i < 3 << 20; i++)
        a[i] = (char)(a[i] + b[i]);
}

/* Accumulators of which fewer than 4096 fit, beginning as zeroes. */
static void large_accumulators(void)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;
    char *result = malloc(3 << 20);

    check_case("reductions: accumulators of 3 MiB");
    o.reduce_bytes = 3 << 20;
    o.combine = add_large;
    o.result = result;
    CHECK_ALL(nsh_map(comm, 100, large_index, NULL, &o), NSH_SUCCESS);
    CHECK_EQ(result[0], 34);
    CHECK_EQ(result[2], 33);
    CHECK_EQ(result[3], 0);
    CHECK_EQ(result[(3 << 20) - 1], 100);
    free(result);
}

/* ---- failures ---- */

typedef struct failing {
    int64_t from, step; /* indices from, from + step, ... */
    int rank;           /* only there; -1: anywhere */
    int any;            /* set where one has failed */
} failing;

static int fail_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    failing *f = arg;

    ran[index]++;
    if (index < f->from || (index - f->from) % f->step != 0 ||
        (f->rank >= 0 && f->rank != worker->rank))
        return NSH_SUCCESS;
    f->any = 1;
    return index == f->from ? 1000 + (int)index : NSH_ERR_IO;
}

static void failures(int context, int schedule)
{
    enum { N = 60 };
    nsh_map_options o = options_of(context, schedule);
    const failing some[] = {{17, N, -1, 0}, {0, 1, -1, 0}, {13, 5, -1, 0}, {N - 1, N, -1, 0}};
    failing negative = {N, 1, -1, 0};

    check_case("failures: context %d, schedule %d", context, schedule);
    for (int k = 0; k < 4; k++) {
        failing f = some[k];
        int64_t left_out = 0;

        forget();
        CHECK_ALL(nsh_map(comm, N, fail_index, &f, &o), 1000 + (int)f.from);
        CHECK_HAS(nsh_error_detail(), "nsh_map: kernel returned");
        for (int64_t i = 0; i < N; i++) {
            CHECK(ran[i] <= 1);
            if (i <= f.from)
                CHECK_EQ(ran[i], 1); /* all that come before the lowest are run */
            left_out += ran[i] == 0;
        }
        if (k == 0 && schedule == NSH_MAP_DYNAMIC && workers_of(&o) > 1 &&
            nsh_comm_node_count(comm) == 1)
            CHECK_EQ(left_out, 0); /* the others take what is left */
        if (k == 1)
            CHECK(left_out >= N - workers_of(&o));
    }
    o.keep_going = 1;
    for (int k = 0; k < 4; k++) {
        failing f = some[k];

        o.block = k;
        forget();
        CHECK_ALL(nsh_map(comm, N, fail_index, &f, &o), 1000 + (int)f.from);
        for (int64_t i = 0; i < N; i++)
            CHECK_EQ(ran[i], 1);
    }
    o.keep_going = 0;
    o.block = 0;
    o.reduce_bytes = sizeof(matrix);
    o.combine = multiply;
    o.result = &(matrix){{1, 2, 3, 4}, 5};
    CHECK_ALL(nsh_map(comm, N, fail_index, &(failing){17, N, -1, 0}, &o), 1017);
    CHECK_EQ(((matrix *)o.result)->a[2], 3);
    CHECK_ALL(nsh_map(comm, N, fail_index, &negative, &o), NSH_SUCCESS);
}

static int negative_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)arg;
    return index == 3 ? -77 : NSH_SUCCESS;
}

static int first_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)arg;
    return index == 0 ? 1234 : 4321;
}

static void odd_failures(void)
{
    nsh_map_options o = options_of(NSH_MAP_RANKS, NSH_MAP_STATIC);
    failing f = {0, 1, check_size - 1, 0};

    check_case("failures: on one rank, negative codes, very many indices");
    forget();
    CHECK_ALL(nsh_map(comm, check_size, fail_index, &f, &o),
              check_size == 1 ? 1000 : NSH_ERR_IO); /* one index a rank */
    CHECK_EQ(f.any, check_rank == check_size - 1);
    CHECK_ALL(nsh_map(comm, 10, negative_index, NULL, NULL), NSH_ERR_ARG);
    for (int schedule = 0; schedule < SCHEDULES; schedule++) {
        o = options_of(NSH_MAP_RANKS, schedule);
        CHECK_ALL(nsh_map(comm, INT64_C(1) << 62, first_index, NULL, &o), 1234);
        o.block = 1;
        CHECK_ALL(nsh_map(comm, INT64_C(1) << 62, first_index, NULL, &o), 1234);
    }
}

static void errors(void)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;
    matrix result;

    check_case("errors");
    CHECK_ALL(nsh_map(NULL, 5, count_index, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map(comm, 5, NULL, NULL, NULL), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "nsh_map");
    CHECK_ALL(nsh_map(comm, -1, count_index, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map(comm, (INT64_C(1) << 62) + 1, count_index, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map(comm, 5, check_rank == 0 ? NULL : count_index, NULL, NULL), NSH_ERR_ARG);
    o.context = (nsh_map_context)7;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o = options_of(NSH_MAP_RANKS, 9);
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o = options_of(NSH_MAP_RANKS, NSH_MAP_DYNAMIC);
    o.threads = -1;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.threads = 0;
    o.block = -1;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.block = 0;
    o.chunk = -1;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "chunk -1");
    o.chunk = 0;
    o.reduce_bytes = -1;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.reduce_bytes = sizeof result;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.combine = multiply;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.result = &result;
    o.reduce_bytes = INT64_MAX;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_ARG);
    o.reduce_bytes = INT64_C(1) << 50;
    CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_NOMEM);
    if (check_size > 1) {
        CHECK_ALL(nsh_map(comm, 5 + (check_rank == 1), count_index, NULL, NULL), NSH_ERR_MISMATCH);
        o = options_of(NSH_MAP_RANKS, check_rank == 1 ? NSH_MAP_STATIC : NSH_MAP_DYNAMIC);
        CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_MISMATCH);
        o = options_of(NSH_MAP_RANKS, NSH_MAP_DYNAMIC);
        o.keep_going = check_rank == 1;
        CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_MISMATCH);
        o = options_of(NSH_MAP_RANKS, NSH_MAP_DYNAMIC);
        o.chunk = check_rank == 1;
        CHECK_ALL(nsh_map(comm, 5, count_index, NULL, &o), NSH_ERR_MISMATCH);
    }
}

/* Threads as many as there are cores, and kernels of ranks that call the library. */
static int add_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)index;
    return nsh_counter_add(arg, 1, NULL);
}

static void other_calls(void)
{
    nsh_map_options o = options_of(NSH_MAP_RANKS_THREADS, NSH_MAP_DYNAMIC);
    nsh_counter *counter = NULL;
    matrix result = {{0}, 0}, zero = {{0}, 0}, expected = oracle(50, 1, &zero);
    int64_t value = -1;

    check_case("threads by cores; kernels that count");
    o.threads = 0;
    o.reduce_bytes = sizeof result;
    o.combine = multiply;
    o.result = &result;
    CHECK_ALL(nsh_map(comm, 50, multiply_index, NULL, &o), NSH_SUCCESS);
    CHECK_MEM(&result, &expected, sizeof result);
    CHECK_ALL(nsh_counter_create(comm, 0, NULL, &counter), NSH_SUCCESS);
    CHECK_ALL(nsh_map(comm, 100, add_index, counter, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_read(counter, &value), NSH_SUCCESS);
    CHECK_EQ(value, 100);
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
}

/* ---- who gets what ---- */

/* The lowest and highest index that this rank has run, and the workers that there were. */
typedef struct span {
    int64_t low, high;
    int workers;
} span;

static int note_span(const nsh_map_worker *worker, int64_t index, void *arg)
{
    span *s = arg;

    s->low = index < s->low ? index : s->low;
    s->high = index > s->high ? index : s->high;
    s->workers = worker->count;
    return NSH_SUCCESS;
}

/* STATIC is what nsh_split says, whatever n and the blocks are. */
static void static_parts(void)
{
    const int64_t sizes[] = {1, 7, 4096, 4099, 10000};
    nsh_map_options o = options_of(NSH_MAP_RANKS, NSH_MAP_STATIC);

    check_case("static parts are those of nsh_split");
    for (int i = 0; i < 5; i++) {
        span s = {INT64_MAX, -1, 0};
        int64_t begin = -1, end = -1;

        o.block = i == 2 ? 1000 : 0;
        CHECK_ALL(nsh_map(comm, sizes[i], note_span, &s, &o), NSH_SUCCESS);
        CHECK_EQ(nsh_split(sizes[i], check_size, check_rank, &begin, &end), NSH_SUCCESS);
        CHECK_EQ(begin < end ? s.low : begin, begin);
        CHECK_EQ(begin < end ? s.high + 1 : end, end);
    }
}

static int note_processors(const nsh_map_worker *worker, int64_t index, void *arg)
{
    cpu_set_t *seen = arg;

    (void)index;
    sched_getaffinity(0, sizeof *seen, &seen[worker->thread]);
    return NSH_SUCCESS;
}

/* How many workers a map of threads has. */
static int threads_of(nsh_comm *on)
{
    nsh_map_options o = options_of(NSH_MAP_THREADS, NSH_MAP_DYNAMIC);
    span s = {INT64_MAX, -1, 0};

    o.threads = 0;
    CHECK_ALL(nsh_map(on, 1, note_span, &s, &o), NSH_SUCCESS);
    return s.workers;
}

/* Ranks with a processor each: threads of rank 0 use those of all ranks of the host, which idle. */
static void idle_cores(void)
{
    nsh_map_options o = options_of(NSH_MAP_THREADS, NSH_MAP_STATIC);
    nsh_comm *bound = NULL, *alone = NULL;
    cpu_set_t before, one, seen[2];
    int cores, n;

    check_case("threads of rank 0 use the cores of ranks that idle");
    CHECK_EQ(nsh_comm_create_serial(&alone), NSH_SUCCESS);
    cores = threads_of(alone); /* on the processors of one rank */
    CHECK_EQ(nsh_comm_free(&alone), NSH_SUCCESS);
    n = threads_of(comm);
    CHECK(check_rank != 0 || n >= cores);
    sched_getaffinity(0, sizeof before, &before);
    if (check_size < 2 || nsh_comm_node_size(comm) != check_size || CPU_COUNT(&before) < 2)
        return;
    CPU_ZERO(&one);
    for (int cpu = 0, left = check_rank % 2; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &before) && left-- == 0)
            CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &bound), NSH_SUCCESS);
    o.threads = 2;
    memset(seen, 0, sizeof seen);
    CHECK_ALL(nsh_map(bound, 2, note_processors, seen, &o), NSH_SUCCESS);
    for (int thread = 0; thread < 2 && check_rank == 0; thread++)
        CHECK_EQ(CPU_COUNT(&seen[thread]), 2);
    CHECK_ALL(nsh_comm_free(&bound), NSH_SUCCESS);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

/* ---- rows ---- */

static int64_t cell(int64_t row, int64_t column)
{
    return row * 1000003 + column * 7 + 1;
}

/* Every row but those with index % 5 == 3; row 11 fails if asked to. */
static int fill_row(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    int64_t *p = row, columns = ((int64_t *)arg)[0];

    if (worker->accumulator != NULL)
        p[0] = -1;
    if (index == 11 && ((int64_t *)arg)[1])
        return 99;
    for (int64_t c = 0; c < columns && index % 5 != 3; c++)
        p[c] = cell(index, c);
    return NSH_SUCCESS;
}

static void check_rows(const nsh_array *array, int64_t old)
{
    const int64_t *data = nsh_array_data(array), *extent = nsh_array_extent(array);

    for (int64_t r = 0; r < extent[0]; r++)
        for (int64_t c = 0; c < extent[1] * extent[2]; c++) {
            int64_t value = data[r * extent[1] * extent[2] + c];

            CHECK_EQ(value, r % 5 == 3 ? old : cell(r, c));
        }
}

static void rows(int context, int schedule, int64_t n, int64_t middle)
{
    const int64_t extent[3] = {n, middle, 3}, old = -4;
    int64_t arg[2] = {middle * 3, 0}, version;
    nsh_map_options o = options_of(context, schedule);
    nsh_array *array = NULL;
    uint64_t sum;

    check_case("rows: %d x %d, context %d, schedule %d", (int)n, (int)middle, context, schedule);
    o.block = n == 40 ? 3 : 0;
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 3, extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &old), NSH_SUCCESS);
    version = nsh_array_version(array);
    CHECK_ALL(nsh_map_rows(array, fill_row, arg, &o), NSH_SUCCESS);
    check_rows(array, old);
    CHECK_EQ(nsh_array_version(array), version + 1);
    CHECK_ALL(nsh_array_checksum(array, &sum), NSH_SUCCESS);
    if (n > 11) {
        arg[1] = 1;
        CHECK_ALL(nsh_map_rows(array, fill_row, arg, &o), 99);
        CHECK_ALL(nsh_array_checksum(array, &sum), NSH_SUCCESS);
        check_rows(array, old); /* what was there was right */
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void row_errors(void)
{
    nsh_array *array = NULL, *point = NULL, *none = NULL;
    const int64_t extent[2] = {4, 5}, empty[2] = {7, 0};
    int64_t arg[2] = {5, 0};
    void *view;

    check_case("rows: errors");
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 2, extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 0, NULL, NULL, &point), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 2, empty, NULL, &none), NSH_SUCCESS);
    CHECK_ALL(nsh_map_rows(NULL, fill_row, arg, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map_rows(array, NULL, arg, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map_rows(point, fill_row, arg, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_map_rows(none, fill_row, arg, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, 0, &view), NSH_SUCCESS);
    CHECK_ALL(nsh_map_rows(array, fill_row, arg, NULL), NSH_ERR_STATE);
    CHECK_ALL(nsh_array_update_end(array), NSH_SUCCESS);
    if (check_size > 1)
        CHECK_ALL(nsh_map_rows(check_rank == 0 ? array : none, fill_row, arg, NULL),
                  NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_map_rows(array, fill_row, arg, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&point), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&none), NSH_SUCCESS);
}

/* ---- collective calls from a kernel ---- */

typedef struct calls {
    nsh_array *array;
    nsh_mutex *mutex;
    nsh_comm *serial;
    int64_t sum;
} calls;

static int add_to_calls(const nsh_map_worker *worker, int64_t index, void *arg)
{
    calls *c = arg;

    (void)worker;
    c->sum += index;
    return NSH_SUCCESS;
}

/* What is collective on the map's communicator fails on this rank alone, and what is not works. */
static int call_everything(const nsh_map_worker *worker, int64_t index, void *arg)
{
    calls *c = arg;
    const int64_t extent[1] = {2}, offset[1] = {0};
    nsh_array *array = NULL;
    nsh_mutex *mutex = NULL;
    nsh_semaphore *semaphore = NULL;
    nsh_counter *counter = NULL;
    nsh_batch *batch = NULL;
    nsh_comm *same = comm;
    uint64_t sum = 0;
    int one = 1;

    (void)worker;
    (void)index;
    CHECK_EQ(nsh_map(comm, 3, add_to_calls, c, NULL), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "nsh_map: rank");
    CHECK_EQ(nsh_comm_barrier(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_node_barrier(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(&same), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_create(comm, MPI_INT, 1, extent, NULL, &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_set(c->array, &one, offset, NULL, 0), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_fill(c->array, &one), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_allreduce(c->array, &one, MPI_SUM), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_checksum(c->array, &sum), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_update_end(c->array), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_create(comm, NULL, &mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_free(&c->mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_semaphore_create(comm, 1, NULL, &semaphore), NSH_ERR_STATE);
    CHECK_EQ(nsh_counter_create(comm, 1, NULL, &counter), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_create(comm, 1, NULL, &batch), NSH_ERR_STATE);
    CHECK_EQ(nsh_sequential_begin(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_lock(c->mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(c->mutex), NSH_SUCCESS);
    c->sum = 0;
    CHECK_EQ(nsh_map(c->serial, 10, add_to_calls, c, NULL), NSH_SUCCESS);
    CHECK_EQ(c->sum, 45);
    return NSH_SUCCESS;
}

static void calls_from_kernels(void)
{
    const int64_t extent[1] = {1}, more[1] = {3};
    calls c = {NULL, NULL, NULL, 0};
    nsh_array *array = NULL;
    nsh_map_options last_only = NSH_MAP_OPTIONS_INIT;
    void *view = NULL;
    int seven = 7;

    check_case("collective calls from a kernel fail there, and nowhere else");
    last_only.schedule = NSH_MAP_STATIC; /* one index, so one rank alone calls */
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 1, extent, NULL, &c.array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &c.mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create_serial(&c.serial), NSH_SUCCESS);
    CHECK_ALL(nsh_array_update_begin(c.array, NULL, NULL, 0, &view), NSH_SUCCESS);
    for (int i = 0; i < 2; i++)
        CHECK_ALL(nsh_map(comm, i == 0 ? 1 : 20, call_everything, &c, &last_only), NSH_SUCCESS);
    if (view != NULL)
        *(int *)view = seven;
    CHECK_ALL(nsh_array_update_end(c.array), NSH_SUCCESS);
    CHECK_EQ(*(const int *)nsh_array_data(c.array), seven);
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 1, more, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &seven), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&c.array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&c.mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&c.serial), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    ran = check_shared((MOST_INDICES + 1) * (int64_t)sizeof *ran);
    foreign = &ran[MOST_INDICES];
    CHECK_ALL(strcmp(check_layout, "serial") == 0 ? nsh_comm_create_serial(&comm)
                                                  : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    for (int way = 0; way < CONTEXTS * SCHEDULES; way++) {
        once_each(way % CONTEXTS, way / CONTEXTS);
        failures(way % CONTEXTS, way / CONTEXTS);
    }
    reductions();
    large_accumulators();
    odd_failures();
    errors();
    other_calls();
    static_parts();
    if (strcmp(check_layout, "serial") != 0)
        idle_cores();
    rows(NSH_MAP_RANKS, NSH_MAP_DYNAMIC, 40, 1);
    rows(NSH_MAP_RANKS_THREADS, NSH_MAP_GUIDED, 23, 5);
    rows(NSH_MAP_RANKS, NSH_MAP_STATIC, 60, 4000); /* longer than a segment */
    rows(NSH_MAP_SERIAL, NSH_MAP_DYNAMIC, 3, 2);
    row_errors();
    calls_from_kernels();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
