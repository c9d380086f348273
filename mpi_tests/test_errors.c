/* test_errors.c -- ranks: 3 5  layouts: one-node cliques-2 odd-even per-rank serial
 * seconds: 40
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every error of every function: one code on all ranks, outputs untouched, old contents intact, and
 * a good call works afterwards. */
#define _GNU_SOURCE
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

enum { ROWS = 4, COLUMNS = 5, SIZE = ROWS * COLUMNS };

static nsh_comm *comm;
static nsh_array *array;
static int32_t oracle[SIZE];

/* Nothing has changed, and the next set works: by another root each time. */
static void intact(void)
{
    static int turn;
    int root = turn++ % check_size;
    int at = turn % SIZE;
    int64_t offset[2] = {at / COLUMNS, at % COLUMNS}, count[2] = {1, 1};
    int32_t value = 1000 + turn;

    CHECK_MEM(nsh_array_data(array), oracle, sizeof oracle);
    CHECK_ALL(nsh_array_set(array, &value, offset, count, root), NSH_SUCCESS);
    oracle[at] = value;
    CHECK_MEM(nsh_array_data(array), oracle, sizeof oracle);
}

/* The detail of the last failure names the call and holds part. */
static void detail(const char *call, const char *part)
{
    CHECK_HAS(nsh_error_detail(), call);
    CHECK_HAS(nsh_error_detail(), part);
}

/* ---- communicators ---- */

static void create_fails(MPI_Comm mpi, const nsh_comm_options *options, int code)
{
    nsh_comm *out = (nsh_comm *)&oracle;

    CHECK_ALL(nsh_comm_create(mpi, options, &out), code);
    CHECK(out == (nsh_comm *)&oracle);
    CHECK_HAS(nsh_error_detail(), "nsh_comm_create");
}

static void comm_arguments(void)
{
    check_case("nsh_comm_create: arguments");
    create_fails(MPI_COMM_NULL, NULL, NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_create_serial(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_free(NULL), NSH_ERR_ARG);
    intact();
}

static void comm_options(void)
{
    const nsh_comm_options bad[] = {
        {sizeof(nsh_comm_options), MPI_COMM_NULL, -1, NSH_WAIT_AUTO, NSH_PROGRESS_AUTO, 0},
        {sizeof(nsh_comm_options), MPI_COMM_NULL, 0, (nsh_wait_mode)3, NSH_PROGRESS_AUTO, 0},
        {sizeof(nsh_comm_options), MPI_COMM_NULL, 0, (nsh_wait_mode)-1, NSH_PROGRESS_AUTO, 0},
        {sizeof(nsh_comm_options), MPI_COMM_NULL, 0, NSH_WAIT_AUTO, (nsh_progress_mode)7, 0},
        {sizeof(nsh_comm_options), MPI_COMM_NULL, 0, NSH_WAIT_AUTO, NSH_PROGRESS_AUTO, -1},
    };
    static const char *const env[][2] = {{"NSH_WAIT", "foo"},
                                         {"NSH_PROGRESS", "perhaps"},
                                         {"NSH_RANKS_PER_NODE", "two"},
                                         {"NSH_RANKS_PER_NODE", "0"},
                                         {"NSH_RANKS_PER_NODE", "99999999999999999999"}};

    check_case("nsh_comm_create: options and environment");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        create_fails(MPI_COMM_WORLD, &bad[i], NSH_ERR_ARG);
        /* On one rank only, all fail. */
        create_fails(MPI_COMM_WORLD, check_rank == check_size - 1 ? &bad[i] : NULL, NSH_ERR_ARG);
    }
    for (size_t i = 0; i < sizeof env / sizeof env[0]; i++) {
        const char *old = getenv(env[i][0]);
        char *kept = old != NULL ? strdup(old) : NULL;

        setenv(env[i][0], env[i][1], 1);
        create_fails(MPI_COMM_WORLD, NULL, NSH_ERR_ARG);
        CHECK_HAS(nsh_error_detail(), env[i][1]);
        if (kept != NULL)
            setenv(env[i][0], kept, 1);
        else
            unsetenv(env[i][0]);
        free(kept);
    }
    intact();
}

