/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.c -- the one place that waits.
 *
 * Invariant: no rank waits here for longer than a round of NAP_NS or LONG_NAP_NS without giving MPI
 * a chance and without looking whether waiting has become pointless. */
#define _GNU_SOURCE
#include "wait.h"

#include "error.h"
#include "fault.h"

#include <limits.h>
#include <sched.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    NAP_NS = 1000 * 1000,      /* a sleeper's round for its first LONG_AFTER_NS */
    LONG_NAP_NS = 10 * NAP_NS, /* and afterwards */
    LONG_AFTER_NS = 100 * NAP_NS,
    SPINS_PER_LOOK = 64 /* loads between two looks at the clock */
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline bool reached(atomic_uint *word, unsigned target)
{
    return (int)(atomic_load_explicit(word, memory_order_acquire) - target) >= 0;
}

/* Sleep while *word == seen, for nap_ns at most. */
static void nap(atomic_uint *word, unsigned seen, int64_t nap_ns)
{
#if defined(__linux__)
    struct timespec t = {0, (long)nap_ns};

    syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
#else
    (void)word;
    (void)seen;
    (void)nap_ns;
    sched_yield();
#endif
}

void nsh__wake(atomic_uint *word, atomic_uint *sleepers)
{
    /* Store of the word, then load of sleepers; the sleeper does it the other way round. Both are
     * seq_cst, so one of the two sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(sleepers, memory_order_relaxed) == 0)
        return;
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

int nsh__wait_poll(nsh__wait *wait)
{
    MPI_Status status;
    int there = 0, rc;

    if (wait->comm != MPI_COMM_NULL) {
        rc = MPI_Iprobe(MPI_ANY_SOURCE, wait->notice_tag, wait->comm, &there, &status);
        if (rc != MPI_SUCCESS)
            return nsh__fail_mpi("MPI_Iprobe", rc);
        if (there && wait->notice != NULL)
            wait->notice(wait->owner, &status);
        if (wait->watch_tag >= 0) {
            rc = MPI_Iprobe(MPI_ANY_SOURCE, wait->watch_tag, wait->comm, &there, &status);
            if (rc != MPI_SUCCESS)
                return nsh__fail_mpi("MPI_Iprobe", rc);
            if (there)
                return NSH_ERR_MISMATCH;
        }
    }
    return wait->broken != NULL ? atomic_load_explicit(wait->broken, memory_order_acquire)
                                : NSH_SUCCESS;
}

static bool spin_for_word(const nsh__wait *wait, atomic_uint *word, unsigned target)
{
    int64_t until = wait->spin_ns == INT64_MAX ? INT64_MAX : 0;

    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (reached(word, target))
                return true;
            pause_cpu();
        }
        if (wait->spin_ns == 0 || wait->spin_ns == INT64_MAX)
            return false;
        if (until == 0)
            until = now_ns() + wait->spin_ns;
        else if (now_ns() > until)
            return false;
    }
}

/* nsh__wait_word once spinning has not helped. */
static int sleep_for_word(nsh__wait *wait, atomic_uint *word, unsigned target,
                          atomic_uint *sleepers)
{
    int64_t begin = now_ns();
    bool told = false;

    /* Sleep first and probe after: where ranks exceed cores, a probe before each short sleep is what
     * a gate costs. */
    for (;;) {
        int64_t waited = now_ns() - begin;
        int rc;

        if (wait->spin_ns == INT64_MAX) {
            if (wait->yield)
                sched_yield();
            spin_for_word(wait, word, target);
        } else {
            unsigned seen;

            atomic_fetch_add_explicit(sleepers, 1, memory_order_seq_cst);
            seen = atomic_load_explicit(word, memory_order_seq_cst);
            if ((int)(seen - target) < 0)
                nap(word, seen, waited < LONG_AFTER_NS ? NAP_NS : LONG_NAP_NS);
            atomic_fetch_sub_explicit(sleepers, 1, memory_order_relaxed);
        }
        if (reached(word, target))
            return NSH_SUCCESS;
        rc = nsh__wait_poll(wait);
        if (reached(word, target)) /* before rc: what has come has come */
            return NSH_SUCCESS;
        if (rc != NSH_SUCCESS)
            return rc;
        if (waited > LONG_AFTER_NS && !told && wait->suspect != NULL) {
            wait->suspect(wait->owner);
            told = true;
        }
    }
}

int nsh__wait_word(nsh__wait *wait, atomic_uint *word, unsigned target, atomic_uint *sleepers)
{
    int rc;

    if (reached(word, target) || spin_for_word(wait, word, target))
        return NSH_SUCCESS;
    atomic_store_explicit(&wait->waiting, true, memory_order_relaxed);
    rc = sleep_for_word(wait, word, target, sleepers);
    atomic_store_explicit(&wait->waiting, false, memory_order_relaxed);
    return rc;
}

/* A message longer than the receiver allows for is one of another call. */
static int test_failed(int rc)
{
    int class_ = rc;

    MPI_Error_class(rc, &class_);
    if (class_ == MPI_ERR_TRUNCATE)
        return nsh__fail(NSH_ERR_MISMATCH, "a message of another collective call has come");
    return nsh__fail_mpi("MPI_Test", rc);
}

static int test_requests(nsh__wait *wait, int n, MPI_Request requests[])
{
    int64_t begin = 0;
    bool told = false;

    for (unsigned tries = 0;; tries++) {
        int done = 1, rc = MPI_SUCCESS;

        /* In order: each try drives MPI, which completes all of them. */
        while (n > 0 && done) {
            rc = MPI_Test(&requests[n - 1], &done, MPI_STATUS_IGNORE);
            if (rc != MPI_SUCCESS)
                return test_failed(rc);
            n -= done;
        }
        if (n == 0)
            return nsh__fault(mpi_test) ? nsh__fail(NSH_ERR_MPI, "MPI_Test: failure on purpose")
                                        : NSH_SUCCESS;
        if (tries % SPINS_PER_LOOK == SPINS_PER_LOOK - 1) {
            rc = nsh__wait_poll(wait);
            if (rc != NSH_SUCCESS)
                return rc;
            if (begin == 0)
                begin = now_ns();
            if (!told && wait->suspect != NULL && now_ns() - begin > LONG_AFTER_NS) {
                wait->suspect(wait->owner);
                told = true;
            }
            sched_yield(); /* even with cores for all: a daemon may want one */
        } else if (wait->yield) {
            sched_yield();
        } else {
            pause_cpu();
        }
    }
}

int nsh__wait_requests(nsh__wait *wait, int n, MPI_Request requests[])
{
    int rc;

    atomic_store_explicit(&wait->waiting, true, memory_order_relaxed);
    rc = test_requests(wait, n, requests);
    atomic_store_explicit(&wait->waiting, false, memory_order_relaxed);
    return rc;
}
