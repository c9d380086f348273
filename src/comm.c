/* SPDX-License-Identifier: BSD-3-Clause */
/* comm.c -- a communicator: creation, what holds its ranks together, getters, free.
 *
 * Invariant: a rank that fails during create goes through the same collective steps as the others
 * and fails with them; after create, all agreement goes through the gates. */
#define _GNU_SOURCE
#include "comm.h"

#include "agree.h"
#include "fault.h"
#include "hash.h"
#include "heap.h"
#include "helper.h"
#include "machine.h"
#include "topology.h"
#include "replicate.h"
#include "type.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { SPIN_NS = 20 * 1000 }; /* about two context switches */

/* ---- options ---- */

typedef struct settings {
    MPI_Comm node_comm;
    int ranks_per_node;
    nsh_wait wait;
    nsh_progress progress;
    int64_t heap_bytes;
} settings;

static int env_choice(const char *name, const char *const words[3], int *choice)
{
    const char *value = getenv(name);

    if (value == NULL || *value == '\0')
        return NSH_SUCCESS;
    for (int i = 0; i < 3; i++)
        if (strcmp(value, words[i]) == 0) {
            *choice = i;
            return NSH_SUCCESS;
        }
    return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: %s=%s is none of %s, %s, %s", name, value,
                     words[0], words[1], words[2]);
}

static int env_ranks_per_node(int *out)
{
    const char *value = getenv("NSH_RANKS_PER_NODE");
    char *end;
    long n;

    if (value == NULL || *value == '\0')
        return NSH_SUCCESS;
    n = strtol(value, &end, 10);
    if (*end != '\0' || n < 1 || n > 1 << 30)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: NSH_RANKS_PER_NODE=%s is no number of ranks",
                         value);
    *out = (int)n;
    return NSH_SUCCESS;
}

/* Options given in code win over the environment. */
static int read_settings(const nsh_comm_options *options, settings *s)
{
    static const char *const waits[] = {"auto", "spin", "block"};
    static const char *const drivers[] = {"auto", "none", "thread"};
    static const nsh_comm_options defaults = NSH_COMM_OPTIONS_INIT;
    const nsh_comm_options *o = options != NULL ? options : &defaults;
    int wait = 0, progress = 0, rc;

    *s = (settings){o->node_comm, o->ranks_per_node, o->wait, o->progress, o->heap_bytes};
    if (o->ranks_per_node < 0 || o->heap_bytes < 0 || (unsigned)o->wait > NSH_WAIT_BLOCK ||
        (unsigned)o->progress > NSH_PROGRESS_THREAD)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_comm_create: option out of range (ranks_per_node %d, wait %d, "
                         "progress %d, heap_bytes %lld)",
                         o->ranks_per_node, (int)o->wait, (int)o->progress,
                         (long long)o->heap_bytes);
    rc = env_choice("NSH_WAIT", waits, &wait);
    if (rc == NSH_SUCCESS)
        rc = env_choice("NSH_PROGRESS", drivers, &progress);
    if (rc == NSH_SUCCESS && s->ranks_per_node == 0 && s->node_comm == MPI_COMM_NULL)
        rc = env_ranks_per_node(&s->ranks_per_node);
    if (s->wait == NSH_WAIT_AUTO)
        s->wait = (nsh_wait)wait;
    if (s->progress == NSH_PROGRESS_AUTO)
        s->progress = (nsh_progress)progress;
    return rc;
}

static bool env_is(const char *name, const char *value)
{
    const char *is = getenv(name);

    return is != NULL && strcmp(is, value) == 0;
}

/* ---- before the gates exist ---- */

