/* SPDX-License-Identifier: BSD-3-Clause */
/* fork.c -- was a communicator made by this process, or inherited from the one that forked it? */
#define _GNU_SOURCE
#include "fork.h"

#include <mpi.h>
#include <pthread.h>

atomic_uint nsh__forks;
bool nsh__mpi_inherited;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool watching;

static void count_fork(void)
{
    int initialised = 0;

    MPI_Initialized(&initialised);
    nsh__mpi_inherited = initialised != 0;
    atomic_fetch_add_explicit(&nsh__forks, 1, memory_order_relaxed);
}

static void watch(void)
{
    watching = pthread_atfork(NULL, NULL, count_fork) == 0;
}

bool nsh__fork_watch(void)
{
    pthread_once(&once, watch);
    return watching;
}
