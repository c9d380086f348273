/* SPDX-License-Identifier: BSD-3-Clause */
/* comm.h -- a communicator and its node topology.
 *
 * An nsh_comm is made from an MPI communicator, knows which ranks share a node, and carries every
 * array made on it. It owns the only communicators and the shared-memory window that the library
 * ever makes for those arrays, so thousands of arrays cost MPI nothing.
 *
 *   node     the ranks that share one replica: a shared-memory domain of MPI, or a part of one
 *            (options node_comm, ranks_per_node)
 *   leader   the lowest rank of a node (node rank 0)
 *   host     a machine, identified by hostname and boot id. Some MPI builds report one domain per
 *            rank on one machine; then node_count exceeds host_count and nothing is shared (nsh
 *            topo and NSH_LOG=1 say so)
 *
 * Environment, read when a communicator is created (options given in code win):
 *   NSH_WAIT=auto|spin|block           how a rank waits for another (nsh_wait_mode)
 *   NSH_PROGRESS=auto|none|thread      who drives MPI while ranks compute (nsh_progress_mode)
 *   NSH_RMA=auto|window|message        how words of other nodes are changed (mutex.h): by MPI's
 *                                      one-sided atomics, or asked for by messages
 *   NSH_RANKS_PER_NODE=k               split nodes into nodes of k ranks (the last may be smaller)
 *   NSH_CHECK=1                        also check across nodes, before anything moves, that all
 *                                      ranks name the same root and array; check overlap; see
 *                                      holders of mutexes in collective calls (mutex.h)
 *   NSH_GUARD=0                        hand out replicas without write protection
 *   NSH_LOG=1                          report on stderr what was decided and what was not freed;
 *                                      and for a call that has waited for 10 seconds, and then
 *                                      every minute: which call it is, for which rank or node it
 *                                      waits, since when, and who holds a mutex as far as that is
 *                                      known without asking another node
 *   NSH_PROGRESS_LINE=1                read when a batch is created: where stderr is no terminal,
 *                                      show the progress of the batch there, as a line every 10 s
 *
 * Caveats
 *   - Create, use and free of a communicator are collective over it, in the same order on every
 *     rank, like those of MPI communicators.
 *   - A rank that waits inside a call of this library serves what other nodes ask of any
 *     communicator of its process (words of mutexes, counters, batches), not only of the one that
 *     the call is about. It does not serve them inside MPI calls of the program's own
 *     (nsh_progress_mode).
 *   - What is alive at MPI_Finalize is freed there as nsh_comm_free_all does, communicators in the
 *     reverse order of their creation, and named on rank 0 under NSH_LOG=1; the handles may still
 *     be freed after it. Communicators that threads create at the same time, in another order on
 *     each rank, must be freed before it. All ranks call MPI_Finalize, as MPI demands, and none
 *     calls it inside a sequential section.
 *   - The library defines MPI_Finalize: it ends its helper threads and calls the next definition,
 *     that of a profiling tool or of MPI. No thread may be inside MPI when MPI finalises, and MPICH
 *     aborts if one is. A tool that is linked before this library and calls PMPI_Finalize, and a
 *     process that looks MPI_Finalize up in MPI's own library (Python), leave the helpers to a
 *     callback, which is too late for a helper that is inside MPI at that moment: free the
 *     communicators before, or call this library's MPI_Finalize.
 *   - Ranks that disagree: a call that creates an object always notices it; all ranks get
 *     NSH_ERR_MISMATCH, and the communicator stays usable. In a change of an array the ranks of one
 *     node always notice it. Ranks of different nodes notice it in that call or when the next
 *     message or wait shows it, so a program that ends first may not learn of it. The communicator
 *     is then broken: every call but free is NSH_ERR_STATE, and no rank waits permanently. Under
 *     NSH_CHECK=1 nodes compare first, which costs an agreement in each call, and nothing breaks.
 *   - A rank that is stopped, swapped out or cut off from the network for a while is late, and
 *     nothing else happens.
 *   - A communicator needs one or two MPI communicators and one window. MPICH 4.0 gives a process
 *     about 2,000 of each. A broken communicator leaves its windows and one MPI communicator to
 *     MPI_Finalize.
 *   - Nodes of several ranks use a shared window of MPI, which lies in /dev/shm under MPICH; nodes
 *     of one rank use anonymous memory. Between the check of what is free and the first touch
 *     another program may take the memory; the create is NSH_ERR_NOMEM then. Under Open MPI
 *     nsh_comm_create can hang when /dev/shm fills in that interval.
 *   - Ranks sleep on futexes, and memory is checked before it is used, on Linux; elsewhere a
 *     waiting rank calls sched_yield. Nodes of different byte order cannot be mixed.
 *   - While nsh_comm_create duplicates the caller's communicator, or nsh_comm_of sets its
 *     attribute, that one has MPI_ERRORS_RETURN as its error handler for a moment; it gets its own
 *     back before the call returns.
 */
