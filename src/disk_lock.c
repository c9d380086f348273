/* SPDX-License-Identifier: BSD-3-Clause */
/* disk_lock.c -- a lock on an open file. */
#define _GNU_SOURCE
#include "disk_lock.h"

#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__linux__)
#include <sys/vfs.h>
#endif

/* Far from all bytes that HDF5 or anyone locks. */
#define LOCK_BYTE (INT64_C(1) << 60)

#ifdef F_OFD_SETLK
static int set(int fd, short type)
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
    if (set(fd, F_WRLCK) == 0)
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
    (void)!set(fd, F_UNLCK);
#else
    (void)fd;
#endif
}

bool nsh__disk_is_local(int fd)
{
#if defined(__linux__)
    static const uint32_t local[] = {
        0xEF53,     /* ext2, ext3, ext4 */
        0x58465342, /* XFS */
        0x9123683E, /* btrfs */
        0xCA451A4E, /* bcachefs */
        0x2FC12FC1, /* ZFS */
        0xF2F52010, /* F2FS */
        0x3153464A, /* JFS */
        0x01021994, /* tmpfs */
        0x858458F6, /* ramfs */
        0x794C7630, /* overlayfs */
        0x4D44,     /* FAT */
        0x2011BAB0, /* exFAT */
    };
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        if ((uint32_t)fs.f_type == local[i])
            return true;
#else
    (void)fd;
#endif
    return false; /* who knows */
}
