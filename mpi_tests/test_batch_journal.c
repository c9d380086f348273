/* test_batch_journal.c -- ranks: 1 2 3  layouts: one-node cliques-2 odd-even per-rank hosts-2
 * layouts: serial
 * seconds: 90
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches with a journal: modes, resuming, mismatches, a full disk, several jobs' batches at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"

enum { N = 300 };

#define MARK_DOUBLE UINT64_C(12564998434573106515)
#define MARK_INT64  UINT64_C(9764661305842117760)
#define MARK_MIXED  UINT64_C(10531636500694063619)

typedef struct shared {
    char path[64];
    atomic_int waiting; /* jobs that wait for another one's task, */
    atomic_int got;     /* and have got it */
    atomic_int taken[N];
} shared;

static nsh_comm *comm;
static shared *s;

/* ---- a system that fails, in place of libc's functions ---- */

static int failing_syncs; /* this many next calls of fdatasync fail */
static int directory_syncs;
static int lock_host; /* processes with different numbers do not see each other's locks */
static int refused;   /* requests for a lock */
static bool slow;     /* a process that has a lock for writing keeps it for some time */

int fdatasync(int fd)
{
    if (failing_syncs == 0)
        return (int)syscall(SYS_fdatasync, fd);
    failing_syncs--;
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    struct stat st;

    directory_syncs += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return (int)syscall(SYS_fsync, fd);
}

int fcntl(int fd, int command, ...)
{
    bool lock = command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK;
    va_list arguments;
    struct flock f;
    void *argument;
    int rc;

    va_start(arguments, command);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!lock)
        return (int)syscall(SYS_fcntl, fd, command, argument);
    f = *(struct flock *)argument;
    f.l_start += (off_t)lock_host << 50;
    rc = (int)syscall(SYS_fcntl, fd, command, &f);
    f.l_start -= (off_t)lock_host << 50;
    *(struct flock *)argument = f;
    refused += rc != 0;
    if (slow && rc == 0 && f.l_type == F_WRLCK)
        usleep(100);
    return rc;
}

/* ---- batches on a journal ---- */

static nsh_batch_options options_of(nsh_batch_mode mode)
{
    nsh_batch_options o = NSH_BATCH_OPTIONS_INIT;

    o.result_type = MPI_DOUBLE;
    o.journal = s->path;
    o.mode = mode;
    o.quiet = 1;
    return o;
}

static double result_of(int64_t task)
{
    return 1.0 / (double)(task + 3);
}

static void forget(void)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        for (int t = 0; t < N; t++)
            s->taken[t] = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Run up to `most` tasks; every seventh fails. */
static void work(nsh_batch *b, int most)
{
    int64_t task = -2;

    for (int i = 0; i < most; i++) {
        double result;

        CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
        if (task < 0)
            break;
        if (nsh_batch_worker_rank(b) == 0)
            s->taken[task]++;
        result = result_of(task);
        CHECK_EQ(
            nsh_batch_finish(b, task, task % 7 == 0 ? NSH_TASK_FAILED : NSH_TASK_DONE, &result),
            NSH_SUCCESS);
    }
}

static void check_ended(nsh_batch *b)
{
    const int64_t extent = N;
    nsh_array *results = NULL;
    nsh_task_counts c = {sizeof(nsh_task_counts), -1, -1, -1, -1, -1};

    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, &extent, NULL, &results), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_results(b, results), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_counts(b, &c), NSH_SUCCESS);
    CHECK_EQ(c.failed, (N + 6) / 7);
    CHECK_EQ(c.done, N - (N + 6) / 7);
    CHECK_EQ(c.open, 0);
    CHECK_EQ(c.running, 0);
    for (int t = 0; t < N; t++) {
        nsh_task_state state;

        CHECK_EQ(nsh_batch_state(b, t, &state), NSH_SUCCESS);
        CHECK_EQ(state, t % 7 == 0 ? NSH_TASK_FAILED : NSH_TASK_DONE);
        CHECK_DOUBLE(((const double *)nsh_array_data(results))[t], t % 7 == 0 ? 0 : result_of(t));
    }
    CHECK_ALL(nsh_array_free(&results), NSH_SUCCESS);
}

