/* SPDX-License-Identifier: BSD-3-Clause */
/* test_serial.c -- a communicator of this process alone, with arrays, without MPI_Init. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <nodeshare.h>

static void test_arrays(void **state)
{
    const int64_t extent[2] = {3, 5}, offset[2] = {1, 1}, count[2] = {2, 3}, outside[2] = {2, 1};
    const double block[6] = {1, 2, 3, 4, 5, 6}, nine = 9;
    double seen[6] = {0}, all[15];
    nsh_array_options options = {sizeof options, "table"};
    nsh_comm *comm = NULL;
    nsh_array *array = NULL, *found = NULL;
    uint64_t sum = 0;
    void *view = NULL;

    (void)state;
    assert_int_equal(nsh_version(), NSH_VERSION);
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    assert_int_equal(nsh_array_create(comm, MPI_DOUBLE, 2, extent, &options, &array), NSH_SUCCESS);
    assert_int_equal(nsh_array_set(array, block, offset, count, 0), NSH_SUCCESS);
    assert_int_equal(nsh_array_get(array, offset, count, seen), NSH_SUCCESS);
    assert_memory_equal(seen, block, sizeof seen);
    assert_int_equal(nsh_array_set(array, block, offset, count, NSH_ROOT_ANY), NSH_SUCCESS);
    assert_int_equal(nsh_array_set(array, NULL, offset, count, NSH_ROOT_ANY), NSH_ERR_ARG);
    assert_int_equal(nsh_array_set(array, block, outside, count, 0), NSH_ERR_ARG);
    assert_int_equal(nsh_array_set(array, block, offset, count, 1), NSH_ERR_ARG);
    assert_int_equal(nsh_array_update_begin(array, NULL, NULL, 0, &view), NSH_SUCCESS);
    assert_int_equal(nsh_array_set(array, block, offset, count, 0), NSH_ERR_STATE);
    memset(view, 0, sizeof all);
    assert_int_equal(nsh_array_update_end(array), NSH_SUCCESS);
    assert_int_equal(nsh_array_update_end(array), NSH_ERR_STATE);
    assert_int_equal(nsh_array_fill(array, &nine), NSH_SUCCESS);
    for (int i = 0; i < 15; i++)
        all[i] = i;
    assert_int_equal(nsh_array_allreduce(array, all, MPI_SUM), NSH_SUCCESS);
    assert_memory_equal(nsh_array_data(array), all, sizeof all);
    assert_int_equal(nsh_array_allgather(array, block, offset, count), NSH_SUCCESS);
    assert_true(((const double *)nsh_array_data(array))[6] == 1);
    assert_int_equal(nsh_array_checksum(array, &sum), NSH_SUCCESS);
    assert_int_equal(nsh_array_find(comm, "table", &found), NSH_SUCCESS);
    assert_ptr_equal(found, array);
    assert_int_equal(nsh_comm_barrier(comm), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_ERR_STATE);
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
    assert_null(comm);
}

static void test_large(void **state)
{
    const int64_t n = 3 << 20;
    nsh_comm *comm = NULL;
    nsh_array *array = NULL;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    assert_int_equal(nsh_array_create(comm, MPI_INT, 1, &n, NULL, &array), NSH_SUCCESS);
    assert_int_equal(((const int *)nsh_array_data(array))[n - 1], 0);
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

static void test_turns(void **state)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex_stats stats = NSH_MUTEX_STATS_INIT;
    nsh_comm *comm = NULL;
    nsh_mutex *mutex = NULL;
    nsh_semaphore *semaphore = NULL;
    nsh_counter *counter = NULL;
    int64_t before = 0;
    int holder = 7;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
        options.order = (nsh_mutex_order)order;
        assert_int_equal(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_unlock(mutex), NSH_ERR_STATE);
        assert_int_equal(nsh_mutex_lock(mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_lock(mutex), NSH_ERR_STATE);
        assert_int_equal(nsh_mutex_holder(mutex, &holder), NSH_SUCCESS);
        assert_int_equal(holder, 0);
        assert_int_equal(nsh_mutex_free(&mutex), NSH_ERR_STATE);
        assert_int_equal(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_holder(mutex, &holder), NSH_SUCCESS);
        assert_int_equal(holder, -1);
        assert_int_equal(nsh_mutex_trylock(mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_timedlock(mutex, 0), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_unlock(mutex), NSH_SUCCESS);
        assert_int_equal(nsh_mutex_get_stats(mutex, &stats), NSH_SUCCESS);
        assert_int_equal(stats.acquisitions, 3);
        assert_int_equal(nsh_mutex_free(&mutex), NSH_SUCCESS);
    }
    assert_int_equal(nsh_semaphore_create(comm, 2, NULL, &semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_semaphore_acquire(semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_semaphore_tryacquire(semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_semaphore_acquire(semaphore), NSH_ERR_STATE);
    assert_int_equal(nsh_semaphore_release(semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_semaphore_release(semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    assert_int_equal(nsh_counter_create(comm, 41, NULL, &counter), NSH_SUCCESS);
    assert_int_equal(nsh_counter_add(counter, 1, &before), NSH_SUCCESS);
    assert_int_equal(before, 41);
    assert_int_equal(nsh_counter_read(counter, &before), NSH_SUCCESS);
    assert_int_equal(before, 42);
    assert_int_equal(nsh_counter_free(&counter), NSH_SUCCESS);
    assert_int_equal(nsh_sequential_begin(comm), NSH_SUCCESS);
    assert_int_equal(nsh_sequential_end(comm), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* A file too, before MPI_Init; the type needs no MPI. */
