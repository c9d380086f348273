/* test_file.c -- ranks: 1 4  layouts: one-node cliques-2 odd-even per-rank rpn-2 hosts-2 serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Arrays to files and back: every type and shape, other numbers of ranks and nodes, the life of a
 * file. What is expected is computed, or what the file system says. */
#define _GNU_SOURCE
#include "check.h"

#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nodeshare.h>

#include "file/h5.h"
#include "scratch.h"

static nsh_comm *comm;

/* Bytes that differ between arrays and places. */
static void fill(char *data, int64_t n, int seed, int flags)
{
    uint32_t x = (uint32_t)seed * 2654435761u + 1;

    for (int64_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = (char)(flags ? x >> 31 : x >> 24);
    }
}

static nsh_array *make(nsh_comm *on, MPI_Datatype type, int ndim, const int64_t extent[],
                       const char *name)
{
    nsh_array_options options = {sizeof options, name};
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(on, type, ndim, extent, &options, &array), NSH_SUCCESS);
    return array;
}

static char *set(nsh_array *array, int seed)
{
    int64_t n = nsh_array_nbytes(array);
    char *data = malloc((size_t)n + 1);

    fill(data, n, seed, nsh_array_type(array) == MPI_C_BOOL);
    CHECK_ALL(nsh_array_set(array, data, NULL, NULL, seed % nsh_comm_size(nsh_array_comm(array))),
              NSH_SUCCESS);
    return data;
}

static void zero(nsh_array *array)
{
    char *nothing = calloc(1, (size_t)nsh_array_itemsize(array));

    CHECK_ALL(nsh_array_fill(array, nothing), NSH_SUCCESS);
    free(nothing);
}

static void release(nsh_array **array, char *data)
{
    CHECK_ALL(nsh_array_free(array), NSH_SUCCESS);
    free(data);
}

/* Written, read into the same array and loaded into another one, the bytes are the same. */
static void round_trip(MPI_Datatype type, int ndim, const int64_t extent[], int seed)
{
    const char *path = scratch_path("trip.h5");
    nsh_array *array = make(comm, type, ndim, extent, NULL), *loaded = NULL;
    char *data = set(array, seed);
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "a/b/data", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(file == NULL);
    zero(array);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a/b/data", array), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(array), data, nsh_array_nbytes(array));
    if (CHECK_ALL(nsh_file_load(file, "/a/b/data", &loaded), NSH_SUCCESS) == NSH_SUCCESS) {
        CHECK_EQ(nsh_array_ndim(loaded), ndim);
        CHECK_EQ(nsh_array_nbytes(loaded), nsh_array_nbytes(array));
        CHECK_EQ(nsh_array_itemsize(loaded), nsh_array_itemsize(array));
        for (int d = 0; d < ndim; d++)
            CHECK_EQ(nsh_array_extent_of(loaded, d), extent[d]);
        CHECK_MEM(nsh_array_data(loaded), data, nsh_array_nbytes(array));
        CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    release(&array, data);
}

static void test_predefined(void)
{
    const MPI_Datatype types[] = {MPI_CHAR,          MPI_SHORT,          MPI_INT,
                                  MPI_LONG,          MPI_LONG_LONG_INT,  MPI_SIGNED_CHAR,
                                  MPI_UNSIGNED_CHAR, MPI_UNSIGNED_SHORT, MPI_UNSIGNED,
                                  MPI_UNSIGNED_LONG, MPI_FLOAT,          MPI_DOUBLE,
                                  MPI_LONG_DOUBLE,   MPI_WCHAR,          MPI_C_BOOL,
                                  MPI_INT8_T,        MPI_INT16_T,        MPI_INT32_T,
                                  MPI_INT64_T,       MPI_UINT8_T,        MPI_UINT16_T,
                                  MPI_UINT32_T,      MPI_UINT64_T,       MPI_UNSIGNED_LONG_LONG,
                                  MPI_AINT,          MPI_COUNT,          MPI_OFFSET,
                                  MPI_C_COMPLEX,     MPI_BYTE,           MPI_C_DOUBLE_COMPLEX,
                                  MPI_PACKED,        MPI_FLOAT_INT,      MPI_C_LONG_DOUBLE_COMPLEX,
                                  MPI_DOUBLE_INT,    MPI_LONG_INT,       MPI_2INT,
                                  MPI_SHORT_INT,     MPI_LONG_DOUBLE_INT};
    const int64_t extent[] = {5, 7};

    check_case("every predefined type");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        round_trip(types[i], 2, extent, (int)i);
}

typedef struct particle {
    double position[3];
    int id;
    char kind;
    struct {
        short a;
        float b;
    } pair[2];
} particle;

static MPI_Datatype particle_type(void)
{
    int lengths[] = {3, 1, 1, 2}, inner_lengths[] = {1, 1};
    MPI_Aint inner_places[] = {0, 4};
    MPI_Aint places[] = {offsetof(particle, position), offsetof(particle, id),
                         offsetof(particle, kind), offsetof(particle, pair)};
    MPI_Datatype inner_types[] = {MPI_SHORT, MPI_FLOAT}, inner, made, padded;
    MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT, MPI_CHAR, MPI_DATATYPE_NULL};

    MPI_Type_create_struct(2, inner_lengths, inner_places, inner_types, &inner);
    types[3] = inner;
    MPI_Type_create_struct(4, lengths, places, types, &made);
    MPI_Type_create_resized(made, 0, sizeof(particle), &padded);
    MPI_Type_free(&inner);
    MPI_Type_free(&made);
    MPI_Type_commit(&padded);
    return padded;
}