static void barrier_and_unlink(void)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        unlink(s->path);
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void write_file(const char *path, const char *bytes, int64_t n)
{
    FILE *f = fopen(path, "wb");

    if (!CHECK(f != NULL))
        return;
    CHECK_EQ(fwrite(bytes, 1, (size_t)n, f), n);
    CHECK_EQ(fclose(f), 0);
}

/* ---- a batch in parts ---- */

static void resume(int worker_size)
{
    nsh_batch_options o = options_of(NSH_BATCH_NEW);
    nsh_batch *b = NULL;
    int64_t task = -1;
    nsh_task_state state;
    nsh_task_counts counts = {sizeof(nsh_task_counts), -1, -1, -1, -1, -1};

    check_case("begun, left with a task taken, resumed, ended; workers of %d", worker_size);
    forget();
    barrier_and_unlink();
    o.worker_size = worker_size;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 20);
    CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    if (task >= 0) { /* all nodes of the worker know */
        CHECK_EQ(nsh_batch_state(b, task, &state), NSH_SUCCESS);
        CHECK_EQ(state, NSH_TASK_RUNNING);
    }
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o = options_of(NSH_BATCH_RESUME);
    o.sync = 1;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    if (task >= 0) {
        CHECK_EQ(nsh_batch_state(b, task, &state), NSH_SUCCESS);
        CHECK_EQ(state, NSH_TASK_OPEN);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 5);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o.sync = 0;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, N);
    CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_EQ(task, -1);
    check_ended(b);
    for (int t = 0; t < N; t++)
        CHECK_EQ(s->taken[t], 1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    check_ended(b); /* from the file alone */
    forget();
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_FAILED), NSH_SUCCESS);
    work(b, N);
    check_ended(b);
    for (int t = 0; t < N; t++)
        CHECK_EQ(s->taken[t], t % 7 == 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_DONE), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_RUNNING), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS); /* and is counted as before */
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_counts(b, &counts), NSH_SUCCESS);
    CHECK_EQ(counts.running, nsh_batch_worker_count(b));
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_reopen(b, NSH_BATCH_REOPEN_RUNNING), NSH_SUCCESS);
    work(b, N);
    check_ended(b);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* Two batches of one program on one file are two jobs. */
