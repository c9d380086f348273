/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.c -- the bytes of several hyperslabs of an array in a row.
 *
 * Invariant: begin and the slabs belong to piece number current. */
#include "core/stream.h"

#include <stddef.h>

static void load(nsh__stream *s)
{
    const nsh__destination *t = s->destination;
    const int64_t *offset = s->meta + (int64_t)s->current * 2 * t->ndim;

    nsh__slab_of(&s->to, t->ndim, t->extent, offset, offset + t->ndim, t->itemsize);
    if (s->pieces != NULL)
        nsh__slab_strided(&s->from, t->ndim, offset + t->ndim, s->pieces[s->current].stride,
                          t->itemsize);
}

void nsh__stream_init(nsh__stream *s, const nsh__destination *destination, int n,
                      const int64_t *meta, const nsh_piece pieces[])
{
    s->destination = destination;
    s->meta = meta;
    s->pieces = pieces;
    s->n = n;
    s->current = 0;
    s->begin = 0;
    s->to.nbytes = 0;
    if (n > 0)
        load(s);
}

int64_t nsh__stream_bytes(const nsh__destination *destination, int n, const int64_t *meta)
{
    int64_t total = 0;

    for (int i = 0; i < n; i++) {
        int64_t bytes = destination->itemsize;

        for (int d = 0; d < destination->ndim; d++)
            bytes *= meta[((int64_t)i * 2 + 1) * destination->ndim + d];
        total += bytes;
    }
    return total;
}

/* Move forward to the piece that contains pos, which is inside the stream. */
static void seek_piece(nsh__stream *s, int64_t pos)
{
    while (pos >= s->begin + s->to.nbytes && s->current + 1 < s->n) {
        s->begin += s->to.nbytes;
        s->current++;
        load(s);
    }
}

static const char *source_base(const nsh__stream *s)
{
    return s->pieces != NULL ? s->pieces[s->current].data : s->destination->replica;
}

static const nsh__slab *source_slab(const nsh__stream *s)
{
    return s->pieces != NULL ? &s->from : &s->to;
}

static char *direct_piece(const nsh__stream *s, const char *base, const nsh__slab *slab,
                          int64_t pos, int64_t n)
{
    if (slab->ndim != 0 || pos - s->begin + n > slab->nbytes)
        return NULL;
    return (char *)(uintptr_t)base + slab->start + (pos - s->begin);
}

char *nsh__stream_source(nsh__stream *s, int64_t pos, int64_t n)
{
    seek_piece(s, pos);
    return direct_piece(s, source_base(s), source_slab(s), pos, n);
}

char *nsh__stream_destination(nsh__stream *s, int64_t pos, int64_t n)
{
    seek_piece(s, pos);
    return direct_piece(s, s->destination->replica, &s->to, pos, n);
}

/* How many of n bytes from pos on are in the piece that contains pos. */
static int64_t bytes_in_piece(nsh__stream *s, int64_t pos, int64_t n)
{
    int64_t left;

    seek_piece(s, pos);
    left = s->begin + s->to.nbytes - pos;
    return left < n ? left : n;
}

void nsh__stream_pack(nsh__stream *s, int64_t pos, int64_t n, char *out)
{
    for (int64_t part; n > 0; pos += part, n -= part, out += part) {
        part = bytes_in_piece(s, pos, n);
        nsh__slab_pack(out, source_base(s), source_slab(s), pos - s->begin, part);
    }
}

void nsh__stream_unpack(nsh__stream *s, int64_t pos, int64_t n, const char *in)
{
    for (int64_t part; n > 0; pos += part, n -= part, in += part) {
        part = bytes_in_piece(s, pos, n);
        nsh__slab_unpack(s->destination->replica, &s->to, pos - s->begin, part, in);
    }
}

void nsh__stream_copy(nsh__stream *s, int64_t pos, int64_t n)
{
    if (s->pieces == NULL)
        return;
    for (int64_t part; n > 0; pos += part, n -= part) {
        part = bytes_in_piece(s, pos, n);
        nsh__slab_copy(s->destination->replica, &s->to, s->pieces[s->current].data, &s->from,
                       pos - s->begin, part);
    }
}
