/* test_long_wait.c -- ranks: 3  layouts: one-node cliques-2
 * env: NSH_LOG=1
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The line that a long wait logs names the rank or node that is waited for. That rank comes only
 * once it has read the line, so nothing here depends on speed. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"
#include "core/comm.h"

enum { LOG_BYTES = 64 << 10, SOON_NS = 1000000 };

/* What a rank has logged, in memory of all ranks: bytes, then the count that publishes them. */
typedef struct logged {
    _Alignas(64) atomic_int bytes;
    char text[LOG_BYTES + 1];
} logged;

static logged *logs;
static nsh_comm *comm;

static ssize_t log_write(void *cookie, const char *text, size_t n)
{
    logged *mine = cookie;
    int at = mine->bytes;

    if (at + (int)n <= LOG_BYTES) {
        memcpy(mine->text + at, text, n);
        mine->bytes = at + (int)n;
    }
    return (ssize_t)n;
}

static void forget(void)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    memset(logs[check_rank].text, 0, LOG_BYTES);
    logs[check_rank].bytes = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Until rank has logged both parts. Drives MPI meanwhile: the others may need it. */
static void await_log(int rank, const char *call, const char *part)
{
    for (;;) {
        char line[LOG_BYTES + 1];
        int n = logs[rank].bytes;

        memcpy(line, logs[rank].text, (size_t)n);
        line[n] = '\0';
        if (strstr(line, call) != NULL && strstr(line, part) != NULL)
            return;
        nsh_comm_progress(comm);
        sched_yield();
    }
}

static int leader_of(int rank)
{
    return comm->leader_of[nsh_comm_node_of(comm, rank)];
}

/* All ranks but one are in a barrier. */
static void absent_at_barrier(int absent)
{
    char part[64];

    check_case("rank %d does not come to a barrier", absent);
    forget();
    for (int r = 0; r < check_size && check_rank == absent; r++) {
        if (r == absent)
            continue;
        if (nsh_comm_node_of(comm, r) == nsh_comm_node_of(comm, absent))
            snprintf(part, sizeof part, "for rank(s) %d of this node", absent);
        else if (leader_of(r) == r)
            snprintf(part, sizeof part, "for node %d", nsh_comm_node_of(comm, absent));
        else
            snprintf(part, sizeof part, "for rank %d, which acts for this node", leader_of(r));
        await_log(r, "nsh_comm_barrier waits since", part);
    }
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
}

/* What rank can know without asking another node. */
static void holder_text(int rank, int holder, nsh_mutex_order order, char *text, size_t size)
{
    bool near = nsh_comm_node_of(comm, rank) == nsh_comm_node_of(comm, holder);

    if (nsh_comm_node_count(comm) == 1 || (near && order == NSH_MUTEX_COHORT))
        snprintf(text, size, "held by rank %d", holder);
    else
        snprintf(text, size, "holder unknown");
}

static void held_mutex(int holder, nsh_mutex_order order)
{
    nsh_mutex_options options = {sizeof options, holder, order, 4, "gold"};
    nsh_mutex *mutex = NULL;
    char part[64], line[96];

    check_case("rank %d holds a mutex of order %d", holder, order);
    CHECK_ALL(nsh_mutex_create(comm, &options, &mutex), NSH_SUCCESS);
    if (check_rank == holder)
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
    forget();
    if (check_rank == holder) {
        for (int r = 0; r < check_size; r++) {
            holder_text(r, holder, order, part, sizeof part);
            snprintf(line, sizeof line, "mutex \"gold\", %s", part);
            if (r != holder)
                await_log(r, "nsh_mutex_lock waits since", line);
        }
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    } else {
        holder_text(check_rank, holder, order, part, sizeof part);
        CHECK_EQ(nsh_mutex_timedlock(mutex, 0.01), NSH_ERR_TIMEOUT);
        CHECK_HAS(nsh_error_detail(), part);
        CHECK_EQ(nsh_mutex_lock(mutex), NSH_SUCCESS);
        CHECK_EQ(nsh_mutex_unlock(mutex), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_mutex_free(&mutex), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    cookie_io_functions_t functions = {.write = log_write};
    FILE *standard = stderr, *mine;

    check_init(&argc, &argv);
    logs = check_shared(check_size * (int64_t)sizeof *logs);
    mine = fopencookie(&logs[check_rank], "w", functions);
    if (mine == NULL)
        return 1;
    setvbuf(mine, NULL, _IONBF, 0);
    stderr = mine;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    comm->wait.report_after = comm->wait.report_every = SOON_NS;
    for (int absent = 0; absent < check_size; absent++)
        absent_at_barrier(absent);
    for (int holder = 0; holder < check_size; holder += 2)
        for (int order = NSH_MUTEX_FIFO; order <= NSH_MUTEX_COHORT; order++)
            held_mutex(holder, (nsh_mutex_order)order);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    stderr = standard;
    fclose(mine);
    return check_finish();
}
