/* SPDX-License-Identifier: BSD-3-Clause */
/* array.h -- arrays kept once per node, read with plain loads, changed by set.
 *
 * An array has an MPI datatype and an extent in each of up to NSH_MAX_NDIM dimensions. Every node
 * holds one copy of it, the node's replica; all ranks of the node read that copy in place, through
 * a pointer that stays the same for the array's life. Collective calls change all replicas alike.
 *
 *   extent   the whole shape, in elements, C order (the last dimension varies fastest)
 *   offset   the first element of a hyperslab in each dimension
 *   count    its elements in each dimension
 *   root     the rank whose data counts; any rank
 *
 * Extents, offsets, counts and sizes are int64_t: more than 2^31 elements work. ndim 0 is one
 * element. A zero extent is legal: the data pointer is NULL and an empty set does nothing.
 *
 * When may I read what? Always, everything: replicas are never unmapped between create and free.
 * Values that a collective call changes are old before it and new after it on each rank; they are
 * indeterminate from the moment when all ranks of the node have entered that call until it
 * returns, which only a rank that reads from another thread can see, and between
 * nsh_array_update_begin and _end.
 *
 * Caveats
 *   - Replicas are read-only: a store through the pointer faults (SIGSEGV) at once. NSH_GUARD=0
 *     lifts that where a kernel refuses the second mapping.
 *   - Source data must not lie in the array's own replica (NSH_ERR_ARG); the replica of another
 *     array is allowed.
 *   - To send from a replica with MPI, pass nsh_array_mpi_data(), not nsh_array_data().
 *   - Bytes are copied, never converted; padding inside a struct type is copied too.
 *   - After nsh_array_free on a rank, that rank must not read the replica, unless it holds it.
 *   - ps and top count a replica in the resident size (RSS) of each process that reads it: 64
 *     ranks with a table of 1 GiB look like 64 GiB. What the node uses is the sum of the
 *     proportional sizes (PSS): grep '^Pss:' /proc/PID/smaps_rollup.
 */
#ifndef NODESHARE_ARRAY_H
#define NODESHARE_ARRAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <mpi.h>

#include <nodeshare/comm.h>
#include <nodeshare/error.h>
#include <nodeshare/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_array nsh_array;

typedef struct nsh_array_options {
    size_t size;      /* set by NSH_ARRAY_OPTIONS_INIT */
    const char *name; /* for nsh_array_find, snapshots and messages; copied; NULL: none. Not empty,
                         at most 255 bytes, unique on its communicator, equal on every rank */
} nsh_array_options;

#define NSH_ARRAY_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(nsh_array_options), NULL                                                            \
    }

/* ---- create and free ---- */

/* [collective] Create an array with one replica per node, all bytes zero.
 *
 * type    any predefined datatype, or a derived one that tiles memory without holes between or,
 *         but for the padding of structs, inside elements. The array keeps a duplicate of it
 * ndim    0 to NSH_MAX_NDIM
 * extent  ndim numbers >= 0; may be NULL when ndim is 0
 *
 * All arguments are equal on every rank. Costs no communicator, no window and no broadcast: ranks
 * run the same allocator on one heap in shared memory, whose pages are touched here, in parallel,
 * so that missing memory is NSH_ERR_NOMEM now and not a fault later.
 * Errors: ARG, TYPE, MISMATCH, EXISTS (the name), NOMEM, STATE (comm is broken), MPI. */
NSH_API int nsh_array_create(nsh_comm *comm, MPI_Datatype type, int ndim, const int64_t extent[],
                             const nsh_array_options *options, nsh_array **out);

/* [collective] Create an array on array's communicator with its type and extent, bytes zero.
 * Its name, if any, comes from options. Errors: as nsh_array_create. */
NSH_API int nsh_array_like(const nsh_array *array, const nsh_array_options *options,
                           nsh_array **out);

