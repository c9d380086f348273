/* test_mutex_late.c -- ranks: 2 4 5  layouts: cliques-2 cliques-3 odd-even hosts-2
 * seconds: 120 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Timed locks where the home has no helper and falls silent: outside MPI, until the timed lock has
 * returned. A lock that waited for the home would never end. Whatever the request that was given up
 * finds later, the mutex is not lost, and no two ranks hold it. */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { HOME = 0, OPERATIONS = 6, MUTEXES = 2 };

typedef struct shared {
    atomic_int silent, stopped; /* the home is to fall silent; it has */
    atomic_int over;            /* the timed lock has returned */
    volatile int64_t count[MUTEXES];
    volatile int inside[MUTEXES];
} shared;

/* What the rank does next, which takes the late answer. */
typedef enum next_call { LOCK, TIMEDLOCK, TRYLOCK, COUNTER, BARRIER, FREE, NEXT_CALLS } next_call;

typedef enum scene { FREE_MUTEX, HELD_MUTEX, ABANDONED_PLACE, SCENES } scene;

static nsh_comm *comm;
static shared *s;
static int silence_at; /* the home falls silent before this operation of a timed lock; 0: not */

static void before_operation(void)
{
    if (silence_at == 0 || --silence_at > 0)
        return;
    s->silent = 1;
    while (!s->stopped)
        usleep(10);
}

int MPI_Isend(const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm on,
              MPI_Request *request)
{
    if (n > 0)
        before_operation();
    return PMPI_Isend(data, n, type, to, tag, on, request);
}

int MPI_Rget_accumulate(const void *value, int n, MPI_Datatype type, void *result, int nresult,
                        MPI_Datatype result_type, int rank, MPI_Aint at, int nat,
                        MPI_Datatype at_type, MPI_Op op, MPI_Win win, MPI_Request *request)
{
    before_operation();
    return PMPI_Rget_accumulate(value, n, type, result, nresult, result_type, rank, at, nat,
                                at_type, op, win, request);
}

int MPI_Fetch_and_op(const void *value, void *result, MPI_Datatype type, int rank, MPI_Aint at,
                     MPI_Op op, MPI_Win win)
{
    before_operation();
    return PMPI_Fetch_and_op(value, result, type, rank, at, op, win);
}

/* A critical section that is torn if two ranks are in it. */
static void enter_and_leave(nsh_mutex *mutex, int m)
{
    int64_t count = s->count[m];

    CHECK_EQ(s->inside[m], 0);
    s->inside[m] = 1;
    if (check_random_below(8) == 0)
        usleep(20);
    CHECK_EQ(s->count[m], count);
    s->count[m] = count + 1;
    s->inside[m] = 0;
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
}

static void all_take_turns(nsh_mutex *mutex)
{
    for (int i = 0; i < 3; i++)
        if (CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS))
            enter_and_leave(mutex, 0);
}

/* The leader that homes the words: answers until it is to be silent, then computes. */
static void be_home(void)
{
    while (!s->over) {
        if (s->silent)
            s->stopped = 1;
        else
            CHECK_EQ(nsh_comm_progress(comm), NSH_SUCCESS);
    }
}

static void do_next(nsh_mutex *mutex, nsh_counter *counter, next_call next)
{
    int64_t before;
    int rc = NSH_ERR_TIMEOUT;

    switch (next) {
    case LOCK:
        rc = CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS) ? NSH_SUCCESS : NSH_ERR_INTERNAL;
        break;
    case TIMEDLOCK:
        while ((rc = nsh_mutex_timedlock(mutex, 0)) == NSH_ERR_TIMEOUT)
            ;
        CHECK_EQ(rc, NSH_SUCCESS);
        break;
    case TRYLOCK:
        rc = nsh_mutex_trylock(mutex);
        CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_BUSY);
        break;
    case COUNTER:
        CHECK_EQ(nsh_counter_add(counter, 1, &before), NSH_SUCCESS);
        break;
    default:
        break;
    }
    if (rc == NSH_SUCCESS)
        enter_and_leave(mutex, 0);
}

