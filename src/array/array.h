/* SPDX-License-Identifier: BSD-3-Clause */
/* array.h -- what array.c, array_set.c and array_reduce.c know of an array. */
#ifndef NSH_ARRAY_ARRAY_H
#define NSH_ARRAY_ARRAY_H

#include <nodeshare/array.h>

#include "core/comm.h"
#include "core/object.h"
#include "core/replicate.h"
#include "core/shared.h"
#include "base/type.h"

struct nsh_array {
    nsh_comm *comm;
    nsh__object object;
    nsh__type type;
    nsh__heap_block replica; /* object.shared.block */
    int64_t size, nbytes;
    uint64_t id; /* object.id */
    int64_t version;
    int64_t
        changed;  /* when last, by nsh__array_clock; 0: not since its writable view was trimmed */
    int updating; /* root of the update that has begun; -1: none */
    int64_t *update; /* on that root: offset and count, ndim each */
    int ndim;
    int64_t extent[]; /* ndim, then room for update */
};

extern const nsh__kind nsh__array_kind;

/* [local] May array be changed or compared now? NSH_ERR_ARG for NULL, NSH_ERR_STATE between
 * update_begin and _end. For calls that agree on it. */
int nsh__array_settled(const nsh_array *array, nsh__call call);

/* [collective] The same, agreed on if it is STATE: another rank may have named another array, and
 * then all get NSH_ERR_MISMATCH instead of waiting for this one. */
int nsh__array_usable(const nsh_array *array, nsh__call call);

/* [local] How a failure of call begins. */
static inline nsh__phrase nsh__array_phrase(const nsh_array *array, nsh__call call)
{
    return nsh__object_phrase(nsh__call_name(call), &array->object);
}

/* Is the hyperslab inside the array? NSH_ERR_ARG otherwise. */
int nsh__array_inside(const nsh_array *array, nsh__call call, const int64_t offset[],
                      const int64_t count[]);

/* Bytes of a hyperslab that is inside. */
int64_t nsh__array_bytes(const nsh_array *array, const int64_t count[]);

/* Do [p, p + bytes) and the array's own replica overlap, in either view? */
bool nsh__array_aliases(const nsh_array *array, const void *p, int64_t bytes);

/* [collective] nsh_array_set on behalf of another call. code: what root has met on its way to the
 * data; if it is a failure, it is the outcome on all ranks, with its detail. */
int nsh__array_set_for(nsh_array *array, nsh__call call, const nsh_piece *piece, int root,
                       int code);

nsh__destination nsh__array_destination(const nsh_array *array);

/* [local] A call has changed the contents: count the version up. Trims the writable view after the
 * first change, because most tables are filled once, and now and then those of arrays that have
 * been idle. */
void nsh__array_changed(nsh_array *array);

/* [local] A clock in nanoseconds that costs next to nothing to read; never 0. And the work of
 * nsh__array_changed: trim all arrays on comm that were changed, but not for 10 s. */
int64_t nsh__array_clock(void);
void nsh__arrays_trim_idle(nsh_comm *comm, int64_t now);

#endif
