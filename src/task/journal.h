/* SPDX-License-Identifier: BSD-3-Clause */
/* journal.h -- the file of a batch: read, appended to, locked.
 *
 * Three kinds of locks on bytes far behind the end, as open file description locks: one byte that
 * is held while the file is read to its end and appended to, and one per slot, on which every rank
 * of a job holds a read lock for its lifetime: when it can be locked for writing, nobody of that
 * job is left. A record is written at the end that was checked under the lock, never with O_APPEND:
 * behind half a record good ones would be buried. Rank 0 of a job locks a third kind, a byte of
 * random place, by which its other ranks see that they have the same file and that locks reach
 * them. Ranks of a node share a ledger; one of them at a time works on it and on the file
 * (journal_writer.h). */
#ifndef NSH_TASK_JOURNAL_H
#define NSH_TASK_JOURNAL_H

#include <nodeshare/batch.h>

#include "task/claim.h"
#include "core/comm.h"
#include "base/fork.h"
#include "task/journal_format.h"
#include "task/journal_writer.h"

typedef struct nsh__journal {
    nsh_comm *comm; /* to wait on; NULL: a process alone */
    const char *path;
    nsh__own_fd file;
    int slot;         /* -1: none yet */
    int64_t witness;  /* the byte that rank 0 has locked */
    int max_attempts; /* a task that is RUNNING at so many kills has FAILED; 0: however many */
    bool sync, readonly;
    bool made;      /* by rank 0, and not there before */
    bool joined;    /* rank 0 may write to it */
    int64_t looked; /* at the path by this rank, which led to the file; by the coarse clock */
    nsh__journal_table ledger;
    nsh__journal_writer writer;
    char *buffer; /* room for two records at least */
    int64_t capacity;
    char *unwritten; /* this rank's records that could not be written, unsealed */
    int64_t unwritten_bytes, unwritten_capacity;
} nsh__journal;

/* [local] Memory for it; the ledger's members are set before, area->end is 0. NSH_ERR_NOMEM. */
int nsh__journal_init(nsh__journal *journal, nsh_comm *comm, const char *path, bool sync);

/* Close; accepts every stage. */
void nsh__journal_destroy(nsh__journal *journal);

/* A job begins in four steps, with an agreement after each; nothing is written before all its ranks
 * have the file, and the same one.
 *
 * [non-local] Rank 0: open the file or make it, see whether this job may have it, take a slot. The
 * ticket is for the other ranks. */
int nsh__journal_enter(nsh__journal *journal, nsh_batch_mode mode, int64_t *ticket);

/* [local] The others: open it, see that rank 0 has it locked, hold the slot too. UNSUPPORTED: it is
 * another file, or the file system's locks do not reach this host. */
int nsh__journal_attach(nsh__journal *journal, int64_t ticket);

/* [non-local] Rank 0: begin the file, if it is new or to be overwritten, read it into this node's
 * ledger, join. states: with which a new journal begins; NULL: all OPEN. */
int nsh__journal_begin(nsh__journal *journal, nsh_batch_mode mode, int workers,
                       const nsh_task_state states[]);

/* [non-local] One rank of every other node: read it into this node's ledger. */
int nsh__journal_read(nsh__journal *journal);

/* [local] All ranks, when all nodes have read it: whoever joins in this slot now does not see that
 * it is locked. */
void nsh__journal_ready(nsh__journal *journal);

/* [non-local] Rank 0, when a step has failed on any rank: a file that it has made is removed,
 * unless another job has come to it. */
void nsh__journal_discard(nsh__journal *journal);

/* [non-local] Read what others have written; out, if not NULL: how many tasks are in which state.
 * Of those that a job has taken, as many as it has workers are RUNNING. */
int nsh__journal_catch_up(nsh__journal *journal, nsh_task_counts *out);

/* [non-local] Take OPEN tasks for this job, by the number of workers of all jobs that live; one at
 * a time if attempts are limited, so that what is taken is what runs. *others: there are none to
 * take, and a job that lives runs some. */
int nsh__journal_claim(nsh__journal *journal, const nsh__claim_wish *wish, int64_t *begin,
                       int64_t *end, bool *others);

/* [local] A job that others were, as text: "process 17 on c01", or "another job". */
enum { NSH__JOB_TEXT = 96 };
void nsh__journal_other(const nsh__journal *journal, char text[NSH__JOB_TEXT]);

/* [non-local] A task has ended: this rank writes that, or another one of its node does. On failure
 * it has in the ledger, and the record is kept. */
int nsh__journal_end(nsh__journal *journal, int64_t task, nsh_task_state state, const void *result);

/* [non-local] Write what is kept. IO also if a part of what was written before may not have reached
 * the disk. */
int nsh__journal_flush(nsh__journal *journal);

/* [non-local] Tasks in these states are OPEN again; RUNNING: those of this job. */
int nsh__journal_reopen(nsh__journal *journal, unsigned states);

/* [non-local] What this job has taken is OPEN again, for it will run no more. */
int nsh__journal_leave(nsh__journal *journal);

/* A process alone, nsh status and nsh reset: a journal of whatever tasks. reset: reopen these
 * states, and what runs in jobs that are gone. */
int nsh__journal_status(const char *path, nsh_task_counts *out);
int nsh__journal_reset(const char *path, unsigned states);

#endif
