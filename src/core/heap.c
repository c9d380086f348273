/* SPDX-License-Identifier: BSD-3-Clause */
/* heap.c -- the symmetric heap of a node, in shared memory.
 *
 * Invariant: a page is stored to only after nsh__heap_clear has touched it in a way that cannot
 * kill the process, and no block is cleared before every rank of the node has left the former owner
 * of its memory. */
#define _GNU_SOURCE
#include "core/heap.h"

#include "base/assert.h"
#include "base/blocks.h"
#include "base/fault.h"
#include "base/machine.h"
#include "base/math.h"
#include "core/agree.h"
#include "core/boot.h"
#include "core/views.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels return EINVAL */
#endif

enum {
    MAX_WINDOWS = 64,
    SMALL_ALIGN = 64,
    SMALL_WINDOW = 64 << 20, /* the first window if address space is limited */
    MPI_BYTES = 64 << 10,    /* more than MPI itself stores in a window that it allocates */
    COUNTER_BYTES = 64       /* after a large block: how many ranks have left it */
};

typedef struct window {
    MPI_Win win;   /* MPI_WIN_NULL: anonymous memory */
    char *mapping; /* then: what mmap returned */
    int64_t mapped;
    char *rw; /* page-aligned; blocks are aligned relative to it */
    char *ro;
    int64_t bytes;
    nsh__view *view; /* NULL: no hold was ever taken */
} window;

struct nsh__view {
    char *pages; /* after the window is freed: what to unmap; NULL: nothing */
    int64_t bytes;
    int64_t holds;
    bool orphan; /* the window is freed */
};

typedef struct nsh__heap {
    nsh__blocks *blocks;
    int64_t limit; /* limit of bytes in blocks */
    int64_t page;
    int64_t head; /* bytes at the beginning of window 0 that are not for blocks */
    int windows;
    window window[MAX_WINDOWS];
} nsh__heap;

int64_t nsh__heap_limit(const nsh_comm *comm, int64_t wish)
{
    int64_t limit = wish > 0 ? wish : INT64_MAX;

    limit = nsh__min(limit, nsh__machine_memory());
    if (comm->node_size > 1)
        limit = nsh__min(limit, nsh__machine_shm(false));
    return limit;
}

/* The largest window that this process may map twice and, if it is a file, extend to that
 * length. */
static int64_t window_limit(const nsh_comm *comm)
{
    int64_t space = nsh__machine_address_space();
    int64_t limit = space == INT64_MAX ? INT64_MAX : space / 20 * 9;

    if (comm->node_size > 1 && nsh__machine_file_size() != INT64_MAX)
        limit = nsh__min(limit, nsh__machine_file_size() / 10 * 9);
    return limit;
}

/* ---- pages ---- */

/* Touch and zero [p, p + bytes) with a system call that reports a failure where a store would kill
 * the process. */
static int touch_by_read(char *p, int64_t bytes)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), failed = fd < 0;

    while (!failed && bytes > 0) {
        ssize_t n = read(fd, p, (size_t)nsh__min(bytes, 1 << 30));

        if (n < 0 && errno == EINTR)
            continue;
        failed = n <= 0;
        p += n;
        bytes -= n;
    }
    if (fd >= 0)
        close(fd);
    return failed ? -1 : 0;
}

static int touch(char *p, int64_t bytes, int64_t page)
{
    char *first = (char *)((uintptr_t)p & ~(uintptr_t)(page - 1));
    int rc;

    if (nsh__fault(heap_populate))
        return nsh__fail(NSH_ERR_NOMEM, "first touch: injected failure");
    do
        rc = madvise(first, (size_t)nsh__round_up(p + bytes - first, page), MADV_POPULATE_WRITE);
    while (rc != 0 && (errno == EINTR || errno == EAGAIN));
    if (rc != 0 && errno == EINVAL)
        rc = touch_by_read(p, bytes);
    if (rc != 0)
        return nsh__fail(NSH_ERR_NOMEM, "no shared memory for %lld bytes: %s", (long long)bytes,
                         errno == EFAULT ? "/dev/shm is full" : strerror(errno));
    return NSH_SUCCESS;
}

/* Return the pages of a page-aligned range to the system; false if it cannot do that. */
static bool release_pages(char *p, int64_t bytes)
{
    return bytes == 0 || madvise(p, (size_t)bytes, MADV_REMOVE) == 0;
}

