/* SPDX-License-Identifier: BSD-3-Clause */
/* array.c -- node-replicated arrays: creation, reading, printing, free.
 *
 * Invariant: all ranks hold the same description of an array, and its heap block is at the same
 * place on every node. */
#define _GNU_SOURCE
#include "array/array.h"

#include "base/fault.h"
#include "base/sized.h"
#include "base/hash.h"
#include "base/hyperslab.h"
#include "base/text.h"
#include "core/agree.h"
#include "core/enter.h"
#include "core/names.h"
#include "core/object_free.h"
#include "core/shared.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

_Static_assert(NSH_MAX_NDIM == NSH__MAX_NDIM, "hyperslab.h and array.h agree");

/* ---- description ---- */

static int check_shape(int ndim, const int64_t extent[], nsh_array **out)
{
    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_create: out is NULL");
    if (ndim < 0 || ndim > NSH_MAX_NDIM)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_create: ndim %d is not in 0..%d", ndim,
                         NSH_MAX_NDIM);
    if (ndim > 0 && extent == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_create: extent is NULL with ndim %d", ndim);
    for (int d = 0; d < ndim; d++)
        if (extent[d] < 0)
            return nsh__fail(NSH_ERR_ARG, "nsh_array_create: extent %" PRId64 " in dimension %d",
                             extent[d], d);
    return NSH_SUCCESS;
}

/* Accepts every stage. */
static void array_destroy(void *handle)
{
    nsh_array *array = handle;

    if (array == NULL)
        return;
    nsh__object_fini(&array->object);
    nsh__type_disown(&array->type);
    free(array);
}

/* The handle keeps the description; the elements are gone. */
static void array_close(void *handle, bool whole)
{
    nsh_array *array = handle;

    (void)whole;
    if (array->type.derived)
        nsh__type_disown(&array->type);
    array->replica = (nsh__heap_block){.block = NULL};
}

const nsh__kind nsh__array_kind = {.name = "array", .close = array_close, .destroy = array_destroy};

/* [local] This rank's part of the new array. On failure *made may be incomplete; array_destroy
 * accepts it. */
static int array_init(nsh_comm *comm, nsh__call call, MPI_Datatype type, int ndim,
                      const int64_t extent[], const nsh_array_options *options, nsh_array **out,
                      nsh_array **made)
{
    int rc = check_shape(ndim, extent, out);
    nsh_array *array;

    if (rc != NSH_SUCCESS)
        return rc;
    array = nsh__fault(array_alloc)
                ? NULL
                : calloc(1, sizeof *array + 3 * (size_t)ndim * sizeof array->extent[0]);
    if (array == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_array_create: no memory");
    *made = array;
    array->comm = comm;
    array->updating = -1;
    array->ndim = ndim;
    array->update = array->extent + ndim;
    if (ndim > 0)
        memcpy(array->extent, extent, (size_t)ndim * sizeof *extent);
    rc = nsh__type_init(nsh__call_name(call), comm->rank, type, &array->type);
    if (rc != NSH_SUCCESS) {
        array->type.derived = false;
        return rc;
    }
    rc = nsh__type_own(&array->type);
    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__shape_size(ndim, extent, array->type.itemsize, &array->size, &array->nbytes))
        return nsh__fail(NSH_ERR_ARG, "nsh_array_create: more than INT64_MAX bytes");
    return nsh__object_init(&array->object, &nsh__array_kind, array, call, options->name);
}

/* A rank that has failed needs the right signature too, otherwise the ranks get a mismatch instead
 * of its failure. */
static uint64_t signature_of_type(MPI_Datatype type, const nsh_array *array)
{
    return array != NULL && array->type.signature != 0 ? array->type.signature
                                                       : nsh__type_signature(type);
}

static uint64_t array_signature(MPI_Datatype type, int ndim, const int64_t extent[],
                                const nsh_array_options *options, const nsh_array *array)
{
    uint64_t signature = nsh__mix(1, (uint64_t)ndim);
    const char *name = options->name;

    for (int d = 0; d < ndim && d < NSH_MAX_NDIM && extent != NULL; d++)
        signature = nsh__mix(signature, (uint64_t)extent[d]);
    signature = nsh__mix_bytes(signature, name, name != NULL ? strlen(name) + 1 : 0);
    return nsh__mix(signature, signature_of_type(type, array));
}

/* ---- create ---- */

