/* test_mutex_single.c -- ranks: 2 4  layouts: one-node cliques-2 per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Without threads in MPI there is no helper: a home that computes calls nsh_comm_progress. */
#include <stdatomic.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

int main(int argc, char **argv)
{
    enum { ROUNDS = 50 };
    nsh_comm *comm = NULL;
    atomic_int *done;
    int level;

    check_init_thread(&argc, &argv, MPI_THREAD_SINGLE);
    MPI_Query_thread(&level);
    done = check_shared(sizeof *done);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    for (int home = 0; home < check_size; home++) {
        nsh_mutex_options options = {sizeof options, home, NSH_MUTEX_FIFO, 64, NULL};
        nsh_mutex *mutex = NULL;

        check_case("rank %d is the home and computes, with nsh_comm_progress (thread level %d)",
                   home, level);
        CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
        if (check_rank == 0)
            *done = 0;
        PMPI_Barrier(MPI_COMM_WORLD);
        if (nsh_comm_node_of(comm, home) == nsh_comm_node_of(comm, check_rank)) {
            while (*done < check_size - nsh_comm_node_size(comm))
                CHECK_EQ(nsh_comm_progress(comm), NSH_SUCCESS);
        } else {
            for (int i = 0; i < ROUNDS; i++) {
                CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
                CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
            }
            ++*done;
        }
        CHECK_EQ(nsh_comm_barrier(comm), NSH_SUCCESS);
        CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
