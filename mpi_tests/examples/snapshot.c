/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot.c -- save arrays, and see whether what is in a file is whole.
 *
 *     snapshot save FILE MIB SEED    two arrays of together MIB MiB, every element is SEED
 *     snapshot loop FILE MIB SEED    the same with SEED, SEED + 1, ... until it is killed
 *     snapshot check FILE            print the SEED of a file in which all elements are equal
 *
 * loop prints a line after each save, so that who kills it knows what must be there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

static int rank;

static int say(int code)
{
    if (code != NSH_SUCCESS && rank == 0)
        printf("%s: %s\n", nsh_strerror(code), nsh_error_detail());
    return code;
}

static int make(nsh_comm *comm, int64_t bytes, nsh_array *arrays[2])
{
    static const char *const names[] = {"first", "group/second"};
    int code = NSH_SUCCESS;

    for (int i = 0; i < 2 && code == NSH_SUCCESS; i++) {
        nsh_array_options options = NSH_ARRAY_OPTIONS_INIT;
        int64_t extent[2] = {bytes / 16384, 1024}; /* of 8 bytes, half of it */

        options.name = names[i];
        code = nsh_array_create(comm, MPI_INT64_T, 2, extent, &options, &arrays[i]);
    }
    return code;
}

static int save(const char *path, nsh_array *arrays[2], int64_t seed)
{
    int code = nsh_array_fill(arrays[0], &seed);

    if (code == NSH_SUCCESS)
        code = nsh_array_fill(arrays[1], &seed);
    return code == NSH_SUCCESS ? nsh_snapshot_save(path, 2, arrays) : code;
}

static int saves(nsh_comm *comm, const char *path, int64_t mib, int64_t seed, int endless)
{
    nsh_array *arrays[2] = {NULL, NULL};
    int code = make(comm, mib << 20, arrays);

    do {
        if (code == NSH_SUCCESS)
            code = save(path, arrays, seed);
        if (code == NSH_SUCCESS && rank == 0)
            printf("saved %lld\n", (long long)seed);
        fflush(stdout);
        seed++;
    } while (endless && code == NSH_SUCCESS);
    say(code);
    nsh_array_free(&arrays[0]);
    nsh_array_free(&arrays[1]);
    return code;
}

static int all_equal(const nsh_array *array, int64_t value)
{
    const int64_t *data = nsh_array_data(array);
    int64_t n = nsh_array_size(array), i = 0;

    while (i < n && data[i] == value)
        i++;
    return i == n;
}

static int check(nsh_comm *comm, const char *path)
{
    nsh_array *first = NULL, *second = NULL;
    nsh_file *file = NULL;
    int64_t seed;
    int code = nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file);

    if (code == NSH_SUCCESS)
        code = nsh_file_load(file, "first", &first);
    if (code == NSH_SUCCESS)
        code = nsh_file_load(file, "group/second", &second);
    if (say(code) == NSH_SUCCESS) {
        seed = *(const int64_t *)nsh_array_data(first);
        if (!all_equal(first, seed) || !all_equal(second, seed))
            code = NSH_ERR_FORMAT;
        if (rank == 0 && code == NSH_SUCCESS)
            printf("whole %lld\n", (long long)seed);
        else if (rank == 0)
            printf("not whole\n");
    }
    nsh_array_free(&first);
    nsh_array_free(&second);
    nsh_file_close(&file);
    return code;
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;
    int code = NSH_ERR_ARG;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (say(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm)) != NSH_SUCCESS)
        MPI_Abort(MPI_COMM_WORLD, 1);
    if (argc == 5 && strcmp(argv[1], "check") != 0)
        code = saves(comm, argv[2], atoll(argv[3]), atoll(argv[4]), strcmp(argv[1], "loop") == 0);
    else if (argc == 3 && strcmp(argv[1], "check") == 0)
        code = check(comm, argv[2]);
    else if (rank == 0)
        fprintf(stderr, "usage: snapshot save|loop FILE MIB SEED | check FILE\n");
    nsh_comm_free(&comm);
    MPI_Finalize();
    return code == NSH_SUCCESS ? 0 : 1;
}
