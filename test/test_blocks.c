/* SPDX-License-Identifier: BSD-3-Clause */
/* test_blocks.c -- the allocator against a model that knows only the list of live blocks.
 *
 * Invariant: the model works every answer out anew from that list by looking at each hole in turn;
 * it has no trees, no free list and no memory of former calls. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/blocks.h"
#include "draw.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LIVE = 400, MAX_REGIONS = 5, MANY = 100000 };

typedef struct place {
    int region;
    int64_t offset, bytes;
} place;

typedef struct model {
    int regions, live;
    int64_t region_bytes[MAX_REGIONS];
    place block[MAX_LIVE]; /* in the order of places */
} model;

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* The i-th hole of the regions; false when there are no more. */
static bool model_hole(const model *m, int *region, int *next, int64_t *from, place *hole)
{
    while (*region < m->regions) {
        bool more = *next < m->live && m->block[*next].region == *region;
        int64_t end = more ? m->block[*next].offset : m->region_bytes[*region];

        *hole = (place){*region, *from, end - *from};
        if (more) {
            *from = end + m->block[*next].bytes;
            ++*next;
        } else {
            *from = 0;
            ++*region;
        }
        if (hole->bytes > 0)
            return true;
    }
    return false;
}

/* Where a block must go: small ones to the first hole from below, large ones to the upper end of
 * the hole that has the least room for them at a page. */
static bool model_find(const model *m, int64_t bytes, int64_t align, place *found)
{
    bool large = bytes >= NSH__BLOCKS_LARGE && align <= NSH__BLOCKS_PAGE;
    int64_t from = 0, least = INT64_MAX;
    int region = 0, next = 0;
    place hole;

    while (large && model_hole(m, &region, &next, &from, &hole)) {
        int64_t end = hole.offset + hole.bytes;
        int64_t room = end - round_up(hole.offset, NSH__BLOCKS_PAGE);

        if (room >= bytes && room < least) {
            least = room;
            *found = (place){hole.region, (end - bytes) / 4096 * 4096, bytes};
        }
    }
    if (least < INT64_MAX)
        return true;
    for (region = next = 0, from = 0; model_hole(m, &region, &next, &from, &hole);) {
        int64_t first = round_up(hole.offset, align);

        if (first + bytes <= hole.offset + hole.bytes) {
            *found = (place){hole.region, first, bytes};
            return true;
        }
    }
    return false;
}

static int64_t model_largest(const model *m)
{
    int64_t from = 0, largest = 0;
    int region = 0, next = 0;
    place hole;

    while (model_hole(m, &region, &next, &from, &hole))
        largest = hole.bytes > largest ? hole.bytes : largest;
    return largest;
}

static int model_index(const model *m, const place *p)
{
    int i = 0;

    while (i < m->live && (m->block[i].region < p->region ||
                           (m->block[i].region == p->region && m->block[i].offset < p->offset)))
        i++;
    return i;
}

static void model_insert(model *m, const place *p)
{
    int i = model_index(m, p);

    memmove(&m->block[i + 1], &m->block[i], (size_t)(m->live - i) * sizeof(place));
    m->block[i] = *p;
    m->live++;
}

static void model_remove(model *m, const place *p)
{
    int i = model_index(m, p);

    m->live--;
    memmove(&m->block[i], &m->block[i + 1], (size_t)(m->live - i) * sizeof(place));
}

static place place_of(const nsh__block *block)
{
    return (place){nsh__block_region(block), nsh__block_offset(block), nsh__block_bytes(block)};
}

static void assert_same_place(place a, place b)
{
    assert_int_equal(a.region, b.region);
    assert_int_equal(a.offset, b.offset);
    assert_int_equal(a.bytes, b.bytes);
}

static void assert_agrees(const nsh__blocks *blocks, const model *m)
{
    int64_t bytes = 0;

    for (int i = 0; i < m->live; i++)
        bytes += m->block[i].bytes;
    assert_int_equal(nsh__blocks_live_count(blocks), m->live);
    assert_int_equal(nsh__blocks_live_bytes(blocks), bytes);
    assert_int_equal(nsh__blocks_largest_free(blocks), model_largest(m));
}

static int64_t draw_bytes(void)
{
    switch (draw(4)) {
    case 0:
        return NSH__BLOCKS_LARGE - 100 + draw(4 << 20);
    case 1:
        return 1 + draw(100000);
    default:
        return 1 + draw(500);
    }
}

static int64_t draw_align(int64_t bytes)
{
    if (draw(8) == 0)
        return (int64_t)1 << draw(22);
    return bytes >= NSH__BLOCKS_LARGE ? NSH__BLOCKS_PAGE : NSH__BLOCKS_UNIT;
}

