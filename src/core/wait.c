/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.c -- the only place in which the library waits.
 *
 * Invariant: no rank waits here for longer than a round of NAP_NS or LONG_NAP_NS without driving
 * MPI and without checking whether waiting has become pointless. */
#define _GNU_SOURCE
#include "core/wait.h"

#include "base/error.h"
#include "base/fault.h"
#include "core/homes.h"

#include <limits.h>
#include <sched.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum {
    US = 1000,
    MS = 1000 * US,
    SHORT_NAP_NS = 20 * US, /* a shorter sleep is not worth a system call */
    BUSY_NAP_NS = 200 * US, /* the longest sleep while other nodes request words */
    BUSY_NS = 50 * MS,      /* they do if the last request was within this time */
    NAP_NS = MS,            /* the longest sleep during the first LONG_AFTER_NS */
    LONG_NAP_NS = 10 * MS,  /* and after that */
    RARELY_NS = 10 * MS,    /* between two polls of a rank that does not wait */
    ASK_AGAIN_NS = 1000 * MS,
    LONG_AFTER_NS = 100 * MS, /* after this a wait is long: other nodes are asked */
    NAP_SHARE = 128,          /* a sleep is this part of the quiet time */
    LONG_TURN_NS = 300 * US,  /* a yield that lasts longer than this was used by a computing
                                 process */
    SLEEP_TURNS = 256,        /* then this rank sleeps at once, for this many times that time */
    YIELD_NS = 20 * US,       /* between two polls of a rank that never sleeps */
    SPINS_PER_LOOK = 64,      /* loads between two readings of the clock */
    LOOKS_PER_POLL = 16,      /* probes for the message, between two probes for everything else */
    YIELDS_PER_NAP = 256      /* rounds of nsh__wait_round before the first sleep */
};

int64_t nsh__wait_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t nsh__wait_deadline(double seconds)
{
    int64_t now = nsh__wait_clock();

    /* 2^62 ns are 146 years. */
    return seconds < 4e9 ? now + (int64_t)(seconds * 1e9) : NSH__NEVER;
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Sleep while *word == seen, for at most nap_ns. */
static void nap_on_word(atomic_uint *word, unsigned seen, int64_t nap_ns)
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
    /* This rank stores the word, then loads sleepers; the sleeper does the reverse. All four are
     * seq_cst, so one of the two sees the other. */
    if (atomic_load_explicit(sleepers, memory_order_seq_cst) == 0)
        return;
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

static int mpi_failed(const nsh__wait *wait, const char *call, int mpi_code)
{
    int code = nsh__fail_mpi(call, mpi_code);

    return wait->failed != NULL ? wait->failed(wait->owner, code) : code;
}

/* Can a message with this tag be received? Drives MPI. */
static int probe(const nsh__wait *wait, int tag, bool *there, MPI_Status *status)
{
    int flag = 0, rc = MPI_Iprobe(MPI_ANY_SOURCE, tag, wait->comm, &flag, status);

    if (rc == MPI_SUCCESS && nsh__fault(mpi_probe))
        rc = MPI_ERR_OTHER;
    if (rc != MPI_SUCCESS)
        return mpi_failed(wait, "MPI_Iprobe", rc);
    *there = flag != 0;
    return NSH_SUCCESS;
}

/* Has waiting become pointless? acquire: the reason was written before the flag. */
static int broken_status(const nsh__wait *wait)
{
    int status = wait->broken != NULL ? atomic_load_explicit(wait->broken, memory_order_acquire)
                                      : NSH_SUCCESS;

    if (status != NSH_SUCCESS && wait->explain != NULL)
        wait->explain(wait->owner, status);
    return status;
}

int nsh__wait_poll(nsh__wait *wait)
{
    MPI_Status status;
    bool there = false;
    int rc;

    if (wait->comm != MPI_COMM_NULL) {
        if (wait->control_tag >= 0) {
            rc = probe(wait, wait->control_tag, &there, &status);
            if (rc != NSH_SUCCESS)
                return rc;
            if (there && wait->control != NULL)
                wait->control(wait->owner, &status);
        }
        if (wait->watch_tag >= 0) {
            rc = probe(wait, wait->watch_tag, &there, &status);
            if (rc == NSH_SUCCESS && there)
                rc = wait->stray(wait->owner, &status);
            if (rc != NSH_SUCCESS)
                return rc;
        }
        wait->asked = nsh__homes_serve();
    }
    return broken_status(wait);
}

int64_t nsh__wait_coarse_clock(void)
{
#if defined(CLOCK_MONOTONIC_COARSE)
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#else
    return nsh__wait_clock();
#endif
}

int nsh__wait_poll_rarely(nsh__wait *wait)
{
    int64_t now = nsh__wait_coarse_clock();

    if (now - wait->polled < RARELY_NS)
        return NSH_SUCCESS;
    wait->polled = now;
    return nsh__wait_poll(wait);
}

static void give_way(const nsh__wait *wait)
{
    if (wait->yield)
        sched_yield();
    else
        pause_cpu();
}

static bool spin_for_word(const nsh__wait *wait, const nsh__event *event, int64_t deadline)
{
    int64_t until = 0, now;

    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (nsh__event_seen(event))
                return true;
            pause_cpu();
        }
        if (wait->spin_ns == 0 || wait->spin_ns == INT64_MAX)
            return false;
        now = nsh__wait_clock();
        if (until == 0)
            until = now + wait->spin_ns;
        if (now > until || now >= deadline)
            return false;
    }
}