/* The largest window that MPI allocates at this moment. Open MPI refuses a window that is larger
 * than the free memory, minus a twentieth, and does so on one rank while the others wait for it. */
static int64_t free_limit(const nsh_comm *comm)
{
#ifdef OPEN_MPI
    int64_t left = comm->node_size > 1 ? nsh__machine_shm(true) : INT64_MAX;

    if (left == INT64_MAX)
        return left;
    return left > MPI_BYTES ? (left - MPI_BYTES) / 10 * 9 : 0;
#else
    (void)comm;
    return INT64_MAX;
#endif
}

/* ---- windows ---- */

/* [collective on the node] Allocate shared memory of this node, all of it at node rank 0. If sizes
 * are multiples of a page MPICH 4.0 searches for the same address in all processes, 170 ms per GiB,
 * so the size is not a multiple of a page. MPICH makes the file as long as the window by writing
 * its last byte, and does not notice if that fails: the window then lies permanently beyond the end
 * of the file. So the page of that byte, which costs nothing if the write succeeded, is touched
 * before the window is used. */
static int window_allocate(nsh_comm *comm, int64_t bytes, int64_t page, window *w)
{
    MPI_Aint mine = comm->node_rank == 0 ? (MPI_Aint)(bytes + page + 8) : 0, size;
    void *base = NULL;
    int rc, unit, *model, there = 0;

    rc = MPI_Win_allocate_shared(mine, 1, MPI_INFO_NULL, comm->node_mpi, &base, &w->win);
    if (rc != MPI_SUCCESS) {
        w->win = MPI_WIN_NULL;
        nsh__fail_mpi("MPI_Win_allocate_shared", rc);
        return nsh__fail(NSH_ERR_NOMEM, "no shared memory of %lld bytes on this node (%.120s)",
                         (long long)bytes, nsh_error_detail());
    }
    MPI_Win_set_errhandler(w->win, MPI_ERRORS_RETURN);
    rc = MPI_Win_shared_query(w->win, 0, &size, &unit, &base);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Win_shared_query", rc);
    MPI_Win_get_attr(w->win, MPI_WIN_MODEL, &model, &there);
    if (!there || *model != MPI_WIN_UNIFIED)
        return nsh__fail(NSH_ERR_UNSUPPORTED, "this MPI has no unified shared memory windows");
    w->rw = (char *)nsh__round_up((int64_t)(intptr_t)base, page);
    return mine > 0 ? touch((char *)base + mine - 1, 1, page) : NSH_SUCCESS;
}

/* On a node of one rank the window is private memory. */
static int window_map(int64_t bytes, window *w)
{
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return nsh__fail(NSH_ERR_NOMEM, "no address space of %lld bytes: %s", (long long)bytes,
                         strerror(errno));
    w->mapping = w->rw = p;
    w->mapped = bytes;
    return NSH_SUCCESS;
}

/* Map the same pages a second time: size 0 makes mremap keep the first mapping. */
static int window_view(const nsh_comm *comm, window *w)
{
    void *view;

    w->ro = w->rw;
    if (!comm->guard)
        return NSH_SUCCESS;
#if defined(__linux__)
    view = mremap(w->rw, 0, (size_t)w->bytes, MREMAP_MAYMOVE);
#else
    errno = ENOSYS;
    view = MAP_FAILED;
#endif
    if (view == MAP_FAILED || nsh__fault(window_view))
        return nsh__fail(errno == ENOMEM ? NSH_ERR_NOMEM : NSH_ERR_UNSUPPORTED,
                         "no read-only view of %lld bytes: %s (NSH_GUARD=0 does without)",
                         (long long)w->bytes, strerror(errno));
    w->ro = view;
    mprotect(w->ro, (size_t)w->bytes, PROT_READ);
    madvise(w->ro, (size_t)w->bytes, MADV_DONTDUMP);
    if (!nsh__views_add(w->ro, w->rw, w->bytes))
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the table of read-only views");
    return NSH_SUCCESS;
}

/* Do holds keep the window's view? Then the last one unmaps it. */
static bool held_on(window *w)
{
    bool guarded = w->ro != w->rw;

    if (w->view == NULL || w->view->holds == 0) {
        free(w->view);
        return false;
    }
    *w->view = (nsh__view){.pages = guarded ? w->ro : w->mapping,
                           .bytes = guarded ? w->bytes : w->mapped,
                           .holds = w->view->holds,
                           .orphan = true};
    return true;
}

