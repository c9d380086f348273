/* test_mutex_check.c -- ranks: 2 3  layouts: one-node cliques-2 odd-even hosts-2
 * env: NSH_CHECK=1
 * seconds: 60 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank that holds a mutex enters a collective call while the others want the mutex: without a
 * diagnosis all would wait permanently. In either order each rank gets an error and continues. */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { ROUNDS = 12 };

typedef enum call { BARRIER, SET, UPDATE, SEQUENTIAL, CREATE, CALLS } call;

static nsh_comm *comm;
static nsh_array *array;
static atomic_int *asking;

/* One collective call, and what belongs to it if it succeeds. */
static int collective(call which)
{
    nsh_counter *counter = NULL;
    void *view = NULL;
    int value = 7, rc;

    switch (which) {
    case SET:
        return nsh_array_set(array, &value, NULL, NULL, check_size - 1);
    case UPDATE:
        rc = nsh_array_update_begin(array, NULL, NULL, 0, &view);
        return rc == NSH_SUCCESS ? nsh_array_update_end(array) : rc;
    case SEQUENTIAL:
        rc = nsh_sequential_begin(comm);
        return rc == NSH_SUCCESS ? nsh_sequential_end(comm) : rc;
    case CREATE:
        rc = nsh_counter_create(comm, 0, NULL, &counter);
        return rc == NSH_SUCCESS ? nsh_counter_free(&counter) : rc;
    default:
        return nsh_comm_barrier(comm);
    }
}

/* Some time, for either order of what two ranks do. */
static void dawdle(void)
{
    usleep((unsigned)(check_rank * 700 + (int)check_random_below(4) * 2000) % 6000);
}

/* Called by all alike: the waiting rank has got an error, or the holder, or both. */
static void holder_enters(nsh_mutex *mutex, int holder, call which)
{
    int rc;

    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    if (check_rank == holder)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS); /* while held: no rank waits */
    dawdle();
    if (check_rank != holder) {
        CHECK_EQ(nsh_mutex_trylock(mutex), NSH_ERR_BUSY);
        CHECK_EQ(nsh_mutex_timedlock(mutex, 0.001), NSH_ERR_TIMEOUT);
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_ERR_STATE);
        CHECK_HAS(nsh_error_detail(), "nsh_mutex_lock");
    }
    rc = collective(which);
    CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_STATE);
    check_same(MPI_COMM_WORLD, rc, "the holder's collective call", __FILE__, __LINE__);
    CHECK_ALL(collective(which), NSH_SUCCESS); /* no rank waits any more */
    if (check_rank == holder)
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS); /* the queue is whole */
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
}

/* The others wait already, so it is the holder's call that fails. */
static void others_wait_first(nsh_mutex *mutex, call which)
{
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    if (check_rank == 0) {
        *asking = 0;
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    if (check_rank == 0) {
        while (*asking < check_size - 1)
            nsh_comm_progress(comm);
        usleep(20000); /* most likely they are in lock */
        nsh_comm_progress(comm);
    } else {
        ++*asking;
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_ERR_STATE);
    }
    (void)collective(which);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
}

/* A correct program: while a rank holds the mutex, no other rank waits for it. */
static void correct_use(nsh_mutex *mutex)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
        if (check_rank == i % check_size)
            dawdle();
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        CHECK_EQ(collective((call)(i % CALLS)), NSH_SUCCESS);
        if (check_rank == i % check_size)
            CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
        CHECK_EQ(collective((call)(i % CALLS)), NSH_SUCCESS);
        CHECK_EQ(collective((call)(i % CALLS)), NSH_SUCCESS);
        if (check_rank == i % check_size)
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    }
}

int main(int argc, char **argv)
{
    const int64_t extent = 1;

    check_init(&argc, &argv);
    asking = check_shared(sizeof *asking);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 1, &extent, NULL, &array), NSH_SUCCESS);
    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
        nsh_mutex_options options = {sizeof options, NSH_HOME_ANY, (nsh_mutex_order)order, 3,
                                     "gate"};
        nsh_mutex *mutex = NULL;

        CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
        check_case("order %d: a holder in a collective call that nobody waits for", order);
        correct_use(mutex);
        check_case("order %d: a holder enters a collective call, the others lock", order);
        for (int i = 0; i < ROUNDS; i++)
            holder_enters(mutex, i % check_size, (call)(i % CALLS));
        check_case("order %d: the others wait, then the holder enters", order);
        for (int which = 0; which < CALLS; which++)
            others_wait_first(mutex, (call)which);
        CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
