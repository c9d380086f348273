/* SPDX-License-Identifier: BSD-3-Clause */
/* sized.c -- public structs that begin with their size. */
#include "base/sized.h"

#include "base/error.h"

#include <string.h>

/* The program's struct may be shorter than the library's, so it is not accessed as one. */
static size_t size_of(const void *given)
{
    size_t size;

    memcpy(&size, given, sizeof size);
    return size;
}

/* Copy the fields that both versions have. given: the struct of the program; it is also from or
 * out. One that no version has is not copied from: its size may lie inside a field. */
static void copy_common(const nsh__sized *kind, const void *given, const void *from, void *out)
{
    size_t size = size_of(given) < kind->known ? size_of(given) : kind->known;

    if (size >= kind->least)
        memcpy((char *)out + sizeof size, (const char *)from + sizeof size, size - sizeof size);
}

int nsh__sized_check(const nsh__sized *kind, const char *call, int rank, const void *given)
{
    const unsigned char *bytes = given;
    size_t size = size_of(given);

    if (size < kind->least)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: a struct has size %zu, not at least %zu: %s sets it (rank %d)", call,
                         size, kind->least, kind->init, rank);
    for (size_t i = kind->known; i < size; i++)
        if (bytes[i] != 0)
            return nsh__fail(NSH_ERR_UNSUPPORTED,
                             "%s: byte %zu of a struct of %s is not zero, and this version knows "
                             "%zu bytes of it (rank %d)",
                             call, i, kind->init, kind->known, rank);
    return NSH_SUCCESS;
}

int nsh__sized_read(const nsh__sized *kind, const char *call, int rank, const void *given,
                    void *out)
{
    int rc;

    if (given == NULL)
        return NSH_SUCCESS;
    rc = nsh__sized_check(kind, call, rank, given);
    copy_common(kind, given, given, out);
    return rc;
}

void nsh__sized_write(const nsh__sized *kind, const void *from, void *out)
{
    copy_common(kind, out, from, out);
}
