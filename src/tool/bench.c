/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.c -- nsh bench: options, and which parts run. */
#include "tool/bench.h"

#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(const bench *b);
} parts[] = {{"sync", bench_sync},   {"set", bench_set},     {"heap", bench_heap},
             {"mutex", bench_mutex}, {"batch", bench_batch}, {"file", bench_file}};

enum { PARTS = (int)(sizeof parts / sizeof parts[0]) };

static bool parse_options(bench *b, int argc, char **argv, bool wanted[PARTS])
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
            known = b->reps >= 1 && b->reps <= BENCH_MAX_REPS;
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
    if (!parse_options(&b, argc, argv, wanted)) {
        if (b.rank == 0)
            fprintf(stderr,
                    "usage: nsh bench [sync|set|heap|mutex|batch|file ...] [--csv] [--reps 1..%d] "
                    "[--max-bytes N]\n",
                    BENCH_MAX_REPS);
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
