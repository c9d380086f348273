/* test_mutex_cost.c -- ranks: 2 4 8  layouts: one-node per-rank rpn-2
 * env: NSH_RMA=window
 * mpi: mpich
 * seconds: 90 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* What a mutex costs in remote operations, counted where MPI's profiling interface passes them: 2
 * for lock and unlock alone, at most 4 under contention and 2 more for each place that is skipped;
 * the same on any number of nodes, and none on one. */
#define _DEFAULT_SOURCE /* usleep */
#include <stdatomic.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

static atomic_int operations;

int MPI_Fetch_and_op(const void *value, void *result, MPI_Datatype type, int rank, MPI_Aint at,
                     MPI_Op op, MPI_Win win)
{
    atomic_fetch_add(&operations, 1);
    return PMPI_Fetch_and_op(value, result, type, rank, at, op, win);
}

int MPI_Rget_accumulate(const void *value, int n, MPI_Datatype type, void *result, int nresult,
                        MPI_Datatype result_type, int rank, MPI_Aint at, int nat,
                        MPI_Datatype at_type, MPI_Op op, MPI_Win win, MPI_Request *request)
{
    atomic_fetch_add(&operations, 1);
    return PMPI_Rget_accumulate(value, n, type, result, nresult, result_type, rank, at, nat,
                                at_type, op, win, request);
}

int MPI_Compare_and_swap(const void *value, const void *expected, void *result, MPI_Datatype type,
                         int rank, MPI_Aint at, MPI_Win win)
{
    atomic_fetch_add(&operations, 1);
    return PMPI_Compare_and_swap(value, expected, result, type, rank, at, win);
}

static int total(void)
{
    int mine, sum;

    PMPI_Barrier(MPI_COMM_WORLD);
    mine = atomic_exchange(&operations, 0);
    PMPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    return sum;
}

static void take(nsh_mutex *mutex)
{
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
}

/* Rank 0 holds the mutex until all others ask for it, and then for some milliseconds more. */
static int hand_over(nsh_comm *comm, nsh_mutex *mutex, atomic_int *asking, int milliseconds)
{
    if (check_rank == 0) {
        *asking = 0;
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0) {
        while (*asking < check_size - 1)
            nsh_comm_progress(comm);
        for (int i = 0; i < milliseconds; i++) {
            nsh_comm_progress(comm);
            usleep(1000);
        }
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    } else {
        ++*asking;
        take(mutex);
    }
    nsh_comm_barrier(comm);
    return total();
}

int main(int argc, char **argv)
{
    enum { ALONE = 100, EACH = 20, LONGEST = 10000 };
    nsh_comm *comm = NULL;
    nsh_mutex *mutex = NULL;
    atomic_int *asking;
    int remote, sum;

    check_init(&argc, &argv);
    asking = check_shared(sizeof *asking);
    check_case("create: no operation");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    remote = nsh_comm_node_count(comm) > 1;
    CHECK_EQ(total(), 0);

    for (int r = 0; r < check_size; r++) {
        check_case("rank %d alone: 2 each", r);
        for (int i = 0; i < ALONE && check_rank == r; i++)
            take(mutex);
        CHECK_EQ(total(), remote * 2 * ALONE);
    }

    /* No rank passes the mutex on before all others are in the queue. That cannot be seen, so the
     * holder waits longer each time until it was long enough. */
    check_case("handed from rank to rank: at most 4 each");
    for (int wait = 100;; wait *= 2) {
        sum = hand_over(comm, mutex, asking, wait);
        if (sum <= remote * 4 * check_size || wait > LONGEST)
            break;
    }
    CHECK(sum <= remote * 4 * check_size);
    check_note("%d operations for %d acquisitions", sum, check_size);

    /* A rank that unlocks may have to look for a link that is not set yet: one look each time. */
    check_case("all at once");
    for (int i = 0; i < EACH; i++)
        take(mutex);
    nsh_comm_barrier(comm);
    sum = total();
    CHECK(remote ? sum >= 2 * EACH * check_size : sum == 0);
    check_note("%.2f operations an acquisition", (double)sum / EACH / check_size);

    check_case("a place that is skipped: 2 more for who skips it");
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS); /* 1 */
    total();
    if (check_rank != 0)
        CHECK_EQ(nsh_mutex_timedlock(mutex, 0), NSH_ERR_TIMEOUT); /* enqueue 2, abandon 1 */
    CHECK_EQ(total(), remote * 3 * (check_size - 1));
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    sum = total();
    CHECK(sum <= remote * (3 + 2 * (check_size - 1)));
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
