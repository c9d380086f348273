/* SPDX-License-Identifier: BSD-3-Clause */
/* mismatch.h -- how ranks detect that they are not in the same collective call. */
#ifndef NSH_CORE_MISMATCH_H
#define NSH_CORE_MISMATCH_H

#include "core/comm.h"

/* [by the rank that acts, when all have arrived and before the release: only then the slots do not
 * change] Describe how the ranks of the node differ. */
void nsh__comm_word_mismatch(void *comm, char text[NSH__TEXT]);

/* [local, leader] This node has begun another call: compare it with those in which other nodes wait
 * for this one. */
void nsh__mismatch_compare_pending(nsh_comm *comm);

/* [local, leader] Has a message of call comm->rooted come, the last call whose root was on this
 * node? Then another node has another root. */
bool nsh__mismatch_stray_root(nsh_comm *comm);

/* [collective] Receive all control messages that are still under way: MPI reuses the communicator's
 * context for the next one, and a message left behind would arrive there. */
int nsh__comm_drain(nsh_comm *comm);

/* [for wait.c] A control message can be received; a message can be received that only another kind
 * of call sends; a wait has become long. */
void nsh__receive_control(void *owner, const MPI_Status *status);
int nsh__word_stray(void *owner, const MPI_Status *status);
void nsh__suspect_node(void *owner);

#endif
