/* SPDX-License-Identifier: BSD-3-Clause */
/* words.c -- the memory of words: windows, and the allocator metadata of every home.
 *
 * Invariant: the metadata of all homes is equal on every rank, and a word that is not in a live
 * block is zero. */
#define _GNU_SOURCE
#include "core/words.h"

#include "base/blocks.h"
#include "base/fault.h"
#include "base/type.h"
#include "core/agree.h"
#include "core/heap.h"
#include "core/helper.h"
#include "core/rma_private.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WINDOW = 1 << 20, /* bytes at each leader; each next window has twice as many */
    WORD = (int)sizeof(uint64_t)
};

/* ---- windows ---- */

static nsh__rma *rma_create(const nsh_comm *comm)
{
    nsh__rma *rma = calloc(1, sizeof *rma + (size_t)comm->node_count * sizeof rma->home[0]);

    if (rma == NULL)
        return NULL;
    rma->requests[0] = rma->requests[1] = MPI_REQUEST_NULL;
    pthread_mutex_init(&rma->lock, NULL);
    if (nsh__comm_leads(comm)) {
        rma->answers = calloc((size_t)comm->size, sizeof *rma->answers);
        if (rma->answers == NULL) {
            pthread_mutex_destroy(&rma->lock);
            free(rma);
            return NULL;
        }
    }
    return rma;
}

static int word_window_open(nsh_comm *comm, nsh__word_window *w)
{
    MPI_Aint bytes = nsh__comm_leads(comm) ? (MPI_Aint)w->bytes : 0;
    void *base = NULL;
    int rc;

    if (comm->words_by_message) {
        w->words = bytes > 0 ? calloc(1, (size_t)bytes) : NULL;
        return w->words != NULL || bytes == 0
                   ? NSH_SUCCESS
                   : nsh__fail(NSH_ERR_NOMEM, "no memory for %lld bytes of words",
                               (long long)bytes);
    }
    rc = MPI_Win_allocate(bytes, WORD, MPI_INFO_NULL, comm->mpi, &base, &w->win);
    if (rc != MPI_SUCCESS) {
        w->win = MPI_WIN_NULL;
        return nsh__fail_mpi("MPI_Win_allocate", rc);
    }
    MPI_Win_set_errhandler(w->win, MPI_ERRORS_RETURN);
    w->words = base;
    rc = MPI_Win_lock_all(MPI_MODE_NOCHECK, w->win);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Win_lock_all", rc);
    if (bytes == 0)
        return NSH_SUCCESS;
    rc = nsh__heap_touch(comm, base, bytes); /* it may lie in /dev/shm, which may be full */
    if (rc == NSH_SUCCESS)
        memset(base, 0, (size_t)bytes);
    MPI_Win_sync(w->win); /* publish the zeroes before the agreement lets other ranks use the
                             window */
    return rc;
}

static void word_window_close(const nsh_comm *comm, nsh__word_window *w)
{
    if (comm->words_by_message)
        free(w->words);
    if (w->win != MPI_WIN_NULL && nsh__mpi_alive()) {
        MPI_Win_unlock_all(w->win);
        MPI_Win_free(&w->win);
    }
    *w = (nsh__word_window){.win = MPI_WIN_NULL};
}

/* Bytes for n words, in whole units of the allocator. */
static int64_t window_bytes(const nsh__rma *rma, int64_t n)
{
    int64_t bytes = rma->windows > 0 ? 2 * rma->window[rma->windows - 1].bytes : FIRST_WINDOW;

    while (bytes < n * WORD)
        bytes *= 2;
    return bytes;
}

/* Add the region to the metadata of all homes; if that fails, none keeps it. */
static int add_regions(nsh_comm *comm, int64_t bytes)
{
    nsh__rma *rma = comm->rma;

    for (int h = 0; h < comm->node_count; h++) {
        if (rma->home[h] == NULL || nsh__blocks_add_region(rma->home[h], bytes))
            continue;
        while (h-- > 0)
            if (rma->home[h] != NULL)
                nsh__blocks_drop_region(rma->home[h]);
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    }
    return NSH_SUCCESS;
}

static void drop_regions(nsh_comm *comm)
{
    for (int h = 0; h < comm->node_count; h++)
        if (comm->rma->home[h] != NULL)
            nsh__blocks_drop_region(comm->rma->home[h]);
}

