/* SPDX-License-Identifier: BSD-3-Clause */
/* comm.c -- a communicator: creation, operations, getters, free.
 *
 * Invariant: a rank that fails during create takes part in the same collective steps as the others
 * and fails with them. After create, all agreements go through the gates. */
#define _GNU_SOURCE
#include "core/comm.h"

#include <nodeshare.h>

#include "base/env.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/type.h"
#include "core/agree.h"
#include "core/boot.h"
#include "core/comm_break.h"
#include "core/comm_end.h"
#include "core/enter.h"
#include "core/heap.h"
#include "core/helper.h"
#include "core/long_wait.h"
#include "core/mismatch.h"
#include "core/object.h"
#include "core/options.h"
#include "core/replicate.h"
#include "core/rma.h"
#include "core/topology.h"

#include <stdlib.h>
#include <string.h>

/* How long a rank spins before it sleeps: with a core for each rank about two context switches,
 * otherwise about the turn of some other ranks, which use the core meanwhile. A wake-up costs 5 us,
 * and 50 us if it has to start an idle core of a virtual machine. */
enum { SPIN_NS = 20 * 1000, CROWDED_SPIN_NS = 100 * 1000 };

/* [collective] Check that the settings that must be equal are equal. The version is one of them:
 * ranks send each other messages that another version may not understand. */
static int agree_settings(nsh_comm *comm, const nsh__options *s, int rc)
{
    const uint64_t settings[] = {
        NSH_VERSION,         (uint64_t)s->ranks_per_node,   (uint64_t)s->progress,
        s->words_by_message, s->node_comm != MPI_COMM_NULL, s->check};
    int64_t signature = (int64_t)(nsh__mix_bytes(1, settings, sizeof settings) >> 1);

    rc = nsh__boot_agree(comm, rc);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__boot_least(comm, signature) != -nsh__boot_least(comm, -signature))
        rc = nsh__fail(NSH_ERR_MISMATCH,
                       "nsh_comm_create: ranks differ in a setting (rank %d: nodeshare %s, "
                       "ranks_per_node %d, progress %d, NSH_RMA=%s, NSH_CHECK=%d, %s node_comm)",
                       comm->rank, NSH_VERSION_STRING, s->ranks_per_node, (int)s->progress,
                       s->words_by_message ? "message" : "window", s->check,
                       s->node_comm != MPI_COMM_NULL ? "a" : "no");
    return nsh__boot_agree(comm, rc);
}

/* ---- create ---- */

/* Is the MPI that runs the one with which the library was built: same family, same MPI version? */
static int check_library(void)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;

    MPI_Get_library_version(text, &length);
#if defined(OPEN_MPI)
    if (strstr(text, "Open MPI") == NULL)
        return nsh__fail(NSH_ERR_MPI, "built with Open MPI, running with %.120s", text);
#elif defined(MPICH_VERSION)
    if (strstr(text, "Open MPI") != NULL)
        return nsh__fail(NSH_ERR_MPI, "built with MPICH %s, running with %.120s", MPICH_VERSION,
                         text);
#endif
    return NSH_SUCCESS;
}

/* [local] Checks before the first collective step. A failure is either one of all ranks or does not
 * affect other ranks. */
static int check_caller(MPI_Comm comm)
{
    int inter = 0;

    if (!nsh__mpi_alive())
        return nsh__fail(NSH_ERR_STATE, "nsh_comm_create: MPI is not initialised, or finalised");
    if (nsh__mpi_inherited)
        return nsh__fail(NSH_ERR_STATE, "nsh_comm_create: MPI is that of the parent of this child");
    if (comm == MPI_COMM_NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: comm is MPI_COMM_NULL");
    MPI_Comm_test_inter(comm, &inter);
    if (inter)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: comm is an intercommunicator");
    return check_library();
}

/* [collective] Duplicate the communicator, and return failures whatever the caller's error handler
 * does. From the barrier on all ranks are in nsh_comm_create, so no later step of it needs another
 * barrier. */
static int duplicate(MPI_Comm comm, MPI_Comm *out, int *met)
{
    MPI_Errhandler handler;
    int rc;

    MPI_Comm_get_errhandler(comm, &handler);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    *met = nsh__boot_meet(comm);
    rc = MPI_Comm_dup(comm, out);
    MPI_Comm_set_errhandler(comm, handler);
    MPI_Errhandler_free(&handler);
    if (rc != MPI_SUCCESS) {
        *out = MPI_COMM_NULL;
        return nsh__fail_mpi("nsh_comm_create: MPI_Comm_dup", rc);
    }
    return MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN) == MPI_SUCCESS
               ? NSH_SUCCESS
               : nsh__fail(NSH_ERR_MPI, "nsh_comm_create: MPI_Comm_set_errhandler");
}

