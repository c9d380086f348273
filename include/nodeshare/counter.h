/* SPDX-License-Identifier: BSD-3-Clause */
/* counter.h -- small things over all ranks of a communicator: a counter, a semaphore, turns by
 * rank.
 *
 * They work as mutex.h does and have its caveats: C11 atomics on one node; words at a home, changed
 * by MPI's one-sided atomics, on several. Who waits sleeps, and keeps MPI going meanwhile.
 */
#ifndef NODESHARE_COUNTER_H
#define NODESHARE_COUNTER_H

#include <nodeshare/mutex.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- counter ---- */

typedef struct nsh_counter nsh_counter;

typedef struct nsh_counter_options {
    int home;         /* as in nsh_mutex_options */
    const char *name; /* for nsh_counter_find */
} nsh_counter_options;

#define NSH_COUNTER_OPTIONS_INIT                                                                   \
    {                                                                                              \
        NSH_HOME_ANY, NULL                                                                         \
    }

/* [collective] Create a counter of 64 bits with this value, the same on every rank.
 * Errors: ARG (home out of range, name), MISMATCH, EXISTS, NOMEM, STATE (comm is broken), MPI. */
NSH_API int nsh_counter_create(nsh_comm *comm, int64_t initial, const nsh_counter_options *options,
                               nsh_counter **out);

/* [collective] Free the counter and set *counter to NULL; *counter may be NULL already.
 * Errors: ARG (counter is NULL), MISMATCH (ranks free different counters; nothing is freed), MPI.
 */
NSH_API int nsh_counter_free(nsh_counter **counter);

/* [local] Give the counter up on this rank, as nsh_mutex_abandon does. Errors: ARG (counter is
 * NULL).
 */
NSH_API int nsh_counter_abandon(nsh_counter **counter);

/* [non-local] Add delta at once, as no other rank can come between; wraps around modulo 2^64.
 * before, if not NULL, gets the value before: ranks that add 1 draw different numbers.
 * Errors: ARG (counter is NULL), STATE (comm is broken), MPI. */
NSH_API int nsh_counter_add(nsh_counter *counter, int64_t delta, int64_t *before);

/* [non-local] The value. Errors: ARG (NULL), STATE (comm is broken), MPI. */
NSH_API int nsh_counter_read(nsh_counter *counter, int64_t *value);

/* [local] The counter with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_counter_find(nsh_comm *comm, const char *name, nsh_counter **out);

/* ---- semaphore ---- */

typedef struct nsh_semaphore nsh_semaphore;

typedef struct nsh_semaphore_options {
    int home;         /* as in nsh_mutex_options */
    const char *name; /* for nsh_semaphore_find */
} nsh_semaphore_options;

#define NSH_SEMAPHORE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        NSH_HOME_ANY, NULL                                                                         \
    }

/* [collective] Create a semaphore with so many permits, the same number on every rank: at most so
 * many are held at any time, by all ranks together.
 * Errors: ARG (permits < 1, home out of range, name), MISMATCH, EXISTS, NOMEM, STATE (comm is
 * broken), MPI. */
NSH_API int nsh_semaphore_create(nsh_comm *comm, int permits, const nsh_semaphore_options *options,
                                 nsh_semaphore **out);

/* [collective] Free the semaphore and set *semaphore to NULL; *semaphore may be NULL already.
 * Errors: ARG (semaphore is NULL), STATE on all ranks (a rank holds a permit), MISMATCH (ranks free
 * different semaphores), MPI; nothing is freed then. */
NSH_API int nsh_semaphore_free(nsh_semaphore **semaphore);

/* [local] Give the semaphore up on this rank, as nsh_mutex_abandon does. Errors: ARG (semaphore is
 * NULL), STATE (this rank holds a permit). */
NSH_API int nsh_semaphore_abandon(nsh_semaphore **semaphore);

/* [non-local] Take a permit; ranks that wait get theirs in the order in which they asked. A rank
 * may hold several.
 * Errors: ARG (NULL), STATE (this rank holds all of them; comm is or becomes broken), MPI. */
NSH_API int nsh_semaphore_acquire(nsh_semaphore *semaphore);

/* [non-local] Take a permit if one is free; does not wait for who holds them.
 * Errors: as nsh_semaphore_acquire, and BUSY. */
NSH_API int nsh_semaphore_tryacquire(nsh_semaphore *semaphore);

/* [non-local] Give a permit back. Permits belong to the rank that took them.
 * Errors: ARG (NULL), STATE (this rank holds none; comm is broken), MPI. */
NSH_API int nsh_semaphore_release(nsh_semaphore *semaphore);

/* [local] The semaphore with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_semaphore_find(nsh_comm *comm, const char *name, nsh_semaphore **out);

/* ---- sequential section ---- */

/* [collective] What stands between begin and end happens on one rank after another, in the order of
 * ranks: begin returns on a rank when the rank before it has called end. Inside, what is collective
 * on comm is NSH_ERR_STATE on this rank alone, and the section goes on; mutexes, counters and what
 * is [local] work as ever.
 * A rank that calls something else instead is found by begin under NSH_CHECK=1 only, which is
 * MISMATCH on all ranks, and nothing has happened. Otherwise it is found by the end, when other
 * ranks have been through the section: MISMATCH, and comm is broken.
 * Errors: ARG (NULL), STATE (begin inside a section; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_begin(nsh_comm *comm);

/* [collective] Passes the turn on, and returns when all ranks are through. What they stored into
 * shared memory is seen then.
 * Errors: ARG (NULL), STATE (end without begin; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_end(nsh_comm *comm);

#ifdef __cplusplus
}
#endif

#endif
