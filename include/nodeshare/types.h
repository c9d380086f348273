/* SPDX-License-Identifier: BSD-3-Clause */
/* types.h -- what several headers of nodeshare share. Each of them includes it. */
#ifndef NODESHARE_TYPES_H
#define NODESHARE_TYPES_H

#include <stdint.h>

/* The largest number of dimensions, HDF5's limit too. */
#define NSH_MAX_NDIM 32

/* As root: the root is the one rank that passes data. */
#define NSH_ROOT_ANY (-1)

/* As home of an object: the nodes take turns. */
#define NSH_HOME_ANY (-1)

/* One hyperslab and its data, as nsh_array_set and _set_strided take them. */
typedef struct nsh_piece {
    const void *data;      /* the elements of the hyperslab */
    const int64_t *offset; /* NULL: all zeros */
    const int64_t *count;  /* NULL: the whole array */
    const int64_t *stride; /* strides of data in elements; NULL: data is packed in C order */
} nsh_piece;

#endif
