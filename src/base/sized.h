/* SPDX-License-Identifier: BSD-3-Clause */
/* sized.h -- public structs that begin with their size, so that later versions can add fields.
 *
 * A program is compiled with the struct of one version and may run with the library of another.
 * size says how many bytes the program's struct has. Fields that it lacks have their defaults;
 * fields that this library lacks must be zero, which is their default, or it could not do what is
 * asked for. A version that adds fields adds them at the end: no struct ends in padding, which a
 * program may have left undefined. */
#ifndef NSH_BASE_SIZED_H
#define NSH_BASE_SIZED_H

#include <stddef.h>

/* One kind of struct: the macro that initialises it, and how large it was in 0.2.0 and is now. */
typedef struct nsh__sized {
    const char *init;
    size_t least, known;
} nsh__sized;

/* last: the last field that it had in 0.2.0. */
#define NSH__SIZED(type, last, init)                                                               \
    {                                                                                              \
#init, offsetof(type, last) + sizeof(((type *)NULL)->last), sizeof(type)                   \
    }

/* [local] May a struct that the program has given be read or written? NSH_ERR_ARG: its size is
 * none that it ever had. NSH_ERR_UNSUPPORTED: what this library does not know of it is not zero. */
int nsh__sized_check(const nsh__sized *kind, const char *call, int rank, const void *given);

/* [local] Options that a program has given, over out, which has the defaults of this library; NULL:
 * none given. Where the check fails, out has what could be read, so that this rank does not look as
 * if it had asked for something else. */
int nsh__sized_read(const nsh__sized *kind, const char *call, int rank, const void *given,
                    void *out);

/* [local] Fill a struct of the program, which has passed the check: its size stays. */
void nsh__sized_write(const nsh__sized *kind, const void *from, void *out);

#endif
