/* SPDX-License-Identifier: BSD-3-Clause */
/* inherit.h -- what a file takes over from the one that it will replace: owner, group, permissions,
 * access control lists and the users' extended attributes. */
#ifndef NSH_DISK_INHERIT_H
#define NSH_DISK_INHERIT_H

#include <stdbool.h>

/* [local] Called by the I/O rank: copy these from the file at path, if it exists, to the open file
 * fd. `last` false: fd is still being written, so its owner may always read and write it. `last`
 * true: the result is final, and one log line with the name of the public call says what could not
 * be kept. */
void nsh__inherit(const char *call, const char *path, int fd, bool last);

#endif
