/* test_file_errors.c -- ranks: 1 3  layouts: one-node cliques-2 odd-even per-rank serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every error of files: one code on all ranks with a reason, outputs untouched, nothing printed,
 * nothing lost. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nodeshare.h>

#include "scratch.h"

enum { N = 40 };

static nsh_comm *comm;
static nsh_array *array, *other; /* 5 x 8 int32; as many float */
static int32_t numbers[N];
static char good[512]; /* a file with array as "a" and "g/a" */

/* What this process prints on stderr meanwhile is an error. */
static int real_stderr;

static void listen_to_stderr(void)
{
    char name[64];
    int fd;

    snprintf(name, sizeof name, "stderr-%d", check_rank);
    fd = open(scratch_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
    real_stderr = dup(2);
    dup2(fd, 2);
    close(fd);
}

static void nothing_was_printed(void)
{
    struct stat st;

    CHECK(fstat(2, &st) == 0 && st.st_size == 0);
    dup2(real_stderr, 2);
    close(real_stderr);
}

static void reason(const char *call, const char *part)
{
    CHECK_HAS(nsh_error_detail(), call);
    CHECK_HAS(nsh_error_detail(), part);
}

static void open_fails(const char *path, nsh_file_mode mode, int code, const char *part)
{
    nsh_file *file = (nsh_file *)numbers;

    CHECK_ALL(nsh_file_open(comm, path, mode, NULL, &file), code);
    CHECK(file == (nsh_file *)numbers);
    reason("nsh_file_open", part);
}

static nsh_file *open_good(nsh_file_mode mode)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, good, mode, NULL, &file), NSH_SUCCESS);
    return file;
}

