/* SPDX-License-Identifier: BSD-3-Clause */
/* semaphore.c -- a limited number of permits for all ranks together; first come, first served.
 *
 * A rank that wants a permit waits in a queue lock (queue.h). The holder of the lock, the head,
 * takes the next free permit and then unlocks. One cell says how many permits are free and which
 * head waits:
 *
 *   cell = (free - permits) << 32 | waiting    waiting: 1 + the rank of a head that waits; 0: none
 *
 * The head subtracts a permit. If none was free (free is -1 now) it adds its rank as waiting.
 * Unless a release has come between these two operations it awaits the token. A release adds a
 * permit, and sends the token if free was -1 and the head is known; a head that is not known yet
 * sees the permit itself.
 *
 * Invariants: free >= -1, and -1 only while a head lacks a permit; only the head writes waiting. */
#include <nodeshare/semaphore.h>

#include "base/fault.h"
#include "base/sized.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/names.h"
#include "core/object_free.h"
#include "core/shared.h"
#include "sync/cell.h"
#include "sync/queue.h"
#include "sync/token.h"

#include <stdlib.h>

enum { FREE_SHIFT = 32 };

#define ONE_PERMIT ((uint64_t)1 << FREE_SHIFT)

struct nsh_semaphore {
    nsh_comm *comm;
    int permits, held; /* permits of all ranks; held by this rank */
    int home;
    nsh__queue queue;
    nsh__cell cell; /* follows the queue */
    nsh__object object;
};

/* ---- create ---- */

static void semaphore_destroy(void *handle)
{
    nsh_semaphore *semaphore = handle;

    if (semaphore == NULL)
        return;
    nsh__object_fini(&semaphore->object);
    free(semaphore);
}

static const nsh__kind semaphore_kind = {.name = "semaphore", .destroy = semaphore_destroy};

