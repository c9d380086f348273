/* SPDX-License-Identifier: BSD-3-Clause */
/* mismatch.c -- how ranks find out that they are not in the same collective call, and what then.
 *
 * Inside a node the gate's signatures tell. Across nodes a message carries the sequence number and
 * the signature of its call; a rank that waits for long asks the node it waits for; and where no
 * message was due, one that comes is proof. Then the communicator is broken: one flag per node, and
 * a notice to every rank elsewhere.
 *
 * Invariant: a broken communicator stays so, and nobody waits on it any more. */
#include "core/comm.h"

#include "base/hash.h"
#include "core/rma.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A small message that nobody waits to have sent. */
static void send_control(nsh_comm *comm, const nsh__control_message *notice, int to)
{
    MPI_Request request;

    if (MPI_Isend(notice, (int)sizeof *notice, MPI_BYTE, to, NSH__TAG_CONTROL, comm->mpi,
                  &request) == MPI_SUCCESS)
        MPI_Request_free(&request);
}

/* The first of the node to know tells the node. True for that rank.
 *
 * It writes the reason into its own slot and then, by a compare-and-swap (release), its number into
 * broken_by; who sees a number there (acquire) sees that slot's reason, which does not change any
 * more. Only gate.broken stops waits. Every rank that comes here sets it, so that none depends on
 * the first one, which may be stopped between the two. */
static bool mark_broken(nsh_comm *comm, const nsh__reason *reason)
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
    /* Who is just falling asleep looks again within a round. */
    nsh__wake(&gate->arrived, &gate->arrived_sleepers);
    nsh__wake(&gate->opened, &gate->opened_sleepers);
    return first;
}

static void break_with(nsh_comm *comm, const nsh__reason *reason)
{
    /* One that is gone has nobody to tell; that of the parent of a forked child stays whole. */
    if (comm->gone != NULL || nsh__comm_inherited(comm) || !mark_broken(comm, reason))
        return;
    nsh__log("rank %d: communicator broken: %s", comm->rank, reason->text);
    comm->notices[0] = (nsh__control_message){.reason = *reason};
    for (int r = 0; r < comm->size; r++)
        if (comm->node_of[r] != comm->node_index)
            send_control(comm, &comm->notices[0], r);
}

int nsh__comm_break(nsh_comm *comm, int code)
{
    nsh__reason reason = {.status = code, .code = code, .rank = comm->rank};

    snprintf(reason.text, sizeof reason.text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    break_with(comm, &reason);
    return code;
}

/* "NSH_ERR_IO", or a number that is no status. */
static void name_code(int code, char out[32])
{
    const char *name = nsh_strerror(code);
    size_t n = strcspn(name, ":");

    if (name[n] == ':')
        snprintf(out, 32, "%.*s", (int)n, name);
    else
        snprintf(out, 32, "code %d", code);
}

/* Word why the communicator is broken. call: NULL inside a call that waits. */
static int explain(const nsh_comm *comm, const char *call, int status)
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
    explain(owner, NULL, status);
}

int nsh_comm_fail(nsh_comm *comm, int code, const char *text)
{
    nsh__reason reason = {.status = NSH_ERR_STATE, .code = code, .given = true};
    int rc;

    if (comm == NULL || code < 1)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_fail: comm is %s, code %d",
                         comm == NULL ? "NULL" : "given", code);
    rc = nsh__comm_whole(comm, "nsh_comm_fail");
    if (rc != NSH_SUCCESS)
        return rc;
    reason.rank = comm->rank;
    snprintf(reason.text, sizeof reason.text, "%s", text != NULL ? text : "");
    break_with(comm, &reason);
    return NSH_SUCCESS;
}

int nsh__break_waiting(void *owner, int code)
{
    return nsh__comm_break(owner, code);
}

/* Do two nodes that are in calls with one number disagree? Votes find out by themselves, and all
 * nodes go on after them. */
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

/* This node has begun another call: compare what had to wait for that. */
static void compare_pending(nsh_comm *comm)
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

/* wait.c has seen a message with NSH__TAG_CONTROL. */
void nsh__receive_control(void *owner, const MPI_Status *status)
{
    nsh_comm *comm = owner;
    nsh__control_message notice = {.reason = {.status = NSH_SUCCESS}};
    int rc = MPI_Recv(&notice, (int)sizeof notice, MPI_BYTE, status->MPI_SOURCE, NSH__TAG_CONTROL,
                      comm->mpi, MPI_STATUS_IGNORE);

    if (rc != MPI_SUCCESS) { /* it may have said that the communicator is broken */
        nsh__comm_break(comm, nsh__fail_mpi("MPI_Recv of a notice", rc));
    } else if (notice.reason.status != NSH_SUCCESS) {
        mark_broken(comm, &notice.reason);
    } else {
        comm->heard++;
        compare_position(comm, comm->node_of[status->MPI_SOURCE], &notice.position);
    }
}

