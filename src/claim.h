/* SPDX-License-Identifier: BSD-3-Clause */
/* claim.h -- who gets which of 0 .. n-1: each number once, in order on each node.
 *
 * A node has a chunk of consecutive numbers, from which its workers take with one compare-and-swap.
 * Who takes the last of it fetches the next chunk before anything else, so the others find it; if
 * they come meanwhile, they sleep. Where chunks come from:
 *   guided  chunk number k, drawn with one fetch-and-op on a word at a home, is a share of what
 *           chunks 0 .. k-1 leave: where it lies follows from k, n and the number of nodes. (Cf.
 *           Polychronopoulos and Kuck, "Guided self-scheduling", IEEE ToC C-36(12), 1987.)
 *   source  a function of the caller's (journal.c)
 *   direct  one node, and no source: there are no chunks, a number is one fetch-and-add
 *
 * word = generation << 32 | state, where state is how many numbers are left, IDLE (nobody fetches),
 * FETCHING or CLOSED (there will be none). Only who has set FETCHING changes the rest, and then
 * publishes the next generation: first where the chunk ends, then the word, then `generation`, on
 * which the others sleep. The end of a generation's chunk is overwritten two generations later, so
 * a compare-and-swap that succeeds has read the right one before. */
#ifndef NSH_SRC_CLAIM_H
#define NSH_SRC_CLAIM_H

#include "comm.h"
#include "rma.h"

/* In shared memory of a node, zero at first, which means IDLE. */
typedef struct nsh__claim_area {
    _Alignas(64) _Atomic uint64_t word;
    _Atomic int64_t end[2]; /* of the chunk of even and odd generations */
    _Alignas(64) atomic_uint generation;
    atomic_uint sleepers;
    int64_t chunk, begin; /* guided: the next chunk's number and first; by who fetches */
    _Alignas(64) _Atomic int64_t next; /* direct */
} nsh__claim_area;

/* More numbers for this node: *begin < *end, or equal when there are none now; how the caller's
 * own failure is worded is its business. By one rank of a node at a time. */
typedef int (*nsh__claim_source)(void *owner, int64_t *begin, int64_t *end);

/* One rank's view. */
typedef struct nsh__claims {
    nsh_comm *comm;
    nsh__claim_area *area;
    int64_t n;
    const nsh__words *words; /* word 0 of them: the next chunk's number; on one node none */
    bool direct;
    nsh__claim_source source; /* NULL: guided */
    void *owner;
} nsh__claims;

typedef enum nsh__claim_result {
    NSH__CLAIM_TAKEN,
    NSH__CLAIM_LAST,   /* taken, and the caller is the one who fetches */
    NSH__CLAIM_REFILL, /* not taken, and the caller is the one who fetches */
    NSH__CLAIM_WAIT,   /* another one fetches: wait for the generation after *generation */
    NSH__CLAIM_NONE
} nsh__claim_result;

/* [local, any thread] Take numbers [*first, *first + *count): one, or if parts > 0 a parts-th of
 * what is left in the chunk. */
nsh__claim_result nsh__claim_try(const nsh__claims *claims, int parts, int64_t *first,
                                 int64_t *count, unsigned *generation);

/* [non-local] As the one who fetches: publish the next chunk, or none. *none: there are none, now.
 * On failure others may try. */
int nsh__claim_refill(const nsh__claims *claims, bool *none);

/* [non-local] All of it, for a rank: *count is 0 when there are none. */
int nsh__claim_take(const nsh__claims *claims, int parts, int64_t *first, int64_t *count);

/* [local] Begin anew, or only look again where there were none; while nobody takes. */
void nsh__claim_reset(nsh__claim_area *area);
void nsh__claim_reopen(nsh__claim_area *area);

#endif
