/* SPDX-License-Identifier: BSD-3-Clause */
/* share.h -- what a new object shares: agreed memory on every node, agreed words at one home.
 *
 * Creating any object is one vote: ranks agree that all of them made their part of it alike. The
 * memory comes with it, zeroed in the passage through the gate. */
#ifndef NSH_SRC_SHARE_H
#define NSH_SRC_SHARE_H

#include "comm.h"
#include "heap.h"
#include "rma.h"

typedef struct nsh__share {
    nsh__extent extent; /* on every node; none: no bytes were asked for */
    nsh__words words;   /* at one node; none: no words were asked for */
} nsh__share;

/* [collective] Agree on this rank's code and mark, as nsh__agree does, and on success share bytes
 * of zeroes on every node and nwords words of zeroes at node home. bytes, nwords, and home belong
 * into mark. On failure *out is none. */
int nsh__share_create(nsh_comm *comm, nsh__call call, int code, uint64_t mark, int64_t bytes,
                      int64_t nwords, int home, nsh__share *out);

/* [local] The node that nsh_*_options.home names; NSH_HOME_ANY: that of the object that was counted
 * last in comm->created, in turns. NSH_ERR_ARG, worded with call. */
int nsh__share_home(const nsh_comm *comm, nsh__call call, int home, int *node);

/* [local] A mark of what the options of an object have in common, and of a value of its own. */
uint64_t nsh__share_mark(const nsh_comm *comm, int home, uint64_t value, const char *name);

/* [local] Give all of it back; accepts none. The words are zero, or the caller is on its way
 * through a collective step behind which they will be. */
void nsh__share_free(nsh_comm *comm, nsh__share *share);

#endif
