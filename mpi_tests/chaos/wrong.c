/* SPDX-License-Identifier: BSD-3-Clause */
/* wrong.c -- programs that are wrong, each of which every rank must come to know: a status, never a
 * wait without an end, and never bytes in a replica that are not meant for it. */
#define _GNU_SOURCE
#include "chaos.h"

#include <stdlib.h>
#include <string.h>

#include "mistakes.h"

enum { SMALL = 1, LARGE = 512 << 10 /* of 8 bytes: 4 MiB */, MOST_CALLS = 200, OLD = 7 };

/* How a mistake comes out. */
typedef enum outcome {
    GRACEFUL, /* MISMATCH on all ranks, and the communicator works on */
    BREAKING, /* MISMATCH or STATE within the calls that follow; graceful on one node and under
                 NSH_CHECK=1 */
    EITHER,
    GIVEN_UP, /* STATE on all ranks, in words of the rank that has given up */
    WATCHED   /* under NSH_CHECK=1 STATE on some rank, and the communicator works on */
} outcome;

static MPI_Comm mpi; /* a duplicate for what the test itself has to say */
static nsh_mutex *mutexes[2];
static nsh_semaphore *semaphores[2];
static nsh_counter *counters[2];
static int me, size;

/* ---- what the test itself says ---- */

/* What others ask of this rank is answered meanwhile. */
static void await_request(MPI_Request *request)
{
    int done = 0;

    while (MPI_Test(request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done) {
        if (comm != NULL)
            nsh_comm_progress(comm);
        chaos_nap(1);
    }
}

static void meet_all(void)
{
    MPI_Request request;

    calling("MPI_Ibarrier of the test");
    MPI_Ibarrier(mpi, &request);
    await_request(&request);
}

static bool on_any_rank(bool mine)
{
    int value = mine, all = 0;
    MPI_Request request;

    calling("MPI_Iallreduce of the test");
    MPI_Iallreduce(&value, &all, 1, MPI_INT, MPI_LOR, mpi, &request);
    await_request(&request);
    return all != 0;
}

/* ---- mistakes ---- */

static int barrier_or_checksum(void)
{
    uint64_t sum;

    return camp() == 0 ? nsh_comm_barrier(comm) : nsh_array_checksum(array, &sum);
}

static int last_alone(void)
{
    return me == size - 1 ? nsh_comm_barrier(comm) : set_at(array, 0);
}

static int begin_and_store(void)
{
    void *view = NULL;
    int rc = nsh_array_update_begin(array, NULL, NULL, 0, &view);

    if (rc == NSH_SUCCESS && view != NULL)
        memcpy(view, data, (size_t)count * sizeof *data);
    return rc;
}

/* All have begun an update; one camp ends it, the other is elsewhere. */
static int end_or_barrier(void)
{
    int rc = begin_and_store();

    if (rc != NSH_SUCCESS)
        return rc;
    return camp() == 0 ? nsh_array_update_end(array) : nsh_comm_barrier(comm);
}

static int end_or_set(void)
{
    int rc = begin_and_store();

    if (rc != NSH_SUCCESS)
        return rc;
    return camp() == 0 ? nsh_array_update_end(array) : set_at(other, camp_root(1));
}

static int create_differs(void)
{
    int64_t extent = 5 + camp();
    nsh_array *made = NULL;
    int rc = nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &made);

    if (rc == NSH_SUCCESS)
        nsh_array_free(&made);
    return rc;
}

static int create_or_mutex(void)
{
    int64_t extent = 5;
    nsh_array *made = NULL;
    nsh_mutex *mutex = NULL;

    return camp() == 0 ? nsh_array_create(comm, MPI_INT64_T, 1, &extent, NULL, &made)
                       : nsh_mutex_create(comm, NULL, &mutex);
}

static int create_array(void)
{
    int64_t extent[32];
    nsh_array *made = NULL;
    int rc;

    for (int d = 0; d < 32; d++) /* a description that needs room in a message */
        extent[d] = 1 + d % 2;
    rc = nsh_array_create(comm, MPI_BYTE, 12, extent, NULL, &made);
    if (rc == NSH_SUCCESS)
        nsh_array_free(&made);
    return rc;
}

static int create_or_set(void)
{
    return camp() == 0 ? create_array() : set_at(array, camp_root(1));
}

static int set_or_create(void)
{
    return camp() == 0 ? set_at(array, camp_root(0)) : create_array();
}

