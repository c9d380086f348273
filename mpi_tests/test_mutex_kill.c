/* test_mutex_kill.c -- ranks: 3  layouts: one-node cliques-2  expect: death */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The rank that holds a mutex is killed while the others wait for it: the job ends, and nothing of
 * it stays (the runner looks). */
#define _DEFAULT_SOURCE /* kill, usleep */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;
    nsh_mutex *mutex = NULL;
    atomic_int *asking;

    check_init(&argc, &argv);
    check_case("all others ask");
    asking = check_shared(sizeof *asking);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    if (check_rank == 1)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    check_case("the holder is killed");
    if (check_rank == 1) {
        while (*asking < check_size - 1)
            nsh_comm_progress(comm);
        usleep(100000);
        kill(getpid(), SIGKILL);
    }
    ++*asking;
    nsh_mutex_lock(mutex); /* does not return */
    check_case("and yet somebody has got it");
    return check_finish();
}
