/* SPDX-License-Identifier: BSD-3-Clause */
/* must.c -- a library call of the nsh command that must work. */
#include "tool/tool.h"

#include <stdio.h>

#include <nodeshare.h>

void tool_must(int code, const char *what)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "nsh: %s: %s: %s\n", what, nsh_strerror(code), nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}
