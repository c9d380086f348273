/* SPDX-License-Identifier: BSD-3-Clause */
/* map.c -- call a function for each index, or for each row of an array.
 *
 * A call begins with an agreement on its arguments, in which the ranks also get shared memory. Then
 * the workers run, and a second agreement follows. If several nodes have rows or accumulators,
 * these are exchanged before a third one.
 *
 * Invariant: the blocks depend on n and the options alone, and so does the order in which
 * accumulators are combined. */
#define _GNU_SOURCE
#include <nodeshare/map.h>

#include "base/hash.h"
#include "base/sized.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/shared.h"
#include "array/array.h"
#include "task/map_rows.h"
#include "task/map_threads.h"

#include <inttypes.h>
#include <string.h>

enum {
    BLOCKS = 4096,           /* of a map; enough to balance the load, few enough to combine */
    FEWEST_BLOCKS = 8,       /* however large the accumulators are */
    ACCUMULATORS = 64 << 20, /* bytes of them on a node, unless that needs fewer than
                                FEWEST_BLOCKS */
    LINE = 64,
    GUIDED_SHARES = 2 /* a worker takes 1/2 of its part of what is left */
};

#define MOST (INT64_C(1) << 62)

/* One call, as a rank sees it. */
typedef struct map {
    nsh_comm *comm;
    nsh__call call;
    int64_t n;
    nsh_map_options o;
    void *arg;
    nsh_map_kernel kernel;         /* this one or the other */
    nsh_map_row_kernel row_kernel; /* with rows */
    nsh_array *out;
    int64_t row_bytes;

    int64_t block, blocks, stride; /* stride: of accumulators */
    int home;
    nsh__shared shared;
    char *accumulators; /* in shared memory: one for each block */
    unsigned char
        *own_blocks; /* in shared memory: blocks that this node has begun; NULL: not needed */
    nsh__map_rows row_pieces;
    bool worked; /* the kernels of all ranks have run */
} map;

/* ---- options and blocks ---- */

static int read_options(map *m, const nsh_map_options *options)
{
    static const nsh__sized kind = NSH__SIZED(nsh_map_options, result, NSH_MAP_OPTIONS_INIT);

    return nsh__sized_read(&kind, nsh__call_name(m->call), m->comm->rank, options, &m->o);
}

static int check_map(const map *m)
{
    const nsh_map_options *o = &m->o;
    const char *call = nsh__call_name(m->call);
    int rank = m->comm->rank;

    if (m->kernel == NULL && m->row_kernel == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: kernel is NULL (rank %d)", call, rank);
    if (m->n < 0 || m->n > MOST)
        return nsh__fail(NSH_ERR_ARG, "%s: n %" PRId64 " is not in 0 .. 2^62 (rank %d)", call, m->n,
                         rank);
    if ((unsigned)o->context > NSH_MAP_RANKS_THREADS || (unsigned)o->schedule > NSH_MAP_GUIDED ||
        o->threads < 0 || o->threads > INT32_MAX / m->comm->size || o->block < 0 || o->chunk < 0 ||
        o->reduce_bytes < 0)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: option out of range: context %d, schedule %d, threads %d, block "
                         "%" PRId64 ", chunk %" PRId64 ", reduce_bytes %" PRId64 " (rank %d)",
                         call, (int)o->context, (int)o->schedule, o->threads, o->block, o->chunk,
                         o->reduce_bytes, rank);
    if (o->reduce_bytes > 0 && (o->combine == NULL || o->result == NULL))
        return nsh__fail(NSH_ERR_ARG, "%s: a reduction without %s (rank %d)", call,
                         o->combine == NULL ? "combine" : "result", rank);
    return NSH_SUCCESS;
}

/* Are indices, not blocks, split among the workers? A reduction needs blocks that do not depend on
 * the number of workers. */
static bool splits_indices(const map *m)
{
    return m->o.schedule == NSH_MAP_STATIC && m->o.reduce_bytes == 0;
}

