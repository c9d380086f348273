/* SPDX-License-Identifier: BSD-3-Clause */
/* array.h -- an array, as array.c, array_hold.c, array_set.c, array_reduce.c and other folders see
 * it. */
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
    /* nsh__array_clock at the last change; 0: no change since its writable view was trimmed */
    int64_t changed;
    int updating;    /* root of an update between its begin and end; -1: none */
    int64_t *update; /* on that root: offset and count of the update, ndim each */
    int ndim;
    int64_t extent[]; /* ndim, followed by the memory of update */
};

extern const nsh__kind nsh__array_kind;

/* [local] May array be changed or compared now? NSH_ERR_ARG for NULL, NSH_ERR_STATE after free of
 * its communicator, or between update_begin and _end. For calls that agree on the code
 * themselves. */
int nsh__array_settled(const nsh_array *array, nsh__call call);

/* [collective] The same, but NSH_ERR_STATE of an unfinished update is agreed on: another rank may
 * have given another array, and then all ranks get NSH_ERR_MISMATCH instead of waiting for this
 * one. */
int nsh__array_usable(const nsh_array *array, nsh__call call);

/* [local] The beginning of a failure's detail: call and array. */
static inline nsh__phrase nsh__array_phrase(const nsh_array *array, nsh__call call)
{
    return nsh__object_phrase(nsh__call_name(call), &array->object);
}

/* [local] Is the hyperslab inside the array? NSH_ERR_ARG otherwise. */
int nsh__array_inside(const nsh_array *array, nsh__call call, const int64_t offset[],
                      const int64_t count[]);

/* [local] Bytes of a hyperslab that is inside the array. */
int64_t nsh__array_bytes(const nsh_array *array, const int64_t count[]);

/* [local] Do [p, p + bytes) and the array's own replica overlap, in either view? */
bool nsh__array_aliases(const nsh_array *array, const void *p, int64_t bytes);

/* [collective] nsh_array_set on behalf of another call. code: the result of what root did to get
 * the data; a failure becomes the result on all ranks, with its detail. */
int nsh__array_set_for(nsh_array *array, nsh__call call, const nsh_piece *piece, int root,
                       int code);

nsh__destination nsh__array_destination(const nsh_array *array);

/* [local] A call has changed the contents: increment the version. Trims the writable view after the
 * first change, because most tables are filled once, and from time to time those of arrays that
 * have not changed for 10 s. */
void nsh__array_changed(nsh_array *array);

/* [local] A coarse clock in nanoseconds that is cheap to read; never 0. And a part of
 * nsh__array_changed: trim all arrays on comm that were changed, but not in the last 10 s. */
int64_t nsh__array_clock(void);
void nsh__arrays_trim_idle(nsh_comm *comm, int64_t now);

#endif
