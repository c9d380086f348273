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

/* [collective] The code between begin and end runs on one rank after another, in the order of
 * ranks: begin returns on a rank when the rank before it has called end. Inside the section a
 * collective call on comm returns NSH_ERR_STATE on this rank alone, and the section continues;
 * mutexes, counters and [local] calls work as usual. If a rank makes another call instead, begin
 * finds that only under NSH_CHECK=1: it returns MISMATCH on all ranks, and nothing has happened.
 * Otherwise end finds it, after other ranks have run the section: MISMATCH, and comm is broken.
 * Errors: ARG (NULL), STATE (begin inside a section; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_begin(nsh_comm *comm);

/* [collective] Pass the turn on, and return when all ranks have run the section. This rank then
 * sees what they have stored into shared memory.
 * Errors: ARG (NULL), STATE (end without begin; comm is broken), MISMATCH, MPI. */
NSH_API int nsh_sequential_end(nsh_comm *comm);

#ifdef __cplusplus
}
#endif

#endif