/* If ranks exceed cores: yield, and look again. The core comes back at once if all other processes
 * only wait too. If it does not, one of them computes. Then a rank that sleeps is back sooner,
 * because the scheduler prefers a rank that wakes up to one that computes. So for a while this rank
 * sleeps at once. A rank that never sleeps comes back too, after YIELD_NS, to drive MPI. */
static bool yield_for_word(nsh__wait *wait, const nsh__event *event, int64_t deadline)
{
    bool never_sleeps = wait->spin_ns == INT64_MAX;
    int64_t most = never_sleeps ? YIELD_NS : wait->spin_ns;
    int64_t begin = nsh__wait_clock(), now = begin, before;

    do {
        if (nsh__event_seen(event))
            return true;
        if (now < wait->sleep_until || now >= deadline)
            return false;
        before = now;
        sched_yield();
        now = nsh__wait_clock();
        if (now - before > LONG_TURN_NS && !never_sleeps)
            wait->sleep_until = now + SLEEP_TURNS * (now - before);
    } while (now - begin < most);
    return nsh__event_seen(event);
}

/* The part of a wait before the first poll, or between two polls of a rank that never sleeps. */
static bool busy_for_word(nsh__wait *wait, const nsh__event *event, int64_t deadline)
{
    return wait->yield ? yield_for_word(wait, event, deadline)
                       : spin_for_word(wait, event, deadline);
}

/* The longest sleep if a wake-up comes for the event and no node requests words of this rank;
 * otherwise a part of the time since the last message. */
static int64_t nap_length(const nsh__wait *wait, const nsh__event *event, int64_t now,
                          int64_t begin)
{
    bool busy = wait->asked != 0 && now - wait->asked < BUSY_NS;
    int64_t most = now - begin < LONG_AFTER_NS ? NAP_NS : LONG_NAP_NS;
    int64_t quiet = now - (wait->asked > begin ? wait->asked : begin);

    if (wait->spin_ns == INT64_MAX)
        return 0;
    if (event->tag < 0 && !busy)
        return most;
    if (busy)
        most = BUSY_NAP_NS;
    if (event->tag < 0 && quiet / NAP_SHARE < SHORT_NAP_NS)
        return SHORT_NAP_NS; /* the wake-up may come sooner */
    return quiet / NAP_SHARE < most ? quiet / NAP_SHARE : most;
}