/* Its k-th operation finds the home silent. */
static void one_late(nsh_mutex_order order, scene what, int k, next_call next, bool strict)
{
    const nsh_mutex_options options = {sizeof options, HOME, order, 3, NULL};
    const nsh_counter_options at_home = {sizeof at_home, HOME, NULL};
    nsh_mutex *mutex = NULL;
    nsh_counter *counter = NULL;
    int asker = check_size - 1, rc;

    CHECK_EQ(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_create(comm, 0, &at_home, &counter), NSH_SUCCESS);
    if (check_rank == HOME) {
        s->silent = s->stopped = s->over = 0;
        if (what != FREE_MUTEX)
            CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    }
    CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    if (check_rank == asker) {
        if (what == ABANDONED_PLACE)
            CHECK_EQ(nsh_mutex_timedlock(mutex, 0), NSH_ERR_TIMEOUT);
        silence_at = k;
        rc = nsh_mutex_timedlock(mutex, k % 2 ? 0.03 : 0);
        silence_at = 0;
        CHECK(rc == NSH_ERR_TIMEOUT || (rc == NSH_SUCCESS && what == FREE_MUTEX));
        if (strict && s->silent)
            CHECK_EQ(rc, NSH_ERR_TIMEOUT);
        s->over = 1;
        if (rc == NSH_SUCCESS)
            enter_and_leave(mutex, 0);
        do_next(mutex, counter, next);
    } else if (check_rank == HOME) {
        be_home();
        if (what != FREE_MUTEX)
            CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    }
    if (next != FREE) {
        if (next == BARRIER)
            CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
        all_take_turns(mutex);
    }
    CHECK_EQ(nsh_counter_free(&counter), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS); /* its words, which are zero */
    all_take_turns(mutex);
    CHECK_EQ(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

static void late_requests(nsh_mutex_order order, bool strict)
{
    static const char *const scenes[] = {"free", "held", "held, and this rank has left a place"};

    for (int what = 0; what < SCENES; what++) {
        check_case("order %d: a timed lock of a mutex that is %s, and the home falls silent",
                   (int)order, scenes[what]);
        for (int k = 1; k <= OPERATIONS; k++)
            for (int i = 0; i < 2; i++)
                one_late(order, (scene)what, k, (next_call)((k + what + 3 * i) % NEXT_CALLS),
                         strict);
        CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    }
}

/* True: the mutex is this rank's. */
static bool take(nsh_mutex *mutex, int way)
{
    int rc;

    switch (way) {
    case 0:
        rc = nsh_mutex_trylock(mutex);
        CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_BUSY);
        break;
    case 1:
    case 2:
        rc = nsh_mutex_timedlock(mutex, way == 1 ? 0 : 1e-6 * (double)check_random_below(2000));
        CHECK(rc == NSH_SUCCESS || rc == NSH_ERR_TIMEOUT);
        break;
    default:
        rc = nsh_mutex_lock(mutex);
        CHECK_EQ(rc, NSH_SUCCESS);
    }
    return rc == NSH_SUCCESS;
}

/* Each rank, and so each home, computes now and then for longer than requests are waited for. */
static void mix(nsh_mutex_order order)
{
    const nsh_mutex_options options = {sizeof options, NSH_HOME_ANY, order, 3, NULL};
    nsh_mutex *mutex[MUTEXES] = {NULL};
    int64_t n = 40, done[MUTEXES] = {0};

    check_case("order %d: all kinds of locks at random, homes compute now and then", (int)order);
    for (int m = 0; m < MUTEXES; m++) {
        CHECK_EQ(nsh_mutex_create(comm, &options, &mutex[m]), NSH_SUCCESS);
        s->count[m] = 0;
    }
    CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    while (done[0] + done[1] < MUTEXES * n) {
        int m = done[0] == n || (done[1] < n && check_random_below(2)) ? 1 : 0;

        if (check_random_below(40) == 0)
            usleep(30000);
        /* Ranks take different steps. */
        if (!take(mutex[m], (int)((check_random() + (unsigned)check_rank) % 6)))
            continue;
        enter_and_leave(mutex[m], m);
        done[m]++;
    }
    CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
    for (int m = 0; m < MUTEXES; m++) {
        CHECK_EQ(s->count[m], n * check_size);
        CHECK_EQ(nsh_mutex_free(&mutex[m]), NSH_SUCCESS);
    }
}

int main(int argc, char **argv)
{
    static const char *const backends[] = {"message", "window"};
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    int n = 2;

    check_init_thread(&argc, &argv, MPI_THREAD_SINGLE);
#ifdef OPEN_MPI
    n = 1; /* its windows are not used (NSH_RMA) */
#endif
    s = check_shared(sizeof *s);
    options.progress = NSH_PROGRESS_NONE;
    for (int b = 0; b < n; b++) {
        setenv("NSH_RMA", backends[b], 1);
        check_case("words by %s", backends[b]);
        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
        for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
            late_requests((nsh_mutex_order)order, b == 0);
            mix((nsh_mutex_order)order);
        }
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    return check_finish();
}
