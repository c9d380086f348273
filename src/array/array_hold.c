/* SPDX-License-Identifier: BSD-3-Clause */
/* array_hold.c -- a hold keeps a replica's pages unchanged while a foreign view points to them.
 *
 * Invariant: a rank that holds an object has not released it, so its block is not reclaimed on any
 * rank; if the heap is freed first, the read-only view of the window stays mapped here. */
#include <nodeshare/array.h>

#include "base/fault.h"
#include "core/enter.h"
#include "array/array.h"

#include <stdlib.h>

struct nsh_hold {
    nsh__hold hold;  /* not attached in a forked child, which only reads */
    nsh__view *view; /* NULL: the array has no bytes, or this is a forked child */
    unsigned forks;  /* nsh__forks when the hold was made */
};

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
    reads_only = nsh__comm_inherited(array->comm); /* a forked child must not unmap anything */
    hold->forks = atomic_load_explicit(&nsh__forks, memory_order_relaxed);
    if (!reads_only && array->nbytes > 0) {
        hold->view = nsh__heap_hold(array->comm, &array->object.shared.block);
        if (hold->view == NULL) {
            free(hold);
            return nsh__fail(NSH_ERR_NOMEM, "nsh_array_hold: no memory");
        }
    }
    if (!reads_only)
        nsh__hold_attach(&hold->hold, array->comm, &array->object);
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
        return NSH_SUCCESS; /* the hold belongs to the parent of this forked child */
    nsh__hold_detach(&h->hold);
    if (h->view != NULL)
        nsh__view_release(h->view);
    free(h);
    return NSH_SUCCESS;
}
