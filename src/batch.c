/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.c -- tasks for workers: create, next, finish, and what all ranks do together.
 *
 * A node keeps a byte of state for every task, and its result. Without a journal it knows what its
 * own workers do, and what all nodes did as of the last exchange: a state beyond OPEN is known to
 * one node only, or to all alike, so that the largest byte of all nodes is the truth, and so are
 * all their results' bits together. With a journal the file is the truth, and every node reads it.
 *
 * Invariant: a task's state is changed by the leader of the worker that has it, or between two
 * votes. */
#define _GNU_SOURCE
#include <nodeshare/batch.h>
#include <nodeshare/map.h>

#include "agree.h"
#include "array.h"
#include "claim.h"
#include "fault.h"
#include "hash.h"
#include "journal.h"
#include "progress.h"
#include "ring.h"
#include "share.h"
#include "squad.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,
    SHARES = 8, /* a chunk of a journal is this part of a node's share of what is open */
    ALL_STATES = (1 << NSH_TASK_RUNNING) | (1 << NSH_TASK_DONE) | (1 << NSH_TASK_FAILED)
};

/* Words at the home, with several nodes and no journal. The counts are those of what nodes have
 * told, on top of area->base. */
typedef enum word { WORD_CHUNK, WORD_RUNNING, WORD_DONE, WORD_FAILED, WORDS } word;

/* What one rank has done since the last exchange; written by it alone. */
typedef struct tally {
    _Alignas(LINE) _Atomic int64_t taken;
    _Atomic int64_t done, failed;
} tally;

/* In shared memory of each node, followed by a tally and a seat for each rank of the largest node,
 * the states and the results. */
typedef struct area {
    nsh__claim_area claims;
    _Alignas(LINE) nsh__ledger_area ledger;
    _Alignas(LINE) _Atomic int64_t told[WORDS]; /* of this node's tallies, to the words */
    atomic_uint told_at;                        /* the generation of the chunk then */
    int64_t base[WORDS]; /* as of the last exchange: the same on every node; between votes */
} area;

struct nsh_batch {
    nsh_comm *comm;
    int64_t tasks, result_bytes;
    uint64_t id; /* number on its communicator, equal on all ranks */
    int worker_size, worker_count;
    int64_t held;   /* the task of this rank's worker; -1: none */
    nsh__type type; /* of results; result_bytes 0: none */
    int home;
    nsh__share share;
    area *area;
    tally *tallies;
    _Atomic unsigned char *states; /* as in ledger.h; slot is 0 without a journal */
    char *results;
    nsh__squad squad;
    nsh__claims claims;
    nsh__journal *journal; /* NULL: none */
    char *path;
    MPI_Comm worker_comm;
    nsh__progress progress;
};

/* ---- describe ---- */

static int64_t padded(int64_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static int check_options(const nsh_comm *comm, int64_t tasks, const nsh_batch_options *o)
{
    if (tasks < 0 || tasks > INT64_MAX / 4)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: %" PRId64 " tasks (rank %d)", tasks,
                         comm->rank);
    if (o->worker_size < 1 || o->worker_size > comm->size)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: workers of %d of %d ranks (rank %d)",
                         o->worker_size, comm->size, comm->rank);
    if ((unsigned)o->mode > NSH_OVERWRITE || !(o->progress_seconds >= 0) ||
        (o->result_type != MPI_DATATYPE_NULL && o->result_count < 1))
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_create: option out of range: mode %d, result_count %" PRId64
                         ", progress_seconds %g (rank %d)",
                         (int)o->mode, o->result_count, o->progress_seconds, comm->rank);
    for (int64_t t = 0; o->states != NULL && t < tasks; t++)
        if ((unsigned)o->states[t] > NSH_TASK_FAILED)
            return nsh__fail(NSH_ERR_ARG,
                             "nsh_batch_create: state %d of task %" PRId64 " (rank %d)",
                             (int)o->states[t], t, comm->rank);
    return NSH_SUCCESS;
}

