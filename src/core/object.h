/* SPDX-License-Identifier: BSD-3-Clause */
/* object.h -- the shared objects of a communicator, and when their memory is reclaimed.
 *
 * An object is freed in two steps. First a rank releases it: the handle is gone, but its block, its
 * words, its name and its number stay, because other ranks may still use them. After all ranks have
 * released it, all of them reclaim it at the same point of the sequence of collective calls. So
 * allocators and names stay equal on all ranks, in whatever order and at whatever time each rank
 * releases.
 *
 * That point is the agreement of a create: it carries a hash of the set of objects that each rank
 * has released. If all hashes are equal, all sets are, and every rank reclaims its own set. If they
 * differ and none is empty, one more step computes the intersection of the sets. It is done if the
 * create would fail without it, and otherwise from time to time. */
#ifndef NSH_CORE_OBJECT_H
#define NSH_CORE_OBJECT_H

#include "core/comm.h"
#include "core/heap.h"
#include "core/rma.h"

typedef enum nsh__object_state {
    NSH__OBJECT_LIVE,     /* the program has its handle on this rank */
    NSH__OBJECT_HELD,     /* freed, but it has holds: a reader still uses it */
    NSH__OBJECT_RELEASED, /* this rank has freed or abandoned it */
    NSH__OBJECT_SHELL     /* its communicator is gone, but the program has the handle */
} nsh__object_state;

/* The functions of a kind of object; each may be NULL but name and destroy. */
typedef struct nsh__kind {
    const char *name; /* "array" */
    /* [local] Before the communicator ends and the object still lives: write what it keeps in
     * memory. */
    int (*flush)(void *handle);
    /* [by all ranks, at the same point] Set its words to zero, for the next object. */
    int (*clear)(void *handle);
    /* Close what is neither shared memory nor words: files, types, communicators. The handle may
     * live on as a shell. whole: called by all ranks at the same point. */
    void (*close)(void *handle, bool whole);
    /* [local] Free the handle. Accepts every stage. */
    void (*destroy)(void *handle);
} nsh__kind;

/* The shared memory of an object on every node, and its words at one home. */
typedef struct nsh__shared {
    nsh__heap_block block; /* none: no bytes were requested */
    nsh__words words;      /* none: no words were requested */
} nsh__shared;

/* A member of every handle. */
typedef struct nsh__object {
    const nsh__kind *kind;
    void *handle;
    uint64_t id; /* its number on the communicator, equal on all ranks */
    char *name;  /* NULL: none */
    nsh__object_state state;
    nsh__shared shared;
    struct nsh__hold *holds;         /* the holds on its replica */
    struct nsh__object *prev, *next; /* in the order of creation, equal on all ranks */
} nsh__object;

/* A member of what keeps an object's memory unchanged while the handle may be gone. All zero: it
 * holds nothing. */
typedef struct nsh__hold {
    nsh_comm *comm;
    nsh__object *object;           /* NULL: the object is gone */
    struct nsh__hold *prev, *next; /* the holds of one object */
} nsh__hold;

/* [local] Until the hold is detached, this rank does not release the object. */
void nsh__hold_attach(nsh__hold *hold, nsh_comm *comm, nsh__object *object);

/* [local] Detach the hold. If it was the last one of an object that is freed, release the object.
 * Accepts one that holds nothing. */
void nsh__hold_detach(nsh__hold *hold);

/* [local] Initialise an object with a copy of name (NULL: none), without shared memory yet. A
 * failure's detail names call: NSH_ERR_ARG (empty, or more than 255 bytes), NSH_ERR_NOMEM. */
int nsh__object_init(nsh__object *object, const nsh__kind *kind, void *handle, nsh__call call,
                     const char *name);

/* [local] Free what nsh__object_init has made, of an object that is not linked. Accepts all zero.
 */
void nsh__object_fini(nsh__object *object);

/* [local] Allocate the memory to compare one more object. NSH_ERR_NOMEM. */
int nsh__object_reserve(nsh_comm *comm, nsh__call call);

/* [by all ranks, at the same point] Put the object, which has shared memory and name, into the
 * list, and number it. */
void nsh__object_link(nsh_comm *comm, nsh__object *object);

/* [local] This rank has freed or abandoned the object; the handle's memory stays until all ranks
 * have. */
void nsh__object_release(nsh_comm *comm, nsh__object *object);

/* [by all ranks, at the same point] No rank uses the object any more: reclaim its shared memory,
 * and destroy the handle. */
void nsh__object_reclaim(nsh_comm *comm, nsh__object *object);

/* [local] Free the handle of an object that has no shared memory any more. */
void nsh__object_destroy(nsh_comm *comm, nsh__object *object);

/* [local] For an agreement: the set of objects that this rank has released, as one number. 0:
 * none. */
int64_t nsh__objects_released(const nsh_comm *comm);

/* [by all ranks, after an agreement on nsh__objects_released] Reclaim what all ranks have released;
 * low and high are the agreement's. needed, equal on all ranks: the call fails without it.
 * *reclaimed: the number of objects. NSH_SUCCESS, or what has broken the communicator. */
int nsh__objects_reclaim(nsh_comm *comm, int64_t low, int64_t high, bool needed,
                         int64_t *reclaimed);

/* [local] Before the communicator ends: live objects write what they keep in memory. Returns the
 * largest code. */
int nsh__objects_flush(nsh_comm *comm);

/* [local, or by all ranks] The communicator ends: destroy the objects that this rank has released;
 * those that live become shells, the last one first. whole: called by all ranks. */
void nsh__objects_close(nsh_comm *comm, bool whole);

/* [local] The beginning of a failure's detail: nsh_array_set of array "pressure"; call alone for an
 * object without a name. */
typedef struct nsh__phrase {
    char text[100];
} nsh__phrase;
nsh__phrase nsh__object_phrase(const char *call, const nsh__object *object);

/* [local] NSH_ERR_STATE, with a detail that says how many objects live on this rank and which one
 * is the oldest. */
int nsh__objects_alive(const nsh_comm *comm, const char *call);

/* [local] Log the objects that live on this rank, under NSH_LOG=1. */
void nsh__objects_log(const nsh_comm *comm);

#endif