static void sleep_on(const nsh__event *event, int64_t ns)
{
    unsigned seen;

    atomic_fetch_add_explicit(event->sleepers, 1, memory_order_seq_cst);
    seen = atomic_load_explicit(event->word, memory_order_seq_cst);
    if ((int)((seen & event->mask) - event->target) < 0)
        nap_on_word(event->word, seen, ns);
    atomic_fetch_sub_explicit(event->sleepers, 1, memory_order_relaxed);
}

/* Look once for everything but the word: the message, the clock, and in some rounds the rest. */
static int look_for_event(nsh__wait *wait, const nsh__event *event, bool thorough, bool *there)
{
    int rc = NSH_SUCCESS;

    if (event->tag >= 0)
        rc = probe(wait, event->tag, there, MPI_STATUS_IGNORE);
    if (rc == NSH_SUCCESS && !*there && thorough)
        rc = nsh__wait_poll(wait);
    return rc;
}

/* A wait that began at `begin` has become long, or long again: ask the other node. *next is when to
 * ask again; 0 at first. */
static void report_suspect(nsh__wait *wait, int64_t begin, int64_t now, int64_t *next)
{
    if (*next == 0)
        *next = begin + LONG_AFTER_NS;
    if (now < *next || wait->suspect == NULL)
        return;
    wait->suspect(wait->owner);
    *next = now + ASK_AGAIN_NS;
}

/* Log a wait that has become long, as often as report_every says. */
static void report(const nsh__wait *wait, const atomic_uint *word, int64_t begin, int64_t now,
                   int64_t *next)
{
    if (*next == 0)
        *next = begin + wait->report_after;
    if (now < *next || wait->report == NULL || wait->unreported)
        return;
    wait->report(wait->owner, word, now - begin);
    *next = now + wait->report_every;
}

int nsh__wait_round(nsh__wait *wait, unsigned *rounds)
{
    struct timespec t = {0, SHORT_NAP_NS};
    unsigned round = (*rounds)++;
    int64_t now;

    if (round % LOOKS_PER_POLL != LOOKS_PER_POLL - 1) {
        give_way(wait);
        return NSH_SUCCESS;
    }
    if (round > YIELDS_PER_NAP)
        nanosleep(&t, NULL);
    else
        sched_yield();
    now = nsh__wait_clock();
    if (round < LOOKS_PER_POLL) {
        wait->round_begin = now;
        wait->round_report = 0;
    }
    report(wait, NULL, wait->round_begin, now, &wait->round_report);
    return nsh__wait_poll(wait);
}

/* The second part of nsh__wait_event, after spinning. It sleeps first and probes then: if ranks
 * exceed cores, a probe before each short sleep would be most of the cost of a gate. */
static int sleep_for_event(nsh__wait *wait, const nsh__event *event, int64_t deadline)
{
    int64_t begin = nsh__wait_clock(), now = begin, next = 0, next_report = 0, ns;
    bool there = false;

    for (unsigned round = 1;; round++) {
        int rc;

        ns = nap_length(wait, event, now, begin);
        if (deadline != NSH__NEVER && ns > deadline - now)
            ns = deadline - now;
        if (ns >= SHORT_NAP_NS)
            sleep_on(event, ns);
        else
            give_way(wait);
        if (wait->spin_ns == INT64_MAX && event->tag < 0)
            busy_for_word(wait, event, deadline);
        if (nsh__event_seen(event))
            return NSH_SUCCESS;
        rc = look_for_event(wait, event,
                            ns >= SHORT_NAP_NS || round % LOOKS_PER_POLL == 0 || event->tag < 0,
                            &there);
        if (there || nsh__event_seen(event)) /* before rc: an event that has happened is a
                                                success */
            return NSH_SUCCESS;
        if (rc != NSH_SUCCESS)
            return rc;
        now = nsh__wait_clock();
        if (now >= deadline)
            return NSH_ERR_TIMEOUT;
        report_suspect(wait, begin, now, &next);
        report(wait, event->word, begin, now, &next_report);
    }
}

