/* SPDX-License-Identifier: BSD-3-Clause */
/* mismatch.h -- how ranks find out that they are not in the same collective call. */
#ifndef NSH_CORE_MISMATCH_H
#define NSH_CORE_MISMATCH_H

#include "core/comm.h"

/* Word how the ranks of the node disagree. By the rank that acts, when all have arrived and before
 * the release: only then do the slots stay as they are. */
void nsh__comm_word_mismatch(void *comm, char text[NSH__TEXT]);

/* [local] This node has begun another call: compare it with those in which other nodes wait for
 * this one. */
void nsh__mismatch_compare_pending(nsh_comm *comm);

/* [local, leader] Has a message come of comm->rooted, the last call whose root was on this node?
 * Then another node had a root of its own. */
bool nsh__mismatch_stray_root(nsh_comm *comm);

/* [collective] Receive what is still under way on NSH__TAG_CONTROL: MPI gives the communicator's
 * context to the next one made, and a message left behind would turn up there. */
int nsh__comm_drain(nsh_comm *comm);

/* For wait.c: a message with NSH__TAG_CONTROL is there; a message is there that only another kind
 * of call sends; a wait has become long. */
void nsh__receive_control(void *owner, const MPI_Status *status);
int nsh__word_stray(void *owner, const MPI_Status *status);
void nsh__suspect_node(void *owner);

#endif
