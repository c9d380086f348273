/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperslab.c -- N-d offset/count arithmetic and copies.
 *
 * Invariant: bytes are copied in stream order and each exactly once. So strides that make elements
 * share memory (zero, overlapping) give the same result as the plain nested loops. */
#include "base/hyperslab.h"

#include "base/math.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The innermost copy loop is written once and compiled once for each small size. */
#if defined(__GNUC__)
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE inline
#endif

enum {
    STREAM_BYTES = 32 << 20, /* a destination of this size does not stay in a cache */
    STREAM_PIECE = 256,      /* shorter runs have too few whole cache lines to stream */
    STREAM_AHEAD = 2048, /* prefetch distance; a smaller one fetches too late, a larger one overruns
                            the L1 cache */
    LINE = 64
};

/* A position in a slab's stream. */
typedef struct cursor {
    const nsh__slab *slab;
    int64_t at;                   /* byte offset from the base address */
    int64_t left;                 /* bytes to the end of this run; 0 only at the end of the
                                     stream */
    int64_t index[NSH__MAX_NDIM]; /* odometer of the loops around the runs */
} cursor;

static bool add_overflows(int64_t a, int64_t b, int64_t *sum)
{
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        return true;
    *sum = a + b;
    return false;
}

/* For b >= 0 only. */
static bool mul_overflows(int64_t a, int64_t b, int64_t *product)
{
    if (b != 0 && (a > INT64_MAX / b || a < INT64_MIN / b))
        return true;
    *product = a * b;
    return false;
}

bool nsh__shape_size(int ndim, const int64_t extent[], int64_t itemsize, int64_t *size,
                     int64_t *nbytes)
{
    int64_t elements = 1, bytes;
    bool empty = false;

    /* Check all signs first: a zero extent does not excuse a negative one after it. */
    for (int d = 0; d < ndim; d++) {
        if (extent[d] < 0)
            return false;
        empty = empty || extent[d] == 0;
    }
    for (int d = 0; d < ndim && !empty; d++)
        if (mul_overflows(elements, extent[d], &elements))
            return false;
    if (empty)
        elements = 0;
    if (itemsize < 0 || mul_overflows(elements, itemsize, &bytes))
        return false;
    *size = elements;
    *nbytes = bytes;
    return true;
}

int nsh__hyperslab_outside(int ndim, const int64_t extent[], const int64_t offset[],
                           const int64_t count[])
{
    for (int d = 0; d < ndim; d++) {
        int64_t first = offset == NULL ? 0 : offset[d];
        int64_t n = count == NULL ? extent[d] : count[d];

        if (first < 0 || n < 0 || n > extent[d] - first)
            return d;
    }
    return -1;
}

bool nsh__hyperslabs_overlap(int ndim, const int64_t a_offset[], const int64_t a_count[],
                             const int64_t b_offset[], const int64_t b_count[])
{
    for (int d = 0; d < ndim; d++) {
        /* A difference of offsets cannot overflow; a sum of offset and count could. */
        int64_t ahead = b_offset[d] - a_offset[d];

        if (a_count[d] == 0 || b_count[d] == 0 ||
            (ahead >= 0 ? ahead >= a_count[d] : -ahead >= b_count[d]))
            return false;
    }
    return true;
}

void nsh__slab_packed(nsh__slab *slab, int64_t nbytes)
{
    slab->nbytes = nbytes;
    slab->start = 0;
    slab->run = nbytes;
    slab->ndim = 0;
}

/* Put one more loop around a slab that is not empty. Loops come innermost first and are meanwhile
 * at the end of the arrays, because it is not known how many remain after merging. */
static void slab_wrap(nsh__slab *slab, int64_t count, int64_t stride)
{
    int inner = NSH__MAX_NDIM - slab->ndim;
    int64_t next; /* where the inner loop would continue; int64 may not hold it */

    slab->nbytes *= count;
    if (count == 1)
        return;
    if (slab->ndim == 0 && stride == slab->run) {
        slab->run *= count;
    } else if (slab->ndim > 0 &&
               !add_overflows(slab->stride[inner] * (slab->count[inner] - 1), slab->stride[inner],
                              &next) &&
               next == stride) {
        slab->count[inner] *= count;
    } else {
        slab->ndim++;
        slab->count[inner - 1] = count;
        slab->stride[inner - 1] = stride;
    }
}

/* All loops are there: move them to the front of the arrays, outermost first. */
static void slab_wrapped(nsh__slab *slab)
{
    size_t n = (size_t)slab->ndim;

    memmove(slab->count, slab->count + NSH__MAX_NDIM - n, n * sizeof(slab->count[0]));
    memmove(slab->stride, slab->stride + NSH__MAX_NDIM - n, n * sizeof(slab->stride[0]));
}

