/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.c -- a queue lock: first come, first served, places that may be abandoned.
 *
 * Invariants: at most one participant holds the lock or is about to leave it, and only that one
 * grants or skips. At most one participant is linked after each place. A place that is not in the
 * queue is zero. GRANTED is set once at a place in the queue: without ABANDONED the lock belongs to
 * its owner, with ABANDONED the place is being skipped and its owner does not use it until it is
 * zero.
 *
 * Words are changed by read-modify-write only, all of them seq_cst. So the lock orders what holders
 * store, and nsh__wake sees a rank that sleeps. */
#include "sync/queue.h"

#include "base/assert.h"
#include "sync/token.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ABANDONED = 1, GRANTED = 2, NEXT_SHIFT = 8 };

enum { TAIL = 0 };

static int place_of(int participant)
{
    return 1 + participant;
}

/* ---- words of both kinds ---- */

static inline int word_swap(const nsh__queue *queue, int i, uint64_t value, uint64_t *old)
{
    if (queue->local == NULL)
        return nsh__word_swap(queue->comm, queue->remote, i, value, old);
    *old = atomic_exchange(&queue->local[i].word, (unsigned)value);
    return NSH_SUCCESS;
}

static inline int word_add(const nsh__queue *queue, int i, uint64_t value, uint64_t *old)
{
    if (queue->local == NULL)
        return nsh__word_add(queue->comm, queue->remote, i, value, old);
    *old = atomic_fetch_add(&queue->local[i].word, (unsigned)value);
    return NSH_SUCCESS;
}

static inline int word_cas(const nsh__queue *queue, int i, uint64_t expected, uint64_t value,
                           uint64_t *old)
{
    unsigned was = (unsigned)expected;

    if (queue->local == NULL)
        return nsh__word_cas(queue->comm, queue->remote, i, expected, value, old);
    atomic_compare_exchange_strong(&queue->local[i].word, &was, (unsigned)value);
    *old = was;
    return NSH_SUCCESS;
}

static inline int word_read(const nsh__queue *queue, int i, uint64_t *value)
{
    if (queue->local == NULL)
        return nsh__word_read(queue->comm, queue->remote, i, value);
    *value = atomic_load(&queue->local[i].word);
    return NSH_SUCCESS;
}

static uint64_t next_of(uint64_t place)
{
    return place >> NEXT_SHIFT;
}

/* ---- lock ----
 *
 * A rank goes through stages. Each of them is one operation or a wait; the answer determines the
 * next one.
 *
 *   stage     operation               answer                        next
 *   ASK       read the tail           any                           TAKE_UP or ENTER
 *   TAKE_UP   and(place, ~ABANDONED)  0: it has been skipped        ENTER
 *                                     GRANTED: it is being skipped  TAKE_UP again
 *                                     else: in the queue again      WAIT
 *   ENTER     swap(tail, self)        0: the lock was free          HELD
 *                                     the participant before        LINK
 *   LINK      add(its place, self)    any                           WAIT
 *   WAIT      wait for the grant      it has come                   HELD
 *                                     the deadline has come         LEAVE
 *   LEAVE     add(place, ABANDONED)   GRANTED: it has come first    TOKEN
 *                                     else                          GONE
 *   TOKEN     wait for the token      it has come                   HELD
 *
 * A home without a helper may compute for long and not answer. A call with a deadline then gives
 * the request up, and stays in that stage; the home executes it later. The rank's next call that
 * touches words, or is collective, receives the answer first. If that call locks the same queue, it
 * continues as above. Otherwise the rank does not want the lock any more: it does not ENTER, leaves
 * instead of waiting, and unlocks if it is HELD (or keeps it, for nsh__queue_catch_up). Until then
 * others see, by the stage in which the request was given up:
 *
 *   ASK       nothing: this stage exists so that a silent home is noticed before the queue
 *             is touched
 *   TAKE_UP   a place that waits; a grant stays with it
 *   ENTER     a holder, or a place without a link: the rank before it waits for the link in unlock
 *   LINK      a place that waits; a grant stays with it
 *   LEAVE     an abandoned place, which is skipped, unless the grant came first
 *
 * TOKEN is never given up: the home has already done its part when the token is sent. CAS has no
 * request that could be given up, so it is not used here; unlock uses it, and waits. */

