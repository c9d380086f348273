/* test_progress.c -- ranks: 2 4  layouts: one-node cliques-2 rpn-2 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Correct MPI programs that would hang if a rank that waits inside the library kept MPI waiting:
 * rank 0 starts a large send to the last rank and enters a collective call; that rank receives
 * before it enters. And two mutual cases: nothing is ever received on the caller's communicator. */
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

enum { BYTES = 16 << 20 };

typedef struct world {
    nsh_comm *comm;
    nsh_array *array, *made;
    char *buffer;
} world;

typedef int (*call)(world *w);

static int call_set(world *w)
{
    int64_t value = 7, one = 1;

    return nsh_array_set(w->array, &value, NULL, &one, check_size - 1);
}

static int call_barrier(world *w)
{
    return nsh_comm_barrier(w->comm);
}

static int call_create(world *w)
{
    int64_t n = 1 << 20;

    return nsh_array_create(w->comm, MPI_INT, 1, &n, NULL, &w->made);
}

static int call_allgather(world *w)
{
    int64_t value = check_rank, at = check_rank, one = 1;

    return nsh_array_allgather(w->array, &value, &at, &one);
}

static void during(world *w, const char *name, call enter)
{
    MPI_Request request = MPI_REQUEST_NULL;

    check_case("a large send is completed by a rank that waits in %s", name);
    memset(w->buffer, check_rank, BYTES);
    if (check_rank == 0)
        MPI_Isend(w->buffer, BYTES, MPI_BYTE, check_size - 1, 0, MPI_COMM_WORLD, &request);
    if (check_rank == check_size - 1) {
        MPI_Recv(w->buffer, BYTES, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
        CHECK_EQ(w->buffer[BYTES - 1], 0);
    }
    CHECK_ALL(enter(w), NSH_SUCCESS);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

int main(int argc, char **argv)
{
    world w = {.comm = NULL};
    int64_t n = 64;

    check_init(&argc, &argv);
    w.buffer = malloc(BYTES);
    check_case("create");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &w.comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(w.comm, MPI_INT64_T, 1, &n, NULL, &w.array), NSH_SUCCESS);
    during(&w, "nsh_array_set", call_set);
    during(&w, "nsh_comm_barrier", call_barrier);
    during(&w, "nsh_array_create", call_create);
    during(&w, "nsh_array_allgather", call_allgather);
    CHECK_ALL(nsh_array_free(&w.made), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&w.array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&w.comm), NSH_SUCCESS);
    free(w.buffer);
    return check_finish();
}
