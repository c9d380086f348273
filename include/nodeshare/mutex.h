/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex.h -- ranks take turns: a mutex over all ranks of a communicator, first come, first served.
 *
 * For what must not happen twice at once: appending to a file, calling an outside service, updating
 * a catalogue. Who waits sleeps, and keeps MPI going meanwhile.
 *
 *   one node       a queue of C11 atomics in the shared memory of the node. A rank that computes
 *                  never delays the others, whichever it is
 *   several nodes  the queue's words live with the leader of one node, the home, and are changed by
 *                  MPI's one-sided atomics; the lock itself passes from rank to rank as a message.
 *                  Taking a free lock and giving it up is one remote operation each; under
 *                  contention it is two each
 *
 * The queue is that of Mellor-Crummey and Scott (ACM TOCS 9(1), 1991), with places that waiters may
 * abandon; the order COHORT is lock cohorting (Dice, Marathe and Shavit, PPoPP 2012).
 *
 * Caveats
 *   - Between nodes, most MPIs change words only while somebody is inside MPI at the home. Under
 *     MPI_THREAD_MULTIPLE a helper thread there sees to it (nsh_progress_mode in comm.h). Without
 *     it, a leader that computes for long calls nsh_comm_progress now and then, or it delays the
 *     others.
 *   - Where words are asked for by messages (NSH_RMA=message, the default of Open MPI) and there is
 *     no helper, a leader inside an MPI call of the program's own answers nobody either: before
 *     MPI_Barrier, MPI_Recv and the like comes nsh_comm_barrier, or MPI_Init_thread asks for
 *     MPI_THREAD_MULTIPLE. nsh topo says which case a run is.
 *   - The owner is the rank. One thread at a time uses a communicator and what was made on it, so a
 *     mutex does not exclude threads of one rank from each other.
 *   - A rank that holds a mutex may enter a collective call of the communicator only while no other
 *     rank waits for the mutex in lock: otherwise both wait permanently. Under NSH_CHECK=1 that is
 *     STATE, in the collective call on all ranks, in the other rank's lock, or in both; nothing
 *     else happens, and all go on. trylock and timedlock are not concerned, nor are semaphores,
 *     nsh_comm_node_barrier and calls of other communicators, which are not looked at. The check
 *     costs two operations on a word of the mutex for each lock, and two for each agreement that
 *     the holder enters.
 *   - A rank that ends while it holds the mutex takes it along; MPI ends the job then.
 */
#ifndef NODESHARE_MUTEX_H
#define NODESHARE_MUTEX_H

#include <stddef.h>

#include <nodeshare/comm.h>
#include <nodeshare/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_mutex nsh_mutex;

/* Which of the waiting ranks gets the mutex. */
typedef enum nsh_mutex_order {
    NSH_MUTEX_FIFO = 0, /* the one that asked first, across nodes */
    NSH_MUTEX_COHORT /* the one on this node that asked first, if any, up to cohort_limit times in
                        a row; then the node that asked first. Fewer messages between nodes. On
                        one node the same as FIFO */
} nsh_mutex_order;

typedef struct nsh_mutex_options {
    size_t size; /* set by NSH_MUTEX_OPTIONS_INIT */
    int home;    /* a rank, not the number of a node: the queue's words live with the leader of its
                 node, which nsh_mutex_home tells. NSH_HOME_ANY: objects take turns with all
                 nodes */
    nsh_mutex_order order;
    int cohort_limit; /* hand-offs on one node before another's turn, > 0 */
    const char *name; /* for nsh_mutex_find; copied; NULL: none. 1 to 255 bytes, unique among all
                         objects of the communicator */
} nsh_mutex_options;

#define NSH_MUTEX_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(nsh_mutex_options), NSH_HOME_ANY, NSH_MUTEX_FIFO, 64, NULL                          \
    }

/* What this rank did with a mutex. */
typedef struct nsh_mutex_stats {
    size_t size;          /* set by NSH_MUTEX_STATS_INIT */
    int64_t acquisitions; /* locks taken, by whichever call */
    int64_t waited;       /* those that another rank held when this one asked */
    double seconds;       /* spent waiting, successfully or not */
} nsh_mutex_stats;

#define NSH_MUTEX_STATS_INIT                                                                       \
    {                                                                                              \
        sizeof(nsh_mutex_stats), 0, 0, 0                                                           \
    }

/* [collective] Create a mutex that nobody holds. Options are the same on every rank; NULL: all
 * defaults. Costs (ranks + 1) words at its home (one more under NSH_CHECK=1), no communicator and
 * no window of its own; thousands are fine. Errors: ARG (home out of range, unknown order,
 * cohort_limit < 1, name), MISMATCH, EXISTS (the name), NOMEM, STATE (comm is broken), MPI. */
