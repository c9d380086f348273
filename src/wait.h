/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h -- the one place that waits.
 *
 * Two kinds. (a) This rank takes part in a transfer: MPI_Test until done, giving the core away
 * between tries when ranks exceed cores; a nap here stalls the pipeline, and a blocking MPI call
 * spins through its time slice. (b) It waits for another rank of its node: spin for as long as a
 * context switch costs, then sleep on a futex in short rounds with one MPI_Iprobe each. The probe
 * is not optional: a rank that waits may owe a third one the second half of a rendezvous send. */
#ifndef NSH_SRC_WAIT_H
#define NSH_SRC_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

/* How one rank of one communicator waits. */
typedef struct nsh__wait {
    MPI_Comm comm;      /* driven while waiting; MPI_COMM_NULL: there is no MPI to drive */
    int notice_tag;     /* the tag that is probed; a message on it is given to notice() */
    int watch_tag;      /* a tag on which a message now proves disagreement; -1: none */
    int64_t spin_ns;    /* how long to spin for another rank; INT64_MAX: for ever */
    bool yield;         /* ranks of the host exceed its cores */
    atomic_int *broken; /* shared by the node: a status once waiting has become pointless */
    void (*notice)(void *owner, const MPI_Status *status);
    void (*suspect)(void *owner); /* a wait has become long: called once per wait; may be NULL */
    void *owner;
    atomic_bool waiting; /* this rank is inside a wait, so a helper thread need not probe */
} nsh__wait;

/* Wait until *word has come to target or beyond (counting modulo 2^32). The caller's sleep is
 * announced in *sleepers. Returns NSH_SUCCESS (acquire), or the status in *broken, or
 * NSH_ERR_MISMATCH when a message is seen on watch_tag. */
int nsh__wait_word(nsh__wait *wait, atomic_uint *word, unsigned target, atomic_uint *sleepers);

/* Wake whoever sleeps on *word; after the store that changed it. */
void nsh__wake(atomic_uint *word, atomic_uint *sleepers);

/* Wait until all n requests are complete. Returns NSH_SUCCESS, NSH_ERR_MPI, or as above; then the
 * requests that are not complete are still there. */
int nsh__wait_requests(nsh__wait *wait, int n, MPI_Request requests[]);

/* One round of progress: the probe, notices, the broken flag. Returns as above. */
int nsh__wait_poll(nsh__wait *wait);

#endif
