/* test_struct_size.c -- ranks: 1 3  layouts: one-node cliques-2 per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Each public struct that begins with its size: a size that it never had, a larger one, and a
 * larger one with bytes that this version does not know, on all ranks and on one. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"
#include "scratch.h"

enum { EXTRA = 24, MOST = 2048 };

static nsh_comm *comm;
static nsh_array *array;
static nsh_mutex *mutex;
static nsh_batch *batch;
static nsh_file *file;

/* ---- the calls that take one; what they make is freed again ---- */

static int comm_create(void *options)
{
    nsh_comm *made;
    int rc = nsh_comm_create(MPI_COMM_WORLD, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_comm_free(&made), NSH_SUCCESS);
    return rc;
}

static int array_create(void *options)
{
    nsh_array *made;
    int rc = nsh_array_create(comm, MPI_INT, 0, NULL, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_array_free(&made), NSH_SUCCESS);
    return rc;
}

static int array_like(void *options)
{
    nsh_array *made;
    int rc = nsh_array_like(array, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_array_free(&made), NSH_SUCCESS);
    return rc;
}

static int mutex_create(void *options)
{
    nsh_mutex *made;
    int rc = nsh_mutex_create(comm, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_mutex_free(&made), NSH_SUCCESS);
    return rc;
}

static int counter_create(void *options)
{
    nsh_counter *made;
    int rc = nsh_counter_create(comm, 0, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_counter_free(&made), NSH_SUCCESS);
    return rc;
}

static int semaphore_create(void *options)
{
    nsh_semaphore *made;
    int rc = nsh_semaphore_create(comm, 1, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_semaphore_free(&made), NSH_SUCCESS);
    return rc;
}

static int batch_create(void *options)
{
    nsh_batch *made;
    int rc = nsh_batch_create(comm, 3, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_batch_free(&made), NSH_SUCCESS);
    return rc;
}

static int file_open(void *options)
{
    nsh_file *made;
    int rc = nsh_file_open(comm, scratch_path("sized.h5"), NSH_FILE_CREATE, options, &made);

    if (rc == NSH_SUCCESS)
        CHECK_ALL(nsh_file_abandon(&made), NSH_SUCCESS);
    return rc;
}

static int nothing(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)index;
    (void)arg;
    return NSH_SUCCESS;
}

static int nothing_in_row(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    (void)row;
    return nothing(worker, index, arg);
}

static int map(void *options)
{
    return nsh_map(comm, 3, nothing, NULL, options);
}

static int map_rows(void *options)
{
    return nsh_map_rows(array, nothing_in_row, NULL, options);
}

static int mutex_get_stats(void *out)
{
    return nsh_mutex_get_stats(mutex, out);
}

static int batch_counts(void *out)
{
    return nsh_batch_counts(batch, out);
}

static int file_info(void *out)
{
    return nsh_file_info(file, "x", out);
}

/* ---- each of them ---- */

typedef struct sized {
    const char *init;
    int (*call)(void *given);
    size_t size, end; /* of the struct; where its last field ends */
    const void *initial;
    int all; /* not 0: all ranks have one answer */
} sized;

/* The call on a struct of this size, whose last byte is last. */
static int given(const sized *s, size_t size, int last)
{
    static _Alignas(16) unsigned char bytes[MOST];
    int rc;

    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, s->initial, s->size);
    memcpy(bytes, &size, sizeof size);
    if (last != 0)
        bytes[size - 1] = (unsigned char)last;
    rc = s->call(bytes);
    CHECK_MEM(bytes, &size, sizeof size);
    for (size_t i = s->size; i + 1 < size; i++)
        if (bytes[i] != 0)
            CHECK_EQ(bytes[i], 0); /* what the library does not know it does not write */
    return rc;
}

/* The wrong struct on every rank, or on one. */
static void wrong(const sized *s, size_t size, int last, int code)
{
    CHECK_ALL(given(s, size, last), code);
    CHECK_HAS(nsh_error_detail(), s->init);
    for (int bad = 0; bad < check_size; bad++) {
        int rc = check_rank == bad ? given(s, size, last) : given(s, s->size, 0);

        CHECK_EQ(rc, s->all || check_rank == bad ? code : NSH_SUCCESS);
        if (rc != NSH_SUCCESS)
            CHECK_HAS(nsh_error_detail(), s->init);
    }
    CHECK_ALL(given(s, s->size, 0), NSH_SUCCESS);
}

static void check_struct(const sized *s)
{
    check_case("%s", s->init);
    CHECK_EQ(s->end, s->size); /* a field that comes later must not lie in padding */
    CHECK_ALL(given(s, s->size, 0), NSH_SUCCESS);
    CHECK_ALL(given(s, s->size + EXTRA, 0), NSH_SUCCESS);
    wrong(s, 0, 0, NSH_ERR_ARG);
    wrong(s, sizeof(size_t) - 1, 0, NSH_ERR_ARG);
    wrong(s, s->size - 1, 0, NSH_ERR_ARG);
    wrong(s, s->size + EXTRA, 1, NSH_ERR_UNSUPPORTED);
    wrong(s, s->size + 1, 1, NSH_ERR_UNSUPPORTED);
}

