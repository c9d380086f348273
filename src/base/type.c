/* SPDX-License-Identifier: BSD-3-Clause */
/* type.c -- MPI datatypes as the library sees them.
 *
 * Invariant: MPI is asked about a type only if MPI is alive and the table does not know the
 * type. */
#include "base/type.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

typedef struct predefined {
    MPI_Datatype handle;
    const char *name;
    int64_t itemsize; /* 0: a Fortran type whose size depends on the compiler; MPI knows it */
    nsh__type_class class_;
    bool optional;
} predefined;

enum { DEPTH = 16 }; /* nesting of derived types that a signature covers */

#define PAIR_SIZE(type)                                                                            \
    sizeof(struct {                                                                                \
        type value;                                                                                \
        int index;                                                                                 \
    })

/* Look handle up. In Open MPI handles are addresses, so the table cannot be static. If one handle
 * has several names every rank finds the first. A type that this MPI lacks is either not defined or
 * MPI_DATATYPE_NULL, which is the handle of no type. */
static bool find_predefined(MPI_Datatype handle, predefined *out, int *index)
{
#define C_TYPE(handle, type, class_)                                                               \
    {                                                                                              \
        handle, #handle, sizeof(type), NSH__CLASS_##class_, false                                  \
    }
#define CXX_TYPE(handle, type, class_)                                                             \
    {                                                                                              \
        handle, #handle, sizeof(type), NSH__CLASS_##class_, true                                   \
    }
#define PAIR(handle, type)                                                                         \
    {                                                                                              \
        handle, #handle, PAIR_SIZE(type), NSH__CLASS_PAIR, false                                   \
    }
#define FORTRAN(handle, bytes, class_)                                                             \
    {                                                                                              \
        handle, #handle, bytes, NSH__CLASS_##class_, true                                          \
    }
    const predefined table[] = {
        C_TYPE(MPI_BYTE, char, BYTE),
        C_TYPE(MPI_CHAR, char, NONE),
        C_TYPE(MPI_SIGNED_CHAR, signed char, INTEGER),
        C_TYPE(MPI_UNSIGNED_CHAR, unsigned char, INTEGER),
        C_TYPE(MPI_SHORT, short, INTEGER),
        C_TYPE(MPI_UNSIGNED_SHORT, unsigned short, INTEGER),
        C_TYPE(MPI_INT, int, INTEGER),
        C_TYPE(MPI_UNSIGNED, unsigned, INTEGER),
        C_TYPE(MPI_LONG, long, INTEGER),
        C_TYPE(MPI_UNSIGNED_LONG, unsigned long, INTEGER),
        C_TYPE(MPI_LONG_LONG, long long, INTEGER),
        C_TYPE(MPI_UNSIGNED_LONG_LONG, unsigned long long, INTEGER),
        C_TYPE(MPI_INT8_T, int8_t, INTEGER),
        C_TYPE(MPI_UINT8_T, uint8_t, INTEGER),
        C_TYPE(MPI_INT16_T, int16_t, INTEGER),
        C_TYPE(MPI_UINT16_T, uint16_t, INTEGER),
        C_TYPE(MPI_INT32_T, int32_t, INTEGER),
        C_TYPE(MPI_UINT32_T, uint32_t, INTEGER),
        C_TYPE(MPI_INT64_T, int64_t, INTEGER),
        C_TYPE(MPI_UINT64_T, uint64_t, INTEGER),
        C_TYPE(MPI_FLOAT, float, FLOAT),
        C_TYPE(MPI_DOUBLE, double, FLOAT),
        C_TYPE(MPI_LONG_DOUBLE, long double, FLOAT),
        C_TYPE(MPI_C_BOOL, _Bool, LOGICAL),
        C_TYPE(MPI_C_COMPLEX, float _Complex, COMPLEX),
        C_TYPE(MPI_C_FLOAT_COMPLEX, float _Complex, COMPLEX),
        C_TYPE(MPI_C_DOUBLE_COMPLEX, double _Complex, COMPLEX),
        C_TYPE(MPI_C_LONG_DOUBLE_COMPLEX, long double _Complex, COMPLEX),
        C_TYPE(MPI_WCHAR, wchar_t, NONE),
        C_TYPE(MPI_PACKED, char, NONE),
        C_TYPE(MPI_AINT, MPI_Aint, MULTI),
        C_TYPE(MPI_COUNT, MPI_Count, MULTI),
        C_TYPE(MPI_OFFSET, MPI_Offset, MULTI),
        PAIR(MPI_FLOAT_INT, float),
        PAIR(MPI_DOUBLE_INT, double),
        PAIR(MPI_LONG_INT, long),
        PAIR(MPI_2INT, int),
        PAIR(MPI_SHORT_INT, short),
        PAIR(MPI_LONG_DOUBLE_INT, long double),
        CXX_TYPE(MPI_CXX_BOOL, _Bool, LOGICAL),
        CXX_TYPE(MPI_CXX_FLOAT_COMPLEX, float _Complex, COMPLEX),
        CXX_TYPE(MPI_CXX_DOUBLE_COMPLEX, double _Complex, COMPLEX),
        CXX_TYPE(MPI_CXX_LONG_DOUBLE_COMPLEX, long double _Complex, COMPLEX),
        FORTRAN(MPI_INTEGER, 0, INTEGER),
        FORTRAN(MPI_REAL, 0, FLOAT),
        FORTRAN(MPI_DOUBLE_PRECISION, 0, FLOAT),
        FORTRAN(MPI_COMPLEX, 0, COMPLEX),
        FORTRAN(MPI_DOUBLE_COMPLEX, 0, COMPLEX),
        FORTRAN(MPI_LOGICAL, 0, LOGICAL),
        FORTRAN(MPI_CHARACTER, 1, NONE),
        FORTRAN(MPI_2INTEGER, 0, PAIR),
        FORTRAN(MPI_2REAL, 0, PAIR),
        FORTRAN(MPI_2DOUBLE_PRECISION, 0, PAIR),
#ifdef MPI_INTEGER1
        FORTRAN(MPI_INTEGER1, 1, INTEGER),
#endif
#ifdef MPI_INTEGER2
        FORTRAN(MPI_INTEGER2, 2, INTEGER),
#endif
#ifdef MPI_INTEGER4
        FORTRAN(MPI_INTEGER4, 4, INTEGER),
#endif
#ifdef MPI_INTEGER8
        FORTRAN(MPI_INTEGER8, 8, INTEGER),
#endif
#ifdef MPI_INTEGER16
        FORTRAN(MPI_INTEGER16, 16, INTEGER),
#endif
#ifdef MPI_REAL2
        FORTRAN(MPI_REAL2, 2, FLOAT),
#endif
#ifdef MPI_REAL4
        FORTRAN(MPI_REAL4, 4, FLOAT),
#endif
#ifdef MPI_REAL8
        FORTRAN(MPI_REAL8, 8, FLOAT),
#endif
#ifdef MPI_REAL16
        FORTRAN(MPI_REAL16, 16, FLOAT),
#endif
#ifdef MPI_COMPLEX4
        FORTRAN(MPI_COMPLEX4, 4, COMPLEX),
#endif
#ifdef MPI_COMPLEX8
        FORTRAN(MPI_COMPLEX8, 8, COMPLEX),
#endif
#ifdef MPI_COMPLEX16
        FORTRAN(MPI_COMPLEX16, 16, COMPLEX),
#endif
#ifdef MPI_COMPLEX32
        FORTRAN(MPI_COMPLEX32, 32, COMPLEX),
#endif
#ifdef MPI_LOGICAL1
        FORTRAN(MPI_LOGICAL1, 1, LOGICAL),
#endif
#ifdef MPI_LOGICAL2
        FORTRAN(MPI_LOGICAL2, 2, LOGICAL),
#endif
#ifdef MPI_LOGICAL4
        FORTRAN(MPI_LOGICAL4, 4, LOGICAL),
#endif
#ifdef MPI_LOGICAL8
        FORTRAN(MPI_LOGICAL8, 8, LOGICAL),
#endif
#ifdef MPI_LOGICAL16
        FORTRAN(MPI_LOGICAL16, 16, LOGICAL),
#endif
    };
#undef C_TYPE
#undef CXX_TYPE
#undef PAIR
#undef FORTRAN

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (handle == table[i].handle) {
            *out = table[i];
            *index = (int)i;
            return true;
        }
    return false;
}