static nsh_comm *comm_alloc(void)
{
    nsh_comm *comm =
        nsh__fault(comm_alloc) ? NULL : aligned_alloc(64, (sizeof *comm + 63) / 64 * 64);

    if (comm == NULL)
        return NULL;
    if (!nsh__fork_watch()) {
        free(comm);
        return NULL;
    }
    memset(comm, 0, sizeof *comm);
    comm->handle = true;
    comm->forks = atomic_load_explicit(&nsh__forks, memory_order_relaxed);
    comm->mpi = comm->node_mpi = MPI_COMM_NULL;
    comm->keyval = MPI_KEYVAL_INVALID;
    comm->awaited = comm->partner = -1;
    comm->asking = MPI_REQUEST_NULL;
    comm->guard = !nsh__env_is("NSH_GUARD", "0");
    return comm;
}

static void wait_init(nsh_comm *comm, nsh_wait_mode how)
{
    bool crowded = comm->host_ranks > comm->cores;

    comm->wait = (nsh__wait){.comm = comm->mpi,
                             .control_tag = NSH__TAG_CONTROL,
                             .watch_tag = -1,
                             .yield = crowded,
                             .broken = &comm->area->gate.broken,
                             .control = nsh__receive_control,
                             .stray = nsh__word_stray,
                             .suspect = nsh__suspect_node,
                             .failed = nsh__break_waiting,
                             .report = nsh__report_wait,
                             .report_after = NSH__REPORT_AFTER_NS,
                             .report_every = NSH__REPORT_EVERY_NS,
                             .explain = nsh__explain_break,
                             .owner = comm};
    if (how == NSH_WAIT_SPIN)
        comm->wait.spin_ns = INT64_MAX;
    else if (how == NSH_WAIT_AUTO)
        comm->wait.spin_ns = crowded ? CROWDED_SPIN_NS : SPIN_NS;
}

/* [collective] Create the shared part: heap, gate, memory of transfers. The code is agreed on. */
static int comm_attach(nsh_comm *comm, const nsh__options *s)
{
    int64_t limit = nsh__boot_least(comm, nsh__heap_limit(comm, s->heap_bytes));
    int64_t area = (int64_t)sizeof(nsh__node_area);
    nsh__node_area *shared;
    int most = 1, rc;

    for (int i = 0; i < comm->node_count; i++)
        if (comm->size_of[i] > most)
            most = comm->size_of[i];
    area += most * (int64_t)sizeof(nsh__slot); /* equal on every node */
    rc = nsh__heap_create(comm, limit, area + nsh__transfer_bytes(comm));
    if (rc != NSH_SUCCESS)
        return rc;
    shared = (nsh__node_area *)nsh__heap_head(comm);
    rc = nsh__heap_touch(comm, (char *)shared, area);
    rc = nsh__boot_agree(comm, rc);
    if (rc != NSH_SUCCESS)
        return rc;
    comm->area =
        shared; /* no function reads it, not even nsh__comm_destroy, before all ranks have touched
                   it */
    comm->area->slots[comm->node_rank].rank = comm->rank;
    wait_init(comm, s->wait);
    nsh__gate_init(&comm->gate, &comm->area->gate, &comm->wait, comm->rank, comm->node_rank,
                   comm->node_size, comm->node_count == 1);
    comm->gate.shown = &comm->area->slots[comm->node_rank].phase;
    comm->gate.word_mismatch = nsh__comm_word_mismatch;
    comm->gate.owner = comm;
    return nsh__boot_agree(comm, nsh__transfer_create(comm, nsh__heap_head(comm) + area));
}

