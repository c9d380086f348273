/* test_comm_of.c -- ranks: 2 5  layouts: one-node cliques-2 cliques-3 odd-even serial
 * seconds: 120
 * env: MALLOC_PERTURB_=165
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The communicator that an MPI communicator keeps: one for all callers, which is freed with the MPI
 * communicator, in any state. (Not on hosts: after a communicator has broken, MPICH may not return
 * from MPI_Finalize over TCP.) */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nodeshare.h>

enum { SMALL = 100, LARGE = 300000 };

/* ---- the MPI calls that the library makes ---- */

static atomic_int comms, windows;           /* made and not freed */
static MPI_Comm attr_fails = MPI_COMM_NULL; /* MPI_Comm_set_attr fails on it */

int MPI_Comm_set_attr(MPI_Comm comm, int key, void *value)
{
    if (attr_fails == MPI_COMM_NULL || comm != attr_fails)
        return PMPI_Comm_set_attr(comm, key, value);
    PMPI_Comm_call_errhandler(comm, MPI_ERR_OTHER);
    return MPI_ERR_OTHER;
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *out)
{
    atomic_fetch_add(&comms, 1);
    return PMPI_Comm_dup(comm, out);
}

int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *out)
{
    atomic_fetch_add(&comms, color != MPI_UNDEFINED);
    return PMPI_Comm_split(comm, color, key, out);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out)
{
    atomic_fetch_add(&comms, 1);
    return PMPI_Comm_split_type(comm, type, key, info, out);
}

int MPI_Comm_free(MPI_Comm *comm)
{
    atomic_fetch_sub(&comms, 1);
    return PMPI_Comm_free(comm);
}

int MPI_Win_allocate_shared(MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void *base,
                            MPI_Win *win)
{
    atomic_fetch_add(&windows, 1);
    return PMPI_Win_allocate_shared(bytes, unit, info, comm, base, win);
}

int MPI_Win_allocate(MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void *base,
                     MPI_Win *win)
{
    atomic_fetch_add(&windows, 1);
    return PMPI_Win_allocate(bytes, unit, info, comm, base, win);
}

int MPI_Win_free(MPI_Win *win)
{
    atomic_fetch_sub(&windows, 1);
    return PMPI_Win_free(win);
}

/* ---- what is made on it ---- */

typedef struct objects {
    nsh_array *array, *large;
    nsh_hold *hold;
    const int64_t *held;
    nsh_mutex *mutex;
    nsh_semaphore *semaphore;
    nsh_counter *counter;
    nsh_batch *batch;
    nsh_file *file;
} objects;

static MPI_Comm duplicate(void)
{
    MPI_Comm mpi;

    MPI_Comm_dup(MPI_COMM_WORLD, &mpi);
    return mpi;
}

static nsh_array *make_array(nsh_comm *comm, int64_t n, int64_t value)
{
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &value), NSH_SUCCESS);
    return array;
}

static int64_t first_of(const nsh_array *array)
{
    const int64_t *data = nsh_array_data(array);

    return data != NULL ? data[0] : -1;
}

/* It works, and nothing of this is left on it. */
static void check_use(nsh_comm *comm)
{
    nsh_array *array = make_array(comm, SMALL, 3);

    CHECK_EQ(first_of(array), 3);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
}

static void make_objects(objects *o, nsh_comm *comm, const char *path)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    int rc;

    *o = (objects){.array = make_array(comm, SMALL, 5), .large = make_array(comm, LARGE, 6)};
    CHECK_EQ(nsh_array_hold(o->array, &o->hold), NSH_SUCCESS);
    o->held = nsh_array_data(o->array);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &o->mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_create(comm, 1, NULL, &o->semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(comm, 3, NULL, &o->counter), NSH_SUCCESS);
    options.quiet = 1;
    CHECK_ALL(nsh_batch_create(comm, 10, &options, &o->batch), NSH_SUCCESS);
    rc = nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &o->file);
    if (rc != NSH_ERR_UNSUPPORTED) {
        CHECK_ALL(rc, NSH_SUCCESS);
        CHECK_ALL(nsh_file_write(o->file, "array", o->array), NSH_SUCCESS);
    }
}

