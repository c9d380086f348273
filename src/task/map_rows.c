/* SPDX-License-Identifier: BSD-3-Clause */
/* map_rows.c -- send rows, each of which one node has written, to every node.
 *
 * Invariant: there is one transfer for each node, and each is a collective call of its own, so that
 * no leader takes the message of one for that of another. */
#include "task/map_rows.h"

#include "base/fault.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/replicate.h"

#include <stdlib.h>

int nsh__map_rows_create(const nsh_comm *comm, int64_t pieces, nsh__map_rows *out)
{
    size_t most = (size_t)pieces + 1;

    *out = (nsh__map_rows){NULL, NULL};
    if (comm->node_count == 1 || !nsh__comm_leads(comm))
        return NSH_SUCCESS;
    if (!nsh__fault(map_alloc)) {
        out->pieces = calloc(most, sizeof *out->pieces);
        out->where = calloc(2 * most, sizeof *out->where);
    }
    if (out->pieces != NULL && out->where != NULL)
        return NSH_SUCCESS;
    nsh__map_rows_destroy(out);
    return nsh__fail(NSH_ERR_NOMEM, "no memory to name %lld pieces (rank %d)", (long long)pieces,
                     comm->rank);
}

void nsh__map_rows_destroy(nsh__map_rows *row_pieces)
{
    free(row_pieces->pieces);
    free(row_pieces->where);
    *row_pieces = (nsh__map_rows){NULL, NULL};
}

/* Describe this node's rows; adjacent blocks are one piece. */
static int find_pieces(const nsh__destination *rows, const unsigned char own_blocks[],
                       int64_t blocks, int64_t block, const nsh__map_rows *row_pieces)
{
    int n = 0;

    for (int64_t b = 0; b < blocks; b++) {
        int64_t *where = row_pieces->where + 2 * n, end;

        if (!own_blocks[b])
            continue;
        where[0] = b * block;
        while (b + 1 < blocks && own_blocks[b + 1])
            b++;
        end = b + 1 < blocks ? (b + 1) * block : rows->extent[0];
        where[1] = end - where[0];
        row_pieces->pieces[n++] = (nsh_piece){NULL, where, where + 1, NULL};
    }
    return n;
}

int nsh__map_rows_spread(nsh_comm *comm, nsh__call call, const nsh__destination *rows,
                         const unsigned char own_blocks[], int64_t blocks, int64_t block,
                         const nsh__map_rows *row_pieces)
{
    int rc = NSH_SUCCESS, n;
    nsh__remote_status remote;

    for (int node = 0; node < comm->node_count && comm->node_count > 1; node++) {
        rc = nsh__comm_enter(comm, call, (uint64_t)node);
        if (rc != NSH_SUCCESS)
            break;
        if (!nsh__comm_leads(comm))
            continue;
        if (node == comm->node_index) {
            n = find_pieces(rows, own_blocks, blocks, block, row_pieces);
            rc = nsh__replicate_send(comm, rows, n, row_pieces->pieces, true, NSH_SUCCESS);
        } else {
            rc = nsh__replicate_receive(comm, rows, comm->leader_of[node], false, &remote);
        }
        if (rc != NSH_SUCCESS)
            break;
    }
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(comm, rc);
}