static void two_at_once(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *a = NULL, *b = NULL;
    int64_t task = -1, other = -1;

    check_case("two batches on one journal");
    forget();
    CHECK_ALL(nsh_batch_create(comm, N, &o, &a), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_BUSY);
    CHECK_HAS(nsh_error_detail(), s->path);
    o.mode = NSH_BATCH_RESUME;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < 20; i++) {
        work(a, 1);
        work(b, 2);
    }
    CHECK_EQ(nsh_batch_next(a, &task), NSH_SUCCESS);
    work(b, N);
    CHECK_EQ(nsh_batch_next(b, &other), NSH_SUCCESS);
    CHECK_EQ(other, -1); /* the remaining tasks run in a, which lives */
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_free(&a), NSH_SUCCESS); /* its RUNNING tasks are OPEN again */
    work(b, N);
    check_ended(b);
    for (int t = 0; t < N; t++)
        CHECK_EQ(s->taken[t], 1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* Each rank is a job of its own, on as many tasks: each takes one and keeps it, and none is left
 * over for a job that has one already. */
static void one_each(int rounds)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_comm *alone = NULL;
    nsh_batch *b = NULL;
    int64_t task = -1;

    check_case("as many jobs as tasks, or %d times fewer: the first tasks, one to each", rounds);
    forget();
    CHECK_ALL(nsh_comm_create_serial(&alone), NSH_SUCCESS);
    if (check_rank == 0)
        CHECK_EQ(nsh_batch_create(alone, rounds * check_size, &o, &b), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    o.mode = NSH_BATCH_RESUME;
    if (check_rank != 0)
        CHECK_EQ(nsh_batch_create(alone, rounds * check_size, &o, &b), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK(task >= 0 && task < check_size);
    if (task >= 0)
        s->taken[task]++;
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int t = 0; t < check_size; t++)
        CHECK_EQ(s->taken[t], 1);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&alone), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Called on a rank that waits, until its call returns. */
static void note_waiting(const nsh_task_counts *counts, void *arg)
{
    bool *noted = arg;

    CHECK_EQ(counts->tasks, 1);
    if (!*noted)
        s->waiting++;
    *noted = true;
}

/* Each rank is a job; rank 0 has the only task, and the others wait until it ends it, or frees its
 * batch. They are known to wait by their progress. */
static void wait_for_others(bool ends)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_task_state state;
    nsh_comm *alone = NULL;
    nsh_batch *b = NULL;
    int64_t task = -7;
    double result = 3;
    bool noted = false;

    check_case("jobs wait for one that %s its task", ends ? "ends" : "gives back");
    s->waiting = s->got = 0;
    CHECK_ALL(nsh_comm_create_serial(&alone), NSH_SUCCESS);
    if (check_rank == 0) {
        CHECK_EQ(nsh_batch_create(alone, 1, &o, &b), NSH_SUCCESS);
        CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
        CHECK_EQ(task, 0);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    o.mode = NSH_BATCH_RESUME;
    o.wait = 1;
    o.wait_seconds = 0.02;
    if (check_rank != 0) {
        CHECK_EQ(nsh_batch_create(alone, 1, &o, &b), NSH_SUCCESS);
        CHECK_EQ(nsh_batch_next(b, &task), NSH_ERR_TIMEOUT);
        CHECK_HAS(nsh_error_detail(), "still runs some");
        CHECK_EQ(task, -7);
        CHECK_EQ(nsh_batch_free(&b), NSH_SUCCESS);
        o.wait_seconds = 0;
        o.progress = note_waiting;
        o.progress_arg = &noted;
        o.progress_seconds = 0;
        CHECK_EQ(nsh_batch_create(alone, 1, &o, &b), NSH_SUCCESS);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    while (check_rank == 0 && s->waiting < check_size - 1)
        usleep(1000);
    if (check_rank != 0)
        CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    s->got += check_rank != 0 && task == 0;
    if (check_rank == 0 && !ends)
        CHECK_EQ(nsh_batch_free(&b), NSH_SUCCESS);
    else if (task == 0)
        CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_DONE, &result), NSH_SUCCESS);
    if (check_rank != 0) {
        CHECK_EQ(nsh_batch_state(b, 0, &state), NSH_SUCCESS);
        CHECK_EQ(state, NSH_TASK_DONE);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(s->got, !ends);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&alone), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void initial_states(void)
{
    nsh_task_state all[N];
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;
    nsh_task_counts c = NSH_TASK_COUNTS_INIT;

    check_case("initial states go into a new journal and not into an old one");
    for (int t = 0; t < N; t++)
        all[t] = (nsh_task_state)(t % 4);
    o.states = all;
    for (int k = 0; k < 2; k++) {
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
        CHECK_ALL(nsh_batch_counts(b, &c), NSH_SUCCESS);
        CHECK_EQ(c.open, N / 2);
        CHECK_EQ(c.done, N / 4);
        CHECK_EQ(c.failed, N / 4);
        CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
        for (int t = 0; t < N; t++)
            all[t] = NSH_TASK_DONE;
        o.mode = NSH_BATCH_RESUME;
    }
    /* A kill after the header: no job has a slot yet, so the journal is still a new one. */
    if (check_rank == 0)
        CHECK_EQ(truncate(s->path, 64), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_counts(b, &c), NSH_SUCCESS);
    CHECK_EQ(c.done, N);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* ---- other hosts ---- */

static int64_t read_file(const char *path, char *out, int64_t room)
{
    FILE *f = fopen(path, "rb");
    int64_t n = -1;

    if (f != NULL) {
        n = (int64_t)fread(out, 1, (size_t)room, f);
        fclose(f);
    }
    return n;
}

/* A journal of which some tasks are done; *n of its bytes. */
static void old_journal(char *bytes, int64_t room, int64_t *n)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;

    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 3);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD); /* rank 0 may write a record when it frees */
    *n = read_file(s->path, bytes, room);
    CHECK(*n > 64);
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Rank 0's locks are not seen by the others. */
static void local_locks(void)
{
    char before[4096], after[sizeof before];
    nsh_batch *b = NULL;
    int64_t n;

    check_case("locks that stay on a host: nothing begins, nothing is overwritten");
    if (check_size == 1)
        return;
    for (int mode = NSH_BATCH_RESUME; mode <= NSH_BATCH_OVERWRITE; mode++) {
        nsh_batch_options o = options_of((nsh_batch_mode)mode);

        old_journal(before, sizeof before, &n);
        if (mode == NSH_BATCH_NEW)
            barrier_and_unlink();
        lock_host = check_rank > 0;
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_UNSUPPORTED);
        lock_host = 0;
        CHECK_HAS(nsh_error_detail(), s->path);
        CHECK(b == NULL);
        PMPI_Barrier(MPI_COMM_WORLD);
        CHECK_EQ(read_file(s->path, after, sizeof after), mode == NSH_BATCH_NEW ? -1 : n);
        if (mode != NSH_BATCH_NEW)
            CHECK_MEM(after, before, n);
        PMPI_Barrier(MPI_COMM_WORLD);
    }
    barrier_and_unlink();
}

