/* SPDX-License-Identifier: BSD-3-Clause */
/* agree.h -- all ranks: one code, and the arguments that must be equal are equal.
 *
 * An agreement is one phase through the node gates, between them a dissemination among the leaders:
 * ceil(log2(nodes)) rounds in which each sends what it knows 2^k nodes onward. Everything that is
 * agreed on is a maximum, so hearing a thing twice does no harm and any number of nodes works.
 * (Hensgen, Finkel and Manber, "Two algorithms for barrier synchronization", IJPP 17(1), 1988.) */
#ifndef NSH_CORE_AGREE_H
#define NSH_CORE_AGREE_H

#include "core/comm.h"

typedef struct nsh__agreement {
    nsh__call call;
    int code;           /* in: this rank's; its detail is this thread's last failure */
    uint64_t signature; /* must be equal on all ranks, or all get NSH_ERR_MISMATCH */
    bool range;         /* low and high matter; equal on all ranks for equal calls */
    int64_t low, high;  /* in: this rank's; out, on success and where the outcome is a code that a
                          rank has brought: the lowest and highest of all ranks. Costs nothing
                          where all are 0 */
    int gate_rc;        /* between enter and leave: why there is no agreement */
} nsh__agreement;

/* Under NSH_CHECK=1: what looks at each agreement of a rank as it enters and leaves. A member of
 * who looks, in the list comm->hooks. */
typedef struct nsh__agreement_hook {
    /* [non-local] code is what the rank brings so far; returns what it brings now. */
    int (*enter)(struct nsh__agreement_hook *hook, nsh__call call, int code);
    /* [non-local] After an agreement that was entered. What fails here breaks the communicator. */
    int (*leave)(struct nsh__agreement_hook *hook);
    struct nsh__agreement_hook *next;
} nsh__agreement_hook;

/* Arrive. True on the leader of a node, once all its ranks have arrived and their signatures are
 * equal: it may act for the node, and lower agreement->code's fortune, before it calls leave. */
bool nsh__agreement_enter(nsh_comm *comm, nsh__agreement *agreement);

/* The outcome, the same on every rank: the largest code. */
int nsh__agreement_leave(nsh_comm *comm, nsh__agreement *agreement);

/* Both at once. */
int nsh__agree(nsh_comm *comm, nsh__call call, int code, uint64_t signature);

/* [collective] First of all in a call that does not begin with an agreement: under NSH_CHECK=1 it
 * does, and what is wrong is found before anything moves. */
int nsh__agree_first(nsh_comm *comm, nsh__call call, uint64_t signature);

/* [collective] The last agreement on an object, before it is freed: nsh__agree, but that a broken
 * communicator is no obstacle. id is the object's number, equal on all ranks: ranks that free
 * different objects get NSH_ERR_MISMATCH, and nothing is freed. */
int nsh__agree_to_free(nsh_comm *comm, nsh__call call, int code, uint64_t id);

/* The ranks of this node have all come so far in a call whose arguments are agreed on. */
int nsh__agree_node(nsh_comm *comm, nsh__call call);

#endif
