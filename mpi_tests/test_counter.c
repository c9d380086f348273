/* test_counter.c -- ranks: 2 3  layouts: one-node cliques-2 odd-even per-rank hosts-2 serial */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The counter, the semaphore and the sequential section, call by call. */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { MOST_RANKS = 16 };

typedef struct shared {
    atomic_int asking, acquired, inside;
    volatile int order[MOST_RANKS], got;
} shared;

static nsh_comm *comm;
static shared *s;

static void await(atomic_int *step, int target)
{
    while (*step < target) {
        nsh_comm_progress(comm);
        usleep(50);
    }
}

/* ---- counter ---- */

static void counter_errors(void)
{
    nsh_counter_options options = NSH_COUNTER_OPTIONS_INIT;
    nsh_counter *counter = NULL, *other = NULL;
    int64_t value = -7;

    check_case("counter: errors");
    options.name = "count";
    CHECK_ALL(nsh_counter_create(comm, 5, &options, &counter), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(comm, 5, &options, &other), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_counter_create(comm, 5, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_create(NULL, 5, NULL, &other), NSH_ERR_ARG);
    options.name = NULL;
    options.home = check_size;
    CHECK_ALL(nsh_counter_create(comm, 5, &options, &other), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "nsh_counter_create");
    if (check_size > 1)
        CHECK_ALL(nsh_counter_create(comm, check_rank == 0, NULL, &other), NSH_ERR_MISMATCH);
    CHECK(other == NULL);
    CHECK_ALL(nsh_counter_add(NULL, 1, &value), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_read(NULL, &value), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_read(counter, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_free(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_free(&other), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_find(comm, "none", &other), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_counter_find(comm, "count", &other), NSH_SUCCESS);
    CHECK(other == counter);
    CHECK_EQ(value, -7);
    CHECK_EQ(nsh_counter_read(other, &value), NSH_SUCCESS);
    CHECK_EQ(value, 5);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
    CHECK(counter == NULL);
    CHECK_ALL(nsh_counter_find(comm, "count", &other), NSH_ERR_NOT_FOUND);
}

static void counter_values(void)
{
    const int64_t first[] = {0, -1, INT64_MAX, INT64_MIN, INT64_C(1) << 40};

    check_case("counter: from any value, over the end, for each home");
    for (int k = 0; k < 5 * check_size; k++) {
        nsh_counter_options options = {sizeof options, k % check_size, NULL};
        nsh_counter *counter = NULL;
        int64_t before = 0, value = 0, start = first[k % 5];

        CHECK_ALL(nsh_counter_create(comm, start, &options, &counter), NSH_SUCCESS);
        CHECK_EQ(nsh_counter_read(counter, &value), NSH_SUCCESS);
        CHECK_EQ(value, start);
        PMPI_Barrier(MPI_COMM_WORLD);
        for (int r = 0; r < check_size; r++) { /* in turn: every value is known */
            if (r == check_rank) {
                CHECK_EQ(nsh_counter_add(counter, INT64_C(1) << 33, &before), NSH_SUCCESS);
                CHECK_EQ(before, (int64_t)((uint64_t)start + ((uint64_t)r << 33)));
            }
            PMPI_Barrier(MPI_COMM_WORLD);
        }
        CHECK_EQ(nsh_counter_add(counter, -(INT64_C(1) << 33), NULL), NSH_SUCCESS);
        PMPI_Barrier(MPI_COMM_WORLD);
        CHECK_EQ(nsh_counter_read(counter, &value), NSH_SUCCESS);
        CHECK_EQ(value, start);
        PMPI_Barrier(MPI_COMM_WORLD);
        CHECK_EQ(nsh_counter_add(counter, check_rank, NULL), NSH_SUCCESS); /* the counter is not 0
                                                                           */
        CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
    }
}

/* ---- semaphore ---- */

static void semaphore_errors(void)
{
    nsh_semaphore_options options = NSH_SEMAPHORE_OPTIONS_INIT;
    nsh_semaphore *semaphore = NULL, *other = NULL;

    check_case("semaphore: errors");
    options.name = "gate";
    CHECK_ALL(nsh_semaphore_create(comm, 2, &options, &semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_create(comm, 2, &options, &other), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_semaphore_create(comm, 0, NULL, &other), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "nsh_semaphore_create");
    CHECK_ALL(nsh_semaphore_create(comm, -3, NULL, &other), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_create(comm, 1, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_create(NULL, 1, NULL, &other), NSH_ERR_ARG);
    options.name = NULL;
    options.home = -2;
    CHECK_ALL(nsh_semaphore_create(comm, 1, &options, &other), NSH_ERR_ARG);
    if (check_size > 1) {
        CHECK_ALL(nsh_semaphore_create(comm, 1 + (check_rank == 0), NULL, &other),
                  NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_semaphore_create(comm, check_rank == 0, NULL, &other), NSH_ERR_MISMATCH);
    }
    CHECK_ALL(nsh_semaphore_acquire(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_tryacquire(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_release(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_free(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_free(&other), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_find(comm, "none", &other), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_semaphore_find(comm, "gate", &other), NSH_SUCCESS);
    CHECK(other == semaphore);
    CHECK_ALL(nsh_semaphore_release(semaphore), NSH_ERR_STATE);
    for (int r = 0; r < check_size; r++) {
        if (r == check_rank) {
            CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_tryacquire(semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_ERR_STATE); /* it has all of them */
            CHECK_EQ(nsh_semaphore_tryacquire(semaphore), NSH_ERR_STATE);
        }
        PMPI_Barrier(MPI_COMM_WORLD);
        if (r != check_rank) {
            CHECK_EQ(nsh_semaphore_tryacquire(semaphore), NSH_ERR_BUSY);
            CHECK_EQ(nsh_semaphore_release(semaphore), NSH_ERR_STATE);
        }
        CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_ERR_STATE);
        CHECK(semaphore == other);
        if (r == check_rank) {
            CHECK_EQ(nsh_semaphore_release(semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_release(semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_release(semaphore), NSH_ERR_STATE);
        }
        PMPI_Barrier(MPI_COMM_WORLD);
    }
    CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    CHECK(semaphore == NULL);
}

/* All permits are taken; for each permit that is released, one rank acquires one. */
static void semaphore_admits(void)
{
    nsh_semaphore *semaphore = NULL;
    int permits = check_size - 1, others = check_size - 1;

    check_case("semaphore: as many get through as permits are given back");
    if (check_size == 1)
        return;
    if (check_rank == 0)
        s->asking = s->acquired = s->inside = 0;
    CHECK_ALL(nsh_semaphore_create(comm, permits, NULL, &semaphore), NSH_SUCCESS);
    for (int i = 0; check_rank == 0 && i < permits; i++)
        CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0) {
        await(&s->asking, others);
        for (int given = 1; given <= others; given++) {
            CHECK_EQ(s->acquired, given - 1);
            CHECK_EQ(nsh_semaphore_release(semaphore), NSH_SUCCESS);
            await(&s->acquired, given);
            for (int i = 0; i < 10; i++) { /* and no more than that */
                nsh_comm_progress(comm);
                usleep(500);
            }
        }
    } else {
        CHECK_EQ(nsh_semaphore_tryacquire(semaphore), NSH_ERR_BUSY);
        s->asking++;
        CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_SUCCESS);
        s->acquired++;
        await(&s->acquired, others);
        CHECK_EQ(nsh_semaphore_release(semaphore), NSH_SUCCESS);
    }
    CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_EQ(s->acquired, others);
    CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
}

/* ---- sequential section ---- */

static void sections(void)
{
    check_case("sequential: rank after rank, again and again");
    for (int i = 0; i < 20; i++) {
        if (check_rank == 0) {
            s->got = 0;
            s->inside = 0;
        }
        PMPI_Barrier(MPI_COMM_WORLD);
        CHECK_EQ(nsh_sequential_begin(comm), NSH_SUCCESS);
        CHECK_EQ(s->inside++, 0);
        CHECK_EQ(s->got, check_rank);
        if (i == 0)
            usleep(1000);
        s->order[s->got++] = check_rank;
        s->inside--;
        CHECK_EQ(nsh_sequential_end(comm), NSH_SUCCESS);
        CHECK_EQ(s->got, check_size);
        for (int r = 0; r < check_size; r++)
            CHECK_EQ(s->order[r], r);
        PMPI_Barrier(MPI_COMM_WORLD);
    }
}

static int nothing(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)index;
    (void)arg;
    return NSH_SUCCESS;
}

static void section_errors(void)
{
    const double value = 1;
    nsh_comm *again = NULL;
    nsh_mutex *mutex = NULL;
    nsh_array *array = NULL, *other = NULL;
    nsh_batch *batch = NULL;

    check_case("sequential: errors");
    CHECK_ALL(nsh_sequential_begin(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_sequential_end(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_sequential_end(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_begin(comm), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_begin(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS); /* not collective, so allowed */
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_end(comm), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_end(comm), NSH_ERR_STATE);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    if (check_size == 1)
        return;
    check_case("sequential: a collective call inside is no hang");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &again), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(again, NULL, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(again, MPI_DOUBLE, 0, NULL, NULL, &array), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_begin(again), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_barrier(again), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_node_barrier(again), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_set(array, &value, NULL, NULL, 0), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_fill(array, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_like(array, NULL, &other), NSH_ERR_STATE);
    CHECK_EQ(nsh_map(again, 10, nothing, NULL, NULL), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_create(again, 10, NULL, &batch), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_free(&mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(&again), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free_all(&again), NSH_ERR_STATE);
    CHECK(again != NULL && mutex != NULL);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_sequential_end(again), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(again), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, &value, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&again), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    s = check_shared(sizeof *s);
    CHECK_ALL(strcmp(check_layout, "serial") == 0 ? nsh_comm_create_serial(&comm)
                                                  : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    counter_errors();
    counter_values();
    semaphore_errors();
    semaphore_admits();
    sections();
    section_errors();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
