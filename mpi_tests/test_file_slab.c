/* test_file_slab.c -- ranks: 1 3  layouts: one-node cliques-2 odd-even per-rank hosts-2 serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Hyperslabs, series, reads by one rank, attributes and dimensions, against plain loops. */
#define _GNU_SOURCE
#include "check.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "scratch.h"

enum { A = 7, B = 11, C = 5 };

static nsh_comm *comm;

static int32_t value(int64_t a, int64_t b, int64_t c)
{
    return (int32_t)(100000 + 10000 * a + 100 * b + c);
}

static nsh_file *open_file(const char *name, nsh_file_mode mode, int writers)
{
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    nsh_file *file = NULL;

    options.writers = writers;
    CHECK_ALL(nsh_file_open(comm, scratch_path(name), mode, &options, &file), NSH_SUCCESS);
    return file;
}

static nsh_array *make(MPI_Datatype type, int ndim, const int64_t extent[])
{
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(comm, type, ndim, extent, NULL, &array), NSH_SUCCESS);
    return array;
}

/* ---- reading ---- */

static const int64_t slabs[][6] = {
    {0, 0, 0, A, B, C}, {2, 3, 1, 3, 5, 2}, {6, 0, 0, 1, B, C}, {0, 10, 0, A, 1, C},
    {0, 0, 4, A, B, 1}, {3, 4, 2, 1, 1, 1}, {1, 1, 1, 0, 3, 2}, {0, 2, 0, 1, 4, C},
    {4, 0, 0, 3, B, C}, {5, 5, 0, 2, 6, 5}, {0, 0, 1, 1, 1, 3}, {7, 0, 0, 0, 0, 0},
};

/* The elements of the array are -1 but for the hyperslab, which came to (1, 2, 3). */
static bool holds(const int32_t *seen, const int64_t *o, const int64_t *n)
{
    bool good = true;

    for (int64_t a = 0; a < A + 2; a++)
        for (int64_t b = 0; b < B + 2; b++)
            for (int64_t c = 0; c < C + 3; c++) {
                bool inside =
                    a >= 1 && a < 1 + n[0] && b >= 2 && b < 2 + n[1] && c >= 3 && c < 3 + n[2];
                int32_t want = inside ? value(a - 1 + o[0], b - 2 + o[1], c - 3 + o[2]) : -1;

                good &= seen[(a * (B + 2) + b) * (C + 3) + c] == want;
            }
    return good;
}

static bool equals(const int32_t *seen, const int64_t *o, const int64_t *n)
{
    bool good = true;

    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++)
                good &= *seen++ == value(a + o[0], b + o[1], c + o[2]);
    return good;
}

static void read_slabs(nsh_file *file, const char *name)
{
    const int64_t extent[] = {A + 2, B + 2, C + 3}, to[] = {1, 2, 3};
    nsh_array *into = make(MPI_INT32_T, 3, extent);
    int32_t mine[A * B * C], minus = -1;

    for (size_t i = 0; i < sizeof slabs / sizeof slabs[0]; i++) {
        const int64_t *o = slabs[i], *n = slabs[i] + 3;

        CHECK_ALL(nsh_array_fill(into, &minus), NSH_SUCCESS);
        CHECK_ALL(nsh_file_read_hyperslab(file, name, o, n, into, to), NSH_SUCCESS);
        CHECK(holds(nsh_array_data(into), o, n));
        /* Each rank another one, at its own time. */
        o = slabs[(i + (size_t)check_rank) % (sizeof slabs / sizeof slabs[0])];
        CHECK_EQ(nsh_file_get(file, name, o, o + 3, MPI_INT32_T, mine, sizeof mine), NSH_SUCCESS);
        CHECK(equals(mine, o, o + 3));
    }
    CHECK_ALL(nsh_array_free(&into), NSH_SUCCESS);
}

