/* SPDX-License-Identifier: BSD-3-Clause */
/* coherent.h -- file systems on which what one host writes all others see at once, so that several
 * hosts may write one file at the same time. */
#ifndef NSH_DISK_COHERENT_H
#define NSH_DISK_COHERENT_H

#include <stdbool.h>

/* [local] Is the file at path, or if there is none its directory, on one that is known to be so?
 * Where not, one log line in the name of the public call says which it is. */
bool nsh__coherent(const char *call, const char *path);

/* [local] Is the open file on a file system of this host alone? Then its locks are known to all who
 * can open it, and are apart from those of flock(2). On others some locks stay on their host, and
 * some shut out flock(2) too. */
bool nsh__of_this_host(int fd);

#endif
