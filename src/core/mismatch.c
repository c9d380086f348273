/* SPDX-License-Identifier: BSD-3-Clause */
/* mismatch.c -- how ranks detect that they are not in the same collective call.
 *
 * Inside a node the signatures at the gate differ. Across nodes a message carries the sequence
 * number and the signature of its call; a rank that waits for long asks the node for which it waits
 * to compare; and a message where none can come is proof. Then the communicator breaks
 * (comm_break.c).
 *
 * Invariant: ranks get a mismatch only if the signatures of their calls differ, or one call is an
 * agreement and the other is not. */
#include "core/mismatch.h"

#include "core/comm_break.h"

#include <stddef.h>
#include <stdio.h>

/* Do two nodes differ that are in calls with one number? Two agreements compare themselves, and all
 * nodes continue after them. */
static bool differ(const nsh__position *here, const nsh__position *there)
{
    return !(here->agreement && there->agreement) &&
           (here->agreement != there->agreement || here->signature != there->signature);
}

/* Another node waits in a call for a message of this node. If this node is or was in a different
 * call with that number, the message will never come. */
static void compare_position(nsh_comm *comm, int node, const nsh__position *there)
{
    const nsh__position *here = &comm->history[there->sequence % NSH__ACK_EVERY];

    if (there->sequence > comm->sequence) {
        comm->npending += comm->pending[node].sequence == 0;
        comm->pending[node] = *there;
    } else if (here->sequence == there->sequence && differ(here, there)) {
        bool same = here->call == there->call;

        nsh__comm_break(
            comm, nsh__fail(NSH_ERR_MISMATCH, "call %llu: %s on node %d, %s on node %d%s (rank %d)",
                            (unsigned long long)there->sequence, nsh__call_name(here->call),
                            comm->node_index, nsh__call_name(there->call), node,
                            same ? ", other root or arguments" : "", comm->rank));
    }
}

void nsh__mismatch_compare_pending(nsh_comm *comm)
{
    for (int node = 0; node < comm->node_count && comm->npending > 0; node++) {
        nsh__position there = comm->pending[node];

        if (there.sequence == 0 || there.sequence > comm->sequence)
            continue;
        comm->pending[node].sequence = 0;
        comm->npending--;
        compare_position(comm, node, &there);
    }
}

void nsh__receive_control(void *owner, const MPI_Status *status)
{
    nsh_comm *comm = owner;
    nsh__control_message message = {.reason = {.status = NSH_SUCCESS}};
    int rc = MPI_Recv(&message, (int)sizeof message, MPI_BYTE, status->MPI_SOURCE, NSH__TAG_CONTROL,
                      comm->mpi, MPI_STATUS_IGNORE);

    if (rc != MPI_SUCCESS) { /* the message may have said that the communicator is broken */
        nsh__comm_break(comm, nsh__fail_mpi("MPI_Recv of a control message", rc));
    } else if (message.reason.status != NSH_SUCCESS) {
        nsh__comm_mark_broken(comm, &message.reason);
    } else {
        comm->heard++;
        compare_position(comm, comm->node_of[status->MPI_SOURCE], &message.position);
    }
}

