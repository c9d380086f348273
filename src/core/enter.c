/* SPDX-License-Identifier: BSD-3-Clause */
/* enter.c -- how a call begins: is it allowed now, and which call is it?
 *
 * Invariant: a call that is not allowed here and now has changed and counted nothing. */
#include "core/enter.h"

#include "base/hash.h"
#include "core/comm_break.h"
#include "core/mismatch.h"
#include "core/rma.h"

int nsh__comm_absent(const nsh_comm *comm, const char *call)
{
    if (nsh__comm_inherited(comm))
        return nsh__fail(NSH_ERR_STATE,
                         "%s: the communicator was made before fork, so this child may only read "
                         "(rank %d of its parent)",
                         call, comm->rank);
    if (comm->gone != NULL)
        return nsh__fail(NSH_ERR_STATE, "%s: the communicator is gone since %s (rank %d)", call,
                         comm->gone, comm->rank);
    return NSH_SUCCESS;
}

int nsh__comm_known_whole(const nsh_comm *comm, const char *call)
{
    int code = nsh__comm_present(comm, call);

    if (code != NSH_SUCCESS || !nsh__comm_broken(comm))
        return code;
    return nsh__comm_explain(comm, call, NSH_ERR_STATE);
}

int nsh__comm_whole(nsh_comm *comm, const char *call)
{
    int code = nsh__comm_present(comm, call);

    /* Another node may have broken it, and a call that succeeds at once would never learn that. A
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

/* Calls that belong together: they differ only in arguments of root. */
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

static int enter_call(nsh_comm *comm, nsh__call call, uint64_t signature, bool agreement)
{
    int code = nsh__comm_whole(comm, nsh__call_name(call));

    if (code == NSH_SUCCESS)
        code = nsh__comm_callable(comm, nsh__call_name(call));
    if (code != NSH_SUCCESS)
        return code;
    comm->call = call;
    comm->acting = comm->leader_of[comm->node_index];
    code = nsh__words_settle(comm, NSH__NEVER); /* other ranks may wait for a lock that this rank
                                                   was granted late */
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
        nsh__mismatch_compare_pending(comm); /* the poll below sees the result */
    if (nsh__comm_leads(comm) && comm->rooted != 0 && nsh__mismatch_stray_root(comm))
        return nsh__comm_break(comm, nsh__fail(NSH_ERR_MISMATCH,
                                               "%s: nodes named different roots in an earlier call "
                                               "(rank %d)",
                                               nsh__call_name(call), comm->rank));
    return nsh__wait_poll(&comm->wait);
}

int nsh__comm_enter(nsh_comm *comm, nsh__call call, uint64_t signature)
{
    return enter_call(comm, call, signature, false);
}

int nsh__comm_enter_agreement(nsh_comm *comm, nsh__call call, uint64_t signature)
{
    return enter_call(comm, call, signature, true);
}