/* The last node alone: a vote may have been through on some of the others. */
static int last_sets(void)
{
    bool last = nsh_comm_node_count(comm) > 1
                    ? nsh_comm_node_index(comm) == nsh_comm_node_count(comm) - 1
                    : me == size - 1;

    return last ? set_at(array, first_of_node(nsh_comm_node_count(comm) - 1)) : create_array();
}

static int free_or_barrier(void)
{
    nsh_comm *same = comm;

    return camp() == 0 ? nsh_comm_free(&same) : nsh_comm_barrier(comm);
}

/* One rank cannot go on, the others are on their way or wait for it. */
static int give_up(void)
{
    if (me == size / 2 && nsh_comm_fail(comm, NSH_ERR_IO, "has had enough") != NSH_SUCCESS)
        return NSH_ERR_INTERNAL;
    return me % 2 == 0 ? nsh_comm_barrier(comm) : nsh_counter_add(counters[0], 1, NULL);
}

static int holder_gives_up(void)
{
    int rc = me == 0 ? nsh_mutex_lock(mutexes[0]) : NSH_SUCCESS;

    meet_all();
    if (me != 0)
        return nsh_mutex_lock(mutexes[0]);
    chaos_nap(20);
    if (rc != NSH_SUCCESS || nsh_comm_fail(comm, NSH_ERR_IO, "has had enough") != NSH_SUCCESS)
        return NSH_ERR_INTERNAL;
    return nsh_comm_barrier(comm);
}

/* All others wait for the mutex, its holder waits for them in a barrier. */
static int holder_in_barrier(void)
{
    int lock_rc = me == 0 ? nsh_mutex_lock(mutexes[0]) : NSH_SUCCESS, rc;

    meet_all();
    if (me != 0)
        lock_rc = nsh_mutex_lock(mutexes[0]);
    if (me != 0 && lock_rc == NSH_SUCCESS)
        nsh_mutex_unlock(mutexes[0]);
    rc = nsh_comm_barrier(comm);
    if (me == 0 && lock_rc == NSH_SUCCESS)
        nsh_mutex_unlock(mutexes[0]);
    return lock_rc != NSH_SUCCESS ? lock_rc : rc;
}

static int free_mutexes(void)
{
    return nsh_mutex_free(&mutexes[camp()]);
}

static int free_semaphores(void)
{
    return nsh_semaphore_free(&semaphores[camp()]);
}

static int free_counters(void)
{
    return nsh_counter_free(&counters[camp()]);
}

static int free_different_kinds(void)
{
    return camp() == 0 ? nsh_mutex_free(&mutexes[0]) : nsh_counter_free(&counters[0]);
}

/* NSH_CHECK is set on one rank only; found when the communicator is created. */
static int one_checks(void)
{
    const char *check = getenv("NSH_CHECK");
    char old[8] = "";
    nsh_comm *second = NULL;
    int rc;

    strncpy(old, check, sizeof old - 1);
    setenv("NSH_CHECK", me == size - 1 ? "1" : "0", 1);
    rc = nsh_comm_create(mpi, NULL, &second);
    setenv("NSH_CHECK", old, 1);
    return rc;
}

static const struct {
    const char *name;
    int (*call)(void);
    outcome outcome;
} mistakes[] = {
    {"each rank names itself root", self_as_root, BREAKING},
    {"two camps wait for each other", nodes_swapped, BREAKING},
    {"two camps have a root each", both_send, BREAKING},
    {"barrier against set", barrier_or_set, BREAKING},
    {"set against barrier", set_or_barrier, BREAKING},
    {"update_begin against set", begin_or_set, BREAKING},
    {"different arrays", different_arrays, BREAKING},
    {"set against fill", set_or_fill, BREAKING},
    {"barrier against checksum", barrier_or_checksum, GRACEFUL},
    {"the last rank alone in a barrier", last_alone, BREAKING},
    {"update_end against barrier", end_or_barrier, EITHER},
    {"update_end against set", end_or_set, EITHER},
    {"creates of different extents", create_differs, GRACEFUL},
    {"array against mutex create", create_or_mutex, GRACEFUL},
    {"frees of different mutexes", free_mutexes, GRACEFUL},
    {"frees of different semaphores", free_semaphores, GRACEFUL},
    {"frees of different counters", free_counters, GRACEFUL},
    {"mutex free against counter free", free_different_kinds, GRACEFUL},
    {"NSH_CHECK on one rank", one_checks, GRACEFUL},
    {"create against set", create_or_set, BREAKING},
    {"set against create", set_or_create, BREAKING},
    {"a set by the last node against create", last_sets, BREAKING},
    {"communicator free against barrier", free_or_barrier, GRACEFUL},
    {"a rank gives up", give_up, GIVEN_UP},
    {"a holder gives up", holder_gives_up, GIVEN_UP},
    {"a holder in a barrier", holder_in_barrier, WATCHED},
};

