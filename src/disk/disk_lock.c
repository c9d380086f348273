/* SPDX-License-Identifier: BSD-3-Clause */
/* disk_lock.c -- a lock on an open file. */
#define _GNU_SOURCE
#include "disk/disk_lock.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

/* Far from all bytes of the file. Over NFS flock(2) locks all possible bytes, this one too. */
#define LOCK_BYTE (INT64_C(1) << 60)

#ifdef F_OFD_SETLK
static int set_lock(int fd, short type)
{
    struct flock byte = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)LOCK_BYTE, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &byte);
}
#endif

nsh__disk_lock nsh__disk_lock_take(int fd)
{
#ifdef F_OFD_SETLK
    if (nsh__fault(disk_lock))
        return NSH__LOCK_NONE;
    if (set_lock(fd, F_WRLCK) == 0)
        return NSH__LOCK_HELD;
    return errno == EAGAIN || errno == EACCES ? NSH__LOCK_BUSY : NSH__LOCK_NONE;
#else
    (void)fd;
    return NSH__LOCK_NONE;
#endif
}

void nsh__disk_lock_drop(int fd)
{
#ifdef F_OFD_SETLK
    (void)!set_lock(fd, F_UNLCK);
#else
    (void)fd;
#endif
}
