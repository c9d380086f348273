/* SPDX-License-Identifier: BSD-3-Clause */
/* map_threads.h -- the workers of one rank: itself, or threads that take blocks while it keeps MPI
 * going.
 *
 * A thread touches the claims, its own worker and what the blocks are; never MPI. Where a new chunk
 * takes more than this node, it changes for its rank, which does nothing but sleep in wait.c and
 * fetch. */
#ifndef NSH_TASK_MAP_THREADS_H
#define NSH_TASK_MAP_THREADS_H

#include <nodeshare/map.h>

#include "task/claim.h"

/* Run one block. On failure *failed is the index that failed. */
typedef int (*nsh__block_runner)(void *owner, nsh_map_worker *worker, int64_t block,
                                 int64_t *failed);

/* What there is to do, for the workers of this rank. */
typedef struct nsh__work {
    nsh__claims claims;            /* of blocks; claims.n of them */
    bool fixed;                    /* every worker has its part of the blocks, nothing is claimed */
    bool keep_going;               /* a block that fails does not stop its worker */
    int parts;                     /* as in nsh__claim_try */
    const unsigned char *affinity; /* processors of threads; NULL: those of this rank */
    int first, workers; /* id of this rank's first worker; how many there are on all ranks */
    nsh__block_runner run;
    void *owner;
} nsh__work;

/* The lowest index that failed, on this rank; INT64_MAX: none did. */
typedef struct nsh__failure {
    int64_t index;
    int code, thread;
} nsh__failure;

/* [non-local] Work until there is nothing left, as one worker or with so many threads. Returns
 * what is wrong with the library or the system; what is wrong with a block is in *failure. */
int nsh__map_threads_none(const nsh__work *work, nsh__failure *failure);
int nsh__map_threads_run(const nsh__work *work, int threads, nsh__failure *failure);

#endif
