/* SPDX-License-Identifier: BSD-3-Clause */
/* rma_private.h -- the words of a communicator, for rma.c (operations) and words.c (memory). */
#ifndef NSH_CORE_RMA_PRIVATE_H
#define NSH_CORE_RMA_PRIVATE_H

#include <pthread.h>

#include "core/homes.h"
#include "core/rma.h"

struct nsh__blocks;

enum { NSH__WORD_WINDOWS = 32 };

/* A request to a leader, as a message; the answer is the old value. */
typedef struct nsh__word_request {
    int32_t op, window;
    int64_t index;
    uint64_t value, expected;
} nsh__word_request;

typedef struct nsh__word_window {
    MPI_Win win;             /* backend window, else MPI_WIN_NULL */
    _Atomic uint64_t *words; /* on a leader: its part */
    int64_t bytes;
} nsh__word_window;

typedef struct nsh__rma {
    int windows;
    uint64_t history; /* see nsh__words_history */
    nsh__word_window window[NSH__WORD_WINDOWS];
    /* This rank's only operation under way. It is a member because it outlives a call that gives it
     * up, and a broken communicator leaves it to MPI. */
    nsh__word_request ask;
    int ask_home; /* node */
    uint64_t answer;
    MPI_Request requests[2]; /* the answer, and the request if that is a message */
    nsh__late late;          /* resume is NULL unless the operation was given up */
    /* the rest is used on a leader */
    nsh__home home_here;            /* every wait of this process serves the words through it */
    uint64_t *answers;              /* one for each rank, which has at most one request under way */
    _Atomic int64_t changed;        /* when a word homed here was last seen to change */
    pthread_mutex_t lock;           /* protects the following fields from the helper */
    const _Atomic uint64_t **heads; /* the first word of every object that is homed here */
    int64_t nheads, capacity;
    uint64_t sum;               /* of their values when they were last read */
    int64_t looked;             /* when they were last read */
    struct nsh__blocks *home[]; /* node -> its allocator metadata; NULL: nothing was homed there
                                   yet */
} nsh__rma;

/* [local] Forget the operation under way: its window is closed, and no call needs the answer. */
void nsh__words_drop(nsh_comm *comm);

#endif
