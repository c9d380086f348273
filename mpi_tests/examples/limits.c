/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.c -- what a program sees where memory is short: one code on all ranks, and it goes on.
 * mpi_tests/test_limits.sh runs it under small limits.
 *
 *   mpiexec -n 2 limits MIB         asks for MIB at once, then for 1 MiB
 *   mpiexec -n 2 limits MIB FILE    appends a line to FILE when it has MIB, and stays until it is
 * killed
 */
#define _DEFAULT_SOURCE /* pause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

static void stay(const char *path)
{
    FILE *f = fopen(path, "a");

    if (f == NULL || fputs("here\n", f) < 0 || fclose(f) != 0)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    int64_t large = argc > 1 ? (int64_t)atoll(argv[1]) << 20 : 0, small = 1 << 20;
    nsh_comm *comm = NULL;
    nsh_array *array = NULL;
    int code[2], most, least, rank;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    code[0] = nsh_comm_create(MPI_COMM_WORLD, NULL, &comm);
    if (code[0] == NSH_SUCCESS)
        code[0] = nsh_array_create(comm, MPI_BYTE, 1, &large, NULL, &array);
    if (argc > 2 && code[0] == NSH_SUCCESS)
        stay(argv[2]);
    if (rank == 0)
        printf("%lld MiB: %s (%s)\n", (long long)(large >> 20), nsh_strerror(code[0]),
               code[0] != NSH_SUCCESS ? nsh_error_detail() : "");
    MPI_Allreduce(&code[0], &most, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Allreduce(&code[0], &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    nsh_array_free(&array);
    code[1] = NSH_SUCCESS;
    if (comm != NULL) { /* the program goes on */
        char *data = malloc((size_t)small);

        memset(data, 3, (size_t)small);
        code[1] = nsh_array_create(comm, MPI_BYTE, 1, &small, NULL, &array);
        if (code[1] == NSH_SUCCESS)
            code[1] = nsh_array_set(array, data, NULL, NULL, 0);
        if (code[1] == NSH_SUCCESS && memcmp(nsh_array_data(array), data, (size_t)small) != 0)
            code[1] = NSH_ERR_INTERNAL;
        if (rank == 0)
            printf("then 1 MiB: %s\n", nsh_strerror(code[1]));
        nsh_array_free(&array);
        nsh_comm_free(&comm);
        free(data);
    }
    MPI_Finalize();
    return most == least && code[1] == NSH_SUCCESS ? 0 : 1;
}
