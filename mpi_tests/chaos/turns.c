/* SPDX-License-Identifier: BSD-3-Clause */
/* turns.c -- mutexes, semaphores, counters and sequential sections.
 *
 * Who is inside is written down in memory that the library does not know, so a second holder, a
 * permit too many or a number drawn twice shows at once. A session begins and ends with a barrier;
 * inside it each rank does what and as much as it likes. */
#include "chaos.h"

#include <math.h>
#include <string.h>

/* A nap inside a critical section, mostly none. */
static void work_inside(context *c)
{
    if (chaos_below(&c->own, 4) == 0)
        chaos_nap((double)chaos_below(&c->own, 2000) / 1000);
}

/* ---- free ---- */

/* All together, or each rank when it likes. */
static void drop_mutex(context *c, int i)
{
    if (c->mutexes[i] == NULL)
        return;
    if (chaos_below(&c->same, 2) == 0)
        CALL(nsh_mutex_free(&c->mutexes[i]));
    else
        bury(c, (dead){.kind = DEAD_MUTEX, .handle.mutex = c->mutexes[i]});
    c->mutexes[i] = NULL;
}

static void drop_semaphore(context *c, int i)
{
    if (c->semaphores[i] == NULL)
        return;
    if (chaos_below(&c->same, 2) == 0)
        CALL(nsh_semaphore_free(&c->semaphores[i]));
    else
        bury(c, (dead){.kind = DEAD_SEMAPHORE, .handle.semaphore = c->semaphores[i]});
    c->semaphores[i] = NULL;
}

static void drop_counter(context *c, int i)
{
    if (c->counters[i] == NULL)
        return;
    if (chaos_below(&c->same, 2) == 0)
        CALL(nsh_counter_free(&c->counters[i]));
    else
        bury(c, (dead){.kind = DEAD_COUNTER, .handle.counter = c->counters[i]});
    c->counters[i] = NULL;
}

void drop_turns(context *c)
{
    for (int i = 0; i < CHAOS_OBJECTS; i++) {
        drop_mutex(c, i);
        drop_semaphore(c, i);
        drop_counter(c, i);
    }
}

void free_shells(context *c)
{
    for (int i = 0; i < CHAOS_OBJECTS; i++) {
        if (c->mutexes[i] != NULL && CODE(nsh_mutex_lock(c->mutexes[i])) != NSH_ERR_STATE)
            finding("nsh_mutex_lock of a shell is not NSH_ERR_STATE");
        CALL(nsh_mutex_free(&c->mutexes[i]));
        CALL(nsh_semaphore_free(&c->semaphores[i]));
        CALL(nsh_counter_abandon(&c->counters[i]));
    }
}

/* ---- mutex ---- */

static void create_mutex(context *c, int i)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;

    options.order = chaos_below(&c->same, 2) == 0 ? NSH_MUTEX_FIFO : NSH_MUTEX_COHORT;
    options.cohort_limit = 1 + (int)chaos_below(&c->same, 5);
    if (chaos_below(&c->same, 2) == 0)
        options.home = (int)chaos_below(&c->same, c->size);
    CREATE(c->mpi, nsh_mutex_create(c->comm, &options, &c->mutexes[i]));
}

/* By one of three calls. False: another rank has it, or the time is over. */
static bool take_mutex(context *c, nsh_mutex *mutex)
{
    int64_t how = chaos_below(&c->own, 6);
    double seconds = (double)chaos_below(&c->own, 1000) / 1e5;
    int rc;

    if (how < 3) {
        FIRST(nsh_mutex_lock(mutex));
        return true;
    }
    if (how == 3)
        rc = CODE(nsh_mutex_trylock(mutex));
    else
        rc = CODE(nsh_mutex_timedlock(mutex, how == 4 ? seconds : INFINITY));
    if (rc == NSH_ERR_BUSY && how == 3)
        return false;
    if (rc == NSH_ERR_TIMEOUT && how == 4)
        return false;
    if (rc == NSH_ERR_NOMEM && atomic_load(&chaos->fills) > 0) {
        await_room();
        return false;
    }
    must_succeed(how == 3 ? "nsh_mutex_trylock" : "nsh_mutex_timedlock", rc);
    return true;
}

static void hold_mutex(context *c, int i)
{
    int nobody = 0, me = c->rank + 1, holder = -2;
    int64_t value;

    if (!atomic_compare_exchange_strong(&c->slot->mutexes[i].owner, &nobody, me))
        finding("mutex %d: ranks %d and %d hold it", i, nobody - 1, c->rank);
    value = c->slot->mutexes[i].value;
    work_inside(c);
    if (chaos_below(&c->own, 20) == 0) {
        CALL(nsh_mutex_holder(c->mutexes[i], &holder));
        if (holder != c->rank)
            finding("nsh_mutex_holder: %d, but rank %d holds it", holder, c->rank);
    }
    c->slot->mutexes[i].value = value + 1;
    if (!atomic_compare_exchange_strong(&c->slot->mutexes[i].owner, &me, 0))
        finding("mutex %d: rank %d holds what rank %d has locked", i, me - 1, c->rank);
    atomic_fetch_add(&c->slot->mutexes[i].total, 1);
    CALL(nsh_mutex_unlock(c->mutexes[i]));
}

