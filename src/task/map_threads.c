/* SPDX-License-Identifier: BSD-3-Clause */
/* map_threads.c -- the workers of one rank.
 *
 * Invariant: for every chunk that a thread of this rank must fetch and cannot, there is one refill
 * request, and the rank serves every request: other ranks of the node may wait for that chunk. */
#include "task/map_threads.h"

#include "base/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Threads ask their rank for chunks here. */
typedef struct refill_request {
    atomic_uint changes; /* the rank sleeps on it: incremented for every request and every end of a
                            thread */
    atomic_uint sleepers;
    atomic_uint requests; /* chunks that were requested so far */
    atomic_uint ended;    /* threads that have ended */
    atomic_int failed;    /* the code if the rank could not fetch: then all threads stop */
} refill_request;

typedef struct thread_worker {
    const nsh__work *work;
    nsh_map_worker worker;
    nsh__failure failure;
    int rc;
    refill_request *request; /* NULL: this worker is the rank itself */
    nsh__wait wait;          /* of a thread: without MPI */
    pthread_t thread;
} thread_worker;

static thread_worker thread_worker_of(const nsh__work *work, int thread)
{
    return (thread_worker){.work = work,
                           .worker = {.id = work->first + thread,
                                      .count = work->workers,
                                      .rank = work->claims.comm->rank,
                                      .thread = thread},
                           .failure = {INT64_MAX, NSH_SUCCESS, thread}};
}

/* False: this worker stops. */
static bool run_blocks(thread_worker *h, int64_t first, int64_t count)
{
    for (int64_t b = first; b < first + count; b++) {
        int64_t failed = 0;
        int code = h->work->run(h->work->owner, &h->worker, b, &failed);

        if (code == NSH_SUCCESS)
            continue;
        if (failed < h->failure.index)
            h->failure = (nsh__failure){failed, code > 0 ? code : NSH_ERR_ARG, h->worker.thread};
        if (!h->work->keep_going)
            return false;
    }
    return true;
}

static void run_fixed(thread_worker *h)
{
    int64_t begin, end;

    if (nsh_split(h->work->claims.n, h->work->workers, h->worker.id, &begin, &end) == NSH_SUCCESS)
        run_blocks(h, begin, end - begin);
}

/* ---- threads ---- */

/* Increment a counter and wake the rank. */
static void count_and_wake(refill_request *request, atomic_uint *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_release);
    atomic_fetch_add_explicit(&request->changes, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&request->changes, &request->sleepers);
}

/* Does a new chunk come from beyond this node? */
static bool fetches_from_outside(const nsh__claims *claims)
{
    return claims->source != NULL || claims->comm->node_count > 1;
}

static void request_refill(thread_worker *h)
{
    bool none;

    if (fetches_from_outside(&h->work->claims))
        count_and_wake(h->request, &h->request->requests);
    else
        nsh__claim_refill(&h->work->claims, &none);
}

/* nsh__claim_take for a thread. False: no block is left, or fetching has failed. */
static bool take_blocks(thread_worker *h, int64_t *first, int64_t *count)
{
    const nsh__claims *claims = &h->work->claims;
    unsigned generation = 0;

    while (atomic_load(&h->request->failed) == NSH_SUCCESS) {
        switch (nsh__claim_try(claims, h->work->parts, first, count, &generation)) {
        case NSH__CLAIM_TAKEN:
            return true;
        case NSH__CLAIM_REFILL:
            request_refill(h);
            break;
        case NSH__CLAIM_WAIT:
            h->rc = nsh__wait_word(&h->wait, &claims->area->generation, generation + 1,
                                   &claims->area->sleepers);
            if (h->rc != NSH_SUCCESS)
                return false;
            break;
        default:
            return false;
        }
    }
    return false;
}

