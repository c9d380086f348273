/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_writer.h -- one rank of a node at a time works on a journal, and writes for the others.
 *
 * A lock of a file costs a request to a server, and one that is refused as well, so the ranks of a
 * node do not compete for it: one becomes the writer, and the others wait for it in memory. What a
 * rank wants to have written it hands in as an entry. A writer takes all entries that it finds,
 * writes them under one lock, brings them to the disk with one fdatasync, and answers each. A rank
 * whose entry nobody has taken becomes the writer itself. */
#ifndef NSH_TASK_JOURNAL_WRITER_H
#define NSH_TASK_JOURNAL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/comm.h"

/* What becomes of a rank's entry. */
typedef enum nsh__entry_state {
    NSH__ENTRY_NONE = 0,
    NSH__ENTRY_WAITING, /* by the rank: to be taken, or to be withdrawn */
    NSH__ENTRY_TAKEN,   /* by a writer */
    NSH__ENTRY_ANSWERED /* by it: code, text and written are there */
} nsh__entry_state;

/* The end of a task, in shared memory; zero at first. */
typedef struct nsh__entry {
    _Alignas(64) atomic_uint state;
    int task_state;
    int64_t task;
    int code;
    int rank;     /* that has met the failure */
    bool written; /* the record is in the file, whatever the code */
    char text[NSH__TEXT];
} nsh__entry;

/* In shared memory of a node, zero at first. */
typedef struct nsh__journal_writer_area {
    _Alignas(64) atomic_uint busy; /* a rank is the writer */
    atomic_uint rounds;            /* how many have been */
    atomic_uint sleepers;
} nsh__journal_writer_area;

/* One rank's view. */
typedef struct nsh__journal_writer {
    nsh_comm *comm;
    nsh__journal_writer_area *area; /* NULL: a process alone, without entries */
    nsh__entry *entries;            /* one for each rank of the node */
} nsh__journal_writer;

/* [local] Become the writer, if nobody is. *round: of the one who is. */
bool nsh__journal_writer_try(const nsh__journal_writer *writer, unsigned *round);

/* [non-local] The writer of that round has gone. */
int nsh__journal_writer_wait(const nsh__journal_writer *writer, unsigned round);

/* [non-local] Become the writer. */
int nsh__journal_writer_begin(const nsh__journal_writer *writer);

/* [local] Be it no more. */
void nsh__journal_writer_end(const nsh__journal_writer *writer);

/* [local] This rank's entry. */
nsh__entry *nsh__journal_writer_own(const nsh__journal_writer *writer);

/* [local] As the writer: the next entry that waits, which is taken then; NULL: there is none. *i is
 * 0 at first. */
nsh__entry *nsh__journal_writer_take(const nsh__journal_writer *writer, int *i);

/* [local] As the writer: every entry that is taken has this answer; the detail is this thread's. */
void nsh__journal_writer_answer(const nsh__journal_writer *writer, int code, bool written);

#endif
