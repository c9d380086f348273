/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex.h -- ranks take turns: a mutex over all ranks of a communicator, first come, first served.
 *
 * For work that only one rank may do at a time: appending to a file, calling an outside service,
 * updating a catalogue. A rank that waits sleeps, and keeps MPI going meanwhile.
 *
 *   one node       a queue of C11 atomics in the shared memory of the node. No rank delays the
 *                  others by computing
 *   several nodes  the queue's words live with the leader of one node, the home, and are changed by
 *                  MPI's one-sided atomics; the lock itself passes from rank to rank as a message.
 *                  Locking a free mutex and unlocking it take one remote operation each, under
 *                  contention two each
 *
 * The queue is that of Mellor-Crummey and Scott (ACM TOCS 9(1), 1991), with places that waiters may
 * abandon; the order COHORT is lock cohorting (Dice, Marathe and Shavit, PPoPP 2012).
 *
 * Caveats
 *   - Between nodes, most MPIs change words only while somebody is inside MPI at the home. Under
 *     MPI_THREAD_MULTIPLE a helper thread there is inside MPI (nsh_progress_mode in comm.h).
 *     Without it, a leader that computes for long calls nsh_comm_progress now and then, or it
 *     delays the others.
 *   - Where words are changed by messages (NSH_RMA=message, the default of Open MPI) and no helper
 *     thread runs, a leader inside an MPI call of the program's own does not answer either: call
 *     nsh_comm_barrier before MPI_Barrier, MPI_Recv and the like, or ask for MPI_THREAD_MULTIPLE in
 *     MPI_Init_thread. nsh topo says which case applies.
 *   - A mutex belongs to a rank. One thread at a time uses a communicator and what was made on it,
 *     so a mutex does not exclude threads of one rank from each other.
 *   - A rank that holds a mutex may enter a collective call of the communicator only while no other
 *     rank waits for the mutex in lock: otherwise both wait permanently. Under NSH_CHECK=1 that is
 *     STATE, in the collective call on all ranks, in the other rank's lock, or in both; nothing
 *     else happens, and all ranks can continue. trylock and timedlock are not concerned, nor are
 *     semaphores, nsh_comm_node_barrier and calls of other communicators, which are not checked.
 *     The check costs two operations on a word of the mutex for each lock, and two for each
 *     agreement that the holder enters.
 *   - A rank that ends while it holds the mutex never unlocks it; MPI ends the job then.
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
                 node, which nsh_mutex_home returns. NSH_HOME_ANY: objects take turns with all nodes
              */
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
    int64_t acquisitions; /* successful locks, by any call */
    int64_t waited;       /* those for which another rank held the mutex */
    double seconds;       /* spent waiting, successfully or not */
} nsh_mutex_stats;

#define NSH_MUTEX_STATS_INIT                                                                       \
    {                                                                                              \
        sizeof(nsh_mutex_stats), 0, 0, 0                                                           \
    }

/* [collective] Create a mutex that no rank holds. Options are the same on every rank; NULL: all
 * defaults. Costs (ranks + 1) words at its home (one more under NSH_CHECK=1), no communicator and
 * no window of its own; thousands are fine. Errors: ARG (home out of range, unknown order,
 * cohort_limit < 1, name), MISMATCH, EXISTS (the name), NOMEM, STATE (comm is broken), MPI. */
NSH_API int nsh_mutex_create(nsh_comm *comm, const nsh_mutex_options *options, nsh_mutex **out);

/* [collective] Free the mutex and set *mutex to NULL; *mutex may be NULL already. Its name, and
 * what it needed, can be used again on return. Errors: ARG (mutex is NULL), STATE on all ranks (a
 * rank holds it), MISMATCH (ranks free different mutexes), MPI; nothing is freed then. */
NSH_API int nsh_mutex_free(nsh_mutex **mutex);

