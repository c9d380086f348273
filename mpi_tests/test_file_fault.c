/* test_file_fault.c -- ranks: 2  layouts: one-node cliques-2
 * seconds: 120
 * build: faults
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every fault site that a file passes, on every rank: one code everywhere, the old file whole, no
 * working copy left, and then it works. An argument: only this site. */
#define _GNU_SOURCE
#include "check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "core/comm.h"
#include "base/fault.h"
#include "scratch.h"
#include "walk.h"

enum {
    N = 3 << 20,
    MOST_NTH = 8,
    MOST_WRITES = 200 /* every write of HDF5 in turn: more than there are */
};

static nsh_comm *comm;
static nsh_array *array;
static const char *path;
static char now; /* every byte of the committed file's array */

static bool holds(const nsh_array *a, char byte)
{
    const char *data = nsh_array_data(a);

    return nsh_array_nbytes(a) == N && data[0] == byte && memcmp(data, data + 1, N - 1) == 0;
}

static bool save(char byte)
{
    nsh_file *file = NULL;
    bool good;

    nsh_array_fill(array, &byte);
    if (!walk_succeeded(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file)))
        return false;
    good = walk_succeeded(nsh_file_write(file, "a", array));
    if (!good) {
        nsh_file_abandon(&file);
        return false;
    }
    good = walk_succeeded(nsh_file_commit(file));
    if (good)
        now = byte;
    return walk_succeeded(nsh_file_close(&file)) && good;
}

static void look(void)
{
    nsh_array *loaded = NULL;
    nsh_file *file = NULL;
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    char **names = NULL;
    int64_t n;

    if (!walk_succeeded(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file)))
        return;
    walk_succeeded(nsh_file_info(file, "a", &info));
    if (walk_succeeded(nsh_file_list(file, &n, &names)))
        free(names);
    if (walk_succeeded(nsh_file_load(file, "a", &loaded))) {
        CHECK(holds(loaded, now));
        nsh_array_free(&loaded);
    }
    walk_succeeded(nsh_file_close(&file));
}

static void append(void)
{
    static const int three_numbers[] = {1, 2, 3};
    static char mine[N];
    const int64_t three = 3, one = 1, one_each = check_rank;
    const int64_t square[] = {3, 3}, column[] = {0, check_rank}, of_three[] = {3, 1};
    nsh_array *loaded = NULL;
    nsh_file *file = NULL;
    char **names = NULL;
    int64_t n;

    if (!walk_succeeded(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file)))
        return;
    if (walk_succeeded(nsh_file_write(file, "b", array)) &&
        walk_succeeded(nsh_file_append(file, "series", array)) &&
        walk_succeeded(nsh_file_append_hyperslab(file, "parts", MPI_INT, 1, &three, three_numbers,
                                                 &one_each, &one)) &&
        walk_succeeded(nsh_file_write_hyperslab(file, "slab", MPI_INT, 1, &three, three_numbers,
                                                &one_each, &one)) &&
        walk_succeeded(nsh_file_write_hyperslab(file, "columns", MPI_INT, 2, square, three_numbers,
                                                column, of_three)) &&
        walk_succeeded(nsh_file_set_attr(file, "b", "x", NSH_ATTR_INT64, 1, &three)) &&
        walk_succeeded(nsh_file_set_dim(file, "b", 0, "place", "m", NULL)) &&
        walk_succeeded(nsh_file_load(file, "series", &loaded))) {
        CHECK_EQ(nsh_array_nbytes(loaded), N);
        CHECK_MEM(nsh_array_data(loaded), nsh_array_data(array), N);
    }
    nsh_array_free(&loaded);
    if (walk_succeeded(nsh_file_list(file, &n, &names)))
        free(names);
    if (walk_failure == 0 &&
        nsh_file_get(file, "a", NULL, NULL, MPI_BYTE, mine, sizeof mine) == NSH_SUCCESS)
        CHECK(mine[0] == now && mine[N - 1] == now);
    walk_succeeded(nsh_file_abandon(&file));
}

/* The file as it is, seen without faults. */
static void check_file(void)
{
    nsh_file *file = NULL;

    unsetenv("NSH_FAULT");
    CHECK_EQ(scratch_count("f.h5.tmp-"), 0);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(holds(array, now));
}

/* The communicator is not broken, unless the injected failure is one of MPI. */
static void renew(void)
{
    const int64_t extent[] = {N};

    if (comm != NULL) {
        CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
        CHECK_EQ(comm->live, 0);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_CHAR, 1, extent, NULL, &array), NSH_SUCCESS);
}

static void scenario(const char *wish)
{
    static char byte = 'a';

    setenv("NSH_FAULT", wish, 1);
    byte = byte == 'z' ? 'a' : (char)(byte + 1);
    save(byte);
    look();
    append();
    if (walk_failure != NSH_ERR_MPI)
        check_file();
}

/* A file system without locks: nothing that may be in use is removed, and of two handles that
 * change one file the second to commit gets an error. */
static void without_locks(void)
{
    char stale[600];
    nsh_file *first = NULL, *second = NULL;
    FILE *f;

    check_case("without locks");
    save('a');
    snprintf(stale, sizeof stale, "%s.tmp-somewhere-1-0.nsh", path);
    if (check_rank == 0 && (f = fopen(stale, "w")) != NULL)
        fclose(f);
    setenv("NSH_FAULT", "disk_lock:1:0", 1);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &first), NSH_SUCCESS);
    CHECK_EQ(scratch_count("f.h5.tmp-somewhere"), 1);
    CHECK_ALL(nsh_file_abandon(&first), NSH_SUCCESS);
    setenv("NSH_FAULT", "disk_lock:1:-1", 1);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &first), NSH_SUCCESS);
    unsetenv("NSH_FAULT");
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &second), NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(first, "b", array), NSH_SUCCESS);
    CHECK_EQ(scratch_count("f.h5.tmp-somewhere"), 0);
    CHECK_ALL(nsh_file_write(second, "c", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&first), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&second), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "replaced");
    check_file();
}

static bool is_ours(const char *site, const char *wanted)
{
    if (wanted != NULL)
        return strcmp(site, wanted) == 0;
    return strncmp(site, "file_", 5) == 0 || strncmp(site, "disk_", 5) == 0 ||
           strncmp(site, "h5_", 3) == 0;
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_needs_hdf5();
    scratch_make();
    path = strdup(scratch_path("f.h5"));
    renew();
    check_case("nothing fails");
    scenario("none:1:0");
    CHECK_EQ(walk_failure, NSH_SUCCESS);
    without_locks();
    for (int s = 0; nsh__fault_sites[s] != NULL; s++) {
        int hits, most;

        if (!is_ours(nsh__fault_sites[s], argc > 1 ? argv[1] : NULL))
            continue;
        most = strcmp(nsh__fault_sites[s], "h5_pwrite") == 0 ? MOST_WRITES : MOST_NTH;
        check_case("%s fails", nsh__fault_sites[s]);
        hits = walk_site(nsh__fault_sites[s], most, scenario);
        CHECK(hits > 0 || strcmp(nsh__fault_sites[s], "disk_lock") == 0); /* none is needed */
        CHECK(most == MOST_NTH || (hits > MOST_NTH && hits < most));
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_EQ(comm->live, 0);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    scratch_remove();
    return check_finish();
}
