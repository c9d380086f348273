/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex_check.c -- under NSH_CHECK=1: holders of mutexes in collective calls.
 *
 * Invariant: only the holder writes the sequence part of a word, and it is 0 outside of agreements.
 * Sequence numbers are those of collective calls, equal on all ranks. So a rank that has already
 * entered the agreement, and locks after it, does not count as a rank for which the agreement
 * waits. */
#include "sync/mutex_check.h"

#include <stddef.h>

enum { WAITING_BITS = 24 };

#define WAITING_MASK ((UINT64_C(1) << WAITING_BITS) - 1)

int nsh__mutex_check_wait(nsh__mutex_check *watch, int change)
{
    uint64_t old;

    return nsh__cell_add(&watch->cell, (uint64_t)(int64_t)change, &old);
}

int nsh__mutex_check_look(nsh__mutex_check *watch, bool *pointless)
{
    uint64_t now = 0;
    int rc = nsh__cell_read(&watch->cell, &now);

    *pointless = rc == NSH_SUCCESS && now >> WAITING_BITS > watch->cell.comm->sequence;
    return rc;
}

static nsh__mutex_check *check_of(nsh__agreement_hook *hook)
{
    return (nsh__mutex_check *)(void *)((char *)hook - offsetof(nsh__mutex_check, hook));
}

static int enter_holding(nsh__agreement_hook *hook, nsh__call call, int code)
{
    nsh__mutex_check *watch = check_of(hook);
    const nsh_comm *comm = watch->cell.comm;
    uint64_t old = 0;
    int rc = nsh__cell_add(&watch->cell, comm->sequence << WAITING_BITS, &old);

    if (rc != NSH_SUCCESS)
        return rc;
    watch->entered = comm->sequence;
    if (code != NSH_SUCCESS || (old & WAITING_MASK) == 0)
        return code;
    return nsh__fail(NSH_ERR_STATE, "%s: rank %d holds a mutex (%s) for which %d ranks wait",
                     nsh__call_name(call), comm->rank,
                     watch->name != NULL ? watch->name : "without a name",
                     (int)(old & WAITING_MASK));
}

static int leave_holding(nsh__agreement_hook *hook)
{
    nsh__mutex_check *watch = check_of(hook);
    int rc = NSH_SUCCESS;
    uint64_t old;

    if (watch->entered != 0)
        rc = nsh__cell_add(&watch->cell, -(watch->entered << WAITING_BITS), &old);
    watch->entered = 0;
    return rc;
}

void nsh__mutex_check_held(nsh_comm *comm, nsh__mutex_check *watch)
{
    watch->hook = (nsh__agreement_hook){enter_holding, leave_holding, comm->hooks};
    comm->hooks = &watch->hook;
}

void nsh__mutex_check_dropped(nsh_comm *comm, nsh__mutex_check *watch)
{
    nsh__agreement_hook **at = &comm->hooks;

    while (*at != NULL && *at != &watch->hook)
        at = &(*at)->next;
    if (*at != NULL)
        *at = watch->hook.next;
}
