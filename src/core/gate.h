/* SPDX-License-Identifier: BSD-3-Clause */
/* gate.h -- the gate of a node: arrive, await, release, leave, in shared memory.
 *
 * Every collective call is one or two phases: all ranks arrive, then one of them acts, and its
 * release lets the others leave. Each arrival adds its signature, a hash of what must be equal on
 * all ranks, to a sum, which shows whether all are equal. The counters only grow, modulo 2^32. This
 * is a central counter with a sense that is never reset; cf. Mellor-Crummey and Scott, "Algorithms
 * for scalable synchronization on shared-memory multiprocessors", ACM TOCS 9(1), 1991.
 *
 * All functions are for ranks of the node, in the order arrive, await (the rank that acts), release
 * (that rank) or leave (the others). await, leave and pass are [non-local], the others [local]. */
#ifndef NSH_CORE_GATE_H
#define NSH_CORE_GATE_H

#include "base/error.h"
#include "core/wait.h"

/* In shared memory, zero at first. Each group of fields has its own cache line. */
typedef struct nsh__gate_area {
    /* written by every arrival; read by the rank that awaits them */
    _Alignas(64) atomic_uint arrived;
    atomic_uint arrived_sleepers;
    struct {
        atomic_uint failures; /* arrivals with a failure, or with more than their signature */
        _Atomic uint64_t sum; /* of their signatures */
    } signatures[2]; /* of even and odd phases; a release zeroes those of the previous phase, which
                        all ranks have left, so the current ones can be read until the next
                        release */
    /* written by the rank that releases; read by all others. The plain fields are written before
     * the release of a phase and read after it; the next phase cannot be released before all have
     * read them */
    _Alignas(64) atomic_uint opened;
    atomic_uint opened_sleepers;
    int outcome;
    int from; /* the rank that the outcome, a failure, comes from */
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
    bool alone;         /* the node is the whole communicator: no other node has to learn a
                           mismatch */
    unsigned phase;     /* number of the current phase */
    unsigned arrived;   /* arrivals after which the current phase is complete */
    unsigned opened;    /* releases after which this rank may leave */
    atomic_uint *shown; /* where others see phase; &own unless the caller sets another one */
    atomic_uint own;
    void (*word_mismatch)(void *owner,
                          char text[NSH__TEXT]); /* describes how signatures differ; may be NULL */
    void *owner;
    uint64_t signature; /* this rank's signature of the current phase; never 0 */
    bool released;      /* this rank knows the outcome of the phase: what leave has returned, if it
                      left */
    int from;           /* then: the rank that the failure comes from; -1: no rank in particular */
} nsh__gate;

void nsh__gate_init(nsh__gate *gate, nsh__gate_area *area, nsh__wait *wait, int rank, int node_rank,
                    int node_size, bool alone);

/* [by the rank that acts, before it releases] Describe how the ranks of the node differ. */
void nsh__gate_word_mismatch(const nsh__gate *gate, char text[NSH__TEXT]);

/* Arrive at the next phase with this signature; failed: with a failure, or more data than the
 * signature. True: this rank is the last.
 *
 * If signatures differ the ranks do not agree on which one acts, so a fixed rank does. If the node
 * is alone the last one releases at once with NSH_ERR_MISMATCH (inside this function). Otherwise it
 * is the leader, which awaits all arrivals in every call and tells the other nodes. */
bool nsh__gate_arrive(nsh__gate *gate, uint64_t signature, bool failed);

/* Wait until all ranks have arrived. NSH_SUCCESS or what nsh__wait_word returns. */
int nsh__gate_await(nsh__gate *gate);

/* After nsh__gate_await or as the last: did all ranks arrive with this rank's signature? If not, a
 * rank that does not act (above) continues with nsh__gate_leave. */
bool nsh__gate_unanimous(const nsh__gate *gate);

/* Has any rank arrived with `failed`? */
bool nsh__gate_failed(const nsh__gate *gate);

/* [by one rank, after all have arrived] Open the gate with an outcome for all ranks; if it is not
 * NSH_SUCCESS also the rank it comes from and its detail. */
void nsh__gate_release(nsh__gate *gate, int outcome, int from, const char *text);

/* Wait for the release and return its outcome, or what nsh__wait_word returns; the detail is
 * set. */
int nsh__gate_leave(nsh__gate *gate);

/* A barrier: arrive, and the last rank releases. NSH_ERR_MISMATCH if signatures differ; if the node
 * is not alone, the leader then has released no rank, and its caller tells all ranks. */
int nsh__gate_pass(nsh__gate *gate, uint64_t signature);

#endif
