/* SPDX-License-Identifier: BSD-3-Clause */
/* text.h -- what an object's _print writes, as text in memory. */
#ifndef NSH_BASE_TEXT_H
#define NSH_BASE_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* [local] What print writes about object into text, of size bytes, cut off where it does not fit,
 * and always terminated; text may be NULL where size is 0. Returns the length of the whole text, as
 * snprintf does; -1 where print fails, or there is no memory, which is worded with call. */
int nsh__text_of(const char *call, int (*print)(const void *object, FILE *f), const void *object,
                 char *text, size_t size);

#endif
