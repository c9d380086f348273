/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_end.h -- how a communicator ends: freed, abandoned, or ended by MPI_Finalize. */
#ifndef NSH_CORE_COMM_END_H
#define NSH_CORE_COMM_END_H

#include "core/comm.h"

/* [local] From now on MPI_Finalize ends the communicator. NSH_ERR_MPI. */
int nsh__comm_hook_finalize(nsh_comm *comm);

/* [by all ranks, at the same stage] Undo a create that has failed. Accepts every stage, and
 * NULL. */
void nsh__comm_destroy(nsh_comm *comm);

/* [collective, or local if it is broken] Free the communicator: all ranks have agreed to that, or
 * no rank waits for another. by: the name of the public function. */
void nsh__comm_end(nsh_comm *comm, const char *by);

/* [local] An object's handle was freed. If it was the last one on an abandoned communicator that
 * MPI_Finalize does not end, or on one that is gone, free the communicator too. */
void nsh__comm_unused(nsh_comm *comm);

#endif