static int start_helper(nsh_comm *comm)
{
    int level = MPI_THREAD_SINGLE;

    MPI_Query_thread(&level);
    comm->threads = level == MPI_THREAD_MULTIPLE;
    if (comm->progress != NSH_PROGRESS_THREAD)
        return NSH_SUCCESS; /* under AUTO the first object that needs a helper starts it
                               (words.c) */
    if (!comm->threads)
        return nsh__fail(NSH_ERR_UNSUPPORTED,
                         "nsh_comm_create: a helper thread needs "
                         "MPI_THREAD_MULTIPLE (rank %d)",
                         comm->rank);
    return nsh__comm_leads(comm) ? nsh__helper_start(comm) : NSH_SUCCESS;
}

int nsh_comm_create(MPI_Comm comm, const nsh_comm_options *options, nsh_comm **out)
{
    nsh_comm *made = NULL;
    MPI_Comm mine = MPI_COMM_NULL;
    nsh__options s;
    int rc, met, dup_rc, ok = 0, all_ok = 0;

    rc = check_caller(comm);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = duplicate(comm, &mine, &met);
    if (rc != NSH_SUCCESS)
        return rc;
    dup_rc = nsh__fault(comm_dup) ? nsh__fail(NSH_ERR_MPI, "MPI_Comm_dup: injected failure") : met;
    /* An agreement needs an nsh_comm; MPI itself must tell whether all ranks have one. */
    made = comm_alloc();
    ok = made != NULL;
    rc = MPI_Allreduce(&ok, &all_ok, 1, MPI_INT, MPI_MIN, mine);
    if (rc != MPI_SUCCESS || !all_ok) {
        MPI_Comm_free(&mine);
        free(made);
        return nsh__fail(NSH_ERR_NOMEM, "nsh_comm_create: no memory on some rank");
    }
    made->mpi = mine;
    MPI_Comm_rank(mine, &made->rank);
    MPI_Comm_size(mine, &made->size);
    rc = nsh__options_read(options, made->rank, &s);
    if (out == NULL)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_comm_create: out is NULL (rank %d)", made->rank);
    rc = agree_settings(made, &s, dup_rc != NSH_SUCCESS ? dup_rc : rc);
    if (rc != NSH_SUCCESS)
        goto fail;
    made->progress = s.progress;
    made->words_by_message = s.words_by_message;
    made->check = s.check;
    rc = nsh__topology_find(made, s.node_comm, s.ranks_per_node);
    if (rc == NSH_SUCCESS)
        rc = comm_attach(made, &s);
    if (rc == NSH_SUCCESS)
        rc = nsh__boot_agree(made, nsh__comm_hook_finalize(made));
    if (rc == NSH_SUCCESS)
        rc = nsh__boot_agree(made, start_helper(made));
    if (rc != NSH_SUCCESS)
        goto fail;
    made->helped = nsh__boot_least(made, made->threads && made->progress != NSH_PROGRESS_NONE) != 0;
    if (made->rank == 0 && made->host_count < made->node_count)
        nsh__log(
            "%d nodes on %d hosts: nodes were split, or this MPI reports shared memory wrongly",
            made->node_count, made->host_count);
    *out = made;
    return NSH_SUCCESS;
fail:
    nsh__comm_destroy(made);
    return rc;
}

