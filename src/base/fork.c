/* SPDX-License-Identifier: BSD-3-Clause */
/* fork.c -- was a communicator made by this process, or inherited from the one that forked it?
 *
 * Invariant: the list of descriptors is consistent whenever fork copies it, because the handlers
 * hold its lock. */
#define _GNU_SOURCE
#include "base/fork.h"

#include <mpi.h>
#include <pthread.h>
#include <unistd.h>

atomic_uint nsh__forks;
bool nsh__mpi_inherited;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool watching;

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static nsh__own_fd *owned;

static void before_fork(void)
{
    pthread_mutex_lock(&list_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&list_lock);
}

static void in_child(void)
{
    int initialised = 0;

    for (nsh__own_fd *own = owned; own != NULL; own = own->next) {
        close(own->fd);
        own->fd = -1;
    }
    owned = NULL;
    pthread_mutex_unlock(&list_lock);

    MPI_Initialized(&initialised);
    nsh__mpi_inherited = initialised != 0;
    atomic_fetch_add_explicit(&nsh__forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    watching = pthread_atfork(before_fork, after_fork, in_child) == 0;
}

bool nsh__fork_watch(void)
{
    pthread_once(&once, watch_forks);
    return watching;
}

/* A child may be forked before the first communicator is made, and NSH_OR_ABORT asks there too. */
__attribute__((constructor)) static void watch_from_load(void)
{
    nsh__fork_watch();
}

void nsh__fork_guard(nsh__own_fd *own)
{
    pthread_mutex_lock(&list_lock);
    own->next = owned;
    owned = own;
    pthread_mutex_unlock(&list_lock);
}

void nsh__fork_release(nsh__own_fd *own)
{
    pthread_mutex_lock(&list_lock);
    for (nsh__own_fd **at = &owned; *at != NULL; at = &(*at)->next)
        if (*at == own) {
            *at = own->next;
            break;
        }
    pthread_mutex_unlock(&list_lock);
}