/* Choose the number of blocks, and of indices in each. */
static int choose_block_size(map *m)
{
    int64_t most = BLOCKS, bytes = m->o.reduce_bytes;

    if (bytes > INT64_MAX / BLOCKS - LINE)
        return nsh__fail(NSH_ERR_ARG, "%s: reduce_bytes %" PRId64 " (rank %d)",
                         nsh__call_name(m->call), bytes, m->comm->rank);
    m->stride = (bytes + LINE - 1) / LINE * LINE;
    if (m->stride > ACCUMULATORS / BLOCKS)
        most = ACCUMULATORS / m->stride;
    if (most < FEWEST_BLOCKS)
        most = FEWEST_BLOCKS;
    m->block = m->o.block > 0 ? m->o.block : (m->n + most - 1) / most;
    if (m->block < 1 || splits_indices(m))
        m->block = 1;
    m->blocks = m->n / m->block + (m->n % m->block != 0);
    if (m->stride > 0 && m->blocks > INT64_MAX / 4 / m->stride)
        return nsh__fail(NSH_ERR_NOMEM, "%s: %" PRId64 " accumulators of %" PRId64 " bytes",
                         nsh__call_name(m->call), m->blocks, bytes);
    return NSH_SUCCESS;
}

/* Must a node know which blocks it has run? */
static bool spreads_rows(const map *m)
{
    return m->comm->node_count > 1 && (m->out != NULL || m->stride > 0);
}

/* The largest number of pieces in which the blocks of this node can lie. */
static int64_t most_pieces(const map *m)
{
    int64_t threads = m->o.threads > 0 ? m->o.threads : m->comm->cores;

    return splits_indices(m) ? m->comm->node_size * threads : (m->blocks + 1) / 2;
}

static uint64_t map_signature(const map *m)
{
    const nsh_map_options *o = &m->o;
    uint64_t signature = nsh__mix(nsh__mix(m->comm->created, (uint64_t)m->n), (uint64_t)o->context);

    signature = nsh__mix(nsh__mix(signature, (uint64_t)o->schedule), (uint64_t)o->threads);
    signature = nsh__mix(nsh__mix(signature, (uint64_t)o->block), (uint64_t)o->reduce_bytes);
    signature = nsh__mix(nsh__mix(signature, (uint64_t)o->chunk), o->keep_going != 0);
    if (o->identity != NULL && o->reduce_bytes > 0)
        signature = nsh__mix_bytes(signature, o->identity, (size_t)o->reduce_bytes);
    return nsh__mix(signature, m->out != NULL ? m->out->id : 0);
}

/* [collective] Agree on the call, and get shared memory for claims, accumulators and own_blocks. */
static int map_begin(map *m, const nsh_map_options *options)
{
    int64_t area = (int64_t)sizeof(nsh__claim_area);
    nsh__need need = {area, m->comm->node_count > 1 ? 1 : 0, 0};
    int rc = read_options(m, options);

    if (rc == NSH_SUCCESS)
        rc = check_map(m);
    if (rc == NSH_SUCCESS)
        rc = choose_block_size(m);
    if (rc == NSH_SUCCESS)
        rc = nsh__map_rows_create(m->comm, spreads_rows(m) ? most_pieces(m) : 0, &m->row_pieces);
    if (rc == NSH_SUCCESS)
        need.bytes += m->blocks * m->stride + (spreads_rows(m) ? m->blocks : 0);
    nsh__shared_home(m->comm, m->call, NSH_HOME_ANY, &m->home);
    need.home = m->home;
    rc = nsh__shared_create(m->comm, m->call, rc, map_signature(m), &need, NULL, &m->shared);
    if (rc != NSH_SUCCESS)
        return rc;
    m->accumulators = m->shared.block.rw + area;
    m->own_blocks =
        spreads_rows(m) ? (unsigned char *)m->accumulators + m->blocks * m->stride : NULL;
    return NSH_SUCCESS;
}

/* ---- the work ---- */

static int run_index(const map *m, const nsh_map_worker *worker, int64_t index)
{
    if (m->out == NULL)
        return m->kernel(worker, index, m->arg);
    return m->row_kernel(worker, index, m->out->replica.rw + index * m->row_bytes, m->arg);
}

static int run_block(void *owner, nsh_map_worker *worker, int64_t block, int64_t *failed)
{
    const map *m = owner;
    int64_t first = block * m->block;
    int64_t last = block + 1 < m->blocks ? first + m->block : m->n;
    int rc = NSH_SUCCESS;

    if (m->own_blocks != NULL)
        m->own_blocks[block] = 1; /* only this worker writes it; it is read after the agreement */
    if (m->stride > 0) {
        worker->accumulator = m->accumulators + block * m->stride;
        if (m->o.identity != NULL)
            memcpy(worker->accumulator, m->o.identity, (size_t)m->o.reduce_bytes);
    }
    for (int64_t i = first; i < last && (rc == NSH_SUCCESS || m->o.keep_going); i++) {
        int code = run_index(m, worker, i);

        if (rc == NSH_SUCCESS && code != NSH_SUCCESS) {
            *failed = i;
            rc = code;
        }
    }
    return rc;
}

