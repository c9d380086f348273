/* SPDX-License-Identifier: BSD-3-Clause */
/* coherent.c -- file systems on which what one host writes all others see at once.
 *
 * Invariant: an unknown file system is not trusted. NFS, SMB, 9p, AFS and FUSE file systems keep
 * pages on each client, which may write back or show old bytes of a page that another client has
 * changed. */
#define _GNU_SOURCE
#include "disk/coherent.h"

#include "base/error.h"
#include "disk/path.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#if defined(__linux__)

#include <sys/vfs.h>

/* Their numbers in fstatfs(2). */
static const uint32_t local[] = {
    /* file systems of one host, which has all pages */
    0xEF53,     /* ext2, ext3, ext4 */
    0x58465342, /* XFS */
    0x9123683E, /* btrfs */
    0x01021994, /* tmpfs */
    0x858458F6, /* ramfs */
    0x794C7630, /* overlayfs */
    0x2FC12FC1, /* ZFS */
    0xF2F52010, /* F2FS */
    0xCA451A4E, /* bcachefs */
    0x3153464A, /* JFS */
    0x52654973, /* reiserfs */
};
static const uint32_t shared[] = {
    /* file systems of several hosts, with locks or tokens for pages */
    0x0BD00BD0, /* Lustre */
    0x47504653, /* GPFS, Spectrum Scale */
    0x01161970, /* GFS2 */
    0x7461636F, /* OCFS2 */
    0x00C36400, /* Ceph */
};

static bool is_in(const uint32_t list[], size_t bytes, uint32_t type)
{
    for (size_t i = 0; i < bytes / sizeof list[0]; i++)
        if (list[i] == type)
            return true;
    return false;
}

static bool is_known(uint32_t type)
{
    return is_in(local, sizeof local, type) || is_in(shared, sizeof shared, type);
}

bool nsh__of_this_host(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && is_in(local, sizeof local, (uint32_t)fs.f_type);
}

bool nsh__coherent(const char *call, const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    char directory[NSH__PATH];
    struct statfs fs;
    bool good;

    if (fd < 0) {
        nsh__path_directory(path, directory);
        fd = open(directory, O_PATH | O_CLOEXEC);
    }
    if (fd < 0)
        return false;
    good = fstatfs(fd, &fs) == 0;
    close(fd);
    if (good && !is_known((uint32_t)fs.f_type)) {
        nsh__log("%s: %s is on a file system of type 0x%lx, where hosts may not see each other's "
                 "changes at once: one node writes",
                 call, path, (unsigned long)(uint32_t)fs.f_type);
        good = false;
    }
    return good;
}

#else

bool nsh__coherent(const char *call, const char *path)
{
    nsh__log("%s: nothing is known of the file system of %s: one node writes", call, path);
    return false;
}

bool nsh__of_this_host(int fd)
{
    (void)fd;
    return false;
}

#endif
