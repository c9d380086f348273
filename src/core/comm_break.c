/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_break.c -- break a communicator: one flag on each node, and a control message to every rank
 * of other nodes.
 *
 * Invariant: a broken communicator stays broken, and no rank continues to wait on it. */
#include "core/comm_break.h"

#include <stdio.h>
#include <string.h>

/* Send a small message; no rank waits for its completion. */
static void send_control(nsh_comm *comm, const nsh__control_message *message, int to)
{
    MPI_Request request;

    if (MPI_Isend(message, (int)sizeof *message, MPI_BYTE, to, NSH__TAG_CONTROL, comm->mpi,
                  &request) == MPI_SUCCESS)
        MPI_Request_free(&request);
}

/* The first rank of the node to know informs the node. True for that rank.
 *
 * It writes the reason into its own slot and then, by a compare-and-swap (release), its number into
 * broken_by. A rank that reads a number there (acquire) sees that slot's reason, which does not
 * change any more. Only gate.broken ends waits. Every rank that comes here sets it, so that none
 * depends on the first one, which may be stopped between the two steps. */
bool nsh__comm_mark_broken(nsh_comm *comm, const nsh__reason *reason)
{
    nsh__gate_area *gate = &comm->area->gate;
    int by = atomic_load_explicit(&comm->area->broken_by, memory_order_acquire);
    bool first = false;

    if (by == 0) {
        comm->area->slots[comm->node_rank].reason = *reason;
        first = atomic_compare_exchange_strong(&comm->area->broken_by, &by, comm->node_rank + 1);
        by = first ? comm->node_rank + 1 : by;
    }
    atomic_store(&gate->broken, comm->area->slots[by - 1].reason.status);
    /* A rank that is just going to sleep looks again after one round. */
    nsh__wake(&gate->arrived, &gate->arrived_sleepers);
    nsh__wake(&gate->opened, &gate->opened_sleepers);
    return first;
}

void nsh__comm_break_with(nsh_comm *comm, const nsh__reason *reason)
{
    /* If comm is gone no rank needs the message; a communicator of the parent of a forked child
     * must not change. */
    if (comm->gone != NULL || nsh__comm_inherited(comm) || !nsh__comm_mark_broken(comm, reason))
        return;
    nsh__log("rank %d: communicator broken: %s", comm->rank, reason->text);
    comm->control_messages[0] = (nsh__control_message){.reason = *reason};
    for (int r = 0; r < comm->size; r++)
        if (comm->node_of[r] != comm->node_index)
            send_control(comm, &comm->control_messages[0], r);
}

int nsh__comm_break(nsh_comm *comm, int code)
{
    nsh__reason reason = {.status = code, .code = code, .rank = comm->rank};

    snprintf(reason.text, sizeof reason.text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    nsh__comm_break_with(comm, &reason);
    return code;
}

/* Write "NSH_ERR_IO", or the number if it is not a status. */
static void name_code(int code, char out[32])
{
    const char *name = nsh_strerror(code);
    size_t n = strcspn(name, ":");

    if (name[n] == ':')
        snprintf(out, 32, "%.*s", (int)n, name);
    else
        snprintf(out, 32, "code %d", code);
}

int nsh__comm_explain(const nsh_comm *comm, const char *call, int status)
{
    int by = atomic_load_explicit(&comm->area->broken_by, memory_order_acquire);
    const nsh__reason *reason = &comm->area->slots[by - 1].reason;
    const char *colon = call != NULL ? ": " : "";
    char name[32];

    name_code(reason->code, name);
    call = call != NULL ? call : "";
    if (reason->given)
        return nsh__fail(status, "%s%srank %d has failed with %s: %.*s (rank %d)", call, colon,
                         reason->rank, name, NSH__TEXT - 110, reason->text, comm->rank);
    return nsh__fail(status,
                     "%s%scommunicator is broken since an earlier %s of rank %d: %.*s (rank %d)",
                     call, colon, name, reason->rank, NSH__TEXT - 140, reason->text, comm->rank);
}

void nsh__explain_break(void *owner, int status)
{
    nsh__comm_explain(owner, NULL, status);
}

int nsh__break_waiting(void *owner, int code)
{
    return nsh__comm_break(owner, code);
}
