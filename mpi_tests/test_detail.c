/* test_detail.c -- ranks: 1 3  layouts: one-node cliques-2 per-rank
 * seconds: 40
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A call that succeeds leaves the detail of the last failure alone: a known failure, then calls of
 * every kind that succeed, the detail compared after each. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"
#include "scratch.h"

static char known[400];

/* The call succeeds, and the detail is the old one. */
#define KEEPS(call)                                                                                \
    do {                                                                                           \
        CHECK_ALL((call), NSH_SUCCESS);                                                            \
        if (strcmp(nsh_error_detail(), known) != 0)                                                \
            check_note("after %s", #call);                                                         \
        CHECK_STR(nsh_error_detail(), known);                                                      \
    } while (0)

/* What it says is known only now. */
static void fail_once(void)
{
    CHECK_EQ(nsh_array_get(NULL, NULL, NULL, NULL), NSH_ERR_ARG);
    snprintf(known, sizeof known, "%s", nsh_error_detail());
    CHECK(known[0] != '\0');
}

static void arrays(nsh_comm *comm)
{
    const int64_t extent[2] = {40, 50}, one[2] = {1, 1};
    nsh_array_options options = {sizeof options, "kept"};
    nsh_array *a = NULL, *b = NULL, *found = NULL;
    static double data[40 * 50];
    nsh_piece pieces[2] = {{data, NULL, NULL, NULL}, {data, one, one, NULL}};
    void *view;
    uint64_t sum;

    check_case("arrays");
    KEEPS(nsh_array_create(comm, MPI_DOUBLE, 2, extent, &options, &a));
    KEEPS(nsh_array_like(a, NULL, &b));
    KEEPS(nsh_array_find(comm, "kept", &found));
    KEEPS(nsh_array_set(a, data, NULL, NULL, 0));
    KEEPS(nsh_array_set(a, check_rank == 0 ? data : NULL, NULL, NULL, NSH_ROOT_ANY));
    KEEPS(nsh_array_set_many(a, 2, pieces, check_size - 1));
    KEEPS(nsh_array_update_begin(a, NULL, NULL, 0, &view));
    KEEPS(nsh_array_update_end(a));
    KEEPS(nsh_array_allgather(a, data, NULL, check_rank == 0 ? NULL : (int64_t[]){0, 0}));
    KEEPS(nsh_array_allreduce(a, data, MPI_SUM));
    KEEPS(nsh_array_fill(a, data));
    KEEPS(nsh_array_checksum(a, &sum));
    KEEPS(nsh_array_get(a, one, one, data));
    /* This rank's failure counts nowhere. */
    KEEPS(check_rank == 0 ? nsh_array_set(a, data, NULL, NULL, 0)
                          : nsh_array_set_fail(a, 0, NSH_ERR_IO, "unread"));
    KEEPS(nsh_array_free(&b));
    KEEPS(nsh_array_free(&a));
    options.name = "kept";
    KEEPS(nsh_array_create(comm, MPI_REAL8, 2, extent, &options, &a));
    KEEPS(nsh_array_allreduce(a, data, MPI_MAX));
    KEEPS(nsh_array_free(&a));
}

static void turns(nsh_comm *comm)
{
    nsh_mutex *mutex = NULL;
    nsh_semaphore *semaphore = NULL;
    nsh_counter *counter = NULL;
    int64_t value;

    check_case("turns");
    KEEPS(nsh_mutex_create(comm, NULL, &mutex));
    KEEPS(nsh_mutex_lock(mutex));
    KEEPS(nsh_mutex_unlock(mutex));
    KEEPS(nsh_mutex_timedlock(mutex, 60));
    KEEPS(nsh_mutex_unlock(mutex));
    KEEPS(nsh_semaphore_create(comm, 2, NULL, &semaphore));
    KEEPS(nsh_semaphore_acquire(semaphore));
    KEEPS(nsh_semaphore_release(semaphore));
    KEEPS(nsh_counter_create(comm, 1, NULL, &counter));
    KEEPS(nsh_counter_add(counter, 2, &value));
    KEEPS(nsh_sequential_begin(comm));
    KEEPS(nsh_sequential_end(comm));
    KEEPS(nsh_counter_free(&counter));
    KEEPS(nsh_semaphore_free(&semaphore));
    KEEPS(nsh_mutex_free(&mutex));
}

static void files(nsh_comm *comm)
{
    const int64_t extent[1] = {6}, none[1] = {0};
    const int64_t *count = check_rank == 0 ? NULL : none;
    nsh_array_options options = {sizeof options, "u"};
    nsh_array *a = NULL, *b = NULL;
    nsh_file *file = NULL;
    char path[300];
    double data[6] = {1, 2, 3, 4, 5, 6}, time = 0.5;

    check_case("files");
    if (nsh_file_open(comm, "/", NSH_FILE_READ, NULL, &file) == NSH_ERR_UNSUPPORTED)
        return; /* a build without files */
    fail_once();
    scratch_make();
    snprintf(path, sizeof path, "%s", scratch_path("detail.h5"));
    KEEPS(nsh_array_create(comm, MPI_DOUBLE, 1, extent, &options, &a));
    KEEPS(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file));
    KEEPS(nsh_file_write(file, "u", a));
    KEEPS(nsh_file_write_hyperslab(file, "v", MPI_DOUBLE, 1, extent, data, NULL, count));
    KEEPS(nsh_file_append(file, "frames", a));
    KEEPS(nsh_file_append(file, "frames", a));
    KEEPS(nsh_file_append_hyperslab(file, "more", MPI_DOUBLE, 1, extent, data, NULL, count));
    KEEPS(nsh_file_set_attr(file, "u", "units", NSH_ATTR_TEXT, -1, "m"));
    KEEPS(nsh_file_set_attr(file, "u", "units", NSH_ATTR_TEXT, -1, "km"));
    KEEPS(nsh_file_set_attr(file, "u", "step", NSH_ATTR_DOUBLE, 1, &time));
    KEEPS(nsh_file_set_dim(file, "u", 0, "x", "m", data));
    KEEPS(nsh_file_commit(file));
    KEEPS(nsh_file_close(&file));
    KEEPS(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file));
    KEEPS(nsh_file_append(file, "frames", a));
    KEEPS(nsh_file_read(file, "u", a));
    KEEPS(nsh_file_close(&file));
    KEEPS(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file));
    KEEPS(nsh_file_load(file, "v", &b));
    KEEPS(nsh_file_get(file, "u", NULL, NULL, MPI_DOUBLE, data, sizeof data));
    KEEPS(nsh_file_close(&file));
    KEEPS(nsh_array_free(&a));
    KEEPS(nsh_array_free(&b));
    scratch_remove();
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;

    check_init(&argc, &argv);
    check_case("communicators");
    fail_once();
    KEEPS(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    KEEPS(nsh_comm_barrier(comm));
    KEEPS(nsh_comm_node_barrier(comm));
    arrays(comm);
    turns(comm);
    files(comm);
    check_case("free");
    KEEPS(nsh_comm_free(&comm));
    return check_finish();
}
