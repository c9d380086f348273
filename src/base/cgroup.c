/* SPDX-License-Identifier: BSD-3-Clause */
/* cgroup.c -- what the control groups of this process allow: memory and processor time.
 *
 * Invariant: a file that is missing or contains something else than a number sets no limit. */
#define _GNU_SOURCE
#include "base/cgroup.h"

#include "base/math.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- find ---- */

/* Does the comma-separated list contain word? */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

/* Decode a path in place: the kernel writes a space as \040, and so on. */
static void unescape(char *path)
{
    char *out = path;

    for (const char *in = path; *in != '\0'; out++) {
        unsigned code;

        if (in[0] == '\\' && sscanf(in + 1, "%3o", &code) == 1) {
            *out = (char)code;
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* Find the group that proc/cgroup names for a controller of version 1, or for version 2 (controller
 * NULL). */
static bool group_name(const char *proc, const char *controller, char name[PATH_MAX])
{
    char path[PATH_MAX], line[2 * PATH_MAX];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof path, "%s/cgroup", proc);
    f = fopen(path, "r");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        controllers++;
        found = controller != NULL ? has_word(controllers, controller) : controllers[0] == '\0';
        if (found)
            snprintf(name, PATH_MAX, "%s", group);
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* A line of mountinfo: "36 35 98:0 ROOT POINT OPTIONS [FIELDS] - TYPE SOURCE SUPEROPTIONS". */
typedef struct mount {
    char *root, *point, *type, *options;
} mount;

static bool parse_mount(char *line, mount *m)
{
    char *save = NULL, *word = strtok_r(line, " \n", &save);

    *m = (mount){NULL, NULL, NULL, NULL};
    for (int i = 0; word != NULL && strcmp(word, "-") != 0; i++) {
        if (i == 3)
            m->root = word;
        if (i == 4)
            m->point = word;
        word = strtok_r(NULL, " \n", &save);
    }
    m->type = strtok_r(NULL, " \n", &save);
    strtok_r(NULL, " \n", &save); /* the source */
    m->options = strtok_r(NULL, " \n", &save);
    return m->point != NULL && m->options != NULL;
}

static bool is_mount_of(const mount *m, const char *controller)
{
    if (controller == NULL)
        return strcmp(m->type, "cgroup2") == 0;
    return strcmp(m->type, "cgroup") == 0 && has_word(m->options, controller);
}

/* The part of the group's name below the root of the mount; NULL: the group is outside this
 * mount. */
static const char *below(const char *name, const char *root)
{
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(name, root, n) != 0 || (name[n] != '/' && name[n] != '\0') ||
        strstr(name + n, "/..") != NULL)
        return NULL;
    return strcmp(name + n, "/") == 0 ? "" : name + n;
}

/* Find the first mount of the hierarchy that contains the group. In a container the names may be
 * those of the host, which are not mounted: then the root of the first mount counts as the
 * group. */
static void find_cgroup(const char *proc, const char *controller, nsh__cgroup *out)
{
    char path[PATH_MAX], name[PATH_MAX], line[4 * PATH_MAX];
    bool inside = false;
    mount m;
    FILE *f;

    out->path[0] = '\0';
    out->root = 0;
    if (!group_name(proc, controller, name))
        return;
    snprintf(path, sizeof path, "%s/mountinfo", proc);
    f = fopen(path, "r");
    while (f != NULL && !inside && fgets(line, sizeof line, f) != NULL) {
        const char *rest;

        if (!parse_mount(line, &m) || !is_mount_of(&m, controller))
            continue;
        unescape(m.root);
        unescape(m.point);
        rest = below(name, m.root);
        inside = rest != NULL;
        if (!inside && out->path[0] != '\0')
            continue;
        if (snprintf(out->path, sizeof out->path, "%s%s", m.point, inside ? rest : "") >=
            (int)sizeof out->path)
            out->path[0] = '\0';
        else
            out->root = strlen(m.point);
    }
    if (f != NULL)
        fclose(f);
}

void nsh__cgroups_find(const char *proc, nsh__cgroups *out)
{
    find_cgroup(proc, NULL, &out->unified);
    find_cgroup(proc, "memory", &out->memory);
    find_cgroup(proc, "cpu", &out->cpu);
}

/* ---- read ---- */

/* Go from a group to its parent; false at the mount point. */
static bool go_up(nsh__cgroup *group)
{
    char *slash = strrchr(group->path, '/');

    if (slash == NULL || strlen(group->path) <= group->root)
        return false;
    *slash = '\0';
    return true;
}

static FILE *open_cgroup_file(const nsh__cgroup *group, const char *file)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%s/%s", group->path, file);
    return fopen(path, "r");
}

/* Read up to two numbers at the beginning of a file. Returns how many were read. */
static int read_cgroup_numbers(const nsh__cgroup *group, const char *file, int64_t *a, int64_t *b)
{
    FILE *f = open_cgroup_file(group, file);
    long long x = 0, y = 0;
    int n = f != NULL ? fscanf(f, "%lld %lld", &x, &y) : 0;

    if (f != NULL)
        fclose(f);
    *a = x;
    *b = y;
    return n > 0 ? n : 0;
}

static bool read_cgroup_number(const nsh__cgroup *group, const char *file, int64_t *out)
{
    int64_t value, none;
    bool ok = read_cgroup_numbers(group, file, &value, &none) >= 1;

    if (ok)
        *out = value;
    return ok;
}

/* The names of the same values in the two versions. Those of memory.stat include the groups
 * below. */
typedef struct names {
    const char *limit, *used;
    const char *inactive, *active, *cache, *shmem;
} names;

static const names unified_names = {"memory.max",  "memory.current", "inactive_file",
                                    "active_file", "file",           "shmem"};
static const names memory_names = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file",   "total_active_file",
                                   "total_cache",           "total_shmem"};

