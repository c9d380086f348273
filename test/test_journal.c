/* SPDX-License-Identifier: BSD-3-Clause */
/* test_journal.c -- journals that are cut, flipped and invented, against a plain model of what they
 * say. NSH_FUZZ_SECONDS: how long (1); NSH_TEST_SEED. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <nodeshare.h>

#include "draw.h"
#include "task/journal.h"

enum { TASKS = 40, RESULT = 12, MOST_RECORDS = 200 };

static char path[] = "/tmp/nsh_test_journal_XXXXXX";

/* ---- a journal written through batches of one process ---- */

static nsh_batch_options options_of(nsh_batch_mode mode)
{
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;

    o.result_type = MPI_BYTE;
    o.result_count = RESULT;
    o.journal = path;
    o.mode = mode;
    o.quiet = 1;
    return o;
}

static int open_batch(nsh_comm *comm, nsh_batch_mode mode, nsh_batch **b)
{
    nsh_batch_options o = options_of(mode);

    return nsh_batch_create(comm, TASKS, &o, b);
}

/* What the tasks are: the test's own idea of it. */
typedef struct model {
    nsh_task_state state[TASKS];
    char result[TASKS][RESULT];
} model;

/* Some tasks are done, some fail, some are reopened; after every call the file has a length. */
static int write_some(nsh_comm *comm, int steps, model *m, model after[], int64_t length[])
{
    nsh_batch *b = NULL;
    int n = 0;

    memset(m, 0, sizeof *m);
    assert_int_equal(truncate(path, 0), 0); /* a header that is damaged may be no journal's */
    assert_int_equal(open_batch(comm, NSH_BATCH_OVERWRITE, &b), NSH_SUCCESS);
    for (int i = 0; i < steps; i++) {
        struct stat s;
        int64_t task = -1;

        assert_int_equal(nsh_batch_next(b, &task), NSH_SUCCESS);
        if (task < 0) {
            unsigned from = draw(2) ? NSH_BATCH_REOPEN_DONE : NSH_BATCH_REOPEN_FAILED;

            assert_int_equal(nsh_batch_reopen(b, from), NSH_SUCCESS);
            for (int t = 0; t < TASKS; t++)
                if (from & 1U << m->state[t]) {
                    m->state[t] = NSH_TASK_OPEN;
                    memset(m->result[t], 0, RESULT);
                }
        } else {
            nsh_task_state state = draw(4) ? NSH_TASK_DONE : NSH_TASK_FAILED;
            char result[RESULT];

            for (int k = 0; k < RESULT; k++)
                result[k] = (char)draw_word();
            assert_int_equal(nsh_batch_finish(b, task, state, result), NSH_SUCCESS);
            m->state[task] = state;
            if (state == NSH_TASK_DONE)
                memcpy(m->result[task], result, RESULT);
        }
        assert_int_equal(stat(path, &s), 0);
        after[n] = *m;
        length[n++] = (int64_t)s.st_size;
    }
    assert_int_equal(nsh_batch_free(&b), NSH_SUCCESS);
    return n;
}

static int64_t load(char **bytes)
{
    FILE *f = fopen(path, "rb");
    struct stat s;

    assert_non_null(f);
    assert_int_equal(stat(path, &s), 0);
    *bytes = malloc((size_t)s.st_size + 1);
    assert_non_null(*bytes);
    assert_int_equal(fread(*bytes, 1, (size_t)s.st_size, f), (size_t)s.st_size);
    fclose(f);
    return (int64_t)s.st_size;
}

static void store(const char *bytes, int64_t n)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, f), (size_t)n);
    assert_int_equal(fclose(f), 0);
}

/* The file is a header and whole records, to its last byte. */
static void check_whole(void)
{
    nsh__journal_table_area area;
    nsh__journal_table l = {.area = &area,
                            .states = calloc(TASKS, 1),
                            .attempts = calloc(TASKS, 1),
                            .results = calloc(TASKS, RESULT),
                            .tasks = TASKS,
                            .result_bytes = RESULT};
    char *bytes;
    int64_t n = load(&bytes) - NSH__JOURNAL_HEAD;

    nsh__journal_table_init(&l);
    assert_int_equal(nsh__journal_table_replay(&l, bytes + NSH__JOURNAL_HEAD, n, NSH__JOURNAL_HEAD),
                     n);
    free(bytes);
    free((void *)l.states);
    free(l.attempts);
    free(l.results);
}

