/* test_file_conflict.c -- ranks: 1 3  layouts: one-node cliques-2 per-rank
 * seconds: 60
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Several handles, and other programs, at one path: data of another file is never taken for this
 * one's, and data that was reported as written is never lost without an error. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nodeshare.h>

#include "scratch.h"

enum { N = 1000 };

static nsh_comm *comm;
static nsh_array *array; /* N doubles */
static char path[512];

static void fill(double value)
{
    CHECK_ALL(nsh_array_fill(array, &value), NSH_SUCCESS);
}

/* All of the array's elements, if they are the same. */
static double held(void)
{
    const double *data = nsh_array_data(array);

    for (int i = 1; i < N; i++)
        if (data[i] != data[0])
            return -99;
    return data[0];
}

static nsh_file *begin(nsh_file_mode mode)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, mode, NULL, &file), NSH_SUCCESS);
    return file;
}

/* Another program's new file: "x" holds value and does not lie where it lay in the one before. */
static void replace_with(double value)
{
    static int times;
    nsh_file *file = begin(NSH_FILE_CREATE);

    for (int i = 0; i <= times; i++) {
        char name[32];

        snprintf(name, sizeof name, "pad%d", i);
        fill(-7);
        CHECK_ALL(nsh_file_write(file, name, array), NSH_SUCCESS);
    }
    times++;
    fill(value);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* The value at path now. */
static double at_path(void)
{
    nsh_file *file = begin(NSH_FILE_READ);

    fill(0);
    CHECK_ALL(nsh_file_read(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    return held();
}

/* What this rank gets by itself of the last element of "x". */
static int get(nsh_file *file, double *out)
{
    const int64_t last = N - 1, one = 1;

    *out = -1;
    return nsh_file_get(file, "x", &last, &one, MPI_DOUBLE, out, sizeof *out);
}

static void gets(nsh_file *file, double value)
{
    double got;

    CHECK_EQ(get(file, &got), NSH_SUCCESS);
    CHECK_DOUBLE(got, value);
}

/* The file cannot be reached from here any more. */
static void gets_nothing(nsh_file *file)
{
    double got;

    CHECK_EQ(get(file, &got), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "replaced");
    CHECK_DOUBLE(got, -1);
}

/* Is this rank the first of its node, which keeps open what it may have to read? */
static bool leads(void)
{
    for (int r = 0; r < check_rank; r++)
        if (nsh_comm_node_of(comm, r) == nsh_comm_node_of(comm, check_rank))
            return false;
    return true;
}

static void test_reading(void)
{
    nsh_file *early, *late;

    check_case("a file for reading stays the one that was opened");
    replace_with(1);
    early = begin(NSH_FILE_READ);
    late = begin(NSH_FILE_READ);
    gets(early, 1);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            replace_with(2);
        else
            scratch_unlink("conflict.h5");
        CHECK_ALL(nsh_file_read(early, "x", array), NSH_SUCCESS);
        CHECK_DOUBLE(held(), 1);
        CHECK_ALL(nsh_file_read(late, "x", array), NSH_SUCCESS);
        CHECK_DOUBLE(held(), 1);
        gets(early, 1);
        if (leads())
            gets(late, 1);
        else
            gets_nothing(late);
        PMPI_Barrier(MPI_COMM_WORLD);
    }
    CHECK_ALL(nsh_file_close(&early), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&late), NSH_SUCCESS);
}

/* A handle has committed, and then another program has replaced its file. */
static void test_committed(void)
{
    nsh_file *file;
    double got;

    check_case("what was committed is what is read, on every rank, and is not continued");
    replace_with(3);
    file = begin(NSH_FILE_CREATE);
    fill(4);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    CHECK_EQ(get(file, &got), NSH_ERR_STATE);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    gets(file, 4);
    fill(5);
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    gets(file, 4);
    PMPI_Barrier(MPI_COMM_WORLD);
    replace_with(6);
    CHECK_ALL(nsh_file_read(file, "x", array), NSH_SUCCESS);
    CHECK_DOUBLE(held(), 4);
    gets(file, 4);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_file_write(file, "z", array), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "replaced");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS); /* nothing was changed */
    CHECK_EQ(at_path(), 6);
}