static int create_array(nsh_comm *comm, nsh__call call, MPI_Datatype type, int ndim,
                        const int64_t extent[], const nsh_array_options *options, nsh_array **out)
{
    nsh_array *array = NULL;
    nsh__need need = {0};
    uint64_t signature;
    static const nsh__sized kind = NSH__SIZED(nsh_array_options, name, NSH_ARRAY_OPTIONS_INIT);
    nsh_array_options given = NSH_ARRAY_OPTIONS_INIT, *o = &given;
    int rc = nsh__object_begin(comm, call);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__sized_read(&kind, nsh__call_name(call), comm->rank, options, o);
    if (rc == NSH_SUCCESS)
        rc = array_init(comm, call, type, ndim, extent, o, out, &array);
    if (rc == NSH_SUCCESS)
        need.bytes = array->nbytes;
    signature = array_signature(type, ndim, extent, o, array);
    rc = nsh__object_create(comm, call, rc, signature, &need, &nsh__array_kind, array,
                            array != NULL ? &array->object : NULL);
    if (rc != NSH_SUCCESS)
        return rc;
    array->replica = array->object.shared.block;
    array->id = array->object.id;
    *out = array;
    return NSH_SUCCESS;
}

int nsh_array_create(nsh_comm *comm, MPI_Datatype type, int ndim, const int64_t extent[],
                     const nsh_array_options *options, nsh_array **out)
{
    return create_array(comm, NSH__CALL_CREATE, type, ndim, extent, options, out);
}

int nsh_array_like(const nsh_array *array, const nsh_array_options *options, nsh_array **out)
{
    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_like: array is NULL");
    return create_array(array->comm, NSH__CALL_LIKE, array->type.handle, array->ndim, array->extent,
                        options, out);
}

int nsh_array_free(nsh_array **array)
{
    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_free: array is NULL");
    if (*array == NULL)
        return NSH_SUCCESS;
    nsh__object_abandon((*array)->comm, &(*array)->object);
    *array = NULL;
    return NSH_SUCCESS;
}

/* ---- for array_set.c and array_reduce.c ---- */

int nsh__array_settled(const nsh_array *array, nsh__call call)
{
    int rc;

    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: array is NULL", nsh__call_name(call));
    rc = nsh__comm_present(array->comm, nsh__call_name(call));
    if (rc != NSH_SUCCESS)
        return rc;
    if (array->updating >= 0)
        return nsh__fail(NSH_ERR_STATE,
                         "%s: an update by root %d has begun and not ended (rank %d)",
                         nsh__array_phrase(array, call).text, array->updating, array->comm->rank);
    return NSH_SUCCESS;
}

int nsh__array_usable(const nsh_array *array, nsh__call call)
{
    int rc = nsh__array_settled(array, call);

    if (array == NULL || rc == NSH_SUCCESS ||
        nsh__comm_present(array->comm, nsh__call_name(call)) != NSH_SUCCESS)
        return rc;
    return nsh__agree(array->comm, call, rc, nsh__mix(array->id, NSH_ERR_STATE));
}

int nsh__array_inside(const nsh_array *array, nsh__call call, const int64_t offset[],
                      const int64_t count[])
{
    int d = nsh__hyperslab_outside(array->ndim, array->extent, offset, count);
    int64_t first, n;

    if (d < 0)
        return NSH_SUCCESS;
    first = offset != NULL ? offset[d] : 0;
    n = count != NULL ? count[d] : array->extent[d];
    if (first < 0 || n < 0 || first > INT64_MAX - n)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: offset %" PRId64 " and count %" PRId64
                         " are no hyperslab of extent %" PRId64 " in dimension %d (rank %d)",
                         nsh__array_phrase(array, call).text, first, n, array->extent[d], d,
                         array->comm->rank);
    return nsh__fail(NSH_ERR_ARG,
                     "%s: hyperslab [%" PRId64 ",%" PRId64 ") exceeds extent %" PRId64
                     " in dimension %d (rank %d)",
                     nsh__array_phrase(array, call).text, first, first + n, array->extent[d], d,
                     array->comm->rank);
}

int64_t nsh__array_bytes(const nsh_array *array, const int64_t count[])
{
    int64_t bytes = array->type.itemsize;

    for (int d = 0; d < array->ndim; d++)
        bytes *= count != NULL ? count[d] : array->extent[d];
    return bytes;
}

