/* test_array_many.c -- ranks: 2  layouts: one-node cliques-2  seconds: 240 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* 100,000 arrays at once, freed in any order; large ones give their memory back; and, where
 * NSH_TEST_BIG=1 and memory allow, an array of more than 2^31 elements. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <nodeshare.h>

#include "check.h"

enum { MANY = 100000 };

static void test_many(nsh_comm *comm)
{
    nsh_array **arrays = calloc(MANY, sizeof *arrays), *found = NULL;
    char name[32];

    for (int i = 0; i < MANY; i++) {
        nsh_array_options options = NSH_ARRAY_OPTIONS_INIT;
        int64_t n = 1 + i % 97;

        snprintf(name, sizeof name, "array %d", i);
        options.name = i % 10 == 0 ? name : NULL;
        CHECK_ALL(nsh_array_create(comm, MPI_INT, 1, &n, &options, &arrays[i]), NSH_SUCCESS);
        if (i % 1000 == 0)
            CHECK_ALL(nsh_array_fill(arrays[i], &i), NSH_SUCCESS);
    }
    for (int i = 0; i < MANY; i += 1000) {
        snprintf(name, sizeof name, "array %d", i);
        CHECK_EQ(nsh_array_find(comm, name, &found), NSH_SUCCESS);
        CHECK(found == arrays[i]);
        CHECK_EQ(((const int *)nsh_array_data(arrays[i]))[i % 97], i);
    }
    for (int left = MANY; left > 0; left--) { /* in random order, the same on every rank */
        int64_t i = check_random_below(left);

        CHECK_ALL(nsh_array_free(&arrays[i]), NSH_SUCCESS);
        arrays[i] = arrays[left - 1];
    }
    CHECK_EQ(nsh_array_find(comm, "array 0", &found), NSH_ERR_NOT_FOUND);
    free(arrays);
}

/* MiB used in /dev/shm, where a node of several ranks has its heap. */
static int64_t shm_used(void)
{
    struct statvfs fs;

    statvfs("/dev/shm", &fs);
    return (int64_t)((fs.f_blocks - fs.f_bfree) * fs.f_frsize >> 20);
}

static void test_given_back(nsh_comm *comm)
{
    int64_t n = 96 << 20, before, with, after;
    nsh_array *array = NULL;
    char zero = 0, one = 1;

    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    before = shm_used();
    for (int i = 0; i < 3; i++) {
        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &n, NULL, &array), NSH_SUCCESS);
        with = shm_used();
        CHECK_EQ(((const char *)nsh_array_data(array))[n - 1], zero);
        CHECK_ALL(nsh_array_fill(array, &one), NSH_SUCCESS);
        CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
        CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
        after = shm_used();
        if (nsh_comm_node_size(comm) > 1) {
            CHECK(with - before >= 90);
            CHECK(after - before <= 8);
        }
        CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    }
}

static void test_big(nsh_comm *comm)
{
    int64_t n = (INT64_C(1) << 31) + 4097, at = (INT64_C(1) << 31) + 5, count = 1000;
    const char *wanted = getenv("NSH_TEST_BIG");
    nsh_array *array = NULL;
    char data[1000];
    uint64_t sum;

    if (wanted == NULL || strcmp(wanted, "1") != 0) {
        check_note("NSH_TEST_BIG=1 tries an array of more than 2^31 elements");
        return;
    }
    memset(data, 5, sizeof data);
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, data, &at, &count, check_size - 1), NSH_SUCCESS);
    CHECK_MEM((const char *)nsh_array_data(array) + at, data, count);
    CHECK_EQ(((const char *)nsh_array_data(array))[at - 1], 0);
    CHECK_EQ(((const char *)nsh_array_data(array))[at + count], 0);
    CHECK_ALL(nsh_array_checksum(array, &sum), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;

    check_init(&argc, &argv);
    check_case("%d arrays at once", MANY);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    test_many(comm);
    check_case("large arrays give their memory back");
    test_given_back(comm);
    check_case("more than 2^31 elements");
    test_big(comm);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
