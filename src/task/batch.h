/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.h -- a batch, as batch.c, batch_task.c, batch_fetch.c, batch_counts.c and batch_collect.c
 * see it.
 *
 * A node keeps a byte of state for every task, and its result. Without a journal a node knows what
 * its own workers did, and what all nodes did until the last sync: a state beyond OPEN is known to
 * one node only, or is equal on all nodes. So the largest byte of all nodes is the truth, and the
 * results are the union of all nodes' bits. With a journal the file is the truth, and every node
 * reads it. A task's state is changed by the leader of the worker that has it, or between two
 * agreements. */
#ifndef NSH_TASK_BATCH_H
#define NSH_TASK_BATCH_H

#include <nodeshare/batch.h>

#include "task/claim.h"
#include "task/journal.h"
#include "task/status_line.h"
#include "core/shared.h"
#include "task/worker_group.h"
#include "base/type.h"

/* Words at the home, with several nodes and no journal. Their counts are the sums of what nodes
 * have published; area->base comes on top. */
typedef enum nsh__batch_word {
    NSH__WORD_CHUNK,
    NSH__WORD_RUNNING,
    NSH__WORD_DONE,
    NSH__WORD_FAILED,
    NSH__WORDS
} nsh__batch_word;

/* What one rank has done since the batch was created or reopened. The rank writes it; reopen sets
 * it to 0, by the leader, between agreements. */
typedef struct nsh__batch_counts {
    _Alignas(64) _Atomic int64_t taken;
    _Atomic int64_t done, failed;
} nsh__batch_counts;

/* In shared memory of each node, followed by the counts, a group member and an entry for each rank
 * of the largest node, the states, the attempts and the results. */
typedef struct nsh__batch_area {
    nsh__claim_area claims;
    _Alignas(64) nsh__journal_table_area table;
    nsh__journal_writer_area writer;
    _Alignas(64) _Atomic int64_t published[NSH__WORDS]; /* this node's counts that are in the
                                                           words */
    atomic_uint published_at;                           /* chunk's generation when they were
                                                           published */
    /* counts of the beginning: equal on every node, changed between agreements */
    int64_t base[NSH__WORDS];
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
    nsh__batch_counts *rank_counts;
    _Atomic unsigned char *states; /* bytes as in journal_format.h, slot 0 without a journal */
    char *results;
    nsh__worker_group group;
    nsh__claims claims;
    bool wait;             /* nsh_batch_next waits for tasks that run in other jobs */
    double wait_seconds;   /* at most this long in a call; 0: without limit */
    int64_t waits_since;   /* when this rank's nsh_batch_next began to wait; 0: never */
    nsh__journal *journal; /* NULL: none */
    char *path;
    MPI_Comm worker_comm;
    nsh__status_line progress;
};

/* ---- batch_fetch.c: a node's next tasks from the journal ---- */

/* [non-local, by one rank of the node at a time] A source of claims; owner is the batch. If the
 * batch waits for tasks of other jobs, it does so until the deadline of the claims: NSH_ERR_TIMEOUT
 * (without a detail). */
int nsh__batch_fetch(void *owner, const nsh__claim_wish *wish, int64_t *begin, int64_t *end);

/* [non-local, by the leader of a worker] nsh__claim_take of one task; shows progress while it waits
 * for other jobs. */
int nsh__batch_claim(nsh_batch *batch, int64_t *task, int64_t *count);

/* ---- batch_counts.c: how many tasks are in which state ---- */

/* [local, by the leader, between agreements] Set area->base from the present states. */
void nsh__batch_counts_begin(nsh_batch *batch);

/* [non-local, by all ranks, between agreements] Set the words to zero; the leader of their home
 * does it. */
int nsh__batch_counts_clear(nsh_batch *batch);

/* [non-local, by ranks that take tasks, or by the leader between agreements] Add this node's
 * unpublished counts to the words: once for each chunk; or until all counts are published. */
int nsh__batch_counts_publish(nsh_batch *batch);
int nsh__batch_counts_publish_all(nsh_batch *batch);

/* [non-local, by any rank] See nsh_batch_counts. */
int nsh__batch_counts_read(nsh_batch *batch, nsh_task_counts *out);

/* [non-local, by any rank] Show progress if this rank shows it and it is due, or if this is the
 * last line; the note follows it. */
void nsh__batch_show_counts(nsh_batch *batch, const char *note, bool last);
static inline void nsh__batch_show(nsh_batch *batch, const char *note, bool last)
{
    if (nsh__status_line_on(&batch->progress))
        nsh__batch_show_counts(batch, note, last);
}

#endif
