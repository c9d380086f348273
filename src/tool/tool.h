/* SPDX-License-Identifier: BSD-3-Clause */
/* tool.h -- the nsh command: one function for each of its commands. Each returns the exit code. */
#ifndef NSH_TOOL_H
#define NSH_TOOL_H

#include <stdbool.h>

/* [collective] nsh topo */
int tool_topo(int argc, char **argv);

/* [local] nsh info FILE [-v]; without MPI */
int tool_info(int argc, char **argv);

/* [local] nsh status FILE [--watch], nsh reset --failed|--all FILE, nsh salvage FILE NEW; without
 * MPI */
int tool_status(int argc, char **argv);
int tool_reset(int argc, char **argv);
int tool_salvage(int argc, char **argv);

/* [collective] nsh bench [sync|set|heap|mutex|batch|file ...] [--csv] [--reps N] [--max-bytes N] */
int tool_bench(int argc, char **argv);

/* [local] Check the code of a library call: on a failure print the reason and end all ranks. */
void tool_must(int code, const char *what);

#endif
