/* test_mutex.c -- ranks: 2 3  layouts: one-node cliques-2 odd-even rpn-2 per-rank hosts-2 serial
 * seconds: 60 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The mutex, call by call: errors, order, giving up, who holds it, many of them. */
#define _DEFAULT_SOURCE /* usleep */
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { MANY = 10000, MOST_RANKS = 16 };

typedef struct shared {
    atomic_int turn, asking, done; /* steps that ranks wait for */
    volatile int order[MOST_RANKS], got;
} shared;

static nsh_comm *comm;
static shared *s;
static bool serial;

/* Wait until the other ranks have made this step; meanwhile words homed here are served. */
static void await(atomic_int *step, int target)
{
    while (*step < target) {
        nsh_comm_progress(comm);
        usleep(50);
    }
}

static nsh_mutex *make(int home, nsh_mutex_order order, const char *name)
{
    nsh_mutex_options options = {sizeof options, home, order, 2, name};
    nsh_mutex *mutex = NULL;

    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    return mutex;
}

/* All ranks, one after another. */
static void works(nsh_mutex *mutex)
{
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
}

/* ---- errors ---- */

static void create_fails(nsh_mutex_options options, int code)
{
    nsh_mutex *out = (nsh_mutex *)&options;

    CHECK_ALL(nsh_mutex_create(comm, &options, &out), code);
    CHECK(out == (nsh_mutex *)&options);
    CHECK_HAS(nsh_error_detail(), code == NSH_ERR_MISMATCH ? "" : "nsh_mutex_create");
}