static void write_whole(nsh_file *file, const char *name)
{
    const int64_t extent[] = {A, B, C};
    nsh_array *array = make(MPI_INT32_T, 3, extent);
    int32_t data[A * B * C], *p = data;

    for (int a = 0; a < A; a++)
        for (int b = 0; b < B; b++)
            for (int c = 0; c < C; c++)
                *p++ = value(a, b, c);
    CHECK_ALL(nsh_array_set(array, data, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, name, array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void test_read(void)
{
    nsh_file *file = open_file("slabs.h5", NSH_FILE_CREATE, 0);

    check_case("read hyperslabs");
    write_whole(file, "x");
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    read_slabs(file, "x");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file("slabs.h5", NSH_FILE_READ, 0);
    read_slabs(file, "x");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* Rows with gaps, small and large, which are read through or by themselves. */
static void test_sparse(void)
{
    const int64_t extent[] = {300, 70000};
    const int64_t widths[] = {1, 7, 1000, 40000, 70000};
    nsh_array *array = make(MPI_INT16_T, 2, extent), *into;
    int16_t *data = malloc(300 * 70000 * sizeof *data);
    nsh_file *file;

    check_case("read narrow and wide columns");
    for (int64_t i = 0; i < 300 * 70000; i++)
        data[i] = (int16_t)(i * 7919 % 65521);
    CHECK_ALL(nsh_array_set(array, data, NULL, NULL, 0), NSH_SUCCESS);
    file = open_file("sparse.h5", NSH_FILE_CREATE, 0);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    file = open_file("sparse.h5", NSH_FILE_READ, 0);
    for (int i = 0; i < 5; i++) {
        const int64_t offset[] = {3, (70000 - widths[i]) / 2}, count[] = {290, widths[i]};
        int16_t *mine = malloc((size_t)(290 * widths[i]) * sizeof *mine);
        bool good = true;

        into = make(MPI_INT16_T, 2, count);
        CHECK_ALL(nsh_file_read_hyperslab(file, "x", offset, count, into, NULL), NSH_SUCCESS);
        CHECK_EQ(nsh_file_get(file, "x", offset, count, MPI_INT16_T, mine, 290 * widths[i] * 2),
                 NSH_SUCCESS);
        for (int64_t r = 0; r < 290; r++)
            good &= memcmp((const int16_t *)nsh_array_data(into) + r * widths[i],
                           data + (r + 3) * 70000 + offset[1], (size_t)widths[i] * 2) == 0;
        CHECK(good);
        CHECK_MEM(mine, nsh_array_data(into), 290 * widths[i] * 2);
        CHECK_ALL(nsh_array_free(&into), NSH_SUCCESS);
        free(mine);
    }
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    free(data);
}

/* ---- writing ---- */

/* This rank's block of columns of an A x B x C whole; the last rank has none if there are several.
 */
static void my_block(int64_t *offset, int64_t *count)
{
    int active = check_size > 1 ? check_size - 1 : 1;

    offset[0] = offset[2] = 0;
    count[0] = A;
    count[2] = C;
    offset[1] = check_rank < active ? B * check_rank / active : 0;
    count[1] = check_rank < active ? B * (check_rank + 1) / active - offset[1] : 0;
}

static int32_t *my_data(const int64_t *offset, const int64_t *count)
{
    int32_t *data = malloc((size_t)(count[0] * count[1] * count[2] + 1) * sizeof *data), *p = data;

    for (int64_t a = 0; a < count[0]; a++)
        for (int64_t b = 0; b < count[1]; b++)
            for (int64_t c = 0; c < count[2]; c++)
                *p++ = value(offset[0] + a, offset[1] + b, offset[2] + c);
    return data;
}

static void whole_is_there(nsh_file *file, const char *name)
{
    const int64_t zero[3] = {0}, extent[] = {A, B, C};
    nsh_array *into = make(MPI_INT32_T, 3, extent);

    CHECK_ALL(nsh_file_read(file, name, into), NSH_SUCCESS);
    CHECK(equals(nsh_array_data(into), zero, extent));
    CHECK_ALL(nsh_array_free(&into), NSH_SUCCESS);
}

static void test_write(void)
{
    const int64_t extent[] = {A, B, C};
    int64_t offset[3], count[3];
    int32_t *data;

    my_block(offset, count);
    data = my_data(offset, count);
    for (int writers = 0; writers <= 1; writers++) {
        const char *name = writers == 0 ? "blocks.h5" : "through.h5";
        nsh_file *file = open_file(name, NSH_FILE_CREATE, writers);

        check_case("write hyperslabs, %s", writers == 0 ? "all nodes" : "one writer");
        CHECK_ALL(
            nsh_file_write_hyperslab(file, "g/x", MPI_INT32_T, 3, extent, data, offset, count),
            NSH_SUCCESS);
        whole_is_there(file, "g/x"); /* before it is committed */
        CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
        read_slabs(file, "g/x");
        /* In two halves, the second after a commit: into what is there. */
        for (int half = 0; half < 2; half++) {
            int64_t o[] = {half == 0 ? 0 : 3, offset[1], 0};
            int64_t n[] = {half == 0 ? 3 : A - 3, count[1], C};
            int32_t *part = my_data(o, n);

            CHECK_ALL(nsh_file_write_hyperslab(file, "y", MPI_INT32_T, 3, extent, part, o, n),
                      NSH_SUCCESS);
            CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
            free(part);
        }
        read_slabs(file, "y"); /* whose readers were opened when there was none */
        read_slabs(file, "y"); /* each rank's reader has seen only what was there before */
        CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
        file = open_file(name, NSH_FILE_READ, 0);
        read_slabs(file, "y");
        read_slabs(file, "g/x");
        CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    }
    free(data);
}

/* How often this process has asked the system to write; -1: the system does not say. */
static int64_t writes_asked(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    char line[100];
    long long n = -1;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        (void)!sscanf(line, "syscw: %lld", &n);
    if (f != NULL)
        fclose(f);
    return n;
}

static char column_value(int64_t row, int64_t column)
{
    return (char)(1 + (row * 31 + column * 7) % 113);
}

/* Blocks of columns, over bytes that were there before and stay in the gaps between the blocks. In
 * the file a row is `blocks` rows of `stride` elements. */
static void write_columns(nsh_file *file, const char *name, MPI_Datatype type, int64_t size,
                          int64_t rows, int64_t blocks, int64_t stride, int64_t width)
{
    const int64_t extent[] = {rows, blocks, stride};
    const int64_t offset[] = {2, 0, check_rank * width}, count[] = {rows - 3, blocks - 1, width};
    int64_t row_bytes = blocks * stride * size, wrong = 0, before, asked;
    char *whole = malloc((size_t)(rows * row_bytes)), *p, *data;
    nsh_array *array = make(type, 3, extent);

    memset(whole, -5, (size_t)(rows * row_bytes));
    CHECK_ALL(nsh_array_set(array, whole, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, name, array), NSH_SUCCESS);
    p = data = malloc((size_t)(count[0] * count[1] * width * size));
    for (int64_t i = 0; i < rows * row_bytes; i++) {
        int64_t row = i / row_bytes, block = i / (stride * size) % blocks, at = i % (stride * size);

        if (row < 2 || row >= rows - 1 || block == blocks - 1 || at >= width * size * check_size)
            continue;
        whole[i] = column_value(row * blocks + block, at);
        if (at / (width * size) == check_rank)
            *p++ = whole[i];
    }
    before = writes_asked();
    CHECK_ALL(nsh_file_write_hyperslab(file, name, type, 3, extent, data, offset, count),
              NSH_SUCCESS);
    asked = writes_asked() - before;
    CHECK(before < 0 || asked < count[0] * count[1] / 2);
    CHECK_ALL(nsh_file_read(file, name, array), NSH_SUCCESS);
    for (int64_t i = 0; i < rows * row_bytes; i++)
        wrong += ((const char *)nsh_array_data(array))[i] != whole[i];
    CHECK_EQ(wrong, 0);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    free(data);
    free(whole);
}

static void test_columns(void)
{
    nsh_file *file = open_file("columns.h5", NSH_FILE_CREATE, 0);
    int64_t n = check_size;
    MPI_Datatype three;

    check_case("write columns in short runs");
    MPI_Type_contiguous(3, MPI_BYTE, &three);
    MPI_Type_commit(&three);
    write_columns(file, "close", MPI_DOUBLE, 8, 600, 100, 2 * n, 2);
    write_columns(file, "gaps", MPI_DOUBLE, 8, 400, 101, 2 * n + 9, 2);
    write_columns(file, "odd", three, 3, 200, 301, n + 5, 1);
    write_columns(file, "bytes", MPI_BYTE, 1, 300, 1501, n + 1, 1);
    MPI_Type_free(&three);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* Columns so far from each other that what is between them is not touched: it is another rank's, of
 * which only some take part. */
static void test_far_columns(void)
{
    const int64_t extent[] = {50, 3 << 14}, offset[] = {1, (int64_t)check_rank << 14};
    const int64_t count[] = {check_rank == 1 ? 0 : 48, 3};
    nsh_file *file = open_file("far.h5", NSH_FILE_CREATE, 0);
    nsh_array *array = make(MPI_INT, 2, extent);
    int data[48 * 3];
    int64_t wrong = 0;

    check_case("write columns far apart");
    for (int i = 0; i < 48 * 3; i++)
        data[i] = 1000 * (check_rank + 1) + i;
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_INT, 2, extent, data, offset, count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", array), NSH_SUCCESS);
    for (int64_t i = 0; i < 50 * (3 << 14); i++) {
        int64_t row = i / (3 << 14) - 1, rank = i % (3 << 14) >> 14, column = i % (1 << 14);
        bool written = row >= 0 && row < 48 && rank < check_size && rank != 1 && column < 3;
        int64_t want = written ? 1000 * (rank + 1) + row * 3 + column : 0;

        wrong += ((const int *)nsh_array_data(array))[i] != want;
    }
    CHECK_EQ(wrong, 0);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

/* Elements that no rank has written are zero; rank 0 writes a scalar. */
static void test_holes(void)
{
    const int64_t extent[] = {1000, 1000}, offset[] = {500, check_rank}, count[] = {1, 1};
    nsh_file *file = open_file("holes.h5", NSH_FILE_CREATE, 0);
    nsh_array *array = make(MPI_INT, 2, extent), *one = make(MPI_INT, 0, NULL);
    int mine = 77 + check_rank;
    int64_t wrong = 0;

    check_case("holes and scalars");
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_INT, 2, extent, &mine, offset, count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_write_hyperslab(file, "s", MPI_INT, 0, NULL, &mine, NULL, NULL),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "s", one), NSH_SUCCESS);
    for (int64_t i = 0; i < 1000000; i++) {
        int64_t r = i - 500000;

        wrong +=
            ((const int *)nsh_array_data(array))[i] != (r >= 0 && r < check_size ? 77 + (int)r : 0);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(*(const int *)nsh_array_data(one), 77);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&one), NSH_SUCCESS);
}

/* ---- series ---- */

static void append_frames(nsh_file *file, int from, int to)
{
    const int64_t extent[] = {B, C};
    nsh_array *frame = make(MPI_INT32_T, 2, extent);
    int64_t offset[3], count[3];

    my_block(offset, count);
    for (int a = from; a < to; a++) {
        int64_t o[] = {a, 0, 0}, n[] = {1, B, C};
        int32_t *whole = my_data(o, n), *part;

        CHECK_ALL(nsh_array_set(frame, whole, NULL, NULL, a % check_size), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "run/t", frame), NSH_SUCCESS);
        o[1] = offset[1];
        n[1] = count[1];
        part = my_data(o, n);
        CHECK_ALL(nsh_file_append_hyperslab(file, "run/p", MPI_INT32_T, 2, extent, part, offset + 1,
                                            count + 1),
                  NSH_SUCCESS);
        free(part);
        free(whole);
    }
    CHECK_ALL(nsh_array_free(&frame), NSH_SUCCESS);
}

static void test_series(void)
{
    const int64_t frame[] = {B, C}, offset[] = {4, 0, 0}, count[] = {1, B, C};
    nsh_file *file = open_file("series.h5", NSH_FILE_APPEND, 0);
    nsh_array *into = make(MPI_INT32_T, 2, frame);
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;

    check_case("series: appended, continued, read");
    append_frames(file, 0, 3);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    append_frames(file, 3, 4);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file("series.h5", NSH_FILE_APPEND, 0);
    append_frames(file, 4, A);
    CHECK_ALL(nsh_file_info(file, "run/t", &info), NSH_SUCCESS);
    CHECK_EQ(info.ndim, 3);
    CHECK_EQ(info.growing, 1);
    CHECK_EQ(info.extent[0], A);
    CHECK_EQ(info.extent[1], B);
    CHECK(info.chunk[0] > 0 && info.chunk[1] > 0 && info.chunk[2] > 0);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file("series.h5", NSH_FILE_READ, 0);
    read_slabs(file, "run/t");
    read_slabs(file, "run/p");
    CHECK_ALL(nsh_file_read_hyperslab(file, "run/t", offset, count, into, NULL), NSH_SUCCESS);
    CHECK(equals(nsh_array_data(into), offset, count));
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&into), NSH_SUCCESS);
}

