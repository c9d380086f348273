/* SPDX-License-Identifier: BSD-3-Clause */
/* status_line.c -- the progress of a batch, as text.
 *
 * Invariant: each line is one write, so that lines of programs do not mix. */
#define _GNU_SOURCE
#include "task/status_line.h"

#include "base/env.h"
#include "core/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static const int64_t redraw_ns = SECOND / 2, line_ns = 10 * SECOND;

void nsh__status_line_text(const nsh_task_counts *counts, char *buffer, size_t n)
{
    snprintf(buffer, n,
             "%" PRId64 " Jobs: %" PRId64 " Finished / %" PRId64 " Running / %" PRId64
             " Failed / %" PRId64 " in Queue",
             counts->tasks, counts->done, counts->running, counts->failed, counts->open);
}

void nsh__status_line_init(nsh__status_line *p, const nsh_batch_options *options)
{
    int64_t now = nsh__wait_clock();

    *p = (nsh__status_line){.terminal = !options->quiet && isatty(STDERR_FILENO),
                            .call = options->progress,
                            .arg = options->progress_arg,
                            .next_line = INT64_MAX,
                            .next_call = INT64_MAX};
    p->lines = !options->quiet && !p->terminal && nsh__env_is("NSH_PROGRESS_LINE", "1");
    if (p->terminal)
        p->next_line = now;
    else if (p->lines)
        p->next_line = now + line_ns;
    if (p->call != NULL) {
        p->call_ns = options->progress_seconds < 1e9
                         ? (int64_t)(options->progress_seconds * (double)SECOND)
                         : INT64_MAX / 4;
        p->next_call = now;
    }
}

bool nsh__status_line_due(const nsh__status_line *p)
{
    int64_t now;

    if (!nsh__status_line_on(p))
        return false;
    now = nsh__wait_clock();
    return now >= p->next_line || now >= p->next_call;
}

int64_t nsh__status_line_next(const nsh__status_line *p)
{
    if (!nsh__status_line_on(p))
        return INT64_MAX;
    return p->next_line < p->next_call ? p->next_line : p->next_call;
}

static void write_line(nsh__status_line *p, const nsh_task_counts *counts, const char *note,
                       bool last)
{
    char text[200];

    nsh__status_line_text(counts, text, sizeof text);
    if (p->terminal)
        fprintf(stderr, last ? "\r%s%s\033[K\n" : "\r%s%s\033[K", text, note);
    else
        fprintf(stderr, "%s%s\n", text, note);
    fflush(stderr);
    p->drawn = true;
}

void nsh__status_line_show(nsh__status_line *p, const nsh_task_counts *counts, const char *note,
                           bool last)
{
    int64_t now = nsh__wait_clock();

    if (now >= p->next_line || (last && p->drawn)) {
        write_line(p, counts, note, last);
        p->next_line = now + (p->terminal ? redraw_ns : line_ns);
    }
    if (p->call != NULL && (now >= p->next_call || last)) {
        p->call(counts, p->arg);
        p->next_call = now + p->call_ns;
    }
}
