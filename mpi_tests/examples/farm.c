/* SPDX-License-Identifier: BSD-3-Clause */
/* farm.c -- a job that can be killed: tasks that sleep, journalled, and a log of what happened.
 *
 *   [mpiexec -n RANKS] farm [--serial] [--usec N] [--hold K] [--until FILE] [--wait] [--crash TASK]
 *                           [--attempts N] JOURNAL TASKS LOG
 *
 * Goes on with the journal if there is one. Each task sleeps up to 2 N microseconds. The log gets a
 * line when a process starts, when it starts a task and when a task's end has been reported. At the
 * end every rank compares all results with what they should be.
 *
 * --hold K: each process stays in its K-th task until it is killed, or with --until until FILE
 * exists. A script that kills the job can then wait for a line of the log, however fast the job is.
 * --wait: ends only when no other job on the journal runs a task. --crash TASK: that task kills its
 * process; --attempts N: it may do so N times.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

static int log_fd;
static long hold_at; /* the task of this process in which it stays; 0: none */
static const char *hold_until;
static int64_t crash_at = -1; /* the task that kills its process */
static nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;

/* One write a line: lines of processes do not mix. */
static void note(const char *what, int64_t task)
{
    char line[64];
    int n = snprintf(line, sizeof line, "%s %" PRId64 " %d\n", what, task, (int)getpid());

    if (write(log_fd, line, (size_t)n) != n)
        perror("farm: log");
}

static double result_of(int64_t task)
{
    return (double)task * 0.5 + 1;
}

static void must(int rc, const char *what)
{
    if (rc == NSH_SUCCESS)
        return;
    fprintf(stderr, "farm: %s: %s: %s\n", what, nsh_strerror(rc), nsh_error_detail());
    exit(1);
}

static void hold(void)
{
    while (hold_until == NULL || access(hold_until, F_OK) != 0)
        usleep(1000);
}

static void work(nsh_batch *batch, long usec)
{
    unsigned seed = (unsigned)getpid();
    long begun = 0;
    int64_t task;

    for (;;) {
        double result;

        must(nsh_batch_next(batch, &task), "next");
        if (task < 0)
            return;
        note("start", task);
        if (++begun == hold_at)
            hold();
        if (task == crash_at)
            raise(SIGKILL);
        usleep(usec > 0 ? (useconds_t)(rand_r(&seed) % (2 * usec)) : 0);
        result = result_of(task);
        must(nsh_batch_finish(batch, task, NSH_TASK_DONE, &result), "finish");
        note("end", task);
    }
}

/* Results that are DONE but wrong. The states are looked at first: with another job on the journal
 * a task can become DONE after the results were read. */
static int64_t wrong_results(nsh_comm *comm, nsh_batch *batch, int64_t tasks)
{
    nsh_task_state *states = calloc((size_t)tasks, sizeof *states);
    nsh_array *results;
    int64_t wrong = 0;

    must(states == NULL ? NSH_ERR_NOMEM : NSH_SUCCESS, "states");
    for (int64_t t = 0; t < tasks; t++)
        must(nsh_batch_state(batch, t, &states[t]), "state");
    must(nsh_array_create(comm, MPI_DOUBLE, 1, &tasks, NULL, &results), "array");
    must(nsh_batch_results(batch, results), "results");
    for (int64_t t = 0; t < tasks; t++)
        wrong += states[t] == NSH_TASK_DONE &&
                 ((const double *)nsh_array_data(results))[t] != result_of(t);
    must(nsh_array_free(&results), "free");
    free(states);
    return wrong;
}

static int run(nsh_comm *comm, const char *journal, int64_t tasks, long usec)
{
    nsh_batch *batch;
    int64_t wrong;
    char line[100];

    options.journal = journal;
    options.result_type = MPI_DOUBLE;
    must(nsh_batch_create(comm, tasks, &options, &batch), "create");
    note("process", nsh_comm_rank(comm));
    work(batch, usec);
    wrong = wrong_results(comm, batch, tasks);
    must(nsh_batch_status_line(batch, line, sizeof line), "status");
    if (nsh_comm_rank(comm) == 0)
        printf("%s, %" PRId64 " wrong\n", line, wrong);
    must(nsh_batch_free(&batch), "free");
    return wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    int serial = 0, level, code, i = 1;
    nsh_comm *comm;
    long usec = 1000;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--serial") == 0)
            serial = 1;
        else if (strcmp(argv[i], "--usec") == 0 && i + 1 < argc)
            usec = atol(argv[++i]);
        else if (strcmp(argv[i], "--hold") == 0 && i + 1 < argc)
            hold_at = atol(argv[++i]);
        else if (strcmp(argv[i], "--until") == 0 && i + 1 < argc)
            hold_until = argv[++i];
        else if (strcmp(argv[i], "--wait") == 0)
            options.wait = 1;
        else if (strcmp(argv[i], "--crash") == 0 && i + 1 < argc)
            crash_at = atoll(argv[++i]);
        else if (strcmp(argv[i], "--attempts") == 0 && i + 1 < argc)
            options.max_attempts = atoi(argv[++i]);
        else
            break;
    }
    if (argc - i != 3) {
        fprintf(stderr, "usage: farm [--serial] [--usec N] [--hold K] [--until FILE] [--wait] "
                        "[--crash TASK] [--attempts N] JOURNAL TASKS LOG\n");
        return 2;
    }
    log_fd = open(argv[i + 2], O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (!serial)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    must(serial ? nsh_comm_create_serial(&comm) : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
         "communicator");
    code = run(comm, argv[i], atoll(argv[i + 1]), usec);
    must(nsh_comm_free(&comm), "free");
    if (!serial)
        MPI_Finalize();
    return code;
}
