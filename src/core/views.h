/* SPDX-License-Identifier: BSD-3-Clause */
/* views.h -- the read-only views of this process, and the writable views of the same pages.
 *
 * A network that registers memory (RDMA) refuses pages that the process may not write, even to send
 * from them. Data that a caller passes may lie in the read-only view of any array of the process,
 * also of another communicator. So every address that MPI will read is looked up here first. */
#ifndef NSH_CORE_VIEWS_H
#define NSH_CORE_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

/* [any thread] Register that ro and rw are views of the same bytes. False: no memory for it. */
bool nsh__views_add(const char *ro, char *rw, int64_t bytes);

/* [any thread] Unregister ro, before it is unmapped; accepts one that was never added. */
void nsh__views_remove(const char *ro);

/* [any thread] The address to pass to MPI in place of p: p itself, unless p lies in a read-only
 * view. */
const void *nsh__views_for_mpi(const void *p);

#endif
