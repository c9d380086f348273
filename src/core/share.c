/* SPDX-License-Identifier: BSD-3-Clause */
/* share.c -- what a new object shares: agreed memory on every node, agreed words at one home.
 *
 * Invariant: every rank takes the same blocks in the same order, whatever fails where. */
#include "core/share.h"

#include <nodeshare/mutex.h>

#include "core/agree.h"
#include "base/hash.h"
#include "core/names.h"
#include "core/replicate.h"

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

/* Memory or words wait for a new window, which takes all ranks. Equal on all ranks behind a vote.
 */
static bool lacks_room(const nsh__need *need, const nsh__share *share)
{
    return (need->bytes > 0 && share->extent.block == NULL) ||
           (need->nwords > 0 && share->words.block == NULL);
}

/* What there is room for. */
static int take(nsh_comm *comm, const nsh__need *need, nsh__share *share)
{
    int rc = NSH_SUCCESS;

    if (need->bytes > 0 && share->extent.block == NULL)
        rc = nsh__heap_take(comm, need->bytes, &share->extent);
    if (rc == NSH_ERR_BUSY)
        rc = NSH_SUCCESS;
    if (rc == NSH_SUCCESS && need->nwords > 0 && share->words.block == NULL)
        rc = nsh__words_take(comm, need->home, need->nwords, &share->words);
    return rc == NSH_ERR_BUSY ? NSH_SUCCESS : rc;
}

/* Undo take and the registration of the name. No page of the extent was touched, so none is
 * released: that would be wrong if ranks had found in this vote that their heaps differ, because
 * then the same pages might belong to an array that another rank reads. */
static void cancel(nsh_comm *comm, nsh__object *object, nsh__share *share)
{
    nsh__heap_give(comm, &share->extent);
    nsh__words_give(comm, &share->words);
    if (object != NULL)
        nsh__name_unregister(comm, object);
}

/* The heap and the words know bytes and limits; here is known who has asked for them. */
static int word_need(const nsh_comm *comm, nsh__call call, const nsh__need *need,
                     const nsh__object *object, int rc)
{
    const char *name = object != NULL ? object->name : NULL;

    if (rc != NSH_ERR_NOMEM)
        return rc;
    return nsh__fail(rc, "%s: %s%s%.80s%s%lld bytes on each node: %.130s (rank %d)",
                     nsh__call_name(call), object != NULL ? object->kind->name : "work",
                     name != NULL ? " \"" : "", name != NULL ? name : "",
                     name != NULL ? "\", " : ", ", (long long)need->bytes, nsh_error_detail(),
                     comm->rank);
}

/* One vote; on success *share is what there was room for. The mark has what is live before the
 * vote: ranks that have taken part in the same calls have the same, and only then does a block that
 * is free here belong to nobody on another rank. */
static int attempt(nsh_comm *comm, nsh__vote *vote, const nsh__need *need, nsh__object *object,
                   nsh__share *share)
{
    int rc;

    vote->mark = nsh__mix(nsh__mix(vote->mark, nsh__heap_history(comm)), nsh__words_history(comm));
    vote->low = vote->high = nsh__objects_released(comm);
    if (vote->code == NSH_SUCCESS && object != NULL) {
        vote->code = nsh__object_reserve(comm, vote->call);
        if (vote->code == NSH_SUCCESS)
            vote->code = nsh__name_register(comm, vote->call, object);
    }
    if (vote->code == NSH_SUCCESS)
        vote->code = word_need(comm, vote->call, need, object, take(comm, need, share));
    if (nsh__vote_enter(comm, vote) && vote->code == NSH_SUCCESS)
        vote->code = word_need(comm, vote->call, need, object,
                               prepare_node(comm, &share->extent, need->bytes));
    rc = nsh__vote_leave(comm, vote);
    if (rc != NSH_SUCCESS)
        cancel(comm, object, share);
    return rc;
}