enum { MISTAKES = sizeof mistakes / sizeof mistakes[0] };

/* ---- before and after ---- */

static void open_all(const char *check)
{
    setenv("NSH_CHECK", check, 1);
    CREATE(mpi, nsh_comm_create(mpi, NULL, &comm));
    CREATE(mpi, nsh_array_create(comm, MPI_INT64_T, 1, &count, NULL, &array));
    CREATE(mpi, nsh_array_create(comm, MPI_INT64_T, 1, &count, NULL, &other));
    for (int i = 0; i < 2; i++) {
        CREATE(mpi, nsh_mutex_create(comm, NULL, &mutexes[i]));
        CREATE(mpi, nsh_semaphore_create(comm, 2, NULL, &semaphores[i]));
        CREATE(mpi, nsh_counter_create(comm, 0, NULL, &counters[i]));
    }
    for (int64_t i = 0; i < count; i++)
        data[i] = OLD;
    CALL(set_at(array, 0));
    CALL(set_at(other, size - 1));
    meet_all(); /* breaking stops whoever waits, in an earlier call too */
    for (int64_t i = 0; i < count; i++)
        data[i] = 100 + me;
}

/* Accepted: what was there, and what root r sends in a set of this array. */
static void check_bytes(const nsh_array *a, bool changed, const char *name)
{
    const int64_t *seen = nsh_array_data(a);

    for (int64_t i = 0; i < count; i++)
        if (seen[i] != OLD && !(changed && seen[i] >= 100 && seen[i] < 100 + size))
            finding("%s: element %lld is %lld", name, (long long)i, (long long)seen[i]);
}

/* A free of what is broken succeeds; so does one of an object that a mistake has not freed. */
static void close_all(void)
{
    meet_all();
    for (int i = 0; i < 2; i++) {
        if (mutexes[i] != NULL)
            CALL(nsh_mutex_free(&mutexes[i]));
        if (semaphores[i] != NULL)
            CALL(nsh_semaphore_free(&semaphores[i]));
        if (counters[i] != NULL)
            CALL(nsh_counter_free(&counters[i]));
    }
    CALL(nsh_array_free(&array));
    CALL(nsh_array_free(&other));
    CALL(nsh_comm_free(&comm));
}

/* ---- what must come of a mistake ---- */

static void works_on(const char *name)
{
    nsh_mutex *mutex = NULL;
    int64_t before, now;

    check_bytes(other, false, name);
    for (int root = 0; root < size; root++) {
        CALL(set_at(array, root));
        if (((const int64_t *)nsh_array_data(array))[count - 1] != 100 + root)
            finding("%s: a later set from %d has not arrived", name, root);
    }
    CREATE(mpi, nsh_mutex_create(comm, NULL, &mutex));
    CALL(nsh_mutex_lock(mutex));
    CALL(nsh_mutex_unlock(mutex));
    CALL(nsh_mutex_free(&mutex));
    CALL(nsh_counter_add(counters[0], 1, &before));
    CALL(nsh_comm_barrier(comm));
    CALL(nsh_counter_read(counters[0], &now));
    if (now % size != 0)
        finding("%s: a counter stands at %lld", name, (long long)now);
    CALL(nsh_comm_barrier(comm));
}

/* Found before anything moved. */
static void found_at_once(const char *name, int (*call)(void))
{
    for (int round = 0; round < 2; round++) {
        int rc;

        calling(name);
        rc = called(name, call());
        if (rc != NSH_ERR_MISMATCH)
            finding("%s: %s | %s", name, nsh_strerror(rc), nsh_error_detail());
        check_bytes(array, false, name);
        check_bytes(other, false, name);
    }
    works_on(name);
}

/* Found in either way, with an update that is then over or not: nothing is said of the array. */
static void found_somehow(const char *name, int (*call)(void))
{
    int rc, calls = 1;

    calling(name);
    rc = called(name, call());
    while (rc == NSH_SUCCESS && calls++ < MOST_CALLS)
        rc = CODE(nsh_comm_barrier(comm));
    if (rc != NSH_ERR_MISMATCH && rc != NSH_ERR_STATE)
        finding("%s: after %d further calls %s | %s", name, calls - 1, nsh_strerror(rc),
                nsh_error_detail());
}

