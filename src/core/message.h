/* SPDX-License-Identifier: BSD-3-Clause */
/* message.h -- nonblocking messages between nodes, and how their requests are dropped. */
#ifndef NSH_CORE_MESSAGE_H
#define NSH_CORE_MESSAGE_H

#include "core/comm.h"

/* [local] Nonblocking messages on the private communicator. The data to be sent may lie in a
 * read-only view. NSH_ERR_MPI. */
int nsh__isend(nsh_comm *comm, const void *data, int64_t bytes, int to, int tag,
               MPI_Request *request);
int nsh__irecv(nsh_comm *comm, void *data, int64_t bytes, int from, int tag, MPI_Request *request);

/* [local] Set the requests to MPI_REQUEST_NULL. */
void nsh__clear_requests(int n, MPI_Request requests[]);

/* [local] Drop the requests of a call that has ended for this rank; accepts MPI_REQUEST_NULL. */
void nsh__drop_request(MPI_Request *request, bool receive);
void nsh__drop_requests(int n, MPI_Request requests[], bool receive);

#endif