/* Frames of no dimension, without elements, and larger than a chunk. */
static void test_frames(void)
{
    const int64_t none[] = {3, 0}, large[] = {3, 5, 40000};
    nsh_file *file = open_file("frames.h5", NSH_FILE_CREATE, 0);
    nsh_array *one = make(MPI_DOUBLE, 0, NULL), *empty = make(MPI_INT, 2, none);
    nsh_array *big = make(MPI_INT, 3, large), *loaded = NULL;
    double now = 0.5;
    int fill, wrong = 0;

    check_case("frames of other shapes");
    for (int i = 0; i < 4; i++) {
        now += 1;
        fill = i;
        CHECK_ALL(nsh_array_set(one, &now, NULL, NULL, 0), NSH_SUCCESS);
        CHECK_ALL(nsh_array_fill(big, &fill), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "time", one), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "empty", empty), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "big", big), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_file_load(file, "time", &loaded), NSH_SUCCESS);
    CHECK_EQ(nsh_array_size(loaded), 4);
    CHECK_DOUBLE(((const double *)nsh_array_data(loaded))[3], 4.5);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_load(file, "empty", &loaded), NSH_SUCCESS);
    CHECK_EQ(nsh_array_extent_of(loaded, 0), 4);
    CHECK_EQ(nsh_array_size(loaded), 0);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_load(file, "big", &loaded), NSH_SUCCESS);
    for (int64_t i = 0; i < 4 * 600000; i++)
        wrong += ((const int *)nsh_array_data(loaded))[i] != i / 600000;
    CHECK_EQ(wrong, 0);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&one), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&empty), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&big), NSH_SUCCESS);
}

