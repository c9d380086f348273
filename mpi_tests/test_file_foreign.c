/* test_file_foreign.c -- ranks: 1 3  layouts: one-node cliques-2 per-rank
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of other programs: here rank 0 makes them with HDF5 itself, and reads with HDF5 what the
 * library wrote. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <nodeshare.h>

#include "scratch.h"

#ifdef NSH_HDF5
#include <hdf5.h>

#include "old_bytes.h"

enum { ROWS = 60, COLUMNS = 50, N = ROWS * COLUMNS };

static nsh_comm *comm;
static char path[512];

/* ---- rank 0 with HDF5 ---- */

static hid_t foreign;

static void begin(void)
{
    if (check_rank == 0)
        foreign = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
}

static nsh_file *end(void)
{
    nsh_file *file = NULL;

    if (check_rank == 0)
        CHECK(H5Fclose(foreign) >= 0);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    return file;
}

/* A dataset of ROWS x COLUMNS with values from memory; create and what is in it is closed. */
static void put(const char *name, hid_t in_file, hid_t in_memory, hid_t create, const void *data)
{
    const hsize_t extent[] = {ROWS, COLUMNS};
    hid_t space, id;

    if (check_rank == 0) {
        space = H5Screate_simple(2, extent, NULL);
        id = H5Dcreate2(foreign, name, in_file, space, H5P_DEFAULT, create, H5P_DEFAULT);
        CHECK(id >= 0 && H5Dwrite(id, in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
        H5Dclose(id);
        H5Sclose(space);
    }
    if (create != H5P_DEFAULT)
        H5Pclose(create);
}

static hid_t chunks(void)
{
    const hsize_t chunk[] = {7, 13};
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_chunk(create, 2, chunk);
    return create;
}

static hid_t gzip(void)
{
    hid_t create = chunks();

    H5Pset_shuffle(create);
    H5Pset_deflate(create, 4);
    return create;
}

static hid_t compact(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);

    H5Pset_layout(create, H5D_COMPACT);
    return create;
}

/* ---- what the library makes of it ---- */

static void loads(nsh_file *file, const char *name, MPI_Datatype type, const void *data,
                  int64_t nbytes)
{
    const int64_t offset[] = {11, 3}, count[] = {20, 30};
    nsh_array *loaded = NULL, *part = NULL;
    int64_t item = nbytes / N;
    char *mine = malloc((size_t)(600 * item));
    bool good = true;

    if (CHECK_ALL(nsh_file_load(file, name, &loaded), NSH_SUCCESS) != NSH_SUCCESS)
        return;
    if (type != MPI_DATATYPE_NULL)
        CHECK(nsh_array_type(loaded) == type);
    CHECK_EQ(nsh_array_extent_of(loaded, 0), ROWS);
    CHECK_EQ(nsh_array_extent_of(loaded, 1), COLUMNS);
    CHECK_EQ(nsh_array_nbytes(loaded), nbytes);
    if (nsh_array_nbytes(loaded) == nbytes)
        CHECK_MEM(nsh_array_data(loaded), data, nbytes);
    CHECK_ALL(nsh_array_create(comm, nsh_array_type(loaded), 2, count, NULL, &part), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read_hyperslab(file, name, offset, count, part, NULL), NSH_SUCCESS);
    CHECK_EQ(nsh_file_get(file, name, offset, count, nsh_array_type(part), mine, 600 * item),
             NSH_SUCCESS);
    for (int64_t r = 0; r < 20; r++)
        good &=
            memcmp((const char *)nsh_array_data(part) + r * 30 * item,
                   (const char *)data + ((r + 11) * COLUMNS + 3) * item, (size_t)(30 * item)) == 0;
    CHECK(good);
    CHECK_MEM(mine, nsh_array_data(part), 600 * item);
    CHECK_ALL(nsh_array_free(&part), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    free(mine);
}

static void test_numbers(void)
{
    static int32_t i32[N];
    static double f64[N];
    static uint16_t u16[N];
    static float f32[N];
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    nsh_file *file;

    for (int i = 0; i < N; i++) {
        i32[i] = (i - 1500) * 1000003;
        f64[i] = i / 7.0 - 100;
        u16[i] = (uint16_t)(i * 31);
        f32[i] = (float)i / 8;
    }
    check_case("byte orders, chunks, filters, layouts");
    begin();
    put("be-gzip", H5T_STD_I32BE, H5T_NATIVE_INT32, gzip(), i32);
    put("be", H5T_IEEE_F64BE, H5T_NATIVE_DOUBLE, H5P_DEFAULT, f64);
    put("chunks", H5T_STD_U16LE, H5T_NATIVE_UINT16, chunks(), u16);
    put("compact", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, compact(), f32);
    put("plain", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, H5P_DEFAULT, f32);
    file = end();
    loads(file, "be-gzip", MPI_INT32_T, i32, sizeof i32);
    loads(file, "be", MPI_DOUBLE, f64, sizeof f64);
    loads(file, "chunks", MPI_UINT16_T, u16, sizeof u16);
    loads(file, "compact", MPI_FLOAT, f32, sizeof f32);
    loads(file, "plain", MPI_FLOAT, f32, sizeof f32);
    CHECK_ALL(nsh_file_info(file, "be-gzip", &info), NSH_SUCCESS);
    CHECK_STR(info.filters, "shuffle,deflate");
    CHECK_STR(info.type, "int32");
    CHECK_EQ(info.chunk[0], 7);
    CHECK_EQ(info.chunk[1], 13);
    CHECK(info.stored > 0 && info.stored < (int64_t)sizeof i32);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

typedef struct record {
    int8_t small;
    double real;
    int16_t pair[2];
    char text[6];
} record;

/* in: as others pack it; out: as C has it in memory. */
static hid_t record_type(bool packed)
{
    const hsize_t two = 2;
    hid_t type = H5Tcreate(H5T_COMPOUND, packed ? 19 : sizeof(record)), text = H5Tcopy(H5T_C_S1);
    hid_t pair = H5Tarray_create2(packed ? H5T_STD_I16BE : H5T_NATIVE_INT16, 1, &two);

    H5Tset_size(text, 6);
    H5Tinsert(type, "small", 0, H5T_NATIVE_INT8);
    H5Tinsert(type, "real", packed ? 1 : offsetof(record, real),
              packed ? H5T_IEEE_F64BE : H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "pair", packed ? 9 : offsetof(record, pair), pair);
    H5Tinsert(type, "text", packed ? 13 : offsetof(record, text), text);
    H5Tclose(pair);
    H5Tclose(text);
    return type;
}

static void test_structs(void)
{
    static record records[N];
    static int8_t flags[N];
    static char texts[N][5];
    hid_t packed = record_type(true), native = record_type(false), text = H5Tcopy(H5T_C_S1);
    hid_t bools = H5Tenum_create(H5T_NATIVE_INT8);
    const int8_t no = 0, yes = 1;
    nsh_file *file;

    check_case("compounds, texts, enums");
    memset(records, 0, sizeof records);
    for (int i = 0; i < N; i++) {
        records[i] = (record){(int8_t)i, i * 0.5, {(int16_t)i, (int16_t)-i}, "abc"};
        flags[i] = i % 3 == 0;
        snprintf(texts[i], sizeof texts[i], "t%d", i % 100);
    }
    H5Tenum_insert(bools, "FALSE", &no);
    H5Tenum_insert(bools, "TRUE", &yes);
    H5Tset_size(text, 5);
    begin();
    put("records", packed, native, gzip(), records);
    put("flags", bools, bools, H5P_DEFAULT, flags);
    put("texts", text, text, chunks(), texts);
    file = end();
    {
        nsh_array *loaded = NULL;
        const record *seen;

        CHECK_ALL(nsh_file_load(file, "records", &loaded), NSH_SUCCESS);
        CHECK_EQ(nsh_array_itemsize(loaded), sizeof(record));
        seen = nsh_array_data(loaded);
        for (int i = 0; i < N && seen != NULL; i += 97) {
            CHECK_EQ(seen[i].small, records[i].small);
            CHECK_DOUBLE(seen[i].real, records[i].real);
            CHECK_EQ(seen[i].pair[1], records[i].pair[1]);
            CHECK_STR(seen[i].text, "abc");
        }
        CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    }
    loads(file, "flags", MPI_C_BOOL, flags, sizeof flags);
    loads(file, "texts", MPI_DATATYPE_NULL, texts, sizeof texts);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    H5Tclose(packed);
    H5Tclose(native);
    H5Tclose(text);
    H5Tclose(bools);
}

/* By the last rank: other values everywhere, through rank 0. */
static void replace_segments(const int64_t *extent)
{
    const int64_t nothing[] = {0, 0};
    int64_t n = extent[0] * extent[1];
    bool mine = check_rank == check_size - 1;
    int32_t *data = mine ? malloc((size_t)n * sizeof *data) : NULL;
    nsh_file *file = NULL;

    for (int64_t i = 0; i < n && mine; i++)
        data[i] = (int32_t)(i * 2654435761u + 1);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write_hyperslab(file, "x", MPI_INT32_T, 2, extent, data, NULL,
                                       mine ? NULL : nothing),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    free(data);
}

/* How many of the n elements are not the expected value plus `more`. */
static int64_t wrong_elements(const nsh_array *array, int64_t n, int more)
{
    const int32_t *data = nsh_array_data(array);
    int64_t wrong = 0;

    for (int64_t i = 0; i < n && nsh_array_size(array) == n; i++)
        wrong += data[i] != (int32_t)(i * 2654435761u + (unsigned)more);
    return wrong;
}

/* A hundred megabytes in chunks: several segments, whose ends are not those of rows. */
static void test_segments(void)
{
    const hsize_t extent[] = {3, 9000001}, chunk[] = {2, 100000};
    const int64_t same_extent[] = {3, 9000001};
    nsh_array *loaded = NULL;
    nsh_file *file;
    int64_t n = 3 * 9000001;

    check_case("several segments");
    begin();
    if (check_rank == 0) {
        int32_t *data = malloc((size_t)n * sizeof *data);
        hid_t create = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(2, extent, NULL), id;

        for (int64_t i = 0; i < n; i++)
            data[i] = (int32_t)(i * 2654435761u);
        H5Pset_chunk(create, 2, chunk);
        id = H5Dcreate2(foreign, "x", H5T_NATIVE_INT32, space, H5P_DEFAULT, create, H5P_DEFAULT);
        CHECK(H5Dwrite(id, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
        H5Dclose(id);
        H5Sclose(space);
        H5Pclose(create);
        free(data);
    }
    file = end();
    CHECK_ALL(nsh_file_load(file, "x", &loaded), NSH_SUCCESS);
    CHECK_EQ(wrong_elements(loaded, n, 0), 0);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    replace_segments(same_extent);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "x", loaded), NSH_SUCCESS);
    CHECK_EQ(wrong_elements(loaded, n, 1), 0);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* ---- what cannot be loaded ---- */

static void refused(nsh_file *file, const char *name, int code)
{
    nsh_array *loaded = (nsh_array *)path;

    CHECK_ALL(nsh_file_load(file, name, &loaded), code);
    CHECK(loaded == (nsh_array *)path);
    CHECK(nsh_error_detail()[0] != '\0');
}

static void test_refused(void)
{
    const hsize_t one = 1, huge = (hsize_t)1 << 62, chunk = 1 << 20;
    nsh_array *loaded = NULL;
    nsh_file *file;

    check_case("types and extents that no array has");
    begin();
    if (check_rank == 0) {
        hid_t text = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &one, NULL);
        hid_t large = H5Screate_simple(1, &huge, NULL), null = H5Screate(H5S_NULL);
        hid_t create = H5Pcreate(H5P_DATASET_CREATE), vlen = H5Tvlen_create(H5T_NATIVE_INT);

        H5Tset_size(text, H5T_VARIABLE);
        H5Pset_chunk(create, 1, &chunk);
        H5Dclose(H5Dcreate2(foreign, "text", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Dclose(H5Dcreate2(foreign, "vlen", vlen, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        H5Dclose(H5Dcreate2(foreign, "reference", H5T_STD_REF_OBJ, space, H5P_DEFAULT, H5P_DEFAULT,
                            H5P_DEFAULT));
        H5Dclose(
            H5Dcreate2(foreign, "huge", H5T_NATIVE_INT, large, H5P_DEFAULT, create, H5P_DEFAULT));
        H5Dclose(
            H5Dcreate2(foreign, "large", H5T_NATIVE_INT8, large, H5P_DEFAULT, create, H5P_DEFAULT));
        H5Dclose(H5Dcreate2(foreign, "null", H5T_NATIVE_INT, null, H5P_DEFAULT, H5P_DEFAULT,
                            H5P_DEFAULT));
        H5Lcreate_soft("/nowhere", foreign, "dangling", H5P_DEFAULT, H5P_DEFAULT);
        H5Lcreate_soft("/null", foreign, "soft", H5P_DEFAULT, H5P_DEFAULT);
        H5Tclose(text);
        H5Tclose(vlen);
        H5Sclose(space);
        H5Sclose(large);
        H5Sclose(null);
        H5Pclose(create);
    }
    file = end();
    refused(file, "text", NSH_ERR_TYPE);
    refused(file, "vlen", NSH_ERR_TYPE);
    refused(file, "reference", NSH_ERR_TYPE);
    refused(file, "huge", NSH_ERR_FORMAT);
    refused(file, "large", NSH_ERR_NOMEM);
    refused(file, "dangling", NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_load(file, "soft", &loaded), NSH_SUCCESS);
    CHECK_EQ(nsh_array_size(loaded), 0);
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* ---- damage ---- */

/* Where the bytes of the only chunk are: they begin with these. */
static long find_bytes(const void *bytes, size_t n)
{
    static char all[1 << 20];
    FILE *f = fopen(path, "r");
    size_t length = fread(all, 1, sizeof all, f);
    char *at = memmem(all, length, bytes, n);

    fclose(f);
    return at != NULL ? (long)(at - all) : -1;
}

static void flip(long at, int bit)
{
    if (check_rank == 0) {
        FILE *f = fopen(path, "r+");
        int byte;

        fseek(f, at, SEEK_SET);
        byte = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(byte ^ 1 << bit, f);
        fclose(f);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void test_checksums(void)
{
    static int32_t data[N];
    const hsize_t whole[] = {ROWS, COLUMNS};
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    nsh_file *file;
    long at = 0;

    check_case("a bit flipped under fletcher32, 50 times");
    for (int i = 0; i < N; i++)
        data[i] = i * 77777 + 13;
    H5Pset_chunk(create, 2, whole);
    H5Pset_fletcher32(create);
    begin();
    put("x", H5T_STD_I32LE, H5T_NATIVE_INT32, create, data);
    file = end();
    loads(file, "x", MPI_INT32_T, data, sizeof data);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    if (check_rank == 0)
        at = find_bytes(data, 64);
    CHECK(at >= 0);
    for (int i = 0; i < 50; i++) {
        long where = (long)check_random_below(sizeof data);
        int bit = (int)check_random_below(8);

        flip(at + where, bit);
        CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
        refused(file, "x", NSH_ERR_FORMAT);
        CHECK_HAS(nsh_error_detail(), "HDF5: ");
        CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
        flip(at + where, bit);
    }
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    loads(file, "x", MPI_INT32_T, data, sizeof data);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* ---- the other way: HDF5 says what the library wrote ---- */

static herr_t handler(hid_t stack, void *arg)
{
    (void)stack;
    ++*(int *)arg;
    return 0;
}

static void test_written(void)
{
    const int64_t extent[] = {6, 4};
    nsh_array *array = NULL;
    nsh_file *file = NULL;
    double values[24];
    H5E_auto2_t now;
    int heard = 0;
    void *arg;

    check_case("what was written, seen by HDF5; its error handler is the program's");
    for (int i = 0; i < 24; i++)
        values[i] = i / 3.0;
    H5Eset_auto2(H5E_DEFAULT, handler, &heard);
    CHECK_ALL(nsh_file_open(comm, scratch_path("none"), NSH_FILE_READ, NULL, &file),
              NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 2, extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, values, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "g/d", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "nobody", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "g/d/below", array), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(heard, 0);
    H5Eget_auto2(H5E_DEFAULT, &now, &arg);
    CHECK(now == handler && arg == &heard);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (check_rank == 0) {
        hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(f, "/g/d", H5P_DEFAULT);
        hid_t type = H5Dget_type(d), space = H5Dget_space(d);
        double seen[24] = {0};
        hsize_t dims[2];

        CHECK(H5Tequal(type, H5T_NATIVE_DOUBLE) > 0);
        CHECK_EQ(H5Sget_simple_extent_dims(space, dims, NULL), 2);
        CHECK(dims[0] == 6 && dims[1] == 4);
        CHECK(H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, seen) >= 0);
        CHECK_MEM(seen, values, sizeof values);
        H5Sclose(space);
        H5Tclose(type);
        H5Dclose(d);
        H5Fclose(f);
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void test_reused(int in_place)
{
    const int64_t extent = N, offset = 100 + check_rank, count = 1;
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    const double one = 1;
    nsh_array *array = NULL;
    nsh_file *file = NULL;
    double old[N];

    check_case("parts that nobody writes are zero, also on old bytes%s",
               in_place ? ", in place" : "");
    for (int i = 0; i < N; i++)
        old[i] = 4711;
    if (check_rank == 0)
        make_with_old_bytes(path, H5T_NATIVE_DOUBLE, N, old);
    options.in_place = in_place;
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, &options, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write_hyperslab(file, "new", MPI_DOUBLE, 1, &extent, &one, &offset, &count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_load(file, "new", &array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    for (int i = 0; i < N; i++)
        CHECK(((const double *)nsh_array_data(array))[i] == (i >= 100 && i < 100 + check_size));
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

/* The program has the file open too: with HDF5's defaults, or as others would hold its lock. */
static void test_company(void)
{
    static const double zeros[N];
    const nsh_file_options in_place = {sizeof in_place, 0, 1};
    nsh_file *file = NULL;
    int fd = -1;

    check_case("a program that has the file open with HDF5 itself");
    begin();
    put("d", H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, H5P_DEFAULT, zeros);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "this program has");
    CHECK_HAS(nsh_error_detail(), "with HDF5 itself, for writing");
    if (check_rank == 0) {
        CHECK(H5Fclose(foreign) >= 0);
        foreign = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    }
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, &in_place, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, "d", "x", NSH_ATTR_TEXT, 1, "y"), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "with HDF5 itself");
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    if (check_rank == 0) {
        CHECK(H5Fclose(foreign) >= 0);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
    }
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_ERR_BUSY);
    CHECK_HAS(nsh_error_detail(), "open elsewhere, for writing");
    if (check_rank == 0)
        close(fd);
}

/* HDF5 looks for it beside the file that has the link. */
static void test_external(void)
{
    static double values[N];
    nsh_file *file = NULL;

    check_case("a link to a file beside");
    begin();
    put("d", H5T_NATIVE_DOUBLE, H5T_NATIVE_DOUBLE, H5P_DEFAULT, values);
    file = end();
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    if (check_rank == 0) {
        foreign = H5Fcreate(scratch_path("links.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        CHECK(H5Lcreate_external("foreign.h5", "d", foreign, "there", H5P_DEFAULT, H5P_DEFAULT) >=
              0);
        CHECK(H5Fclose(foreign) >= 0);
    }
    CHECK_ALL(nsh_file_open(comm, scratch_path("links.h5"), NSH_FILE_READ, NULL, &file),
              NSH_SUCCESS);
    loads(file, "there", MPI_DOUBLE, values, sizeof values);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    scratch_make();
    snprintf(path, sizeof path, "%s", scratch_path("foreign.h5"));
    test_numbers();
    test_structs();
    test_segments();
    test_refused();
    test_checksums();
    test_written();
    test_reused(0);
    test_reused(1);
    test_company();
    test_external();
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}

#else

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_skip("built without HDF5");
}

#endif