int nsh__words_grow(nsh_comm *comm, int64_t n)
{
    nsh__rma *rma = comm->rma;
    nsh__word_window *w = &rma->window[rma->windows];
    bool added = false;
    int rc;

    if (rma->windows == NSH__WORD_WINDOWS)
        return nsh__fail(NSH_ERR_NOMEM, "no more than %d windows of words", (int)NSH__WORD_WINDOWS);
    rc = comm->words_by_message ? NSH_SUCCESS : nsh__heap_window_capacity(comm);
    rc = nsh__agree(comm, NSH__CALL_WORDS, rc, (uint64_t)n);
    if (rc != NSH_SUCCESS)
        return rc;
    *w = (nsh__word_window){.win = MPI_WIN_NULL, .bytes = window_bytes(rma, n)};
    rc = word_window_open(comm, w);
    if (nsh__fault(words_window))
        rc = nsh__fail(NSH_ERR_NOMEM, "window of words: injected failure");
    if (rc == NSH_SUCCESS)
        added = (rc = add_regions(comm, w->bytes)) == NSH_SUCCESS;
    rc = nsh__agree(comm, NSH__CALL_WORDS, rc, (uint64_t)w->bytes);
    if (rc != NSH_SUCCESS) {
        if (added)
            drop_regions(comm);
        word_window_close(comm, w);
        return rc;
    }
    rma->windows++;
    return NSH_SUCCESS;
}

void nsh__words_leave(nsh_comm *comm)
{
    if (comm->rma != NULL)
        nsh__homes_remove(&comm->rma->home_here);
}

void nsh__words_destroy(nsh_comm *comm)
{
    nsh__rma *rma = comm->rma;

    if (rma == NULL)
        return;
    nsh__homes_remove(&rma->home_here);
    while (rma->windows > 0)
        word_window_close(comm, &rma->window[--rma->windows]);
    if (nsh__mpi_alive())
        nsh__words_drop(comm);
    for (int h = 0; h < comm->node_count; h++)
        if (rma->home[h] != NULL)
            nsh__blocks_destroy(rma->home[h]);
    pthread_mutex_destroy(&rma->lock);
    free(rma->heads);
    free(rma->answers);
    free(rma);
    comm->rma = NULL;
}

/* ---- alloc and free ---- */

/* Create the metadata of one home, with all windows that exist. */
static struct nsh__blocks *open_metadata(nsh__rma *rma)
{
    struct nsh__blocks *metadata = nsh__blocks_create();

    for (int i = 0; metadata != NULL && i < rma->windows; i++)
        if (!nsh__blocks_add_region(metadata, rma->window[i].bytes)) {
            nsh__blocks_destroy(metadata);
            metadata = NULL;
        }
    return metadata;
}

/* Watch the first word of an object that is homed here. */
static int watch_word(nsh__rma *rma, const _Atomic uint64_t *head)
{
    int rc = NSH_SUCCESS;

    pthread_mutex_lock(&rma->lock);
    if (rma->nheads == rma->capacity) {
        int64_t capacity = rma->capacity > 0 ? 2 * rma->capacity : 16;
        void *heads = realloc(rma->heads, (size_t)capacity * sizeof *rma->heads);

        if (heads == NULL) {
            rc = NSH_ERR_NOMEM;
        } else {
            rma->heads = heads;
            rma->capacity = capacity;
        }
    }
    if (rc == NSH_SUCCESS)
        rma->heads[rma->nheads++] = head;
    pthread_mutex_unlock(&rma->lock);
    return rc;
}

static void unwatch_word(nsh__rma *rma, const _Atomic uint64_t *head)
{
    pthread_mutex_lock(&rma->lock);
    for (int64_t i = rma->nheads - 1; i >= 0; i--) /* most objects have a short life */
        if (rma->heads[i] == head) {
            rma->heads[i] = rma->heads[--rma->nheads];
            break;
        }
    pthread_mutex_unlock(&rma->lock);
}

static _Atomic uint64_t *word_here(const nsh__rma *rma, const nsh__words *words)
{
    return rma->window[words->window].words + words->first;
}