/* Chunks divide frames so that the file is hardly longer than what is in it. */
static void test_chunks(void)
{
    static const int64_t shapes[][2] = {{82, 400},  {200, 400}, {200, 200}, {182, 181}, {33000, 1},
                                        {100, 360}, {361, 720}, {5, 12500}, {3, 40000}, {37, 5417}};
    nsh_file *file = open_file("chunks.h5", NSH_FILE_CREATE, 0);
    static double data[361 * 720];

    check_case("chunks divide frames evenly");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int64_t none[] = {0, 0}, bytes = shapes[i][0] * shapes[i][1] * 8;
        nsh_dataset_info info = NSH_DATASET_INFO_INIT;
        char name[16];

        snprintf(name, sizeof name, "s%zu", i);
        CHECK_ALL(nsh_file_append_hyperslab(file, name, MPI_DOUBLE, 2, shapes[i], data, NULL,
                                            check_rank == 0 ? NULL : none),
                  NSH_SUCCESS);
        CHECK_ALL(nsh_file_info(file, name, &info), NSH_SUCCESS);
        CHECK(info.chunk[1] * info.chunk[2] * 8 <= 256 << 10);
        CHECK(info.chunk[1] * info.chunk[2] * 8 >= 32 << 10);
        CHECK(info.stored >= bytes && info.stored <= bytes + bytes / 16);
    }
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
}

/* ---- attributes, dimensions ---- */

enum { LONG_TEXT = 200000 };

