/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_salvage.h -- the good records of a damaged journal, in a new one. */
#ifndef NSH_TASK_JOURNAL_SALVAGE_H
#define NSH_TASK_JOURNAL_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

/* What was found. */
typedef struct nsh__salvage {
    int64_t records;   /* that are good, and in the new journal */
    int64_t stretches; /* of bytes between them that are no records, */
    int64_t dropped;   /* and so many bytes in all of them */
    bool mended;       /* one byte of the header was wrong, and could be told */
} nsh__salvage;

/* Is told of every stretch. */
typedef void (*nsh__salvage_report)(int64_t at, int64_t bytes);

/* [local] Copy the journal at `from` to a new one at `to` without what is damaged. `from` is only
 * read, and `to` appears when it is whole and on disk. Errors: EXISTS (to), NOT_FOUND, IO, NOMEM,
 * FORMAT (from has no header, is of another version or of a machine with another byte order). */
int nsh__journal_salvage(const char *from, const char *to, nsh__salvage_report report,
                         nsh__salvage *out);

#endif
