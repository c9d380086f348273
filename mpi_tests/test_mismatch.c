/* test_mismatch.c -- ranks: 4  layouts: one-node cliques-2 odd-even per-rank
 * seconds: 120
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Ranks that name different roots, arrays or calls: a status on every rank, never a hang, and never
 * bytes in a replica that are not meant for it. */
#define _GNU_SOURCE
#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "mistakes.h"

/* What NSH_RMA is not by default. */
#ifdef OPEN_MPI
static const char other_backend[] = "window";
#else
static const char other_backend[] = "message";
#endif

enum { SMALL = 1, LARGE = 512 << 10 /* of 8 bytes: 4 MiB */, MOST_CALLS = 200 };

/* ---- what a rank does in each case ---- */

static const struct {
    const char *name;
    int (*call)(void);
} cases[] = {
    {"each rank names itself root", self_as_root}, {"two camps wait for each other", nodes_swapped},
    {"two camps have a root each", both_send},     {"barrier against set", barrier_or_set},
    {"set against barrier", set_or_barrier},       {"update_begin against set", begin_or_set},
    {"different arrays", different_arrays},        {"set against fill", set_or_fill},
};

/* ---- what must come of it ---- */

static void open_all(void)
{
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &count, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &count, NULL, &other), NSH_SUCCESS);
    for (int64_t i = 0; i < count; i++)
        data[i] = 7;
    CHECK_ALL(set_at(array, 0), NSH_SUCCESS);
    CHECK_ALL(set_at(other, check_size - 1), NSH_SUCCESS);
    /* A break stops every rank that waits, in an earlier call too: let all ranks leave this call
     * first. */
    MPI_Barrier(MPI_COMM_WORLD);
    for (int64_t i = 0; i < count; i++)
        data[i] = 100 + check_rank;
}

static void close_all(void)
{
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&other), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK(comm == NULL);
}

static void unchanged(const nsh_array *a)
{
    const int64_t *seen = nsh_array_data(a);
    int64_t wrong = 0;

    for (int64_t i = 0; i < count; i++)
        wrong += seen[i] != 7;
    CHECK_EQ(wrong, 0);
}

/* Found before any data moved: the communicator stays usable. */
static void found_at_once(int (*call)(void))
{
    for (int round = 0; round < 3; round++) {
        CHECK_ALL(call(), NSH_ERR_MISMATCH);
        unchanged(array);
        unchanged(other);
    }
    for (int root = 0; root < check_size; root++) {
        int64_t want = 100 + root;

        CHECK_ALL(set_at(array, root), NSH_SUCCESS);
        CHECK_EQ(((const int64_t *)nsh_array_data(array))[count - 1], want);
    }
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
}

