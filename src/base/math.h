/* SPDX-License-Identifier: BSD-3-Clause */
/* math.h -- small arithmetic of 64-bit numbers. Everything here is [local, any thread]. */
#ifndef NSH_BASE_MATH_H
#define NSH_BASE_MATH_H

#include <stdint.h>

static inline int64_t nsh__min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t nsh__max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The value, but at most `most` and at least `least`; if least > most the result is least. */
static inline int64_t nsh__clamp(int64_t value, int64_t least, int64_t most)
{
    return nsh__max(nsh__min(value, most), least);
}

/* The least multiple of unit that is not below value >= 0. */
static inline int64_t nsh__round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

#endif
