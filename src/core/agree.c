/* SPDX-License-Identifier: BSD-3-Clause */
/* agree.c -- an agreement: all ranks get one code, and the arguments that must be equal are
 * compared.
 *
 * Invariant: a rank takes part in every step, whatever its code is; only a broken communicator ends
 * an agreement early, and then for all ranks. */
#include "core/agree.h"

#include "base/fault.h"
#include "base/hash.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/message.h"

#include <stddef.h>
#include <stdio.h>

static uint64_t encode_error(int code, int rank)
{
    return code == NSH_SUCCESS ? 0 : (uint64_t)code << 32 | (UINT32_MAX - (uint32_t)rank);
}

/* Map int64 to uint64 so that the order stays the same. */
static uint64_t ordered(int64_t value)
{
    return (uint64_t)value ^ (UINT64_C(1) << 63);
}

static int64_t disordered(uint64_t value)
{
    return (int64_t)(value ^ (UINT64_C(1) << 63));
}

static void raise(uint64_t *value, uint64_t other)
{
    if (other > *value)
        *value = other;
}

static void merge_error(nsh__agreement_message *message, uint64_t worst, const char *text)
{
    if (worst <= message->worst)
        return;
    message->worst = worst;
    snprintf(message->text, sizeof message->text, "%s", text);
}

static uint64_t brought_by(nsh__call call, int rank)
{
    return (uint64_t)call << 32 | (UINT32_MAX - (uint32_t)rank);
}

/* Add the failure that the signatures of nodes differ to the message. */
static void merge_mismatch(nsh__agreement_message *message)
{
    nsh__call a = (nsh__call)(message->most_by >> 32), b = (nsh__call)(message->least_by >> 32);
    int a_rank = (int)(UINT32_MAX - (uint32_t)message->most_by);
    int b_rank = (int)(UINT32_MAX - (uint32_t)message->least_by);
    char text[NSH__TEXT];

    if (a == b)
        snprintf(text, sizeof text, "%s: ranks disagree on the arguments: rank %d and rank %d",
                 nsh__call_name(a), a_rank, b_rank);
    else
        snprintf(text, sizeof text, "ranks are in different calls: rank %d in %s, rank %d in %s",
                 a_rank, nsh__call_name(a), b_rank, nsh__call_name(b));
    merge_error(message, encode_error(NSH_ERR_MISMATCH, 0), text);
}

/* Fill the message with the node's values, from the slots of its ranks. All have arrived. */
static void collect_slots(nsh_comm *comm, nsh__call call, nsh__agreement_message *message)
{
    bool unanimous = nsh__gate_unanimous(&comm->gate);
    uint64_t signature = comm->gate.signature;

    *message = (nsh__agreement_message){
        .sequence = comm->sequence, .most = signature, .least = ~signature, .worst = 0, .text = ""};
    message->most_by = message->least_by = brought_by(call, comm->rank);
    if (!unanimous) {
        char text[NSH__TEXT];

        nsh__gate_word_mismatch(&comm->gate, text);
        merge_error(message, encode_error(NSH_ERR_MISMATCH, comm->rank), text);
    }
    if (!nsh__gate_failed(&comm->gate)) { /* no rank has a failure, or a range other than 0 .. 0 */
        message->low = ~ordered(0);
        message->high = ordered(0);
        return;
    }
    for (int i = 0; i < comm->node_size; i++) {
        const nsh__slot *slot = &comm->area->slots[i];

        merge_error(message, encode_error(slot->code, slot->rank), slot->text);
        raise(&message->low, ~ordered(slot->low));
        raise(&message->high, ordered(slot->high));
    }
}

/* If two have the same signature the larger number is named, so that it is the same on all
 * nodes. */
static void raise_by(uint64_t *signature, uint64_t *by, uint64_t their_signature, uint64_t their_by)
{
    if (their_signature > *signature)
        *by = their_by;
    else if (their_signature == *signature)
        raise(by, their_by);
    raise(signature, their_signature);
}

