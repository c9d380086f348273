/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_salvage.c -- copy the good records of a damaged journal to a new one.
 *
 * The checksum of a record tells the place for which it was written. So a good record is recognised
 * wherever reading begins and wherever it has moved: damage does not hide the records after it, nor
 * do bytes that were lost or inserted. A record that comes a second time is left out, because it
 * may undo what came after it. Records may be applied to any table, also where some are missing: a
 * task whose end is lost is run again.
 *
 * Invariant: the bytes written are a journal, and its records are those of the old one in order. */
#define _GNU_SOURCE
#include "task/journal_salvage.h"

#include "disk/disk.h"
#include "base/error.h"
#include "task/journal_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char call[] = "nsh salvage";

/* A file in memory. */
typedef struct content {
    char *bytes;
    int64_t n;
    mode_t mode;
} content;

static int load_file(const char *path, content *out)
{
    nsh__slab all;
    struct stat st;
    int fd, rc = nsh__disk_open(call, path, false, &fd);

    if (rc != NSH_SUCCESS)
        return rc;
    if (fstat(fd, &st) != 0 || st.st_size < 0)
        rc = nsh__fail(NSH_ERR_IO, "%s: cannot look at %.120s", call, path);
    if (rc == NSH_SUCCESS) {
        *out = (content){malloc((size_t)st.st_size + 1), (int64_t)st.st_size, st.st_mode & 0777};
        if (out->bytes == NULL)
            rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %lld bytes", call, (long long)out->n);
    }
    if (rc == NSH_SUCCESS) {
        nsh__slab_packed(&all, out->n);
        rc = nsh__disk_read(call, path, fd, 0, &all, out->bytes, &all, 0, out->n);
    }
    close(fd);
    return rc;
}

static int read_or_mend_head(const char *path, const content *in, nsh__journal_head *head,
                             bool *mended)
{
    int64_t n = in->n < NSH__JOURNAL_HEAD ? in->n : NSH__JOURNAL_HEAD;
    nsh__head_kind kind;

    memset(head, 0, sizeof *head);
    memcpy(head, in->bytes, (size_t)n);
    kind = nsh__journal_head_kind(head, n);
    *mended = n == NSH__JOURNAL_HEAD && kind != NSH__HEAD_GOOD && nsh__journal_head_mend(head);
    if (kind == NSH__HEAD_GOOD || *mended)
        return NSH_SUCCESS;
    if (kind == NSH__HEAD_OTHER)
        return nsh__fail(NSH_ERR_FORMAT,
                         "%s: %.120s is of another version of nodeshare: its format is %c, not %c",
                         call, path, nsh__journal_format(head), NSH__JOURNAL_FORMAT);
    if (kind == NSH__HEAD_ORDER)
        return nsh__fail(NSH_ERR_FORMAT, "%s: %.120s is of a machine with another byte order", call,
                         path);
    return nsh__fail(NSH_ERR_FORMAT, "%s: %.120s has no header of a journal", call, path);
}

static void report_gap(int64_t begin, int64_t end, nsh__salvage_report report, nsh__salvage *found)
{
    if (begin >= end)
        return;
    found->stretches++;
    found->dropped += end - begin;
    report(begin, end - begin);
}

/* Write the good records of `in`, with checksums for their new places, one after the other to out.
 * Returns where they end. */
static int64_t copy_records(const content *in, const nsh__journal_table *table,
                            nsh__salvage_report report, char *out, nsh__salvage *found)
{
    int64_t end = NSH__JOURNAL_HEAD, bytes;
    int64_t good = end, origin = end; /* where the last good one ends, and where it ended when it
                                         was written */

    for (int64_t at = good; at < in->n; at += bytes) {
        const char *result = NULL;
        nsh__record record;
        int64_t place;

        bytes = nsh__record_find(table, in->bytes + at, in->n - at, &place, &record, &result);
        if (bytes == 0 || place < origin) {
            bytes = 1;
            continue;
        }
        report_gap(good, at, report, found);
        nsh__record_write(&record, result, end, out + end);
        end += bytes;
        good = at + bytes;
        origin = place + bytes;
        found->records++;
    }
    report_gap(good, in->n, report, found);
    return end;
}

/* Write a temporary file beside `to`, then rename it to `to`. */
static int write_new_file(const char *to, const char *bytes, int64_t n, mode_t mode)
{
    char work[NSH__PATH];
    nsh__slab all;
    int fd, rc;

    if (snprintf(work, sizeof work, "%s.salvage-%ld", to, (long)getpid()) >= (int)sizeof work)
        return nsh__fail(NSH_ERR_ARG, "%s: the path is too long", call);
    fd = open(work, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return nsh__fail(NSH_ERR_IO, "%s: cannot create %.120s: %s", call, work, strerror(errno));
    nsh__slab_packed(&all, n);
    rc = nsh__disk_write(call, work, fd, 0, &all, bytes, &all, 0, n);
    if (rc == NSH_SUCCESS)
        rc = nsh__disk_sync(call, work, fd);
    if (rc == NSH_SUCCESS)
        rc = nsh__disk_replace(call, work, fd, to, true);
    if (rc != NSH_SUCCESS)
        unlink(work);
    close(fd);
    return rc;
}

int nsh__journal_salvage(const char *from, const char *to, nsh__salvage_report report,
                         nsh__salvage *out)
{
    content in = {NULL, 0, 0};
    nsh__journal_head head;
    nsh__journal_table table = {.area = NULL};
    char *good = NULL;
    int rc;

    *out = (nsh__salvage){0};
    if (access(to, F_OK) == 0)
        return nsh__fail(NSH_ERR_EXISTS, "%s: %.160s exists", call, to);
    rc = load_file(from, &in);
    if (rc == NSH_SUCCESS)
        rc = read_or_mend_head(from, &in, &head, &out->mended);
    if (rc == NSH_SUCCESS && (good = malloc((size_t)in.n)) == NULL)
        rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %lld bytes", call, (long long)in.n);
    if (rc == NSH_SUCCESS) {
        table.tasks = head.tasks;
        table.result_bytes = head.result_bytes;
        memcpy(good, &head, sizeof head);
        rc = write_new_file(to, good, copy_records(&in, &table, report, good, out), in.mode);
    }
    free(good);
    free(in.bytes);
    return rc;
}