int nsh__wait_event(nsh__wait *wait, const nsh__event *event, int64_t deadline)
{
    int rc;

    if (nsh__event_seen(event))
        return NSH_SUCCESS;
    if (event->tag < 0 && busy_for_word(wait, event, deadline))
        return NSH_SUCCESS;
    atomic_store_explicit(&wait->waiting, true, memory_order_relaxed);
    rc = sleep_for_event(wait, event, deadline);
    atomic_store_explicit(&wait->waiting, false, memory_order_relaxed);
    return rc;
}

int nsh__wait_word(nsh__wait *wait, atomic_uint *word, unsigned target, atomic_uint *sleepers)
{
    const nsh__event event = {word, ~0U, target, sleepers, -1};

    return nsh__wait_event(wait, &event, NSH__NEVER);
}

/* A message that is longer than the receive buffer belongs to another call. */
static int test_failed(const nsh__wait *wait, int rc)
{
    int class_ = rc;

    MPI_Error_class(rc, &class_);
    if (class_ == MPI_ERR_TRUNCATE)
        return nsh__fail(NSH_ERR_MISMATCH, "a message of another collective call has come");
    return mpi_failed(wait, "MPI_Test", rc);
}

/* status may be MPI_STATUS_IGNORE; otherwise n is 1. */
static int test_requests(nsh__wait *wait, int n, MPI_Request requests[], MPI_Status *status,
                         int64_t deadline)
{
    int64_t begin = 0, next = 0, next_report = 0, now;

    for (unsigned tries = 0;; tries++) {
        int done = 1, rc = MPI_SUCCESS;

        /* Test in order: each test drives MPI, which completes all of them. */
        while (n > 0 && done) {
            rc = MPI_Test(&requests[n - 1], &done, status);
            if (rc != MPI_SUCCESS)
                return test_failed(wait, rc);
            n -= done;
        }
        if (n == 0)
            return nsh__fault(mpi_test) ? mpi_failed(wait, "MPI_Test", MPI_ERR_OTHER) : NSH_SUCCESS;
        if (deadline != NSH__NEVER && nsh__wait_clock() >= deadline)
            return NSH_ERR_TIMEOUT;
        if (tries % SPINS_PER_LOOK == SPINS_PER_LOOK - 1) {
            rc = nsh__wait_poll(wait);
            if (rc != NSH_SUCCESS)
                return rc;
            now = nsh__wait_clock();
            if (begin == 0)
                begin = now;
            report_suspect(wait, begin, now, &next);
            report(wait, NULL, begin, now, &next_report);
            sched_yield(); /* even with a core for each rank: another process may need one */
        } else if (wait->yield) {
            sched_yield();
        } else {
            pause_cpu();
        }
    }
}

int nsh__wait_requests_until(nsh__wait *wait, int n, MPI_Request requests[], int64_t deadline)
{
    int rc;

    atomic_store_explicit(&wait->waiting, true, memory_order_relaxed);
    rc = test_requests(wait, n, requests, MPI_STATUS_IGNORE, deadline);
    atomic_store_explicit(&wait->waiting, false, memory_order_relaxed);
    return rc;
}

int nsh__wait_requests(nsh__wait *wait, int n, MPI_Request requests[])
{
    return nsh__wait_requests_until(wait, n, requests, NSH__NEVER);
}

int nsh__wait_received(nsh__wait *wait, MPI_Request *request, int64_t *bytes)
{
    MPI_Status status;
    MPI_Count n = 0;
    int rc;

    atomic_store_explicit(&wait->waiting, true, memory_order_relaxed);
    rc = test_requests(wait, 1, request, &status, NSH__NEVER);
    atomic_store_explicit(&wait->waiting, false, memory_order_relaxed);
    if (rc == NSH_SUCCESS)
        MPI_Get_elements_x(&status, MPI_BYTE, &n);
    *bytes = (int64_t)n;
    return rc;
}