/* The call of a rank that has sent an agreement message to a node that is in another call. */
static nsh__call call_of_agreement(nsh_comm *comm, const MPI_Status *status)
{
    nsh__agreement_message message;
    int bytes = 0;

    MPI_Get_count(status, MPI_BYTE, &bytes);
    if (bytes < (int)offsetof(nsh__agreement_message, text) || bytes > (int)sizeof message ||
        MPI_Recv(&message, bytes, MPI_BYTE, status->MPI_SOURCE, status->MPI_TAG, comm->mpi,
                 MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return NSH__CALL_NONE;
    return (nsh__call)(message.most_by >> 32);
}

int nsh__word_stray(void *owner, const MPI_Status *status)
{
    nsh_comm *comm = owner;
    const char *there = "a change of an array";

    if (status->MPI_TAG == nsh__agreement_tag(comm->sequence))
        there = nsh__call_name(call_of_agreement(comm, status));
    return nsh__fail(NSH_ERR_MISMATCH, "call %llu: %s on node %d, %s on node %d (rank %d)",
                     (unsigned long long)comm->sequence, nsh__call_name(comm->call),
                     comm->node_index, there, comm->node_of[status->MPI_SOURCE], comm->rank);
}

/* A wait lasts long; wait.c calls again every second. Ask the node that should have sent a message
 * whether it is in the same call. The request is left out while the previous one is still under
 * way, because they share their memory. */
void nsh__suspect_node(void *owner)
{
    nsh_comm *comm = owner;
    int sent = 1, to;

    if (comm->awaited < 0 || comm->awaited == comm->node_index)
        return;
    if (comm->asking != MPI_REQUEST_NULL &&
        (MPI_Test(&comm->asking, &sent, MPI_STATUS_IGNORE) != MPI_SUCCESS || !sent))
        return;
    to = comm->leader_of[comm->awaited];
    comm->control_messages[1] =
        (nsh__control_message){.position = comm->history[comm->sequence % NSH__ACK_EVERY]};
    if (MPI_Isend(&comm->control_messages[1], (int)sizeof comm->control_messages[1], MPI_BYTE, to,
                  NSH__TAG_CONTROL, comm->mpi, &comm->asking) == MPI_SUCCESS)
        comm->asked[to]++;
    else
        comm->asking = MPI_REQUEST_NULL;
}

int nsh__comm_drain(nsh_comm *comm)
{
    MPI_Request request;
    int rc;

    if (comm->node_count == 1)
        return NSH_SUCCESS;
    rc = MPI_Ireduce_scatter_block(comm->asked, &comm->expected, 1, MPI_INT, MPI_SUM, comm->mpi,
                                   &request);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Ireduce_scatter_block", rc);
    rc = nsh__wait_requests(&comm->wait, 1, &request);
    while (rc == NSH_SUCCESS && comm->heard < comm->expected)
        rc = nsh__wait_poll(&comm->wait);
    return rc == NSH_SUCCESS ? nsh__wait_requests(&comm->wait, 1, &comm->asking) : rc;
}

bool nsh__mismatch_stray_root(nsh_comm *comm)
{
    int there = 0, rc;

    rc = MPI_Iprobe(MPI_ANY_SOURCE, nsh__transfer_tag(comm->rooted), comm->mpi, &there,
                    MPI_STATUS_IGNORE);
    if (rc != MPI_SUCCESS) /* the next poll sees the failure */
        nsh__comm_break(comm, nsh__fail_mpi("MPI_Iprobe", rc));
    /* The message may still come: after the next agreement it has, if it exists. Tags repeat, so
     * stop to look after a while. */
    if (there || comm->sequence - comm->rooted > NSH__ACK_EVERY)
        comm->rooted = 0;
    return there;
}

/* Write " (root 3)", or nothing for a call without a root. */
static void word_root(const nsh__slot *slot, char text[32])
{
    if (slot->root == NSH__NO_ROOT)
        text[0] = '\0';
    else
        snprintf(text, 32, " (root %d)", slot->root);
}

void nsh__comm_word_mismatch(void *owner, char text[NSH__TEXT])
{
    nsh_comm *comm = owner;
    const nsh__slot *a = &comm->area->slots[0], *b = NULL;
    char a_root[32], b_root[32];

    for (int i = 1; i < comm->node_size; i++) {
        const nsh__slot *slot = &comm->area->slots[i];

        if (slot->signature != a->signature &&
            (b == NULL || (b->call == a->call && slot->call != a->call)))
            b = slot;
    }
    if (b == NULL) {
        snprintf(text, NSH__TEXT, "%s: ranks of a node are in different steps of it",
                 nsh__call_name(a->call));
        return;
    }
    word_root(a, a_root);
    word_root(b, b_root);
    if (a->call != b->call)
        snprintf(text, NSH__TEXT, "ranks are in different calls: rank %d in %s%s, rank %d in %s%s",
                 a->rank, nsh__call_name(a->call), a_root, b->rank, nsh__call_name(b->call),
                 b_root);
    else
        snprintf(text, NSH__TEXT, "%s: ranks disagree on %s: rank %d%s and rank %d%s",
                 nsh__call_name(a->call),
                 a->object != b->object ? "the array"
                 : a->root != b->root   ? "root"
                                        : "the arguments",
                 a->rank, a_root, b->rank, b_root);
}
