/* SPDX-License-Identifier: BSD-3-Clause */
/* names.c -- the names of the objects on a communicator: one space for all kinds.
 *
 * Invariant: an entry is in the tree for as long as its object lives. */
#define _GNU_SOURCE
#include "names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 255 };

static const char *const kinds[] = {[NSH__KIND_ARRAY] = "array",
                                    [NSH__KIND_MUTEX] = "mutex",
                                    [NSH__KIND_SEMAPHORE] = "semaphore",
                                    [NSH__KIND_COUNTER] = "counter"};

static int compare_names(const void *a, const void *b)
{
    const nsh__named *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* Into the tree. The entry has its name already. */
static int enter(nsh_comm *comm, nsh__call call, nsh__named *entry)
{
    void *node = tsearch(entry, &comm->names, compare_names);

    if (node == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory for name \"%s\"", nsh__call_name(call),
                         entry->name);
    if (*(nsh__named **)node != entry)
        return nsh__fail(NSH_ERR_EXISTS, "%s: an object named \"%s\" exists", nsh__call_name(call),
                         entry->name);
    return NSH_SUCCESS;
}

int nsh__name_give(nsh_comm *comm, nsh__call call, nsh__kind kind, const char *name, void *object,
                   nsh__named *entry)
{
    size_t length = name != NULL ? strlen(name) : 0;
    int rc;

    *entry = (nsh__named){NULL, kind, object};
    if (name == NULL)
        return NSH_SUCCESS;
    if (length == 0 || length > MAX_NAME)
        return nsh__fail(NSH_ERR_ARG, "%s: name of %zu bytes is not in 1..%d", nsh__call_name(call),
                         length, MAX_NAME);
    entry->name = strdup(name);
    if (entry->name == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory for a name", nsh__call_name(call));
    rc = enter(comm, call, entry);
    if (rc != NSH_SUCCESS) {
        free(entry->name);
        entry->name = NULL;
    }
    return rc;
}

void nsh__name_take(nsh_comm *comm, nsh__named *entry)
{
    if (entry->name == NULL)
        return;
    tdelete(entry, &comm->names, compare_names);
    free(entry->name);
    entry->name = NULL;
}

int nsh__name_find(nsh_comm *comm, const char *call, nsh__kind kind, const char *name, void *out)
{
    nsh__named key = {(char *)(uintptr_t)name, kind, NULL};
    nsh__named *const *node;

    if (comm == NULL || name == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: %s is NULL", call,
                         comm == NULL   ? "comm"
                         : name == NULL ? "name"
                                        : "out");
    node = tfind(&key, &comm->names, compare_names);
    if (node == NULL || (*node)->kind != kind)
        return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no %s is named \"%.200s\"", call, kinds[kind],
                         name);
    memcpy(out, &(*node)->object, sizeof(void *)); /* whatever type of handle it is */
    return NSH_SUCCESS;
}

static void log_name(const void *node, VISIT visit, int depth)
{
    const nsh__named *entry = *(nsh__named *const *)node;

    (void)depth;
    if (visit == postorder || visit == leaf)
        nsh__log("  %s \"%s\"", kinds[entry->kind], entry->name);
}

void nsh__names_log(const nsh_comm *comm)
{
    twalk(comm->names, log_name);
}