/* The shortest time to wait for a home before a request is given up: a rank that waits in the
 * library sleeps for at most 10 ms. */
enum {
    PATIENCE_NS = 20 * 1000 * 1000,
    LOOK_NS = 100 * 1000 * 1000 /* between two calls of look in a wait without a deadline */
};

static int resume(void *owner, uint64_t old, int64_t deadline);

/* Wait for the grant. On a local queue it is the bit GRANTED, on a remote one the token. */
static int await_grant(nsh__queue *queue, int64_t deadline)
{
    nsh__place *place;

    if (queue->local == NULL)
        return nsh__token_await(queue->comm, NSH__TOKEN_LOCK, deadline);
    place = &queue->local[place_of(queue->me)];
    return nsh__wait_event(&queue->comm->wait,
                           &(nsh__event){&place->word, GRANTED, GRANTED, &place->sleepers, -1},
                           deadline);
}

/* One operation of lock. NSH_ERR_TIMEOUT (remote queue): the request was given up. */
static int word_try(nsh__queue *queue, nsh__word_op op, int i, uint64_t value, int64_t deadline,
                    uint64_t *old)
{
    atomic_uint *word;

    if (queue->local == NULL)
        return nsh__word_try(queue->comm, queue->remote, op, i, value,
                             &(nsh__late){deadline, resume, queue}, old);
    word = &queue->local[i].word;
    if (op == NSH__WORD_SWAP)
        *old = atomic_exchange(word, (unsigned)value);
    else if (op == NSH__WORD_ADD)
        *old = atomic_fetch_add(word, (unsigned)value);
    else if (op == NSH__WORD_AND)
        *old = atomic_fetch_and(word, (unsigned)value);
    else
        *old = atomic_load(word);
    return NSH_SUCCESS;
}

/* Execute the operation of this stage. */
static int act(nsh__queue *queue, int64_t deadline, uint64_t *old)
{
    uint64_t self = (uint64_t)queue->me + 1;
    int place = place_of(queue->me);

    switch (queue->stage) {
    case NSH__STAGE_TAKE_UP:
        return word_try(queue, NSH__WORD_AND, place, ~(uint64_t)ABANDONED, deadline, old);
    case NSH__STAGE_ENTER:
        return word_try(queue, NSH__WORD_SWAP, TAIL, self, deadline, old);
    case NSH__STAGE_LINK:
        return word_try(queue, NSH__WORD_ADD, place_of(queue->before), self << NEXT_SHIFT, deadline,
                        old);
    case NSH__STAGE_LEAVE:
        return word_try(queue, NSH__WORD_ADD, place, ABANDONED, deadline, old);
    default:
        return word_try(queue, NSH__WORD_READ, TAIL, 0, deadline, old);
    }
}

/* Set the next stage from the answer. */
static void react(nsh__queue *queue, uint64_t old)
{
    switch (queue->stage) {
    case NSH__STAGE_TAKE_UP:
        if (old & GRANTED)
            break;
        queue->abandoned = false;
        queue->stage = old == 0 ? NSH__STAGE_ENTER : NSH__STAGE_WAIT;
        break;
    case NSH__STAGE_ENTER:
        nsh__assert(old <= (uint64_t)queue->participants && old != (uint64_t)queue->me + 1,
                    "tail %" PRIu64 " found by participant %d of %d", old, queue->me,
                    queue->participants);
        queue->before = (int)old - 1;
        queue->waited = false;
        queue->stage = old == 0 ? NSH__STAGE_HELD : NSH__STAGE_LINK;
        break;
    case NSH__STAGE_LINK:
        queue->stage = NSH__STAGE_WAIT;
        break;
    case NSH__STAGE_LEAVE:
        queue->abandoned = (old & GRANTED) == 0;
        queue->stage = queue->abandoned ? NSH__STAGE_GONE : NSH__STAGE_TOKEN;
        break;
    default:
        queue->asked = true;
        queue->stage = queue->abandoned ? NSH__STAGE_TAKE_UP : NSH__STAGE_ENTER;
    }
}

