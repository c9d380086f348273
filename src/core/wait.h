/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h -- the one place that waits.
 *
 * Two kinds. (a) This rank takes part in a transfer: MPI_Test until done, giving the core away
 * between tries when ranks exceed cores; a nap here stalls the pipeline, and a blocking MPI call
 * spins through its time slice. (b) It waits for another rank of its node: spin for as long as
 * sleeping costs, then sleep on a futex in short rounds with one MPI_Iprobe each. The probe is not
 * optional: a rank that waits may owe a third one the second half of a rendezvous send.
 *
 * Every wait that drives MPI also serves the words of all communicators of this process (homes.h),
 * whichever of them it waits on.
 *
 * A futex wakes for a store on this node, not for a message. Who waits for one, or is asked for its
 * words by other nodes, therefore naps for a 128th of the time for which nothing has come: as
 * long a wait as it was costs at most that much more, and next to no core. */
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
    MPI_Comm comm;   /* driven while waiting; MPI_COMM_NULL: there is no MPI to drive */
    int control_tag; /* the tag that is probed; a message on it is given to notice(); -1: none */
    int watch_tag;   /* a tag on which a message now proves disagreement; -1: none */
    int64_t spin_ns; /* how long to spin for another rank; INT64_MAX: for ever */
    bool yield;      /* ranks of the host exceed its cores: spin by giving the core away, */
    int64_t sleep_until; /* but until then not at all */
    atomic_int *broken;  /* shared by the node: a status once waiting has become pointless, */
    void (*explain)(void *owner, int status); /* and this words why; may be NULL */
    void (*notice)(void *owner, const MPI_Status *status);
    int (*stray)(void *owner, const MPI_Status *status); /* there is a message on watch_tag: word
                      NSH_ERR_MISMATCH; may be NULL where watch_tag is always -1 */
    void (*suspect)(void *owner); /* a wait has become long, and again every second; or NULL */
    int (*failed)(void *owner, int code); /* MPI has failed in a wait, with NSH_ERR_MPI: other ranks
                                             must not wait for this one; may be NULL */
    void (*report)(void *owner, const atomic_uint *word, int64_t waited_ns); /* say what this rank
                      waits for: word, or messages (NULL); may be NULL */
    int64_t report_after, report_every; /* of a wait, in nanoseconds; shorter in tests */
    bool unreported;                    /* it waits for threads of its own, which is no news */
    int64_t polled; /* when nsh__wait_poll_rarely did so, by a clock of its own */
    int64_t asked;  /* when other nodes last asked this process for words, by nsh__wait_clock */
    void *owner;
    atomic_bool waiting; /* this rank is inside a wait, so a helper thread need not probe */
    int64_t round_begin, round_report; /* of nsh__wait_round: when it began, when it reports */
} nsh__wait;

/* What a rank waits for: *word, seen through mask, has come to target or beyond (counting modulo
 * 2^32); or a message with tag is there, still to be received. */
typedef struct nsh__event {
    atomic_uint *word;
    unsigned mask, target;
    atomic_uint *sleepers; /* who sleeps on word counts itself here */
    int tag;               /* -1: no message will come */
} nsh__event;

/* Nanoseconds of CLOCK_MONOTONIC; and so many seconds from now as a deadline, NSH__NEVER if that is
 * beyond the clock. */
int64_t nsh__wait_clock(void);
int64_t nsh__wait_deadline(double seconds);
#define NSH__NEVER INT64_MAX

/* Nanoseconds of a clock that is a few milliseconds late, but read in a few nanoseconds. */
int64_t nsh__wait_coarse_clock(void);

/* Wait for the event. Returns NSH_SUCCESS (acquire), or the status in *broken, or
 * NSH_ERR_MPI once failed() has been told, or NSH_ERR_MISMATCH when a message is seen on watch_tag,
 * or NSH_ERR_TIMEOUT (without a detail) once the clock has reached deadline. What has come has
 * come, whatever else is true. */
int nsh__wait_event(nsh__wait *wait, const nsh__event *event, int64_t deadline);

/* The same for a word that counts, without a message or a deadline. */
int nsh__wait_word(nsh__wait *wait, atomic_uint *word, unsigned target, atomic_uint *sleepers);

/* Has the event's word come? (acquire) */
static inline bool nsh__event_seen(const nsh__event *event)
{
    unsigned value = atomic_load_explicit(event->word, memory_order_acquire);

    return (int)((value & event->mask) - event->target) >= 0;
}

/* Wake whoever sleeps on *word; after a seq_cst store that changed it. */
void nsh__wake(atomic_uint *word, atomic_uint *sleepers);

/* Between two looks at something that another rank is about to store and will not wake for: a
 * pause, the core given away, then naps. *rounds is 0 at first. Returns as nsh__wait_poll. */
int nsh__wait_round(nsh__wait *wait, unsigned *rounds);

/* Wait until all n requests are complete. Returns NSH_SUCCESS, NSH_ERR_MPI, or as above; then the
 * requests that are not complete are still there. */
int nsh__wait_requests(nsh__wait *wait, int n, MPI_Request requests[]);

/* The same, until the clock has reached deadline: NSH_ERR_TIMEOUT (without a detail). MPI is
 * driven at least once, so a deadline in the past asks what is complete now. */
int nsh__wait_requests_until(nsh__wait *wait, int n, MPI_Request requests[], int64_t deadline);

/* Wait until a receive is complete; *bytes is how many bytes have come. Returns likewise. */
int nsh__wait_received(nsh__wait *wait, MPI_Request *request, int64_t *bytes);

/* One round of progress: the probe, notices, the broken flag, words that other nodes ask for.
 * Returns as above. */
int nsh__wait_poll(nsh__wait *wait);

/* The same, unless this function has done so within the last 10 ms: for calls that may succeed
 * without a wait. Costs a few nanoseconds then. */
int nsh__wait_poll_rarely(nsh__wait *wait);

#endif