int nsh__boot_agree(nsh_comm *comm, int code)
{
    struct {
        int code, rank;
    } mine = {code, comm->rank}, worst = {code, comm->rank};
    char text[NSH__TEXT] = "";

    if (comm->mpi == MPI_COMM_NULL)
        return code;
    if (MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, comm->mpi) != MPI_SUCCESS)
        return nsh__fail(NSH_ERR_MPI, "nsh_comm_create: MPI_Allreduce on the duplicate failed");
    if (worst.code == NSH_SUCCESS)
        return NSH_SUCCESS;
    if (worst.rank == comm->rank)
        memcpy(text, nsh_error_detail(), strnlen(nsh_error_detail(), sizeof text - 1));
    MPI_Bcast(text, sizeof text, MPI_CHAR, worst.rank, comm->mpi);
    if (worst.rank != comm->rank)
        nsh__fail_from(worst.code, worst.rank, text);
    return worst.code;
}

int64_t nsh__boot_least(nsh_comm *comm, int64_t value)
{
    int64_t least = value;

    if (comm->mpi != MPI_COMM_NULL)
        MPI_Allreduce(&value, &least, 1, MPI_INT64_T, MPI_MIN, comm->mpi);
    return least;
}

/* Settings that must be equal are. */
static int agree_settings(nsh_comm *comm, const settings *s, int rc)
{
    int64_t mark = (int64_t)nsh__mix(nsh__mix(nsh__mix(1, (uint64_t)s->ranks_per_node),
                                              (uint64_t)s->progress),
                                     s->node_comm != MPI_COMM_NULL) >>
                   1;

    rc = nsh__boot_agree(comm, rc);
    if (rc == NSH_SUCCESS && nsh__boot_least(comm, mark) != -nsh__boot_least(comm, -mark))
        rc = nsh__fail(NSH_ERR_MISMATCH,
                       "nsh_comm_create: ranks differ in ranks_per_node, progress, or in having a "
                       "node_comm (rank %d: %d, %d, %d)",
                       comm->rank, s->ranks_per_node, (int)s->progress,
                       s->node_comm != MPI_COMM_NULL);
    return nsh__boot_agree(comm, rc);
}

/* ---- breaking ---- */

const char *nsh__call_name(nsh__call call)
{
    static const char *const names[NSH__CALLS] = {
        [NSH__CALL_NONE] = "nodeshare",
        [NSH__CALL_BARRIER] = "nsh_comm_barrier",
        [NSH__CALL_NODE_BARRIER] = "nsh_comm_node_barrier",
        [NSH__CALL_COMM_FREE] = "nsh_comm_free",
        [NSH__CALL_HEAP] = "nodeshare heap",
        [NSH__CALL_CREATE] = "nsh_array_create",
        [NSH__CALL_LIKE] = "nsh_array_like",
        [NSH__CALL_SET] = "nsh_array_set",
        [NSH__CALL_SET_STRIDED] = "nsh_array_set_strided",
        [NSH__CALL_SET_MANY] = "nsh_array_set_many",
        [NSH__CALL_UPDATE_BEGIN] = "nsh_array_update_begin",
        [NSH__CALL_UPDATE_END] = "nsh_array_update_end",
        [NSH__CALL_ALLGATHER] = "nsh_array_allgather",
        [NSH__CALL_ALLREDUCE] = "nsh_array_allreduce",
        [NSH__CALL_FILL] = "nsh_array_fill",
        [NSH__CALL_CHECKSUM] = "nsh_array_checksum",
        [NSH__CALL_GET] = "nsh_array_get",
    };

    return names[call];
}

/* A small message that nobody waits to have sent. */
static void send_notice(nsh_comm *comm, const nsh__notice *notice, int to)
{
    MPI_Request request;

    if (MPI_Isend(notice, (int)sizeof *notice, MPI_BYTE, to, NSH__TAG_NOTICE, comm->mpi,
                  &request) == MPI_SUCCESS)
        MPI_Request_free(&request);
}

/* The first of the node to know tells the node. True for that rank. */
static bool mark_broken(nsh_comm *comm, int code)
{
    nsh__gate_area *gate = &comm->area->gate;
    int whole = NSH_SUCCESS;

    if (!atomic_compare_exchange_strong(&gate->broken, &whole, code))
        return false;
    nsh__wake(&gate->arrived, &gate->arrived_sleepers);
    nsh__wake(&gate->opened, &gate->opened_sleepers);
    return true;
}

