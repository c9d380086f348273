/* SPDX-License-Identifier: BSD-3-Clause */
/* names.c -- the names of the objects on a communicator: one space for all kinds.
 *
 * Invariant: the tree has the same names on all ranks between two collective calls. */
#define _GNU_SOURCE
#include "core/names.h"

#include "core/enter.h"

#include <search.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    const nsh__object *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int nsh__name_register(nsh_comm *comm, nsh__call call, nsh__object *object)
{
    void *node;

    if (object->name == NULL)
        return NSH_SUCCESS;
    node = tsearch(object, &comm->names, compare_names);
    if (node == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory for name \"%.160s\"", nsh__call_name(call),
                         object->name);
    if (*(nsh__object **)node != object)
        return nsh__fail(NSH_ERR_EXISTS, "%s: %s \"%.160s\" exists%s (rank %d)",
                         nsh__call_name(call), (*(nsh__object **)node)->kind->name, object->name,
                         (*(nsh__object **)node)->state == NSH__OBJECT_RELEASED
                             ? " until all ranks have freed it"
                             : "",
                         comm->rank);
    return NSH_SUCCESS;
}

void nsh__name_unregister(nsh_comm *comm, nsh__object *object)
{
    void *node = object->name != NULL ? tfind(object, &comm->names, compare_names) : NULL;

    if (node != NULL && *(nsh__object **)node == object)
        tdelete(object, &comm->names, compare_names);
}

int nsh__name_find(nsh_comm *comm, const char *call, const nsh__kind *kind, const char *name,
                   void *out)
{
    nsh__object key = {.name = (char *)(uintptr_t)name};
    nsh__object *const *node;

    if (comm == NULL || name == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: %s is NULL", call,
                         comm == NULL   ? "comm"
                         : name == NULL ? "name"
                                        : "out");
    if (comm->gone != NULL)
        return nsh__comm_present(comm, call);
    node = tfind(&key, &comm->names, compare_names);
    if (node == NULL || (*node)->kind != kind || (*node)->state != NSH__OBJECT_LIVE)
        return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no %s is named \"%.160s\"", call, kind->name,
                         name);
    memcpy(out, &(*node)->handle, sizeof(void *)); /* the type of the handle does not matter */
    return NSH_SUCCESS;
}
