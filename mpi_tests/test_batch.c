/* test_batch.c -- ranks: 1 2 5  layouts: one-node cliques-2 odd-even per-rank rpn-2
 * layouts: hosts-2 serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches without a journal, call by call. */
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { MOST_TASKS = 3000 };

static nsh_comm *comm;
static atomic_int *taken; /* task -> how often a worker's leader took it */
static atomic_int remote_operations;

/* Only those of words on several nodes under MPICH; PMPI does the work. */
int MPI_Fetch_and_op(const void *origin, void *result, MPI_Datatype type, int target, MPI_Aint disp,
                     MPI_Op op, MPI_Win win)
{
    remote_operations++;
    return PMPI_Fetch_and_op(origin, result, type, target, disp, op, win);
}

static void forget(void)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        for (int i = 0; i < MOST_TASKS; i++)
            taken[i] = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
}

static nsh_batch_options with_results(int worker_size)
{
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;

    o.worker_size = worker_size;
    o.result_type = MPI_INT64_T;
    o.result_count = 2;
    o.quiet = 1;
    return o;
}

static void result_of(int64_t task, int64_t out[2])
{
    out[0] = task * task + 1;
    out[1] = -task;
}

/* Run all OPEN tasks; a task whose number is a multiple of fail_every ends as FAILED. Returns how
 * many this rank's worker took. */
static int64_t work(nsh_batch *b, int64_t fail_every)
{
    int64_t task = -2, mine = 0, result[2];

    while (CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS) && task >= 0) {
        int fails = fail_every > 0 && task % fail_every == 0 && nsh_batch_worker_rank(b) == 0;

        mine++;
        if (nsh_batch_worker_rank(b) == 0)
            taken[task]++;
        result_of(task, result);
        CHECK_EQ(nsh_batch_finish(b, task, fails ? NSH_TASK_FAILED : NSH_TASK_DONE, result),
                 NSH_SUCCESS);
    }
    CHECK_EQ(task, -1);
    return mine;
}

static void check_counts(nsh_batch *b, int64_t tasks, int64_t open, int64_t running, int64_t done,
                         int64_t failed)
{
    nsh_task_counts c = {sizeof(nsh_task_counts), -1, -1, -1, -1, -1};

    CHECK_ALL(nsh_batch_counts(b, &c), NSH_SUCCESS);
    CHECK_EQ(c.tasks, tasks);
    CHECK_EQ(c.open, open);
    CHECK_EQ(c.running, running);
    CHECK_EQ(c.done, done);
    CHECK_EQ(c.failed, failed);
}

static nsh_task_state state_of(nsh_batch *b, int64_t task)
{
    nsh_task_state state = (nsh_task_state)-1;

    CHECK_EQ(nsh_batch_state(b, task, &state), NSH_SUCCESS);
    return state;
}

/* ---- each task once, with its result ---- */

static void all_tasks(int64_t n, int worker_size)
{
    nsh_batch_options o = with_results(worker_size);
    const int64_t extent[2] = {n, 2};
    nsh_array *results = NULL;
    nsh_batch *b = NULL;
    int64_t wrong = 0;

    check_case("each of %d tasks once, workers of %d", (int)n, worker_size);
    forget();
    CHECK_ALL(nsh_batch_create(comm, n, &o, &b), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_worker_count(b), (check_size + worker_size - 1) / worker_size);
    CHECK_EQ(nsh_batch_worker(b), check_rank / worker_size);
    CHECK_EQ(nsh_batch_worker_rank(b), check_rank % worker_size);
    check_counts(b, n, n, 0, 0, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    check_counts(b, n, 0, 0, n, 0);
    for (int64_t t = 0; t < n; t++)
        CHECK_EQ(taken[t], 1);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 2, extent, NULL, &results), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_results(b, results), NSH_SUCCESS);
    for (int64_t t = 0; t < n; t++) {
        int64_t expected[2];

        result_of(t, expected);
        wrong += memcmp((const int64_t *)nsh_array_data(results) + 2 * t, expected, 16) != 0;
        CHECK_EQ(state_of(b, t), NSH_TASK_DONE);
    }
    CHECK_EQ(wrong, 0);
    CHECK_ALL(nsh_array_free(&results), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK(b == NULL);
}

