/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_format.h -- what a journal's bytes say: a header, and records that change states of
 * tasks.
 *
 * Everything here is arithmetic on memory: journal.c does the reading, writing and locking. A
 * record belongs to its place in the file, which its checksum covers; a reader applies records in
 * order, and any record that passes its checksum can be applied to any ledger. */
#ifndef NSH_TASK_JOURNAL_FORMAT_H
#define NSH_TASK_JOURNAL_FORMAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NSH__JOURNAL_FORMAT '2' /* raised when what is written changes */

enum {
    NSH__SLOTS = 64,        /* jobs that may share a journal at the same time */
    NSH__JOURNAL_HEAD = 64, /* bytes of the header */
    NSH__RECORD = 40        /* bytes of a record, without the result of a task that is done */
};

/* A state's byte: nsh_task_state, and above it, of RUNNING, the slot of the job. */
enum { NSH__STATE_BITS = 2, NSH__STATE_MASK = 3 };

typedef enum nsh__record_kind {
    NSH__RECORD_JOIN =
        1, /* slot is a job's, of value workers, whose name follows; what RUNs there is
                             OPEN again, in the manner of state */
    NSH__RECORD_RELEASE, /* what RUNs in slot is OPEN again, likewise; nobody is there */
    NSH__RECORD_CLAIM,   /* what is OPEN of [first, last) RUNs in slot */
    NSH__RECORD_END,     /* task first is in this state; its result follows if DONE */
    NSH__RECORD_REOPEN,  /* tasks in the states of value, a mask without RUNNING, are OPEN again */
    NSH__RECORD_KINDS
} nsh__record_kind;

/* How what was RUNNING has become OPEN again: the state of JOIN and RELEASE. */
typedef enum nsh__manner {
    NSH__KILLED, /* its job has gone; that counts as an attempt */
    NSH__GIVEN_BACK
} nsh__manner;

/* Who works in a slot. */
typedef struct nsh__job {
    int64_t pid;     /* of its rank 0 */
    int64_t witness; /* a random number, see journal.h */
    char host[48];
} nsh__job;

typedef struct nsh__record {
    uint64_t checksum; /* of what follows, the result and the place in the file */
    uint8_t kind, state;
    uint16_t slot;
    uint32_t value;
    int64_t first, last;
    int64_t result_bytes; /* that follow, padded to a multiple of 8 */
} nsh__record;

/* What a journal is of: its header. */
typedef struct nsh__journal_head {
    char magic[8];
    uint32_t order, bytes; /* 0x01020304; NSH__JOURNAL_HEAD */
    int64_t tasks, result_bytes;
    uint64_t result_signature; /* of type and count; the same under every MPI */
    uint64_t tag;              /* the caller's, of what the tasks work on */
    int64_t unused;
    uint64_t checksum;
} nsh__journal_head;

/* Counts, in shared memory or not; changed by who holds the journal's lock. */
typedef struct nsh__journal_table_area {
    _Atomic int64_t end; /* bytes of the file that are known; 0: not even the header */
    int64_t open, done, failed;
    int64_t running[NSH__SLOTS];
    int64_t workers[NSH__SLOTS];
    nsh__job jobs[NSH__SLOTS];
    int64_t fresh;  /* tasks that are OPEN and have never been RUNNING when their job was killed */
    int64_t lowest; /* none of them is below */
    atomic_bool robbed; /* another job has joined in this job's slot */
    atomic_int lost;    /* errno of a write that was reported and may not have reached the disk */
} nsh__journal_table_area;

/* One process's view. */
typedef struct nsh__journal_table {
    nsh__journal_table_area *area;
    _Atomic unsigned char *states; /* tasks of them, all OPEN at first; read by anybody */
    char *results;                 /* result_bytes a task; NULL: not kept */
    unsigned char *attempts; /* how often a task was RUNNING when its job was killed, up to 255;
                                NULL: not counted */
    int64_t tasks, result_bytes;
    uint64_t result_signature, tag;
    int slot;        /* of this job, once it has joined and read that; -1: none yet */
    int64_t witness; /* of this job */
} nsh__journal_table;

void nsh__journal_table_init(nsh__journal_table *ledger);

/* The header of such a journal. */
void nsh__journal_table_head(const nsh__journal_table *ledger, nsh__journal_head *out);

/* What the first n bytes of a file show, NSH__JOURNAL_HEAD at most. */
typedef enum nsh__head_kind {
    NSH__HEAD_EMPTY,   /* there are none */
    NSH__HEAD_BEGUN,   /* a header that was not written to its end */
    NSH__HEAD_GOOD,    /* a header */
    NSH__HEAD_DAMAGED, /* one that was */
    NSH__HEAD_ORDER,   /* one of a machine with another byte order */
    NSH__HEAD_OTHER,   /* one of another format of this library */
    NSH__HEAD_FOREIGN  /* no journal */
} nsh__head_kind;

nsh__head_kind nsh__journal_head_kind(const nsh__journal_head *head, int64_t n);

/* Mend a header of which one byte is wrong. False: it has not one byte with which it is good. */
bool nsh__journal_head_mend(nsh__journal_head *head);

/* Of NSH__HEAD_OTHER: its format, something to print. */
char nsh__journal_format(const nsh__journal_head *head);

/* Bytes of a record in the file. */
int64_t nsh__record_bytes(const nsh__record *record);

/* Seal a record that will be at this place; result NULL: zeroes. out has room for its bytes. */
void nsh__record_write(const nsh__record *record, const void *result, int64_t place, char *out);

/* The record in n bytes from place, and where its result is. 0: there is none; otherwise its
 * bytes. It fits the ledger. */
int64_t nsh__record_read(const nsh__journal_table *ledger, const char *bytes, int64_t n,
                         int64_t place, nsh__record *out, const char **result);

/* The same of a record that may have moved since: *place is that for which it was written. */
int64_t nsh__record_find(const nsh__journal_table *ledger, const char *bytes, int64_t n,
                         int64_t *place, nsh__record *out, const char **result);

void nsh__journal_table_apply(nsh__journal_table *ledger, const nsh__record *record,
                              const char *result);

/* Apply the records in n bytes from place, as far as they are whole and good. Returns how many
 * bytes those are. Sets area->robbed. */
int64_t nsh__journal_table_replay(nsh__journal_table *ledger, const char *bytes, int64_t n,
                                  int64_t place);

/* Is there a good record anywhere in these bytes, whatever place it was written for? */
bool nsh__journal_table_any_record(const nsh__journal_table *ledger, const char *bytes, int64_t n);

/* The next OPEN tasks in a row, most of them at most; none: *begin == *end. Tasks that were RUNNING
 * when a job was killed come last, those with the fewest attempts first, and one at a time. */
void nsh__journal_table_find(nsh__journal_table *ledger, int64_t most, int64_t *begin,
                             int64_t *end);

#endif
