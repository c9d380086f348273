/* SPDX-License-Identifier: BSD-3-Clause */
/* counter.h -- a counter over all ranks of a communicator.
 *
 * It works as mutex.h does and has its caveats: a C11 atomic on one node; a word at a home, changed
 * by MPI's one-sided atomics, on several.
 */
#ifndef NODESHARE_COUNTER_H
#define NODESHARE_COUNTER_H

#include <stddef.h>

#include <nodeshare/comm.h>
#include <nodeshare/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_counter nsh_counter;

typedef struct nsh_counter_options {
    size_t size;      /* set by NSH_COUNTER_OPTIONS_INIT */
    int home;         /* a rank or NSH_HOME_ANY, as in nsh_mutex_options */
    const char *name; /* for nsh_counter_find */
} nsh_counter_options;

#define NSH_COUNTER_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(nsh_counter_options), NSH_HOME_ANY, NULL                                            \
    }

/* [collective] Create a counter of 64 bits with this value, the same on every rank.
 * Errors: ARG (home out of range, name), MISMATCH, EXISTS, NOMEM, STATE (comm is broken), MPI. */
NSH_API int nsh_counter_create(nsh_comm *comm, int64_t initial, const nsh_counter_options *options,
                               nsh_counter **out);

/* [collective] Free the counter and set *counter to NULL; *counter may be NULL already.
 * Errors: ARG (counter is NULL), MISMATCH (ranks free different counters; nothing is freed), MPI.
 */
NSH_API int nsh_counter_free(nsh_counter **counter);

/* [local] Abandon the counter on this rank, as nsh_mutex_abandon does. Errors: ARG (counter is
 * NULL).
 */
NSH_API int nsh_counter_abandon(nsh_counter **counter);

/* [non-local] Add delta atomically; the value wraps around modulo 2^64. *before, if before is not
 * NULL, gets the value before the addition: ranks that add 1 get different numbers.
 * Errors: ARG (counter is NULL), STATE (comm is broken), MPI. */
NSH_API int nsh_counter_add(nsh_counter *counter, int64_t delta, int64_t *before);

/* [non-local] Read the value. Errors: ARG (NULL), STATE (comm is broken), MPI. */
NSH_API int nsh_counter_read(nsh_counter *counter, int64_t *value);

/* [local] The counter with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_counter_find(nsh_comm *comm, const char *name, nsh_counter **out);

#ifdef __cplusplus
}
#endif

#endif