bool nsh__mpi_alive(void)
{
    int initialised = 0, finalised = 0;

    MPI_Initialized(&initialised);
    MPI_Finalized(&finalised);
    return initialised && !finalised;
}

/* How a type was made. Those of MPI_Type_create_f90_* are predefined as well: they have no name and
 * must never be freed. */
static int combiner_of(MPI_Datatype handle)
{
    int nints, naddresses, ntypes, combiner = MPI_COMBINER_NAMED;

    MPI_Type_get_envelope(handle, &nints, &naddresses, &ntypes, &combiner);
    return combiner;
}

static bool is_predefined(int combiner)
{
    return combiner == MPI_COMBINER_NAMED || combiner == MPI_COMBINER_F90_INTEGER ||
           combiner == MPI_COMBINER_F90_REAL || combiner == MPI_COMBINER_F90_COMPLEX;
}

void nsh__type_drop(MPI_Datatype handle)
{
    if (handle != MPI_DATATYPE_NULL && !is_predefined(combiner_of(handle)))
        MPI_Type_free(&handle);
}

/* The class of a predefined type that the table lacks. */
static nsh__type_class class_of(int combiner)
{
    switch (combiner) {
    case MPI_COMBINER_NAMED:
        return NSH__CLASS_UNKNOWN;
    case MPI_COMBINER_F90_INTEGER:
        return NSH__CLASS_INTEGER;
    case MPI_COMBINER_F90_REAL:
        return NSH__CLASS_FLOAT;
    case MPI_COMBINER_F90_COMPLEX:
        return NSH__CLASS_COMPLEX;
    default:
        return NSH__CLASS_NONE;
    }
}