/* Options that are not the defaults, in structs that end inside their first field, or later but too
 * early: the library reads none of it. Where one rank passes such a struct, it has the defaults,
 * and the others disagree with them. */
static void check_given(const sized *s)
{
    check_case("%s, with options that are not the defaults", s->init);
    for (size_t size = sizeof(size_t) + 1; size < s->size; size++) {
        CHECK_ALL(given(s, size, 0), NSH_ERR_ARG);
        CHECK_HAS(nsh_error_detail(), s->init);
    }
    for (int bad = 0; bad < check_size; bad++) {
        int one = check_size == 1 ? NSH_ERR_ARG : NSH_ERR_MISMATCH;

        CHECK_ALL(given(s, check_rank == bad ? 0 : s->size, 0), one);
        CHECK_ALL(given(s, check_rank == bad ? s->size - 1 : s->size, 0), one);
    }
    CHECK_ALL(given(s, s->size, 0), NSH_SUCCESS);
}

static void test_given(void)
{
    nsh_array_options named = NSH_ARRAY_OPTIONS_INIT;
    nsh_mutex_options placed = NSH_MUTEX_OPTIONS_INIT;

    named.name = "field";
    check_given(
        &(sized){"NSH_ARRAY_OPTIONS_INIT", array_create, sizeof named, sizeof named, &named, 1});
    placed.name = "lock";
    placed.home = check_size - 1;
    check_given(
        &(sized){"NSH_MUTEX_OPTIONS_INIT", mutex_create, sizeof placed, sizeof placed, &placed, 1});
}

#define STRUCT(call, type, last, init, all)                                                        \
    do {                                                                                           \
        const type initial = init;                                                                 \
        check_struct(&(sized){#init, call, sizeof(type),                                           \
                              offsetof(type, last) + sizeof initial.last, &initial, all});         \
    } while (0)

static void files(void)
{
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;

    if (nsh_file_open(comm, scratch_path("sized_info.h5"), NSH_FILE_CREATE, NULL, &file) ==
        NSH_ERR_UNSUPPORTED)
        return; /* without HDF5 */
    STRUCT(file_open, nsh_file_options, in_place, NSH_FILE_OPTIONS_INIT, 1);
    CHECK_ALL(nsh_file_write(file, "x", array), NSH_SUCCESS);
    STRUCT(file_info, nsh_dataset_info, filters, NSH_DATASET_INFO_INIT, 1);
    CHECK_ALL(nsh_file_info(file, "x", &info), NSH_SUCCESS);
    CHECK_EQ(info.size, sizeof info);
    CHECK_EQ(info.elements, 3);
    CHECK_STR(info.type, "int32");
    CHECK_ALL(nsh_file_abandon(&file), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    int64_t rows = 3;

    check_init(&argc, &argv);
    scratch_make();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 1, &rows, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, 5, NULL, &batch), NSH_SUCCESS);
    STRUCT(comm_create, nsh_comm_options, heap_bytes, NSH_COMM_OPTIONS_INIT, 1);
    STRUCT(array_create, nsh_array_options, name, NSH_ARRAY_OPTIONS_INIT, 1);
    STRUCT(array_like, nsh_array_options, name, NSH_ARRAY_OPTIONS_INIT, 1);
    STRUCT(mutex_create, nsh_mutex_options, name, NSH_MUTEX_OPTIONS_INIT, 1);
    STRUCT(counter_create, nsh_counter_options, name, NSH_COUNTER_OPTIONS_INIT, 1);
    STRUCT(semaphore_create, nsh_semaphore_options, name, NSH_SEMAPHORE_OPTIONS_INIT, 1);
    STRUCT(batch_create, nsh_batch_options, progress_seconds, NSH_BATCH_OPTIONS_INIT, 1);
    STRUCT(map, nsh_map_options, result, NSH_MAP_OPTIONS_INIT, 1);
    STRUCT(map_rows, nsh_map_options, result, NSH_MAP_OPTIONS_INIT, 1);
    STRUCT(mutex_get_stats, nsh_mutex_stats, seconds, NSH_MUTEX_STATS_INIT, 0);
    STRUCT(batch_counts, nsh_task_counts, failed, NSH_TASK_COUNTS_INIT, 0);
    CHECK_EQ(nsh_batch_counts(batch, &counts), NSH_SUCCESS);
    CHECK_EQ(counts.tasks, 5);
    CHECK_EQ(counts.open, 5);
    CHECK_EQ(counts.size, sizeof counts);
    test_given();
    files();
    CHECK_ALL(nsh_comm_free_all(&comm), NSH_SUCCESS);
    scratch_remove();
    return check_finish();
}
