/* SPDX-License-Identifier: BSD-3-Clause */
/* rma.h -- operations on 64-bit words that other nodes access: swap, add, and, cas, read.
 *
 * Words live with node leaders (words.h). Two backends, NSH_RMA:
 *   window   MPI_Win_allocate, one MPI_Win_lock_all for its life, MPI_Fetch_and_op and
 *            MPI_Compare_and_swap, each followed by its flush: no result is read before it
 *   message  a request to the home's leader, which executes it in wait.c or in its helper, and
 *            answers
 * No word is ever accessed by a CPU atomic and by MPI both. Each operation is sequentially
 * consistent with those on the same word, and complete at the home when it returns.
 *
 * Without a helper a home answers only while it is in MPI or in this library. nsh__word_try gives
 * an operation up at a deadline: it stays under way, at most one of each rank and communicator.
 * nsh__words_settle receives its answer; every operation and every collective call of this rank
 * begins with it. */
#ifndef NSH_CORE_RMA_H
#define NSH_CORE_RMA_H

#include "core/comm.h"

struct nsh__block;

/* Words of an object at one home. All zero: none. */
typedef struct nsh__words {
    struct nsh__block *block;
    int home;      /* node */
    int window;    /* number of the window */
    int64_t first; /* index of word 0 in the home's part of the window */
} nsh__words;

/* [non-local, by any rank] Operate on word i. NSH_ERR_MPI. */
int nsh__word_swap(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t value,
                   uint64_t *old);
int nsh__word_add(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t value,
                  uint64_t *old);
int nsh__word_cas(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t expected,
                  uint64_t value, uint64_t *old);
int nsh__word_read(nsh_comm *comm, const nsh__words *words, int64_t i, uint64_t *value);

typedef enum nsh__word_op {
    NSH__WORD_SWAP,
    NSH__WORD_ADD,
    NSH__WORD_AND,
    NSH__WORD_READ,
    NSH__WORD_CAS
} nsh__word_op;

/* When an operation is given up, and which callback then receives its answer. resume may operate on
 * words itself and give that up at its own deadline; it returns what nsh__word_try returns. */
typedef struct nsh__late {
    int64_t deadline; /* by nsh__wait_clock; NSH__NEVER: the operation is not given up */
    int (*resume)(void *owner, uint64_t old, int64_t deadline);
    void *owner; /* must live until it has been resumed, or until the communicator is freed */
} nsh__late;

/* [non-local, after nsh__words_settle] Any operation but CAS, for which MPI has no request to wait
 * for. No other one may be under way. NSH_ERR_TIMEOUT (without a detail): it is still under way;
 * NSH_ERR_MPI. */
int nsh__word_try(nsh_comm *comm, const nsh__words *words, nsh__word_op op, int64_t i,
                  uint64_t value, const nsh__late *late, uint64_t *old);

/* [non-local, by any rank] If an operation is under way that was given up, receive its answer and
 * resume its owner. NSH_ERR_TIMEOUT (without a detail): no answer by deadline; NSH_ERR_MPI; on a
 * broken communicator its code. */
int nsh__words_settle(nsh_comm *comm, int64_t deadline);

/* [local, any thread, on a leader with homes_words: homes.c and the helper] When a change of words
 * that live here was last seen, by nsh__wait_clock; 0: never. The first function also executes the
 * requests of other ranks, and looks for changes. */
int64_t nsh__words_serve(void *comm);
int64_t nsh__words_changed(const nsh_comm *comm);

#endif