static void check_shells(objects *o)
{
    int64_t value = 0;

    for (int i = 0; i < SMALL; i++)
        CHECK_EQ(o->held[i], 5);
    CHECK(nsh_array_data(o->large) == NULL);
    CHECK(nsh_array_comm(o->large) == NULL);
    CHECK_EQ(nsh_array_size(o->large), LARGE);
    CHECK_EQ(nsh_array_fill(o->large, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_lock(o->mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_semaphore_acquire(o->semaphore), NSH_ERR_STATE);
    CHECK_EQ(nsh_counter_add(o->counter, 1, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_next(o->batch, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_free(&o->array), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&o->large), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_free(&o->mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_free(&o->semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_abandon(&o->counter), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_free(&o->batch), NSH_SUCCESS);
    if (o->file != NULL)
        CHECK_EQ(nsh_file_close(&o->file), NSH_ERR_STATE); /* it has not committed */
    CHECK_EQ(nsh_hold_release(&o->hold), NSH_SUCCESS);
}

/* ---- one handle ---- */

/* Each rank in its turn calls while all others are inside an MPI_Barrier. */
static void test_same_handle(void)
{
    MPI_Comm mpi = duplicate();
    nsh_comm *first = NULL, *again = NULL;

    CHECK_ALL(nsh_comm_of(mpi, &first), NSH_SUCCESS);
    check_use(first);
    for (int rank = 0; rank < check_size; rank++) {
        MPI_Barrier(MPI_COMM_WORLD);
        for (int i = 0; i < 100 && rank == check_rank; i++) {
            again = NULL;
            CHECK_EQ(nsh_comm_of(mpi, &again), NSH_SUCCESS);
            CHECK(again == first);
        }
    }
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_comm_of(mpi, NULL), NSH_ERR_ARG);
    MPI_Comm_free(&mpi);
}

static void test_duplicate(void)
{
    MPI_Comm mpi = duplicate(), copy;
    nsh_comm *one = NULL, *other = NULL, *again = NULL;
    nsh_array *array;

    CHECK_ALL(nsh_comm_of(mpi, &one), NSH_SUCCESS);
    array = make_array(one, SMALL, 8);
    MPI_Comm_dup(mpi, &copy);
    CHECK_ALL(nsh_comm_of(copy, &other), NSH_SUCCESS);
    CHECK(other != one);
    check_use(other);
    MPI_Comm_free(&copy);
    CHECK_EQ(first_of(array), 8);
    check_use(one);
    CHECK_ALL(nsh_comm_of(mpi, &again), NSH_SUCCESS);
    CHECK(again == one);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    MPI_Comm_free(&mpi);
}

/* Freeing the handle in any way does not affect others that have it too. */
static void test_borrowed(void)
{
    MPI_Comm mpi = duplicate();
    nsh_comm *comm = NULL, *lent = NULL;
    nsh_array *array;

    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    array = make_array(comm, SMALL, 9);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(nsh_comm_of(mpi, &lent), NSH_SUCCESS);
        if (check_rank == 0) /* one rank alone */
            CHECK_EQ(i == 0   ? nsh_comm_free(&lent)
                     : i == 1 ? nsh_comm_free_all(&lent)
                              : nsh_comm_abandon(&lent),
                     NSH_SUCCESS);
        CHECK((lent == NULL) == (check_rank == 0));
        CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
        CHECK_EQ(first_of(array), 9);
    }
    check_use(comm);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    check_use(comm);
    MPI_Comm_free(&mpi);
}

static void test_arguments(void)
{
    MPI_Comm mpi = duplicate(), half, inter;
    nsh_comm *comm = NULL;

    CHECK_ALL(nsh_comm_of(MPI_COMM_NULL, &comm), NSH_ERR_ARG);
    CHECK_ALL(nsh_comm_of(mpi, check_rank == 0 ? NULL : &comm), NSH_ERR_ARG);
    CHECK(comm == NULL);
    if (check_size > 1) {
        MPI_Comm_split(MPI_COMM_WORLD, check_rank % 2, 0, &half);
        MPI_Intercomm_create(half, 0, mpi, 1 - check_rank % 2, 1, &inter);
        CHECK_ALL(nsh_comm_of(inter, &comm), NSH_ERR_ARG);
        PMPI_Comm_free(&inter);
        MPI_Comm_free(&half);
    }
    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    check_use(comm);
    MPI_Comm_free(&mpi);
}

/* ---- its end ---- */

static void test_free_alive(const char *path)
{
    int before = comms, win_before = windows;
    MPI_Comm mpi = duplicate();
    nsh_comm *comm = NULL;
    objects o;

    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    make_objects(&o, comm, path);
    if (check_rank == 0)
        CHECK_EQ(nsh_mutex_lock(o.mutex), NSH_SUCCESS); /* and it is never unlocked */
    CHECK_EQ(MPI_Comm_free(&mpi), MPI_SUCCESS);
    CHECK(mpi == MPI_COMM_NULL);
    check_shells(&o);
    CHECK_EQ(comms, before);
    CHECK_EQ(windows, win_before);
}

static void test_disconnect(void)
{
    int before = comms, win_before = windows;
    MPI_Comm mpi = duplicate();
    nsh_comm *comm = NULL;
    nsh_array *array;

    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    array = make_array(comm, SMALL, 4);
    CHECK_EQ(MPI_Comm_disconnect(&mpi), MPI_SUCCESS);
    CHECK(nsh_array_data(array) == NULL);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_EQ(comms, before + 1); /* what was disconnected is not counted */
    CHECK_EQ(windows, win_before);
    atomic_fetch_sub(&comms, 1);
}

/* A rank in a sequential section, and ranks that are in another call: the communicator cannot be
 * freed properly, but no rank hangs. */
static void test_free_at_a_bad_time(void)
{
    for (int i = 0; i < 2; i++) {
        MPI_Comm mpi = duplicate();
        nsh_comm *comm = NULL;
        nsh_array *array;

        CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
        array = make_array(comm, SMALL, 4);
        MPI_Barrier(mpi); /* or the communicator may break while another rank still fills */
        if (i == 0 && check_rank == 0)
            CHECK_EQ(nsh_sequential_begin(comm), NSH_SUCCESS);
        if (i == 1 && check_rank != 0)
            CHECK(nsh_comm_barrier(comm) != NSH_SUCCESS);
        CHECK_EQ(MPI_Comm_free(&mpi), MPI_SUCCESS);
        CHECK_EQ(nsh_array_fill(array, &(int64_t){1}), NSH_ERR_STATE);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    }
}

/* The library's own duplicate keeps one too, which goes when that duplicate is freed. */
static void test_of_own(void)
{
    MPI_Comm mpi = duplicate();
    nsh_comm *comm = NULL, *inner = NULL;
    nsh_array *array;

    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_of(nsh_comm_mpi(comm), &inner), NSH_SUCCESS);
    CHECK(inner != comm);
    array = make_array(inner, SMALL, 4);
    MPI_Comm_free(&mpi);
    CHECK(nsh_array_data(array) == NULL);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
}

/* ---- broken ---- */

/* Every rank knows: all get the same new one in the same call. */
static void test_replaced(void)
{
    int before = comms;
    MPI_Comm mpi = duplicate();
    nsh_comm *old = NULL, *comm = NULL, *again = NULL;
    nsh_array *array, *more;

    CHECK_ALL(nsh_comm_of(mpi, &old), NSH_SUCCESS);
    array = make_array(old, SMALL, 7);
    MPI_Barrier(MPI_COMM_WORLD); /* every rank has left the last call */
    nsh_comm_fail(old, 5, "a test");
    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    CHECK(comm != old);
    check_use(comm);
    CHECK_EQ(first_of(array), 7);
    CHECK_EQ(nsh_comm_barrier(old), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(&old), NSH_SUCCESS);
    CHECK(old == NULL);
    CHECK_EQ(first_of(array), 7);
    more = make_array(comm, SMALL, 8);
    CHECK_ALL(nsh_comm_of(mpi, &again), NSH_SUCCESS);
    CHECK(again == comm);
    MPI_Comm_free(&mpi);
    CHECK(nsh_array_data(array) == NULL && nsh_array_data(more) == NULL);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&more), NSH_SUCCESS);
    CHECK(comms - before <= 2); /* MPI keeps those of the broken one until MPI_Finalize */
}

