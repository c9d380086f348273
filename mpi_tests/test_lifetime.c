/* test_lifetime.c -- ranks: 1 3 4  layouts: one-node cliques-2 per-rank
 * seconds: 120
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranks free objects at different times and in different orders: an object that a rank still has is
 * intact, and one that all ranks have freed is reclaimed. */
#define _GNU_SOURCE
#include "check.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "core/comm.h"

enum { MOST = 24, ROUNDS = 150, LARGE = 300000 /* of 8 bytes: more than a large block */ };

static uint64_t own_state; /* random numbers that differ between ranks */

static int64_t own_random_below(int64_t n)
{
    own_state = own_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((own_state >> 33) % (uint64_t)n);
}

static nsh_comm *open_comm(int64_t heap_bytes)
{
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    nsh_comm *comm = NULL;

    options.heap_bytes = heap_bytes;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
    return comm;
}

static int create_code(nsh_comm *comm, int64_t n, const char *name, nsh_array **out)
{
    nsh_array_options options = {sizeof options, name};

    *out = NULL;
    return nsh_array_create(comm, MPI_INT64_T, 1, &n, &options, out);
}

/* ---- frees in different orders ---- */

typedef struct slot {
    nsh_array *array;
    int64_t value;
} slot;

static void free_slot(slot *s)
{
    check_array(s->array, s->value);
    CHECK_EQ(nsh_array_free(&s->array), NSH_SUCCESS);
    CHECK(s->array == NULL);
}

