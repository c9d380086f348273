/* SPDX-License-Identifier: BSD-3-Clause */
/* test_file_part.c -- the boxes that make up a hyperslab, element by element; the bytes of a
 * dataset among nodes: each byte once, no page of the file twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "file/file_part.h"

#include <string.h>

enum { DIMS = 3, MOST = 24 * 24 * 24 };

static uint64_t seed = 1;

static int64_t draw(int64_t n) /* 0 .. n - 1 */
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

/* The box of every element of a hyperslab, from 1; each element is in one. */
static int number_boxes(int ndim, const int64_t *offset, const int64_t *count, int64_t item,
                        const int64_t *chunk, int *box_of)
{
    int boxes = 0;
    nsh__boxes b;

    nsh__boxes_begin(&b, ndim, offset, count, item, chunk);
    for (; !b.done; nsh__boxes_next(&b)) {
        int64_t elements = nsh__boxes_bytes(&b) / item;

        boxes++;
        for (int64_t e = 0; e < elements; e++) {
            int64_t rest = e, at = 0, pitch = 1;

            for (int d = ndim - 1; d >= 0; d--) {
                int64_t index = b.at[d] + rest % b.size[d];

                assert_true(index < count[d]);
                at += index * pitch;
                pitch *= count[d];
                rest /= b.size[d];
            }
            assert_int_equal(box_of[at], 0);
            box_of[at] = boxes;
        }
    }
    return boxes;
}

/* Elements of one chunk have one box, and no box is too large, or larger than one chunk. */
static void check_chunks(int ndim, const int64_t *offset, const int64_t *count, int64_t item,
                         const int64_t *chunk, const int *box_of, int boxes)
{
    static int box_of_chunk[MOST], elements_in[MOST + 1];
    int64_t elements = 1, least = 1;

    memset(box_of_chunk, 0, sizeof box_of_chunk);
    memset(elements_in, 0, sizeof elements_in);
    for (int d = 0; d < ndim; d++) {
        elements *= count[d];
        least *= chunk[d] < count[d] ? chunk[d] : count[d];
    }
    for (int64_t e = 0; e < elements; e++) {
        int64_t rest = e, number = 0, pitch = 1;

        for (int d = ndim - 1; d >= 0; d--) {
            number += (offset[d] + rest % count[d]) / chunk[d] * pitch;
            pitch *= 24;
            rest /= count[d];
        }
        assert_true(box_of[e] > 0);
        if (box_of_chunk[number] == 0)
            box_of_chunk[number] = box_of[e];
        assert_int_equal(box_of_chunk[number], box_of[e]);
        elements_in[box_of[e]]++;
    }
    for (int i = 1; i <= boxes; i++)
        assert_true(elements_in[i] <= least || elements_in[i] * item <= NSH__BOX);
}

static void test_boxes(void **state)
{
    static int box_of[MOST];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        int64_t offset[DIMS], count[DIMS], chunk[DIMS], item = (int64_t)1 << (16 + draw(9));
        int ndim = 1 + (int)draw(DIMS);

        for (int d = 0; d < ndim; d++) {
            count[d] = 1 + draw(12);
            offset[d] = draw(12);
            chunk[d] = 1 + draw(draw(2) == 0 ? 4 : 14);
        }
        memset(box_of, 0, sizeof box_of);
        check_chunks(ndim, offset, count, item, chunk, box_of,
                     number_boxes(ndim, offset, count, item, chunk, box_of));
    }
}

/* Without chunks boxes are contiguous in the packed hyperslab, one after the other. */
static void test_contiguous(void **state)
{
    const int64_t count[] = {5, 7, 100};
    int64_t next = 0;
    nsh__boxes b;
    nsh__slab slab;

    (void)state;
    nsh__boxes_begin(&b, 3, NULL, count, 1 << 20, NULL);
    for (; !b.done; nsh__boxes_next(&b)) {
        nsh__boxes_slab(&b, &slab);
        assert_int_equal(slab.ndim, 0);
        assert_int_equal(slab.start, next);
        assert_true(slab.nbytes <= NSH__BOX);
        next += slab.nbytes;
    }
    assert_int_equal(next, 5 * 7 * 100 * (INT64_C(1) << 20));
    nsh__boxes_begin(&b, 3, NULL, (int64_t[]){5, 0, 100}, 8, NULL);
    assert_true(b.done);
    nsh__boxes_begin(&b, 0, NULL, NULL, 8, NULL);
    assert_false(b.done);
    nsh__boxes_next(&b);
    assert_true(b.done);
}

/* ---- bytes among nodes ---- */

enum { MIB = 1 << 20 };

static int64_t cut_down(int64_t byte)
{
    return byte / MIB * MIB;
}

/* All parts of n bytes from `at` on, in order, cut at offsets of the file. */
static void check_parts(int64_t at, int64_t n, int parts)
{
    int64_t next = 0, begin = -1, end = -1, most = 0, least = INT64_MAX;

    for (int k = 0; k < parts; k++) {
        nsh__part_of_file(at, n, parts, k, &begin, &end);
        assert_int_equal(begin, next);
        assert_true(end >= begin && end <= n);
        if (end < n)
            assert_int_equal(end == 0 ? 0 : (at + end) % MIB, 0);
        most = end - begin > most ? end - begin : most;
        least = end - begin < least ? end - begin : least;
        next = end;
    }
    assert_int_equal(next, n);
    assert_true(most - least <= 2 * MIB);
    nsh__part_of_file(at, n, parts, parts, &begin, &end);
    assert_true(begin == n && end == n);
}

static void check_last(int64_t at, int64_t n)
{
    int64_t last = nsh__last_cut(at, n), cut = cut_down(at + n);

    assert_int_equal(last, cut > at ? cut - at : 0);
}

static void test_file_parts(void **state)
{
    const int64_t at[] = {0, 1, 2048, MIB - 1, MIB, MIB + 1, (INT64_C(5) << 40) + 12345};
    const int64_t n[] = {0,       1,           4095,         MIB - 2048,
                         MIB - 1, MIB,         MIB + 1,      3 * MIB - 1,
                         3 * MIB, 7 * MIB + 5, 64 * MIB - 7, (INT64_C(3) << 40) + 77};

    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
        for (size_t j = 0; j < sizeof n / sizeof n[0]; j++) {
            for (int parts = 1; parts < 9; parts++)
                check_parts(at[i], n[j], parts);
            check_last(at[i], n[j]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_boxes),
                                       cmocka_unit_test(test_contiguous),
                                       cmocka_unit_test(test_file_parts)};

    return cmocka_run_group_tests_name("parts", tests, NULL, NULL);
}
