/* SPDX-License-Identifier: BSD-3-Clause */
/* call.c -- the names of the collective calls. */
#include "core/call.h"

const char *nsh__call_name(nsh__call call)
{
#define CALL_NAME(key, name) name,
    static const char *const names[NSH__CALLS] = {NSH__CALL_LIST(CALL_NAME)};
#undef CALL_NAME

    return names[call];
}
