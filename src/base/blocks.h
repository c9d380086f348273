/* SPDX-License-Identifier: BSD-3-Clause */
/* blocks.h -- the allocator that every rank runs identically, over regions of address space.
 *
 * Invariant: the free extents, and with them every later answer, are a function of the regions and
 * the set of live blocks alone. Neither addresses of this process nor the order of past calls
 * matter.
 *
 * So ranks that make the same successful allocs and frees get the same offsets, an alloc followed
 * by a free of the same block leaves the state unchanged, and equal histories mean equal states.
 * Metadata is in private memory; a region itself is never accessed. Everything here is [local]. */
#ifndef NSH_BASE_BLOCKS_H
#define NSH_BASE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NSH__BLOCKS_UNIT = 64,       /* sizes are rounded up to multiples of this, offsets are multiples
                                    of it */
    NSH__BLOCKS_PAGE = 4096,     /* alignment of large blocks */
    NSH__BLOCKS_LARGE = 1 << 20, /* a block of at least this size is large, and placed apart from
                                    small ones */
};

typedef struct nsh__blocks nsh__blocks;
typedef struct nsh__block nsh__block; /* an extent of a region, live or free */

typedef enum { NSH__BLOCKS_OK, NSH__BLOCKS_FULL, NSH__BLOCKS_NOMEM } nsh__blocks_result;

nsh__blocks *nsh__blocks_create(void); /* NULL: no memory */

/* Accepts NULL; frees live blocks too. */
void nsh__blocks_destroy(nsh__blocks *blocks);

/* Add the next region (indices count from 0), page-aligned, bytes rounded down to whole units.
 * False: no memory, and nothing has changed. */
bool nsh__blocks_add_region(nsh__blocks *blocks, int64_t bytes);

/* Undo the last nsh__blocks_add_region, on ranks that learn that it has failed on another rank. The
 * region must not contain a live block. */
void nsh__blocks_drop_region(nsh__blocks *blocks);

/* Allocate bytes > 0 at a multiple of align (a power of two) from the start of a region. FULL: no
 * free extent is large enough, with the same answer on every rank; NOMEM: no memory for metadata,
 * on this rank. In both cases nothing has changed and *out is NULL.
 *
 * Blocks share pages if their sizes are not whole pages: the last page of a large block may also
 * contain small ones. */
nsh__blocks_result nsh__blocks_alloc(nsh__blocks *blocks, int64_t bytes, int64_t align,
                                     nsh__block **out);

/* Cannot fail. */
void nsh__blocks_free(nsh__blocks *blocks, nsh__block *block);

int nsh__block_region(const nsh__block *block);
int64_t nsh__block_offset(const nsh__block *block); /* from the start of its region */
int64_t nsh__block_bytes(const nsh__block *block);  /* rounded up */

int64_t nsh__blocks_live_count(const nsh__blocks *blocks);
int64_t nsh__blocks_live_bytes(const nsh__blocks *blocks);
int64_t nsh__blocks_largest_free(const nsh__blocks *blocks);

/* A hash of the regions and of {region, offset, bytes} of all live blocks, independent of their
 * order; 0 at first. */
uint64_t nsh__blocks_history(const nsh__blocks *blocks);

#endif
