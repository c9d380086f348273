/* SPDX-License-Identifier: BSD-3-Clause */
/* test_split.c -- shares of indices: every index once, in parts that differ by one at most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nodeshare.h>

#define MOST (INT64_C(1) << 62)

static void test_parts(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++)
        for (int nparts = 1; nparts < 45; nparts++) {
            int64_t expected = 0;

            for (int part = 0; part < nparts; part++) {
                int64_t begin = -1, end = -1;

                assert_int_equal(nsh_split(n, nparts, part, &begin, &end), NSH_SUCCESS);
                assert_int_equal(begin, expected);
                assert_int_equal(end - begin, n / nparts + (part < n % nparts ? 1 : 0));
                expected = end;
            }
            assert_int_equal(expected, n);
        }
}

static void test_large(void **state)
{
    const int parts[] = {1, 2, 3, 7, 1000003, INT32_MAX};

    (void)state;
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
        int nparts = parts[k], last = nparts - 1;
        int64_t begin = -1, end = -1, next = -1;

        assert_int_equal(nsh_split(MOST, nparts, last, &begin, &end), NSH_SUCCESS);
        assert_true(end == MOST);
        assert_true(end - begin == MOST / nparts);
        assert_int_equal(nsh_split(MOST, nparts, last / 2, &begin, &end), NSH_SUCCESS);
        if (last / 2 < last) {
            assert_int_equal(nsh_split(MOST, nparts, last / 2 + 1, &next, &end), NSH_SUCCESS);
            assert_int_equal(nsh_split(MOST, nparts, last / 2, &begin, &end), NSH_SUCCESS);
            assert_true(next == end);
        }
    }
}

static void test_errors(void **state)
{
    int64_t a = -5, b = -6;

    (void)state;
    assert_int_equal(nsh_split(-1, 1, 0, &a, &b), NSH_ERR_ARG);
    assert_int_equal(nsh_split(MOST + 1, 1, 0, &a, &b), NSH_ERR_ARG);
    assert_int_equal(nsh_split(5, 0, 0, &a, &b), NSH_ERR_ARG);
    assert_int_equal(nsh_split(5, 2, 2, &a, &b), NSH_ERR_ARG);
    assert_int_equal(nsh_split(5, 2, -1, &a, &b), NSH_ERR_ARG);
    assert_non_null(strstr(nsh_error_detail(), "part -1 of 2"));
    assert_int_equal(nsh_split(5, 2, 0, NULL, &b), NSH_ERR_ARG);
    assert_int_equal(nsh_split(5, 2, 0, &a, NULL), NSH_ERR_ARG);
    assert_int_equal(nsh_split_permuted(-1, 1, 0, 0, &b, &a), NSH_ERR_ARG);
    assert_int_equal(nsh_split_permuted(5, 2, 2, 0, &b, &a), NSH_ERR_ARG);
    assert_int_equal(nsh_split_permuted(5, 2, 0, 0, NULL, NULL), NSH_ERR_ARG);
    assert_int_equal(a, -5);
    assert_int_equal(b, -6);
}

/* Over all parts each index once. */
static void test_permuted(void **state)
{
    const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097};

    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (int nparts = 1; nparts <= 7; nparts += 3)
            for (uint64_t seed = 0; seed < 5; seed++) {
                int64_t n = sizes[k], total = 0;
                char *seen = calloc((size_t)n + 1, 1);
                int64_t *indices = malloc(((size_t)n + 1) * sizeof *indices);

                assert_non_null(seen);
                assert_non_null(indices);
                for (int part = 0; part < nparts; part++) {
                    int64_t count = -1, asked = -1, begin, end;

                    assert_int_equal(nsh_split(n, nparts, part, &begin, &end), NSH_SUCCESS);
                    assert_int_equal(nsh_split_permuted(n, nparts, part, seed, &asked, NULL),
                                     NSH_SUCCESS);
                    assert_int_equal(nsh_split_permuted(n, nparts, part, seed, &count, indices),
                                     NSH_SUCCESS);
                    assert_int_equal(count, end - begin);
                    assert_int_equal(asked, count);
                    for (int64_t i = 0; i < count; i++) {
                        assert_true(indices[i] >= 0 && indices[i] < n);
                        assert_int_equal(seen[indices[i]]++, 0);
                    }
                    total += count;
                }
                assert_int_equal(total, n);
                free(seen);
                free(indices);
            }
}

/* Of an order that is random: the mean of the first half, few fixed points, another seed another
 * order, and neighbours that are not neighbours. Bounds are six standard deviations wide. */
static void test_order(void **state)
{
    enum { N = 100000 };
    int64_t *a = malloc(2 * N * sizeof *a), *b = a + N;
    int64_t fixed = 0, same = 0, next = 0;
    double sum = 0;

    (void)state;
    assert_non_null(a);
    assert_int_equal(nsh_split_permuted(N, 1, 0, 1, NULL, a), NSH_SUCCESS);
    assert_int_equal(nsh_split_permuted(N, 1, 0, 2, NULL, b), NSH_SUCCESS);
    for (int i = 0; i < N; i++) {
        fixed += a[i] == i;
        same += a[i] == b[i];
        next += i > 0 && a[i] == a[i - 1] + 1;
        sum += i < N / 2 ? (double)a[i] : 0;
    }
    assert_true(fixed < 10 && same < 10 && next < 10);
    sum /= N / 2;
    assert_true(sum > N / 2. - 6 * 92 && sum < N / 2. + 6 * 92); /* N / sqrt(12 N) */
    free(a);
}

/* Some of very many: distinct, in range, without a table; the last part is there. */
static void test_permuted_large(void **state)
{
    enum { PARTS = INT32_MAX };
    int64_t n = MOST / 3, k = MOST / PARTS, few[3], count = 0;

    (void)state;
    assert_int_equal(nsh_split_permuted(n, PARTS, PARTS - 1, 7, &count, NULL), NSH_SUCCESS);
    assert_true(count <= k);
    n = (int64_t)PARTS * 3;
    assert_int_equal(nsh_split_permuted(n, PARTS, PARTS - 1, 7, &count, few), NSH_SUCCESS);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++)
        assert_true(few[i] >= 0 && few[i] < n);
    assert_true(few[0] != few[1] && few[1] != few[2] && few[0] != few[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_large),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_permuted),
        cmocka_unit_test(test_order),  cmocka_unit_test(test_permuted_large),
    };

    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