static void trip_and_free(MPI_Datatype type, int seed)
{
    const int64_t extent[] = {4, 3};

    MPI_Type_commit(&type);
    round_trip(type, 2, extent, seed);
    MPI_Type_free(&type);
}

static void test_derived(void)
{
    int one[] = {1, 1}, order[] = {1, 0}, sizes[] = {2, 3};
    MPI_Aint packed[] = {0, 1};
    MPI_Datatype parts[] = {MPI_CHAR, MPI_DOUBLE}, type, inner;

    check_case("derived types");
    trip_and_free(particle_type(), 1);
    MPI_Type_create_struct(2, one, packed, parts, &type); /* without alignment */
    trip_and_free(type, 2);
    MPI_Type_contiguous(3, MPI_INT, &type);
    trip_and_free(type, 3);
    MPI_Type_contiguous(2, MPI_C_DOUBLE_COMPLEX, &inner);
    MPI_Type_contiguous(3, inner, &type);
    MPI_Type_free(&inner);
    trip_and_free(type, 4);
    MPI_Type_vector(3, 2, 2, MPI_FLOAT, &type); /* without holes */
    trip_and_free(type, 5);
    MPI_Type_indexed(2, one, order, MPI_SHORT, &type); /* out of order */
    trip_and_free(type, 6);
    MPI_Type_create_subarray(2, sizes, sizes, (int[]){0, 0}, MPI_ORDER_C, MPI_DOUBLE, &type);
    trip_and_free(type, 7);
    inner = particle_type();
    MPI_Type_contiguous(2, inner, &type);
    MPI_Type_free(&inner);
    trip_and_free(type, 8);
    MPI_Type_contiguous(17, MPI_BYTE, &type);
    trip_and_free(type, 9);
}

static void test_shapes(void)
{
    const int64_t many[32] = {1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                              1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2};
    const int64_t shapes[][3] = {{1, 1, 1}, {0, 3, 5}, {3, 0, 5}, {3, 5, 0}, {2, 3, 1}, {1, 1, 99}};
    const int64_t large[] = {3, 700001}, exact[] = {1 << 20}, more[] = {(1 << 20) + 1};

    check_case("shapes: none, zero extents, many dimensions, several parts");
    round_trip(MPI_DOUBLE, 0, NULL, 1);
    round_trip(MPI_INT, 32, many, 2);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        round_trip(MPI_FLOAT, 3, shapes[i], 3 + (int)i);
    round_trip(MPI_INT16_T, 2, large, 20);
    round_trip(MPI_BYTE, 1, exact, 21);
    round_trip(MPI_BYTE, 1, more, 22);
}

static void huge(void)
{
    const int64_t extent[] = {(INT64_C(5) << 29) + 3};

    if (getenv("NSH_TEST_HUGE") == NULL)
        return;
    check_case("more than 2 GiB");
    round_trip(MPI_BYTE, 1, extent, 5);
}

