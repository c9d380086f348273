/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.h -- a queue lock: first come, first served, one holder, places that may be abandoned.
 *
 * The MCS lock (Mellor-Crummey and Scott, ACM TOCS 9(1), 1991) with waiters that may leave (cf.
 * Scott and Scherer, "Scalable queue-based spin locks with timeout", PPoPP 2001): a waiter that
 * leaves marks its place ABANDONED; a holder that unlocks skips such places and clears them. So no
 * rank ever waits for a rank that has left. One protocol serves two kinds of words:
 *
 *   tail      0, or 1 + the participant that came last
 *   place[i]  next << 8 | GRANTED | ABANDONED; next: 1 + the participant after i
 *
 *   local     the words are C11 atomics in the memory of one node, a cache line each, and a waiter
 *             sleeps on GRANTED. Participants are the node's ranks, by node rank
 *   remote    the words live at a home (rma.h) and a token (token.h) follows GRANTED.
 *             Participants are all ranks of the communicator
 *
 * Without contention lock and unlock are one operation each, with contention two each; to skip a
 * place costs two more. mpi_tests/models/queue.pml explores this file's functions exhaustively. */
#ifndef NSH_SYNC_QUEUE_H
#define NSH_SYNC_QUEUE_H

#include "core/comm.h"
#include "core/rma.h"

/* A word of a local queue, in shared memory, zero at first. */
typedef struct nsh__place {
    _Alignas(64) atomic_uint word;
    atomic_uint sleepers;
} nsh__place;

/* A callback to the owner of a queue. */
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

/* What a call does with a late answer that it receives. */
typedef enum nsh__intent {
    NSH__INTENT_UNDO, /* leave the queue */
    NSH__INTENT_KEEP, /* leave the queue, but keep the lock if it was granted */
    NSH__INTENT_LOCK  /* continue to lock */
} nsh__intent;

/* One rank's view of a queue. */
typedef struct nsh__queue {
    nsh_comm *comm;
    nsh__place *local;        /* [0] is the tail, [1 + i] the place of i; NULL: a remote queue */
    const nsh__words *remote; /* the words of a remote queue */
    int participants;
    int me;
    nsh__stage stage;     /* of this rank's call; not NONE after the call: a request was given up in
                             this stage */
    nsh__intent intent;   /* of the call that receives a late answer */
    bool asked;           /* the home has answered, so the next call need not ask first */
    int before;           /* in stage LINK: the participant after which to link */
    bool waited;          /* this rank was granted the lock, so GRANTED is set at its place */
    bool abandoned;       /* this rank has stopped waiting; its place may still be in the queue */
    nsh__queue_hook look; /* called from time to time while this rank waits without a deadline; on
                             NSH_ERR_STATE it leaves as at a deadline. NULL: none */
    void *owner;          /* of look */
    int64_t waited_ns;    /* sum of all waits of this rank */
} nsh__queue;

/* [non-local, by a rank that does not hold it] Wait for the lock until deadline. NSH_ERR_TIMEOUT:
 * the place is abandoned; the next call uses it again if it has not been skipped by then. Or a
 * request to a home without a helper was given up; the next call that uses words receives its
 * answer (rma.h). NSH_ERR_MPI and what waiting on a broken communicator returns. */
int nsh__queue_lock(nsh__queue *queue, int64_t deadline);

/* [non-local, before this rank waits for anything else] Receive the answer of a request that it has
 * given up, in whichever queue. *held: this queue's lock was granted late, and the caller keeps it
 * or unlocks. NSH_ERR_TIMEOUT: no answer by deadline; NSH_ERR_MPI and what waiting on a broken
 * communicator returns. */
int nsh__queue_catch_up(nsh__queue *queue, int64_t deadline, bool *held);

/* [non-local, by a rank that does not hold it] Take the lock if no rank holds it or waits.
 * NSH_ERR_BUSY (without a detail). */
int nsh__queue_trylock(nsh__queue *queue);

/* [non-local, by the holder, or by another rank of its node on its behalf] Hand the lock to the
 * next participant, or free it. holder and waited: on whose behalf; usually queue->me and
 * queue->waited. last is called when no waiter is known, before the lock is freed; it may be
 * NULL. */
int nsh__queue_unlock(nsh__queue *queue, int holder, bool waited, nsh__queue_hook last,
                      void *owner);

/* [non-local, by any rank] The participant that seems to hold the lock; -1: none. */
int nsh__queue_holder(nsh__queue *queue, int *holder);

#endif