/* A job on another host, which does not see this job's locks, takes its slot: this job notices
 * that. */
static void robbed(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL, *other = NULL;
    int64_t task = -1;

    check_case("a job that does not see this one's locks");
    forget();
    o.worker_size = check_size;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 3);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    o.mode = NSH_BATCH_RESUME;
    lock_host = 1;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &other), NSH_SUCCESS);
    lock_host = 0;
    CHECK_ALL(nsh_batch_finish(b, task, NSH_TASK_FAILED, NULL), NSH_ERR_UNSUPPORTED);
    CHECK_HAS(nsh_error_detail(), "does not see this one's locks");
    CHECK_ALL(nsh_batch_free(&b), NSH_ERR_IO);
    lock_host = 1;
    work(other, N);
    check_ended(other);
    CHECK_ALL(nsh_batch_free(&other), NSH_SUCCESS);
    lock_host = 0;
    barrier_and_unlink();
}

/* Each rank in a directory of its own: with a journal there, and without. */
static void other_directories(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_RESUME);
    char bytes[4096], directory[100], path[120];
    nsh_batch *b = NULL;
    int64_t n;

    check_case("another file under the same path");
    old_journal(bytes, sizeof bytes, &n);
    snprintf(directory, sizeof directory, "%s.%d", s->path, check_rank);
    snprintf(path, sizeof path, "%s/journal", directory);
    CHECK_EQ(mkdir(directory, 0700), 0);
    CHECK_EQ(chdir(directory), 0);
    write_file("journal", bytes, n);
    o.journal = "journal";
    if (check_size > 1) {
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_UNSUPPORTED);
        CHECK_HAS(nsh_error_detail(), "another file");
        unlink("journal");
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_IO);
        CHECK_EQ(access("journal", F_OK), -1); /* rank 0 has made it and taken it away */
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    snprintf(directory, sizeof directory, "%s.0", s->path);
    CHECK_EQ(chdir(directory), 0); /* all in one */
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_EQ(chdir("/"), 0); /* which does not matter any more */
    work(b, N);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    snprintf(directory, sizeof directory, "%s.%d", s->path, check_rank);
    unlink(path);
    CHECK_EQ(rmdir(directory), 0);
    barrier_and_unlink();
}

/* ---- a slow server ---- */

