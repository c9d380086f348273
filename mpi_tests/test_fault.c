/* test_fault.c -- ranks: 3  layouts: one-node cliques-2
 * seconds: 240
 * build: faults
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every fault site on every rank: one code everywhere, old contents, no leak, and then it works. */
#define _GNU_SOURCE
#include "check.h"
#include "walk.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "core/comm.h"
#include "base/fault.h"

enum { FEW = 7, MANY = 300000 /* of 8 bytes: more than a large block */, MOST_NTH = 2 };

static int64_t *data, *expected;

/* One change of an array; on failure it holds what it held. */
static bool change(nsh_array *a, int64_t n, int64_t value, int kind)
{
    const int64_t stride = 1;
    int64_t one = value;
    void *view = NULL;
    int rc;

    for (int64_t i = 0; i < n; i++)
        data[i] = value;
    if (kind == 0)
        rc = nsh_array_set(a, data, NULL, NULL, nsh_comm_size(nsh_array_comm(a)) - 1);
    else if (kind == 1)
        rc = nsh_array_set_strided(a, data, &stride, NULL, NULL, 0);
    else if (kind == 2)
        rc = nsh_array_fill(a, &one);
    else if (kind == 3)
        rc = nsh_array_allreduce(a, data, MPI_MAX);
    else if (kind == 4)
        rc = nsh_array_allgather(a, data, NULL, NULL);
    else {
        rc = nsh_array_update_begin(a, NULL, NULL, 0, &view);
        if (!walk_succeeded(rc))
            return false;
        if (view != NULL)
            memcpy(view, data, (size_t)n * sizeof *data);
        rc = nsh_array_update_end(a);
    }
    if (walk_succeeded(rc)) {
        memcpy(expected, data, (size_t)n * sizeof *data);
        CHECK_MEM(nsh_array_data(a), expected, n * 8);
        return true;
    }
    if (walk_failure != NSH_ERR_MPI)
        CHECK_MEM(nsh_array_data(a), expected, n * 8);
    return false;
}

static bool work(nsh_comm *comm, int64_t n, MPI_Datatype type, nsh_array **a)
{
    const int64_t extent[1] = {n};
    uint64_t sum;

    memset(expected, 0, (size_t)n * sizeof *expected);
    if (!walk_succeeded(nsh_array_create(comm, type, 1, extent, NULL, a)))
        return false;
    for (int kind = 0; kind < 6; kind++)
        if ((kind != 3 || type == MPI_INT64_T) && !change(*a, n, 10 + kind, kind))
            return false;
    return walk_succeeded(nsh_array_checksum(*a, &sum));
}

static int lock_and_unlock(nsh_mutex *mutex)
{
    int rc = nsh_mutex_lock(mutex);

    return rc == NSH_SUCCESS ? nsh_mutex_unlock(mutex) : rc;
}

static int acquire_and_release(nsh_semaphore *semaphore)
{
    int rc = nsh_semaphore_acquire(semaphore);

    return rc == NSH_SUCCESS ? nsh_semaphore_release(semaphore) : rc;
}

static int section(nsh_comm *comm)
{
    int rc = nsh_sequential_begin(comm);

    return rc == NSH_SUCCESS ? nsh_sequential_end(comm) : rc;
}

/* What ranks take turns with. After a failure the state of a mutex is unknown. */
static void take_turns(nsh_comm *comm)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex *mutex[2] = {NULL, NULL};
    nsh_semaphore *semaphore = NULL;
    nsh_counter *counter = NULL;
    int64_t before;
    bool well = true;

    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT && well; order++) {
        options.order = (nsh_mutex_order)order;
        well = walk_succeeded(nsh_mutex_create(comm, &options, &mutex[order]));
        for (int i = 0; i < 3 && well; i++)
            well = walk_succeeded(lock_and_unlock(mutex[order]));
    }
    well = well && walk_succeeded(nsh_semaphore_create(comm, 1, NULL, &semaphore)) &&
           walk_succeeded(acquire_and_release(semaphore)) &&
           walk_succeeded(nsh_counter_create(comm, 3, NULL, &counter)) &&
           walk_succeeded(nsh_counter_add(counter, 1, &before)) && walk_succeeded(section(comm));
    CHECK_ALL(nsh_mutex_free(&mutex[0]), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex[1]), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
}