static int metadata_result(nsh__blocks_result result)
{
    if (result == NSH__BLOCKS_FULL)
        return NSH_ERR_BUSY;
    return result == NSH__BLOCKS_OK
               ? NSH_SUCCESS
               : nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
}

/* [by the home's leader] What else is to be done for new words. */
static int receive_words(nsh_comm *comm, const nsh__words *words)
{
    int rc = NSH_SUCCESS;

    if (words->home != comm->node_index || !nsh__comm_leads(comm))
        return NSH_SUCCESS;
    if (comm->rma->home_here.serve == NULL) {
        comm->rma->home_here = (nsh__home){nsh__words_serve, comm, NULL};
        nsh__homes_add(&comm->rma->home_here);
    }
    if (comm->helper == NULL && comm->progress == NSH_PROGRESS_AUTO && comm->threads)
        rc = nsh__helper_start(comm);
    if (rc == NSH_SUCCESS && watch_word(comm->rma, word_here(comm->rma, words)) != NSH_SUCCESS)
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    if (rc == NSH_SUCCESS)
        atomic_store_explicit(&comm->homes_words, true, memory_order_release);
    return rc;
}

/* The history of a home's blocks counts with this factor. Metadata that was created, or has another
 * window, does not count: a rank creates it when it first needs it, which may have failed on
 * another rank. */
static uint64_t home_factor(int home)
{
    return 2 * (uint64_t)home + 1;
}

static nsh__blocks_result alloc_block(nsh__rma *rma, int home, int64_t bytes,
                                      struct nsh__block **block)
{
    uint64_t before = nsh__blocks_history(rma->home[home]);
    nsh__blocks_result result = nsh__blocks_alloc(rma->home[home], bytes, NSH__BLOCKS_UNIT, block);

    rma->history += home_factor(home) * (nsh__blocks_history(rma->home[home]) - before);
    return result;
}

static void free_block(nsh__rma *rma, int home, struct nsh__block *block)
{
    uint64_t before = nsh__blocks_history(rma->home[home]);

    nsh__blocks_free(rma->home[home], block);
    rma->history += home_factor(home) * (nsh__blocks_history(rma->home[home]) - before);
}

uint64_t nsh__words_history(const nsh_comm *comm)
{
    return comm->rma != NULL ? comm->rma->history : 0;
}

/* Called once for a communicator, with its first object that needs words. */
static void log_helpers(const nsh_comm *comm)
{
    if (comm->rank != 0 || comm->helped)
        return;
    nsh__log("no helper threads (%s): a leader that computes answers for its words only in MPI or "
             "in nsh_comm_progress; until then other nodes wait in lock, trylock and unlock, and "
             "timedlock gives up",
             comm->progress == NSH_PROGRESS_NONE ? "progress is NONE"
                                                 : "not all ranks have MPI_THREAD_MULTIPLE");
}

int nsh__words_alloc(nsh_comm *comm, int home, int64_t n, nsh__words *out)
{
    nsh__rma *rma = comm->rma;
    nsh__words words = {.home = home};
    int rc;

    if (nsh__fault(words_alloc))
        return nsh__fail(NSH_ERR_NOMEM, "words: injected failure");
    if (rma == NULL) {
        rma = comm->rma = rma_create(comm);
        log_helpers(comm);
    }
    if (rma != NULL && rma->home[home] == NULL)
        rma->home[home] = open_metadata(rma);
    if (rma == NULL || rma->home[home] == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the metadata of words");
    rc = metadata_result(alloc_block(rma, home, n * WORD, &words.block));
    if (rc != NSH_SUCCESS)
        return rc;
    words.window = nsh__block_region(words.block);
    words.first = nsh__block_offset(words.block) / WORD;
    rc = receive_words(comm, &words);
    if (rc != NSH_SUCCESS) {
        free_block(rma, home, words.block);
        return rc;
    }
    *out = words;
    return NSH_SUCCESS;
}

void nsh__words_free(nsh_comm *comm, nsh__words *words)
{
    if (words->block == NULL)
        return;
    if (words->home == comm->node_index && nsh__comm_leads(comm))
        unwatch_word(comm->rma, word_here(comm->rma, words));
    free_block(comm->rma, words->home, words->block);
    *words = (nsh__words){.block = NULL};
}
