/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_heap.c -- making arrays against making shared windows. */
#include "tool/bench.h"

#include "tool/tool.h"

#include <stdlib.h>
#include <string.h>

typedef struct job {
    nsh_comm *comm;
    int64_t bytes;
    nsh_array **many;
} job;

static void create_free(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++) {
        nsh_array *array;

        tool_must(nsh_array_create(j->comm, MPI_BYTE, 1, &j->bytes, NULL, &array), "create");
        tool_must(nsh_array_free(&array), "free");
    }
}

/* The same without the library: a window, touched by its rank. MPICH allows about 2,000 in a run.
 */
static void window_free(void *arg, int times)
{
    job *j = arg;
    MPI_Comm node = nsh_comm_node_mpi(j->comm);
    int rank;

    MPI_Comm_rank(node, &rank);
    for (int i = 0; i < times; i++) {
        MPI_Win win;
        void *base;

        MPI_Win_allocate_shared(rank == 0 ? (MPI_Aint)j->bytes + 8 : 0, 1, MPI_INFO_NULL, node,
                                &base, &win);
        if (rank == 0)
            memset(base, 0, (size_t)j->bytes);
        MPI_Win_free(&win);
    }
}

static double create_many(job *j, int n)
{
    double begin = MPI_Wtime(), end;

    for (int i = 0; i < n; i++)
        tool_must(nsh_array_create(j->comm, MPI_BYTE, 1, &j->bytes, NULL, &j->many[i]), "create");
    end = MPI_Wtime();
    for (int i = 0; i < n; i++)
        tool_must(nsh_array_free(&j->many[i]), "free");
    return end - begin;
}

void bench_heap(const bench *b)
{
    enum { MANY = 100000 };
    job j = {b->comm, 1024, NULL};
    int64_t large = b->max_bytes;
    double seconds;

    bench_compare(b, "create-free-1KiB-vs-shared-window", "us", b->size > 2 ? 3 : 20, create_free,
                  window_free, &j);
    j.many = calloc(MANY, sizeof *j.many);
    if (j.many != NULL && b->size <= 2) {
        seconds = create_many(&j, MANY);
        bench_row(b, "create-100000-live-vs-1s", seconds, 1, "s");
    }
    free(j.many);
    j.bytes = large;
    bench_compare(b, "create-free-large-vs-shared-window", "ms", 1, create_free, window_free, &j);
}