/* Found when messages meet: within this call or those that follow, then it stays. */
static void found_in_time(const char *name, int (*call)(void))
{
    int rc, calls = 1;

    calling(name);
    rc = called(name, call());
    while (rc == NSH_SUCCESS && calls++ < MOST_CALLS)
        rc = calls % 4 != 0 ? CODE(nsh_comm_barrier(comm)) : CODE(set_at(array, calls % size));
    if (rc != NSH_ERR_MISMATCH && rc != NSH_ERR_STATE)
        finding("%s: after %d further calls %s | %s", name, calls - 1, nsh_strerror(rc),
                nsh_error_detail());
    check_bytes(other, false, name);
    if (!on_any_rank(rc == NSH_ERR_MISMATCH))
        finding("%s: STATE on all ranks, MISMATCH on none", name);
    CODE(nsh_comm_barrier(comm)); /* some may learn of it only here */
    rc = CODE(nsh_comm_barrier(comm));
    if (rc != NSH_ERR_STATE)
        finding("%s: a barrier on a broken communicator: %s", name, nsh_strerror(rc));
}

/* Every rank is told so, in this call or the next. */
static void found_given_up(const char *name, int (*call)(void))
{
    int rc, calls = 1;

    calling(name);
    rc = called(name, call());
    while (rc == NSH_SUCCESS && calls++ < MOST_CALLS)
        rc = CODE(nsh_comm_barrier(comm));
    if (rc != NSH_ERR_STATE || strstr(nsh_error_detail(), "has had enough") == NULL)
        finding("%s: after %d further calls %s | %s", name, calls - 1, nsh_strerror(rc),
                nsh_error_detail());
}

static void found_by_watch(const char *name, int (*call)(void))
{
    int rc;

    calling(name);
    rc = called(name, call());
    if (rc != NSH_SUCCESS && rc != NSH_ERR_STATE)
        finding("%s: %s | %s", name, nsh_strerror(rc), nsh_error_detail());
    if (!on_any_rank(rc == NSH_ERR_STATE) && size > 1)
        finding("%s: nobody was told", name);
    works_on(name);
}

static void err(int which, const char *check)
{
    const char *name = mistakes[which].name;
    bool many;

    open_all(mistakes[which].outcome == WATCHED ? "1" : check);
    many = nsh_comm_node_count(comm) > 1;
    if (mistakes[which].outcome == EITHER)
        found_somehow(name, mistakes[which].call);
    else if (mistakes[which].outcome == GIVEN_UP)
        found_given_up(name, mistakes[which].call);
    else if (mistakes[which].outcome == WATCHED)
        found_by_watch(name, mistakes[which].call);
    else if (mistakes[which].outcome == BREAKING && many && strcmp(check, "1") != 0)
        found_in_time(name, mistakes[which].call);
    else
        found_at_once(name, mistakes[which].call);
    check_bytes(other, mistakes[which].call == end_or_set, name);
    close_all();
}

static int choose_mistake(chaos_random *same)
{
    int which = (int)chaos_below(same, MISTAKES);

    for (int tries = 0; tries < MISTAKES && !chaos_wanted(mistakes[which].name); tries++)
        which = (which + 1) % MISTAKES;
    return which;
}

void run_wrong(uint64_t seed, MPI_Comm world)
{
    chaos_random same = {seed};
    int64_t episode = 0;
    int go = 1;

    MPI_Comm_dup(world, &mpi);
    MPI_Comm_rank(mpi, &me);
    MPI_Comm_size(mpi, &size);
    data = malloc(LARGE * sizeof *data);
    atomic_store(&chaos->ranks[chaos_rank_number].ready, 1);
    for (;;) {
        int which = choose_mistake(&same);
        const char *check = chaos_below(&same, 3) == 0 ? "1" : "0";

        count = chaos_below(&same, 2) == 0 ? SMALL : LARGE;
        go = atomic_load(&chaos->stop) == 0;
        MPI_Bcast(&go, 1, MPI_INT, 0, mpi);
        if (!go)
            break;
        set_scene(++episode, mistakes[which].name);
        if (me == 0)
            atomic_store(&chaos->episodes, (unsigned long long)episode);
        err(which, check);
        if (me == 0)
            atomic_fetch_add(&chaos->operations, 1);
    }
    free(data);
    MPI_Comm_free(&mpi);
}