/* ---- other ranks, other nodes ---- */

static void restore_on(nsh_comm *other, const char *const names[], char *const data[], int n)
{
    const int64_t extent[] = {37, 11, 3};
    nsh_array *arrays[8] = {NULL};

    for (int i = 0; i < n; i++)
        arrays[i] = make(other, i % 2 ? MPI_DOUBLE : MPI_INT, 3, extent, names[i]);
    CHECK_ALL(nsh_snapshot_restore(scratch_path("snapshot.h5"), n, arrays), NSH_SUCCESS);
    for (int i = 0; i < n; i++) {
        CHECK_MEM(nsh_array_data(arrays[i]), data[i], nsh_array_nbytes(arrays[i]));
        CHECK_ALL(nsh_array_free(&arrays[i]), NSH_SUCCESS);
    }
}

static void test_snapshot(void)
{
    static const char *const names[] = {"one", "group/two", "group/sub/three", "four"};
    const int64_t extent[] = {37, 11, 3};
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    nsh_array *arrays[4] = {NULL};
    char *data[4];
    nsh_comm *other = NULL;
    MPI_Comm part;

    check_case("snapshot, restored on other ranks and nodes");
    for (int i = 0; i < 4; i++) {
        arrays[i] = make(comm, i % 2 ? MPI_DOUBLE : MPI_INT, 3, extent, names[i]);
        data[i] = set(arrays[i], 30 + i);
    }
    CHECK_ALL(nsh_snapshot_save(scratch_path("snapshot.h5"), 4, arrays), NSH_SUCCESS);
    for (int i = 0; i < 4; i++)
        CHECK_ALL(nsh_array_free(&arrays[i]), NSH_SUCCESS);
    restore_on(comm, names, data, 4);
    CHECK_EQ(nsh_comm_create_serial(&other), NSH_SUCCESS); /* every rank for itself */
    restore_on(other, names, data, 4);
    CHECK_EQ(nsh_comm_free(&other), NSH_SUCCESS);
    MPI_Comm_split(MPI_COMM_WORLD, check_rank % 2, -check_rank, &part);
    for (int k = 1; k <= 2; k++) {
        options.ranks_per_node = k;
        CHECK_EQ(nsh_comm_create(part, &options, &other), NSH_SUCCESS);
        restore_on(other, names, data, 4);
        CHECK_EQ(nsh_comm_free(&other), NSH_SUCCESS);
    }
    MPI_Comm_free(&part);
    for (int i = 0; i < 4; i++)
        free(data[i]);
}

/* ---- the life of a file ---- */

static bool there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

/* The first number of dataset "value" in the file; -1: it cannot be had. */
static int value_in(const char *path)
{
    nsh_array *array = NULL;
    nsh_file *file = NULL;
    int value = -1;

    if (nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file) == NSH_SUCCESS &&
        nsh_file_load(file, "value", &array) == NSH_SUCCESS)
        value = *(const int *)nsh_array_data(array);
    nsh_array_free(&array);
    nsh_file_close(&file);
    return value;
}

static nsh_file *begin(const char *path, nsh_file_mode mode, nsh_array *array, const char *name,
                       int value)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, mode, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, &value, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, name, array), NSH_SUCCESS);
    return file;
}