int nsh__comm_break(nsh_comm *comm, int code)
{
    if (!mark_broken(comm, code))
        return code;
    nsh__log("rank %d: communicator broken: %s", comm->rank, nsh_error_detail());
    comm->notices[0] = (nsh__notice){.break_code = code};
    for (int r = 0; r < comm->size; r++)
        if (comm->node_of[r] != comm->node_index)
            send_notice(comm, &comm->notices[0], r);
    return code;
}

/* Another node waits in some call for a message of this one. If this one was in a different call
 * then, the message will never come; nor will it leave a vote that the other node has passed. */
static void compare_claim(nsh_comm *comm, const nsh__notice *claim)
{
    bool passed = comm->voting && claim->sequence > comm->sequence;
    bool known = claim->sequence <= comm->sequence &&
                 comm->sequence - claim->sequence < NSH__ACK_EVERY;

    if (passed || (known && claim->mark != comm->marks[claim->sequence % NSH__ACK_EVERY]))
        nsh__comm_break(comm, nsh__fail(NSH_ERR_MISMATCH,
                                        "nodes are in different collective calls or disagree on "
                                        "root or arguments (rank %d, call %llu)",
                                        comm->rank, (unsigned long long)comm->sequence));
    else if (claim->sequence > comm->sequence)
        comm->claim = *claim;
}

