/* SPDX-License-Identifier: BSD-3-Clause */
/* comm_of.c -- the communicator that is cached on an MPI communicator.
 *
 * The first nsh_comm_of on an MPI communicator creates an nsh_comm and sets it as an attribute of
 * that communicator. Later calls read the attribute, and MPI_Comm_free deletes it, which frees the
 * nsh_comm. The attribute is never set twice: a broken nsh_comm refers to its successor
 * (replaced_by), so the attribute leads to all of them, the newest last.
 *
 * How a broken one is replaced. Each rank decides by what it knows: a call on a rank that does not
 * know that it is broken returns the broken one without a message. So ranks may decide differently
 * in the n-th call, and no protocol can change that as long as such a call neither sends nor waits.
 * Therefore the calls that match are others: on each rank the first call that finds the newest one
 * broken. These calls meet in nsh_comm_create. A rank that does not know yet gets the broken one;
 * the control message is on its way, its next call on the broken one fails, and its next
 * nsh_comm_of meets the others. After that all ranks have the same newest one again.
 *
 * The delete callback may call MPI: MPICH (4.0) and Open MPI (4.1) release their locks around it,
 * call it within MPI_Comm_free and MPI_Comm_disconnect even while operations are pending on the
 * communicator, and call it for MPI_COMM_WORLD and MPI_COMM_SELF inside MPI_Finalize.
 *
 * Invariant: an attribute that is set leads to a communicator that exists, and its newest one is
 * equal on all ranks, except between the first and the last of the calls that replace it. */
#include "core/comm.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/type.h"
#include "core/boot.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/finalize.h"
#include "core/wait.h"

#include <pthread.h>

static pthread_mutex_t keyval_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int keyval = MPI_KEYVAL_INVALID; /* written once, under the lock; release, acquire */

/* ---- what MPI_Comm_free does ---- */

/* [collective] The program's communicator is freed, so no handle of this one is kept. It cannot be
 * freed by a rank that is inside a kernel of a map or a sequential section, or while the others are
 * in another call. In these cases it breaks, no rank waits for another, and MPI_Finalize frees
 * it. */
static void give_up_comm(nsh_comm *comm)
{
    int rc;

    comm->borrowed = false;
    rc = nsh_comm_free_all(&comm);
    if (comm == NULL)
        return;
    nsh__comm_break(comm, rc);
    nsh_comm_abandon(&comm);
}

/* [collective] Delete callback of the attribute. If it returned an error MPI would not free the
 * program's communicator. Only MPI_Finalize deletes attributes of the predefined communicators, and
 * at_finalize in comm_end.c frees what is cached on them: their handles stay valid for
 * nsh_comm_free. */
static int at_comm_free(MPI_Comm mpi, int key, void *value, void *extra)
{
    nsh_comm *next;

    (void)key;
    (void)extra;
    if (mpi == MPI_COMM_WORLD || mpi == MPI_COMM_SELF)
        return MPI_SUCCESS;
    for (nsh_comm *comm = value; comm != NULL && comm->borrowed; comm = next) {
        next = comm->replaced_by;
        give_up_comm(comm);
    }
    return MPI_SUCCESS;
}

/* ---- the attribute ---- */

/* [local] The key under which this process caches communicators: made by the first call. */
static int make_keyval(int *out)
{
    int made, rc = MPI_SUCCESS;

    pthread_mutex_lock(&keyval_lock);
    made = atomic_load_explicit(&keyval, memory_order_relaxed);
    if (made == MPI_KEYVAL_INVALID)
        rc = MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, at_comm_free, &made, NULL);
    if (rc == MPI_SUCCESS)
        atomic_store_explicit(&keyval, made, memory_order_release);
    pthread_mutex_unlock(&keyval_lock);
    *out = made;
    return rc;
}

/* [local] The attribute of mpi; NULL: none, or mpi cannot be asked. */
static nsh_comm *get_cached(MPI_Comm mpi)
{
    int key = atomic_load_explicit(&keyval, memory_order_acquire), found = 0;
    nsh_comm *comm = NULL;

    if (key == MPI_KEYVAL_INVALID || mpi == MPI_COMM_NULL || nsh__mpi_inherited ||
        !nsh__mpi_alive())
        return NULL;
    MPI_Comm_get_attr(mpi, key, &comm, &found);
    return found ? comm : NULL;
}

