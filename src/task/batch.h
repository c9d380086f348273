/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.h -- what batch.c, batch_task.c, batch_fetch.c, batch_counts.c and batch_collect.c know of
 * a batch.
 *
 * A node keeps a byte of state for every task, and its result. Without a journal it knows what its
 * own workers do, and what all nodes did as of the last exchange: a state beyond OPEN is known to
 * one node only, or to all alike, so that the largest byte of all nodes is the truth, and so are
 * all their results' bits together. With a journal the file is the truth, and every node reads it.
 * A task's state is changed by the leader of the worker that has it, or between two agreements. */
#ifndef NSH_TASK_BATCH_H
#define NSH_TASK_BATCH_H

#include <nodeshare/batch.h>

#include "task/claim.h"
#include "task/journal.h"
#include "task/status_line.h"
#include "core/shared.h"
#include "task/worker_group.h"
#include "base/type.h"

/* Words at the home, with several nodes and no journal. The counts are those of what nodes have
 * published, on top of area->base. */
typedef enum nsh__batch_word {
    NSH__WORD_CHUNK,
    NSH__WORD_RUNNING,
    NSH__WORD_DONE,
    NSH__WORD_FAILED,
    NSH__WORDS
} nsh__batch_word;

/* What one rank has done since the last exchange; written by it alone. */
typedef struct nsh__batch_counts {
    _Alignas(64) _Atomic int64_t taken;
    _Atomic int64_t done, failed;
} nsh__batch_counts;

/* In shared memory of each node, followed by a tally, a member and an entry for each rank of the
 * largest node, the states and the results. */
typedef struct nsh__batch_area {
    nsh__claim_area claims;
    _Alignas(64) nsh__journal_table_area table;
    nsh__journal_writer_area writer;
    _Alignas(64) _Atomic int64_t published[NSH__WORDS]; /* of this node's counts, to the words */
    atomic_uint published_at;                           /* the generation of the chunk then */
    int64_t
        base[NSH__WORDS]; /* as of the last exchange: the same on every node; between agreements */
} nsh__batch_area;

struct nsh_batch {
    nsh_comm *comm;
    int64_t tasks, result_bytes;
    uint64_t id; /* object.id */
    int worker_size, worker_count;
    int64_t held;   /* the task of this rank's worker; -1: none */
    nsh__type type; /* of results; result_bytes 0: none */
    int home;
    nsh__object object;
    nsh__batch_area *area;
    nsh__batch_counts *tallies;
    _Atomic unsigned char *states; /* as in journal_format.h; slot is 0 without a journal */
    char *results;
    nsh__worker_group group;
    nsh__claims claims;
    bool wait;             /* for tasks that run in other jobs, */
    double wait_seconds;   /* so long in a call; 0: without end */
    int64_t waits_since;   /* this rank's call of next; 0: it does not wait */
    nsh__journal *journal; /* NULL: none */
    char *path;
    MPI_Comm worker_comm;
    nsh__status_line progress;
};

/* ---- batch_fetch.c: a node's next tasks from the journal ---- */

/* [non-local] A source of claims, owner is the batch. Waits for tasks of other jobs until the
 * deadline of the claims, if the batch waits: NSH_ERR_TIMEOUT (without a detail). */
int nsh__batch_fetch(void *owner, const nsh__claim_wish *wish, int64_t *begin, int64_t *end);

/* [non-local] nsh__claim_take of one task, with progress shown while it waits for other jobs. */
int nsh__batch_claim(nsh_batch *batch, int64_t *task, int64_t *count);

/* ---- batch_counts.c: how many tasks are in which state ---- */

/* [local, by the leader, between agreements] Others are counted from what the states are now. */
void nsh__batch_counts_begin(nsh_batch *batch);

/* [non-local, by all, between agreements] Words are zero again, at their home. */
int nsh__batch_counts_clear(nsh_batch *batch);

/* [non-local] Tell the words what they do not know: once a chunk; until they know all. */
int nsh__batch_counts_publish(nsh_batch *batch);
int nsh__batch_counts_publish_all(nsh_batch *batch);

/* [non-local] See nsh_batch_counts. */
int nsh__batch_counts_read(nsh_batch *batch, nsh_task_counts *out);

/* [non-local] Where progress is shown and due, or this is the last line; note follows it. */
void nsh__batch_show_counts(nsh_batch *batch, const char *note, bool last);
static inline void nsh__batch_show(nsh_batch *batch, const char *note, bool last)
{
    if (nsh__status_line_on(&batch->progress))
        nsh__batch_show_counts(batch, note, last);
}

#endif