void nsh__slab_of(nsh__slab *slab, int ndim, const int64_t extent[], const int64_t offset[],
                  const int64_t count[], int64_t itemsize)
{
    int64_t pitch = itemsize;

    if (count == NULL)
        count = extent;
    /* First of all, because the pitches of an empty array may overflow. */
    for (int d = 0; d < ndim; d++) {
        if (count[d] == 0) {
            nsh__slab_packed(slab, 0);
            return;
        }
    }
    nsh__slab_packed(slab, itemsize);
    for (int d = ndim - 1; d >= 0; d--) {
        slab_wrap(slab, count[d], pitch);
        slab->start += offset == NULL ? 0 : offset[d] * pitch;
        pitch *= extent[d];
    }
    slab_wrapped(slab);
}

bool nsh__slab_strided(nsh__slab *slab, int ndim, const int64_t count[], const int64_t stride[],
                       int64_t itemsize)
{
    int64_t size, nbytes, low = 0, high = itemsize, pitch;

    nsh__slab_packed(slab, 0);
    if (!nsh__shape_size(ndim, count, itemsize, &size, &nbytes))
        return false;
    if (stride == NULL || nbytes == 0) {
        nsh__slab_packed(slab, nbytes);
        return true;
    }
    nsh__slab_packed(slab, itemsize);
    for (int d = ndim - 1; d >= 0; d--) {
        int64_t reach;

        if (count[d] == 1) /* its stride is not used */
            continue;
        /* How far the data reaches to both sides of the first element bounds every later offset. */
        if (mul_overflows(stride[d], itemsize, &pitch) ||
            mul_overflows(pitch, count[d] - 1, &reach) ||
            add_overflows(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) {
            nsh__slab_packed(slab, 0);
            return false;
        }
        slab_wrap(slab, count[d], pitch);
    }
    slab_wrapped(slab);
    return true;
}

void nsh__slab_bounds(const nsh__slab *slab, int64_t *low, int64_t *high)
{
    *low = *high = 0;
    if (slab->nbytes == 0)
        return;
    *low = slab->start;
    *high = slab->start + slab->run;
    for (int d = 0; d < slab->ndim; d++) {
        int64_t reach = slab->stride[d] * (slab->count[d] - 1);

        *(reach < 0 ? low : high) += reach;
    }
}

int64_t nsh__slab_run_at(const nsh__slab *slab, int64_t i)
{
    int64_t at = slab->start;

    for (int d = slab->ndim; d-- > 0; i /= slab->count[d])
        at += i % slab->count[d] * slab->stride[d];
    return at;
}

int64_t nsh__slab_at(const nsh__slab *slab, int64_t pos)
{
    return nsh__slab_run_at(slab, pos / slab->run) + pos % slab->run;
}

int64_t nsh__slab_before(const nsh__slab *slab, int64_t at)
{
    int64_t low = 0, high = slab->nbytes > 0 ? slab->nbytes / slab->run : 0, within;

    while (low < high) { /* the runs before low begin before `at`, those from high on do not */
        int64_t middle = low + (high - low) / 2;

        if (nsh__slab_run_at(slab, middle) < at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    within = at - nsh__slab_run_at(slab, low - 1);
    return (low - 1) * slab->run + nsh__min(within, slab->run);
}

/* Set the cursor to byte `from` of the stream. A copy divides only here. */
static void cursor_seek(cursor *c, const nsh__slab *slab, int64_t from)
{
    int64_t run = from / slab->run, within = from % slab->run;

    c->slab = slab;
    c->at = slab->start + within;
    c->left = slab->run - within;
    for (int d = slab->ndim - 1; d >= 0; d--) {
        c->index[d] = run % slab->count[d];
        c->at += c->index[d] * slab->stride[d];
        run /= slab->count[d];
    }
}

/* How many pieces of this size follow each other at one stride: whole runs of the innermost loop,
 * or parts of the run in which the cursor is. */
static int64_t cursor_pieces(const cursor *c, int64_t piece, int64_t *stride)
{
    int last = c->slab->ndim - 1;

    if (piece == c->slab->run && last >= 0) {
        *stride = c->slab->stride[last];
        return c->slab->count[last] - c->index[last];
    }
    *stride = piece;
    return c->left == piece ? 1 : c->left / piece;
}

/* Move over n pieces; n is at most what cursor_pieces has returned. */
static void cursor_advance(cursor *c, int64_t piece, int64_t n)
{
    const nsh__slab *slab = c->slab;

    if (piece < c->left) {
        c->at += piece * n;
        c->left -= piece * n;
        if (c->left > 0)
            return;
        c->at -= slab->run;
        n = 1;
    } else if (piece < slab->run) { /* the rest of a run that was cut */
        c->at -= slab->run - piece;
        n = 1;
    }
    c->left = slab->run;
    /* A loop that ends is rewound from its last iteration: int64 may not hold the address one
     * iteration further. */
    for (int d = slab->ndim - 1; d >= 0; d--) {
        if (c->index[d] + n < slab->count[d]) {
            c->index[d] += n;
            c->at += n * slab->stride[d];
            return;
        }
        c->at -= c->index[d] * slab->stride[d];
        c->index[d] = 0;
        n = 1;
    }
}

/* The pointers never alias: source and destination do not overlap. Pieces of one destination may
 * overlap, so they are copied one after another. */
static ALWAYS_INLINE void copy_each(char *restrict dst, int64_t dst_stride,
                                    const char *restrict src, int64_t src_stride, size_t piece,
                                    int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(dst + i * dst_stride, src + i * src_stride, piece);
}

static void copy_pieces(char *dst, int64_t dst_stride, const char *src, int64_t src_stride,
                        int64_t piece, int64_t n)
{
    switch (piece) {
    case 1:
        copy_each(dst, dst_stride, src, src_stride, 1, n);
        break;
    case 2:
        copy_each(dst, dst_stride, src, src_stride, 2, n);
        break;
    case 4:
        copy_each(dst, dst_stride, src, src_stride, 4, n);
        break;
    case 8:
        copy_each(dst, dst_stride, src, src_stride, 8, n);
        break;
    case 16:
        copy_each(dst, dst_stride, src, src_stride, 16, n);
        break;
    default:
        copy_each(dst, dst_stride, src, src_stride, (size_t)piece, n);
    }
}

#if defined(__SSE2__)
/* Rows into large memory bypass the caches, as a large memcpy does: an ordinary store first reads
 * the cache line that it overwrites (256 MiB in rows of 512 bytes: 0.37 of the rate of memcpy, this
 * way 0.9). */
static void stream_piece(char *dst, const char *src, size_t piece, const char *ahead)
{
    size_t head = -(uintptr_t)dst % LINE, i;

    memcpy(dst, src, head);
    for (i = head; i + LINE <= piece; i += LINE) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(src + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(src + i + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(src + i + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(src + i + 48));

        _mm_prefetch((const char *)((uintptr_t)ahead + i), _MM_HINT_T0);
        _mm_stream_si128((__m128i *)(void *)(dst + i), a);
        _mm_stream_si128((__m128i *)(void *)(dst + i + 16), b);
        _mm_stream_si128((__m128i *)(void *)(dst + i + 32), c);
        _mm_stream_si128((__m128i *)(void *)(dst + i + 48), d);
    }
    memcpy(dst + i, src + i, piece - i);
}

static void stream_pieces(char *dst, int64_t dst_stride, const char *src, int64_t src_stride,
                          int64_t piece, int64_t n)
{
    int64_t rows = STREAM_AHEAD / piece;

    for (int64_t i = 0; i < n; i++) {
        const char *row = src + i * src_stride;
        const char *ahead = src + nsh__min(i + rows, n - 1) * src_stride;

        /* In a long row the prefetch may go beyond its end, which does no harm. */
        if (rows == 0)
            ahead = (const char *)((uintptr_t)row + STREAM_AHEAD);
        stream_piece(dst + i * dst_stride, row, (size_t)piece, ahead);
    }
    /* Other ranks see the data through a release store, which does not order streaming stores. */
    _mm_sfence();
}
#else
#define stream_pieces copy_pieces
#endif

void nsh__slab_copy(void *dst_base, const nsh__slab *dst, const void *src_base,
                    const nsh__slab *src, int64_t from, int64_t n)
{
    cursor to, of;

    if (n <= 0)
        return;
    cursor_seek(&to, dst, from);
    cursor_seek(&of, src, from);
    for (;;) {
        /* The largest piece that is contiguous on both sides, and as many of them as both sides
         * have at one stride each: a contiguous side is cut to the runs of the other. */
        int64_t piece = nsh__min(n, nsh__min(to.left, of.left)), to_stride, of_stride;
        int64_t pieces =
            nsh__min(cursor_pieces(&to, piece, &to_stride), cursor_pieces(&of, piece, &of_stride));
        char *out = (char *)dst_base + to.at;
        const char *in = (const char *)src_base + of.at;

        if (piece * pieces > n)
            pieces = n / piece;
        if (dst->nbytes >= STREAM_BYTES && piece >= STREAM_PIECE && piece < STREAM_BYTES)
            stream_pieces(out, to_stride, in, of_stride, piece, pieces);
        else
            copy_pieces(out, to_stride, in, of_stride, piece, pieces);
        n -= piece * pieces;
        if (n == 0)
            return;
        cursor_advance(&to, piece, pieces);
        cursor_advance(&of, piece, pieces);
    }
}

/* The buffer of pack and unpack is a packed stream whose byte `from` is at its first address. Its
 * size is only n: a staging segment is small and read again soon, so it stays cached. */
static void slab_window(nsh__slab *slab, int64_t from, int64_t n)
{
    nsh__slab_packed(slab, from + n);
    slab->nbytes = n;
    slab->start = -from;
}

void nsh__slab_pack(void *out, const void *base, const nsh__slab *slab, int64_t from, int64_t n)
{
    nsh__slab buffer;

    slab_window(&buffer, from, n);
    nsh__slab_copy(out, &buffer, base, slab, from, n);
}

void nsh__slab_unpack(void *base, const nsh__slab *slab, int64_t from, int64_t n, const void *in)
{
    nsh__slab buffer;

    slab_window(&buffer, from, n);
    nsh__slab_copy(base, slab, in, &buffer, from, n);
}
