/* SPDX-License-Identifier: BSD-3-Clause */
/* disk.h -- files as POSIX knows them: whole reads and writes, hyperslabs of bytes, and the life of
 * a working copy beside its target until it takes the target's place.
 *
 * All functions are [local], return a status and word a failure with the name of the public call,
 * the path and the system's reason. A write beyond RLIMIT_FSIZE is such a failure: inside a guard
 * SIGXFSZ is blocked, and taken back where it was raised. Guards nest. */
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

/* An open descriptor. NSH_ERR_NOT_FOUND, NSH_ERR_IO (also: not a regular file). */
int nsh__disk_open(const char *call, const char *path, bool write, int *fd);

/* Stream bytes [from, from + n) between memory and the slab `in_file`, whose base address is the
 * file's byte `at`; a file that ends too early is NSH_ERR_FORMAT. */
int nsh__disk_write(const char *call, const char *path, int fd, int64_t at,
                    const nsh__slab *in_file, const char *base, const nsh__slab *in_memory,
                    int64_t from, int64_t n);
int nsh__disk_read(const char *call, const char *path, int fd, int64_t at, const nsh__slab *in_file,
                   char *base, const nsh__slab *in_memory, int64_t from, int64_t n);

/* Zeros from byte `at` on. */
int nsh__disk_zero(const char *call, const char *path, int fd, int64_t at, int64_t n);

int nsh__disk_sync(const char *call, const char *path, int fd);

/* The names in the directory of path, where the open file is, are on the disk, if the file system
 * can do that. */
int nsh__disk_sync_directory(const char *call, const char *path, int fd);

/* ---- working copies ---- */

/* Open a target that this handle alone will change, until it is closed, or until a working copy
 * that took its place is. NSH_ERR_BUSY: another handle has it; NSH_ERR_NOT_FOUND, NSH_ERR_IO. Where
 * no lock can tell, the log says so. */
int nsh__disk_open_locked(const char *call, const char *path, int *fd);

/* NSH_SUCCESS, NSH_ERR_NOT_FOUND or what else is wrong with a file to be read or, where `write`, to
 * be changed or replaced. NSH_ERR_EXISTS: a link that was not followed, and leads to nothing. */
int nsh__disk_look(const char *call, const char *path, bool write);

/* Could a working copy take the place of the file at path, as far as can be told before it tries?
 * NSH_ERR_IO. */
int nsh__disk_replaceable(const char *call, const char *path);

/* Make an empty working copy beside path, with a lock that says that it is in use, and the target's
 * owner and permissions; remove those that nobody uses any more. */
int nsh__disk_work(const char *call, const char *path, char work[NSH__PATH], int *fd);

/* Everything of the file behind the descriptor `from` into the working copy. */
int nsh__disk_fill(const char *call, int from, const char *work, int fd);

/* The working copy, which is on disk and open as fd, becomes the target; new: there must be none
 * (NSH_ERR_EXISTS). */
int nsh__disk_replace(const char *call, const char *work, int fd, const char *path, bool new);

#endif
