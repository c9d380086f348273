/* SPDX-License-Identifier: BSD-3-Clause */
/* batch_fetch.c -- a node's next tasks from the journal, where other jobs may still give tasks
 * back.
 *
 * Invariant: of the workers of a node that wait for other jobs one looks at the journal, the one
 * that fetches (claim.h), and the others sleep. */
#include "base/math.h"
#include "task/batch.h"

#include "base/error.h"

#include <stdio.h>

#define MS INT64_C(1000000)

static const int64_t shortest = MS, longest = 1000 * MS, /* sleep between two looks */
    shown_every = 50 * MS;                               /* at most once in this time */

enum { NAP_SHARE = 16 }; /* the sleep is 1/16 of the wait so far */

static int nap_before_look(nsh_batch *b)
{
    atomic_uint never = 0, sleepers = 0;
    const nsh__event event = {&never, ~0U, 1, &sleepers, -1};
    int64_t now = nsh__wait_clock(), ns = (now - b->waits_since) / NAP_SHARE;
    int rc;

    if (now >= b->claims.deadline)
        return NSH_ERR_TIMEOUT;
    ns = nsh__min(nsh__clamp(ns, shortest, longest), b->claims.deadline - now);
    rc = nsh__wait_event(&b->comm->wait, &event, now + ns);
    return rc == NSH_ERR_TIMEOUT ? NSH_SUCCESS : rc;
}

int nsh__batch_fetch(void *owner, const nsh__claim_wish *wish, int64_t *begin, int64_t *end)
{
    nsh_batch *b = owner;
    bool others = false;
    int rc;

    do {
        rc = nsh__journal_claim(b->journal, wish, begin, end, &others);
        if (rc != NSH_SUCCESS || *begin < *end || !others || !b->wait)
            return rc;
        rc = nap_before_look(b);
    } while (rc == NSH_SUCCESS);
    return rc;
}

static int fail_timeout(nsh_batch *b)
{
    char job[NSH__JOB_TEXT];

    nsh__journal_other(b->journal, job);
    return nsh__fail(NSH_ERR_TIMEOUT,
                     "nsh_batch_next: no task after %g s, %s still runs some (rank %d)",
                     b->wait_seconds, job, b->comm->rank);
}

static void show_other_job(nsh_batch *b)
{
    char note[NSH__JOB_TEXT + 16], job[NSH__JOB_TEXT];

    nsh__journal_other(b->journal, job);
    snprintf(note, sizeof note, "; waits for %s", job);
    nsh__batch_show(b, note, false);
}

/* Claim in time slices, to show progress when it is due. */
static int claim_and_show(nsh_batch *b, int64_t *task, int64_t *count)
{
    int64_t until = b->wait_seconds > 0 ? nsh__wait_deadline(b->wait_seconds) : NSH__NEVER;
    int rc;

    for (;;) {
        int64_t now = nsh__wait_clock();

        b->claims.deadline =
            nsh__min(nsh__max(nsh__status_line_next(&b->progress), now + shown_every), until);
        rc = nsh__claim_take(&b->claims, 0, task, count);
        if (rc != NSH_ERR_TIMEOUT)
            return rc;
        if (nsh__wait_clock() >= until)
            return fail_timeout(b);
        show_other_job(b);
    }
}

int nsh__batch_claim(nsh_batch *b, int64_t *task, int64_t *count)
{
    int rc;

    if (!b->wait)
        return nsh__claim_take(&b->claims, 0, task, count);
    b->waits_since = nsh__wait_clock();
    b->comm->wait.unreported = true;
    rc = claim_and_show(b, task, count);
    b->comm->wait.unreported = false;
    return rc;
}
