/* SPDX-License-Identifier: BSD-3-Clause */
/* test_machine.c -- limits of control groups, read from directories that look like those of the
 * kernel: version 1, version 2, both at once, containers. */
#define _GNU_SOURCE
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cgroup.h"
#include "base/machine.h"

static char base[64]; /* of the tree; "@" in a file's text stands for it */
static nsh__cgroups groups;

/* ---- a tree of files ---- */

static int make_tree(void **state)
{
    (void)state;
    strcpy(base, "/tmp/nsh-machine-XXXXXX");
    return mkdtemp(base) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_tree(void **state)
{
    (void)state;
    return nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file in the tree, with the directories above it. */
static void put(const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", base, name);
    for (char *p = path + strlen(base) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        mkdir(path, 0700);
    }
    f = fopen(path, "w");
    assert_non_null(f);
    for (const char *p = text; *p != '\0'; p++)
        if (*p == '@')
            fputs(base, f);
        else
            fputc(*p, f);
    fclose(f);
}

static void find(void)
{
    char proc[128];

    snprintf(proc, sizeof proc, "%s/proc", base);
    nsh__cgroups_find(proc, &groups);
}

/* ---- version 2 ---- */

static const char mounts_2[] =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "30 22 0:26 / @/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

static void test_version_2(void **state)
{
    (void)state;
    put("proc/mountinfo", mounts_2);
    put("proc/cgroup", "0::/job/step\n");
    put("fs/cgroup/job/step/memory.max", "max\n");
    put("fs/cgroup/job/step/memory.current", "1000\n");
    put("fs/cgroup/job/memory.max", "10000\n");
    put("fs/cgroup/job/memory.current", "7000\n");
    put("fs/cgroup/job/cpu.max", "250000 100000\n");
    put("fs/cgroup/job/step/cpu.max", "max 100000\n");
    find();
    assert_int_equal(nsh__cgroups_memory(&groups), 10000);
    assert_int_equal(nsh__cgroups_memory_left(&groups), 3000);
    assert_int_equal(nsh__cgroups_cores(&groups), 3);
    put("fs/cgroup/job/step/memory.max", "1500\n");
    put("fs/cgroup/memory.max", "9000\n");
    put("fs/cgroup/job/step/cpu.max", "100000 100000\n");
    assert_int_equal(nsh__cgroups_memory(&groups), 1500);
    assert_int_equal(nsh__cgroups_memory_left(&groups), 500);
    assert_int_equal(nsh__cgroups_cores(&groups), 1);
}

/* A job that has read large files: the kernel counts what it keeps of them as used. */
static void test_page_cache(void **state)
{
    (void)state;
    put("proc/mountinfo", mounts_2);
    put("proc/cgroup", "0::/job\n");
    put("fs/cgroup/job/memory.max", "8589934592\n");
    put("fs/cgroup/job/memory.current", "8482560000\n");
    put("fs/cgroup/job/memory.stat", "anon 214748364\nfile 8200000000\nshmem 0\n"
                                     "inactive_file 7900000000\nactive_file 300000000\n");
    find();
    assert_int_equal(nsh__cgroups_memory_left(&groups), 8589934592 - (8482560000 - 8200000000));
    /* Shared memory is part of "file", and stays. */
    put("fs/cgroup/job/memory.stat", "anon 214748364\nfile 8200000000\nshmem 8000000000\n"
                                     "inactive_anon 8000000000\ninactive_file 150000000\n"
                                     "active_file 50000000\n");
    assert_int_equal(nsh__cgroups_memory_left(&groups), 8589934592 - (8482560000 - 200000000));
    /* Never more than the cache that is there, nor than what is used. */
    put("fs/cgroup/job/memory.stat", "file 1000\nshmem 0\ninactive_file 500000\nactive_file 7\n");
    assert_int_equal(nsh__cgroups_memory_left(&groups), 8589934592 - (8482560000 - 1000));
    put("fs/cgroup/job/memory.current", "10\n");
    assert_int_equal(nsh__cgroups_memory_left(&groups), 8589934592);
    put("fs/cgroup/job/memory.stat", "rubbish\n");
    put("fs/cgroup/job/memory.current", "9000000000\n");
    assert_int_equal(nsh__cgroups_memory_left(&groups), 0);
}

/* ---- version 1 ---- */

static const char mounts_1[] =
    "31 23 0:28 / @/fs/cgroup ro,relatime - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:29 / @/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / @/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 31 0:31 / @/fs/cgroup/memory rw shared:5 master:2 - cgroup cgroup rw,memory\n"
    "35 31 0:32 / @/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

static void put_version_1(void)
{
    put("fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("fs/cgroup/memory/memory.usage_in_bytes", "123456789\n");
    put("fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
    put("fs/cgroup/memory/job/memory.usage_in_bytes", "900000\n");
    put("fs/cgroup/memory/job/memory.stat",
        "cache 0\ninactive_file 0\nactive_file 0\ntotal_cache 500000\ntotal_shmem 100000\n"
        "total_inactive_file 250000\ntotal_active_file 50000\n");
    put("fs/cgroup/memory/job/step/memory.limit_in_bytes", "9223372036854771712\n");
    put("fs/cgroup/memory/job/step/memory.usage_in_bytes", "5\n");
    put("fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("fs/cgroup/cpu,cpuacct/other/cpu.cfs_quota_us", "150000\n");
    put("fs/cgroup/cpu,cpuacct/other/cpu.cfs_period_us", "100000\n");
}

static void check_version_1(void)
{
    find();
    assert_int_equal(nsh__cgroups_memory(&groups), 1000000);
    assert_int_equal(nsh__cgroups_memory_left(&groups), 400000);
    assert_int_equal(nsh__cgroups_cores(&groups), 2);
}

static void test_version_1(void **state)
{
    (void)state;
    put("proc/mountinfo", mounts_1);
    put("proc/cgroup", "5:name=systemd:/user\n4:memory:/job/step\n3:cpuset:/\n"
                       "2:cpu,cpuacct:/other\n");
    put_version_1();
    check_version_1();
    assert_string_equal(groups.unified.path, "");
}

/* Version 2 is mounted too, without these controllers. */
static void test_hybrid(void **state)
{
    char text[2048];

    (void)state;
    snprintf(text, sizeof text, "%s36 31 0:33 / @/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
             mounts_1);
    put("proc/mountinfo", text);
    put("proc/cgroup", "4:memory:/job/step\n3:cpuset:/\n2:cpu,cpuacct:/other\n0::/session\n");
    put("fs/cgroup/unified/session/cgroup.procs", "1\n");
    put_version_1();
    check_version_1();
    /* Controllers are in one version or in the other: here cpu has moved. */
    put("fs/cgroup/unified/session/cpu.max", "50000 100000\n");
    assert_int_equal(nsh__cgroups_cores(&groups), 1);
}

/* ---- containers and odd places ---- */

/* The container's own group is what is mounted; the names are those of the host or of the
 * container. */
static void test_container(void **state)
{
    static const char mount_point[] =
        "40 39 0:26 /docker/c1 @/a\\040b/cgroup ro - cgroup2 cgroup rw\n";
    static const char *names[] = {"0::/docker/c1/sub\n", "0::/\n", "0::/docker/c10\n",
                                  "0::/../../user\n"};

    (void)state;
    put("proc/mountinfo", mount_point);
    put("a b/cgroup/memory.max", "5000\n");
    put("a b/cgroup/memory.current", "1000\n");
    put("a b/cgroup/sub/memory.max", "4000\n");
    put("a b/cgroup/sub/memory.current", "1000\n");
    for (int i = 0; i < 4; i++) {
        put("proc/cgroup", names[i]);
        find();
        assert_int_equal(nsh__cgroups_memory(&groups), i == 0 ? 4000 : 5000);
        assert_int_equal(nsh__cgroups_memory_left(&groups), i == 0 ? 3000 : 4000);
    }
}

/* The hierarchy is mounted twice; the group is below the second mount. */
static void test_two_mounts(void **state)
{
    (void)state;
    put("proc/mountinfo", "40 39 0:26 /other @/one rw - cgroup2 cgroup rw\n"
                          "41 39 0:26 / @/two rw - cgroup2 cgroup rw\n");
    put("proc/cgroup", "0::/job\n");
    put("one/memory.max", "5000\n");
    put("two/job/memory.max", "6000\n");
    find();
    assert_int_equal(nsh__cgroups_memory(&groups), 6000);
}

static void test_nothing(void **state)
{
    (void)state;
    find();
    assert_int_equal(nsh__cgroups_memory(&groups), INT64_MAX);
    put("proc/mountinfo", "bad\n\n1 2 3 4\n1 2 0:1 / @/x rw - cgroup2\n");
    put("proc/cgroup", "bad\n0:\n0::\n");
    find();
    assert_int_equal(nsh__cgroups_memory(&groups), INT64_MAX);
    assert_int_equal(nsh__cgroups_memory_left(&groups), INT64_MAX);
    assert_int_equal(nsh__cgroups_cores(&groups), INT64_MAX);
}

static void test_this_machine(void **state)
{
    unsigned char mask[NSH__AFFINITY_BYTES];

    (void)state;
    nsh__machine_affinity(mask);
    assert_true(nsh__machine_cores(mask) >= 1);
    assert_true(nsh__machine_memory() > 0);
    assert_true(nsh__machine_memory_left() > 0);
    assert_true(nsh__machine_memory_left() <= nsh__machine_memory());
}

int main(void)
{
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, remove_tree)
    const struct CMUnitTest tests[] = {
        IN_TREE(test_version_2), IN_TREE(test_page_cache),
        IN_TREE(test_version_1), IN_TREE(test_hybrid),
        IN_TREE(test_container), IN_TREE(test_two_mounts),
        IN_TREE(test_nothing),   cmocka_unit_test(test_this_machine)};

    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
