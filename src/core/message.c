/* SPDX-License-Identifier: BSD-3-Clause */
/* message.c -- nonblocking messages between nodes, and how their requests are dropped.
 *
 * Invariant: MPI reads no page through a view that the process may not write. */
#include "core/message.h"

#include "base/fault.h"
#include "core/views.h"

int nsh__isend(nsh_comm *comm, const void *data, int64_t bytes, int to, int tag,
               MPI_Request *request)
{
    int rc = MPI_Isend(nsh__views_for_mpi(data), (int)bytes, MPI_BYTE, to, tag, comm->mpi, request);

    if (rc != MPI_SUCCESS || nsh__fault(mpi_send))
        return nsh__fail_mpi("MPI_Isend", rc);
    return NSH_SUCCESS;
}

int nsh__irecv(nsh_comm *comm, void *data, int64_t bytes, int from, int tag, MPI_Request *request)
{
    int rc = MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag, comm->mpi, request);

    if (rc != MPI_SUCCESS || nsh__fault(mpi_recv))
        return nsh__fail_mpi("MPI_Irecv", rc);
    return NSH_SUCCESS;
}

void nsh__clear_requests(int n, MPI_Request requests[])
{
    for (int i = 0; i < n; i++)
        requests[i] = MPI_REQUEST_NULL;
}

void nsh__drop_request(MPI_Request *request, bool receive)
{
    if (*request == MPI_REQUEST_NULL)
        return;
    if (receive)
        MPI_Cancel(request);
    MPI_Request_free(request);
}

void nsh__drop_requests(int n, MPI_Request requests[], bool receive)
{
    for (int i = 0; i < n; i++)
        nsh__drop_request(&requests[i], receive);
}
