/* test_abort.c -- ranks: 3  layouts: one-node  expect: death 2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* NSH_OR_ABORT prints one line, calls MPI_Abort, and so ends all ranks: the others sleep in a
 * barrier meanwhile. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

/* Does MPI_Abort return to the test; and with what it was called then. */
static jmp_buf test;
static bool returns;
static MPI_Comm aborted = MPI_COMM_NULL;
static int aborted_with;

int MPI_Abort(MPI_Comm mpi, int code)
{
    if (!returns)
        return PMPI_Abort(mpi, code);
    aborted = mpi;
    aborted_with = code;
    longjmp(test, 1);
}

/* The line of the source that fails. */
enum { FAILING_LINE = __LINE__ + 4 };

static void fail(void)
{
    NSH_OR_ABORT(nsh_array_get(NULL, NULL, NULL, NULL));
}

/* Call fail; what it prints on stderr is in said. */
static void catch_abort(char *said, size_t size)
{
    FILE *file = tmpfile();
    int screen = dup(STDERR_FILENO);

    dup2(fileno(file), STDERR_FILENO);
    returns = true;
    if (setjmp(test) == 0)
        fail();
    returns = false;
    fflush(stderr);
    dup2(screen, STDERR_FILENO);
    close(screen);
    rewind(file);
    said[fread(said, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void test_line(void)
{
    char said[1000] = "", wanted[1000];

    catch_abort(said, sizeof said);
    CHECK(aborted == MPI_COMM_WORLD);
    CHECK_EQ(aborted_with, NSH_ERR_ARG);
    snprintf(wanted, sizeof wanted,
             "%s:%d: nsh_array_get(NULL, NULL, NULL, NULL): %s: %s (code %d, rank %d)\n", __FILE__,
             FAILING_LINE, nsh_strerror(NSH_ERR_ARG), nsh_error_detail(), NSH_ERR_ARG, check_rank);
    CHECK_STR(said, wanted);
    CHECK_HAS(said, "nsh_array_get: ");
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;

    check_init(&argc, &argv);
    check_case("a call that succeeds");
    NSH_OR_ABORT(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    CHECK_EQ(nsh_comm_size(comm), check_size);
    check_case("a call that fails: its line, and MPI_Abort");
    test_line();
    check_case("a call that fails on one rank ends all");
    if (check_rank == 1)
        fail();
    NSH_OR_ABORT(nsh_comm_barrier(comm));
    NSH_OR_ABORT(nsh_comm_free(&comm));
    return check_finish();
}