/* Ranks learn of it at different times: each comes back when its next call fails. */
static void test_not_heard(void)
{
    MPI_Comm mpi = duplicate();
    nsh_comm *old = NULL, *comm = NULL;
    int calls = 0;

    for (int round = 0; round < 2; round++) {
        CHECK_ALL(nsh_comm_of(mpi, &old), NSH_SUCCESS);
        CHECK_ALL(nsh_comm_barrier(old), NSH_SUCCESS);
        MPI_Barrier(MPI_COMM_WORLD);
        comm = old;
        if (check_rank == round % check_size)
            CHECK_EQ(nsh_comm_fail(old, 6, "a test"), NSH_SUCCESS);
        do {
            CHECK_EQ(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
        } while (nsh_comm_barrier(comm) != NSH_SUCCESS && ++calls < 10000);
        CHECK(comm != old);
        check_use(comm);
    }
    MPI_Comm_free(&mpi);
}

/* ---- the attribute cannot be set on one rank ---- */

static void test_attribute_fails(void)
{
    MPI_Comm mpi = duplicate();
    int before = comms, win_before = windows;
    MPI_Errhandler handler;
    nsh_comm *comm = NULL;

    MPI_Comm_set_errhandler(mpi, MPI_ERRORS_ARE_FATAL);
    for (int rank = 0; rank < check_size && rank < 2; rank++) {
        attr_fails = rank == check_rank ? mpi : MPI_COMM_NULL;
        CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_ERR_MPI);
        CHECK_HAS(nsh_error_detail(), "attribute on the communicator");
        attr_fails = MPI_COMM_NULL;
        CHECK(comm == NULL);
        CHECK_EQ(comms, before);
        CHECK_EQ(windows, win_before);
    }
    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    check_use(comm);
    MPI_Comm_get_errhandler(mpi, &handler);
    CHECK(handler == MPI_ERRORS_ARE_FATAL);
    MPI_Comm_free(&mpi);
    CHECK_EQ(comms, before - 1);
    CHECK_EQ(windows, win_before);
}

