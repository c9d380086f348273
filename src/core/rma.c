/* SPDX-License-Identifier: BSD-3-Clause */
/* rma.c -- 64-bit words that other nodes touch.
 *
 * Invariant: the books of all homes are the same on every rank, and a word that is not in a live
 * block is zero. */
#define _GNU_SOURCE
#include "core/rma.h"

#include "base/blocks.h"
#include "base/fault.h"
#include "base/type.h"
#include "core/agree.h"
#include "core/heap.h"
#include "core/helper.h"
#include "core/homes.h"
#include "core/message.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WINDOW = 1 << 20, /* bytes with each leader; the next ones double */
    MAX_WINDOWS = 32,
    WORD = (int)sizeof(uint64_t),
    LOOK_NS = 20 * 1000 /* between two looks at all of them: there may be thousands */
};

/* What a rank asks of a leader in a message; the answer is the old value. */
typedef struct request {
    int32_t op, window;
    int64_t index;
    uint64_t value, expected;
} request;

typedef struct window {
    MPI_Win win;             /* backend window, else MPI_WIN_NULL */
    _Atomic uint64_t *words; /* with a leader: its part */
    int64_t bytes;
} window;

typedef struct nsh__rma {
    int windows;
    uint64_t history; /* see nsh__words_history */
    window window[MAX_WINDOWS];
    /* This rank's only operation under way. It lives here because it outlives the call that gave
     * it up, and a broken communicator leaves it to MPI. */
    request ask;
    int ask_home; /* node */
    uint64_t answer;
    MPI_Request requests[2]; /* the answer, and the question if that is a message */
    nsh__late late;          /* resume is NULL unless the operation was given up */
    /* with a leader */
    nsh__home home_here;            /* by which every wait of this process serves the words */
    uint64_t *answers;              /* to each rank, which has one request under way at most */
    _Atomic int64_t changed;        /* when a word homed here was last seen to change */
    pthread_mutex_t lock;           /* guards what follows against the helper */
    const _Atomic uint64_t **heads; /* the first word of every object that is homed here */
    int64_t nheads, capacity;
    uint64_t sum;               /* of their values when last looked at, */
    int64_t looked;             /* and when that was */
    struct nsh__blocks *home[]; /* node -> its books; NULL: nothing was homed there yet */
} nsh__rma;

/* ---- windows ---- */

static nsh__rma *rma_create(const nsh_comm *comm)
{
    nsh__rma *rma = calloc(1, sizeof *rma + (size_t)comm->node_count * sizeof rma->home[0]);

    if (rma == NULL)
        return NULL;
    rma->requests[0] = rma->requests[1] = MPI_REQUEST_NULL;
    pthread_mutex_init(&rma->lock, NULL);
    if (nsh__comm_leads(comm)) {
        rma->answers = calloc((size_t)comm->size, sizeof *rma->answers);
        if (rma->answers == NULL) {
            pthread_mutex_destroy(&rma->lock);
            free(rma);
            return NULL;
        }
    }
    return rma;
}

static int window_open(nsh_comm *comm, window *w)
{
    MPI_Aint bytes = nsh__comm_leads(comm) ? (MPI_Aint)w->bytes : 0;
    void *base = NULL;
    int rc;

    if (comm->words_by_message) {
        w->words = bytes > 0 ? calloc(1, (size_t)bytes) : NULL;
        return w->words != NULL || bytes == 0
                   ? NSH_SUCCESS
                   : nsh__fail(NSH_ERR_NOMEM, "no memory for %lld bytes of words",
                               (long long)bytes);
    }
    rc = MPI_Win_allocate(bytes, WORD, MPI_INFO_NULL, comm->mpi, &base, &w->win);
    if (rc != MPI_SUCCESS) {
        w->win = MPI_WIN_NULL;
        return nsh__fail_mpi("MPI_Win_allocate", rc);
    }
    MPI_Win_set_errhandler(w->win, MPI_ERRORS_RETURN);
    w->words = base;
    rc = MPI_Win_lock_all(MPI_MODE_NOCHECK, w->win);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Win_lock_all", rc);
    if (bytes == 0)
        return NSH_SUCCESS;
    rc = nsh__heap_touch(comm, base, bytes); /* it may lie in /dev/shm, and that may be full */
    if (rc == NSH_SUCCESS)
        memset(base, 0, (size_t)bytes);
    MPI_Win_sync(w->win); /* the zeroes, before the agreement lets anybody in */
    return rc;
}

