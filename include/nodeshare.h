/* SPDX-License-Identifier: BSD-3-Clause */
/* nodeshare.h -- MPI data kept once per node: everything in one include.
 *
 * What is where, in the order in which a user meets it:
 *   nodeshare/comm.h       a communicator and its node topology; every other object is made on one
 *   nodeshare/array.h      arrays kept once per node, read with plain loads, changed by set
 *   nodeshare/mutex.h      ranks take turns: a mutex, first come, first served
 *   nodeshare/counter.h    a counter
 *   nodeshare/semaphore.h  a semaphore: a limited number of permits
 *   nodeshare/sequential.h a section that one rank after another runs
 *   nodeshare/file.h       arrays to and from HDF5 files
 *   nodeshare/batch.h      tasks for workers, with results, recorded in a journal
 *   nodeshare/map.h        a function over indices or over the rows of an array, on all workers
 *   nodeshare/datatype.h   MPI datatypes by name
 *   nodeshare/types.h      what several headers use: a piece of an array, limits, "any"
 *   nodeshare/error.h      status codes, their names, and the detail of the last failure
 *
 * Conventions of every function of nodeshare, unless its comment says otherwise:
 *   Result        NSH_SUCCESS (0) or a positive nsh_status; nsh_strerror() gives its text,
 *                 nsh_error_detail() gives call, values and rank.
 *   Outputs       come last and are written only on success.
 *   [collective]  called by every rank of the communicator in the same order; may synchronise;
 *                 returns the SAME code on every rank (the largest, when ranks fail differently).
 *                 On any code but NSH_ERR_MPI nothing has changed. NSH_ERR_MPI may differ between
 *                 ranks and then the communicator can only be freed.
 *   [local]       returns without waiting for another rank.
 *   [non-local]   called by one rank; may wait for others, and makes MPI progress while it waits.
 *   Handles       are opaque; _free() takes the handle's address, sets it to NULL, accepts NULL.
 *                 _free() of an array is [local]; that of a mutex, semaphore, counter or batch is
 *                 [collective], and _abandon() is its [local] form, for garbage collectors: on any
 *                 rank, in any order. _free() of NULL is always [local]: where _free() is
 *                 [collective], all ranks pass a handle or all pass NULL, or those with a handle
 *                 wait.
 *   Structs       of options, and those that a call fills, begin with their size, which a macro
 *                 sets (NSH_MUTEX_OPTIONS_INIT, NSH_MUTEX_STATS_INIT): a program may run with a
 *                 later version, whose structs have more fields at the end, and a call fills as
 *                 many as the program has. A size below that of 0.2.0, 0 too, is NSH_ERR_ARG. The
 *                 options of a rank that passes such a size count as the defaults: where only some
 *                 ranks do so in a collective call, and the options of the others are not the
 *                 defaults, all ranks may get NSH_ERR_MISMATCH instead. Where a struct is larger
 *                 than the library knows, the rest must be zero, or the call is
 *                 NSH_ERR_UNSUPPORTED. A NULL pointer to options means all defaults.
 *   Threads       one thread at a time per nsh_comm and what was made on it; several communicators
 *                 may be used by several threads under MPI_THREAD_MULTIPLE.
 *   Fork          a forked child that does not exec may read what its parent has: getters, _find,
 *                 _data, _at, _get, _print, _snprintf, _hold still work, and see what the parent's
 *                 ranks change. Free, close and abandon only release the child's handle: the parent
 *                 keeps everything. Every other call is NSH_ERR_STATE. What the child makes itself,
 *                 on a serial communicator, is its own. system, popen and exec work as usual. A
 *                 child that has a file open for a change ends by _exit or exec: at exit HDF5
 *                 writes what it has cached.
 *   Side effects  no exit, no abort, no signal handler, no output (unless NSH_LOG=1; the
 *                 progress of a batch where stderr is a terminal; and NSH_OR_ABORT).
 */
#ifndef NODESHARE_H
#define NODESHARE_H

/* The version of this header; nsh_version gives that of the library. */
#define NSH_VERSION_MAJOR  0
#define NSH_VERSION_MINOR  2
#define NSH_VERSION_PATCH  0
#define NSH_VERSION_STRING "0.2.0"
#define NSH_VERSION        (NSH_VERSION_MAJOR * 10000 + NSH_VERSION_MINOR * 100 + NSH_VERSION_PATCH)

#include <nodeshare/error.h>
#include <nodeshare/datatype.h>
#include <nodeshare/types.h>
#include <nodeshare/comm.h>
#include <nodeshare/array.h>
#include <nodeshare/mutex.h>
#include <nodeshare/counter.h>
#include <nodeshare/semaphore.h>
#include <nodeshare/sequential.h>
#include <nodeshare/file.h>
#include <nodeshare/map.h>
#include <nodeshare/batch.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [local] The version of the library that is linked, in the form of NSH_VERSION: major * 10000 +
 * minor * 100 + patch. Works before MPI_Init. */
NSH_API int nsh_version(void);

#ifdef __cplusplus
}
#endif

#endif
