/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_break.h -- break a communicator, and explain why it is broken. */
#ifndef NSH_CORE_COMM_BREAK_H
#define NSH_CORE_COMM_BREAK_H

#include "core/comm.h"

/* [local] Ranks have different histories after a failure: from now on every call but free fails, on
 * every rank, and waiting ranks stop waiting. Returns code. */
int nsh__comm_break(nsh_comm *comm, int code);

/* [local] The same, with the caller's reason. */
void nsh__comm_break_with(nsh_comm *comm, const nsh__reason *reason);

/* [local] Note for the ranks of this node that the communicator is broken. True: this rank is the
 * first of them to know. */
bool nsh__comm_mark_broken(nsh_comm *comm, const nsh__reason *reason);

/* [local] Set the detail: why the communicator is broken; returns status. call: NULL inside a call
 * that waits. */
int nsh__comm_explain(const nsh_comm *comm, const char *call, int status);

/* [for wait.c] nsh__comm_break after MPI has failed in a wait: the other ranks must not wait for a
 * rank that leaves a wait alone. */
int nsh__break_waiting(void *owner, int code);

/* [for wait.c] Set the detail: why waiting is pointless. */
void nsh__explain_break(void *owner, int status);

#endif