/* The signature of a predefined type. index: its place in the table; -1: the table lacks it. */
typedef uint64_t (*leaf_signature)(MPI_Datatype handle, const predefined *type, int index);

static uint64_t type_tree_signature(MPI_Datatype handle, int depth, leaf_signature leaf);

/* Our own numbers for MPI's constructors of types, the same under every MPI. 0: the constructor's
 * arguments contain constants that differ between MPIs. */
static uint64_t constructor_of(int combiner)
{
    switch (combiner) {
    case MPI_COMBINER_DUP:
        return 1;
    case MPI_COMBINER_CONTIGUOUS:
        return 2;
    case MPI_COMBINER_VECTOR:
        return 3;
    case MPI_COMBINER_HVECTOR:
        return 4;
    case MPI_COMBINER_INDEXED:
        return 5;
    case MPI_COMBINER_HINDEXED:
        return 6;
    case MPI_COMBINER_INDEXED_BLOCK:
        return 7;
    case MPI_COMBINER_HINDEXED_BLOCK:
        return 8;
    case MPI_COMBINER_STRUCT:
        return 9;
    case MPI_COMBINER_RESIZED:
        return 10;
    default:
        return 0;
    }
}

static uint64_t size_signature(MPI_Datatype handle)
{
    MPI_Count size = 0, lb = 0, extent = 0;

    MPI_Type_size_x(handle, &size);
    MPI_Type_get_extent_x(handle, &lb, &extent);
    return nsh__mix(nsh__mix(nsh__mix(5, (uint64_t)size), (uint64_t)lb), (uint64_t)extent);
}

