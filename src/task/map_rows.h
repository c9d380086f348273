/* SPDX-License-Identifier: BSD-3-Clause */
/* map_rows.h -- send rows, each of which one node has written, to every node. */
#ifndef NSH_TASK_MAP_ROWS_H
#define NSH_TASK_MAP_ROWS_H

#include "core/comm.h"
#include "core/stream.h"

/* The pieces in which a leader sends its node's rows; all zero: none. */
typedef struct nsh__map_rows {
    struct nsh_piece *pieces;
    int64_t *where; /* offset and count of each */
} nsh__map_rows;

/* [local] Allocate memory for at most this many pieces, on a leader among several nodes; nothing
 * elsewhere. NSH_ERR_NOMEM. */
int nsh__map_rows_create(const nsh_comm *comm, int64_t pieces, nsh__map_rows *row_pieces);
void nsh__map_rows_destroy(nsh__map_rows *row_pieces);

/* [collective] One node after another sends its rows. rows: one dimension, an element is a row;
 * own_blocks[b]: this node has written rows [b * block, (b + 1) * block). Called after an agreement
 * that all have written their rows; another agreement follows. Returns NSH_SUCCESS or what has
 * broken the communicator. */
int nsh__map_rows_spread(nsh_comm *comm, nsh__call call, const nsh__destination *rows,
                         const unsigned char own_blocks[], int64_t blocks, int64_t block,
                         const nsh__map_rows *row_pieces);

#endif