static nsh__blocks *blocks_with(int64_t bytes)
{
    nsh__blocks *blocks = nsh__blocks_create();

    assert_non_null(blocks);
    assert_true(nsh__blocks_add_region(blocks, bytes));
    return blocks;
}

static nsh__block *take(nsh__blocks *blocks, int64_t bytes, int64_t align)
{
    nsh__block *block;

    assert_int_equal(nsh__blocks_alloc(blocks, bytes, align, &block), NSH__BLOCKS_OK);
    assert_non_null(block);
    return block;
}

/* Blocks and what the model expects of them; the twin has the same calls but for takes that are
 * undone at once. */
typedef struct trial {
    nsh__blocks *blocks, *twin;
    nsh__block *live[MAX_LIVE], *live_twin[MAX_LIVE];
    model m;
    int full; /* takes for which there was no place */
} trial;

static void add_region(trial *t)
{
    int64_t bytes = draw(20 << 20);

    t->m.region_bytes[t->m.regions++] = bytes / NSH__BLOCKS_UNIT * NSH__BLOCKS_UNIT;
    assert_true(nsh__blocks_add_region(t->blocks, bytes));
    assert_true(nsh__blocks_add_region(t->twin, bytes));
}

static void try_to_take(trial *t)
{
    int64_t bytes = draw_bytes(), align = draw_align(bytes);
    int64_t units = round_up(bytes, NSH__BLOCKS_UNIT);
    uint64_t history = nsh__blocks_history(t->blocks);
    nsh__block *block = (nsh__block *)&t->m;
    place expected;
    bool fits = model_find(&t->m, units, align < 64 ? 64 : align, &expected);

    assert_int_equal(nsh__blocks_alloc(t->blocks, bytes, align, &block),
                     fits ? NSH__BLOCKS_OK : NSH__BLOCKS_FULL);
    if (!fits) {
        t->full++;
        assert_null(block);
        assert_true(nsh__blocks_history(t->blocks) == history);
        return;
    }
    assert_same_place(place_of(block), expected);
    assert_true(nsh__blocks_history(t->blocks) != history);
    if (draw(4) == 0) {
        nsh__blocks_free(t->blocks, block);
        return;
    }
    t->live[t->m.live] = block;
    t->live_twin[t->m.live] = take(t->twin, bytes, align);
    model_insert(&t->m, &expected);
}

static void give_one(trial *t)
{
    int i = (int)draw(t->m.live);
    place p = place_of(t->live[i]);

    assert_same_place(p, place_of(t->live_twin[i]));
    nsh__blocks_free(t->blocks, t->live[i]);
    nsh__blocks_free(t->twin, t->live_twin[i]);
    model_remove(&t->m, &p);
    t->live[i] = t->live[t->m.live];
    t->live_twin[i] = t->live_twin[t->m.live];
}

/* Takes and gives in phases that fill and empty the regions, with regions added on the way. */
static void test_random_against_model(void **state)
{
    static trial t;

    (void)state;
    for (int round = 0; round < 30; round++) {
        seed = (uint64_t)round;
        t = (trial){.blocks = nsh__blocks_create(), .twin = nsh__blocks_create()};
        assert_true(t.blocks != NULL && t.twin != NULL);
        for (int step = 0; step < 2000; step++) {
            bool filling = step % 400 < 250;

            if (t.m.regions == 0 || (t.m.regions < MAX_REGIONS && draw(300) == 0))
                add_region(&t);
            else if (t.m.live < MAX_LIVE - 1 && draw(10) < (filling ? 7 : 3))
                try_to_take(&t);
            else if (t.m.live > 0)
                give_one(&t);
            assert_agrees(t.blocks, &t.m);
            assert_true(nsh__blocks_history(t.blocks) == nsh__blocks_history(t.twin));
        }
        assert_true(t.full > 0); /* or the round has not tried that */
        nsh__blocks_destroy(t.blocks);
        nsh__blocks_destroy(t.twin);
    }
}

static void shuffle(nsh__block *block[], int order[], int n)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)draw(i + 1), o = order[i];
        nsh__block *b = block[i];

        block[i] = block[j];
        block[j] = b;
        order[i] = order[j];
        order[j] = o;
    }
}

/* Live blocks stay apart, frees in any order leave one extent, and two allocators that freed the
 * same half in different orders go on alike. */
