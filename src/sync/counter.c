/* SPDX-License-Identifier: BSD-3-Clause */
/* counter.c -- a 64-bit number that all ranks add to.
 *
 * Invariant: value = the cell + initial, so a new cell, which is zero, needs no further step. */
#include <nodeshare/counter.h>

#include "base/fault.h"
#include "base/sized.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/names.h"
#include "core/object_free.h"
#include "core/shared.h"
#include "sync/cell.h"

#include <stdlib.h>

struct nsh_counter {
    nsh_comm *comm;
    uint64_t initial;
    int home;
    nsh__cell cell;
    nsh__object object;
};

static void counter_destroy(void *handle)
{
    nsh_counter *counter = handle;

    if (counter == NULL)
        return;
    nsh__object_fini(&counter->object);
    free(counter);
}

static int counter_clear(void *handle)
{
    const nsh_counter *counter = handle;
    const nsh_comm *comm = counter->comm;

    return nsh__comm_leads(comm) && counter->home == comm->node_index
               ? nsh__cell_clear(&counter->cell)
               : NSH_SUCCESS;
}

static const nsh__kind counter_kind = {
    .name = "counter", .clear = counter_clear, .destroy = counter_destroy};

/* [local] This rank's part of the counter. counter_destroy accepts it at any stage. */
static int counter_init(nsh_comm *comm, const nsh_counter_options *o, nsh_counter **out,
                        nsh_counter **made)
{
    nsh_counter *counter;
    int rc;

    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_counter_create: out is NULL (rank %d)", comm->rank);
    counter = *made = nsh__fault(counter_alloc) ? NULL : calloc(1, sizeof *counter);
    if (counter == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_counter_create: no memory");
    counter->comm = comm;
    rc = nsh__shared_home(comm, NSH__CALL_COUNTER_CREATE, o->home, &counter->home);
    if (rc != NSH_SUCCESS)
        return rc;
    return nsh__object_init(&counter->object, &counter_kind, counter, NSH__CALL_COUNTER_CREATE,
                            o->name);
}

int nsh_counter_create(nsh_comm *comm, int64_t initial, const nsh_counter_options *options,
                       nsh_counter **out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_counter_options, name, NSH_COUNTER_OPTIONS_INIT);
    nsh_counter_options given = NSH_COUNTER_OPTIONS_INIT, *o = &given;
    nsh_counter *counter = NULL;
    nsh__need need;
    uint64_t signature;
    int rc;

    rc = nsh__object_begin(comm, NSH__CALL_COUNTER_CREATE);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__sized_read(&kind, "nsh_counter_create", comm->rank, options, o);
    if (rc == NSH_SUCCESS)
        rc = counter_init(comm, o, out, &counter);
    signature = nsh__shared_signature(comm, o->home, (uint64_t)initial, o->name);
    need = (nsh__need){nsh__cell_bytes(comm), nsh__cell_words(comm),
                       counter != NULL ? counter->home : 0};
    rc = nsh__object_create(comm, NSH__CALL_COUNTER_CREATE, rc, signature, &need, &counter_kind,
                            counter, counter != NULL ? &counter->object : NULL);
    if (rc != NSH_SUCCESS)
        return rc;
    counter->initial = (uint64_t)initial;
    counter->cell = (nsh__cell){comm, (_Atomic uint64_t *)counter->object.shared.block.rw,
                                &counter->object.shared.words, 0};
    *out = counter;
    return NSH_SUCCESS;
}

int nsh_counter_free(nsh_counter **counter)
{
    nsh_counter *c;
    int rc;

    if (counter == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_counter_free: counter is NULL");
    c = *counter;
    if (c == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget(c->comm, &c->object)) {
        *counter = NULL;
        return NSH_SUCCESS;
    }
    rc = nsh__agree_to_free(c->comm, NSH__CALL_COUNTER_FREE, NSH_SUCCESS, c->object.id);
    if (rc != NSH_SUCCESS)
        return rc;
    nsh__object_free(c->comm, &c->object);
    *counter = NULL;
    return NSH_SUCCESS;
}

int nsh_counter_abandon(nsh_counter **counter)
{
    if (counter == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_counter_abandon: counter is NULL");
    if (*counter == NULL)
        return NSH_SUCCESS;
    nsh__object_abandon((*counter)->comm, &(*counter)->object);
    *counter = NULL;
    return NSH_SUCCESS;
}

/* A failed operation may or may not have been executed, so the value is unknown: the communicator
 * is broken. */
static int counter_checked(const nsh_counter *counter, int rc)
{
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(counter->comm, rc);
}

int nsh_counter_add(nsh_counter *counter, int64_t delta, int64_t *before)
{
    uint64_t old;
    int rc;

    if (counter == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_counter_add: counter is NULL");
    rc = nsh__comm_whole(counter->comm, "nsh_counter_add");
    if (rc != NSH_SUCCESS)
        return rc;
    counter->comm->subject = (nsh__subject){.call = "nsh_counter_add"};
    rc = nsh__cell_add(&counter->cell, (uint64_t)delta, &old);
    rc = counter_checked(counter, nsh__subject_end(counter->comm, rc));
    if (rc == NSH_SUCCESS && before != NULL)
        *before = (int64_t)(old + counter->initial);
    return rc;
}

int nsh_counter_read(nsh_counter *counter, int64_t *value)
{
    uint64_t now;
    int rc;

    if (counter == NULL || value == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_counter_read: counter or value is NULL");
    rc = nsh__comm_whole(counter->comm, "nsh_counter_read");
    if (rc != NSH_SUCCESS)
        return rc;
    counter->comm->subject = (nsh__subject){.call = "nsh_counter_read"};
    rc = nsh__cell_read(&counter->cell, &now);
    rc = counter_checked(counter, nsh__subject_end(counter->comm, rc));
    if (rc == NSH_SUCCESS)
        *value = (int64_t)(now + counter->initial);
    return rc;
}

int nsh_counter_find(nsh_comm *comm, const char *name, nsh_counter **out)
{
    return nsh__name_find(comm, "nsh_counter_find", &counter_kind, name, out);
}