/* What is too much for the one passage: new windows, and pages touched by all ranks together. */
static int finish(nsh_comm *comm, nsh__call call, const nsh__need *need, bool reclaimed,
                  const nsh__object *object, nsh__share *share)
{
    bool fresh = need->bytes > 0 && share->extent.block == NULL, no_room, no_words;
    int rc = NSH_SUCCESS;

    if (lacks_room(need, share) && reclaimed) {
        rc = word_need(comm, call, need, object, take(comm, need, share));
        rc = nsh__agree(comm, call, rc, comm->created);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    no_room = need->bytes > 0 && share->extent.block == NULL;
    no_words = need->nwords > 0 && share->words.block == NULL;
    if (no_room)
        rc = nsh__heap_grow(comm, need->bytes);
    if (rc == NSH_SUCCESS && no_words)
        rc = nsh__words_grow(comm, need->nwords);
    if (rc != NSH_SUCCESS)
        return word_need(comm, call, need, object, rc); /* agreed */
    rc = word_need(comm, call, need, object, take(comm, need, share));
    if (rc == NSH_SUCCESS && lacks_room(need, share))
        rc = nsh__fail(NSH_ERR_INTERNAL, "%s: a new window has no room", nsh__call_name(call));
    if (rc == NSH_SUCCESS && (fresh || share->extent.large))
        rc = word_need(comm, call, need, object,
                       nsh__heap_clear(comm, &share->extent, comm->node_rank, comm->node_size));
    return nsh__agree(comm, call, rc, comm->created);
}

/* Attempts until one succeeds, or fails though all that could be was reclaimed: two at most. */
static int attempt_twice(nsh_comm *comm, nsh__vote *vote, const nsh__need *need,
                         nsh__object *object, nsh__share *share, bool *reclaimed)
{
    const nsh__vote first = *vote;
    nsh__detail detail;
    int64_t n = 0;
    int rc;

    nsh__detail_keep(&detail);
    for (int tries = 0; tries < 2; tries++) {
        bool room;
        int reclaim_rc;

        *vote = first;
        rc = attempt(comm, vote, need, object, share);
        if (rc != NSH_SUCCESS && rc != NSH_ERR_NOMEM && rc != NSH_ERR_EXISTS)
            return rc;
        room = rc == NSH_SUCCESS && !lacks_room(need, share);
        reclaim_rc = nsh__objects_reclaim(comm, vote->low, vote->high, !room, &n);
        if (reclaim_rc != NSH_SUCCESS) {
            if (rc == NSH_SUCCESS)
                cancel(comm, object, share);
            return reclaim_rc;
        }
        if (rc == NSH_SUCCESS || n == 0)
            break;
    }
    *reclaimed = n > 0;
    if (rc == NSH_SUCCESS)
        nsh__detail_restore(&detail); /* a first attempt that failed is nobody's business */
    return rc;
}

int nsh__share_create(nsh_comm *comm, nsh__call call, int code, uint64_t mark,
                      const nsh__need *need, nsh__object *object, nsh__share *out)
{
    nsh__vote vote = {.call = call, .code = code, .mark = mark, .range = true};
    bool reclaimed = false;
    int rc;

    *out = (nsh__share){.words = {.block = NULL}};
    rc = nsh__comm_present(comm, nsh__call_name(call));
    if (rc == NSH_SUCCESS)
        rc = attempt_twice(comm, &vote, need, object, out, &reclaimed);
    if (rc != NSH_SUCCESS)
        return rc;
    if (out->extent.large || lacks_room(need, out)) {
        rc = finish(comm, call, need, reclaimed, object, out);
        if (rc != NSH_SUCCESS) {
            nsh__heap_undo(comm, &out->extent, comm->node_rank, comm->node_size);
            cancel(comm, object, out);
            return rc;
        }
    }
    if (object != NULL) {
        object->share = *out;
        nsh__object_link(comm, object);
    }
    return NSH_SUCCESS;
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
    nsh__heap_leave(comm, &share->extent);
    nsh__heap_give(comm, &share->extent);
    nsh__words_give(comm, &share->words);
}
