/* SPDX-License-Identifier: BSD-3-Clause */
/* claim.h -- workers take the numbers 0 .. n-1: each number once, in order on each node.
 *
 * A node has a chunk of consecutive numbers, from which its workers take with one compare-and-swap.
 * The worker that finds the chunk empty fetches the next one; other workers sleep meanwhile. A
 * chunk is not fetched earlier: its first number would wait for a worker of this node while workers
 * of other nodes have nothing to do. Chunks come from
 *   word    the next number that no node has, advanced by one fetch-and-op at a home
 *   source  a function of the caller's (journal.c)
 *   direct  one node, and no source: there are no chunks, a number is one fetch-and-add
 *
 * The first chunk has a number for each worker of the node, or the node's part if there are fewer,
 * so that workers of all nodes take numbers in increasing order. The next chunk is larger if the
 * last one lasted less than a limit: 32 times the time of a fetch, but at least 1 ms and at most 10
 * ms. The shorter it was, the larger is the next, up to 16 times. It is smaller if the last one
 * lasted more than 40 ms. No later chunk is more than half of the node's part of what is left, so
 * the last numbers are fetched one by one. (Cf. Polychronopoulos and Kuck, "Guided
 * self-scheduling", IEEE ToC C-36(12), 1987.)
 *
 * word = generation << 32 | state, where state is how many numbers are left, IDLE (no rank
 * fetches), FETCHING or CLOSED (no numbers will come). Only the worker that has set FETCHING
 * changes the rest. It then publishes the next generation: first the end of the chunk, then the
 * word, then `generation`, on which the others sleep. The end of a generation's chunk is
 * overwritten two generations later, so a compare-and-swap that succeeds has read the right end
 * before. */
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
    int64_t size, since, cost; /* of the present chunk: its size, when and in what time it was
                                  fetched; by the worker that fetches */
    int64_t seen;              /* a number that was the next one at some time; by the worker that
                                  fetches */
    _Alignas(64) _Atomic int64_t next; /* direct */
} nsh__claim_area;

/* What a node asks for. */
typedef struct nsh__claim_wish {
    int64_t most; /* numbers */
    int workers;  /* of the node: the chunk is at most their part; 0: no limit */
    bool first;   /* it is the node's first chunk */
} nsh__claim_wish;

/* Fetch more numbers for this node: *begin < *end, or equal if none are available now. The function
 * sets the detail of its own failures. [by one rank of a node at a time] */
typedef int (*nsh__claim_source)(void *owner, const nsh__claim_wish *wish, int64_t *begin,
                                 int64_t *end);

/* One rank's view. */
typedef struct nsh__claims {
    nsh_comm *comm;
    nsh__claim_area *area;
    int64_t n;
    int workers, everywhere; /* that take numbers on this node, and on all nodes */
    int64_t chunk;           /* numbers of every chunk; 0: chosen by time */
    const nsh__words *words; /* word 0: the next number; unused on one node */
    bool direct;
    int64_t deadline;         /* of nsh__claim_take, also while the source waits */
    nsh__claim_source source; /* NULL: the word */
    void *owner;
} nsh__claims;

typedef enum nsh__claim_result {
    NSH__CLAIM_TAKEN,
    NSH__CLAIM_REFILL, /* not taken, and the caller must fetch */
    NSH__CLAIM_WAIT,   /* another worker fetches: wait for the generation after *generation */
    NSH__CLAIM_NONE
} nsh__claim_result;

/* [local, any thread] Take numbers [*first, *first + *count): one, or if parts > 0, 1/parts of what
 * is left in the chunk. */
nsh__claim_result nsh__claim_try(const nsh__claims *claims, int parts, int64_t *first,
                                 int64_t *count, unsigned *generation);

/* [local, any thread] Is this number in the node's chunk, and not taken yet? */
bool nsh__claim_holds(const nsh__claims *claims, int64_t number);

/* [local, any thread] How many of `left` numbers a node may fetch, where `everywhere` workers share
 * them: at least 1. */
int64_t nsh__claim_part(const nsh__claim_wish *wish, int64_t left, int64_t everywhere);

/* [non-local, by the worker that has set FETCHING] Fetch and publish the next chunk, or CLOSED.
 * *none: no numbers came. On failure others may try. */
int nsh__claim_refill(const nsh__claims *claims, bool *none);

/* [non-local, by any rank of the node] Take numbers, and fetch or wait if needed: *count is 0 when
 * no numbers are left. NSH_ERR_TIMEOUT (without a detail): neither is known by the deadline. */
int nsh__claim_take(const nsh__claims *claims, int parts, int64_t *first, int64_t *count);

/* [local, by the leader, between agreements] Begin again at 0; or only allow another fetch after
 * CLOSED. */
void nsh__claim_reset(nsh__claim_area *area);
void nsh__claim_reopen(nsh__claim_area *area);

#endif
