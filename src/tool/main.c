/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c -- the nsh command. */
#include "tool/tool.h"

#include <stdio.h>
#include <string.h>

#include <nodeshare.h>

static const char usage[] =
    "usage: [mpiexec -n RANKS] nsh COMMAND\n"
    "  topo                      ranks, nodes, hosts, cores, and what the library makes of them\n"
    "  info FILE [-v]            what is in an HDF5 file\n"
    "  status FILE [--watch]     how far a batch is, from its journal\n"
    "  reset --failed|--all FILE reopen tasks that failed, or all that ended, in a journal\n"
    "  salvage FILE NEW          the good records of a damaged journal, in a new one\n"
    "  bench [sync|set|heap|mutex|batch|file ...] [--csv] [--reps N] [--max-bytes N]\n"
    "                            against what one would write instead, in the same run\n"
    "  --help, --version\n";

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
        bool mpi;
    } commands[] = {{"topo", tool_topo, true},    {"info", tool_info, true},
                    {"bench", tool_bench, true},  {"status", tool_status, false},
                    {"reset", tool_reset, false}, {"salvage", tool_salvage, false}};
    int level, code = 2;

    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("nsh %s\n", NSH_VERSION_STRING);
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            if (!commands[i].mpi)
                return commands[i].run(argc - 2, argv + 2);
            MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
            code = commands[i].run(argc - 2, argv + 2);
            MPI_Finalize();
            return code;
        }
    fputs(usage, stderr);
    return code;
}
