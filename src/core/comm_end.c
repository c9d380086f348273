/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_end.c -- how a communicator goes: freed, abandoned, or taken away by MPI_Finalize.
 *
 * Invariant: what ranks share goes before private memory, and private memory stays until the
 * program has given up the handle of the communicator and those of its objects. */
#define _GNU_SOURCE
#include "core/comm_end.h"

#include "base/fault.h"
#include "base/type.h"
#include "core/boot.h"
#include "core/comm_break.h"
#include "core/finalize.h"
#include "core/heap.h"
#include "core/helper.h"
#include "core/mismatch.h"
#include "core/object.h"
#include "core/replicate.h"
#include "core/rma.h"
#include "core/topology.h"
#include "core/words.h"

#include <stdlib.h>

/* What is left of a communicator that is gone, or was never whole. */
static void free_private(nsh_comm *comm)
{
    free(comm->object_bits);
    nsh__topology_destroy(comm);
    free(comm);
}

/* Take away all but private memory. Accepts every stage; collective where MPI objects exist, and
 * all ranks are at the same stage. */
static void comm_close(nsh_comm *comm, const char *by)
{
    bool broken = comm->area != NULL && nsh__comm_broken(comm);

    nsh__helper_stop(comm);
    if (comm->gone == NULL)
        nsh__objects_close(comm, !broken);
    /* MPI_Win_free waits for the node. After an agreement all its ranks have come; at MPI_Finalize
     * one may still wait for a word of another communicator that is homed here. No window of words
     * needs this: where there are any, MPI itself executes what is asked for. */
    if (comm->node_mpi != MPI_COMM_NULL && nsh__mpi_alive())
        nsh__boot_meet(comm->node_mpi);
    nsh__words_destroy(comm);
    nsh__transfer_destroy(comm);
    nsh__heap_destroy(comm);
    if (nsh__mpi_alive()) {
        if (comm->node_mpi != MPI_COMM_NULL)
            MPI_Comm_free(&comm->node_mpi);
        /* A broken one has messages under way that nobody will receive. MPI gives the context of a
         * freed communicator to the next one, where they would match: so it is not freed. */
        if (comm->mpi != MPI_COMM_NULL && !broken)
            MPI_Comm_free(&comm->mpi);
    }
    comm->mpi = comm->node_mpi = MPI_COMM_NULL;
    comm->area = NULL;
    comm->gone = by;
    comm->parked = false;
}

void nsh__comm_unused(nsh_comm *comm)
{
    if (comm->handle || comm->live > 0 || comm->parked)
        return;
    if (comm->gone == NULL && comm->mpi == MPI_COMM_NULL)
        comm_close(comm, "nsh_comm_abandon");
    if (comm->gone != NULL)
        free_private(comm);
}

/* At MPI_Finalize all ranks come, but they do not come at once: one may still wait for a word that
 * is homed here. */
static int meet_to_finalize(nsh_comm *comm)
{
    MPI_Request request = MPI_REQUEST_NULL;
    int rc = nsh__words_settle(comm, NSH__NEVER); /* the others may wait for a lock granted late */

    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    rc = MPI_Ibarrier(comm->mpi, &request);
    if (rc != MPI_SUCCESS)
        return nsh__comm_break(comm, nsh__fail_mpi("MPI_Ibarrier", rc));
    rc = nsh__wait_requests(&comm->wait, 1, &request);
    return rc == NSH_SUCCESS ? nsh__comm_drain(comm) : rc;
}

/* A rank frees a broken communicator on its own: it waits for no other rank, which may have gone on
 * to something else. Windows need all ranks, and all of them come to MPI_Finalize; where it finds
 * windows that are still open, MPICH aborts. */
static void leave_broken(nsh_comm *comm, const char *by)
{
    nsh__helper_stop(comm);
    nsh__objects_close(comm, false);
    nsh__words_leave(comm);
    comm->gone = by;
    comm->parked = true;
}

/* MPI_Finalize deletes the attributes of MPI_COMM_SELF first, while MPI still works, the last one
 * first: so communicators go in the reverse order of their creation, on every rank. */
static int at_finalize(MPI_Comm self, int keyval, void *value, void *extra)
{
    nsh_comm *comm = value;

    (void)self;
    (void)keyval;
    (void)extra;
    if (comm->freeing || nsh__comm_inherited(comm))
        return MPI_SUCCESS;
    comm->freeing = true;
    /* Inside MPI_Finalize MPI is not safe for threads any more, and the barriers below drive it:
     * they serve the words of all communicators, so no helper is missed. */
    nsh__helpers_stop();
    if (comm->rank == 0 && comm->gone == NULL && !(comm->borrowed && comm->live == 0)) {
        nsh__log("MPI_Finalize: a communicator of %d ranks is alive with %lld objects:", comm->size,
                 (long long)comm->live);
        nsh__objects_log(comm);
    }
    if (!nsh__comm_broken(comm))
        meet_to_finalize(comm); /* what fails there breaks it */
    comm_close(comm, comm->gone != NULL ? comm->gone : "MPI_Finalize");
    nsh__comm_unused(comm);
    return MPI_SUCCESS;
}

int nsh__comm_hook_finalize(nsh_comm *comm)
{
    int rc = MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_finalize, &comm->keyval, NULL);

    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_set_attr(MPI_COMM_SELF, comm->keyval, comm);
    if (rc != MPI_SUCCESS || nsh__fault(comm_attr))
        return nsh__fail_mpi("nsh_comm_create: attribute on MPI_COMM_SELF", rc);
    return NSH_SUCCESS;
}

static void unhook_finalize(nsh_comm *comm)
{
    if (comm->keyval == MPI_KEYVAL_INVALID || !nsh__mpi_alive())
        return;
    comm->freeing = true;
    MPI_Comm_delete_attr(MPI_COMM_SELF, comm->keyval);
    MPI_Comm_free_keyval(&comm->keyval);
}

void nsh__comm_destroy(nsh_comm *comm)
{
    if (comm == NULL)
        return;
    unhook_finalize(comm);
    comm_close(comm, "nsh_comm_free");
    comm->handle = false;
    nsh__comm_unused(comm);
}

void nsh__comm_end(nsh_comm *comm, const char *by)
{
    bool shares = comm->node_size > 1 || comm->rma != NULL; /* windows with other ranks */

    comm->handle = false;
    /* A callback of MPI_Finalize has called. MPI is deleting the attributes of MPI_COMM_SELF, and
     * MPICH aborts where one callback deletes another attribute: at_finalize comes for this one. */
    if (atomic_load(&nsh__finalizing) && comm->keyval != MPI_KEYVAL_INVALID)
        return;
    if (nsh__comm_broken(comm) && shares && nsh__mpi_alive()) {
        leave_broken(comm, by);
        return;
    }
    unhook_finalize(comm);
    comm_close(comm, by);
    nsh__comm_unused(comm);
}