#ifndef NODESHARE_COMM_H
#define NODESHARE_COMM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <mpi.h>

#include <nodeshare/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_comm nsh_comm;

/* How a rank waits for another rank of its node. In every mode a waiting rank keeps MPI going. A
 * rank that waits in a collective call for another node drives MPI without sleeping. */
typedef enum nsh_wait_mode {
    NSH_WAIT_AUTO = 0, /* spin for 20 us, or for 100 us if ranks exceed cores, yielding the core
                          meanwhile; then sleep */
    NSH_WAIT_SPIN,     /* never sleep: lowest latency, one core per waiting rank */
    NSH_WAIT_BLOCK     /* sleep at once: lowest cost when ranks exceed cores */
} nsh_wait_mode;

/* Who drives MPI on behalf of other nodes while this rank computes. */
typedef enum nsh_progress_mode {
    NSH_PROGRESS_AUTO = 0, /* a helper thread where an object needs one and MPI allows it */
    NSH_PROGRESS_NONE,     /* nobody: the program calls nsh_comm_progress now and then */
    NSH_PROGRESS_THREAD    /* a helper thread on each leader; needs MPI_THREAD_MULTIPLE */
} nsh_progress_mode;

typedef struct nsh_comm_options {
    size_t size;        /* set by NSH_COMM_OPTIONS_INIT */
    MPI_Comm node_comm; /* this rank's node as the caller sees it; MPI_COMM_NULL: ask MPI. All
                              its ranks share memory and pass it; used during create only */
    int ranks_per_node; /* > 0: split every node into nodes of this many ranks; 0: do not */
    nsh_wait_mode wait; /* may differ between ranks */
    nsh_progress_mode progress; /* the same on every rank */
    int64_t heap_bytes; /* maximum bytes of arrays per node; 0: what memory, /dev/shm and limits
                           allow. The smallest value of all ranks counts */
} nsh_comm_options;

#define NSH_COMM_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(nsh_comm_options), MPI_COMM_NULL, 0, NSH_WAIT_AUTO, NSH_PROGRESS_AUTO, 0            \
    }

/* [collective] Over comm: find the nodes of comm and set up what its objects share.
 *
 * comm     an intracommunicator; it is duplicated, and the library sends no message on the caller's
 * options  NULL for defaults; node_comm is given by all ranks or by none, ranks_per_node and
 *          progress are equal on all ranks
 * out      free it with nsh_comm_free
 *
 * Errors: ARG (MPI_COMM_NULL, an intercommunicator, an option or environment variable out of
 * range, a node_comm that reaches beyond comm or does not share memory), STATE (MPI is not
 * initialised or is finalised), MISMATCH (options differ), NOMEM (as for every call that creates
 * something: also when /dev/shm is full; the call succeeds once space is free there), UNSUPPORTED
 * (NSH_PROGRESS_THREAD without MPI_THREAD_MULTIPLE; an MPI without unified shared windows), MPI
 * (also: the MPI that runs is not the one the library was built with). */
NSH_API int nsh_comm_create(MPI_Comm comm, const nsh_comm_options *options, nsh_comm **out);

