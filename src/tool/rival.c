/* SPDX-License-Identifier: BSD-3-Clause */
/* rival.c -- the locks with which ours is compared. */
#include "tool/rival.h"

#include "tool/tool.h"

#include <pthread.h>
#include <stdlib.h>

struct rival {
    const char *name;
    void (*acquire)(rival *lock);
    void (*release)(rival *lock);
    void (*close)(rival *lock);
    MPI_Win win;
    MPI_Comm comm;
    int home, rank;
    pthread_mutex_t *mutex;
};

/* A window with n words, all zero, on each rank; *words: those of this rank. */
static rival *open_window(const char *name, int home, int n, int64_t **words)
{
    rival *lock = calloc(1, sizeof *lock);

    if (lock == NULL)
        tool_must(NSH_ERR_NOMEM, "another lock");
    lock->name = name;
    lock->home = home;
    MPI_Comm_dup(MPI_COMM_WORLD, &lock->comm);
    MPI_Comm_rank(lock->comm, &lock->rank);
    MPI_Win_allocate((MPI_Aint)(n * (int)sizeof **words), sizeof **words, MPI_INFO_NULL, lock->comm,
                     words, &lock->win);
    for (int i = 0; i < n; i++)
        (*words)[i] = 0;
    return lock;
}

static void close_window(rival *lock)
{
    MPI_Win_free(&lock->win);
    MPI_Comm_free(&lock->comm);
}

/* ---- MPI_Win_lock ---- */

static void win_lock(rival *lock)
{
    MPI_Win_lock(MPI_LOCK_EXCLUSIVE, lock->home, 0, lock->win);
}

static void win_unlock(rival *lock)
{
    MPI_Win_unlock(lock->home, lock->win);
}

rival *rival_win_lock(int home)
{
    int64_t *words;
    rival *lock = open_window("MPI_Win_lock", home, 1, &words);

    lock->acquire = win_lock;
    lock->release = win_unlock;
    lock->close = close_window;
    MPI_Barrier(lock->comm);
    return lock;
}

/* ---- the textbook's queue lock ---- */

enum { NEXT, TAIL, WORDS }; /* 1 + a rank, 0: none */

static int64_t fetch_word(const rival *lock, MPI_Op op, int64_t value, int rank, int word)
{
    int64_t old;

    MPI_Fetch_and_op(&value, &old, MPI_INT64_T, rank, word, op, lock->win);
    MPI_Win_flush(rank, lock->win);
    return old;
}

static void mcs_acquire(rival *lock)
{
    int64_t self = lock->rank + 1, before;

    fetch_word(lock, MPI_REPLACE, 0, lock->rank, NEXT);
    before = fetch_word(lock, MPI_REPLACE, self, lock->home, TAIL);
    if (before == 0)
        return;
    fetch_word(lock, MPI_REPLACE, self, (int)before - 1, NEXT);
    MPI_Recv(NULL, 0, MPI_BYTE, (int)before - 1, 0, lock->comm, MPI_STATUS_IGNORE);
}

static void mcs_release(rival *lock)
{
    int64_t next = fetch_word(lock, MPI_NO_OP, 0, lock->rank, NEXT);

    if (next == 0) {
        int64_t self = lock->rank + 1, none = 0, old;

        MPI_Compare_and_swap(&none, &self, &old, MPI_INT64_T, lock->home, TAIL, lock->win);
        MPI_Win_flush(lock->home, lock->win);
        if (old == self)
            return;
        while (next == 0)
            next = fetch_word(lock, MPI_NO_OP, 0, lock->rank, NEXT);
    }
    MPI_Send(NULL, 0, MPI_BYTE, (int)next - 1, 0, lock->comm);
}

static void mcs_close(rival *lock)
{
    MPI_Win_unlock_all(lock->win);
    close_window(lock);
}

rival *rival_mcs(int home)
{
    int64_t *words;
    rival *lock;

#ifdef OPEN_MPI
    if (OMPI_MAJOR_VERSION <= 4) /* 4.1.4 crashes in MPI_Compare_and_swap */
        return NULL;
#endif
    lock = open_window("MCS over MPI", home, WORDS, &words);
    lock->acquire = mcs_acquire;
    lock->release = mcs_release;
    lock->close = mcs_close;
    MPI_Win_lock_all(0, lock->win);
    MPI_Win_sync(lock->win);
    MPI_Barrier(lock->comm);
    return lock;
}

/* ---- pthread_mutex ---- */

static void pthread_acquire(rival *lock)
{
    pthread_mutex_lock(lock->mutex);
}

static void pthread_release(rival *lock)
{
    pthread_mutex_unlock(lock->mutex);
}

rival *rival_pthread(nsh_comm *comm)
{
    pthread_mutexattr_t shared;
    MPI_Aint bytes;
    int unit;
    rival *lock;

    if (nsh_comm_node_count(comm) > 1 || nsh_comm_node_mpi(comm) == MPI_COMM_NULL)
        return NULL;
    lock = calloc(1, sizeof *lock);
    if (lock == NULL)
        tool_must(NSH_ERR_NOMEM, "another lock");
    lock->name = "pthread_mutex";
    lock->acquire = pthread_acquire;
    lock->release = pthread_release;
    MPI_Comm_dup(nsh_comm_node_mpi(comm), &lock->comm);
    MPI_Comm_rank(lock->comm, &lock->rank);
    lock->close = close_window;
    MPI_Win_allocate_shared(lock->rank == 0 ? (MPI_Aint)sizeof *lock->mutex : 0, 1, MPI_INFO_NULL,
                            lock->comm, &lock->mutex, &lock->win);
    MPI_Win_shared_query(lock->win, 0, &bytes, &unit, &lock->mutex);
    if (lock->rank == 0) {
        pthread_mutexattr_init(&shared);
        pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
        pthread_mutex_init(lock->mutex, &shared);
    }
    MPI_Barrier(lock->comm);
    return lock;
}

/* ---- the common interface ---- */

const char *rival_name(const rival *lock)
{
    return lock->name;
}

void rival_acquire(rival *lock)
{
    lock->acquire(lock);
}

void rival_release(rival *lock)
{
    lock->release(lock);
}

void rival_free(rival *lock)
{
    if (lock == NULL)
        return;
    lock->close(lock);
    free(lock);
}
