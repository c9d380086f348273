/* SPDX-License-Identifier: BSD-3-Clause */
/* inherit.h -- what a file takes over from the one that it will replace: owner, group, permissions,
 * access control lists and the users' extended attributes. */
#ifndef NSH_DISK_INHERIT_H
#define NSH_DISK_INHERIT_H

#include <stdbool.h>

/* [local] From the file at path, if there is one, to the open file fd. `last` false: fd is still
 * worked on, so its owner may read and write it, whatever else is taken over. `last` true: this is
 * what will stay, and one log line in the name of the public call says what could not be kept. */
void nsh__inherit(const char *call, const char *path, int fd, bool last);

#endif
