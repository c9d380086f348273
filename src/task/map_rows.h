/* SPDX-License-Identifier: BSD-3-Clause */
/* map_rows.h -- rows of which each was written on one node -> the same rows on every node. */
#ifndef NSH_TASK_MAP_ROWS_H
#define NSH_TASK_MAP_ROWS_H

#include "core/comm.h"
#include "core/stream.h"

/* What a leader needs to name its node's rows; all zero: none. */
typedef struct nsh__owned {
    struct nsh_piece *pieces;
    int64_t *where; /* offset and count of each */
} nsh__owned;

/* [local] Memory for so many pieces of rows at most, with a leader among several nodes; nothing
 * elsewhere. NSH_ERR_NOMEM. */
int nsh__owned_create(const nsh_comm *comm, int64_t pieces, nsh__owned *out);
void nsh__owned_destroy(nsh__owned *owned);

/* [collective] One node after another sends its rows. rows: one dimension, an element a row;
 * begun[b]: rows [b * block, (b + 1) * block) are this node's. All have written theirs; a vote
 * follows. Returns NSH_SUCCESS or what has broken the communicator. */
int nsh__owned_spread(nsh_comm *comm, nsh__call call, const nsh__target *rows,
                      const unsigned char begun[], int64_t blocks, int64_t block,
                      const nsh__owned *owned);

#endif
