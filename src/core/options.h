/* SPDX-License-Identifier: BSD-3-Clause */
/* options.h -- the settings of a communicator on this rank, from its options and the
 * environment. */
#ifndef NSH_CORE_OPTIONS_H
#define NSH_CORE_OPTIONS_H

#include <nodeshare/comm.h>

#include <stdbool.h>

typedef struct nsh__options {
    MPI_Comm node_comm;
    int ranks_per_node;
    nsh_wait_mode wait;
    nsh_progress_mode progress;
    int64_t heap_bytes;
    bool words_by_message; /* NSH_RMA: backend of rma.c */
    bool check;            /* NSH_CHECK=1 */
} nsh__options;

/* [local] Options given in code override the environment; NULL: none given. NSH_ERR_ARG,
 * NSH_ERR_UNSUPPORTED (its size). */
int nsh__options_read(const nsh_comm_options *given, int rank, nsh__options *out);

#endif
