/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex_check.h -- under NSH_CHECK=1: diagnose a mutex whose holder is in a collective call while a
 * rank waits for it. Without a diagnosis both wait permanently.
 *
 * A word of each mutex says in which agreement its holder is and how many ranks wait in lock:
 *
 *   word = sequence << WAITING_BITS | waiting     sequence: number of the agreement; 0: none
 *
 * The holder adds the sequence as it enters an agreement and subtracts it as it leaves; a rank that
 * locks adds 1 before it waits and subtracts it after. Each of these read-modify-writes returns
 * what the other side has set, and all are seq_cst on one word, so at least one of the two sees the
 * other. The holder contributes NSH_ERR_STATE to the agreement. The waiting rank looks again from
 * time to time, and gives up if the holder is in an agreement that this rank has not entered. */
#ifndef NSH_SYNC_MUTEX_CHECK_H
#define NSH_SYNC_MUTEX_CHECK_H

#include "core/agree.h"
#include "sync/cell.h"

typedef struct nsh__mutex_check {
    nsh__cell cell;
    const char *name;         /* the mutex's name; NULL: none */
    uint64_t entered;         /* the sequence that this rank has added; 0: none */
    nsh__agreement_hook hook; /* in the communicator's list while this rank holds the mutex */
} nsh__mutex_check;

/* [local, by the holder] From now on each agreement of this rank sets the sequence, and contributes
 * NSH_ERR_STATE instead of success if a rank waits. _dropped ends that. */
void nsh__mutex_check_held(nsh_comm *comm, nsh__mutex_check *watch);
void nsh__mutex_check_dropped(nsh_comm *comm, nsh__mutex_check *watch);

/* [non-local, by a rank that locks] This rank begins (1) or ends (-1) to wait. NSH_ERR_MPI. */
int nsh__mutex_check_wait(nsh__mutex_check *watch, int change);

/* [non-local, by a rank that waits] *pointless: the holder is in an agreement that this rank has
 * not entered, so it will not unlock before this rank enters it. NSH_ERR_MPI. */
int nsh__mutex_check_look(nsh__mutex_check *watch, bool *pointless);

#endif