/* ---- failed tasks and reopen ---- */

static void failed_tasks(int worker_size)
{
    enum { N = 50, FAILED = (N + 3) / 4 };
    nsh_batch_options o = with_results(worker_size);
    const int64_t extent[1] = {2 * N};
    nsh_array *results = NULL;
    nsh_batch *b = NULL;
    const int64_t *data;

    check_case("failed tasks stay so until reopened, workers of %d", worker_size);
    forget();
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, extent, NULL, &results), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 4);
    PMPI_Barrier(MPI_COMM_WORLD);
    check_counts(b, N, 0, 0, N - FAILED, FAILED);
    work(b, 0); /* nothing to do */
    CHECK_ALL(nsh_batch_results(b, results), NSH_SUCCESS);
    data = nsh_array_data(results);
    for (int64_t t = 0; t < N; t++) {
        CHECK_EQ(taken[t], 1);
        CHECK_EQ(state_of(b, t), t % 4 == 0 ? NSH_TASK_FAILED : NSH_TASK_DONE);
        CHECK_EQ(data[2 * t], t % 4 == 0 ? 0 : t * t + 1);
    }
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_FAILED), NSH_SUCCESS);
    check_counts(b, N, FAILED, 0, N - FAILED, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    check_counts(b, N, 0, 0, N, 0);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_FAILED), NSH_SUCCESS); /* there are none */
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_DONE | NSH_BATCH_REOPEN_FAILED), NSH_SUCCESS);
    check_counts(b, N, N, 0, 0, 0);
    CHECK_ALL(nsh_batch_results(b, results), NSH_SUCCESS);
    for (int64_t t = 0; t < N; t++) {
        CHECK_EQ(taken[t], t % 4 == 0 ? 2 : 1);
        CHECK_EQ(data[2 * t], 0);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 0);
    CHECK_ALL(nsh_batch_results(b, results), NSH_SUCCESS);
    for (int64_t t = 0; t < N; t++)
        CHECK_EQ(data[2 * t], t * t + 1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&results), NSH_SUCCESS);
}

