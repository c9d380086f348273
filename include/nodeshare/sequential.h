/* SPDX-License-Identifier: BSD-3-Clause */
/* sequential.h -- a section of the program that one rank after another runs.
 *
 * A rank that waits for its turn sleeps, and keeps MPI going meanwhile.
 */
#ifndef NODESHARE_SEQUENTIAL_H
#define NODESHARE_SEQUENTIAL_H

#include <nodeshare/comm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [collective] What stands between begin and end happens on one rank after another, in the order of
 * ranks: begin returns on a rank when the rank before it has called end. Inside, what is collective
 * on comm is NSH_ERR_STATE on this rank alone, and the section goes on; mutexes, counters and what
 * is [local] work as ever.
 * A rank that calls something else instead is found by begin under NSH_CHECK=1 only, which is
 * MISMATCH on all ranks, and nothing has happened. Otherwise it is found by the end, when other
 * ranks have been through the section: MISMATCH, and comm is broken.
 * Errors: ARG (NULL), STATE (begin inside a section; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_begin(nsh_comm *comm);

/* [collective] Passes the turn on, and returns when all ranks are through. What they stored into
 * shared memory is seen then.
 * Errors: ARG (NULL), STATE (end without begin; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_end(nsh_comm *comm);

#ifdef __cplusplus
}
#endif

#endif
