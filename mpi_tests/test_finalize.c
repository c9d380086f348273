/* test_finalize.c -- ranks: 1 2 4  layouts: one-node cliques-2 odd-even per-rank
 * seconds: 60
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The program frees nothing: MPI_Finalize frees communicators with all objects on them, in any
 * state of a rank, and the handles stay safe. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

enum { SMALL = 100, LARGE = 300000 };

typedef struct world {
    nsh_comm *comm;
    nsh_array *small, *large, *derived;
    nsh_hold *hold;
    const int64_t *held;
    nsh_mutex *mutex[2];
    nsh_semaphore *semaphore;
    nsh_counter *counter;
    nsh_batch *batch;
    nsh_file *file;
} world;

static void make_turns(world *w)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_batch_options batch_options = NSH_BATCH_OPTIONS_INIT;
    MPI_Comm worker;

    for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++) {
        options.order = (nsh_mutex_order)order;
        CHECK_ALL(nsh_mutex_create(w->comm, &options, &w->mutex[order]), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_semaphore_create(w->comm, 1, NULL, &w->semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(w->comm, 3, NULL, &w->counter), NSH_SUCCESS);
    batch_options.worker_size = nsh_comm_size(w->comm) > 1 ? 2 : 1;
    batch_options.quiet = 1;
    CHECK_ALL(nsh_batch_create(w->comm, 10, &batch_options, &w->batch), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_worker_comm(w->batch, &worker), NSH_SUCCESS);
}

static void make_world(world *w, MPI_Comm mpi, const char *path)
{
    const int64_t n = 5;
    MPI_Datatype pair;
    int rc;

    *w = (world){.comm = NULL};
    MPI_Type_contiguous(2, MPI_INT64_T, &pair);
    MPI_Type_commit(&pair);
    CHECK_ALL(nsh_comm_create(mpi, NULL, &w->comm), NSH_SUCCESS);
    w->small = check_make_array(w->comm, SMALL, "forgotten", 5);
    w->large = check_make_array(w->comm, LARGE, NULL, 6);
    CHECK_ALL(nsh_array_create(w->comm, pair, 1, &n, NULL, &w->derived), NSH_SUCCESS);
    MPI_Type_free(&pair);
    CHECK_EQ(nsh_array_hold(w->small, &w->hold), NSH_SUCCESS);
    w->held = nsh_array_data(w->small);
    make_turns(w);
    rc = nsh_file_open(w->comm, path, NSH_FILE_CREATE, NULL, &w->file);
    if (rc != NSH_ERR_UNSUPPORTED) {
        CHECK_ALL(rc, NSH_SUCCESS);
        CHECK_ALL(nsh_file_write(w->file, "small", w->small), NSH_SUCCESS);
    }
}

static void check_held(const world *w)
{
    for (int i = 0; i < SMALL; i++)
        CHECK_EQ(w->held[i], 5);
}

/* Handles of what is gone: nothing of it works, everything of it can be freed. */
static void check_shells(world *w)
{
    const int64_t one = 1;
    nsh_array *array = NULL;
    int64_t value = 0;
    void *view = NULL;
    uint64_t sum;
    int rank;

    check_held(w);
    CHECK(nsh_array_data(w->large) == NULL);
    CHECK(nsh_array_at(w->large, NULL) == NULL);
    CHECK(nsh_array_comm(w->large) == NULL);
    CHECK_EQ(nsh_array_nbytes(w->large), LARGE * 8);
    CHECK(nsh_array_type(w->derived) == MPI_DATATYPE_NULL);
    CHECK_EQ(nsh_array_get(w->small, NULL, &one, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_set(w->small, &value, NULL, &one, 0), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_fill(w->small, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_checksum(w->small, &sum), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_update_begin(w->small, NULL, NULL, 0, &view), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_update_end(w->small), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_print(w->small, stdout), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_like(w->small, NULL, &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_lock(w->mutex[0]), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_trylock(w->mutex[1]), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_unlock(w->mutex[0]), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_holder(w->mutex[0], &rank), NSH_ERR_STATE);
    CHECK_EQ(nsh_semaphore_acquire(w->semaphore), NSH_ERR_STATE);
    CHECK_EQ(nsh_counter_add(w->counter, 1, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_next(w->batch, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_sync(w->batch), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "gone since");
    if (w->file != NULL) {
        CHECK_EQ(nsh_file_commit(w->file), NSH_ERR_STATE);
        CHECK_EQ(nsh_file_get(w->file, "small", NULL, NULL, MPI_INT64_T, &value, sizeof value),
                 NSH_ERR_STATE);
        CHECK_EQ(nsh_file_close(&w->file), NSH_ERR_STATE); /* it has not committed */
    }
    CHECK(w->file == NULL);
    CHECK_EQ(nsh_array_free(&w->small), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&w->large), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&w->derived), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_free(&w->mutex[0]), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_abandon(&w->mutex[1]), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_free(&w->semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_abandon(&w->counter), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_free(&w->batch), NSH_SUCCESS);
    CHECK(w->small == NULL && w->mutex[1] == NULL && w->batch == NULL);
    check_held(w);
    CHECK_EQ(nsh_hold_release(&w->hold), NSH_SUCCESS);
    CHECK(w->hold == NULL);
}

static void check_comm_gone(nsh_comm **comm)
{
    nsh_array *array = NULL;
    nsh_comm *made = NULL;
    const int64_t n = 3;

    CHECK_EQ(nsh_comm_size(*comm), check_size);
    CHECK(nsh_comm_mpi(*comm) == MPI_COMM_NULL);
    CHECK_EQ(nsh_comm_barrier(*comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_node_barrier(*comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_progress(*comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_fail(*comm, 1, "late"), NSH_ERR_STATE);
    CHECK_EQ(nsh_sequential_begin(*comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_find(*comm, "x", &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_create(*comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(comm), NSH_SUCCESS);
    CHECK(*comm == NULL);
    CHECK_EQ(nsh_comm_create_serial(&made), NSH_SUCCESS); /* those need no MPI */
    CHECK_EQ(nsh_array_create(made, MPI_INT64_T, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_abandon(&made), NSH_SUCCESS);
    CHECK_EQ(nsh_array_fill(array, &n), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
}

/* ---- helper threads ---- */

/* How many helper threads this process has; -1: this system does not tell. */
static int count_helpers(void)
{
    DIR *tasks = opendir("/proc/self/task");
    char path[300], name[32];
    int n = 0;

    if (tasks == NULL)
        return -1;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        f = fopen(path, "r");
        if (f == NULL)
            continue;
        n += fgets(name, sizeof name, f) != NULL && strcmp(name, "nsh-helper\n") == 0;
        fclose(f);
    }
    closedir(tasks);
    return n;
}

/* The first callback of MPI_Finalize: a thread that is inside MPI now has come too late. */
static int look_for_helpers(MPI_Comm self, int keyval, void *value, void *extra)
{
    (void)self;
    (void)keyval;
    (void)extra;
    *(int *)value = count_helpers();
    return MPI_SUCCESS;
}

/* MPI_Finalize under NSH_LOG=1, with what this rank says on stderr in text. */
static void finalize(char text[], int n)
{
    FILE *said = tmpfile();
    int stderr_fd = dup(2), got = 0;

    setenv("NSH_LOG", "1", 1);
    fflush(stderr);
    dup2(fileno(said), 2);
    MPI_Finalize();
    fflush(stderr);
    dup2(stderr_fd, 2);
    unsetenv("NSH_LOG");
    rewind(said);
    got = (int)fread(text, 1, (size_t)n - 1, said);
    text[got] = '\0';
    fclose(said);
    close(stderr_fd);
}

/* The last calls before MPI_Finalize: some ranks are still in their last unlock when others
 * finalise. */
static void call_until_the_end(world *first, world *second)
{
    int level;

    for (int i = 0; i < 5 + 20 * (check_rank % 3); i++) {
        CHECK_EQ(nsh_mutex_lock(first->mutex[i % 2]), NSH_SUCCESS);
        CHECK_EQ(nsh_counter_add(second->counter, 1, NULL), NSH_SUCCESS);
        CHECK_EQ(nsh_mutex_unlock(first->mutex[i % 2]), NSH_SUCCESS);
    }
    MPI_Query_thread(&level);
    if (level == MPI_THREAD_MULTIPLE && nsh_comm_node_count(first->comm) > 1 && check_rank == 0)
        CHECK(count_helpers() != 0);
}

static void test_free_all(const char *path)
{
    world gone;

    check_case("a communicator is freed with all that is on it");
    make_world(&gone, MPI_COMM_WORLD, path);
    CHECK_EQ(nsh_mutex_lock(gone.mutex[check_rank % 2]), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(gone.mutex[check_rank % 2]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free_all(&gone.comm), NSH_SUCCESS);
    CHECK(gone.comm == NULL);
    check_shells(&gone);
    CHECK_ALL(nsh_comm_free_all(&gone.comm), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    char text[16384];
    char path[2][64] = {"/tmp/nsh-finalize-XXXXXX", ""};
    nsh_comm *failed = NULL;
    world first, second;
    int fd = -1, helpers = 0, keyval;
    MPI_Comm half;

    check_init(&argc, &argv);
    if (check_rank == 0)
        fd = mkstemp(path[0]);
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    test_free_all(path[0]);
    check_case("what is forgotten works until the end");
    make_world(&first, MPI_COMM_WORLD, path[0]);
    MPI_Comm_split(MPI_COMM_WORLD, check_rank % 2, 0, &half);
    snprintf(path[1], sizeof path[1], "%.48s-%d", path[0], check_rank % 2);
    make_world(&second, half, path[1]);
    MPI_Comm_free(&half);
    CHECK_EQ(nsh_comm_abandon(&second.comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &failed), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(failed), NSH_SUCCESS);
    MPI_Barrier(MPI_COMM_WORLD); /* a rank still inside a call may see the failure there */
    if (check_rank == check_size - 1)
        CHECK_EQ(nsh_comm_fail(failed, 77, "nothing left"), NSH_SUCCESS);
    if (check_rank == 0 && fd >= 0)
        close(fd);
    check_report_cases();
    call_until_the_end(&first, &second);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, look_for_helpers, &keyval, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, keyval, &helpers);
    helpers = 1;
    finalize(text, sizeof text);
    CHECK(helpers <= 0);
    if (check_rank == 0) {
        CHECK_HAS(text, "alive with");
        CHECK_HAS(text, "array forgotten (number 1)");
        CHECK_HAS(text, "mutex without a name");
    }
    check_shells(&first);
    check_shells(&second);
    check_comm_gone(&first.comm);
    CHECK_EQ(nsh_comm_barrier(failed), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_free(&failed), NSH_SUCCESS);
    if (check_rank == 0)
        unlink(path[0]);
    unlink(path[1]);
    return check_finish();
}
