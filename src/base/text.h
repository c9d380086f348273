/* SPDX-License-Identifier: BSD-3-Clause */
/* text.h -- the output of an object's _print, as text in memory. */
#ifndef NSH_BASE_TEXT_H
#define NSH_BASE_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* [local] Write the output of print(object) into text of size bytes, truncated if it does not fit,
 * and always terminated; text may be NULL if size is 0. Returns the length of the whole output, as
 * snprintf does; -1 if print fails or no memory is left, with a detail that begins with call. */
int nsh__text_of(const char *call, int (*print)(const void *object, FILE *f), const void *object,
                 char *text, size_t size);

#endif