/* The signature of a derived type: its constructor, and the types it is made of. Handles differ
 * between processes. */
static uint64_t derived_signature(MPI_Datatype handle, int depth, leaf_signature leaf)
{
    int nints, naddresses, ntypes, combiner;
    uint64_t signature, constructor;
    int *ints;
    MPI_Aint *addresses;
    MPI_Datatype *types;

    MPI_Type_get_envelope(handle, &nints, &naddresses, &ntypes, &combiner);
    constructor = constructor_of(combiner);
    signature = nsh__mix(nsh__mix(7, constructor), size_signature(handle));
    if (depth == 0)
        return signature;
    ints = calloc((size_t)nints + 1, sizeof *ints);
    addresses = calloc((size_t)naddresses + 1, sizeof *addresses);
    types = calloc((size_t)ntypes + 1, sizeof *types);
    if (ints != NULL && addresses != NULL && types != NULL) {
        MPI_Type_get_contents(handle, nints, naddresses, ntypes, ints, addresses, types);
        for (int i = 0; i < nints && constructor != 0; i++)
            signature = nsh__mix(signature, (uint64_t)ints[i]);
        for (int i = 0; i < naddresses; i++)
            signature = nsh__mix(signature, (uint64_t)addresses[i]);
        for (int i = 0; i < ntypes; i++) {
            signature = nsh__mix(signature, type_tree_signature(types[i], depth - 1, leaf));
            nsh__type_drop(types[i]);
        }
    }
    free(types);
    free(addresses);
    free(ints);
    return signature;
}

static uint64_t type_tree_signature(MPI_Datatype handle, int depth, leaf_signature leaf)
{
    predefined known = {.handle = handle};
    int index = -1;

    if (!find_predefined(handle, &known, &index)) {
        if (!is_predefined(combiner_of(handle)))
            return derived_signature(handle, depth, leaf);
        known.class_ = class_of(combiner_of(handle));
    }
    return leaf(handle, &known, index);
}

static uint64_t name_signature(MPI_Datatype handle)
{
    char name[MPI_MAX_OBJECT_NAME] = "";
    int length = 0;

    MPI_Type_get_name(handle, name, &length);
    return nsh__mix_bytes(7, name, strlen(name));
}

/* For ranks of one job: every entry of the table has its own signature. */
static uint64_t leaf_in_job(MPI_Datatype handle, const predefined *type, int index)
{
    if (index >= 0)
        return nsh__mix(3, (uint64_t)index);
    return nsh__mix(nsh__mix(name_signature(handle), (uint64_t)type->class_),
                    size_signature(handle));
}

/* For files: the bits of an element. The names of a type differ between MPIs, and which of them the
 * table gives depends on its order. So the name is used only for what all names of a type share:
 * whether it is unsigned, and the parts of a pair. */
static uint64_t leaf_in_file(MPI_Datatype handle, const predefined *type, int index)
{
    const char *name = index >= 0 ? type->name : "";
    uint64_t signature = nsh__mix(11, (uint64_t)type->class_);
    int size = (int)type->itemsize;

    if (size == 0)
        MPI_Type_size(handle, &size);
    if (type->class_ == NSH__CLASS_UNKNOWN)
        signature = nsh__mix(signature, name_signature(handle));
    if (type->class_ == NSH__CLASS_INTEGER)
        signature = nsh__mix(signature, strncmp(name, "MPI_U", 5) == 0);
    if (type->class_ == NSH__CLASS_PAIR) {
        bool real = strstr(name, "FLOAT") != NULL || strstr(name, "DOUBLE") != NULL ||
                    strstr(name, "REAL") != NULL;

        signature = nsh__mix(nsh__mix(signature, real), strncmp(name, "MPI_2", 5) == 0);
    }
    return nsh__mix(signature, (uint64_t)size);
}