static void window_close(const nsh_comm *comm, window *w)
{
    if (comm->words_by_message)
        free(w->words);
    if (w->win != MPI_WIN_NULL && nsh__mpi_alive()) {
        MPI_Win_unlock_all(w->win);
        MPI_Win_free(&w->win);
    }
    *w = (window){.win = MPI_WIN_NULL};
}

/* Room for n words as the books count them: whole units. */
static int64_t window_bytes(const nsh__rma *rma, int64_t n)
{
    int64_t bytes = rma->windows > 0 ? 2 * rma->window[rma->windows - 1].bytes : FIRST_WINDOW;

    while (bytes < n * WORD)
        bytes *= 2;
    return bytes;
}

/* The books of all homes get the region; where that fails, none keeps it. */
static int add_regions(nsh_comm *comm, int64_t bytes)
{
    nsh__rma *rma = comm->rma;

    for (int h = 0; h < comm->node_count; h++) {
        if (rma->home[h] == NULL || nsh__blocks_add_region(rma->home[h], bytes))
            continue;
        while (h-- > 0)
            if (rma->home[h] != NULL)
                nsh__blocks_drop_region(rma->home[h]);
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    }
    return NSH_SUCCESS;
}

static void drop_regions(nsh_comm *comm)
{
    for (int h = 0; h < comm->node_count; h++)
        if (comm->rma->home[h] != NULL)
            nsh__blocks_drop_region(comm->rma->home[h]);
}

int nsh__words_grow(nsh_comm *comm, int64_t n)
{
    nsh__rma *rma = comm->rma;
    window *w = &rma->window[rma->windows];
    bool added = false;
    int rc;

    if (rma->windows == MAX_WINDOWS)
        return nsh__fail(NSH_ERR_NOMEM, "no more than %d windows of words", (int)MAX_WINDOWS);
    rc = comm->words_by_message ? NSH_SUCCESS : nsh__heap_window_capacity(comm);
    rc = nsh__agree(comm, NSH__CALL_WORDS, rc, (uint64_t)n);
    if (rc != NSH_SUCCESS)
        return rc;
    *w = (window){.win = MPI_WIN_NULL, .bytes = window_bytes(rma, n)};
    rc = window_open(comm, w);
    if (nsh__fault(words_window))
        rc = nsh__fail(NSH_ERR_NOMEM, "window of words: failure on purpose");
    if (rc == NSH_SUCCESS)
        added = (rc = add_regions(comm, w->bytes)) == NSH_SUCCESS;
    rc = nsh__agree(comm, NSH__CALL_WORDS, rc, (uint64_t)w->bytes);
    if (rc != NSH_SUCCESS) {
        if (added)
            drop_regions(comm);
        window_close(comm, w);
        return rc;
    }
    rma->windows++;
    return NSH_SUCCESS;
}

/* The answer will not be taken any more. An operation on a window cannot be dropped: it ends with
 * the window. */
static void drop(nsh_comm *comm)
{
    if (!comm->words_by_message)
        return;
    nsh__drop_request(&comm->rma->requests[0], true);
    nsh__drop_request(&comm->rma->requests[1], false);
}

void nsh__words_leave(nsh_comm *comm)
{
    if (comm->rma != NULL)
        nsh__homes_remove(&comm->rma->home_here);
}

void nsh__words_destroy(nsh_comm *comm)
{
    nsh__rma *rma = comm->rma;

    if (rma == NULL)
        return;
    nsh__homes_remove(&rma->home_here);
    while (rma->windows > 0)
        window_close(comm, &rma->window[--rma->windows]);
    if (nsh__mpi_alive()) {
        drop(comm);
        if (rma->requests[0] != MPI_REQUEST_NULL) /* complete since its window is closed */
            MPI_Wait(&rma->requests[0], MPI_STATUS_IGNORE);
    }
    for (int h = 0; h < comm->node_count; h++)
        if (rma->home[h] != NULL)
            nsh__blocks_destroy(rma->home[h]);
    pthread_mutex_destroy(&rma->lock);
    free(rma->heads);
    free(rma->answers);
    free(rma);
    comm->rma = NULL;
}

