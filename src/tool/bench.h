/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h -- the frame of nsh bench: two things timed in turn, medians, one row for each case. All
 * functions are [collective]. */
#ifndef NSH_TOOL_BENCH_H
#define NSH_TOOL_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include <nodeshare.h>

enum { BENCH_MAX_REPS = 1001 };

typedef struct bench {
    nsh_comm *comm;
    int rank, size;
    bool csv;
    int reps;          /* measurements of each side; 0: each benchmark chooses */
    int64_t max_bytes; /* of the arrays */
    int patience; /* our side is repeated this many times as often as the baseline, for cases in
                     which the baseline takes hundreds of times as long; 0: once */
    const double *seconds; /* the time of a side on this rank, measured by itself; NULL: the whole
                              call is timed */
} bench;

/* One side of a comparison: repeats the operation `times` times. */
typedef void (*bench_side)(void *arg, int times);

/* Time ours and baseline in turn, so that changes of the machine's speed affect both; a measurement
 * is the slowest rank's. Prints the row `name`: seconds per time in unit ("us" or "ms"). */
void bench_compare(const bench *b, const char *name, const char *unit, int times, bench_side ours,
                   bench_side baseline, void *arg);

/* A row whose numbers are known already: bytes, messages. Smaller is better. */
void bench_row(const bench *b, const char *name, double ours, double baseline, const char *unit);

void bench_set(const bench *b);
void bench_sync(const bench *b);
void bench_heap(const bench *b);
void bench_mutex(const bench *b);
void bench_batch(const bench *b);
void bench_file(const bench *b); /* files in NSH_BENCH_DIR, or in the working directory */

#endif
