/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h -- rounds around a ring of the leaders, in which every node contributes data: for
 * allgather and allreduce. In round s a node passes on what it received in round s - 1. After nodes
 * - 1 rounds all nodes have all data, and each byte has crossed each link once. (Thakur,
 * Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH", IJHPCA
 * 19(1), 2005.)
 *
 * All functions return NSH_SUCCESS or what breaks the communicator. */
#ifndef NSH_CORE_RING_H
#define NSH_CORE_RING_H

#include "core/comm.h"
#include "core/stream.h"

/* [collective] Gather `width` numbers of every rank, in the order of ranks; each rank has written
 * its own. */
int nsh__ring_table(nsh_comm *comm, int64_t *table, int width);

/* [collective over leaders] Send the hyperslabs of each node's ranks (offset and count of each rank
 * in table), which are in that node's replica, to every replica. work has as many numbers as
 * table. */
int nsh__ring_slabs(nsh_comm *comm, const nsh__destination *destination, const int64_t *table,
                    int64_t *work);

/* [collective over leaders] Reduce the replicas of all nodes, in node order, into every replica.
 * Each element is reduced on one node only, so that the result has the same bits everywhere. */
int nsh__ring_reduce(nsh_comm *comm, const nsh__destination *destination, MPI_Datatype type,
                     MPI_Op op);

/* [collective] Reduce every rank's data in rank order on rank 0, and replicate the result: for
 * operations that do not commute, if nodes do not hold consecutive ranks. */
int nsh__ring_reduce_ranks(nsh_comm *comm, const nsh__destination *destination, const void *data,
                           MPI_Datatype type, MPI_Op op);

#endif
