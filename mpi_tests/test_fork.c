/* test_fork.c -- ranks: 1 2 4  layouts: one-node cliques-2 odd-even per-rank
 * seconds: 60
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Children that read, and free whatever they have inherited, as garbage collectors do: their
 * parents do not notice. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nodeshare.h>

enum { SMALL = 100, LARGE = 300000 };

/* How a child that the library does not stop ends. */
enum { CHILD_ABORTED = 97, CHILD_MADE, CHILD_CONTINUED };

static nsh_comm *comm, *serial;
static nsh_array *small, *large, *alone, *updated;
static nsh_hold *hold;
static nsh_mutex *mutex;
static nsh_semaphore *semaphore;
static nsh_counter *counter;
static nsh_batch *batch;
static nsh_file *file;

/* Only a child could call it here, and then it would end the job. */
int MPI_Abort(MPI_Comm mpi, int code)
{
    (void)mpi;
    (void)code;
    _exit(CHILD_ABORTED);
}

static void make_all(const char *path)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    char journal[128];
    void *view = NULL;
    int rc;

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create_serial(&serial), NSH_SUCCESS);
    small = check_make_array(comm, SMALL, "small", 1);
    large = check_make_array(comm, LARGE, NULL, 2);
    alone = check_make_array(serial, LARGE, "alone", 3 + check_rank);
    updated = check_make_array(comm, SMALL, NULL, 4);
    CHECK_ALL(nsh_array_update_begin(updated, NULL, NULL, 0, &view), NSH_SUCCESS);
    CHECK_EQ(nsh_array_hold(large, &hold), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_create(comm, NULL, &mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_create(comm, check_size, NULL, &semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_create(comm, 3, NULL, &counter), NSH_SUCCESS);
    snprintf(journal, sizeof journal, "%s.journal", path);
    options.journal = journal;
    options.quiet = 1;
    CHECK_ALL(nsh_batch_create(comm, 10, &options, &batch), NSH_SUCCESS);
    rc = nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file);
    if (rc != NSH_ERR_UNSUPPORTED) {
        CHECK_ALL(rc, NSH_SUCCESS);
        CHECK_ALL(nsh_file_write(file, "small", small), NSH_SUCCESS);
        CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    }
}

/* ---- in the child ---- */

static void child_reads(void)
{
    nsh_array *found = NULL;
    nsh_hold *held = NULL;
    int64_t values[SMALL] = {0};
    nsh_task_state state;
    FILE *null = fopen("/dev/null", "w");

    check_array(small, 1);
    check_array(large, 2);
    check_array(alone, 3 + check_rank);
    CHECK_EQ(*(const int64_t *)nsh_array_at(small, NULL), 1);
    CHECK_EQ(nsh_array_get(small, NULL, NULL, values), NSH_SUCCESS);
    CHECK_EQ(values[SMALL - 1], 1);
    CHECK_EQ(nsh_array_size(large), LARGE);
    CHECK_EQ(nsh_array_print(small, null), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_print(comm, null), NSH_SUCCESS);
    CHECK_EQ(nsh_array_find(comm, "small", &found), NSH_SUCCESS);
    CHECK(found == small);
    CHECK_EQ(nsh_comm_rank(comm), check_rank);
    CHECK_EQ(nsh_batch_state(batch, 3, &state), NSH_SUCCESS);
    CHECK_EQ(nsh_array_hold(small, &held), NSH_SUCCESS);
    CHECK_EQ(nsh_hold_release(&held), NSH_SUCCESS);
    if (file != NULL) {
        values[0] = 0;
        CHECK_EQ(nsh_file_get(file, "small", NULL, NULL, MPI_INT64_T, values, sizeof values),
                 NSH_SUCCESS);
        CHECK_EQ(values[0], 1);
    }
    fclose(null);
}

static void child_is_refused(void)
{
    const int64_t n = 3;
    int64_t value = 9, task;
    nsh_array *array = NULL;
    nsh_mutex *made = NULL;
    uint64_t sum;
    int holder;

    CHECK_EQ(nsh_array_fill(small, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_fill(alone, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_set(large, &value, NULL, NULL, 0), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_update_end(updated), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_checksum(small, &sum), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_create(serial, MPI_INT64_T, 1, &n, NULL, &array), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_create(comm, NULL, &made), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_ERR_STATE);
    CHECK_EQ(nsh_mutex_holder(mutex, &holder), NSH_ERR_STATE);
    CHECK_EQ(nsh_semaphore_acquire(semaphore), NSH_ERR_STATE);
    CHECK_EQ(nsh_counter_add(counter, 100, NULL), NSH_ERR_STATE);
    CHECK_EQ(nsh_counter_read(counter, &value), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_next(batch, &task), NSH_ERR_STATE);
    CHECK_EQ(nsh_batch_sync(batch), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_barrier(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_create(MPI_COMM_WORLD, NULL, &(nsh_comm *){NULL}),
             NSH_ERR_STATE); /* MPI is the parent's */
    CHECK_EQ(nsh_comm_node_barrier(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_barrier(serial), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_progress(comm), NSH_ERR_STATE);
    CHECK_EQ(nsh_comm_fail(comm, 5, "a child may not"), NSH_ERR_STATE);
    CHECK_HAS(nsh_error_detail(), "fork");
    CHECK_EQ(nsh_sequential_begin(comm), NSH_ERR_STATE);
    if (file != NULL) {
        CHECK_EQ(nsh_file_write(file, "again", small), NSH_ERR_STATE);
        CHECK_EQ(nsh_file_commit(file), NSH_ERR_STATE);
    }
}

static void child_frees(void)
{
    CHECK_EQ(nsh_hold_release(&hold), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&small), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&large), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&alone), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&updated), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_abandon(&mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_free(&counter), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_free(&batch), NSH_SUCCESS);
    CHECK_EQ(nsh_file_abandon(&file), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free_all(&serial), NSH_SUCCESS);
    CHECK(small == NULL && mutex == NULL && batch == NULL && comm == NULL && serial == NULL);
}

/* What the child makes is its own. */
static void child_makes(void)
{
    nsh_comm *own = NULL;
    nsh_array *array;

    CHECK_EQ(nsh_comm_create_serial(&own), NSH_SUCCESS);
    array = check_make_array(own, LARGE, "own", 8);
    check_array(array, 8);
    CHECK_EQ(nsh_comm_free(&own), NSH_ERR_STATE);
    CHECK_EQ(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&own), NSH_SUCCESS);
}

