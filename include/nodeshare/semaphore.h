/* SPDX-License-Identifier: BSD-3-Clause */
/* semaphore.h -- a semaphore over all ranks of a communicator: a limited number of permits.
 *
 * It works as mutex.h does and has its caveats: C11 atomics on one node; words at a home, changed
 * by MPI's one-sided atomics, on several. A rank that waits sleeps, and keeps MPI going meanwhile.
 */
#ifndef NODESHARE_SEMAPHORE_H
#define NODESHARE_SEMAPHORE_H

#include <stddef.h>

#include <nodeshare/comm.h>
#include <nodeshare/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_semaphore nsh_semaphore;

typedef struct nsh_semaphore_options {
    size_t size;      /* set by NSH_SEMAPHORE_OPTIONS_INIT */
    int home;         /* a rank or NSH_HOME_ANY, as in nsh_mutex_options */
    const char *name; /* for nsh_semaphore_find */
} nsh_semaphore_options;

#define NSH_SEMAPHORE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        sizeof(nsh_semaphore_options), NSH_HOME_ANY, NULL                                          \
    }

/* [collective] Create a semaphore with a number of permits, equal on every rank: all ranks together
 * never hold more.
 * Errors: ARG (permits < 1, home out of range, name), MISMATCH, EXISTS, NOMEM, STATE (comm is
 * broken), MPI. */
NSH_API int nsh_semaphore_create(nsh_comm *comm, int permits, const nsh_semaphore_options *options,
                                 nsh_semaphore **out);

/* [collective] Free the semaphore and set *semaphore to NULL; *semaphore may be NULL already.
 * Errors: ARG (semaphore is NULL), STATE on all ranks (a rank holds a permit), MISMATCH (ranks free
 * different semaphores), MPI; nothing is freed then. */
NSH_API int nsh_semaphore_free(nsh_semaphore **semaphore);

/* [local] Abandon the semaphore on this rank, as nsh_mutex_abandon does. Errors: ARG (semaphore is
 * NULL), STATE (this rank holds a permit). */
NSH_API int nsh_semaphore_abandon(nsh_semaphore **semaphore);

/* [non-local] Take a permit; ranks that wait get theirs in the order in which they asked. A rank
 * may hold several.
 * Errors: ARG (NULL), STATE (this rank holds all of them; comm is or becomes broken), MPI. */
NSH_API int nsh_semaphore_acquire(nsh_semaphore *semaphore);

/* [non-local] Take a permit if one is free; does not wait for a rank that holds one.
 * Errors: as nsh_semaphore_acquire, and BUSY. */
NSH_API int nsh_semaphore_tryacquire(nsh_semaphore *semaphore);

/* [non-local] Give a permit back. Permits belong to the rank that took them.
 * Errors: ARG (NULL), STATE (this rank holds none; comm is broken), MPI. */
NSH_API int nsh_semaphore_release(nsh_semaphore *semaphore);

/* [local] The semaphore with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_semaphore_find(nsh_comm *comm, const char *name, nsh_semaphore **out);

#ifdef __cplusplus
}
#endif

#endif
