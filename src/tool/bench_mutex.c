/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_mutex.c -- the mutex against other locks.
 *
 * The benchmarks are those of Schmid, Besta and Hoefler, "High-performance distributed RMA locks"
 * (HPDC 2016): one rank alone; an empty critical section under full contention; work in it; work
 * before each acquire. Times are per acquisition. Then fairness, what waiting costs, and what a
 * home that computes costs. */
#define _GNU_SOURCE
#include "tool/bench.h"

#include "tool/rival.h"
#include "tool/tool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { LATENCIES = 300 };

typedef struct job {
    const bench *b;
    nsh_mutex *mutex;
    rival *rival;
    int only;              /* the rank that acquires; -1: all do */
    double before, inside; /* microseconds of work before and inside the critical section */
    uint64_t random;
    double seconds; /* without the barrier at the end, in which other ranks get progress */
} job;

static double mutex_now(void)
{
    return MPI_Wtime();
}

/* Between 1 and 4 times us, as the benchmarks have it. */
static void work_for(job *j, double us)
{
    double until;

    if (us == 0)
        return;
    j->random = j->random * UINT64_C(6364136223846793005) + 1;
    until = mutex_now() + us * 1e-6 * (1 + 3 * (double)(j->random >> 54) / 1023);
    while (mutex_now() < until)
        ;
}

/* ---- time per acquisition ---- */

static int times_of_rank(const job *j, int times)
{
    if (j->only >= 0)
        return j->b->rank == j->only ? times : 0;
    return times / j->b->size + (j->b->rank < times % j->b->size);
}

static void take_ours(void *arg, int times)
{
    job *j = arg;
    double begin = mutex_now();

    for (int i = times_of_rank(j, times); i > 0; i--) {
        work_for(j, j->before);
        nsh_mutex_lock(j->mutex);
        work_for(j, j->inside);
        nsh_mutex_unlock(j->mutex);
    }
    j->seconds = mutex_now() - begin;
    nsh_comm_barrier(j->b->comm);
}

static void take_rival(void *arg, int times)
{
    job *j = arg;
    double begin = mutex_now();

    for (int i = times_of_rank(j, times); i > 0; i--) {
        work_for(j, j->before);
        rival_acquire(j->rival);
        work_for(j, j->inside);
        rival_release(j->rival);
    }
    j->seconds = mutex_now() - begin;
    MPI_Barrier(MPI_COMM_WORLD);
}

static nsh_mutex *make_mutex(const bench *b, int home, nsh_mutex_order order)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;
    nsh_mutex *mutex;

    options.home = home;
    options.order = order;
    tool_must(nsh_mutex_create(b->comm, &options, &mutex), "mutex");
    return mutex;
}

static void compare_locks(const job *given, const char *what, rival *against, int times)
{
    job j = *given;
    bench b = *j.b;
    char name[64];

    b.seconds = &j.seconds;
    j.rival = against;
    snprintf(name, sizeof name, "mutex-%s-vs-%s", what, rival_name(against));
    bench_compare(&b, name, "us", times, take_ours, take_rival, &j);
}

/* Compare with each of the other locks that this run has. */
static void compare_all(const job *given, const char *what, int home, int times)
{
    rival *rivals[] = {rival_win_lock(home), rival_mcs(home), rival_pthread(given->b->comm)};

    for (int i = 0; i < 3; i++) {
        if (rivals[i] != NULL)
            compare_locks(given, what, rivals[i], times);
        rival_free(rivals[i]);
    }
}

/* The last rank that is, or is not, on the node of rank 0 and is not rank 0 itself; -1: none. */
static int rank_elsewhere(const nsh_comm *comm, bool same_node)
{
    for (int r = nsh_comm_size(comm) - 1; r > 0; r--)
        if ((nsh_comm_node_of(comm, r) == nsh_comm_node_of(comm, 0)) == same_node)
            return r;
    return -1;
}

static void bench_uncontended(const bench *b)
{
    job j = {.b = b, .mutex = make_mutex(b, 0, NSH_MUTEX_FIFO)};
    int times = b->size > 2 ? 200 : 5000, near = rank_elsewhere(b->comm, true),
        far = rank_elsewhere(b->comm, false);

    j.only = 0;
    compare_all(&j, "alone-at-home", 0, times);
    if (near > 0) {
        j.only = near;
        compare_all(&j, "alone-same-node", 0, times);
    }
    if (far > 0) {
        j.only = far;
        compare_all(&j, "alone-other-node", 0, times);
    }
    tool_must(nsh_mutex_free(&j.mutex), "free");
}