/* [collective] The nsh_comm that comm itself keeps, as an attribute: for libraries that are given
 * an MPI communicator. The first call creates it as nsh_comm_create does with default options;
 * every later call returns the same handle, sends nothing and waits for no rank. A duplicate of
 * comm gets one of its own.
 *
 * The handle is borrowed. nsh_comm_free, nsh_comm_free_all and nsh_comm_abandon only set it to
 * NULL, on any rank at any time: all other callers of nsh_comm_of can still use it.
 * MPI_Comm_free or MPI_Comm_disconnect of comm frees it as nsh_comm_free_all does, with what is
 * alive on it, and waits for the other ranks like that; then the handle must not be used any
 * more. These two MPI calls succeed in any case: inside a kernel of a map, in a sequential
 * section, and where other ranks are in another call, the nsh_comm breaks instead, and
 * MPI_Finalize frees it. But a mutex that another rank waits for is unlocked first, as before
 * any collective call (mutex.h). A copy callback of the program's own attributes must not call
 * nsh_comm_of on the communicator that is being duplicated. The nsh_comm of MPI_COMM_WORLD, of
 * MPI_COMM_SELF and of a communicator that is never freed is freed in MPI_Finalize, and
 * nsh_comm_free still accepts its handle after that.
 *
 * A broken one is replaced. The first call on each rank that finds it broken creates a new one
 * together with those of the other ranks, and waits for them. The broken one and what is alive on
 * it stay as they are until comm is freed. A rank that has not heard that it is broken gets the
 * broken one: its next call on it fails, and then this rank must call nsh_comm_of again, because
 * the others wait for it. Where ranks agree by MPI calls of their own that something has failed,
 * each of them calls nsh_comm_fail on it first: then every rank knows, and the next nsh_comm_of of
 * each rank replaces it.
 *
 * Caveat: between nsh_comm_of and the first call on its result a rank makes no collective MPI call
 * on comm. A rank that has found the nsh_comm broken waits inside nsh_comm_of, in collective MPI
 * calls on comm, for the others. A rank that has got the broken one learns so from its first call
 * on it; if it made a collective MPI call on comm before that, the two ranks would be in different
 * MPI calls on the same communicator, and might wait permanently.
 *
 * comm  an intracommunicator
 * out   the handle, good until comm is freed
 *
 * Errors: as nsh_comm_create; ARG (out is NULL); MPI (a rank cannot set the attribute: nothing is
 * kept); STATE (broken, and this rank is inside a kernel of a map or a sequential section on it;
 * or MPI_Finalize has begun, and has freed it or there was none). */
NSH_API int nsh_comm_of(MPI_Comm comm, nsh_comm **out);

/* [local] A communicator of this process alone that uses no MPI at all: works before MPI_Init,
 * without it, and after MPI_Finalize. Every call of every header behaves on it as on a
 * communicator of one rank. Errors: ARG, NOMEM. */
NSH_API int nsh_comm_create_serial(nsh_comm **out);

/* [collective] Free the communicator and set *comm to NULL; *comm may be NULL already. A handle of
 * nsh_comm_of is only set to NULL.
 * Errors: ARG (comm is NULL), STATE (a rank has objects alive on it: nothing is freed). A
 * communicator that is broken (by nsh_comm_fail, NSH_ERR_MPI, or NSH_ERR_MISMATCH across nodes) is
 * freed by each rank alone, which waits for no other rank; what ranks share is freed in
 * MPI_Finalize, which all of them call. */
NSH_API int nsh_comm_free(nsh_comm **comm);

/* [collective] Free the communicator with all objects that are alive on it, locks that are held
 * included, and set *comm to NULL; *comm may be NULL already. Files are closed without a commit;
 * tasks that are RUNNING in journals are OPEN again. Handles of objects become shells: free, close
 * and abandon release the shell and succeed (nsh_file_close of a file that could be changed answers
 * STATE, because it did not commit), and every other call is STATE, but for getters, which answer
 * as before: names, homes, numbers of workers, statistics, and what describes an array. Only an
 * array's data, mpi_data, at and comm give NULL then, and type MPI_DATATYPE_NULL if it was a
 * derived one. A handle of nsh_comm_of is only set to NULL.
 * Errors: ARG (comm is NULL), STATE (in a sequential section), MISMATCH: nothing is freed. IO: all
 * is freed, but a journal lacks what could not be written. */
NSH_API int nsh_comm_free_all(nsh_comm **comm);

/* [local] Leave the communicator to MPI_Finalize and set *comm to NULL; *comm may be NULL already.
 * For languages whose garbage collector runs at another time on each rank. Objects on it remain
 * usable. A serial communicator is freed with its last object. A handle of nsh_comm_of is only set
 * to NULL.
 * Errors: ARG (comm is NULL). */
NSH_API int nsh_comm_abandon(nsh_comm **comm);

