/* SPDX-License-Identifier: BSD-3-Clause */
/* status_line.h -- the progress of a batch, as text: on a terminal, in a log, to a callback. */
#ifndef NSH_TASK_STATUS_LINE_H
#define NSH_TASK_STATUS_LINE_H

#include <nodeshare/batch.h>

#include <stdbool.h>

typedef struct nsh__status_line {
    bool terminal; /* redraw one line on stderr */
    bool lines;    /* or write a new line from time to time */
    bool drawn;
    void (*call)(const nsh_task_counts *counts, void *arg);
    void *arg;
    int64_t call_ns;              /* between two calls */
    int64_t next_line, next_call; /* by nsh__wait_clock; INT64_MAX: never */
} nsh__status_line;

/* [local] For the rank that shows progress; on other ranks the struct stays zero. */
void nsh__status_line_init(nsh__status_line *progress, const nsh_batch_options *options);

/* [local] Does this rank show progress at all? Is a line or a call due now? */
static inline bool nsh__status_line_on(const nsh__status_line *progress)
{
    return progress->call != NULL || progress->terminal || progress->lines;
}
bool nsh__status_line_due(const nsh__status_line *progress);

/* [local] When the next line or call is due, by nsh__wait_clock; INT64_MAX: never. */
int64_t nsh__status_line_next(const nsh__status_line *progress);

/* [local] Show the counts and after them the note. last: show them even if nothing is due, and end
 * the line. */
void nsh__status_line_show(nsh__status_line *progress, const nsh_task_counts *counts,
                           const char *note, bool last);

/* [local] "2 Jobs: 0 Finished / 0 Running / 0 Failed / 2 in Queue" */
void nsh__status_line_text(const nsh_task_counts *counts, char *buffer, size_t n);

#endif
