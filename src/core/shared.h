/* SPDX-License-Identifier: BSD-3-Clause */
/* shared.h -- the shared memory and words of a new object: agreed memory on every node, agreed
 * words at one home.
 *
 * The creation of any object is one agreement: ranks agree that all of them have made their part of
 * it, and on the objects that they have released, which are reclaimed. The memory is zeroed in the
 * same phase of the gate. */
#ifndef NSH_CORE_SHARED_H
#define NSH_CORE_SHARED_H

#include "core/object.h"

/* What an object requests; equal on all ranks. */
typedef struct nsh__need {
    int64_t bytes;  /* zeroed, on every node */
    int64_t nwords; /* zeroed, at node home */
    int home;
} nsh__need;

/* [collective] Agree on this rank's code and signature, as nsh__agree does. On success allocate
 * what is needed, and register and link object (NULL: the memory is for the current call only, and
 * is freed with nsh__shared_free). need must be a part of signature; live objects are compared
 * here. Before NSH_ERR_NOMEM and NSH_ERR_EXISTS all objects that all ranks have released are
 * reclaimed. On failure *out is none, and object is not linked. */
int nsh__shared_create(nsh_comm *comm, nsh__call call, int code, uint64_t signature,
                       const nsh__need *need, nsh__object *object, nsh__shared *out);

/* [local] The beginning of a create: counts it in comm->created. NSH_ERR_ARG (comm is NULL), or the
 * code of nsh__comm_callable: there is nobody to agree with. */
int nsh__object_begin(nsh_comm *comm, nsh__call call);

/* [collective] The end of a create: nsh__shared_create for the object in handle. On failure the
 * handle is destroyed and the create is not counted. handle and object may be NULL, or at any stage
 * that kind->destroy accepts, where code is not NSH_SUCCESS. */
int nsh__object_create(nsh_comm *comm, nsh__call call, int code, uint64_t signature,
                       const nsh__need *need, const nsh__kind *kind, void *handle,
                       nsh__object *object);

/* [local] The node that nsh_*_options.home names; NSH_HOME_ANY: a node in turn, by comm->created.
 * NSH_ERR_ARG, with a detail that names call. */
int nsh__shared_home(const nsh_comm *comm, nsh__call call, int home, int *node);

/* [local] A signature of the options that all objects have, and of a value of the object's own. */
uint64_t nsh__shared_signature(const nsh_comm *comm, int home, uint64_t value, const char *name);

/* [by all ranks, at the same point] Free all of it; accepts none. The words are zero, or will be
 * after the collective step in which the caller is. */
void nsh__shared_free(nsh_comm *comm, nsh__shared *shared);

#endif
