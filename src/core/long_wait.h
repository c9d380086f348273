/* SPDX-License-Identifier: BSD-3-Clause */
/* long_wait.h -- the line that a long wait logs. */
#ifndef NSH_CORE_LONG_WAIT_H
#define NSH_CORE_LONG_WAIT_H

#include "core/comm.h"

/* [for wait.c] Log what this rank waits for, under NSH_LOG=1. word: what it sleeps on; NULL: it
 * waits for messages. */
void nsh__report_wait(void *owner, const atomic_uint *word, int64_t waited_ns);

#endif
