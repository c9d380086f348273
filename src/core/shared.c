/* SPDX-License-Identifier: BSD-3-Clause */
/* shared.c -- the shared memory and words of a new object: agreed memory on every node, agreed
 * words at one home.
 *
 * Invariant: every rank allocates the same blocks in the same order, whatever fails on some
 * ranks. */
#include "core/shared.h"

#include <nodeshare/types.h>

#include "base/hash.h"
#include "core/agree.h"
#include "core/enter.h"
#include "core/names.h"
#include "core/replicate.h"
#include "core/words.h"

#include <string.h>

/* [by the leader, between the last arrival and the release] Every rank has left the former owner of
 * this block. */
static int prepare_node(nsh_comm *comm, const nsh__heap_block *block, int64_t bytes)
{
    int rc = nsh__transfer_touch(comm);

    if (rc != NSH_SUCCESS || bytes == 0)
        return rc;
    if (bytes >= NSH__HEAP_LARGE)
        return nsh__heap_check_available(comm, bytes);
    return block->block != NULL ? nsh__heap_clear(comm, block, 0, 1) : NSH_SUCCESS;
}

/* Do memory or words need a new window, which takes all ranks? Equal on all ranks after an
 * agreement. */
static bool needs_window(const nsh__need *need, const nsh__shared *shared)
{
    return (need->bytes > 0 && shared->block.block == NULL) ||
           (need->nwords > 0 && shared->words.block == NULL);
}

/* Allocate what there is space for. */
static int alloc_shared(nsh_comm *comm, const nsh__need *need, nsh__shared *shared)
{
    int rc = NSH_SUCCESS;

    if (need->bytes > 0 && shared->block.block == NULL)
        rc = nsh__heap_alloc(comm, need->bytes, &shared->block);
    if (rc == NSH_ERR_BUSY)
        rc = NSH_SUCCESS;
    if (rc == NSH_SUCCESS && need->nwords > 0 && shared->words.block == NULL)
        rc = nsh__words_alloc(comm, need->home, need->nwords, &shared->words);
    return rc == NSH_ERR_BUSY ? NSH_SUCCESS : rc;
}

/* Undo alloc_shared and the registration of the name. No page of the block was touched, so none is
 * released: if ranks have found in this agreement that their heaps differ, the same pages might
 * belong to an array that another rank reads. */
static void cancel(nsh_comm *comm, nsh__object *object, nsh__shared *shared)
{
    nsh__heap_free(comm, &shared->block);
    nsh__words_free(comm, &shared->words);
    if (object != NULL)
        nsh__name_unregister(comm, object);
}