/* What an MPI communicator keeps: nothing where nsh_comm_of has failed. */
static void keep_one(const char *wish)
{
    nsh_comm *comm = NULL;
    MPI_Comm mpi;

    setenv("NSH_FAULT", wish, 1);
    MPI_Comm_dup(MPI_COMM_WORLD, &mpi);
    if (!walk_succeeded(nsh_comm_of(mpi, &comm))) {
        CHECK(comm == NULL);
        CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_EQ(MPI_Comm_free(&mpi), MPI_SUCCESS);
}

/* The whole life with one injected failure; stops at the first failure and frees. */
static void scenario(const char *wish)
{
    nsh_comm *comm = NULL;
    nsh_array *a[3] = {NULL, NULL, NULL};
    MPI_Datatype pair;

    setenv("NSH_FAULT", wish, 1);
    MPI_Type_contiguous(8, MPI_BYTE, &pair);
    MPI_Type_commit(&pair);
    if (walk_succeeded(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm))) {
        if (work(comm, FEW, MPI_INT64_T, &a[0]) && work(comm, MANY, MPI_INT64_T, &a[1]))
            work(comm, FEW, pair, &a[2]);
        if (walk_failure == 0)
            take_turns(comm);
        for (int i = 0; i < 3; i++)
            CHECK_ALL(nsh_array_free(&a[i]), NSH_SUCCESS);
        CHECK_EQ(comm->live, 0);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    CHECK(comm == NULL);
    MPI_Type_free(&pair);
}

/* The run that passes through the site. */
static void (*passing(const char *site))(const char *wish)
{
    return strcmp(site, "comm_of_attr") == 0 ? keep_one : scenario;
}

/* An allreduce for which one rank gets no memory, while the others would need a new heap window for
 * their staging slots, which fit in no gap between the remaining arrays. A node of one rank needs
 * none. */
static void reduce_in_gaps(const char *site, int rank)
{
    enum {
        EACH = 40000
    }; /* of 8 bytes: more than a rank's staging slot, less than a large block
                           */
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    const int64_t extent[1] = {EACH};
    nsh_comm *comm = NULL;
    nsh_array *a[3] = {NULL, NULL, NULL};
    char wish[128];

    options.heap_bytes = 7 * EACH * 4; /* of which the last array leaves less than two staging slots
                                       */
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
    for (int i = 0; i < 3; i++)
        CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, extent, NULL, &a[i]), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&a[0]), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&a[2]), NSH_SUCCESS);
    for (int64_t i = 0; i < EACH; i++)
        data[i] = i + check_rank;
    snprintf(wish, sizeof wish, "%s:1:%d", site, rank);
    setenv("NSH_FAULT", wish, 1);
    if (check_size > nsh_comm_node_count(comm)) {
        CHECK_ALL(nsh_array_allreduce(a[1], data, MPI_MAX), NSH_ERR_NOMEM);
        CHECK_HAS(nsh_error_detail(), "injected failure");
        CHECK_EQ(*(const int64_t *)nsh_array_data(a[1]), 0);
    }
    unsetenv("NSH_FAULT");
    CHECK_ALL(nsh_array_allreduce(a[1], data, MPI_MAX), NSH_SUCCESS);
    for (int64_t i = 0; i < EACH; i++)
        data[i] = i + check_size - 1;
    CHECK_MEM(nsh_array_data(a[1]), data, EACH * 8);
    CHECK_ALL(nsh_array_free(&a[1]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* test_file_fault.c does those. */
static bool of_files(const char *site)
{
    return strncmp(site, "file_", 5) == 0 || strncmp(site, "disk_", 5) == 0 ||
           strncmp(site, "h5_", 3) == 0;
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    data = malloc(MANY * sizeof *data);
    expected = malloc(MANY * sizeof *expected);
    if (data == NULL || expected == NULL)
        return 1;
    for (int s = 0; nsh__fault_sites[s] != NULL; s++)
        if (!of_files(nsh__fault_sites[s])) {
            check_case("%s fails", nsh__fault_sites[s]);
            walk_site(nsh__fault_sites[s], MOST_NTH, passing(nsh__fault_sites[s]));
        }
    for (int rank = 0; rank < check_size && nsh__fault_sites[0] != NULL; rank++) {
        check_case("allreduce whose rooms need a new window fails on rank %d", rank);
        reduce_in_gaps("heap_block", rank);
        reduce_in_gaps("window_alloc", rank);
    }
    free(data);
    free(expected);
    return check_finish();
}