/* Wait without a deadline, and call look from time to time: the wait may have become pointless. */
static int await_and_look(nsh__queue *queue)
{
    int rc;

    do {
        rc = queue->look(queue->owner);
        if (rc != NSH_SUCCESS)
            return rc == NSH_ERR_STATE ? NSH_ERR_TIMEOUT : rc;
        rc = await_grant(queue, nsh__wait_clock() + LOOK_NS);
    } while (rc == NSH_ERR_TIMEOUT);
    return rc;
}

/* The stages WAIT and TOKEN. */
static int wait_for_grant(nsh__queue *queue, int64_t deadline)
{
    int64_t begin = nsh__wait_clock();
    bool looks = queue->look != NULL && queue->stage == NSH__STAGE_WAIT && deadline == NSH__NEVER;
    int rc = looks ? await_and_look(queue) : await_grant(queue, deadline);

    queue->waited_ns += nsh__wait_clock() - begin;
    if (rc == NSH_SUCCESS) {
        queue->waited = true;
        queue->stage = NSH__STAGE_HELD;
    } else if (rc == NSH_ERR_TIMEOUT) {
        queue->stage = NSH__STAGE_LEAVE;
        rc = NSH_SUCCESS;
    }
    return rc;
}

/* A rank that skips a place needs a few operations for it. Meanwhile the place's owner can only
 * look again. */
static int look_at_queue_again(nsh__queue *queue, int64_t deadline, unsigned *rounds)
{
    if (nsh__wait_clock() < deadline)
        return nsh__wait_round(&queue->comm->wait, rounds);
    queue->stage = NSH__STAGE_GONE; /* still abandoned */
    return NSH_SUCCESS;
}

/* The rank does not want the lock any more: choose the way out of the queue. */
static void turn_back(nsh__queue *queue)
{
    if (queue->stage == NSH__STAGE_TAKE_UP || queue->stage == NSH__STAGE_ENTER)
        queue->stage = NSH__STAGE_GONE;
    else if (queue->stage == NSH__STAGE_WAIT)
        queue->stage = NSH__STAGE_LEAVE;
}

/* Go through the stages until the lock is HELD or the rank is GONE; patience: until when to wait
 * for the home. NSH_ERR_TIMEOUT: a request was given up. */
static int advance(nsh__queue *queue, int64_t deadline, int64_t patience)
{
    unsigned rounds = 0;
    int rc = NSH_SUCCESS;
    uint64_t old;

    while (rc == NSH_SUCCESS && queue->stage < NSH__STAGE_HELD) {
        bool taking_up = queue->stage == NSH__STAGE_TAKE_UP;

        if (queue->stage == NSH__STAGE_WAIT || queue->stage == NSH__STAGE_TOKEN) {
            rc = wait_for_grant(queue, queue->stage == NSH__STAGE_WAIT ? deadline : NSH__NEVER);
        } else if ((rc = act(queue, patience, &old)) == NSH_SUCCESS) {
            react(queue, old);
            if (taking_up && queue->stage == NSH__STAGE_TAKE_UP)
                rc = look_at_queue_again(queue, deadline, &rounds);
        }
        if (queue->intent != NSH__INTENT_LOCK)
            turn_back(queue);
    }
    return rc;
}

/* [called by rma.c] An answer has come late. */
static int resume(void *owner, uint64_t old, int64_t deadline)
{
    nsh__queue *queue = owner;
    bool held;
    int rc;

    react(queue, old);
    if (queue->intent == NSH__INTENT_LOCK) { /* nsh__queue_lock continues from there */
        if (queue->stage == NSH__STAGE_GONE)
            queue->stage = NSH__STAGE_TAKE_UP;
        return NSH_SUCCESS;
    }
    turn_back(queue);
    rc = advance(queue, deadline, deadline);
    if (rc != NSH_SUCCESS)
        return rc;
    held = queue->stage == NSH__STAGE_HELD;
    if (held && queue->intent == NSH__INTENT_KEEP)
        return NSH_SUCCESS;
    queue->stage = NSH__STAGE_NONE;
    return held ? nsh__queue_unlock(queue, queue->me, queue->waited, NULL, NULL) : NSH_SUCCESS;
}