/* [local] Abandon the mutex on this rank and set *mutex to NULL; *mutex may be NULL already. For
 * languages whose garbage collector runs at another time on each rank: every rank abandons it at
 * any time, in any order, and the others may still use it. Its words and its name are reclaimed as
 * array.h says of nsh_array_free. A rank calls either nsh_mutex_abandon or nsh_mutex_free, and all
 * ranks the same. Errors: ARG (mutex is NULL), STATE (this rank holds it). */
NSH_API int nsh_mutex_abandon(nsh_mutex **mutex);

/* [non-local] Lock the mutex; wait while another rank holds it. This rank then sees what earlier
 * holders have stored into shared memory.
 * Errors: ARG (NULL), STATE (this rank holds it already; comm is or becomes broken; under
 * NSH_CHECK=1 the holder waits for this rank in a collective call), MPI. */
NSH_API int nsh_mutex_lock(nsh_mutex *mutex);

/* [non-local] Lock the mutex if it is free and no rank waits for it; does not wait for its holder.
 * It does wait for the answer of the mutex's home, which a leader without a helper thread gives
 * only while it is in MPI or in nodeshare: nsh_mutex_timedlock(mutex, 0) is bounded there, too.
 * Errors: as nsh_mutex_lock, and BUSY. */
NSH_API int nsh_mutex_trylock(nsh_mutex *mutex);

/* [non-local] As nsh_mutex_lock, but give up after this many seconds (>= 0; infinity: never). The
 * order of the other ranks does not change. A rank that gave up keeps its place until the queue
 * gets there, and its next lock before that waits in the same place: repeated calls with short
 * times lose nothing.
 *
 * Where no helper thread runs, a request that the home does not answer in these seconds, or in 20
 * milliseconds if they are fewer, is given up with TIMEOUT. The request stays pending. The next
 * call of this rank on the communicator that is collective or uses a mutex, semaphore, or counter
 * receives its answer first, and so does nsh_comm_progress; a mutex that was granted meanwhile is
 * unlocked then, or kept if that call asks for it. Until that call the others may have to wait for
 * it: before a rank computes for long or calls MPI_Barrier, MPI_Recv and the like, it calls
 * nsh_comm_barrier or asks for MPI_THREAD_MULTIPLE.
 * Errors: as nsh_mutex_lock, ARG also for seconds negative or NaN, and TIMEOUT; its detail names
 * the rank that holds the mutex if the memory of this node shows it, else the holder is "unknown".
 */
NSH_API int nsh_mutex_timedlock(nsh_mutex *mutex, double seconds);

/* [non-local] Unlock the mutex: the next waiting rank, if any, gets it.
 * Errors: ARG (NULL), STATE (this rank does not hold it; comm is broken), MPI. */
NSH_API int nsh_mutex_unlock(nsh_mutex *mutex);

/* [non-local] The rank that holds the mutex, -1: none. This is a hint: it may have changed already.
 * With order COHORT, if another node holds it, it is the rank that brought it there. Each call
 * reads every word of the mutex: do not call it in a busy loop. Errors: ARG (NULL), STATE (comm is
 * broken), NOMEM, MPI. */
NSH_API int nsh_mutex_holder(nsh_mutex *mutex, int *rank);

/* [local] This rank's statistics since create, into *out, which NSH_MUTEX_STATS_INIT has
 * initialised. Errors: ARG (NULL; out->size), UNSUPPORTED (out->size). */
NSH_API int nsh_mutex_get_stats(const nsh_mutex *mutex, nsh_mutex_stats *out);

/* [local] The mutex with this name. Errors: ARG (NULL), NOT_FOUND. */
NSH_API int nsh_mutex_find(nsh_comm *comm, const char *name, nsh_mutex **out);

/* [local] Its name; NULL if it has none, and for NULL. */
NSH_API const char *nsh_mutex_name(const nsh_mutex *mutex);

/* [local] The rank with which its words live: the leader of the home, also where option home named
 * another rank of that node; -1 for NULL. */
NSH_API int nsh_mutex_home(const nsh_mutex *mutex);

#ifdef __cplusplus
}
#endif

#endif
