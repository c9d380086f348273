/* test_wait_spin.c -- ranks: 2 4  layouts: one-node cliques-2
 * env: NSH_WAIT=spin
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A rank that never sleeps drives MPI while it waits for another of its node, with a core for each
 * and where ranks exceed cores: the last rank enters the barrier once all others have probed often
 * enough inside it. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"
#include "core/comm.h"

enum { PROBES = 100, ROUNDS = 5, MOST_NS = 50 * 1000 };

static atomic_int *probes; /* of each rank */

int MPI_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    if (probes != NULL)
        probes[check_rank]++;
    return PMPI_Iprobe(source, tag, comm, flag, status);
}

/* A clock that advances by at most MOST_NS from one call to the next: no turn of another rank seems
 * long on a busy machine. After a long one wait.c would drive MPI for that reason. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    static _Thread_local int64_t last, hidden;
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    int64_t now = t->tv_sec * INT64_C(1000000000) + t->tv_nsec - hidden;

    if (id != CLOCK_MONOTONIC)
        return rc;
    if (last != 0 && now - last > MOST_NS) {
        hidden += now - last - MOST_NS;
        now = last + MOST_NS;
    }
    last = now;
    t->tv_sec = (time_t)(now / 1000000000);
    t->tv_nsec = (long)(now % 1000000000);
    return rc;
}

static void wait_for_probes(void)
{
    for (int r = 0; r < check_size - 1; r++)
        while (probes[r] < PROBES)
            sched_yield();
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;

    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    probes = check_shared(check_size * (int64_t)sizeof *probes);
    for (int yield = 0; yield < 2; yield++) {
        check_case(yield ? "more ranks than cores" : "a core for each rank");
        comm->wait.yield = yield != 0;
        for (int i = 0; i < ROUNDS; i++) {
            PMPI_Barrier(MPI_COMM_WORLD);
            probes[check_rank] = 0;
            PMPI_Barrier(MPI_COMM_WORLD);
            if (check_rank == check_size - 1)
                wait_for_probes();
            CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
        }
    }
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
