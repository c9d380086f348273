/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_break.h -- a communicator is broken: who says so, and why. */
#ifndef NSH_CORE_COMM_BREAK_H
#define NSH_CORE_COMM_BREAK_H

#include "core/comm.h"

/* Something went wrong that leaves ranks with different histories: from now on every call but free
 * fails, on every rank, and whoever waits stops waiting. Returns code. */
int nsh__comm_break(nsh_comm *comm, int code);

/* The same, with a reason of the caller's. */
void nsh__comm_break_with(nsh_comm *comm, const nsh__reason *reason);

/* [local] Note that the communicator is broken, for the ranks of this node. True: this rank is the
 * first of them to know. */
bool nsh__comm_mark_broken(nsh_comm *comm, const nsh__reason *reason);

/* [local] Word why the communicator is broken; returns status. call: NULL inside a call that
 * waits. */
int nsh__comm_explain(const nsh_comm *comm, const char *call, int status);

/* For wait.c: nsh__comm_break, because MPI has failed in a wait. A rank that leaves a wait alone,
 * in whatever call, would leave the ranks that wait for it behind. */
int nsh__break_waiting(void *owner, int code);

/* For wait.c: word why waiting has become pointless. */
void nsh__explain_break(void *owner, int status);

#endif
