/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_salvage.h -- copy the good records of a damaged journal to a new one. */
#ifndef NSH_TASK_JOURNAL_SALVAGE_H
#define NSH_TASK_JOURNAL_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

/* What was found. */
typedef struct nsh__salvage {
    int64_t records;   /* good records, all copied to the new journal */
    int64_t stretches; /* gaps of bytes between them that are no records */
    int64_t dropped;   /* bytes in all gaps together */
    bool mended;       /* one byte of the header was wrong, and was repaired */
} nsh__salvage;

/* Called for every gap. */
typedef void (*nsh__salvage_report)(int64_t at, int64_t bytes);

/* [local, by a process alone] Copy the journal at `from` to a new one at `to` without the damaged
 * parts. `from` is only read, and `to` appears when it is complete and on disk. Errors: EXISTS
 * (to), NOT_FOUND, IO, NOMEM, FORMAT (from has no header, is of another version or of a machine
 * with another byte order). */
int nsh__journal_salvage(const char *from, const char *to, nsh__salvage_report report,
                         nsh__salvage *out);

#endif