/* Page cache of the group that the kernel drops before it refuses memory. Shared memory counts as
 * cache too, but cannot be dropped. */
static int64_t droppable(const nsh__cgroup *group, const names *n)
{
    FILE *f = open_cgroup_file(group, "memory.stat");
    int64_t inactive = 0, active = 0, cache = INT64_MAX, shmem = 0;
    char line[256], name[128];
    long long value;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%127s %lld", name, &value) != 2 || value < 0)
            continue;
        if (strcmp(name, n->inactive) == 0)
            inactive = value;
        else if (strcmp(name, n->active) == 0)
            active = value;
        else if (strcmp(name, n->cache) == 0)
            cache = value;
        else if (strcmp(name, n->shmem) == 0)
            shmem = value;
    }
    if (f != NULL)
        fclose(f);
    cache = cache > shmem ? cache - shmem : 0;
    return nsh__min(inactive + active, cache);
}

static int64_t limit_of(nsh__cgroup group, const names *n)
{
    int64_t limit = INT64_MAX, value;

    if (group.path[0] == '\0')
        return limit;
    do
        if (read_cgroup_number(&group, n->limit, &value))
            limit = nsh__min(limit, value);
    while (go_up(&group));
    return limit;
}

static int64_t left_of(nsh__cgroup group, const names *n)
{
    int64_t left = INT64_MAX, limit, used;

    if (group.path[0] == '\0')
        return left;
    do
        if (read_cgroup_number(&group, n->limit, &limit) &&
            read_cgroup_number(&group, n->used, &used)) {
            used -= nsh__min(used, droppable(&group, n));
            left = nsh__min(left, limit > used ? limit - used : 0);
        }
    while (go_up(&group));
    return left;
}

int64_t nsh__cgroups_memory(const nsh__cgroups *groups)
{
    return nsh__min(limit_of(groups->unified, &unified_names),
                    limit_of(groups->memory, &memory_names));
}

int64_t nsh__cgroups_memory_left(const nsh__cgroups *groups)
{
    return nsh__min(left_of(groups->unified, &unified_names),
                    left_of(groups->memory, &memory_names));
}

/* ---- processor time ---- */

static int64_t cores_of_quota(int64_t quota, int64_t period)
{
    return quota > 0 && period > 0 ? (quota - 1) / period + 1 : INT64_MAX;
}

int64_t nsh__cgroups_cores(const nsh__cgroups *groups)
{
    int64_t cores = INT64_MAX, quota, period;
    nsh__cgroup group = groups->unified;

    if (group.path[0] != '\0')
        do
            if (read_cgroup_numbers(&group, "cpu.max", &quota, &period) == 2)
                cores = nsh__min(cores, cores_of_quota(quota, period));
        while (go_up(&group));
    group = groups->cpu;
    if (group.path[0] != '\0')
        do
            if (read_cgroup_number(&group, "cpu.cfs_quota_us", &quota) &&
                read_cgroup_number(&group, "cpu.cfs_period_us", &period))
                cores = nsh__min(cores, cores_of_quota(quota, period));
        while (go_up(&group));
    return cores;
}