static void fork_one(bool reads)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int before = check_failures();

        if (reads) {
            child_reads();
            child_is_refused();
        }
        child_frees();
        child_makes();
        fflush(NULL);
        _exit(check_failures() != before);
    }
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* A child that is forked before the first communicator is made. MPI is its parent's. */
static void child_of_no_communicator(void)
{
    nsh_comm *made = NULL;
    int null = open("/dev/null", O_WRONLY);

    if (nsh_comm_create(MPI_COMM_NULL, NULL, &made) != NSH_ERR_STATE)
        _exit(CHILD_MADE);
    if (nsh_comm_of(MPI_COMM_NULL, &made) != NSH_ERR_STATE)
        _exit(CHILD_MADE);
    dup2(null, STDERR_FILENO);
    NSH_OR_ABORT(nsh_comm_barrier(NULL));
    _exit(CHILD_CONTINUED);
}

/* The child's NSH_OR_ABORT ends the child alone. */
static void test_first_child(void)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0)
        child_of_no_communicator();
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), EXIT_FAILURE);
}

/* ---- in the parent ---- */

static void parent_goes_on(void)
{
    int64_t seven = 7, before = 0, task = 0, done = 0;
    nsh_array *more;

    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    check_array(small, 1);
    check_array(large, 2);
    check_array(alone, 3 + check_rank);
    CHECK_ALL(nsh_array_update_end(updated), NSH_SUCCESS);
    check_array(updated, 4);
    more = check_make_array(comm, LARGE, NULL, 5);
    CHECK_ALL(nsh_array_fill(small, &seven), NSH_SUCCESS);
    check_array(small, 7);
    check_array(large, 2);
    CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_add(counter, 1, &before), NSH_SUCCESS);
    CHECK(before >= 3 && before < 3 + check_size);
    while (nsh_batch_next(batch, &task) == NSH_SUCCESS && task >= 0) {
        CHECK_EQ(nsh_batch_finish(batch, task, NSH_TASK_DONE, NULL), NSH_SUCCESS);
        done++;
    }
    MPI_Allreduce(MPI_IN_PLACE, &done, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    CHECK_EQ(done, 10);
    check_array(more, 5);
    CHECK_EQ(nsh_array_free(&more), NSH_SUCCESS);
}

/* The last rank of a node to free a large array gives its pages back: children do not count. */
static void parent_frees(void)
{
    CHECK_EQ(nsh_hold_release(&hold), NSH_SUCCESS);
    if (nsh_comm_node_rank(comm) > 0)
        CHECK_EQ(nsh_array_free(&large), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    if (large != NULL)
        check_array(large, 2);
    CHECK_EQ(nsh_array_free(&large), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&small), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&alone), NSH_SUCCESS);
    CHECK_EQ(nsh_array_free(&updated), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_free(&semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_free(&counter), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&batch), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(nsh_comm_free(&serial), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* A journal belongs to the job and not to its children: when the job has freed the batch another
 * one may have it, although a child of every rank lives on. */
static void test_journal_of_parent(const char *path)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    char journal[160], byte;
    int ends[2];
    pid_t child;

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    snprintf(journal, sizeof journal, "%s.journal", path);
    options.journal = journal;
    options.quiet = 1;
    options.mode = NSH_BATCH_OVERWRITE;
    CHECK_ALL(nsh_batch_create(comm, 10, &options, &batch), NSH_SUCCESS);
    CHECK_EQ(pipe(ends), 0);
    child = fork();
    if (child == 0) { /* it lives until its parent has closed the pipe */
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0);
    }
    close(ends[0]);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_free(&batch), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, 10, &options, &batch), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&batch), NSH_SUCCESS);
    close(ends[1]);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    char path[128] = "/tmp/nsh-fork-XXXXXX", journal[160];
    int fd = -1;

    check_init(&argc, &argv);
    check_case("a child of a process without a communicator");
    test_first_child();
    if (check_rank == 0) {
        fd = mkstemp(path);
        close(fd);
    }
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    check_case("children read and free");
    make_all(path);
    fork_one(true);
    fork_one(false);
    check_case("their parents go on");
    parent_goes_on();
    parent_frees();
    check_case("a journal is its job's alone");
    test_journal_of_parent(path);
    if (check_rank == 0) {
        snprintf(journal, sizeof journal, "%s.journal", path);
        unlink(path);
        unlink(journal);
    }
    return check_finish();
}