/* ---- threads ---- */

/* One thread a communicator: they make, use and free their own at the same time. */
static void *live_a_life(void *arg)
{
    MPI_Comm *mpi = arg, copy;

    for (int i = 0; i < 2; i++) {
        nsh_comm *comm = NULL, *again = NULL;
        nsh_array *array;

        MPI_Comm_dup(*mpi, &copy);
        CHECK_ALL(nsh_comm_of(copy, &comm), NSH_SUCCESS);
        check_use(comm);
        array = make_array(comm, SMALL, i);
        CHECK_ALL(nsh_comm_of(copy, &again), NSH_SUCCESS);
        CHECK(again == comm);
        MPI_Comm_free(&copy);
        CHECK(nsh_array_data(array) == NULL);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    }
    return NULL;
}

static void test_threads(void)
{
    MPI_Comm mpi[2] = {duplicate(), duplicate()};
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, live_a_life, &mpi[0]), 0);
    live_a_life(&mpi[1]);
    pthread_join(thread, NULL);
    MPI_Comm_free(&mpi[0]);
    MPI_Comm_free(&mpi[1]);
}

/* ---- fork ---- */

static void test_child(void)
{
    MPI_Comm mpi = duplicate();
    nsh_comm *comm = NULL, *lent = NULL;
    nsh_array *array;
    int status = -1;
    pid_t pid;

    CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
    array = make_array(comm, SMALL, 2);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int before = check_failures();

        lent = comm;
        CHECK_EQ(nsh_comm_of(mpi, &lent), NSH_ERR_STATE);
        CHECK_EQ(first_of(array), 2);
        CHECK_EQ(nsh_comm_free(&lent), NSH_SUCCESS);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
        CHECK(lent == NULL && array == NULL);
        fflush(NULL);
        _exit(check_failures() != before);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    check_use(comm);
    MPI_Comm_free(&mpi);
    CHECK(nsh_array_data(array) == NULL);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
}

/* ---- many ---- */

static int count_open_files(void)
{
    DIR *files = opendir("/proc/self/fd");
    int n = 0;

    if (files == NULL)
        return 0;
    while (readdir(files) != NULL)
        n++;
    closedir(files);
    return n;
}

/* How much shared memory this process maps: lines of /proc/self/maps. */
static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;

    if (maps == NULL)
        return 0;
    while (fgets(line, sizeof line, maps) != NULL)
        n += strstr(line, "/dev/shm") != NULL || strstr(line, "/dev/zero") != NULL;
    fclose(maps);
    return n;
}

/* MPICH has 2048 context ids, and each communicator takes some. */
static void test_many(int n)
{
    int open_files = 0, mappings = 0, before = comms, win_before = windows;

    for (int i = 0; i < n; i++) {
        MPI_Comm mpi = duplicate();
        nsh_comm *comm = NULL;
        nsh_array *array;

        CHECK_ALL(nsh_comm_of(mpi, &comm), NSH_SUCCESS);
        check_use(comm);
        array = make_array(comm, SMALL, i);
        MPI_Comm_free(&mpi);
        CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
        if (i == 4) {
            open_files = count_open_files();
            mappings = count_mappings();
        }
    }
    CHECK_EQ(count_open_files(), open_files);
    CHECK_EQ(count_mappings(), mappings);
    CHECK_EQ(comms, before);
    CHECK_EQ(windows, win_before);
}

