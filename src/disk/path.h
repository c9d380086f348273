/* SPDX-License-Identifier: BSD-3-Clause */
/* path.h -- where a file really is: one absolute name for as long as it is open, whatever becomes
 * of the working directory and of symbolic links meanwhile. */
#ifndef NSH_DISK_PATH_H
#define NSH_DISK_PATH_H

#include <stdbool.h>

enum { NSH__PATH = 4096 };

/* NSH_ERR_ARG: no path at all, or one too long for a working copy beside it. */
int nsh__path_check(const char *call, const char *path);

/* The absolute name of the file at path, which need not exist: links in its directory are followed,
 * and, where `follow`, the file's own, also those that lead to nothing. A path whose directory does
 * not exist stays as it is. NSH_ERR_ARG, NSH_ERR_IO (links that lead to each other). */
int nsh__path_resolve(const char *call, const char *path, bool follow, char out[NSH__PATH]);

/* The directory that the last name of path is in. */
void nsh__path_directory(const char *path, char out[NSH__PATH]);

#endif