static void *thread_main(void *arg)
{
    thread_worker *h = arg;
    int64_t first, count;

    if (h->work->affinity != NULL)
        nsh__machine_bind(h->work->affinity);
    if (h->work->fixed)
        run_fixed(h);
    else
        while (take_blocks(h, &first, &count) && run_blocks(h, first, count))
            ;
    count_and_wake(h->request, &h->request->ended);
    return NULL;
}

/* [by the rank] Fetch until all threads have ended and all requests are served. `ended` is read
 * first: a thread makes its requests before its end. */
static int serve_requests(const nsh__work *work, refill_request *request, unsigned threads)
{
    nsh__wait *wait = &work->claims.comm->wait;
    int rc = NSH_SUCCESS;

    for (unsigned served = 0;;) {
        unsigned seen = atomic_load_explicit(&request->changes, memory_order_acquire);
        bool all = atomic_load_explicit(&request->ended, memory_order_acquire) == threads, none;

        if (served != atomic_load_explicit(&request->requests, memory_order_acquire)) {
            served++;
            rc = nsh__claim_refill(&work->claims, &none);
            if (rc != NSH_SUCCESS)
                atomic_store(&request->failed, rc);
        } else if (all) {
            return rc;
        } else {
            /* This wait also ends when the communicator is broken; threads see that themselves and
             * end. */
            wait->unreported = true;
            nsh__wait_word(wait, &request->changes, seen + 1, &request->sleepers);
            wait->unreported = false;
        }
    }
}

static int start_thread(thread_worker *h, const nsh__work *work, int thread,
                        refill_request *request)
{
    int rc;

    *h = thread_worker_of(work, thread);
    h->request = request;
    h->wait = (nsh__wait){.comm = MPI_COMM_NULL,
                          .watch_tag = -1,
                          .spin_ns = work->claims.comm->wait.spin_ns,
                          .yield = work->claims.comm->wait.yield,
                          .broken = work->claims.comm->wait.broken};
    rc = nsh__fault(map_thread) ? -1 : pthread_create(&h->thread, NULL, thread_main, h);
    return rc == 0 ? NSH_SUCCESS
                   : nsh__fail(NSH_ERR_NOMEM, "no thread %d: %s (rank %d)", thread,
                               rc > 0 ? strerror(rc) : "injected failure", work->claims.comm->rank);
}

static void merge_failure(const thread_worker *h, nsh__failure *failure, int *rc)
{
    if (h->failure.index < failure->index)
        *failure = h->failure;
    if (*rc == NSH_SUCCESS)
        *rc = h->rc;
}

int nsh__map_threads_run(const nsh__work *work, int threads, nsh__failure *failure)
{
    thread_worker *workers =
        nsh__fault(map_alloc) ? NULL : calloc((size_t)threads, sizeof *workers);
    refill_request request = {.changes = 0};
    int rc = NSH_SUCCESS, served, started = 0;

    failure->index = INT64_MAX;
    if (workers == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for %d threads (rank %d)", threads,
                         work->claims.comm->rank);
    while (started < threads && rc == NSH_SUCCESS) {
        rc = start_thread(&workers[started], work, started, &request);
        started += rc == NSH_SUCCESS;
    }
    served = serve_requests(work, &request, (unsigned)started);
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        merge_failure(&workers[i], failure, &rc);
    }
    free(workers);
    return rc != NSH_SUCCESS ? rc : served;
}

/* ---- the rank itself ---- */

int nsh__map_threads_none(const nsh__work *work, nsh__failure *failure)
{
    thread_worker h = thread_worker_of(work, 0);
    int64_t first, count = 1;
    int rc = NSH_SUCCESS;

    if (work->fixed)
        run_fixed(&h);
    while (!work->fixed && rc == NSH_SUCCESS) {
        rc = nsh__claim_take(&work->claims, work->parts, &first, &count);
        if (rc != NSH_SUCCESS || count == 0 || !run_blocks(&h, first, count))
            break;
    }
    *failure = h.failure;
    return rc;
}
