/* SPDX-License-Identifier: BSD-3-Clause */
/* file_part.h -- dividing bytes and hyperslabs: among nodes, and into pieces that fit into
 * memory. */
#ifndef NSH_FILE_FILE_PART_H
#define NSH_FILE_FILE_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hyperslab.h"

/* The k-th of so many parts of n units; an empty one at the end where k is none of them. */
void nsh__part_of(int64_t n, int parts, int k, int64_t *begin, int64_t *end);

/* The same of n bytes that begin at a file's byte `at`, cut where the file's offset, not theirs, is
 * a multiple of 1 MiB: two parts have no page of the file in common. */
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
    int64_t step[NSH__MAX_NDIM];   /* so long is a box, a multiple of unit; or all of count */
    int64_t at[NSH__MAX_NDIM];     /* the current box: where it is within the hyperslab */
    int64_t size[NSH__MAX_NDIM];
    bool done;
} nsh__boxes;

enum { NSH__BOX = 64 << 20 };

/* The first box; of an empty hyperslab there is none. chunk, or NULL (or zeros): how the dataset is
 * chunked in which the hyperslab lies. */
void nsh__boxes_begin(nsh__boxes *b, int ndim, const int64_t offset[], const int64_t count[],
                      int64_t item, const int64_t chunk[]);
void nsh__boxes_next(nsh__boxes *b);

/* Bytes of the current box; where it lies in the packed hyperslab. */
int64_t nsh__boxes_bytes(const nsh__boxes *b);
void nsh__boxes_slab(const nsh__boxes *b, nsh__slab *out);

#endif
