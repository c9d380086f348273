/* SPDX-License-Identifier: BSD-3-Clause */
/* parts.h -- dividing bytes and hyperslabs: among nodes, and into pieces that fit into memory. */
#ifndef NSH_SRC_PARTS_H
#define NSH_SRC_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "hyperslab.h"

/* The k-th of so many parts of n units; of n bytes, cut at multiples of 1 MiB. */
void nsh__part_of(int64_t n, int parts, int k, int64_t *begin, int64_t *end);
void nsh__part_of_bytes(int64_t n, int parts, int k, int64_t *begin, int64_t *end);

/* Boxes of at most NSH__BOX bytes (or one element) that make up a hyperslab, in C order, each
 * contiguous in the packed hyperslab. */
typedef struct nsh__boxes {
    int ndim, cut; /* the dimension that is divided: those before it go one by one */
    int64_t step;  /* along it */
    int64_t item;
    const int64_t *count;      /* of the hyperslab, which outlives this */
    int64_t at[NSH__MAX_NDIM]; /* the current box: where it is within the hyperslab */
    int64_t size[NSH__MAX_NDIM];
    bool done;
} nsh__boxes;

enum { NSH__BOX = 64 << 20 };

/* The first box; of an empty hyperslab there is none. chunk, or NULL: steps along the cut are whole
 * chunks where that is possible, so that none is read twice. */
void nsh__boxes_begin(nsh__boxes *b, int ndim, const int64_t count[], int64_t item,
                      const int64_t chunk[]);
void nsh__boxes_next(nsh__boxes *b);

/* Of the current box: its bytes, and where they begin in the packed hyperslab. */
int64_t nsh__boxes_bytes(const nsh__boxes *b);
int64_t nsh__boxes_offset(const nsh__boxes *b);

#endif