/* [local] Free the array on this rank and set *array to NULL; *array may be NULL already. Each rank
 * frees at any time, several arrays in any order, without waiting for another rank: the other ranks
 * may read the array until they free it too. Collective calls with the array need all ranks, so a
 * rank frees it after the last of them.
 *
 * When can its memory be used again? Memory of arrays of 1 MiB and more goes back to the system
 * when the last rank of the node has freed the array. Address space, the memory of smaller arrays
 * and the name are reclaimed when an object of any kind is created after all ranks have freed the
 * array: at the latest by a create that would fail otherwise. Until then creating an object of that
 * name is EXISTS on all ranks; finding it is NOT_FOUND on ranks that have freed it. Errors: ARG
 * (array is NULL). */
NSH_API int nsh_array_free(nsh_array **array);

/* ---- hold: for views that other libraries and languages keep ---- */

typedef struct nsh_hold nsh_hold;

/* [local] Keep this node's replica for views that point at it: after nsh_array_free on this rank,
 * nsh_comm_free_all and MPI_Finalize the pointer of nsh_array_data stays valid until
 * nsh_hold_release, and the array's last values stay there. While the array lives, collective calls
 * still change its values. An array may be held several times. Held memory is not reclaimed on any
 * rank, and a hold that outlives its communicator keeps the pages of all arrays that were in the
 * same window: hold only arrays whose views are in use.
 *
 * With NSH_GUARD=0 and several ranks on the node, the communicator's end frees held pages too.
 * Errors: ARG (NULL), STATE (the communicator is gone), NOMEM. */
NSH_API int nsh_array_hold(nsh_array *array, nsh_hold **out);

/* [local] Release the hold and set *hold to NULL; *hold may be NULL already. Errors: ARG (hold is
 * NULL). */
NSH_API int nsh_hold_release(nsh_hold **hold);

/* ---- read ---- */

/* [local] This node's replica: nsh_array_nbytes() bytes in C order, read-only, for as long as the
 * array lives. NULL for an array without elements and for NULL. */
NSH_API const void *nsh_array_data(const nsh_array *array);

/* [local] The same bytes at the address to pass to MPI, as a send buffer or to a collective call
 * that reads it: networks that register memory (RDMA, also GPU drivers) refuse pages that are
 * mapped read-only. Read through nsh_array_data(), where a stray store faults; give MPI this one,
 * or an address at the same distance from it. MPI must not receive here, and no rank may store:
 * that would change one node's replica only. Functions of this library take either address as data.
 * NULL for an array without elements and for NULL. */
NSH_API const void *nsh_array_mpi_data(const nsh_array *array);

/* [local] The element at index (ndim numbers; NULL: all zeros) in this node's replica; NULL if that
 * element does not exist. */
NSH_API const void *nsh_array_at(const nsh_array *array, const int64_t index[]);

/* [local] Copy a hyperslab out of this node's replica, packed in C order.
 * offset NULL: all zeros; count NULL: the whole array. Errors: ARG. */
NSH_API int nsh_array_get(const nsh_array *array, const int64_t offset[], const int64_t count[],
                          void *out);

/* ---- change: one rank has the data ---- */

/* [collective] Copy the hyperslab (offset, count) from data on rank root into every node's replica.
 *
 * data    count[0] x ... x count[ndim-1] elements in C order; read on root only
 * offset  first element in each dimension, NULL for all zeros; read on root only
 * count   elements in each dimension, NULL for the whole array; read on root only
 * root    equal on every rank; or NSH_ROOT_ANY: the one rank whose data is not NULL
 *
 * No replica changes before every rank of its node has entered; on return every rank sees the
 * new values. Costs one copy on root's node and one broadcast among nodes: a binomial tree for
 * small data, a pipelined chain or tree of segments for large data; no barrier among all ranks.
 * Errors: ARG (hyperslab outside the array; root out of range; data NULL on root; with
 * NSH_ROOT_ANY none or several ranks with data), MISMATCH (ranks name different roots or arrays),
 * STATE (between update_begin and _end, or comm is broken), MPI. */
NSH_API int nsh_array_set(nsh_array *array, const void *data, const int64_t offset[],
                          const int64_t count[], int root);

