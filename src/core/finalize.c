/* SPDX-License-Identifier: BSD-3-Clause */
/* finalize.c -- what has to happen before MPI's own MPI_Finalize begins.
 *
 * A thread must not be inside MPI when MPI_Finalize begins. MPICH (4.0 to 4.2 at least) switches
 * its locks off then, before any callback of MPI_COMM_SELF: the thread never releases the lock that
 * it holds, other threads wait for it permanently, and MPICH aborts because a locked mutex is
 * destroyed. A callback is too late to stop helper threads, so this library defines MPI_Finalize,
 * as the MPI standard allows (chapter "Profiling Interface").
 *
 * Invariant: the next definition of MPI_Finalize is called, so that a tool that comes after this
 * library sees the call. If a tool before this library calls PMPI_Finalize, at_finalize in
 * comm_end.c still stops the helpers: then only one that is inside MPI at that moment is too
 * late. */
#define _GNU_SOURCE
#include "core/finalize.h"

#include <dlfcn.h>
#include <string.h>

#include <mpi.h>

#include <nodeshare/error.h>

#include "base/fork.h"
#include "core/helper.h"

atomic_bool nsh__finalizing;

NSH_API int MPI_Finalize(void)
{
    void *symbol = dlsym(RTLD_NEXT, "MPI_Finalize");
    int (*next)(void) = PMPI_Finalize;

    atomic_store(&nsh__finalizing, true);
    if (!nsh__mpi_inherited)
        nsh__helpers_stop();
    if (symbol != NULL)
        memcpy(&next, &symbol, sizeof next); /* ISO C has no conversion to a pointer to a
                                                function */
    return next();
}
