/* SPDX-License-Identifier: BSD-3-Clause */
/* assert.c -- ends a process in which an invariant does not hold; empty but in builds with
 * NSH_ASSERTS=1. */
#include "base/assert.h"

#ifdef NSH_ASSERTS

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void nsh__assert_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char values[256];
    va_list args;

    va_start(args, format);
    vsnprintf(values, sizeof values, format, args);
    va_end(args);
    fprintf(stderr, "nodeshare: %s:%d: %s does not hold: %s\n", file, line, condition, values);
    abort();
}

#else
typedef int nsh__assert_unused; /* ISO C forbids an empty translation unit */
#endif
