/* SPDX-License-Identifier: BSD-3-Clause */
/* blocks.c -- the allocator that every rank runs identically.
 *
 * Invariant: each region is a list of extents without gaps, live or free, in which no two
 * neighbours are free. Every free extent is in the tree BY_PLACE, and also in BY_SIZE if a large
 * block fits into it.
 *
 * Placement, for a heap of few huge and very many tiny arrays: small blocks go to the first free
 * place from the low end, large ones to the high end of the smallest extent that holds them. So the
 * tiny ones gather at the bottom and the huge ones at the top: they meet in the middle of one free
 * extent, and a tiny array that lives long seldom lies between two freed huge ones. Address-ordered
 * first fit and best fit lose least to fragmentation in practice (Johnstone and Wilson, "The memory
 * fragmentation problem: solved?", ISMM 1998).
 *
 * TLSF, a two-level segregated fit (Masmano et al., ECRTS 2004), is faster, but its bins depend on
 * the order of past frees, and the state must follow from the live blocks alone. */
#include "base/blocks.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdlib.h>

enum { BY_PLACE, BY_SIZE, TREES };
enum { LOWER, HIGHER };
enum { CHUNK_RECORDS = 512 };

struct nsh__block {
    int64_t offset, bytes;
    int region;
    uint32_t rank; /* priority: in the trees a parent's is at least its children's */
    nsh__block *child[TREES][2];
    int64_t most[2]; /* bytes of the largest extent below each child of BY_PLACE, 0: none; kept here
                      * because a walk down one side should not wait for the other's memory */
    nsh__block *prev, *next; /* neighbours in the region; next also links unused records */
    bool live;
};

typedef struct chunk {
    struct chunk *next;
    nsh__block record[CHUNK_RECORDS];
} chunk;

struct nsh__blocks {
    nsh__block *root[TREES];
    nsh__block *unused;
    int64_t unused_count;
    chunk *chunks;
    int regions;
    int64_t live_count, live_bytes;
    uint64_t history;
};

/* The finalizer of splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The history is a sum of these. It is a sum because the order of allocs and frees must not matter
 * and a free must subtract what the alloc has added. A free extent is hashed only as a whole
 * region. */
static uint64_t extent_hash(const nsh__block *e)
{
    uint64_t place = mix(mix((uint64_t)e->region + 1) + (uint64_t)e->offset);

    return mix(place + (uint64_t)e->bytes + (e->live ? 1 : 0));
}

static int64_t end_of(const nsh__block *e)
{
    return e->offset + e->bytes;
}

/* The first multiple of align not below offset; unsigned, because it may exceed INT64_MAX. */
static uint64_t align_up(int64_t offset, int64_t align)
{
    return ((uint64_t)offset + (uint64_t)align - 1) & ~((uint64_t)align - 1);
}

static bool can_hold(const nsh__block *e, int64_t bytes, int64_t align)
{
    return bytes <= e->bytes && align_up(e->offset, align) <= (uint64_t)(end_of(e) - bytes);
}

/* The largest block that fits at a page boundary. Large blocks are compared with this, so that the
 * alignment needs no search. */
static int64_t page_capacity(const nsh__block *e)
{
    uint64_t first = align_up(e->offset, NSH__BLOCKS_PAGE);

    return first >= (uint64_t)end_of(e) ? 0 : end_of(e) - (int64_t)first;
}

/* ---- records: records_reserve may fail, so it comes before any change; record_new cannot fail
 * after it ---- */

static bool records_reserve(nsh__blocks *blocks, int64_t n)
{
    chunk *more;

    if (blocks->unused_count >= n)
        return true;
    /* One chunk is enough for every n of the callers. */
    more = malloc(sizeof(*more));
    if (more == NULL)
        return false;
    more->next = blocks->chunks;
    blocks->chunks = more;
    for (int i = CHUNK_RECORDS - 1; i >= 0; i--) {
        more->record[i].next = blocks->unused;
        blocks->unused = &more->record[i];
    }
    blocks->unused_count += CHUNK_RECORDS;
    return true;
}

