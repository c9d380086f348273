/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_sync.c -- gates against MPI_Barrier, and the smallest set against gates. */
#include "tool/bench.h"

#include "tool/tool.h"

typedef struct job {
    nsh_comm *comm;
    nsh_array *array;
    int64_t one;
} job;

static void pass_gate(void *arg, int times)
{
    for (int i = 0; i < times; i++)
        nsh_comm_barrier(((job *)arg)->comm);
}

static void pass_node_gate(void *arg, int times)
{
    for (int i = 0; i < times; i++)
        nsh_comm_node_barrier(((job *)arg)->comm);
}

static void mpi_barrier(void *arg, int times)
{
    (void)arg;
    for (int i = 0; i < times; i++)
        MPI_Barrier(MPI_COMM_WORLD);
}

static void node_mpi_barrier(void *arg, int times)
{
    for (int i = 0; i < times; i++)
        MPI_Barrier(nsh_comm_node_mpi(((job *)arg)->comm));
}

static void small_set(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        nsh_array_set(j->array, &j->one, NULL, &j->one, 0);
}

static void small_bcast(void *arg, int times)
{
    int64_t value = ((job *)arg)->one;

    for (int i = 0; i < times; i++)
        MPI_Bcast(&value, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
}

void bench_sync(const bench *given)
{
    bench crowded = *given;
    const bench *b = &crowded;
    int64_t n = 16;
    int times = given->size > 2 ? 10 : 5000;
    job j = {b->comm, NULL, 1};

    crowded.patience = given->size > 2 ? 100 : 0;
    tool_must(nsh_array_create(b->comm, MPI_INT64_T, 1, &n, NULL, &j.array), "array");
    bench_compare(b, "barrier-vs-MPI_Barrier", "us", times, pass_gate, mpi_barrier, &j);
    bench_compare(b, "node-barrier-vs-MPI_Barrier-on-node", "us", times, pass_node_gate,
                  node_mpi_barrier, &j);
    bench_compare(b, "set-8B-vs-MPI_Bcast", "us", times, small_set, small_bcast, &j);
    crowded.patience = 0;
    bench_compare(b, "set-8B-vs-barrier", "us", given->size > 2 ? 1000 : times, small_set,
                  pass_gate, &j);
    tool_must(nsh_array_free(&j.array), "free");
}
