/* SPDX-License-Identifier: BSD-3-Clause */
/* batch_counts.c -- how many tasks of a batch are in which state.
 *
 * On one node that is the sum of what each rank counts for itself. Several nodes add theirs to
 * words at the home, once for each chunk and when they run out of tasks. With a journal its table
 * counts.
 *
 * Invariant: a word is the sum of area->published of all nodes. */
#include "core/comm_break.h"
#include "core/enter.h"
#include "task/batch.h"

#include "base/sized.h"
#include <string.h>

/* ---- the counts at the beginning ---- */

static int64_t *base_of(nsh_batch *b, unsigned state)
{
    static const nsh__batch_word words[] = {NSH__WORDS, NSH__WORD_RUNNING, NSH__WORD_DONE,
                                            NSH__WORD_FAILED};

    return words[state] < NSH__WORDS ? &b->area->base[words[state]] : NULL;
}

void nsh__batch_counts_begin(nsh_batch *b)
{
    memset(b->area->base, 0, sizeof b->area->base);
    for (int64_t t = 0; t < b->tasks; t++) {
        int64_t *base = base_of(b, b->states[t] & NSH__STATE_MASK);

        if (base != NULL)
            ++*base;
    }
}

int nsh__batch_counts_clear(nsh_batch *b)
{
    nsh_comm *comm = b->comm;
    int rc = NSH_SUCCESS;
    uint64_t old;

    if (comm->node_count == 1 || !nsh__comm_leads(comm) || b->home != comm->node_index)
        return NSH_SUCCESS;
    for (int w = 0; w < NSH__WORDS && rc == NSH_SUCCESS; w++)
        rc = nsh__word_swap(comm, &b->object.shared.words, w, 0, &old);
    return rc;
}

/* ---- counts ---- */

/* Sum what this node's ranks have running, done and failed. */
static void sum_rank_counts(const nsh_batch *b, int64_t sum[NSH__WORDS])
{
    memset(sum, 0, NSH__WORDS * sizeof sum[0]);
    for (int i = 0; i < b->comm->node_size; i++) {
        const nsh__batch_counts *t = &b->rank_counts[i];
        int64_t done = atomic_load_explicit(&t->done, memory_order_acquire);
        int64_t failed = atomic_load_explicit(&t->failed, memory_order_acquire);

        /* `taken` is read last: a task is taken before it ends */
        sum[NSH__WORD_DONE] += done;
        sum[NSH__WORD_FAILED] += failed;
        sum[NSH__WORD_RUNNING] +=
            atomic_load_explicit(&t->taken, memory_order_relaxed) - done - failed;
    }
}

/* Add to the words what they lack. Several ranks may do so at the same time: each adds the
 * difference to what it has exchanged into `published`, so the words have what was exchanged last.
 * *all: that is equal to the present counts. */
