/* SPDX-License-Identifier: BSD-3-Clause */
/* homes.h -- the communicators of this process that home words.
 *
 * A rank that waits on one communicator may be the home of another one's words: with backend
 * `message` nobody else executes what other nodes ask for. So every wait that drives MPI serves all
 * of them. */
#ifndef NSH_CORE_HOMES_H
#define NSH_CORE_HOMES_H

#include <stdint.h>

/* One communicator, embedded in what it serves. */
typedef struct nsh__home {
    int64_t (*serve)(void *owner); /* execute what other nodes ask for; when they last asked, by
                                      nsh__wait_clock. Any thread */
    void *owner;
    struct nsh__home *next;
} nsh__home;

/* [local] From now on every wait of this process serves the home. */
void nsh__homes_add(nsh__home *home);

/* [local] No wait serves it any more, also none of another thread when this returns. Accepts a home
 * that was not added. */
void nsh__homes_remove(nsh__home *home);

/* [local] Serve all of them, unless another thread is at it. When any was last asked; 0: never. */
int64_t nsh__homes_serve(void);

#endif