/* Ranks of a node do not compete for the lock. */
static void one_writer(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;

    check_case("no rank asks for the lock while another one of its node has it");
    forget();
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    refused = 0;
    slow = true;
    work(b, N);
    slow = false;
    if (nsh_comm_node_count(comm) == 1)
        CHECK_EQ(refused, 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    check_ended(b);
    for (int t = 0; t < N; t++)
        CHECK_EQ(s->taken[t], 1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    barrier_and_unlink();
}

/* ---- other programs change the file ---- */

typedef enum { REMOVED, REPLACED, MOVED } fate;

/* By one rank: it happens to the journal, and other is a path beside it. */
static void displace(fate what, const char *other)
{
    if (what == REMOVED) {
        CHECK_EQ(unlink(s->path), 0);
    } else if (what == REPLACED) {
        write_file(other, "somebody's", 10);
        CHECK_EQ(rename(other, s->path), 0);
    } else {
        CHECK_EQ(rename(s->path, other), 0);
        usleep(30000); /* by then a look at the path is due */
    }
}

/* The next record is not written, and the call fails; the file that is at the path now stays as it
 * is. */
static void displaced(fate what)
{
    static const char *const names[] = {"removed", "replaced", "moved"};
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;
    int64_t task = -1;
    char other[80], bytes[80];

    check_case("a journal that is %s while it is used", names[what]);
    snprintf(other, sizeof other, "%s.other", s->path);
    o.worker_size = check_size;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        displace(what, other);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "removed or replaced");
    CHECK_ALL(nsh_batch_free(&b), NSH_ERR_IO);
    CHECK(b == NULL);
    if (what == MOVED && check_rank == 0)
        CHECK_EQ(unlink(other), 0);
    if (what == REPLACED) {
        CHECK_EQ(read_file(s->path, bytes, sizeof bytes), 10);
        CHECK_MEM(bytes, "somebody's", 10);
    }
    barrier_and_unlink();
}

/* Data that a failed fdatasync has lost stays lost: a later fdatasync that succeeds does not hide
 * that. */
static void lost_write(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_NEW);
    nsh_batch *b = NULL;
    int64_t task = -1;

    check_case("a failed fdatasync is not forgotten");
    barrier_and_unlink();
    o.worker_size = check_size;
    o.chunk = N; /* the second task is taken without a record */
    o.sync = 1;
    directory_syncs = 0;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_EQ(directory_syncs, check_rank == 0);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    failing_syncs = 1;
    CHECK_ALL(nsh_batch_finish(b, task, NSH_TASK_FAILED, NULL), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "fdatasync");
    failing_syncs = 0;
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_finish(b, task, NSH_TASK_FAILED, NULL), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "written before");
    CHECK_ALL(nsh_batch_free(&b), NSH_ERR_IO);
    CHECK(b == NULL);
    barrier_and_unlink();
}

/* ---- errors ---- */

static void errors(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    const char *journal = s->path;
    nsh_batch *b = NULL;

    check_case("errors: modes, other tasks, other results, other files");
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o.mode = NSH_BATCH_NEW;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_EXISTS);
    o.mode = NSH_BATCH_RESUME;
    CHECK_ALL(nsh_batch_create(comm, N + 1, &o, &b), NSH_ERR_MISMATCH);
    CHECK_HAS(nsh_error_detail(), "300");
    o.result_type = MPI_INT64_T; /* as long as a double */
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    o.result_type = MPI_DATATYPE_NULL;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    o = options_of(NSH_BATCH_RESUME);
    o.result_count = 2;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    o = options_of(NSH_BATCH_RESUME);
    o.journal = "/nonexistent/journal";
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_IO);
    o.journal = "/";
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_IO);
    o.journal = "/dev/null/x";
    o.mode = NSH_BATCH_NEW;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_IO);
    o = options_of(NSH_BATCH_RESUME);
    if (check_size > 1) {
        o.journal = check_rank == 0 ? journal : "/tmp/other";
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    }
    CHECK(b == NULL);
}

