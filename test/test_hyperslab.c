/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hyperslab.c -- offset/count arithmetic and copies against element-by-element loops.
 *
 * Invariant: every expected byte comes from a map that was built with one nested index loop and
 * knows nothing of runs, merging or odometers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hyperslab.h"
#include "draw.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 6000, DIMS = 8 };

/* A slab, the buffer it lies in (no byte larger than it must be, for the address sanitizer), and
 * where each byte of its stream is. */
typedef struct sample {
    nsh__slab slab;
    int64_t low, high;
    unsigned char *memory, *base;
    int64_t map[MAX_BYTES];
} sample;

static void fill(unsigned char *bytes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)draw(256);
}

static int64_t product(int ndim, const int64_t count[])
{
    int64_t n = 1;

    for (int d = 0; d < ndim; d++)
        n *= count[d];
    return n;
}

/* The oracle: byte offsets of the stream, element by element. */
static void map_stream(sample *s, int ndim, const int64_t offset[], const int64_t count[],
                       const int64_t pitch[], int64_t itemsize)
{
    int64_t elements = product(ndim, count);

    s->low = s->high = 0;
    for (int64_t e = 0; e < elements; e++) {
        int64_t rest = e, at = 0;

        for (int d = ndim - 1; d >= 0; d--) {
            at += (offset[d] + rest % count[d]) * pitch[d];
            rest /= count[d];
        }
        if (e == 0) {
            s->low = at;
            s->high = at + itemsize;
        }
        s->low = at < s->low ? at : s->low;
        s->high = at + itemsize > s->high ? at + itemsize : s->high;
        for (int64_t b = 0; b < itemsize; b++)
            s->map[e * itemsize + b] = at + b;
    }
}

static void sample_place(sample *s)
{
    int64_t low, high;

    nsh__slab_bounds(&s->slab, &low, &high);
    assert_int_equal(low, s->low);
    assert_int_equal(high, s->high);
    low = low > 0 ? 0 : low;
    s->memory = malloc((size_t)(high - low + 1));
    assert_non_null(s->memory);
    s->base = s->memory - low;
    fill(s->memory, high - low);
    s->low = low;
}

/* nbytes as a random shape of items; the dimensions of length 1 among them matter too. */
static int draw_shape(int64_t nbytes, int64_t count[], int64_t *itemsize)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 8, 12, 16, 24, 40};
    int ndim = (int)draw(DIMS + 1);
    int64_t n;

    do
        *itemsize = sizes[draw(9)];
    while (nbytes % *itemsize != 0);
    n = nbytes / *itemsize;
    if (ndim == 0 && n != 1)
        ndim = 1;
    for (int d = 0; d < ndim; d++) {
        int64_t factor = 1 + draw(12);

        while (n == 0 ? false : n % factor != 0)
            factor--;
        if (n == 0)
            factor = draw(3);
        count[d] = factor;
        n = n == 0 ? 0 : n / factor;
    }
    if (ndim > 0 && n != 1) /* whatever remains, in a random place */
        count[draw(ndim)] *= n;
    return ndim;
}

static void draw_hyperslab(sample *s, int64_t nbytes)
{
    int64_t count[DIMS], offset[DIMS], extent[DIMS], pitch[DIMS], itemsize, next;
    int ndim = draw_shape(nbytes, count, &itemsize);
    bool whole = draw(4) == 0;

    for (int d = 0; d < ndim; d++)
        extent[d] = count[d];
    for (int d = 0; d < ndim; d++) {
        bool cut = !whole && product(ndim, extent) < (1 << 20) && draw(2) == 0;

        offset[d] = cut ? draw(3) : 0;
        extent[d] = offset[d] + count[d] + (cut ? draw(3) : 0);
    }
    next = itemsize;
    for (int d = ndim - 1; d >= 0; d--) {
        pitch[d] = next;
        next *= extent[d];
    }
    map_stream(s, ndim, offset, count, pitch, itemsize);
    assert_int_equal(nsh__hyperslab_outside(ndim, extent, offset, count), -1);
    nsh__slab_of(&s->slab, ndim, extent, whole && draw(2) ? NULL : offset,
                 whole && draw(2) ? NULL : count, itemsize);
    if (whole)
        assert_int_equal(s->slab.ndim, 0);
}

