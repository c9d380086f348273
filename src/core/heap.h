/* SPDX-License-Identifier: BSD-3-Clause */
/* heap.h -- the symmetric heap of a node, in shared memory.
 *
 * Every rank of every node runs the same allocator (blocks.h) over the same sizes, so a block has
 * the same window and offset everywhere without a word between ranks. Windows are sparse: pages
 * come into being when nsh__heap_clear touches them, and not before it is known that there are any.
 * Each window is mapped twice, writable for the library and read-only for the program. */
#ifndef NSH_CORE_HEAP_H
#define NSH_CORE_HEAP_H

#include "core/comm.h"

struct nsh__block;

/* A piece of every node's heap. All zero: none. */
typedef struct nsh__heap_block {
    struct nsh__block *block;
    char *rw;
    const char *ro;
    int64_t bytes; /* as asked for */
    bool large;    /* pages of its own, which go back to the system when freed */
} nsh__heap_block;

/* What a rank would give for arrays on its node, in bytes; see nsh_comm_options.heap_bytes. */
int64_t nsh__heap_limit(const nsh_comm *comm, int64_t wish);

/* [collective] The heap with its first window, and head bytes at its beginning that are not for
 * blocks; limit and head are the same on every rank. Agreed without a gate, which lives there. */
int nsh__heap_create(nsh_comm *comm, int64_t limit, int64_t head);

/* [local] The head: page-aligned, writable, zero, and to be touched before it is stored to. */
char *nsh__heap_head(const nsh_comm *comm);

/* [local] Touch the pages of p..p + bytes, in any shared memory, so that loads and stores are safe.
 * NSH_ERR_NOMEM. */
int nsh__heap_touch(const nsh_comm *comm, char *p, int64_t bytes);

/* [local] Before MPI is asked for a window in shared memory, by all ranks or by none: has /dev/shm
 * room for what MPI itself stores there? MPI does not look, and dies. NSH_ERR_NOMEM. */
int nsh__heap_window_capacity(const nsh_comm *comm);

/* [collective] Accepts every stage; after MPI_Finalize it only unmaps. */
void nsh__heap_destroy(nsh_comm *comm);

/* [local] A block of bytes > 0; its contents are undefined. NSH_ERR_BUSY: there is no room until
 * nsh__heap_grow; NSH_ERR_NOMEM. On every rank alike, but for a lack of private memory. */
int nsh__heap_alloc(nsh_comm *comm, int64_t bytes, nsh__heap_block *out);

/* [collective] Another window, with room for a block of bytes. The code is agreed. */
int nsh__heap_grow(nsh_comm *comm, int64_t bytes);

/* [local] Touch and zero this rank's share of the extent; all ranks of the node do so, after all
 * have given up what was there before. NSH_ERR_NOMEM instead of a later SIGBUS. */
int nsh__heap_clear(const nsh_comm *comm, const nsh__heap_block *extent, int share, int shares);

/* [local] Drop this process's page-table entries for the extent's writable view, if it is large and
 * has two views. The pages stay, and the next store through the view finds them again. */
void nsh__heap_trim(const nsh_comm *comm, const nsh__heap_block *extent);

/* [local] Is there memory for so many bytes more on this node, as far as one can tell? */
int nsh__heap_check_available(const nsh_comm *comm, int64_t bytes);

/* [local] This rank uses the extent no more; accepts none. The last rank of the node to do so
 * returns its pages, if large; the block stays taken. */
void nsh__heap_leave(nsh_comm *comm, const nsh__heap_block *extent);

/* [by all ranks, at the same point] Give the block back and make the extent none; accepts none. */
void nsh__heap_free(nsh_comm *comm, nsh__heap_block *extent);

/* [by all ranks, at the same point] Undo nsh__heap_alloc in a call that fails after the ranks have
 * agreed that their heaps are equal: what was touched goes back to the system. share and shares as
 * in clear. */
void nsh__heap_undo(nsh_comm *comm, nsh__heap_block *extent, int share, int shares);

/* The read-only view of one window, which stays mapped for as long as it is held. */
typedef struct nsh__view nsh__view;

/* [local] Hold the view that an extent lies in; NULL: no memory. Where there is no view beside the
 * mapping that MPI has made (NSH_GUARD=0 and several ranks on the node) that one goes with the heap
 * all the same. */
nsh__view *nsh__heap_hold(const nsh_comm *comm, const nsh__heap_block *extent);

/* [local] The last one to release a view whose heap is gone unmaps it. */
void nsh__view_release(nsh__view *view);

/* [local] A number that is equal on ranks whose heaps have the same blocks. */
uint64_t nsh__heap_history(const nsh_comm *comm);

/* [local] Blocks of at least so many bytes are large. */
enum { NSH__HEAP_LARGE = 1 << 20 };

#endif
