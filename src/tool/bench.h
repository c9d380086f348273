/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h -- the frame of nsh bench: two things timed in turn, medians, one row a case. */
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
    int reps;          /* measurements of each side; 0: by what is measured */
    int64_t max_bytes; /* of the arrays */
    int patience; /* ours is repeated so many times as often as the baseline, for cases in which
                     one of the baseline takes as long as hundreds of ours; 0: once */
    const double *seconds; /* what a side says that it took on this rank; NULL: all of it counts */
} bench;

/* One side of a comparison: does it `times` times. */
typedef void (*bench_side)(void *arg, int times);

/* Time ours and baseline in turn, so that the machine's drift hits both; a measurement is the
 * slowest rank's. Prints the row `name`: seconds per time in unit ("us" or "ms"). */
void bench_compare(const bench *b, const char *name, const char *unit, int times, bench_side ours,
                   bench_side baseline, void *arg);

/* A row whose numbers are known already: bytes, messages. Smaller is better. */
void bench_row(const bench *b, const char *name, double ours, double baseline, const char *unit);

void bench_set(const bench *b);
void bench_sync(const bench *b);
void bench_heap(const bench *b);
void bench_mutex(const bench *b);
void bench_batch(const bench *b);
void bench_file(const bench *b); /* files in NSH_BENCH_DIR, or here */

#endif