/* wait.c has seen a message with NSH__TAG_NOTICE. */
static void receive_notice(void *owner, const MPI_Status *status)
{
    nsh_comm *comm = owner;
    nsh__notice notice = {0, 0, 0};

    if (MPI_Recv(&notice, (int)sizeof notice, MPI_BYTE, status->MPI_SOURCE, NSH__TAG_NOTICE,
                 comm->mpi, MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return;
    if (notice.break_code != 0) {
        nsh__fail(notice.break_code, "communicator broken by rank %d", status->MPI_SOURCE);
        mark_broken(comm, notice.break_code);
    } else {
        compare_claim(comm, &notice);
    }
}

/* wait.c has waited for long: ask the node that should have sent something whether it is in the
 * same call. Once a wait, so that slow programs are not flooded. */
static void suspect_node(void *owner)
{
    nsh_comm *comm = owner;

    if (comm->awaited < 0 || comm->awaited == comm->node_index)
        return;
    comm->notices[1] = (nsh__notice){0, comm->sequence, comm->mark};
    send_notice(comm, &comm->notices[1], comm->leader_of[comm->awaited]);
}

/* A message of a call whose root was on this node: another node had a root of its own. */
static bool stray_message(nsh_comm *comm)
{
    int there = 0;

    if (comm->rooted == 0)
        return false;
    MPI_Iprobe(MPI_ANY_SOURCE, (int)(comm->rooted % NSH__SEQUENCE_TAGS), comm->mpi, &there,
               MPI_STATUS_IGNORE);
    comm->rooted = 0;
    return there;
}

int nsh__comm_enter(nsh_comm *comm, nsh__call call, uint64_t mark)
{
    int code = atomic_load_explicit(&comm->area->gate.broken, memory_order_acquire);

    if (code != NSH_SUCCESS)
        return nsh__fail(NSH_ERR_STATE, "%s: communicator is broken since an earlier %s (rank %d)",
                         nsh__call_name(call), nsh_strerror(code), comm->rank);
    comm->mark = nsh__mix(mark, (uint64_t)call);
    comm->sequence++;
    comm->marks[comm->sequence % NSH__ACK_EVERY] = comm->mark;
    if (comm->node_count == 1)
        return NSH_SUCCESS;
    if (comm->claim.sequence == comm->sequence)
        compare_claim(comm, &comm->claim); /* the poll below sees what comes of it */
    if (nsh__comm_leads(comm) && stray_message(comm))
        return nsh__comm_break(comm, nsh__fail(NSH_ERR_MISMATCH,
                                               "%s: nodes named different roots in an earlier call "
                                               "(rank %d)",
                                               nsh__call_name(call), comm->rank));
    return nsh__wait_poll(&comm->wait);
}

void nsh__comm_drop(MPI_Request *request, bool receive)
{
    if (*request == MPI_REQUEST_NULL)
        return;
    if (receive)
        MPI_Cancel(request);
    MPI_Request_free(request);
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    const nsh__named *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int nsh__comm_name(nsh_comm *comm, nsh__named *entry)
{
    void *node = tsearch(entry, &comm->names, compare_names);

    if (node == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for name \"%s\"", entry->name);
    if (*(nsh__named **)node != entry)
        return nsh__fail(NSH_ERR_EXISTS, "an object named \"%s\" exists", entry->name);
    return NSH_SUCCESS;
}

void nsh__comm_unname(nsh_comm *comm, const nsh__named *entry)
{
    tdelete(entry, &comm->names, compare_names);
}

void *nsh__comm_named(nsh_comm *comm, const char *name)
{
    const nsh__named key = {name, NULL};
    void *node = tfind(&key, &comm->names, compare_names);

    return node != NULL ? (*(nsh__named **)node)->object : NULL;
}

/* ---- create ---- */

/* The MPI that runs is the one we were built with: same family, same MPI version. */
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

/* What can be said before anything is collective; these fail on all ranks or are nobody's business
 * but this rank's. */
static int check_caller(MPI_Comm comm)
{
    int inter = 0;

    if (!nsh__mpi_alive())
        return nsh__fail(NSH_ERR_STATE, "nsh_comm_create: MPI is not initialised, or finalised");
    if (comm == MPI_COMM_NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: comm is MPI_COMM_NULL");
    MPI_Comm_test_inter(comm, &inter);
    if (inter)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: comm is an intercommunicator");
    return check_library();
}

/* The duplicate, without aborting where the caller's error handler would. */
static int duplicate(MPI_Comm comm, MPI_Comm *out)
{
    MPI_Errhandler handler;
    int rc;

    MPI_Comm_get_errhandler(comm, &handler);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
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

static void log_name(const void *node, VISIT visit, int depth)
{
    (void)depth;
    if (visit == postorder || visit == leaf)
        nsh__log("  \"%s\"", (*(nsh__named *const *)node)->name);
}

/* MPI_Finalize deletes the attributes of MPI_COMM_SELF first, while MPI still works: the place for a
 * thread to be joined and for what was forgotten to be named. */
static int at_finalize(MPI_Comm self, int keyval, void *value, void *extra)
{
    nsh_comm *comm = value;

    (void)self;
    (void)keyval;
    (void)extra;
    if (comm->freeing)
        return MPI_SUCCESS;
    nsh__helper_stop(comm);
    if (comm->rank == 0) {
        nsh__log("MPI_Finalize: a communicator of %d ranks is alive with %lld objects, named:",
                 comm->size, (long long)comm->live);
        twalk(comm->names, log_name);
    }
    return MPI_SUCCESS;
}

static int hook_finalize(nsh_comm *comm)
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

/* Accepts every stage. Collective where MPI objects exist; all ranks are at the same stage. */
static void comm_destroy(nsh_comm *comm)
{
    if (comm == NULL)
        return;
    nsh__helper_stop(comm);
    unhook_finalize(comm);
    nsh__transfer_destroy(comm);
    nsh__heap_destroy(comm);
    if (nsh__mpi_alive()) {
        if (comm->node_mpi != MPI_COMM_NULL)
            MPI_Comm_free(&comm->node_mpi);
        if (comm->mpi != MPI_COMM_NULL)
            MPI_Comm_free(&comm->mpi);
    }
    nsh__topology_destroy(comm);
    free(comm);
}

static nsh_comm *comm_alloc(void)
{
    nsh_comm *comm = nsh__fault(comm_alloc) ? NULL : aligned_alloc(64, (sizeof *comm + 63) / 64 * 64);

    if (comm == NULL)
        return NULL;
    memset(comm, 0, sizeof *comm);
    comm->mpi = comm->node_mpi = MPI_COMM_NULL;
    comm->keyval = MPI_KEYVAL_INVALID;
    comm->awaited = -1;
    comm->check = env_is("NSH_CHECK", "1");
    comm->guard = !env_is("NSH_GUARD", "0");
    return comm;
}

static void wait_init(nsh_comm *comm, nsh_wait how)
{
    bool crowded = comm->host_ranks > comm->cores;

    comm->wait = (nsh__wait){.comm = comm->mpi,
                             .notice_tag = NSH__TAG_NOTICE,
                             .watch_tag = -1,
                             .yield = crowded,
                             .broken = &comm->area->gate.broken,
                             .notice = receive_notice,
                             .suspect = suspect_node,
                             .owner = comm};
    if (how == NSH_WAIT_SPIN)
        comm->wait.spin_ns = INT64_MAX;
    else if (how == NSH_WAIT_AUTO && !crowded)
        comm->wait.spin_ns = SPIN_NS;
}

/* The shared half: heap, gate, transfer room. Agreed. */
static int comm_furnish(nsh_comm *comm, const settings *s)
{
    int64_t limit = nsh__boot_least(comm, nsh__heap_limit(comm, s->heap_bytes));
    int64_t area = (int64_t)sizeof(nsh__node_area);
    int most = 1, rc;

    for (int i = 0; i < comm->node_count; i++)
        if (comm->size_of[i] > most)
            most = comm->size_of[i];
    area += most * (int64_t)sizeof(nsh__slot); /* the same on every node */
    rc = nsh__heap_create(comm, limit, area + nsh__transfer_bytes(comm));
    if (rc != NSH_SUCCESS)
        return rc;
    comm->area = (nsh__node_area *)nsh__heap_head(comm);
    rc = nsh__heap_touch(comm, (char *)comm->area, area);
    rc = nsh__boot_agree(comm, rc);
    if (rc != NSH_SUCCESS)
        return rc;
    comm->area->slots[comm->node_rank].rank = comm->rank;
    wait_init(comm, s->wait);
    nsh__gate_init(&comm->gate, &comm->area->gate, &comm->wait, comm->rank, comm->node_rank,
                   comm->node_size, comm->node_count == 1);
    return nsh__boot_agree(comm, nsh__transfer_create(comm, nsh__heap_head(comm) + area));
}

static int start_helper(nsh_comm *comm)
{
    int level = MPI_THREAD_SINGLE;

    if (comm->progress != NSH_PROGRESS_THREAD)
        return NSH_SUCCESS;
    MPI_Query_thread(&level);
    if (level != MPI_THREAD_MULTIPLE)
        return nsh__fail(NSH_ERR_UNSUPPORTED, "nsh_comm_create: a helper thread needs "
                                              "MPI_THREAD_MULTIPLE (rank %d)", comm->rank);
    return nsh__comm_leads(comm) ? nsh__helper_start(comm) : NSH_SUCCESS;
}

int nsh_comm_create(MPI_Comm comm, const nsh_comm_options *options, nsh_comm **out)
{
    nsh_comm *made = NULL;
    MPI_Comm mine = MPI_COMM_NULL;
    settings s;
    int rc, dup_rc, ok = 0, all_ok = 0;

    rc = check_caller(comm);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = duplicate(comm, &mine);
    if (rc != NSH_SUCCESS)
        return rc;
    dup_rc = nsh__fault(comm_dup) ? nsh__fail(NSH_ERR_MPI, "MPI_Comm_dup: failure on purpose")
                                  : NSH_SUCCESS;
    /* Agreement needs an nsh_comm; whether all ranks have one, MPI must tell. */
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
    rc = read_settings(options, &s);
    if (out == NULL)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_comm_create: out is NULL (rank %d)", made->rank);
    rc = agree_settings(made, &s, dup_rc != NSH_SUCCESS ? dup_rc : rc);
    if (rc != NSH_SUCCESS)
        goto fail;
    made->progress = s.progress;
    rc = nsh__topology_find(made, s.node_comm, s.ranks_per_node);
    if (rc == NSH_SUCCESS)
        rc = comm_furnish(made, &s);
    if (rc == NSH_SUCCESS)
        rc = nsh__boot_agree(made, hook_finalize(made));
    if (rc == NSH_SUCCESS)
        rc = nsh__boot_agree(made, start_helper(made));
    if (rc != NSH_SUCCESS)
        goto fail;
    if (made->rank == 0 && made->host_count < made->node_count)
        nsh__log("%d nodes on %d hosts: nodes were split, or this MPI reports shared memory wrongly",
                 made->node_count, made->host_count);
    *out = made;
    return NSH_SUCCESS;
fail:
    comm_destroy(made);
    return rc;
}

int nsh_comm_create_serial(nsh_comm **out)
{
    nsh_comm *made;
    settings s;
    int rc;

    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create_serial: out is NULL");
    made = comm_alloc();
    if (made == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_comm_create_serial: no memory");
    rc = read_settings(NULL, &s);
    if (rc == NSH_SUCCESS)
        rc = nsh__topology_alone(made);
    if (rc == NSH_SUCCESS)
        rc = comm_furnish(made, &s);
    if (rc != NSH_SUCCESS) {
        comm_destroy(made);
        return rc;
    }
    *out = made;
    return NSH_SUCCESS;
}

/* ---- operations ---- */

int nsh_comm_barrier(nsh_comm *comm)
{
    uint64_t mark = NSH__CALL_BARRIER;
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_barrier: comm is NULL");
    if (comm->node_count > 1)
        return nsh__agree(comm, NSH__CALL_BARRIER, NSH_SUCCESS, mark);
    rc = nsh__comm_enter(comm, NSH__CALL_BARRIER, mark);
    return rc == NSH_SUCCESS ? nsh__gate_pass(&comm->gate, comm->mark) : rc;
}

int nsh_comm_node_barrier(nsh_comm *comm)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_node_barrier: comm is NULL");
    rc = atomic_load_explicit(&comm->area->gate.broken, memory_order_acquire);
    if (rc != NSH_SUCCESS)
        return nsh__fail(NSH_ERR_STATE, "nsh_comm_node_barrier: communicator is broken since an "
                                        "earlier %s (rank %d)", nsh_strerror(rc), comm->rank);
    rc = nsh__gate_pass(&comm->gate, nsh__mix(2, NSH__CALL_NODE_BARRIER));
    if (rc != NSH_SUCCESS && !comm->gate.alone)
        return nsh__comm_break(comm, rc);
    return rc;
}

int nsh_comm_progress(nsh_comm *comm)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_progress: comm is NULL");
    rc = nsh__wait_poll(&comm->wait);
    return rc == NSH_ERR_MPI ? rc : NSH_SUCCESS; /* what is broken shows in the next call */
}

int nsh_comm_print(const nsh_comm *comm, FILE *f)
{
    if (comm == NULL || f == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_print: %s is NULL", comm == NULL ? "comm" : "f");
    fprintf(f, "%d rank%s on %d node%s (", comm->size, comm->size == 1 ? "" : "s",
            comm->node_count, comm->node_count == 1 ? "" : "s");
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

static bool comm_broken(const nsh_comm *comm)
{
    return atomic_load_explicit(&comm->area->gate.broken, memory_order_acquire) != NSH_SUCCESS;
}

int nsh_comm_free(nsh_comm **comm)
{
    nsh_comm *c;
    int rc = NSH_SUCCESS;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_free: comm is NULL");
    c = *comm;
    if (c == NULL)
        return NSH_SUCCESS;
    if (c->live != 0)
        rc = nsh__fail(NSH_ERR_STATE, "nsh_comm_free: %lld objects are alive (rank %d)",
                       (long long)c->live, c->rank);
    /* Ranks of a broken communicator cannot meet, nor can those of one that MPI has left behind. */
    if (!comm_broken(c) && (c->mpi == MPI_COMM_NULL || nsh__mpi_alive()))
        rc = nsh__agree(c, NSH__CALL_COMM_FREE, rc, 0);
    if (rc != NSH_SUCCESS && !(comm_broken(c) && c->live == 0))
        return rc;
    comm_destroy(c);
    *comm = NULL;
    return NSH_SUCCESS;
}