/* A file that is not a journal stays as it is in every mode; a journal of version 0.1 too. */
static void precious(void)
{
    static const char *const texts[] = {"precious data that nobody may lose, longer than a header",
                                        "short", "nshjrnl1 and what follows in a journal of 0.1"};
    static const char *const words[] = {"not a journal", "not a journal", "format is 1, not 2"};
    nsh_batch *b = NULL;

    check_case("what is no journal, or one of another version, is not touched");
    for (int i = 0; i < 3; i++)
        for (int mode = NSH_BATCH_RESUME; mode <= NSH_BATCH_OVERWRITE;
             mode += NSH_BATCH_OVERWRITE) {
            nsh_batch_options o = options_of((nsh_batch_mode)mode);
            int64_t n = (int64_t)strlen(texts[i]);
            char bytes[200] = "";

            PMPI_Barrier(MPI_COMM_WORLD);
            if (check_rank == 0)
                write_file(s->path, texts[i], n);
            PMPI_Barrier(MPI_COMM_WORLD);
            CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_FORMAT);
            CHECK_HAS(nsh_error_detail(), words[i]);
            CHECK(b == NULL);
            CHECK_EQ(read_file(s->path, bytes, sizeof bytes), n);
            CHECK_MEM(bytes, texts[i], n);
        }
    barrier_and_unlink();
}

/* ---- what it is of ---- */

static void tags(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_NEW);
    nsh_batch *b = NULL;

    check_case("a journal is resumed with its own tag only");
    barrier_and_unlink();
    o.tag = UINT64_C(0xfedcba9876543210);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, N);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o.mode = NSH_BATCH_RESUME;
    o.tag++;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    CHECK_HAS(nsh_error_detail(), "fedcba9876543210");
    o.tag = 0;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    if (check_size > 1) {
        o.tag = UINT64_C(0xfedcba9876543210) + (check_rank > 0);
        CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_ERR_MISMATCH);
    }
    o.tag = UINT64_C(0xfedcba9876543210);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    check_ended(b);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o.tag = 7;
    o.mode = NSH_BATCH_OVERWRITE; /* is of other inputs then */
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* The signature of the result that is in the file. */
static uint64_t signature_of(MPI_Datatype type)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;
    uint64_t words[8] = {0};

    o.result_type = type;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_EQ(read_file(s->path, (char *)words, sizeof words), sizeof words);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    return words[4];
}

/* The numbers are what MPICH and Open MPI both give. */
static void check_signatures(void)
{
    const int lengths[2] = {1, 3};
    const MPI_Aint places[2] = {0, 8};
    const MPI_Datatype members[2] = {MPI_INT64_T, MPI_FLOAT};
    const MPI_Datatype others[2] = {MPI_INT64_T, MPI_INT32_T};
    MPI_Datatype mixed, other;

    check_case("a journal's signature of its results does not depend on the MPI");
    CHECK_EQ(signature_of(MPI_DOUBLE), MARK_DOUBLE);
    CHECK_EQ(signature_of(MPI_INT64_T), MARK_INT64);
    CHECK_EQ(signature_of(MPI_LONG), MARK_INT64);
    CHECK(signature_of(MPI_UINT64_T) != MARK_INT64);
    CHECK(signature_of(MPI_LONG_INT) != signature_of(MPI_DOUBLE_INT));
    MPI_Type_create_struct(2, lengths, places, members, &mixed);
    MPI_Type_create_struct(2, lengths, places, others, &other);
    MPI_Type_commit(&mixed);
    MPI_Type_commit(&other);
    CHECK_EQ(signature_of(mixed), MARK_MIXED);
    CHECK(signature_of(other) != MARK_MIXED);
    MPI_Type_free(&mixed);
    MPI_Type_free(&other);
    barrier_and_unlink();
}

/* The file may not grow any more: as on a full disk. */
static void full_disk(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    struct rlimit old, tight;
    int64_t task = -1, kept = -1;
    nsh_batch *b = NULL;
    double result;
    struct stat st;
    nsh_task_state state;

    check_case("a full disk: the worker is told, and nothing is lost");
    forget();
    o.worker_size = check_size;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 3);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    signal(SIGXFSZ, SIG_DFL); /* which ends the process */
    getrlimit(RLIMIT_FSIZE, &old);
    CHECK_EQ(stat(s->path, &st), 0);
    tight = (struct rlimit){(rlim_t)st.st_size + 20, old.rlim_max}; /* half a record fits */
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    result = result_of(kept = task);
    s->taken[task] += check_rank == 0;
    CHECK_ALL(nsh_batch_finish(b, task, task % 7 == 0 ? NSH_TASK_FAILED : NSH_TASK_DONE, &result),
              NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "write");
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(stat(s->path, &st), 0);
    CHECK_EQ(st.st_size, tight.rlim_cur - 20);
    PMPI_Barrier(MPI_COMM_WORLD); /* the next call tries to write it again */
    CHECK_ALL(nsh_batch_sync(b), NSH_ERR_IO);
    CHECK_EQ(nsh_batch_state(b, kept, &state), NSH_SUCCESS);
    if (nsh_comm_node_index(comm) == 0)
        CHECK_EQ(state, kept % 7 == 0 ? NSH_TASK_FAILED : NSH_TASK_DONE);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, N);
    check_ended(b);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o = options_of(NSH_BATCH_RESUME);
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    check_ended(b);
    for (int t = 0; t < N; t++)
        CHECK_EQ(s->taken[t], 1);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

