/* SPDX-License-Identifier: BSD-3-Clause */
/* test_asserts.c -- each assertion ends a process in which its invariant does not hold, and says
 * what it saw. A child breaks the invariant; the parent reads its last words. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/blocks.h"
#include "core/gate.h"
#include "sync/queue.h"
#include "task/claim.h"
#include "task/journal_format.h"

/* What a child writes to stderr before SIGABRT, up to size - 1 bytes. */
static void last_words(void (*breaks)(void), char *text, size_t size)
{
    int fd[2], status = 0;
    ssize_t n, all = 0;
    pid_t pid;

    assert_int_equal(pipe(fd), 0);
    pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL); /* without the handler of the test framework */
        dup2(fd[1], STDERR_FILENO);
        breaks();
        _exit(0);
    }
    close(fd[1]);
    while ((n = read(fd[0], text + all, size - 1 - (size_t)all)) > 0)
        all += n;
    text[all] = 0;
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void expect(void (*breaks)(void), const char *condition, const char *values)
{
    char text[1024];

    last_words(breaks, text, sizeof text);
    if (strstr(text, condition) == NULL || strstr(text, values) == NULL)
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", text, condition, values);
}

/* ---- the gate ---- */

static nsh__gate_area area;
static nsh__wait waits[2];
static nsh__gate gates[2];

static void two_gates(void)
{
    for (int i = 0; i < 2; i++)
        nsh__gate_init(&gates[i], &area, &waits[i], i, i, 2, true);
}

static void arrives_twice(void)
{
    two_gates();
    nsh__gate_arrive(&gates[0], 7, false);
    nsh__gate_arrive(&gates[0], 7, false);
}

static void releases_early(void)
{
    two_gates();
    nsh__gate_arrive(&gates[0], 7, false);
    nsh__gate_release(&gates[0], NSH_SUCCESS, -1, "");
}

static void releases_twice(void)
{
    two_gates();
    for (int i = 0; i < 2; i++)
        nsh__gate_arrive(&gates[i], 7, false);
    for (int i = 0; i < 2; i++)
        nsh__gate_release(&gates[i], NSH_SUCCESS, -1, "");
}

static void test_gate(void **state)
{
    (void)state;
    expect(arrives_twice, "gate->arrived - count < gate->size",
           "2 arrivals of 4, phase 2 of rank 0");
    expect(releases_early, "== gate->arrived", "1 arrivals of 2, phase 1, released by rank 0");
    expect(releases_twice, "+ 1 == gate->opened", "1 releases before release 1 by rank 1");
}

/* ---- the queue ---- */

static nsh_comm comm;
static nsh__place places[1 + 2];
static nsh__queue queue = {.comm = &comm, .local = places, .participants = 2, .me = 0};

static void tail_beyond(void)
{
    atomic_store(&places[0].word, 9);
    nsh__queue_lock(&queue, NSH__NEVER);
}

static void tail_lost(void)
{
    nsh__queue_unlock(&queue, 0, false, NULL, NULL);
}

static void next_beyond(void)
{
    atomic_store(&places[0].word, 2);
    atomic_store(&places[1].word, 9U << 8);
    nsh__queue_unlock(&queue, 0, false, NULL, NULL);
}

static void granted_twice(void)
{
    atomic_store(&places[0].word, 2);
    atomic_store(&places[1].word, 2U << 8);
    atomic_store(&places[2].word, 2);
    nsh__queue_unlock(&queue, 0, false, NULL, NULL);
}

static void test_queue(void **state)
{
    (void)state;
    expect(tail_beyond, "queue->participants", "tail 9 found by participant 0 of 2");
    expect(tail_lost, "queue->participants", "tail 0 while participant 0 of 2 is in the queue");
    expect(next_beyond, "next <=", "participant 0 is followed by place 9 of 2");
    expect(granted_twice, "GRANTED", "place 0x2 of participant 1, granted by 0");
}

/* ---- the allocator ---- */

static void frees_twice(void)
{
    nsh__blocks *blocks = nsh__blocks_create();
    nsh__block *block = NULL;

    if (!nsh__blocks_add_region(blocks, 4096) ||
        nsh__blocks_alloc(blocks, 64, 64, &block) != NSH__BLOCKS_OK)
        return;
    nsh__blocks_free(blocks, block);
    nsh__blocks_free(blocks, block);
}

static void test_blocks(void **state)
{
    (void)state;
    expect(frees_twice, "e->live", "free of [0, 4096) in region 0, 0 live");
}

/* ---- claims ---- */

static nsh__claim_area claim_area;

static int fetch_too_many(void *owner, const nsh__claim_wish *wish, int64_t *begin, int64_t *end)
{
    (void)owner, (void)wish;
    *begin = 5;
    *end = 100;
    return NSH_SUCCESS;
}

static nsh__claims claims = {
    .comm = &comm, .area = &claim_area, .n = 10, .workers = 1, .everywhere = 1};

static void fetches_too_many(void)
{
    int64_t first, count;

    claims.source = fetch_too_many;
    nsh__claim_take(&claims, 0, &first, &count);
}

static void fetches_unasked(void)
{
    bool none;

    nsh__claim_refill(&claims, &none);
}

static void has_too_many(void)
{
    int64_t first, count;
    unsigned generation;

    atomic_store(&claim_area.word, 100);
    nsh__claim_try(&claims, 0, &first, &count, &generation);
}

static void test_claims(void **state)
{
    (void)state;
    expect(fetches_too_many, "claims->n", "numbers [5, 100) fetched of 10");
    expect(fetches_unasked, "FETCHING", "the state is 0x0 while a rank fetches");
    expect(has_too_many, "<= end", "100 numbers left before 0");
}

/* ---- the table of a journal ---- */

static void counts_wrong(void)
{
    static nsh__journal_table_area table_area;
    static _Atomic unsigned char states[4];
    nsh__journal_table table = {.area = &table_area, .states = states, .tasks = 4};
    nsh__record claim = {.kind = NSH__RECORD_CLAIM, .first = 2, .last = 3};

    nsh__journal_table_init(&table);
    table_area.open = 0;
    nsh__journal_table_apply(&table, &claim, NULL);
}

static void test_table(void **state)
{
    (void)state;
    expect(counts_wrong, "fresh >= 0", "task 2 leaves state 0x0 with a count of -1, 3 fresh");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),   cmocka_unit_test(test_queue), cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_claims), cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