static const int32_t narrow[] = {INT32_MIN, 7, INT32_MAX};
static const float single[] = {0.1f, -3e38f};

/* Numbers of four bytes, and text of any length. */
static void set_other_attrs(nsh_file *file)
{
    const double beyond[] = {1, 0x1p40, 2.5};
    char *text = malloc(LONG_TEXT + 1);

    memset(text, 'x', LONG_TEXT + 1);
    text[10] = '\0';
    CHECK_ALL(nsh_file_set_attr(file, NULL, "short", NSH_ATTR_TEXT, 60000, text), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "long", NSH_ATTR_TEXT, 60001, text), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "a NUL in the 60001 bytes");
    text[10] = 'y';
    text[LONG_TEXT] = '\0';
    CHECK_ALL(nsh_file_set_attr(file, NULL, "long", NSH_ATTR_TEXT, -1, text), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "g", "a", NSH_ATTR_INT32, 8193, text), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_attr(file, "g", "a", NSH_ATTR_DOUBLE, 4097, text), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_attr(file, "g", "a", (nsh_attr_type)5, 1, text), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "narrow", NSH_ATTR_INT32, 3, narrow), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "single", NSH_ATTR_FLOAT, 2, single), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "beyond", NSH_ATTR_DOUBLE, 2, beyond), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "broken", NSH_ATTR_DOUBLE, 3, beyond), NSH_SUCCESS);
    free(text);
}

static void has_attr(nsh_file *file, const char *attr, nsh_attr_type type, int64_t n,
                     const void *values, int64_t bytes)
{
    int64_t count = 0;
    void *got = NULL;

    CHECK_ALL(nsh_file_get_attr(file, NULL, attr, type, &count, &got), NSH_SUCCESS);
    CHECK_EQ(count, n);
    if (count == n)
        CHECK_MEM(got, values, bytes);
    free(got);
}

static void test_other_attrs(nsh_file *file)
{
    const int64_t wide[] = {INT32_MIN, 7, INT32_MAX}, beyond[] = {1, INT64_C(1) << 40};
    const float rounded[] = {(float)INT32_MIN, 7, (float)INT32_MAX};
    const double twice[] = {(double)single[0], (double)single[1]};
    int64_t n = 0;
    char *text = NULL;
    void *got = NULL;

    has_attr(file, "narrow", NSH_ATTR_INT32, 3, narrow, sizeof narrow);
    has_attr(file, "narrow", NSH_ATTR_INT64, 3, wide, sizeof wide);
    has_attr(file, "narrow", NSH_ATTR_FLOAT, 3, rounded, sizeof rounded);
    has_attr(file, "single", NSH_ATTR_FLOAT, 2, single, sizeof single);
    has_attr(file, "single", NSH_ATTR_DOUBLE, 2, twice, sizeof twice);
    has_attr(file, "beyond", NSH_ATTR_INT64, 2, beyond, sizeof beyond);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "beyond", NSH_ATTR_INT32, &n, &got), NSH_ERR_TYPE);
    CHECK_HAS(nsh_error_detail(), "1099511627776, which is no int32");
    CHECK_ALL(nsh_file_get_attr(file, NULL, "broken", NSH_ATTR_INT64, &n, &got), NSH_ERR_TYPE);
    CHECK_HAS(nsh_error_detail(), "2.5, which is no int64");
    CHECK(got == NULL);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "single", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "0.100000001, -3.00000001e+38");
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "long", NSH_ATTR_TEXT, &n, (void **)&text),
              NSH_SUCCESS);
    CHECK_EQ(n, LONG_TEXT);
    CHECK(n == LONG_TEXT && text[10] == 'y' && strspn(text + 11, "x") == LONG_TEXT - 11);
    free(text);
}