static void draw_strided(sample *s, int64_t nbytes, bool distinct)
{
    static const int64_t zero[DIMS];
    int64_t count[DIMS], stride[DIMS], pitch[DIMS], itemsize, next = 1;
    int ndim = draw_shape(nbytes, count, &itemsize);
    bool packed = draw(6) == 0;

    for (int d = ndim - 1; d >= 0; d--) {
        stride[d] = next;
        if (!packed && distinct)
            stride[d] = (next + draw(3)) * (draw(3) == 0 ? -1 : 1);
        else if (!packed)
            stride[d] = draw(41) - 20;
        next = (stride[d] < 0 ? -stride[d] : stride[d]) * count[d];
        pitch[d] = stride[d] * itemsize;
    }
    map_stream(s, ndim, zero, count, pitch, itemsize);
    assert_true(
        nsh__slab_strided(&s->slab, ndim, count, packed && draw(2) ? NULL : stride, itemsize));
    if (packed)
        assert_int_equal(s->slab.ndim, 0);
}

static void draw_sample(sample *s, int64_t nbytes, bool distinct)
{
    switch (draw(5)) {
    case 0:
        nsh__slab_packed(&s->slab, nbytes);
        map_stream(s, 1, (int64_t[]){0}, &nbytes, (int64_t[]){1}, 1);
        break;
    case 1:
    case 2:
        draw_hyperslab(s, nbytes);
        break;
    default:
        draw_strided(s, nbytes, distinct);
    }
    assert_int_equal(s->slab.nbytes, nbytes);
    sample_place(s);
}

static int64_t draw_nbytes(void)
{
    switch (draw(8)) {
    case 0:
        return draw(MAX_BYTES + 1);
    case 1:
        return 0;
    default: /* many divisors, so that shapes have many dimensions */
        return 240 * (1 + draw(MAX_BYTES / 240));
    }
}

static void draw_cut(int64_t nbytes, int64_t *from, int64_t *n)
{
    *from = draw(4) == 0 ? 0 : draw(nbytes + 1);
    *n = draw(4) == 0 ? nbytes - *from : draw(nbytes - *from + 1);
}

static void test_pack_any_cut(void **state)
{
    static sample s;

    (void)state;
    seed = 1;
    for (int round = 0; round < 3000; round++) {
        int64_t nbytes = draw_nbytes(), from, n;

        draw_sample(&s, nbytes, false);
        for (int cut = 0; cut < 4; cut++) {
            unsigned char *out;

            draw_cut(nbytes, &from, &n);
            out = malloc((size_t)n + 1);
            assert_non_null(out);
            nsh__slab_pack(out, s.base, &s.slab, from, n);
            for (int64_t i = 0; i < n; i++)
                assert_int_equal(out[i], s.base[s.map[from + i]]);
            free(out);
        }
        free(s.memory);
    }
}

/* Whole memories are compared, so that a byte written beside the slab is seen; where elements share
 * memory the last one of the stream stays. */
static void test_unpack_any_cut(void **state)
{
    static sample s;

    (void)state;
    seed = 2;
    for (int round = 0; round < 3000; round++) {
        int64_t nbytes = draw_nbytes(), from, n, low, high;
        unsigned char *in, *expected;

        draw_sample(&s, nbytes, false);
        nsh__slab_bounds(&s.slab, &low, &high);
        draw_cut(nbytes, &from, &n);
        in = malloc((size_t)n + 1);
        expected = malloc((size_t)(high - s.low) + 1);
        assert_true(in != NULL && expected != NULL);
        fill(in, n);
        memcpy(expected, s.memory, (size_t)(high - s.low));
        for (int64_t i = 0; i < n; i++)
            expected[s.map[from + i] - s.low] = in[i];
        nsh__slab_unpack(s.base, &s.slab, from, n, in);
        assert_memory_equal(s.memory, expected, (size_t)(high - s.low));
        free(expected);
        free(in);
        free(s.memory);
    }
}

static void test_copy_between_forms(void **state)
{
    static sample src, dst;

    (void)state;
    seed = 3;
    for (int round = 0; round < 4000; round++) {
        int64_t nbytes = draw_nbytes(), from, n, low, high;
        unsigned char *expected;

        draw_sample(&src, nbytes, false);
        draw_sample(&dst, nbytes, draw(2) == 0);
        nsh__slab_bounds(&dst.slab, &low, &high);
        draw_cut(nbytes, &from, &n);
        expected = malloc((size_t)(high - dst.low) + 1);
        assert_non_null(expected);
        memcpy(expected, dst.memory, (size_t)(high - dst.low));
        for (int64_t i = from; i < from + n; i++)
            expected[dst.map[i] - dst.low] = src.base[src.map[i]];
        nsh__slab_copy(dst.base, &dst.slab, src.base, &src.slab, from, n);
        assert_memory_equal(dst.memory, expected, (size_t)(high - dst.low));
        free(expected);
        free(src.memory);
        free(dst.memory);
    }
}