/* ---- take and give ---- */

/* The books of one home, with all windows there are. */
static struct nsh__blocks *open_metadata(nsh__rma *rma)
{
    struct nsh__blocks *books = nsh__blocks_create();

    for (int i = 0; books != NULL && i < rma->windows; i++)
        if (!nsh__blocks_add_region(books, rma->window[i].bytes)) {
            nsh__blocks_destroy(books);
            books = NULL;
        }
    return books;
}

/* Watch the first word of an object that is homed here. */
static int watch(nsh__rma *rma, const _Atomic uint64_t *head)
{
    int rc = NSH_SUCCESS;

    pthread_mutex_lock(&rma->lock);
    if (rma->nheads == rma->capacity) {
        int64_t capacity = rma->capacity > 0 ? 2 * rma->capacity : 16;
        void *heads = realloc(rma->heads, (size_t)capacity * sizeof *rma->heads);

        if (heads == NULL) {
            rc = NSH_ERR_NOMEM;
        } else {
            rma->heads = heads;
            rma->capacity = capacity;
        }
    }
    if (rc == NSH_SUCCESS)
        rma->heads[rma->nheads++] = head;
    pthread_mutex_unlock(&rma->lock);
    return rc;
}

static void unwatch(nsh__rma *rma, const _Atomic uint64_t *head)
{
    pthread_mutex_lock(&rma->lock);
    for (int64_t i = rma->nheads - 1; i >= 0; i--) /* most objects die young */
        if (rma->heads[i] == head) {
            rma->heads[i] = rma->heads[--rma->nheads];
            break;
        }
    pthread_mutex_unlock(&rma->lock);
}

static _Atomic uint64_t *word_here(const nsh__rma *rma, const nsh__words *words)
{
    return rma->window[words->window].words + words->first;
}

static int metadata_result(nsh__blocks_result result)
{
    if (result == NSH__BLOCKS_FULL)
        return NSH_ERR_BUSY;
    return result == NSH__BLOCKS_OK
               ? NSH_SUCCESS
               : nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
}

/* What only the home's leader has to do for words that live with it. */
static int receive_words(nsh_comm *comm, const nsh__words *words)
{
    int rc = NSH_SUCCESS;

    if (words->home != comm->node_index || !nsh__comm_leads(comm))
        return NSH_SUCCESS;
    if (comm->rma->home_here.serve == NULL) {
        comm->rma->home_here = (nsh__home){nsh__words_serve, comm, NULL};
        nsh__homes_add(&comm->rma->home_here);
    }
    if (comm->helper == NULL && comm->progress == NSH_PROGRESS_AUTO && comm->threads)
        rc = nsh__helper_start(comm);
    if (rc == NSH_SUCCESS && watch(comm->rma, word_here(comm->rma, words)) != NSH_SUCCESS)
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    if (rc == NSH_SUCCESS)
        atomic_store_explicit(&comm->homes_words, true, memory_order_release);
    return rc;
}

/* Blocks of homes come and go; books that were opened, or have another window, count for nothing: a
 * rank opens them when it first needs them, which may have failed on another rank. */
static uint64_t home_factor(int home)
{
    return 2 * (uint64_t)home + 1;
}

static nsh__blocks_result alloc_block(nsh__rma *rma, int home, int64_t bytes,
                                      struct nsh__block **block)
{
    uint64_t before = nsh__blocks_history(rma->home[home]);
    nsh__blocks_result result = nsh__blocks_alloc(rma->home[home], bytes, NSH__BLOCKS_UNIT, block);

    rma->history += home_factor(home) * (nsh__blocks_history(rma->home[home]) - before);
    return result;
}

static void free_block(nsh__rma *rma, int home, struct nsh__block *block)
{
    uint64_t before = nsh__blocks_history(rma->home[home]);

    nsh__blocks_free(rma->home[home], block);
    rma->history += home_factor(home) * (nsh__blocks_history(rma->home[home]) - before);
}

