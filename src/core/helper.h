/* SPDX-License-Identifier: BSD-3-Clause */
/* helper.h -- a thread that drives MPI progress while the ranks of its leader compute.
 *
 * It probes, serves words (rma.h), blocks all signals, and sleeps between rounds: 5 ms, or 200 us
 * while words that live here change. While the rank itself waits in wait.c the thread does not call
 * MPI. */
#ifndef NSH_CORE_HELPER_H
#define NSH_CORE_HELPER_H

#include "core/comm.h"

typedef struct nsh__helper nsh__helper;

/* [local, by a leader] Start the helper of this rank. NSH_ERR_NOMEM if no thread can be created. */
int nsh__helper_start(nsh_comm *comm);

/* [local] Stop and join it; accepts none. */
void nsh__helper_stop(nsh_comm *comm);

/* [local] Stop the helpers of all communicators of this process. Before or in MPI_Finalize, when no
 * other thread creates, uses or frees a communicator. */
void nsh__helpers_stop(void);

#endif
