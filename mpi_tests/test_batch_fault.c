/* test_batch_fault.c -- ranks: 3  layouts: one-node cliques-2
 * seconds: 180
 * build: faults
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* [SITE]: only this one. The fault sites under maps and batches: one code on all ranks, no hang,
 * what was reported stays.
 */
#define _GNU_SOURCE
#include "check.h"
#include "walk.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "core/comm.h"
#include "base/fault.h"

enum { ROWS = 30, TASKS = 6, MOST_NTH = 3 };

static char path[64];

static int add_index(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)arg;
    *(int64_t *)worker->accumulator += index;
    return NSH_SUCCESS;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

static int fill_row(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    (void)worker;
    (void)arg;
    ((int64_t *)row)[0] = ((int64_t *)row)[1] = index;
    return NSH_SUCCESS;
}

static bool maps(nsh_comm *comm)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;
    const int64_t extent[2] = {ROWS, 2};
    nsh_array *array = NULL;
    int64_t sum = -1;
    bool well;

    o.context = NSH_MAP_RANKS_THREADS;
    o.threads = 2;
    o.reduce_bytes = sizeof sum;
    o.combine = add;
    o.result = &sum;
    well = walk_succeeded(nsh_map(comm, 100, add_index, NULL, &o));
    if (walk_failure != NSH_ERR_MPI) /* which may differ between ranks */
        CHECK_EQ(sum, well ? 4950 : -1);
    o = (nsh_map_options)NSH_MAP_OPTIONS_INIT;
    well = well && walk_succeeded(nsh_array_create(comm, MPI_INT64_T, 2, extent, NULL, &array)) &&
           walk_succeeded(nsh_map_rows(array, fill_row, NULL, &o));
    for (int64_t i = 0; i < 2 * ROWS && well; i++)
        CHECK_EQ(((const int64_t *)nsh_array_data(array))[i], i / 2);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    return well;
}

/* All ranks are one worker, so that next and finish have one answer too. Counts in reported what
 * has ended, with success or kept in memory. */
static bool farm(nsh_comm *comm, const char *journal, nsh_batch_mode mode, int64_t *reported)
{
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;
    const int64_t extent = TASKS;
    nsh_array *results = NULL;
    nsh_batch *b = NULL;
    int64_t task = 0;
    int rc = NSH_SUCCESS;
    bool well;

    o.worker_size = check_size;
    o.result_type = MPI_INT64_T;
    o.journal = journal;
    o.mode = mode;
    o.sync = journal != NULL;
    well = walk_succeeded(nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &results)) &&
           walk_succeeded(nsh_batch_create(comm, TASKS, &o, &b));
    while (well && rc == NSH_SUCCESS) { /* one code on all ranks: compared once, after the loop */
        int64_t result;

        rc = nsh_batch_next(b, &task);
        if (rc != NSH_SUCCESS || task < 0)
            break;
        result = task + 100;
        rc = nsh_batch_finish(b, task, NSH_TASK_DONE, &result);
        *reported += rc == NSH_SUCCESS || rc == NSH_ERR_IO || rc == NSH_ERR_UNSUPPORTED;
    }
    well = well && walk_succeeded(rc);
    well = well && walk_succeeded(nsh_batch_results(b, results));
    for (int64_t t = 0; t < TASKS && well; t++)
        CHECK_EQ(((const int64_t *)nsh_array_data(results))[t], t + 100);
    well = well && walk_succeeded(nsh_batch_reopen(b, NSH_BATCH_REOPEN_FAILED));
    walk_succeeded(nsh_batch_free(&b));
    CHECK(b == NULL);
    CHECK_ALL(nsh_array_free(&results), NSH_SUCCESS);
    return well;
}

/* Nothing that was reported is lost. */
static void resumed(int64_t reported)
{
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;
    nsh_task_counts c = NSH_TASK_COUNTS_INIT;
    nsh_comm *comm = NULL;
    nsh_batch *b = NULL;

    if (check_rank != 0)
        return;
    o.result_type = MPI_INT64_T;
    o.journal = path;
    CHECK_EQ(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    if (CHECK_EQ(nsh_batch_create(comm, TASKS, &o, &b), NSH_SUCCESS))
        CHECK_EQ(nsh_batch_counts(b, &c), NSH_SUCCESS);
    CHECK(c.done >= reported);
    CHECK_EQ(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* The whole life with one injected failure; stops at the first failure and frees. A message that
 * fails in the agreement before MPI_Win_allocate leaves the other ranks in that call, as in any MPI
 * program: so messages fail only after the window of words exists. */
static void scenario(const char *wish)
{
    bool late = strncmp(wish, "mpi_", 4) == 0;
    int64_t reported = 0, none = 0;
    nsh_counter *counter = NULL;
    nsh_comm *comm = NULL;

    if (check_rank == 0)
        unlink(path);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (!late)
        setenv("NSH_FAULT", wish, 1);
    if (walk_succeeded(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm))) {
        if (late)
            CHECK_ALL(nsh_counter_create(comm, 0, NULL, &counter), NSH_SUCCESS);
        setenv("NSH_FAULT", wish, 1);
        if (maps(comm) && farm(comm, NULL, NSH_BATCH_RESUME, &none))
            farm(comm, path, NSH_BATCH_NEW, &reported);
        unsetenv("NSH_FAULT");
        CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
        CHECK_EQ(comm->live, 0);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    unsetenv("NSH_FAULT");
    CHECK(comm == NULL);
    resumed(reported);
}

/* The others fail in test_fault.c, before there is a map or a batch. */
static bool ours(const char *site)
{
    static const char *const those[] = {"map_", "batch_", "journal_", "words_", "mpi_", "heap_"};

    for (size_t i = 0; i < sizeof those / sizeof those[0]; i++)
        if (strncmp(site, those[i], strlen(those[i])) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    snprintf(path, sizeof path, "/tmp/nsh_test_fault_%d", (int)getpid());
    PMPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    for (int s = 0; nsh__fault_sites[s] != NULL; s++)
        if (argc > 1 ? strcmp(argv[1], nsh__fault_sites[s]) == 0 : ours(nsh__fault_sites[s])) {
            check_case("%s fails under maps and batches", nsh__fault_sites[s]);
            walk_site(nsh__fault_sites[s], MOST_NTH, scenario);
        }
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        unlink(path);
    return check_finish();
}
