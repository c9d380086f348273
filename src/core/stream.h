/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.h -- the bytes of several hyperslabs of an array in a row: they are sent between nodes.
 * Everything here is [local]. */
#ifndef NSH_CORE_STREAM_H
#define NSH_CORE_STREAM_H

#include <nodeshare/types.h>

#include "base/hyperslab.h"

/* The destination of a stream: the shape of an array and this node's writable replica. */
typedef struct nsh__destination {
    int ndim;
    const int64_t *extent;
    int64_t itemsize;
    char *replica;
} nsh__destination;

/* A stream and a position in it, which only moves forward. */
typedef struct nsh__stream {
    const nsh__destination *destination;
    const int64_t *meta;     /* offset and count of each piece, ndim numbers each */
    const nsh_piece *pieces; /* where the data is; NULL: it is in the replica */
    int n, current;
    int64_t begin;      /* stream position of the current piece */
    nsh__slab to, from; /* the current piece in the replica, and in its data */
} nsh__stream;

void nsh__stream_init(nsh__stream *s, const nsh__destination *destination, int n,
                      const int64_t *meta, const nsh_piece pieces[]);

/* Bytes of n pieces. */
int64_t nsh__stream_bytes(const nsh__destination *destination, int n, const int64_t *meta);

/* The address of stream bytes [pos, pos + n) in the data, or in the replica; NULL if they are not
 * contiguous. */
char *nsh__stream_source(nsh__stream *s, int64_t pos, int64_t n);
char *nsh__stream_destination(nsh__stream *s, int64_t pos, int64_t n);

/* Copy stream bytes [pos, pos + n): from the data to out; from in to the replica; from the data to
 * the replica. */
void nsh__stream_pack(nsh__stream *s, int64_t pos, int64_t n, char *out);
void nsh__stream_unpack(nsh__stream *s, int64_t pos, int64_t n, const char *in);
void nsh__stream_copy(nsh__stream *s, int64_t pos, int64_t n);

#endif