static void heap_window_close(window *w)
{
    bool held = held_on(w);

    if (w->ro != NULL && w->ro != w->rw) {
        nsh__views_remove(w->ro);
        if (!held)
            munmap(w->ro, (size_t)w->bytes);
    }
    if (w->mapping != NULL && !(held && w->ro == w->rw))
        munmap(w->mapping, (size_t)w->mapped);
    if (w->win != MPI_WIN_NULL) {
        int initialised, finalised = 0;

        MPI_Initialized(&initialised);
        MPI_Finalized(&finalised);
        if (initialised && !finalised)
            MPI_Win_free(&w->win);
    }
    *w = (window){.win = MPI_WIN_NULL};
}

/* [collective on the node] Add window number heap->windows; the code is this rank's own. */
static int add_window(nsh_comm *comm, int64_t bytes)
{
    nsh__heap *heap = comm->heap;
    window *w = &heap->window[heap->windows];
    int rc;

    *w = (window){.win = MPI_WIN_NULL, .bytes = bytes};
    rc = comm->node_size > 1 ? window_allocate(comm, bytes, heap->page, w) : window_map(bytes, w);
    if (rc == NSH_SUCCESS && nsh__fault(window_alloc))
        rc = nsh__fail(NSH_ERR_NOMEM, "heap window: injected failure");
    if (rc == NSH_SUCCESS) {
        madvise(w->rw, (size_t)bytes, MADV_DONTDUMP);
        rc = window_view(comm, w);
    }
    heap->windows++;
    return rc;
}

static void drop_window(nsh__heap *heap)
{
    heap_window_close(&heap->window[--heap->windows]);
}

/* ---- create and destroy ---- */

/* [collective] Add the first window: as large as allowed if address space is unlimited, otherwise
 * small. If the system refuses it (strict overcommit), all ranks together request a smaller one. */
static int add_first_window(nsh_comm *comm, int64_t head)
{
    nsh__heap *heap = comm->heap;
    int64_t most = nsh__boot_least(comm, window_limit(comm)), bytes = heap->limit;
    nsh__detail kept;
    int rc;

    nsh__detail_keep(&kept);
    if (most != INT64_MAX)
        bytes = nsh__min(bytes, SMALL_WINDOW);
    bytes = nsh__min(bytes, INT64_MAX / 4) + head;
#ifdef OPEN_MPI
    most = nsh__min(most, nsh__boot_least(comm, free_limit(comm)));
#endif
    bytes = nsh__min(bytes, most) / heap->page * heap->page;
    if (bytes < head)
        return nsh__fail(NSH_ERR_NOMEM, "limits leave %lld bytes for a heap, %lld are needed",
                         (long long)bytes, (long long)head);
    for (;;) {
        rc = nsh__boot_agree(comm, add_window(comm, bytes));
        if (rc != NSH_ERR_NOMEM || bytes / 4 < head + SMALL_WINDOW)
            return rc;
        drop_window(heap);
        nsh__detail_restore(&kept);
        bytes = bytes / 4 / heap->page * heap->page;
    }
}

int nsh__heap_create(nsh_comm *comm, int64_t limit, int64_t head)
{
    nsh__heap *heap = calloc(1, sizeof *heap);
    int rc = NSH_SUCCESS;

    comm->heap = heap;
    if (heap != NULL)
        heap->blocks = nsh__blocks_create();
    if (heap == NULL || heap->blocks == NULL || nsh__fault(heap_alloc))
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the heap's metadata");
    if (rc == NSH_SUCCESS && comm->node_size > 1)
        rc = nsh__heap_window_capacity(comm);
    rc = nsh__boot_agree(comm, rc);
    if (rc != NSH_SUCCESS)
        return rc;
    heap->page = sysconf(_SC_PAGESIZE);
    heap->limit = limit;
    heap->head = nsh__round_up(head, heap->page);
    rc = add_first_window(comm, heap->head);
    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__blocks_add_region(heap->blocks, heap->window[0].bytes - heap->head) ||
        nsh__fault(heap_alloc))
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the heap's metadata");
    return nsh__boot_agree(comm, rc);
}

void nsh__heap_destroy(nsh_comm *comm)
{
    nsh__heap *heap = comm->heap;

    if (heap == NULL)
        return;
    while (heap->windows > 0)
        drop_window(heap);
    nsh__blocks_destroy(heap->blocks);
    free(heap);
    comm->heap = NULL;
}

char *nsh__heap_head(const nsh_comm *comm)
{
    return comm->heap->window[0].rw;
}