static nsh__block *record_new(nsh__blocks *blocks, int region, int64_t offset, int64_t bytes)
{
    nsh__block *e = blocks->unused;

    blocks->unused = e->next;
    blocks->unused_count--;
    *e = (nsh__block){.offset = offset, .bytes = bytes, .region = region};
    return e;
}

static void record_drop(nsh__blocks *blocks, nsh__block *e)
{
    e->next = blocks->unused;
    blocks->unused = e;
    blocks->unused_count++;
}

/* ---- free extents: two treaps; ranks are hashes of the places, so all processes have equal trees
 * ---- */

static bool before(int tree, const nsh__block *a, const nsh__block *b)
{
    if (tree == BY_SIZE && page_capacity(a) != page_capacity(b))
        return page_capacity(a) < page_capacity(b);
    if (a->region != b->region)
        return a->region < b->region;
    return a->offset < b->offset;
}

static int64_t most_within(const nsh__block *root)
{
    int64_t most;

    if (root == NULL)
        return 0;
    most = root->most[LOWER] > root->most[HIGHER] ? root->most[LOWER] : root->most[HIGHER];
    return root->bytes > most ? root->bytes : most;
}

static void set_child(int tree, nsh__block *e, int side, nsh__block *child)
{
    e->child[tree][side] = child;
    if (tree == BY_PLACE)
        e->most[side] = most_within(child);
}

/* Split a tree into the extents before `at` and the others. */
static void tree_split(int tree, nsh__block *root, const nsh__block *at, nsh__block **lower,
                       nsh__block **higher)
{
    nsh__block *part;

    if (root == NULL) {
        *lower = *higher = NULL;
    } else if (before(tree, root, at)) {
        tree_split(tree, root->child[tree][HIGHER], at, &part, higher);
        set_child(tree, root, HIGHER, part);
        *lower = root;
    } else {
        tree_split(tree, root->child[tree][LOWER], at, lower, &part);
        set_child(tree, root, LOWER, part);
        *higher = root;
    }
}

/* Join two trees; every extent of lower is before every extent of higher. */
static nsh__block *tree_join(int tree, nsh__block *lower, nsh__block *higher)
{
    if (lower == NULL || higher == NULL)
        return lower == NULL ? higher : lower;
    if (lower->rank >= higher->rank) {
        set_child(tree, lower, HIGHER, tree_join(tree, lower->child[tree][HIGHER], higher));
        return lower;
    }
    set_child(tree, higher, LOWER, tree_join(tree, lower, higher->child[tree][LOWER]));
    return higher;
}

static nsh__block *tree_insert(int tree, nsh__block *root, nsh__block *e)
{
    nsh__block *lower, *higher;
    int side;

    if (root == NULL || e->rank > root->rank) {
        tree_split(tree, root, e, &lower, &higher);
        set_child(tree, e, LOWER, lower);
        set_child(tree, e, HIGHER, higher);
        return e;
    }
    side = before(tree, e, root) ? LOWER : HIGHER;
    set_child(tree, root, side, tree_insert(tree, root->child[tree][side], e));
    return root;
}

static nsh__block *tree_remove(int tree, nsh__block *root, nsh__block *e)
{
    int side;

    if (root == e)
        return tree_join(tree, e->child[tree][LOWER], e->child[tree][HIGHER]);
    side = before(tree, e, root) ? LOWER : HIGHER;
    set_child(tree, root, side, tree_remove(tree, root->child[tree][side], e));
    return root;
}

/* An extent's bounds decide whether it is in BY_SIZE, so they must not change between insert and
 * remove. */
static void free_insert(nsh__blocks *blocks, nsh__block *e)
{
    e->rank = (uint32_t)mix(mix((uint64_t)e->region + 1) + (uint64_t)e->offset);
    blocks->root[BY_PLACE] = tree_insert(BY_PLACE, blocks->root[BY_PLACE], e);
    if (page_capacity(e) >= NSH__BLOCKS_LARGE)
        blocks->root[BY_SIZE] = tree_insert(BY_SIZE, blocks->root[BY_SIZE], e);
}

