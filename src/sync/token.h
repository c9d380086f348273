/* SPDX-License-Identifier: BSD-3-Clause */
/* token.h -- one rank tells another: it is your turn.
 *
 * Through a word in shared memory on the same node, else as an empty message with a tag of its own
 * on the private communicator. A rank awaits one token of a kind at a time, and none is sent to a
 * rank that is not going to await it, so tokens need neither names nor books. */
#ifndef NSH_SYNC_TOKEN_H
#define NSH_SYNC_TOKEN_H

#include "core/comm.h"

/* [local] Send a token to another rank of comm. NSH_ERR_MPI. */
int nsh__token_send(nsh_comm *comm, nsh__token kind, int to);

/* [non-local] Wait for one. NSH_ERR_TIMEOUT at deadline (nsh__wait_clock), or what waiting on a
 * broken communicator returns; NSH_ERR_MPI. */
int nsh__token_await(nsh_comm *comm, nsh__token kind, int64_t deadline);

#endif
