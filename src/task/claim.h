/* SPDX-License-Identifier: BSD-3-Clause */
/* claim.h -- who gets which of 0 .. n-1: each number once, in order on each node.
 *
 * A node has a chunk of consecutive numbers, from which its workers take with one compare-and-swap.
 * The worker that finds it empty fetches the next chunk; workers that come meanwhile sleep. A chunk
 * is not fetched earlier: its first number would wait for a worker of this node while workers of
 * other nodes have nothing to do. Where chunks come from:
 *   word    the next number that no node has, advanced by one fetch-and-op at a home
 *   source  a function of the caller's (journal.c)
 *   direct  one node, and no source: there are no chunks, a number is one fetch-and-add
 *
 * The first chunk has a number for each worker of the node, or its share if there are fewer, so
 * that workers of all nodes take numbers in the order of the numbers. Chunks grow while they last
 * less than a millisecond, or than 32 times what it took to fetch them but 10 ms, for there
 * fetching would cost something: the shorter one was, the larger is the next, at most 16 times;
 * they shrink again when they last 40. No later chunk is more than
 * half of the node's share of what is left, so the last numbers are fetched one by one. (Cf.
 * Polychronopoulos and Kuck, "Guided self-scheduling", IEEE ToC C-36(12), 1987.)
 *
 * word = generation << 32 | state, where state is how many numbers are left, IDLE (nobody fetches),
 * FETCHING or CLOSED (there will be none). Only who has set FETCHING changes the rest, and then
 * publishes the next generation: first where the chunk ends, then the word, then `generation`, on
 * which the others sleep. The end of a generation's chunk is overwritten two generations later, so
 * a compare-and-swap that succeeds has read the right one before. */
#ifndef NSH_TASK_CLAIM_H
#define NSH_TASK_CLAIM_H

#include "core/comm.h"
#include "core/rma.h"

/* In shared memory of a node, zero at first, which means IDLE. */
typedef struct nsh__claim_area {
    _Alignas(64) _Atomic uint64_t word;
    _Atomic int64_t end[2]; /* of the chunk of even and odd generations */
    _Alignas(64) atomic_uint generation;
    atomic_uint sleepers;
    int64_t size, since, cost; /* of the present chunk, when and in what time it was fetched; by who
                                  fetches */
    int64_t seen;              /* a number that was the next one at some time; likewise */
    _Alignas(64) _Atomic int64_t next; /* direct */
} nsh__claim_area;

/* What a node asks for. */
typedef struct nsh__claim_wish {
    int64_t most; /* numbers */
    int workers;  /* of the node, to whose share it is limited; 0: to none */
    bool first;   /* it has had none */
} nsh__claim_wish;

/* More numbers for this node: *begin < *end, or equal when there are none now; how the caller's own
 * failure is worded is its business. By one rank of a node at a time. */
typedef int (*nsh__claim_source)(void *owner, const nsh__claim_wish *wish, int64_t *begin,
                                 int64_t *end);

/* One rank's view. */
typedef struct nsh__claims {
    nsh_comm *comm;
    nsh__claim_area *area;
    int64_t n;
    int workers, everywhere; /* who take on this node, and on all nodes */
    int64_t chunk;           /* numbers of every chunk; 0: as many as suit */
    const nsh__words *words; /* word 0 of them: the next number; on one node none */
    bool direct;
    int64_t deadline;         /* of nsh__claim_take, where another rank or the source waits */
    nsh__claim_source source; /* NULL: the word */
    void *owner;
} nsh__claims;

typedef enum nsh__claim_result {
    NSH__CLAIM_TAKEN,
    NSH__CLAIM_REFILL, /* not taken, and the caller is the one who fetches */
    NSH__CLAIM_WAIT,   /* another one fetches: wait for the generation after *generation */
    NSH__CLAIM_NONE
} nsh__claim_result;

/* [local, any thread] Take numbers [*first, *first + *count): one, or if parts > 0 a parts-th of
 * what is left in the chunk. */
nsh__claim_result nsh__claim_try(const nsh__claims *claims, int parts, int64_t *first,
                                 int64_t *count, unsigned *generation);

/* [local, any thread] Is number in the node's chunk, and nobody has taken it yet? */
bool nsh__claim_holds(const nsh__claims *claims, int64_t number);

/* How many numbers that is, of so many that are left for the workers everywhere: 1 at the least. */
int64_t nsh__claim_part(const nsh__claim_wish *wish, int64_t left, int64_t everywhere);

/* [non-local] As the one who fetches: publish the next chunk, or none. *none: there are none, now.
 * On failure others may try. */
int nsh__claim_refill(const nsh__claims *claims, bool *none);

/* [non-local] All of it, for a rank: *count is 0 when there are none. NSH_ERR_TIMEOUT (without a
 * detail): neither is known by the deadline. */
int nsh__claim_take(const nsh__claims *claims, int parts, int64_t *first, int64_t *count);

/* [local] Begin anew, or only look again where there were none; while nobody takes. */
void nsh__claim_reset(nsh__claim_area *area);
void nsh__claim_reopen(nsh__claim_area *area);

#endif