/* [local] Break the communicator, because this rank cannot continue: every rank that is in or
 * enters a call on it gets NSH_ERR_STATE, with this rank, code and text in the detail, instead of
 * waiting for a rank that will not come. Ranks of other nodes learn of it while they wait, and
 * otherwise in any call but getters, reads and nsh_batch_finish (the next nsh_batch_next reports
 * it): each such call checks if no call has checked for 10 ms. After that the communicator can only
 * be freed.
 *
 * code  why: one of nsh_status but NSH_SUCCESS, or any positive number that the caller chooses
 * text  what happened; NULL: no text; cut off where it is too long for a detail
 *
 * Errors: ARG (comm is NULL, code < 1), STATE (it is broken already; what broke it is in the
 * detail). */
NSH_API int nsh_comm_fail(nsh_comm *comm, int code, const char *text);

/* [local] This rank and the number of ranks, as in the MPI communicator; -1 for NULL. */
NSH_API int nsh_comm_rank(const nsh_comm *comm);
NSH_API int nsh_comm_size(const nsh_comm *comm);

/* [local] This rank within its node (0: the leader) and the node's number of ranks; -1 for NULL. */
NSH_API int nsh_comm_node_rank(const nsh_comm *comm);
NSH_API int nsh_comm_node_size(const nsh_comm *comm);

/* [local] The number of this rank's node and how many there are; -1 for NULL. Nodes are numbered
 * by their leaders' ranks. */
NSH_API int nsh_comm_node_index(const nsh_comm *comm);
NSH_API int nsh_comm_node_count(const nsh_comm *comm);

/* [local] How many machines the ranks run on; -1 for NULL. Differs from the node count where nodes
 * were split, or where MPI reports shared memory wrongly. */
NSH_API int nsh_comm_host_count(const nsh_comm *comm);

/* [local] The node of any rank; -1 for a rank that does not exist and for NULL. */
NSH_API int nsh_comm_node_of(const nsh_comm *comm, int rank);

/* [local] The library's own duplicate of the caller's communicator, for looking at groups and
 * names: the library receives on it, so sending on it is a mistake. MPI_COMM_NULL on a serial
 * communicator, on one that is gone, and for NULL. */
NSH_API MPI_Comm nsh_comm_mpi(const nsh_comm *comm);

/* [local] The communicator of this rank's node, for the program's own messages and collective
 * operations among the ranks of the node; ranks in it are those of nsh_comm_node_rank. The library
 * sends no message on it; it calls collective operations of MPI there, in [collective] calls on
 * comm and when comm is freed. So the order of the program's collective operations on it and of
 * [collective] calls on comm is the same on every rank of the node; one that has begun
 * (MPI_Iallreduce) may be completed after such a call.
 *
 * It is the library's: the program neither frees it nor changes its error handler, which is
 * MPI_ERRORS_RETURN, and receives what it has sent before comm is freed. Where several libraries or
 * threads send on it, each makes a duplicate of its own. MPI_COMM_NULL on a serial communicator, on
 * one that is gone, and for NULL. */
NSH_API MPI_Comm nsh_comm_node_mpi(const nsh_comm *comm);

/* [collective] No rank returns before every rank has entered. Stores made before it into shared
 * memory are seen after it. Errors: ARG (comm is NULL), MISMATCH, STATE (comm is broken), MPI. */
NSH_API int nsh_comm_barrier(nsh_comm *comm);

/* [collective] Over this rank's node: a barrier among the ranks of one node, without messages. With
 * several nodes it lets MPI make progress every 10 ms, so that it learns of a communicator that
 * another node has broken. */
NSH_API int nsh_comm_node_barrier(nsh_comm *comm);

/* [local] Let MPI make progress: for programs that compute for long without calling MPI while
 * others wait for messages or words that live here. It is cheap enough to be called every
 * millisecond. It also unlocks a mutex that was granted after nsh_mutex_timedlock had given up
 * (mutex.h); for that it waits until the home has answered.
 * Errors: ARG (comm is NULL), MPI. */
NSH_API int nsh_comm_progress(nsh_comm *comm);

/* [local] One line of text on f: "8 ranks on 2 nodes (4 4), leaders 0 4". Errors: ARG, IO. */
NSH_API int nsh_comm_print(const nsh_comm *comm, FILE *f);

/* [local] The same line into text, of size bytes, cut off where it does not fit and always
 * terminated; text may be NULL where size is 0. Returns the length of the whole text without its
 * terminator, as snprintf does: it is cut off if that is not less than size. -1: nsh_error_detail
 * says why (comm or text is NULL; no memory). */
NSH_API int nsh_comm_snprintf(char *text, size_t size, const nsh_comm *comm);

#ifdef __cplusplus
}
#endif

#endif
