/* SPDX-License-Identifier: BSD-3-Clause */
/* journal.h -- the tasks of a journal: claimed, ended, opened again, counted.
 *
 * The functions take the journal lock themselves (journal_file.h). How a job begins is in
 * journal_open.h. */
#ifndef NSH_TASK_JOURNAL_H
#define NSH_TASK_JOURNAL_H

#include "task/claim.h"
#include "task/journal_file.h"

/* [local] Allocate its buffer; the table's members are set before, area->end is 0.
 * NSH_ERR_NOMEM. */
int nsh__journal_init(nsh__journal *journal, nsh_comm *comm, const char *path, bool sync);

/* [local] Close it; accepts every stage. */
void nsh__journal_destroy(nsh__journal *journal);

/* [non-local, by any rank] Read what others have written; out, if not NULL: how many tasks are in
 * which state. Of the tasks that a job has claimed, as many as it has workers count as RUNNING. */
int nsh__journal_catch_up(nsh__journal *journal, nsh_task_counts *out);

/* [non-local, by one rank of a node at a time: a source of claim.h] Claim OPEN tasks for this job:
 * its workers' part of those of all living jobs, or one task if attempts are limited, so that the
 * claimed tasks are those that run. *others: no task is OPEN, and another job runs some. */
int nsh__journal_claim(nsh__journal *journal, const nsh__claim_wish *wish, int64_t *begin,
                       int64_t *end, bool *others);

/* [local] Another job in which tasks run, as text: "process 17 on c01", or "another job". */
enum { NSH__JOB_TEXT = 96 };
void nsh__journal_other(const nsh__journal *journal, char text[NSH__JOB_TEXT]);

/* [non-local, by the leader of the worker] A task has ended: this rank, or another one of its node,
 * writes that. On failure the table has it, and the record is kept to be written later. */
int nsh__journal_end(nsh__journal *journal, int64_t task, nsh_task_state state, const void *result);

/* [non-local, by any rank] Write the records that this rank has kept. IO also if something that was
 * written before may not have reached the disk. */
int nsh__journal_flush(nsh__journal *journal);

/* [non-local, by rank 0, between agreements] Tasks in these states are OPEN again; RUNNING: those
 * of this job. */
int nsh__journal_reopen(nsh__journal *journal, unsigned states);

/* [non-local, by rank 0, when all ranks free the batch] This job's claimed tasks are OPEN again,
 * for it will run no more. */
int nsh__journal_leave(nsh__journal *journal);

/* [non-local, by a process alone] nsh status and nsh reset: a journal of which only the path is
 * known. reset: tasks in these states, and those that jobs that are gone were running, are OPEN
 * again. */
int nsh__journal_status(const char *path, nsh_task_counts *out);
int nsh__journal_reset(const char *path, unsigned states);

#endif
