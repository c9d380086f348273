/* SPDX-License-Identifier: BSD-3-Clause */
/* homes.c -- the communicators of this process that home words.
 *
 * Invariant: a home is served only by the thread that holds the lock, which never waits for
 * anything meanwhile. So a removal waits for a bounded time, and after it no thread uses the
 * home. */
#include "core/homes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* The list belongs to the process, not to a communicator: a wait on one must serve the others. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nsh__home *first;     /* protected by lock */
static atomic_int homes;     /* number of homes in the list; written under the lock, read without it
                                by every wait: an old value only means one round more or less */
static _Atomic int64_t last; /* what nsh__homes_serve returned last; written under the lock */

void nsh__homes_add(nsh__home *home)
{
    pthread_mutex_lock(&lock);
    home->next = first;
    first = home;
    atomic_fetch_add_explicit(&homes, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
}

void nsh__homes_remove(nsh__home *home)
{
    nsh__home **at = &first;

    pthread_mutex_lock(&lock);
    while (*at != NULL && *at != home)
        at = &(*at)->next;
    if (*at != NULL) {
        *at = home->next;
        atomic_fetch_sub_explicit(&homes, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
}

int64_t nsh__homes_serve(void)
{
    int64_t asked = 0;

    if (atomic_load_explicit(&homes, memory_order_relaxed) == 0)
        return 0;
    if (pthread_mutex_trylock(&lock) != 0) /* another thread serves */
        return atomic_load_explicit(&last, memory_order_relaxed);
    for (nsh__home *home = first; home != NULL; home = home->next) {
        int64_t when = home->serve(home->owner);

        if (when > asked)
            asked = when;
    }
    atomic_store_explicit(&last, asked, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return asked;
}
