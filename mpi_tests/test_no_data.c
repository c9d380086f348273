/* test_no_data.c -- ranks: 1 3 5  layouts: one-node cliques-2 cliques-3 odd-even per-rank serial */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank without its data takes part with a failure: all ranks return it, nothing changes, and the
 * next call works. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { ROWS = 300, COLUMNS = 100, SIZE = ROWS * COLUMNS /* more than a message carries */ };

static nsh_comm *comm;
static nsh_array *array;
static int32_t oracle[SIZE], data[SIZE];
static int64_t version;

/* Contents and version are the old ones, and a set by root changes them. */
static void intact(int root)
{
    CHECK_MEM(nsh_array_data(array), oracle, sizeof oracle);
    CHECK_EQ(nsh_array_version(array), version);
    for (int i = 0; i < SIZE; i++)
        oracle[i] = i * 3 + (int)version;
    CHECK_ALL(nsh_array_set(array, oracle, NULL, NULL, root), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(array), oracle, sizeof oracle);
    version++;
    CHECK_EQ(nsh_array_version(array), version);
}

/* The detail says which rank has failed in which call, and on the other ranks from which rank it
 * comes. */
static void detail(const char *call, const char *text, int rank)
{
    char said[300], from[40];

    snprintf(said, sizeof said, "%s: %s (rank %d)", call, text, rank);
    CHECK_HAS(nsh_error_detail(), said);
    snprintf(from, sizeof from, " [from rank %d]", rank);
    if (rank != check_rank)
        CHECK_HAS(nsh_error_detail(), from);
}

/* What the other ranks are in. */
static int set_somehow(int how, int root, bool any)
{
    nsh_piece pieces[2] = {{data, NULL, NULL, NULL}, {data, NULL, NULL, NULL}};
    const void *source = any ? NULL : data;

    if (how == 0)
        return nsh_array_set(array, source, NULL, NULL, any ? NSH_ROOT_ANY : root);
    if (how == 1)
        return nsh_array_set_strided(array, source, NULL, NULL, NULL, any ? NSH_ROOT_ANY : root);
    return nsh_array_set_many(array, 2, any ? NULL : pieces, any ? NSH_ROOT_ANY : root);
}

static void set_fails(void)
{
    check_case("set, set_strided, set_many: root has no data");
    for (int root = 0; root < check_size; root++)
        for (int how = 0; how < 3; how++)
            for (int any = 0; any < 2; any++) {
                int rc = check_rank == root ? nsh_array_set_fail(array, any ? NSH_ROOT_ANY : root,
                                                                 NSH_ERR_IO, "no such disk")
                                            : set_somehow(how, root, any);

                CHECK_ALL(rc, NSH_ERR_IO);
                detail("nsh_array_set_fail", "no such disk", root);
                intact(root);
            }
}

static void set_fail_arguments(void)
{
    const int none[] = {NSH_SUCCESS, -1, NSH_ERR_INTERNAL + 1, 1000};
    char text[1000];
    int last = check_size - 1;

    check_case("set_fail: codes, texts, roots");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        CHECK_ALL(check_rank == last ? nsh_array_set_fail(array, last, none[i], "a text")
                                     : nsh_array_set(array, data, NULL, NULL, last),
                  NSH_ERR_ARG);
        CHECK_HAS(nsh_error_detail(), "is no failure");
        intact(0);
    }
    for (int code = NSH_ERR_ARG; code <= NSH_ERR_INTERNAL; code++) {
        CHECK_ALL(check_rank == last ? nsh_array_set_fail(array, last, code, NULL)
                                     : nsh_array_set(array, data, NULL, NULL, last),
                  code);
        detail("nsh_array_set_fail", nsh_strerror(code), last);
    }
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK_ALL(nsh_array_set_fail(array, last, NSH_ERR_FORMAT, text), NSH_ERR_FORMAT);
    CHECK_HAS(nsh_error_detail(), "xxxxxxxx");
    intact(last);
    CHECK_ALL(nsh_array_set_fail(array, check_size, NSH_ERR_IO, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_fail(array, -2, NSH_ERR_IO, NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_array_set_fail(NULL, 0, NSH_ERR_IO, NULL), NSH_ERR_ARG);
    intact(0);
    if (check_size == 1)
        return;
    /* Of two that have data one has none. */
    CHECK_ALL(check_rank == 0 ? nsh_array_set_fail(array, NSH_ROOT_ANY, NSH_ERR_IO, "gone")
                              : nsh_array_set(array, check_rank == last ? data : NULL, NULL, NULL,
                                              NSH_ROOT_ANY),
              NSH_ERR_ARG);
    intact(0);
    /* A rank that is not root does not make the call fail. */
    CHECK_ALL(check_rank == 0 ? nsh_array_set(array, oracle, NULL, NULL, 0)
                              : nsh_array_set_fail(array, 0, NSH_ERR_IO, "not asked for"),
              NSH_SUCCESS);
    version++;
    intact(1);
}

/* A hyperslab of several rows or the whole array, begun by root and given up half done. */
static void update_fails(void)
{
    const int64_t offset[2] = {7, 3}, count[2] = {ROWS - 9, COLUMNS - 5};

    check_case("update: root gives up");
    for (int root = 0; root < check_size; root++)
        for (int code = NSH_SUCCESS; code <= NSH_ERR_MISMATCH; code++) {
            bool whole = code == NSH_ERR_TYPE;
            const int want = code == NSH_SUCCESS ? NSH_ERR_ARG : code;
            void *view = NULL;

            CHECK_ALL(nsh_array_update_begin(array, whole ? NULL : offset, whole ? NULL : count,
                                             root, &view),
                      NSH_SUCCESS);
            if (check_rank == root)
                for (int i = 0; i < COLUMNS - 5; i++)
                    ((int32_t *)view)[i] = -77;
            CHECK_ALL(check_rank == root ? nsh_array_update_fail(array, code, "half a file")
                                         : nsh_array_update_end(array),
                      want);
            if (code == NSH_SUCCESS)
                CHECK_HAS(nsh_error_detail(), "nsh_array_update_fail: code 0");
            else
                detail("nsh_array_update_fail", "half a file", root);
            for (int64_t i = 0; i < SIZE; i++)
                if (whole || (i / COLUMNS >= offset[0] && i / COLUMNS < offset[0] + count[0] &&
                              i % COLUMNS >= offset[1] && i % COLUMNS < offset[1] + count[1]))
                    oracle[i] = 0;
            version++;
            intact(root);
            CHECK_ALL(nsh_array_update_fail(array, NSH_ERR_IO, NULL), NSH_ERR_STATE);
        }
    /* The failure of a rank that is not root is not read. */
    for (int root = 0; root < check_size; root++) {
        void *view = NULL;

        CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, root, &view), NSH_SUCCESS);
        CHECK_ALL(check_rank == root ? nsh_array_update_end(array)
                                     : nsh_array_update_fail(array, NSH_ERR_IO, "not asked"),
                  NSH_SUCCESS);
        version++;
        intact(root);
    }
    CHECK_ALL(nsh_array_update_fail(NULL, NSH_ERR_IO, NULL), NSH_ERR_ARG);
}