/* Found when messages meet: within this call or the next few, then it stays. */
static void found_in_time(int (*call)(void))
{
    int rc = call(), calls = 1, mismatch;

    while (rc == NSH_SUCCESS && calls++ < MOST_CALLS)
        rc = calls % 4 ? nsh_comm_barrier(comm) : set_at(array, calls % check_size);
    CHECK(calls <= MOST_CALLS);
    CHECK(rc == NSH_ERR_MISMATCH || rc == NSH_ERR_STATE);
    mismatch = rc == NSH_ERR_MISMATCH;
    MPI_Allreduce(MPI_IN_PLACE, &mismatch, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
    CHECK(mismatch);        /* on some rank */
    nsh_comm_barrier(comm); /* some may learn of it only here */
    for (int i = 0; i < 3; i++) {
        uint64_t sum;

        CHECK_ALL(nsh_comm_barrier(comm), NSH_ERR_STATE);
        CHECK_ALL(nsh_comm_node_barrier(comm), NSH_ERR_STATE);
        CHECK_ALL(nsh_array_checksum(other, &sum), NSH_ERR_STATE);
        CHECK_ALL(set_at(other, 0), NSH_ERR_STATE);
    }
    unchanged(other);
}

static void run(const char *check)
{
    setenv("NSH_CHECK", check, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool many;

        check_case("%s, %lld bytes, NSH_CHECK=%s", cases[i].name, (long long)count * 8, check);
        open_all();
        many = nsh_comm_node_count(comm) > 1;
        if (!many || strcmp(check, "1") == 0)
            found_at_once(cases[i].call);
        else
            found_in_time(cases[i].call);
        close_all();
    }
}

/* ---- the end of an update ---- */

/* Two updates at once, ended in a different order; or an end against a barrier. */
static int ends_swapped(void)
{
    return nsh_array_update_end(camp() == 0 ? array : other);
}

static int end_or_barrier(void)
{
    return camp() == 0 ? nsh_array_update_end(array) : nsh_comm_barrier(comm);
}

static int end_or_set(void)
{
    nsh_array *third;
    int rc;

    CHECK_EQ(nsh_array_find(comm, "third", &third), NSH_SUCCESS);
    rc = camp() == 0 ? nsh_array_update_end(array) : set_at(third, 0);
    return rc;
}

/* Root stores a new value in both arrays; what is wrong at their end is found. */
static void update_case(const char *name, int (*call)(void), const char *check)
{
    const nsh_array_options options = {sizeof options, "third"};
    nsh_array *third;
    void *view[2] = {NULL, NULL};
    bool at_once;

    setenv("NSH_CHECK", check, 1);
    check_case("%s, NSH_CHECK=%s", name, check);
    open_all();
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &count, &options, &third), NSH_SUCCESS);
    CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, 0, &view[0]), NSH_SUCCESS);
    CHECK_ALL(nsh_array_update_begin(other, NULL, NULL, 0, &view[1]), NSH_SUCCESS);
    for (int64_t i = 0; i < count; i++)
        for (int v = 0; v < 2 && view[v] != NULL; v++)
            ((int64_t *)view[v])[i] = 8 + v;
    MPI_Barrier(MPI_COMM_WORLD); /* as in open_all */
    at_once = nsh_comm_node_count(comm) == 1 || strcmp(check, "1") == 0;
    for (int round = 0; round < 3 && at_once; round++)
        CHECK_ALL(call(), NSH_ERR_MISMATCH);
    if (at_once) {
        CHECK_ALL(nsh_array_update_end(array), NSH_SUCCESS);
        CHECK_ALL(nsh_array_update_end(other), NSH_SUCCESS);
        CHECK_EQ(((const int64_t *)nsh_array_data(array))[count - 1], 8);
        CHECK_EQ(((const int64_t *)nsh_array_data(other))[count - 1], 9);
        CHECK_EQ(nsh_array_version(array), 2);
    } else {
        int rc = call(), calls = 1;

        while (rc == NSH_SUCCESS && calls++ < MOST_CALLS)
            rc = nsh_comm_barrier(comm);
        CHECK(rc == NSH_ERR_MISMATCH || rc == NSH_ERR_STATE);
        nsh_comm_barrier(comm);
        CHECK_ALL(nsh_comm_barrier(comm), NSH_ERR_STATE);
    }
    CHECK_ALL(nsh_array_free(&third), NSH_SUCCESS);
    close_all();
}