/* Add call and object to a failure of the heap or the words, which only know bytes and limits. */
static int fail_need(const nsh_comm *comm, nsh__call call, const nsh__need *need,
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

/* One agreement; on success *shared has what there was space for. The signature includes the live
 * objects before the agreement: ranks that have taken part in the same calls have the same. Only
 * then no other rank uses a block that is free here. */
static int attempt_create(nsh_comm *comm, nsh__agreement *agreement, const nsh__need *need,
                          nsh__object *object, nsh__shared *shared)
{
    int rc;

    agreement->signature =
        nsh__mix(nsh__mix(agreement->signature, nsh__heap_history(comm)), nsh__words_history(comm));
    agreement->low = agreement->high = nsh__objects_released(comm);
    if (agreement->code == NSH_SUCCESS && object != NULL) {
        agreement->code = nsh__object_reserve(comm, agreement->call);
        if (agreement->code == NSH_SUCCESS)
            agreement->code = nsh__name_register(comm, agreement->call, object);
    }
    if (agreement->code == NSH_SUCCESS)
        agreement->code =
            fail_need(comm, agreement->call, need, object, alloc_shared(comm, need, shared));
    if (nsh__agreement_enter(comm, agreement) && agreement->code == NSH_SUCCESS)
        agreement->code = fail_need(comm, agreement->call, need, object,
                                    prepare_node(comm, &shared->block, need->bytes));
    rc = nsh__agreement_leave(comm, agreement);
    if (rc != NSH_SUCCESS)
        cancel(comm, object, shared);
    return rc;
}

/* What does not fit into one phase: new windows, and pages that all ranks touch together. */
static int finish_shared(nsh_comm *comm, nsh__call call, const nsh__need *need, bool reclaimed,
                         const nsh__object *object, nsh__shared *shared)
{
    bool fresh = need->bytes > 0 && shared->block.block == NULL, no_room, no_words;
    int rc = NSH_SUCCESS;

    if (needs_window(need, shared) && reclaimed) {
        rc = fail_need(comm, call, need, object, alloc_shared(comm, need, shared));
        rc = nsh__agree(comm, call, rc, comm->created);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    no_room = need->bytes > 0 && shared->block.block == NULL;
    no_words = need->nwords > 0 && shared->words.block == NULL;
    if (no_room)
        rc = nsh__heap_grow(comm, need->bytes);
    if (rc == NSH_SUCCESS && no_words)
        rc = nsh__words_grow(comm, need->nwords);
    if (rc != NSH_SUCCESS)
        return fail_need(comm, call, need, object, rc); /* the code is agreed on */
    rc = fail_need(comm, call, need, object, alloc_shared(comm, need, shared));
    if (rc == NSH_SUCCESS && needs_window(need, shared))
        rc = nsh__fail(NSH_ERR_INTERNAL, "%s: a new window has no space", nsh__call_name(call));
    if (rc == NSH_SUCCESS && (fresh || shared->block.large))
        rc = fail_need(comm, call, need, object,
                       nsh__heap_clear(comm, &shared->block, comm->node_rank, comm->node_size));
    return nsh__agree(comm, call, rc, comm->created);
}

/* Attempt until one succeeds, or fails after everything possible was reclaimed: at most twice. */
static int attempt_twice(nsh_comm *comm, nsh__agreement *agreement, const nsh__need *need,
                         nsh__object *object, nsh__shared *shared, bool *reclaimed)
{
    const nsh__agreement first = *agreement;
    nsh__detail detail;
    int64_t n = 0;
    int rc;

    nsh__detail_keep(&detail);
    for (int tries = 0; tries < 2; tries++) {
        bool fits;
        int reclaim_rc;

        *agreement = first;
        rc = attempt_create(comm, agreement, need, object, shared);
        if (rc != NSH_SUCCESS && rc != NSH_ERR_NOMEM && rc != NSH_ERR_EXISTS)
            return rc;
        fits = rc == NSH_SUCCESS && !needs_window(need, shared);
        reclaim_rc = nsh__objects_reclaim(comm, agreement->low, agreement->high, !fits, &n);
        if (reclaim_rc != NSH_SUCCESS) {
            if (rc == NSH_SUCCESS)
                cancel(comm, object, shared);
            return reclaim_rc;
        }
        if (rc == NSH_SUCCESS || n == 0)
            break;
    }
    *reclaimed = n > 0;
    if (rc == NSH_SUCCESS)
        nsh__detail_restore(&detail); /* the failure of a first attempt is not reported */
    return rc;
}

int nsh__shared_create(nsh_comm *comm, nsh__call call, int code, uint64_t signature,
                       const nsh__need *need, nsh__object *object, nsh__shared *out)
{
    nsh__agreement agreement = {.call = call, .code = code, .signature = signature, .range = true};
    bool reclaimed = false;
    int rc;

    *out = (nsh__shared){.words = {.block = NULL}};
    rc = nsh__comm_present(comm, nsh__call_name(call));
    if (rc == NSH_SUCCESS)
        rc = attempt_twice(comm, &agreement, need, object, out, &reclaimed);
    if (rc != NSH_SUCCESS)
        return rc;
    if (out->block.large || needs_window(need, out)) {
        rc = finish_shared(comm, call, need, reclaimed, object, out);
        if (rc != NSH_SUCCESS) {
            nsh__heap_undo(comm, &out->block, comm->node_rank, comm->node_size);
            cancel(comm, object, out);
            return rc;
        }
    }
    if (object != NULL) {
        object->shared = *out;
        nsh__object_link(comm, object);
    }
    return NSH_SUCCESS;
}

int nsh__object_begin(nsh_comm *comm, nsh__call call)
{
    int rc;

    if (comm == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: comm is NULL", nsh__call_name(call));
    rc = nsh__comm_callable(comm, nsh__call_name(call));
    comm->created += rc == NSH_SUCCESS;
    return rc;
}

int nsh__object_create(nsh_comm *comm, nsh__call call, int code, uint64_t signature,
                       const nsh__need *need, const nsh__kind *kind, void *handle,
                       nsh__object *object)
{
    nsh__shared shared;
    int rc = nsh__shared_create(comm, call, code, signature, need, object, &shared);

    if (rc != NSH_SUCCESS) {
        kind->destroy(handle);
        comm->created--; /* ranks that were in another call have not counted */
    }
    return rc;
}

int nsh__shared_home(const nsh_comm *comm, nsh__call call, int home, int *node)
{
    if (home != NSH_HOME_ANY && (home < 0 || home >= comm->size))
        return nsh__fail(NSH_ERR_ARG, "%s: home %d is not a rank of %d (rank %d)",
                         nsh__call_name(call), home, comm->size, comm->rank);
    *node = home == NSH_HOME_ANY ? (int)(comm->created % (uint64_t)comm->node_count)
                                 : comm->node_of[home];
    return NSH_SUCCESS;
}

uint64_t nsh__shared_signature(const nsh_comm *comm, int home, uint64_t value, const char *name)
{
    uint64_t signature = nsh__mix(nsh__mix(comm->created, (uint64_t)home), value);

    return nsh__mix_bytes(signature, name, name != NULL ? strlen(name) + 1 : 0);
}

void nsh__shared_free(nsh_comm *comm, nsh__shared *shared)
{
    nsh__heap_leave(comm, &shared->block);
    nsh__heap_free(comm, &shared->block);
    nsh__words_free(comm, &shared->words);
}