int nsh__heap_touch(const nsh_comm *comm, char *p, int64_t bytes)
{
    return touch(p, bytes, comm->heap->page);
}

int nsh__heap_window_capacity(const nsh_comm *comm)
{
    int64_t left = comm->host_ranks > 1 ? nsh__machine_shm(true) : INT64_MAX;

    if (left >= MPI_BYTES)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_NOMEM, "no shared memory for a window: /dev/shm has %lld bytes left",
                     (long long)left);
}

/* ---- blocks ---- */

static int64_t block_bytes(const nsh__heap *heap, int64_t bytes)
{
    return bytes >= NSH__HEAP_LARGE ? nsh__round_up(bytes + COUNTER_BYTES, heap->page) : bytes;
}

int nsh__heap_alloc(nsh_comm *comm, int64_t bytes, nsh__heap_block *out)
{
    nsh__heap *heap = comm->heap;
    nsh__heap_block e = {.bytes = bytes, .large = bytes >= NSH__HEAP_LARGE};
    int64_t live = nsh__blocks_live_bytes(heap->blocks), offset;
    const window *w;

    if (bytes > heap->limit - live)
        return nsh__fail(NSH_ERR_NOMEM,
                         "%lld bytes do not fit into a heap of %lld with %lld in use",
                         (long long)bytes, (long long)heap->limit, (long long)live);
    if (nsh__fault(heap_block))
        return nsh__fail(NSH_ERR_NOMEM, "heap block: injected failure");
    switch (nsh__blocks_alloc(heap->blocks, block_bytes(heap, bytes),
                              e.large ? heap->page : SMALL_ALIGN, &e.block)) {
    case NSH__BLOCKS_OK:
        break;
    case NSH__BLOCKS_FULL:
        return NSH_ERR_BUSY;
    default:
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the heap's metadata");
    }
    w = &heap->window[nsh__block_region(e.block)];
    offset = nsh__block_offset(e.block) + (w == heap->window ? heap->head : 0);
    e.rw = w->rw + offset;
    e.ro = w->ro + offset;
    nsh__assert(offset >= 0 && offset + bytes <= w->bytes,
                "a block of %" PRId64 " bytes at %" PRId64 " of a window of %" PRId64, bytes,
                offset, (int64_t)w->bytes);
    nsh__assert(!e.large || (uintptr_t)e.rw % (uintptr_t)heap->page == 0,
                "a large block at %p, pages of %" PRId64, (void *)e.rw, (int64_t)heap->page);
    *out = e;
    return NSH_SUCCESS;
}

int nsh__heap_grow(nsh_comm *comm, int64_t bytes)
{
    nsh__heap *heap = comm->heap;
    int64_t wish = nsh__round_up(block_bytes(heap, bytes), heap->page);
    nsh__agreement agreement = {.call = NSH__CALL_HEAP,
                                .range = true,
                                .low = nsh__min(window_limit(comm), free_limit(comm)),
                                .signature = (uint64_t)wish};
    bool added;
    int rc;

    if (heap->windows == MAX_WINDOWS)
        agreement.code = nsh__fail(NSH_ERR_NOMEM, "the heap has %d windows already", MAX_WINDOWS);
    else if (comm->node_size > 1)
        agreement.code = nsh__heap_window_capacity(comm);
    nsh__agreement_enter(comm, &agreement);
    rc = nsh__agreement_leave(comm, &agreement);
    if (rc != NSH_SUCCESS)
        return rc;
    if (wish > agreement.low)
        return nsh__fail(NSH_ERR_NOMEM, "limits leave %lld bytes for another heap window, not %lld",
                         (long long)agreement.low, (long long)wish);
    if (wish < 2 * heap->window[heap->windows - 1].bytes)
        wish = nsh__min(2 * heap->window[heap->windows - 1].bytes, agreement.low);
    wish = wish / heap->page * heap->page;
    rc = add_window(comm, wish);
    if (rc == NSH_SUCCESS && !nsh__blocks_add_region(heap->blocks, wish))
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the heap's metadata");
    added = rc == NSH_SUCCESS;
    rc = nsh__agree(comm, NSH__CALL_HEAP, rc, (uint64_t)wish);
    if (rc != NSH_SUCCESS && added)
        nsh__blocks_drop_region(heap->blocks);
    if (rc != NSH_SUCCESS)
        drop_window(heap);
    return rc;
}