static void test_many_blocks(void **state)
{
    int64_t heap = (int64_t)1 << 44;
    nsh__blocks *a = blocks_with(heap), *b = blocks_with(heap);
    nsh__block **in_a = calloc(MANY, sizeof(*in_a)), **in_b = calloc(MANY, sizeof(*in_b));
    int *order_a = calloc(MANY, sizeof(int)), *order_b = calloc(MANY, sizeof(int));
    uint64_t empty = nsh__blocks_history(a);

    (void)state;
    assert_true(in_a != NULL && in_b != NULL && order_a != NULL && order_b != NULL);
    seed = 7;
    for (int i = 0; i < MANY; i++) {
        int64_t bytes = draw_bytes(), align = bytes >= NSH__BLOCKS_LARGE ? 4096 : 64;

        in_a[i] = take(a, bytes, align);
        in_b[i] = take(b, bytes, align);
        order_a[i] = order_b[i] = i;
        assert_int_equal(nsh__block_offset(in_a[i]) % align, 0);
    }
    assert_int_equal(nsh__blocks_live_count(a), MANY);

    shuffle(in_a, order_a, MANY / 2);
    shuffle(in_b, order_b, MANY / 2);
    for (int i = 0; i < MANY / 2; i++) {
        nsh__blocks_free(a, in_a[i]);
        nsh__blocks_free(b, in_b[i]);
    }
    assert_true(nsh__blocks_history(a) == nsh__blocks_history(b));
    for (int i = 0; i < MANY / 2; i++) {
        int64_t bytes = draw_bytes(), align = bytes >= NSH__BLOCKS_LARGE ? 4096 : 64;

        in_a[i] = take(a, bytes, align);
        in_b[i] = take(b, bytes, align);
        assert_same_place(place_of(in_a[i]), place_of(in_b[i]));
    }
    assert_true(nsh__blocks_history(a) == nsh__blocks_history(b));

    shuffle(in_a, order_a, MANY);
    for (int i = 0; i < MANY; i++)
        nsh__blocks_free(a, in_a[i]);
    assert_int_equal(nsh__blocks_live_count(a), 0);
    assert_int_equal(nsh__blocks_live_bytes(a), 0);
    assert_int_equal(nsh__blocks_largest_free(a), heap);
    assert_true(nsh__blocks_history(a) == empty);
    assert_int_equal(nsh__block_offset(take(a, heap, 4096)), 0);
    nsh__blocks_destroy(a);
    nsh__blocks_destroy(b); /* with all its blocks */
    free(in_a);
    free(in_b);
    free(order_a);
    free(order_b);
}

