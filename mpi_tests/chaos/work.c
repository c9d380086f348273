/* SPDX-License-Identifier: BSD-3-Clause */
/* work.c -- batches, with and without a journal, and maps. */
#define _GNU_SOURCE
#include "chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- batch ---- */

enum { MOST_TASKS = 60 };

typedef struct work {
    nsh_batch *batch;
    uint64_t seed;
    int64_t ntasks, taken; /* by this rank's worker, if this rank leads it */
    uint64_t base[3];      /* the tally when the batch was created */
    char journal[512];     /* "": none */
} work;

static uint64_t result_of(const work *w, int64_t task)
{
    return value_of(w->seed, task) | 1;
}

static bool fails(const work *w, int64_t task)
{
    return value_of(w->seed + 1, task) % 7 == 0;
}

static void finish_all(context *c, work *w)
{
    int64_t task = -1;

    for (;;) {
        CALL(nsh_batch_next(w->batch, &task));
        if (task < 0)
            return;
        if (chaos_below(&c->own, 4) == 0)
            chaos_nap((double)chaos_below(&c->own, 4000) / 1000);
        if (nsh_batch_worker_rank(w->batch) == 0) {
            chaos_tally *t = &c->slot->tasks;

            atomic_fetch_add(&t->count, 1);
            atomic_fetch_add(&t->sum, (uint64_t)task);
            atomic_fetch_add(&t->squares, (uint64_t)(task * task));
        }
        uint64_t result = result_of(w, task);
        CALL(nsh_batch_finish(w->batch, task, fails(w, task) ? NSH_TASK_FAILED : NSH_TASK_DONE,
                              &result));
    }
}

static void check_results(context *c, work *w)
{
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh_array *results = NULL;
    const uint64_t *seen;
    int64_t failed = 0;

    CREATE(c->mpi, nsh_array_create(c->comm, MPI_UINT64_T, 1, &w->ntasks, NULL, &results));
    CALL(nsh_batch_results(w->batch, results));
    seen = nsh_array_data(results);
    for (int64_t t = 0; t < w->ntasks; t++) {
        uint64_t expected = fails(w, t) ? 0 : result_of(w, t);

        failed += fails(w, t);
        if (seen[t] != expected)
            finding("result of task %lld of %lld: %llx, not %llx", (long long)t,
                    (long long)w->ntasks, (unsigned long long)seen[t],
                    (unsigned long long)expected);
    }
    CALL(nsh_batch_sync(w->batch));
    CALL(nsh_batch_counts(w->batch, &counts));
    if (counts.done != w->ntasks - failed || counts.failed != failed)
        finding("batch of %lld: %lld done, %lld failed, not %lld", (long long)w->ntasks,
                (long long)counts.done, (long long)counts.failed, (long long)failed);
    CALL(nsh_array_free(&results));
}

/* Each task was taken once. */
static void check_taken(const context *c, const work *w)
{
    chaos_tally *t = &c->slot->tasks;
    uint64_t sum = 0, squares = 0;

    for (int64_t k = 0; k < w->ntasks; k++) {
        sum += (uint64_t)k;
        squares += (uint64_t)(k * k);
    }
    if (atomic_load(&t->count) - w->base[0] != (uint64_t)w->ntasks ||
        atomic_load(&t->sum) - w->base[1] != sum ||
        atomic_load(&t->squares) - w->base[2] != squares)
        finding("batch of %lld tasks: %llu taken, or one of them twice", (long long)w->ntasks,
                (unsigned long long)(atomic_load(&t->count) - w->base[0]));
}

/* What is in the journal is the batch: resumed, nothing is left to do. */
static void resume(context *c, work *w, const nsh_batch_options *options)
{
    int64_t task = 0;

    CREATE(c->mpi, nsh_batch_create(c->comm, w->ntasks, options, &w->batch));
    CALL(nsh_batch_next(w->batch, &task));
    if (task >= 0)
        finding("resumed batch gives task %lld once more", (long long)task);
    check_results(c, w);
    CALL(nsh_batch_free(&w->batch));
    checked_barrier(c);
    if (c->rank == 0)
        unlink(w->journal);
}