static void combine(nsh__agreement_message *mine, const nsh__agreement_message *theirs)
{
    raise_by(&mine->most, &mine->most_by, theirs->most, theirs->most_by);
    raise_by(&mine->least, &mine->least_by, theirs->least, theirs->least_by);
    raise(&mine->low, theirs->low);
    raise(&mine->high, theirs->high);
    merge_error(mine, theirs->worst, theirs->text);
}

static int agreement_bytes(const nsh__agreement_message *message)
{
    return message->worst != 0 ? (int)sizeof *message : (int)offsetof(nsh__agreement_message, text);
}

/* Is what node `from` has sent a message of this agreement? */
static int check_message(const nsh_comm *comm, const nsh__agreement_message *theirs, int64_t bytes,
                         int from)
{
    if (bytes < (int64_t)offsetof(nsh__agreement_message, text) || bytes != agreement_bytes(theirs))
        return nsh__fail(NSH_ERR_MISMATCH, "an agreement of %lld bytes has come from node %d",
                         (long long)bytes, from);
    if (theirs->sequence != comm->sequence)
        return nsh__fail(NSH_ERR_MISMATCH, "node %d is in collective call %llu, node %d in %llu",
                         from, (unsigned long long)theirs->sequence, comm->node_index,
                         (unsigned long long)comm->sequence);
    return NSH_SUCCESS;
}

/* One round: send to the leader of node `to`, receive from that of node `from`. */
static int exchange_messages(nsh_comm *comm, int to, int from)
{
    nsh__agreement_message *mine = &comm->messages[0], *theirs = &comm->messages[1];
    MPI_Request receive = MPI_REQUEST_NULL, send = MPI_REQUEST_NULL;
    int rc, tag = nsh__agreement_tag(comm->sequence);
    int64_t bytes = 0;

    comm->awaited = from;
    theirs->text[0] = '\0';
    rc = MPI_Irecv(theirs, (int)sizeof *theirs, MPI_BYTE, comm->leader_of[from], tag, comm->mpi,
                   &receive);
    if (rc == MPI_SUCCESS)
        rc = MPI_Isend(mine, agreement_bytes(mine), MPI_BYTE, comm->leader_of[to], tag, comm->mpi,
                       &send);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_send))
        rc = nsh__fail_mpi("agreement among leaders", rc);
    else
        rc = nsh__wait_received(&comm->wait, &receive, &bytes);
    comm->awaited = -1;
    if (rc == NSH_SUCCESS)
        rc = check_message(comm, theirs, bytes, from);
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, 1, &send);
    if (rc != NSH_SUCCESS) {
        nsh__drop_request(&receive, true);
        nsh__drop_request(&send, false);
        return rc;
    }
    combine(mine, theirs);
    return NSH_SUCCESS;
}

static int disseminate(nsh_comm *comm)
{
    int n = comm->node_count, me = comm->node_index, rc = NSH_SUCCESS;

    comm->wait.watch_tag = nsh__transfer_tag(comm->sequence); /* the sender is in another call */
    for (int distance = 1; distance < n && rc == NSH_SUCCESS; distance *= 2)
        rc = exchange_messages(comm, (me + distance) % n, (int)((me - (int64_t)distance + n) % n));
    comm->wait.watch_tag = -1;
    return rc;
}

static int enter_hooks(nsh_comm *comm, nsh__call call, int code)
{
    for (nsh__agreement_hook *h = comm->hooks; h != NULL; h = h->next)
        code = h->enter(h, call, code);
    return code;
}

static int leave_hooks(nsh_comm *comm)
{
    int rc = NSH_SUCCESS;

    for (nsh__agreement_hook *h = comm->hooks; h != NULL && rc == NSH_SUCCESS; h = h->next)
        rc = h->leave(h);
    return rc;
}

