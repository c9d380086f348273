/* SPDX-License-Identifier: BSD-3-Clause */
/* map_rows.h -- rows of which each was written on one node -> the same rows on every node. */
#ifndef NSH_TASK_MAP_ROWS_H
#define NSH_TASK_MAP_ROWS_H

#include "core/comm.h"
#include "core/stream.h"

/* What a leader needs to name its node's rows; all zero: none. */
typedef struct nsh__map_rows {
    struct nsh_piece *pieces;
    int64_t *where; /* offset and count of each */
} nsh__map_rows;

/* [local] Memory for so many pieces of rows at most, with a leader among several nodes; nothing
 * elsewhere. NSH_ERR_NOMEM. */
int nsh__map_rows_create(const nsh_comm *comm, int64_t pieces, nsh__map_rows *out);
void nsh__map_rows_destroy(nsh__map_rows *owned);

/* [collective] One node after another sends its rows. rows: one dimension, an element a row;
 * begun[b]: rows [b * block, (b + 1) * block) are this node's. All have written theirs; an
 * agreement follows. Returns NSH_SUCCESS or what has broken the communicator. */
int nsh__map_rows_spread(nsh_comm *comm, nsh__call call, const nsh__destination *rows,
                         const unsigned char begun[], int64_t blocks, int64_t block,
                         const nsh__map_rows *owned);

#endif
