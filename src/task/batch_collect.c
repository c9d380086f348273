/* SPDX-License-Identifier: BSD-3-Clause */
/* batch_collect.c -- what all ranks of a batch do together: share their states, reopen tasks,
 * collect results.
 *
 * Invariant: every call begins and ends with an agreement, and between them no rank takes or ends a
 * task. */
#define _GNU_SOURCE
#include "core/comm_break.h"
#include "core/enter.h"
#include "task/batch.h"

#include <nodeshare/map.h>

#include "core/agree.h"
#include "array/array.h"
#include "base/hash.h"
#include "core/ring.h"

#include <inttypes.h>
#include <string.h>

enum { REOPEN_ANY = NSH_BATCH_REOPEN_RUNNING | NSH_BATCH_REOPEN_DONE | NSH_BATCH_REOPEN_FAILED };

/* [collective; the leaders transfer] Merge the bytes of all nodes into their maximum, or into the
 * union of their bits. */
static int merge_bytes(nsh_batch *b, nsh__call call, void *bytes, int64_t n, MPI_Op op)
{
    nsh__destination destination = {1, &n, 1, bytes};
    int rc = nsh__comm_enter(b->comm, call, b->id);

    if (rc != NSH_SUCCESS || !nsh__comm_leads(b->comm) || n == 0)
        return rc;
    return nsh__ring_reduce(b->comm, &destination, op == MPI_MAX ? MPI_UNSIGNED_CHAR : MPI_BYTE,
                            op);
}

/* [collective, between agreements] Every node gets the states and results of the others. The caller
 * agrees on the code. */
static int exchange_states(nsh_batch *b, nsh__call call)
{
    int rc;

    if (b->journal != NULL)
        return nsh__comm_leads(b->comm) ? nsh__journal_catch_up(b->journal, NULL) : NSH_SUCCESS;
    if (b->comm->node_count == 1)
        return NSH_SUCCESS;
    rc = merge_bytes(b, call, (void *)b->states, b->tasks, MPI_MAX);
    if (rc == NSH_SUCCESS && b->results != NULL)
        rc = merge_bytes(b, call, b->results, b->tasks * b->result_bytes, MPI_BOR);
    if (rc == NSH_SUCCESS && nsh__comm_leads(b->comm))
        rc = nsh__batch_counts_publish_all(b);
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

/* Write what the journal still lacks: a failure must be known before the ranks agree. */
static int flush_records(nsh_batch *b, int code)
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
    rc = nsh__comm_present(b->comm, "nsh_batch_sync"); /* the journal is not this process's */
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_SYNC, flush_records(b, NSH_SUCCESS), b->id);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = exchange_states(b, NSH__CALL_BATCH_SYNC);
    return nsh__agree(b->comm, NSH__CALL_BATCH_SYNC, rc, b->id);
}

/* [local, by the leader, between agreements] Reopen tasks without a journal. */
static void reopen_states(nsh_batch *b, unsigned from)
{
    for (int64_t t = 0; t < b->tasks; t++) {
        if ((from & 1U << b->states[t]) == 0)
            continue;
        b->states[t] = NSH_TASK_OPEN;
        if (b->results != NULL)
            memset(b->results + t * b->result_bytes, 0, (size_t)b->result_bytes);
    }
    nsh__batch_counts_begin(b);
    for (int i = 0; i < b->comm->node_size; i++)
        b->rank_counts[i].taken = b->rank_counts[i].done = b->rank_counts[i].failed = 0;
    for (int w = 0; w < NSH__WORDS; w++)
        b->area->published[w] = 0;
    nsh__claim_reset(&b->area->claims);
}

/* [local, by the leader, between agreements] With a journal: the node keeps its chunk, unless
 * RUNNING tasks are OPEN again. */
static void look_at_states_again(nsh_batch *b, unsigned from)
{
    if (from & NSH_BATCH_REOPEN_RUNNING)
        nsh__claim_reset(&b->area->claims);
    else
        nsh__claim_reopen(&b->area->claims);
}

static int reopen_batch(nsh_batch *b, unsigned from)
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
    rc = exchange_states(b, NSH__CALL_BATCH_REOPEN);
    if (rc == NSH_SUCCESS && nsh__comm_leads(comm)) {
        if (b->journal != NULL)
            look_at_states_again(b, from);
        else
            reopen_states(b, from);
        rc = nsh__batch_counts_clear(b);
        if (rc != NSH_SUCCESS)
            nsh__comm_break(comm, rc);
    }
    return nsh__agree(comm, NSH__CALL_BATCH_REOPEN, rc, from);
}

int nsh_batch_reopen(nsh_batch *b, unsigned from)
{
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_reopen: batch is NULL");
    rc = nsh__comm_present(b->comm, "nsh_batch_reopen"); /* the journal is not this process's */
    if (rc != NSH_SUCCESS)
        return rc;
    if (from == 0 || (from & ~(unsigned)REOPEN_ANY) != 0)
        rc =
            nsh__fail(NSH_ERR_ARG,
                      "nsh_batch_reopen: from is 0x%x, not a set of NSH_BATCH_REOPEN_... (rank %d)",
                      from, b->comm->rank);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_REOPEN, flush_records(b, rc), nsh__mix(b->id, from));
    if (rc == NSH_SUCCESS)
        rc = reopen_batch(b, from);
    if (rc == NSH_SUCCESS && (from & NSH_BATCH_REOPEN_RUNNING) != 0)
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
    if (array->comm != b->comm || array->type.signature != b->type.signature ||
        array->size != items)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_results: array has %" PRId64 " elements of %s, not %" PRId64
                         " of %s, or is on another communicator (rank %d)",
                         array->size, array->type.name, items, b->type.name, b->comm->rank);
    return nsh__array_settled(array, NSH__CALL_BATCH_RESULTS);
}

/* Copy this rank's part of the results to the node's replica. */
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
    rc = nsh__comm_present(b->comm, "nsh_batch_results"); /* the journal is not this process's */
    if (rc != NSH_SUCCESS)
        return rc;
    rc = check_results(b, array);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, flush_records(b, rc),
                    nsh__mix(b->id, array != NULL ? array->id : 0));
    if (rc != NSH_SUCCESS)
        return rc;
    rc = exchange_states(b, NSH__CALL_BATCH_RESULTS);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, rc, array->id);
    if (rc != NSH_SUCCESS)
        return rc;
    if (array->nbytes > 0)
        copy_results(b, array);
    rc = nsh__agree(b->comm, NSH__CALL_BATCH_RESULTS, NSH_SUCCESS, array->id);
    if (rc == NSH_SUCCESS)
        nsh__array_changed(array);
    return rc;
}
