/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.c -- tasks for workers: create, free, getters.
 *
 * Invariant: a rank that fails while a batch is made goes through the same agreements as the
 * others. */
#define _GNU_SOURCE
#include "task/batch.h"

#include "base/fault.h"
#include "base/sized.h"
#include "base/hash.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/object_free.h"
#include "task/journal_open.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 64 };

/* ---- options ---- */

static int64_t padded(int64_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static int check_batch_options(const nsh_comm *comm, int64_t tasks, const nsh_batch_options *o)
{
    if (tasks < 0 || tasks > INT64_MAX / 4)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: %" PRId64 " tasks (rank %d)", tasks,
                         comm->rank);
    if (o->worker_size < 1 || o->worker_size > comm->size)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: workers of %d of %d ranks (rank %d)",
                         o->worker_size, comm->size, comm->rank);
    if ((unsigned)o->mode > NSH_BATCH_OVERWRITE || !(o->progress_seconds >= 0) ||
        !(o->wait_seconds >= 0) || o->chunk < 0 || o->max_attempts < 0 ||
        o->max_attempts > UCHAR_MAX || (o->result_type != MPI_DATATYPE_NULL && o->result_count < 1))
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_create: option out of range: mode %d, result_count %" PRId64
                         ", chunk %" PRId64
                         ", max_attempts %d, wait_seconds %g, progress_seconds %g (rank %d)",
                         (int)o->mode, o->result_count, o->chunk, o->max_attempts, o->wait_seconds,
                         o->progress_seconds, comm->rank);
    for (int64_t t = 0; o->states != NULL && t < tasks; t++)
        if ((unsigned)o->states[t] > NSH_TASK_FAILED)
            return nsh__fail(NSH_ERR_ARG,
                             "nsh_batch_create: state %d of task %" PRId64 " (rank %d)",
                             (int)o->states[t], t, comm->rank);
    return NSH_SUCCESS;
}

static int init_results(nsh_batch *b, const nsh_batch_options *o)
{
    int rc;

    if (o->result_type == MPI_DATATYPE_NULL)
        return NSH_SUCCESS;
    rc = nsh__type_init("nsh_batch_create", b->comm->rank, o->result_type, &b->type);
    if (rc != NSH_SUCCESS) {
        b->type.derived = false;
        return rc;
    }
    rc = nsh__type_own(&b->type);
    if (rc != NSH_SUCCESS)
        return rc;
    if (o->result_count > INT64_MAX / 8 / b->type.itemsize ||
        (b->tasks > 0 && b->type.itemsize * o->result_count > INT64_MAX / 8 / b->tasks))
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: more than INT64_MAX bytes of results");
    b->result_bytes = b->type.itemsize * o->result_count;
    return NSH_SUCCESS;
}

/* The path from the root, so that it stays right when the working directory changes; unchanged if
 * that directory is not known. The caller frees it. NULL: no memory. */
static char *absolute_path(const char *path)
{
    char *directory = path[0] == '/' ? NULL : getcwd(NULL, 0), *out = NULL;

    if (directory == NULL)
        return strdup(path);
    if (asprintf(&out, "%s/%s", directory, path) < 0)
        out = NULL;
    free(directory);
    return out;
}

