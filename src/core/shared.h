/* SPDX-License-Identifier: BSD-3-Clause */
/* shared.h -- what a new object shares: agreed memory on every node, agreed words at one home.
 *
 * Creating any object is one agreement: ranks agree that all of them made their part of it alike,
 * and on what they have released, which is reclaimed. The memory comes with it, zeroed in the phase
 * through the gate. */
#ifndef NSH_CORE_SHARED_H
#define NSH_CORE_SHARED_H

#include "core/object.h"

/* What is asked for; equal on all ranks. */
typedef struct nsh__need {
    int64_t bytes;  /* of zeroes on every node */
    int64_t nwords; /* of zeroes at node home */
    int home;
} nsh__need;

/* [collective] Agree on this rank's code and signature, as nsh__agree does, and on success share
 * what is needed, and register and link object (NULL: what is shared is for the current call only,
 * and is given back with nsh__shared_free). need belongs into signature; what is live is compared
 * here. Before NSH_ERR_NOMEM and NSH_ERR_EXISTS all is reclaimed that all ranks have released. On
 * failure *out is none, and object is not linked. */
int nsh__shared_create(nsh_comm *comm, nsh__call call, int code, uint64_t signature,
                       const nsh__need *need, nsh__object *object, nsh__shared *out);

/* [local] The node that nsh_*_options.home names; NSH_HOME_ANY: that of the object that was counted
 * last in comm->created, in turns. NSH_ERR_ARG, worded with call. */
int nsh__shared_home(const nsh_comm *comm, nsh__call call, int home, int *node);

/* [local] A signature of what the options of an object have in common, and of a value of its
 * own. */
uint64_t nsh__shared_signature(const nsh_comm *comm, int home, uint64_t value, const char *name);

/* [by all ranks, at the same point] Give all of it back; accepts none. The words are zero, or the
 * caller is on its way through a collective step behind which they will be. */
void nsh__shared_free(nsh_comm *comm, nsh__shared *shared);

#endif
