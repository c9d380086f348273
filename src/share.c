/* SPDX-License-Identifier: BSD-3-Clause */
/* share.c -- what a new object shares: agreed memory on every node, agreed words at one home.
 *
 * Invariant: every rank takes the same blocks in the same order, whatever fails where. */
#include "share.h"

#include <nodeshare/mutex.h>

#include "agree.h"
#include "hash.h"
#include "replicate.h"

#include <string.h>

/* The leader's work between the last arrival and the release: every rank has left whatever was in
 * this block before. */
static int prepare_node(nsh_comm *comm, const nsh__extent *extent, int64_t bytes)
{
    int rc = nsh__transfer_touch(comm);

    if (rc != NSH_SUCCESS || bytes == 0)
        return rc;
    if (bytes >= NSH__HEAP_LARGE)
        return nsh__heap_afford(comm, bytes);
    return extent->block != NULL ? nsh__heap_clear(comm, extent, 0, 1) : NSH_SUCCESS;
}

/* Room that is not there yet is for later: it takes all ranks. */
static int take(nsh_comm *comm, int64_t bytes, int64_t nwords, int home, nsh__share *share)
{
    int rc = NSH_SUCCESS;

    if (bytes > 0 && share->extent.block == NULL)
        rc = nsh__heap_take(comm, bytes, &share->extent);
    if (rc == NSH_ERR_BUSY)
        rc = NSH_SUCCESS;
    if (rc == NSH_SUCCESS && nwords > 0 && share->words.block == NULL)
        rc = nsh__words_take(comm, home, nwords, &share->words);
    return rc == NSH_ERR_BUSY ? NSH_SUCCESS : rc;
}

/* What is too much for the one passage: new windows, and pages touched by all ranks together. */
static int finish(nsh_comm *comm, nsh__call call, int64_t bytes, int64_t nwords, int home,
                  nsh__share *share)
{
    bool no_room = bytes > 0 && share->extent.block == NULL;
    bool no_words = nwords > 0 && share->words.block == NULL;
    int rc = NSH_SUCCESS;

    if (no_room)
        rc = nsh__heap_grow(comm, bytes);
    if (rc == NSH_SUCCESS && no_words)
        rc = nsh__words_grow(comm, nwords);
    if (rc != NSH_SUCCESS)
        return rc; /* agreed */
    rc = take(comm, bytes, nwords, home, share);
    if (rc == NSH_SUCCESS &&
        ((bytes > 0 && share->extent.block == NULL) || (nwords > 0 && share->words.block == NULL)))
        rc = nsh__fail(NSH_ERR_INTERNAL, "%s: a new window has no room", nsh__call_name(call));
    if (rc == NSH_SUCCESS && (no_room || share->extent.large))
        rc = nsh__heap_clear(comm, &share->extent, comm->node_rank, comm->node_size);
    return nsh__agree(comm, call, rc, comm->created);
}

int nsh__share_create(nsh_comm *comm, nsh__call call, int code, uint64_t mark, int64_t bytes,
                      int64_t nwords, int home, nsh__share *out)
{
    nsh__vote vote = {.call = call, .code = code, .mark = mark};
    int rc;

    *out = (nsh__share){.words = {.block = NULL}};
    if (code == NSH_SUCCESS)
        vote.code = take(comm, bytes, nwords, home, out);
    if (nsh__vote_enter(comm, &vote) && vote.code == NSH_SUCCESS)
        vote.code = prepare_node(comm, &out->extent, bytes);
    rc = nsh__vote_leave(comm, &vote);
    if (rc == NSH_SUCCESS && ((bytes > 0 && (out->extent.large || out->extent.block == NULL)) ||
                              (nwords > 0 && out->words.block == NULL)))
        rc = finish(comm, call, bytes, nwords, home, out);
    if (rc != NSH_SUCCESS) {
        nsh__heap_undo(comm, &out->extent, comm->node_rank, comm->node_size);
        nsh__words_give(comm, &out->words);
    }
    return rc;
}

int nsh__share_home(const nsh_comm *comm, nsh__call call, int home, int *node)
{
    if (home != NSH_HOME_ANY && (home < 0 || home >= comm->size))
        return nsh__fail(NSH_ERR_ARG, "%s: home %d is not a rank of %d (rank %d)",
                         nsh__call_name(call), home, comm->size, comm->rank);
    *node = home == NSH_HOME_ANY ? (int)(comm->created % (uint64_t)comm->node_count)
                                 : comm->node_of[home];
    return NSH_SUCCESS;
}

uint64_t nsh__share_mark(const nsh_comm *comm, int home, uint64_t value, const char *name)
{
    uint64_t mark = nsh__mix(nsh__mix(comm->created, (uint64_t)home), value);

    return nsh__mix_bytes(mark, name, name != NULL ? strlen(name) + 1 : 0);
}

void nsh__share_free(nsh_comm *comm, nsh__share *share)
{
    nsh__heap_give(comm, &share->extent);
    nsh__words_give(comm, &share->words);
}