static void free_remove(nsh__blocks *blocks, nsh__block *e)
{
    blocks->root[BY_PLACE] = tree_remove(BY_PLACE, blocks->root[BY_PLACE], e);
    if (page_capacity(e) >= NSH__BLOCKS_LARGE)
        blocks->root[BY_SIZE] = tree_remove(BY_SIZE, blocks->root[BY_SIZE], e);
}

/* O(log n) for the alignment of a unit; for a greater one the search may visit extents that are
 * large enough but badly aligned. */
static nsh__block *first_fit(nsh__block *root, int64_t bytes, int64_t align)
{
    while (root != NULL) {
        nsh__block *e = NULL;

        if (root->most[LOWER] >= bytes)
            e = first_fit(root->child[BY_PLACE][LOWER], bytes, align);
        if (e != NULL)
            return e;
        if (can_hold(root, bytes, align))
            return root;
        root = root->most[HIGHER] >= bytes ? root->child[BY_PLACE][HIGHER] : NULL;
    }
    return NULL;
}

/* The smallest extent that fits; of equally small ones that at the lowest place. */
static nsh__block *best_fit(nsh__block *root, int64_t bytes)
{
    nsh__block *best = NULL;

    while (root != NULL) {
        bool fits = page_capacity(root) >= bytes;

        if (fits)
            best = root;
        root = root->child[BY_SIZE][fits ? LOWER : HIGHER];
    }
    return best;
}

/* ---- regions: lists of extents ---- */

static void link_after(nsh__block *e, nsh__block *next)
{
    next->prev = e;
    next->next = e->next;
    if (e->next != NULL)
        e->next->prev = next;
    e->next = next;
}

/* Assert that an extent and its upper neighbour have no gap between them and are not both free. */
static void check_neighbours(const nsh__block *e)
{
    const nsh__block *upper = e != NULL ? e->next : NULL;

    nsh__assert(upper == NULL || upper->offset == end_of(e),
                "region %d: an extent ends at %" PRId64 ", the next begins at %" PRId64, e->region,
                end_of(e), upper->offset);
    nsh__assert(upper == NULL || e->live || upper->live,
                "region %d: free extents at %" PRId64 " and %" PRId64, e->region, e->offset,
                upper->offset);
}

/* Cut e at offset, which lies strictly inside, and return the upper part. */
static nsh__block *extent_cut(nsh__blocks *blocks, nsh__block *e, int64_t offset)
{
    nsh__block *upper;

    nsh__assert(offset > e->offset && offset < end_of(e) && offset % NSH__BLOCKS_UNIT == 0,
                "cut at %" PRId64 " of [%" PRId64 ", %" PRId64 ")", offset, e->offset, end_of(e));
    upper = record_new(blocks, e->region, offset, end_of(e) - offset);
    e->bytes -= upper->bytes;
    link_after(e, upper);
    return upper;
}

/* Merge the upper neighbour into e. */
static void extent_absorb_next(nsh__blocks *blocks, nsh__block *e)
{
    nsh__block *upper = e->next;

    e->bytes += upper->bytes;
    e->next = upper->next;
    if (e->next != NULL)
        e->next->prev = e;
    record_drop(blocks, upper);
}

/* ---- public functions ---- */

nsh__blocks *nsh__blocks_create(void)
{
    return calloc(1, sizeof(nsh__blocks));
}

bool nsh__blocks_add_region(nsh__blocks *blocks, int64_t bytes)
{
    nsh__block *e;

    if (!records_reserve(blocks, 1))
        return false;
    e = record_new(blocks, blocks->regions++, 0, bytes - bytes % NSH__BLOCKS_UNIT);
    blocks->history += extent_hash(e);
    free_insert(blocks, e);
    return true;
}

void nsh__blocks_drop_region(nsh__blocks *blocks)
{
    nsh__block *e = blocks->root[BY_PLACE];

    /* The last region is free as a whole, so it is one extent, with the highest place. */
    while (e->child[BY_PLACE][HIGHER] != NULL)
        e = e->child[BY_PLACE][HIGHER];
    free_remove(blocks, e);
    blocks->history -= extent_hash(e);
    blocks->regions--;
    record_drop(blocks, e);
}