int nsh_comm_create_serial(nsh_comm **out)
{
    nsh_comm *made;
    nsh__options s;
    int rc;

    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create_serial: out is NULL");
    made = comm_alloc();
    if (made == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_comm_create_serial: no memory");
    rc = nsh__options_read(NULL, 0, &s);
    made->check = rc == NSH_SUCCESS && s.check;
    if (rc == NSH_SUCCESS)
        rc = nsh__topology_alone(made);
    if (rc == NSH_SUCCESS)
        rc = comm_attach(made, &s);
    if (rc != NSH_SUCCESS) {
        nsh__comm_destroy(made);
        return rc;
    }
    *out = made;
    return NSH_SUCCESS;
}

/* ---- operations ---- */

int nsh_comm_barrier(nsh_comm *comm)
{
    uint64_t signature = NSH__CALL_BARRIER;
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_barrier: comm is NULL");
    if (comm->node_count > 1 || comm->check)
        return nsh__agree(comm, NSH__CALL_BARRIER, NSH_SUCCESS, signature);
    rc = nsh__comm_enter(comm, NSH__CALL_BARRIER, signature);
    return rc == NSH_SUCCESS ? nsh__gate_pass(&comm->gate, comm->signature) : rc;
}

int nsh_comm_node_barrier(nsh_comm *comm)
{
    uint64_t signature;
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_node_barrier: comm is NULL");
    rc = nsh__comm_whole(comm, "nsh_comm_node_barrier");
    if (rc == NSH_SUCCESS)
        rc = nsh__comm_callable(comm, "nsh_comm_node_barrier");
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__words_settle(comm, NSH__NEVER); /* other ranks may wait for a lock that this rank was
                                                 granted late */
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    signature = nsh__mix(2, NSH__CALL_NODE_BARRIER);
    nsh__comm_show(comm, NSH__CALL_NODE_BARRIER, NSH__NO_ROOT, 0, signature);
    rc = nsh__gate_pass(&comm->gate, signature);
    if (rc != NSH_SUCCESS && !comm->gate.alone)
        return nsh__comm_break(comm, rc);
    return rc;
}

int nsh_comm_progress(nsh_comm *comm)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_progress: comm is NULL");
    rc = nsh__comm_present(comm, "nsh_comm_progress");
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__wait_poll(&comm->wait);
    if (rc == NSH_SUCCESS) {
        rc = nsh__words_settle(comm, nsh__wait_clock());
        if (rc != NSH_SUCCESS && rc != NSH_ERR_TIMEOUT)
            nsh__comm_break(comm, rc);
    }
    return rc == NSH_ERR_MPI ? rc : NSH_SUCCESS; /* the next call reports a broken communicator */
}

