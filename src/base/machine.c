/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.c -- what this machine and its administrator allow.
 *
 * Invariant: a limit that cannot be read counts as no limit. */
#define _GNU_SOURCE
#include "base/machine.h"

#include "base/cgroup.h"
#include "base/hash.h"
#include "base/math.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Read the first line of a file; false: no such file, or it is empty. */
static bool read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "r");
    bool ok = f != NULL && fgets(line, size, f) != NULL;

    if (f != NULL)
        fclose(f);
    return ok;
}

static bool read_number_file(const char *path, int64_t *out)
{
    char line[64];
    long long value;

    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &value) != 1)
        return false;
    *out = value;
    return true;
}

int64_t nsh__machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    int64_t limit = pages > 0 ? (int64_t)pages * sysconf(_SC_PAGESIZE) : INT64_MAX;
    nsh__cgroups groups;

    nsh__cgroups_find("/proc/self", &groups);
    return nsh__min(limit, nsh__cgroups_memory(&groups));
}

int64_t nsh__machine_memory_left(void)
{
    int64_t left = INT64_MAX;
    nsh__cgroups groups;
    char line[128];
    long long kib;
    FILE *f = fopen("/proc/meminfo", "r");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            left = (int64_t)kib * 1024;
    if (f != NULL)
        fclose(f);
    nsh__cgroups_find("/proc/self", &groups);
    return nsh__min(left, nsh__cgroups_memory_left(&groups));
}

int64_t nsh__machine_shm(bool free)
{
    struct statvfs fs;

    if (statvfs("/dev/shm", &fs) != 0 || fs.f_blocks == 0) /* 0 blocks: mounted without a limit */
        return INT64_MAX;
    return (int64_t)(free ? fs.f_bavail : fs.f_blocks) * (int64_t)fs.f_frsize;
}

int64_t nsh__machine_address_space(void)
{
    struct rlimit limit;
    int64_t mapped;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return INT64_MAX;
    if (!read_number_file("/proc/self/statm", &mapped))
        mapped = 0;
    mapped *= sysconf(_SC_PAGESIZE);
    return (int64_t)limit.rlim_cur > mapped ? (int64_t)limit.rlim_cur - mapped : 0;
}

int64_t nsh__machine_file_size(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return INT64_MAX;
    return nsh__min(INT64_MAX, (int64_t)limit.rlim_cur);
}

void nsh__machine_affinity(unsigned char mask[NSH__AFFINITY_BYTES])
{
    memset(mask, 0, NSH__AFFINITY_BYTES);
#if defined(__linux__)
    if (sched_getaffinity(0, NSH__AFFINITY_BYTES, (cpu_set_t *)mask) == 0)
        return;
#endif
    for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN) && i < NSH__AFFINITY_BYTES * 8; i++)
        mask[i / 8] |= (unsigned char)(1u << i % 8);
}

void nsh__machine_bind(const unsigned char mask[NSH__AFFINITY_BYTES])
{
#if defined(__linux__)
    (void)!sched_setaffinity(0, NSH__AFFINITY_BYTES, (const cpu_set_t *)(const void *)mask);
#else
    (void)mask;
#endif
}

int nsh__machine_cores(const unsigned char mask[NSH__AFFINITY_BYTES])
{
    nsh__cgroups groups;
    int cores = 0;

    for (int i = 0; i < NSH__AFFINITY_BYTES; i++)
        cores += __builtin_popcount(mask[i]);
    nsh__cgroups_find("/proc/self", &groups);
    cores = (int)nsh__min(cores, nsh__cgroups_cores(&groups));
    return cores > 0 ? cores : 1;
}

uint64_t nsh__machine_host(void)
{
    static _Atomic uint64_t known; /* 0: not known yet */
    char name[256] = "", boot[64] = "";

    if (known != 0)
        return known;
    gethostname(name, sizeof name - 1);
    if (!read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        boot[0] = '\0';
    known = nsh__mix_bytes(nsh__mix_bytes(1, name, strlen(name)), boot, strlen(boot));
    return known;
}
