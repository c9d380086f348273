/* SPDX-License-Identifier: BSD-3-Clause */
/* homes.h -- the communicators of this process that home words.
 *
 * A rank that waits on one communicator may be the home of another one's words: with backend
 * `message` only this rank executes the requests of other nodes. So every wait that drives MPI
 * serves all of them. */
#ifndef NSH_CORE_HOMES_H
#define NSH_CORE_HOMES_H

#include <stdint.h>

/* One communicator, a member of what it serves. */
typedef struct nsh__home {
    int64_t (*serve)(void *owner); /* [any thread] execute the requests of other nodes; returns when
                                      the last one came, by nsh__wait_clock */
    void *owner;
    struct nsh__home *next;
} nsh__home;

/* [local] From now on every wait of this process serves the home. */
void nsh__homes_add(nsh__home *home);

/* [local] No wait serves it any more when this returns, not even one of another thread. Accepts a
 * home that was not added. */
void nsh__homes_remove(nsh__home *home);

/* [local, any thread] Serve all of them, unless another thread does. Returns when the last request
 * came; 0: never. */
int64_t nsh__homes_serve(void);

#endif
