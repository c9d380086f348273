/* SPDX-License-Identifier: BSD-3-Clause */
/* assert.h -- invariants, checked where tests run.
 *
 * nsh__assert(condition, format, ...) ends the process and prints the values, in builds with
 * NSH_ASSERTS=1: those with sanitizers or fault sites, and the library that the tests are linked
 * with. In the installed library it evaluates nothing, prints nothing and continues.
 *
 * An assertion states what only a mistake in the library itself can violate, and no caller or other
 * process. Everything else is an error code. [local, any thread] */
#ifndef NSH_BASE_ASSERT_H
#define NSH_BASE_ASSERT_H

#ifdef NSH_ASSERTS
#define nsh__assert(condition, ...)                                                                \
    ((condition) ? (void)0 : nsh__assert_failed(__FILE__, __LINE__, #condition, __VA_ARGS__))

/* Print "FILE:LINE: CONDITION does not hold: VALUES" on stderr and abort. */
_Noreturn void nsh__assert_failed(const char *file, int line, const char *condition,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));
#else
/* Compiled, so that it stays correct and its operands count as used, but never evaluated. */
#define nsh__assert(condition, ...)                                                                \
    ((void)sizeof((condition) ? 1 : nsh__assert_values(__VA_ARGS__)))
int nsh__assert_values(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif

#endif