nsh__blocks_result nsh__blocks_alloc(nsh__blocks *blocks, int64_t bytes, int64_t align,
                                     nsh__block **out)
{
    nsh__block *e = NULL;
    int64_t offset;

    *out = NULL;
    if (bytes > INT64_MAX - (NSH__BLOCKS_UNIT - 1))
        return NSH__BLOCKS_FULL;
    bytes = (bytes + NSH__BLOCKS_UNIT - 1) / NSH__BLOCKS_UNIT * NSH__BLOCKS_UNIT;

    if (bytes >= NSH__BLOCKS_LARGE && align <= NSH__BLOCKS_PAGE)
        e = best_fit(blocks->root[BY_SIZE], bytes);
    if (e != NULL) {
        offset = (end_of(e) - bytes) / NSH__BLOCKS_PAGE * NSH__BLOCKS_PAGE;
    } else {
        e = first_fit(blocks->root[BY_PLACE], bytes, align);
        if (e == NULL)
            return NSH__BLOCKS_FULL;
        offset = (int64_t)align_up(e->offset, align);
    }
    /* Nothing has changed yet, and nothing can fail after this: the two cuts have their records. */
    if (!records_reserve(blocks, 2))
        return NSH__BLOCKS_NOMEM;

    free_remove(blocks, e);
    if (offset > e->offset) {
        nsh__block *gap = e;

        e = extent_cut(blocks, gap, offset);
        free_insert(blocks, gap);
    }
    if (bytes < e->bytes)
        free_insert(blocks, extent_cut(blocks, e, offset + bytes));
    e->live = true;
    blocks->live_count++;
    blocks->live_bytes += bytes;
    blocks->history += extent_hash(e);
    check_neighbours(e);
    check_neighbours(e->prev);
    *out = e;
    return NSH__BLOCKS_OK;
}

void nsh__blocks_free(nsh__blocks *blocks, nsh__block *block)
{
    nsh__block *e = block;

    nsh__assert(e->live && blocks->live_count > 0,
                "free of [%" PRId64 ", %" PRId64 ") in region %d, %" PRId64 " live", e->offset,
                end_of(e), e->region, blocks->live_count);
    blocks->live_count--;
    blocks->live_bytes -= e->bytes;
    blocks->history -= extent_hash(e);
    e->live = false;
    /* Remove extents from the trees before their bounds change: the trees are searched by
     * bounds. */
    if (e->next != NULL && !e->next->live) {
        free_remove(blocks, e->next);
        extent_absorb_next(blocks, e);
    }
    if (e->prev != NULL && !e->prev->live) {
        e = e->prev;
        free_remove(blocks, e);
        extent_absorb_next(blocks, e);
    }
    free_insert(blocks, e);
    check_neighbours(e);
    check_neighbours(e->prev);
}

int nsh__block_region(const nsh__block *block)
{
    return block->region;
}

int64_t nsh__block_offset(const nsh__block *block)
{
    return block->offset;
}

int64_t nsh__block_bytes(const nsh__block *block)
{
    return block->bytes;
}

int64_t nsh__blocks_live_count(const nsh__blocks *blocks)
{
    return blocks->live_count;
}

int64_t nsh__blocks_live_bytes(const nsh__blocks *blocks)
{
    return blocks->live_bytes;
}

int64_t nsh__blocks_largest_free(const nsh__blocks *blocks)
{
    return most_within(blocks->root[BY_PLACE]);
}

uint64_t nsh__blocks_history(const nsh__blocks *blocks)
{
    return blocks->history;
}

void nsh__blocks_destroy(nsh__blocks *blocks)
{
    if (blocks == NULL)
        return;
    while (blocks->chunks != NULL) {
        chunk *gone = blocks->chunks;

        blocks->chunks = gone->next;
        free(gone);
    }
    free(blocks);
}