static void test_attrs(void)
{
    const int64_t whole[] = {3, -4, INT64_MAX}, one = 42;
    const double real[] = {0.1, -2.5};
    nsh_file *file = open_file("slabs.h5", NSH_FILE_APPEND, 0);
    char **names = NULL;
    int64_t n = 0;
    void *got = NULL;

    check_case("attributes");
    CHECK_ALL(nsh_file_set_attr(file, NULL, "title", NSH_ATTR_TEXT, -1, "H\xc3\xa4us"),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "empty", NSH_ATTR_TEXT, 0, ""), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "parts", NSH_ATTR_TEXT, 7, "abc\0def"), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "x", "whole", NSH_ATTR_INT64, 3, whole), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "x", "real", NSH_ATTR_DOUBLE, 2, real), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "x", "one", NSH_ATTR_TEXT, -1, "first"), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "x", "one", NSH_ATTR_INT64, 1, &one), NSH_SUCCESS);
    set_other_attrs(file);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file("slabs.h5", NSH_FILE_READ, 0);
    CHECK_ALL(nsh_file_list_attrs(file, "x", &n, &names), NSH_SUCCESS);
    CHECK_EQ(n, 3);
    if (n == 3) {
        CHECK_STR(names[0], "one");
        CHECK_STR(names[1], "real");
        CHECK_STR(names[2], "whole");
    }
    free(names);
    CHECK_ALL(nsh_file_get_attr(file, "", "title", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "H\xc3\xa4us");
    CHECK_EQ(n, 5);
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "parts", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_EQ(n, 7);
    CHECK_MEM(got, "abc\0def", 7);
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "empty", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "");
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, "x", "whole", NSH_ATTR_INT64, &n, &got), NSH_SUCCESS);
    CHECK_EQ(n, 3);
    CHECK_MEM(got, whole, sizeof whole);
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, "x", "real", NSH_ATTR_DOUBLE, &n, &got), NSH_SUCCESS);
    CHECK_MEM(got, real, sizeof real);
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, "x", "one", NSH_ATTR_DOUBLE, &n, &got), NSH_SUCCESS);
    CHECK_DOUBLE(*(double *)got, 42.0);
    free(got);
    CHECK_ALL(nsh_file_get_attr(file, "x", "whole", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "3, -4, 9223372036854775807");
    free(got);
    got = NULL;
    test_other_attrs(file);
    CHECK_ALL(nsh_file_get_attr(file, NULL, "title", NSH_ATTR_INT64, &n, &got), NSH_ERR_TYPE);
    CHECK_ALL(nsh_file_get_attr(file, "x", "none", NSH_ATTR_INT64, &n, &got), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_get_attr(file, "none", "x", NSH_ATTR_INT64, &n, &got), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_list_attrs(file, "none", &n, &names), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_set_attr(file, "x", "a", NSH_ATTR_INT64, 1, &one), NSH_ERR_STATE);
    CHECK(got == NULL);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

static void test_dims(void)
{
    nsh_file *file = open_file("dims.h5", NSH_FILE_CREATE, 0);
    nsh_array *loaded = NULL;
    double points[B];
    int64_t n = 0;
    void *got = NULL;

    check_case("dimensions");
    for (int i = 0; i < B; i++)
        points[i] = 0.25 * i;
    write_whole(file, "g/x");
    write_whole(file, "g/y");
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 1, "lat", "degree", check_rank == 0 ? points : NULL),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "g/y", 1, "lat", "degree", check_rank == 0 ? points : NULL),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 0, "level", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 0, "level", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 0, "height", "m", NULL), NSH_SUCCESS); /* instead */
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS); /* before anything fails */
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 3, "z", NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", -1, "z", NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 2, "y", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 2, "lat", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_set_dim(file, "g/x", 2, "a/b", NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(file, "g/z", 2, "lon", NULL, NULL), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_load(file, "g/lat", &loaded), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(loaded), points, nsh_array_nbytes(loaded));
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_get_attr(file, "g/lat", "units", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "degree");
    free(got);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* A coordinate that grows by a number per frame, and series of other lengths that share it. */
