/* SPDX-License-Identifier: BSD-3-Clause */
/* coherent.h -- file systems on which what one host writes all others see at once, so that several
 * hosts may write one file at the same time. */
#ifndef NSH_DISK_COHERENT_H
#define NSH_DISK_COHERENT_H

#include <stdbool.h>

/* [local] Is the file at path, or its directory if the file does not exist, on such a file system?
 * If not, one log line with the name of the public call names the file system. Called by the I/O
 * rank. */
bool nsh__coherent(const char *call, const char *path);

/* [local] Is the open file on a file system of this host alone? Then all processes that can open it
 * see its locks, which do not conflict with flock(2). On others some locks are seen on their host
 * only, and some conflict with flock(2). */
bool nsh__of_this_host(int fd);

#endif
