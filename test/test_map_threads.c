/* SPDX-License-Identifier: BSD-3-Clause */
/* test_map_threads.c -- maps on threads of this process alone: for TSan, which MPI does not
 * survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <nodeshare.h>

enum { N = 20000, THREADS = 4 };

static int plain[N]; /* written by whoever runs the index, read when all is over */

static int square(const nsh_map_worker *worker, int64_t index, void *arg)
{
    int64_t *sum = worker->accumulator;

    (void)arg;
    plain[index]++;
    if (sum != NULL)
        *sum += index * index;
    return NSH_SUCCESS;
}

static int stumble(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)arg;
    (void)worker;
    return index % 1000 == 999 ? 5000 + (int)index : NSH_SUCCESS;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

static void test_threads(void **state)
{
    nsh_map_options o = NSH_MAP_OPTIONS_INIT;
    nsh_comm *comm = NULL;
    int64_t sum, expected = 0;
    int times = 0;

    (void)state;
    for (int64_t i = 0; i < N; i++)
        expected += i * i;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    o.context = NSH_MAP_THREADS;
    o.threads = THREADS;
    o.reduce_bytes = sizeof sum;
    o.combine = add;
    o.result = &sum;
    for (int schedule = 0; schedule <= NSH_MAP_GUIDED; schedule++)
        for (o.block = 0; o.block < 8; o.block += 7) {
            o.schedule = (nsh_map_schedule)schedule;
            sum = -1;
            assert_int_equal(nsh_map(comm, N, square, NULL, &o), NSH_SUCCESS);
            assert_true(sum == expected);
            times++;
            assert_int_equal(nsh_map(comm, N, stumble, NULL, &o), 5999);
        }
    for (int i = 0; i < N; i++)
        assert_int_equal(plain[i], times);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
