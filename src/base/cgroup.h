/* SPDX-License-Identifier: BSD-3-Clause */
/* cgroup.h -- what the control groups of this process allow: memory and processor time.
 *
 * Version 2 has one hierarchy for all controllers, version 1 one for each, and a hybrid system has
 * both, with each controller in one of them. The limit of every group from the process's own up to
 * the root of the hierarchy applies. INT64_MAX means no limit. Does not use MPI. Everything here is
 * [local]. */
#ifndef NSH_BASE_CGROUP_H
#define NSH_BASE_CGROUP_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* The process's group in one hierarchy, as a directory. */
typedef struct nsh__cgroup {
    char path[PATH_MAX]; /* "": the process has no group in this hierarchy */
    size_t root;         /* this many characters of it are the mount point */
} nsh__cgroup;

typedef struct nsh__cgroups {
    nsh__cgroup unified; /* version 2 */
    nsh__cgroup memory;  /* version 1 */
    nsh__cgroup cpu;     /* version 1 */
} nsh__cgroups;

/* Find the groups of this process. proc is "/proc/self", or a directory with copies of the two
 * files that are read: mountinfo says where hierarchies are mounted, cgroup in which groups the
 * process is. */
void nsh__cgroups_find(const char *proc, nsh__cgroups *out);

/* The lowest limit of memory; and the smallest unused part of a limit. Page cache that can be
 * dropped counts as unused, although the kernel counts it as used. */
int64_t nsh__cgroups_memory(const nsh__cgroups *groups);
int64_t nsh__cgroups_memory_left(const nsh__cgroups *groups);

/* The lowest quota of processor time, in cores, rounded up. */
int64_t nsh__cgroups_cores(const nsh__cgroups *groups);

#endif