/* An array whose state forbids the call, against another one: found before any rank has to wait. */
static void state_case(void)
{
    void *view;

    check_case("an array between update_begin and _end against another one");
    open_all();
    if (nsh_comm_node_count(comm) > 1) { /* only there is it found at once */
        close_all();
        setenv("NSH_CHECK", "1", 1);
        open_all();
    }
    CHECK_ALL(nsh_array_update_begin(array, NULL, NULL, 0, &view), NSH_SUCCESS);
    CHECK_ALL(set_at(array, 0), NSH_ERR_STATE);
    CHECK_ALL(set_at(camp() == 0 ? array : other, 0), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_array_update_end(camp() == 0 ? array : other), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_array_fill(camp() == 0 ? array : other, data), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_array_update_end(array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_update_end(array), NSH_ERR_STATE);
    CHECK_ALL(camp() == 0 ? nsh_array_update_end(array) : set_at(array, 0), NSH_ERR_MISMATCH);
    CHECK_ALL(camp() == 0 ? nsh_sequential_end(comm) : nsh_comm_barrier(comm), NSH_ERR_MISMATCH);
    CHECK_ALL(set_at(array, 0), NSH_SUCCESS);
    close_all();
    setenv("NSH_CHECK", "0", 1);
}

/* ---- sections ---- */

/* The last rank stays away from a section. It may have been passed a token, with which it must not
 * enter the next one. */
static void section_case(void)
{
    bool away = check_rank == check_size - 1;

    check_case("a section that the last rank does not enter");
    open_all();
    if (!away)
        CHECK_EQ(nsh_sequential_begin(comm), NSH_SUCCESS);
    CHECK_ALL(away ? nsh_comm_barrier(comm) : nsh_sequential_end(comm), NSH_ERR_MISMATCH);
    CHECK(nsh_comm_barrier(comm) != NSH_SUCCESS); /* the last rank may learn of it only here */
    CHECK_ALL(nsh_sequential_begin(comm), NSH_ERR_STATE);
    close_all();
    setenv("NSH_CHECK", "1", 1);
    open_all();
    CHECK_ALL(away ? nsh_comm_barrier(comm) : nsh_sequential_begin(comm), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_sequential_begin(comm), NSH_SUCCESS);
    CHECK_ALL(nsh_sequential_end(comm), NSH_SUCCESS);
    close_all();
    setenv("NSH_CHECK", "0", 1);
}

/* ---- the detail of a break ---- */

/* Nodes in different calls wait for each other: every rank learns which calls. */
static void words_case(void)
{
    int rc;

    check_case("a break between nodes names both calls on each of them");
    open_all();
    if (nsh_comm_node_count(comm) > 1) {
        rc = camp() == 0 ? nsh_comm_barrier(comm) : set_at(array, camp_root(0));
        CHECK(rc == NSH_ERR_MISMATCH || rc == NSH_ERR_STATE);
        for (int i = 0; i < 2; i++) { /* in the call, and in the next one */
            CHECK_HAS(nsh_error_detail(), "nsh_comm_barrier on node ");
            CHECK_HAS(nsh_error_detail(), "nsh_array_set on node ");
            CHECK_EQ(nsh_comm_node_barrier(comm), NSH_ERR_STATE);
        }
    }
    close_all();
}

/* ---- frees and creates ---- */

/* Two objects of each kind; ranks free different ones. Nothing is freed. */
static void free_case(void)
{
    nsh_mutex *m[2], *third;
    nsh_semaphore *s[2];
    nsh_counter *c[2];
    nsh_batch *b[2];
    int which, rc, taken;

    check_case("frees of different objects");
    open_all();
    which = camp();
    for (int i = 0; i < 2; i++) {
        CHECK_ALL(nsh_mutex_create(comm, NULL, &m[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_semaphore_create(comm, 1, NULL, &s[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_counter_create(comm, 0, NULL, &c[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_create(comm, 10, NULL, &b[i]), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_mutex_free(&m[which]), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_semaphore_free(&s[which]), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_counter_free(&c[which]), NSH_ERR_MISMATCH);
    CHECK_ALL(nsh_batch_free(&b[which]), NSH_ERR_MISMATCH);
    /* A new mutex shares nothing with those that live on. */
    CHECK_ALL(nsh_mutex_create(comm, NULL, &third), NSH_SUCCESS);
    rc = nsh_mutex_trylock(third);
    taken = rc == NSH_SUCCESS;
    MPI_Allreduce(MPI_IN_PLACE, &taken, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    CHECK_EQ(taken, 1);
    if (rc == NSH_SUCCESS)
        CHECK_EQ(nsh_mutex_unlock(third), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&third), NSH_SUCCESS);
    for (int i = 0; i < 2; i++) {
        CHECK_ALL(nsh_mutex_free(&m[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_semaphore_free(&s[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_counter_free(&c[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_free(&b[i]), NSH_SUCCESS);
    }
    close_all();
}

static int nothing(const nsh_map_worker *worker, int64_t index, void *arg)
{
    (void)worker;
    (void)index;
    (void)arg;
    return NSH_SUCCESS;
}

/* A call that numbers its object meets one that makes none: the communicator stays usable. */
static void create_case(void)
{
    nsh_batch *batch = NULL;
    nsh_mutex *mutex = NULL;
    nsh_array *made = NULL;

    check_case("creates against barriers");
    open_all();
    if (camp() == 0) {
        CHECK_ALL(nsh_batch_create(comm, 10, NULL, &batch), NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_map(comm, 10, nothing, NULL, NULL), NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_ERR_MISMATCH);
        CHECK_ALL(nsh_array_like(array, NULL, &made), NSH_ERR_MISMATCH);
    } else {
        for (int i = 0; i < 4; i++)
            CHECK_ALL(nsh_comm_barrier(comm), NSH_ERR_MISMATCH);
    }
    CHECK_ALL(nsh_array_like(array, NULL, &made), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, 10, NULL, &batch), NSH_SUCCESS);
    CHECK_ALL(nsh_map(comm, 10, nothing, NULL, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&batch), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&made), NSH_SUCCESS);
    close_all();
}

/* A setting of one host's environment. */
static void settings_case(const char *name, const char *value)
{
    check_case("%s=%s on one rank", name, value);
    comm = NULL;
    if (check_rank == check_size - 1)
        setenv(name, value, 1);
    else
        unsetenv(name);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_ERR_MISMATCH);
    unsetenv(name);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    data = malloc(LARGE * sizeof *data);
    if (data == NULL)
        return 1;
    count = SMALL;
    run("1");
    run("0");
    count = LARGE;
    run("0");
    if (strcmp(check_layout, "one-node") != 0)
        run("1");
    count = SMALL;
    for (int check = 0; check <= 1; check++) {
        update_case("updates end in different orders", ends_swapped, check ? "1" : "0");
        update_case("update_end against barrier", end_or_barrier, check ? "1" : "0");
        update_case("update_end against set", end_or_set, check ? "1" : "0");
    }
    setenv("NSH_CHECK", "0", 1);
    state_case();
    section_case();
    words_case();
    free_case();
    create_case();
    settings_case("NSH_CHECK", "1");
    settings_case("NSH_RMA", other_backend);
    free(data);
    return check_finish();
}
