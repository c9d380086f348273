/* SPDX-License-Identifier: BSD-3-Clause */
/* map.h -- a function over the indices 0 .. n-1, on all workers of a communicator; and the
 * arithmetic of dividing indices.
 *
 * Every index is run exactly once, by one worker. What a worker is, the context says:
 *   NSH_MAP_SERIAL         rank 0, alone
 *   NSH_MAP_THREADS        options.threads threads of rank 0; the other ranks wait, and the threads
 *                          may run on the cores of those that are on rank 0's host
 *   NSH_MAP_RANKS          every rank
 *   NSH_MAP_RANKS_THREADS  options.threads threads of every rank
 * and who gets which index, the schedule:
 *   NSH_MAP_STATIC   worker w runs the part of 0 .. n-1 that nsh_split names, known beforehand;
 *                    with a reduction the blocks are split instead
 *   NSH_MAP_DYNAMIC  a free worker takes the next block
 *   NSH_MAP_GUIDED   a free worker takes a fraction of the remaining indices: large pieces first,
 *                    small ones last; for very many very short indices
 * Taking a block costs one atomic operation on one node. Over several nodes, a node takes a chunk
 * of blocks with one remote operation when one of its workers finds none, and its workers take
 * blocks from it as on one node. A chunk has as many blocks as the node has workers, so that blocks
 * begin in the order of their numbers, and more where blocks are very short (options.chunk). What
 * nodeshare/mutex.h says of a home that computes for long applies here too.
 *
 * Kernels on threads (NSH_MAP_THREADS, NSH_MAP_RANKS_THREADS) call neither MPI nor this library;
 * the thread that has called nsh_map keeps MPI going meanwhile. Kernels in the other contexts run
 * on the rank itself and may call what is [local] or [non-local], on objects of this communicator
 * too: lock and unlock mutexes, add to counters, take tasks. A [collective] call on the map's own
 * communicator, a nested map among them, returns STATE on this rank alone and does nothing; the map
 * continues, and the communicator stays usable. On another communicator, a serial one for example,
 * collective calls and maps are allowed if all ranks of that one make them.
 *
 * Reductions give the same bits from run to run and for any number of ranks, threads and nodes: n
 * indices are cut into blocks that depend on n and the options alone, every block has an
 * accumulator of its own, in which its indices are run in order, and the accumulators are combined
 * in the order of the blocks.
 */
#ifndef NODESHARE_MAP_H
#define NODESHARE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <nodeshare/array.h>
#include <nodeshare/comm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- splitting ---- */

/* [local] The part of 0 .. n-1 that belongs to one of nparts: [*begin, *end). Parts are in order,
 * and the first n % nparts have one index more than the others. A pure function.
 * Errors: ARG (n < 0 or > 2^62, nparts < 1, part not in 0 .. nparts-1, a NULL output). */
NSH_API int nsh_split(int64_t n, int nparts, int part, int64_t *begin, int64_t *end);

/* [local] Like nsh_split, with parts of the same sizes, but of the indices in a random order that
 * seed determines: each index is in one part. The result is the same on every rank, without
 * communication and without a table of n: a rank computes its own indices only. For tasks whose
 * length depends on their index.
 *
 * count    gets their number; may be NULL if indices is not
 * indices  space for the part's indices, as many as nsh_split says; NULL: only their number
 *
 * Errors: as nsh_split. */
NSH_API int nsh_split_permuted(int64_t n, int nparts, int part, uint64_t seed, int64_t *count,
                               int64_t indices[]);

/* ---- map ---- */

/* What a worker is. */
typedef enum nsh_map_context {
    NSH_MAP_RANKS = 0,    /* a rank */
    NSH_MAP_SERIAL,       /* rank 0, alone */
    NSH_MAP_THREADS,      /* a thread of rank 0 */
    NSH_MAP_RANKS_THREADS /* a thread of any rank */
} nsh_map_context;

/* Which worker gets which index. */
typedef enum nsh_map_schedule {
    NSH_MAP_DYNAMIC = 0, /* the next block, when it is free */
    NSH_MAP_STATIC,      /* the part of all indices that nsh_split names */
    NSH_MAP_GUIDED       /* a fraction of the remaining indices, when it is free */
} nsh_map_schedule;

