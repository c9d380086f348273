/* test_pause.c -- ranks: 3 4 5  layouts: per-rank cliques-3 odd-even
 * seconds: 120
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank that stands still for a while, as one that is stopped, swapped out or cut off from the
 * network does, breaks nothing: it is late, and not in another call. Ranks stand still inside
 * MPI_Test and MPI_Iprobe, where the library waits, in a correct program. */
#include "check.h"

#include <time.h>

#include <nodeshare.h>

enum { ROUNDS = 24, STILL_MS = 250 /* more than it takes until a waiting rank asks */ };

static int due; /* this rank stands still after this many calls of MPI_Test or MPI_Iprobe */

static void stand_still(void)
{
    const struct timespec t = {0, STILL_MS * 1000000L};

    if (due > 0 && --due == 0)
        nanosleep(&t, NULL);
}

int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    stand_still();
    return PMPI_Test(request, flag, status);
}

int MPI_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    stand_still();
    return PMPI_Iprobe(source, tag, comm, flag, status);
}

static void compute_for(int ms)
{
    const struct timespec t = {0, ms * 1000000L};

    nanosleep(&t, NULL);
}

/* One rank stands still in this round, another computes a little longer than the rest. */
static void disturb(int late, int slow)
{
    due = check_rank == late ? 1 + (int)check_random_below(40) : (check_random_below(40), 0);
    if (check_rank == slow)
        compute_for(60);
}

int main(int argc, char **argv)
{
    const int64_t n = 4, large = 20000;
    int64_t *value;
    nsh_comm *comm;
    nsh_array *small_array, *large_array;

    check_init(&argc, &argv);
    value = check_shared(large * 8);
    check_case("sets and barriers while a rank stands still");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &small_array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &large, NULL, &large_array), NSH_SUCCESS);
    for (int i = 0; i < ROUNDS; i++) {
        int root = (int)check_random_below(check_size);

        disturb((int)check_random_below(check_size), (int)check_random_below(check_size));
        CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
        if (check_rank == root)
            value[0] = i;
        CHECK_ALL(nsh_array_set(i % 3 ? small_array : large_array, value, NULL, NULL, root),
                  NSH_SUCCESS);
        CHECK_EQ(*(const int64_t *)nsh_array_data(i % 3 ? small_array : large_array), i);
        CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    }
    due = 0;
    check_case("a create that ranks disagree on, one of them late");
    for (int late = 0; late < check_size; late++) {
        const int64_t extent = check_rank == late ? 16 : 8;
        nsh_array *none = NULL;

        if (check_rank == late)
            compute_for(STILL_MS);
        CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &none), NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_array_set(small_array, value, NULL, NULL, late), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_array_free(&small_array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&large_array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