bool nsh__array_aliases(const nsh_array *array, const void *p, int64_t bytes)
{
    uintptr_t begin = (uintptr_t)p, end = begin + (uintptr_t)bytes;
    uintptr_t rw = (uintptr_t)array->replica.rw, ro = (uintptr_t)array->replica.ro;
    uintptr_t n = (uintptr_t)array->nbytes;

    return bytes > 0 && ((begin < rw + n && rw < end) || (begin < ro + n && ro < end));
}

nsh__destination nsh__array_destination(const nsh_array *array)
{
    return (nsh__destination){array->ndim, array->extent, array->type.itemsize, array->replica.rw};
}

/* ---- resident memory ---- */

enum { IDLE_S = 10 }; /* after this time without a change no other is expected soon */
static const int64_t idle_ns = IDLE_S * INT64_C(1000000000);

int64_t nsh__array_clock(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    struct timespec t = {0, 1};

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
#else
    return nsh__wait_clock();
#endif
}

static void trim_array(nsh_array *array)
{
    nsh__heap_trim(array->comm, &array->replica);
    array->changed = 0;
}

void nsh__arrays_trim_idle(nsh_comm *comm, int64_t now)
{
    comm->trimmed = now;
    for (nsh__object *o = comm->first_object; o != NULL; o = o->next) {
        nsh_array *array = o->handle;

        if (o->kind == &nsh__array_kind && o->state == NSH__OBJECT_LIVE && array->changed != 0 &&
            now - array->changed >= idle_ns)
            trim_array(array);
    }
}

void nsh__array_changed(nsh_array *array)
{
    nsh_comm *comm = array->comm;
    int64_t now = nsh__array_clock();

    array->version++;
    array->changed = now;
    if (array->version == 1)
        trim_array(array);
    if (now - comm->trimmed >= idle_ns)
        nsh__arrays_trim_idle(comm, now);
}

int nsh_array_trim(nsh_array *array)
{
    int rc;

    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_trim: array is NULL");
    rc = nsh__comm_present(array->comm, "nsh_array_trim");
    if (rc == NSH_SUCCESS)
        trim_array(array);
    return rc;
}

/* ---- read ---- */

/* [local] May the elements be read? Yes in a forked child, which still has the pages; not when they
 * are gone. */
static int check_readable(const nsh_array *array, const char *call)
{
    return array->object.state == NSH__OBJECT_SHELL ? nsh__comm_present(array->comm, call)
                                                    : NSH_SUCCESS;
}

const void *nsh_array_data(const nsh_array *array)
{
    return array != NULL ? array->replica.ro : NULL;
}

const void *nsh_array_mpi_data(const nsh_array *array)
{
    return array != NULL ? array->replica.rw : NULL;
}

const void *nsh_array_at(const nsh_array *array, const int64_t index[])
{
    int64_t position = 0;

    if (array == NULL || array->nbytes == 0 || array->replica.ro == NULL)
        return NULL;
    for (int d = 0; d < array->ndim; d++) {
        int64_t i = index != NULL ? index[d] : 0;

        if (i < 0 || i >= array->extent[d])
            return NULL;
        position = position * array->extent[d] + i;
    }
    return array->replica.ro + position * array->type.itemsize;
}

int nsh_array_get(const nsh_array *array, const int64_t offset[], const int64_t count[], void *out)
{
    nsh__slab slab;
    int rc;

    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_get: array is NULL");
    rc = check_readable(array, "nsh_array_get");
    if (rc == NSH_SUCCESS)
        rc = nsh__array_inside(array, NSH__CALL_GET, offset, count);
    if (rc != NSH_SUCCESS)
        return rc;
    nsh__slab_of(&slab, array->ndim, array->extent, offset, count, array->type.itemsize);
    if (slab.nbytes == 0)
        return NSH_SUCCESS;
    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: out is NULL (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_GET).text, array->comm->rank);
    nsh__slab_pack(out, array->replica.ro, &slab, 0, slab.nbytes);
    return NSH_SUCCESS;
}

int nsh_array_find(nsh_comm *comm, const char *name, nsh_array **out)
{
    return nsh__name_find(comm, "nsh_array_find", &nsh__array_kind, name, out);
}

/* ---- print ---- */

enum { PRINT_ROWS = 3, PRINT_COLUMNS = 8 }; /* rows at each end; columns of a row */

