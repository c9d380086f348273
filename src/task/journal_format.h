/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_format.h -- the bytes of a journal: a header, and records that change states of tasks.
 *
 * Everything here is arithmetic on memory: journal_file.c reads, writes and locks. Every function
 * is [local]; those that change a table are called under the journal lock, by the rank of the node
 * that has the turn (journal_writer.h), or by a process alone. A record belongs to its place in the
 * file, which its checksum covers. A reader applies records in order, and any record whose checksum
 * is right can be applied to any table. */
#ifndef NSH_TASK_JOURNAL_FORMAT_H
#define NSH_TASK_JOURNAL_FORMAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NSH__JOURNAL_FORMAT '2' /* raised when the format changes */

enum {
    NSH__SLOTS = 64,        /* jobs that may share a journal at the same time */
    NSH__JOURNAL_HEAD = 64, /* bytes of the header */
    NSH__RECORD = 40        /* bytes of a record, without the result that follows if the task is
                               DONE */
};

/* A state's byte: nsh_task_state, and above it, if RUNNING, the slot of the job that runs the
 * task. */
enum { NSH__STATE_BITS = 2, NSH__STATE_MASK = 3 };

typedef enum nsh__record_kind {
    NSH__RECORD_JOIN =
        1, /* a job of value workers begins in slot, its nsh__job follows; tasks that were RUNNING
              there are OPEN again, state is an nsh__manner */
    NSH__RECORD_RELEASE, /* tasks that are RUNNING in slot are OPEN again, state as in JOIN; the
                            slot is empty */
    NSH__RECORD_CLAIM,   /* the OPEN tasks of [first, last) are RUNNING in slot */
    NSH__RECORD_END,     /* task first has this state; its result follows if DONE */
    NSH__RECORD_REOPEN,  /* tasks with a state in the mask value (without RUNNING) are OPEN again */
    NSH__RECORD_KINDS
} nsh__record_kind;

/* Why a RUNNING task has become OPEN again: the state of JOIN and RELEASE. */
typedef enum nsh__manner {
    NSH__KILLED, /* its job was killed; that counts as an attempt */
    NSH__GIVEN_BACK
} nsh__manner;

/* The job that works in a slot. */
typedef struct nsh__job {
    int64_t pid;     /* process id of its rank 0 */
    int64_t witness; /* a random number, see journal_file.h */
    char host[48];
} nsh__job;

typedef struct nsh__record {
    uint64_t checksum; /* over the fields below, the result and the place in the file */
    uint8_t kind, state;
    uint16_t slot;
    uint32_t value;
    int64_t first, last;
    int64_t result_bytes; /* bytes after the record, padded to a multiple of 8 */
} nsh__record;

/* The header of a journal: it says which tasks the journal belongs to. */
typedef struct nsh__journal_head {
    char magic[8];
    uint32_t order, bytes; /* 0x01020304; NSH__JOURNAL_HEAD */
    int64_t tasks, result_bytes;
    uint64_t result_signature; /* of type and count; the same under every MPI */
    uint64_t tag;              /* the caller's: it identifies the inputs of the tasks */
    int64_t unused;
    uint64_t checksum;
} nsh__journal_head;

/* Counts, in shared memory of a node or of a process alone; changed under the journal lock. */
typedef struct nsh__journal_table_area {
    _Atomic int64_t end; /* bytes of the file that are applied; 0: not even the header */
    int64_t open, done, failed;
    int64_t running[NSH__SLOTS];
    int64_t workers[NSH__SLOTS];
    nsh__job jobs[NSH__SLOTS];
    int64_t fresh;      /* OPEN tasks that were never RUNNING when their job was killed */
    int64_t lowest;     /* no fresh task is below this one */
    atomic_bool robbed; /* another job has joined in this job's slot */
    atomic_int lost;    /* errno of a write that was reported and may not have reached the disk */
} nsh__journal_table_area;

/* One process's view. */
typedef struct nsh__journal_table {
    nsh__journal_table_area *area;
    _Atomic unsigned char *states; /* one for each task, all OPEN at first; any thread may read
                                      it */
    char *results;                 /* result_bytes for each task; NULL: not stored */
    unsigned char *attempts; /* how often a task was RUNNING when its job was killed, up to 255;
                                NULL: not counted */
    int64_t tasks, result_bytes;
    uint64_t result_signature, tag;
    int slot;        /* of this job, once its JOIN is applied; -1: none yet */
    int64_t witness; /* of this job */
} nsh__journal_table;

void nsh__journal_table_init(nsh__journal_table *table);

/* The header of a journal with this table's tasks. */
void nsh__journal_table_head(const nsh__journal_table *table, nsh__journal_head *out);

/* What the first n <= NSH__JOURNAL_HEAD bytes of a file are. */
typedef enum nsh__head_kind {
    NSH__HEAD_EMPTY,   /* n is 0 */
    NSH__HEAD_BEGUN,   /* the first part of a header */
    NSH__HEAD_GOOD,    /* a header */
    NSH__HEAD_DAMAGED, /* a header that is damaged */
    NSH__HEAD_ORDER,   /* a header of a machine with another byte order */
    NSH__HEAD_OTHER,   /* a header of another format of this library */
    NSH__HEAD_FOREIGN  /* no journal */
} nsh__head_kind;

nsh__head_kind nsh__journal_head_kind(const nsh__journal_head *head, int64_t n);

/* Repair a header of which one byte is wrong. False: no change of one byte makes it good. */
bool nsh__journal_head_mend(nsh__journal_head *head);

/* The format of a header of NSH__HEAD_OTHER, as a printable character. */
char nsh__journal_format(const nsh__journal_head *head);

/* Bytes of a record in the file. */
int64_t nsh__record_bytes(const nsh__record *record);

/* Write a record that will be at this place, with its checksum; result NULL: zeroes. out has
 * nsh__record_bytes(record) bytes. */
void nsh__record_write(const nsh__record *record, const void *result, int64_t place, char *out);

/* Read the record at the beginning of n bytes that come from this place; *result points to its
 * result. Returns its bytes, or 0 if no record that fits the table begins here. */
int64_t nsh__record_read(const nsh__journal_table *table, const char *bytes, int64_t n,
                         int64_t place, nsh__record *out, const char **result);

/* The same for a record that may have moved: *place is the place for which it was written. */
int64_t nsh__record_find(const nsh__journal_table *table, const char *bytes, int64_t n,
                         int64_t *place, nsh__record *out, const char **result);

void nsh__journal_table_apply(nsh__journal_table *table, const nsh__record *record,
                              const char *result);

/* Apply the records in n bytes from place until one is incomplete or wrong. Returns how many bytes
 * were applied. Sets area->robbed. */
int64_t nsh__journal_table_replay(nsh__journal_table *table, const char *bytes, int64_t n,
                                  int64_t place);

/* Does a good record stand anywhere in these bytes, whatever place it was written for? */
bool nsh__journal_table_any_record(const nsh__journal_table *table, const char *bytes, int64_t n);

/* The next consecutive OPEN tasks, at most `most`; none: *begin == *end. Tasks that were RUNNING
 * when a job was killed come last, those with the fewest attempts first, and one at a time. */
void nsh__journal_table_find(nsh__journal_table *table, int64_t most, int64_t *begin, int64_t *end);

#endif