/* The batch that the file resumes to is the model. */
static void check_model(nsh_comm *comm, const model *m)
{
    const int64_t extent = (int64_t)TASKS * RESULT;
    nsh_array *results = NULL;
    nsh_batch *b = NULL;
    nsh_task_state state;

    assert_int_equal(open_batch(comm, NSH_BATCH_RESUME, &b), NSH_SUCCESS);
    for (int t = 0; t < TASKS; t++) {
        assert_int_equal(nsh_batch_state(b, t, &state), NSH_SUCCESS);
        assert_int_equal(state, m->state[t]);
    }
    assert_int_equal(nsh_array_create(comm, MPI_BYTE, 1, &extent, NULL, &results), NSH_SUCCESS);
    assert_int_equal(nsh_batch_results(b, results), NSH_SUCCESS);
    assert_memory_equal(nsh_array_data(results), m->result, sizeof m->result);
    assert_int_equal(nsh_array_free(&results), NSH_SUCCESS);
    assert_int_equal(nsh_batch_free(&b), NSH_SUCCESS);
    check_whole();
}

/* ---- cut ---- */

/* At any length: what was reported by then is there, and nothing else. */
static void test_truncated(void **state)
{
    enum { STEPS = 70 };
    static model m, after[STEPS], none;
    int64_t length[STEPS], n;
    nsh_comm *comm = NULL;
    char *bytes;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    write_some(comm, STEPS, &m, after, length);
    n = load(&bytes);
    for (int64_t cut = 0; cut <= n; cut++) {
        int k = -1;

        while (k + 1 < STEPS && length[k + 1] <= cut)
            k++;
        if (cut > 600 && cut % 5 != 0 && (k < 0 || length[k] != cut))
            continue; /* the rest repeats */
        store(bytes, cut);
        check_model(comm, k >= 0 ? &after[k] : &none);
    }
    free(bytes);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- flipped ---- */

/* A flipped bit is found: FORMAT, unless it is in the last record, which then is cut off. */
static void test_flipped(void **state)
{
    enum { STEPS = 60 };
    static model m, after[STEPS];
    int64_t length[STEPS], n;
    nsh_comm *comm = NULL;
    nsh_batch *b = NULL;
    char *bytes;
    int k;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    k = write_some(comm, STEPS, &m, after, length);
    n = load(&bytes);
    while (k > 0 && length[k - 1] >= n) /* free may have written another record */
        k--;
    for (int i = 0; i < 600; i++) {
        int64_t at = i < 64 ? i : draw(n);

        bytes[at] = (char)(bytes[at] ^ 1 << draw(8));
        store(bytes, n);
        if (at < length[k - 1] && at < n - NSH__RECORD - RESULT - 4) {
            assert_int_equal(open_batch(comm, NSH_BATCH_RESUME, &b), NSH_ERR_FORMAT);
            assert_null(b);
        } else if (open_batch(comm, NSH_BATCH_RESUME, &b) == NSH_SUCCESS) {
            assert_int_equal(nsh_batch_free(&b), NSH_SUCCESS);
        }
        free(bytes);
        write_some(comm, STEPS, &m, after, length);
        n = load(&bytes);
    }
    free(bytes);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- invented ---- */

/* Records that nobody would write, with good checksums, and noise: whatever comes, the counts are
 * those of the states, and what is read stays inside. */
static void replay_noise(nsh__journal_table *l, char *bytes)
{
    int64_t n = 0, used;
    int64_t count[4] = {0, 0, 0, 0}, running = 0, fresh = 0;

    nsh__journal_table_init(l);
    memset((void *)l->states, 0, TASKS);
    memset(l->attempts, 0, TASKS);
    memset(l->results, 0, TASKS * RESULT);
    for (int i = 0; i < 30; i++) {
        char result[sizeof(nsh__job)];
        nsh__record r = {.kind = (uint8_t)draw(NSH__RECORD_KINDS + 1),
                         .state = (uint8_t)draw(5),
                         .slot = (uint16_t)draw(NSH__SLOTS + 2),
                         .value = (uint32_t)draw(16),
                         .first = draw(TASKS + 2) - 1};

        for (size_t k = 0; k < sizeof result; k++)
            result[k] = (char)draw_word();
        r.last = r.first + draw(6) - 1;
        if (r.kind == NSH__RECORD_END && r.state == NSH_TASK_DONE)
            r.result_bytes = RESULT;
        if (r.kind == NSH__RECORD_JOIN)
            r.result_bytes = (int64_t)sizeof(nsh__job);
        nsh__record_write(&r, result, n, bytes + n);
        if (draw(20) == 0)
            bytes[n + draw(NSH__RECORD)] ^= 1;
        n += nsh__record_bytes(&r);
    }
    used = nsh__journal_table_replay(l, bytes, n, 0);
    assert_true(used >= 0 && used <= n);
    nsh__journal_table_any_record(l, bytes + used, n - used);
    for (int t = 0; t < TASKS; t++)
        fresh += l->states[t] == NSH_TASK_OPEN && l->attempts[t] == 0;
    for (int t = 0; t < TASKS; t++)
        count[l->states[t] & NSH__STATE_MASK]++;
    for (int s = 0; s < NSH__SLOTS; s++)
        running += l->area->running[s];
    assert_int_equal(l->area->open, count[NSH_TASK_OPEN]);
    assert_int_equal(l->area->fresh, fresh);
    assert_int_equal(running, count[NSH_TASK_RUNNING]);
    assert_int_equal(l->area->done, count[NSH_TASK_DONE]);
    assert_int_equal(l->area->failed, count[NSH_TASK_FAILED]);
    for (int64_t t = 0; t < l->area->lowest && t < TASKS; t++)
        assert_true((l->states[t] & NSH__STATE_MASK) != NSH_TASK_OPEN || l->attempts[t] > 0);
}

/* A job never reads that its own slot was released, but from one that does not see its locks. */
static void test_robbed(void **state)
{
    const nsh__record back = {.kind = NSH__RECORD_RELEASE, .slot = 3};
    _Atomic unsigned char states[5] = {0};
    nsh__journal_table_area area;
    nsh__journal_table l = {.area = &area, .states = states, .tasks = 5, .slot = 2};
    char bytes[NSH__RECORD];

    (void)state;
    nsh__journal_table_init(&l);
    nsh__record_write(&back, NULL, NSH__JOURNAL_HEAD, bytes);
    assert_int_equal(nsh__journal_table_replay(&l, bytes, sizeof bytes, NSH__JOURNAL_HEAD),
                     NSH__RECORD);
    assert_false(area.robbed);
    l.slot = 3;
    assert_int_equal(nsh__journal_table_replay(&l, bytes, sizeof bytes, NSH__JOURNAL_HEAD),
                     NSH__RECORD);
    assert_true(area.robbed);
}

/* Slot 0 takes tasks 0 .. 2, ends 1, and is gone: 3 comes next, then 0 and 2; what is given back,
 * or reopened after it has ended, counts for nothing. */
static void test_attempts(void **state)
{
    static const nsh__job job = {.pid = 17, .host = "c01"};
    nsh__record join = {.kind = NSH__RECORD_JOIN, .value = 1, .result_bytes = (int64_t)sizeof job},
                claim = {.kind = NSH__RECORD_CLAIM, .last = 3},
                end = {.kind = NSH__RECORD_END, .state = NSH_TASK_FAILED, .first = 1, .last = 2},
                back = {.kind = NSH__RECORD_RELEASE, .state = NSH__GIVEN_BACK},
                reopened = {.kind = NSH__RECORD_REOPEN, .value = 1U << NSH_TASK_FAILED};
    _Atomic unsigned char states[5] = {0};
    unsigned char attempts[5] = {0};
    nsh__journal_table_area area;
    nsh__journal_table l = {.area = &area, .states = states, .tasks = 5, .attempts = attempts};
    int64_t first, last;

    (void)state;
    nsh__journal_table_init(&l);
    nsh__journal_table_apply(&l, &join, (const char *)&job);
    nsh__journal_table_apply(&l, &claim, NULL);
    nsh__journal_table_apply(&l, &end, NULL);
    nsh__journal_table_apply(&l, &join, (const char *)&job);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 3 && last == 5);
    claim.first = 3;
    claim.last = 5;
    nsh__journal_table_apply(&l, &claim, NULL);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 0 && last == 1); /* one at a time */
    nsh__journal_table_apply(&l, &back, NULL);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 3 && last == 5);
    nsh__journal_table_apply(&l, &claim, NULL);
    nsh__journal_table_apply(&l, &reopened, NULL);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 1 && last == 2);
    claim.first = 0;
    claim.last = 1;
    nsh__journal_table_apply(&l, &claim, NULL);
    nsh__journal_table_apply(&l, &join, (const char *)&job); /* 0 a second time, 3 and 4 */
    claim.first = 1;
    claim.last = 2;
    nsh__journal_table_apply(&l, &claim, NULL);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 2 && last == 3 && attempts[0] == 2 && attempts[4] == 1);
    end.first = 0;
    end.last = 1;
    nsh__journal_table_apply(&l, &end, NULL);
    nsh__journal_table_apply(&l, &reopened, NULL);
    nsh__journal_table_find(&l, 9, &first, &last);
    assert_true(first == 0 && last == 1 && attempts[0] == 0); /* like one that never ran */
    assert_string_equal(area.jobs[0].host, "c01");
}

