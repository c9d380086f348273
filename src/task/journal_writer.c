/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_writer.c -- one rank of a node at a time works on a journal, and writes for the others.
 *
 * Invariant: when a rank stops being the writer, no entry is TAKEN. */
#include "task/journal_writer.h"

#include <string.h>

bool nsh__journal_writer_try(const nsh__journal_writer *writer, unsigned *round)
{
    unsigned free = 0;

    if (writer->area == NULL)
        return true;
    /* The round is read first. If a writer finishes between the two steps, its round is over, and
     * nobody waits for it. */
    *round = atomic_load(&writer->area->rounds);
    return atomic_compare_exchange_strong(&writer->area->busy, &free, 1);
}

int nsh__journal_writer_wait(const nsh__journal_writer *writer, unsigned round)
{
    nsh__journal_writer_area *area = writer->area;

    return nsh__wait_word(&writer->comm->wait, &area->rounds, round + 1, &area->sleepers);
}

int nsh__journal_writer_begin(const nsh__journal_writer *writer)
{
    unsigned round;
    int rc = NSH_SUCCESS;

    while (rc == NSH_SUCCESS && !nsh__journal_writer_try(writer, &round))
        rc = nsh__journal_writer_wait(writer, round);
    return rc;
}

void nsh__journal_writer_end(const nsh__journal_writer *writer)
{
    nsh__journal_writer_area *area = writer->area;

    if (area == NULL)
        return;
    atomic_store(&area->busy, 0);
    atomic_fetch_add(&area->rounds, 1); /* seq_cst, for nsh__wake */
    nsh__wake(&area->rounds, &area->sleepers);
}

nsh__entry *nsh__journal_writer_own(const nsh__journal_writer *writer)
{
    return &writer->entries[writer->comm->node_rank];
}

nsh__entry *nsh__journal_writer_take(const nsh__journal_writer *writer, int *i)
{
    int n = writer->area != NULL ? writer->comm->node_size : 0;

    while (*i < n) {
        nsh__entry *entry = &writer->entries[(*i)++];
        unsigned waiting = NSH__ENTRY_WAITING;

        if (atomic_compare_exchange_strong(&entry->state, &waiting, NSH__ENTRY_TAKEN))
            return entry;
    }
    return NULL;
}

void nsh__journal_writer_answer(const nsh__journal_writer *writer, int code, bool written)
{
    int n = writer->area != NULL ? writer->comm->node_size : 0;

    for (int i = 0; i < n; i++) {
        nsh__entry *entry = &writer->entries[i];

        if (atomic_load(&entry->state) != NSH__ENTRY_TAKEN)
            continue;
        entry->code = code;
        entry->rank = writer->comm->rank;
        entry->written = written;
        if (code != NSH_SUCCESS)
            strncpy(entry->text, nsh_error_detail(), sizeof entry->text - 1);
        atomic_store(&entry->state, NSH__ENTRY_ANSWERED);
    }
}
