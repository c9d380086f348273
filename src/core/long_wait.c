/* SPDX-License-Identifier: BSD-3-Clause */
/* long_wait.c -- the line that a long wait logs: which call, for which rank or node it waits, since
 * when.
 *
 * Invariant: everything here is read from this process or from the memory of its node, without a
 * remote operation. It may be out of date when it is printed, and nothing depends on it. */
#include "core/long_wait.h"

#include <stdio.h>
#include <time.h>

enum { MOST_NAMED = 16, TEXT = 256 };

/* Name the ranks of this node that have not arrived at the gate. */
static void name_absent(const nsh_comm *comm, char *text, size_t size)
{
    int absent = 0, at = snprintf(text, size, "%s", "rank(s)");

    for (int i = 0; i < comm->node_size; i++) {
        const nsh__slot *slot = &comm->area->slots[i];
        unsigned phase = atomic_load_explicit(&slot->phase, memory_order_relaxed);

        if ((int)(phase - comm->gate.phase) < 0 && absent++ < MOST_NAMED)
            at += snprintf(text + at, size - (size_t)at, " %d", slot->rank);
    }
    if (absent == 0)
        snprintf(text, size, "rank %d, which acts for this node; all its ranks have arrived",
                 comm->acting);
    else if (absent > MOST_NAMED)
        snprintf(text + at, size - (size_t)at, " and %d more of this node", absent - MOST_NAMED);
    else
        snprintf(text + at, size - (size_t)at, " of this node");
}

static void name_object(const nsh__subject *subject, char *text, size_t size)
{
    int holder = subject->holder != NULL ? subject->holder(subject->object) : -1;
    const char *name = subject->name != NULL ? subject->name : "(no name)";

    if (subject->holder == NULL)
        snprintf(text, size, "%s \"%.80s\"", subject->kind, name);
    else if (holder >= 0)
        snprintf(text, size, "%s \"%.80s\", held by rank %d", subject->kind, name, holder);
    else
        snprintf(text, size, "%s \"%.80s\", holder unknown", subject->kind, name);
}

static void name_awaited(const nsh_comm *comm, const atomic_uint *word, char *text, size_t size)
{
    const nsh__gate_area *gate = &comm->area->gate;

    if (word == &gate->arrived || word == &gate->opened) {
        name_absent(comm, text, size);
    } else if (comm->partner >= 0) {
        snprintf(text, size, "rank %d of node %d", comm->partner, comm->node_of[comm->partner]);
    } else if (comm->subject.kind != NULL) {
        name_object(&comm->subject, text, size);
    } else if (comm->awaited >= 0) {
        snprintf(text, size, "node %d (leader rank %d)", comm->awaited,
                 comm->leader_of[comm->awaited]);
    } else {
        snprintf(text, size, "%s", word != NULL ? "another rank" : "messages between nodes");
    }
}

void nsh__report_wait(void *owner, const atomic_uint *word, int64_t waited_ns)
{
    const nsh_comm *comm = owner;
    const char *call = comm->subject.call != NULL ? comm->subject.call : nsh__call_name(comm->call);
    time_t since = time(NULL) - (time_t)(waited_ns / 1000000000);
    char text[TEXT] = "", clock[32] = "";
    struct tm local;

    name_awaited(comm, word, text, sizeof text);
    if (localtime_r(&since, &local) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    nsh__log("rank %d: %s waits since %s (%.0f s) for %s", comm->rank, call, clock,
             1e-9 * (double)waited_ns, text);
}
