/* SPDX-License-Identifier: BSD-3-Clause */
/* words.h -- the memory of words that other nodes touch (rma.h): alloc, free, grow.
 *
 * Words live with node leaders. Every rank runs the same allocator for every home, so to allocate
 * words needs no message. */
#ifndef NSH_CORE_WORDS_H
#define NSH_CORE_WORDS_H

#include "core/rma.h"

/* [local] n words at node home, all zero. NSH_ERR_BUSY: there is no room until nsh__words_grow;
 * NSH_ERR_NOMEM. On every rank alike, but for a lack of private memory. */
int nsh__words_alloc(nsh_comm *comm, int home, int64_t n, nsh__words *out);

/* [collective] Another window, with room for n words at every home. The code is agreed. */
int nsh__words_grow(nsh_comm *comm, int64_t n);

/* [by all ranks, at the same point] Give them back, all zero; accepts none. */
void nsh__words_free(nsh_comm *comm, nsh__words *words);

/* [local] A number that is equal on ranks that have the same words of all homes. */
uint64_t nsh__words_history(const nsh_comm *comm);

/* [local] Serve the words that live here no more: their communicator is broken, and goes. */
void nsh__words_leave(nsh_comm *comm);

/* [collective] Accepts every stage; after MPI_Finalize it frees private memory only. */
void nsh__words_destroy(nsh_comm *comm);

#endif
