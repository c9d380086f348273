/* SPDX-License-Identifier: BSD-3-Clause */
/* boot.h -- how ranks meet before the gates of their communicator exist, and outside them. */
#ifndef NSH_CORE_BOOT_H
#define NSH_CORE_BOOT_H

#include "core/comm.h"

/* [collective] Before the gates exist: the largest code of all ranks, with its detail; and the
 * least value of all ranks. Plain MPI collectives on the private communicator. */
int nsh__boot_agree(nsh_comm *comm, int code);
int64_t nsh__boot_least(nsh_comm *comm, int64_t value);

/* [collective] Over mpi: a barrier in which this rank serves the words of all communicators of its
 * process. It stands before MPI collectives that block: inside them a rank executes nothing of what
 * other nodes ask for, and a rank that waits for an answer does not come.
 *
 * One is enough before any number of blocking collectives with nothing of the program between them:
 * a rank that has entered the barrier waits for no word, so after it every rank that the
 * collectives need is inside them or on its way, and a rank that asks for a word is none of theirs.
 * An agreement of all ranks (agree.h) or a round of a worker (worker_group.h) is such a barrier
 * too: when it has succeeded on one rank, all ranks have entered it, and it waits through wait.c.
 * Therefore heap.c and rma.c grow, and batch.c makes a worker's communicator, without another
 * one. */
int nsh__boot_meet(MPI_Comm mpi);

#endif
