/* SPDX-License-Identifier: BSD-3-Clause */
/* semaphore.pml -- the semaphore of src/sync/semaphore.c, over the queue lock of src/sync/queue.c.
 *
 * Each rank acquires a permit, tries for one or one more, and releases, as often as it likes, and
 * goes for ever when it holds none. Checked:
 *   bound       at most PERMITS permits are held
 *   no loss     no invalid end state, as in queue.pml
 *   tidiness    tokens of the queue and of the semaphore, which are of one kind, are sent to who
 *               awaits them; one head at a time is told; the cell and all words end as zero
 *
 * -DPERMITS=n; -DREMOTE: the queue is a remote one. */

#ifndef RANKS
#define RANKS 3
#endif
#ifndef PERMITS
#define PERMITS 1
#endif

#define QUEUES 1
#ifdef REMOTE
#define TAKES_TOKEN(q) 1
#else
#define TAKES_TOKEN(q) 0
#endif

#define CAME(q, i) skip
#define LEFT(q, i) skip
#define CAME_BACK(q, i) skip
#define CAME_ANEW(q, i) skip
#define TURN(q, i, gone) skip
#define FREE(q) skip

#include "queue.pmi"

/* The two halves of the cell, which change together. */
short balance; /* free - PERMITS */
byte told;     /* 0, or 1 + the rank of a head that waits */

byte taken; /* by all ranks */

/* await_permit(): as the head that is owed a permit. */
inline await_permit(me)
{
    atomic { /* nsh__cell_add */
        assert(told == 0);
        told = (me) + 1;
        owed = (balance + PERMITS < 0)
    }
    if
    :: owed ->
        atomic { /* nsh__token_await */
            tokens[me] > 0 -> tokens[me]--
        }
    :: else
    fi;
    atomic {
        assert(told == (me) + 1);
        told = 0;
        owed = false
    }
}

inline acquire(me)
{
    queue_lock(0, me, false, rc);
    atomic { /* nsh__cell_add */
        owed = (balance + PERMITS <= 0);
        balance--;
        assert(balance + PERMITS >= -1)
    }
    if
    :: owed -> await_permit(me)
    :: else
    fi;
    atomic {
        took()
    }
    holder = me;
    queue_unlock(0, holder, WAITED(0), skipped, next)
}

inline tryacquire(me)
{
    atomic { /* nsh__cell_read */
        seen = balance;
        seen_told = told
    }
    do
    :: seen + PERMITS <= 0 -> break
    :: else ->
        atomic { /* nsh__cell_cas */
            if
            :: balance == seen && told == seen_told ->
                balance--;
                took();
                break
            :: else ->
                seen = balance;
                seen_told = told
            fi
        }
    od;
    seen = 0;
    seen_told = 0
}

inline release(me)
{
    atomic { /* nsh__cell_add */
        balance++;
        if
        :: balance - 1 + PERMITS < 0 -> to = told
        :: else
        fi
    }
    if
    :: to != 0 ->
        token_send(to - 1);
        to = 0
    :: else
    fi
}

inline took()
{
    held++;
    taken++;
    assert(taken <= PERMITS)
}

proctype rank(byte me)
{
    QUEUE_LOCALS;
    byte rc, holder, next, held, to, seen_told;
    short seen;
    bool skipped, owed;

    do
    :: held == 0 -> break
    :: held == 0 -> acquire(me) /* who waits holding a permit may wait for itself */
    :: held < PERMITS -> tryacquire(me)
    :: held > 0 ->
        held--;
        taken--;
        release(me)
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
    assert(tail[0] == 0 && balance == 0 && told == 0);
    for (i : 0 .. RANKS - 1) {
        assert(place[i] == 0 && tokens[i] == 0)
    }
}