void do_batch(context *c)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    work w = {.batch = NULL};

    w.seed = operation_seed(c, 0);
    w.ntasks = chaos_below(&c->same, MOST_TASKS);
    w.base[0] = atomic_load(&c->slot->tasks.count); /* all that was taken before is over */
    w.base[1] = atomic_load(&c->slot->tasks.sum);
    w.base[2] = atomic_load(&c->slot->tasks.squares);
    options.worker_size = 1 + (int)chaos_below(&c->same, c->size > 2 ? 2 : 1);
    options.result_type = MPI_UINT64_T;
    options.quiet = 1;
    if (chaos_below(&c->same, 2) == 0) {
        snprintf(w.journal, sizeof w.journal, "%s/journal-%d-%d-%llx", chaos_directory, c->family,
                 c->color, (unsigned long long)w.seed);
        options.journal = w.journal;
    }
    CREATE(c->mpi, nsh_batch_create(c->comm, w.ntasks, &options, &w.batch));
    finish_all(c, &w);
    check_results(c, &w);
    check_taken(c, &w);
    CALL(nsh_batch_free(&w.batch));
    checked_barrier(c);
    if (w.journal[0] != '\0')
        resume(c, &w, &options);
}

/* ---- map ---- */

typedef struct kernel {
    context *c; /* NULL: the kernel may run on several threads */
    uint64_t seed;
    int64_t columns;
} kernel;

static int sum_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    const kernel *k = arg;

    *(uint64_t *)worker->accumulator += value_of(k->seed, index);
    if (k->c != NULL && chaos_below(&k->c->own, 20) == 0)
        chaos_nap(1);
    return NSH_SUCCESS;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(uint64_t *)into += *(const uint64_t *)from;
}

static nsh_map_options random_map(context *c)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;

    o.context = (nsh_map_context)chaos_below(&c->same, 4);
    o.schedule = (nsh_map_schedule)chaos_below(&c->same, 3);
    o.threads = 2;
    o.block = chaos_below(&c->same, 6);
    return o;
}

static void reduce(context *c)
{
    nsh_map_options o = random_map(c);
    kernel k = {o.context == NSH_MAP_RANKS || o.context == NSH_MAP_SERIAL ? c : NULL,
                operation_seed(c, 0), 0};
    int64_t n = chaos_below(&c->same, 300);
    uint64_t result = 0, expected = 0;

    o.reduce_bytes = sizeof result;
    o.combine = add;
    o.result = &result;
    CREATE(c->mpi, nsh_map(c->comm, n, sum_index, &k, &o));
    for (int64_t i = 0; i < n; i++)
        expected += value_of(k.seed, i);
    if (result != expected)
        finding("nsh_map over %lld: %llx, not %llx", (long long)n, (unsigned long long)result,
                (unsigned long long)expected);
}

static int fill_row(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    const kernel *k = arg;
    uint64_t *p = row;

    (void)worker;
    for (int64_t i = 0; i < k->columns; i++)
        p[i] = value_of(k->seed, index * k->columns + i);
    return NSH_SUCCESS;
}

static void map_rows(context *c)
{
    int64_t extent[2] = {1 + chaos_below(&c->same, 40), 1 + chaos_below(&c->same, 500)};
    nsh_map_options o = random_map(c);
    kernel k = {NULL, operation_seed(c, 0), extent[1]};
    shadow *s = new_array(c, MPI_INT64_T, 2, extent);

    if (s == NULL)
        return;
    CREATE(c->mpi, nsh_map_rows(s->array, fill_row, &k, &o));
    for (int64_t i = 0; i < s->size; i++)
        ((uint64_t *)(void *)s->copy)[i] = value_of(k.seed, i);
    s->version++;
    check_array(c, s, "nsh_map_rows");
}

void do_map(context *c)
{
    if (chaos_below(&c->same, 2) == 0)
        reduce(c);
    else
        map_rows(c);
}
