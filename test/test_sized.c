/* SPDX-License-Identifier: BSD-3-Clause */
/* test_sized.c -- structs that have grown since 0.2.0, and programs that have another version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <nodeshare/error.h>

#include "base/sized.h"

/* A struct as it was, as this library has it, and as a later version will. */
typedef struct first {
    size_t size;
    int64_t a;
} first;

typedef struct now {
    size_t size;
    int64_t a, b;
} now;

typedef struct later {
    size_t size;
    int64_t a, b, c;
} later;

static const nsh__sized kind = NSH__SIZED(now, a, NOW_INIT);

static void test_older_program(void **state)
{
    first given = {sizeof given, 5}, guard[2] = {{sizeof(first), 1}, {77, 88}};
    now out = {sizeof out, 1, 0};
    const now from = {sizeof from, 3, 4};

    (void)state;
    assert_int_equal(nsh__sized_read(&kind, "call", 0, &given, &out), NSH_SUCCESS);
    assert_int_equal(out.size, sizeof out);
    assert_int_equal(out.a, 5);
    assert_int_equal(out.b, 0);
    nsh__sized_write(&kind, &from, &guard[0]);
    assert_int_equal(guard[0].size, sizeof(first));
    assert_int_equal(guard[0].a, 3);
    assert_int_equal(guard[1].size, 77); /* not written to */
}

static void test_newer_program(void **state)
{
    later given = {sizeof given, 5, 6, 0};
    now out = {sizeof out, 1, 0};
    const now from = {sizeof from, 3, 4};

    (void)state;
    assert_int_equal(nsh__sized_read(&kind, "call", 0, &given, &out), NSH_SUCCESS);
    assert_int_equal(out.size, sizeof out);
    assert_int_equal(out.a, 5);
    assert_int_equal(out.b, 6);
    nsh__sized_write(&kind, &from, &given);
    assert_int_equal(given.size, sizeof given);
    assert_int_equal(given.b, 4);
    assert_int_equal(given.c, 0);
    given.c = 1;
    assert_int_equal(nsh__sized_read(&kind, "call", 0, &given, &out), NSH_ERR_UNSUPPORTED);
    assert_non_null(strstr(nsh_error_detail(), "call: byte 24 of a struct of NOW_INIT"));
}

static void test_no_size(void **state)
{
    first given = {0, 5};
    now out = {sizeof out, 1, 2};

    (void)state;
    assert_int_equal(nsh__sized_read(&kind, "call", 7, &given, &out), NSH_ERR_ARG);
    assert_non_null(strstr(nsh_error_detail(), "call: "));
    assert_non_null(strstr(nsh_error_detail(), "NOW_INIT"));
    assert_non_null(strstr(nsh_error_detail(), "rank 7"));
    assert_int_equal(out.a, 1);
    given.size = sizeof given - 1;
    assert_int_equal(nsh__sized_check(&kind, "call", 7, &given), NSH_ERR_ARG);
    assert_int_equal(nsh__sized_read(&kind, "call", 7, NULL, &out), NSH_SUCCESS);
    assert_int_equal(out.b, 2);
}

/* A size inside a field: no part of the struct is read, as half a pointer is no pointer. */
static void test_part_of_a_field(void **state)
{
    const first given = {sizeof given, -1};

    (void)state;
    for (size_t size = sizeof size + 1; size < sizeof given; size++) {
        first shorter = given;
        now out = {sizeof out, 1, 2};

        shorter.size = size;
        assert_int_equal(nsh__sized_read(&kind, "call", 0, &shorter, &out), NSH_ERR_ARG);
        assert_int_equal(out.size, sizeof out);
        assert_int_equal(out.a, 1);
        assert_int_equal(out.b, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_older_program),
        cmocka_unit_test(test_newer_program),
        cmocka_unit_test(test_no_size),
        cmocka_unit_test(test_part_of_a_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
