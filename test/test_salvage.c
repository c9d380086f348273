/* SPDX-License-Identifier: BSD-3-Clause */
/* test_salvage.c -- a small journal with each of its bytes wrong in turn, and with worse damage. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <nodeshare.h>

#include "task/journal.h"
#include "task/journal_salvage.h"

enum { TASKS = 6, MOST = 1 << 16 };

static char directory[] = "/tmp/nsh-salvage-XXXXXX";
static char good[64], bad[64], mended[64];
static unsigned char bytes[MOST]; /* of the good journal */
static long size;
static int64_t told_at, told_bytes; /* the last stretch that was reported */

static void note(int64_t at, int64_t n)
{
    told_at = at;
    told_bytes = n;
}

static void write_file(const char *path, const unsigned char *data, long n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
}

static nsh_batch *open_journal(nsh_comm *comm, const char *path)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    nsh_batch *batch = NULL;

    options.quiet = 1;
    options.journal = path;
    options.result_type = MPI_INT64_T;
    options.result_count = 1;
    assert_int_equal(nsh_batch_create(comm, TASKS, &options, &batch), NSH_SUCCESS);
    return batch;
}

/* Six tasks, all of them done. */
static int setup(void **state)
{
    nsh_comm *comm = NULL;
    nsh_batch *batch;
    int64_t task;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(good, sizeof good, "%s/good", directory);
    snprintf(bad, sizeof bad, "%s/bad", directory);
    snprintf(mended, sizeof mended, "%s/mended", directory);
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    batch = open_journal(comm, good);
    while (nsh_batch_next(batch, &task) == NSH_SUCCESS && task >= 0) {
        int64_t result = 1000 + task;

        assert_int_equal(nsh_batch_finish(batch, task, NSH_TASK_DONE, &result), NSH_SUCCESS);
    }
    assert_int_equal(nsh_batch_free(&batch), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
    f = fopen(good, "rb");
    assert_non_null(f);
    size = (long)fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(size > NSH__JOURNAL_HEAD + TASKS * NSH__RECORD && size < MOST);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(good);
    unlink(bad);
    unlink(mended);
    return rmdir(directory);
}

/* How many tasks are DONE after a salvage, and each of them with its result. */
static int64_t done_in(const char *path)
{
    nsh_comm *comm = NULL;
    const int64_t extent = TASKS, *results;
    int64_t done = 0;
    nsh_array *array = NULL;
    nsh_task_state state;
    nsh_batch *batch;

    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    batch = open_journal(comm, path);
    assert_int_equal(nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &array), NSH_SUCCESS);
    assert_int_equal(nsh_batch_results(batch, array), NSH_SUCCESS);
    results = nsh_array_data(array);
    for (int64_t t = 0; t < TASKS; t++) {
        assert_int_equal(nsh_batch_state(batch, t, &state), NSH_SUCCESS);
        assert_int_equal(results[t], state == NSH_TASK_DONE ? 1000 + t : 0);
        done += state == NSH_TASK_DONE;
    }
    assert_int_equal(nsh_array_free(&array), NSH_SUCCESS);
    assert_int_equal(nsh_batch_free(&batch), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
    return done;
}

static void test_every_byte(void **state)
{
    static unsigned char copy[MOST];
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh__salvage all, found;
    int64_t lost = 0;

    (void)state;
    unlink(mended);
    assert_int_equal(nsh__journal_salvage(good, mended, note, &all), NSH_SUCCESS);
    assert_int_equal(all.stretches, 0);
    assert_int_equal(done_in(mended), TASKS);
    for (long i = 0; i < size; i++) {
        memcpy(copy, bytes, (size_t)size);
        copy[i] ^= (unsigned char)(1 + i * 37 % 255);
        write_file(bad, copy, size);
        unlink(mended);
        told_at = told_bytes = -1;
        assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_SUCCESS);
        if (i < NSH__JOURNAL_HEAD) {
            assert_true(found.mended && found.stretches == 0 && found.records == all.records);
        } else {
            assert_true(!found.mended && found.stretches == 1);
            assert_int_equal(found.records, all.records - 1);
            assert_true(told_at <= i && i < told_at + told_bytes && told_bytes == found.dropped);
        }
        assert_int_equal(nsh__journal_status(mended, &counts), NSH_SUCCESS);
        assert_true(counts.done >= TASKS - 1);
        lost += counts.done < TASKS;
        if (i % 16 == 0)
            assert_int_equal(done_in(mended), counts.done);
    }
    /* exactly where a byte of an end was wrong */
    assert_int_equal(lost, TASKS * (NSH__RECORD + (int64_t)sizeof(int64_t)));
}

