/* SPDX-License-Identifier: BSD-3-Clause */
/* split.c -- parts of 0 .. n-1: consecutive, or in a random order without a table.
 *
 * The order is a Feistel network over the smallest even number of bits that holds n values. A value
 * is permuted again until it is below n (cycle walking). This is a bijection of 0 .. n-1, because
 * the network is one of 0 .. 2^bits-1. (Black and Rogaway, "Ciphers with arbitrary finite domains",
 * CT-RSA 2002.) The domain is smaller than 4 n, so a value takes less than 4 steps on average. */
#include <nodeshare/map.h>

#include "base/error.h"
#include "base/hash.h"

#include <inttypes.h>

enum { ROUNDS = 6 };

#define MOST (INT64_C(1) << 62)

typedef struct permutation {
    uint64_t n, seed, mask; /* mask: of one half */
    unsigned bits;          /* of one half */
} permutation;

static int check_split(const char *call, int64_t n, int nparts, int part)
{
    if (n < 0 || n > MOST)
        return nsh__fail(NSH_ERR_ARG, "%s: n %" PRId64 " is not in 0 .. 2^62", call, n);
    if (nparts < 1 || part < 0 || part >= nparts)
        return nsh__fail(NSH_ERR_ARG, "%s: part %d of %d", call, part, nparts);
    return NSH_SUCCESS;
}

static void split_range(int64_t n, int nparts, int part, int64_t *begin, int64_t *end)
{
    int64_t each = n / nparts, more = n % nparts;

    *begin = part * each + (part < more ? part : more);
    *end = *begin + each + (part < more);
}

int nsh_split(int64_t n, int nparts, int part, int64_t *begin, int64_t *end)
{
    int rc = check_split("nsh_split", n, nparts, part);

    if (rc != NSH_SUCCESS)
        return rc;
    if (begin == NULL || end == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_split: %s is NULL", begin == NULL ? "begin" : "end");
    split_range(n, nparts, part, begin, end);
    return NSH_SUCCESS;
}

static permutation permutation_of(uint64_t n, uint64_t seed)
{
    unsigned bits = 1;

    while (bits < 31 && UINT64_C(1) << 2 * bits < n)
        bits++;
    return (permutation){n, nsh__mix(seed, n), (UINT64_C(1) << bits) - 1, bits};
}

static uint64_t permute(const permutation *p, uint64_t value)
{
    do {
        uint64_t left = value >> p->bits, right = value & p->mask;

        for (uint64_t round = 1; round <= ROUNDS; round++) {
            uint64_t mixed = nsh__mix(nsh__mix(p->seed, round), right) & p->mask;
            uint64_t next = left ^ mixed;

            left = right;
            right = next;
        }
        value = left << p->bits | right;
    } while (value >= p->n);
    return value;
}

int nsh_split_permuted(int64_t n, int nparts, int part, uint64_t seed, int64_t *count,
                       int64_t indices[])
{
    int rc = check_split("nsh_split_permuted", n, nparts, part);
    int64_t begin, end;
    permutation p;

    if (rc != NSH_SUCCESS)
        return rc;
    if (indices == NULL && count == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_split_permuted: indices and count are NULL");
    split_range(n, nparts, part, &begin, &end);
    p = permutation_of((uint64_t)n, seed);
    for (int64_t i = begin; indices != NULL && i < end; i++)
        indices[i - begin] = (int64_t)permute(&p, (uint64_t)i);
    if (count != NULL)
        *count = end - begin;
    return NSH_SUCCESS;
}
