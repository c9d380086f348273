/* SPDX-License-Identifier: BSD-3-Clause */
/* fault.c -- injected failures; empty but in builds with NSH_FAULTS=1. */
#include "base/fault.h"

#ifdef NSH_FAULTS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

#define SITE_NAME(name, where) #name,
const char *const nsh__fault_sites[] = {NSH__FAULT_SITES(SITE_NAME) NULL};
#undef SITE_NAME

/* Counts the uses of the site that NSH_FAULT names; a changed NSH_FAULT restarts the count. */
bool nsh__fault_here(const char *site)
{
    static char current[128];
    static long uses;
    const char *wish = getenv("NSH_FAULT");
    char name[64];
    long nth;
    int rank, me = 0, initialised = 0, finalised = 0;

    if (wish == NULL || sscanf(wish, "%63[^:]:%ld:%d", name, &nth, &rank) != 3)
        return false;
    if (strcmp(wish, current) != 0) {
        snprintf(current, sizeof current, "%s", wish);
        uses = 0;
    }
    if (strcmp(name, site) != 0 || ++uses != nth)
        return false;
    MPI_Initialized(&initialised);
    MPI_Finalized(&finalised);
    if (initialised && !finalised)
        MPI_Comm_rank(MPI_COMM_WORLD, &me);
    return rank < 0 || rank == me;
}

#else
typedef int nsh__fault_unused; /* ISO C forbids an empty translation unit */
#endif