/* Bytes are lost or come in at a place, so that all that follows has moved: a job refuses the
 * journal, and every record but the one that was hit is saved. */
static void test_moved(void **state)
{
    static unsigned char copy[MOST + 100];
    static const long shifts[] = {-48, -8, -1, 1, 8, 100};
    const long at = size / 2;
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh__salvage all, found;

    (void)state;
    unlink(mended);
    assert_int_equal(nsh__journal_salvage(good, mended, note, &all), NSH_SUCCESS);
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        long lost = shifts[i] < 0 ? -shifts[i] : 0, more = shifts[i] > 0 ? shifts[i] : 0;

        memcpy(copy, bytes, (size_t)at);
        memset(copy + at, '\r', (size_t)more);
        memcpy(copy + at + more, bytes + at + lost, (size_t)(size - at - lost));
        write_file(bad, copy, size + shifts[i]);
        assert_int_equal(nsh__journal_status(bad, &counts), NSH_ERR_FORMAT);
        unlink(mended);
        assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_SUCCESS);
        assert_true(found.records >= all.records - 2);
        assert_true(done_in(mended) >= TASKS - 2);
    }
    /* a block that is there twice counts once */
    memcpy(copy, bytes, (size_t)size);
    memcpy(copy + size, bytes + size - 100, 100);
    write_file(bad, copy, size + 100);
    assert_int_equal(nsh__journal_status(bad, &counts), NSH_ERR_FORMAT);
    unlink(mended);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_SUCCESS);
    assert_int_equal(found.records, all.records);
    assert_int_equal(done_in(mended), TASKS);
}

static void test_worse(void **state)
{
    static unsigned char copy[MOST];
    nsh__salvage found;

    (void)state;
    /* half a record at the end, and a stretch in the middle */
    memcpy(copy, bytes, (size_t)size);
    memset(copy + size / 2, 0xee, 50);
    write_file(bad, copy, size - 10);
    unlink(mended);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_SUCCESS);
    assert_int_equal(found.stretches, 2);
    assert_true(done_in(mended) >= TASKS - 4 && found.records > 0);
    /* nothing is overwritten, and what is no journal is refused */
    write_file(bad, bytes, size);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_ERR_EXISTS);
    assert_int_equal(nsh__journal_salvage(bad, bad, note, &found), NSH_ERR_EXISTS);
    unlink(mended);
    copy[9] ^= 1;
    copy[20] ^= 1;
    write_file(bad, copy, size);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_ERR_FORMAT);
    memcpy(copy, bytes, (size_t)size);
    copy[7] = '1';
    copy[30] ^= 1;
    write_file(bad, copy, size);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_ERR_FORMAT);
    assert_non_null(strstr(nsh_error_detail(), "another version"));
    write_file(bad, copy, 5);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_ERR_FORMAT);
    unlink(bad);
    assert_int_equal(nsh__journal_salvage(bad, mended, note, &found), NSH_ERR_NOT_FOUND);
    assert_int_not_equal(access(mended, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte),
                                       cmocka_unit_test(test_moved), cmocka_unit_test(test_worse)};

    return cmocka_run_group_tests_name("salvage", tests, setup, teardown);
}
