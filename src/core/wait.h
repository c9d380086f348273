/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h -- the only place in which the library waits.
 *
 * Two kinds of waits. (a) This rank takes part in a transfer: call MPI_Test until it is done, and
 * yield the core between calls if ranks exceed cores. To sleep here would stall the pipeline, and a
 * blocking MPI call would spin through its time slice. (b) It waits for another rank of its node:
 * spin for as long as sleeping costs, then sleep on a futex in short rounds with one MPI_Iprobe
 * each. The probe is necessary: a waiting rank may owe a third rank the second half of a rendezvous
 * send.
 *
 * Every wait that drives MPI also serves the words of all communicators of this process (homes.h),
 * on whichever of them it waits.
 *
 * A futex wakes for a store on this node, not for a message. A rank that waits for a message, or
 * whose words other nodes use, therefore sleeps for 1/128 of the time since the last one came: a
 * wait becomes at most that much longer, and takes hardly any time of the core.
 *
 * Functions with an nsh__wait are for its owner, one thread at a time; those that return a status
 * are [non-local], but for nsh__wait_poll and nsh__wait_poll_rarely, which are [local]. */
#ifndef NSH_CORE_WAIT_H
#define NSH_CORE_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

/* A wait of 10 seconds is reported, and again every minute. */
#define NSH__REPORT_AFTER_NS INT64_C(10000000000)
#define NSH__REPORT_EVERY_NS INT64_C(60000000000)

/* How one rank of one communicator waits. */
typedef struct nsh__wait {
    MPI_Comm comm;   /* MPI progresses on it while waiting; MPI_COMM_NULL: the waiter does not call
                        MPI */
    int control_tag; /* the tag that is probed; control() receives its messages; -1: none */
    int watch_tag;   /* a message with this tag now proves a mismatch; -1: none */
    int64_t spin_ns; /* how long to spin for another rank; INT64_MAX: permanently */
    bool yield;      /* ranks of the host exceed its cores: yield the core instead of spinning */
    int64_t sleep_until; /* and until this time sleep at once */
    atomic_int *broken;  /* shared by the node: a status as soon as waiting is pointless */
    void (*explain)(void *owner, int status); /* sets the detail for that status; may be NULL */
    void (*control)(void *owner, const MPI_Status *status);
    int (*stray)(void *owner, const MPI_Status *status); /* a message with watch_tag has come: set
                                                            the detail of NSH_ERR_MISMATCH; may be
                                                            NULL if watch_tag is always -1 */
    void (*suspect)(void *owner); /* called when a wait has become long, and again every second; may
                                     be NULL */
    int (*failed)(void *owner, int code); /* MPI has failed in a wait, code is NSH_ERR_MPI: other
                                             ranks must not wait for this one; may be NULL */
    void (*report)(void *owner, const atomic_uint *word, int64_t waited_ns); /* log what this rank
                                                                                waits for: word, or
                                                                                messages (NULL); may
                                                                                be NULL */
    int64_t report_after, report_every; /* when a wait is reported, in nanoseconds; shorter in
                                           tests */
    bool unreported;                    /* it waits for its own threads: no report */
    int64_t polled; /* when nsh__wait_poll_rarely last polled, by its own clock */
    int64_t asked;  /* when other nodes last requested words of this process, by nsh__wait_clock */
    void *owner;
    atomic_bool waiting; /* this rank is inside a wait, so a helper thread need not probe */
    int64_t round_begin, round_report; /* of nsh__wait_round: when it began, when it reports next */
} nsh__wait;

/* What a rank waits for: *word & mask has reached target (counting modulo 2^32); or a message with
 * tag can be received. */
typedef struct nsh__event {
    atomic_uint *word;
    unsigned mask, target;
    atomic_uint *sleepers; /* number of ranks that sleep on word */
    int tag;               /* -1: no message will come */
} nsh__event;

/* [any thread] Nanoseconds of CLOCK_MONOTONIC; and the deadline in this many seconds, NSH__NEVER if
 * the clock cannot hold it. */
int64_t nsh__wait_clock(void);
int64_t nsh__wait_deadline(double seconds);
#define NSH__NEVER INT64_MAX

/* [any thread] Nanoseconds of a clock that is a few milliseconds late, but is read in a few
 * nanoseconds. */
int64_t nsh__wait_coarse_clock(void);

/* Wait for the event. Returns NSH_SUCCESS (acquire); or the status in *broken; or NSH_ERR_MPI after
 * a call of failed(); or NSH_ERR_MISMATCH when a message with watch_tag has come; or
 * NSH_ERR_TIMEOUT (without a detail) when the clock has reached deadline. An event that has
 * happened is NSH_SUCCESS, whatever else is true. */
int nsh__wait_event(nsh__wait *wait, const nsh__event *event, int64_t deadline);

/* Wait for a word that counts up, without a message or a deadline. */
int nsh__wait_word(nsh__wait *wait, atomic_uint *word, unsigned target, atomic_uint *sleepers);

/* [any thread] Has the event's word reached its target? (acquire) */
static inline bool nsh__event_seen(const nsh__event *event)
{
    unsigned value = atomic_load_explicit(event->word, memory_order_acquire);

    return (int)((value & event->mask) - event->target) >= 0;
}

/* [any thread] Wake the ranks that sleep on *word; after a seq_cst store that has changed it. */
void nsh__wake(atomic_uint *word, atomic_uint *sleepers);

/* Between two reads of something that another rank will store soon without a wake-up: a pause, then
 * a yield, then sleeps. *rounds is 0 at first. Returns as nsh__wait_poll. */
int nsh__wait_round(nsh__wait *wait, unsigned *rounds);

/* Wait until all n requests are complete. Returns NSH_SUCCESS, NSH_ERR_MPI, or as above; after a
 * failure the incomplete requests still exist. */
int nsh__wait_requests(nsh__wait *wait, int n, MPI_Request requests[]);

/* The same, but at most until deadline: NSH_ERR_TIMEOUT (without a detail). MPI is driven at least
 * once, so a deadline in the past asks what is complete now. */
int nsh__wait_requests_until(nsh__wait *wait, int n, MPI_Request requests[], int64_t deadline);

/* Wait until a receive is complete; *bytes is how many bytes were received. Returns as
 * nsh__wait_requests. */
int nsh__wait_received(nsh__wait *wait, MPI_Request *request, int64_t *bytes);

/* One round of progress: the probe, control messages, the broken flag, requests for words. Returns
 * as above. */
int nsh__wait_poll(nsh__wait *wait);

/* The same, unless this function has done it within the last 10 ms: for calls that may succeed
 * without a wait. Then it costs a few nanoseconds. */
int nsh__wait_poll_rarely(nsh__wait *wait);

#endif