/* One rank's failure; then two different ones, of which the larger counts. */
static void allgather_fails(void)
{
    int64_t rows = check_rank == 0 ? ROWS : 0, offset[2] = {0, 0}, count[2] = {rows, COLUMNS};

    check_case("allgather: a rank has no data");
    for (int rank = 0; rank < check_size; rank++) {
        CHECK_ALL(check_rank == rank
                      ? nsh_array_allgather_fail(array, NSH_ERR_NOT_FOUND, "part lost")
                      : nsh_array_allgather(array, data, offset, count),
                  NSH_ERR_NOT_FOUND);
        detail("nsh_array_allgather_fail", "part lost", rank);
        intact(rank);
        CHECK_ALL(check_rank == rank ? nsh_array_allgather_fail(array, NSH_ERR_IO, "part unread")
                                     : nsh_array_allgather_fail(array, NSH_ERR_NOMEM, "no memory"),
                  NSH_ERR_IO);
        detail("nsh_array_allgather_fail", "part unread", rank);
        CHECK_ALL(check_rank == rank ? nsh_array_allgather_fail(array, 0, "fine")
                                     : nsh_array_allgather(array, data, offset, count),
                  NSH_ERR_ARG);
        intact(rank);
    }
    CHECK_ALL(nsh_array_allgather_fail(NULL, NSH_ERR_IO, NULL), NSH_ERR_ARG);
}

static void keep_left(void *in, void *inout, int *n, MPI_Datatype *type)
{
    (void)type;
    memcpy(inout, in, (size_t)*n * sizeof(int32_t));
}

static void allreduce_fails(void)
{
    MPI_Op left = MPI_SUM;

    check_case("allreduce: a rank has no data");
    if (strcmp(check_layout, "serial") != 0)
        MPI_Op_create(keep_left, 0, &left);
    for (int rank = 0; rank < check_size; rank++)
        for (int o = 0; o < 2; o++) {
            MPI_Op op = o == 0 ? MPI_SUM : left;

            CHECK_ALL(check_rank == rank
                          ? nsh_array_allreduce_fail(array, op, NSH_ERR_UNSUPPORTED, "no GPU")
                          : nsh_array_allreduce(array, data, op),
                      NSH_ERR_UNSUPPORTED);
            detail("nsh_array_allreduce_fail", "no GPU", rank);
            CHECK_ALL(check_rank == rank ? nsh_array_allreduce_fail(array, op, -7, "no GPU")
                                         : nsh_array_allreduce(array, data, op),
                      NSH_ERR_ARG);
            intact(rank);
            CHECK_ALL(nsh_array_allreduce(array, data, op), NSH_SUCCESS);
            memcpy(oracle, nsh_array_data(array), sizeof oracle);
            version++;
            intact(rank);
        }
    CHECK_ALL(nsh_array_allreduce_fail(NULL, MPI_SUM, NSH_ERR_IO, NULL), NSH_ERR_ARG);
    if (left != MPI_SUM)
        MPI_Op_free(&left);
}

int main(int argc, char **argv)
{
    const int64_t extent[2] = {ROWS, COLUMNS};
    const char *const checks[] = {"0", "1"};
    bool serial;

    check_init(&argc, &argv);
    serial = strcmp(check_layout, "serial") == 0;
    for (int i = 0; i < SIZE; i++)
        data[i] = -i;
    for (int i = 0; i < 2; i++) {
        check_case("create with NSH_CHECK=%s", checks[i]);
        setenv("NSH_CHECK", checks[i], 1);
        CHECK_ALL(serial ? nsh_comm_create_serial(&comm)
                         : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
                  NSH_SUCCESS);
        CHECK_ALL(nsh_array_create(comm, MPI_INT32_T, 2, extent, NULL, &array), NSH_SUCCESS);
        memset(oracle, 0, sizeof oracle);
        version = 0;
        set_fails();
        set_fail_arguments();
        update_fails();
        allgather_fails();
        allreduce_fails();
        check_case("free");
        CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    return check_finish();
}