/* Until when a call with this deadline waits for answers. If a helper answers, or words are in the
 * memory of the node, no request is ever given up. */
static int64_t patience_of(const nsh__queue *queue, int64_t deadline)
{
    int64_t least;

    if (queue->local != NULL || queue->comm->helped || deadline == NSH__NEVER)
        return NSH__NEVER;
    least = nsh__wait_clock() + PATIENCE_NS;
    return deadline > least ? deadline : least;
}

static nsh__stage first_stage(const nsh__queue *queue, int64_t patience)
{
    if (patience != NSH__NEVER && !queue->asked)
        return NSH__STAGE_ASK;
    return queue->abandoned ? NSH__STAGE_TAKE_UP : NSH__STAGE_ENTER;
}

int nsh__queue_lock(nsh__queue *queue, int64_t deadline)
{
    int64_t patience = patience_of(queue, deadline);
    int rc = NSH_SUCCESS;

    queue->intent = NSH__INTENT_LOCK;
    if (queue->local == NULL)
        rc = nsh__words_settle(queue->comm, patience);
    if (rc == NSH_SUCCESS) {
        if (queue->stage == NSH__STAGE_NONE)
            queue->stage = first_stage(queue, patience);
        rc = advance(queue, deadline, patience);
        queue->asked = false;
    }
    queue->intent = NSH__INTENT_UNDO;
    if (rc != NSH_SUCCESS)
        return rc;
    rc = queue->stage == NSH__STAGE_HELD ? NSH_SUCCESS : NSH_ERR_TIMEOUT;
    queue->stage = NSH__STAGE_NONE;
    return rc;
}

int nsh__queue_catch_up(nsh__queue *queue, int64_t deadline, bool *held)
{
    int rc;

    queue->intent = NSH__INTENT_KEEP;
    rc = nsh__words_settle(queue->comm, patience_of(queue, deadline));
    queue->intent = NSH__INTENT_UNDO;
    *held = rc == NSH_SUCCESS && queue->stage == NSH__STAGE_HELD;
    if (rc == NSH_SUCCESS)
        queue->stage = NSH__STAGE_NONE;
    return rc;
}

int nsh__queue_trylock(nsh__queue *queue)
{
    uint64_t old;
    int rc = queue->local == NULL ? nsh__words_settle(queue->comm, NSH__NEVER) : NSH_SUCCESS;

    if (rc != NSH_SUCCESS)
        return rc;
    if (queue->abandoned) {
        rc = word_read(queue, place_of(queue->me), &old);
        if (rc != NSH_SUCCESS || old != 0)
            return rc != NSH_SUCCESS ? rc : NSH_ERR_BUSY;
        queue->abandoned = false;
    }
    rc = word_cas(queue, TAIL, 0, (uint64_t)queue->me + 1, &old);
    if (rc != NSH_SUCCESS || old != 0)
        return rc != NSH_SUCCESS ? rc : NSH_ERR_BUSY;
    queue->waited = false;
    return NSH_SUCCESS;
}

/* ---- unlock ---- */

/* Clear the holder's place and find the next participant; 0: none is known. */
static int leave_place(nsh__queue *queue, int holder, bool waited, uint64_t *next)
{
    int i = place_of(holder), rc = NSH_SUCCESS;
    uint64_t place = 0;

    /* A place without marks and link is zero. On a local queue a read costs less than a needless
     * swap, on a remote one more. */
    if (queue->local != NULL && !waited)
        rc = word_read(queue, i, &place);
    if (rc == NSH_SUCCESS && (waited || place != 0))
        rc = word_swap(queue, i, 0, &place);
    *next = next_of(place);
    return rc;
}

/* The tail says that a rank has come after participant; it will link itself in a moment. The place
 * of a holder is cleared by the same operation. The place of a participant that is skipped stays
 * marked until the link exists, otherwise its owner would think it free. */