/* [collective] As nsh_array_set with data that is not packed: element (i, j, ...) of the hyperslab
 * is at data + (i * stride[0] + j * stride[1] + ...) elements. Strides may be zero or negative;
 * NULL means packed. stride is read on root only. Errors: as nsh_array_set. */
NSH_API int nsh_array_set_strided(nsh_array *array, const void *data, const int64_t stride[],
                                  const int64_t offset[], const int64_t count[], int root);

/* [collective] Set n hyperslabs in one call, in order (where two overlap the later one wins), at
 * hardly more than the cost of one set. n and pieces are read on root only; with NSH_ROOT_ANY root
 * is the one rank whose pieces is not NULL. Errors: as nsh_array_set; nothing is set when one of
 * them is wrong. */
NSH_API int nsh_array_set_many(nsh_array *array, int n, const nsh_piece pieces[], int root);

/* [collective] Let root fill a hyperslab in place, without a copy: on root *view points at the
 * array's element (offset) in a writable mapping of its own replica, laid out as the array is (C
 * order of the whole extent), and may be written within the hyperslab until nsh_array_update_end;
 * elsewhere *view is NULL. The other ranks return as soon as root's arguments are known to be good
 * and may compute meanwhile; the hyperslab is indeterminate on every node until _end.
 * root must be a rank, not NSH_ROOT_ANY. One update at a time per array.
 * Errors: as nsh_array_set; STATE (an update has begun already). */
NSH_API int nsh_array_update_begin(nsh_array *array, const int64_t offset[], const int64_t count[],
                                   int root, void **view);

/* [collective] End the update: what root has stored is in every replica on return. On one node
 * nothing is copied. Errors: STATE (none has begun), MISMATCH, MPI. */
NSH_API int nsh_array_update_end(nsh_array *array);

/* [collective] End the update although root does not have all the data: root calls this while the
 * other ranks call nsh_array_update_end. The hyperslab is zero on every node, the version counts
 * up, and all ranks return code with the detail "nsh_array_update_fail: TEXT (rank R)". code and
 * text are as in nsh_array_set_fail; on another rank this is nsh_array_update_end, and neither is
 * read.
 * Errors: code; else as nsh_array_update_end. */
NSH_API int nsh_array_update_fail(nsh_array *array, int code, const char *text);

/* ---- change: every rank has data ---- */

/* [collective] Every rank contributes its own hyperslab of packed data, or none (a zero count);
 * every replica gets all of them. Where hyperslabs overlap the result is one or the other, and may
 * differ between nodes; under NSH_CHECK=1 that is NSH_ERR_ARG. offset NULL: all zeros; count NULL:
 * the whole array. Errors: ARG, MISMATCH, STATE, NOMEM, MPI. */
NSH_API int nsh_array_allgather(nsh_array *array, const void *data, const int64_t offset[],
                                const int64_t count[]);

/* [collective] Reduce, element by element, the private arrays of all ranks (each of the array's
 * whole extent, packed) into every replica. The result is bitwise the same on every node, and is
 * combined in rank order if op does not commute. op is one that MPI allows for the array's type
 * (MPI-3.1, section 5.9.2), or the user's own: the types of Fortran and C++ count, those of
 * MPI_Type_create_f90_* too, as far as this MPI reduces them. Errors: ARG (data NULL, op unusable
 * with this type), UNSUPPORTED (an element of more than 256 KiB), MISMATCH, STATE, NOMEM, MPI. */
NSH_API int nsh_array_allreduce(nsh_array *array, const void *data, MPI_Op op);

/* [collective] Set every element to *element, which has equal bytes on every rank (MISMATCH
 * otherwise). Nothing but that check crosses the network. Errors: ARG, MISMATCH, STATE, MPI. */
NSH_API int nsh_array_fill(nsh_array *array, const void *element);

/* ---- change: a rank has no data ---- */