/* ---- MPI_Finalize ---- */

/* A library that frees its communicator in a callback of MPI_Finalize. */
static int free_late(MPI_Comm self, int key, void *value, void *extra)
{
    (void)self;
    (void)key;
    (void)extra;
    CHECK_EQ(MPI_Comm_free(value), MPI_SUCCESS);
    return MPI_SUCCESS;
}

/* A library that asks for a communicator in a callback that comes after ours. */
static int ask_late(MPI_Comm self, int key, void *value, void *extra)
{
    nsh_comm *comm = NULL;

    (void)key;
    (void)value;
    (void)extra;
    CHECK_EQ(nsh_comm_of(self, &comm), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "MPI_Finalize");
    CHECK(comm == NULL);
    return MPI_SUCCESS;
}

/* Before the first nsh_comm_of, for the attributes of MPI_COMM_SELF go in reverse order. */
static void be_last_in_finalize(void)
{
    int keyval;

    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, ask_late, &keyval, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, keyval, NULL);
}

static void check_gone(nsh_comm **comm, int size, nsh_array **array)
{
    nsh_comm *late = NULL;

    CHECK(nsh_array_data(*array) == NULL);
    CHECK_EQ(nsh_array_free(array), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_size(*comm), size);
    CHECK_EQ(nsh_comm_barrier(*comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_of(MPI_COMM_WORLD, &late), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(comm), NSH_SUCCESS);
    CHECK(*comm == NULL && late == NULL);
}

static void end_with_everything_alive(void)
{
    static MPI_Comm of_library;
    MPI_Comm mpi[3] = {MPI_COMM_WORLD, MPI_COMM_SELF, duplicate()};
    nsh_comm *comm[3] = {NULL, NULL, NULL}, *late = NULL;
    nsh_array *array[3], *late_array;
    int keyval;

    of_library = duplicate();
    for (int i = 0; i < 3; i++) {
        CHECK_ALL(nsh_comm_of(mpi[i], &comm[i]), NSH_SUCCESS);
        check_use(comm[i]);
        array[i] = make_array(comm[i], SMALL, i);
    }
    CHECK_ALL(nsh_comm_of(of_library, &late), NSH_SUCCESS);
    late_array = make_array(late, SMALL, 1);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, free_late, &keyval, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, keyval, &of_library);
    check_report_cases();
    MPI_Finalize();
    CHECK(of_library == MPI_COMM_NULL);
    CHECK_EQ(nsh_array_free(&late_array), NSH_SUCCESS);
    for (int i = 0; i < 3; i++)
        check_gone(&comm[i], mpi[i] == MPI_COMM_SELF ? 1 : check_size, &array[i]);
}

int main(int argc, char **argv)
{
    char path[64] = "/tmp/nsh-comm-of-XXXXXX";
    int fd = -1, level;

    check_init(&argc, &argv);
    if (check_rank == 0)
        fd = mkstemp(path);
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    MPI_Query_thread(&level);
    be_last_in_finalize();
    check_case("one handle on every call, and no rank waits for it");
    test_same_handle();
    check_case("a duplicate gets its own");
    test_duplicate();
    check_case("the handle is borrowed");
    test_borrowed();
    check_case("what is no intracommunicator is refused");
    test_arguments();
    check_case("MPI_Comm_free and MPI_Comm_disconnect take what is alive");
    test_free_alive(path);
    test_disconnect();
    check_case("MPI_Comm_free in a section, or while others are in another call");
    test_free_at_a_bad_time();
    check_case("the library's own communicator keeps one too");
    test_of_own();
    check_case("a broken one is replaced");
    test_replaced();
    check_case("a rank that has not heard comes back");
    test_not_heard();
    check_case("a rank cannot set the attribute, and errors are fatal");
    test_attribute_fails();
    check_case("two threads on two communicators");
    if (level == MPI_THREAD_MULTIPLE)
        test_threads();
    check_case("a child of fork");
    test_child();
    check_case("many communicators");
    test_many(check_size == 1 ? 500 : check_size == 2 ? 20 : 6);
    check_case("MPI_Finalize takes what is cached");
    if (check_rank == 0) {
        close(fd);
        unlink(path);
    }
    end_with_everything_alive();
    return check_finish();
}
