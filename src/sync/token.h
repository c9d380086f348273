/* SPDX-License-Identifier: BSD-3-Clause */
/* token.h -- one rank tells another that it is its turn.
 *
 * On one node the token is a word in shared memory, otherwise an empty message with its own tag on
 * the private communicator. A rank awaits one token of a kind at a time, and no token is sent to a
 * rank that will not await it, so tokens need no names and no records. */
#ifndef NSH_SYNC_TOKEN_H
#define NSH_SYNC_TOKEN_H

#include "core/comm.h"

/* [local, by the rank whose turn ends] Send a token to another rank of comm. NSH_ERR_MPI. */
int nsh__token_send(nsh_comm *comm, nsh__token kind, int to);

/* [non-local, by the rank whose turn comes] Wait for a token. NSH_ERR_TIMEOUT at deadline
 * (nsh__wait_clock), or what waiting on a broken communicator returns; NSH_ERR_MPI. */
int nsh__token_await(nsh_comm *comm, nsh__token kind, int64_t deadline);

#endif
