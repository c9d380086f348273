/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.pml -- three ranks and one queue lock of src/sync/queue.c, whatever they do for as long as
 * they like.
 *
 * Each rank locks, locks with a deadline that may come at any time, or tries, as often as it likes,
 * and may stay away for ever after any of these, even with its place abandoned in the queue. That
 * needs no count of rounds: there are finitely many states. Checked:
 *   exclusion   one holder at a time
 *   no loss     no invalid end state. Since the others may stay away at any time, who waits without
 *               a deadline in vain would be left over alone, and that is one
 *   order       who swapped itself into the tail first is granted or skipped first; only those
 *               that have left are skipped; who takes up its place keeps it
 *   tidiness    a token is sent to who awaits it and to nobody else, a word never overflows, and
 *               all are zero when everybody has gone
 * -DLATE: requests with a deadline may be given up; a home executes them at any time, and the rank
 * takes the answer in its next call, or before it stays away. -DREMOTE: a token follows GRANTED.
 * -DTIMED=0: no deadlines. */

#ifndef RANKS
#define RANKS 3
#endif
#ifndef TIMED
#define TIMED true
#endif
#define QUEUES 1
#ifdef REMOTE
#define TAKES_TOKEN(q) 1
#else
#define TAKES_TOKEN(q) 0
#endif

/* Who waits or has left, in the order of the tail; and who of them has left. */
chan line = [RANKS] of { byte };
bool left[RANKS];
byte holders;

#define CAME(q, i) assert(nfull(line)); line!i
#define LEFT(q, i) left[i] = true
#define CAME_BACK(q, i) assert(left[i] && line ?? [eval(i)]); left[i] = false
#define CAME_ANEW(q, i) assert(left[i] && !(line ?? [eval(i)])); left[i] = false
#define TURN(q, i, gone) assert(line ? [eval(i)] && gone == left[i]); line ? _
#define FREE(q) assert(empty(line))

#ifdef LATE
#define MAY_BE_LATE(q) true
#endif

#include "queue.pmi"

/* nsh__words_settle() in a call that does not want the lock. */
inline settle(me)
{
    if
    :: late[me] != 0 ->
        take_answer(0, me);
        turn_back();
        advance(0, me, false, false);
        if
        :: stage == HELD ->
            stage = 0;
            holders++;
            assert(holders == 1);
            holders--;
            holder = me;
            queue_unlock(0, holder, WAITED(0), skipped, next)
        :: else
        fi;
        stage = 0
    :: else
    fi
}

#ifdef LATE
proctype home()
{
end:
    do
    :: serve_late(0, 0)
    :: serve_late(0, 1)
    :: serve_late(0, RANKS - 1)
    od
}
#endif

proctype rank(byte me)
{
    QUEUE_LOCALS;
    byte rc, holder, next;
    bool timed, skipped;

    do
    :: settle(me); break
    :: true ->
        if
        :: settle(me); queue_trylock(0, me, rc)
        :: true ->
            if
            :: TIMED -> timed = true
            :: true
            fi;
            queue_lock(0, me, timed, rc)
        fi;
        timed = false;
        if
        :: rc == SUCCESS ->
            assert(tokens[me] == 0);
            holders++;
            assert(holders == 1);
            holders--;
            holder = me;
            queue_unlock(0, holder, WAITED(0), skipped, next)
        :: else -> rc = SUCCESS
        fi
    od
}

init {
    byte i;

    atomic {
#ifdef LATE
        run home(); /* first: processes end in reverse order */
#endif
        for (i : 0 .. RANKS - 1) {
            run rank(i)
        }
    }
#ifdef LATE
    _nr_pr == 2;
#else
    _nr_pr == 1;
#endif
    assert(tail[0] == 0 && empty(line));
    for (i : 0 .. RANKS - 1) {
        assert(place[i] == 0 && tokens[i] == 0)
    }
}