/* The call of a rank that has sent its agreement to a node which does not agree. */
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

/* wait.c has waited for long, and for another second each time it calls again: ask the node that
 * should have sent something whether it is in the same call. A notice whose predecessor is still
 * under way is left out, for they share their memory. */
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
    comm->notices[1] =
        (nsh__control_message){.position = comm->history[comm->sequence % NSH__ACK_EVERY]};
    if (MPI_Isend(&comm->notices[1], (int)sizeof comm->notices[1], MPI_BYTE, to, NSH__TAG_CONTROL,
                  comm->mpi, &comm->asking) == MPI_SUCCESS)
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

/* A message of a call whose root was on this node: another node had a root of its own. */
static bool stray_message(nsh_comm *comm)
{
    int there = 0, rc;

    if (comm->rooted == 0)
        return false;
    rc = MPI_Iprobe(MPI_ANY_SOURCE, nsh__transfer_tag(comm->rooted), comm->mpi, &there,
                    MPI_STATUS_IGNORE);
    if (rc != MPI_SUCCESS) /* the poll that follows sees it */
        nsh__comm_break(comm, nsh__fail_mpi("MPI_Iprobe", rc));
    /* It may yet come: an agreement later it has, if there is one. Tags repeat, so not for ever. */
    if (there || comm->sequence - comm->rooted > NSH__ACK_EVERY)
        comm->rooted = 0;
    return there;
}

int nsh__comm_known_whole(const nsh_comm *comm, const char *call)
{
    int code = nsh__comm_present(comm, call);

    if (code != NSH_SUCCESS || !nsh__comm_broken(comm))
        return code;
    return explain(comm, call, NSH_ERR_STATE);
}

int nsh__comm_whole(nsh_comm *comm, const char *call)
{
    int code = nsh__comm_present(comm, call);

    /* Another node may have broken it, and a call that succeeds at once would never learn of it. A
     * failure of MPI in the poll breaks it too. */
    if (code == NSH_SUCCESS && comm->node_count > 1)
        (void)nsh__wait_poll_rarely(&comm->wait);
    return nsh__comm_known_whole(comm, call);
}

int nsh__comm_callable(const nsh_comm *comm, const char *call)
{
    int code = nsh__comm_present(comm, call);

    if (code != NSH_SUCCESS || !nsh__comm_apart(comm))
        return code;
    return nsh__fail(NSH_ERR_STATE, "%s: rank %d is inside a %s on this communicator", call,
                     comm->rank, comm->in_turn ? "sequential section" : "kernel of a map");
}

/* Calls that may meet: they differ in what only root's arguments say. */
static nsh__call family(nsh__call call)
{
    return call == NSH__CALL_SET_STRIDED || call == NSH__CALL_SET_MANY ? NSH__CALL_SET : call;
}

void nsh__comm_show(nsh_comm *comm, nsh__call call, int root, uint64_t object, uint64_t signature)
{
    nsh__slot *slot = &comm->area->slots[comm->node_rank];

    slot->call = call;
    slot->root = root;
    slot->object = object;
    slot->signature = signature;
}

/* " (root 3)", or nothing for a call without. */
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

static int enter(nsh_comm *comm, nsh__call call, uint64_t signature, bool agreement)
{
    int code = nsh__comm_whole(comm, nsh__call_name(call));

    if (code == NSH_SUCCESS)
        code = nsh__comm_callable(comm, nsh__call_name(call));
    if (code != NSH_SUCCESS)
        return code;
    comm->call = call;
    comm->acting = comm->leader_of[comm->node_index];
    code = nsh__words_settle(comm, NSH__NEVER); /* the others may wait for a lock granted late */
    if (code != NSH_SUCCESS)
        return nsh__comm_break(comm, code);
    comm->signature = nsh__mix(signature, (uint64_t)family(call));
    nsh__comm_show(comm, call, NSH__NO_ROOT, 0, comm->signature);
    comm->sequence++;
    comm->history[comm->sequence % NSH__ACK_EVERY] =
        (nsh__position){comm->sequence, comm->signature, agreement, call};
    if (comm->node_count == 1)
        return NSH_SUCCESS;
    if (comm->npending > 0)
        compare_pending(comm); /* the poll below sees what comes of it */
    if (nsh__comm_leads(comm) && stray_message(comm))
        return nsh__comm_break(comm, nsh__fail(NSH_ERR_MISMATCH,
                                               "%s: nodes named different roots in an earlier call "
                                               "(rank %d)",
                                               nsh__call_name(call), comm->rank));
    return nsh__wait_poll(&comm->wait);
}

int nsh__comm_enter(nsh_comm *comm, nsh__call call, uint64_t signature)
{
    return enter(comm, call, signature, false);
}

int nsh__comm_enter_agreement(nsh_comm *comm, nsh__call call, uint64_t signature)
{
    return enter(comm, call, signature, true);
}
