/* SPDX-License-Identifier: BSD-3-Clause */
/* views.c -- the read-only views of this process, and the writable views of the same pages.
 *
 * Invariant: the table is sorted by address, and every view in it is mapped. It belongs to the
 * process because a caller's pointer does not say which communicator it comes from. There is an
 * entry for each window of each heap: few, and each look-up precedes a message. */
#define _GNU_SOURCE
#include "core/views.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct view {
    uintptr_t begin, end;
    char *rw;
} view;

static struct {
    pthread_rwlock_t lock; /* protects the rest: threads may use different communicators */
    view *view;
    int n, capacity;
} table = {.lock = PTHREAD_RWLOCK_INITIALIZER};

/* [under the lock] The number of views that begin at or below p. */
static int views_up_to(uintptr_t p)
{
    int low = 0, high = table.n;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (table.view[middle].begin <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(void)
{
    int capacity = table.capacity > 0 ? 2 * table.capacity : 16;
    view *more;

    if (table.n < table.capacity)
        return true;
    more = realloc(table.view, (size_t)capacity * sizeof *more);
    if (more == NULL)
        return false;
    table.view = more;
    table.capacity = capacity;
    return true;
}

bool nsh__views_add(const char *ro, char *rw, int64_t bytes)
{
    uintptr_t begin = (uintptr_t)ro;
    bool ok;
    int at;

    pthread_rwlock_wrlock(&table.lock);
    ok = make_room();
    if (ok) {
        at = views_up_to(begin);
        memmove(&table.view[at + 1], &table.view[at], (size_t)(table.n - at) * sizeof(view));
        table.view[at] = (view){begin, begin + (uintptr_t)bytes, rw};
        table.n++;
    }
    pthread_rwlock_unlock(&table.lock);
    return ok;
}

void nsh__views_remove(const char *ro)
{
    int at;

    pthread_rwlock_wrlock(&table.lock);
    at = views_up_to((uintptr_t)ro) - 1;
    if (at >= 0 && table.view[at].begin == (uintptr_t)ro) {
        table.n--;
        memmove(&table.view[at], &table.view[at + 1], (size_t)(table.n - at) * sizeof(view));
    }
    if (table.n == 0) { /* so that no memory is left after the last communicator */
        free(table.view);
        table.view = NULL;
        table.capacity = 0;
    }
    pthread_rwlock_unlock(&table.lock);
}

const void *nsh__views_for_mpi(const void *p)
{
    int at;

    pthread_rwlock_rdlock(&table.lock);
    at = views_up_to((uintptr_t)p) - 1;
    if (at >= 0 && (uintptr_t)p < table.view[at].end)
        p = table.view[at].rw + ((uintptr_t)p - table.view[at].begin);
    pthread_rwlock_unlock(&table.lock);
    return p;
}
