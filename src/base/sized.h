/* SPDX-License-Identifier: BSD-3-Clause */
/* sized.h -- public structs that begin with their size, so that later versions can add fields.
 *
 * A program is compiled with the struct of one version and may run with the library of another. The
 * field size says how many bytes the program's struct has. Fields that the program's struct lacks
 * have their defaults. Fields that this library lacks must be zero, which is their default:
 * otherwise the program asks for something that this library cannot do. A version that adds fields
 * adds them at the end: no struct ends in padding, which a program may leave undefined. */
#ifndef NSH_BASE_SIZED_H
#define NSH_BASE_SIZED_H

#include <stddef.h>

/* One kind of struct: the macro that initialises it, its size in 0.2.0 and its size now. */
typedef struct nsh__sized {
    const char *init;
    size_t least, known;
} nsh__sized;

/* last: the last field that it had in 0.2.0. */
#define NSH__SIZED(type, last, init)                                                               \
    {                                                                                              \
#init, offsetof(type, last) + sizeof(((type *)NULL)->last), sizeof(type)                   \
    }

/* [local] May the program's struct be read or written? NSH_ERR_ARG: no version has this size.
 * NSH_ERR_UNSUPPORTED: a field that this library lacks is not zero. */
int nsh__sized_check(const nsh__sized *kind, const char *call, int rank, const void *given);

/* [local] Copy the program's options over out, which has the defaults of this library; given NULL:
 * no change. NSH_ERR_UNSUPPORTED: out has the fields that this library knows, so that this rank's
 * signature is that of what it asked for. NSH_ERR_ARG: no change. */
int nsh__sized_read(const nsh__sized *kind, const char *call, int rank, const void *given,
                    void *out);

/* [local] Fill a struct of the program that has passed the check; its size stays. */
void nsh__sized_write(const nsh__sized *kind, const void *from, void *out);

#endif
