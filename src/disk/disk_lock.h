/* SPDX-License-Identifier: BSD-3-Clause */
/* disk_lock.h -- a lock on an open file, which the kernel drops with the last descriptor: whatever
 * ends the process, nobody is locked out by a dead one.
 *
 * It is a lock on one byte that no file has (an open file description lock of fcntl(2)). On local
 * file systems it is apart from flock(2), which HDF5 uses: whoever reads the file is not kept out.
 * All functions are [local]. */
#ifndef NSH_DISK_DISK_LOCK_H
#define NSH_DISK_DISK_LOCK_H

typedef enum nsh__disk_lock {
    NSH__LOCK_HELD, /* by this descriptor, now or before */
    NSH__LOCK_BUSY, /* by another one */
    NSH__LOCK_NONE  /* there are no locks here, and nobody can tell */
} nsh__disk_lock;

nsh__disk_lock nsh__disk_lock_take(int fd);
void nsh__disk_lock_drop(int fd);

#endif
