/* SPDX-License-Identifier: BSD-3-Clause */
/* enter.h -- how a call begins: may it be made now, and which one is it? */
#ifndef NSH_CORE_ENTER_H
#define NSH_CORE_ENTER_H

#include "core/comm.h"

/* [local] Word why comm is not present. */
int nsh__comm_absent(const nsh_comm *comm, const char *call);

/* [local] Can comm be used at all? NSH_ERR_STATE, worded with call: it is gone, or inherited. For
 * calls that need more than private memory before they come to nsh__comm_whole or _enter, which ask
 * the same. */
static inline int nsh__comm_present(const nsh_comm *comm, const char *call)
{
    bool present = comm->gone == NULL && !nsh__comm_inherited(comm);

    return present ? NSH_SUCCESS : nsh__comm_absent(comm, call);
}

/* Is comm broken, for calls that do not enter? NSH_ERR_STATE, worded with the call. Where no call
 * has done so for 10 ms it drives MPI to learn what other nodes say, so it is for the calling
 * thread. */
int nsh__comm_whole(nsh_comm *comm, const char *call);

/* [local] The same as far as this node knows. For a call that comes in pairs with one that asks
 * nsh__comm_whole: two looks at the clock would be a fifth of what an empty task costs. */
int nsh__comm_known_whole(const nsh_comm *comm, const char *call);

/* Is this rank where the other ranks do not follow: inside the kernels of a map, or in its turn of
 * a sequential section? */
static inline bool nsh__comm_apart(const nsh_comm *comm)
{
    return comm->in_kernels || comm->in_turn;
}

/* May this rank make a collective call now? NSH_ERR_STATE where nsh__comm_apart: the other ranks do
 * not come, and the map or the section goes on. Asked before the call changes or counts anything; a
 * call that does neither before it enters need not ask. */
int nsh__comm_callable(const nsh_comm *comm, const char *call);

/* Begin a collective call of all ranks, with the signature of its arguments: NSH_ERR_STATE when the
 * communicator is broken, NSH_ERR_MISMATCH when it breaks here. The second one is for agree.c. */
int nsh__comm_enter(nsh_comm *comm, nsh__call call, uint64_t signature);
int nsh__comm_enter_agreement(nsh_comm *comm, nsh__call call, uint64_t signature);

/* Show the other ranks of the node what this one is in, before it arrives. nsh__comm_enter does so
 * without a root; a call that has one shows it afterwards. */
void nsh__comm_show(nsh_comm *comm, nsh__call call, int root, uint64_t object, uint64_t signature);

#endif
