/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_writer.h -- one rank of a node at a time works on a journal, and writes for the others.
 *
 * A lock of a file costs a request to a server, also when it is refused, so the ranks of a node do
 * not compete for it: one becomes the writer, and the others wait for it in memory. A rank hands in
 * an entry for what it wants to be written. A writer takes all entries that it finds, writes them
 * under one lock, syncs them with one fdatasync, and answers each. A rank whose entry nobody has
 * taken becomes the writer itself. */
#ifndef NSH_TASK_JOURNAL_WRITER_H
#define NSH_TASK_JOURNAL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/comm.h"

/* The state of a rank's entry. */
typedef enum nsh__entry_state {
    NSH__ENTRY_NONE = 0,
    NSH__ENTRY_WAITING, /* set by the rank: a writer may take it, the rank may withdraw it */
    NSH__ENTRY_TAKEN,   /* set by a writer */
    NSH__ENTRY_ANSWERED /* set by that writer: code, text and written are valid */
} nsh__entry_state;

/* A task that has ended, in shared memory; zero at first. */
typedef struct nsh__entry {
    _Alignas(64) atomic_uint state;
    int task_state;
    int64_t task;
    int code;
    int rank;     /* where the failure occurred */
    bool written; /* the record is in the file, whatever the code */
    char text[NSH__TEXT];
} nsh__entry;

/* In shared memory of a node, zero at first. */
typedef struct nsh__journal_writer_area {
    _Alignas(64) atomic_uint busy; /* a rank is the writer */
    atomic_uint rounds;            /* writers that have finished so far */
    atomic_uint sleepers;
} nsh__journal_writer_area;

/* One rank's view. */
typedef struct nsh__journal_writer {
    nsh_comm *comm;
    nsh__journal_writer_area *area; /* NULL: a process alone, without entries */
    nsh__entry *entries;            /* one for each rank of the node */
} nsh__journal_writer;

/* [local] Become the writer if no rank is. *round: the round of the present writer, also if the
 * answer is false. */
bool nsh__journal_writer_try(const nsh__journal_writer *writer, unsigned *round);

/* [non-local] Wait until the writer of that round has finished. */
int nsh__journal_writer_wait(const nsh__journal_writer *writer, unsigned round);

/* [non-local] Become the writer. */
int nsh__journal_writer_begin(const nsh__journal_writer *writer);

/* [local, by the writer] Stop being the writer. */
void nsh__journal_writer_end(const nsh__journal_writer *writer);

/* [local] This rank's entry. */
nsh__entry *nsh__journal_writer_own(const nsh__journal_writer *writer);

/* [local, by the writer] Take the next entry that waits; NULL: no more entries wait. *i is 0 at
 * first. */
nsh__entry *nsh__journal_writer_take(const nsh__journal_writer *writer, int *i);

/* [local, by the writer] Give this answer to every entry that is taken; a failure's detail is this
 * thread's. */
void nsh__journal_writer_answer(const nsh__journal_writer *writer, int code, bool written);

#endif
