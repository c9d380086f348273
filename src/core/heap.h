/* SPDX-License-Identifier: BSD-3-Clause */
/* heap.h -- the symmetric heap of a node, in shared memory.
 *
 * Every rank of every node runs the same allocator (blocks.h) over the same sizes, so a block has
 * the same window and offset everywhere without communication. Windows are sparse: a page gets
 * memory when nsh__heap_clear touches it, after a check that memory is available. Each window is
 * mapped twice, writable for the library and read-only for the program. */
#ifndef NSH_CORE_HEAP_H
#define NSH_CORE_HEAP_H

#include "core/comm.h"

struct nsh__block;

/* A block of every node's heap. All zero: none. */
typedef struct nsh__heap_block {
    struct nsh__block *block;
    char *rw;
    const char *ro;
    int64_t bytes; /* as requested */
    bool large;    /* it has its own pages, which return to the system when it is freed */
} nsh__heap_block;

/* [local] The limit of the heap on this rank's node, in bytes; see nsh_comm_options.heap_bytes. */
int64_t nsh__heap_limit(const nsh_comm *comm, int64_t wish);

/* [collective] Create the heap with its first window, and head bytes at its beginning that are not
 * for blocks; limit and head are equal on every rank. The code is agreed on without the gate, which
 * lives in the heap. */
int nsh__heap_create(nsh_comm *comm, int64_t limit, int64_t head);

/* [local] The head: page-aligned, writable, zero; to be touched before it is stored to. */
char *nsh__heap_head(const nsh_comm *comm);

/* [local] Touch the pages of p .. p + bytes, in any shared memory, so that loads and stores cannot
 * fail. NSH_ERR_NOMEM. */
int nsh__heap_touch(const nsh_comm *comm, char *p, int64_t bytes);

/* [local] Before MPI allocates a window in shared memory, by all ranks or by none: is /dev/shm
 * large enough for what MPI itself stores there? MPI does not check, and crashes. NSH_ERR_NOMEM. */
int nsh__heap_window_capacity(const nsh_comm *comm);

/* [collective] Free the heap. Accepts every stage; after MPI_Finalize it only unmaps. */
void nsh__heap_destroy(nsh_comm *comm);

/* [local] Allocate a block of bytes > 0; its contents are undefined. NSH_ERR_BUSY: no space before
 * nsh__heap_grow; NSH_ERR_NOMEM. The result is equal on every rank, except for a lack of private
 * memory. */
int nsh__heap_alloc(nsh_comm *comm, int64_t bytes, nsh__heap_block *out);

/* [collective] Add a window that can hold a block of bytes. The code is agreed on. */
int nsh__heap_grow(nsh_comm *comm, int64_t bytes);

/* [local, by all ranks of the node, after all have left the block's former owner] Touch and zero
 * this rank's part of the block. NSH_ERR_NOMEM instead of a later SIGBUS. */
int nsh__heap_clear(const nsh_comm *comm, const nsh__heap_block *block, int part, int parts);

/* [local] Drop this process's page-table entries for the block's writable view, if it is large and
 * has two views. The pages stay, and the next store through the view finds them again. */
void nsh__heap_trim(const nsh_comm *comm, const nsh__heap_block *block);

/* [local] Is memory for this many more bytes available on this node, as far as the system tells? */
int nsh__heap_check_available(const nsh_comm *comm, int64_t bytes);

/* [local] This rank does not use the block any more; accepts none. The last rank of the node to do
 * so returns its pages, if it is large; the block stays allocated. */
void nsh__heap_leave(nsh_comm *comm, const nsh__heap_block *block);

/* [by all ranks, at the same point] Free the block and set it to none; accepts none. */
void nsh__heap_free(nsh_comm *comm, nsh__heap_block *block);

/* [by all ranks, at the same point] Undo nsh__heap_alloc in a call that fails after the ranks have
 * agreed that their heaps are equal: touched pages return to the system. part and parts as in
 * clear. */
void nsh__heap_undo(nsh_comm *comm, nsh__heap_block *block, int part, int parts);

/* The read-only view of one window; it stays mapped for as long as it is held. */
typedef struct nsh__view nsh__view;

/* [local] Hold the view in which a block lies; NULL: no memory. If the only view is the mapping
 * that MPI has made (NSH_GUARD=0 and several ranks on the node), it is unmapped with the heap
 * nevertheless. */
nsh__view *nsh__heap_hold(const nsh_comm *comm, const nsh__heap_block *block);

/* [local] Release a view. The last release of a view whose heap is freed unmaps it. */
void nsh__view_release(nsh__view *view);

/* [local] A number that is equal on ranks whose heaps have the same blocks. */
uint64_t nsh__heap_history(const nsh_comm *comm);

/* Blocks of at least this many bytes are large. */
enum { NSH__HEAP_LARGE = 1 << 20 };

#endif