/* Bytes of a good journal, some changed: any answer, but no other harm, and status agrees. */
static void damage_file(nsh_comm *comm, const char *good, int64_t n)
{
    int64_t length = draw(8) ? n : draw(n + 1);
    char *bytes = malloc((size_t)n + 64);
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;
    nsh_batch *b = NULL;
    int rc;

    assert_non_null(bytes);
    memcpy(bytes, good, (size_t)n);
    for (int64_t i = draw(6); i > 0 && length > 0; i--)
        bytes[draw(length)] = (char)draw_word();
    store(bytes, length);
    rc = nsh__journal_status(path, &counts);
    if (rc == NSH_SUCCESS)
        assert_int_equal(counts.open + counts.running + counts.done + counts.failed, TASKS);
    rc = open_batch(comm, NSH_BATCH_RESUME, &b);
    if (rc == NSH_SUCCESS)
        assert_int_equal(nsh_batch_free(&b), NSH_SUCCESS);
    else
        assert_true(rc == NSH_ERR_FORMAT || rc == NSH_ERR_MISMATCH);
    free(bytes);
}

static void test_invented(void **state)
{
    enum { STEPS = 60 };
    static model m, after[STEPS];
    const char *wish = getenv("NSH_FUZZ_SECONDS");
    time_t until = time(NULL) + (wish != NULL ? atoi(wish) : 1);
    nsh__journal_table_area area;
    char *bytes = malloc(30 * (NSH__RECORD + sizeof(nsh__job))), *good;
    nsh__journal_table l = {.area = &area,
                            .states = calloc(TASKS, 1),
                            .attempts = calloc(TASKS, 1),
                            .results = calloc(TASKS, RESULT),
                            .tasks = TASKS,
                            .result_bytes = RESULT};
    int64_t length[STEPS], n, rounds = 0;
    nsh_comm *comm = NULL;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    write_some(comm, STEPS, &m, after, length);
    n = load(&good);
    do {
        for (int i = 0; i < 50; i++)
            replay_noise(&l, bytes);
        damage_file(comm, good, n);
        rounds++;
    } while (time(NULL) < until);
    print_message("# %lld rounds\n", (long long)rounds);
    free(good);
    free(bytes);
    free((void *)l.states);
    free(l.attempts);
    free(l.results);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- nsh reset ---- */

static int syncs, failing_syncs;

/* In place of libc's. */
int fdatasync(int fd)
{
    (void)fd;
    syncs++;
    if (failing_syncs-- <= 0)
        return 0;
    errno = EIO;
    return -1;
}

static void test_reset(void **state)
{
    const unsigned ended = 1U << NSH_TASK_FAILED | 1U << NSH_TASK_DONE;
    static model m, after[20];
    int64_t length[20];
    nsh_comm *comm = NULL;
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    write_some(comm, 20, &m, after, length);
    syncs = 0;
    assert_int_equal(nsh__journal_reset(path, ended), NSH_SUCCESS);
    assert_int_equal(syncs, 1); /* it is on the disk */
    assert_int_equal(nsh__journal_status(path, &counts), NSH_SUCCESS);
    assert_int_equal(counts.open, TASKS);
    failing_syncs = 1;
    assert_int_equal(nsh__journal_reset(path, ended), NSH_ERR_IO);
    failing_syncs = 0;
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_robbed),    cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_invented),  cmocka_unit_test(test_reset)};
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    if (getenv("NSH_TEST_SEED") != NULL)
        seed = strtoull(getenv("NSH_TEST_SEED"), NULL, 0);
    failed = cmocka_run_group_tests_name("journal", tests, NULL, NULL);
    unlink(path);
    return failed;
}
