/* SPDX-License-Identifier: BSD-3-Clause */
/* gate.h -- the node-level gate: arrive, await, release, leave on shared memory.
 *
 * Every collective call is one or two phases: all ranks arrive, one of them acts once all are
 * there, and its release lets the others leave. Arrivals carry a signature, a hash of what must be
 * equal on all ranks; whether it was costs one addition. The counters only grow, modulo 2^32. A
 * central counter with a sense that never needs resetting; cf. Mellor-Crummey and Scott,
 * "Algorithms for scalable synchronization on shared-memory multiprocessors", ACM TOCS 9(1),
 * 1991. */
#ifndef NSH_CORE_GATE_H
#define NSH_CORE_GATE_H

#include "base/error.h"
#include "core/wait.h"

/* In shared memory, zero at first. Each group of fields has a cache line of its own. */
typedef struct nsh__gate_area {
    /* written by every arrival; read by who awaits them */
    _Alignas(64) atomic_uint arrived;
    atomic_uint arrived_sleepers;
    struct {
        atomic_uint failures; /* arrivals that bring a failure, or more than their signature */
        _Atomic uint64_t sum; /* of their signatures */
    } signatures[2]; /* of even and odd phases; a release zeroes those of the phase before it, which
                   everybody has left, so that the current ones can be read until the next release
                 */
    /* written by who releases; read by all others. The plain fields are written before the release
     * of a phase and read after it; the next phase cannot be released before all have read */
    _Alignas(64) atomic_uint opened;
    atomic_uint opened_sleepers;
    int outcome;
    int from; /* the rank whose failure outcome is */
    _Alignas(64) atomic_int broken;
    _Alignas(64) char text[NSH__TEXT]; /* the detail of outcome */
} nsh__gate_area;

/* One rank's side of a gate. */
typedef struct nsh__gate {
    nsh__gate_area *area;
    nsh__wait *wait;
    int rank;           /* in the communicator */
    unsigned size;      /* ranks that arrive */
    bool leads;         /* this is node rank 0 */
    bool alone;         /* the node is the whole communicator: nobody else has to be told */
    unsigned phase;     /* number of the current one */
    unsigned arrived;   /* arrivals after which the current phase is complete */
    unsigned opened;    /* releases after which this rank may leave */
    atomic_uint *shown; /* where others see phase; gate.own unless the caller sets another one */
    atomic_uint own;
    void (*word_mismatch)(void *owner,
                          char text[NSH__TEXT]); /* how signatures differ; may be NULL */
    void *owner;
    uint64_t signature; /* this rank's signature of the current phase; never 0 */
    bool released; /* it has an outcome, which this rank knows: what leave returned, if it left */
    int from;      /* then: the rank whose failure the outcome is; -1: no rank's in particular */
} nsh__gate;

void nsh__gate_init(nsh__gate *gate, nsh__gate_area *area, nsh__wait *wait, int rank, int node_rank,
                    int node_size, bool alone);

/* Word that the ranks of the node disagree. By the rank that acts, before it releases. */
void nsh__gate_word_mismatch(const nsh__gate *gate, char text[NSH__TEXT]);

/* Enter the next phase with this signature, and a failure (or more to say than the signature), or
 * none. True: this rank is the last.
 *
 * When signatures differ there is no common plan of who acts, so a fixed rank does: if the node is
 * alone the last one releases at once with NSH_ERR_MISMATCH (inside this function); otherwise the
 * leader, which awaits all arrivals in every call, tells the other nodes too. */
bool nsh__gate_arrive(nsh__gate *gate, uint64_t signature, bool failed);

/* Wait until all have arrived. NSH_SUCCESS or what nsh__wait_word returns. */
int nsh__gate_await(nsh__gate *gate);

/* After nsh__gate_await or as the last: did all arrive with this rank's signature? If not, a rank
 * other than the one that acts (above) goes on to nsh__gate_leave. */
bool nsh__gate_unanimous(const nsh__gate *gate);

/* Has any of them brought a failure, or more to say? */
bool nsh__gate_failed(const nsh__gate *gate);

/* By exactly one rank, after all have arrived: open the gate with an outcome for everyone; with a
 * status other than NSH_SUCCESS also the rank it comes from and its detail. */
void nsh__gate_release(nsh__gate *gate, int outcome, int from, const char *text);

/* Wait for the release and return its outcome, or what nsh__wait_word returns; detail set. */
int nsh__gate_leave(nsh__gate *gate);

/* arrive, and the last releases: a barrier. NSH_ERR_MISMATCH when signatures differ; if the node is
 * not alone, the leader then has released nobody, and its caller tells everyone. */
int nsh__gate_pass(nsh__gate *gate, uint64_t signature);

#endif
