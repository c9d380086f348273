/* SPDX-License-Identifier: BSD-3-Clause */
/* fork.h -- was a communicator made by this process, or inherited from the one that forked it?
 *
 * A forked child has a copy of everything private and shares everything shared: it may read. What
 * it would free, its parent still has; and neither MPI nor a helper thread came along. A handler of
 * pthread_atfork counts in the child, so that a look at a communicator costs a load, not a getpid.
 */
#ifndef NSH_BASE_FORK_H
#define NSH_BASE_FORK_H

#include <stdatomic.h>
#include <stdbool.h>

/* A descriptor whose locks are this process's alone. A child that kept it would keep the locks when
 * this process is gone, so fork closes it in the child. */
typedef struct nsh__own_fd {
    int fd; /* -1: not open */
    struct nsh__own_fd *next;
} nsh__own_fd;

/* How many forks lead to this process since it, or an ancestor, made its first communicator.
 * Written in a child before fork returns there, when it has one thread. */
extern atomic_uint nsh__forks;

/* MPI was initialised by a parent of this process, and is of no use here. Written by fork
 * itself. */
extern bool nsh__mpi_inherited;

/* [local] Count forks from now on; false: no memory. Any number of times. */
bool nsh__fork_watch(void);

/* [local] From now on fork closes own->fd in the child, and it is -1 there. The memory of own must
 * not move until it is released. To release one that is not guarded does nothing. */
void nsh__fork_guard(nsh__own_fd *own);
void nsh__fork_release(nsh__own_fd *own);

#endif