/* ---- two that change a file ---- */

static void is_busy(const nsh_file_options *options)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, options, &file), NSH_ERR_BUSY);
    CHECK_HAS(nsh_error_detail(), "another handle");
    CHECK(file == NULL);
}

static void test_busy(void)
{
    const nsh_file_options in_place = {sizeof in_place, 0, 1};
    nsh_file *file;

    check_case("a second handle for changes is refused until the first is closed");
    replace_with(20);
    file = begin(NSH_FILE_APPEND);
    is_busy(NULL);
    is_busy(&in_place);
    CHECK_EQ(at_path(), 20); /* readers are not */
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    is_busy(NULL);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    is_busy(NULL); /* another file is at the path now, but it is locked too */
    CHECK_EQ(at_path(), 20);
    CHECK_ALL(nsh_file_write(file, "z", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, &in_place, &file), NSH_SUCCESS);
    is_busy(NULL);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = begin(NSH_FILE_CREATE);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    is_busy(NULL); /* its next change continues from the present file */
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = begin(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* A file that does not exist yet cannot be locked: the second handle to commit gets an error. */
static void test_both_new(void)
{
    nsh_file *first, *second;

    check_case("two make the file that both would go on with");
    scratch_unlink("conflict.h5");
    first = begin(NSH_FILE_APPEND);
    second = begin(NSH_FILE_APPEND);
    fill(21);
    CHECK_ALL(nsh_file_write(first, "x", array), NSH_SUCCESS);
    fill(22);
    CHECK_ALL(nsh_file_write(second, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&first), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&second), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "meanwhile, which stays");
    CHECK_EQ(at_path(), 21);
}

/* Rank 0 writes to the file at the path, and neither its size nor its inode changes. */
static void scribble(void)
{
    const struct timespec later[2] = {{2000000000, 0}, {2000000000, 0}};
    int fd;

    if (check_rank == 0) {
        fd = open(path, O_RDWR);
        CHECK(fd >= 0 && pwrite(fd, "", 0, 0) == 0 && futimens(fd, later) == 0);
        close(fd);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Another program ignores the locks. */
static void test_second_defence(void)
{
    nsh_file *file;

    check_case("a commit replaces nothing that others have written or put there");
    replace_with(23);
    file = begin(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    replace_with(24);
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "has been replaced");
    CHECK_EQ(at_path(), 24);
    file = begin(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    scribble();
    CHECK_ALL(nsh_file_commit(file), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "has written to");
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_STATE);
    file = begin(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    scratch_unlink("conflict.h5"); /* then no data can be lost */
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(at_path(), 24);
    CHECK_EQ(scratch_count("conflict.h5"), 1);
}

/* One frame more, by this rank alone. True: it was reported as written. */
static bool append_one(nsh_comm *own, nsh_array *frame)
{
    nsh_file *file = NULL;
    int rc = nsh_file_open(own, path, NSH_FILE_APPEND, NULL, &file);

    if (rc == NSH_ERR_BUSY)
        return false;
    CHECK_EQ(rc, NSH_SUCCESS);
    if (rc != NSH_SUCCESS)
        return true; /* it would be no better the next time */
    CHECK_EQ(nsh_file_append(file, "s", frame), NSH_SUCCESS);
    CHECK_EQ(nsh_file_close(&file), NSH_SUCCESS);
    return true;
}

/* Every rank is a job of its own, and each has frames for the same file. */
static void test_race(void)
{
    enum { FRAMES = 12 };
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    nsh_array *frame = NULL;
    nsh_comm *own = NULL;
    nsh_file *file;

    check_case("jobs that append in turns lose no frame");
    replace_with(25);
    CHECK_EQ(nsh_comm_create_serial(&own), NSH_SUCCESS);
    CHECK_EQ(nsh_array_create(own, MPI_DOUBLE, 0, NULL, NULL, &frame), NSH_SUCCESS);
    file = begin(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_append_hyperslab(file, "s", MPI_DOUBLE, 0, NULL, nsh_array_data(frame), NULL,
                                        NULL),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < FRAMES;)
        i += append_one(own, frame);
    PMPI_Barrier(MPI_COMM_WORLD);
    file = begin(NSH_FILE_READ);
    CHECK_ALL(nsh_file_info(file, "s", &info), NSH_SUCCESS);
    CHECK_EQ(info.extent[0], 1 + FRAMES * check_size);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&frame), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&own), NSH_SUCCESS);
}

/* ---- what makes a new file invalid ---- */

typedef enum failing { TWICE, NO_NAME, MISMATCH, SLAB, FRAME, SERIES, ATTR, DIM, FAILINGS } failing;

/* A change that fails, in a way that leaves no trace in the file. */
static int fail_once(nsh_file *file, failing how)
{
    const int64_t wrong = -1, n = N;
    const double value = 0;

    switch (how) {
    case TWICE:
        return nsh_file_write(file, "x", array);
    case NO_NAME:
        return nsh_file_write(file, "", array);
    case MISMATCH:
        return nsh_file_write(file, check_rank == 0 ? "p" : "q", check_size > 1 ? array : NULL);
    case SLAB:
        return nsh_file_write_hyperslab(file, "x", MPI_INT, 1, &n, NULL, NULL, NULL);
    case FRAME:
        return nsh_file_append(file, "x", array);
    case ATTR:
        return nsh_file_set_attr(file, "nobody", "a", NSH_ATTR_DOUBLE, 1, &value);
    case DIM:
        return nsh_file_set_dim(file, "x", 5, "label", NULL, NULL);
    case SERIES:
    default:
        return nsh_file_append_hyperslab(file, "s", MPI_INT, 1, &wrong, NULL, NULL, NULL);
    }
}

/* Some changes of a new file have failed: it would be incomplete, and does not replace another
 * file. */
static void test_invalid(void)
{
    nsh_file *file;

    check_case("a failed change of a new file spoils its commit");
    replace_with(10);
    for (int how = 0; how < FAILINGS; how++) {
        file = begin(NSH_FILE_CREATE);
        fill(11);
        CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
        CHECK(CHECK_SAME(fail_once(file, how)) != NSH_SUCCESS);
        CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
        CHECK_ALL(nsh_file_read(file, "x", array), NSH_SUCCESS);
        if (how % 2 == 0)
            CHECK_ALL(nsh_file_commit(file), NSH_ERR_STATE);
        CHECK_ALL(nsh_file_close(&file), NSH_ERR_STATE);
        CHECK_HAS(nsh_error_detail(), "has failed (NSH_ERR");
        CHECK_EQ(at_path(), 10);
    }
    file = begin(NSH_FILE_APPEND); /* but a file that continues a whole file stays whole */
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_ERR_EXISTS);
    fill(12);
    CHECK_ALL(nsh_file_write(file, "y", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = begin(NSH_FILE_CREATE);
    fill(13);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_ERR_EXISTS); /* what is whole stays so */
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(at_path(), 13);
}

int main(int argc, char **argv)
{
    const int64_t extent[] = {N};

    check_init(&argc, &argv);
    check_needs_hdf5();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    scratch_make();
    snprintf(path, sizeof path, "%s", scratch_path("conflict.h5"));
    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, extent, NULL, &array), NSH_SUCCESS);
    test_reading();
    test_committed();
    test_busy();
    test_both_new();
    test_second_defence();
    test_race();
    test_invalid();
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
