/* SPDX-License-Identifier: BSD-3-Clause */
/* helper.c -- a thread that drives MPI progress while its rank computes.
 *
 * Invariant: it uses nothing of the communicator but the MPI handle, comm->wait.waiting, and what
 * rma.c allows for any thread. At most one of all helpers of a process is inside MPI. */
#define _GNU_SOURCE
#include "core/helper.h"

#include "base/fault.h"
#include "core/rma.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    US = 1000,
    MS = 1000 * US,
    IDLE_NS = 5 * MS,        /* between two rounds */
    ACTIVE_NS = 100 * US,    /* if a word homed here has changed */
    ACTIVE_FOR_NS = 50 * MS, /* within this time */
    SLICE_NS = 100 * US
};

struct nsh__helper {
    pthread_t thread;
    nsh_comm *comm;
    pthread_mutex_t lock; /* protects stop */
    pthread_cond_t changed;
    bool stop;
    nsh__helper *next; /* in the list of this process */
};

/* All helpers of the process: MPI_Finalize stops them together. */
static nsh__helper *first;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;

/* Held inside MPI. A helper that is inside MPI while MPI_Finalize switches MPI's locks off leaves
 * its MPI lock locked (finalize.c); no other helper waits for that lock then, so all can be
 * joined. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void enlist(nsh__helper *helper)
{
    pthread_mutex_lock(&list_lock);
    helper->next = first;
    first = helper;
    pthread_mutex_unlock(&list_lock);
}

static void strike(nsh__helper *helper)
{
    nsh__helper **at = &first;

    pthread_mutex_lock(&list_lock);
    while (*at != helper)
        at = &(*at)->next;
    *at = helper->next;
    pthread_mutex_unlock(&list_lock);
}

static bool sleep_a_round(nsh__helper *helper, int64_t ns)
{
    struct timespec until;
    bool stop;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ns;
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

/* Ask the scheduler for timely wake-ups: with a short time slice it runs this thread before the one
 * that computes. A kernel without time slices of threads (before Linux 6.12) ignores it. */
static void ask_for_short_turns(void)
{
#if defined(__linux__)
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } slice = {.size = sizeof slice, .runtime = SLICE_NS};

    prctl(PR_SET_NAME, "nsh-helper");
    prctl(PR_SET_TIMERSLACK, US);
#ifdef SYS_sched_setattr
    syscall(SYS_sched_setattr, 0, &slice, 0);
#endif
    (void)slice;
#endif
}

/* One round. Returns how long to sleep before the next one. */
static int64_t drive(nsh_comm *comm)
{
    /* While the rank waits, wait.c does more than this thread would do. */
    bool idle = atomic_load_explicit(&comm->wait.waiting, memory_order_relaxed);
    bool words = atomic_load_explicit(&comm->homes_words, memory_order_acquire);
    int64_t changed = 0;
    int there;

    pthread_mutex_lock(&turn);
    if (!idle)
        MPI_Iprobe(MPI_ANY_SOURCE, NSH__TAG_CONTROL, comm->mpi, &there, MPI_STATUS_IGNORE);
    if (words)
        changed = idle ? nsh__words_changed(comm) : nsh__words_serve(comm);
    pthread_mutex_unlock(&turn);
    return changed != 0 && nsh__wait_clock() - changed < ACTIVE_FOR_NS ? ACTIVE_NS : IDLE_NS;
}

static void *run(void *arg)
{
    nsh__helper *helper = arg;
    int64_t ns = IDLE_NS;

    ask_for_short_turns();
    while (sleep_a_round(helper, ns))
        ns = drive(helper->comm);
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
    pthread_sigmask(SIG_SETMASK, &all, &old); /* the thread inherits the mask */
    rc = pthread_create(&helper->thread, NULL, run, helper);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        pthread_cond_destroy(&helper->changed);
        pthread_mutex_destroy(&helper->lock);
        free(helper);
        return nsh__fail(NSH_ERR_NOMEM, "no helper thread: %s", strerror(rc));
    }
    comm->helper = helper;
    enlist(helper);
    return NSH_SUCCESS;
}

/* From now on the helper does not enter MPI again. */
static void tell_to_stop(nsh__helper *helper)
{
    pthread_mutex_lock(&helper->lock);
    helper->stop = true;
    pthread_cond_signal(&helper->changed);
    pthread_mutex_unlock(&helper->lock);
}

void nsh__helper_stop(nsh_comm *comm)
{
    nsh__helper *helper = comm->helper;

    if (helper == NULL)
        return;
    strike(helper);
    tell_to_stop(helper);
    pthread_join(helper->thread, NULL);
    pthread_cond_destroy(&helper->changed);
    pthread_mutex_destroy(&helper->lock);
    free(helper);
    comm->helper = NULL;
}

/* Tell all of them before the first join, so that they stop at the same time. */
void nsh__helpers_stop(void)
{
    for (nsh__helper *helper = first; helper != NULL; helper = helper->next)
        tell_to_stop(helper);
    while (first != NULL)
        nsh__helper_stop(first->comm);
}