static void create_errors(void)
{
    const nsh_mutex_options good = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex_options bad;
    nsh_mutex *mutex, *out = NULL;
    char name[258];

    check_case("create: errors");
    mutex = make(0, NSH_MUTEX_FIFO, "taken");
    for (int home = -2; home <= check_size; home += check_size + 2) {
        bad = good;
        bad.home = home;
        create_fails(bad, NSH_ERR_ARG);
    }
    bad = good;
    bad.order = (nsh_mutex_order)2;
    create_fails(bad, NSH_ERR_ARG);
    bad = good;
    bad.cohort_limit = 0;
    create_fails(bad, NSH_ERR_ARG);
    bad = good;
    bad.name = "taken";
    create_fails(bad, NSH_ERR_EXISTS);
    memset(name, 'x', sizeof name);
    name[256] = '\0';
    bad.name = name;
    create_fails(bad, NSH_ERR_ARG);
    bad.name = "";
    create_fails(bad, NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_create(comm, &good, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_create(NULL, &good, &out), NSH_ERR_ARG);
    if (check_size > 1) {
        bad = good;
        bad.home = check_rank == check_size - 1 ? check_size : 0; /* wrong on one rank */
        create_fails(bad, NSH_ERR_MISMATCH);
        bad = good;
        bad.home = check_rank == 0;
        create_fails(bad, NSH_ERR_MISMATCH);
        bad = good;
        bad.order = check_rank == 0 ? NSH_MUTEX_FIFO : NSH_MUTEX_COHORT;
        create_fails(bad, NSH_ERR_MISMATCH);
        bad = good;
        bad.name = check_rank == 0 ? "a" : "b";
        create_fails(bad, NSH_ERR_MISMATCH);
    }
    works(mutex);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

static void null_errors(void)
{
    nsh_mutex *mutex = NULL, *null = NULL;
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;
    int rank;

    check_case("NULL");
    mutex = make(NSH_HOME_ANY, NSH_MUTEX_FIFO, NULL);
    CHECK_ALL(nsh_mutex_lock(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_trylock(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_timedlock(NULL, 1), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_unlock(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_holder(NULL, &rank), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_holder(mutex, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_get_stats(NULL, &stats), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_get_stats(mutex, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_find(NULL, "m", &null), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_find(comm, NULL, &null), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_find(comm, "m", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_find(comm, "m", &null), NSH_ERR_NOT_FOUND);
    CHECK(null == NULL && nsh_mutex_name(NULL) == NULL && nsh_mutex_name(mutex) == NULL);
    CHECK_EQ(nsh_mutex_home(NULL), -1);
    CHECK_ALL(nsh_mutex_free(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_mutex_free(&null), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK(mutex == NULL);
}

/* Wrong use by each rank in turn, as holder and as another. */
static void state_errors(nsh_mutex_order order)
{
    nsh_mutex *mutex;

    check_case("lock while holding, unlock without, free while held (order %d)", (int)order);
    mutex = make(NSH_HOME_ANY, order, NULL);
    for (int holder = 0; holder < check_size; holder++) {
        nsh_mutex *same = mutex;

        CHECK_ALL(nsh_mutex_unlock(mutex), NSH_ERR_STATE);
        CHECK_ALL(nsh_mutex_timedlock(mutex, -1), NSH_ERR_ARG);
        CHECK_ALL(nsh_mutex_timedlock(mutex, (double)NAN), NSH_ERR_ARG);
        if (check_rank == holder) {
            CHECK_EQ(nsh_mutex_timedlock(mutex, holder % 2 ? 1 : (double)INFINITY), NSH_SUCCESS);
            CHECK_EQ(nsh_mutex_lock(mutex), NSH_ERR_STATE);
            CHECK_HAS(nsh_error_detail(), "nsh_mutex_lock");
            CHECK_EQ(nsh_mutex_trylock(mutex), NSH_ERR_STATE);
            CHECK_EQ(nsh_mutex_timedlock(mutex, 1), NSH_ERR_STATE);
        }
        PMPI_Barrier(MPI_COMM_WORLD);
        if (check_rank != holder) {
            CHECK_EQ(nsh_mutex_trylock(mutex), NSH_ERR_BUSY);
            CHECK_HAS(nsh_error_detail(), "nsh_mutex_trylock");
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_ERR_STATE);
        }
        CHECK_ALL(nsh_mutex_free(&mutex), NSH_ERR_STATE);
        CHECK(mutex == same);
        if (check_rank == holder)
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        works(mutex);
        PMPI_Barrier(MPI_COMM_WORLD); /* or the next holder is one of those before */
    }
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

/* ---- order ---- */

/* Ranks come in a random order that is known, because each takes its place by giving up at once
 * and takes it up again while the holder still holds it, for this many milliseconds. Returns
 * whether they got the mutex in that order: those that were in their calls in time must have. */
static bool come_in_order(nsh_mutex_order order, bool leave, int milliseconds)
{
    nsh_mutex *mutex;
    int first = check_size - 1, who[MOST_RANKS], n = 0;
    bool gone, kept = true;

    mutex = make(NSH_HOME_ANY, order, NULL);
    for (int r = 0; r < check_size; r++)
        if (r != first)
            who[n++] = r;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)check_random_below(i + 1), r = who[i];

        who[i] = who[j];
        who[j] = r;
    }
    if (check_rank == 0)
        s->turn = s->asking = s->done = s->got = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == first)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < n; i++) {
        if (who[i] == check_rank) {
            await(&s->turn, i);
            CHECK_EQ(nsh_mutex_timedlock(mutex, 0), NSH_ERR_TIMEOUT);
            CHECK_HAS(nsh_error_detail(), "nsh_mutex_timedlock");
            s->turn++;
        }
    }
    await(&s->turn, n);
    gone = leave && check_rank == who[0];
    if (check_rank == first) {
        await(&s->asking, leave ? n - 1 : n);
        for (int i = 0; i < milliseconds; i++) { /* until they are in their calls */
            nsh_comm_progress(comm);
            usleep(1000);
        }
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    } else if (!gone) {
        s->asking++;
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
        s->order[s->got++] = check_rank;
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        s->done++;
    }
    await(&s->done, leave ? n - 1 : n);
    CHECK_EQ(s->got, leave ? n - 1 : n);
    for (int i = 0; i < s->got && order == NSH_MUTEX_FIFO; i++)
        kept &= s->order[i] == who[leave ? i + 1 : i];
    PMPI_Barrier(MPI_COMM_WORLD);
    works(mutex); /* also who has left comes back */
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    return kept;
}

/* That all are in their calls cannot be seen, so the holder waits longer each time until it was
 * long enough. */
static void order_is_kept(nsh_mutex_order order, bool leave)
{
    enum { LONGEST = 10000 };
    bool kept = false;

    check_case("order %d: as they came%s", (int)order, leave ? ", one has left for ever" : "");
    for (int wait = 100; !kept && wait <= LONGEST; wait *= 2)
        kept = come_in_order(order, leave, wait);
    CHECK(kept);
}

/* A rank waits in vain for its time limit, and gets the mutex later. */
static void timeouts(nsh_mutex_order order)
{
    nsh_mutex *mutex;

    check_case("order %d: timedlock gives up, again and again, and gets it at last", (int)order);
    mutex = make(NSH_HOME_ANY, order, NULL);
    if (check_rank == 0)
        s->done = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; check_rank != 0 && i < 20; i++) {
        double begin = MPI_Wtime();

        CHECK_EQ(nsh_mutex_timedlock(mutex, 0.0005 * i), NSH_ERR_TIMEOUT);
        CHECK(MPI_Wtime() - begin >= 0.0005 * i);
        CHECK_EQ(nsh_mutex_trylock(mutex), NSH_ERR_BUSY);
    }
    s->done++;
    await(&s->done, check_size);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    else
        works(mutex);
    PMPI_Barrier(MPI_COMM_WORLD);
    works(mutex);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

/* ---- who, where, how often ---- */

/* The leader of a rank's node: the lowest rank there. */
static int leader_of(int rank)
{
    int leader = 0;

    while (nsh_comm_node_of(comm, leader) != nsh_comm_node_of(comm, rank))
        leader++;
    return leader;
}

static void homes_and_holders(nsh_mutex_order order)
{
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;

    check_case("order %d: each rank as home and as holder", (int)order);
    for (int home = 0; home < check_size; home++) {
        nsh_mutex *mutex = make(home, order, NULL);

        CHECK_EQ(nsh_mutex_home(mutex), leader_of(home));
        for (int holder = 0; holder < check_size; holder++) {
            int seen = -2;
            bool near = nsh_comm_node_of(comm, holder) == nsh_comm_node_of(comm, check_rank);

            CHECK_EQ(nsh_mutex_holder(mutex, &seen), NSH_SUCCESS);
            CHECK_EQ(seen, -1);
            PMPI_Barrier(MPI_COMM_WORLD);
            if (check_rank == holder)
                CHECK_EQ(nsh_mutex_trylock(mutex), NSH_SUCCESS);
            PMPI_Barrier(MPI_COMM_WORLD);
            CHECK_EQ(nsh_mutex_holder(mutex, &seen), NSH_SUCCESS);
            if (near || order == NSH_MUTEX_FIFO)
                CHECK_EQ(seen, holder);
            else
                CHECK_EQ(nsh_comm_node_of(comm, seen), nsh_comm_node_of(comm, holder));
            PMPI_Barrier(MPI_COMM_WORLD);
            if (check_rank == holder)
                CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
            PMPI_Barrier(MPI_COMM_WORLD);
        }
        CHECK_EQ(nsh_mutex_get_stats(mutex, &stats), NSH_SUCCESS);
        CHECK_EQ(stats.acquisitions, 1);
        CHECK_EQ(stats.waited, 0);
        CHECK(stats.seconds == 0);
        CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    }
}

static void statistics(void)
{
    nsh_mutex *mutex = NULL;
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;

    check_case("statistics");
    mutex = make(NSH_HOME_ANY, NSH_MUTEX_FIFO, NULL);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank != 0)
        CHECK_EQ(nsh_mutex_timedlock(mutex, 0.01), NSH_ERR_TIMEOUT);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_get_stats(mutex, &stats), NSH_SUCCESS);
    CHECK_EQ(stats.acquisitions, check_rank == 0);
    CHECK_EQ(stats.waited, 0);
    CHECK(check_rank == 0 ? stats.seconds == 0 : stats.seconds > 0);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

static void names(void)
{
    nsh_mutex *mutex, *found = NULL;

    check_case("found by name, which is free again afterwards");
    for (int i = 0; i < 3; i++) {
        char name[] = "catalogue";

        mutex = make(0, NSH_MUTEX_COHORT, name);
        name[0] = 'X'; /* copied */
        CHECK_STR(nsh_mutex_name(mutex), "catalogue");
        CHECK_EQ(nsh_mutex_find(comm, "catalogue", &found), NSH_SUCCESS);
        CHECK(found == mutex);
        works(found);
        CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
        CHECK_ALL(nsh_mutex_find(comm, "catalogue", &found), NSH_ERR_NOT_FOUND);
    }
}

static void many(void)
{
    static nsh_mutex *mutex[MANY];
    nsh_comm *same = comm;
    int held = 0;

    check_case("%d at once, freed in any order", (int)MANY);
    for (int i = 0; i < MANY; i++)
        if (nsh_mutex_create(comm, NULL, &mutex[i]) != NSH_SUCCESS)
            CHECK_EQ(i, MANY);
    if (check_size > 1) { /* a comm with live objects stays */
        CHECK_ALL(nsh_comm_free(&comm), NSH_ERR_STATE);
        CHECK(comm == same);
    }
    for (int i = check_rank; i < MANY; i += 7 * check_size)
        held += nsh_mutex_lock(mutex[i]) == NSH_SUCCESS; /* many held by one rank */
    CHECK_EQ(held, (MANY - check_rank + 7 * check_size - 1) / (7 * check_size));
    for (int i = check_rank; i < MANY; i += 7 * check_size)
        held -= nsh_mutex_unlock(mutex[i]) == NSH_SUCCESS;
    CHECK_EQ(held, 0);
    for (int i = MANY - 1; i > 0; i--) {
        int j = (int)check_random_below(i + 1);
        nsh_mutex *m = mutex[i];

        mutex[i] = mutex[j];
        mutex[j] = m;
    }
    for (int i = 0; i < MANY; i++)
        if (nsh_mutex_free(&mutex[i]) != NSH_SUCCESS)
            CHECK_EQ(i, MANY);
    mutex[0] = make(NSH_HOME_ANY, NSH_MUTEX_FIFO, NULL); /* the words of one that was used */
    works(mutex[0]);
    CHECK_ALL(nsh_mutex_free(&mutex[0]), NSH_SUCCESS);
}

/* ---- beside the caller's messages and on other communicators ---- */

/* The caller takes whatever comes to it, all the time. */
static void traffic(void)
{
    enum { ROUNDS = 50 };
    nsh_mutex *mutex[2];
    int to = (check_rank + 1) % check_size, from = (check_rank + check_size - 1) % check_size;

    check_case("the caller's ANY_SOURCE, ANY_TAG receives take none of ours");
    mutex[0] = make(0, NSH_MUTEX_FIFO, NULL);
    mutex[1] = make(check_size - 1, NSH_MUTEX_COHORT, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        int sent[3] = {4711, check_rank, i}, got[3] = {0};
        MPI_Request receive, send;
        MPI_Status status;
        int count = 0, there = 0;

        MPI_Irecv(got, 3, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &receive);
        works(mutex[i % 2]);
        MPI_Isend(sent, 3, MPI_INT, to, 0, MPI_COMM_WORLD, &send);
        works(mutex[0]);
        works(mutex[1]);
        while (!there) {
            MPI_Test(&receive, &there, &status);
            nsh_comm_progress(comm);
        }
        MPI_Get_count(&status, MPI_INT, &count);
        CHECK_EQ(count, 3);
        CHECK_EQ(status.MPI_SOURCE, from);
        CHECK_EQ(status.MPI_TAG, 0);
        CHECK(got[0] == 4711 && got[1] == from && got[2] == i);
        for (there = 0; !there; nsh_comm_progress(comm))
            MPI_Test(&send, &there, MPI_STATUS_IGNORE);
    }
    CHECK_ALL(nsh_mutex_free(&mutex[0]), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex[1]), NSH_SUCCESS);
}

/* On halves of the ranks, in reverse order, at the same time as on all of them. */
static void other_comms(void)
{
    nsh_comm *half = NULL;
    nsh_mutex *inner = NULL, *outer;
    MPI_Comm part;

    check_case("on a part of the ranks, in another order");
    MPI_Comm_split(MPI_COMM_WORLD, check_rank % 2, -check_rank, &part);
    CHECK_ALL(nsh_comm_create(part, NULL, &half), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(half, NULL, &inner), NSH_SUCCESS);
    outer = make(NSH_HOME_ANY, NSH_MUTEX_COHORT, NULL);
    for (int i = 0; i < 50; i++) {
        int seen = -1, rank = nsh_comm_rank(half);

        CHECK_EQ(nsh_mutex_lock(inner), NSH_SUCCESS);
        CHECK_EQ(nsh_mutex_holder(inner, &seen), NSH_SUCCESS);
        CHECK_EQ(seen, rank);
        works(outer);
        CHECK_EQ(nsh_mutex_unlock(inner), NSH_SUCCESS);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_mutex_free(&outer), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&inner), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&half), NSH_SUCCESS);
    MPI_Comm_free(&part);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    serial = strcmp(check_layout, "serial") == 0;
    s = check_shared(sizeof *s);
    CHECK_ALL(serial ? nsh_comm_create_serial(&comm) : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    create_errors();
    null_errors();
    names();
    statistics();
    many();
    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
        state_errors((nsh_mutex_order)order);
        homes_and_holders((nsh_mutex_order)order);
        timeouts((nsh_mutex_order)order);
        order_is_kept((nsh_mutex_order)order, false);
        if (check_size > 1)
            order_is_kept((nsh_mutex_order)order, true);
    }
    if (check_size > 1) {
        traffic();
        other_comms();
    }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
