/* SPDX-License-Identifier: BSD-3-Clause */
/* array_hold.c -- a replica's pages stay as they are for as long as a foreign view points at them.
 *
 * Invariant: a rank that holds an object has not released it, so its block is not reclaimed on any
 * rank; when the heap goes first, the read-only view of the window stays mapped here. */
#include "array/array_hold.h"

#include <nodeshare/array.h>

#include "array/array.h"
#include "base/fault.h"

#include <stdlib.h>

struct nsh_hold {
    nsh_comm *comm;
    nsh__object *object;   /* NULL: it is gone, or this process only reads */
    nsh__view *view;       /* NULL: there are no pages, or this process unmaps none */
    unsigned forks;        /* nsh__forks when it was made */
    nsh_hold *prev, *next; /* of one object */
};

void nsh__holds_detach(nsh__object *object)
{
    for (nsh_hold *hold = object->holds; hold != NULL; hold = hold->next)
        hold->object = NULL;
    object->holds = NULL;
}

static void attach(nsh_hold *hold, nsh__object *object)
{
    hold->object = object;
    hold->next = object->holds;
    if (hold->next != NULL)
        hold->next->prev = hold;
    object->holds = hold;
}

/* The last hold of an object that was freed meanwhile lets it go. */
static void detach(nsh_hold *hold)
{
    nsh__object *object = hold->object;

    if (hold->prev != NULL)
        hold->prev->next = hold->next;
    else
        object->holds = hold->next;
    if (hold->next != NULL)
        hold->next->prev = hold->prev;
    if (object->holds == NULL && object->state == NSH__OBJECT_HELD)
        nsh__object_release(hold->comm, object);
}

int nsh_array_hold(nsh_array *array, nsh_hold **out)
{
    bool reads_only;
    nsh_hold *hold;

    if (array == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_hold: %s is NULL",
                         array == NULL ? "array" : "out");
    if (array->object.state == NSH__OBJECT_SHELL)
        return nsh__comm_present(array->comm, "nsh_array_hold");
    hold = nsh__fault(hold_alloc) ? NULL : calloc(1, sizeof *hold);
    if (hold == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_array_hold: no memory");
    reads_only = nsh__comm_inherited(array->comm); /* a forked child unmaps nothing */
    hold->comm = array->comm;
    hold->forks = atomic_load_explicit(&nsh__forks, memory_order_relaxed);
    if (!reads_only && array->nbytes > 0) {
        hold->view = nsh__heap_hold(array->comm, &array->object.shared.block);
        if (hold->view == NULL) {
            free(hold);
            return nsh__fail(NSH_ERR_NOMEM, "nsh_array_hold: no memory");
        }
    }
    if (!reads_only)
        attach(hold, &array->object);
    *out = hold;
    return NSH_SUCCESS;
}

int nsh_hold_release(nsh_hold **hold)
{
    nsh_hold *h;

    if (hold == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_hold_release: hold is NULL");
    h = *hold;
    *hold = NULL;
    if (h == NULL || h->forks != atomic_load_explicit(&nsh__forks, memory_order_relaxed))
        return NSH_SUCCESS; /* the parent's, of this forked child */
    if (h->object != NULL)
        detach(h);
    if (h->view != NULL)
        nsh__view_release(h->view);
    free(h);
    return NSH_SUCCESS;
}