bool nsh__agreement_enter(nsh_comm *comm, nsh__agreement *agreement)
{
    nsh__slot *slot;

    agreement->gate_rc = nsh__comm_enter_agreement(comm, agreement->call, agreement->signature);
    if (agreement->gate_rc != NSH_SUCCESS)
        return false;
    if (comm->check)
        agreement->code = enter_hooks(comm, agreement->call, agreement->code);
    slot = &comm->area->slots[comm->node_rank];
    slot->code = agreement->code;
    slot->low = agreement->low;
    slot->high = agreement->high;
    if (agreement->code != NSH_SUCCESS)
        snprintf(slot->text, sizeof slot->text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    nsh__gate_arrive(&comm->gate, comm->signature,
                     agreement->code != NSH_SUCCESS || agreement->low != 0 || agreement->high != 0);
    if (!nsh__comm_leads(comm))
        return false;
    agreement->gate_rc = nsh__gate_await(&comm->gate);
    return agreement->gate_rc == NSH_SUCCESS && nsh__gate_unanimous(&comm->gate);
}

/* [by the leader] Collect the node's values, exchange them with other nodes, release the gate. */
static int decide(nsh_comm *comm, nsh__agreement *agreement)
{
    nsh__agreement_message *message = &comm->messages[0];
    int rc, from;

    if (comm->gate.alone && !nsh__gate_unanimous(&comm->gate))
        return nsh__gate_leave(&comm->gate); /* the last rank has released the gate with a
                                                mismatch */
    collect_slots(comm, agreement->call, message);
    if (agreement->code != NSH_SUCCESS) /* also if the caller has set it after enter */
        merge_error(message, encode_error(agreement->code, comm->rank), nsh_error_detail());
    if (comm->node_count > 1 && (rc = disseminate(comm)) != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    if (message->most != ~message->least)
        merge_mismatch(message);
    rc = (int)(message->worst >> 32);
    from = (int)(UINT32_MAX - (uint32_t)message->worst);
    comm->area->low = agreement->low = disordered(~message->low);
    comm->area->high = agreement->high = disordered(message->high);
    nsh__gate_release(&comm->gate, rc, from, message->text);
    if (rc != NSH_SUCCESS)
        nsh__fail_from(rc, from == comm->rank ? -1 : from, message->text);
    return rc;
}

static int leave_agreement(nsh_comm *comm, nsh__agreement *agreement)
{
    int rc = agreement->gate_rc;

    if (rc != NSH_SUCCESS &&
        nsh__comm_apart(comm)) /* this rank has not entered, and no rank waits for it */
        return rc;
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    if (nsh__comm_leads(comm))
        return decide(comm, agreement);
    rc = nsh__gate_leave(&comm->gate);
    if (agreement->range && rc != NSH_ERR_MISMATCH) {
        agreement->low = comm->area->low;
        agreement->high = comm->area->high;
    }
    return rc;
}

int nsh__agreement_leave(nsh_comm *comm, nsh__agreement *agreement)
{
    int rc = leave_agreement(comm, agreement), left = NSH_SUCCESS;

    if (comm->check && agreement->gate_rc == NSH_SUCCESS)
        left = leave_hooks(comm);
    if (left != NSH_SUCCESS)
        return nsh__comm_break(comm, left);
    return rc;
}

int nsh__agree(nsh_comm *comm, nsh__call call, int code, uint64_t signature)
{
    nsh__agreement agreement = {.call = call, .code = code, .signature = signature};

    nsh__agreement_enter(comm, &agreement);
    return nsh__agreement_leave(comm, &agreement);
}

int nsh__agree_first(nsh_comm *comm, nsh__call call, uint64_t signature)
{
    return comm->check ? nsh__agree(comm, call, NSH_SUCCESS, signature) : NSH_SUCCESS;
}

int nsh__agree_to_free(nsh_comm *comm, nsh__call call, int code, uint64_t id)
{
    int rc = nsh__agree(comm, call, code, id);

    return nsh__comm_whole(comm, nsh__call_name(call)) == NSH_SUCCESS ? rc : NSH_SUCCESS;
}

int nsh__agree_node(nsh_comm *comm, nsh__call call)
{
    int rc = nsh__gate_pass(&comm->gate, nsh__mix(3, (uint64_t)call));

    return rc == NSH_SUCCESS ? rc : nsh__comm_break(comm, rc);
}
