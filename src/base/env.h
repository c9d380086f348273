/* SPDX-License-Identifier: BSD-3-Clause */
/* env.h -- settings in environment variables. */
#ifndef NSH_BASE_ENV_H
#define NSH_BASE_ENV_H

#include <stdbool.h>

/* [local] The value of an environment variable; NULL: not set, or empty. */
const char *nsh__env(const char *name);

/* [local] Is the environment variable set to this value? */
bool nsh__env_is(const char *name, const char *value);

#endif
