/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c -- the settings of a communicator on this rank, from its options and the environment.
 *
 * Invariant: nothing here depends on another rank; the caller compares what must be equal. */
#define _GNU_SOURCE
#include "core/options.h"

#include "base/env.h"
#include "base/error.h"
#include "base/sized.h"

#include <stdlib.h>
#include <string.h>

static int env_choice(const char *name, const char *const words[3], int *choice)
{
    const char *value = nsh__env(name);

    if (value == NULL)
        return NSH_SUCCESS;
    for (int i = 0; i < 3; i++)
        if (strcmp(value, words[i]) == 0) {
            *choice = i;
            return NSH_SUCCESS;
        }
    return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: %s=%s is none of %s, %s, %s", name, value,
                     words[0], words[1], words[2]);
}

static int env_ranks_per_node(int *out)
{
    const char *value = nsh__env("NSH_RANKS_PER_NODE");
    char *end;
    long n;

    if (value == NULL)
        return NSH_SUCCESS;
    n = strtol(value, &end, 10);
    if (*end != '\0' || n < 1 || n > 1 << 30)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_comm_create: NSH_RANKS_PER_NODE=%s is no number of ranks", value);
    *out = (int)n;
    return NSH_SUCCESS;
}

int nsh__options_read(const nsh_comm_options *given, int rank, nsh__options *out)
{
    static const char *const waits[] = {"auto", "spin", "block"};
    static const char *const drivers[] = {"auto", "none", "thread"};
    static const char *const backends[] = {"auto", "window", "message"};
    static const nsh__sized kind = NSH__SIZED(nsh_comm_options, heap_bytes, NSH_COMM_OPTIONS_INIT);
    nsh_comm_options defaults = NSH_COMM_OPTIONS_INIT, *o = &defaults;
    int sized = nsh__sized_read(&kind, "nsh_comm_create", rank, given, o);
    int wait = 0, progress = 0, words = 0, rc;

    *out = (nsh__options){o->node_comm,
                          o->ranks_per_node,
                          o->wait,
                          o->progress,
                          o->heap_bytes,
                          false,
                          nsh__env_is("NSH_CHECK", "1")};
    if (sized != NSH_SUCCESS)
        return sized;
    if (o->ranks_per_node < 0 || o->heap_bytes < 0 || (unsigned)o->wait > NSH_WAIT_BLOCK ||
        (unsigned)o->progress > NSH_PROGRESS_THREAD)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_comm_create: option out of range (ranks_per_node %d, wait %d, "
                         "progress %d, heap_bytes %lld)",
                         o->ranks_per_node, (int)o->wait, (int)o->progress,
                         (long long)o->heap_bytes);
    rc = env_choice("NSH_WAIT", waits, &wait);
    if (rc == NSH_SUCCESS)
        rc = env_choice("NSH_PROGRESS", drivers, &progress);
    if (rc == NSH_SUCCESS)
        rc = env_choice("NSH_RMA", backends, &words);
    if (rc == NSH_SUCCESS && out->ranks_per_node == 0 && out->node_comm == MPI_COMM_NULL)
        rc = env_ranks_per_node(&out->ranks_per_node);
    if (out->wait == NSH_WAIT_AUTO)
        out->wait = (nsh_wait_mode)wait;
    if (out->progress == NSH_PROGRESS_AUTO)
        out->progress = (nsh_progress_mode)progress;
#ifdef OPEN_MPI /* 4.1 crashes in MPI_Compare_and_swap, and has no windows over TCP */
    out->words_by_message = words != 1;
#else
    out->words_by_message = words == 2;
#endif
    return rc;
}