static void bench_contended(const bench *given)
{
    bench b = *given;
    bool crowded = b.size > 2;
    job j = {.b = &b, .only = -1, .mutex = make_mutex(&b, 0, NSH_MUTEX_FIFO)};
    int times = crowded ? 4 * b.size : 4000;

    /* Repetitions: all ranks contend before the first one has finished. */
    b.patience = !crowded ? 0 : nsh_comm_node_count(b.comm) == 1 ? 2000 : 50;
    compare_all(&j, "contended", 0, times);
    j.inside = 1;
    compare_all(&j, "work-inside", 0, times);
    j.inside = 0;
    j.before = 1;
    compare_all(&j, "work-before", 0, times);
    tool_must(nsh_mutex_free(&j.mutex), "free");
}

/* ---- orders ---- */

typedef struct pair {
    job fifo, cohort;
} pair;

static void take_cohort(void *arg, int times)
{
    take_ours(&((pair *)arg)->cohort, times);
}

static void take_fifo(void *arg, int times)
{
    take_ours(&((pair *)arg)->fifo, times);
}

static void bench_orders(const bench *b)
{
    pair p;

    if (nsh_comm_node_count(b->comm) == 1)
        return;
    p.fifo = (job){.b = b, .only = -1, .mutex = make_mutex(b, 0, NSH_MUTEX_FIFO)};
    p.cohort = (job){.b = b, .only = -1, .mutex = make_mutex(b, 0, NSH_MUTEX_COHORT)};
    bench_compare(b, "cohort-contended-vs-fifo", "us", b->size > 2 ? 400 : 4000, take_cohort,
                  take_fifo, &p);
    tool_must(nsh_mutex_free(&p.fifo.mutex), "free");
    tool_must(nsh_mutex_free(&p.cohort.mutex), "free");
}

/* ---- fairness ---- */

/* The coefficient of variation, in percent, of the number of locks of each rank in one second in
 * which all ranks want the lock, and want it before and after it too. */
static double measure_variation(const bench *b, nsh_mutex *mutex, rival *against)
{
    double mine = 0, sum, squares, mean, begin, at;

    nsh_comm_barrier(b->comm);
    MPI_Barrier(MPI_COMM_WORLD);
    begin = mutex_now() + 0.3;
    do {
        if (mutex != NULL) {
            nsh_mutex_lock(mutex);
            at = mutex_now();
            nsh_mutex_unlock(mutex);
        } else {
            rival_acquire(against);
            at = mutex_now();
            rival_release(against);
        }
        mine += at >= begin && at < begin + 1;
    } while (at < begin + 1.3);
    if (mutex != NULL)
        nsh_comm_barrier(b->comm);
    MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    mean = sum / b->size;
    mine = (mine - mean) * (mine - mean);
    MPI_Allreduce(&mine, &squares, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return 100 * sqrt(squares / b->size) / mean;
}

static void bench_fairness(const bench *b)
{
    nsh_mutex *mutex = make_mutex(b, 0, NSH_MUTEX_FIFO);
    rival *win = rival_win_lock(0), *node = rival_pthread(b->comm);
    double ours = measure_variation(b, mutex, NULL);

    bench_row(b, "fairness-variation-vs-MPI_Win_lock", ours, measure_variation(b, NULL, win), "%");
    if (node != NULL)
        bench_row(b, "fairness-variation-vs-pthread_mutex", ours, measure_variation(b, NULL, node),
                  "%");
    rival_free(win);
    rival_free(node);
    tool_must(nsh_mutex_free(&mutex), "free");
}

/* ---- what waiting costs ---- */

static double mutex_cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void rest_for(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&t, NULL);
}

