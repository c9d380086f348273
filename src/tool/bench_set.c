/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_set.c -- set and similar calls against memcpy and MPI collectives into private copies. */
#include "tool/bench.h"

#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    nsh_comm *comm;
    nsh_array *array, *other; /* the same extent */
    char *view;               /* writable, of other, on rank 0 */
    char *data, *copy;        /* private */
    int64_t bytes;
    int64_t offset[2], count[2];
    int *counts, *places; /* of MPI_Allgatherv */
} job;

static void set_array(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        nsh_array_set(j->array, j->data, NULL, &j->bytes, 0);
}

static void copy_array(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times && j->view != NULL; i++)
        memcpy(j->view, j->data, (size_t)j->bytes);
}

static void bcast_copies(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        MPI_Bcast(j->copy, (int)j->bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
}

static void update_array(void *arg, int times)
{
    job *j = arg;
    void *view;

    for (int i = 0; i < times; i++) {
        nsh_array_update_begin(j->array, NULL, &j->bytes, 0, &view);
        nsh_array_update_end(j->array);
    }
}

static void allgather_array(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        nsh_array_allgather(j->array, j->data, &j->offset[0], &j->count[0]);
}

static void allgatherv_copies(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        MPI_Allgatherv(j->data, (int)j->count[0], MPI_BYTE, j->copy, j->counts, j->places, MPI_BYTE,
                       MPI_COMM_WORLD);
}

static void set_rows(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        nsh_array_set(j->array, j->data, j->offset, j->count, 0);
}

static void set_whole_rows(void *arg, int times)
{
    job *j = arg;
    const int64_t whole[2] = {j->count[0] / 2, 2 * j->count[1]};

    for (int i = 0; i < times; i++)
        nsh_array_set(j->array, j->data, NULL, whole, 0);
}

static const char *size_name(int64_t bytes, char text[32])
{
    if (bytes >= 1 << 20)
        snprintf(text, 32, "%lldMiB", (long long)(bytes >> 20));
    else if (bytes >= 1 << 10)
        snprintf(text, 32, "%lldKiB", (long long)(bytes >> 10));
    else
        snprintf(text, 32, "%lldB", (long long)bytes);
    return text;
}

static void compare_sets(const bench *b, job *j, const char *form, const char *baseline,
                         bench_side ours, bench_side theirs)
{
    char name[96], size[32];
    int times = j->bytes <= 64 << 10 && b->size <= 2 ? 200 : 1;

    snprintf(name, sizeof name, "%s-%s-vs-%s", form, size_name(j->bytes, size), baseline);
    bench_compare(b, name, "ms", times, ours, theirs, j);
}

static void bench_size(const bench *b, job *j, int64_t bytes)
{
    int64_t each = bytes / b->size;

    j->bytes = bytes;
    compare_sets(b, j, "set", "memcpy", set_array, copy_array);
    compare_sets(b, j, "set", "MPI_Bcast", set_array, bcast_copies);
    compare_sets(b, j, "update", "MPI_Bcast", update_array, bcast_copies);
    if (bytes < 1 << 20)
        return;
    for (int r = 0; r < b->size; r++) {
        j->counts[r] = (int)(r == b->size - 1 ? bytes - each * r : each);
        j->places[r] = (int)(each * r);
    }
    j->offset[0] = each * b->rank;
    j->count[0] = j->counts[b->rank];
    compare_sets(b, j, "allgather", "MPI_Allgatherv", allgather_array, allgatherv_copies);
}

/* Half of each row of 1 KiB against the same bytes in one piece. */
static void bench_rows(const bench *b, job *j, int64_t bytes)
{
    int64_t extent[2] = {bytes / 1024, 1024};

    tool_must(nsh_array_create(b->comm, MPI_BYTE, 2, extent, NULL, &j->array), "array");
    j->offset[0] = 0;
    j->offset[1] = 256;
    j->count[0] = extent[0];
    j->count[1] = 512;
    j->bytes = bytes / 2;
    compare_sets(b, j, "set-rows-of-512B", "contiguous", set_rows, set_whole_rows);
    tool_must(nsh_array_free(&j->array), "free");
}

/* KiB that this process maps, shared pages in proportion. */
static double pss_kib(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    double kib = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Pss: %lf", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

/* Memory of node 0 for one array read by all its ranks, against a copy per rank. */
static void bench_memory(const bench *b, job *j, int64_t bytes)
{
    double before, grown, node = 0;
    volatile char sum = 0;

    nsh_comm_barrier(b->comm);
    before = pss_kib();
    nsh_comm_barrier(b->comm);
    tool_must(nsh_array_create(b->comm, MPI_BYTE, 1, &bytes, NULL, &j->array), "array");
    for (int64_t i = 0; i < bytes; i += 4096)
        sum = (char)(sum + ((const char *)nsh_array_data(j->array))[i]);
    nsh_comm_barrier(b->comm);
    grown = pss_kib() - before;
    MPI_Reduce(&grown, &node, 1, MPI_DOUBLE, MPI_SUM, 0, nsh_comm_node_mpi(b->comm));
    bench_row(b, "memory-of-node-0-vs-copy-per-rank", node / 1024,
              (double)bytes / (1 << 20) * nsh_comm_node_size(b->comm), "MiB");
    tool_must(nsh_array_free(&j->array), "free");
}

void bench_set(const bench *b)
{
    static const int64_t sizes[] = {8,       512,     8 << 10,  64 << 10,
                                    1 << 20, 8 << 20, 64 << 20, 256 << 20};
    int64_t most = b->max_bytes;
    job j = {.comm = b->comm};
    void *view;

    j.data = malloc((size_t)most);
    j.copy = malloc((size_t)most);
    j.counts = calloc((size_t)b->size, sizeof *j.counts);
    j.places = calloc((size_t)b->size, sizeof *j.places);
    if (j.data == NULL || j.copy == NULL || j.counts == NULL || j.places == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(j.data, 1, (size_t)most);
    memset(j.copy, 2, (size_t)most);
    tool_must(nsh_array_create(b->comm, MPI_BYTE, 1, &most, NULL, &j.array), "array");
    tool_must(nsh_array_create(b->comm, MPI_BYTE, 1, &most, NULL, &j.other), "array");
    tool_must(nsh_array_update_begin(j.other, NULL, NULL, 0, &view), "update");
    j.view = view;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] <= most)
            bench_size(b, &j, sizes[i]);
    tool_must(nsh_array_update_end(j.other), "update");
    tool_must(nsh_array_free(&j.other), "free");
    tool_must(nsh_array_free(&j.array), "free");
    if (most >= 1 << 20) {
        bench_rows(b, &j, most);
        bench_memory(b, &j, most);
    }
    free(j.data);
    free(j.copy);
    free(j.counts);
    free(j.places);
}
