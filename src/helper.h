/* SPDX-License-Identifier: BSD-3-Clause */
/* helper.h -- a thread that gives MPI a chance while the ranks of its leader compute.
 *
 * It only probes, blocks all signals, and sleeps between rounds; while the rank itself waits in
 * wait.c, which probes too, it does nothing. */
#ifndef NSH_SRC_HELPER_H
#define NSH_SRC_HELPER_H

#include "comm.h"

typedef struct nsh__helper nsh__helper;

/* Start the helper of this rank. NSH_ERR_NOMEM where there is no thread. */
int nsh__helper_start(nsh_comm *comm);

/* Stop and join it; accepts none. */
void nsh__helper_stop(nsh_comm *comm);

#endif
