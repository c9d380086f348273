/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.h -- a queue lock: first come, first served, one holder, places that may be abandoned.
 *
 * The MCS lock (Mellor-Crummey and Scott, ACM TOCS 9(1), 1991) with waiters that may leave (cf.
 * Scott and Scherer, "Scalable queue-based spin locks with timeout", PPoPP 2001): who leaves marks
 * its place and goes; who unlocks skips marked places and clears them, so nobody ever waits for a
 * rank that has left. One protocol for two kinds of words:
 *
 *   tail      0, or 1 + the participant that came last
 *   place[i]  next << 8 | GRANTED | ABANDONED; next: 1 + the participant behind i
 *
 *   local     the words are C11 atomics in the memory of one node, a cache line each, and GRANTED
 * is what the waiter sleeps on. Participants are the node's ranks, by node rank remote    the words
 * live at a home (rma.h) and a token (token.h) follows GRANTED. Participants are all ranks of the
 * communicator
 *
 * Uncontended, lock and unlock are one operation each; contended, two each; skipping a place costs
 * two more. mpi_tests/models/queue.pml explores this file's functions exhaustively. */
#ifndef NSH_SYNC_QUEUE_H
#define NSH_SYNC_QUEUE_H

#include "core/comm.h"
#include "core/rma.h"

/* Half of it is one word of a local queue; in shared memory, zero at first. */
typedef struct nsh__place {
    _Alignas(64) atomic_uint word;
    atomic_uint sleepers;
} nsh__place;

/* What an owner of a queue is called for. */
typedef int (*nsh__queue_hook)(void *owner);

/* How far a rank has come on its way into the queue, or out of it; see queue.c. */
typedef enum nsh__stage {
    NSH__STAGE_NONE,
    NSH__STAGE_ASK,
    NSH__STAGE_TAKE_UP,
    NSH__STAGE_ENTER,
    NSH__STAGE_LINK,
    NSH__STAGE_WAIT,
    NSH__STAGE_LEAVE,
    NSH__STAGE_TOKEN,
    NSH__STAGE_HELD,
    NSH__STAGE_GONE
} nsh__stage;

/* What the call that takes a late answer makes of it. */
typedef enum nsh__intent {
    NSH__INTENT_UNDO, /* be out of the queue */
    NSH__INTENT_KEEP, /* likewise, but hold the lock if it was granted */
    NSH__INTENT_LOCK  /* go on to lock */
} nsh__intent;

/* One rank's view of a queue. */
typedef struct nsh__queue {
    nsh_comm *comm;
    nsh__place *local;        /* [0] is the tail, [1 + i] the place of i; NULL: a remote queue */
    const nsh__words *remote; /* likewise */
    int participants;
    int me;
    nsh__stage stage;     /* of this rank's call; not NONE after it: a request was given up there */
    nsh__intent intent;   /* of the call that takes a late answer */
    bool asked;           /* the home has answered; so the next call need not ask first */
    int before;           /* in stage LINK: the participant to link behind */
    bool waited;          /* this rank holds the lock and was granted it, so its place is marked */
    bool abandoned;       /* this rank gave up waiting; its place may still be in the queue */
    nsh__queue_hook look; /* called now and then while this rank waits without a deadline; on
                             NSH_ERR_STATE it leaves as at a deadline. NULL: none */
    void *owner;          /* of look */
    int64_t waited_ns;    /* all this rank's waits together */
} nsh__queue;

/* [non-local] Wait for the lock until deadline. NSH_ERR_TIMEOUT: the place is abandoned, and taken
 * up again by the next call if it has not been skipped by then; or a request to a home without a
 * helper was given up, whose answer the next call takes, whichever it is (rma.h). NSH_ERR_MPI and
 * what waiting on a broken communicator returns. */
int nsh__queue_lock(nsh__queue *queue, int64_t deadline);

/* [non-local] Before this rank waits for anything else: take the answer of a request that it has
 * given up, whichever queue's it is. *held: this queue's lock was granted late, and the caller
 * keeps it or unlocks. NSH_ERR_TIMEOUT: there is no answer by deadline; NSH_ERR_MPI and what
 * waiting on a broken communicator returns. */
int nsh__queue_catch_up(nsh__queue *queue, int64_t deadline, bool *held);

/* [non-local] Take the lock if nobody holds it or waits. NSH_ERR_BUSY (without a detail). */
int nsh__queue_trylock(nsh__queue *queue);

/* [non-local] Hand the lock to the next, or give it up. holder and waited: on whose behalf; usually
 * queue->me and queue->waited. last is called when nobody is known to wait, before the lock is
 * given up; it may be NULL. */
int nsh__queue_unlock(nsh__queue *queue, int holder, bool waited, nsh__queue_hook last,
                      void *owner);

/* [non-local] Who seems to hold it; -1: nobody. */
int nsh__queue_holder(nsh__queue *queue, int *holder);

#endif
