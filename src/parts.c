/* SPDX-License-Identifier: BSD-3-Clause */
/* parts.c -- dividing bytes and hyperslabs. */
#include "parts.h"

#include <stddef.h>

enum { CUT = 1 << 20 };

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void nsh__part_of(int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    int64_t each = n / parts, more = n % parts;

    *begin = k * each + min64(k, more);
    *end = *begin + each + (k < more);
}

void nsh__part_of_bytes(int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    nsh__part_of(n / CUT + (n % CUT != 0), parts, k, begin, end);
    *begin = min64(*begin * CUT, n);
    *end = *end > n / CUT ? n : *end * CUT;
}

static void size_box(nsh__boxes *b)
{
    for (int d = 0; d < b->ndim; d++)
        b->size[d] = d < b->cut ? 1 : b->count[d];
    if (b->ndim > 0)
        b->size[b->cut] = min64(b->step, b->count[b->cut] - b->at[b->cut]);
}

void nsh__boxes_begin(nsh__boxes *b, int ndim, const int64_t count[], int64_t item,
                      const int64_t chunk[])
{
    int64_t inner = item;

    *b = (nsh__boxes){.ndim = ndim, .cut = ndim - 1, .item = item, .count = count};
    for (int d = 0; d < ndim; d++)
        b->done |= count[d] == 0;
    if (ndim == 0 || b->done)
        return;
    while (b->cut > 0 && inner <= NSH__BOX / count[b->cut])
        inner *= count[b->cut--];
    b->step = inner < NSH__BOX ? NSH__BOX / inner : 1;
    if (chunk != NULL && chunk[b->cut] > 0 && b->step > chunk[b->cut])
        b->step -= b->step % chunk[b->cut];
    size_box(b);
}

void nsh__boxes_next(nsh__boxes *b)
{
    int d = b->cut;

    if (b->ndim == 0) {
        b->done = true;
        return;
    }
    b->at[d] += b->size[d];
    while (d > 0 && b->at[d] >= b->count[d]) {
        b->at[d--] = 0;
        b->at[d]++;
    }
    b->done = b->at[0] >= b->count[0];
    size_box(b);
}

int64_t nsh__boxes_bytes(const nsh__boxes *b)
{
    int64_t bytes = b->item;

    for (int d = 0; d < b->ndim; d++)
        bytes *= b->size[d];
    return bytes;
}

int64_t nsh__boxes_offset(const nsh__boxes *b)
{
    int64_t at = 0;

    for (int d = 0; d < b->ndim; d++)
        at = at * b->count[d] + b->at[d];
    return at * b->item;
}
