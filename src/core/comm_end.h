/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_end.h -- how a communicator goes: freed, abandoned, or taken away by MPI_Finalize. */
#ifndef NSH_CORE_COMM_END_H
#define NSH_CORE_COMM_END_H

#include "core/comm.h"

/* [local] From now on MPI_Finalize takes the communicator away. NSH_ERR_MPI. */
int nsh__comm_hook_finalize(nsh_comm *comm);

/* [by all ranks, at the same stage] Undo a create that has failed. Accepts every stage, and
 * NULL. */
void nsh__comm_destroy(nsh_comm *comm);

/* [collective, or local where it is broken] Free the communicator: all ranks have agreed to that,
 * or no rank waits for another. by names the public function. */
void nsh__comm_end(nsh_comm *comm, const char *by);

/* [local] An object's handle was given up: if that was the last of an abandoned communicator that
 * no MPI_Finalize takes away, or of one that is gone, it goes too. */
void nsh__comm_unused(nsh_comm *comm);

#endif