static void comm_mismatch(void)
{
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;

    if (check_size == 1)
        return;
    check_case("nsh_comm_create: ranks differ in options");
    options.ranks_per_node = 1 + (check_rank == 0);
    create_fails(MPI_COMM_WORLD, &options, NSH_ERR_MISMATCH);
    options.ranks_per_node = 0;
    options.progress = check_rank == 0 ? NSH_PROGRESS_NONE : NSH_PROGRESS_AUTO;
    create_fails(MPI_COMM_WORLD, &options, NSH_ERR_MISMATCH);
    options.progress = NSH_PROGRESS_AUTO;
    options.node_comm = check_rank == 0 ? MPI_COMM_SELF : MPI_COMM_NULL;
    create_fails(MPI_COMM_WORLD, &options, NSH_ERR_MISMATCH);
    intact();
}

static void node_comms(void)
{
    int sharing;
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    MPI_Comm part = MPI_COMM_NULL;

    if (check_size == 1)
        return;
    check_case("nsh_comm_create: a node_comm that reaches beyond comm");
    MPI_Comm_split(MPI_COMM_WORLD, check_rank == 0, check_rank, &part);
    options.node_comm = MPI_COMM_WORLD;
    create_fails(part, &options, NSH_ERR_ARG);
    MPI_Comm_free(&part);
    /* Where MPI itself sees several domains; nodes that only the library splits share memory. */
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &part);
    MPI_Comm_size(part, &sharing);
    MPI_Comm_free(&part);
    if (sharing < check_size) {
        check_case("nsh_comm_create: a node_comm that does not share memory");
        create_fails(MPI_COMM_WORLD, &options, NSH_ERR_ARG);
    }
    intact();
}

static void intercommunicator(void)
{
    MPI_Comm half, inter;

    if (check_size == 1)
        return;
    check_case("nsh_comm_create: an intercommunicator");
    MPI_Comm_split(MPI_COMM_WORLD, check_rank == 0, check_rank, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, check_rank == 0 ? 1 : 0, 5, &inter);
    create_fails(inter, NULL, NSH_ERR_ARG);
    MPI_Comm_free(&inter);
    MPI_Comm_free(&half);
    intact();
}

