/* SPDX-License-Identifier: BSD-3-Clause */
/* status_line.h -- how far a batch is, as text: on a terminal, in a log, to a callback. */
#ifndef NSH_TASK_STATUS_LINE_H
#define NSH_TASK_STATUS_LINE_H

#include <nodeshare/batch.h>

#include <stdbool.h>

typedef struct nsh__status_line {
    bool terminal; /* redraw one line on stderr */
    bool lines;    /* or write one now and then */
    bool drawn;
    void (*call)(const nsh_task_counts *counts, void *arg);
    void *arg;
    int64_t call_ns;              /* between two calls */
    int64_t next_line, next_call; /* by nsh__wait_clock; INT64_MAX: never */
} nsh__status_line;

/* For a rank that shows it; on others it stays all zero. */
void nsh__status_line_init(nsh__status_line *progress, const nsh_batch_options *options);

/* [local] Is anything ever to be shown by this rank? Now? */
static inline bool nsh__status_line_on(const nsh__status_line *progress)
{
    return progress->call != NULL || progress->terminal || progress->lines;
}
bool nsh__status_line_due(const nsh__status_line *progress);

/* [local] When something is to be shown next, by nsh__wait_clock; INT64_MAX: never. */
int64_t nsh__status_line_next(const nsh__status_line *progress);

/* [local] Show it, and the note behind it; last: whatever the time, and end the line. */
void nsh__status_line_show(nsh__status_line *progress, const nsh_task_counts *counts,
                           const char *note, bool last);

/* [local] "2 Jobs: 0 Finished / 0 Running / 0 Failed / 2 in Queue" */
void nsh__status_line_text(const nsh_task_counts *counts, char *buffer, size_t n);

#endif