/* Who runs a kernel. */
typedef struct nsh_map_worker {
    int id;            /* this worker, from 0 */
    int count;         /* how many workers there are, over all ranks */
    int rank;          /* this worker's rank */
    int thread;        /* its thread there, from 0 */
    void *accumulator; /* of the block that is being run; NULL: options.reduce_bytes is 0 */
} nsh_map_worker;

/* Runs one index. Returns NSH_SUCCESS or a positive code, the caller's own or one of nsh_status
 * (a negative one counts as NSH_ERR_ARG). May read anything, and write what no other index
 * writes and its accumulator. arg is the caller's, on its own rank. */
typedef int (*nsh_map_kernel)(const nsh_map_worker *worker, int64_t index, void *arg);

/* As nsh_map_kernel; row is where element (index, 0, ...) of the array is, writable, and may be
 * filled up to element (index + 1, 0, ...). */
typedef int (*nsh_map_row_kernel)(const nsh_map_worker *worker, int64_t index, void *row,
                                  void *arg);

/* Adds an accumulator to another: into = into (+) from, where into covers the indices just before
 * those of from. */
typedef void (*nsh_map_combine)(void *into, const void *from, void *arg);

typedef struct nsh_map_options {
    size_t size; /* set by NSH_MAP_OPTIONS_INIT */
    nsh_map_context context;
    nsh_map_schedule schedule;
    int threads;          /* per rank; 0: the cores of the host divided among its ranks, the
                             smallest number of all hosts; for NSH_MAP_THREADS all cores that the
                             ranks of rank 0's host may use */
    int keep_going;       /* not 0: a kernel that fails stops nothing, every index is run */
    int64_t block;        /* indices that are taken at once; 0: n / 4096, fewer and larger blocks
                             where accumulators would take more than 64 MiB per node. NSH_MAP_STATIC
                             without a reduction has no blocks */
    int64_t chunk;        /* over several nodes: blocks that a node takes at once; 0: as many as it
                             has workers, more while that many end within milliseconds, fewer when
                             few are left */
    int64_t reduce_bytes; /* of an accumulator; 0: no reduction */
    const void *identity; /* reduce_bytes with which every accumulator begins; NULL: zeroes */
    nsh_map_combine combine; /* on every rank, if there is a reduction */
    void *result; /* reduce_bytes, on every rank, aligned as its contents want it; written
                             on success */
} nsh_map_options;

#define NSH_MAP_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(nsh_map_options), NSH_MAP_RANKS, NSH_MAP_DYNAMIC, 0, 0, 0, 0, 0, NULL, NULL, NULL   \
    }

/* [collective] Run kernel(worker, index, arg) once for every index in 0 .. n-1, and reduce.
 *
 * n, and of the options all but result and the addresses, are equal on every rank; kernel, combine
 * and arg are each rank's own. Accumulators are aligned to 64 bytes.
 *
 * A kernel that fails stops its worker; the others take what is left and finish (of several nodes,
 * one whose workers have all stopped leaves the rest of its chunk). When many indices fail, all
 * workers stop soon; with options.keep_going none does, and every index is run. In both cases all
 * ranks return the code of the lowest index that fails, which is always run: the same one from run
 * to run. What kernels have written stays written; a reduction has no result.
 * Errors: ARG (n < 0 or > 2^62, kernel NULL, an option out of range, a reduction without combine or
 * result), MISMATCH, NOMEM, STATE (comm is broken; the call comes from a kernel of a map on comm,
 * on that rank alone), MPI, and what kernels return. */
NSH_API int nsh_map(nsh_comm *comm, int64_t n, nsh_map_kernel kernel, void *arg,
                    const nsh_map_options *options);

/* [collective] As nsh_map over the rows of out (its first dimension), each filled in place in the
 * replica of the worker's node, and at the end replicated from there. Rows that a kernel does not
 * write keep their values. Until the call returns, replicas are indeterminate.
 *
 * When a kernel fails, the rows are replicated as they are: those that no worker has run keep their
 * values, and replicas are equal.
 * Errors: as nsh_map; ARG for an array of no dimension; STATE (between update_begin and _end). */
NSH_API int nsh_map_rows(nsh_array *out, nsh_map_row_kernel kernel, void *arg,
                         const nsh_map_options *options);

#ifdef __cplusplus
}
#endif

#endif
