/* SPDX-License-Identifier: BSD-3-Clause */
/* enter.h -- how a call begins: is it allowed now, and which call is it? */
#ifndef NSH_CORE_ENTER_H
#define NSH_CORE_ENTER_H

#include "core/comm.h"

/* [local] Set the detail: why comm is not present. */
int nsh__comm_absent(const nsh_comm *comm, const char *call);

/* [local] Can comm be used at all? NSH_ERR_STATE, with a detail that names call: it is gone, or
 * inherited. For calls that need more than private memory before they come to nsh__comm_whole or
 * _enter, which check the same. */
static inline int nsh__comm_present(const nsh_comm *comm, const char *call)
{
    bool present = comm->gone == NULL && !nsh__comm_inherited(comm);

    return present ? NSH_SUCCESS : nsh__comm_absent(comm, call);
}

/* [local, by the calling thread] Is comm intact, for calls that do not enter? NSH_ERR_STATE, with a
 * detail that names call. If no call has done so for 10 ms it drives MPI, to learn what other nodes
 * say. */
int nsh__comm_whole(nsh_comm *comm, const char *call);

/* [local] The same as far as this node knows. For a call that comes in pairs with one that calls
 * nsh__comm_whole: two readings of the clock would be a fifth of the cost of an empty task. */
int nsh__comm_known_whole(const nsh_comm *comm, const char *call);

/* [local] Is this rank in code that the other ranks do not run with it: the kernels of a map, or
 * its turn of a sequential section? */
static inline bool nsh__comm_apart(const nsh_comm *comm)
{
    return comm->in_kernels || comm->in_turn;
}

/* [local] May this rank make a collective call now? NSH_ERR_STATE if nsh__comm_apart: the other
 * ranks would not come, and the map or the section continues. To be called before the call changes
 * or counts anything; a call that does neither before it enters need not call it. */
int nsh__comm_callable(const nsh_comm *comm, const char *call);

/* [collective] Begin a collective call, with the signature of its arguments: NSH_ERR_STATE if the
 * communicator is broken, NSH_ERR_MISMATCH if it breaks here. The second function is for
 * agree.c. */
int nsh__comm_enter(nsh_comm *comm, nsh__call call, uint64_t signature);
int nsh__comm_enter_agreement(nsh_comm *comm, nsh__call call, uint64_t signature);

/* [local] Show the other ranks of the node in which call this one is, before it arrives.
 * nsh__comm_enter does so without a root; a call that has one calls it again. */
void nsh__comm_show(nsh_comm *comm, nsh__call call, int root, uint64_t object, uint64_t signature);

#endif