static int by_place(const void *a, const void *b)
{
    const place *p = a, *q = b;

    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

static void test_no_overlap(void **state)
{
    static place places[MANY];
    static nsh__block *block[MANY];
    int64_t heap = (int64_t)1 << 40;
    nsh__blocks *blocks = blocks_with(heap);
    int live = 0;

    (void)state;
    seed = 8;
    for (int i = 0; i < 2 * MANY; i++) {
        if (live < MANY && draw(3) > 0) {
            int64_t bytes = draw_bytes();

            block[live++] = take(blocks, bytes, draw_align(bytes));
        } else if (live > 0) {
            int gone = (int)draw(live);

            nsh__blocks_free(blocks, block[gone]);
            block[gone] = block[--live];
        }
    }
    for (int i = 0; i < live; i++)
        places[i] = place_of(block[i]);
    qsort(places, (size_t)live, sizeof(place), by_place);
    for (int i = 0; i < live; i++) {
        int64_t end = places[i].offset + places[i].bytes;

        assert_true(places[i].offset >= 0);
        assert_true(end <= (i + 1 < live ? places[i + 1].offset : heap));
    }
    nsh__blocks_destroy(blocks);
}

/* Small arrays that live long do not keep the places of large ones apart. */
static void test_small_and_large_apart(void **state)
{
    int64_t heap = (int64_t)1 << 30, large = 16 << 20;
    nsh__blocks *blocks = blocks_with(heap);
    nsh__block *block[32];

    (void)state;
    for (int i = 0; i < 32; i++) {
        block[i] = take(blocks, large, 4096);
        take(blocks, 1000, 64);
    }
    for (int i = 0; i < 32; i++)
        nsh__blocks_free(blocks, block[i]);
    assert_int_equal(nsh__blocks_largest_free(blocks), heap - 32 * 1024);

    /* of two holes a large block takes the tighter one */
    for (int i = 0; i < 4; i++)
        block[i] = take(blocks, i == 0 ? 3 * large : large, 4096);
    nsh__blocks_free(blocks, block[0]);
    nsh__blocks_free(blocks, block[2]);
    block[0] = take(blocks, large - 4096, 4096);
    assert_int_equal(nsh__block_offset(block[0]), heap - 5 * large + 4096);
    nsh__blocks_destroy(blocks);
}

static void test_regions(void **state)
{
    nsh__blocks *blocks = nsh__blocks_create();
    nsh__block *block;
    uint64_t history;

    (void)state;
    assert_non_null(blocks);
    assert_true(nsh__blocks_history(blocks) == 0);
    assert_int_equal(nsh__blocks_largest_free(blocks), 0);
    assert_int_equal(nsh__blocks_alloc(blocks, 1, 64, &block), NSH__BLOCKS_FULL);
    assert_true(nsh__blocks_add_region(blocks, 63)); /* holds nothing, but counts */
    assert_true(nsh__blocks_add_region(blocks, 200));
    assert_true(nsh__blocks_add_region(blocks, 4096));
    assert_int_equal(nsh__blocks_alloc(blocks, 4097, 64, &block), NSH__BLOCKS_FULL);

    block = take(blocks, 150, 64); /* 192 bytes, all of region 1 */
    assert_same_place(place_of(block), (place){1, 0, 192});
    assert_same_place(place_of(take(blocks, 64, 64)), (place){2, 0, 64});
    nsh__blocks_free(blocks, block); /* not merged with its neighbour in another region */
    assert_int_equal(nsh__blocks_largest_free(blocks), 4096 - 64);
    assert_int_equal(nsh__blocks_alloc(blocks, 4096, 64, &block), NSH__BLOCKS_FULL);

    history = nsh__blocks_history(blocks);
    assert_true(nsh__blocks_add_region(blocks, 1 << 24));
    assert_true(nsh__blocks_history(blocks) != history);
    assert_same_place(place_of(take(blocks, 8, 64)), (place){1, 0, 64});
    block = take(blocks, 1 << 20, 4096);
    assert_same_place(place_of(block), (place){3, 15 << 20, 1 << 20});
    nsh__blocks_free(blocks, block);
    history = nsh__blocks_history(blocks);
    assert_true(nsh__blocks_add_region(blocks, 1 << 25));
    nsh__blocks_drop_region(blocks);
    assert_true(nsh__blocks_history(blocks) == history);
    assert_int_equal(nsh__blocks_largest_free(blocks), 1 << 24);
    assert_same_place(place_of(take(blocks, 1 << 20, 4096)), (place){3, 15 << 20, 1 << 20});
    assert_true(nsh__blocks_add_region(blocks, 1 << 25)); /* the index is used again */
    assert_same_place(place_of(take(blocks, 1 << 25, 4096)), (place){4, 0, 1 << 25});
    nsh__blocks_destroy(blocks);
}

static void test_limits(void **state)
{
    nsh__blocks *blocks = blocks_with(INT64_MAX);
    int64_t all = INT64_MAX - 63;
    nsh__block *block;

    (void)state;
    assert_int_equal(nsh__blocks_largest_free(blocks), all);
    assert_int_equal(nsh__blocks_alloc(blocks, INT64_MAX, 64, &block), NSH__BLOCKS_FULL);
    assert_int_equal(nsh__blocks_alloc(blocks, all + 1, 64, &block), NSH__BLOCKS_FULL);
    block = take(blocks, all, 64);
    assert_same_place(place_of(block), (place){0, 0, all});
    assert_int_equal(nsh__blocks_largest_free(blocks), 0);
    assert_int_equal(nsh__blocks_alloc(blocks, 1, 1, &block), NSH__BLOCKS_FULL);
    nsh__blocks_destroy(blocks);

    blocks = blocks_with(INT64_MAX);
    take(blocks, 1, 1);
    block = take(blocks, 1, (int64_t)1 << 62);
    assert_int_equal(nsh__block_offset(block), (int64_t)1 << 62);
    assert_int_equal(nsh__blocks_alloc(blocks, 1, (int64_t)1 << 62, &block), NSH__BLOCKS_FULL);
    assert_null(block);
    nsh__blocks_destroy(blocks);
    nsh__blocks_destroy(NULL);
}

static void test_history_tells_states_apart(void **state)
{
    nsh__blocks *a = blocks_with(1 << 20), *b = blocks_with(1 << 20), *c = blocks_with(1 << 21);
    nsh__block *first;

    (void)state;
    assert_true(nsh__blocks_history(a) == nsh__blocks_history(b));
    assert_true(nsh__blocks_history(a) != nsh__blocks_history(c));
    first = take(a, 64, 64); /* the same number and size, but elsewhere */
    take(a, 64, 64);
    nsh__blocks_free(a, first);
    take(b, 64, 64);
    assert_int_equal(nsh__blocks_live_bytes(a), nsh__blocks_live_bytes(b));
    assert_true(nsh__blocks_history(a) != nsh__blocks_history(b));
    nsh__blocks_destroy(a);
    nsh__blocks_destroy(b);
    nsh__blocks_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_model),
        cmocka_unit_test(test_many_blocks),
        cmocka_unit_test(test_no_overlap),
        cmocka_unit_test(test_small_and_large_apart),
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_history_tells_states_apart),
    };

    return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