/* Above a size the copy bypasses the caches: rows that begin and end anywhere in a cache line. */
static void test_copy_big(void **state)
{
    int64_t rows = 70000, pitch = 611;
    unsigned char *a = malloc((size_t)(rows * pitch)), *b = calloc((size_t)(rows * pitch), 1);

    (void)state;
    assert_true(a != NULL && b != NULL);
    seed = 4;
    for (int64_t i = 0; i < rows * pitch; i++)
        a[i] = (unsigned char)(i * 31 + i / 256);
    for (int64_t row = 509; row <= 517; row += 4) {
        nsh__slab s, t;
        int64_t wrong = 0;

        nsh__slab_of(&s, 2, (int64_t[]){rows, pitch}, (int64_t[]){0, 7}, (int64_t[]){rows, row}, 1);
        assert_true(nsh__slab_strided(&t, 2, (int64_t[]){rows, row}, (int64_t[]){pitch, 1}, 1));
        memset(b, 0, (size_t)(rows * pitch));
        nsh__slab_copy(b, &s, a, &t, 0, s.nbytes);
        for (int64_t i = 0; i < rows * pitch; i++) {
            int64_t column = i % pitch;
            bool inside = column >= 7 && column < 7 + row;

            wrong += b[i] != (inside ? a[i - 7] : 0);
        }
        assert_int_equal(wrong, 0);
        /* out of a matrix, into packed memory, with both ends cut */
        nsh__slab_pack(b, a, &t, 100, t.nbytes - 111);
        for (int64_t i = 100; i < t.nbytes - 11; i++)
            wrong += b[i - 100] != a[i / row * pitch + i % row];
        assert_int_equal(wrong, 0);
        /* and through small segments */
        memset(b, 0, (size_t)(rows * pitch));
        for (int64_t from = 0; from < s.nbytes; from += 1 << 20)
            nsh__slab_unpack(b, &s, from, from + (1 << 20) < s.nbytes ? 1 << 20 : s.nbytes - from,
                             a + from);
        for (int64_t i = 0; i < s.nbytes; i++)
            wrong += b[i / row * pitch + 7 + i % row] != a[i];
        assert_int_equal(wrong, 0);
    }
    free(a);
    free(b);
}

/* Where a stream stands at a place of the array. */
static void test_before(void **state)
{
    static sample s;

    (void)state;
    seed = 6;
    for (int round = 0; round < 1000; round++) {
        int64_t nbytes = draw_nbytes(), at, before = 0;

        draw_hyperslab(&s, nbytes);
        for (int64_t i = 0; i < nbytes; i += 1 + draw(50))
            assert_int_equal(nsh__slab_at(&s.slab, i), s.map[i]);
        at = draw(s.high + 10);
        for (int64_t i = 0; i < nbytes; i++)
            before += s.map[i] < at;
        assert_int_equal(nsh__slab_before(&s.slab, at), before);
    }
}

static void test_merging(void **state)
{
    nsh__slab s;

    (void)state;
    nsh__slab_of(&s, 0, NULL, NULL, NULL, 8); /* ndim 0 is one element */
    assert_int_equal(s.nbytes, 8);
    assert_int_equal(s.run, 8);
    assert_int_equal(s.ndim, 0);

    /* full rows of a matrix are one run; the outer two of four dimensions are one loop */
    nsh__slab_of(&s, 2, (int64_t[]){10, 5}, (int64_t[]){2, 0}, (int64_t[]){3, 5}, 4);
    assert_int_equal(s.ndim, 0);
    assert_int_equal(s.start, 40);
    assert_int_equal(s.run, 60);
    nsh__slab_of(&s, 4, (int64_t[]){2, 3, 8, 5}, (int64_t[]){0, 0, 1, 0}, (int64_t[]){2, 3, 4, 5},
                 2);
    assert_int_equal(s.ndim, 1);
    assert_int_equal(s.start, 10);
    assert_int_equal(s.run, 40);
    assert_int_equal(s.count[0], 6);
    assert_int_equal(s.stride[0], 80);

    /* a dimension of one element is no loop, whatever its stride */
    assert_true(nsh__slab_strided(&s, 3, (int64_t[]){4, 1, 3}, (int64_t[]){6, INT64_MAX, 2}, 8));
    assert_int_equal(s.ndim, 1);
    assert_int_equal(s.count[0], 12);
    assert_int_equal(s.stride[0], 16);
    assert_int_equal(s.run, 8);
}