/* Every rank has the arrays of the last rounds that it has not freed, another choice on each. */
static void test_orders(void)
{
    static const int64_t sizes[] = {0, 1, 7, 100, 5000, LARGE};
    nsh_comm *comm = open_comm(0);
    slot slots[MOST] = {{NULL, 0}};

    for (int round = 0; round < ROUNDS; round++) {
        slot *s = &slots[round % MOST];

        if (s->array != NULL)
            free_slot(s);
        s->value = 1000 + round;
        s->array = check_make_array(comm, sizes[check_random_below(6)], NULL, s->value);
        for (int64_t frees = own_random_below(3); frees > 0; frees--) {
            s = &slots[own_random_below(MOST)];
            if (s->array != NULL)
                free_slot(s);
        }
        for (int i = 0; i < MOST; i++)
            if (slots[i].array != NULL && nsh_array_size(slots[i].array) < LARGE)
                check_array(slots[i].array, slots[i].value);
    }
    for (int i = 0; i < MOST; i++)
        if (slots[i].array != NULL)
            free_slot(&slots[i]);
    CHECK_EQ(comm->live, 0);
    /* The objects that no rank has any more are at most those that two comparisons leave. */
    CHECK(comm->objects <= MOST + 2 * 16 + 2);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- a create between the frees of one array ---- */

static void test_create_between(int64_t n)
{
    nsh_comm *comm = open_comm(0);
    nsh_array *x = check_make_array(comm, n, NULL, 7), *y[3];

    if (check_rank == 0)
        CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
    for (int i = 0; i < 3; i++)
        y[i] = check_make_array(comm, n, NULL, 20 + i);
    MPI_Barrier(MPI_COMM_WORLD);
    if (x != NULL)
        check_array(x, 7);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
    for (int i = 0; i < 3; i++) {
        int k = (i + check_rank) % 3;

        check_array(y[k], 20 + k);
        CHECK_EQ(nsh_array_free(&y[k]), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- names ---- */

static void test_names(void)
{
    nsh_comm *comm = open_comm(0);
    nsh_array *x = check_make_array(comm, 5, "x", 1), *other[2], *found = NULL, *again = NULL;
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex *mutex = NULL;

    options.name = "x";
    for (int i = 0; i < 2; i++)
        other[i] = check_make_array(comm, 3, i == 0 ? "a" : "b", i);
    CHECK_ALL(create_code(comm, 5, "x", &again), NSH_ERR_EXISTS);
    /* All ranks but the last give x up, each with another array, so the sets differ. */
    CHECK_EQ(nsh_array_free(&other[check_rank % 2]), NSH_SUCCESS);
    if (check_rank < check_size - 1) {
        CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
        CHECK_EQ(nsh_array_find(comm, "x", &found), NSH_ERR_NOT_FOUND);
    }
    if (check_size > 1) {
        CHECK_ALL(create_code(comm, 5, "x", &again), NSH_ERR_EXISTS);
        CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_ERR_EXISTS);
    }
    if (x != NULL) {
        check_array(x, 1);
        CHECK_EQ(nsh_array_find(comm, "x", &found), NSH_SUCCESS);
        CHECK(found == x);
        CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
        CHECK_EQ(nsh_array_find(comm, "x", &found), NSH_ERR_NOT_FOUND);
    }
    /* Now the name is free, though the ranks learn of it only when they create. */
    nsh_array_get(NULL, NULL, NULL, NULL);
    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    CHECK_HAS(nsh_error_detail(), "nsh_array_get"); /* success leaves the detail alone */
    CHECK_ALL(create_code(comm, 5, "x", &again), NSH_ERR_EXISTS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(create_code(comm, 5, "x", &again), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&again), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&other[0]), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&other[1]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- memory ---- */

static void test_memory(void)
{
    enum { HEAP = 8 << 20, MOST_OF_IT = (HEAP / 8) * 3 / 4 };
    nsh_comm *comm = open_comm(HEAP);
    nsh_array *x = check_make_array(comm, MOST_OF_IT, NULL, 3), *other[2], *y = NULL;

    for (int i = 0; i < 2; i++)
        other[i] = check_make_array(comm, 10, NULL, i);
    for (int round = 0; round < 4; round++) {
        CHECK_ALL(create_code(comm, MOST_OF_IT, NULL, &y), NSH_ERR_NOMEM);
        CHECK(y == NULL);
        if (round == 1) /* from now on the sets differ */
            CHECK_EQ(nsh_array_free(&other[check_rank % 2]), NSH_SUCCESS);
        if (check_rank != round % check_size && check_size > 1) {
            CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
            CHECK_ALL(create_code(comm, MOST_OF_IT, NULL, &y), NSH_ERR_NOMEM);
        } else if (check_size > 1) {
            CHECK_ALL(create_code(comm, MOST_OF_IT, NULL, &y), NSH_ERR_NOMEM);
            check_array(x, 3);
        }
        CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
        x = check_make_array(comm, MOST_OF_IT, NULL, 3);
    }
    CHECK_EQ(nsh_array_free(&x), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&other[0]), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&other[1]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* ---- abandon ---- */

typedef struct zoo {
    nsh_mutex *mutex;
    nsh_semaphore *semaphore;
    nsh_counter *counter;
    nsh_batch *batch;
} zoo;

static void make_zoo(nsh_comm *comm, zoo *z, int round)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    int64_t before = -1, after = -1;

    options.order = round % 2 == 0 ? NSH_MUTEX_FIFO : NSH_MUTEX_COHORT;
    CHECK_ALL(nsh_mutex_create(comm, &options, &z->mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_create(comm, 2, NULL, &z->semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(comm, round, NULL, &z->counter), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, 5, NULL, &z->batch), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_lock(z->mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_abandon(&z->mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_unlock(z->mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_acquire(z->semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_abandon(&z->semaphore), NSH_ERR_STATE);
    CHECK_EQ(nsh_semaphore_release(z->semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_add(z->counter, 1, &before), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_read(z->counter, &after), NSH_SUCCESS);
    CHECK_EQ(after, round + check_size);
    CHECK(before >= round && before < round + check_size);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
}

static void run_tasks(nsh_batch *batch)
{
    int64_t task = 0;

    CHECK_EQ(nsh_batch_next(batch, &task), NSH_SUCCESS);
    while (task >= 0) {
        nsh_batch *same = batch;

        CHECK_EQ(nsh_batch_abandon(&same), NSH_ERR_STATE);
        CHECK_EQ(nsh_batch_finish(batch, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
        if (nsh_batch_next(batch, &task) != NSH_SUCCESS)
            return;
    }
}

/* Some ranks give a mutex up while others still use it. */
static void abandon_zoo(zoo *z)
{
    static const int steps = 4;

    run_tasks(z->batch);
    for (int i = 0; i < steps; i++)
        switch ((i + check_rank) % steps) {
        case 0:
            CHECK_EQ(nsh_mutex_lock(z->mutex), NSH_SUCCESS);
            CHECK_EQ(nsh_mutex_unlock(z->mutex), NSH_SUCCESS);
            CHECK_EQ(nsh_mutex_abandon(&z->mutex), NSH_SUCCESS);
            break;
        case 1:
            CHECK_EQ(nsh_semaphore_acquire(z->semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_release(z->semaphore), NSH_SUCCESS);
            CHECK_EQ(nsh_semaphore_abandon(&z->semaphore), NSH_SUCCESS);
            break;
        case 2:
            CHECK_EQ(nsh_counter_add(z->counter, 5, NULL), NSH_SUCCESS);
            CHECK_EQ(nsh_counter_abandon(&z->counter), NSH_SUCCESS);
            break;
        default:
            CHECK_EQ(nsh_batch_abandon(&z->batch), NSH_SUCCESS);
        }
    CHECK(z->mutex == NULL && z->semaphore == NULL && z->counter == NULL && z->batch == NULL);
}

static void test_abandon(void)
{
    enum { ZOOS = 30 };
    nsh_comm *comm = open_comm(0);
    zoo z;

    for (int round = 0; round < ZOOS; round++) {
        make_zoo(comm, &z, round);
        abandon_zoo(&z);
    }
    CHECK_EQ(comm->live, 0);
    CHECK(comm->objects <= 4 + 2 * 16 + 2);
    CHECK_EQ(nsh_mutex_abandon(&z.mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_abandon(NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_semaphore_abandon(NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_counter_abandon(NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_batch_abandon(NULL), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* A communicator can be freed with objects that all ranks have freed, but not with one that a rank
 * still has. */
static void test_comm_free(void)
{
    nsh_comm *comm = open_comm(0);
    nsh_array *array = check_make_array(comm, 10, NULL, 1);
    zoo z;

    make_zoo(comm, &z, 0);
    abandon_zoo(&z);
    if (check_rank > 0)
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK(comm == NULL);
}

/* ---- hold ---- */

/* Some ranks hold what all have freed: it stays, under its name, until the last one lets go; and
 * beyond its communicator. */
static void test_hold(int64_t n)
{
    nsh_comm *comm = open_comm(0);
    nsh_array *array = check_make_array(comm, n, "held", 9), *other = NULL, *found = NULL;
    const int64_t *seen = nsh_array_data(array);
    nsh_hold *hold[2] = {NULL, NULL};

    CHECK_EQ(nsh_array_hold(NULL, &hold[0]), NSH_ERR_ARG);
    CHECK_EQ(nsh_array_hold(array, NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_hold_release(NULL), NSH_ERR_ARG);
    CHECK_EQ(nsh_hold_release(&hold[0]), NSH_SUCCESS);
    for (int i = 0; i < 2; i++)
        if (check_rank % 2 == 0)
            CHECK_EQ(nsh_array_hold(array, &hold[i]), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_EQ(nsh_array_find(comm, "held", &found), NSH_ERR_NOT_FOUND);
    for (int i = 0; i < 3; i++) {
        CHECK_ALL(create_code(comm, n, "held", &other), NSH_ERR_EXISTS);
        other = check_make_array(comm, n, NULL, 10 + i);
        if (hold[0] != NULL)
            check_values(seen, n, 9);
        CHECK_EQ(nsh_array_free(&other), NSH_SUCCESS);
        if (i == 0)
            CHECK_EQ(nsh_hold_release(&hold[1]), NSH_SUCCESS);
    }
    CHECK(hold[1] == NULL);
    CHECK_EQ(nsh_hold_release(&hold[0]), NSH_SUCCESS);
    array = check_make_array(comm, n, "held", 11); /* now the name is free */
    seen = nsh_array_data(array);
    CHECK_EQ(nsh_array_hold(array, &hold[0]), NSH_SUCCESS);
    CHECK_EQ(nsh_array_hold(array, &hold[1]), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    check_values(seen, n, 11);
    CHECK_EQ(nsh_hold_release(&hold[0]), NSH_SUCCESS);
    check_values(seen, n, 11);
    CHECK_EQ(nsh_hold_release(&hold[1]), NSH_SUCCESS);
}

/* ---- fail ---- */

typedef struct things {
    nsh_comm *comm;
    nsh_array *array;
    nsh_mutex *mutex, *other;
    nsh_counter *counter;
    nsh_batch *batch;
} things;

/* What others do when a rank fails. Some of it waits for that rank, which holds the mutex; the rest
 * may succeed, and is repeated until the rank's node has been heard of. */
static int meet(things *t)
{
    return nsh_comm_barrier(t->comm);
}

static int wait_for_lock(things *t)
{
    return nsh_mutex_lock(t->mutex);
}

static int set_on(things *t)
{
    const int64_t value = 3, one = 1;

    return nsh_array_set(t->array, &value, NULL, &one, 0);
}

static int meet_on_node(things *t)
{
    return nsh_comm_node_barrier(t->comm);
}

static int take_and_give(things *t)
{
    int rc = nsh_mutex_lock(t->other);

    return rc == NSH_SUCCESS ? nsh_mutex_unlock(t->other) : rc;
}

static int count_on(things *t)
{
    return nsh_counter_add(t->counter, 1, NULL);
}

/* Until there are none, and then it asks on: that needs no other node. */
static int run_on(things *t)
{
    int64_t task;
    int rc = nsh_batch_next(t->batch, &task);

    return rc == NSH_SUCCESS && task >= 0 ? nsh_batch_finish(t->batch, task, NSH_TASK_DONE, NULL)
                                          : rc;
}

static const struct {
    const char *name;
    int (*call)(things *);
} doings[] = {
    {"meet", meet},
    {"wait for its lock", wait_for_lock},
    {"set", set_on},
    {"meet on their nodes", meet_on_node},
    {"take and give a lock that is free", take_and_give},
    {"count", count_on},
    {"run tasks", run_on},
};

static void test_fail(int (*call)(things *), int code)
{
    things t = {.comm = open_comm(0)};
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    int failing = check_size - 1, rc;

    t.array = check_make_array(t.comm, 10, NULL, 1);
    CHECK_ALL(nsh_mutex_create(t.comm, NULL, &t.mutex), NSH_SUCCESS);
    options.order = NSH_MUTEX_COHORT;
    options.cohort_limit = INT_MAX; /* the node that has it need not ask other nodes */
    CHECK_ALL(nsh_mutex_create(t.comm, &options, &t.other), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(t.comm, 0, NULL, &t.counter), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(t.comm, 100, NULL, &t.batch), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_fail(NULL, 1, "x"), NSH_ERR_ARG);
    CHECK_EQ(nsh_comm_fail(t.comm, 0, "x"), NSH_ERR_ARG);
    if (check_rank == failing) {
        CHECK_EQ(nsh_mutex_lock(t.mutex), NSH_SUCCESS);
        nsh_array_get(NULL, NULL, NULL, NULL);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == failing) {
        CHECK_EQ(nsh_comm_fail(t.comm, code, "the disk is on fire"), NSH_SUCCESS);
        CHECK_HAS(nsh_error_detail(), "nsh_array_get"); /* success leaves the detail alone */
        CHECK_EQ(nsh_comm_fail(t.comm, 1, "again"), NSH_ERR_STATE);
    } else {
        do
            rc = call(&t);
        while (rc == NSH_SUCCESS);
        CHECK_EQ(rc, NSH_ERR_STATE);
    }
    CHECK_HAS(nsh_error_detail(), "the disk is on fire");
    CHECK_HAS(nsh_error_detail(), code == NSH_ERR_IO ? "NSH_ERR_IO" : "4711");
    CHECK_EQ(nsh_comm_barrier(t.comm), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "the disk is on fire");
    CHECK_EQ(nsh_mutex_free(&t.mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_free(&t.other), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_free(&t.counter), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_free(&t.batch), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&t.array), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&t.comm), NSH_SUCCESS);
}

/* A rank that cannot continue frees the communicator: it waits for no rank, and no rank waits for
 * it. */
static void test_free_broken(bool all)
{
    nsh_comm *comm;
    nsh_mutex *mutex;
    nsh_array *array;
    int64_t n = LARGE;

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &n, NULL, &array), NSH_SUCCESS);
    MPI_Barrier(MPI_COMM_WORLD); /* a rank still inside a call may see the failure there */
    if (check_rank != 0)
        MPI_Barrier(MPI_COMM_WORLD);
    else
        CHECK_EQ(nsh_comm_fail(comm, NSH_ERR_IO, "no more"), NSH_SUCCESS);
    if (!all) {
        CHECK_EQ(nsh_mutex_free(&mutex), NSH_SUCCESS);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    }
    CHECK_EQ(all ? nsh_comm_free_all(&comm) : nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK(comm == NULL);
    if (check_rank == 0)
        MPI_Barrier(MPI_COMM_WORLD);
    if (all) {
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_ERR_STATE);
        CHECK(nsh_array_data(array) == NULL);
        CHECK_EQ(nsh_mutex_free(&mutex), NSH_SUCCESS);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    own_state = (uint64_t)check_random() + (uint64_t)check_rank;
    check_case("arrays are freed in another order on each rank");
    test_orders();
    check_case("a create between the frees of one small array");
    test_create_between(100);
    check_case("a create between the frees of one large array");
    test_create_between(LARGE);
    check_case("names");
    test_names();
    check_case("memory that all have given up comes back before NOMEM");
    test_memory();
    check_case("mutexes, semaphores, counters and batches are abandoned");
    test_abandon();
    check_case("free of a communicator");
    test_comm_free();
    check_case("a small array is held");
    test_hold(50);
    check_case("a large array is held");
    test_hold(LARGE);
    for (size_t i = 0; i < sizeof doings / sizeof doings[0]; i++) {
        check_case("a rank fails while others %s", doings[i].name);
        test_fail(doings[i].call, i % 2 == 0 ? NSH_ERR_IO : 4711);
    }
    check_case("a broken communicator is freed by each rank alone");
    test_free_broken(false);
    test_free_broken(true);
    return check_finish();
}
