/* test_mismatch_kinds.c -- ranks: 3  layouts: cliques-3
 * seconds: 120
 * env: UCX_RNDV_THRESH=inf
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* One node of three is in a set, the others are in a collective call with an agreement of all
 * nodes. No rank may take the first message of one for that of the other, for any lengths: the call
 * with the agreement succeeds nowhere, and all ranks learn of it. Every case breaks a communicator,
 * so a run draws some of the extents; NSH_TEST_EXTENTS=64 takes all of them.
 *
 * Large messages are still under way in MPI_Finalize, in which MPICH 4.2 with UCX 1.18 aborts where
 * they are sent by rendezvous. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

enum {
    EXTENTS = 64,
    LARGE = 16 << 10 /* of 8 bytes: more than travels with the header */,
    CALLS = 200
};

static nsh_comm *comm;
static nsh_array *array;
static int64_t *data;

static int barrier(void)
{
    return nsh_comm_barrier(comm);
}

static int create(void)
{
    nsh_array *made = NULL;
    int rc = nsh_array_like(array, NULL, &made);

    CHECK(rc == NSH_SUCCESS || made == NULL);
    nsh_array_free(&made);
    return rc;
}

static int fill(void)
{
    const int64_t one = 1;

    return nsh_array_fill(array, &one);
}

static int checksum(void)
{
    uint64_t sum;

    return nsh_array_checksum(array, &sum);
}

static int allgather(void)
{
    const int64_t none = 0;

    return nsh_array_allgather(array, data, NULL, &none);
}

static int allreduce(void)
{
    return nsh_array_allreduce(array, data, MPI_SUM);
}

static int mutex_create(void)
{
    nsh_mutex *mutex = NULL;

    return nsh_mutex_create(comm, NULL, &mutex);
}

static int batch_create(void)
{
    nsh_batch *batch = NULL;

    return nsh_batch_create(comm, 10, NULL, &batch);
}

static const struct {
    const char *name;
    int (*call)(void);
} cases[] = {
    {"nsh_comm_barrier", barrier},      {"nsh_array_like", create},
    {"nsh_array_fill", fill},           {"nsh_array_checksum", checksum},
    {"nsh_array_allgather", allgather}, {"nsh_array_allreduce", allreduce},
    {"nsh_mutex_create", mutex_create}, {"nsh_batch_create", batch_create},
};

/* The rank of node `odd` sets with this root while the others are in call. */
static void meet(int (*call)(void), int64_t extent, int odd, int root)
{
    int rc, calls = 1;

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &array), NSH_SUCCESS);
    if (check_rank == odd) {
        rc = nsh_array_set(array, data, NULL, NULL, root);
    } else {
        rc = call();
        CHECK(rc == NSH_ERR_MISMATCH || rc == NSH_ERR_STATE);
    }
    while (rc == NSH_SUCCESS && calls++ < CALLS)
        rc = nsh_comm_barrier(comm);
    CHECK(rc == NSH_ERR_MISMATCH || rc == NSH_ERR_STATE);
    nsh_comm_barrier(comm);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_ERR_STATE);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    nsh_comm_free(&comm); /* a failed create may have left a mutex or a batch nowhere */
    CHECK(comm == NULL);
}

int main(int argc, char **argv)
{
    const char *wish = getenv("NSH_TEST_EXTENTS");
    int64_t some = wish != NULL ? atoi(wish) : 4;

    check_init(&argc, &argv);
    data = calloc(LARGE + EXTENTS, sizeof *data);
    if (data == NULL)
        return 1;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int large = 0; large <= 1; large++) {
            check_case("%s against a %s set", cases[i].name, large ? "large" : "small");
            for (int k = 0; k < some; k++) {
                int64_t e = some < EXTENTS ? 1 + check_random_below(EXTENTS) : k + 1;

                meet(cases[i].call, large ? LARGE + e : e, k % 3, k % 2 ? k % 3 : (k + 1) % 3);
            }
        }
    free(data);
    return check_finish();
}