/* Another program writes to a file that is in use. */
static void trampled(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;
    struct stat st;
    int64_t task;

    check_case("a journal that is torn or shrinks while it is used");
    o.worker_size = check_size;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 3);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(stat(s->path, &st), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0) {
        int fd = open(s->path, O_WRONLY | O_APPEND);

        CHECK_EQ(write(fd, "half a record", 13), 13);
        close(fd);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    work(b, 1); /* cuts it off */
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
    o.mode = NSH_BATCH_RESUME;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    work(b, 3);
    CHECK_ALL(nsh_batch_next(b, &task), NSH_SUCCESS);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        CHECK_EQ(truncate(s->path, st.st_size), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_batch_finish(b, task, NSH_TASK_DONE, NULL), NSH_ERR_FORMAT);
    CHECK_HAS(nsh_error_detail(), "shrunk");
    CHECK_ALL(nsh_batch_free(&b), NSH_ERR_IO);
    CHECK(b == NULL);
}

/* A chunk is taken at once, but a task runs from when a worker has it. */
static void states(void)
{
    nsh_batch_options o = options_of(NSH_BATCH_OVERWRITE);
    nsh_batch *b = NULL;
    int64_t task = -1, running = 0;
    nsh_task_state state;

    check_case("tasks of a chunk that no worker has yet are OPEN");
    barrier_and_unlink();
    o.chunk = 20;
    CHECK_ALL(nsh_batch_create(comm, N, &o, &b), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_next(b, &task), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_state(b, task, &state), NSH_SUCCESS);
    CHECK_EQ(state, NSH_TASK_RUNNING);
    PMPI_Barrier(MPI_COMM_WORLD);
    for (int64_t t = 0; t < N; t++) {
        CHECK_EQ(nsh_batch_state(b, t, &state), NSH_SUCCESS);
        running += state == NSH_TASK_RUNNING;
    }
    CHECK(running >= nsh_comm_node_size(comm));
    if (nsh_comm_node_count(comm) == 1) /* else those of other nodes, a chunk each */
        CHECK_EQ(running, check_size);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_EQ(nsh_batch_finish(b, task, NSH_TASK_FAILED, NULL), NSH_SUCCESS);
    CHECK_EQ(nsh_batch_state(b, task, &state), NSH_SUCCESS);
    CHECK_EQ(state, NSH_TASK_FAILED);
    CHECK_ALL(nsh_batch_free(&b), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    s = check_shared(sizeof *s);
    if (check_rank == 0) {
        int fd;

        strcpy(s->path, "/tmp/nsh_test_batch_XXXXXX");
        fd = mkstemp(s->path);
        CHECK(fd >= 0);
        close(fd);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(strcmp(check_layout, "serial") == 0 ? nsh_comm_create_serial(&comm)
                                                  : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
              NSH_SUCCESS);
    resume(1);
    if (check_size > 1)
        resume(2);
    two_at_once();
    one_each(1);
    one_each(20);
    if (check_size > 1) {
        wait_for_others(true);
        wait_for_others(false);
    }
    initial_states();
    states();
    errors();
    precious();
    tags();
    check_signatures();
    local_locks();
    robbed();
    other_directories();
    one_writer();
    displaced(REMOVED);
    displaced(REPLACED);
    displaced(MOVED);
    lost_write();
    full_disk();
    trampled();
    barrier_and_unlink();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
