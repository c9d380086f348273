/* SPDX-License-Identifier: BSD-3-Clause */
/* names.c -- the names of the objects on a communicator.
 *
 * Invariant: an entry is in the tree for as long as its object lives. */
#define _GNU_SOURCE
#include "comm.h"

#include <search.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    const nsh__named *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int nsh__comm_name(nsh_comm *comm, nsh__named *entry)
{
    void *node = tsearch(entry, &comm->names, compare_names);

    if (node == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for name \"%s\"", entry->name);
    if (*(nsh__named **)node != entry)
        return nsh__fail(NSH_ERR_EXISTS, "an object named \"%s\" exists", entry->name);
    return NSH_SUCCESS;
}

void nsh__comm_unname(nsh_comm *comm, const nsh__named *entry)
{
    tdelete(entry, &comm->names, compare_names);
}

void *nsh__comm_named(nsh_comm *comm, const char *name)
{
    const nsh__named key = {name, NULL};
    void *node = tfind(&key, &comm->names, compare_names);

    return node != NULL ? (*(nsh__named **)node)->object : NULL;
}

static void log_name(const void *node, VISIT visit, int depth)
{
    (void)depth;
    if (visit == postorder || visit == leaf)
        nsh__log("  \"%s\"", (*(nsh__named *const *)node)->name);
}

void nsh__comm_log_names(const nsh_comm *comm)
{
    twalk(comm->names, log_name);
}