/* [local] Cache comm on mpi. A failure is returned, whatever error handler mpi has. */
static int set_cached(MPI_Comm mpi, nsh_comm *comm)
{
    MPI_Errhandler handler;
    int key, rc = make_keyval(&key);

    if (rc == MPI_SUCCESS) {
        MPI_Comm_get_errhandler(mpi, &handler);
        MPI_Comm_set_errhandler(mpi, MPI_ERRORS_RETURN);
        rc = MPI_Comm_set_attr(mpi, key, comm);
        MPI_Comm_set_errhandler(mpi, handler);
        MPI_Errhandler_free(&handler);
    }
    if (rc != MPI_SUCCESS || nsh__fault(comm_of_attr))
        return nsh__fail_mpi("nsh_comm_of: attribute on the communicator", rc);
    return NSH_SUCCESS;
}

/* [local] Undo set_cached, wherever it failed. The callback finds a communicator that is not
 * borrowed yet, and does not touch it. */
static void unset_cached(MPI_Comm mpi)
{
    if (get_cached(mpi) != NULL)
        MPI_Comm_delete_attr(mpi, atomic_load_explicit(&keyval, memory_order_acquire));
}

/* ---- nsh_comm_of ---- */

/* [collective] Create the first one of mpi. All ranks cache it or none does. */
static int create_first(MPI_Comm mpi, nsh_comm **out)
{
    nsh_comm *made = NULL;
    int rc;

    /* MPICH does not return from MPI_Comm_set_attr while it deletes the attributes of that
     * communicator. */
    if (atomic_load(&nsh__finalizing))
        return nsh__fail(NSH_ERR_STATE, "nsh_comm_of: MPI_Finalize has begun");
    rc = nsh_comm_create(mpi, NULL, out != NULL ? &made : NULL); /* NULL on a rank: ARG */
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__boot_agree(made, set_cached(mpi, made));
    if (rc != NSH_SUCCESS) {
        unset_cached(mpi);
        nsh_comm_free(&made);
        return rc;
    }
    made->borrowed = true;
    *out = made;
    return NSH_SUCCESS;
}

/* [collective, by the ranks that find it broken: finally all] Create another one. Live objects on
 * the broken one stay readable until mpi is freed. */
static int replace_broken(MPI_Comm mpi, nsh_comm *broken, nsh_comm **out)
{
    nsh_comm *made = NULL;
    int rc = nsh__comm_callable(broken, "nsh_comm_of"); /* a running map would lose its
                                                           communicator */

    if (rc == NSH_SUCCESS)
        rc = nsh_comm_create(mpi, NULL, out != NULL ? &made : NULL);
    if (rc != NSH_SUCCESS)
        return rc;
    made->borrowed = true;
    broken->replaced_by = made;
    *out = made;
    return NSH_SUCCESS;
}

/* [local] Does this rank know that comm is broken, or has a control message come that says so? A
 * call that succeeds does not change the detail. */
static bool find_broken(nsh_comm *comm)
{
    nsh__detail detail;

    nsh__detail_keep(&detail);
    if (comm->node_count > 1)
        (void)nsh__wait_poll(&comm->wait);
    nsh__detail_restore(&detail);
    return nsh__comm_broken(comm);
}

int nsh_comm_of(MPI_Comm comm, nsh_comm **out)
{
    nsh_comm *cached = get_cached(comm);
    int rc;

    if (cached == NULL) /* also if mpi cannot be asked: nsh_comm_create reports that */
        return create_first(comm, out);
    while (cached->replaced_by != NULL)
        cached = cached->replaced_by;
    rc = nsh__comm_present(cached, "nsh_comm_of");
    if (rc != NSH_SUCCESS)
        return rc;
    if (find_broken(cached))
        return replace_broken(comm, cached, out);
    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_of: out is NULL (rank %d)", cached->rank);
    *out = cached;
    return NSH_SUCCESS;
}
