/* SPDX-License-Identifier: BSD-3-Clause */
/* test_disk_lock.c -- a file that is replaced again and again by those who hold its lock: the lock
 * goes over from each file to the next, and nobody goes on from a file of the past. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <nodeshare.h>
#include <pthread.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/disk_lock.h"

enum { THREADS = 4, ROUNDS = 40 };

static char directory[] = "/tmp/nsh-lock-XXXXXX";
static char path[64];
static pthread_barrier_t begin;

/* The number in the file becomes one more, in a new file. The code of the first call that fails. */
static int increment(void)
{
    int fd = -1, work_fd = -1, number = 0;
    char work[NSH__PATH];
    int rc = nsh__disk_open_locked("call", path, &fd);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__disk_work("call", path, work, &work_fd);
    if (pread(fd, &number, sizeof number, 0) != (ssize_t)sizeof number)
        rc = NSH_ERR_IO;
    number++;
    if (rc == NSH_SUCCESS && pwrite(work_fd, &number, sizeof number, 0) != (ssize_t)sizeof number)
        rc = NSH_ERR_IO;
    if (rc == NSH_SUCCESS)
        rc = nsh__disk_replace("call", work, work_fd, path, false);
    close(fd);
    if (work_fd >= 0)
        close(work_fd);
    return rc;
}

static void *increment_often(void *failure)
{
    pthread_barrier_wait(&begin);
    for (int done = 0; done < ROUNDS;) {
        int rc = increment();

        done += rc == NSH_SUCCESS;
        if (rc != NSH_SUCCESS && rc != NSH_ERR_BUSY) {
            *(int *)failure = rc;
            break;
        }
    }
    return NULL;
}

static void test_turns(void **state)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), number = 0, failure[THREADS] = {0};
    pthread_t thread[THREADS];

    (void)state;
    assert_int_equal(write(fd, &number, sizeof number), sizeof number);
    close(fd);
    assert_int_equal(pthread_barrier_init(&begin, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, increment_often, &failure[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(failure[i], NSH_SUCCESS);
    }
    pthread_barrier_destroy(&begin);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, &number, sizeof number), sizeof number);
    close(fd);
    assert_int_equal(number, THREADS * ROUNDS);
}

static void test_states(void **state)
{
    int one = open(path, O_RDWR | O_CREAT, 0600), two = open(path, O_RDWR), locked = -1;

    (void)state;
    assert_int_equal(nsh__disk_lock_take(one), NSH__LOCK_HELD);
    assert_int_equal(nsh__disk_lock_take(one), NSH__LOCK_HELD);
    assert_int_equal(nsh__disk_lock_take(two), NSH__LOCK_BUSY);
    assert_int_equal(nsh__disk_open_locked("call", path, &locked), NSH_ERR_BUSY);
    assert_int_equal(locked, -1);
    nsh__disk_lock_drop(one);
    assert_int_equal(nsh__disk_lock_take(two), NSH__LOCK_HELD);
    close(two);
    assert_int_equal(nsh__disk_open_locked("call", path, &locked), NSH_SUCCESS);
    assert_int_equal(nsh__disk_lock_take(one), NSH__LOCK_BUSY);
    close(locked);
    close(one);
    two = open(path, O_RDONLY); /* where nothing can be locked for writing nobody can tell */
    assert_int_equal(nsh__disk_lock_take(two), NSH__LOCK_NONE);
    close(two);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(nsh__disk_open_locked("call", path, &locked), NSH_ERR_NOT_FOUND);
}

static int make(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file", directory);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_states),
    };

    return cmocka_run_group_tests_name("test_disk_lock", tests, make, clean);
}
