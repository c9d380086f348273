/* SPDX-License-Identifier: BSD-3-Clause */
/* path.c -- where a file is. */
#define _GNU_SOURCE
#include "disk/path.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LONGEST = NSH__PATH - 128, /* bytes: a working copy has a longer name */
    LINKS = 40                 /* as many links are followed as Linux does */
};

int nsh__path_check(const char *call, const char *path)
{
    if (path[0] == '\0' || strlen(path) > LONGEST)
        return nsh__fail(NSH_ERR_ARG, "%s: path of %zu bytes; at least 1 and at most %d", call,
                         strlen(path), LONGEST);
    return NSH_SUCCESS;
}

void nsh__path_directory(const char *path, char out[NSH__PATH])
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(out, NSH__PATH, ".");
    else
        snprintf(out, NSH__PATH, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* The absolute directory of path, and its last name. */
static int make_absolute(const char *call, const char *path, char out[NSH__PATH])
{
    const char *slash = strrchr(path, '/'), *last = slash != NULL ? slash + 1 : path;
    char directory[NSH__PATH], *real;
    int n;

    nsh__path_directory(path, directory);
    real = realpath(directory, NULL);
    if (real != NULL)
        n = snprintf(out, NSH__PATH, "%s/%s", strcmp(real, "/") == 0 ? "" : real, last);
    else
        n = snprintf(out, NSH__PATH, "%s", path);
    free(real);
    if (n > LONGEST)
        return nsh__fail(NSH_ERR_ARG, "%s: %.120s has an absolute path of %d bytes, more than %d",
                         call, path, n, LONGEST);
    return NSH_SUCCESS;
}

/* Replace path, a link with this text, by the path to which it leads. */
static int follow_link(const char *call, const char *text, char path[NSH__PATH])
{
    char directory[NSH__PATH], next[2 * NSH__PATH + 2];

    nsh__path_directory(path, directory);
    snprintf(next, sizeof next, "%s%s%s", text[0] == '/' ? "" : directory,
             text[0] == '/' ? "" : "/", text);
    if (strlen(next) > LONGEST)
        return nsh__fail(NSH_ERR_ARG, "%s: %.120s is a link to a path of %zu bytes", call, path,
                         strlen(next));
    return make_absolute(call, next, path);
}

int nsh__path_resolve(const char *call, const char *path, bool follow, char out[NSH__PATH])
{
    char text[NSH__PATH];
    ssize_t n = 0;
    int rc = nsh__path_check(call, path);

    if (rc == NSH_SUCCESS)
        rc = make_absolute(call, path, out);
    for (int links = 0; follow && rc == NSH_SUCCESS; links++) {
        n = readlink(out, text, sizeof text - 1);
        if (n < 0)
            return NSH_SUCCESS; /* it is not a link, or does not exist */
        if (links == LINKS)
            return nsh__fail(NSH_ERR_IO, "%s: cannot open %.120s: %s", call, path, strerror(ELOOP));
        text[n] = '\0';
        rc = follow_link(call, text, out);
    }
    return rc;
}
