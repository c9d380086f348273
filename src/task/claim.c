/* SPDX-License-Identifier: BSD-3-Clause */
/* claim.c -- workers take the numbers 0 .. n-1.
 *
 * Invariant: every number below n is in exactly one chunk, and every number of a chunk is taken by
 * the one compare-and-swap that counts it off. */
#include "task/claim.h"

#include "base/assert.h"
#include "base/math.h"
#include "core/comm_break.h"

#include <inttypes.h>

enum {
    MOST_IN_CHUNK = 1 << 30, /* fits beside a generation, and below the states */
    GENERATION_SHIFT = 32,
    COSTS = 32,               /* a chunk that lasts less than this many times its cost, */
    SHORT_NS = 1000 * 1000,   /* but at least this, */
    LONG_NS = 10 * SHORT_NS,  /* and at most this, is followed by a larger one, */
    GROWTH = 16,              /* at most this many times as large; */
    TOO_LONG_NS = 4 * LONG_NS /* one that lasts longer than this is followed by a smaller one */
};

static const uint32_t IDLE = 0, FETCHING = UINT32_MAX, CLOSED = UINT32_MAX - 1;

static uint64_t word_of(uint32_t generation, uint32_t state)
{
    return (uint64_t)generation << GENERATION_SHIFT | state;
}

/* ---- take ---- */

static nsh__claim_result take_direct(const nsh__claims *claims, int64_t *first, int64_t *count)
{
    /* relaxed: only the number is taken; the data of the task was written before */
    int64_t next = atomic_fetch_add_explicit(&claims->area->next, 1, memory_order_relaxed);

    if (next >= claims->n) /* the counter cannot overflow in practice */
        return NSH__CLAIM_NONE;
    *first = next;
    *count = 1;
    return NSH__CLAIM_TAKEN;
}

static uint32_t part_of_chunk(uint32_t left, int parts)
{
    uint32_t part = parts > 0 ? left / (uint32_t)parts : 1;

    return part > 0 ? part : 1;
}

