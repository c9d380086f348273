/* SPDX-License-Identifier: BSD-3-Clause */
/* helper.h -- a thread that gives MPI a chance while the ranks of its leader compute.
 *
 * It probes, serves words (rma.h), blocks all signals, and sleeps between rounds: 5 ms, or 200 us
 * while words that live here change. While the rank itself waits in wait.c it leaves MPI alone. */
#ifndef NSH_CORE_HELPER_H
#define NSH_CORE_HELPER_H

#include "core/comm.h"

typedef struct nsh__helper nsh__helper;

/* Start the helper of this rank. NSH_ERR_NOMEM where there is no thread. */
int nsh__helper_start(nsh_comm *comm);

/* Stop and join it; accepts none. */
void nsh__helper_stop(nsh_comm *comm);

/* [local] Stop those of all communicators of this process. Before or in MPI_Finalize, when no other
 * thread makes, uses or frees a communicator. */
void nsh__helpers_stop(void);

#endif
