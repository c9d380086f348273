/* SPDX-License-Identifier: BSD-3-Clause */
/* test_gate_threads.c -- the gate, driven by threads instead of processes, so that a build with
 * SAN=thread sees every access to what it orders. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/gate.h"

enum { THREADS = 4, PASSES = 3000 };

/* What the threads share. Plain, so that only the gate orders it. */
typedef struct shared {
    nsh__gate_area area;
    int64_t value;             /* written by whoever acts */
    int64_t parts[THREADS][8]; /* each written by its thread, read by whoever acts */
    _Atomic int wrong, through;
} shared;

typedef struct member {
    shared *s;
    int rank;
    nsh__wait wait;
    nsh__gate gate;
    void (*body)(struct member *);
} member;

static void expect(member *m, bool good)
{
    if (!good)
        m->s->wrong++;
}

/* ---- bodies ---- */

/* Barriers: what each stored before is there after, on all. */
static void passes(member *m)
{
    for (int i = 1; i <= PASSES; i++) {
        m->s->parts[m->rank][0] = i;
        expect(m, nsh__gate_pass(&m->gate, 77) == NSH_SUCCESS);
        for (int r = 0; r < THREADS; r++)
            expect(m, m->s->parts[r][0] == i);
        expect(m, nsh__gate_pass(&m->gate, 78) == NSH_SUCCESS);
    }
}

/* As set does: one acts when all have arrived, and the others see what it stored. */
static void actors(member *m)
{
    for (int i = 1; i <= PASSES; i++) {
        int64_t sum = 0;

        m->s->parts[m->rank][0] = i + m->rank;
        nsh__gate_arrive(&m->gate, (uint64_t)i, false);
        if (i % THREADS == m->rank) {
            expect(m, nsh__gate_await(&m->gate) == NSH_SUCCESS);
            expect(m, nsh__gate_unanimous(&m->gate));
            expect(m, !nsh__gate_failed(&m->gate));
            for (int r = 0; r < THREADS; r++)
                sum += m->s->parts[r][0];
            expect(m, sum == (int64_t)THREADS * i + THREADS * (THREADS - 1) / 2);
            m->s->value = i;
            nsh__gate_release(&m->gate, NSH_SUCCESS, -1, "");
        } else {
            expect(m, nsh__gate_leave(&m->gate) == NSH_SUCCESS);
        }
        expect(m, m->s->value == i);
    }
}

/* Every third phase one rank brings another mark: all are told, and the next works. */
static void mismatches(member *m)
{
    for (int i = 1; i <= PASSES / 4; i++) {
        bool odd = i % 3 == 0;
        uint64_t mark = odd && i / 3 % THREADS == m->rank ? 9 : 8;

        expect(m, nsh__gate_pass(&m->gate, mark) == (odd ? NSH_ERR_MISMATCH : NSH_SUCCESS));
    }
}

/* A node that is not alone: the leader finds out and tells the others. */
static void led_mismatches(member *m)
{
    for (int i = 1; i <= PASSES / 4; i++) {
        bool odd = i % 3 == 0;
        uint64_t mark = odd && i / 3 % THREADS == m->rank ? 9 : 8;
        int rc = nsh__gate_pass(&m->gate, mark);

        expect(m, rc == (odd ? NSH_ERR_MISMATCH : NSH_SUCCESS));
        if (rc != NSH_SUCCESS && m->rank == 0)
            nsh__gate_release(&m->gate, rc, 0, "told by the leader");
    }
}

/* Failures that arrive, and verdicts with their text. */
static void failures(member *m)
{
    char text[64];

    for (int i = 1; i <= PASSES / 4; i++) {
        int fails = i % (THREADS + 1), actor = i / 3 % THREADS;

        snprintf(text, sizeof text, "failure %d", i);
        nsh__gate_arrive(&m->gate, 3, m->rank == fails);
        if (m->rank == actor) {
            expect(m, nsh__gate_await(&m->gate) == NSH_SUCCESS);
            expect(m, nsh__gate_failed(&m->gate) == (fails < THREADS));
            nsh__gate_release(&m->gate, fails < THREADS ? NSH_ERR_NOMEM : NSH_SUCCESS, actor, text);
            continue;
        }
        expect(m, nsh__gate_leave(&m->gate) == (fails < THREADS ? NSH_ERR_NOMEM : NSH_SUCCESS));
        if (fails < THREADS)
            expect(m, strncmp(nsh_error_detail(), text, strlen(text)) == 0);
    }
}

/* One never arrives and breaks the gate instead: the others come back with the code. */
static void broken(member *m)
{
    nsh__gate_area *area = &m->s->area;

    expect(m, nsh__gate_pass(&m->gate, 5) == NSH_SUCCESS);
    m->s->through++;
    if (m->rank == THREADS - 1) {
        while (m->s->through < THREADS) /* none is still on its way out of the first */
            usleep(1000);
        usleep(10 * 1000); /* so that most of them sleep */
        area->broken = NSH_ERR_MPI;
        nsh__wake(&area->arrived, &area->arrived_sleepers);
        nsh__wake(&area->opened, &area->opened_sleepers);
    } else {
        expect(m, nsh__gate_pass(&m->gate, 5) == NSH_ERR_MPI);
    }
}

/* ---- driver ---- */

static void *run_member(void *argument)
{
    member *m = argument;

    m->body(m);
    return NULL;
}

/* near: the counters start just below their overflow. */
static void drive(void (*body)(member *), bool block, bool alone, bool near)
{
    shared *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    member members[THREADS];
    pthread_t threads[THREADS];

    assert_non_null(s);
    memset(s, 0, sizeof *s);
    for (int r = 0; r < THREADS; r++) {
        member *m = &members[r];

        memset(m, 0, sizeof *m);
        m->s = s;
        m->rank = r;
        m->body = body;
        m->wait.comm = MPI_COMM_NULL;
        m->wait.watch_tag = -1;
        m->wait.spin_ns = block ? 0 : INT64_MAX;
        m->wait.yield = true; /* 4 threads may have fewer cores */
        m->wait.broken = &s->area.broken;
        nsh__gate_init(&m->gate, &s->area, &m->wait, r, r, THREADS, alone);
        if (near)
            m->gate.arrived = m->gate.opened = UINT32_MAX - 41;
    }
    if (near)
        s->area.arrived = s->area.opened = UINT32_MAX - 41;
    for (int r = 0; r < THREADS; r++)
        assert_int_equal(pthread_create(&threads[r], NULL, run_member, &members[r]), 0);
    for (int r = 0; r < THREADS; r++)
        assert_int_equal(pthread_join(threads[r], NULL), 0);
    assert_int_equal(s->wrong, 0);
    free(s);
}

static void both_ways(void (*body)(member *), bool alone)
{
    drive(body, false, alone, false);
    drive(body, true, alone, false);
    drive(body, true, alone, true);
}

#define TEST(body, alone)                                                                          \
    static void test_##body(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        both_ways(body, alone);                                                                    \
    }
TEST(passes, true)
TEST(actors, true)
TEST(mismatches, true)
TEST(led_mismatches, false)
TEST(failures, true)
TEST(broken, true)

static void test_passes_led(void **state)
{
    (void)state;
    both_ways(passes, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),         cmocka_unit_test(test_passes_led),
        cmocka_unit_test(test_actors),         cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_led_mismatches), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_broken),
    };

    alarm(120); /* a hang is a failure */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
