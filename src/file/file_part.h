/* SPDX-License-Identifier: BSD-3-Clause */
/* file_part.h -- dividing bytes and hyperslabs: among nodes, and into pieces that fit into memory.
 * All functions are [local] and pure, and may be called by any rank. */
#ifndef NSH_FILE_FILE_PART_H
#define NSH_FILE_FILE_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hyperslab.h"

/* Part k of `parts` parts of n units; it is empty and at the end if k >= parts. */
void nsh__part_of(int64_t n, int parts, int k, int64_t *begin, int64_t *end);

/* The same for n bytes that begin at byte `at` of a file, cut where the offset in the file is a
 * multiple of 1 MiB: no two parts have a page of the file in common. */
void nsh__part_of_file(int64_t at, int64_t n, int parts, int k, int64_t *begin, int64_t *end);

/* How many of these bytes come before the last cut. What comes after it may share a page with what
 * follows in the file. */
int64_t nsh__last_cut(int64_t at, int64_t n);

/* Boxes of at most NSH__BOX bytes (or one element, or one chunk) that make up a hyperslab, in the
 * order of their first elements. No chunk is in two boxes. */
typedef struct nsh__boxes {
    int ndim;
    int64_t item;
    const int64_t *offset, *count; /* of the hyperslab; they outlive this. offset NULL: zeros */
    int64_t unit[NSH__MAX_NDIM];   /* boxes end at multiples of it: the chunk, or 1 */
    int64_t step[NSH__MAX_NDIM];   /* length of a box: a multiple of unit, or all of count */
    int64_t at[NSH__MAX_NDIM];     /* the current box: where it is within the hyperslab */
    int64_t size[NSH__MAX_NDIM];
    bool done;
} nsh__boxes;

enum { NSH__BOX = 64 << 20 };

/* Begin with the first box; an empty hyperslab has none. chunk: that of the dataset in which the
 * hyperslab lies; NULL or zeros: it is not chunked. */
void nsh__boxes_begin(nsh__boxes *b, int ndim, const int64_t offset[], const int64_t count[],
                      int64_t item, const int64_t chunk[]);
void nsh__boxes_next(nsh__boxes *b);

/* The bytes of the current box, and where it lies in the packed hyperslab. */
int64_t nsh__boxes_bytes(const nsh__boxes *b);
void nsh__boxes_slab(const nsh__boxes *b, nsh__slab *out);

#endif
