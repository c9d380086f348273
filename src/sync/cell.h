/* SPDX-License-Identifier: BSD-3-Clause */
/* cell.h -- one 64-bit word of an object: a C11 atomic on a communicator of one node, otherwise a
 * word at a home. For objects that need only one. Every operation is [local] on one node, otherwise
 * [non-local, by any rank]. */
#ifndef NSH_SYNC_CELL_H
#define NSH_SYNC_CELL_H

#include "core/comm.h"
#include "core/rma.h"

typedef struct nsh__cell {
    nsh_comm *comm;
    _Atomic uint64_t *local; /* NULL: remote */
    const nsh__words *remote;
    int64_t index; /* of the remote word */
} nsh__cell;

/* What an object with one cell requests from nsh__shared_create. */
static inline int64_t nsh__cell_bytes(const nsh_comm *comm)
{
    return comm->node_count > 1 ? 0 : (int64_t)sizeof(uint64_t);
}

static inline int64_t nsh__cell_words(const nsh_comm *comm)
{
    return comm->node_count > 1 ? 1 : 0;
}

static inline int nsh__cell_add(const nsh__cell *cell, uint64_t value, uint64_t *old)
{
    if (cell->local == NULL)
        return nsh__word_add(cell->comm, cell->remote, cell->index, value, old);
    *old = atomic_fetch_add(cell->local, value);
    return NSH_SUCCESS;
}

static inline int nsh__cell_cas(const nsh__cell *cell, uint64_t expected, uint64_t value,
                                uint64_t *old)
{
    if (cell->local == NULL)
        return nsh__word_cas(cell->comm, cell->remote, cell->index, expected, value, old);
    *old = expected;
    atomic_compare_exchange_strong(cell->local, old, value);
    return NSH_SUCCESS;
}

static inline int nsh__cell_read(const nsh__cell *cell, uint64_t *value)
{
    if (cell->local == NULL)
        return nsh__word_read(cell->comm, cell->remote, cell->index, value);
    *value = atomic_load(cell->local);
    return NSH_SUCCESS;
}

static inline int nsh__cell_clear(const nsh__cell *cell)
{
    uint64_t old;

    if (cell->local == NULL)
        return nsh__word_swap(cell->comm, cell->remote, cell->index, 0, &old);
    atomic_store(cell->local, 0);
    return NSH_SUCCESS;
}

#endif
