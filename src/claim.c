/* SPDX-License-Identifier: BSD-3-Clause */
/* claim.c -- who gets which of 0 .. n-1.
 *
 * Invariant: every number below n is in exactly one chunk, and every number of a chunk is taken by
 * the one compare-and-swap that counts it off. */
#include "claim.h"

enum {
    SHARES = 4,              /* a chunk is this part of a node's share of what is left */
    MOST_IN_CHUNK = 1 << 30, /* fits beside a generation, and below the states */
    GENERATION_SHIFT = 32
};

static const uint32_t IDLE = 0, FETCHING = UINT32_MAX, CLOSED = UINT32_MAX - 1;

static uint64_t word_of(uint32_t generation, uint32_t state)
{
    return (uint64_t)generation << GENERATION_SHIFT | state;
}

/* ---- take ---- */

static nsh__claim_result take_directly(const nsh__claims *claims, int64_t *first, int64_t *count)
{
    /* relaxed: what is taken is a number; what it stands for was there before */
    int64_t next = atomic_fetch_add_explicit(&claims->area->next, 1, memory_order_relaxed);

    if (next >= claims->n) /* who asks on and on would get far beyond, in centuries */
        return NSH__CLAIM_NONE;
    *first = next;
    *count = 1;
    return NSH__CLAIM_TAKEN;
}

static uint32_t share_of(uint32_t left, int parts)
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
        return take_directly(claims, first, count);
    word = atomic_load_explicit(&area->word, memory_order_acquire);
    for (;;) {
        uint32_t now = (uint32_t)(word >> GENERATION_SHIFT), left = (uint32_t)word, part = 0, rest;
        int64_t end = atomic_load_explicit(&area->end[now & 1], memory_order_relaxed);

        *generation = now;
        if (left == CLOSED)
            return NSH__CLAIM_NONE;
        if (left == FETCHING)
            return NSH__CLAIM_WAIT;
        if (left != IDLE)
            part = share_of(left, parts);
        rest = part < left ? left - part : FETCHING; /* also for IDLE */
        /* acquire again: a new word stands for a new end */
        if (!atomic_compare_exchange_weak_explicit(&area->word, &word, word_of(now, rest),
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        *first = end - left;
        *count = part;
        if (part == 0)
            return NSH__CLAIM_REFILL;
        return rest == FETCHING ? NSH__CLAIM_LAST : NSH__CLAIM_TAKEN;
    }
}

/* ---- fetch ---- */

/* How many numbers a chunk has that begins here. */
static int64_t guided_size(const nsh__claims *claims, int64_t begin)
{
    int64_t parts = claims->comm->node_count > 1 ? (int64_t)SHARES * claims->comm->node_count : 1;
    int64_t size = (claims->n - begin) / parts;

    if (size > MOST_IN_CHUNK)
        size = MOST_IN_CHUNK;
    return size > 0 ? size : 1;
}

static int guided(const nsh__claims *claims, int64_t *begin, int64_t *end)
{
    nsh__claim_area *area = claims->area;
    uint64_t number = (uint64_t)area->chunk;
    int rc = NSH_SUCCESS;

    if (claims->comm->node_count > 1)
        rc = nsh__word_add(claims->comm, claims->words, 0, 1, &number);
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(claims->comm, rc); /* drawn or not: nobody can tell */
    for (; area->chunk < (int64_t)number && area->begin < claims->n; area->chunk++)
        area->begin += guided_size(claims, area->begin);
    *begin = *end = area->begin;
    if (*begin < claims->n) {
        *end += guided_size(claims, *begin);
        area->begin = *end;
        area->chunk++;
    }
    return NSH_SUCCESS;
}

static void publish(nsh__claim_area *area, int64_t end, uint32_t state)
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
    int rc = claims->source != NULL ? claims->source(claims->owner, &begin, &end)
                                    : guided(claims, &begin, &end);

    *none = begin == end;
    if (rc != NSH_SUCCESS || (*none && claims->source != NULL))
        publish(claims->area, 0, IDLE);
    else
        publish(claims->area, end, *none ? CLOSED : (uint32_t)(end - begin));
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
        case NSH__CLAIM_LAST:
            /* What fails here fails again for who finds the chunk empty. */
            nsh__claim_refill(claims, &none);
            return NSH_SUCCESS;
        case NSH__CLAIM_REFILL:
            rc = nsh__claim_refill(claims, &none);
            break;
        case NSH__CLAIM_WAIT:
            rc = nsh__wait_word(&claims->comm->wait, &area->generation, generation + 1,
                                &area->sleepers);
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
    area->chunk = area->begin = 0;
    atomic_store(&area->next, 0);
    publish(area, 0, IDLE);
}

void nsh__claim_reopen(nsh__claim_area *area)
{
    if ((uint32_t)atomic_load(&area->word) == CLOSED)
        publish(area, 0, IDLE);
}
