/* SPDX-License-Identifier: BSD-3-Clause */
/* object.c -- the shared objects of a communicator, and when their memory is reclaimed.
 *
 * Invariant: the list has the same objects in the same order on all ranks; only their states
 * differ. It changes in collective calls, at a point that all ranks agree on. */
#define _GNU_SOURCE
#include "core/object.h"

#include "base/fault.h"
#include "base/hash.h"
#include "core/comm_break.h"
#include "core/names.h"
#include "core/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME = 255,
    WORD_BITS = 64,
    FEWEST_CREATES = 16 /* creates between two exact comparisons that no call needs */
};

/* ---- one object ---- */

int nsh__object_init(nsh__object *object, const nsh__kind *kind, void *handle, nsh__call call,
                     const char *name)
{
    size_t length = name != NULL ? strlen(name) : 0;

    *object = (nsh__object){.kind = kind, .handle = handle};
    if (name == NULL)
        return NSH_SUCCESS;
    if (length == 0 || length > MAX_NAME)
        return nsh__fail(NSH_ERR_ARG, "%s: name of %zu bytes is not in 1..%d", nsh__call_name(call),
                         length, (int)MAX_NAME);
    object->name = strdup(name);
    if (object->name == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory for a name", nsh__call_name(call));
    return NSH_SUCCESS;
}

void nsh__object_fini(nsh__object *object)
{
    free(object->name);
    object->name = NULL;
}

void nsh__object_link(nsh_comm *comm, nsh__object *object)
{
    object->id = comm->created;
    object->prev = comm->last_object;
    object->next = NULL;
    if (comm->last_object != NULL)
        comm->last_object->next = object;
    else
        comm->first_object = object;
    comm->last_object = object;
    comm->objects++;
    comm->live++;
}

static void unlink_object(nsh_comm *comm, nsh__object *object)
{
    if (object->prev != NULL)
        object->prev->next = object->next;
    else
        comm->first_object = object->next;
    if (object->next != NULL)
        object->next->prev = object->prev;
    else
        comm->last_object = object->prev;
    comm->objects--;
}

/* The hash of a set is the sum of these: objects can be added and removed in any order. */
static uint64_t hash_of_object(const nsh__object *object)
{
    return nsh__mix(1, object->id);
}

void nsh__object_release(nsh_comm *comm, nsh__object *object)
{
    comm->live -= object->state == NSH__OBJECT_LIVE;
    object->state = object->holds != NULL ? NSH__OBJECT_HELD : NSH__OBJECT_RELEASED;
    if (object->state == NSH__OBJECT_HELD)
        return;
    comm->released++;
    comm->released_hash += hash_of_object(object);
    nsh__heap_leave(comm, &object->shared.block);
}

/* The object ends, and with it its block: from now on only its holds keep the pages. */
static void detach_holds(nsh__object *object)
{
    for (nsh__hold *hold = object->holds; hold != NULL; hold = hold->next)
        hold->object = NULL;
    object->holds = NULL;
}

void nsh__hold_attach(nsh__hold *hold, nsh_comm *comm, nsh__object *object)
{
    hold->comm = comm;
    hold->object = object;
    hold->next = object->holds;
    if (hold->next != NULL)
        hold->next->prev = hold;
    object->holds = hold;
}

void nsh__hold_detach(nsh__hold *hold)
{
    nsh__object *object = hold->object;

    if (object == NULL)
        return;
    if (hold->prev != NULL)
        hold->prev->next = hold->next;
    else
        object->holds = hold->next;
    if (hold->next != NULL)
        hold->next->prev = hold->prev;
    if (object->holds == NULL && object->state == NSH__OBJECT_HELD)
        nsh__object_release(hold->comm, object);
}

/* Unregister the object, and close what it has beside shared memory. */
static void close_object(nsh_comm *comm, nsh__object *object, bool whole)
{
    nsh__name_unregister(comm, object);
    detach_holds(object);
    if (object->kind->close != NULL)
        object->kind->close(object->handle, whole);
}

void nsh__object_destroy(nsh_comm *comm, nsh__object *object)
{
    unlink_object(comm, object);
    nsh__object_fini(object);
    object->kind->destroy(object->handle);
}

void nsh__object_reclaim(nsh_comm *comm, nsh__object *object)
{
    bool whole = !nsh__comm_broken(comm);

    if (object->state == NSH__OBJECT_LIVE)
        nsh__object_release(comm, object);
    comm->released--;
    comm->released_hash -= hash_of_object(object);
    /* Set the words to zero before they are allocated again: the rank that then uses them has
     * agreed with this one before. */
    if (whole && object->kind->clear != NULL) {
        int rc = object->kind->clear(object->handle);

        if (rc != NSH_SUCCESS)
            nsh__comm_break(comm, rc);
    }
    close_object(comm, object, whole);
    nsh__words_free(comm, &object->shared.words);
    nsh__heap_free(comm, &object->shared.block);
    nsh__object_destroy(comm, object);
}

/* ---- what all ranks have released ---- */

int64_t nsh__objects_released(const nsh_comm *comm)
{
    return comm->released == 0 ? 0 : (int64_t)(comm->released_hash >> 1 | 1);
}

static int64_t reclaim_released(nsh_comm *comm)
{
    int64_t n = 0;

    for (nsh__object *object = comm->first_object, *next; object != NULL; object = next) {
        next = object->next;
        if (object->state != NSH__OBJECT_RELEASED)
            continue;
        nsh__object_reclaim(comm, object);
        n++;
    }
    return n;
}

int nsh__object_reserve(nsh_comm *comm, nsh__call call)
{
    int64_t words = comm->object_bits_capacity > 0 ? 2 * comm->object_bits_capacity : 16;
    uint64_t *bits;

    if (comm->objects < comm->object_bits_capacity * WORD_BITS)
        return NSH_SUCCESS;
    bits = nsh__fault(object_alloc) ? NULL : calloc((size_t)(2 * words), sizeof *bits);
    if (bits == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory for the list of objects (rank %d)",
                         nsh__call_name(call), comm->rank);
    free(comm->object_bits);
    comm->object_bits = bits;
    comm->object_bits_capacity = words;
    return NSH_SUCCESS;
}

/* [collective] A bit for each object of the list: have all ranks released it? */
static int intersect(nsh_comm *comm, uint64_t **common)
{
    uint64_t *mine = comm->object_bits, *all = mine + comm->object_bits_capacity;
    int64_t n = (comm->objects + WORD_BITS - 1) / WORD_BITS, i = 0;
    MPI_Request request = MPI_REQUEST_NULL;
    int rc;

    memset(mine, 0, (size_t)n * sizeof *mine);
    for (const nsh__object *object = comm->first_object; object != NULL; object = object->next, i++)
        if (object->state == NSH__OBJECT_RELEASED)
            mine[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
    rc = MPI_Iallreduce(mine, all, (int)n, MPI_UINT64_T, MPI_BAND, comm->mpi, &request);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_reduce))
        rc = nsh__fail_mpi("MPI_Iallreduce of released objects", rc);
    else
        rc = nsh__wait_requests(&comm->wait, 1, &request);
    if (request != MPI_REQUEST_NULL) { /* it can be neither cancelled nor freed: MPI keeps request
                                          and buffer */
        comm->object_bits = NULL;
        comm->object_bits_capacity = 0;
    }
    *common = all;
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(comm, rc);
}

