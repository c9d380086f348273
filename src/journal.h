/* SPDX-License-Identifier: BSD-3-Clause */
/* journal.h -- the file of a batch: read, appended to, locked.
 *
 * Two kinds of locks on bytes far behind the end, as open file description locks: one byte that is
 * held while the file is read to its end and appended to, and one per slot, on which every rank of
 * a job holds a read lock for its lifetime: when it can be locked for writing, nobody of that job
 * is left. A record is written at the end that was checked under the lock, never with O_APPEND:
 * behind half a record good ones would be buried. Ranks of a node share a ledger, which the lock
 * guards as well. */
#ifndef NSH_SRC_JOURNAL_H
#define NSH_SRC_JOURNAL_H

#include <nodeshare/batch.h>

#include "comm.h"
#include "ledger.h"

typedef struct nsh__journal {
    nsh_comm *comm; /* to wait on; NULL: a process alone */
    const char *path;
    int fd; /* -1: not open */
    int slot;
    bool sync, readonly;
    bool joined; /* the file is this job's to change */
    nsh__ledger ledger;
    char *buffer; /* room for two records at least */
    int64_t room;
    char *unwritten; /* this rank's records that could not be written, unsealed */
    int64_t unwritten_bytes, unwritten_room;
} nsh__journal;

/* [local] Memory for it; the ledger's members are set before, area->end is 0. NSH_ERR_NOMEM. */
int nsh__journal_init(nsh__journal *journal, nsh_comm *comm, const char *path, bool sync);

/* [local] Take the file's name away. */
void nsh__journal_remove(const nsh__journal *journal);

/* Close; accepts every stage. */
void nsh__journal_destroy(nsh__journal *journal);

/* [non-local, by one rank of a job] Create or open the file, read it, take a slot. states: with
 * which a new journal begins; NULL: all OPEN. On failure a file that this call has made is gone. */
int nsh__journal_join(nsh__journal *journal, nsh_journal_mode mode, int workers,
                      const nsh_task_state states[]);

/* [non-local, by the other ranks] Open it, hold the slot too; read: into this node's ledger. */
int nsh__journal_attach(nsh__journal *journal, int slot, bool read);

/* [non-local] Read what others have written; out, if not NULL: how many tasks are in which state.
 * Of those that a job has taken, as many as it has workers are RUNNING. */
int nsh__journal_catch_up(nsh__journal *journal, nsh_task_counts *out);

/* [non-local] Take OPEN tasks for this job: at most a share of what is open. */
int nsh__journal_claim(nsh__journal *journal, int shares, int64_t *begin, int64_t *end);

/* [non-local] A task has ended. On failure it has in the ledger, and the record is kept. */
int nsh__journal_end(nsh__journal *journal, int64_t task, nsh_task_state state, const void *result);

/* [non-local] Write what is kept. */
int nsh__journal_flush(nsh__journal *journal);

/* [non-local] Tasks in these states are OPEN again; RUNNING: those of this job. */
int nsh__journal_reopen(nsh__journal *journal, unsigned states);

/* A process alone, nsh status and nsh reset: a journal of whatever tasks. reset: reopen these
 * states, and what runs in jobs that are gone. */
int nsh__journal_status(const char *path, nsh_task_counts *out);
int nsh__journal_reset(const char *path, unsigned states);

#endif