uint64_t nsh__words_history(const nsh_comm *comm)
{
    return comm->rma != NULL ? comm->rma->history : 0;
}

/* Once for a communicator, with its first object that needs words. */
static void log_helpers(const nsh_comm *comm)
{
    if (comm->rank != 0 || comm->helped)
        return;
    nsh__log("no helper threads (%s): a leader that computes answers for its words only in MPI or "
             "in nsh_comm_progress; until then other nodes wait in lock, trylock and unlock, and "
             "timedlock gives up",
             comm->progress == NSH_PROGRESS_NONE ? "progress is NONE"
                                                 : "not all ranks have MPI_THREAD_MULTIPLE");
}

int nsh__words_alloc(nsh_comm *comm, int home, int64_t n, nsh__words *out)
{
    nsh__rma *rma = comm->rma;
    nsh__words words = {.home = home};
    int rc;

    if (nsh__fault(words_alloc))
        return nsh__fail(NSH_ERR_NOMEM, "words: failure on purpose");
    if (rma == NULL) {
        rma = comm->rma = rma_create(comm);
        log_helpers(comm);
    }
    if (rma != NULL && rma->home[home] == NULL)
        rma->home[home] = open_metadata(rma);
    if (rma == NULL || rma->home[home] == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    rc = metadata_result(alloc_block(rma, home, n * WORD, &words.block));
    if (rc != NSH_SUCCESS)
        return rc;
    words.window = nsh__block_region(words.block);
    words.first = nsh__block_offset(words.block) / WORD;
    rc = receive_words(comm, &words);
    if (rc != NSH_SUCCESS) {
        free_block(rma, home, words.block);
        return rc;
    }
    *out = words;
    return NSH_SUCCESS;
}

void nsh__words_free(nsh_comm *comm, nsh__words *words)
{
    if (words->block == NULL)
        return;
    if (words->home == comm->node_index && nsh__comm_leads(comm))
        unwatch(comm->rma, word_here(comm->rma, words));
    free_block(comm->rma, words->home, words->block);
    *words = (nsh__words){.block = NULL};
}

/* ---- backend window ---- */

static MPI_Op mpi_op(int32_t op)
{
    static const MPI_Op ops[] = {[NSH__WORD_SWAP] = MPI_REPLACE,
                                 [NSH__WORD_ADD] = MPI_SUM,
                                 [NSH__WORD_AND] = MPI_BAND,
                                 [NSH__WORD_READ] = MPI_NO_OP};

    return ops[op];
}

/* As a request, which can be waited for as wait.c waits, and given up. */
static int window_begin(nsh_comm *comm, int home)
{
    nsh__rma *rma = comm->rma;
    const request *r = &rma->ask;

    return MPI_Rget_accumulate(&r->value, 1, MPI_UINT64_T, &rma->answer, 1, MPI_UINT64_T, home,
                               (MPI_Aint)r->index, 1, MPI_UINT64_T, mpi_op(r->op),
                               rma->window[r->window].win, &rma->requests[0]);
}

/* Without a request: the cheapest, and the only way to compare and swap. */
static int window_at_once(nsh_comm *comm, int home)
{
    nsh__rma *rma = comm->rma;
    const request *r = &rma->ask;
    MPI_Win win = rma->window[r->window].win;

    if (r->op == NSH__WORD_CAS)
        return MPI_Compare_and_swap(&r->value, &r->expected, &rma->answer, MPI_UINT64_T, home,
                                    (MPI_Aint)r->index, win);
    return MPI_Fetch_and_op(&r->value, &rma->answer, MPI_UINT64_T, home, (MPI_Aint)r->index,
                            mpi_op(r->op), win);
}

/* ---- backend message ---- */

/* At home. The leader, its helper and another thread that waits may be here together. */
static uint64_t execute(nsh__rma *rma, const request *r)
{
    _Atomic uint64_t *word = rma->window[r->window].words + r->index;
    uint64_t old = r->expected;

    atomic_store_explicit(&rma->changed, nsh__wait_clock(), memory_order_relaxed);
    switch ((nsh__word_op)r->op) {
    case NSH__WORD_SWAP:
        return atomic_exchange(word, r->value);
    case NSH__WORD_ADD:
        return atomic_fetch_add(word, r->value);
    case NSH__WORD_AND:
        return atomic_fetch_and(word, r->value);
    case NSH__WORD_CAS:
        atomic_compare_exchange_strong(word, &old, r->value);
        return old;
    case NSH__WORD_READ:
        break;
    }
    return atomic_load(word);
}

static int message_begin(nsh_comm *comm, int home)
{
    nsh__rma *rma = comm->rma;
    int rc;

    if (home == comm->rank) {
        rma->answer = execute(rma, &rma->ask);
        return MPI_SUCCESS;
    }
    rc = MPI_Irecv(&rma->answer, WORD, MPI_BYTE, home, NSH__TAG_ANSWER, comm->mpi,
                   &rma->requests[0]);
    if (rc == MPI_SUCCESS)
        rc = MPI_Isend(&rma->ask, (int)sizeof rma->ask, MPI_BYTE, home, NSH__TAG_ASK, comm->mpi,
                       &rma->requests[1]);
    return rc;
}

static int answer(nsh_comm *comm, MPI_Message *message, int to)
{
    MPI_Request sent;
    request r;
    int rc = MPI_Mrecv(&r, (int)sizeof r, MPI_BYTE, message, MPI_STATUS_IGNORE);

    if (rc != MPI_SUCCESS)
        return rc;
    comm->rma->answers[to] = execute(comm->rma, &r);
    rc = MPI_Isend(&comm->rma->answers[to], WORD, MPI_BYTE, to, NSH__TAG_ANSWER, comm->mpi, &sent);
    if (rc == MPI_SUCCESS)
        rc = MPI_Request_free(&sent); /* who has the answer may ask again, and then it is sent */
    return nsh__fault(words_serve) ? MPI_ERR_OTHER : rc;
}

/* One request from the rank that has sent one. A matched probe, because the helper and another
 * thread that waits may serve at the same time. A request that cannot be answered leaves its rank
 * waiting, so a failure breaks the communicator. */
static bool serve_one(nsh_comm *comm)
{
    MPI_Message message;
    MPI_Status status;
    int there = 0;
    int rc = MPI_Improbe(MPI_ANY_SOURCE, NSH__TAG_ASK, comm->mpi, &there, &message, &status);

    if (rc == MPI_SUCCESS && there)
        rc = answer(comm, &message, status.MPI_SOURCE);
    if (rc != MPI_SUCCESS && !nsh__comm_broken(comm))
        nsh__comm_break(comm, nsh__fail_mpi("service of a request for a word", rc));
    return rc == MPI_SUCCESS && there;
}

/* ---- serve ---- */

/* Words change under this rank while somebody is in MPI here; so look after each probe. */
static void look_for_changes(nsh__rma *rma)
{
    uint64_t sum = 0;

    int64_t now = nsh__wait_clock();

    if (pthread_mutex_trylock(&rma->lock) != 0)
        return; /* somebody is looking */
    if (now - rma->looked >= LOOK_NS) {
        for (int64_t i = 0; i < rma->nheads; i++)
            sum += atomic_load_explicit(rma->heads[i], memory_order_relaxed);
        if (sum != rma->sum)
            atomic_store_explicit(&rma->changed, now, memory_order_relaxed);
        rma->sum = sum;
        rma->looked = now;
    }
    pthread_mutex_unlock(&rma->lock);
}

int64_t nsh__words_serve(void *owner)
{
    nsh_comm *comm = owner;

    if (comm->words_by_message)
        while (serve_one(comm))
            ;
    else
        look_for_changes(comm->rma);
    return nsh__words_changed(comm);
}

int64_t nsh__words_changed(const nsh_comm *comm)
{
    return atomic_load_explicit(&comm->rma->changed, memory_order_relaxed);
}

/* ---- operations ---- */

/* Begin what rma->ask says. MPI_Win_flush spins through a time slice that the home may need to
 * answer: where ranks exceed cores this rank waits as wait.c does, and the flush in finish() finds
 * nothing to wait for. So it does where the operation may be given up. */
static int begin(nsh_comm *comm, int home, int64_t deadline)
{
    int rc;

    if (comm->words_by_message)
        rc = message_begin(comm, home);
    else if (comm->rma->ask.op != NSH__WORD_CAS && (comm->wait.yield || deadline != NSH__NEVER))
        rc = window_begin(comm, home);
    else
        rc = window_at_once(comm, home);
    return rc == MPI_SUCCESS ? NSH_SUCCESS
                             : nsh__fail_mpi("operation on a word of another node", rc);
}

/* The answer. No RMA result is read before its flush. */
static int finish(nsh_comm *comm, int64_t deadline)
{
    nsh__rma *rma = comm->rma;
    int home = comm->leader_of[rma->ask_home], mpi = MPI_SUCCESS;
    int rc;

    comm->partner = home;
    rc = nsh__wait_requests_until(&comm->wait, 2, rma->requests, deadline);
    comm->partner = -1;
    if (rc != NSH_SUCCESS)
        return rc;
    if (!comm->words_by_message)
        mpi = MPI_Win_flush(home, rma->window[rma->ask.window].win);
    if (mpi != MPI_SUCCESS || nsh__fault(words_op))
        return nsh__fail_mpi("operation on a word of another node", mpi);
    return NSH_SUCCESS;
}

int nsh__words_settle(nsh_comm *comm, int64_t deadline)
{
    nsh__rma *rma = comm->rma;
    nsh__late late;
    int rc;

    if (rma == NULL)
        return NSH_SUCCESS;
    rc = atomic_load_explicit(comm->wait.broken, memory_order_acquire);
    if (rc != NSH_SUCCESS)
        nsh__explain_break(comm, rc);
    if (rc != NSH_SUCCESS || rma->late.resume == NULL)
        return rc; /* a broken one may have left a request behind */
    rc = finish(comm, deadline);
    if (rc != NSH_SUCCESS)
        return rc;
    late = rma->late;
    rma->late.resume = NULL; /* it may give up another one */
    return late.resume(late.owner, rma->answer, deadline);
}

static int operate(nsh_comm *comm, const nsh__words *words, const request *r, const nsh__late *late,
                   uint64_t *old)
{
    int64_t deadline = late != NULL ? late->deadline : NSH__NEVER;
    nsh__rma *rma = comm->rma;
    int rc = nsh__words_settle(comm, NSH__NEVER);

    if (rc != NSH_SUCCESS)
        return rc;
    rma->ask = *r;
    rma->ask_home = words->home;
    /* MPI drives itself in a flush, so the helper may rest. */
    atomic_store_explicit(&comm->wait.waiting, true, memory_order_relaxed);
    rc = begin(comm, comm->leader_of[words->home], deadline);
    if (rc == NSH_SUCCESS)
        rc = finish(comm, deadline);
    atomic_store_explicit(&comm->wait.waiting, false, memory_order_relaxed);
    if (rc == NSH_SUCCESS)
        *old = rma->answer;
    else if (rc == NSH_ERR_TIMEOUT)
        rma->late = *late;
    else
        drop(comm);
    return rc;
}

int nsh__word_try(nsh_comm *comm, const nsh__words *words, nsh__word_op op, int64_t i,
                  uint64_t value, const nsh__late *late, uint64_t *old)
{
    const request r = {(int32_t)op, words->window, words->first + i, value, 0};

    return operate(comm, words, &r, late, old);
}

int nsh__word_swap(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t value,
                   uint64_t *old)
{
    return nsh__word_try(comm, words, NSH__WORD_SWAP, i, value, NULL, old);
}

int nsh__word_add(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t value, uint64_t *old)
{
    return nsh__word_try(comm, words, NSH__WORD_ADD, i, value, NULL, old);
}

int nsh__word_cas(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t expected,
                  uint64_t value, uint64_t *old)
{
    const request r = {NSH__WORD_CAS, words->window, words->first + i, value, expected};

    return operate(comm, words, &r, NULL, old);
}

int nsh__word_read(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t *value)
{
    return nsh__word_try(comm, words, NSH__WORD_READ, i, 0, NULL, value);
}