void do_mutex(context *c)
{
    int i = (int)chaos_below(&c->same, CHAOS_OBJECTS);
    int64_t times = chaos_below(&c->own, 8);

    if (c->mutexes[i] == NULL)
        create_mutex(c, i);
    while (times-- > 0) {
        if (take_mutex(c, c->mutexes[i]))
            hold_mutex(c, i);
        between_calls(c);
    }
    checked_barrier(c);
    if (c->slot->mutexes[i].value != atomic_load(&c->slot->mutexes[i].total))
        finding("mutex %d: counted to %lld in %lld turns", i, (long long)c->slot->mutexes[i].value,
                (long long)atomic_load(&c->slot->mutexes[i].total));
    checked_barrier(c); /* nobody begins another session before all have looked */
    if (chaos_below(&c->same, 5) == 0)
        drop_mutex(c, i);
}

/* ---- semaphore ---- */

static bool take_permit(context *c, nsh_semaphore *semaphore)
{
    int rc;

    if (chaos_below(&c->own, 3) != 0) {
        FIRST(nsh_semaphore_acquire(semaphore));
        return true;
    }
    rc = CODE(nsh_semaphore_tryacquire(semaphore));
    if (rc == NSH_ERR_BUSY)
        return false;
    must_succeed("nsh_semaphore_tryacquire", rc);
    return true;
}

void do_semaphore(context *c)
{
    int i = (int)chaos_below(&c->same, CHAOS_OBJECTS), inside;
    int64_t times = chaos_below(&c->own, 8);

    if (c->semaphores[i] == NULL) {
        c->permits[i] = 1 + (int)chaos_below(&c->same, 3);
        CREATE(c->mpi, nsh_semaphore_create(c->comm, c->permits[i], NULL, &c->semaphores[i]));
    }
    while (times-- > 0) {
        if (take_permit(c, c->semaphores[i])) {
            inside = atomic_fetch_add(&c->slot->inside[i], 1) + 1;
            if (inside > c->permits[i])
                finding("semaphore %d: %d inside, %d permits", i, inside, c->permits[i]);
            work_inside(c);
            atomic_fetch_sub(&c->slot->inside[i], 1);
            CALL(nsh_semaphore_release(c->semaphores[i]));
        }
        between_calls(c);
    }
    checked_barrier(c);
    if (chaos_below(&c->same, 5) == 0)
        drop_semaphore(c, i);
}

/* ---- counter ---- */

static void tally(chaos_tally *t, int64_t number)
{
    atomic_fetch_add(&t->count, 1);
    atomic_fetch_add(&t->sum, (uint64_t)number);
    atomic_fetch_add(&t->squares, (uint64_t)(number * number));
}

/* Every number below n has been drawn once since the counter was created. */
static void check_draws(const context *c, int i, int64_t n)
{
    chaos_tally *t = &c->slot->counters[i];
    uint64_t sum = 0, squares = 0;

    for (int64_t k = 0; k < n; k++) {
        sum += (uint64_t)k;
        squares += (uint64_t)(k * k);
    }
    if (atomic_load(&t->count) - c->base[i][0] != (uint64_t)n ||
        atomic_load(&t->sum) - c->base[i][1] != sum ||
        atomic_load(&t->squares) - c->base[i][2] != squares)
        finding("counter %d: at %lld after %llu draws, or a number drawn twice", i, (long long)n,
                (unsigned long long)(atomic_load(&t->count) - c->base[i][0]));
}

static void create_counter(context *c, int i)
{
    chaos_tally *t = &c->slot->counters[i];

    c->base[i][0] = atomic_load(&t->count); /* all draws of earlier ones are over */
    c->base[i][1] = atomic_load(&t->sum);
    c->base[i][2] = atomic_load(&t->squares);
    c->initial[i] = chaos_below(&c->same, 1000) - 500;
    CREATE(c->mpi, nsh_counter_create(c->comm, c->initial[i], NULL, &c->counters[i]));
}

void do_counter(context *c)
{
    int i = (int)chaos_below(&c->same, CHAOS_OBJECTS);
    int64_t times = chaos_below(&c->own, 10), before = 0, now = 0;

    if (c->counters[i] == NULL)
        create_counter(c, i);
    while (times-- > 0) {
        CALL(nsh_counter_add(c->counters[i], 1, &before));
        tally(&c->slot->counters[i], before - c->initial[i]);
        between_calls(c);
    }
    checked_barrier(c);
    CALL(nsh_counter_read(c->counters[i], &now));
    check_draws(c, i, now - c->initial[i]);
    checked_barrier(c);
    if (chaos_below(&c->same, 5) == 0)
        drop_counter(c, i);
}

/* ---- sequential section ---- */

void do_sequential(context *c)
{
    int turn;

    CALL(nsh_sequential_begin(c->comm));
    turn = atomic_fetch_add(&c->slot->turn, 1) % c->size;
    if (turn != c->rank)
        finding("sequential section: rank %d in the turn of rank %d", c->rank, turn);
    work_inside(c);
    CALL(nsh_sequential_end(c->comm));
}