/* One rank of a worker passes FAILED. */
static void group_fails(void)
{
    nsh_batch_options o = with_results(check_size);
    nsh_batch *b = NULL;
    int64_t task = -7, result[2] = {1, 2};

    check_case("one rank that fails fails its worker's task");
    CHECK_ALL(nsh_batch_create(comm, check_size, &o, &b), NSH_SUCCESS);
    for (int r = 0; r < check_size; r++) {
        CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
        CHECK_EQ(task, r);
        CHECK_EQ(state_of(b, r), NSH_TASK_RUNNING); /* on all nodes of the worker */
        CHECK_ALL(
            nsh_batch_finish(b, task, check_rank == r ? NSH_TASK_FAILED : NSH_TASK_DONE, result),
            NSH_SUCCESS);
        CHECK_EQ(state_of(b, r), NSH_TASK_FAILED);
    }
    CHECK_ALL(nsh_batch_sync(b), NSH_SUCCESS);
    check_counts(b, check_size, 0, 0, 0, check_size);
    for (int r = 0; r < check_size; r++)
        CHECK_EQ(state_of(b, r), NSH_TASK_FAILED);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* ---- running tasks ---- */

/* The ranks take a task each, one after the other: none takes two. */
static int64_t take_in_turn(nsh_batch *b)
{
    int64_t task = -7;

    for (int r = 0; r < check_size; r++) {
        PMPI_Barrier(MPI_COMM_WORLD);
        if (r == check_rank)
            CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    return task;
}

/* Every step-th of n tasks. */
static void check_states(nsh_batch *b, int64_t n, int64_t step, nsh_task_state state)
{
    for (int64_t t = 0; t < n; t += step)
        CHECK_EQ(state_of(b, t), state);
}

static void running(void)
{
    nsh_batch_options o = with_results(1);
    int64_t n = 3 * check_size, task, other = -7, result[2] = {1, 2};
    nsh_task_state all[3 * 16];
    char line[100] = "";
    nsh_batch *b = NULL;

    check_case("initial states; RUNNING; a task that is not yours; reopen while it runs");
    for (int64_t t = 0; t < n; t++)
        all[t] = (nsh_task_state)(t % 3 == 0 ? NSH_TASK_RUNNING : t % 3 + 1);
    o.states = all; /* OPEN for a third, DONE, FAILED */
    CHECK_ALL(nsh_batch_create(comm, n, &o, &b), NSH_SUCCESS);
    check_counts(b, n, check_size, 0, check_size, check_size);
    CHECK_EQ(state_of(b, 0), NSH_TASK_OPEN);
    CHECK_EQ(state_of(b, 1), NSH_TASK_DONE);
    CHECK_EQ(state_of(b, 2), NSH_TASK_FAILED);
    task = take_in_turn(b);
    CHECK(task >= 0 && task % 3 == 0);
    CHECK_EQ(state_of(b, task), NSH_TASK_RUNNING);
    CHECK_EQ(nsh_batch_next(b, &other), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "nsh_batch_next");
    CHECK_EQ(other, -7);
    CHECK_EQ(nsh_batch_finish(b, 1, NSH_TASK_DONE, result), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_finish(b, (task + 3) % n, NSH_TASK_DONE, result),
             check_size == 1 ? NSH_SUCCESS : NSH_ERR_STATE);
    if (check_size == 1) { /* it was its own */
        CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_DONE), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_batch_sync(b), NSH_SUCCESS);
    check_states(b, n, 3, NSH_TASK_RUNNING);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_FAILED), NSH_SUCCESS); /* running tasks stay
                                                                             RUNNING */
    CHECK_EQ(state_of(b, task), NSH_TASK_RUNNING);
    CHECK_EQ(nsh_batch_status_line(b, line, sizeof line), NSH_SUCCESS);
    CHECK_HAS(line, " Running / 0 Failed / ");
    if (check_size > 1)
        check_counts(b, n, check_size, check_size, check_size, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, result), NSH_ERR_STATE);
    CHECK_ALL(nsh_batch_sync(b), NSH_SUCCESS);
    check_states(b, n, 3, NSH_TASK_DONE);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_RUNNING), NSH_SUCCESS);
    if (task >= 0)
        CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, result), NSH_ERR_STATE);
    CHECK_EQ(state_of(b, 2), NSH_TASK_OPEN);
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_sync(b), NSH_SUCCESS);
    check_states(b, n, 1, NSH_TASK_DONE);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_EQ(task, -1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* ---- status line and progress ---- */

static void note_progress(const nsh_task_counts *counts, void *arg)
{
    int64_t *seen = arg;

    seen[0]++;
    seen[1] = counts->tasks;
    CHECK_EQ(counts->open + counts->running + counts->done + counts->failed, counts->tasks);
}

static void progress(void)
{
    nsh_batch_options o = with_results(1);
    int64_t seen[2] = {0, 0};
    char line[100] = "", cut[8] = "xxxxxxx";
    nsh_batch *b = NULL;

    check_case("status line and progress");
    o.progress = note_progress;
    o.progress_arg = seen;
    o.progress_seconds = 0;
    CHECK_ALL(nsh_batch_create(comm, 20, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_status_line(b, line, sizeof line), NSH_SUCCESS);
    CHECK_STR(line, "20 Jobs: 0 Finished / 0 Running / 0 Failed / 20 in Queue");
    CHECK_ALL(nsh_batch_status_line(b, cut, sizeof cut), NSH_SUCCESS);
    CHECK_STR(cut, "20 Jobs");
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 10);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_status_line(b, line, sizeof line), NSH_SUCCESS);
    CHECK_STR(line, "20 Jobs: 18 Finished / 0 Running / 2 Failed / 0 in Queue");
    CHECK_EQ(seen[0] > 0, check_rank == 0);
    CHECK_EQ(seen[1], check_rank == 0 ? 20 : 0);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* ---- workers' communicators; several batches ---- */

static void worker_comms(void)
{
    nsh_batch_options o = with_results(check_size > 1 ? 2 : 1);
    nsh_batch *b = NULL, *other = NULL;
    int64_t task = -1, second = -1;
    MPI_Comm c = MPI_COMM_SELF, again;
    int size = -1, rank = -1;

    check_case("workers' communicators; batches of different workers in turn");
    CHECK_ALL(nsh_batch_create(comm, 60, &o, &b), NSH_SUCCESS);
    o.worker_size = check_size;
    CHECK_ALL(nsh_batch_create(comm, 30, &o, &other), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_worker_comm(b, &c), NSH_SUCCESS);
    if (strcmp(check_layout, "serial") == 0) {
        CHECK(c == MPI_COMM_NULL);
    } else {
        int sum = -1, one = 1;

        CHECK_ALL(nsh_batch_worker_comm(b, &again), NSH_SUCCESS);
        CHECK(again == c);
        PMPI_Comm_size(c, &size);
        PMPI_Comm_rank(c, &rank);
        CHECK_EQ(rank, nsh_batch_worker_rank(b));
        PMPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, c);
        CHECK_EQ(sum, size);
        CHECK_EQ(size, check_size == 1                                  ? 1
                       : check_rank == check_size - 1 && check_size % 2 ? 1
                                                                        : 2);
    }
    for (int i = 0; i < 30; i++) {
        CHECK_ALL(nsh_batch_next(other, &second), NSH_SUCCESS);
        CHECK_EQ(second, i);
        CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
        if (task >= 0)
            CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, &(int64_t[2]){0, 0}), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_finish(other, second, NSH_TASK_DONE, NULL), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_batch_sync(other), NSH_SUCCESS);
    check_counts(other, 30, 0, 0, 30, 0);
    CHECK_ALL(nsh_batch_free(&other), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* ---- claims across nodes ---- */

static void chunks(void)
{
    enum { N = 300000 }; /* many, so that ranks contend */
    nsh_batch *b = NULL;
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;
    int64_t task = 0, before = -1, mine = 0, all = 0;
    int operations;

    check_case("very many tasks, few remote operations");
    o.quiet = 1;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    remote_operations = 0;
    while (nsh_batch_next(b, &task) == NSH_SUCCESS && task >= 0) {
        mine++;
        CHECK(task > before); /* a node takes them in order */
        before = task;
        CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
    }
    operations = remote_operations;
    CHECK(operations <= 10000 / 10 / check_size);
    if (nsh_comm_node_count(comm) == 1)
        CHECK_EQ(operations, 0);
    PMPI_Allreduce(&mine, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    CHECK_EQ(all, N);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* Each worker takes one task and keeps it until all others have taken one: they have the lowest
 * numbers, and no node holds a task back for which a worker of another one waits. */
static void in_order(int worker_size, int rounds)
{
    nsh_batch_options o = with_results(worker_size);
    int64_t workers = (check_size + worker_size - 1) / worker_size, task = -7;
    nsh_batch *b = NULL;

    check_case("the first tasks to the first who ask: %d a worker of %d", rounds, worker_size);
    forget();
    CHECK_ALL(nsh_batch_create(comm, rounds * workers, &o, &b), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK(task >= 0 && task < workers);
    if (task >= 0 && nsh_batch_worker_rank(b) == 0)
        taken[task]++;
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int64_t t = 0; t < workers; t++)
        CHECK_EQ(taken[t], 1);
    if (task >= 0)
        CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
    work(b, 0);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

static void fixed_chunks(void)
{
    enum { N = 40 };
    nsh_batch_options o = with_results(1);
    nsh_batch *b = NULL;
    int64_t task = -7;

    check_case("chunks of a given size: a node has all, or each task is fetched");
    for (o.chunk = N; o.chunk > 0; o.chunk = o.chunk == N ? 1 : 0) {
        forget();
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
        if (check_rank == 0)
            CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
        PMPI_Barrier(MPI_COMM_WORLD);
        if (check_rank != 0)
            CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
        CHECK_EQ(task >= 0, o.chunk == 1 || nsh_comm_node_index(comm) == 0);
        PMPI_Barrier(MPI_COMM_WORLD);
        if (task >= 0)
            CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    }
}

/* ---- errors ---- */

static void option_errors(void)
{
    nsh_batch_options o = with_results(1);
    nsh_task_state states[4] = {NSH_TASK_OPEN, (nsh_task_state)4, NSH_TASK_DONE, NSH_TASK_DONE};
    nsh_batch *b = NULL;

    check_case("create: wrong options");
    o.worker_size = 0;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "nsh_batch_create: workers of 0");
    o.worker_size = check_size + 1;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.wait_seconds = -1;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.max_attempts = 256;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.chunk = -1;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "chunk -1");
    o = with_results(1);
    o.states = states;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.result_count = 0;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o.result_count = INT64_MAX / 2;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.home = check_size;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.mode = (nsh_batch_mode)9;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    o = with_results(1);
    o.progress_seconds = -1;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_ARG);
    CHECK(b == NULL);
}

static void create_errors(void)
{
    nsh_batch_options o = with_results(1);
    nsh_batch *b = NULL;
    MPI_Datatype odd;

    check_case("create: errors");
    CHECK_ALL(nsh_batch_create(NULL, 4, &o, &b), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_create(comm, -1, &o, &b), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_create(comm, 4, &o, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_create(comm, INT64_MAX, &o, &b), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_create(comm, INT64_C(1) << 50, &o, &b), NSH_ERR_NOMEM);
    if (strcmp(check_layout, "serial") != 0) {
        PMPI_Type_create_resized(MPI_INT, 0, 12, &odd);
        PMPI_Type_commit(&odd);
        o = with_results(1);
        o.result_type = odd;
        CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_TYPE);
        PMPI_Type_free(&odd);
    }
    o = with_results(1);
    if (check_size > 1) {
        CHECK_ALL(nsh_batch_create(comm, 4 + (check_rank == 1), &o, &b), NSH_ERR_MISMATCH);
        o.worker_size = 1 + (check_rank == 1);
        CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_MISMATCH);
        o = with_results(1);
        o.chunk = check_rank == 1;
        CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_MISMATCH);
        o = with_results(1);
        o.wait = check_rank == 1;
        CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_MISMATCH);
        o = with_results(1);
        o.max_attempts = check_rank == 1;
        CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_ERR_MISMATCH);
    }
    CHECK(b == NULL);
    CHECK_ALL(nsh_batch_free(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

static void call_errors(void)
{
    nsh_batch_options o = with_results(1);
    nsh_batch *b = NULL, *second = NULL;
    nsh_comm *c = comm;
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh_task_state state;
    int64_t task;
    char line[10];

    check_case("errors");
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &second), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&c), NSH_ERR_STATE);
    CHECK_ALL(nsh_batch_next(NULL, &task), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_next(b, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_finish(NULL, 0, NSH_TASK_DONE, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_finish(b, -1, NSH_TASK_DONE, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_finish(b, 4, NSH_TASK_DONE, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_finish(b, 0, NSH_TASK_RUNNING, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_finish(b, 0, NSH_TASK_DONE, NULL), NSH_ERR_STATE);
    CHECK_ALL(nsh_batch_state(NULL, 0, &state), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_state(b, 0, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_state(b, 4, &state), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_state(b, -1, &state), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_counts(NULL, &counts), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_counts(b, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_status_line(NULL, line, sizeof line), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_status_line(b, NULL, 5), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_status_line(b, line, 0), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_worker_comm(NULL, &(MPI_Comm){0}), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_worker_comm(b, NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_batch_worker(NULL), -1);
    CHECK_EQ(nsh_batch_worker_count(NULL), -1);
    CHECK_EQ(nsh_batch_worker_rank(NULL), -1);
    CHECK_ALL(nsh_batch_sync(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_reopen(NULL, NSH_BATCH_REOPEN_FAILED), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_reopen(b, 0), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_reopen(b, 1U << NSH_TASK_OPEN), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_reopen(b, 1U << 4), NSH_ERR_ARG);
    if (check_size > 1) {
        CHECK_ALL(nsh_batch_reopen(b, check_rank == 0 ? NSH_BATCH_REOPEN_DONE : 0),
                  NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_batch_sync(check_rank == 0 ? b : second), NSH_ERR_MISMATCH);
    }
    CHECK_ALL(nsh_batch_free(&second), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

static void result_errors(void)
{
    nsh_batch_options o = with_results(1);
    const int64_t extent[1] = {8}, wrong[1] = {9};
    nsh_array *good = NULL, *longer = NULL, *doubles = NULL;
    nsh_batch *b = NULL, *bare = NULL;
    void *view;

    check_case("results: errors");
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_SUCCESS);
    o.result_type = MPI_DATATYPE_NULL;
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &bare), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, extent, NULL, &good), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, wrong, NULL, &longer), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, extent, NULL, &doubles), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_results(NULL, good), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_results(b, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_results(bare, good), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_results(b, longer), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_results(b, doubles), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_update_begin(good, NULL, NULL, 0, &view), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_results(b, good), NSH_ERR_STATE);
    CHECK_ALL(nsh_array_update_end(good), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_results(b, good), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&good), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&longer), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&doubles), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&bare), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* Within a worker, one wrong argument is everybody's error. */
static void worker_errors(void)
{
    nsh_batch_options o = with_results(check_size);
    nsh_batch *b = NULL;
    int64_t task = -7;

    check_case("a worker has one answer");
    CHECK_ALL(nsh_batch_create(comm, 4, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_next(b, check_rank == check_size - 1 ? NULL : &task), NSH_ERR_ARG);
    CHECK_EQ(task, -7);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_EQ(task, 0);
    CHECK_ALL(nsh_batch_finish(b, check_rank == check_size - 1 ? 1 : 0, NSH_TASK_DONE, NULL),
              NSH_ERR_STATE);
    CHECK_ALL(nsh_batch_finish(b, 0, NSH_TASK_DONE, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_sync(b), NSH_SUCCESS);
    check_counts(b, 4, 3, 0, 1, 0);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    taken = check_shared(MOST_TASKS * (int64_t)sizeof *taken);
    CHECK_ALL(strcmp(check_layout, "serial") == 0 ? nsh_comm_create_serial(&comm)
                                                  : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    option_errors();
    create_errors();
    call_errors();
    result_errors();
    worker_errors();
    all_tasks(0, 1);
    all_tasks(1, 1);
    all_tasks(MOST_TASKS, 1);
    if (check_size > 1) {
        all_tasks(200, 2);
        all_tasks(3, check_size);
        failed_tasks(2);
    }
    failed_tasks(1);
    group_fails();
    running();
    progress();
    worker_comms();
    chunks();
    for (int worker_size = 1; worker_size <= check_size && worker_size <= 2; worker_size++) {
        in_order(worker_size, 1);
        in_order(worker_size, 3);
    }
    fixed_chunks();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