static int publish_counts(nsh_batch *b, bool *all)
{
    int64_t sum[NSH__WORDS], now[NSH__WORDS];
    int rc = NSH_SUCCESS;

    sum_rank_counts(b, sum);
    for (int w = NSH__WORD_RUNNING; w < NSH__WORDS && rc == NSH_SUCCESS; w++) {
        uint64_t old;
        int64_t more = sum[w] - atomic_exchange(&b->area->published[w], sum[w]);

        if (more != 0)
            rc = nsh__word_add(b->comm, &b->object.shared.words, w, (uint64_t)more, &old);
    }
    sum_rank_counts(b, now);
    *all = memcmp(sum, now, sizeof sum) == 0;
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

static bool publishes_counts(const nsh_batch *b)
{
    return b->comm->node_count > 1 && b->journal == NULL;
}

/* The rank that sees a new chunk first publishes. */
int nsh__batch_counts_publish(nsh_batch *b)
{
    unsigned seen, now;
    bool all;

    if (!publishes_counts(b))
        return NSH_SUCCESS;
    now = atomic_load_explicit(&b->area->claims.generation, memory_order_relaxed);
    seen = atomic_load_explicit(&b->area->published_at, memory_order_relaxed);
    if (seen == now || !atomic_compare_exchange_strong(&b->area->published_at, &seen, now))
        return NSH_SUCCESS;
    return publish_counts(b, &all);
}

/* After the last task: a rank that has exchanged an older sum sees that the counts differ and
 * repeats, so the last rank of the node leaves the words exact. */
int nsh__batch_counts_publish_all(nsh_batch *b)
{
    bool all = !publishes_counts(b);
    int rc = NSH_SUCCESS;

    while (!all && rc == NSH_SUCCESS)
        rc = publish_counts(b, &all);
    return rc;
}

static int counts_of_words(nsh_batch *b, int64_t sum[NSH__WORDS])
{
    bool all;
    int rc = publish_counts(b, &all);

    for (int w = NSH__WORD_RUNNING; w < NSH__WORDS && rc == NSH_SUCCESS; w++) {
        uint64_t value = 0;

        rc = nsh__word_read(b->comm, &b->object.shared.words, w, &value);
        sum[w] = (int64_t)value;
    }
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(b->comm, rc);
}

int nsh__batch_counts_read(nsh_batch *b, nsh_task_counts *out)
{
    const int64_t *base = b->area->base;
    int64_t sum[NSH__WORDS];
    int rc = NSH_SUCCESS;

    if (b->journal != NULL)
        return nsh__journal_catch_up(b->journal, out);
    if (b->comm->node_count == 1)
        sum_rank_counts(b, sum);
    else
        rc = counts_of_words(b, sum);
    if (rc != NSH_SUCCESS)
        return rc;
    *out = (nsh_task_counts){.size = sizeof *out,
                             .tasks = b->tasks,
                             .running = base[NSH__WORD_RUNNING] + sum[NSH__WORD_RUNNING],
                             .done = base[NSH__WORD_DONE] + sum[NSH__WORD_DONE],
                             .failed = base[NSH__WORD_FAILED] + sum[NSH__WORD_FAILED]};
    out->open = out->tasks - out->running - out->done - out->failed;
    return NSH_SUCCESS;
}

/* ---- public functions ---- */

static int look_at_counts(nsh_batch *b, const char *call, nsh_task_counts *out)
{
    int rc = nsh__comm_whole(b->comm, call);

    return rc == NSH_SUCCESS ? nsh__batch_counts_read(b, out) : rc;
}

int nsh_batch_counts(nsh_batch *b, nsh_task_counts *out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_task_counts, failed, NSH_TASK_COUNTS_INIT);
    nsh_task_counts now;
    int rc;

    if (b == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_counts: %s is NULL", b == NULL ? "batch" : "out");
    rc = nsh__sized_check(&kind, "nsh_batch_counts", b->comm->rank, out);
    if (rc == NSH_SUCCESS)
        rc = look_at_counts(b, "nsh_batch_counts", &now);
    if (rc == NSH_SUCCESS)
        nsh__sized_write(&kind, &now, out);
    return rc;
}

int nsh_batch_status_line(nsh_batch *b, char *buffer, size_t n)
{
    nsh_task_counts now;
    int rc;

    if (b == NULL || buffer == NULL || n == 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_batch_status_line: batch or buffer is NULL, or n 0");
    rc = look_at_counts(b, "nsh_batch_status_line", &now);
    if (rc == NSH_SUCCESS)
        nsh__status_line_text(&now, buffer, n);
    return rc;
}

void nsh__batch_show_counts(nsh_batch *b, const char *note, bool last)
{
    nsh_task_counts now;

    if ((last || nsh__status_line_due(&b->progress)) &&
        nsh__batch_counts_read(b, &now) == NSH_SUCCESS)
        nsh__status_line_show(&b->progress, &now, note, last);
}
