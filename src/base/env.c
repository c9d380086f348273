/* SPDX-License-Identifier: BSD-3-Clause */
/* env.c -- settings in environment variables. */
#include "base/env.h"

#include <stdlib.h>
#include <string.h>

const char *nsh__env(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

bool nsh__env_is(const char *name, const char *value)
{
    const char *is = nsh__env(name);

    return is != NULL && strcmp(is, value) == 0;
}
