/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h -- which ranks share memory, which share a host, and how many cores they have. */
#ifndef NSH_CORE_TOPOLOGY_H
#define NSH_CORE_TOPOLOGY_H

#include "core/comm.h"

/* [collective] Fill in which rank is on which node and host, from comm->mpi: node_mpi, node and
 * host numbers, tables, cores. The code is agreed on. */
int nsh__topology_find(nsh_comm *comm, MPI_Comm node_comm, int ranks_per_node);

/* [local] The topology of a process alone. */
int nsh__topology_alone(nsh_comm *comm);

/* [local] Free the tables. Accepts every stage. */
void nsh__topology_destroy(nsh_comm *comm);

#endif
