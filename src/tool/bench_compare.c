/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_compare.c -- two things timed in turn, medians, one row a case. */
#include "tool/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPS = 11 };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of_side(double values[], int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return values[n / 2];
}

/* Seconds of the slowest rank for one time. */
static double measure_side(const bench *b, bench_side side, void *arg, int times)
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
    double mine[BENCH_MAX_REPS], theirs[BENCH_MAX_REPS],
        scale = strcmp(unit, "us") == 0 ? 1e6 : 1e3;
    int reps = b->reps > 0 ? b->reps : REPS;

    measure_side(b, ours, arg, 1); /* warm up */
    measure_side(b, baseline, arg, 1);
    for (int i = 0; i < reps; i++) {
        mine[i] = measure_side(b, ours, arg, times * (b->patience > 0 ? b->patience : 1));
        theirs[i] = measure_side(b, baseline, arg, times);
    }
    bench_row(b, name, median_of_side(mine, reps) * scale, median_of_side(theirs, reps) * scale,
              unit);
}
