/* SPDX-License-Identifier: BSD-3-Clause */
/* token.c -- one rank tells another that it is its turn.
 *
 * Invariant: comm->tokens_seen counts the tokens of a kind that this rank has received through
 * shared memory, slot->tokens those that were sent to it there. */
#include "sync/token.h"

#include "base/fault.h"

int nsh__token_send(nsh_comm *comm, nsh__token kind, int to)
{
    MPI_Request request = MPI_REQUEST_NULL;
    int rc;

    if (comm->node_of[to] == comm->node_index) {
        nsh__mailbox *box = &comm->area->slots[comm->node_rank_of[to]].mailbox[kind];

        atomic_fetch_add_explicit(&box->tokens, 1, memory_order_seq_cst);
        nsh__wake(&box->tokens, &box->sleepers);
        return NSH_SUCCESS;
    }
    rc = MPI_Isend(NULL, 0, MPI_BYTE, to, NSH__TAG_TOKEN + (int)kind, comm->mpi, &request);
    if (rc != MPI_SUCCESS || nsh__fault(token_send))
        return nsh__fail_mpi("MPI_Isend of a token", rc);
    return nsh__wait_requests(&comm->wait, 1, &request);
}

int nsh__token_await(nsh_comm *comm, nsh__token kind, int64_t deadline)
{
    nsh__mailbox *box = &comm->area->slots[comm->node_rank].mailbox[kind];
    int tag = comm->node_count > 1 ? NSH__TAG_TOKEN + (int)kind : -1;
    const nsh__event event = {&box->tokens, ~0U, comm->tokens_seen[kind] + 1, &box->sleepers, tag};
    int rc = nsh__wait_event(&comm->wait, &event, deadline);

    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__event_seen(&event)) {
        comm->tokens_seen[kind]++;
        return NSH_SUCCESS;
    }
    rc = MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, tag, comm->mpi, MPI_STATUS_IGNORE);
    return rc == MPI_SUCCESS ? NSH_SUCCESS : nsh__fail_mpi("MPI_Recv of a token", rc);
}
