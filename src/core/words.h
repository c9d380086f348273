/* SPDX-License-Identifier: BSD-3-Clause */
/* words.h -- the memory of words that other nodes access (rma.h): alloc, free, grow.
 *
 * Words live with node leaders. Every rank runs the same allocator for every home, so an allocation
 * needs no message. */
#ifndef NSH_CORE_WORDS_H
#define NSH_CORE_WORDS_H

#include "core/rma.h"

/* [local] Allocate n words at node home, all zero. NSH_ERR_BUSY: no space before nsh__words_grow;
 * NSH_ERR_NOMEM. The result is equal on every rank, except for a lack of private memory. */
int nsh__words_alloc(nsh_comm *comm, int home, int64_t n, nsh__words *out);

/* [collective] Add a window that can hold n words at every home. The code is agreed on. */
int nsh__words_grow(nsh_comm *comm, int64_t n);

/* [by all ranks, at the same point] Free the words, which are all zero; accepts none. */
void nsh__words_free(nsh_comm *comm, nsh__words *words);

/* [local] A number that is equal on ranks that have the same words of all homes. */
uint64_t nsh__words_history(const nsh_comm *comm);

/* [local] Stop serving the words that live here: their communicator is broken, and ends. */
void nsh__words_leave(nsh_comm *comm);

/* [collective] Free all words. Accepts every stage; after MPI_Finalize it frees private memory
 * only. */
void nsh__words_destroy(nsh_comm *comm);

#endif
