/* SPDX-License-Identifier: BSD-3-Clause */
/* rma.c -- operations on 64-bit words that other nodes access.
 *
 * Invariant: a rank has at most one operation under way, and no result is read before its flush. */
#define _GNU_SOURCE
#include "core/rma.h"

#include "base/fault.h"
#include "core/comm_break.h"
#include "core/message.h"
#include "core/rma_private.h"

enum {
    WORD = (int)sizeof(uint64_t),
    LOOK_NS = 20 * 1000 /* between two scans of all words: there may be thousands */
};

/* ---- backend window ---- */

static MPI_Op mpi_op(int32_t op)
{
    static const MPI_Op ops[] = {[NSH__WORD_SWAP] = MPI_REPLACE,
                                 [NSH__WORD_ADD] = MPI_SUM,
                                 [NSH__WORD_AND] = MPI_BAND,
                                 [NSH__WORD_READ] = MPI_NO_OP};

    return ops[op];
}

/* Begin an operation with a request, for which wait.c can wait, and which can be given up. */
static int window_begin(nsh_comm *comm, int home)
{
    nsh__rma *rma = comm->rma;
    const nsh__word_request *r = &rma->ask;

    return MPI_Rget_accumulate(&r->value, 1, MPI_UINT64_T, &rma->answer, 1, MPI_UINT64_T, home,
                               (MPI_Aint)r->index, 1, MPI_UINT64_T, mpi_op(r->op),
                               rma->window[r->window].win, &rma->requests[0]);
}

/* An operation without a request: it costs least, and is the only way to compare and swap. */
static int window_at_once(nsh_comm *comm, int home)
{
    nsh__rma *rma = comm->rma;
    const nsh__word_request *r = &rma->ask;
    MPI_Win win = rma->window[r->window].win;

    if (r->op == NSH__WORD_CAS)
        return MPI_Compare_and_swap(&r->value, &r->expected, &rma->answer, MPI_UINT64_T, home,
                                    (MPI_Aint)r->index, win);
    return MPI_Fetch_and_op(&r->value, &rma->answer, MPI_UINT64_T, home, (MPI_Aint)r->index,
                            mpi_op(r->op), win);
}

/* ---- backend message ---- */

/* [at the home] Execute a request. The leader, its helper and another waiting thread may be here at
 * the same time. */
static uint64_t execute(nsh__rma *rma, const nsh__word_request *r)
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
    nsh__word_request r;
    int rc = MPI_Mrecv(&r, (int)sizeof r, MPI_BYTE, message, MPI_STATUS_IGNORE);

    if (rc != MPI_SUCCESS)
        return rc;
    comm->rma->answers[to] = execute(comm->rma, &r);
    rc = MPI_Isend(&comm->rma->answers[to], WORD, MPI_BYTE, to, NSH__TAG_ANSWER, comm->mpi, &sent);
    if (rc == MPI_SUCCESS)
        rc = MPI_Request_free(&sent); /* a rank that has the answer may send the next request: then
                                         the answer is sent */
    return nsh__fault(words_serve) ? MPI_ERR_OTHER : rc;
}

/* Serve one request. A matched probe, because the helper and another waiting thread may serve at
 * the same time. A request that cannot be answered would leave its rank waiting, so a failure
 * breaks the communicator. */
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

/* Other ranks change the words while a thread is in MPI here, so look after each probe. */
static void look_for_changes(nsh__rma *rma)
{
    uint64_t sum = 0;

    int64_t now = nsh__wait_clock();

    if (pthread_mutex_trylock(&rma->lock) != 0)
        return; /* another thread looks */
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

/* The answer is not needed any more. An operation on a window cannot be dropped: it ends with the
 * window. */
static void drop_operation(nsh_comm *comm)
{
    if (!comm->words_by_message)
        return;
    nsh__drop_request(&comm->rma->requests[0], true);
    nsh__drop_request(&comm->rma->requests[1], false);
}

/* Begin the operation in rma->ask. MPI_Win_flush spins through a time slice that the home may need
 * to answer. So if ranks exceed cores this rank waits as wait.c does, and the flush in
 * finish_operation() has nothing to wait for. The same holds if the operation may be given up. */
static int begin_operation(nsh_comm *comm, int home, int64_t deadline)
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

/* Receive the answer. No RMA result is read before its flush. */
static int finish_operation(nsh_comm *comm, int64_t deadline)
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
        return rc; /* a broken communicator may still have a request */
    rc = finish_operation(comm, deadline);
    if (rc != NSH_SUCCESS)
        return rc;
    late = rma->late;
    rma->late.resume = NULL; /* resume may give up another operation */
    return late.resume(late.owner, rma->answer, deadline);
}

static int operate(nsh_comm *comm, const nsh__words *words, const nsh__word_request *r,
                   const nsh__late *late, uint64_t *old)
{
    int64_t deadline = late != NULL ? late->deadline : NSH__NEVER;
    nsh__rma *rma = comm->rma;
    int rc = nsh__words_settle(comm, NSH__NEVER);

    if (rc != NSH_SUCCESS)
        return rc;
    rma->ask = *r;
    rma->ask_home = words->home;
    /* A flush drives MPI, so the helper need not. */
    atomic_store_explicit(&comm->wait.waiting, true, memory_order_relaxed);
    rc = begin_operation(comm, comm->leader_of[words->home], deadline);
    if (rc == NSH_SUCCESS)
        rc = finish_operation(comm, deadline);
    atomic_store_explicit(&comm->wait.waiting, false, memory_order_relaxed);
    if (rc == NSH_SUCCESS)
        *old = rma->answer;
    else if (rc == NSH_ERR_TIMEOUT)
        rma->late = *late;
    else
        drop_operation(comm);
    return rc;
}

int nsh__word_try(nsh_comm *comm, const nsh__words *words, nsh__word_op op, int64_t i,
                  uint64_t value, const nsh__late *late, uint64_t *old)
{
    const nsh__word_request r = {(int32_t)op, words->window, words->first + i, value, 0};

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
    const nsh__word_request r = {NSH__WORD_CAS, words->window, words->first + i, value, expected};

    return operate(comm, words, &r, NULL, old);
}

int nsh__word_read(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t *value)
{
    return nsh__word_try(comm, words, NSH__WORD_READ, i, 0, NULL, value);
}

void nsh__words_drop(nsh_comm *comm)
{
    drop_operation(comm);
    if (comm->rma->requests[0] != MPI_REQUEST_NULL) /* complete, because its window is closed */
        MPI_Wait(&comm->rma->requests[0], MPI_STATUS_IGNORE);
}
