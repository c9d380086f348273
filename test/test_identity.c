/* SPDX-License-Identifier: BSD-3-Clause */
/* test_identity.c -- which file it is: on one host, between two, and when somebody replaces it. */
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
#include <sys/stat.h>

#include "disk/identity.h"

static char directory[] = "/tmp/nsh-identity-XXXXXX";
static char path[64], other[64];

static int make(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static nsh__identity identity(int fd)
{
    nsh__identity out;

    assert_int_equal(nsh__identity_of("call", path, fd, &out), NSH_SUCCESS);
    return out;
}

static void test_one_host(void **state)
{
    int fd = make(path, "one"), second = make(other, "one");
    nsh__identity a = identity(fd), b = identity(second), later;

    (void)state;
    assert_true(nsh__identity_same(&a, &a));
    assert_false(nsh__identity_same(&a, &b));
    assert_int_equal(write(fd, "more", 4), 4); /* it is still that file */
    later = identity(fd);
    assert_true(nsh__identity_same(&a, &later));
    later.device++;
    assert_false(nsh__identity_same(&a, &later));
    close(fd);
    close(second);
}

/* What another host says of the same file has the same numbers, but for its device. */
static void test_two_hosts(void **state)
{
    int fd = make(path, "one");
    nsh__identity a = identity(fd), b = a, c;

    (void)state;
    b.host++;
    b.device += 7;
    assert_true(nsh__identity_same(&a, &b));
    c = b, c.inode++;
    assert_false(nsh__identity_same(&a, &c));
    c = b, c.bytes++;
    assert_false(nsh__identity_same(&a, &c));
    c = b, c.mtime++;
    assert_false(nsh__identity_same(&a, &c));
    a.mtime = 0; /* it is being changed */
    assert_true(nsh__identity_same(&a, &c));
    assert_int_equal(pwrite(fd, "two", 3, 0), 3);
    c = identity(fd);
    c.host++;
    c.mtime = 0;
    assert_false(nsh__identity_same(&a, &c));
    close(fd);
}

static int still(const nsh__identity *known, bool written, bool *gone)
{
    return nsh__identity_still("call", path, known, written, gone);
}

static void test_still(void **state)
{
    int fd = make(path, "one");
    nsh__identity a = identity(fd);
    const struct timespec past[2] = {{1, 0}, {1, 0}};
    bool gone = true;

    (void)state;
    assert_int_equal(still(&a, false, &gone), NSH_SUCCESS);
    assert_false(gone);
    assert_int_equal(fchmod(fd, 0640), 0); /* which is no change of what is in it */
    assert_int_equal(still(&a, false, &gone), NSH_SUCCESS);
    assert_int_equal(futimens(fd, past), 0);
    assert_int_equal(still(&a, false, &gone), NSH_ERR_STATE);
    assert_non_null(strstr(nsh_error_detail(), "written"));
    assert_int_equal(still(&a, true, &gone), NSH_SUCCESS);
    a = identity(fd);
    assert_int_equal(write(fd, "more", 4), 4);
    assert_int_equal(futimens(fd, past), 0);
    assert_int_equal(still(&a, false, &gone), NSH_ERR_STATE); /* by its size */
    close(make(other, "two"));
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(still(&a, true, &gone), NSH_ERR_STATE);
    assert_non_null(strstr(nsh_error_detail(), "replaced"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(still(&a, false, &gone), NSH_SUCCESS);
    assert_true(gone);
    close(fd);
}

static int begin(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/a", directory);
    snprintf(other, sizeof other, "%s/b", directory);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_host),
        cmocka_unit_test(test_two_hosts),
        cmocka_unit_test(test_still),
    };

    return cmocka_run_group_tests_name("test_identity", tests, begin, end);
}