int nsh_comm_print(const nsh_comm *comm, FILE *f)
{
    if (comm == NULL || f == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_print: %s is NULL", comm == NULL ? "comm" : "f");
    fprintf(f, "%d rank%s on %d node%s (", comm->size, comm->size == 1 ? "" : "s", comm->node_count,
            comm->node_count == 1 ? "" : "s");
    for (int i = 0; i < comm->node_count; i++)
        fprintf(f, i == 0 ? "%d" : " %d", comm->size_of[i]);
    fputs(comm->node_count == 1 ? "), leader" : "), leaders", f);
    for (int i = 0; i < comm->node_count; i++)
        fprintf(f, " %d", comm->leader_of[i]);
    fputc('\n', f);
    if (fflush(f) != 0 || ferror(f))
        return nsh__fail(NSH_ERR_IO, "nsh_comm_print: cannot write");
    return NSH_SUCCESS;
}

static int print_comm_to(const void *comm, FILE *f)
{
    return nsh_comm_print(comm, f);
}

int nsh_comm_snprintf(char *text, size_t size, const nsh_comm *comm)
{
    return nsh__text_of("nsh_comm_snprintf", print_comm_to, comm, text, size);
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
    nsh__comm_break_with(comm, &reason);
    return NSH_SUCCESS;
}

/* ---- getters ---- */

int nsh_comm_rank(const nsh_comm *comm)
{
    return comm != NULL ? comm->rank : -1;
}

int nsh_comm_size(const nsh_comm *comm)
{
    return comm != NULL ? comm->size : -1;
}

int nsh_comm_node_rank(const nsh_comm *comm)
{
    return comm != NULL ? comm->node_rank : -1;
}

int nsh_comm_node_size(const nsh_comm *comm)
{
    return comm != NULL ? comm->node_size : -1;
}

int nsh_comm_node_index(const nsh_comm *comm)
{
    return comm != NULL ? comm->node_index : -1;
}

int nsh_comm_node_count(const nsh_comm *comm)
{
    return comm != NULL ? comm->node_count : -1;
}

int nsh_comm_host_count(const nsh_comm *comm)
{
    return comm != NULL ? comm->host_count : -1;
}

int nsh_comm_node_of(const nsh_comm *comm, int rank)
{
    return comm != NULL && rank >= 0 && rank < comm->size ? comm->node_of[rank] : -1;
}

MPI_Comm nsh_comm_mpi(const nsh_comm *comm)
{
    return comm != NULL ? comm->mpi : MPI_COMM_NULL;
}

MPI_Comm nsh_comm_node_mpi(const nsh_comm *comm)
{
    return comm != NULL ? comm->node_mpi : MPI_COMM_NULL;
}

/* ---- free ---- */

/* Set a handle to NULL if this process has nothing to free. True: done. */
static bool forget(nsh_comm **comm)
{
    nsh_comm *c = *comm;
    bool inherited = nsh__comm_inherited(c);

    if (!inherited && !c->borrowed && c->gone == NULL)
        return false;
    *comm = NULL;
    /* Other callers may have borrowed it too; the memory of an inherited one is a copy of the
     * parent's, and ends with this process. */
    if (inherited || c->borrowed)
        return true;
    c->handle = false;
    nsh__comm_unused(c);
    return true;
}

/* [collective] The last agreement, with this rank's code. */
static int agree_to_end(nsh_comm *comm, nsh__call call, int code)
{
    int rc = code;

    if (!nsh__comm_broken(comm)) /* ranks of a broken communicator cannot meet */
        rc = nsh__agree(comm, call, code, 0);
    if ((rc == NSH_SUCCESS || rc == NSH_ERR_IO) && !nsh__comm_broken(comm) && nsh__mpi_alive()) {
        int drained = nsh__comm_drain(comm);

        rc = drained != NSH_SUCCESS ? drained : rc;
    }
    return rc;
}

int nsh_comm_free(nsh_comm **comm)
{
    nsh_comm *c;
    int rc = NSH_SUCCESS;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_free: comm is NULL");
    c = *comm;
    if (c == NULL || forget(comm))
        return NSH_SUCCESS;
    rc = nsh__comm_callable(c, "nsh_comm_free"); /* also if it is broken: the map still uses it */
    if (rc != NSH_SUCCESS)
        return rc;
    if (c->live != 0)
        rc = nsh__objects_alive(c, "nsh_comm_free");
    rc = agree_to_end(c, NSH__CALL_COMM_FREE, rc);
    if (rc != NSH_SUCCESS && !(nsh__comm_broken(c) && c->live == 0))
        return rc;
    nsh__comm_end(c, "nsh_comm_free");
    *comm = NULL;
    return NSH_SUCCESS;
}

int nsh_comm_free_all(nsh_comm **comm)
{
    nsh_comm *c;
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_free_all: comm is NULL");
    c = *comm;
    if (c == NULL || forget(comm))
        return NSH_SUCCESS;
    rc = nsh__comm_callable(c, "nsh_comm_free_all"); /* as in nsh_comm_free */
    if (rc != NSH_SUCCESS)
        return rc;
    rc = agree_to_end(c, NSH__CALL_COMM_FREE_ALL, nsh__objects_flush(c));
    if (rc != NSH_SUCCESS && rc != NSH_ERR_IO && !nsh__comm_broken(c))
        return rc;
    nsh__comm_end(c, "nsh_comm_free_all");
    *comm = NULL;
    return rc == NSH_ERR_IO ? rc : NSH_SUCCESS;
}

int nsh_comm_abandon(nsh_comm **comm)
{
    nsh_comm *c;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_abandon: comm is NULL");
    c = *comm;
    if (c == NULL || forget(comm))
        return NSH_SUCCESS;
    *comm = NULL;
    c->handle = false;
    nsh__comm_unused(c);
    return NSH_SUCCESS;
}