static int reclaim_common(nsh_comm *comm, int64_t *reclaimed)
{
    uint64_t *common;
    int64_t i = 0;
    int rc = intersect(comm, &common);

    if (rc != NSH_SUCCESS)
        return rc;
    comm->compared = comm->created;
    for (nsh__object *object = comm->first_object, *next; object != NULL; object = next, i++) {
        next = object->next;
        if ((common[i / WORD_BITS] >> i % WORD_BITS & 1) == 0)
            continue;
        nsh__object_reclaim(comm, object);
        ++*reclaimed;
    }
    return NSH_SUCCESS;
}

/* Is an exact comparison due though no call needs one? It costs a reduction and a scan of all
 * objects. It is made after so many creates that it is a small part of their cost. */
static bool comparison_due(const nsh_comm *comm)
{
    return comm->created - comm->compared >= (uint64_t)(FEWEST_CREATES + comm->objects / WORD_BITS);
}

int nsh__objects_reclaim(nsh_comm *comm, int64_t low, int64_t high, bool needed, int64_t *reclaimed)
{
    *reclaimed = 0;
    if (low == 0) /* a rank has released nothing */
        return NSH_SUCCESS;
    if (low != high)
        return needed || comparison_due(comm) ? reclaim_common(comm, reclaimed) : NSH_SUCCESS;
    *reclaimed = reclaim_released(comm);
    return NSH_SUCCESS;
}

/* ---- all objects ---- */

int nsh__objects_flush(nsh_comm *comm)
{
    int rc = NSH_SUCCESS;

    for (nsh__object *object = comm->first_object; object != NULL; object = object->next)
        if (object->state == NSH__OBJECT_LIVE && object->kind->flush != NULL) {
            int one = object->kind->flush(object->handle);

            rc = one > rc ? one : rc;
        }
    return rc;
}

void nsh__objects_close(nsh_comm *comm, bool whole)
{
    for (nsh__object *object = comm->last_object, *prev; object != NULL; object = prev) {
        prev = object->prev;
        close_object(comm, object, whole);
        object->shared = (nsh__shared){.words = {.block = NULL}}; /* it is freed with the heap */
        if (object->state == NSH__OBJECT_LIVE)
            object->state = NSH__OBJECT_SHELL;
        else
            nsh__object_destroy(comm, object);
    }
    comm->released = 0;
    comm->released_hash = 0;
}

nsh__phrase nsh__object_phrase(const char *call, const nsh__object *object)
{
    nsh__phrase phrase;

    if (object->name != NULL)
        snprintf(phrase.text, sizeof phrase.text, "%.40s of %s \"%.40s\"", call, object->kind->name,
                 object->name);
    else
        snprintf(phrase.text, sizeof phrase.text, "%.40s", call);
    return phrase;
}

int nsh__objects_alive(const nsh_comm *comm, const char *call)
{
    const nsh__object *oldest = comm->first_object;

    while (oldest != NULL && oldest->state != NSH__OBJECT_LIVE)
        oldest = oldest->next;
    if (oldest == NULL) /* only files are open, which are not objects */
        return nsh__fail(NSH_ERR_STATE, "%s: %lld objects are alive (rank %d)", call,
                         (long long)comm->live, comm->rank);
    return nsh__fail(
        NSH_ERR_STATE, "%s: %lld object%s alive, the oldest is %s %llu%s%.60s%s (rank %d)", call,
        (long long)comm->live, comm->live == 1 ? " is" : "s are", oldest->kind->name,
        (unsigned long long)oldest->id, oldest->name != NULL ? " \"" : "",
        oldest->name != NULL ? oldest->name : "", oldest->name != NULL ? "\"" : "", comm->rank);
}

void nsh__objects_log(const nsh_comm *comm)
{
    for (const nsh__object *object = comm->first_object; object != NULL; object = object->next)
        if (object->state == NSH__OBJECT_LIVE)
            nsh__log("  %s %s (number %llu)", object->kind->name,
                     object->name != NULL ? object->name : "without a name",
                     (unsigned long long)object->id);
}
