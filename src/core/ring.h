/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h -- every node has something: exchanges around a ring of the leaders, for allgather and
 * allreduce. In step s a node passes on what it received in step s - 1, so that after nodes - 1
 * steps everybody has everything and each byte has crossed each link once. (Thakur, Rabenseifner
 * and Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 19(1), 2005.)
 *
 * All functions return NSH_SUCCESS or what breaks the communicator. */
#ifndef NSH_CORE_RING_H
#define NSH_CORE_RING_H

#include "core/comm.h"
#include "core/stream.h"

/* [collective] width numbers of every rank, by rank; each rank has written its own. */
int nsh__ring_table(nsh_comm *comm, int64_t *table, int width);

/* [collective over leaders] The hyperslabs (offset and count of each rank in table) of each node's
 * ranks, which are in that node's replica, into every replica. work has room for a table. */
int nsh__ring_slabs(nsh_comm *comm, const nsh__destination *destination, const int64_t *table,
                    int64_t *work);

/* [collective over leaders] Reduce the replicas of all nodes, in node order, into every replica.
 * Each element is reduced on one node only, so that the outcome has the same bits everywhere. */
int nsh__ring_reduce(nsh_comm *comm, const nsh__destination *destination, MPI_Datatype type,
                     MPI_Op op);

/* [collective] Reduce every rank's data in rank order on rank 0, and replicate that: for operations
 * that do not commute where nodes do not hold consecutive ranks. */
int nsh__ring_reduce_ranks(nsh_comm *comm, const nsh__destination *destination, const void *data,
                           MPI_Datatype type, MPI_Op op);

#endif
