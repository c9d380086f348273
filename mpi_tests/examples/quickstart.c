/* SPDX-License-Identifier: BSD-3-Clause */
/* quickstart.c -- a table kept once per node, changed by any rank, read by all with plain loads. */
#include <stdio.h>

#include <nodeshare.h>

static void show(const char *title, nsh_comm *comm, const nsh_array *table)
{
    for (int r = 0; r < nsh_comm_size(comm); r++) { /* one rank after another */
        if (r == nsh_comm_rank(comm)) {
            printf("%s, rank %d on node %d sees\n", title, r, nsh_comm_node_index(comm));
            nsh_array_print(table, stdout);
        }
        NSH_OR_ABORT(nsh_comm_barrier(comm));
    }
}

int main(int argc, char **argv)
{
    const int64_t extent[] = {3, 5}, offset[] = {1, 1}, count[] = {2, 3};
    double block[2][3] = {{1, 2, 3}, {4, 5, 6}}, more[2][3] = {{10, 20, 30}, {40, 50, 60}};
    nsh_comm *comm;
    nsh_array *table;
    int last;

    MPI_Init(&argc, &argv);
    NSH_OR_ABORT(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    NSH_OR_ABORT(nsh_array_create(comm, MPI_DOUBLE, 2, extent, NULL, &table));
    last = nsh_comm_size(comm) - 1;

    NSH_OR_ABORT(nsh_array_set(table, block, offset, count, 0)); /* rank 0 has the data */
    show("set by rank 0", comm, table);
    NSH_OR_ABORT(nsh_array_set(table, nsh_comm_rank(comm) == last / 2 ? more : NULL, offset, count,
                               NSH_ROOT_ANY)); /* the rank that passes data */
    show("set by any one rank", comm, table);
    NSH_OR_ABORT(nsh_array_set(table, block, offset, count, last));
    show("set by the last rank", comm, table);

    NSH_OR_ABORT(nsh_array_free(&table));
    NSH_OR_ABORT(nsh_comm_free(&comm));
    MPI_Finalize();
    return 0;
}