static int describe_results(nsh_batch *b, const nsh_batch_options *o)
{
    int rc;

    if (o->result_type == MPI_DATATYPE_NULL)
        return NSH_SUCCESS;
    rc = nsh__type_describe(o->result_type, &b->type);
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

static int describe_journal(nsh_batch *b, const nsh_batch_options *o)
{
    if (o->journal == NULL)
        return NSH_SUCCESS;
    b->path = nsh__fault(batch_alloc) ? NULL : strdup(o->journal);
    b->journal = calloc(1, sizeof *b->journal);
    if (b->path == NULL || b->journal == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_batch_create: no memory (rank %d)", b->comm->rank);
    b->journal->ledger = (nsh__ledger){
        .tasks = b->tasks,
        .result_bytes = b->result_bytes,
        .result_mark = b->result_bytes > 0 ? nsh__mix(b->type.mark, (uint64_t)o->result_count) : 0};
    return nsh__journal_init(b->journal, b->comm, b->path, o->sync != 0);
}

/* Its own part of the batch. Accepted by batch_destroy at any stage. */
static int batch_describe(nsh_comm *comm, int64_t tasks, const nsh_batch_options *o,
                          nsh_batch **out, nsh_batch **made)
{
    int rc = check_options(comm, tasks, o);
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
    b->id = comm->created;
    b->worker_size = o->worker_size;
    b->worker_count = (comm->size - 1) / o->worker_size + 1;
    rc = describe_results(b, o);
    if (rc == NSH_SUCCESS)
        rc = nsh__share_home(comm, NSH__CALL_BATCH_CREATE, o->home, &b->home);
    return rc == NSH_SUCCESS ? describe_journal(b, o) : rc;
}

static uint64_t batch_mark(const nsh_comm *comm, int64_t tasks, const nsh_batch_options *o,
                           const nsh_batch *b)
{
    uint64_t mark = nsh__share_mark(comm, o->home, (uint64_t)tasks, o->journal);

    mark = nsh__mix(nsh__mix(mark, (uint64_t)o->worker_size), (uint64_t)o->mode);
    mark = nsh__mix(nsh__mix(mark, o->sync != 0), (uint64_t)o->result_count);
    if (o->states != NULL && tasks > 0)
        mark = nsh__mix_bytes(mark, o->states, (size_t)tasks * sizeof *o->states);
    return nsh__mix(mark, b != NULL ? b->type.mark : 0);
}

/* Accepts every stage. */
static void batch_destroy(nsh_batch *b)
{
    if (b == NULL)
        return;
    if (b->worker_comm != MPI_COMM_NULL && nsh__mpi_alive() &&
        nsh__comm_whole(b->comm, "nsh_batch_free") == NSH_SUCCESS)
        MPI_Comm_free(&b->worker_comm);
    if (b->journal != NULL)
        nsh__journal_destroy(b->journal);
    free(b->journal);
    free(b->path);
    if (b->type.derived)
        nsh__type_disown(&b->type);
    free(b);
}

/* ---- create ---- */

static int largest_node(const nsh_comm *comm)
{
    int most = 1;

    for (int i = 0; i < comm->node_count; i++)
        if (comm->size_of[i] > most)
            most = comm->size_of[i];
    return most;
}

static int64_t shared_bytes(const nsh_comm *comm, int64_t tasks, int64_t result_bytes)
{
    int64_t each = (int64_t)(sizeof(tally) + sizeof(nsh__seat));

    return (int64_t)sizeof(area) + largest_node(comm) * each + padded(tasks) + tasks * result_bytes;
}

static int fetch_from_journal(void *owner, int64_t *begin, int64_t *end)
{
    nsh_batch *b = owner;

    return nsh__journal_claim(b->journal, SHARES * b->comm->node_count, begin, end);
}

/* Point everything at what is shared. */
static void batch_furnish(nsh_batch *b)
{
    nsh_comm *comm = b->comm;
    char *p = b->share.extent.rw;
    nsh__seat *seats;
    int most = largest_node(comm);

    b->area = (area *)(void *)p;
    p += sizeof(area);
    b->tallies = (tally *)(void *)p;
    p += most * sizeof(tally);
    seats = (nsh__seat *)(void *)p;
    p += most * sizeof(nsh__seat);
    b->states = (_Atomic unsigned char *)(void *)p;
    b->results = b->result_bytes > 0 ? p + padded(b->tasks) : NULL;
    nsh__squad_init(&b->squad, comm, seats, b->worker_size, comm->batches);
    b->claims = (nsh__claims){.comm = comm,
                              .area = &b->area->claims,
                              .n = b->tasks,
                              .words = &b->share.words,
                              .direct = comm->node_count == 1 && b->journal == NULL,
                              .source = b->journal != NULL ? fetch_from_journal : NULL,
                              .owner = b};
    if (b->journal != NULL) {
        b->journal->ledger.area = &b->area->ledger;
        b->journal->ledger.states = b->states;
        b->journal->ledger.results = b->results;
    }
}

static int64_t *base_of(nsh_batch *b, unsigned state)
{
    static const word words[] = {WORDS, WORD_RUNNING, WORD_DONE, WORD_FAILED};

    return words[state] < WORDS ? &b->area->base[words[state]] : NULL;
}

/* By the leader, between votes: what tasks there are, of which others will be counted from here. */
static void count_base(nsh_batch *b)
{
    memset(b->area->base, 0, sizeof b->area->base);
    for (int64_t t = 0; t < b->tasks; t++) {
        int64_t *base = base_of(b, b->states[t] & NSH__STATE_MASK);

        if (base != NULL)
            ++*base;
    }
}

/* By the leader: states with which a batch without a journal begins. */
static void begin_states(nsh_batch *b, const nsh_task_state states[])
{
    for (int64_t t = 0; t < b->tasks; t++)
        b->states[t] = states[t] == NSH_TASK_RUNNING ? NSH_TASK_OPEN : (unsigned char)states[t];
    count_base(b);
}

/* [collective] Rank 0 first, then everybody with its slot. */
static int begin_journal(nsh_batch *b, const nsh_batch_options *o)
{
    nsh_comm *comm = b->comm;
    nsh__vote vote = {.call = NSH__CALL_BATCH_CREATE,
                      .mark = b->id,
                      .range = true,
                      .low = INT64_MAX,
                      .high = INT64_MIN};
    int rc;

    if (nsh__comm_leads(comm))
        nsh__ledger_init(&b->journal->ledger);
    if (comm->rank == 0) {
        vote.code = nsh__journal_join(b->journal, o->mode, b->worker_count, o->states);
        vote.low = vote.high = b->journal->slot;
    }
    nsh__vote_enter(comm, &vote);
    rc = nsh__vote_leave(comm, &vote);
    if (rc != NSH_SUCCESS)
        return rc;
    if (comm->rank != 0)
        rc = nsh__journal_attach(b->journal, (int)vote.low, nsh__comm_leads(comm));
    rc = nsh__agree(comm, NSH__CALL_BATCH_CREATE, rc, b->id);
    if (rc != NSH_SUCCESS && comm->rank == 0 && o->mode == NSH_NEW)
        nsh__journal_remove(b->journal); /* it is ours, and nobody else's yet */
    return rc;
}

/* [collective] What is in it when it begins. */
static int batch_begin(nsh_batch *b, const nsh_batch_options *o)
{
    if (b->journal != NULL)
        return begin_journal(b, o);
    if (o->states == NULL)
        return NSH_SUCCESS;
    if (nsh__comm_leads(b->comm))
        begin_states(b, o->states);
    return nsh__agree(b->comm, NSH__CALL_BATCH_CREATE, NSH_SUCCESS, b->id);
}

int nsh_batch_create(nsh_comm *comm, int64_t ntasks, const nsh_batch_options *options,
                     nsh_batch **out)
{
    static const nsh_batch_options defaults = NSH_BATCH_OPTIONS_INIT;
    const nsh_batch_options *o = options != NULL ? options : &defaults;
    nsh_batch *b = NULL;
    nsh__share share;
    int64_t bytes = 0;
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_create: comm is NULL");
    comm->created++;
    comm->batches++;
    rc = batch_describe(comm, ntasks, o, out, &b);
    if (rc == NSH_SUCCESS)
        bytes = shared_bytes(comm, ntasks, b->result_bytes);
    rc = nsh__share_create(comm, NSH__CALL_BATCH_CREATE, rc, batch_mark(comm, ntasks, o, b), bytes,
                           comm->node_count > 1 ? WORDS : 0, b != NULL ? b->home : 0, &share);
    if (rc != NSH_SUCCESS) {
        batch_destroy(b);
        return rc;
    }
    b->share = share;
    batch_furnish(b);
    rc = batch_begin(b, o);
    if (rc != NSH_SUCCESS) {
        nsh__share_free(comm, &b->share);
        batch_destroy(b);
        return rc;
    }
    if (comm->rank == 0)
        nsh__progress_init(&b->progress, o);
    comm->live++;
    *out = b;
    return NSH_SUCCESS;
}

/* By one rank, while nobody takes tasks. */
static int clear_words(nsh_batch *b)
{
    nsh_comm *comm = b->comm;
    int rc = NSH_SUCCESS;
    uint64_t old;

    if (comm->node_count == 1 || !nsh__comm_leads(comm) || b->home != comm->node_index)
        return NSH_SUCCESS;
    for (int w = 0; w < WORDS && rc == NSH_SUCCESS; w++)
        rc = nsh__word_swap(comm, &b->share.words, w, 0, &old);
    return rc;
}

int nsh_batch_free(nsh_batch **batch)
{
    nsh_batch *b;
    int rc = NSH_SUCCESS, words_rc = NSH_SUCCESS;

    if (batch == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_free: batch is NULL");
    b = *batch;
    if (b == NULL)
        return NSH_SUCCESS;
    if (b->journal != NULL && nsh__journal_flush(b->journal) != NSH_SUCCESS)
        rc = NSH_ERR_IO; /* worded there */
    rc = nsh__agree_to_free(b->comm, NSH__CALL_BATCH_FREE, rc);
    if (rc != NSH_SUCCESS && rc != NSH_ERR_IO)
        return rc;
    if (nsh__comm_whole(b->comm, "nsh_batch_free") == NSH_SUCCESS) {
        words_rc = clear_words(b);
        /* All ranks are here, so nobody finishes what is still taken. If it cannot be written, the
         * next job finds that the slot is free. */
        if (b->journal != NULL && b->comm->rank == 0)
            nsh__journal_reopen(b->journal, 1U << NSH_TASK_RUNNING);
    }
    nsh__share_free(b->comm, &b->share);
    b->comm->live--;
    if (words_rc != NSH_SUCCESS)
        nsh__comm_break(b->comm, words_rc);
    batch_destroy(b);
    *batch = NULL;
    return rc;
}

/* ---- counts ---- */

/* What this node's ranks have done: running, done, failed. */
static void sum_tallies(const nsh_batch *b, int64_t sum[WORDS])
{
    memset(sum, 0, WORDS * sizeof sum[0]);
    for (int i = 0; i < b->comm->node_size; i++) {
        const tally *t = &b->tallies[i];
        int64_t done = atomic_load_explicit(&t->done, memory_order_acquire);
        int64_t failed = atomic_load_explicit(&t->failed, memory_order_acquire);

        /* taken last: what has ended was taken */
        sum[WORD_DONE] += done;
        sum[WORD_FAILED] += failed;
        sum[WORD_RUNNING] += atomic_load_explicit(&t->taken, memory_order_relaxed) - done - failed;
    }
}

/* Tell the words what they do not know yet. Several ranks may do so at once: each adds the
 * difference to what it has exchanged, so the words are what was exchanged last. Returns whether
 * that is what there is now, in *all. */
static int tell(nsh_batch *b, bool *all)
{
    int64_t sum[WORDS], now[WORDS];
    int rc = NSH_SUCCESS;

    sum_tallies(b, sum);
    for (int w = WORD_RUNNING; w < WORDS && rc == NSH_SUCCESS; w++) {
        uint64_t old;
        int64_t more = sum[w] - atomic_exchange(&b->area->told[w], sum[w]);

        if (more != 0)
            rc = nsh__word_add(b->comm, &b->share.words, w, (uint64_t)more, &old);
    }
    sum_tallies(b, now);
    *all = memcmp(sum, now, sizeof sum) == 0;
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

static bool tells(const nsh_batch *b)
{
    return b->comm->node_count > 1 && b->journal == NULL;
}

/* Once a chunk, by whoever sees first that there is a new one. */
static int tell_once(nsh_batch *b)
{
    unsigned seen, now;
    bool all;

    if (!tells(b))
        return NSH_SUCCESS;
    now = atomic_load_explicit(&b->area->claims.generation, memory_order_relaxed);
    seen = atomic_load_explicit(&b->area->told_at, memory_order_relaxed);
    if (seen == now || !atomic_compare_exchange_strong(&b->area->told_at, &seen, now))
        return NSH_SUCCESS;
    return tell(b, &all);
}

/* When there are no more tasks: the last of the node to come here leaves the words exact, as one
 * that exchanges an older sum after it sees so. */
static int tell_all(nsh_batch *b)
{
    bool all = !tells(b);
    int rc = NSH_SUCCESS;

    while (!all && rc == NSH_SUCCESS)
        rc = tell(b, &all);
    return rc;
}

static int counts_of_words(nsh_batch *b, int64_t sum[WORDS])
{
    bool all;
    int rc = tell(b, &all);

    for (int w = WORD_RUNNING; w < WORDS && rc == NSH_SUCCESS; w++) {
        uint64_t value = 0;

        rc = nsh__word_read(b->comm, &b->share.words, w, &value);
        sum[w] = (int64_t)value;
    }
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

static int counts(nsh_batch *b, nsh_task_counts *out)
{
    const int64_t *base = b->area->base;
    int64_t sum[WORDS];
    int rc = NSH_SUCCESS;

    if (b->journal != NULL)
        return nsh__journal_catch_up(b->journal, out);
    if (b->comm->node_count == 1)
        sum_tallies(b, sum);
    else
        rc = counts_of_words(b, sum);
    if (rc != NSH_SUCCESS)
        return rc;
    *out = (nsh_task_counts){.tasks = b->tasks,
                             .running = base[WORD_RUNNING] + sum[WORD_RUNNING],
                             .done = base[WORD_DONE] + sum[WORD_DONE],
                             .failed = base[WORD_FAILED] + sum[WORD_FAILED]};
    out->open = out->tasks - out->running - out->done - out->failed;
    return NSH_SUCCESS;
}

static void show_progress(nsh_batch *b, bool last)
{
    nsh_task_counts now;

    if ((last ? nsh__progress_on(&b->progress) : nsh__progress_due(&b->progress)) &&
        counts(b, &now) == NSH_SUCCESS)
        nsh__progress_show(&b->progress, &now, last);
}

/* ---- next and finish ---- */

static void count_up(_Atomic int64_t *counter)
{
    /* this rank is the only one to write it */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_release);
}

static tally *own_tally(const nsh_batch *b)
{
    return &b->tallies[b->comm->node_rank];
}

/* By the leader of a worker: numbers are drawn once, but some are no task to be run. */
static int take_task(nsh_batch *b, int64_t *task)
{
    unsigned wanted = b->journal == NULL
                          ? NSH_TASK_OPEN
                          : ((unsigned)b->journal->slot << NSH__STATE_BITS | NSH_TASK_RUNNING);
    int64_t count = 0;
    int rc;

    do {
        rc = nsh__claim_take(&b->claims, 0, task, &count);
        if (rc != NSH_SUCCESS)
            return rc;
        if (count == 0) {
            *task = -1;
            return tell_all(b);
        }
    } while (atomic_load_explicit(&b->states[*task], memory_order_relaxed) != wanted);
    if (b->journal == NULL)
        atomic_store_explicit(&b->states[*task], NSH_TASK_RUNNING, memory_order_relaxed);
    count_up(&own_tally(b)->taken);
    return tell_once(b);
}

int nsh_batch_next(nsh_batch *b, int64_t *task)
{
    nsh__round round = {NSH_SUCCESS, 0, -1};
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_next: batch is NULL");
    rc = nsh__comm_whole(b->comm, "nsh_batch_next");
    if (rc != NSH_SUCCESS)
        return rc;
    if (task == NULL)
        round.code =
            nsh__fail(NSH_ERR_ARG, "nsh_batch_next: task is NULL (rank %d)", b->comm->rank);
    else if (b->held >= 0)
        round.code =
            nsh__fail(NSH_ERR_STATE, "nsh_batch_next: task %" PRId64 " is not finished (rank %d)",
                      b->held, b->comm->rank);
    rc = nsh__squad_report(&b->squad, &round);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__squad_leads(&b->squad) && round.code == NSH_SUCCESS)
        round.code = take_task(b, &round.value);
    rc = nsh__squad_answer(&b->squad, &round);
    if (rc != NSH_SUCCESS)
        return rc;
    b->held = *task = round.value;
    show_progress(b, round.value < 0);
    return NSH_SUCCESS;
}

static int check_finish(const nsh_batch *b, int64_t task, nsh_task_state state)
{
    if (task < 0 || task >= b->tasks)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_finish: task %" PRId64 " is not in 0 .. %" PRId64 " (rank %d)",
                         task, b->tasks - 1, b->comm->rank);
    if (state != NSH_TASK_DONE && state != NSH_TASK_FAILED)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_finish: state %d of task %" PRId64 " (rank %d)",
                         (int)state, task, b->comm->rank);
    if (task != b->held)
        return nsh__fail(NSH_ERR_STATE,
                         "nsh_batch_finish: task %" PRId64 " is not this worker's, which has "
                         "%" PRId64 " (rank %d)",
                         task, b->held, b->comm->rank);
    return NSH_SUCCESS;
}

/* By the leader of the worker. */
static int record_end(nsh_batch *b, int64_t task, nsh_task_state state, const void *result)
{
    bool done = state == NSH_TASK_DONE;
    int rc = NSH_SUCCESS;

    if (b->journal != NULL) {
        rc = nsh__journal_end(b->journal, task, state, result);
    } else {
        if (done && b->results != NULL && result != NULL)
            memcpy(b->results + task * b->result_bytes, result, (size_t)b->result_bytes);
        /* release: who sees DONE sees the result */
        atomic_store_explicit(&b->states[task], (unsigned char)state, memory_order_release);
    }
    count_up(done ? &own_tally(b)->done : &own_tally(b)->failed);
    return rc;
}

int nsh_batch_finish(nsh_batch *b, int64_t task, nsh_task_state state, const void *result)
{
    nsh__round round = {NSH_SUCCESS, (int)state, 0};
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_finish: batch is NULL");
    rc = nsh__comm_whole(b->comm, "nsh_batch_finish");
    if (rc != NSH_SUCCESS)
        return rc;
    round.code = check_finish(b, task, state);
    rc = nsh__squad_report(&b->squad, &round); /* FAILED is the larger one */
    if (rc != NSH_SUCCESS)
        return rc;
    round.value =
        round.code == NSH_SUCCESS; /* after this the task is finished, whatever the code */
    if (nsh__squad_leads(&b->squad) && round.code == NSH_SUCCESS)
        round.code = record_end(b, task, (nsh_task_state)round.flag, result);
    rc = nsh__squad_answer(&b->squad, &round);
    if (round.value != 0)
        b->held = -1;
    if (rc == NSH_SUCCESS)
        show_progress(b, false);
    return rc;
}

/* ---- look ---- */

int nsh_batch_state(const nsh_batch *b, int64_t task, nsh_task_state *state)
{
    if (b == NULL || state == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_state: %s is NULL", b == NULL ? "batch" : "state");
    if (task < 0 || task >= b->tasks)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_state: task %" PRId64 " is not in 0 .. %" PRId64 " (rank %d)",
                         task, b->tasks - 1, b->comm->rank);
    *state = (nsh_task_state)(atomic_load_explicit(&b->states[task], memory_order_acquire) &
                              NSH__STATE_MASK);
    return NSH_SUCCESS;
}

static int look(nsh_batch *b, const char *call, nsh_task_counts *out)
{
    int rc = nsh__comm_whole(b->comm, call);

    return rc == NSH_SUCCESS ? counts(b, out) : rc;
}

int nsh_batch_counts(nsh_batch *b, nsh_task_counts *out)
{
    if (b == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_counts: %s is NULL", b == NULL ? "batch" : "out");
    return look(b, "nsh_batch_counts", out);
}

int nsh_batch_status_line(nsh_batch *b, char *buffer, size_t n)
{
    nsh_task_counts now;
    int rc;

    if (b == NULL || buffer == NULL || n == 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_status_line: batch or buffer is NULL, or n 0");
    rc = look(b, "nsh_batch_status_line", &now);
    if (rc == NSH_SUCCESS)
        nsh__progress_text(&now, buffer, n);
    return rc;
}

int nsh_batch_worker(const nsh_batch *b)
{
    return b != NULL ? b->squad.leader / b->worker_size : -1;
}

int nsh_batch_worker_count(const nsh_batch *b)
{
    return b != NULL ? b->worker_count : -1;
}

int nsh_batch_worker_rank(const nsh_batch *b)
{
    return b != NULL ? b->comm->rank - b->squad.leader : -1;
}

static int make_worker_comm(nsh_batch *b)
{
    int range[1][3] = {{b->squad.leader, b->squad.leader + b->squad.size - 1, 1}}, rc;
    MPI_Group all, group = MPI_GROUP_NULL;
    MPI_Comm made = MPI_COMM_NULL;

    rc = MPI_Comm_group(b->comm->mpi, &all);
    if (rc == MPI_SUCCESS)
        rc = MPI_Group_range_incl(all, 1, range, &group);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_create_group(b->comm->mpi, group, b->squad.tag, &made);
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
    rc = nsh__squad_report(&b->squad, &round);
    if (rc == NSH_SUCCESS)
        rc = nsh__squad_answer(&b->squad, &round);
    if (rc == NSH_SUCCESS && b->worker_comm == MPI_COMM_NULL && b->comm->mpi != MPI_COMM_NULL)
        rc = make_worker_comm(b);
    if (rc == NSH_SUCCESS)
        *out = b->worker_comm;
    return rc;
}

/* ---- all together ---- */

/* By leaders, in a call of their own: bytes of all nodes become the largest, or the union of their
 * bits. */
static int merge(nsh_batch *b, nsh__call call, void *bytes, int64_t n, MPI_Op op)
{
    nsh__target target = {1, &n, 1, bytes};
    int rc = nsh__comm_enter(b->comm, call, b->id);

    if (rc != NSH_SUCCESS || !nsh__comm_leads(b->comm) || n == 0)
        return rc;
    return nsh__ring_reduce(b->comm, &target, op == MPI_MAX ? MPI_UNSIGNED_CHAR : MPI_BYTE, op);
}

/* [collective] Between votes: every node knows what the others do. The code is to be agreed. */
static int exchange(nsh_batch *b, nsh__call call)
{
    int rc;

    if (b->journal != NULL)
        return nsh__comm_leads(b->comm) ? nsh__journal_catch_up(b->journal, NULL) : NSH_SUCCESS;
    if (b->comm->node_count == 1)
        return NSH_SUCCESS;
    rc = merge(b, call, (void *)b->states, b->tasks, MPI_MAX);
    if (rc == NSH_SUCCESS && b->results != NULL)
        rc = merge(b, call, b->results, b->tasks * b->result_bytes, MPI_BOR);
    if (rc == NSH_SUCCESS && nsh__comm_leads(b->comm))
        rc = tell_all(b);
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

/* What cannot be written now would contradict what is agreed on next. */
static int settle(nsh_batch *b, int code)
{
    if (code == NSH_SUCCESS && b->journal != NULL)
        code = nsh__journal_flush(b->journal);
    return code;
}

int nsh_batch_sync(nsh_batch *b)
{
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_sync: batch is NULL");
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_SYNC, settle(b, NSH_SUCCESS), b->id);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = exchange(b, NSH__CALL_BATCH_SYNC);
    return nsh__agree(b->comm, NSH__CALL_BATCH_SYNC, rc, b->id);
}

/* By the leader, between votes, without a journal. */
static void reopen_here(nsh_batch *b, unsigned from)
{
    for (int64_t t = 0; t < b->tasks; t++) {
        if ((from & 1U << b->states[t]) == 0)
            continue;
        b->states[t] = NSH_TASK_OPEN;
        if (b->results != NULL)
            memset(b->results + t * b->result_bytes, 0, (size_t)b->result_bytes);
    }
    count_base(b);
    for (int i = 0; i < b->comm->node_size; i++)
        b->tallies[i].taken = b->tallies[i].done = b->tallies[i].failed = 0;
    for (int w = 0; w < WORDS; w++)
        b->area->told[w] = 0;
    nsh__claim_reset(&b->area->claims);
}

/* Likewise with one: the chunk that the node holds runs on, unless all that runs is OPEN. */
static void look_again(nsh_batch *b, unsigned from)
{
    if (from & 1U << NSH_TASK_RUNNING)
        nsh__claim_reset(&b->area->claims);
    else
        nsh__claim_reopen(&b->area->claims);
}

static int reopen(nsh_batch *b, unsigned from)
{
    nsh_comm *comm = b->comm;
    int rc = NSH_SUCCESS;

    if (b->journal != NULL) {
        if (comm->rank == 0)
            rc = nsh__journal_reopen(b->journal, from);
        rc = nsh__agree(comm, NSH__CALL_BATCH_REOPEN, rc, from);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    rc = exchange(b, NSH__CALL_BATCH_REOPEN);
    if (rc == NSH_SUCCESS && nsh__comm_leads(comm)) {
        if (b->journal != NULL)
            look_again(b, from);
        else
            reopen_here(b, from);
        rc = clear_words(b);
        if (rc != NSH_SUCCESS)
            nsh__comm_break(comm, rc);
    }
    return nsh__agree(comm, NSH__CALL_BATCH_REOPEN, rc, from);
}

int nsh_batch_reopen(nsh_batch *b, unsigned from_states)
{
    int rc = NSH_SUCCESS;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_reopen: batch is NULL");
    if (from_states == 0 || (from_states & ~(unsigned)ALL_STATES) != 0)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_batch_reopen: states 0x%x (rank %d)", from_states,
                       b->comm->rank);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_REOPEN, settle(b, rc), nsh__mix(b->id, from_states));
    if (rc == NSH_SUCCESS)
        rc = reopen(b, from_states);
    if (rc == NSH_SUCCESS && (from_states & 1U << NSH_TASK_RUNNING) != 0)
        b->held = -1;
    return rc;
}

static int check_results(const nsh_batch *b, const nsh_array *array)
{
    int64_t items;

    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_results: array is NULL (rank %d)", b->comm->rank);
    if (b->result_bytes == 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_results: the batch has no results");
    items = b->tasks * (b->result_bytes / b->type.itemsize);
    if (array->comm != b->comm || array->type.mark != b->type.mark || array->size != items)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_results: array has %" PRId64 " elements of %s, not %" PRId64
                         " of %s, or is on another communicator (rank %d)",
                         array->size, array->type.name, items, b->type.name, b->comm->rank);
    return nsh__array_usable(array, NSH__CALL_BATCH_RESULTS);
}

/* This rank's part of what its node copies. */
static void copy_results(const nsh_batch *b, nsh_array *array)
{
    int64_t begin, end;

    if (nsh_split(array->nbytes, b->comm->node_size, b->comm->node_rank, &begin, &end) ==
        NSH_SUCCESS)
        memcpy(array->replica.rw + begin, b->results + begin, (size_t)(end - begin));
}

int nsh_batch_results(nsh_batch *b, nsh_array *array)
{
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_results: batch is NULL");
    rc = check_results(b, array);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, settle(b, rc),
                    nsh__mix(b->id, array != NULL ? array->id : 0));
    if (rc != NSH_SUCCESS)
        return rc;
    rc = exchange(b, NSH__CALL_BATCH_RESULTS);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, rc, array->id);
    if (rc != NSH_SUCCESS)
        return rc;
    if (array->nbytes > 0)
        copy_results(b, array);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, NSH_SUCCESS, array->id);
    if (rc == NSH_SUCCESS)
        array->version++;
    return rc;
}
