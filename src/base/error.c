/* SPDX-License-Identifier: BSD-3-Clause */
/* error.c -- status texts and this thread's last failure.
 *
 * Invariant: the detail changes only where a failure is detected or comes from another rank, never
 * on success. */
#include "base/error.h"

#include "base/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mpi.h>

static _Thread_local nsh__detail last;

const char *nsh_strerror(int status)
{
    switch (status) {
    case NSH_SUCCESS:
        return "NSH_SUCCESS: success";
#define STATUS_TEXT(name, text)                                                                    \
    case name:                                                                                     \
        return #name ": " text;
        NSH_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

const char *nsh_error_detail(void)
{
    return last.text;
}

void nsh__detail_keep(nsh__detail *out)
{
    *out = last;
}

void nsh__detail_restore(const nsh__detail *kept)
{
    last = *kept;
}

int nsh__fail(int code, const char *format, ...)
{
    char text[NSH__TEXT]; /* the old detail may be among the arguments */
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(last.text, text, sizeof text);
    nsh__log("%s [%s]", last.text, nsh_strerror(code));
    return code;
}

int nsh__fail_from(int code, int rank, const char *text)
{
    if (text[0] == '\0')
        text = nsh_strerror(code);
    if (rank < 0)
        snprintf(last.text, sizeof last.text, "%.*s", NSH__TEXT - 1, text);
    else
        snprintf(last.text, sizeof last.text, "%.*s [from rank %d]", NSH__TEXT - 1, text, rank);
    return code;
}

int nsh__fail_given(const char *call, int rank, int code, const char *text)
{
    if (code <= NSH_SUCCESS || code > NSH_ERR_INTERNAL)
        return nsh__fail(NSH_ERR_ARG, "%s: code %d is no failure (rank %d)", call, code, rank);
    return nsh__fail(code, "%s: %.180s (rank %d)", call, text != NULL ? text : nsh_strerror(code),
                     rank);
}

int nsh__fail_mpi(const char *call, int mpi_code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;

    MPI_Error_string(mpi_code, text, &length);
    return nsh__fail(NSH_ERR_MPI, "%s: %.200s", call, text);
}

void nsh__log(const char *format, ...)
{
    char line[NSH__TEXT + 128];
    va_list args;

    if (!nsh__env_is("NSH_LOG", "1"))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "nodeshare: %s\n", line); /* one call, so that lines of ranks do not mix */
}