static void test_life(void)
{
    const char *path = scratch_path("life.h5");
    nsh_array *array = make(comm, MPI_INT, 0, NULL, NULL);
    nsh_file *file, *second = NULL;

    check_case("a file is the old one until it is committed");
    file = begin(path, NSH_FILE_CREATE, array, "value", 1);
    CHECK(!there(path));
    CHECK_EQ(scratch_count("life.h5.tmp-"), 1);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(there(path));
    CHECK_EQ(scratch_count("life.h5.tmp-"), 0);
    CHECK_EQ(value_in(path), 1);
    file = begin(path, NSH_FILE_CREATE, array, "value", 2);
    CHECK_EQ(value_in(path), 1);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK(file == NULL);
    CHECK_EQ(value_in(path), 1);
    CHECK_EQ(scratch_count("life"), 1);
    file = begin(path, NSH_FILE_CREATE, array, "value", 3);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_EQ(value_in(path), 3);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS); /* nothing to do */

    check_case("a committed file goes on in another working copy");
    CHECK_ALL(nsh_file_read(file, "value", array), NSH_SUCCESS);
    CHECK_EQ(*(const int *)nsh_array_data(array), 3);
    CHECK_ALL(nsh_file_write(file, "more", array), NSH_SUCCESS);
    CHECK_EQ(scratch_count("life.h5.tmp-"), 1);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &second), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(second, "more", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(second, "more", array), NSH_ERR_NOT_FOUND); /* it has the old one */
    CHECK_ALL(nsh_file_read(second, "value", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&second), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &second), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(second, "more", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&second), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void test_append(void)
{
    const char *path = scratch_path("append.h5");
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    nsh_array *array = make(comm, MPI_INT, 0, NULL, NULL);
    nsh_file *file;
    char **names = NULL;
    int64_t n = 0;
    int value = 9;

    check_case("append: a new file, an old one, in place");
    file = begin(path, NSH_FILE_APPEND, array, "value", 4);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = begin(path, NSH_FILE_APPEND, array, "z/second", 5);
    CHECK_EQ(scratch_count("append.h5.tmp-"), 1);
    CHECK_ALL(nsh_file_read(file, "value", array), NSH_SUCCESS);
    CHECK_EQ(*(const int *)nsh_array_data(array), 4);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    options.in_place = 1;
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, &options, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, &value, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "a/third", array), NSH_SUCCESS);
    CHECK_EQ(scratch_count("append.h5.tmp-"), 0);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);

    check_case("list and info");
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_list(file, &n, &names), NSH_SUCCESS);
    CHECK_EQ(n, 3);
    if (n == 3) {
        CHECK_STR(names[0], "a/third");
        CHECK_STR(names[1], "value");
        CHECK_STR(names[2], "z/second");
    }
    free(names);
    CHECK_ALL(nsh_file_read(file, "a/third", array), NSH_SUCCESS);
    CHECK_EQ(*(const int *)nsh_array_data(array), 9);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void test_info(void)
{
    const int64_t extent[] = {6, 0, 7};
    MPI_Datatype type = particle_type();
    nsh_array *array = make(comm, type, 3, extent, NULL);
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    nsh_file *file;

    MPI_Type_free(&type);
    CHECK_ALL(nsh_file_open(comm, scratch_path("info.h5"), NSH_FILE_CREATE, NULL, &file),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "p", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_info(file, "p", &info), NSH_SUCCESS);
    CHECK_EQ(info.ndim, 3);
    CHECK_EQ(info.extent[0], 6);
    CHECK_EQ(info.extent[1], 0);
    CHECK_EQ(info.extent[2], 7);
    CHECK_EQ(info.itemsize, sizeof(particle));
    CHECK_EQ(info.elements, 0);
    CHECK_EQ(info.growing, 0);
    CHECK_STR(info.type, "{float64[3], int32, int8, {int16, float32}[2]}");
    CHECK_STR(info.filters, "");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

/* A long list of names, which takes more than one message. */
static void test_many(void)
{
    nsh_array *array = make(comm, MPI_INT, 0, NULL, NULL);
    nsh_file *file;
    char name[512], **names = NULL;
    int64_t n = 0;

    check_case("a hundred long names");
    CHECK_ALL(nsh_file_open(comm, scratch_path("many.h5"), NSH_FILE_CREATE, NULL, &file),
              NSH_SUCCESS);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%0400d", i);
        CHECK_ALL(nsh_file_write(file, name, array), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_file_list(file, &n, &names), NSH_SUCCESS);
    CHECK_EQ(n, 100);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%0400d", i);
        CHECK_STR(names[i], name);
    }
    free(names);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void without_hdf5(void)
{
    nsh_file *file = NULL;

    check_case("without HDF5 every call says so");
    CHECK_ALL(nsh_file_open(comm, "x", NSH_FILE_READ, NULL, &file), NSH_ERR_UNSUPPORTED);
    CHECK_HAS(nsh_error_detail(), "without HDF5");
    CHECK_ALL(nsh_file_commit(NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_file_write(NULL, "x", NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_file_read(NULL, "x", NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_file_load(NULL, "x", NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_file_info(NULL, "x", NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_file_list(NULL, NULL, NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_snapshot_save("x", 0, NULL), NSH_ERR_UNSUPPORTED);
    CHECK_ALL(nsh_snapshot_restore("x", 0, NULL), NSH_ERR_UNSUPPORTED);
    CHECK(file == NULL);
}

/* ---- files of other versions of HDF5 ---- */

enum { EXCHANGED = 3 };

static const char *const exchanged[EXCHANGED] = {"g/numbers", "complex", "flags"};

static void make_exchanged(nsh_array *array[EXCHANGED], char *data[EXCHANGED])
{
    const MPI_Datatype type[] = {MPI_DOUBLE, MPI_C_DOUBLE_COMPLEX, MPI_C_BOOL};
    const int64_t extent[] = {30, 7};

    for (int i = 0; i < EXCHANGED; i++) {
        array[i] = make(comm, type[i], 2, extent, exchanged[i]);
        data[i] = set(array[i], 100 + i);
    }
}

static void write_exchanged(const char *path, nsh_array *const array[EXCHANGED])
{
    const int64_t seven = 7;
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    for (int i = 0; i < EXCHANGED; i++) {
        CHECK_ALL(nsh_file_write(file, exchanged[i], array[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "series", array[0]), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_file_set_attr(file, exchanged[0], "seven", NSH_ATTR_INT64, 1, &seven),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_dim(file, exchanged[0], 1, "x", "m", NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* What is in it is what this version writes, and more can be added. */
static void read_exchanged(const char *path, nsh_array *const array[EXCHANGED],
                           char *const data[EXCHANGED])
{
    const int64_t last[] = {2, 0, 0}, frame[] = {1, 30, 7};
    nsh_file *file = NULL;
    void *seven = NULL;
    int64_t n = 0;

    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file), NSH_SUCCESS);
    for (int i = 0; i < EXCHANGED; i++) {
        zero(array[i]);
        CHECK_ALL(nsh_file_read(file, exchanged[i], array[i]), NSH_SUCCESS);
        CHECK_MEM(nsh_array_data(array[i]), data[i], nsh_array_nbytes(array[i]));
    }
    CHECK_ALL(nsh_file_append(file, "series", array[0]), NSH_SUCCESS);
    zero(array[0]);
    CHECK_ALL(nsh_file_read_hyperslab(file, "series", last, frame, array[0], NULL), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(array[0]), data[0], nsh_array_nbytes(array[0]));
    CHECK_ALL(nsh_file_get_attr(file, exchanged[0], "seven", NSH_ATTR_INT64, &n, &seven),
              NSH_SUCCESS);
    CHECK(n == 1 && seven != NULL && *(int64_t *)seven == 7);
    free(seven);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
}

/* NSH_TEST_EXCHANGE is a directory with files that this test has written with other versions of
 * HDF5; that of this version is added. */
static void test_exchange(void)
{
    const char *directory = getenv("NSH_TEST_EXCHANGE");
    nsh_array *array[EXCHANGED];
    char *data[EXCHANGED], path[600];
    glob_t found;

    check_case("files of every version of HDF5");
    if (directory != NULL)
        snprintf(path, sizeof path, "%.500s/hdf5-%s.h5", directory, nsh__h5_version());
    else
        snprintf(path, sizeof path, "%s", scratch_path("exchange.h5"));
    make_exchanged(array, data);
    write_exchanged(path, array);
    if (directory != NULL)
        snprintf(path, sizeof path, "%.500s/hdf5-*.h5", directory);
    CHECK_EQ(glob(path, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (check_rank == 0)
            check_note("%s", found.gl_pathv[i]);
        read_exchanged(found.gl_pathv[i], array, data);
    }
    globfree(&found);
    for (int i = 0; i < EXCHANGED; i++)
        release(&array[i], data[i]);
}

int main(int argc, char **argv)
{
    nsh_file *file = NULL;

    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    if (nsh_file_open(comm, "/", NSH_FILE_READ, NULL, &file) == NSH_ERR_UNSUPPORTED) {
        without_hdf5();
    } else {
        scratch_make();
        test_predefined();
        test_derived();
        test_shapes();
        huge();
        test_snapshot();
        test_life();
        test_append();
        test_info();
        test_many();
        test_exchange();
        scratch_remove();
    }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
