/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex_check.h -- under NSH_CHECK=1: a mutex whose holder is in a collective call while a rank
 * waits for it is diagnosed. Without a diagnosis both wait permanently.
 *
 * A word of each mutex says which agreement its holder is in and how many ranks wait in lock:
 *
 *   word = sequence << WAITING_BITS | waiting     sequence: number of the agreement; 0: none
 *
 * The holder adds the sequence as it enters an agreement and takes it away as it leaves; a rank
 * that locks adds 1 before it waits and takes it away after. Each of these read-modify-writes
 * returns what the other side has set, and both are seq_cst on one word, so at least one of the two
 * sees the other. The holder brings NSH_ERR_STATE to the agreement. The rank that waits looks again
 * now and then, and gives up if the holder is in an agreement that this rank has not entered. */
#ifndef NSH_SYNC_MUTEX_CHECK_H
#define NSH_SYNC_MUTEX_CHECK_H

#include "core/agree.h"
#include "sync/cell.h"

typedef struct nsh__mutex_check {
    nsh__cell cell;
    const char *name;         /* of the mutex; NULL: none */
    uint64_t entered;         /* the sequence that this rank has added; 0: none */
    nsh__agreement_hook hook; /* on the communicator while this rank holds the mutex */
} nsh__mutex_check;

/* [local] This rank holds the mutex: around each agreement it says so, and brings NSH_ERR_STATE to
 * one if it has brought success and a rank waits. Then: it does not any more. */
void nsh__mutex_check_held(nsh_comm *comm, nsh__mutex_check *watch);
void nsh__mutex_check_dropped(nsh_comm *comm, nsh__mutex_check *watch);

/* [non-local] This rank begins (1) or ends (-1) to wait in lock. NSH_ERR_MPI. */
int nsh__mutex_check_wait(nsh__mutex_check *watch, int change);

/* [non-local] *pointless: the holder is in an agreement that this rank has not entered, so it will
 * not unlock before. NSH_ERR_MPI. */
int nsh__mutex_check_look(nsh__mutex_check *watch, bool *pointless);

#endif