/* The combiner inside duplicates, resized and contiguous types. */
static int innermost_combiner(MPI_Datatype handle, int depth)
{
    int nints, naddresses, ntypes, combiner, inner;
    int ints[8];
    MPI_Aint addresses[8];
    MPI_Datatype base;

    MPI_Type_get_envelope(handle, &nints, &naddresses, &ntypes, &combiner);
    if (depth == 0 || (combiner != MPI_COMBINER_DUP && combiner != MPI_COMBINER_RESIZED &&
                       combiner != MPI_COMBINER_CONTIGUOUS))
        return combiner;
    MPI_Type_get_contents(handle, nints, naddresses, 1, ints, addresses, &base);
    inner = innermost_combiner(base, depth - 1);
    nsh__type_drop(base);
    return inner;
}

static const char *name_or(const nsh__type *type)
{
    return type->name[0] != '\0' ? type->name : "(no name)";
}

/* Ask MPI about a type that the table does not know, or not in full. */
static int ask_mpi(const char *call, int rank, nsh__type *out)
{
    MPI_Count size, lb, extent, true_lb, true_extent;
    int length = 0, combiner = combiner_of(out->handle);

    MPI_Type_size_x(out->handle, &size);
    MPI_Type_get_extent_x(out->handle, &lb, &extent);
    MPI_Type_get_true_extent_x(out->handle, &true_lb, &true_extent);
    if (out->name[0] == '\0') {
        MPI_Type_get_name(out->handle, out->name, &length);
        out->class_ = class_of(combiner);
        out->optional = true;
    }
    if (size <= 0 || lb != 0 || true_lb < 0 || true_lb + true_extent > extent)
        return nsh__fail(NSH_ERR_TYPE,
                         "%s: datatype %s does not tile memory: size %lld, bounds [%lld,%lld), "
                         "true bounds [%lld,%lld) (rank %d)",
                         call, name_or(out), (long long)size, (long long)lb,
                         (long long)(lb + extent), (long long)true_lb,
                         (long long)(true_lb + true_extent), rank);
    if (size != extent && !is_predefined(combiner) &&
        innermost_combiner(out->handle, 16) != MPI_COMBINER_STRUCT)
        return nsh__fail(
            NSH_ERR_TYPE,
            "%s: datatype %s is not contiguous: %lld of its %lld bytes are holes (rank %d)", call,
            name_or(out), (long long)(extent - size), (long long)extent, rank);
    out->derived = !is_predefined(combiner);
    out->itemsize = (int64_t)extent;
    return NSH_SUCCESS;
}

int nsh__type_init(const char *call, int rank, MPI_Datatype handle, nsh__type *out)
{
    predefined known;
    int index, rc = NSH_SUCCESS;
    bool found;

    *out = (nsh__type){.handle = handle};
    if (handle == MPI_DATATYPE_NULL)
        return nsh__fail(NSH_ERR_TYPE, "%s: datatype is MPI_DATATYPE_NULL (rank %d)", call, rank);
    found = find_predefined(handle, &known, &index);
    if (found) {
        out->class_ = known.class_;
        out->optional = known.optional;
        out->itemsize = known.itemsize;
        snprintf(out->name, sizeof out->name, "%s", known.name);
    }
    if (out->itemsize == 0) {
        if (!nsh__mpi_alive())
            return nsh__fail(NSH_ERR_TYPE,
                             "%s: the size of datatype %s is not known without MPI (rank %d)", call,
                             name_or(out), rank);
        rc = ask_mpi(call, rank, out);
    }
    if (rc == NSH_SUCCESS)
        out->signature =
            nsh__mix(type_tree_signature(handle, DEPTH, leaf_in_job), (uint64_t)out->itemsize);
    return rc;
}

uint64_t nsh__type_signature(MPI_Datatype handle)
{
    nsh__type type;
    nsh__detail kept;

    nsh__detail_keep(&kept);
    if (nsh__type_init("nodeshare", -1, handle, &type) != NSH_SUCCESS)
        nsh__detail_restore(&kept);
    return type.signature;
}

