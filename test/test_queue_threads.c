/* SPDX-License-Identifier: BSD-3-Clause */
/* test_queue_threads.c -- the queue lock, driven by threads instead of processes, so that a build
 * with SAN=thread sees every access to what it orders. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sync/queue.h"

enum { THREADS = 4, TIMES = 60000 };

/* What the threads share. Plain, so that only the lock orders it. */
typedef struct shared {
    nsh__place places[1 + THREADS];
    int64_t count, inside;
    _Atomic int wrong;
} shared;

typedef struct member {
    shared *s;
    nsh_comm comm;
    nsh__queue queue;
    unsigned random;
    bool crowded; /* give the core away, sleep at once */
} member;

static void expect(member *m, bool good)
{
    if (!good)
        m->s->wrong++;
}

static unsigned below(member *m, unsigned n)
{
    m->random = m->random * 1103515245 + 12345;
    return (m->random >> 16) % n;
}

/* In one of the three ways; true: the lock is this thread's. */
static bool take(member *m)
{
    int rc;

    switch (below(m, 4)) {
    case 0:
        rc = nsh__queue_trylock(&m->queue);
        expect(m, rc == NSH_SUCCESS || rc == NSH_ERR_BUSY);
        break;
    case 1:
        rc = nsh__queue_lock(&m->queue, nsh__wait_clock() + below(m, 2) * below(m, 20000));
        expect(m, rc == NSH_SUCCESS || rc == NSH_ERR_TIMEOUT);
        break;
    default:
        rc = nsh__queue_lock(&m->queue, NSH__NEVER);
        expect(m, rc == NSH_SUCCESS);
    }
    return rc == NSH_SUCCESS;
}

static void *run(void *arg)
{
    member *m = arg;

    for (int i = 0; i < TIMES;) {
        if (!take(m))
            continue;
        expect(m, m->s->inside == 0);
        m->s->inside = m->queue.me + 1;
        m->s->count++;
        expect(m, m->s->inside == m->queue.me + 1);
        m->s->inside = 0;
        expect(m, nsh__queue_unlock(&m->queue, m->queue.me, m->queue.waited, NULL, NULL) ==
                      NSH_SUCCESS);
        i++;
    }
    return NULL;
}

static void drive(bool crowded)
{
    shared *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    member *m = calloc(THREADS, sizeof *m);
    pthread_t thread[THREADS];

    assert_non_null(s);
    assert_non_null(m);
    memset(s, 0, sizeof *s);
    for (int i = 0; i < THREADS; i++) {
        m[i].s = s;
        m[i].random = (unsigned)i + 1;
        m[i].comm.wait = (nsh__wait){.comm = MPI_COMM_NULL,
                                     .control_tag = -1,
                                     .watch_tag = -1,
                                     .yield = crowded,
                                     .spin_ns = crowded ? 0 : 20000};
        m[i].queue =
            (nsh__queue){.comm = &m[i].comm, .local = s->places, .participants = THREADS, .me = i};
        assert_int_equal(pthread_create(&thread[i], NULL, run, &m[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(s->count, THREADS * TIMES);
    for (int i = 0; i <= THREADS; i++) /* nobody is left in the queue */
        assert_int_equal(atomic_load(&s->places[i].word), 0);
    free(m);
    free(s);
}

static void test_crowded(void **state)
{
    (void)state;
    drive(true);
}

static void test_spinning(void **state)
{
    (void)state;
    drive(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowded),
                                       cmocka_unit_test(test_spinning)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