/* Cores kept busy by all ranks but 0, which holds the lock for a second. */
static double cost_of_waiting(const bench *b, nsh_mutex *mutex, rival *against)
{
    double begin, cpu = 0, all;

    if (b->rank == 0 && mutex != NULL)
        nsh_mutex_lock(mutex);
    else if (b->rank == 0)
        rival_acquire(against);
    MPI_Barrier(MPI_COMM_WORLD);
    begin = mutex_cpu_seconds();
    if (b->rank == 0)
        rest_for(1);
    else if (mutex != NULL)
        nsh_mutex_lock(mutex);
    else
        rival_acquire(against);
    if (b->rank != 0)
        cpu = mutex_cpu_seconds() - begin;
    if (mutex != NULL) {
        nsh_mutex_unlock(mutex);
        nsh_comm_barrier(b->comm);
    } else {
        rival_release(against);
    }
    MPI_Reduce(&cpu, &all, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    return all;
}

static void bench_waiting(const bench *b)
{
    nsh_mutex *mutex = make_mutex(b, 0, NSH_MUTEX_FIFO);
    rival *win = rival_win_lock(0);
    double ours = cost_of_waiting(b, mutex, NULL);

    bench_row(b, "cores-used-by-waiters-vs-MPI_Win_lock", ours, cost_of_waiting(b, NULL, win),
              "cores");
    rival_free(win);
    tool_must(nsh_mutex_free(&mutex), "free");
}

/* ---- a home that computes ---- */

static int compare_waits(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Microseconds of lock and unlock by rank taker while rank 0, the home, computes: the first after
 * a pause, the median and the 99th percentile of the others. */
static void measure_latency(const bench *b, nsh_mutex *mutex, int taker, bool computing,
                            double out[3])
{
    double each[LATENCIES] = {0}, begin;

    nsh_comm_barrier(b->comm);
    if (b->rank == 0 && computing) {
        begin = mutex_now();
        while (mutex_now() - begin < 1)
            ;
    } else if (b->rank == taker) {
        rest_for(0.3);
        for (int i = 0; i < LATENCIES; i++) {
            begin = mutex_now();
            nsh_mutex_lock(mutex);
            nsh_mutex_unlock(mutex);
            each[i] = (mutex_now() - begin) * 1e6;
        }
        out[0] = each[0];
        qsort(each + 1, LATENCIES - 1, sizeof each[0], compare_waits);
        out[1] = each[LATENCIES / 2];
        out[2] = each[LATENCIES * 99 / 100];
    }
    nsh_comm_barrier(b->comm);
    MPI_Bcast(out, 3, MPI_DOUBLE, taker, MPI_COMM_WORLD);
}

static void bench_computing_home(const bench *b)
{
    nsh_mutex *mutex = make_mutex(b, 0, NSH_MUTEX_FIFO);
    double quiet[3], busy[3];
    int taker = rank_elsewhere(b->comm, nsh_comm_node_count(b->comm) == 1);

    measure_latency(b, mutex, taker, false, quiet);
    measure_latency(b, mutex, taker, true, busy);
    bench_row(b, "home-computes-first-vs-home-waits", busy[0], quiet[0], "us");
    bench_row(b, "home-computes-median-vs-home-waits", busy[1], quiet[1], "us");
    bench_row(b, "home-computes-99%-vs-home-waits", busy[2], quiet[2], "us");
    tool_must(nsh_mutex_free(&mutex), "free");
}

/* ---- the helper thread ---- */

/* Cores used by this process, the home, while its main thread is outside MPI for a second and the
 * taker does nothing, or locks and unlocks all the time. */
static double helper_cores(const bench *b, nsh_mutex *mutex, int taker)
{
    double cores, begin, until;

    nsh_comm_barrier(b->comm);
    begin = mutex_cpu_seconds();
    if (b->rank == 0) {
        rest_for(1);
    } else if (b->rank == taker) {
        for (until = mutex_now() + 0.95; mutex_now() < until;) {
            nsh_mutex_lock(mutex);
            nsh_mutex_unlock(mutex);
        }
    }
    cores = mutex_cpu_seconds() - begin;
    nsh_comm_barrier(b->comm);
    return cores;
}

static void ping_pong(void *arg, int times)
{
    const job *j = arg;
    int peer = j->b->rank == 0 ? j->only : 0;

    for (int i = 0; i < times && (j->b->rank == 0 || j->b->rank == j->only); i++) {
        if (j->b->rank == 0)
            MPI_Send(NULL, 0, MPI_BYTE, peer, 0, MPI_COMM_WORLD);
        MPI_Recv(NULL, 0, MPI_BYTE, peer, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (j->b->rank != 0)
            MPI_Send(NULL, 0, MPI_BYTE, peer, 0, MPI_COMM_WORLD);
    }
}

static double median_ping_pong(const bench *b, int taker)
{
    job j = {.b = b, .only = taker};
    double each[11], begin;

    for (int i = 0; i < 11; i++) {
        MPI_Barrier(MPI_COMM_WORLD);
        begin = mutex_now();
        ping_pong(&j, 2000);
        each[i] = (mutex_now() - begin) / 2000 * 1e6;
    }
    qsort(each, 11, sizeof each[0], compare_waits);
    return each[5];
}

/* Uses communicators of its own: the helper starts with the first mutex and ends with the last
 * communicator. */
static void bench_helper(const bench *given)
{
    bench b = *given;
    int taker = rank_elsewhere(b.comm, false);
    double without, with, idle, active;
    nsh_mutex *mutex;

    if (taker < 0 || b.size > 2)
        return;
    without = median_ping_pong(&b, taker);
    mutex = make_mutex(&b, 0, NSH_MUTEX_FIFO);
    with = median_ping_pong(&b, taker);
    idle = helper_cores(&b, mutex, -1);
    active = helper_cores(&b, mutex, taker);
    bench_row(&b, "ping-pong-with-helper-vs-without", with, without, "us");
    bench_row(&b, "helper-idle-vs-active", idle, active, "cores");
    tool_must(nsh_mutex_free(&mutex), "free");
}

void bench_mutex(const bench *b)
{
    if (b->size == 1) {
        if (b->rank == 0)
            fprintf(stderr, "nsh bench mutex: takes two ranks or more\n");
        return;
    }
    bench_helper(b); /* first: while no object has words there is no helper */
    bench_uncontended(b);
    bench_contended(b);
    bench_orders(b);
    bench_fairness(b);
    bench_waiting(b);
    bench_computing_home(b);
}