uint64_t nsh__type_file_signature(const nsh__type *type)
{
    return type_tree_signature(type->handle, DEPTH, leaf_in_file);
}

int nsh__type_own(nsh__type *type)
{
    MPI_Datatype mine;
    int rc;

    if (!type->derived)
        return NSH_SUCCESS;
    type->derived = false; /* until the duplicate exists */
    if (nsh__fault(array_type))
        return nsh__fail(NSH_ERR_NOMEM, "MPI_Type_dup: injected failure");
    rc = MPI_Type_dup(type->handle, &mine);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Type_dup", rc);
    type->handle = mine;
    type->derived = true;
    return NSH_SUCCESS;
}

void nsh__type_disown(nsh__type *type)
{
    if (type->derived && nsh__mpi_alive())
        MPI_Type_free(&type->handle);
    type->derived = false;
}

/* The classes of types that MPI allows for a predefined operation. */
static int op_classes(MPI_Op op, int *index)
{
    enum {
        INT = NSH__CLASS_INTEGER,
        FLT = NSH__CLASS_FLOAT,
        LOG = NSH__CLASS_LOGICAL,
        CPX = NSH__CLASS_COMPLEX,
        BYT = NSH__CLASS_BYTE,
        MUL = NSH__CLASS_MULTI,
        PAR = NSH__CLASS_PAIR
    };
    const struct {
        MPI_Op op;
        int classes;
    } table[] = {
        {MPI_OP_NULL, 0},
        {MPI_REPLACE, 0},
        {MPI_NO_OP, 0},
        {MPI_MAX, INT | FLT | MUL},
        {MPI_MIN, INT | FLT | MUL},
        {MPI_SUM, INT | FLT | CPX | MUL},
        {MPI_PROD, INT | FLT | CPX | MUL},
        {MPI_LAND, INT | LOG},
        {MPI_LOR, INT | LOG},
        {MPI_LXOR, INT | LOG},
        {MPI_BAND, INT | BYT | MUL},
        {MPI_BOR, INT | BYT | MUL},
        {MPI_BXOR, INT | BYT | MUL},
        {MPI_MAXLOC, PAR},
        {MPI_MINLOC, PAR},
    };
    int n = (int)(sizeof table / sizeof table[0]);

    for (*index = 0; *index < n; ++*index)
        if (op == table[*index].op)
            return table[*index].classes;
    return -1; /* user-defined */
}

/* Ask MPI, on a communicator of this rank alone, which returns errors: an error of MPI_Reduce_local
 * would reach the program's error handler. */
static bool mpi_reduces(MPI_Datatype handle, int64_t itemsize, MPI_Op op)
{
    _Alignas(64) char in[64] = {0}, out[64];
    MPI_Comm alone = MPI_COMM_NULL;
    int rc;

    if (itemsize > (int64_t)sizeof in || MPI_Comm_split(MPI_COMM_SELF, 0, 0, &alone) != MPI_SUCCESS)
        return false;
    MPI_Comm_set_errhandler(alone, MPI_ERRORS_RETURN);
    rc = MPI_Allreduce(in, out, 1, handle, op, alone);
    MPI_Comm_free(&alone);
    return rc == MPI_SUCCESS;
}

bool nsh__type_reducible(nsh__type *type, MPI_Op op)
{
    int index, classes = op_classes(op, &index);
    unsigned bit = 1u << index;

    if (classes > 0)
        classes |= NSH__CLASS_UNKNOWN;
    if (classes >= 0 && (classes & (int)type->class_) == 0)
        return false;
    if (classes < 0 || !type->optional || !nsh__mpi_alive())
        return true;
    if ((type->asked & bit) == 0 && mpi_reduces(type->handle, type->itemsize, op))
        type->usable |= bit;
    type->asked |= bit;
    return (type->usable & bit) != 0;
}

uint64_t nsh__op_signature(MPI_Op op)
{
    int index;

    op_classes(op, &index);
    return (uint64_t)index;
}
