/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_batch.c -- batches and maps against a hand-written task farm and other schedules.
 *
 * The farm is the usual one: rank 0 keeps a table of states in a window; a rank that wants a task
 * locks the table, reads it, finds an open task and marks it, and locks it again when the task has
 * ended. Tasks are empty where taking and ending them is measured. */
#define _GNU_SOURCE
#include "tool/bench.h"

#include "tool/tool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    FEW = 1000,
    TABLE = 10000,
    SKEWED = 2000,
    TASK_US = 20,
    LONG = 100,
    SHORT = 2000,
    SHORT_US = 100
};

static double batch_now(void)
{
    return MPI_Wtime();
}

static double slowest_of(double mine)
{
    double all;

    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static double sum_of(double mine)
{
    double all;

    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

/* CPU time, so that other programs on the machine do not count as work. */
static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void compute_for(double us)
{
    double until = cpu_now() + us * 1e-6;

    while (cpu_now() < until)
        ;
}

/* ---- empty tasks ---- */

static nsh_batch *make_batch(const bench *b, int64_t tasks, const char *journal,
                             nsh_batch_mode mode)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    nsh_batch *batch;

    options.quiet = 1;
    options.journal = journal;
    options.mode = mode;
    options.result_type = MPI_DOUBLE;
    tool_must(nsh_batch_create(b->comm, tasks, &options, &batch), "batch");
    return batch;
}

/* Microseconds for one empty task: the time of all ranks together, divided by `tasks`. */
static double empty_tasks(const bench *b, int64_t tasks, const char *journal)
{
    nsh_batch *batch = make_batch(b, tasks, journal, NSH_BATCH_OVERWRITE);
    double result = 1, begin;
    int64_t task;

    nsh_comm_barrier(b->comm);
    begin = batch_now();
    for (;;) {
        tool_must(nsh_batch_next(batch, &task), "next");
        if (task < 0)
            break;
        tool_must(nsh_batch_finish(batch, task, NSH_TASK_DONE, &result), "finish");
    }
    begin = slowest_of(batch_now() - begin);
    tool_must(nsh_batch_free(&batch), "free");
    return begin / (double)tasks * 1e6;
}

static int compare_task_seconds(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(const bench *b, int64_t tasks, const char *journal)
{
    double each[5];

    for (int i = 0; i < 5; i++)
        each[i] = empty_tasks(b, tasks, journal);
    qsort(each, 5, sizeof each[0], compare_task_seconds);
    return each[2];
}

/* ---- the table ---- */

/* Find and mark the first open task of the table; -1: none is open. */
static int take_from_table(MPI_Win win, char *table)
{
    const char running = 1;
    int task = 0;

    MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 0, 0, win);
    MPI_Get(table, TABLE, MPI_CHAR, 0, 0, TABLE, MPI_CHAR, win);
    MPI_Win_flush(0, win);
    while (task < TABLE && table[task] != 0)
        task++;
    if (task < TABLE)
        MPI_Put(&running, 1, MPI_CHAR, 0, task, 1, MPI_CHAR, win);
    MPI_Win_unlock(0, win);
    return task < TABLE ? task : -1;
}

static void end_in_table(MPI_Win win, int task)
{
    const char done = 2;

    MPI_Win_lock(MPI_LOCK_EXCLUSIVE, 0, 0, win);
    MPI_Put(&done, 1, MPI_CHAR, 0, task, 1, MPI_CHAR, win);
    MPI_Win_unlock(0, win);
}

/* Microseconds for one of the first `tasks` of TABLE. */
static double table_tasks(const bench *b, int tasks)
{
    char *base, *table = calloc(TABLE, 1);
    double begin;
    MPI_Win win;

    MPI_Win_allocate(b->rank == 0 ? TABLE : 0, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &base, &win);
    if (b->rank == 0)
        memset(base, 0, TABLE);
    MPI_Barrier(MPI_COMM_WORLD);
    begin = batch_now();
    for (int i = b->rank; i < tasks; i += b->size) {
        int task = take_from_table(win, table);

        if (task >= 0)
            end_in_table(win, task);
    }
    begin = slowest_of(batch_now() - begin);
    MPI_Win_free(&win);
    free(table);
    return begin / tasks * 1e6;
}

static void bench_taking(const bench *b)
{
    bool crowded = b->size > 2;
    int64_t many = crowded ? 100000 : 1000000;
    double ours = median_of(b, many, NULL);

    bench_row(b, "batch-1e4-tasks-vs-locked-table", median_of(b, TABLE, NULL),
              table_tasks(b, crowded ? 200 : TABLE), "us");
    bench_row(b, crowded ? "batch-1e5-tasks-vs-1e3" : "batch-1e6-tasks-vs-1e3", ours,
              median_of(b, FEW, NULL), "us");
    if (!crowded)
        bench_row(b, "batch-1e7-tasks-vs-1e6", empty_tasks(b, 10000000, NULL), ours, "us");
}

/* ---- journal ---- */

static void bench_journals(const bench *b)
{
    int64_t tasks = b->size > 2 ? 20000 : 1000000;
    char path[] = "/tmp/nsh_bench_XXXXXX", *bytes = malloc(1 << 20);
    double ours, begin, replay, plain;
    nsh_batch *batch;
    int fd = b->rank == 0 ? mkstemp(path) : -1;

    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (fd >= 0)
        close(fd);
    ours = empty_tasks(b, tasks, path);
    bench_row(b, "batch-journal-vs-none", ours, median_of(b, tasks / 10, NULL), "us");
    nsh_comm_barrier(b->comm);
    begin = batch_now();
    batch = make_batch(b, tasks, path, NSH_BATCH_RESUME);
    replay = slowest_of(batch_now() - begin) * 1e3;
    tool_must(nsh_batch_free(&batch), "free");
    begin = batch_now();
    fd = open(path, O_RDONLY);
    while (fd >= 0 && bytes != NULL && read(fd, bytes, 1 << 20) > 0)
        ;
    plain = slowest_of(batch_now() - begin) * 1e3;
    if (fd >= 0)
        close(fd);
    bench_row(b, tasks == 1000000 ? "journal-replay-1e6-vs-read" : "journal-replay-2e4-vs-read",
              replay, plain, "ms");
    free(bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    if (b->rank == 0)
        unlink(path);
}

/* ---- tasks of a tenth of a millisecond ---- */

/* Milliseconds until all ranks have finished: the tasks of a batch, */
static double short_tasks(const bench *b)
{
    nsh_batch *batch = make_batch(b, SHORT, NULL, NSH_BATCH_RESUME);
    double begin;
    int64_t task;

    nsh_comm_barrier(b->comm);
    begin = batch_now();
    for (;;) {
        tool_must(nsh_batch_next(batch, &task), "next");
        if (task < 0)
            break;
        compute_for(SHORT_US);
        tool_must(nsh_batch_finish(batch, task, NSH_TASK_DONE, NULL), "finish");
    }
    begin = slowest_of(batch_now() - begin) * 1e3;
    tool_must(nsh_batch_free(&batch), "free");
    return begin;
}

/* and a plain loop over this rank's part of them. */
static double short_loop(const bench *b)
{
    double begin;

    nsh_comm_barrier(b->comm);
    begin = batch_now();
    for (int i = b->rank; i < SHORT; i += b->size)
        compute_for(SHORT_US);
    return slowest_of(batch_now() - begin) * 1e3;
}

static void bench_short_tasks(const bench *b)
{
    double ours[5], loop[5];

    for (int i = 0; i < 5; i++) {
        ours[i] = short_tasks(b);
        loop[i] = short_loop(b);
    }
    qsort(ours, 5, sizeof ours[0], compare_task_seconds);
    qsort(loop, 5, sizeof loop[0], compare_task_seconds);
    bench_row(b, "batch-0.1ms-tasks-vs-plain-loop", ours[2], loop[2], "ms");
}

/* ---- tasks of very different length ---- */

static int skewed_task(const nsh_map_worker *worker, int64_t index, void *arg)
{
    /* one in LONG, at random places, but more of them at the end */
    uint64_t hash = ((uint64_t)index * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    bool is_long = hash % (SKEWED * LONG) < 2 * (uint64_t)index;

    (void)worker;
    compute_for(TASK_US * (is_long ? LONG : 1));
    *(double *)arg += TASK_US * 1e-3 * (is_long ? LONG : 1);
    return NSH_SUCCESS;
}

/* Milliseconds until all ranks have finished; *best: all work divided by the number of cores. */
static double measure_makespan(const bench *b, nsh_map_schedule schedule, double *best)
{
    nsh_map_options options = NSH_MAP_OPTIONS_INIT;
    double work = 0, begin, cores = (double)sysconf(_SC_NPROCESSORS_ONLN);

    options.schedule = schedule;
    nsh_comm_barrier(b->comm);
    begin = batch_now();
    tool_must(nsh_map(b->comm, SKEWED, skewed_task, &work, &options), "map");
    begin = slowest_of(batch_now() - begin) * 1e3;
    *best = sum_of(work) / (b->size < cores ? b->size : cores);
    return begin;
}

static void bench_schedules(const bench *b)
{
    double best, dynamic[5], guided[5], fixed[5];

    for (int i = 0; i < 5; i++) {
        dynamic[i] = measure_makespan(b, NSH_MAP_DYNAMIC, &best);
        guided[i] = measure_makespan(b, NSH_MAP_GUIDED, &best);
        fixed[i] = measure_makespan(b, NSH_MAP_STATIC, &best);
    }
    qsort(dynamic, 5, sizeof dynamic[0], compare_task_seconds);
    qsort(guided, 5, sizeof guided[0], compare_task_seconds);
    qsort(fixed, 5, sizeof fixed[0], compare_task_seconds);
    bench_row(b, "map-skewed-dynamic-vs-best-possible", dynamic[2], best, "ms");
    bench_row(b, "map-skewed-dynamic-vs-static", dynamic[2], fixed[2], "ms");
    bench_row(b, "map-skewed-guided-vs-static", guided[2], fixed[2], "ms");
}

/* ---- what idle workers cost ---- */

static double batch_cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Cores that all workers but one use together in a second in which that one has the only task. */
static double measure_idle_cores(const bench *b, bool ours)
{
    const struct timespec second = {1, 0};
    nsh_batch *batch = make_batch(b, 1, NULL, NSH_BATCH_RESUME);
    double begin, cpu = 0;
    int64_t task;

    nsh_comm_barrier(b->comm);
    begin = batch_cpu_seconds();
    tool_must(nsh_batch_next(batch, &task), "next");
    if (task >= 0) {
        nanosleep(&second, NULL);
        tool_must(nsh_batch_finish(batch, task, NSH_TASK_DONE, NULL), "finish");
    }
    if (ours)
        tool_must(nsh_batch_sync(batch), "sync");
    else
        MPI_Barrier(MPI_COMM_WORLD);
    if (task < 0)
        cpu = batch_cpu_seconds() - begin;
    cpu = sum_of(cpu);
    tool_must(nsh_batch_free(&batch), "free");
    return cpu;
}

void bench_batch(const bench *b)
{
    bench_taking(b);
    bench_journals(b);
    bench_short_tasks(b);
    bench_schedules(b);
    if (b->size > 1)
        bench_row(b, "cores-of-idle-workers-vs-MPI_Barrier", measure_idle_cores(b, true),
                  measure_idle_cores(b, false), "cores");
}