static bool on_threads(const map *m)
{
    return m->o.context == NSH_MAP_THREADS || m->o.context == NSH_MAP_RANKS_THREADS;
}

static bool on_ranks(const map *m)
{
    return m->o.context == NSH_MAP_RANKS || m->o.context == NSH_MAP_RANKS_THREADS;
}

/* [collective] Agree on the number of threads of each rank. If only rank 0 has threads, the other
 * ranks are idle. */
static int agree_threads(const map *m, int *threads)
{
    nsh__agreement agreement = {.call = m->call, .signature = 1, .range = true};
    int rc;

    *threads = on_threads(m) ? m->o.threads : 1;
    if (*threads > 0)
        return NSH_SUCCESS;
    if (on_ranks(m))
        agreement.low = m->comm->cores / m->comm->host_ranks;
    else
        agreement.low = m->comm->rank == 0 ? m->comm->cores : INT32_MAX;
    nsh__agreement_enter(m->comm, &agreement);
    rc = nsh__agreement_leave(m->comm, &agreement);
    *threads = agreement.low > 1 ? (int)agreement.low : 1;
    return rc;
}

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

static int run_workers(map *m, int threads, nsh__failure *failure)
{
    nsh_comm *comm = m->comm;
    int64_t here = on_ranks(m) ? (int64_t)threads * comm->node_size : threads;
    nsh__work work = {.fixed = m->o.schedule == NSH_MAP_STATIC,
                      .keep_going = m->o.keep_going != 0,
                      .affinity = on_ranks(m) ? NULL : comm->affinity,
                      .first = comm->rank * threads,
                      .workers = on_ranks(m) ? comm->size * threads : threads,
                      .run = run_block,
                      .owner = m};
    int rc;

    failure->index = INT64_MAX;
    if (!on_ranks(m) && comm->rank != 0)
        return NSH_SUCCESS;
    work.claims =
        (nsh__claims){.comm = comm,
                      .area = (nsh__claim_area *)(void *)m->shared.block.rw,
                      .n = m->blocks,
                      .workers = (int)at_most(here, INT32_MAX),
                      .everywhere = work.workers,
                      .chunk = m->o.chunk,
                      .deadline = NSH__NEVER,
                      .words = &m->shared.words,
                      .direct = comm->node_count == 1 && m->o.schedule == NSH_MAP_DYNAMIC};
    if (m->o.schedule == NSH_MAP_GUIDED)
        work.parts = (int)at_most(GUIDED_SHARES * here, INT32_MAX);
    comm->in_kernels = true;
    rc = on_threads(m) ? nsh__map_threads_run(&work, threads, failure)
                       : nsh__map_threads_none(&work, failure);
    comm->in_kernels = false;
    return rc;
}

/* ---- after the work ---- */

/* [collective] The code of the lowest index that failed anywhere. */
static int agree_failure(const map *m, const nsh__failure *mine, int64_t lowest)
{
    int code = NSH_SUCCESS;

    if (mine->index == lowest)
        code = nsh__fail(mine->code,
                         "%s: kernel returned %d at index %" PRId64 " (rank %d, thread %d)",
                         nsh__call_name(m->call), mine->code, lowest, m->comm->rank, mine->thread);
    return nsh__agree(m->comm, m->call, code, (uint64_t)lowest);
}

/* [collective] Agree that all workers have finished: *lowest is the lowest index that failed. */
static int agree_work(const map *m, int rc, const nsh__failure *mine, int64_t *lowest)
{
    nsh__agreement agreement = {
        .call = m->call, .code = rc, .signature = 2, .range = true, .low = mine->index};

    nsh__agreement_enter(m->comm, &agreement);
    rc = nsh__agreement_leave(m->comm, &agreement);
    *lowest = agreement.low;
    return rc;
}

/* [local, by the leader] All accumulators are on this node. Combine them into the first one, in the
 * order of the blocks. */
static void combine_accumulators(const map *m)
{
    for (int64_t b = 1; b < m->blocks; b++)
        m->o.combine(m->accumulators, m->accumulators + b * m->stride, m->arg);
}

