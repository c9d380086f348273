/* SPDX-License-Identifier: BSD-3-Clause */
/* views.h -- the read-only views of this process, and the writable views of the same pages.
 *
 * A network that registers memory (RDMA) refuses pages that the process may not write, even to send
 * from them. Data that a caller passes may lie in the read-only view of any array of the process,
 * also of another communicator. So what MPI is to read is looked up here first. */
#ifndef NSH_CORE_VIEWS_H
#define NSH_CORE_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

/* [any thread] The bytes at ro are the bytes at rw. False: no memory to note it. */
bool nsh__views_add(const char *ro, char *rw, int64_t bytes);

/* [any thread] Before the view at ro is unmapped; accepts one that was never added. */
void nsh__views_remove(const char *ro);

/* [any thread] The address that may be given to MPI in place of p: p itself, unless p lies in a
 * read-only view. */
const void *nsh__views_for_mpi(const void *p);

#endif