/* Streams and strides that no memory holds are still walked correctly. */
static void test_far_positions(void **state)
{
    int64_t big = (int64_t)1 << 40, low, high;
    unsigned char one[3] = {7, 8, 9}, out[8];
    nsh__slab s;

    (void)state;
    assert_true(nsh__slab_strided(&s, 1, &big, (int64_t[]){0}, 3));
    assert_int_equal(s.nbytes, 3 * big);
    nsh__slab_bounds(&s, &low, &high);
    assert_int_equal(low, 0);
    assert_int_equal(high, 3);
    nsh__slab_pack(out, one, &s, 3 * big - 8, 8);
    assert_memory_equal(out, ((unsigned char[]){8, 9, 7, 8, 9, 7, 8, 9}), 8);

    nsh__slab_of(&s, 2, (int64_t[]){big, 1 << 20}, (int64_t[]){big - 1, 5}, (int64_t[]){1, 2}, 4);
    assert_int_equal(s.start, ((big - 1) * (1 << 20) + 5) * 4);
    assert_int_equal(s.run, 8);

    /* the address one iteration beyond the last would overflow */
    assert_true(nsh__slab_strided(&s, 2, (int64_t[]){2, 2}, (int64_t[]){INT64_MAX - 2, 1}, 1));
    nsh__slab_bounds(&s, &low, &high);
    assert_int_equal(high, INT64_MAX);
    assert_true(nsh__slab_strided(&s, 1, (int64_t[]){2}, (int64_t[]){INT64_MIN}, 1));
    nsh__slab_bounds(&s, &low, &high);
    assert_int_equal(low, INT64_MIN);
    assert_int_equal(high, 1);
}

static void test_strided_overflow(void **state)
{
    int64_t half = INT64_MAX / 2 + 1;
    nsh__slab s;

    (void)state;
    assert_false(nsh__slab_strided(&s, 1, (int64_t[]){3}, &half, 1));
    assert_int_equal(s.nbytes, 0);
    assert_false(nsh__slab_strided(&s, 1, (int64_t[]){2}, &half, 2));
    assert_false(nsh__slab_strided(&s, 2, (int64_t[]){2, 2}, (int64_t[]){half, half}, 1));
    assert_true(nsh__slab_strided(&s, 2, (int64_t[]){2, 2}, (int64_t[]){half, -half}, 1));
    assert_false(nsh__slab_strided(&s, 1, (int64_t[]){2}, (int64_t[]){INT64_MAX}, 1));
    assert_true(nsh__slab_strided(&s, 1, (int64_t[]){2}, (int64_t[]){INT64_MAX - 1}, 1));
    assert_false(nsh__slab_strided(&s, 1, (int64_t[]){3}, (int64_t[]){INT64_MIN}, 1));
    assert_false(nsh__slab_strided(&s, 2, (int64_t[]){2, 2}, (int64_t[]){INT64_MIN, -1}, 1));
    assert_false(nsh__slab_strided(&s, 2, (int64_t[]){half, 2}, (int64_t[]){0, 0}, 1));
    assert_false(nsh__slab_strided(&s, 2, (int64_t[]){half, 2}, NULL, 1));
    assert_false(nsh__slab_strided(&s, 1, (int64_t[]){-1}, NULL, 1));
    assert_true(nsh__slab_strided(&s, 2, (int64_t[]){INT64_MAX, 0}, (int64_t[]){INT64_MAX, 1}, 8));
    assert_int_equal(s.nbytes, 0);
}

static void test_empty(void **state)
{
    int64_t low = 1, high = 1;
    nsh__slab s;

    (void)state;
    nsh__slab_of(&s, 3, (int64_t[]){0, INT64_MAX, INT64_MAX}, NULL, NULL, 8);
    assert_int_equal(s.nbytes, 0);
    nsh__slab_bounds(&s, &low, &high);
    assert_int_equal(low, 0);
    assert_int_equal(high, 0);
    nsh__slab_of(&s, 2, (int64_t[]){4, 4}, (int64_t[]){4, 1}, (int64_t[]){0, 2}, 8);
    assert_int_equal(s.nbytes, 0);
    nsh__slab_copy(NULL, &s, NULL, &s, 0, 0);
    nsh__slab_pack(NULL, NULL, &s, 0, 0);
    nsh__slab_unpack(NULL, &s, 0, 0, NULL);
    nsh__slab_packed(&s, 0);
    nsh__slab_bounds(&s, &low, &high);
    assert_int_equal(high, 0);
}