/* [collective] Send accumulators and rows to all nodes, if there are several. */
static int exchange_results(map *m)
{
    nsh__destination rows = {1, &m->n, m->row_bytes, NULL};
    int rc = NSH_SUCCESS;

    if (m->stride > 0) {
        rows = (nsh__destination){1, &m->blocks, m->stride, m->accumulators};
        rc = nsh__map_rows_spread(m->comm, m->call, &rows, m->own_blocks, m->blocks, 1,
                                  &m->row_pieces);
    }
    if (rc == NSH_SUCCESS && m->out != NULL) {
        rows = (nsh__destination){1, &m->n, m->row_bytes, m->out->replica.rw};
        rc = nsh__map_rows_spread(m->comm, m->call, &rows, m->own_blocks, m->blocks, m->block,
                                  &m->row_pieces);
    }
    return rc;
}

static void write_result(const map *m)
{
    if (m->blocks > 0)
        memcpy(m->o.result, m->accumulators, (size_t)m->o.reduce_bytes);
    else if (m->o.identity != NULL)
        memcpy(m->o.result, m->o.identity, (size_t)m->o.reduce_bytes);
    else
        memset(m->o.result, 0, (size_t)m->o.reduce_bytes);
}

/* [collective] From the end of this rank's work to the code that all ranks return. */
static int map_end(map *m, int rc, const nsh__failure *failure)
{
    int64_t lowest;
    int kernel_rc = NSH_SUCCESS;

    rc = agree_work(m, rc, failure, &lowest);
    if (rc != NSH_SUCCESS)
        return rc;
    m->worked = true;
    if (lowest != INT64_MAX)
        kernel_rc = agree_failure(m, failure, lowest);
    if (!spreads_rows(m) && m->stride == 0)
        return kernel_rc;
    /* Also after a failure: the rows that were written, so that replicas are equal. */
    rc = exchange_results(m);
    if (rc == NSH_SUCCESS && m->stride > 0 && nsh__comm_leads(m->comm))
        combine_accumulators(m);
    rc = nsh__agree(m->comm, m->call, rc, 3);
    if (rc != NSH_SUCCESS)
        return rc;
    if (m->stride > 0 && kernel_rc == NSH_SUCCESS)
        write_result(m);
    return kernel_rc;
}

/* Set the word to zero before its memory is used again: the next user of it agrees with this rank
 * first. */
static void map_finish(map *m)
{
    uint64_t old;

    if (m->comm->node_count > 1 && nsh__comm_leads(m->comm) && m->home == m->comm->node_index &&
        nsh__comm_whole(m->comm, nsh__call_name(m->call)) == NSH_SUCCESS) {
        int rc = nsh__word_swap(m->comm, &m->shared.words, 0, 0, &old);

        if (rc != NSH_SUCCESS)
            nsh__comm_break(m->comm, rc);
    }
    nsh__shared_free(m->comm, &m->shared);
}

static int map_run(map *m, const nsh_map_options *options)
{
    nsh__failure failure = {.index = INT64_MAX};
    int threads = 1, rc = nsh__comm_callable(m->comm, nsh__call_name(m->call));

    if (rc != NSH_SUCCESS)
        return rc;
    m->comm->created++;
    rc = map_begin(m, options);
    if (rc == NSH_SUCCESS) {
        rc = agree_threads(m, &threads);
        if (rc == NSH_SUCCESS)
            rc = map_end(m, run_workers(m, threads, &failure), &failure);
        map_finish(m);
    } else { /* undo the count: ranks that were in another call have not counted */
        m->comm->created--;
    }
    nsh__map_rows_destroy(&m->row_pieces);
    return rc;
}

int nsh_map(nsh_comm *comm, int64_t n, nsh_map_kernel kernel, void *arg,
            const nsh_map_options *options)
{
    map m = {.comm = comm,
             .call = NSH__CALL_MAP,
             .n = n,
             .o = NSH_MAP_OPTIONS_INIT,
             .arg = arg,
             .kernel = kernel};

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_map: comm is NULL");
    return map_run(&m, options);
}

int nsh_map_rows(nsh_array *out, nsh_map_row_kernel kernel, void *arg,
                 const nsh_map_options *options)
{
    map m = {.call = NSH__CALL_MAP_ROWS,
             .o = NSH_MAP_OPTIONS_INIT,
             .arg = arg,
             .row_kernel = kernel,
             .out = out};
    int rc = nsh__array_usable(out, m.call);

    if (rc != NSH_SUCCESS)
        return rc;
    if (out->ndim == 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_map_rows: an array of no dimension has no rows");
    m.comm = out->comm;
    m.n = out->nbytes > 0 ? out->extent[0] : 0;
    m.row_bytes = m.n > 0 ? out->nbytes / m.n : 0;
    rc = map_run(&m, options);
    if (m.worked)
        nsh__array_changed(out);
    return rc;
}