/* The page-aligned part of a large block that has this number. */
static char *part_of_block(const nsh__heap *heap, const nsh__heap_block *block, int part, int parts,
                           int64_t *bytes)
{
    int64_t pages = block_bytes(heap, block->bytes) / heap->page;
    int64_t begin = pages * part / parts, end = pages * (part + 1) / parts;

    *bytes = (end - begin) * heap->page;
    return block->rw + begin * heap->page;
}

/* Pages count as resident for each view that has page-table entries for them, so entries that are
 * not needed soon would make a process look larger than it is. Only shared mappings have two views,
 * and their pages outlive the entries. */
static void drop_entries(const nsh__heap_block *block, char *p, int64_t bytes)
{
    if (block->rw != block->ro)
        madvise(p, (size_t)bytes, MADV_DONTNEED);
}

void nsh__heap_trim(const nsh_comm *comm, const nsh__heap_block *block)
{
    if (block->block != NULL && block->large)
        drop_entries(block, block->rw, block_bytes(comm->heap, block->bytes));
}

int nsh__heap_clear(const nsh_comm *comm, const nsh__heap_block *block, int part, int parts)
{
    nsh__heap *heap = comm->heap;
    int64_t bytes;
    bool zero;
    char *p;
    int rc;

    if (!block->large) {
        if (part != 0)
            return NSH_SUCCESS;
        rc = touch(block->rw, block->bytes, heap->page);
        if (rc == NSH_SUCCESS)
            memset(block->rw, 0, (size_t)block->bytes);
        return rc;
    }
    p = part_of_block(heap, block, part, parts, &bytes);
    if (bytes == 0)
        return NSH_SUCCESS;
    /* Small blocks may have left bytes here; new pages are zero. */
    zero = release_pages(p, bytes);
    rc = touch(p, bytes, heap->page);
    if (rc == NSH_SUCCESS && !zero)
        memset(p, 0, (size_t)bytes);
    drop_entries(block, p, bytes);
    return rc;
}

int nsh__heap_check_available(const nsh_comm *comm, int64_t bytes)
{
    int64_t left;

    (void)comm;
    if (bytes < 16 * NSH__HEAP_LARGE) /* too small to read /proc for it */
        return NSH_SUCCESS;
    left = nsh__machine_memory_left();
    if (bytes > left)
        return nsh__fail(NSH_ERR_NOMEM, "an array of %lld bytes, but the node has %lld left",
                         (long long)bytes, (long long)left);
    return NSH_SUCCESS;
}

void nsh__heap_leave(nsh_comm *comm, const nsh__heap_block *block)
{
    int64_t bytes = block_bytes(comm->heap, block->bytes);
    atomic_int *left;

    if (block->block == NULL || !block->large)
        return;
    left = (atomic_int *)(void *)(block->rw + bytes - COUNTER_BYTES);
    /* acq_rel: the last rank comes after all reads of the others */
    if (atomic_fetch_add_explicit(left, 1, memory_order_acq_rel) + 1 == comm->node_size)
        release_pages(block->rw, bytes);
}

void nsh__heap_free(nsh_comm *comm, nsh__heap_block *block)
{
    if (block->block != NULL)
        nsh__blocks_free(comm->heap->blocks, block->block);
    *block = (nsh__heap_block){.block = NULL};
}

/* No other rank of the node reads these pages. Before the ranks touched them they have agreed that
 * their heaps have the same blocks, so the block was free on all ranks when it was allocated. And
 * it is free on a rank only after all ranks have left its former owner (object.c). */
void nsh__heap_undo(nsh_comm *comm, nsh__heap_block *block, int part, int parts)
{
    if (block->block != NULL && block->large) {
        int64_t bytes;
        char *p = part_of_block(comm->heap, block, part, parts, &bytes);

        release_pages(p, bytes);
    }
    nsh__heap_free(comm, block);
}

nsh__view *nsh__heap_hold(const nsh_comm *comm, const nsh__heap_block *block)
{
    window *w = &comm->heap->window[nsh__block_region(block->block)];

    if (w->view == NULL)
        w->view = calloc(1, sizeof *w->view);
    if (w->view != NULL)
        w->view->holds++;
    return w->view;
}

void nsh__view_release(nsh__view *view)
{
    view->holds--;
    if (!view->orphan || view->holds > 0)
        return;
    if (view->pages != NULL)
        munmap(view->pages, (size_t)view->bytes);
    free(view);
}

uint64_t nsh__heap_history(const nsh_comm *comm)
{
    return nsh__blocks_history(comm->heap->blocks);
}
