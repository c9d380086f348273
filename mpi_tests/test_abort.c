/* test_abort.c -- ranks: 3  layouts: one-node  expect: death */
/* SPDX-License-Identifier: BSD-3-Clause */
/* NSH_OR_ABORT on one rank ends all ranks: the others sleep in a barrier meanwhile. */
#include <stddef.h>
#include <stdint.h>

#include <nodeshare.h>

#include "check.h"

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;

    check_init(&argc, &argv);
    check_case("a call that succeeds");
    NSH_OR_ABORT(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    CHECK_EQ(nsh_comm_size(comm), check_size);
    check_case("a call that fails on one rank");
    if (check_rank == 1)
        NSH_OR_ABORT(nsh_array_get(NULL, NULL, NULL, NULL));
    NSH_OR_ABORT(nsh_comm_barrier(comm));
    NSH_OR_ABORT(nsh_comm_free(&comm));
    return check_finish();
}
