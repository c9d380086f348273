/* SPDX-License-Identifier: BSD-3-Clause */
/* finalize.h -- has MPI_Finalize begun? */
#ifndef NSH_CORE_FINALIZE_H
#define NSH_CORE_FINALIZE_H

#include <stdatomic.h>
#include <stdbool.h>

/* Written once, by the thread that calls MPI_Finalize, before MPI calls any callback. Stays false
 * if a tool calls PMPI_Finalize. */
extern atomic_bool nsh__finalizing;

#endif
