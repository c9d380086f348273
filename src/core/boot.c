/* SPDX-License-Identifier: BSD-3-Clause */
/* boot.c -- how ranks meet before the gates of their communicator exist, and outside them.
 *
 * Invariant: a rank that has failed takes part in every step, and all ranks get one code. */
#define _GNU_SOURCE
#include "core/boot.h"

#include <string.h>

int nsh__boot_meet(MPI_Comm mpi)
{
    nsh__wait wait = {.comm = mpi, .control_tag = -1, .watch_tag = -1, .yield = true};
    MPI_Request request;
    int rc = MPI_Ibarrier(mpi, &request);

    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Ibarrier", rc);
    return nsh__wait_requests(&wait, 1, &request);
}

int nsh__boot_agree(nsh_comm *comm, int code)
{
    struct {
        int code, rank;
    } mine = {code, comm->rank}, worst = {code, comm->rank};
    char text[NSH__TEXT] = "";

    if (comm->mpi == MPI_COMM_NULL)
        return code;
    if (MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, comm->mpi) != MPI_SUCCESS)
        return nsh__fail(NSH_ERR_MPI, "nsh_comm_create: MPI_Allreduce on the duplicate failed");
    if (worst.code == NSH_SUCCESS)
        return NSH_SUCCESS;
    if (worst.rank == comm->rank)
        memcpy(text, nsh_error_detail(), strnlen(nsh_error_detail(), sizeof text - 1));
    MPI_Bcast(text, sizeof text, MPI_CHAR, worst.rank, comm->mpi);
    if (worst.rank != comm->rank)
        nsh__fail_from(worst.code, worst.rank, text);
    return worst.code;
}

int64_t nsh__boot_least(nsh_comm *comm, int64_t value)
{
    int64_t least = value;

    if (comm->mpi != MPI_COMM_NULL)
        MPI_Allreduce(&value, &least, 1, MPI_INT64_T, MPI_MIN, comm->mpi);
    return least;
}
