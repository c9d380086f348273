/* SPDX-License-Identifier: BSD-3-Clause */
/* disk.h -- files as POSIX knows them: whole reads and writes, hyperslabs of bytes, and the life of
 * a working copy beside its target until it takes the target's place.
 *
 * All functions are [local] and may be called by any rank and thread; those for working copies and
 * for targets that are changed are called by the I/O rank alone. They return a status; the detail
 * of a failure has the name of the public call, the path and the system's reason. A write beyond
 * RLIMIT_FSIZE is such a failure: inside a guard SIGXFSZ is blocked, and one that was raised there
 * is removed at its end. Guards nest. */
#ifndef NSH_DISK_DISK_H
#define NSH_DISK_DISK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hyperslab.h"
#include "disk/path.h"

typedef struct nsh__disk_guard {
    sigset_t mask;
    bool pending; /* SIGXFSZ had been raised before */
} nsh__disk_guard;

void nsh__disk_guard_begin(nsh__disk_guard *guard);
void nsh__disk_guard_end(const nsh__disk_guard *guard);

/* ---- reading and writing ---- */

/* Open a file. NSH_ERR_NOT_FOUND, NSH_ERR_IO (also: not a regular file). */
int nsh__disk_open(const char *call, const char *path, bool write, int *fd);

/* Copy the bytes [from, from + n) of a hyperslab between memory and the slab `in_file`, whose base
 * is byte `at` of the file; a file that ends too early is NSH_ERR_FORMAT. */
int nsh__disk_write(const char *call, const char *path, int fd, int64_t at,
                    const nsh__slab *in_file, const char *base, const nsh__slab *in_memory,
                    int64_t from, int64_t n);
int nsh__disk_read(const char *call, const char *path, int fd, int64_t at, const nsh__slab *in_file,
                   char *base, const nsh__slab *in_memory, int64_t from, int64_t n);

/* Write n zeros from byte `at` on. */
int nsh__disk_zero(const char *call, const char *path, int fd, int64_t at, int64_t n);

int nsh__disk_sync(const char *call, const char *path, int fd);

/* Put the names in the directory of path, which has the open file, on the disk, if the file system
 * can do that. */
int nsh__disk_sync_directory(const char *call, const char *path, int fd);

/* ---- working copies ---- */

/* Open a target and lock it, so that no other handle changes it until it, or a working copy that
 * has replaced it, is closed. NSH_ERR_BUSY: another handle has the lock; NSH_ERR_NOT_FOUND,
 * NSH_ERR_IO. If it cannot be locked, the log says so. */
int nsh__disk_open_locked(const char *call, const char *path, int *fd);

/* Can the file be read or, if `write` is true, changed or replaced? NSH_SUCCESS, NSH_ERR_NOT_FOUND,
 * or another reason why not. NSH_ERR_EXISTS: it is a link that was not followed and whose target
 * does not exist. */
int nsh__disk_look(const char *call, const char *path, bool write);

/* Could a working copy replace the file at path, as far as can be told beforehand? NSH_ERR_IO if
 * not. */
int nsh__disk_replaceable(const char *call, const char *path);

/* Make an empty working copy beside path, with the target's owner and permissions, and a lock that
 * shows that it is in use; remove working copies that no process uses any more. */
int nsh__disk_work(const char *call, const char *path, char work[NSH__PATH], int *fd);

/* Copy the whole file of descriptor `from` into the working copy. */
int nsh__disk_fill(const char *call, int from, const char *work, int fd);

/* Rename the working copy, which is on disk and open as fd, to the target; new: the target must not
 * exist (NSH_ERR_EXISTS). */
int nsh__disk_replace(const char *call, const char *work, int fd, const char *path, bool new);

#endif
