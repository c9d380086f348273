/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.pml -- three ranks and one queue lock of src/queue.c, whatever they do for however long.
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
 * -DREMOTE: a token follows GRANTED. -DTIMED=0: no deadlines. */

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

#include "queue.pmi"

proctype rank(byte me)
{
    QUEUE_LOCALS;
    byte rc, holder, next;
    bool timed, skipped;

    do
    :: break
    :: true ->
        if
        :: queue_trylock(0, me, rc)
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
        for (i : 0 .. RANKS - 1) {
            run rank(i)
        }
    }
    _nr_pr == 1;
    assert(tail[0] == 0 && empty(line));
    for (i : 0 .. RANKS - 1) {
        assert(place[i] == 0 && tokens[i] == 0)
    }
}