nsh__claim_result nsh__claim_try(const nsh__claims *claims, int parts, int64_t *first,
                                 int64_t *count, unsigned *generation)
{
    nsh__claim_area *area = claims->area;
    uint64_t word;

    if (claims->direct)
        return take_direct(claims, first, count);
    word = atomic_load_explicit(&area->word, memory_order_acquire);
    for (;;) {
        uint32_t now = (uint32_t)(word >> GENERATION_SHIFT), left = (uint32_t)word, part = 0;
        int64_t end = atomic_load_explicit(&area->end[now & 1], memory_order_relaxed);

        *generation = now;
        if (left == CLOSED)
            return NSH__CLAIM_NONE;
        if (left == FETCHING)
            return NSH__CLAIM_WAIT;
        if (left != IDLE)
            part = part_of_chunk(left, parts);
        /* acquire again: a new word stands for a new end */
        if (!atomic_compare_exchange_weak_explicit(&area->word, &word,
                                                   word_of(now, part > 0 ? left - part : FETCHING),
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        nsh__assert(left == IDLE || (int64_t)left <= end,
                    "%" PRIu32 " numbers left before %" PRId64, left, end);
        *first = end - left;
        *count = part;
        return part > 0 ? NSH__CLAIM_TAKEN : NSH__CLAIM_REFILL;
    }
}

bool nsh__claim_holds(const nsh__claims *claims, int64_t number)
{
    const nsh__claim_area *area = claims->area;
    uint64_t word, again = atomic_load_explicit(&area->word, memory_order_acquire);
    uint32_t left;
    int64_t end;

    do { /* until word and end are of one generation */
        word = again;
        left = (uint32_t)word;
        end = atomic_load_explicit(&area->end[word >> GENERATION_SHIFT & 1], memory_order_acquire);
        again = atomic_load_explicit(&area->word, memory_order_relaxed);
    } while (word >> GENERATION_SHIFT != again >> GENERATION_SHIFT);
    return left != IDLE && left != FETCHING && left != CLOSED && number < end &&
           number >= end - left;
}

/* ---- fetch ---- */

/* How many numbers the next chunk should have, from the time that the present one lasted. */
static int64_t next_size(const nsh__claims *claims, int64_t lasted)
{
    int64_t size = claims->area->size;
    int64_t enough = nsh__clamp(COSTS * claims->area->cost, SHORT_NS, LONG_NS);

    if (claims->chunk > 0)
        return nsh__clamp(claims->chunk, 1, MOST_IN_CHUNK);
    if (size == 0)
        return claims->workers;
    if (lasted < enough)
        size *= nsh__clamp(enough / (lasted + 1), 2, GROWTH);
    else if (lasted > TOO_LONG_NS)
        size /= 2;
    return nsh__clamp(size, claims->workers, MOST_IN_CHUNK);
}

int64_t nsh__claim_part(const nsh__claim_wish *wish, int64_t left, int64_t everywhere)
{
    int64_t parts = wish->first ? everywhere : 2 * everywhere, share;

    if (wish->workers == 0 || wish->workers >= everywhere)
        return wish->most;
    /* in two steps: left * workers may overflow */
    share = left / parts * wish->workers + left % parts * wish->workers / parts;
    return nsh__clamp(share, 1, wish->most);
}

/* Fetch from the word. If the last chunk lasted long, the word is read first, so that the chunk is
 * a part of what is left now and not of what was left when this node last looked. */
static int fetch_from_word(const nsh__claims *claims, const nsh__claim_wish *wish, bool look,
                           int64_t *begin, int64_t *end)
{
    nsh__claim_area *area = claims->area;
    uint64_t next = (uint64_t)area->seen;
    int64_t size = 0;
    int rc = NSH_SUCCESS;

    if (look)
        rc = nsh__word_read(claims->comm, claims->words, 0, &next);
    if (rc == NSH_SUCCESS) {
        size = nsh__claim_part(wish, nsh__clamp(claims->n - (int64_t)next, 0, claims->n),
                               claims->everywhere);
        rc = nsh__word_add(claims->comm, claims->words, 0, (uint64_t)size, &next);
    }
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(claims->comm, rc); /* nobody knows whether the numbers are taken */
    *begin = nsh__clamp((int64_t)next, 0, claims->n);
    *end = nsh__clamp((int64_t)next + size, 0, claims->n);
    area->seen = *end;
    return NSH_SUCCESS;
}

/* On one node: all numbers, or as many as fit. */
static int fetch_here(const nsh__claims *claims, int64_t *begin, int64_t *end)
{
    *begin = claims->area->seen;
    *end = *begin + nsh__clamp(claims->n - *begin, 0, MOST_IN_CHUNK);
    claims->area->seen = *end;
    return NSH_SUCCESS;
}

static int fetch_chunk(const nsh__claims *claims, int64_t *begin, int64_t *end)
{
    nsh__claim_area *area = claims->area;
    int64_t now = nsh__wait_clock(), lasted = now - area->since;
    nsh__claim_wish wish = {.most = next_size(claims, lasted),
                            .workers = claims->chunk > 0 ? 0 : claims->workers,
                            .first = area->size == 0};
    int rc;

    if (claims->source != NULL)
        rc = claims->source(claims->owner, &wish, begin, end);
    else if (claims->comm->node_count > 1)
        rc = fetch_from_word(claims, &wish, !wish.first && lasted > LONG_NS, begin, end);
    else
        rc = fetch_here(claims, begin, end);
    nsh__assert(rc != NSH_SUCCESS || (*begin >= 0 && *begin <= *end && *end <= claims->n),
                "numbers [%" PRId64 ", %" PRId64 ") fetched of %" PRId64, *begin, *end, claims->n);
    if (rc == NSH_SUCCESS && *begin < *end) {
        area->size = *end - *begin;
        area->since = nsh__wait_clock();
        area->cost = area->since - now;
    }
    return rc;
}

static void publish_chunk(nsh__claim_area *area, int64_t end, uint32_t state)
{
    uint32_t next =
        (uint32_t)(atomic_load_explicit(&area->word, memory_order_relaxed) >> GENERATION_SHIFT) + 1;

    atomic_store_explicit(&area->end[next & 1], end, memory_order_relaxed);
    atomic_store_explicit(&area->word, word_of(next, state), memory_order_release);
    atomic_store_explicit(&area->generation, next, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&area->generation, &area->sleepers);
}

int nsh__claim_refill(const nsh__claims *claims, bool *none)
{
    int64_t begin = 0, end = 0;
    int rc;

    nsh__assert((uint32_t)atomic_load(&claims->area->word) == FETCHING,
                "the state is 0x%" PRIx32 " while a rank fetches",
                (uint32_t)atomic_load(&claims->area->word));
    rc = fetch_chunk(claims, &begin, &end);

    *none = begin == end;
    if (rc != NSH_SUCCESS || (*none && claims->source != NULL))
        publish_chunk(claims->area, 0, IDLE);
    else
        publish_chunk(claims->area, end, *none ? CLOSED : (uint32_t)(end - begin));
    return rc;
}

int nsh__claim_take(const nsh__claims *claims, int parts, int64_t *first, int64_t *count)
{
    nsh__claim_area *area = claims->area;
    unsigned generation = 0;
    bool none = false;
    int rc = NSH_SUCCESS;

    while (rc == NSH_SUCCESS && !none) {
        switch (nsh__claim_try(claims, parts, first, count, &generation)) {
        case NSH__CLAIM_TAKEN:
            return NSH_SUCCESS;
        case NSH__CLAIM_REFILL:
            rc = nsh__claim_refill(claims, &none);
            break;
        case NSH__CLAIM_WAIT:
            rc = nsh__wait_event(
                &claims->comm->wait,
                &(nsh__event){&area->generation, ~0U, generation + 1, &area->sleepers, -1},
                claims->deadline);
            break;
        default:
            none = true;
        }
    }
    if (rc == NSH_SUCCESS)
        *count = 0;
    return rc;
}

void nsh__claim_reset(nsh__claim_area *area)
{
    area->size = area->since = area->seen = 0;
    atomic_store(&area->next, 0);
    publish_chunk(area, 0, IDLE);
}

void nsh__claim_reopen(nsh__claim_area *area)
{
    if ((uint32_t)atomic_load(&area->word) == CLOSED)
        publish_chunk(area, 0, IDLE);
}