static int await_link(nsh__queue *queue, int participant, bool skipped, uint64_t *next)
{
    int i = place_of(participant), rc;
    unsigned rounds = 0;
    uint64_t place;

    for (;;) {
        rc = skipped ? word_read(queue, i, &place) : word_swap(queue, i, 0, &place);
        if (rc != NSH_SUCCESS || next_of(place) != 0)
            break;
        rc = nsh__wait_round(&queue->comm->wait, &rounds);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    if (rc == NSH_SUCCESS && skipped)
        rc = word_swap(queue, i, 0, &place);
    *next = next_of(place);
    return rc;
}

/* Grant the lock to a participant. *skipped: it has left; then *next is the one after it. */
static int grant(nsh__queue *queue, int participant, bool *skipped, uint64_t *next)
{
    int i = place_of(participant);
    uint64_t place;
    int rc = word_add(queue, i, GRANTED, &place);

    nsh__assert(rc != NSH_SUCCESS || (place & GRANTED) == 0,
                "place 0x%" PRIx64 " of participant %d, granted by %d", place, participant,
                queue->me);
    *skipped = (place & ABANDONED) != 0;
    *next = next_of(place);
    if (rc != NSH_SUCCESS)
        return rc;
    if (*skipped)
        return *next != 0 ? word_swap(queue, i, 0, &place) : NSH_SUCCESS;
    if (queue->local == NULL)
        return nsh__token_send(queue->comm, NSH__TOKEN_LOCK, participant);
    nsh__wake(&queue->local[i].word, &queue->local[i].sleepers);
    return NSH_SUCCESS;
}

/* No participant is known to follow. *next: one came after all; 0: the lock is free. */
static int give_up_place(nsh__queue *queue, int participant, bool skipped, uint64_t *next)
{
    uint64_t old, place;
    int rc = word_cas(queue, TAIL, (uint64_t)participant + 1, 0, &old);

    nsh__assert(rc != NSH_SUCCESS || (old != 0 && old <= (uint64_t)queue->participants),
                "tail %" PRIu64 " while participant %d of %d is in the queue", old, participant,
                queue->participants);
    *next = 0;
    if (rc == NSH_SUCCESS && old != (uint64_t)participant + 1)
        return await_link(queue, participant, skipped, next);
    if (rc == NSH_SUCCESS && skipped)
        rc = word_swap(queue, place_of(participant), 0, &place);
    return rc;
}

int nsh__queue_unlock(nsh__queue *queue, int holder, bool waited, nsh__queue_hook last, void *owner)
{
    bool skipped = false;
    uint64_t next;
    int rc = leave_place(queue, holder, waited, &next);

    while (rc == NSH_SUCCESS) {
        if (next == 0) {
            if (last != NULL && (rc = last(owner)) != NSH_SUCCESS)
                break;
            rc = give_up_place(queue, holder, skipped, &next);
            if (rc != NSH_SUCCESS || next == 0)
                break;
        }
        nsh__assert(next <= (uint64_t)queue->participants,
                    "participant %d is followed by place %" PRIu64 " of %d", holder, next,
                    queue->participants);
        holder = (int)next - 1;
        rc = grant(queue, holder, &skipped, &next);
        if (rc != NSH_SUCCESS || !skipped)
            break;
    }
    return rc;
}

/* ---- the holder ---- */

/* Go from the tail to the front: find a place that is granted and not abandoned, or the first
 * one. */
static uint64_t front_of(const uint64_t place[], int n, uint64_t at)
{
    for (int steps = 0; at != 0 && steps < n; steps++) {
        int before = 0;

        if ((place[at - 1] & (GRANTED | ABANDONED)) == GRANTED)
            break;
        while (before < n && next_of(place[before]) != at)
            before++;
        if (before == n)
            break;
        at = (uint64_t)before + 1;
    }
    return at;
}

int nsh__queue_holder(nsh__queue *queue, int *holder)
{
    uint64_t *place = calloc((size_t)queue->participants, sizeof *place), at = 0;
    int rc = NSH_SUCCESS;

    if (place == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory to look at a queue of %d", queue->participants);
    for (int i = 0; i < queue->participants && rc == NSH_SUCCESS; i++)
        rc = word_read(queue, place_of(i), &place[i]);
    if (rc == NSH_SUCCESS)
        rc = word_read(queue, TAIL, &at);
    if (rc == NSH_SUCCESS)
        *holder = (int)front_of(place, queue->participants, at) - 1;
    free(place);
    return rc;
}
