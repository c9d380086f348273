/* SPDX-License-Identifier: BSD-3-Clause */
/* fork.h -- was a communicator made by this process, or inherited from the one that forked it?
 *
 * A forked child has a copy of everything private and shares everything shared: it may read. It
 * must not free what its parent still has, and neither MPI nor a helper thread exists in it. A
 * handler of pthread_atfork counts forks in the child, so that a check of a communicator costs a
 * load, not a getpid. */
#ifndef NSH_BASE_FORK_H
#define NSH_BASE_FORK_H

#include <stdatomic.h>
#include <stdbool.h>

/* A descriptor whose locks belong to this process only. A child that kept it open would keep the
 * locks after this process has ended, so fork closes it in the child. */
typedef struct nsh__own_fd {
    int fd; /* -1: not open */
    struct nsh__own_fd *next;
} nsh__own_fd;

/* The number of forks from the process that loaded the library down to this one. Written in a child
 * before fork returns there, when it has one thread. */
extern atomic_uint nsh__forks;

/* A parent of this process has initialised MPI, so it cannot be used here. Written in the child by
 * the handler. */
extern bool nsh__mpi_inherited;

/* [local, any thread] Are forks counted? They are since the library was loaded; false: no memory.
 * May be called any number of times, and in the constructors of the program. */
bool nsh__fork_watch(void);

/* [local, any thread] From now on fork closes own->fd in the child, and it is -1 there. The memory
 * of own must not move until it is released. The release of one that is not guarded does
 * nothing. */
void nsh__fork_guard(nsh__own_fd *own);
void nsh__fork_release(nsh__own_fd *own);

#endif
