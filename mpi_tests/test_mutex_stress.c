/* test_mutex_stress.c -- ranks: 2 3 8  layouts: one-node cliques-2 odd-even per-rank
 * layouts: hosts-2
 * seconds: 120 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Thousands of acquisitions of two mutexes and a semaphore, each of which changes what is shared
 * and not atomic. NSH_TEST_LOCKS says how many in all (default: 2,000; fewer over TCP). */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { MUTEXES = 2, PERMITS = 2 };

typedef struct shared {
    volatile int64_t count[MUTEXES];   /* acquisitions: read, waited a little, written */
    volatile int inside[MUTEXES];      /* ranks in the critical section */
    _Atomic int permits, most_permits; /* of the semaphore */
    volatile unsigned char order[];    /* MUTEXES x acquisitions: who */
} shared;

static int64_t acquisitions(void)
{
    const char *text = getenv("NSH_TEST_LOCKS");
    int64_t all = text != NULL ? atoll(text) : strncmp(check_layout, "hosts", 5) == 0 ? 400 : 2000;

    return all / check_size;
}

/* The critical section: not one of its accesses is atomic. */
static void enter_and_leave(shared *s, int m, int64_t n)
{
    int64_t count = s->count[m];
    volatile unsigned char *order = s->order + m * n * check_size;

    CHECK_EQ(s->inside[m], 0);
    s->inside[m] = 1;
    if (count < n * check_size)
        order[count] = (unsigned char)check_rank;
    if (check_random_below(64) == 0)
        usleep(10);
    CHECK_EQ(s->count[m], count);
    s->count[m] = count + 1;
    s->inside[m] = 0;
}

/* One acquisition of this kind; whether it came to that. */
static int take(nsh_mutex *mutex, int way)
{
    int rc;

    switch (way) {
    case 0:
        rc = nsh_mutex_trylock(mutex);
        CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_BUSY);
        return rc == NSH_SUCCESS;
    case 1:
        rc = nsh_mutex_timedlock(mutex, 1e-6 * (double)check_random_below(200));
        CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_TIMEOUT);
        return rc == NSH_SUCCESS;
    default:
        return CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    }
}

static void stress(nsh_comm *comm, shared *s, nsh_mutex_order order, bool leave)
{
    nsh_mutex *mutex[MUTEXES] = {NULL};
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;
    int64_t n = acquisitions(), done[MUTEXES] = {0}, mine;

    options.order = order;
    options.cohort_limit = 5;
    if (check_rank == 0)
        memset(s, 0, sizeof *s);
    for (int m = 0; m < MUTEXES; m++)
        if (CHECK_ALL(nsh_mutex_create(comm, &options, &mutex[m]), NSH_SUCCESS) != NSH_SUCCESS)
            return;
    while (done[0] + done[1] < MUTEXES * n) {
        int m = done[0] == n || (done[1] < n && check_random_below(2)) ? 1 : 0;

        /* Ranks take different steps. */
        if (!take(mutex[m], leave ? (int)((check_random() + (unsigned)check_rank) % 4) : 2))
            continue;
        enter_and_leave(s, m, n);
        CHECK_EQ(nsh_mutex_unlock(mutex[m]), NSH_SUCCESS);
        done[m]++;
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int m = 0; m < MUTEXES; m++) {
        CHECK_EQ(s->count[m], n * check_size);
        mine = 0;
        for (int64_t i = 0; i < n * check_size; i++)
            mine += s->order[m * n * check_size + i] == check_rank;
        CHECK_EQ(mine, n);
        CHECK_EQ(nsh_mutex_get_stats(mutex[m], &stats), NSH_SUCCESS);
        CHECK_EQ(stats.acquisitions, n);
        CHECK(stats.waited >= 0 && stats.waited <= n && stats.seconds >= 0);
        CHECK_ALL(nsh_mutex_free(&mutex[m]), NSH_SUCCESS);
    }
}

static void stress_semaphore(nsh_comm *comm, shared *s)
{
    nsh_semaphore *semaphore = NULL;
    int64_t n = acquisitions() / 4 + 1;

    if (check_rank == 0)
        s->permits = s->most_permits = 0;
    if (CHECK_ALL(nsh_semaphore_create(comm, PERMITS, NULL, &semaphore), NSH_SUCCESS) !=
        NSH_SUCCESS)
        return;
    for (int64_t i = 0; i < n; i++) {
        int inside, most;

        if ((i + check_rank) % 4 != 0 || nsh_semaphore_tryacquire(semaphore) != NSH_SUCCESS)
            CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_SUCCESS);
        inside = ++s->permits;
        CHECK(inside <= PERMITS);
        most = s->most_permits;
        while (inside > most && !atomic_compare_exchange_weak(&s->most_permits, &most, inside))
            ;
        if (check_random_below(16) == 0)
            usleep(10);
        s->permits--;
        CHECK_EQ(nsh_semaphore_release(semaphore), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    CHECK_EQ(s->permits, 0);
    check_note("%d of %d permits were in use at once", s->most_permits, PERMITS);
}

static void stress_counter(nsh_comm *comm)
{
    nsh_counter *counter = NULL;
    int64_t n = acquisitions(), before, last = -1, value = 0;

    if (CHECK_ALL(nsh_counter_create(comm, 100, NULL, &counter), NSH_SUCCESS) != NSH_SUCCESS)
        return;
    for (int64_t i = 0; i < n; i++) {
        CHECK_EQ(nsh_counter_add(counter, 1, &before), NSH_SUCCESS);
        CHECK(before > last);
        last = before;
    }
    CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_read(counter, &value), NSH_SUCCESS);
    CHECK_EQ(value, 100 + n * check_size);
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    static const char *const words[] = {"FIFO", "COHORT"};
    nsh_comm *comm = NULL;
    shared *s;

    check_init(&argc, &argv);
    s = check_shared((int64_t)sizeof *s + MUTEXES * acquisitions() * check_size);
    if (CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS) != NSH_SUCCESS)
        return check_finish();
    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
        check_case("%s: two mutexes, nothing torn or lost", words[order]);
        stress(comm, s, (nsh_mutex_order)order, false);
        check_case("%s: with trylock and timedlock", words[order]);
        stress(comm, s, (nsh_mutex_order)order, true);
    }
    check_case("a semaphore of %d permits", PERMITS);
    stress_semaphore(comm, s);
    check_case("a counter");
    stress_counter(comm);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