NSH_API int nsh_mutex_create(nsh_comm *comm, const nsh_mutex_options *options, nsh_mutex **out);

/* [collective] Free the mutex and set *mutex to NULL; *mutex may be NULL already. Its name, and
 * what it needed, can be used again on return. Errors: ARG (mutex is NULL), STATE on all ranks (a
 * rank holds it), MISMATCH (ranks free different mutexes), MPI; nothing is freed then. */
NSH_API int nsh_mutex_free(nsh_mutex **mutex);

/* [local] Give the mutex up on this rank and set *mutex to NULL; *mutex may be NULL already. For
 * languages whose garbage collector runs at another time on each rank: every rank abandons it when
 * it likes, in any order, and the others may go on using it. What it needed comes back as array.h
 * says of nsh_array_free. A rank calls either nsh_mutex_abandon or nsh_mutex_free, and all ranks
 * the same. Errors: ARG (mutex is NULL), STATE (this rank holds it). */
NSH_API int nsh_mutex_abandon(nsh_mutex **mutex);

/* [non-local] Wait until the mutex is this rank's. What holders stored into shared memory before
 * they unlocked is seen from here on.
 * Errors: ARG (NULL), STATE (this rank holds it already; comm is or becomes broken; under
 * NSH_CHECK=1 the holder waits for this rank in a collective call), MPI. */
NSH_API int nsh_mutex_lock(nsh_mutex *mutex);

/* [non-local] Take the mutex if it is free and nobody waits; does not wait for who holds it. It
 * does wait for the answer of the mutex's home, which a leader without a helper thread gives only
 * while it is in MPI or in nodeshare: nsh_mutex_timedlock(mutex, 0) is bounded there, too.
 * Errors: as nsh_mutex_lock, and BUSY. */
NSH_API int nsh_mutex_trylock(nsh_mutex *mutex);

/* [non-local] As nsh_mutex_lock, but give up after so many seconds (>= 0; infinity never does). The
 * order of the others is kept. Who gave up holds its place until the queue gets there: a next lock
 * before that takes it up again, so asking repeatedly with short times is not punished.
 *
 * Where no helper thread runs, a request that the home does not answer in these seconds, or in 20
 * milliseconds if they are fewer, is given up with TIMEOUT. It stays under way. The next call of
 * this rank on the communicator that is collective or uses a mutex, semaphore, or counter takes
 * its answer first, and so does nsh_comm_progress; a mutex that was granted meanwhile is given back
 * then, or is taken if that call asks for it. Until that call the others may have to wait for it:
 * before a rank computes for long or calls MPI_Barrier, MPI_Recv and the like, it calls
 * nsh_comm_barrier or asks for MPI_THREAD_MULTIPLE.
 * Errors: as nsh_mutex_lock, ARG also for seconds negative or NaN, and TIMEOUT; its detail names
 * the rank that holds the mutex if the memory of this node tells, else the holder is "unknown". */
NSH_API int nsh_mutex_timedlock(nsh_mutex *mutex, double seconds);

/* [non-local] Give the mutex to the rank that is next, or to nobody.
 * Errors: ARG (NULL), STATE (this rank does not hold it; comm is broken), MPI. */
NSH_API int nsh_mutex_unlock(nsh_mutex *mutex);

/* [non-local] The rank that holds the mutex, -1: none. A hint, it may have changed by now; for
 * COHORT, if another node holds it, the rank that brought it there. Reads each of its words, so not
 * for busy loops. Errors: ARG (NULL), STATE (comm is broken), NOMEM, MPI. */
NSH_API int nsh_mutex_holder(nsh_mutex *mutex, int *rank);

/* [local] This rank's statistics since create, into *out, which NSH_MUTEX_STATS_INIT has
 * initialised. Errors: ARG (NULL; out->size), UNSUPPORTED (out->size). */
NSH_API int nsh_mutex_get_stats(const nsh_mutex *mutex, nsh_mutex_stats *out);

/* [local] The mutex with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_mutex_find(nsh_comm *comm, const char *name, nsh_mutex **out);

/* [local] Its name; NULL: none, and for NULL. */
NSH_API const char *nsh_mutex_name(const nsh_mutex *mutex);

/* [local] The rank with which its words live: the leader of the home, also where option home named
 * another rank of that node; -1 for NULL. */
NSH_API int nsh_mutex_home(const nsh_mutex *mutex);

#ifdef __cplusplus
}
#endif

#endif
