/* SPDX-License-Identifier: BSD-3-Clause */
/* path.h -- where a file is: one absolute name for as long as it is open, even if the working
 * directory or symbolic links change. All functions are [local], and may be called by any rank. */
#ifndef NSH_DISK_PATH_H
#define NSH_DISK_PATH_H

#include <stdbool.h>

enum { NSH__PATH = 4096 };

/* NSH_ERR_ARG: the path is empty, or too long for a working copy beside it. */
int nsh__path_check(const char *call, const char *path);

/* The absolute name of the file at path, which need not exist: links in its directory are followed
 * and, if `follow` is true, those of the file itself, also if their target does not exist. A path
 * whose directory does not exist stays as it is. NSH_ERR_ARG, NSH_ERR_IO (links that lead to each
 * other). */
int nsh__path_resolve(const char *call, const char *path, bool follow, char out[NSH__PATH]);

/* The directory of the last name of path. */
void nsh__path_directory(const char *path, char out[NSH__PATH]);

#endif
