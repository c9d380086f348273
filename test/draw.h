/* SPDX-License-Identifier: BSD-3-Clause */
/* draw.h -- random numbers (splitmix64), the same in every run unless the test sets the seed.
 *
 * It holds definitions: one source of a program includes it. */
#ifndef NODESHARE_DRAW_H
#define NODESHARE_DRAW_H

#include <stdint.h>

static uint64_t seed = 1;

static inline uint64_t draw_word(void)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline int64_t draw(int64_t n) /* 0 .. n - 1 */
{
    return (int64_t)(draw_word() % (uint64_t)n);
}

#endif
