/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_end.c -- how a communicator ends: freed, abandoned, or ended by MPI_Finalize.
 *
 * Invariant: shared memory and MPI objects are freed before private memory, and private memory
 * stays until the program has freed the handle of the communicator and those of its objects. */
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

/* Free the private memory of a communicator that is gone, or was never complete. */
static void free_private(nsh_comm *comm)
{
    free(comm->object_bits);
    nsh__topology_destroy(comm);
    free(comm);
}

/* Free everything but private memory. Accepts every stage; collective if MPI objects exist, and all
 * ranks are at the same stage. */
static void comm_close(nsh_comm *comm, const char *by)
{
    bool broken = comm->area != NULL && nsh__comm_broken(comm);

    nsh__helper_stop(comm);
    if (comm->gone == NULL)
        nsh__objects_close(comm, !broken);
    /* MPI_Win_free waits for the node's ranks. After an agreement all of them are here; at
     * MPI_Finalize one may still wait for a word of another communicator that is homed here. No
     * window of words needs this: if any exist, MPI itself executes the requests. */
    if (comm->node_mpi != MPI_COMM_NULL && nsh__mpi_alive())
        nsh__boot_meet(comm->node_mpi);
    nsh__words_destroy(comm);
    nsh__transfer_destroy(comm);
    nsh__heap_destroy(comm);
    if (nsh__mpi_alive()) {
        if (comm->node_mpi != MPI_COMM_NULL)
            MPI_Comm_free(&comm->node_mpi);
        /* A broken communicator has messages under way that no rank will receive. MPI reuses the
         * context of a freed communicator for the next one, where they would match. So it is not
         * freed. */
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

/* All ranks come to MPI_Finalize, but not at the same time: one may still wait for a word that is
 * homed here. */
static int meet_to_finalize(nsh_comm *comm)
{
    MPI_Request request = MPI_REQUEST_NULL;
    int rc = nsh__words_settle(comm, NSH__NEVER); /* other ranks may wait for a lock that this rank
                                                     was granted late */

    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    rc = MPI_Ibarrier(comm->mpi, &request);
    if (rc != MPI_SUCCESS)
        return nsh__comm_break(comm, nsh__fail_mpi("MPI_Ibarrier", rc));
    rc = nsh__wait_requests(&comm->wait, 1, &request);
    return rc == NSH_SUCCESS ? nsh__comm_drain(comm) : rc;
}

/* A rank frees a broken communicator alone: it waits for no other rank, which may be in another
 * call. Windows need all ranks, and all of them come to MPI_Finalize, which must find no open
 * windows: MPICH would abort. */
static void leave_broken(nsh_comm *comm, const char *by)
{
    nsh__helper_stop(comm);
    nsh__objects_close(comm, false);
    nsh__words_leave(comm);
    comm->gone = by;
    comm->parked = true;
}

/* MPI_Finalize first deletes the attributes of MPI_COMM_SELF, while MPI still works, the last one
 * first. So communicators end in the reverse order of their creation, on every rank. */
static int at_finalize(MPI_Comm self, int keyval, void *value, void *extra)
{
    nsh_comm *comm = value;

    (void)self;
    (void)keyval;
    (void)extra;
    if (comm->freeing || nsh__comm_inherited(comm))
        return MPI_SUCCESS;
    comm->freeing = true;
    /* Inside MPI_Finalize MPI is not thread-safe any more. The barriers below drive it and serve
     * the words of all communicators, so no helper is needed. */
    nsh__helpers_stop();
    if (comm->rank == 0 && comm->gone == NULL && !(comm->borrowed && comm->live == 0)) {
        nsh__log("MPI_Finalize: a communicator of %d ranks is alive with %lld objects:", comm->size,
                 (long long)comm->live);
        nsh__objects_log(comm);
    }
    if (!nsh__comm_broken(comm))
        meet_to_finalize(comm); /* a failure in it breaks the communicator */
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
    bool shares = comm->node_size > 1 || comm->rma != NULL; /* it has windows with other ranks */

    comm->handle = false;
    /* This call comes from a callback of MPI_Finalize. MPI is deleting the attributes of
     * MPI_COMM_SELF, and MPICH aborts if one callback deletes another attribute: at_finalize is
     * called for it anyway. */
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
