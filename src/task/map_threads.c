/* SPDX-License-Identifier: BSD-3-Clause */
/* map_threads.c -- the workers of one rank.
 *
 * Invariant: for every chunk that a thread of this rank has to fetch and cannot, there is one
 * order, and the rank leaves no order behind: others of the node may be waiting for that chunk. */
#include "task/map_threads.h"

#include "base/fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How threads call their rank. */
typedef struct refill_request {
    atomic_uint changes; /* what the rank sleeps on: one for every order and every end */
    atomic_uint sleepers;
    atomic_uint requests; /* chunks to be fetched so far */
    atomic_uint ended;    /* threads */
    atomic_int failed;    /* the rank could not fetch: no thread waits any more */
} refill_request;

typedef struct hand {
    const nsh__work *work;
    nsh_map_worker worker;
    nsh__failure failure;
    int rc;
    refill_request *request; /* NULL: this is the rank itself */
    nsh__wait wait;          /* of a thread: without MPI */
    pthread_t thread;
} hand;

static hand hand_of(const nsh__work *work, int thread)
{
    return (hand){.work = work,
                  .worker = {.id = work->first + thread,
                             .count = work->workers,
                             .rank = work->claims.comm->rank,
                             .thread = thread},
                  .failure = {INT64_MAX, NSH_SUCCESS, thread}};
}

/* False: this worker is through. */
static bool run_blocks(hand *h, int64_t first, int64_t count)
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

static void run_fixed(hand *h)
{
    int64_t begin, end;

    if (nsh_split(h->work->claims.n, h->work->workers, h->worker.id, &begin, &end) == NSH_SUCCESS)
        run_blocks(h, begin, end - begin);
}

/* ---- threads ---- */

/* Counts one up and wakes the rank. */
static void ring(refill_request *request, atomic_uint *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_release);
    atomic_fetch_add_explicit(&request->changes, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&request->changes, &request->sleepers);
}

/* Does fetching a chunk take more than this node? */
static bool fetches_afar(const nsh__claims *claims)
{
    return claims->source != NULL || claims->comm->node_count > 1;
}

static void order(hand *h)
{
    bool none;

    if (fetches_afar(&h->work->claims))
        ring(h->request, &h->request->requests);
    else
        nsh__claim_refill(&h->work->claims, &none);
}

/* nsh__claim_take for a thread. False: none is left, or none can be had. */
static bool take(hand *h, int64_t *first, int64_t *count)
{
    const nsh__claims *claims = &h->work->claims;
    unsigned generation = 0;

    while (atomic_load(&h->request->failed) == NSH_SUCCESS) {
        switch (nsh__claim_try(claims, h->work->parts, first, count, &generation)) {
        case NSH__CLAIM_TAKEN:
            return true;
        case NSH__CLAIM_REFILL:
            order(h);
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
    hand *h = arg;
    int64_t first, count;

    if (h->work->affinity != NULL)
        nsh__machine_bind(h->work->affinity);
    if (h->work->fixed)
        run_fixed(h);
    else
        while (take(h, &first, &count) && run_blocks(h, first, count))
            ;
    ring(h->request, &h->request->ended);
    return NULL;
}

/* Until all threads have ended and all requests are served. `ended` is looked at first: an order
 * comes before its thread's end. */
static int serve(const nsh__work *work, refill_request *request, unsigned threads)
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
            /* A broken communicator shows here too; threads see it for themselves and end. */
            wait->unreported = true;
            nsh__wait_word(wait, &request->changes, seen + 1, &request->sleepers);
            wait->unreported = false;
        }
    }
}

static int start(hand *h, const nsh__work *work, int thread, refill_request *request)
{
    int rc;

    *h = hand_of(work, thread);
    h->request = request;
    h->wait = (nsh__wait){.comm = MPI_COMM_NULL,
                          .watch_tag = -1,
                          .spin_ns = work->claims.comm->wait.spin_ns,
                          .yield = work->claims.comm->wait.yield,
                          .broken = work->claims.comm->wait.broken};
    rc = nsh__fault(map_thread) ? -1 : pthread_create(&h->thread, NULL, thread_main, h);
    return rc == 0
               ? NSH_SUCCESS
               : nsh__fail(NSH_ERR_NOMEM, "no thread %d: %s (rank %d)", thread,
                           rc > 0 ? strerror(rc) : "failure on purpose", work->claims.comm->rank);
}

static void gather(const hand *h, nsh__failure *failure, int *rc)
{
    if (h->failure.index < failure->index)
        *failure = h->failure;
    if (*rc == NSH_SUCCESS)
        *rc = h->rc;
}

int nsh__map_threads_run(const nsh__work *work, int threads, nsh__failure *failure)
{
    hand *hands = nsh__fault(map_alloc) ? NULL : calloc((size_t)threads, sizeof *hands);
    refill_request request = {.changes = 0};
    int rc = NSH_SUCCESS, served, started = 0;

    failure->index = INT64_MAX;
    if (hands == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for %d threads (rank %d)", threads,
                         work->claims.comm->rank);
    while (started < threads && rc == NSH_SUCCESS) {
        rc = start(&hands[started], work, started, &request);
        started += rc == NSH_SUCCESS;
    }
    served = serve(work, &request, (unsigned)started);
    for (int i = 0; i < started; i++) {
        pthread_join(hands[i].thread, NULL);
        gather(&hands[i], failure, &rc);
    }
    free(hands);
    return rc != NSH_SUCCESS ? rc : served;
}

/* ---- the rank itself ---- */

int nsh__map_threads_none(const nsh__work *work, nsh__failure *failure)
{
    hand h = hand_of(work, 0);
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