/* [collective] Take part in a change for which this rank lacks the data, for example because a file
 * could not be read. This rank calls it in place of the call that the other ranks make. All ranks
 * return code with the detail "nsh_array_set_fail: TEXT (rank R)"; of several failures the largest
 * code.
 *
 * code  a failure of nsh_status that the program chooses; any other number is NSH_ERR_ARG on all
 *       ranks
 * text  why; cut off after 180 bytes; NULL: the meaning of code
 *
 * Nothing changes and the communicator stays usable. set_fail matches nsh_array_set, _set_strided
 * and _set_many. On root it ends the set with code; on another rank it is a set, and neither code
 * nor text is read. With NSH_ROOT_ANY the calling rank counts as the one that has data (ARG if
 * another rank has data). allgather_fail and allreduce_fail match nsh_array_allgather and
 * nsh_array_allreduce, with the op of the other ranks. Errors: code; else as the matching call. */
NSH_API int nsh_array_set_fail(nsh_array *array, int root, int code, const char *text);
NSH_API int nsh_array_allgather_fail(nsh_array *array, int code, const char *text);
NSH_API int nsh_array_allreduce_fail(nsh_array *array, MPI_Op op, int code, const char *text);

/* ---- memory ---- */

/* [local] Drop this process's page-table entries for the writable view of the array. A page that
 * was written through that view and read through nsh_array_data() counts twice in the resident size
 * (RSS) that ps and top show of a process, though it exists once on the node. The library drops
 * these entries by itself after create, after the first change of an array of 1 MiB or more, and
 * when another change on the communicator finds that it has not been changed for 10 s. Call this
 * after a later change if the next one does not follow soon: the next change of each page costs a
 * page fault. Contents and addresses stay as they are. Errors: ARG (NULL). */
NSH_API int nsh_array_trim(nsh_array *array);

/* ---- look ---- */

/* [local] The array of that name on comm. Errors: ARG, NOT_FOUND. */
NSH_API int nsh_array_find(nsh_comm *comm, const char *name, nsh_array **out);

/* [collective] A 64-bit checksum of the contents, the same whatever the number of ranks and nodes.
 * Errors: ARG, MISMATCH (the replicas differ), STATE, MPI. */
NSH_API int nsh_array_checksum(nsh_array *array, uint64_t *out);

/* [local] Name, type, extent, nodes, and the first and last rows of this node's replica as text
 * on f. Errors: ARG, IO. */
NSH_API int nsh_array_print(const nsh_array *array, FILE *f);

/* [local] The same written to text, a buffer of size bytes, cut off where it does not fit and
 * always terminated; text may be NULL if size is 0. Returns the length of the whole text without
 * its terminator, as snprintf does: it is cut off if that is not less than size. -1:
 * nsh_error_detail says why (array is NULL or gone; text is NULL; no memory). */
NSH_API int nsh_array_snprintf(char *text, size_t size, const nsh_array *array);

/* [local] What the array was created with. For NULL: -1, MPI_DATATYPE_NULL or NULL.
 * type is the array's own duplicate if it is derived. extent() points at ndim numbers that live
 * as long as the array; extent_of(d) is one of them, -1 if dimension d does not exist. size counts
 * elements; itemsize is the bytes from one element to the next; name is NULL if none.
 */
NSH_API nsh_comm *nsh_array_comm(const nsh_array *array);
NSH_API MPI_Datatype nsh_array_type(const nsh_array *array);
NSH_API int nsh_array_ndim(const nsh_array *array);
NSH_API const int64_t *nsh_array_extent(const nsh_array *array);
NSH_API int64_t nsh_array_extent_of(const nsh_array *array, int d);
NSH_API int64_t nsh_array_size(const nsh_array *array);
NSH_API int64_t nsh_array_itemsize(const nsh_array *array);
NSH_API int64_t nsh_array_nbytes(const nsh_array *array);
NSH_API const char *nsh_array_name(const nsh_array *array);

/* [local] How many calls have changed the contents so far, the same on every rank: a cheap way to
 * see whether a table is newer than what was derived from it. -1 for NULL. */
NSH_API int64_t nsh_array_version(const nsh_array *array);

#ifdef __cplusplus
}
#endif

#endif
