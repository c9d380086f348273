/* test_messages.c -- ranks: 2 4 6  layouts: one-node per-rank rpn-2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* What a small set costs in messages, counted where MPI's profiling interface passes them: nodes -
 * 1, and an acknowledgement from each at every 64th. None on the caller's communicator. */
#include <stdatomic.h>

#include <nodeshare.h>

#include "check.h"

static atomic_int sent, on_world;

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    atomic_fetch_add(&sent, 1);
    if (comm == MPI_COMM_WORLD)
        atomic_fetch_add(&on_world, 1);
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

static int total(atomic_int *count)
{
    int mine = atomic_exchange(count, 0), sum;

    PMPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    return sum;
}

int main(int argc, char **argv)
{
    enum { SETS = 128 };
    nsh_comm *comm = NULL;
    nsh_array *array = NULL;
    int64_t n = 100, one = 1;
    int nodes;

    check_init(&argc, &argv);
    check_case("create");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_SUCCESS);
    nodes = nsh_comm_node_count(comm);
    total(&sent);
    check_case("messages of %d small sets on %d nodes", SETS, nodes);
    for (int i = 0; i < SETS; i++) {
        int64_t value = i;

        CHECK_ALL(nsh_array_set(array, &value, NULL, &one, i % check_size), NSH_SUCCESS);
        CHECK_EQ(*(const int64_t *)nsh_array_data(array), i);
    }
    CHECK_EQ(total(&sent), SETS * (nodes - 1) + SETS / 64 * (nodes - 1));
    CHECK_EQ(total(&on_world), 0);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