static int init_journal(nsh_batch *b, const nsh_batch_options *o)
{
    if (o->journal == NULL)
        return NSH_SUCCESS;
    b->path = nsh__fault(batch_alloc) ? NULL : absolute_path(o->journal);
    b->journal = calloc(1, sizeof *b->journal);
    if (b->path == NULL || b->journal == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_batch_create: no memory (rank %d)", b->comm->rank);
    b->journal->table = (nsh__journal_table){
        .tasks = b->tasks,
        .result_bytes = b->result_bytes,
        .result_signature = b->result_bytes > 0 ? nsh__mix(nsh__type_file_signature(&b->type),
                                                           (uint64_t)o->result_count)
                                                : 0,
        .tag = o->tag};
    b->journal->max_attempts = o->max_attempts;
    return nsh__journal_init(b->journal, b->comm, b->path, o->sync != 0);
}

static void close_journal(nsh_batch *b)
{
    if (b->journal != NULL)
        nsh__journal_destroy(b->journal);
    free(b->journal);
    b->journal = NULL;
}

static int batch_flush(void *handle)
{
    const nsh_batch *b = handle;

    return b->journal != NULL ? nsh__journal_flush(b->journal) : NSH_SUCCESS;
}

static int batch_clear(void *handle)
{
    return nsh__batch_counts_clear(handle);
}

static void batch_close(void *handle, bool whole)
{
    nsh_batch *b = handle;
    nsh__detail kept;

    if (b->worker_comm != MPI_COMM_NULL && nsh__mpi_alive() && whole)
        MPI_Comm_free(&b->worker_comm);
    b->worker_comm = MPI_COMM_NULL;
    /* Only rank 0 has joined. All ranks are in this call, so no rank will finish what is still
     * claimed. If this cannot be written, the next job finds that the slot is free. */
    if (whole && b->journal != NULL && b->journal->joined) {
        nsh__detail_keep(&kept);
        if (nsh__journal_leave(b->journal) != NSH_SUCCESS)
            nsh__detail_restore(&kept);
    }
    close_journal(b);
}

/* Accepts every stage. */
static void batch_destroy(void *handle)
{
    nsh_batch *b = handle;

    if (b == NULL)
        return;
    batch_close(b, false);
    nsh__object_fini(&b->object);
    free(b->path);
    if (b->type.derived)
        nsh__type_disown(&b->type);
    free(b);
}

static const nsh__kind batch_kind = {.name = "batch",
                                     .flush = batch_flush,
                                     .clear = batch_clear,
                                     .close = batch_close,
                                     .destroy = batch_destroy};

/* [local] This rank's part of the batch. batch_destroy accepts it at any stage. */
static int batch_init(nsh_comm *comm, int64_t tasks, const nsh_batch_options *o, nsh_batch **out,
                      nsh_batch **made)
{
    int rc = check_batch_options(comm, tasks, o);
    nsh_batch *b;

    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: out is NULL (rank %d)", comm->rank);
    if (rc != NSH_SUCCESS)
        return rc;
    b = *made = nsh__fault(batch_alloc) ? NULL : calloc(1, sizeof *b);
    if (b == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_batch_create: no memory (rank %d)", comm->rank);
    b->comm = comm;
    b->tasks = tasks;
    b->held = -1;
    b->worker_comm = MPI_COMM_NULL;
    b->worker_size = o->worker_size;
    b->wait = o->wait != 0 && o->journal != NULL;
    b->wait_seconds = o->wait_seconds;
    b->worker_count = (comm->size - 1) / o->worker_size + 1;
    b->id = comm->created;
    rc = nsh__object_init(&b->object, &batch_kind, b, NSH__CALL_BATCH_CREATE, NULL);
    if (rc == NSH_SUCCESS)
        rc = init_results(b, o);
    if (rc == NSH_SUCCESS)
        rc = nsh__shared_home(comm, NSH__CALL_BATCH_CREATE, o->home, &b->home);
    return rc == NSH_SUCCESS ? init_journal(b, o) : rc;
}

/* A hash of the arguments alone. A rank that has failed must have the same signature, otherwise a
 * node that waits long would find the two in different calls. */
static uint64_t batch_signature(const nsh_comm *comm, int64_t tasks, const nsh_batch_options *o)
{
    uint64_t signature = nsh__shared_signature(comm, o->home, (uint64_t)tasks, o->journal);
    uint64_t type = 0;

    signature = nsh__mix(nsh__mix(signature, (uint64_t)o->worker_size), (uint64_t)o->mode);
    signature = nsh__mix(nsh__mix(signature, o->sync != 0), (uint64_t)o->result_count);
    signature = nsh__mix(signature, o->tag);
    signature = nsh__mix(nsh__mix(signature, (uint64_t)o->chunk), (uint64_t)o->max_attempts);
    signature =
        nsh__mix_bytes(nsh__mix(signature, o->wait != 0), &o->wait_seconds, sizeof o->wait_seconds);
    if (o->states != NULL && tasks > 0)
        signature = nsh__mix_bytes(signature, o->states, (size_t)tasks * sizeof *o->states);
    if (o->result_type != MPI_DATATYPE_NULL)
        type = nsh__type_signature(o->result_type);
    return nsh__mix(signature, type);
}

/* ---- create ---- */

static int largest_batch_node(const nsh_comm *comm)
{
    int most = 1;

    for (int i = 0; i < comm->node_count; i++)
        if (comm->size_of[i] > most)
            most = comm->size_of[i];
    return most;
}

static int64_t shared_bytes(const nsh_batch *b)
{
    int64_t each =
        (int64_t)(sizeof(nsh__batch_counts) + sizeof(nsh__group_member) + sizeof(nsh__entry));

    return (int64_t)sizeof(nsh__batch_area) + largest_batch_node(b->comm) * each +
           (b->journal != NULL ? 2 : 1) * padded(b->tasks) + b->tasks * b->result_bytes;
}

static int workers_here(const nsh_comm *comm, int worker_size)
{
    int n = 0;

    for (int r = 0; r < comm->size; r += worker_size)
        n += comm->node_of[r] == comm->node_index;
    return n;
}

/* Set all pointers into the shared memory. */
static void batch_attach(nsh_batch *b, const nsh_batch_options *o)
{
    nsh_comm *comm = b->comm;
    char *p = b->object.shared.block.rw;
    nsh__group_member *members;
    nsh__entry *entries;
    int most = largest_batch_node(comm);

    b->area = (nsh__batch_area *)(void *)p;
    p += sizeof(nsh__batch_area);
    b->rank_counts = (nsh__batch_counts *)(void *)p;
    p += most * sizeof(nsh__batch_counts);
    members = (nsh__group_member *)(void *)p;
    p += most * sizeof(nsh__group_member);
    entries = (nsh__entry *)(void *)p;
    p += most * sizeof(nsh__entry);
    b->states = (_Atomic unsigned char *)(void *)p;
    p += padded(b->tasks);
    if (b->journal != NULL) {
        b->journal->table.attempts = (unsigned char *)p;
        p += padded(b->tasks);
    }
    b->results = b->result_bytes > 0 ? p : NULL;
    nsh__worker_group_init(&b->group, comm, members, b->worker_size, comm->batches);
    b->claims = (nsh__claims){.comm = comm,
                              .area = &b->area->claims,
                              .n = b->tasks,
                              .workers = workers_here(comm, b->worker_size),
                              .everywhere = b->worker_count,
                              .chunk = o->chunk,
                              .deadline = NSH__NEVER,
                              .words = &b->object.shared.words,
                              .direct = comm->node_count == 1 && b->journal == NULL,
                              .source = b->journal != NULL ? nsh__batch_fetch : NULL,
                              .owner = b};
    if (b->journal != NULL) {
        b->journal->table.area = &b->area->table;
        b->journal->table.states = b->states;
        b->journal->table.results = b->results;
        b->journal->writer =
            (nsh__journal_writer){.comm = comm, .area = &b->area->writer, .entries = entries};
    }
}

/* [local, by the leader] The states with which a batch without a journal begins. */
static void set_first_states(nsh_batch *b, const nsh_task_state states[])
{
    for (int64_t t = 0; t < b->tasks; t++)
        b->states[t] = states[t] == NSH_TASK_RUNNING ? NSH_TASK_OPEN : (unsigned char)states[t];
    nsh__batch_counts_begin(b);
}

/* [collective] Every rank opens the file that rank 0 has opened. */
static int open_journal(nsh_batch *b, nsh_batch_mode mode)
{
    nsh_comm *comm = b->comm;
    nsh__agreement agreement = {.call = NSH__CALL_BATCH_CREATE,
                                .signature = b->id,
                                .range = true,
                                .low = INT64_MAX,
                                .high = INT64_MIN};
    int rc;

    if (comm->rank == 0) {
        agreement.code = nsh__journal_open_first(b->journal, mode, &agreement.low);
        agreement.high = agreement.low;
    }
    nsh__agreement_enter(comm, &agreement);
    rc = nsh__agreement_leave(comm, &agreement);
    if (rc != NSH_SUCCESS)
        return rc;
    if (comm->rank != 0)
        rc = nsh__journal_open_shared(b->journal, agreement.low);
    return nsh__agree(comm, NSH__CALL_BATCH_CREATE, rc, b->id);
}

/* [collective] Every node reads the journal. */
static int read_journal(nsh_batch *b, const nsh_batch_options *o)
{
    nsh_comm *comm = b->comm;
    int rc = NSH_SUCCESS;

    if (nsh__comm_leads(comm))
        nsh__journal_table_init(&b->journal->table);
    if (comm->rank == 0)
        rc = nsh__journal_begin(b->journal, o->mode, b->worker_count, o->states);
    rc = nsh__agree(comm, NSH__CALL_BATCH_CREATE, rc, b->id);
    if (rc != NSH_SUCCESS)
        return rc;
    if (comm->rank != 0 && nsh__comm_leads(comm))
        rc = nsh__journal_read(b->journal);
    return nsh__agree(comm, NSH__CALL_BATCH_CREATE, rc, b->id);
}

/* [collective] */
static int begin_journal(nsh_batch *b, const nsh_batch_options *o)
{
    int rc = open_journal(b, o->mode);

    if (rc == NSH_SUCCESS)
        rc = read_journal(b, o);
    if (rc == NSH_SUCCESS)
        nsh__journal_ready(b->journal);
    else if (b->comm->rank == 0)
        nsh__journal_discard(b->journal);
    return rc;
}

/* [collective] The states with which the batch begins. */
static int batch_begin(nsh_batch *b, const nsh_batch_options *o)
{
    if (b->journal != NULL)
        return begin_journal(b, o);
    if (o->states == NULL)
        return NSH_SUCCESS;
    if (nsh__comm_leads(b->comm))
        set_first_states(b, o->states);
    return nsh__agree(b->comm, NSH__CALL_BATCH_CREATE, NSH_SUCCESS, b->id);
}

int nsh_batch_create(nsh_comm *comm, int64_t ntasks, const nsh_batch_options *options,
                     nsh_batch **out)
{
    static const nsh__sized kind =
        NSH__SIZED(nsh_batch_options, progress_seconds, NSH_BATCH_OPTIONS_INIT);
    nsh_batch_options given = NSH_BATCH_OPTIONS_INIT, *o = &given;
    nsh_batch *b = NULL;
    nsh__need need = {0};
    uint64_t signature;
    int rc;

    rc = nsh__object_begin(comm, NSH__CALL_BATCH_CREATE);
    if (rc != NSH_SUCCESS)
        return rc;
    comm->batches++;
    rc = nsh__sized_read(&kind, "nsh_batch_create", comm->rank, options, o);
    signature = batch_signature(comm, ntasks, o);
    if (rc == NSH_SUCCESS)
        rc = batch_init(comm, ntasks, o, out, &b);
    if (rc == NSH_SUCCESS)
        need.bytes = shared_bytes(b);
    need.nwords = comm->node_count > 1 ? NSH__WORDS : 0;
    need.home = b != NULL ? b->home : 0;
    rc = nsh__object_create(comm, NSH__CALL_BATCH_CREATE, rc, signature, &need, &batch_kind, b,
                            b != NULL ? &b->object : NULL);
    if (rc != NSH_SUCCESS) {
        comm->batches--; /* as comm->created */
        return rc;
    }
    batch_attach(b, o);
    rc = batch_begin(b, o);
    if (rc != NSH_SUCCESS) {
        nsh__object_reclaim(comm, &b->object);
        return rc;
    }
    if (comm->rank == 0)
        nsh__status_line_init(&b->progress, o);
    *out = b;
    return NSH_SUCCESS;
}

int nsh_batch_free(nsh_batch **batch)
{
    nsh_batch *b;
    nsh_comm *comm;
    bool journal;
    int rc = NSH_SUCCESS;

    if (batch == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_free: batch is NULL");
    b = *batch;
    if (b == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget(b->comm, &b->object)) {
        *batch = NULL;
        return NSH_SUCCESS;
    }
    if (nsh__comm_callable(b->comm, "nsh_batch_free") != NSH_SUCCESS)
        return NSH_ERR_STATE;
    if (b->journal != NULL && nsh__journal_flush(b->journal) != NSH_SUCCESS)
        rc = NSH_ERR_IO; /* nsh__journal_flush has set the detail */
    rc = nsh__agree_to_free(b->comm, NSH__CALL_BATCH_FREE, rc, b->id);
    if (rc != NSH_SUCCESS && rc != NSH_ERR_IO)
        return rc;
    comm = b->comm;
    journal = b->journal != NULL;
    nsh__object_free(comm, &b->object);
    *batch = NULL;
    if (journal) /* after this no rank holds the slot of this job any more */
        nsh__agree(comm, NSH__CALL_BATCH_FREE, NSH_SUCCESS, 0);
    return rc;
}

int nsh_batch_abandon(nsh_batch **batch)
{
    nsh_batch *b;
    int rc = NSH_SUCCESS;

    if (batch == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_abandon: batch is NULL");
    b = *batch;
    if (b == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget(b->comm, &b->object)) {
        *batch = NULL;
        return NSH_SUCCESS;
    }
    if (b->held >= 0)
        return nsh__fail(NSH_ERR_STATE,
                         "nsh_batch_abandon: task %" PRId64 " is not finished (rank %d)", b->held,
                         b->comm->rank);
    if (b->journal != NULL)
        rc = nsh__journal_flush(b->journal);
    close_journal(b); /* also releases this rank's lock on the slot of its job */
    nsh__object_abandon(b->comm, &b->object);
    *batch = NULL;
    return rc;
}

/* ---- getters ---- */

int nsh_batch_worker(const nsh_batch *b)
{
    return b != NULL ? b->group.leader / b->worker_size : -1;
}

int nsh_batch_worker_count(const nsh_batch *b)
{
    return b != NULL ? b->worker_count : -1;
}

int nsh_batch_worker_rank(const nsh_batch *b)
{
    return b != NULL ? b->comm->rank - b->group.leader : -1;
}

static int make_worker_comm(nsh_batch *b)
{
    int range[1][3] = {{b->group.leader, b->group.leader + b->group.size - 1, 1}}, rc;
    MPI_Group all, group = MPI_GROUP_NULL;
    MPI_Comm made = MPI_COMM_NULL;

    rc = MPI_Comm_group(b->comm->mpi, &all);
    if (rc == MPI_SUCCESS)
        rc = MPI_Group_range_incl(all, 1, range, &group);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_create_group(b->comm->mpi, group, b->group.tag, &made);
    if (rc != MPI_SUCCESS)
        return nsh__comm_break(b->comm, nsh__fail_mpi("MPI_Comm_create_group of a worker", rc));
    MPI_Group_free(&group);
    MPI_Group_free(&all);
    b->worker_comm = made;
    return NSH_SUCCESS;
}

int nsh_batch_worker_comm(nsh_batch *b, MPI_Comm *out)
{
    nsh__round round = {NSH_SUCCESS, 0, 0};
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_worker_comm: batch is NULL");
    rc = nsh__comm_whole(b->comm, "nsh_batch_worker_comm");
    if (rc != NSH_SUCCESS)
        return rc;
    if (out == NULL)
        round.code =
            nsh__fail(NSH_ERR_ARG, "nsh_batch_worker_comm: out is NULL (rank %d)", b->comm->rank);
    rc = nsh__worker_group_report(&b->group, &round);
    if (rc == NSH_SUCCESS)
        rc = nsh__worker_group_answer(&b->group, &round);
    if (rc == NSH_SUCCESS && b->worker_comm == MPI_COMM_NULL && b->comm->mpi != MPI_COMM_NULL)
        rc = make_worker_comm(b);
    if (rc == NSH_SUCCESS)
        *out = b->worker_comm;
    return rc;
}
