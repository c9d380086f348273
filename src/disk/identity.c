/* SPDX-License-Identifier: BSD-3-Clause */
/* identity.c -- which file a rank has open. */
#define _GNU_SOURCE
#include "disk/identity.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 96 }; /* no version of HDF5's superblock has more bytes */

static int64_t mtime_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int nsh__identity_of(const char *call, const char *path, int fd, nsh__identity *out)
{
    unsigned char head[HEAD];
    struct stat st;
    ssize_t n = -1;

    if (fstat(fd, &st) == 0 && !nsh__fault(disk_identity))
        n = pread(fd, head, sizeof head, 0);
    if (n < 0)
        return nsh__fail(NSH_ERR_IO, "%s: cannot look at %.120s: %s", call, path,
                         strerror(errno != 0 ? errno : EIO));
    *out = (nsh__identity){.host = nsh__machine_host(),
                           .device = (uint64_t)st.st_dev,
                           .inode = (uint64_t)st.st_ino,
                           .bytes = (int64_t)st.st_size,
                           .mtime = mtime_of(&st),
                           .head = nsh__mix_bytes(1, head, (size_t)n)};
    return NSH_SUCCESS;
}

bool nsh__identity_same(const nsh__identity *a, const nsh__identity *b)
{
    bool changing = a->mtime == 0 || b->mtime == 0;

    if (a->inode != b->inode)
        return false;
    if (a->host == b->host)
        return a->device == b->device;
    return a->bytes == b->bytes && a->head == b->head && (changing || a->mtime == b->mtime);
}

int nsh__identity_still(const char *call, const char *path, const nsh__identity *known,
                        bool written, bool *gone)
{
    struct stat st;

    *gone = stat(path, &st) != 0;
    if (*gone && errno == ENOENT)
        return NSH_SUCCESS;
    if (*gone)
        return nsh__fail(NSH_ERR_IO, "%s: cannot look at %.120s: %s", call, path, strerror(errno));
    if ((uint64_t)st.st_dev != known->device || (uint64_t)st.st_ino != known->inode)
        return nsh__fail(NSH_ERR_STATE,
                         "%s: %.120s has been replaced since this handle opened or committed it",
                         call, path);
    if (!written && (mtime_of(&st) != known->mtime || (int64_t)st.st_size != known->bytes))
        return nsh__fail(NSH_ERR_STATE,
                         "%s: another program has written to %.120s since this handle opened or "
                         "committed it",
                         call, path);
    return NSH_SUCCESS;
}
