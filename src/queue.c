/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.c -- a queue lock: first come, first served, places that may be abandoned.
 *
 * Invariants: at most one participant holds the lock or is on its way out of it, and only that one
 * grants or skips. A place is linked at most once behind each other. A place that is not in the
 * queue is zero. GRANTED is set once on a place in the queue: without ABANDONED the lock is its
 * owner's, with ABANDONED the place is being skipped and its owner keeps away until it is zero.
 *
 * Words are changed by read-modify-write only, all of them seq_cst, so the lock orders what holders
 * store, and nsh__wake sees who sleeps. */
#include "queue.h"

#include "token.h"

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

/* ---- lock ---- */

/* Until granted. On a local queue the mark is the grant; on a remote one the token is. */
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

/* The deadline has come. Success: the grant came first, and the lock is this rank's. */
static int abandon(nsh__queue *queue)
{
    uint64_t old;
    int rc = word_add(queue, place_of(queue->me), ABANDONED, &old);

    if (rc != NSH_SUCCESS)
        return rc;
    if (old & GRANTED) /* the token is on its way, if it takes one */
        return queue->local != NULL ? NSH_SUCCESS : await_grant(queue, NSH__NEVER);
    queue->abandoned = true;
    return NSH_ERR_TIMEOUT;
}

static int wait_in_queue(nsh__queue *queue, int64_t deadline)
{
    int64_t begin = nsh__wait_clock();
    int rc = await_grant(queue, deadline);

    if (rc == NSH_ERR_TIMEOUT)
        rc = abandon(queue);
    queue->waited = rc == NSH_SUCCESS;
    queue->waited_ns += nsh__wait_clock() - begin;
    return rc;
}

/* Take up the place that this rank has abandoned. *again: it is still in the queue, and not
 * abandoned any more. While it is being skipped, which takes the one who skips a few operations,
 * there is nothing to do but to look again. */
static int take_up(nsh__queue *queue, bool *again)
{
    int i = place_of(queue->me), rc;
    unsigned rounds = 0;
    uint64_t place, old;

    *again = false;
    for (;;) {
        rc = word_read(queue, i, &place);
        if (rc == NSH_SUCCESS && place == 0)
            break;
        if (rc == NSH_SUCCESS && (place & GRANTED) == 0) {
            rc = word_cas(queue, i, place, place & ~(uint64_t)ABANDONED, &old);
            *again = rc == NSH_SUCCESS && old == place;
            if (*again)
                break;
        }
        if (rc == NSH_SUCCESS)
            rc = nsh__wait_round(&queue->comm->wait, &rounds);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    queue->abandoned = false;
    return NSH_SUCCESS;
}

int nsh__queue_lock(nsh__queue *queue, int64_t deadline)
{
    uint64_t before, old;
    bool again;
    int rc;

    if (queue->abandoned) {
        rc = take_up(queue, &again);
        if (rc != NSH_SUCCESS || again)
            return rc != NSH_SUCCESS ? rc : wait_in_queue(queue, deadline);
    }
    rc = word_swap(queue, TAIL, (uint64_t)queue->me + 1, &before);
    if (rc != NSH_SUCCESS || before == 0) {
        queue->waited = false;
        return rc;
    }
    rc = word_add(queue, place_of((int)before - 1), ((uint64_t)queue->me + 1) << NEXT_SHIFT, &old);
    return rc == NSH_SUCCESS ? wait_in_queue(queue, deadline) : rc;
}

int nsh__queue_trylock(nsh__queue *queue)
{
    uint64_t old;
    int rc;

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

/* Clear the holder's place and find who is next to it; 0: nobody that is known. */
static int leave_place(nsh__queue *queue, int holder, bool waited, uint64_t *next)
{
    int i = place_of(holder), rc = NSH_SUCCESS;
    uint64_t place = 0;

    /* A place that nobody has marked or linked is zero; looking costs less than the wrong guess
     * where words are near, and more where they are far. */
    if (queue->local != NULL && !waited)
        rc = word_read(queue, i, &place);
    if (rc == NSH_SUCCESS && (waited || place != 0))
        rc = word_swap(queue, i, 0, &place);
    *next = next_of(place);
    return rc;
}

/* The tail says that somebody has come behind participant, who will link itself in a moment. The
 * place of a holder is cleared by the same operation; that of one who is skipped stays marked
 * until the link is there, or its owner would think it free. */
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

/* Grant the lock to a participant. *skipped: it has left; then *next is who was behind it. */
static int grant(nsh__queue *queue, int participant, bool *skipped, uint64_t *next)
{
    int i = place_of(participant);
    uint64_t place;
    int rc = word_add(queue, i, GRANTED, &place);

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

/* Nobody is known to be behind participant. *next: somebody came after all; 0: the lock is free. */
static int give_up(nsh__queue *queue, int participant, bool skipped, uint64_t *next)
{
    uint64_t old, place;
    int rc = word_cas(queue, TAIL, (uint64_t)participant + 1, 0, &old);

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
            rc = give_up(queue, holder, skipped, &next);
            if (rc != NSH_SUCCESS || next == 0)
                break;
        }
        holder = (int)next - 1;
        rc = grant(queue, holder, &skipped, &next);
        if (rc != NSH_SUCCESS || !skipped)
            break;
    }
    return rc;
}

/* ---- look ---- */

/* From the tail towards the front: a place that is granted and not abandoned, or the first. */
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
