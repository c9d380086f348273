/* SPDX-License-Identifier: BSD-3-Clause */
/* cohort.pml -- the cohort order of src/sync/mutex.c: ranks 0 and 1 on one node, rank 2 on another.
 *
 * Each rank locks, locks with a deadline that may come at any time in either queue, or tries, as
 * often as it likes, and may stay away for ever after any of these. Checked:
 *   exclusion   one holder at a time
 *   no loss     no invalid end state, as in queue.pml
 *   bound       while a node waits in the remote queue the other one gets the mutex COHORT_LIMIT
 *               times at most after the first
 *   tidiness    as in queue.pml; all words of all queues and nodes are zero at the end
 *
 * -DTIMED=0: no deadlines. -DRANKS=4: two ranks on each node. -DONE_NODE: all ranks on one node, so
 * that three meet in its queue. */

#define LOCK 0
#define TRY 1
#define TIMEDLOCK 2

#ifndef RANKS
#define RANKS 3
#endif
#define NODES 2
#ifndef COHORT_LIMIT
#define COHORT_LIMIT 1
#endif
#ifndef TIMED
#define TIMED true
#endif

/* A local queue for each node, and the remote one; the number in the queue is the rank in each. */
#define QUEUES 3
#define REMOTE_QUEUE 2
#define TAKES_TOKEN(q) ((q) == REMOTE_QUEUE)
#ifdef ONE_NODE
#define NODE(i) 0
#else
#define NODE(i) ((i) / 2)
#endif

/* struct cohort, one for each node. */
byte cohort_holder[NODES];
bool cohort_waited[NODES];
byte cohort_passes[NODES];

byte holders;
bool waits[NODES];     /* a rank of the node is in the remote queue and has not left it */
byte overtaken[NODES]; /* how often the other node has got the mutex since */

#define NODE_WAITS(q, i, yes) \
    if \
    :: (q) == REMOTE_QUEUE -> waits[NODE(i)] = yes; overtaken[NODE(i)] = 0 \
    :: else \
    fi
#define CAME(q, i) NODE_WAITS(q, i, true)
#define LEFT(q, i) NODE_WAITS(q, i, false)
#define CAME_BACK(q, i) NODE_WAITS(q, i, true)
#define CAME_ANEW(q, i) skip
#define TURN(q, i, gone) \
    if \
    :: (gone) \
    :: else -> NODE_WAITS(q, i, false) \
    fi
#define FREE(q) skip

#include "queue.pmi"

inline begin_cohort(me)
{
    atomic { /* guarded by the local queue */
        cohort_waited[NODE(me)] = WAITED(REMOTE_QUEUE);
        cohort_passes[NODE(me)] = 0;
        cohort_holder[NODE(me)] = (me) + 1;
        WAITED(REMOTE_QUEUE) = false /* not read any more */
    }
}

inline end_cohort(me)
{
    if
    :: cohort_holder[NODE(me)] == 0
    :: else ->
        atomic {
            remote_holder = cohort_holder[NODE(me)] - 1;
            cohort_holder[NODE(me)] = 0;
            cohort_passes[NODE(me)] = 0 /* not read any more */
        }
        queue_unlock(REMOTE_QUEUE, remote_holder, cohort_waited[NODE(me)], remote_skipped,
                     remote_next)
    fi
}

/* nsh__queue_unlock() with end_cohort as its hook */
inline local_unlock(me)
{
    leave_place(NODE(me), holder, WAITED(NODE(me)), next);
    do
    :: next == 0 ->
        end_cohort(me);
        give_up(NODE(me), holder, skipped, next);
        if
        :: next == 0 -> break
        :: else
        fi
    :: next != 0 ->
        grant_next(NODE(me), holder, skipped, next);
        if
        :: skipped
        :: else -> break
        fi
    od;
    skipped = false;
    next = 0;
    holder = 0
}

/* What follows the local queue's lock in lock_cohort() and trylock_cohort(), whose *waited counts
 * for statistics only. */
inline ask_for_node(me, how)
{
    if
    :: how == TRY -> queue_trylock(REMOTE_QUEUE, me, rc)
    :: else -> queue_lock(REMOTE_QUEUE, me, how == TIMEDLOCK, rc)
    fi;
    if
    :: rc == SUCCESS -> begin_cohort(me)
    :: else ->
        holder = me;
        queue_unlock(NODE(me), holder, WAITED(NODE(me)), skipped, next)
    fi
}

inline lock_cohort(me, how)
{
    if
    :: how == TRY -> queue_trylock(NODE(me), me, rc)
    :: else -> queue_lock(NODE(me), me, how == TIMEDLOCK, rc)
    fi;
    if
    :: rc == SUCCESS && cohort_holder[NODE(me)] == 0 -> ask_for_node(me, how)
    :: else
    fi
}

inline unlock_cohort(me)
{
    if
    :: cohort_passes[NODE(me)] >= COHORT_LIMIT -> end_cohort(me)
    :: else -> cohort_passes[NODE(me)]++
    fi;
    holder = me;
    local_unlock(me)
}

proctype rank(byte me)
{
    QUEUE_LOCALS;
    byte how, rc, holder, next, remote_holder, remote_next;
    bool skipped, remote_skipped;

    do
    :: break
    :: true ->
        if
        :: how = LOCK
        :: how = TRY
        :: TIMED -> how = TIMEDLOCK
        fi;
        lock_cohort(me, how);
        how = 0;
        if
        :: rc == SUCCESS ->
            atomic {
                assert(tokens[me] == 0);
                holders++;
                assert(holders == 1);
                if
                :: waits[1 - NODE(me)] ->
                    overtaken[1 - NODE(me)]++;
                    assert(overtaken[1 - NODE(me)] <= 1 + COHORT_LIMIT)
                :: else
                fi
            }
            holders--;
            unlock_cohort(me)
        :: else -> rc = SUCCESS
        fi
    od
}

init {
    byte i;

    atomic {
        for (i : 0 .. RANKS - 1) {
            run rank(i)
        }
    }
    _nr_pr == 1;
    for (i : 0 .. QUEUES - 1) {
        assert(tail[i] == 0)
    }
    for (i : 0 .. QUEUES * RANKS - 1) {
        assert(place[i] == 0)
    }
    for (i : 0 .. RANKS - 1) {
        assert(tokens[i] == 0)
    }
    for (i : 0 .. NODES - 1) {
        assert(cohort_holder[i] == 0 && !waits[i])
    }
}
