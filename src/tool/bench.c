/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.c -- nsh bench: options, timing, rows. */
#include "bench.h"

#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPS = 11, MAX_REPS = 1001 };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double values[], int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return values[n / 2];
}

/* Seconds of the slowest rank for one time. */
static double measure(const bench *b, bench_side side, void *arg, int times)
{
    double begin, mine, slowest;

    nsh_comm_barrier(b->comm);
    begin = MPI_Wtime();
    side(arg, times);
    mine = b->seconds != NULL ? *b->seconds : MPI_Wtime() - begin;
    MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest / times;
}

void bench_row(const bench *b, const char *name, double ours, double baseline, const char *unit)
{
    double ratio = ours > 0 ? baseline / ours : 0;

    if (b->rank != 0)
        return;
    if (b->csv)
        printf("%s,%d,%d,%.6g,%.6g,%s,%.4g\n", name, b->size, nsh_comm_node_count(b->comm), ours,
               baseline, unit, ratio);
    else
        printf("%-44s %12.3f %12.3f %-5s %9.2f\n", name, ours, baseline, unit, ratio);
    fflush(stdout);
}

void bench_compare(const bench *b, const char *name, const char *unit, int times, bench_side ours,
                   bench_side baseline, void *arg)
{
    double mine[MAX_REPS], theirs[MAX_REPS], scale = strcmp(unit, "us") == 0 ? 1e6 : 1e3;
    int reps = b->reps > 0 ? b->reps : REPS;

    measure(b, ours, arg, 1); /* warm up */
    measure(b, baseline, arg, 1);
    for (int i = 0; i < reps; i++) {
        mine[i] = measure(b, ours, arg, times * (b->patience > 0 ? b->patience : 1));
        theirs[i] = measure(b, baseline, arg, times);
    }
    bench_row(b, name, median(mine, reps) * scale, median(theirs, reps) * scale, unit);
}

static const struct {
    const char *name;
    void (*run)(const bench *b);
} parts[] = {{"sync", bench_sync},   {"set", bench_set},     {"heap", bench_heap},
             {"mutex", bench_mutex}, {"batch", bench_batch}, {"file", bench_file}};

enum { PARTS = (int)(sizeof parts / sizeof parts[0]) };

static bool parse(bench *b, int argc, char **argv, bool wanted[PARTS])
{
    bool any = false;

    for (int i = 0; i < argc; i++) {
        bool known = false;

        for (int k = 0; k < PARTS; k++)
            if (strcmp(argv[i], parts[k].name) == 0)
                wanted[k] = any = known = true;
        if (strcmp(argv[i], "--csv") == 0) {
            b->csv = known = true;
        } else if (strcmp(argv[i], "--reps") == 0 && i + 1 < argc) {
            b->reps = atoi(argv[++i]);
            known = b->reps >= 1 && b->reps <= MAX_REPS;
        } else if (strcmp(argv[i], "--max-bytes") == 0 && i + 1 < argc) {
            b->max_bytes = atoll(argv[++i]);
            known = b->max_bytes >= 8;
        }
        if (!known)
            return false;
    }
    for (int k = 0; k < PARTS && !any; k++)
        wanted[k] = true;
    return true;
}

int tool_bench(int argc, char **argv)
{
    bench b = {.max_bytes = INT64_C(256) << 20};
    bool wanted[PARTS] = {false};

    MPI_Comm_rank(MPI_COMM_WORLD, &b.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &b.size);
    if (!parse(&b, argc, argv, wanted)) {
        if (b.rank == 0)
            fprintf(stderr,
                    "usage: nsh bench [sync|set|heap|mutex|batch|file ...] [--csv] [--reps 1..%d] "
                    "[--max-bytes N]\n",
                    MAX_REPS);
        return 2;
    }
    tool_must(nsh_comm_create(MPI_COMM_WORLD, NULL, &b.comm), "communicator");
    if (b.rank == 0 && b.csv)
        printf("case,ranks,nodes,ours,baseline,unit,ratio\n");
    else if (b.rank == 0) {
        nsh_comm_print(b.comm, stdout);
        printf("%-44s %12s %12s %-5s %9s\n", "case", "ours", "baseline", "", "ratio");
    }
    for (int k = 0; k < PARTS; k++)
        if (wanted[k])
            parts[k].run(&b);
    tool_must(nsh_comm_free(&b.comm), "free");
    return 0;
}
