/* SPDX-License-Identifier: BSD-3-Clause */
/* agree.h -- an agreement: all ranks get one code, and the arguments that must be equal are
 * compared.
 *
 * An agreement is one phase through the node gates, and inside it a dissemination among the
 * leaders: in ceil(log2(nodes)) rounds each leader sends what it knows to the node 2^k further.
 * Everything that is agreed on is a maximum, so a value that arrives twice does no harm, and any
 * number of nodes works. (Hensgen, Finkel and Manber, "Two algorithms for barrier synchronization",
 * IJPP 17(1), 1988.) */
#ifndef NSH_CORE_AGREE_H
#define NSH_CORE_AGREE_H

#include "core/comm.h"

typedef struct nsh__agreement {
    nsh__call call;
    int code;           /* in: this rank's; its detail is this thread's last failure */
    uint64_t signature; /* must be equal on all ranks, or all get NSH_ERR_MISMATCH */
    bool range;         /* low and high are used; equal on all ranks for equal calls */
    int64_t low, high;  /* in: this rank's; out, on success and if the outcome is a code of a rank:
                           the lowest and highest of all ranks. Costs nothing if all are 0 */
    int gate_rc;        /* between enter and leave: the failure that prevents an agreement */
} nsh__agreement;

/* Under NSH_CHECK=1: callbacks around each agreement of a rank. A member of the struct that they
 * belong to, in the list comm->hooks. */
typedef struct nsh__agreement_hook {
    /* [non-local] code is the rank's so far; returns the rank's code from now on. */
    int (*enter)(struct nsh__agreement_hook *hook, nsh__call call, int code);
    /* [non-local] After an agreement that was entered. A failure breaks the communicator. */
    int (*leave)(struct nsh__agreement_hook *hook);
    struct nsh__agreement_hook *next;
} nsh__agreement_hook;

/* [collective] Arrive. True on the leader of a node, once all its ranks have arrived and their
 * signatures are equal: it may act for the node, and set agreement->code, before it calls leave. */
bool nsh__agreement_enter(nsh_comm *comm, nsh__agreement *agreement);

/* [collective] The outcome, the same on every rank: the largest code. */
int nsh__agreement_leave(nsh_comm *comm, nsh__agreement *agreement);

/* [collective] Enter and leave. */
int nsh__agree(nsh_comm *comm, nsh__call call, int code, uint64_t signature);

/* [collective] The first step of a call that does not begin with an agreement: under NSH_CHECK=1 it
 * does begin with one, so that mistakes are found before data is sent. */
int nsh__agree_first(nsh_comm *comm, nsh__call call, uint64_t signature);

/* [collective] The last agreement on an object, before it is freed: nsh__agree, but it succeeds on
 * a broken communicator. id is the object's number, equal on all ranks: ranks that free different
 * objects get NSH_ERR_MISMATCH, and nothing is freed. */
int nsh__agree_to_free(nsh_comm *comm, nsh__call call, int code, uint64_t id);

/* [by all ranks of a node] Wait until all ranks of this node are here, in a call whose arguments
 * are agreed on. */
int nsh__agree_node(nsh_comm *comm, nsh__call call);

#endif