static void test_files(void **state)
{
    const int64_t extent[2] = {3, 5}, last[2] = {2, 4}, one[2] = {1, 1};
    const double seven = 7;
    nsh_array_options options = {sizeof options, "group/table"};
    char path[] = "/tmp/nsh-serial-XXXXXX";
    nsh_comm *comm = NULL;
    nsh_array *array = NULL, *loaded = NULL;
    nsh_file *file = NULL;
    double seen = 0;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    assert_int_equal(nsh_array_create(comm, MPI_DOUBLE, 2, extent, &options, &array), NSH_SUCCESS);
    assert_int_equal(nsh_array_fill(array, &seven), NSH_SUCCESS);
    if (nsh_snapshot_save(path, 1, &array) != NSH_ERR_UNSUPPORTED) {
        assert_int_equal(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file), NSH_SUCCESS);
        assert_int_equal(nsh_file_append(file, "series", array), NSH_SUCCESS);
        assert_int_equal(nsh_file_load(file, "series", &loaded), NSH_SUCCESS);
        assert_int_equal(nsh_array_size(loaded), 15);
        assert_memory_equal(nsh_array_data(loaded), nsh_array_data(array), 120);
        assert_int_equal(
            nsh_file_get(file, "group/table", last, one, MPI_DOUBLE, &seen, sizeof seen),
            NSH_SUCCESS);
        assert_true(seen == seven);
        assert_int_equal(nsh_comm_free(&comm), NSH_ERR_STATE);
        assert_int_equal(nsh_file_close(&file), NSH_SUCCESS);
        assert_int_equal(nsh_snapshot_restore(path, 1, &array), NSH_SUCCESS);
    }
    unlink(path);
    nsh_array_free(&loaded);
    nsh_array_free(&array);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* A language with a garbage collector: handles go in any order, the communicator's among them. */
static void test_lifetimes(void **state)
{
    const int64_t n = 3 << 20, few = 5, seven = 7;
    nsh_array_options named = {sizeof named, "table"};
    nsh_comm *comm = NULL, *kept = NULL;
    nsh_array *array = NULL, *again = NULL, *found = NULL;
    nsh_mutex *mutex = NULL;
    nsh_counter *counter = NULL;
    nsh_hold *hold = NULL;
    const int64_t *seen;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    kept = comm;
    assert_int_equal(nsh_array_create(comm, MPI_INT64_T, 1, &n, &named, &array), NSH_SUCCESS);
    assert_int_equal(nsh_array_fill(array, &seven), NSH_SUCCESS);
    assert_int_equal(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    assert_int_equal(nsh_counter_create(comm, 1, NULL, &counter), NSH_SUCCESS);
    assert_int_equal(nsh_comm_abandon(&comm), NSH_SUCCESS);
    assert_null(comm);
    assert_ptr_equal(nsh_array_comm(array), kept);
    assert_int_equal(nsh_mutex_lock(mutex), NSH_SUCCESS);
    assert_int_equal(nsh_mutex_abandon(&mutex), NSH_ERR_STATE);
    assert_int_equal(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    assert_int_equal(nsh_mutex_abandon(&mutex), NSH_SUCCESS);
    assert_int_equal(nsh_counter_free(&counter), NSH_SUCCESS);
    seen = nsh_array_data(array);
    assert_int_equal(nsh_array_hold(array, &hold), NSH_SUCCESS);
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS); /* the last one: all is gone but pages */
    assert_int_equal(seen[n - 1], 7);
    assert_int_equal(nsh_hold_release(&hold), NSH_SUCCESS);

    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    assert_int_equal(nsh_array_create(comm, MPI_INT64_T, 1, &few, &named, &array), NSH_SUCCESS);
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS);
    assert_int_equal(nsh_array_find(comm, "table", &found), NSH_ERR_NOT_FOUND);
    assert_int_equal(nsh_array_create(comm, MPI_INT64_T, 1, &few, &named, &array), NSH_SUCCESS);
    assert_int_equal(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    assert_int_equal(nsh_mutex_lock(mutex), NSH_SUCCESS);
    assert_int_equal(nsh_comm_fail(comm, 42, "out of luck"), NSH_SUCCESS);
    assert_int_equal(nsh_array_fill(array, &seven), NSH_ERR_STATE);
    assert_non_null(strstr(nsh_error_detail(), "out of luck"));
    assert_int_equal(nsh_comm_free(&comm), NSH_ERR_STATE);
    assert_int_equal(nsh_comm_free_all(&comm), NSH_SUCCESS);
    assert_null(comm);
    assert_int_equal(nsh_array_fill(array, &seven), NSH_ERR_STATE);
    assert_int_equal(nsh_array_like(array, NULL, &again), NSH_ERR_STATE);
    assert_null(nsh_array_data(array));
    assert_int_equal(nsh_mutex_unlock(mutex), NSH_ERR_STATE);
    assert_int_equal(nsh_mutex_abandon(&mutex), NSH_SUCCESS);
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_arrays), cmocka_unit_test(test_turns),
                                       cmocka_unit_test(test_large), cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_lifetimes)};

    return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
