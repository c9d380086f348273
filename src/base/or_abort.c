/* SPDX-License-Identifier: BSD-3-Clause */
/* or_abort.c -- what NSH_OR_ABORT does with a code. */
#include <nodeshare/error.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <mpi.h>

#include "base/fork.h"
#include "base/type.h"

static void print_failure(int code, const char *call, const char *file, int line, int rank)
{
    const char *detail = nsh_error_detail();

    /* One call, so that lines of ranks do not mix. */
    fprintf(stderr, "%s:%d: %s: %s%s%s (code %d, rank %d)\n", file, line, call, nsh_strerror(code),
            detail[0] != '\0' ? ": " : "", detail, code, rank);
}

void nsh_or_abort(int code, const char *call, const char *file, int line)
{
    bool mpi = !nsh__mpi_inherited && nsh__mpi_alive();
    int rank = 0;

    if (code == NSH_SUCCESS)
        return;
    if (mpi)
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    print_failure(code, call, file, line, rank);
    if (mpi)
        MPI_Abort(MPI_COMM_WORLD, code);
    if (nsh__mpi_inherited)
        _Exit(EXIT_FAILURE);
    exit(EXIT_FAILURE);
}
