/* SPDX-License-Identifier: BSD-3-Clause */
/* status.c -- nsh status, nsh reset and nsh salvage: the journal of a batch, read without MPI. */
#define _GNU_SOURCE
#include "tool/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "task/journal.h"
#include "task/status_line.h"
#include "task/journal_salvage.h"

static int complain_of_journal(const char *command, int rc)
{
    fprintf(stderr, "nsh %s: %s: %s\n", command, nsh_strerror(rc), nsh_error_detail());
    return 1;
}

/* Print the state every second until no task is left; on a terminal in one line. */
static int watch_journal(const char *path)
{
    const struct timespec second = {1, 0};
    bool terminal = isatty(STDOUT_FILENO);
    nsh_task_counts counts;
    char text[200];
    int rc;

    for (;;) {
        rc = nsh__journal_status(path, &counts);
        if (rc != NSH_SUCCESS)
            return complain_of_journal("status", rc);
        nsh__status_line_text(&counts, text, sizeof text);
        printf(terminal ? "\r%s\033[K" : "%s\n", text);
        fflush(stdout);
        if (counts.open + counts.running == 0)
            break;
        nanosleep(&second, NULL);
    }
    if (terminal)
        putchar('\n');
    return 0;
}

int tool_status(int argc, char **argv)
{
    nsh_task_counts counts;
    char text[200];
    int rc;

    if (argc == 2 && strcmp(argv[1], "--watch") == 0)
        return watch_journal(argv[0]);
    if (argc == 2 && strcmp(argv[0], "--watch") == 0)
        return watch_journal(argv[1]);
    if (argc != 1 || argv[0][0] == '-') {
        fprintf(stderr, "usage: nsh status FILE [--watch]\n");
        return 2;
    }
    rc = nsh__journal_status(argv[0], &counts);
    if (rc != NSH_SUCCESS)
        return complain_of_journal("status", rc);
    nsh__status_line_text(&counts, text, sizeof text);
    puts(text);
    return 0;
}

int tool_reset(int argc, char **argv)
{
    unsigned states = 0;
    int rc;

    if (argc == 2 && strcmp(argv[0], "--failed") == 0)
        states = NSH_BATCH_REOPEN_FAILED;
    else if (argc == 2 && strcmp(argv[0], "--all") == 0)
        states = NSH_BATCH_REOPEN_FAILED | NSH_BATCH_REOPEN_DONE;
    if (states == 0) {
        fprintf(stderr, "usage: nsh reset --failed|--all FILE\n");
        return 2;
    }
    rc = nsh__journal_reset(argv[1], states);
    return rc == NSH_SUCCESS ? 0 : complain_of_journal("reset", rc);
}

static void report_dropped(int64_t at, int64_t bytes)
{
    printf("dropped: %" PRId64 " bytes from byte %" PRId64 " on\n", bytes, at);
}

int tool_salvage(int argc, char **argv)
{
    nsh__salvage found;
    int rc;

    if (argc != 2 || argv[0][0] == '-' || argv[1][0] == '-') {
        fprintf(stderr, "usage: nsh salvage FILE NEW\n");
        return 2;
    }
    rc = nsh__journal_salvage(argv[0], argv[1], report_dropped, &found);
    if (rc != NSH_SUCCESS)
        return complain_of_journal("salvage", rc);
    if (found.mended)
        puts("mended: one byte of the header");
    printf("%" PRId64 " records kept, %" PRId64 " bytes in %" PRId64 " places dropped\n",
           found.records, found.dropped, found.stretches);
    return tool_status(1, argv + 1);
}
