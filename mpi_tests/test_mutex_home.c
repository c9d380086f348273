/* test_mutex_home.c -- ranks: 2 4  layouts: one-node cliques-2 odd-even per-rank hosts-2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank computes, outside MPI, until the others are done with mutexes of every home: if it had to
 * take part, the test would never end. On one node nothing is needed for that; across nodes the
 * helper thread does it. */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { ROUNDS = 20 };

static void others_take_turns(nsh_comm *comm, atomic_int *done, int away, nsh_mutex_order order)
{
    nsh_mutex_options options = {sizeof options, away, order, 3, NULL};
    nsh_mutex *mutex = NULL;
    nsh_counter *counter = NULL;
    nsh_counter_options at = {sizeof at, away, NULL};
    int64_t before = 0;

    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(comm, 0, &at, &counter), NSH_SUCCESS);
    if (check_rank == 0)
        *done = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == away) {
        while (*done < check_size - 1)
            ;
    } else {
        for (int i = 0; i < ROUNDS; i++) {
            CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
            CHECK_EQ(nsh_counter_add(counter, 1, &before), NSH_SUCCESS);
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        }
        ++*done;
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_counter_read(counter, &before), NSH_SUCCESS);
    CHECK_EQ(before, ROUNDS * (check_size - 1));
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

/* A rank gives up and then computes: the others get the mutex in spite of its place. */
static void one_leaves_permanently(nsh_comm *comm, atomic_int *done, int away,
                                   nsh_mutex_order order)
{
    nsh_mutex_options options = {sizeof options, NSH_HOME_ANY, order, 3, NULL};
    nsh_mutex *mutex = NULL;
    int holder = (away + 1) % check_size;

    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    if (check_rank == 0)
        *done = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == holder)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == away)
        CHECK_EQ(nsh_mutex_timedlock(mutex, 0.001), NSH_ERR_TIMEOUT);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == away) {
        while (*done < check_size - 1)
            ;
    } else {
        if (check_rank == holder)
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        for (int i = 0; i < ROUNDS; i++) {
            CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        }
        ++*done;
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;
    atomic_int *done;
    int level;

    check_init(&argc, &argv);
    MPI_Query_thread(&level);
    if (level < MPI_THREAD_MULTIPLE && strcmp(check_layout, "one-node") != 0)
        check_skip("this MPI gives no MPI_THREAD_MULTIPLE");
    done = check_shared(sizeof *done);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++)
        for (int away = 0; away < check_size; away++) {
            check_case("order %d, rank %d is the home and computes", order, away);
            others_take_turns(comm, done, away, (nsh_mutex_order)order);
            check_case("order %d, rank %d gives up and computes", order, away);
            one_leaves_permanently(comm, done, away, (nsh_mutex_order)order);
        }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
