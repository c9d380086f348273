/* SPDX-License-Identifier: BSD-3-Clause */
/* batch_task.c -- a worker takes a task and ends it.
 *
 * Invariant: all ranks of a worker have the same task, or none. */
#include "core/enter.h"
#include "task/batch.h"

#include <inttypes.h>
#include <string.h>

/* [by every rank of the worker] On a node that is not the leader's: note what the leader has done.
 * All nodes of the worker know it before the worker's next call. */
static void follow_leader(const nsh_batch *b, int64_t task, nsh_task_state state)
{
    if (task < 0 || b->comm->node_of[b->group.leader] == b->comm->node_index)
        return;
    if (b->journal == NULL)
        atomic_store_explicit(&b->states[task], (unsigned char)state, memory_order_relaxed);
    else if ((b->states[task] & NSH__STATE_MASK) < state)
        nsh__journal_catch_up(b->journal, NULL); /* if that fails, the next call returns the
                                                    failure */
}

static void increment(_Atomic int64_t *counter)
{
    /* only this rank writes it */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_release);
}

static nsh__batch_counts *own_counts(const nsh_batch *b)
{
    return &b->rank_counts[b->comm->node_rank];
}

/* [by the leader of a worker] Each number is claimed once, but some are not tasks to be run. */
static int take_task(nsh_batch *b, int64_t *task)
{
    unsigned wanted = b->journal == NULL
                          ? NSH_TASK_OPEN
                          : ((unsigned)b->journal->slot << NSH__STATE_BITS | NSH_TASK_RUNNING);
    int64_t count = 0;
    int rc;

    do {
        rc = nsh__batch_claim(b, task, &count);
        if (rc != NSH_SUCCESS)
            return rc;
        if (count == 0) {
            *task = -1;
            return nsh__batch_counts_publish_all(b);
        }
    } while (atomic_load_explicit(&b->states[*task], memory_order_relaxed) != wanted);
    if (b->journal == NULL)
        atomic_store_explicit(&b->states[*task], NSH_TASK_RUNNING, memory_order_relaxed);
    increment(&own_counts(b)->taken);
    return nsh__batch_counts_publish(b);
}

static int next_task(nsh_batch *b, int64_t *task)
{
    nsh__round round = {NSH_SUCCESS, 0, -1};
    int rc;

    if (task == NULL)
        round.code =
            nsh__fail(NSH_ERR_ARG, "nsh_batch_next: task is NULL (rank %d)", b->comm->rank);
    else if (b->held >= 0)
        round.code =
            nsh__fail(NSH_ERR_STATE, "nsh_batch_next: task %" PRId64 " is not finished (rank %d)",
                      b->held, b->comm->rank);
    rc = nsh__worker_group_report(&b->group, &round);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__worker_group_leads(&b->group) && round.code == NSH_SUCCESS)
        round.code = take_task(b, &round.value);
    rc = nsh__worker_group_answer(&b->group, &round);
    if (rc != NSH_SUCCESS)
        return rc;
    b->held = *task = round.value;
    follow_leader(b, round.value, NSH_TASK_RUNNING);
    nsh__batch_show(b, "", round.value < 0);
    return NSH_SUCCESS;
}

int nsh_batch_next(nsh_batch *b, int64_t *task)
{
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_next: batch is NULL");
    rc = nsh__comm_whole(b->comm, "nsh_batch_next");
    if (rc != NSH_SUCCESS)
        return rc;
    b->comm->subject = (nsh__subject){.call = "nsh_batch_next"};
    return nsh__subject_end(b->comm, next_task(b, task));
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

/* [by the leader of a worker] Record the end of a task. */
static int record_end(nsh_batch *b, int64_t task, nsh_task_state state, const void *result)
{
    bool done = state == NSH_TASK_DONE;
    int rc = NSH_SUCCESS;

    if (b->journal != NULL) {
        rc = nsh__journal_end(b->journal, task, state, result);
    } else {
        if (done && b->results != NULL && result != NULL)
            memcpy(b->results + task * b->result_bytes, result, (size_t)b->result_bytes);
        /* release: a reader that sees DONE sees the result */
        atomic_store_explicit(&b->states[task], (unsigned char)state, memory_order_release);
    }
    increment(done ? &own_counts(b)->done : &own_counts(b)->failed);
    return rc;
}

static int finish_task(nsh_batch *b, int64_t task, nsh_task_state state, const void *result)
{
    nsh__round round = {NSH_SUCCESS, (int)state, 0};
    int rc;

    round.code = check_finish(b, task, state);
    rc = nsh__worker_group_report(&b->group, &round); /* of the states FAILED is the largest */
    if (rc != NSH_SUCCESS)
        return rc;
    round.value =
        round.code == NSH_SUCCESS; /* after this call the task is finished, whatever the code */
    if (nsh__worker_group_leads(&b->group) && round.code == NSH_SUCCESS)
        round.code = record_end(b, task, (nsh_task_state)round.flag, result);
    rc = nsh__worker_group_answer(&b->group, &round);
    if (round.value != 0) {
        b->held = -1;
        follow_leader(b, task, (nsh_task_state)round.flag);
    }
    if (rc == NSH_SUCCESS)
        nsh__batch_show(b, "", false);
    return rc;
}

int nsh_batch_finish(nsh_batch *b, int64_t task, nsh_task_state state, const void *result)
{
    int rc;

    if (b == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_finish: batch is NULL");
    rc = nsh__comm_known_whole(b->comm, "nsh_batch_finish");
    if (rc != NSH_SUCCESS)
        return rc;
    b->comm->subject = (nsh__subject){.call = "nsh_batch_finish"};
    return nsh__subject_end(b->comm, finish_task(b, task, state, result));
}

/* In a journal all tasks that a job has claimed are RUNNING. A task that no worker of this node has
 * begun is still in the node's chunk: it counts as OPEN. */
static nsh_task_state state_of_task(const nsh_batch *b, int64_t task)
{
    unsigned state = atomic_load_explicit(&b->states[task], memory_order_acquire);

    if (b->journal != NULL && (state & NSH__STATE_MASK) == NSH_TASK_RUNNING &&
        state >> NSH__STATE_BITS == (unsigned)b->journal->slot &&
        nsh__claim_holds(&b->claims, task))
        return NSH_TASK_OPEN;
    return (nsh_task_state)(state & NSH__STATE_MASK);
}

int nsh_batch_state(const nsh_batch *b, int64_t task, nsh_task_state *state)
{
    if (b == NULL || state == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_state: %s is NULL", b == NULL ? "batch" : "state");
    if (b->object.state == NSH__OBJECT_SHELL)
        return nsh__comm_present(b->comm, "nsh_batch_state");
    if (task < 0 || task >= b->tasks)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_batch_state: task %" PRId64 " is not in 0 .. %" PRId64 " (rank %d)",
                         task, b->tasks - 1, b->comm->rank);
    *state = state_of_task(b, task);
    return NSH_SUCCESS;
}
