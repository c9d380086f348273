/* SPDX-License-Identifier: BSD-3-Clause */
/* object.h -- the shared objects of a communicator, and when what they share is reclaimed.
 *
 * An object is freed in two steps. A rank releases it: the handle is gone, but its block, its
 * words, its name and its number stay, because other ranks may still use them. Once all ranks have
 * released it, all of them reclaim it at the same point of the sequence of collective calls. So
 * allocators and names stay equal on all ranks, in whatever order and at whatever time each rank
 * releases.
 *
 * That point is the agreement of a create: it carries a hash of the set of objects that each rank
 * has released. Where all hashes are equal, all sets are, and every rank reclaims its own. Where
 * they differ and none is empty, one more step computes what the sets have in common; that is done
 * when the create would fail without it, and otherwise once in a while. */
#ifndef NSH_CORE_OBJECT_H
#define NSH_CORE_OBJECT_H

#include "core/comm.h"
#include "core/heap.h"
#include "core/rma.h"

typedef enum nsh__object_state {
    NSH__OBJECT_LIVE,     /* the program has its handle on this rank */
    NSH__OBJECT_HELD,     /* freed, but somebody still reads: it has holds */
    NSH__OBJECT_RELEASED, /* this rank has freed or abandoned it */
    NSH__OBJECT_SHELL     /* its communicator is gone, the program has the handle */
} nsh__object_state;

/* What a kind of object does in its own way; each may be NULL but name and destroy. */
typedef struct nsh__kind {
    const char *name; /* "array" */
    /* [local] Before the communicator goes with the object alive: write what is kept in memory. */
    int (*settle)(void *handle);
    /* [by all ranks, at the same point] Its words are zero again, for the next object. */
    int (*clear)(void *handle);
    /* Give up what is neither shared memory nor words: files, types, communicators. The handle may
     * live on as a shell. whole: by all ranks at the same point. */
    void (*close)(void *handle, bool whole);
    /* [local] Free the handle. Accepts every stage. */
    void (*destroy)(void *handle);
} nsh__kind;

/* What an object has on every node and at one home. */
typedef struct nsh__shared {
    nsh__heap_block block; /* none: no bytes were asked for */
    nsh__words words;      /* none: no words were asked for */
} nsh__shared;

/* A member of every handle. */
typedef struct nsh__object {
    const nsh__kind *kind;
    void *handle;
    uint64_t id; /* number on its communicator, equal on all ranks */
    char *name;  /* NULL: none */
    nsh__object_state state;
    nsh__shared shared;
    struct nsh__hold *holds;         /* on its replica */
    struct nsh__object *prev, *next; /* in the order of creation, equal on all ranks */
} nsh__object;

/* A member of what keeps an object's memory as it is while the handle may be gone. All zero: it
 * holds nothing. */
typedef struct nsh__hold {
    nsh_comm *comm;
    nsh__object *object;           /* NULL: it is gone */
    struct nsh__hold *prev, *next; /* of one object */
} nsh__hold;

/* [local] Until it is detached, this rank does not release the object. */
void nsh__hold_attach(nsh__hold *hold, nsh_comm *comm, nsh__object *object);

/* [local] The last hold of an object that was freed meanwhile releases it. Accepts one that holds
 * nothing. */
void nsh__hold_detach(nsh__hold *hold);

/* [local] A new object with a copy of name (NULL: none), still without a share. call words a
 * failure: NSH_ERR_ARG (empty, or more than 255 bytes), NSH_ERR_NOMEM. */
int nsh__object_init(nsh__object *object, const nsh__kind *kind, void *handle, nsh__call call,
                     const char *name);

/* [local] Free what nsh__object_init has made, of an object that is not linked. Accepts all zero.
 */
void nsh__object_fini(nsh__object *object);

/* [local] Room to compare one object more than there are. NSH_ERR_NOMEM. */
int nsh__object_reserve(nsh_comm *comm, nsh__call call);

/* [by all ranks, at the same point] The object exists: it has its share, its name, and a number. */
void nsh__object_link(nsh_comm *comm, nsh__object *object);

/* [local] This rank has given the object up; its handle stays until all ranks have. */
void nsh__object_release(nsh_comm *comm, nsh__object *object);

/* [by all ranks, at the same point] No rank uses the object any more: reclaim what it shares, and
 * destroy the handle. */
void nsh__object_reclaim(nsh_comm *comm, nsh__object *object);

/* [local] Free the handle of an object that shares nothing any more. */
void nsh__object_destroy(nsh_comm *comm, nsh__object *object);

/* [local] For an agreement: the set of objects that this rank has released, as one number. 0:
 * none. */
int64_t nsh__objects_released(const nsh_comm *comm);

/* [by all ranks, behind an agreement of nsh__objects_released] Reclaim what all ranks have
 * released; low and high are the agreement's. needed, equal on all ranks: the call fails without.
 * *reclaimed counts. NSH_SUCCESS, or what has broken the communicator. */
int nsh__objects_reclaim(nsh_comm *comm, int64_t low, int64_t high, bool needed,
                         int64_t *reclaimed);

/* [local] Before the communicator goes: objects that are alive write what they keep in memory. The
 * worst code. */
int nsh__objects_settle(nsh_comm *comm);

/* [local, or by all ranks] The communicator goes: what this rank has released is destroyed, what is
 * alive becomes a shell; the last one first. whole: by all ranks. */
void nsh__objects_close(nsh_comm *comm, bool whole);

/* [local] How a failure of call on object begins: nsh_array_set of array "pressure"; call alone for
 * an object without a name. */
typedef struct nsh__phrase {
    char text[100];
} nsh__phrase;
nsh__phrase nsh__object_phrase(const char *call, const nsh__object *object);

/* [local] NSH_ERR_STATE, worded with how many are alive on this rank and which one is the oldest.
 */
int nsh__objects_alive(const nsh_comm *comm, const char *call);

/* [local] Those that are alive on this rank, under NSH_LOG=1. */
void nsh__objects_log(const nsh_comm *comm);

#endif
