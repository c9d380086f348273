/* test_rss.c -- ranks: 1 3  layouts: one-node cliques-2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Resident memory: pages count for each view through which a process has used them, so the writable
 * view is trimmed after create, after the first change, on request, and when an array is idle. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include <nodeshare.h>

#include "array/array.h"
#include "check.h"

enum { N = 8 << 20 }; /* 64 MiB */
static const int64_t bytes = N * (int64_t)sizeof(double);
static int64_t before; /* the array was created */

/* Shared memory that is resident in this process, counted for each mapping. */
static int64_t resident(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    long long kib = -1;
    char line[256];

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssShmem: %lld kB", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

/* At most this many tenths of the array are resident. */
static void check_resident(int tenths)
{
    int64_t grown = resident() - before;

    if (!CHECK(grown <= bytes / 10 * tenths))
        check_note("rank %d: %lld MiB of an array of %lld MiB", check_rank, (long long)grown >> 20,
                   (long long)bytes >> 20);
}

static void read_all(const nsh_array *array, double expected)
{
    const double *data = nsh_array_data(array);
    int wrong = 0;

    for (int64_t i = 0; i < N; i++)
        wrong += data[i] != expected;
    CHECK_EQ(wrong, 0);
}

/* Root stores through the writable view, all of it. */
static void update(nsh_array *array, double value)
{
    void *view = NULL;

    CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, 0, &view), NSH_SUCCESS);
    for (int64_t i = 0; i < N && view != NULL; i++)
        ((double *)view)[i] = value;
    CHECK_ALL(nsh_array_update_end(array), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    const int64_t n = N, ten = 10;
    const double one = 1;
    nsh_comm *comm = NULL;
    nsh_array *array[2] = {NULL, NULL}, *small = NULL;

    check_init(&argc, &argv);
    if (resident() < 0)
        check_skip("no RssShmem in /proc/self/status");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, &ten, NULL, &small), NSH_SUCCESS);
    for (int i = 0; i < 2; i++) {
        check_case("create and %s", i == 0 ? "fill" : "update");
        before = resident();
        CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, &n, NULL, &array[i]), NSH_SUCCESS);
        check_resident(1);
        if (i == 0)
            CHECK_ALL(nsh_array_fill(array[i], &one), NSH_SUCCESS);
        else
            update(array[i], 1);
        check_resident(11);
        read_all(array[i], 1);
        check_resident(11);
    }
    check_case("trim on request");
    update(array[1], 2);
    CHECK_EQ(nsh_array_trim(array[1]), NSH_SUCCESS);
    check_resident(11);
    read_all(array[1], 2);
    check_resident(11);
    CHECK_EQ(nsh_array_trim(NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_array_trim(small), NSH_SUCCESS);
    check_case("idle arrays are trimmed");
    update(array[1], 3);
    read_all(array[1], 3);
    nsh__arrays_trim_idle(comm, nsh__array_clock());
    if (check_rank == 0)
        CHECK(resident() - before > bytes / 10 * 15); /* not yet: it was changed just now */
    nsh__arrays_trim_idle(comm, nsh__array_clock() + INT64_C(11000000000));
    check_resident(11);
    read_all(array[1], 3);
    check_case("a change of one array trims another that is idle");
    update(array[1], 4);
    read_all(array[1], 4);
    array[1]->changed -= INT64_C(11000000000);
    comm->trimmed = 0;
    CHECK_ALL(nsh_array_fill(small, &one), NSH_SUCCESS);
    check_resident(11);
    for (int i = 0; i < 2; i++)
        CHECK_ALL(nsh_array_free(&array[i]), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&small), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