/* Print one element by its type; other types as hexadecimal bytes. */
static void print_element(const nsh_array *array, const char *p, FILE *f)
{
    MPI_Datatype t = array->type.handle;

    if (t == MPI_DOUBLE || t == MPI_FLOAT) {
        double d;
        float s;

        memcpy(&d, p, t == MPI_DOUBLE ? sizeof d : 0);
        memcpy(&s, p, t == MPI_FLOAT ? sizeof s : 0);
        fprintf(f, " %.8g", t == MPI_DOUBLE ? d : (double)s);
    } else if (array->type.class_ == NSH__CLASS_INTEGER && array->type.itemsize <= 8) {
        bool is_unsigned = strstr(array->type.name, "UINT") || strstr(array->type.name, "UNSIGNED");
        unsigned shift = (unsigned)(64 - 8 * array->type.itemsize);
        uint64_t u = 0;

        for (int64_t i = array->type.itemsize; i-- > 0;) /* little-endian, as all our machines */
            u = u << 8 | (unsigned char)p[i];
        if (is_unsigned)
            fprintf(f, " %" PRIu64, u);
        else
            fprintf(f, " %" PRId64, (int64_t)(u << shift) >> shift);
    } else {
        fputc(' ', f);
        for (int64_t i = 0; i < array->type.itemsize && i < 16; i++)
            fprintf(f, "%02x", (unsigned)(unsigned char)p[i]);
    }
}

int nsh_array_print(const nsh_array *array, FILE *f)
{
    int64_t columns, rows;
    int rc;

    if (array == NULL || f == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_array_print: %s is NULL", array == NULL ? "array" : "f");
    rc = check_readable(array, "nsh_array_print");
    if (rc != NSH_SUCCESS)
        return rc;
    fprintf(f, "%s: %s [", array->object.name != NULL ? array->object.name : "(no name)",
            array->type.name[0] != '\0' ? array->type.name : "derived type");
    for (int d = 0; d < array->ndim; d++)
        fprintf(f, d == 0 ? "%" PRId64 : " x %" PRId64, array->extent[d]);
    fprintf(f, "], %" PRId64 " bytes on each of %d node%s, version %" PRId64 "\n", array->nbytes,
            array->comm->node_count, array->comm->node_count == 1 ? "" : "s", array->version);
    columns = array->ndim > 0 ? array->extent[array->ndim - 1] : 1;
    rows = array->nbytes > 0 ? array->size / columns : 0;
    for (int64_t r = 0; r < rows; r++) {
        if (r == PRINT_ROWS && rows > 2 * PRINT_ROWS) {
            fputs(" ...\n", f);
            r = rows - PRINT_ROWS;
        }
        for (int64_t c = 0; c < columns && c < PRINT_COLUMNS; c++)
            print_element(array, array->replica.ro + (r * columns + c) * array->type.itemsize, f);
        fputs(columns > PRINT_COLUMNS ? " ...\n" : "\n", f);
    }
    if (fflush(f) != 0 || ferror(f))
        return nsh__fail(NSH_ERR_IO, "nsh_array_print: cannot write");
    return NSH_SUCCESS;
}

static int print_array_to(const void *array, FILE *f)
{
    return nsh_array_print(array, f);
}

int nsh_array_snprintf(char *text, size_t size, const nsh_array *array)
{
    return nsh__text_of("nsh_array_snprintf", print_array_to, array, text, size);
}

/* ---- getters ---- */

nsh_comm *nsh_array_comm(const nsh_array *array)
{
    return array != NULL && array->object.state != NSH__OBJECT_SHELL ? array->comm : NULL;
}

MPI_Datatype nsh_array_type(const nsh_array *array)
{
    return array != NULL ? array->type.handle : MPI_DATATYPE_NULL;
}

int nsh_array_ndim(const nsh_array *array)
{
    return array != NULL ? array->ndim : -1;
}

const int64_t *nsh_array_extent(const nsh_array *array)
{
    return array != NULL ? array->extent : NULL;
}

int64_t nsh_array_extent_of(const nsh_array *array, int d)
{
    return array != NULL && d >= 0 && d < array->ndim ? array->extent[d] : -1;
}

int64_t nsh_array_size(const nsh_array *array)
{
    return array != NULL ? array->size : -1;
}

int64_t nsh_array_itemsize(const nsh_array *array)
{
    return array != NULL ? array->type.itemsize : -1;
}

int64_t nsh_array_nbytes(const nsh_array *array)
{
    return array != NULL ? array->nbytes : -1;
}

const char *nsh_array_name(const nsh_array *array)
{
    return array != NULL ? array->object.name : NULL;
}

int64_t nsh_array_version(const nsh_array *array)
{
    return array != NULL ? array->version : -1;
}
