/* SPDX-License-Identifier: BSD-3-Clause */
/* text.c -- the output of an object's _print, as text in memory. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "base/text.h"

#include "base/error.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(const char *call)
{
    nsh__fail(NSH_ERR_NOMEM, "%s: no memory for the text", call);
    return -1;
}

/* Copy a text of this length, truncated if it does not fit. */
static void copy_text(const char *from, size_t length, char *text, size_t size)
{
    size_t fits = length < size ? length : size - 1;

    memcpy(text, from, fits);
    text[fits] = '\0';
}

int nsh__text_of(const char *call, int (*print)(const void *object, FILE *f), const void *object,
                 char *text, size_t size)
{
    char *whole = NULL;
    size_t length = 0;
    FILE *f;
    int rc, closed;

    if (text == NULL && size > 0) {
        nsh__fail(NSH_ERR_ARG, "%s: text is NULL, and size is %zu", call, size);
        return -1;
    }
    f = open_memstream(&whole, &length);
    if (f == NULL)
        return no_memory(call);
    rc = print(object, f);
    closed = fclose(f);
    if (rc == NSH_SUCCESS && closed == 0 && size > 0)
        copy_text(whole, length, text, size);
    free(whole);
    if (closed != 0 || length > INT_MAX)
        return no_memory(call);
    return rc == NSH_SUCCESS ? (int)length : -1;
}
