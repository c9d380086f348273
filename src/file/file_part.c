/* SPDX-License-Identifier: BSD-3-Clause */
/* file_part.c -- dividing bytes and hyperslabs. */
#include "file/file_part.h"

#include "base/math.h"

#include <stddef.h>

enum { CUT = 1 << 20 };

void nsh__part_of(int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    int64_t each = n / parts, more = n % parts;

    *begin = k < parts ? k * each + nsh__min(k, more) : n;
    *end = k < parts ? *begin + each + (k < more) : n;
}

void nsh__part_of_file(int64_t at, int64_t n, int parts, int k, int64_t *begin, int64_t *end)
{
    int64_t lead = at % CUT, whole = lead + n; /* as if the bytes began at a cut */

    nsh__part_of(whole / CUT + (whole % CUT != 0), parts, k, begin, end);
    *begin = *begin == 0 ? 0 : *begin > whole / CUT ? n : *begin * CUT - lead;
    *end = *end == 0 ? 0 : *end > whole / CUT ? n : *end * CUT - lead;
}

int64_t nsh__last_cut(int64_t at, int64_t n)
{
    int64_t after = (at + n) % CUT;

    return after < n ? n - after : 0;
}

/* Set the size of the current box, which ends where a chunk ends. */
static void size_box(nsh__boxes *b)
{
    for (int d = 0; d < b->ndim; d++) {
        int64_t left = b->count[d] - b->at[d];
        int64_t into = (b->offset != NULL ? b->offset[d] : 0) % b->unit[d] + b->at[d];

        b->size[d] =
            b->step[d] < b->count[d] ? nsh__min(left, b->step[d] - into % b->unit[d]) : left;
    }
}

/* Boxes begin as one chunk and grow along the last dimension, then along the one before it when
 * they span the last, and so on: so they are as contiguous as possible. */
static void choose_steps(nsh__boxes *b)
{
    int64_t bytes = b->item;

    for (int d = 0; d < b->ndim; d++) {
        b->step[d] = nsh__min(b->unit[d], b->count[d]);
        bytes *= b->step[d];
    }
    for (int d = b->ndim; d-- > 0 && b->step[d] > 0;) {
        int64_t others = bytes / b->step[d], most = NSH__BOX / others;

        if (b->count[d] > most) {
            if (most > b->unit[d])
                b->step[d] = most - most % b->unit[d];
            return;
        }
        b->step[d] = b->count[d];
        bytes = others * b->count[d];
    }
}

void nsh__boxes_begin(nsh__boxes *b, int ndim, const int64_t offset[], const int64_t count[],
                      int64_t item, const int64_t chunk[])
{
    *b = (nsh__boxes){.ndim = ndim, .item = item, .offset = offset, .count = count};
    for (int d = 0; d < ndim; d++) {
        b->unit[d] = chunk != NULL && chunk[d] > 0 ? chunk[d] : 1;
        b->done |= count[d] == 0;
    }
    if (b->done)
        return;
    choose_steps(b);
    size_box(b);
}

void nsh__boxes_next(nsh__boxes *b)
{
    int d = b->ndim - 1;

    for (; d >= 0; d--) {
        b->at[d] += b->size[d];
        if (b->at[d] < b->count[d])
            break;
        b->at[d] = 0;
    }
    b->done = d < 0;
    size_box(b);
}

int64_t nsh__boxes_bytes(const nsh__boxes *b)
{
    int64_t bytes = b->item;

    for (int d = 0; d < b->ndim; d++)
        bytes *= b->size[d];
    return bytes;
}

void nsh__boxes_slab(const nsh__boxes *b, nsh__slab *out)
{
    nsh__slab_of(out, b->ndim, b->count, b->at, b->size, b->item);
}