/* [local] This rank's part of the semaphore. semaphore_destroy accepts it at any stage. */
static int semaphore_init(nsh_comm *comm, int permits, const nsh_semaphore_options *o,
                          nsh_semaphore **out, nsh_semaphore **made)
{
    nsh_semaphore *semaphore;
    int rc;

    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_semaphore_create: out is NULL (rank %d)", comm->rank);
    if (permits < 1)
        return nsh__fail(NSH_ERR_ARG, "nsh_semaphore_create: %d permits (rank %d)", permits,
                         comm->rank);
    semaphore = *made = nsh__fault(semaphore_alloc) ? NULL : calloc(1, sizeof *semaphore);
    if (semaphore == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_semaphore_create: no memory");
    semaphore->comm = comm;
    semaphore->permits = permits;
    rc = nsh__shared_home(comm, NSH__CALL_SEMAPHORE_CREATE, o->home, &semaphore->home);
    if (rc != NSH_SUCCESS)
        return rc;
    return nsh__object_init(&semaphore->object, &semaphore_kind, semaphore,
                            NSH__CALL_SEMAPHORE_CREATE, o->name);
}

/* Set the pointers of queue and cell into the shared memory. */
static void semaphore_attach(nsh_semaphore *semaphore)
{
    nsh_comm *comm = semaphore->comm;
    nsh__place *places = (nsh__place *)semaphore->object.shared.block.rw;
    bool local = comm->node_count == 1;

    semaphore->queue = (nsh__queue){.comm = comm,
                                    .local = places,
                                    .remote = &semaphore->object.shared.words,
                                    .participants = comm->size,
                                    .me = local ? comm->node_rank : comm->rank};
    semaphore->cell =
        (nsh__cell){comm, local ? (_Atomic uint64_t *)(void *)(places + 1 + comm->size) : NULL,
                    &semaphore->object.shared.words, (int64_t)comm->size + 1};
}

int nsh_semaphore_create(nsh_comm *comm, int permits, const nsh_semaphore_options *options,
                         nsh_semaphore **out)
{
    static const nsh__sized kind =
        NSH__SIZED(nsh_semaphore_options, name, NSH_SEMAPHORE_OPTIONS_INIT);
    nsh_semaphore_options given = NSH_SEMAPHORE_OPTIONS_INIT, *o = &given;
    nsh_semaphore *semaphore = NULL;
    nsh__need need = {0};
    uint64_t signature;
    int rc;

    rc = nsh__object_begin(comm, NSH__CALL_SEMAPHORE_CREATE);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__sized_read(&kind, "nsh_semaphore_create", comm->rank, options, o);
    if (rc == NSH_SUCCESS)
        rc = semaphore_init(comm, permits, o, out, &semaphore);
    need.bytes = comm->node_count > 1 ? 0 : (comm->size + 2) * (int64_t)sizeof(nsh__place);
    need.nwords = comm->node_count > 1 ? (int64_t)comm->size + 2 : 0;
    signature = nsh__shared_signature(comm, o->home, (uint64_t)permits, o->name);
    need.home = semaphore != NULL ? semaphore->home : 0;
    rc = nsh__object_create(comm, NSH__CALL_SEMAPHORE_CREATE, rc, signature, &need, &semaphore_kind,
                            semaphore, semaphore != NULL ? &semaphore->object : NULL);
    if (rc != NSH_SUCCESS)
        return rc;
    semaphore_attach(semaphore);
    *out = semaphore;
    return NSH_SUCCESS;
}

int nsh_semaphore_free(nsh_semaphore **semaphore)
{
    nsh_semaphore *s;
    int rc = NSH_SUCCESS;

    if (semaphore == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_semaphore_free: semaphore is NULL");
    s = *semaphore;
    if (s == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget(s->comm, &s->object)) {
        *semaphore = NULL;
        return NSH_SUCCESS;
    }
    if (s->held > 0)
        rc = nsh__fail(NSH_ERR_STATE, "nsh_semaphore_free: rank %d holds %d permits", s->comm->rank,
                       s->held);
    rc = nsh__agree_to_free(s->comm, NSH__CALL_SEMAPHORE_FREE, rc, s->object.id);
    if (rc != NSH_SUCCESS)
        return rc;
    nsh__object_free(s->comm, &s->object);
    *semaphore = NULL;
    return NSH_SUCCESS;
}

int nsh_semaphore_abandon(nsh_semaphore **semaphore)
{
    nsh_semaphore *s;

    if (semaphore == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_semaphore_abandon: semaphore is NULL");
    s = *semaphore;
    if (s == NULL)
        return NSH_SUCCESS;
    if (s->held > 0 && nsh__comm_present(s->comm, "nsh_semaphore_abandon") == NSH_SUCCESS)
        return nsh__fail(NSH_ERR_STATE, "nsh_semaphore_abandon: rank %d holds %d permits",
                         s->comm->rank, s->held);
    nsh__object_abandon(s->comm, &s->object);
    *semaphore = NULL;
    return NSH_SUCCESS;
}

/* ---- acquire and release ---- */

static int64_t free_permits(const nsh_semaphore *semaphore, uint64_t cell)
{
    int64_t free_ = (int64_t)(cell >> FREE_SHIFT);

    if (free_ >= INT64_C(1) << 31) /* two's complement of 32 bits */
        free_ -= INT64_C(1) << 32;
    return free_ + semaphore->permits;
}

/* [by the head, which lacks a permit] Wait for a release. */
static int await_permit(nsh_semaphore *semaphore)
{
    uint64_t self = (uint64_t)semaphore->comm->rank + 1, old;
    int rc = nsh__cell_add(&semaphore->cell, self, &old);

    if (rc == NSH_SUCCESS && free_permits(semaphore, old) < 0)
        rc = nsh__token_await(semaphore->comm, NSH__TOKEN_LOCK, NSH__NEVER);
    return rc == NSH_SUCCESS ? nsh__cell_add(&semaphore->cell, -self, &old) : rc;
}

static int acquire(nsh_semaphore *semaphore)
{
    nsh__queue *queue = &semaphore->queue;
    uint64_t old;
    int rc = nsh__queue_lock(queue, NSH__NEVER);

    if (rc == NSH_SUCCESS)
        rc = nsh__cell_add(&semaphore->cell, -ONE_PERMIT, &old);
    if (rc == NSH_SUCCESS && free_permits(semaphore, old) <= 0)
        rc = await_permit(semaphore);
    if (rc == NSH_SUCCESS)
        rc = nsh__queue_unlock(queue, queue->me, queue->waited, NULL, NULL);
    return rc;
}

/* No place in the queue is needed: a permit that is free now belongs to no waiting rank. */
static int tryacquire(nsh_semaphore *semaphore)
{
    uint64_t seen, old;
    int rc = nsh__cell_read(&semaphore->cell, &seen);

    while (rc == NSH_SUCCESS) {
        if (free_permits(semaphore, seen) <= 0)
            return NSH_ERR_BUSY;
        rc = nsh__cell_cas(&semaphore->cell, seen, seen - ONE_PERMIT, &old);
        if (rc == NSH_SUCCESS && old == seen)
            break;
        seen = old;
    }
    return rc;
}

static int release(nsh_semaphore *semaphore)
{
    uint64_t old, waiting;
    int rc = nsh__cell_add(&semaphore->cell, ONE_PERMIT, &old);

    if (rc != NSH_SUCCESS || free_permits(semaphore, old) >= 0)
        return rc;
    waiting = old & (ONE_PERMIT - 1);
    return waiting != 0 ? nsh__token_send(semaphore->comm, NSH__TOKEN_LOCK, (int)waiting - 1) : rc;
}

/* May this rank hold `change` more permits? */
static int semaphore_usable(const nsh_semaphore *semaphore, const char *call, int change)
{
    if (semaphore == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: semaphore is NULL", call);
    if (semaphore->held + change < 0 || semaphore->held + change > semaphore->permits)
        return nsh__fail(NSH_ERR_STATE, "%s: rank %d holds %d of %d permits",
                         nsh__object_phrase(call, &semaphore->object).text, semaphore->comm->rank,
                         semaphore->held, semaphore->permits);
    return nsh__comm_whole(semaphore->comm, call);
}

/* Count the permits of this rank. After a failure between ranks the state is unknown: the
 * communicator is broken. */
static int count_permits(nsh_semaphore *semaphore, int rc, int change)
{
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(semaphore->comm, rc);
    semaphore->held += change;
    return NSH_SUCCESS;
}

int nsh_semaphore_acquire(nsh_semaphore *semaphore)
{
    int rc = semaphore_usable(semaphore, "nsh_semaphore_acquire", 1);

    if (rc != NSH_SUCCESS)
        return rc;
    semaphore->comm->subject = (nsh__subject){
        .call = "nsh_semaphore_acquire", .kind = "semaphore", .name = semaphore->object.name};
    return count_permits(semaphore, nsh__subject_end(semaphore->comm, acquire(semaphore)), 1);
}

int nsh_semaphore_tryacquire(nsh_semaphore *semaphore)
{
    int rc = semaphore_usable(semaphore, "nsh_semaphore_tryacquire", 1);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = tryacquire(semaphore);
    if (rc == NSH_ERR_BUSY)
        return nsh__fail(rc, "nsh_semaphore_tryacquire: no permit is free (rank %d)",
                         semaphore->comm->rank);
    return count_permits(semaphore, rc, 1);
}

int nsh_semaphore_release(nsh_semaphore *semaphore)
{
    int rc = semaphore_usable(semaphore, "nsh_semaphore_release", -1);

    return rc == NSH_SUCCESS ? count_permits(semaphore, release(semaphore), -1) : rc;
}

int nsh_semaphore_find(nsh_comm *comm, const char *name, nsh_semaphore **out)
{
    return nsh__name_find(comm, "nsh_semaphore_find", &semaphore_kind, name, out);
}
