/* SPDX-License-Identifier: BSD-3-Clause */
/* rival.h -- the locks with which ours is compared, behind one interface. acquire and release are
 * [non-local], rival_name is [local]. */
#ifndef NSH_TOOL_RIVAL_H
#define NSH_TOOL_RIVAL_H

#include <nodeshare.h>

typedef struct rival rival;

/* [collective] The lock of MPI itself: MPI_Win_lock(EXCLUSIVE) on a window of 8 bytes with rank
 * home, and MPI_Win_unlock. */
rival *rival_win_lock(int home);

/* [collective] The queue lock as textbooks write it over MPI: Mellor-Crummey and Scott's, its words
 * in a window (MPI_Win_allocate), the tail with rank home, handed on by a message that the next
 * rank awaits in MPI_Recv. (Gropp, Hoefler, Thakur and Lusk, "Using Advanced MPI", MIT Press 2014,
 * chapter 4.) NULL with an MPI that crashes in it. */
rival *rival_mcs(int home);

/* [collective] pthread_mutex_t, PTHREAD_PROCESS_SHARED, in the memory of one node; NULL on several.
 */
rival *rival_pthread(nsh_comm *comm);

const char *rival_name(const rival *lock);
void rival_acquire(rival *lock);
void rival_release(rival *lock);
void rival_free(rival *lock); /* [collective] */

#endif
