/* SPDX-License-Identifier: BSD-3-Clause */
/* message.h -- nonblocking messages between nodes, and how their requests are given up. */
#ifndef NSH_CORE_MESSAGE_H
#define NSH_CORE_MESSAGE_H

#include "core/comm.h"

/* [local] Nonblocking messages on the private communicator. What is sent may lie in a read-only
 * view. NSH_ERR_MPI. */
int nsh__isend(nsh_comm *comm, const void *data, int64_t bytes, int to, int tag,
               MPI_Request *request);
int nsh__irecv(nsh_comm *comm, void *data, int64_t bytes, int from, int tag, MPI_Request *request);

/* [local] Make requests none. */
void nsh__clear_requests(int n, MPI_Request requests[]);

/* [local] Give up requests of a call that is over for this rank, unless they are none. */
void nsh__drop_request(MPI_Request *request, bool receive);
void nsh__drop_requests(int n, MPI_Request requests[], bool receive);

#endif