static void test_shape_size(void **state)
{
    int64_t size = -1, nbytes = -1;

    (void)state;
    assert_true(nsh__shape_size(0, NULL, 8, &size, &nbytes));
    assert_int_equal(size, 1);
    assert_int_equal(nbytes, 8);
    assert_true(nsh__shape_size(3, (int64_t[]){2, 3, 5}, 4, &size, &nbytes));
    assert_int_equal(size, 30);
    assert_int_equal(nbytes, 120);
    assert_true(nsh__shape_size(3, (int64_t[]){INT64_MAX, INT64_MAX, 0}, 8, &size, &nbytes));
    assert_int_equal(size, 0);
    assert_int_equal(nbytes, 0);
    assert_true(nsh__shape_size(1, (int64_t[]){INT64_MAX}, 1, &size, &nbytes));
    assert_int_equal(nbytes, INT64_MAX);

    size = nbytes = -1; /* outputs on success only */
    assert_false(nsh__shape_size(2, (int64_t[]){0, -1}, 8, &size, &nbytes));
    assert_false(nsh__shape_size(2, (int64_t[]){-1, 0}, 8, &size, &nbytes));
    assert_false(nsh__shape_size(1, (int64_t[]){INT64_MAX / 8 + 1}, 8, &size, &nbytes));
    assert_false(
        nsh__shape_size(2, (int64_t[]){(int64_t)1 << 32, (int64_t)1 << 31}, 1, &size, &nbytes));
    assert_int_equal(size, -1);
    assert_int_equal(nbytes, -1);
}

static void test_outside(void **state)
{
    const int64_t extent[] = {5, 0, INT64_MAX};

    (void)state;
    assert_int_equal(nsh__hyperslab_outside(0, NULL, NULL, NULL), -1);
    assert_int_equal(nsh__hyperslab_outside(3, extent, NULL, NULL), -1);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){3}, (int64_t[]){2}), -1);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){3}, (int64_t[]){3}), 0);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){-1}, (int64_t[]){1}), 0);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){0}, (int64_t[]){-1}), 0);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){1}, NULL), 0);
    assert_int_equal(nsh__hyperslab_outside(1, extent, NULL, (int64_t[]){6}), 0);
    /* empty ones: at the end is within, beyond it is not */
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){5}, (int64_t[]){0}), -1);
    assert_int_equal(nsh__hyperslab_outside(1, extent, (int64_t[]){6}, (int64_t[]){0}), 0);
    assert_int_equal(nsh__hyperslab_outside(2, extent, NULL, (int64_t[]){5, 1}), 1);
    /* offset + count overflows */
    assert_int_equal(
        nsh__hyperslab_outside(3, extent, (int64_t[]){0, 0, 2}, (int64_t[]){5, 0, INT64_MAX - 1}),
        2);
    assert_int_equal(nsh__hyperslab_outside(3, extent, (int64_t[]){0, 0, INT64_MAX},
                                            (int64_t[]){5, 0, INT64_MAX}),
                     2);
    assert_int_equal(
        nsh__hyperslab_outside(3, extent, (int64_t[]){0, 0, 2}, (int64_t[]){5, 0, INT64_MAX - 2}),
        -1);
}

static void test_overlap(void **state)
{
    (void)state;
    assert_true(nsh__hyperslabs_overlap(0, NULL, NULL, NULL, NULL));
    seed = 5;
    for (int round = 0; round < 20000; round++) {
        int64_t offset[2][3], count[2][3], shared = 1;
        int ndim = 1 + (int)draw(3);

        for (int d = 0; d < ndim; d++) {
            int64_t both = 0;

            for (int k = 0; k < 2; k++) {
                offset[k][d] = draw(6);
                count[k][d] = draw(12) == 0 ? 0 : 1 + draw(4);
            }
            for (int64_t i = 0; i < 12; i++)
                both += i >= offset[0][d] && i < offset[0][d] + count[0][d] && i >= offset[1][d] &&
                        i < offset[1][d] + count[1][d];
            shared *= both;
        }
        assert_int_equal(nsh__hyperslabs_overlap(ndim, offset[0], count[0], offset[1], count[1]),
                         shared > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_size),     cmocka_unit_test(test_outside),
        cmocka_unit_test(test_overlap),        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_empty),          cmocka_unit_test(test_strided_overflow),
        cmocka_unit_test(test_far_positions),  cmocka_unit_test(test_pack_any_cut),
        cmocka_unit_test(test_unpack_any_cut), cmocka_unit_test(test_copy_between_forms),
        cmocka_unit_test(test_copy_big),       cmocka_unit_test(test_before),
    };

    return cmocka_run_group_tests_name("hyperslab", tests, NULL, NULL);
}