static void test_growing_dims(void)
{
    const double times[] = {0, 0.5, 1, 1.5};
    nsh_file *file = open_file("growing.h5", NSH_FILE_CREATE, 0);
    nsh_array *loaded = NULL;
    int64_t n = 0;
    void *got = NULL;

    check_case("coordinates of growing dimensions");
    append_frames(file, 0, 1);
    CHECK_ALL(nsh_file_set_dim(file, "run/t", 0, "time", "s", NULL), NSH_SUCCESS);
    append_frames(file, 1, 4);
    for (int i = 0; i < 4; i++)
        CHECK_ALL(
            nsh_file_append_hyperslab(file, "run/time", MPI_DOUBLE, 0, NULL, &times[i], NULL, NULL),
            NSH_SUCCESS);
    CHECK_ALL(nsh_file_get_attr(file, "run/time", "NAME", NSH_ATTR_TEXT, &n, &got), NSH_SUCCESS);
    CHECK_STR(got, "time");
    free(got);
    append_frames(file, 4, 5);
    CHECK_ALL(nsh_file_set_dim(file, "run/p", 0, "time", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_append_hyperslab(file, "run/s", MPI_DOUBLE, 0, NULL, times, NULL, NULL),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "run/s", 0, "time", NULL, times), NSH_SUCCESS);
    CHECK_ALL(nsh_file_load(file, "run/time", &loaded), NSH_SUCCESS); /* none is lost */
    CHECK_EQ(nsh_array_size(loaded), 4);
    CHECK_MEM(nsh_array_data(loaded), times, nsh_array_nbytes(loaded));
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS); /* before anything fails */
    CHECK_ALL(nsh_file_set_dim(file, "run/t", 1, "time", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_HAS(nsh_error_detail(), "grows, the dimension does not");
    CHECK_ALL(nsh_file_set_dim(file, "run/t", 1, "b", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "run/s", 0, "b", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_set_dim(file, "run/time", 0, "b", NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(file, "run/t", 0, "t", NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(file, "run/s", 0, "t", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* Lengths become coordinates, datasets too; each dimension has a scale, and none of them too
 * many. */
static void test_scales(void)
{
    const int64_t extent[] = {B};
    nsh_file *file = open_file("scales.h5", NSH_FILE_CREATE, 0);
    nsh_array *loaded = NULL;
    double points[B];
    char **names = NULL;
    int64_t n = 0;

    check_case("dimensions without labels, datasets as coordinates");
    for (int i = 0; i < B; i++)
        points[i] = 0.1 * i;
    write_whole(file, "x");
    CHECK_ALL(nsh_file_set_dim(file, "x", 1, "b", "m", NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_list(file, &n, &names), NSH_SUCCESS);
    CHECK_EQ(n, 4); /* b, x, x_dim0, x_dim2 */
    CHECK(n == 4 && strcmp(names[2], "x_dim0") == 0 && strcmp(names[3], "x_dim2") == 0);
    free(names);
    CHECK_ALL(nsh_file_set_dim(file, "x", 0, "a", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "x", 2, "c", NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_list(file, &n, &names), NSH_SUCCESS);
    CHECK_EQ(n, 4); /* a, b, c, x */
    free(names);
    CHECK_ALL(nsh_file_set_dim(file, "x", 1, "b", NULL, points), NSH_SUCCESS);
    CHECK_ALL(nsh_file_load(file, "b", &loaded), NSH_SUCCESS);
    CHECK(nsh_array_type(loaded) == MPI_DOUBLE);
    CHECK_MEM(nsh_array_data(loaded), points, sizeof points);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write_hyperslab(file, "level", MPI_INT32_T, 1, extent,
                                       check_rank == 0 ? points : NULL, NULL,
                                       check_rank == 0 ? NULL : &(int64_t){0}),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS); /* before anything fails */
    CHECK_ALL(nsh_file_set_dim(file, "x", 1, "level", NULL, points), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_set_dim(file, "x", 1, "level", "hPa", NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "x", 1, "level", NULL, points), NSH_ERR_TYPE);
    CHECK_ALL(nsh_file_set_dim(file, "x", 2, "level", NULL, NULL), NSH_ERR_EXISTS);
    CHECK_HAS(nsh_error_detail(), "is 11 long, not 5");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS); /* nothing of that has spoilt it */
}

/* ---- errors ---- */

/* Nothing after out_bytes is changed, and no element is taken for one of another type. */
/* Points are written with HDF5, the numbers of the same dataset without it. */
static void test_points(void)
{
    const double first[] = {1, 1, 1, 1}, second[] = {2, 2, 2, 2}, third[] = {3, 3, 3, 3};
    const int64_t four = 4, none = 0;
    const int64_t *count = check_rank == 0 ? &four : &none;
    nsh_file *file = open_file("points.h5", NSH_FILE_CREATE, 0);
    nsh_array *x = NULL;

    check_case("points and numbers of one dataset");
    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, &four, NULL, &x), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "y", x), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, "y", 0, "x", NULL, first), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", x), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(x), first, sizeof first);
    CHECK_ALL(nsh_file_set_dim(file, "y", 0, "x", NULL, second), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", x), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(x), second, sizeof second);
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_DOUBLE, 1, &four, third, NULL, count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", x), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(x), third, sizeof third);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&x), NSH_SUCCESS);
}

static void test_get_errors(void)
{
    const int64_t outside[] = {1, 0, 0}, extent[] = {A, B, C}, none[] = {0, B, C};
    const int64_t offset[] = {2, 3, 1}, count[] = {3, 5, 2};
    nsh_file *file = open_file("slabs.h5", NSH_FILE_READ, 0);
    int32_t data[A * B * C];

    check_case("errors of nsh_file_get");
    memset(data, 1, sizeof data);
    CHECK_EQ(nsh_file_get(NULL, "x", NULL, NULL, MPI_INT, data, sizeof data), NSH_ERR_ARG);
    CHECK_EQ(nsh_file_get(file, "x", outside, extent, MPI_INT, data, sizeof data), NSH_ERR_ARG);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_INT, NULL, sizeof data), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "out is NULL");
    CHECK_EQ(nsh_file_get(file, "nobody", NULL, NULL, MPI_INT, data, sizeof data),
             NSH_ERR_NOT_FOUND);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_FLOAT, data, sizeof data), NSH_ERR_TYPE);
    CHECK_HAS(nsh_error_detail(), "\"x\" has elements of int32, not float32");
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_UINT32_T, data, sizeof data), NSH_ERR_TYPE);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_BYTE, data, sizeof data), NSH_ERR_TYPE);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_DATATYPE_NULL, data, sizeof data),
             NSH_ERR_TYPE);
    CHECK_EQ(nsh_file_get(file, "x", NULL, none, MPI_DOUBLE, NULL, 0), NSH_ERR_TYPE);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_INT, data, sizeof data - 1), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "has 1540 bytes, out_bytes is 1539");
    CHECK_EQ(nsh_file_get(file, "x", offset, count, MPI_INT, data, 119), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "has 120 bytes, out_bytes is 119");
    CHECK_EQ(nsh_file_get(file, "x", NULL, none, MPI_INT, data, -1), NSH_ERR_ARG);
    CHECK_EQ(nsh_file_get(file, "x", NULL, none, MPI_INT, NULL, 0), NSH_SUCCESS);
    CHECK_EQ(data[0], 0x01010101);
    CHECK_EQ(nsh_file_get(file, "x", offset, count, MPI_INT, data, 120), NSH_SUCCESS);
    CHECK(equals(data, offset, count));
    CHECK_EQ(nsh_file_get(file, "x", offset, count, MPI_INT, data, sizeof data), NSH_SUCCESS);
    CHECK_EQ(data[30], 0x01010101);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