/* The good file is as it was, without company, and can be read. */
static void intact(void)
{
    nsh_file *file = open_good(NSH_FILE_READ);
    const int32_t none = 0;

    CHECK_ALL(nsh_array_fill(array, &none), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", array), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(array), numbers, sizeof numbers);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(scratch_count("good.h5.tmp-"), 0);
}

static void test_paths(void)
{
    char longest[5000];

    check_case("open: paths");
    open_fails(scratch_path("missing"), NSH_FILE_READ, NSH_ERR_NOT_FOUND, "No such file");
    open_fails(scratch_path("missing/x"), NSH_FILE_READ, NSH_ERR_NOT_FOUND, "No such file");
    open_fails(scratch_path("missing/x"), NSH_FILE_CREATE, NSH_ERR_IO, "No such file");
    open_fails(scratch_path(""), NSH_FILE_READ, NSH_ERR_IO, "directory");
    open_fails(scratch_path(""), NSH_FILE_CREATE, NSH_ERR_IO, "directory");
    open_fails(scratch_path(""), NSH_FILE_APPEND, NSH_ERR_IO, "directory");
    open_fails("/dev/null", NSH_FILE_READ, NSH_ERR_IO, "/dev/null");
    open_fails("/dev/null", NSH_FILE_CREATE, NSH_ERR_IO, "/dev/null");
    open_fails(good, NSH_FILE_EXCL, NSH_ERR_EXISTS, "good.h5");
    open_fails("", NSH_FILE_CREATE, NSH_ERR_ARG, "path");
    open_fails(NULL, NSH_FILE_CREATE, NSH_ERR_ARG, "path");
    open_fails(good, (nsh_file_mode)4, NSH_ERR_ARG, "mode 4");
    open_fails(good, (nsh_file_mode)-1, NSH_ERR_ARG, "mode -1");
    memset(longest, 'p', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    open_fails(longest, NSH_FILE_CREATE, NSH_ERR_ARG, "path of 4999 bytes");
    intact();
}

static void test_permission(void)
{
    if (geteuid() != 0)
        return;
    check_case("open: no permission");
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(seteuid(65534), 0); /* the directory is root's */
    open_fails(good, NSH_FILE_READ, NSH_ERR_IO, "Permission denied");
    open_fails(good, NSH_FILE_CREATE, NSH_ERR_IO, "Permission denied");
    open_fails(good, NSH_FILE_APPEND, NSH_ERR_IO, "Permission denied");
    CHECK_EQ(seteuid(0), 0);
    intact();
}

static void write_file(const char *name, const char *bytes, int64_t n)
{
    if (check_rank == 0) {
        FILE *f = fopen(scratch_path(name), "w");

        CHECK(f != NULL && fwrite(bytes, 1, (size_t)n, f) == (size_t)n && fclose(f) == 0);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
}

static char *slurp(const char *path, int64_t *n)
{
    struct stat st = {.st_size = 0};
    FILE *f = fopen(path, "r");
    char *bytes;

    CHECK(f != NULL && fstat(fileno(f), &st) == 0);
    bytes = malloc((size_t)st.st_size + 1);
    CHECK(f != NULL && fread(bytes, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
    fclose(f);
    *n = st.st_size;
    return bytes;
}

static void test_contents(void)
{
    char *bytes;
    int64_t n;

    check_case("open: not HDF5, and truncated at 200 lengths");
    write_file("text", "This is not HDF5, but long enough to be.", 40);
    open_fails(scratch_path("text"), NSH_FILE_READ, NSH_ERR_FORMAT, "HDF5");
    open_fails(scratch_path("text"), NSH_FILE_APPEND, NSH_ERR_FORMAT, "HDF5");
    bytes = slurp(good, &n);
    for (int i = 0; i < 200; i++) {
        int64_t length = i == 0 ? 0 : i == 1 ? n - 1 : check_random_below(n);

        write_file("cut", bytes, length);
        open_fails(scratch_path("cut"), NSH_FILE_READ, NSH_ERR_FORMAT, "HDF5");
    }
    write_file("cut", bytes, n);
    free(bytes);
    intact();
}

static void test_names(void)
{
    static const char *const bad[] = {"", "/", "a/", "b/./c", "./a", "a/.", NULL};
    nsh_file *file = open_good(NSH_FILE_APPEND);
    nsh_array *made = (nsh_array *)numbers;
    char longest[1100];

    check_case("names");
    for (int i = 0; i < (int)(sizeof bad / sizeof bad[0]); i++) {
        CHECK_ALL(nsh_file_write(file, bad[i], array), NSH_ERR_ARG);
        reason("nsh_file_write", "no name");
        CHECK_ALL(nsh_file_read(file, bad[i], array), NSH_ERR_ARG);
        CHECK_ALL(nsh_file_load(file, bad[i], &made), NSH_ERR_ARG);
    }
    memset(longest, 'n', sizeof longest);
    longest[1024] = '\0';
    CHECK_ALL(nsh_file_write(file, longest, array), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_ERR_EXISTS);
    reason("nsh_file_write", "\"a\"");
    CHECK_ALL(nsh_file_write(file, "g", array), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_write(file, "g//a", array), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_file_read(file, "nobody", array), NSH_ERR_NOT_FOUND);
    reason("nsh_file_read", "nobody");
    CHECK_ALL(nsh_file_read(file, "g", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_read(file, "g/nobody", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_read(file, "nobody/a", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_read(file, "a/a", array), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_load(file, "nobody", &made), NSH_ERR_NOT_FOUND);
    CHECK(made == (nsh_array *)numbers);
    CHECK_ALL(nsh_file_write(file, "ok", array), NSH_SUCCESS); /* none of that has made it invalid
                                                               */
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    intact();
}

static void test_arrays(void)
{
    const int64_t wide[] = {5, 9}, flat[] = {40};
    nsh_file *file = open_good(NSH_FILE_READ);
    nsh_comm *second = NULL;
    nsh_array *a = NULL;

    check_case("arrays of another type, extent, communicator; none");
    CHECK_ALL(nsh_file_read(file, "a", other), NSH_ERR_TYPE);
    reason("nsh_file_read", "float32");
    CHECK_ALL(nsh_array_create(comm, MPI_INT32_T, 2, wide, NULL, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", a), NSH_ERR_ARG);
    reason("nsh_file_read", "dimension 1 is 8, of the array 9");
    CHECK_ALL(nsh_array_free(&a), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT32_T, 1, flat, NULL, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", a), NSH_ERR_ARG);
    reason("nsh_file_read", "2 dimensions");
    CHECK_ALL(nsh_array_free(&a), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_load(file, "a", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write(file, "b", NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_comm_create_serial(&second), NSH_SUCCESS);
    CHECK_EQ(nsh_array_create(second, MPI_INT32_T, 1, flat, NULL, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", a), NSH_ERR_ARG);
    CHECK_EQ(nsh_array_free(&a), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&second), NSH_SUCCESS);

    check_case("a file for reading is not written to");
    CHECK_ALL(nsh_file_write(file, "b", array), NSH_ERR_STATE);
    reason("nsh_file_write", "for reading");
    CHECK_ALL(nsh_file_read(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    intact();
}

static void test_nulls(void)
{
    nsh_file *file = NULL;
    int64_t n = 77;
    char **names = NULL;
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;

    check_case("NULL");
    CHECK_ALL(nsh_file_open(NULL, good, NSH_FILE_READ, NULL, &file), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_open(comm, good, NSH_FILE_READ, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_close(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write(NULL, "a", array), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_read(NULL, "a", array), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_load(NULL, "a", &array), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_info(NULL, "a", &info), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_list(NULL, &n, &names), NSH_ERR_ARG);
    CHECK_ALL(nsh_snapshot_save(good, 1, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_snapshot_save(good, 0, &array), NSH_ERR_ARG);
    CHECK_ALL(nsh_snapshot_save(good, 1, &array), NSH_ERR_ARG); /* it has no name */
    CHECK_ALL(nsh_snapshot_restore(good, 1, &array), NSH_ERR_ARG);
    file = open_good(NSH_FILE_READ);
    CHECK_ALL(nsh_file_info(file, "a", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_list(file, NULL, &names), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_list(file, &n, NULL), NSH_ERR_ARG);
    CHECK(n == 77 && names == NULL);
    CHECK_ALL(nsh_comm_free(&comm), NSH_ERR_STATE);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    intact();
}

/* What a call on attributes, dimensions, hyperslabs or frames refuses by itself. */
static void test_arguments(void)
{
    const int64_t extents[NSH_MAX_NDIM] = {1}, one = 1;
    const double point = 0.5;
    char label[300], **names = NULL;
    nsh_file *file = NULL;
    void *values = NULL;
    nsh_array *deep = NULL;
    int64_t n = 77;

    check_case("arguments of other calls");
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = 0;
    CHECK_ALL(nsh_file_list_attrs(NULL, "a", &n, &names), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_attr(NULL, "a", "t", NSH_ATTR_TEXT, 1, "y"), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_get_attr(NULL, "a", "t", NSH_ATTR_TEXT, &n, &values), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_set_dim(NULL, "a", 0, "x", NULL, &point), NSH_ERR_ARG);
    CHECK_ALL(nsh_file_write_hyperslab(NULL, "b", MPI_INT64_T, 1, &one, &one, NULL, NULL),
              NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append_hyperslab(NULL, "b", MPI_INT64_T, 1, &one, &one, NULL, NULL),
              NSH_ERR_ARG);
    CHECK_ALL(nsh_file_append(NULL, "b", array), NSH_ERR_ARG);
    CHECK_ALL(nsh_snapshot_restore(good, -1, &array), NSH_ERR_ARG);
    CHECK_ALL(nsh_snapshot_restore(good, 1, NULL), NSH_ERR_ARG);
    file = open_good(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_set_attr(file, "a", "t", NSH_ATTR_DOUBLE, 1, NULL), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "values");
    CHECK_ALL(nsh_file_set_attr(file, "none", "t", NSH_ATTR_TEXT, 1, "y"), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_get_attr(file, "none", "t", NSH_ATTR_TEXT, &n, &values), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_list_attrs(file, "none", &n, &names), NSH_ERR_NOT_FOUND);
    CHECK_ALL(nsh_file_set_dim(file, "a", 0, label, NULL, NULL), NSH_ERR_ARG);
    CHECK_HAS(nsh_error_detail(), "299 bytes, not 255");
    CHECK_ALL(nsh_file_append_hyperslab(file, "deep", MPI_INT64_T, NSH_MAX_NDIM, extents, NULL,
                                        NULL, NULL),
              NSH_ERR_ARG);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, NSH_MAX_NDIM, extents, NULL, &deep), NSH_SUCCESS);
    CHECK_ALL(nsh_file_append(file, "deep", deep), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_free(&deep), NSH_SUCCESS);
    CHECK(n == 77 && names == NULL && values == NULL);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    intact();
}

static void test_mismatch(void)
{
    bool odd = check_rank == check_size - 1;
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    nsh_file *file = NULL;
    nsh_array *made = NULL;

    if (check_size == 1)
        return;
    check_case("ranks disagree");
    CHECK_ALL(nsh_file_open(comm, odd ? good : scratch_path("x"), NSH_FILE_READ, NULL, &file),
              NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_open(comm, good, odd ? NSH_FILE_READ : NSH_FILE_APPEND, NULL, &file),
              NSH_ERR_MISMATCH);
    options.writers = odd;
    CHECK_ALL(nsh_file_open(comm, good, NSH_FILE_APPEND, &options, &file), NSH_ERR_MISMATCH);
    CHECK(file == NULL);
    file = open_good(NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_read(file, odd ? "a" : "g/a", array), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_read(file, "a", odd ? array : other), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_load(file, odd ? "a" : "g/a", &made), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_write(file, odd ? "b" : "c", array), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_write(file, "b", odd ? array : other), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_write(file, odd ? NULL : "b", array), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_file_write(file, "b", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    intact();
}

/* Does the rank write for its node? */
static bool leads(int rank)
{
    for (int r = 0; r < rank; r++)
        if (nsh_comm_node_of(comm, r) == nsh_comm_node_of(comm, rank))
            return false;
    return true;
}

static void make_good(void)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_array_set(array, numbers, NULL, NULL, 0), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, good, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "g/a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* A rank may not write long files: if it is one that writes, all ranks fail, and no process ends.
 */
static void test_limit(void)
{
    const int64_t extent[] = {8 << 20};
    nsh_array_options options = {sizeof options, "big"};
    struct rlimit old, low;
    nsh_array *big = NULL;

    check_case("one rank after another has little RLIMIT_FSIZE");
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, extent, &options, &big), NSH_SUCCESS);
    getrlimit(RLIMIT_FSIZE, &old);
    for (int rank = 0; rank < check_size; rank++)
        for (int kib = 2; kib <= 1024; kib *= 512) {
            bool fails = leads(rank);

            low = old;
            low.rlim_cur = (rlim_t)kib << 10;
            if (check_rank == rank)
                setrlimit(RLIMIT_FSIZE, &low);
            CHECK_ALL(nsh_snapshot_save(good, 1, &big), fails ? NSH_ERR_IO : NSH_SUCCESS);
            setrlimit(RLIMIT_FSIZE, &old);
            if (fails)
                reason("nsh_snapshot_save", "too large");
            else
                make_good();
            intact();
        }
    CHECK_ALL(nsh_array_free(&big), NSH_SUCCESS);
}

/* 32 KiB of attribute each, which HDF5 writes when it closes the file, and a frame, which it writes
 * from its own memory. The first code that is not success. */
static int save_much(int attributes)
{
    static const double values[4096];
    nsh_file *file = NULL;
    int closed, rc = CHECK_SAME(nsh_file_open(comm, good, NSH_FILE_CREATE, NULL, &file));

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh_file_write(file, "a", array);
    if (rc == NSH_SUCCESS)
        rc = nsh_file_append(file, "series", array);
    for (int i = 0; i < attributes && rc == NSH_SUCCESS; i++) {
        char name[16];

        snprintf(name, sizeof name, "x%d", i);
        rc = nsh_file_set_attr(file, NULL, name, NSH_ATTR_DOUBLE, 4096, values);
    }
    closed = CHECK_SAME(nsh_file_close(&file));
    CHECK(file == NULL);
    return CHECK_SAME(rc != NSH_SUCCESS ? rc : closed);
}

/* HDF5 meets the limit at every place, also when it closes the file. What is wrong after that shows
 * at the latest when the process ends. */
static void test_metadata(void)
{
    struct rlimit old, low;
    int failures = 0;

    check_case("no room for what HDF5 writes, from the first byte to the last");
    getrlimit(RLIMIT_FSIZE, &old);
    for (int kib = 0; kib <= 350; kib += kib < 4 ? 1 : 50) {
        int rc;

        low = old;
        low.rlim_cur = (rlim_t)kib << 10;
        setrlimit(RLIMIT_FSIZE, &low);
        rc = save_much(8);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK(rc == NSH_ERR_IO || rc == NSH_SUCCESS);
        failures += rc != NSH_SUCCESS;
        if (rc != NSH_SUCCESS)
            intact();
        make_good();
    }
    CHECK(failures >= 6 && failures <= 11); /* of 12; the file has 260 KiB */
    intact();
}

static void setup(void)
{
    const int64_t extent[] = {5, 8};

    snprintf(good, sizeof good, "%s", scratch_path("good.h5"));
    for (int i = 0; i < N; i++)
        numbers[i] = 1000 + i;
    CHECK_ALL(nsh_array_create(comm, MPI_INT32_T, 2, extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_FLOAT, 2, extent, NULL, &other), NSH_SUCCESS);
    make_good();
}

/* The same on a file system of 1 MiB, which mpi_tests/test_file.sh has made. */
static int full_disk(void)
{
    scratch_make();
    check_case("a full disk");
    setup();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(save_much(40), NSH_ERR_IO);
        reason("nsh_file_", "No space left");
        intact();
        CHECK_EQ(save_much(4), NSH_SUCCESS);
        make_good();
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&other), NSH_SUCCESS);
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}

/* A failed change makes the file invalid, but not the target. On rank 0 HDF5 meets the limit; other
 * ranks meet it when they write without HDF5. */
static void fail_a_change(bool by_rank_0)
{
    const int64_t extent[] = {8 << 20};
    struct rlimit old, low;
    nsh_array *big = NULL;
    nsh_file *file = open_good(NSH_FILE_APPEND);

    check_case("after a failed change nothing but close, %s",
               by_rank_0 ? "rank 0" : "another node");
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, extent, NULL, &big), NSH_SUCCESS);
    getrlimit(RLIMIT_FSIZE, &old);
    low = old;
    low.rlim_cur = 1 << 20;
    if ((check_rank == 0) == by_rank_0)
        setrlimit(RLIMIT_FSIZE, &low);
    CHECK_ALL(nsh_file_write(file, "big", big), NSH_ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_ALL(nsh_file_write(file, "small", array), NSH_ERR_STATE);
    reason("nsh_file_write", "has failed");
    CHECK_ALL(nsh_file_read(file, "a", array), NSH_ERR_STATE);
    CHECK_ALL(nsh_file_commit(file), NSH_ERR_STATE);
    CHECK_ALL(nsh_array_free(&big), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_STATE);
    CHECK(file == NULL);
    intact();
}

/* Rank 0 finds the working copy, takes it away and puts something else in its place. */
static void exchange_working_copy(char away[600])
{
    char name[512];
    DIR *d = opendir(scratch_path(""));
    struct dirent *entry;

    while (d != NULL && (entry = readdir(d)) != NULL)
        if (strncmp(entry->d_name, "good.h5.tmp-", 12) == 0) {
            snprintf(name, sizeof name, "%s", scratch_path(entry->d_name));
            snprintf(away, 600, "%s.away", name);
            CHECK_EQ(rename(name, away), 0);
            close(open(name, O_WRONLY | O_CREAT, 0600));
            break;
        }
    closedir(d);
}

/* Where the path is another file than rank 0 has open, nothing is written to it. */
static void test_another_file(void)
{
    const int64_t n = check_size, mine = check_rank, one = 1;
    char away[600] = "";
    nsh_file *file = open_good(NSH_FILE_CREATE);

    check_case("another file under the same path");
    if (check_rank == 0)
        exchange_working_copy(away);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_file_write_hyperslab(file, "a", MPI_INT, 1, &n, &check_rank, &mine, &one),
              check_size > 1 ? NSH_ERR_IO : NSH_SUCCESS);
    if (check_size > 1)
        reason("nsh_file_write_hyperslab", "another file");
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_STATE);
    if (check_size == 1)
        reason("nsh_file_close", "replaced");
    if (check_rank == 0)
        CHECK_EQ(unlink(away), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    intact();
}

/* Another program makes the file that must not exist, before ours is committed. */
static void test_excl(void)
{
    nsh_file *file = NULL;

    check_case("EXCL: made by somebody meanwhile");
    CHECK_ALL(nsh_file_open(comm, scratch_path("excl"), NSH_FILE_EXCL, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    write_file("excl", "theirs", 6);
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_EXISTS);
    CHECK_EQ(scratch_count("excl"), 1);
    if (check_rank == 0) {
        struct stat st;

        CHECK(stat(scratch_path("excl"), &st) == 0 && st.st_size == 6);
    }
    scratch_unlink("excl");
    CHECK_ALL(nsh_file_open(comm, scratch_path("excl"), NSH_FILE_EXCL, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "b", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS); /* the handle's own file does not count as
                                                      another program's */
    open_fails(scratch_path("excl"), NSH_FILE_EXCL, NSH_ERR_EXISTS, "excl");
}

/* Left-over working copies: those in use stay, others are removed; files that only look like
 * working copies stay. */
static void test_stale(void)
{
    static const char *const theirs[] = {"good.h5.tmp-",
                                         "good.h5.tmp-keep",
                                         "good.h5.tmp-2024-11-01.txt",
                                         "good.h5.tmp-2024-1-1",
                                         "good.h5.tmp-1-0.nsh",
                                         "good.h5.tmp-there-1-.nsh",
                                         "good.h5.tmp-.nsh",
                                         "good.h5.tmp-there--1.nsh",
                                         "good.h5.tmp-there-1-0x.nsh",
                                         "good.h5.tmp--1-0.nsh",
                                         "good.h5.tmp-there-1-0.nsh.bak"};
    enum { THEIRS = sizeof theirs / sizeof theirs[0] };
    nsh_file *file = NULL, *second = NULL;

    check_case("left-over working copies");
    write_file("good.h5.tmp-somewhere-1-0.nsh", "rest", 4);
    write_file("good.h5.tmp-some-where.org-123456-78.nsh", "rest", 4);
    for (int i = 0; i < THEIRS; i++)
        write_file(theirs[i], "mine", 4);
    write_file("good.h5.bak", "mine", 4);
    file = open_good(NSH_FILE_READ);
    CHECK_EQ(scratch_count("good.h5.tmp-"), THEIRS + 2); /* a reader does not remove them */
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_good(NSH_FILE_CREATE);
    CHECK_EQ(scratch_count("good.h5.tmp-some"), 0);
    CHECK_EQ(scratch_count("good.h5.tmp-"), THEIRS + 1);
    second = open_good(NSH_FILE_CREATE);
    CHECK_EQ(scratch_count("good.h5.tmp-"), THEIRS + 2); /* that of the first is in use */
    CHECK_ALL(nsh_file_abandon(&second), NSH_SUCCESS);
    CHECK_EQ(scratch_count("good.h5.tmp-"), THEIRS + 1);
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
    for (int i = 0; i < THEIRS; i++) {
        CHECK_EQ(scratch_count(theirs[i]) > 0, 1);
        scratch_unlink(theirs[i]);
    }
    CHECK_EQ(scratch_count("good.h5.bak"), 1);
    intact();
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_needs_hdf5();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    if (argc > 1)
        return full_disk();
    check_case("a good file");
    scratch_make();
    setup();
    intact();
    listen_to_stderr();
    test_paths();
    test_permission();
    test_contents();
    test_names();
    test_arrays();
    test_nulls();
    test_arguments();
    test_mismatch();
    test_limit();
    test_metadata();
    fail_a_change(true);
    if (nsh_comm_node_count(comm) > 1)
        fail_a_change(false);
    test_another_file();
    test_excl();
    test_stale();
    check_case("nothing was printed");
    nothing_was_printed();
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&other), NSH_SUCCESS);
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
