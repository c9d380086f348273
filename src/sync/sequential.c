/* SPDX-License-Identifier: BSD-3-Clause */
/* sequential.c -- ranks run a section one after another, in the order of ranks: a token goes from
 * each to the next.
 *
 * Invariant: a rank's turn lies between the token that it gets and the one that it sends. Rank 0
 * needs no token, because no rank begins a section before all have ended the one before. */
#include <nodeshare/sequential.h>

#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "sync/token.h"

int nsh_sequential_begin(nsh_comm *comm)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_sequential_begin: comm is NULL");
    if (comm->in_turn)
        return nsh__fail(NSH_ERR_STATE, "nsh_sequential_begin: rank %d is in the section already",
                         comm->rank);
    rc = nsh__agree_first(comm, NSH__CALL_SEQUENTIAL_BEGIN, 0);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__comm_enter(comm, NSH__CALL_SEQUENTIAL_BEGIN, 0);
    if (rc != NSH_SUCCESS && nsh__comm_apart(comm))
        return rc;
    if (rc == NSH_SUCCESS && comm->rank > 0) {
        comm->partner = comm->rank - 1; /* the rank that sends the token */
        rc = nsh__token_await(comm, NSH__TOKEN_TURN, NSH__NEVER);
        comm->partner = -1;
    }
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    comm->in_turn = true;
    return NSH_SUCCESS;
}

int nsh_sequential_end(nsh_comm *comm)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_sequential_end: comm is NULL");
    rc = nsh__comm_present(comm, "nsh_sequential_end");
    if (rc != NSH_SUCCESS)
        return rc;
    if (!comm->in_turn) {
        rc = nsh__fail(NSH_ERR_STATE, "nsh_sequential_end: rank %d is in no section", comm->rank);
        return nsh__agree(comm, NSH__CALL_SEQUENTIAL_END, rc, 1);
    }
    comm->in_turn = false;
    if (comm->rank + 1 < comm->size)
        rc = nsh__token_send(comm, NSH__TOKEN_TURN, comm->rank + 1);
    if (rc != NSH_SUCCESS)
        nsh__comm_break(comm, rc);
    rc = nsh__agree(comm, NSH__CALL_SEQUENTIAL_END, rc, 0);
    /* A rank that has not come may have a token that it did not receive. With it, it would enter
     * the next section before its turn. */
    return rc == NSH_ERR_MISMATCH ? nsh__comm_break(comm, rc) : rc;
}
