/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_open.h -- the four steps by which a job begins to work on a journal.
 *
 * After each step all ranks agree. Nothing is written before all ranks of the job have the same
 * file open. */
#ifndef NSH_TASK_JOURNAL_OPEN_H
#define NSH_TASK_JOURNAL_OPEN_H

#include "task/journal_file.h"

/* [non-local, by rank 0] Step 1: open the file or create it, check whether this job may have it,
 * take a slot. The other ranks need the ticket. */
int nsh__journal_open_first(nsh__journal *journal, nsh_batch_mode mode, int64_t *ticket);

/* [local, by all other ranks] Step 2: open the file, check that rank 0's lock is seen, hold the
 * slot too. UNSUPPORTED: it is another file, or the file system's locks do not reach this host. */
int nsh__journal_open_shared(nsh__journal *journal, int64_t ticket);

/* [non-local, by rank 0] Step 3: write the header if the file is new or to be overwritten, read the
 * file into this node's table, write this job's JOIN. states: the states with which a new journal
 * begins; NULL: all OPEN. */
int nsh__journal_begin(nsh__journal *journal, nsh_batch_mode mode, int workers,
                       const nsh_task_state states[]);

/* [non-local, by one rank of every other node] Step 4: read the file into this node's table. */
int nsh__journal_read(nsh__journal *journal);

/* [local, by all ranks, after the agreement on step 4] From now on another JOIN in this slot means
 * that the other job does not see this job's locks. */
void nsh__journal_ready(nsh__journal *journal);

/* [non-local, by rank 0, after a step has failed on any rank] Remove the file if rank 0 has created
 * it and no other job has opened it. */
void nsh__journal_discard(nsh__journal *journal);

/* ---- for journal.c ---- */

/* [local] Read the header, and check that it is one of this format. *got: how many of its bytes
 * exist. */
int nsh__journal_read_head(const nsh__journal *journal, nsh__journal_head *out, int64_t *got);

/* [local] Check that the header belongs to these tasks. *whole: it is complete and to be kept. */
int nsh__journal_check_head(const nsh__journal *journal, nsh_batch_mode mode, bool *whole);

/* [local, under the journal lock] Append the JOIN of this job; manner: of the tasks that were
 * RUNNING in its slot. */
int nsh__journal_announce(nsh__journal *journal, int64_t workers, nsh__manner manner);

/* [local, under the journal lock] Tasks of jobs that are gone are OPEN again. */
int nsh__journal_release_dead(nsh__journal *journal);

#endif
