/* SPDX-License-Identifier: BSD-3-Clause */
/* boot.h -- how ranks meet before the gates of their communicator exist, and outside them. */
#ifndef NSH_CORE_BOOT_H
#define NSH_CORE_BOOT_H

#include "core/comm.h"

/* [collective] Before the gates exist: the largest code of all ranks, with its detail; and the
 * smallest value of all ranks. Plain MPI collectives on the private communicator. */
int nsh__boot_agree(nsh_comm *comm, int code);
int64_t nsh__boot_least(nsh_comm *comm, int64_t value);

/* [collective over mpi] A barrier in which this rank serves the words of all communicators of its
 * process. It stands before MPI collectives that block: inside them a rank does not execute
 * requests of other nodes, and a rank that waits for an answer does not come.
 *
 * One is enough before any number of blocking collectives with nothing of the program between them:
 * a rank that has entered the barrier waits for no word. So after it every rank that the
 * collectives need is inside them or will be soon, and a rank that requests a word is not one of
 * them. An agreement of all ranks (agree.h) or a round of a worker (worker_group.h) is such a
 * barrier too: when it has succeeded on one rank, all ranks have entered it, and it waits through
 * wait.c. Therefore heap.c and words.c grow, and batch.c makes a worker's communicator, without
 * another barrier. */
int nsh__boot_meet(MPI_Comm mpi);

#endif
