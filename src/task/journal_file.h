/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_file.h -- the file of a batch: locked, read, appended to, synced.
 *
 * Three kinds of locks on bytes far after the end, as open file description locks:
 *   file     one byte, held while the file is read to its end and appended to
 *   slot     one byte for each slot. Every rank of a job holds a read lock on its job's slot for
 *            its lifetime: if it can be locked for writing, no process of that job lives
 *   witness  a byte of random place that rank 0 of a job locks. The other ranks of the job see
 *            thereby that they have the same file, and that locks reach them
 *
 * A record is written at the end that was checked under the lock, never with O_APPEND: after half
 * a record no reader would find it. The ranks of a node share a table; one of them at a time
 * works on it and on the file (journal_writer.h). To hold the journal lock means both: to be the
 * writer of the node, and to hold the file's lock. */
#ifndef NSH_TASK_JOURNAL_FILE_H
#define NSH_TASK_JOURNAL_FILE_H

#include <nodeshare/batch.h>

#include "base/fork.h"
#include "core/comm.h"
#include "task/journal_format.h"
#include "task/journal_writer.h"

/* The bytes that are locked; no file is that long. */
#define NSH__LOCK_BYTE    (INT64_C(1) << 61)
#define NSH__SLOT_BYTE    (NSH__LOCK_BYTE + 1)
#define NSH__WITNESS_BYTE (NSH__LOCK_BYTE + (INT64_C(1) << 16))

typedef struct nsh__journal {
    nsh_comm *comm; /* to wait on; NULL: a process alone */
    const char *path;
    nsh__own_fd file;
    int slot;          /* -1: none yet */
    int64_t witness;   /* the byte that rank 0 has locked, counted from NSH__WITNESS_BYTE */
    int max_attempts;  /* a task that was RUNNING at this many kills has FAILED; 0: no limit */
    bool sync;         /* every change is brought to the disk */
    bool readonly;     /* opened only to be read */
    bool made;         /* rank 0 has created the file */
    bool joined;       /* rank 0 has written this job's JOIN */
    int64_t looked_at; /* when this rank last checked the path; by nsh__wait_coarse_clock */
    nsh__journal_table table;
    nsh__journal_writer writer;
    char *buffer; /* of capacity bytes: at least two records */
    int64_t capacity;
    char *unwritten; /* this rank's records that could not be written, without checksums */
    int64_t unwritten_bytes, unwritten_capacity;
} nsh__journal;

/* [local, any thread] The rank, 0 in a process alone. */
int nsh__journal_rank(const nsh__journal *journal);

/* [local] Fail with this code and the text of errno; what: the operation that failed. */
int nsh__journal_io_failed(const nsh__journal *journal, int code, const char *what);

/* ---- open and close ---- */

/* [local] Open the path with these flags. Returns errno, or 0. */
int nsh__journal_try_open(nsh__journal *journal, int flags);

/* [local] After nsh__journal_try_open, which has returned error: is a regular file open? EXISTS,
 * IO, FORMAT. */
int nsh__journal_check_open(const nsh__journal *journal, int error);

/* [local] Close the file and release its locks; accepts a file that is not open. */
void nsh__journal_close(nsh__journal *journal);

/* [local] Does the path lead to the file that is open? True also where stat fails. */
bool nsh__journal_in_place(const nsh__journal *journal);

/* ---- locks ---- */

/* [local; non-local if wait] Lock one byte; type: F_RDLCK or F_WRLCK. BUSY (without a detail):
 * another process has it; UNSUPPORTED, IO. */
int nsh__journal_lock_byte(const nsh__journal *journal, short type, int64_t byte, bool wait);

/* [local] Does another open file hold a lock on this byte? */
int nsh__journal_byte_held(const nsh__journal *journal, int64_t byte, bool *held);

/* [local] Does no other open file hold this slot? */
bool nsh__journal_slot_free(const nsh__journal *journal, int slot);

/* [non-local] Take the file's lock alone; [local] release it. For rank 0 while no table exists;
 * otherwise inside the functions below. */
int nsh__journal_lock_file(const nsh__journal *journal);
void nsh__journal_unlock_file(const nsh__journal *journal);

/* [non-local] Become the node's writer, then lock the file, and check that the path leads to it.
 * [local, under the journal lock] Release both, and write no entries. */
int nsh__journal_lock(nsh__journal *journal);
void nsh__journal_unlock(const nsh__journal *journal);

/* [non-local, by the node's writer] Lock the file, and check the path if the last check is old. */
int nsh__journal_lock_again(nsh__journal *journal);

/* ---- read ---- */

/* [local, under the journal lock] How many bytes of the file the table has applied. */
void nsh__journal_set_end(nsh__journal *journal, int64_t end);

/* [local] The file's size; IO if the file was removed. */
int nsh__journal_size(const nsh__journal *journal, int64_t *size);

/* [local] Read n bytes, or as many as exist: *got. */
int nsh__journal_read_at(const nsh__journal *journal, char *out, int64_t n, int64_t at,
                         int64_t *got);

/* [local, under the journal lock, or readonly] Apply all records that the table does not have yet.
 * Cuts off what a kill has left of a record. FORMAT: damaged; UNSUPPORTED: another job works in
 * this job's slot. */
int nsh__journal_read_new(nsh__journal *journal);

/* ---- append: all [local, under the journal lock, after nsh__journal_read_new] ---- */

int nsh__journal_write_at_end(nsh__journal *journal, const char *bytes, int64_t n);

/* [local, under the journal lock] Append a record, and if that succeeds apply it to the table.
 * result: what follows the record. */
int nsh__journal_append_and_apply(nsh__journal *journal, const nsh__record *record,
                                  const char *result);

/* [local, under the journal lock] Append this rank's records that could not be written before. */
int nsh__journal_write_retained(nsh__journal *journal);

/* [local, by the rank that ended the task] Keep a record that could not be written. */
void nsh__journal_retain_unwritten(nsh__journal *journal, const nsh__record *record,
                                   const void *result);

/* ---- the end of a turn ---- */

/* [local] The record that says: this task has ended in this state. */
nsh__record nsh__journal_end_record(const nsh__journal *journal, int64_t task,
                                    nsh_task_state state);

/* [local] A task's result in memory of this node; NULL if results are not stored. */
char *nsh__journal_result(const nsh__journal *journal, int64_t task);

/* [non-local, by the node's writer] End a turn that has come to rc: write the entries of the other
 * ranks if rc is NSH_SUCCESS, release the file if it is locked, sync, answer the entries, and stop
 * being the writer. Returns rc, or the failure of the sync. */
int nsh__journal_write_and_unlock(nsh__journal *journal, int rc, bool locked);

/* [local] fdatasync. A failure is remembered in the table. */
int nsh__journal_sync_data(nsh__journal *journal);

/* [local] Ask a network file system whether all that was written has reached the server. */
int nsh__journal_sync_at_close(nsh__journal *journal);

#endif