static void nulls(void)
{
    int64_t here = 77;
    nsh_array *found = array;
    nsh_comm *none = NULL;

    check_case("NULL for the object");
    CHECK_ALL(nsh_comm_barrier(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_node_barrier(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_progress(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_print(NULL, stderr), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_print(comm, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_free_all(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_abandon(&none), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free_all(&none), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_rank(NULL), -1);
    CHECK_EQ(nsh_comm_size(NULL), -1);
    CHECK_EQ(nsh_comm_node_rank(NULL), -1);
    CHECK_EQ(nsh_comm_node_size(NULL), -1);
    CHECK_EQ(nsh_comm_node_index(NULL), -1);
    CHECK_EQ(nsh_comm_node_count(NULL), -1);
    CHECK_EQ(nsh_comm_host_count(NULL), -1);
    CHECK_EQ(nsh_comm_node_of(NULL, 0), -1);
    CHECK_EQ(nsh_comm_node_of(comm, -1), -1);
    CHECK_EQ(nsh_comm_node_of(comm, check_size), -1);
    CHECK(nsh_comm_mpi(NULL) == MPI_COMM_NULL);
    CHECK(nsh_comm_node_mpi(NULL) == MPI_COMM_NULL);
    CHECK_ALL(nsh_array_create(NULL, MPI_INT, 0, NULL, NULL, &found), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_like(NULL, NULL, &found), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_free(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_get(NULL, NULL, NULL, &here), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set(NULL, &here, NULL, NULL, 0), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_strided(NULL, &here, NULL, NULL, NULL, 0), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_many(NULL, 0, NULL, 0), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_update_begin(NULL, NULL, NULL, 0, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_update_end(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_allgather(NULL, &here, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_allreduce(NULL, &here, MPI_SUM), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_fill(NULL, &here), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_find(NULL, "x", &found), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_find(comm, NULL, &found), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_find(comm, "x", NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_find(comm, "nobody", &found), NSH_ERR_NOT_FOUND);
    CHECK_HAS(nsh_error_detail(), "nobody");
    CHECK_ALL(nsh_array_checksum(NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_print(NULL, stderr), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_print(array, NULL), NSH_ERR_ARG);
    CHECK(found == array);
    CHECK_EQ(here, 77);
    CHECK(nsh_array_data(NULL) == NULL && nsh_array_at(NULL, NULL) == NULL);
    CHECK(nsh_array_comm(NULL) == NULL && nsh_array_name(NULL) == NULL);
    CHECK(nsh_array_type(NULL) == MPI_DATATYPE_NULL && nsh_array_extent(NULL) == NULL);
    CHECK_EQ(nsh_array_ndim(NULL), -1);
    CHECK_EQ(nsh_array_extent_of(NULL, 0), -1);
    CHECK_EQ(nsh_array_extent_of(array, 2), -1);
    CHECK_EQ(nsh_array_extent_of(array, -1), -1);
    CHECK_EQ(nsh_array_size(NULL), -1);
    CHECK_EQ(nsh_array_itemsize(NULL), -1);
    CHECK_EQ(nsh_array_nbytes(NULL), -1);
    CHECK_EQ(nsh_array_version(NULL), -1);
    intact();
}

/* Handles that a program has freed before, or never had. */
static void null_handles(void)
{
    nsh_array *no_array = NULL;
    nsh_mutex *no_mutex = NULL;
    nsh_semaphore *no_semaphore = NULL;
    nsh_counter *no_counter = NULL;
    nsh_batch *no_batch = NULL;

    check_case("NULL for a handle");
    CHECK_ALL(nsh_array_free(&no_array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&no_mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_abandon(&no_mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_semaphore_free(&no_semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_abandon(&no_semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_counter_free(&no_counter), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_abandon(&no_counter), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_batch_free(&no_batch), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_abandon(&no_batch), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_abandon(NULL), NSH_ERR_ARG);
}

/* A stream that takes nothing. */
static void prints(void)
{
    FILE *full = fopen("/dev/full", "w");
    char text[4] = "";

    check_case("print");
    if (full == NULL)
        return;
    setvbuf(full, NULL, _IONBF, 0);
    CHECK_ALL(nsh_comm_print(comm, full), NSH_ERR_IO);
    CHECK_ALL(nsh_array_print(array, full), NSH_ERR_IO);
    fclose(full);
    CHECK(nsh_comm_snprintf(text, sizeof text, NULL) < 0);
    CHECK(nsh_array_snprintf(text, sizeof text, NULL) < 0);
    CHECK(nsh_comm_snprintf(text, sizeof text, comm) > 3 && text[3] == 0);
}

/* ---- create ---- */

static void make_fails(MPI_Datatype type, int ndim, const int64_t extent[], const char *name,
                       int code)
{
    nsh_array_options options = {sizeof options, name};
    nsh_array *out = array;

    CHECK_ALL(nsh_array_create(comm, type, ndim, extent, &options, &out), code);
    CHECK(out == array);
    CHECK(nsh_error_detail()[0] != '\0');
}

static void create_arguments(void)
{
    const int64_t good[2] = {2, 3}, negative[2] = {2, -1}, many[33] = {1};
    const int64_t huge[3] = {INT64_MAX, 2, 1}, square[2] = {1LL << 32, 1LL << 32};
    const int64_t bytes[1] = {INT64_MAX / 8 + 1}, no_room[1] = {INT64_MAX / 16};
    char name[257];
    nsh_array *longest = NULL;
    nsh_array_options options = {sizeof options, name};

    check_case("nsh_array_create: arguments");
    memset(name, 'n', 256);
    name[256] = '\0';
    make_fails(MPI_INT, -1, good, NULL, NSH_ERR_ARG);
    make_fails(MPI_INT, 33, many, NULL, NSH_ERR_ARG);
    make_fails(MPI_INT, 2, NULL, NULL, NSH_ERR_ARG);
    make_fails(MPI_INT, 2, negative, NULL, NSH_ERR_ARG);
    make_fails(MPI_CHAR, 3, huge, NULL, NSH_ERR_ARG);
    make_fails(MPI_CHAR, 2, square, NULL, NSH_ERR_ARG);
    make_fails(MPI_DOUBLE, 1, bytes, NULL, NSH_ERR_ARG);
    make_fails(MPI_DOUBLE, 1, no_room, NULL, NSH_ERR_NOMEM);
    make_fails(MPI_INT, 2, good, "", NSH_ERR_ARG);
    make_fails(MPI_INT, 2, good, name, NSH_ERR_ARG);
    make_fails(MPI_INT, 2, good, "base", NSH_ERR_EXISTS);
    CHECK_HAS(nsh_error_detail(), "base");
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 2, good, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_like(array, NULL, NULL), NSH_ERR_ARG);
    /* On one rank only: wrong there, and not equal. */
    make_fails(MPI_INT, 2, check_rank == check_size - 1 ? negative : good, NULL,
               check_size == 1 ? NSH_ERR_ARG : NSH_ERR_MISMATCH);
    name[255] = '\0';
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 2, good, &options, &longest), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&longest), NSH_SUCCESS);
    CHECK(longest == NULL);
    CHECK_ALL(nsh_array_free(&longest), NSH_SUCCESS);
    intact();
}

static void create_types(void)
{
    const int64_t extent[1] = {4};
    MPI_Datatype vector, resized, lower, overlap, empty;

    check_case("nsh_array_create: types");
    MPI_Type_vector(2, 1, 2, MPI_INT, &vector);
    MPI_Type_create_resized(MPI_INT, 0, 8, &resized);
    MPI_Type_create_resized(MPI_INT, 4, 4, &lower);
    MPI_Type_create_resized(MPI_INT, 0, 2, &overlap);
    MPI_Type_contiguous(0, MPI_INT, &empty);
    MPI_Type_commit(&vector);
    MPI_Type_commit(&resized);
    MPI_Type_commit(&lower);
    MPI_Type_commit(&overlap);
    MPI_Type_commit(&empty);
    make_fails(MPI_DATATYPE_NULL, 1, extent, NULL, NSH_ERR_TYPE);
    make_fails(vector, 1, extent, NULL, NSH_ERR_TYPE);
    make_fails(overlap, 1, extent, NULL, NSH_ERR_TYPE);
    make_fails(lower, 1, extent, NULL, NSH_ERR_TYPE);
    make_fails(empty, 1, extent, NULL, NSH_ERR_TYPE);
    if (check_size > 1)
        make_fails(check_rank == 0 ? vector : MPI_INT, 1, extent, NULL, NSH_ERR_MISMATCH);
    MPI_Type_free(&vector);
    MPI_Type_free(&resized);
    MPI_Type_free(&lower);
    MPI_Type_free(&overlap);
    MPI_Type_free(&empty);
    intact();
}

static void create_mismatch(void)
{
    const int64_t a[2] = {2, 3}, b[2] = {3, 2};
    nsh_array_options named = {sizeof named, check_rank == 0 ? "this" : "that"};
    nsh_array *out = array;

    if (check_size == 1)
        return;
    check_case("nsh_array_create: ranks differ");
    for (int odd = 0; odd < check_size; odd++) {
        bool differs = check_rank == odd;

        make_fails(MPI_INT, 2, differs ? a : b, NULL, NSH_ERR_MISMATCH);
        make_fails(differs ? MPI_INT : MPI_FLOAT, 2, a, NULL, NSH_ERR_MISMATCH);
        make_fails(differs ? MPI_INT : MPI_DOUBLE, 2, a, NULL, NSH_ERR_MISMATCH);
        make_fails(MPI_INT, differs ? 1 : 2, a, NULL, NSH_ERR_MISMATCH);
        make_fails(MPI_INT, 2, a, differs ? "x" : NULL, NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_array_create(comm, MPI_INT, 2, a, differs ? NULL : &named, &out),
                  NSH_ERR_MISMATCH);
        CHECK(out == array);
    }
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 2, a, &named, &out), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_array_like(array, &named, &out), NSH_ERR_MISMATCH);
    CHECK(out == array);
    CHECK_EQ(nsh_array_find(comm, named.name, &out), NSH_ERR_NOT_FOUND);
    intact();
}

/* ---- set and similar calls ---- */

static const int64_t bad_slabs[][4] = {
    {0, 0, 5, 5},         {0, 0, 4, 6},         {4, 0, 1, 1},  {0, 5, 1, 1},
    {-1, 0, 1, 1},        {0, -1, 1, 1},        {0, 0, -1, 1}, {0, 0, 1, -5},
    {INT64_MAX, 0, 1, 1}, {1, 1, INT64_MAX, 1}, {3, 0, 2, 1},  {0, 3, 1, INT64_MAX - 2},
    {INT64_MIN, 0, 1, 1}, {0, 0, 1, INT64_MIN}, {5, 0, 0, 0},  {INT64_MAX, 0, INT64_MAX, 1},
};

static void set_slabs(void)
{
    int32_t data[64] = {0};
    void *view = data;

    check_case("set: hyperslabs outside the array");
    for (size_t i = 0; i < sizeof bad_slabs / sizeof bad_slabs[0]; i++) {
        const int64_t *offset = bad_slabs[i], *count = bad_slabs[i] + 2, none[2] = {0, 0};
        nsh_piece pieces[2] = {{data, NULL, NULL, NULL}, {data, offset, count, NULL}};
        int root = (int)i % check_size;
        bool mine = check_rank == root;

        CHECK_ALL(nsh_array_set(array, data, offset, count, root), NSH_ERR_ARG);
        detail("nsh_array_set", mine ? "dimension" : "[from rank ");
        CHECK_ALL(nsh_array_set(array, mine ? data : NULL, mine ? offset : NULL,
                                mine ? count : NULL, NSH_ROOT_ANY),
                  NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_strided(array, data, none, offset, count, root), NSH_ERR_ARG);
        detail("nsh_array_set_strided", "dimension");
        CHECK_ALL(nsh_array_set_many(array, 2, pieces, root), NSH_ERR_ARG);
        detail("nsh_array_set_many", "dimension");
        CHECK_ALL(nsh_array_update_begin(array, offset, count, root, &view), NSH_ERR_ARG);
        detail("nsh_array_update_begin", "dimension");
        CHECK(view == data);
        CHECK_ALL(nsh_array_allgather(array, data, mine ? offset : NULL, mine ? count : none),
                  NSH_ERR_ARG);
        detail("nsh_array_allgather", "dimension");
        CHECK_EQ(nsh_array_get(array, offset, count, data), NSH_ERR_ARG);
        detail("nsh_array_get", "dimension");
        intact();
    }
}

static void set_roots(void)
{
    const int bad[] = {-2, -100, INT32_MIN, check_size, INT32_MAX};
    int32_t data[SIZE] = {0};
    nsh_piece piece = {data, NULL, NULL, NULL};
    void *view = data;

    check_case("set: roots");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_ALL(nsh_array_set(array, data, NULL, NULL, bad[i]), NSH_ERR_ARG);
        detail("nsh_array_set", "root");
        CHECK_ALL(nsh_array_set_strided(array, data, NULL, NULL, NULL, bad[i]), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_many(array, 1, &piece, bad[i]), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, bad[i], &view), NSH_ERR_ARG);
    }
    CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, NSH_ROOT_ANY, &view), NSH_ERR_ARG);
    CHECK(view == data);
    CHECK_ALL(nsh_array_set(array, NULL, NULL, NULL, NSH_ROOT_ANY), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_strided(array, NULL, NULL, NULL, NULL, NSH_ROOT_ANY), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_many(array, 1, NULL, NSH_ROOT_ANY), NSH_ERR_ARG);
    if (check_size > 1) {
        bool two = check_rank == 0 || check_rank == check_size - 1;

        CHECK_ALL(nsh_array_set(array, two ? data : NULL, NULL, NULL, NSH_ROOT_ANY), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_many(array, 1, two ? &piece : NULL, NSH_ROOT_ANY), NSH_ERR_ARG);
    }
    intact();
}

static void set_data(void)
{
    const int64_t far[2] = {INT64_MAX / 2, 1}, one[2] = {1, 1};
    int32_t data[SIZE] = {0};
    nsh_piece pieces[2] = {{data, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    uint64_t sum = 5;

    check_case("data: NULL, aliased, strides that overflow");
    for (int root = 0; root < check_size; root++) {
        bool mine = check_rank == root;

        CHECK_ALL(nsh_array_set(array, mine ? NULL : data, NULL, NULL, root), NSH_ERR_ARG);
        detail("nsh_array_set", "NULL");
        CHECK_ALL(nsh_array_set_strided(array, NULL, NULL, NULL, NULL, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_strided(array, data, far, NULL, NULL, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_many(array, 2, pieces, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_many(array, -1, pieces, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set_many(array, 2, NULL, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_set(array, nsh_array_data(array), one, one, root), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, root, NULL), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_allgather(array, mine ? NULL : data, NULL, NULL), NSH_ERR_ARG);
        detail("nsh_array_allgather", "NULL");
        CHECK_ALL(nsh_array_allreduce(array, mine ? NULL : data, MPI_SUM), NSH_ERR_ARG);
        detail("nsh_array_allreduce", "NULL");
        /* Wrong on one rank, and not equal: one answer. */
        CHECK(CHECK_SAME(nsh_array_fill(array, mine ? NULL : data)) != NSH_SUCCESS);
        CHECK_ALL(nsh_array_fill(array, NULL), NSH_ERR_ARG);
        detail("nsh_array_fill", "NULL");
        CHECK_ALL(nsh_array_checksum(array, mine ? NULL : &sum), NSH_ERR_ARG);
        intact();
    }
    CHECK_EQ(sum, 5);
    CHECK_EQ(nsh_array_get(array, NULL, NULL, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_allreduce(array, data, MPI_OP_NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_allreduce(array, data, MPI_MAXLOC), NSH_ERR_ARG);
    intact();
}

static void combine_mismatch(void)
{
    int32_t value = 40 + (check_rank == 0);

    if (check_size == 1)
        return;
    check_case("fill: ranks differ");
    CHECK_ALL(nsh_array_fill(array, &value), NSH_ERR_MISMATCH);
    intact();
}

/* The detail of NOMEM has the call, the name of the object, the bytes and the limit. */
static void memory_words(void)
{
    nsh_comm_options limited = NSH_COMM_OPTIONS_INIT;
    nsh_array_options options = {sizeof options, "too much"};
    const int64_t n = (int64_t)1 << 24;
    nsh_comm *own = NULL;
    nsh_array *a = NULL;

    if (strcmp(check_layout, "serial") == 0) /* which has no options */
        return;
    check_case("the words of no memory");
    limited.heap_bytes = 1 << 21;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &limited, &own), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(own, MPI_INT64_T, 1, &n, &options, &a), NSH_ERR_NOMEM);
    detail("nsh_array_create: array \"too much\", 134217728 bytes on each node", "heap of 2097152");
    CHECK_HAS(nsh_error_detail(), "(rank ");
    CHECK_ALL(nsh_comm_free(&own), NSH_SUCCESS);
}

/* The detail says which ranks disagree, in which calls, on what. What breaks the communicator
 * across nodes is reported by the rank that finds it first. */
static void mismatch_words(void)
{
    const int64_t n = 3, mine = 3 + (check_rank == check_size - 1);
    int32_t data[3] = {0};
    nsh_comm *own = NULL;
    nsh_array *a = NULL, *b = NULL;

    if (check_size == 1)
        return;
    check_case("the words of a mismatch");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &own), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(own, MPI_INT32_T, 1, &mine, NULL, &a), NSH_ERR_MISMATCH);
    detail("nsh_array_create: ranks disagree on the arguments: rank ", " and rank ");
    CHECK_ALL(nsh_array_create(own, MPI_INT32_T, 1, &n, NULL, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(own, MPI_INT32_T, 1, &n, NULL, &b), NSH_SUCCESS);
    CHECK_ALL(check_rank == check_size - 1 ? nsh_array_fill(a, data)
                                           : nsh_array_allreduce(a, data, MPI_SUM),
              NSH_ERR_MISMATCH);
    detail("ranks are in different calls: rank ", " in nsh_array_fill");
    CHECK_HAS(nsh_error_detail(), " in nsh_array_allreduce");
    if (nsh_comm_node_count(own) == 1) {
        CHECK_ALL(nsh_array_set(a, data, NULL, NULL, check_rank), NSH_ERR_MISMATCH);
        detail("nsh_array_set: ranks disagree on root: rank 0 (root 0) and rank 1", "(root 1)");
        CHECK_ALL(nsh_array_set(check_rank == 0 ? a : b, data, NULL, NULL, 0), NSH_ERR_MISMATCH);
        detail("nsh_array_set: ranks disagree on the array: rank 0", " and rank 1");
        CHECK_ALL(check_rank == 0 ? nsh_comm_barrier(own) : nsh_array_set(a, data, NULL, NULL, 1),
                  NSH_ERR_MISMATCH);
        detail("rank 0 in nsh_comm_barrier, rank 1 in nsh_array_set (root 1)", "different calls");
        CHECK_ALL(check_rank == 0 ? nsh_comm_node_barrier(own) : nsh_comm_barrier(own),
                  NSH_ERR_MISMATCH);
        detail("rank 0 in nsh_comm_node_barrier, rank 1 in nsh_comm_barrier", "different calls");
    }
    CHECK_ALL(nsh_array_free(&a), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&b), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&own), NSH_SUCCESS);
    intact();
}

/* An object that has a name is called by it. */
static void named_words(void)
{
    const nsh_array_options options = {sizeof options, "pressure"};
    const int64_t n = 3, outside = 4;
    double data[4] = {0};
    nsh_mutex_options turn = NSH_MUTEX_OPTIONS_INIT;
    nsh_comm *own = NULL;
    nsh_array *a = NULL;
    nsh_mutex *m = NULL;

    turn.name = "turn";
    check_case("objects by their names");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &own), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(own, MPI_DOUBLE, 1, &n, &options, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(own, &turn, &m), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(a, data, NULL, &outside, 0), NSH_ERR_ARG);
    detail("nsh_array_set of array \"pressure\": hyperslab [0,4)", "exceeds extent 3");
    CHECK_ALL(nsh_array_set(a, NULL, NULL, NULL, 0), NSH_ERR_ARG);
    detail("nsh_array_set of array \"pressure\": data is NULL on root 0", "");
    CHECK_ALL(nsh_array_allreduce(a, data, MPI_BAND), NSH_ERR_ARG);
    detail("nsh_array_allreduce of array \"pressure\": op", "MPI_DOUBLE");
    CHECK_ALL(nsh_mutex_unlock(m), NSH_ERR_STATE);
    detail("nsh_mutex_unlock of mutex \"turn\": rank ", "does not hold");
    CHECK_ALL(nsh_comm_free(&own), NSH_ERR_STATE);
    detail("nsh_comm_free: 2 objects are alive, the oldest is array", "\"pressure\"");
    CHECK_ALL(nsh_array_free(&a), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&m), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&own), NSH_SUCCESS);
    intact();
}

/* ---- states ---- */

static void states(void)
{
    int32_t data[SIZE] = {0}, one = 1;
    nsh_piece piece = {data, NULL, NULL, NULL};
    uint64_t sum = 5;
    nsh_comm *same = comm;
    int64_t offset[2] = {1, 1}, count[2] = {1, 2};

    check_case("calls in the wrong state");
    CHECK_ALL(nsh_array_update_end(array), NSH_ERR_STATE);
    detail("nsh_array_update_end", "no update");
    CHECK_ALL(nsh_comm_free(&same), NSH_ERR_STATE);
    detail("nsh_comm_free", "alive");
    CHECK(same == comm);
    intact();
    for (int root = 0; root < check_size; root++) {
        void *view = data, *second = data;

        CHECK_ALL(nsh_array_update_begin(array, offset, count, root, &view), NSH_SUCCESS);
        CHECK((view != NULL) == (check_rank == root));
        CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, root, &second), NSH_ERR_STATE);
        CHECK(second == data);
        CHECK_ALL(nsh_array_set(array, data, NULL, NULL, root), NSH_ERR_STATE);
        detail("nsh_array_set", "update");
        CHECK_ALL(nsh_array_set_strided(array, data, NULL, NULL, NULL, root), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_set_many(array, 1, &piece, root), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_allgather(array, data, NULL, NULL), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_allreduce(array, data, MPI_SUM), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_fill(array, &one), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_checksum(array, &sum), NSH_ERR_STATE);
        if (check_rank == root) {
            ((int32_t *)view)[0] = 300 + root;
            ((int32_t *)view)[1] = 400 + root;
        }
        oracle[COLUMNS + 1] = 300 + root;
        oracle[COLUMNS + 2] = 400 + root;
        CHECK_ALL(nsh_array_update_end(array), NSH_SUCCESS);
        CHECK_ALL(nsh_array_update_end(array), NSH_ERR_STATE);
        intact();
    }
    CHECK_EQ(sum, 5);
}

int main(int argc, char **argv)
{
    const int64_t extent[2] = {ROWS, COLUMNS};
    nsh_array_options options = {sizeof options, "base"};
    int serial;

    check_init(&argc, &argv);
    serial = strcmp(check_layout, "serial") == 0;
    for (int i = 0; i < SIZE; i++)
        oracle[i] = i;
    check_case("the comm and array that everything else must leave alone");
    CHECK_ALL(serial ? nsh_comm_create_serial(&comm) : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT32_T, 2, extent, &options, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, oracle, NULL, NULL, check_size - 1), NSH_SUCCESS);
    intact();
    comm_arguments();
    comm_options();
    comm_mismatch();
    node_comms();
    intercommunicator();
    nulls();
    null_handles();
    prints();
    create_arguments();
    create_types();
    create_mismatch();
    set_slabs();
    set_roots();
    set_data();
    combine_mismatch();
    memory_words();
    mismatch_words();
    named_words();
    states();
    check_case("free");
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK(comm == NULL);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
