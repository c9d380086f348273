/* SPDX-License-Identifier: BSD-3-Clause */
/* disk_lock.h -- a lock on an open file, which the kernel drops with the last descriptor: the lock
 * of a process that has ended, for any reason, is gone.
 *
 * It is a lock on one byte that no file has (an open file description lock of fcntl(2)). On local
 * file systems it does not conflict with flock(2), which HDF5 uses: programs that read the file are
 * not kept out. All functions are [local], and may be called by any rank. */
#ifndef NSH_DISK_DISK_LOCK_H
#define NSH_DISK_DISK_LOCK_H

typedef enum nsh__disk_lock {
    NSH__LOCK_HELD, /* by this descriptor, now or before */
    NSH__LOCK_BUSY, /* by another one */
    NSH__LOCK_NONE  /* the file system has no locks */
} nsh__disk_lock;

nsh__disk_lock nsh__disk_lock_take(int fd);
void nsh__disk_lock_drop(int fd);

#endif
