/* SPDX-License-Identifier: BSD-3-Clause */
/* walk.c -- a run of calls in which one fault site after the other fails. */
#define _GNU_SOURCE
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"

int walk_failure;

bool walk_succeeded(int rc)
{
    int range[2] = {rc, -rc};

    PMPI_Allreduce(MPI_IN_PLACE, range, 2, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (range[0] == NSH_SUCCESS)
        return true;
    if (walk_failure == 0)
        walk_failure = range[0];
    if (walk_failure != NSH_ERR_MPI)
        CHECK_EQ(range[0], -range[1]);
    return false;
}

static int fail_once(const char *site, int nth, int rank, void (*run)(const char *wish))
{
    char wish[128];

    snprintf(wish, sizeof wish, "%s:%d:%d", site, nth, rank);
    walk_failure = 0;
    run(wish);
    unsetenv("NSH_FAULT");
    return walk_failure;
}

int walk_site(const char *site, int passages, void (*run)(const char *wish))
{
    int failed = 0;

    for (int rank = 0; rank < check_size; rank++)
        for (int nth = 1; nth <= passages && fail_once(site, nth, rank, run) != 0; nth++)
            failed++;
    CHECK_EQ(fail_once("none", 1, 0, run), NSH_SUCCESS);
    if (check_rank == 0)
        check_note("%s: %d failures", site, failed);
    return failed;
}
