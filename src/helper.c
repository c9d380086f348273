/* SPDX-License-Identifier: BSD-3-Clause */
/* helper.c -- a thread that gives MPI a chance while its rank computes.
 *
 * Invariant: it touches nothing of the communicator but the MPI handle and comm->wait.waiting. */
#define _GNU_SOURCE
#include "helper.h"

#include "fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/prctl.h>

enum { ROUND_NS = 5 * 1000 * 1000 };

struct nsh__helper {
    pthread_t thread;
    nsh_comm *comm;
    pthread_mutex_t lock; /* guards stop */
    pthread_cond_t changed;
    bool stop;
};

static bool sleep_a_round(nsh__helper *helper)
{
    struct timespec until;
    bool stop;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ROUND_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&helper->lock);
    if (!helper->stop)
        pthread_cond_timedwait(&helper->changed, &helper->lock, &until);
    stop = helper->stop;
    pthread_mutex_unlock(&helper->lock);
    return !stop;
}

static void *run(void *arg)
{
    nsh__helper *helper = arg;
    nsh_comm *comm = helper->comm;

#if defined(__linux__)
    prctl(PR_SET_NAME, "nsh-helper");
#endif
    while (sleep_a_round(helper)) {
        int there;

        if (!atomic_load_explicit(&comm->wait.waiting, memory_order_relaxed))
            MPI_Iprobe(MPI_ANY_SOURCE, NSH__TAG_NOTICE, comm->mpi, &there, MPI_STATUS_IGNORE);
    }
    return NULL;
}

int nsh__helper_start(nsh_comm *comm)
{
    nsh__helper *helper = calloc(1, sizeof *helper);
    pthread_condattr_t monotonic;
    sigset_t all, old;
    int rc;

    if (helper == NULL || nsh__fault(helper_start)) {
        free(helper);
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the helper thread");
    }
    helper->comm = comm;
    pthread_mutex_init(&helper->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&helper->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the thread inherits it */
    rc = pthread_create(&helper->thread, NULL, run, helper);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        pthread_cond_destroy(&helper->changed);
        pthread_mutex_destroy(&helper->lock);
        free(helper);
        return nsh__fail(NSH_ERR_NOMEM, "no helper thread: %s", strerror(rc));
    }
    comm->helper = helper;
    return NSH_SUCCESS;
}

void nsh__helper_stop(nsh_comm *comm)
{
    nsh__helper *helper = comm->helper;

    if (helper == NULL)
        return;
    pthread_mutex_lock(&helper->lock);
    helper->stop = true;
    pthread_cond_signal(&helper->changed);
    pthread_mutex_unlock(&helper->lock);
    pthread_join(helper->thread, NULL);
    pthread_cond_destroy(&helper->changed);
    pthread_mutex_destroy(&helper->lock);
    free(helper);
    comm->helper = NULL;
}
