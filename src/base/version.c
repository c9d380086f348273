/* SPDX-License-Identifier: BSD-3-Clause */
/* version.c -- the version of the library that runs. */
#include <nodeshare.h>

int nsh_version(void)
{
    return NSH_VERSION;
}
