/* test_homes.c -- ranks: 2 3  layouts: cliques-2 odd-even per-rank
 * env: NSH_RMA=message
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank that waits on one communicator executes what is asked for words of another one. There is
 * no helper thread, and the program makes no MPI call while it waits. */
#define _GNU_SOURCE
#include <nodeshare.h>

#include "check.h"
#include "core/comm.h"
#include "core/comm_break.h"

enum { ROUNDS = 2, LARGE = 3 << 20 };

/* What the ranks of the home's node do at once, and all others after they have had the mutex. */
typedef enum call {
    CALL_BARRIER,
    CALL_SET,
    CALL_CREATE,
    CALL_FREE,
    CALL_FREE_BROKEN,
    CALL_GROW,
    CALL_WORKER_COMM,
    CALLS
} call;

static const char *const names[CALLS] = {"a barrier",
                                         "a set",
                                         "nsh_comm_create",
                                         "nsh_comm_free",
                                         "free of a broken one",
                                         "an array that makes the heap grow",
                                         "nsh_batch_worker_comm"};

static nsh_comm *other;
static nsh_array *array;
static nsh_batch *batch;

static void before(call which)
{
    const int64_t extent[1] = {4};
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;

    if (which == CALL_CREATE)
        return;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &other), NSH_SUCCESS);
    if (which == CALL_SET)
        CHECK_ALL(nsh_array_create(other, MPI_INT, 1, extent, NULL, &array), NSH_SUCCESS);
    options.worker_size = check_size;
    if (which == CALL_WORKER_COMM)
        CHECK_ALL(nsh_batch_create(other, 1, &options, &batch), NSH_SUCCESS);
    if (which == CALL_FREE_BROKEN)
        nsh__comm_break(other, NSH_ERR_MPI);
}

static void make(call which)
{
    const int data[4] = {1, 2, 3, 4};
    const int64_t extent[1] = {LARGE};
    MPI_Comm worker;

    switch (which) {
    case CALL_BARRIER:
        CHECK_ALL(nsh_comm_barrier(other), NSH_SUCCESS);
        break;
    case CALL_SET:
        CHECK_ALL(nsh_array_set(array, data, NULL, NULL, check_size - 1), NSH_SUCCESS);
        break;
    case CALL_CREATE:
        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &other), NSH_SUCCESS);
        break;
    case CALL_GROW:
        CHECK_ALL(nsh_array_create(other, MPI_INT, 1, extent, NULL, &array), NSH_SUCCESS);
        break;
    case CALL_WORKER_COMM:
        CHECK_ALL(nsh_batch_worker_comm(batch, &worker), NSH_SUCCESS);
        break;
    default:
        CHECK_ALL(nsh_comm_free(&other), NSH_SUCCESS);
    }
}

static void after(void)
{
    CHECK_ALL(nsh_batch_free(&batch), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&other), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;
    nsh_mutex *mutex = NULL;
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;

    check_init_thread(&argc, &argv, MPI_THREAD_SINGLE);
    options.home = 0;
    options.order = NSH_MUTEX_FIFO;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    for (call which = 0; which < CALLS; which++) {
        check_case("the home is in %s", names[which]);
        for (int i = 0; i < ROUNDS; i++) {
            before(which);
            PMPI_Barrier(MPI_COMM_WORLD);
            if (check_rank != 0) {
                CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
                CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
            }
            make(which);
            after();
            CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS); /* no rank sends requests any more */
        }
    }
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
