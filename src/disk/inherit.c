/* SPDX-License-Identifier: BSD-3-Clause */
/* inherit.c -- what a file takes over from the one that it will replace.
 *
 * Invariant: a user who could not read or write the old file cannot do so with the new one. */
#define _GNU_SOURCE
#include "disk/inherit.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/xattr.h>
#endif

/* The names of what could not be kept. */
typedef struct losses {
    char text[256];
    size_t used;
    bool list; /* among it an access control list */
} losses;

__attribute__((format(printf, 2, 3))) static void lose(losses *lost, const char *format, ...)
{
    va_list args;
    int n;

    if (lost->used >= sizeof lost->text)
        return;
    va_start(args, format);
    n = vsnprintf(lost->text + lost->used, sizeof lost->text - lost->used, format, args);
    va_end(args);
    lost->used += n > 0 ? (size_t)n : 0;
}

/* ---- owner, group, permissions ---- */

static void inherit_owner(const struct stat *old, int fd)
{
    if (fchown(fd, old->st_uid, old->st_gid) != 0)
        (void)!fchown(fd, (uid_t)-1, old->st_gid);
}

/* If the group is another than the old one, or the access control list is lost, the group gets only
 * the permissions of others: with a list, the group bits of the mode are the maximum of all its
 * entries. Set-id bits are dropped with their ids. */
static mode_t mode_to_keep(const struct stat *old, const struct stat *new, bool list_lost)
{
    mode_t mode = old->st_mode & 07777;

    if (new->st_gid != old->st_gid || list_lost)
        mode = (mode & ~(mode_t)S_IRWXG) | (mode & S_IRWXO) << 3;
    if (new->st_gid != old->st_gid)
        mode &= ~(mode_t)S_ISGID;
    if (new->st_uid != old->st_uid)
        mode &= ~(mode_t)S_ISUID;
    return mode;
}

static void inherit_mode(const struct stat *old, int fd, bool last, losses *lost)
{
    struct stat new;

    if (fstat(fd, &new) != 0)
        return;
    if (new.st_uid != old->st_uid)
        lose(lost, " owner %ld,", (long)old->st_uid);
    if (new.st_gid != old->st_gid)
        lose(lost, " group %ld,", (long)old->st_gid);
    if (fchmod(fd, mode_to_keep(old, &new, lost->list) | (last ? 0 : S_IRUSR | S_IWUSR)) != 0)
        lose(lost, " mode %03o,", (unsigned)old->st_mode & 07777);
}

/* ---- extended attributes, among them access control lists ---- */

#if defined(__linux__)

static const char access_list[] = "system.posix_acl_access";

/* Users' own attributes, access control lists of every kind, and the label of SELinux. Other
 * attributes belong to the system: a file system's layout, a signature of the contents. */
static bool is_list(const char *name)
{
    return strncmp(name, "system.", 7) == 0;
}

static bool is_heritable(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || is_list(name) || strcmp(name, "security.selinux") == 0;
}

/* The attribute in new memory; NULL: the file does not have it. */
static char *attribute_of(const char *path, const char *name, ssize_t *bytes)
{
    ssize_t n = getxattr(path, name, NULL, 0);
    char *value = n >= 0 ? malloc((size_t)n + 1) : NULL;

    *bytes = value != NULL ? getxattr(path, name, value, (size_t)n) : -1;
    if (*bytes >= 0)
        return value;
    free(value);
    return NULL;
}

static bool has_attribute(int fd, const char *name, const char *value, ssize_t bytes)
{
    char *there = malloc((size_t)bytes + 1);
    bool same = there != NULL && fgetxattr(fd, name, there, (size_t)bytes) == bytes &&
                memcmp(there, value, (size_t)bytes) == 0;

    free(there);
    return same;
}

/* A list also has the group's permissions: it is not copied if the group is another one. */
static void inherit_attribute(const char *path, const char *name, int fd, bool same_group,
                              losses *lost)
{
    ssize_t bytes;
    char *value = attribute_of(path, name, &bytes);

    if (value == NULL || (is_list(name) && !same_group) ||
        (!has_attribute(fd, name, value, bytes) &&
         fsetxattr(fd, name, value, (size_t)bytes, 0) != 0)) {
        lose(lost, " %.60s,", name);
        lost->list |= is_list(name);
    }
    free(value);
}

static void inherit_attributes(const char *path, const struct stat *old, int fd, losses *lost)
{
    ssize_t n = listxattr(path, NULL, 0);
    char *names = n > 0 ? malloc((size_t)n) : NULL;
    struct stat new;
    bool same_group = fstat(fd, &new) == 0 && new.st_gid == old->st_gid;

    n = names != NULL ? listxattr(path, names, (size_t)n) : 0;
    fremovexattr(fd, access_list); /* it may be the directory's default */
    for (const char *name = names; name != NULL && name < names + n; name += strlen(name) + 1)
        if (is_heritable(name))
            inherit_attribute(path, name, fd, same_group, lost);
    free(names);
}

#else

static void inherit_attributes(const char *path, const struct stat *old, int fd, losses *lost)
{
    (void)path;
    (void)old;
    (void)fd;
    lose(lost, " extended attributes,");
}

#endif

void nsh__inherit(const char *call, const char *path, int fd, bool last)
{
    losses lost = {.used = 0};
    struct stat old;

    if (stat(path, &old) != 0)
        return;
    (void)!fchmod(fd, S_IRUSR | S_IWUSR); /* the present mode may allow the new owner more */
    inherit_owner(&old, fd);
    inherit_attributes(path, &old, fd, &lost);
    inherit_mode(&old, fd, last, &lost); /* last, because the mode is part of an access control list
                                         */
    if (old.st_nlink > 1)
        lose(&lost, " its %lu other names (hard links have the old file),",
             (unsigned long)old.st_nlink - 1);
    if (last && lost.used > 0)
        nsh__log("%s: the new %s does not keep%.*s", call, path, (int)strlen(lost.text) - 1,
                 lost.text);
}