static void test_read_errors(void)
{
    const int64_t extent[] = {A, B, C}, outside[] = {1, 0, 0}, frame[] = {B, C};
    const int64_t one[] = {1, 1, 1}, two[] = {2, B, C};
    bool odd = check_rank == check_size - 1;
    nsh_file *file = open_file("slabs.h5", NSH_FILE_READ, 0);
    nsh_array *into = make(MPI_INT32_T, 3, extent), *flat = make(MPI_INT32_T, 2, frame);
    nsh_array *other = make(MPI_FLOAT, 3, extent);
    int32_t data[A * B * C] = {0};

    check_case("errors of hyperslabs that are read");
    CHECK_ALL(nsh_file_read_hyperslab(NULL, "x", NULL, NULL, into, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_read_hyperslab(file, "x", outside, extent, into, NULL), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "of the dataset in dimension 0");
    CHECK_ALL(nsh_file_read_hyperslab(file, "x", NULL, NULL, into, outside), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "of the array in dimension 0");
    CHECK_ALL(nsh_file_read_hyperslab(file, "x", NULL, two, flat, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_read_hyperslab(file, "x", NULL, NULL, other, NULL), NSH_ERR_TYPE);
    CHECK_ALL(nsh_file_read_hyperslab(file, "nobody", NULL, NULL, into, NULL), NSH_ERR_NOT_FOUND);
    if (check_size > 1)
        CHECK_ALL(nsh_file_read_hyperslab(file, "x", odd ? outside : NULL, one, into, NULL),
                  NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_write_hyperslab(file, "z", MPI_INT, 3, extent, data, NULL, NULL),
              NSH_ERR_STATE);
    CHECK_ALL(nsh_file_append(file, "z", flat), NSH_ERR_STATE);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file("new.h5", NSH_FILE_CREATE, 0);
    CHECK_EQ(nsh_file_get(file, "x", NULL, NULL, MPI_INT, data, sizeof data), NSH_ERR_STATE);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&into), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&flat), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&other), NSH_SUCCESS);
}

static void test_write_errors(void)
{
    const int64_t extent[] = {A, B, C}, outside[] = {1, 0, 0}, wide[] = {A, B, C + 1};
    const int64_t one[] = {1, 1, 1}, frame[] = {B, C}, negative[] = {A, -1, C};
    bool odd = check_rank == check_size - 1;
    nsh_file *file = open_file("slabs.h5", NSH_FILE_APPEND, 0);
    nsh_array *cube = make(MPI_INT32_T, 3, extent), *flat = make(MPI_INT32_T, 2, frame);
    int32_t data[A * B * C] = {0};

    check_case("errors of hyperslabs that are written");
    CHECK_ALL(
        nsh_file_write_hyperslab(file, "z", MPI_INT, 3, extent, odd ? NULL : data, NULL, NULL),
        NSH_ERR_ARG);
    CHECK_ALL(
        nsh_file_write_hyperslab(file, "z", MPI_INT, 3, extent, data, odd ? outside : NULL, extent),
        NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write_hyperslab(file, "z", MPI_INT, 33, extent, data, NULL, NULL),
              NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write_hyperslab(file, "z", MPI_INT, 3, negative, data, NULL, NULL),
              NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write_hyperslab(file, "z", MPI_DATATYPE_NULL, 3, extent, data, NULL, NULL),
              NSH_ERR_TYPE);
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_FLOAT, 3, extent, data, NULL, NULL),
              NSH_ERR_TYPE);
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_INT, 3, wide, data, NULL, one), NSH_ERR_ARG);
    if (check_size > 1)
        CHECK_ALL(
            nsh_file_write_hyperslab(file, "z", MPI_INT, 3, odd ? extent : wide, data, NULL, one),
            NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_append(file, "x", flat), NSH_ERR_ARG); /* not a series */
    CHECK_ALL(nsh_file_append(file, "s", flat), NSH_SUCCESS);
    CHECK_ALL(nsh_file_append(file, "s", cube), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append_hyperslab(file, "s", MPI_FLOAT, 2, frame, data, NULL, NULL),
              NSH_ERR_TYPE);
    CHECK_ALL(
        nsh_file_append_hyperslab(file, "s", MPI_INT, 2, frame, odd ? NULL : data, NULL, NULL),
        NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append(NULL, "s", flat), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append(file, "s", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append(file, "s", flat), NSH_SUCCESS); /* nothing of that has spoilt it */
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&cube), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&flat), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_needs_hdf5();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    scratch_make();
    test_read();
    test_sparse();
    test_write();
    test_columns();
    test_far_columns();
    test_holes();
    test_series();
    test_frames();
    test_chunks();
    test_attrs();
    test_dims();
    test_growing_dims();
    test_scales();
    test_points();
    test_get_errors();
    test_read_errors();
    test_write_errors();
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
