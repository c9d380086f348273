/* SPDX-License-Identifier: BSD-3-Clause */
/* map_threads.h -- the workers of one rank: itself, or threads that take blocks while the rank
 * drives MPI progress.
 *
 * A thread touches the claims, its own worker and its blocks, and never calls MPI. If a new chunk
 * comes from beyond this node, the thread asks its rank for it. The rank only sleeps in wait.c and
 * fetches chunks. */
#ifndef NSH_TASK_MAP_THREADS_H
#define NSH_TASK_MAP_THREADS_H

#include <nodeshare/map.h>

#include "task/claim.h"

/* Run one block. On failure *failed is the index that failed. */
typedef int (*nsh__block_runner)(void *owner, nsh_map_worker *worker, int64_t block,
                                 int64_t *failed);

/* The work of this rank's workers. */
typedef struct nsh__work {
    nsh__claims claims;            /* of blocks; claims.n of them */
    bool fixed;                    /* every worker has a fixed part of the blocks, and claims
                                      nothing */
    bool keep_going;               /* a block that fails does not stop its worker */
    int parts;                     /* as in nsh__claim_try */
    const unsigned char *affinity; /* processors of threads; NULL: those of this rank */
    int first, workers; /* id of this rank's first worker; number of workers on all ranks */
    nsh__block_runner run;
    void *owner;
} nsh__work;

/* The lowest index that failed, on this rank; INT64_MAX: none did. */
typedef struct nsh__failure {
    int64_t index;
    int code, thread;
} nsh__failure;

/* [non-local] Work until no block is left: as one worker, or with this many threads. Returns the
 * error of the library or the system; the error of a block is in *failure. */
int nsh__map_threads_none(const nsh__work *work, nsh__failure *failure);
int nsh__map_threads_run(const nsh__work *work, int threads, nsh__failure *failure);

#endif
