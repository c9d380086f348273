/* SPDX-License-Identifier: BSD-3-Clause */
/* element.c -- the form of an array's elements, between MPI datatypes and those of files.
 *
 * Invariant: the nodes of a form's subtree i are i .. i + node[i].nodes - 1. */
#include "file/element.h"

#include "base/error.h"

#include <nodeshare/error.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nsh__form_add(nsh__form *form, nsh__form_class class_, int64_t size, int64_t count,
                   int64_t offset)
{
    if (form->n >= NSH__FORM_NODES)
        return false;
    form->node[form->n++] = (nsh__form_node){class_, 1, size, count, offset};
    return true;
}

void nsh__form_close(nsh__form *form, int first)
{
    form->node[first].nodes = form->n - first;
}

/* ---- from MPI ---- */

static bool add_pair(nsh__form *form, nsh__form_class value, int64_t value_size, int64_t size,
                     int64_t count, int64_t offset)
{
    int first = form->n;
    int64_t second = value_size > (int64_t)sizeof(int) ? value_size : (int64_t)sizeof(int);
    bool good = nsh__form_add(form, NSH__FORM_STRUCT, size, count, offset) &&
                nsh__form_add(form, value, value_size, 1, 0);

    good = good && nsh__form_add(form, NSH__FORM_INT, (int64_t)sizeof(int), 1, second);
    if (good)
        nsh__form_close(form, first);
    return good;
}

/* MPI_2REAL and its like: two of a kind. */
static bool add_twins(nsh__form *form, nsh__form_class kind, int64_t size, int64_t count,
                      int64_t offset)
{
    int first = form->n;
    bool good = nsh__form_add(form, NSH__FORM_STRUCT, size, count, offset) &&
                nsh__form_add(form, kind, size / 2, 1, 0) &&
                nsh__form_add(form, kind, size / 2, 1, size / 2);

    if (good)
        nsh__form_close(form, first);
    return good;
}

static bool add_value_and_index(nsh__form *form, const nsh__type *type, int64_t count,
                                int64_t offset)
{
    MPI_Datatype t = type->handle;

    if (t == MPI_FLOAT_INT)
        return add_pair(form, NSH__FORM_FLOAT, sizeof(float), type->itemsize, count, offset);
    if (t == MPI_DOUBLE_INT)
        return add_pair(form, NSH__FORM_FLOAT, sizeof(double), type->itemsize, count, offset);
    if (t == MPI_LONG_DOUBLE_INT)
        return add_pair(form, NSH__FORM_FLOAT, sizeof(long double), type->itemsize, count, offset);
    if (t == MPI_LONG_INT)
        return add_pair(form, NSH__FORM_INT, sizeof(long), type->itemsize, count, offset);
    if (t == MPI_SHORT_INT)
        return add_pair(form, NSH__FORM_INT, sizeof(short), type->itemsize, count, offset);
    return add_twins(form, strstr(type->name, "INT") != NULL ? NSH__FORM_INT : NSH__FORM_FLOAT,
                     type->itemsize, count, offset);
}

/* Is the type so many numbers of a C type? A Fortran compiler's others may have any layout. */
static bool is_c_real(const nsh__type *type, int64_t parts)
{
    return !type->optional || type->itemsize == parts * (int64_t)sizeof(float) ||
           type->itemsize == parts * (int64_t)sizeof(double);
}

/* A predefined type, known to type.c. */
static bool add_named(nsh__form *form, const nsh__type *type, int64_t count, int64_t offset)
{
    nsh__form_class class_ = NSH__FORM_BYTES;
    bool no_sign = strstr(type->name, "UINT") != NULL || strstr(type->name, "UNSIGNED") != NULL;

    switch (type->class_) {
    case NSH__CLASS_INTEGER:
    case NSH__CLASS_MULTI:
        if (type->itemsize <= 8)
            class_ = no_sign ? NSH__FORM_UINT : NSH__FORM_INT;
        break;
    case NSH__CLASS_FLOAT:
        if (is_c_real(type, 1))
            class_ = NSH__FORM_FLOAT;
        break;
    case NSH__CLASS_COMPLEX:
        if (is_c_real(type, 2))
            class_ = NSH__FORM_COMPLEX;
        break;
    case NSH__CLASS_LOGICAL: /* Fortran's is as large as its INTEGER */
        class_ = type->itemsize == 1 ? NSH__FORM_BOOL : NSH__FORM_INT;
        break;
    case NSH__CLASS_PAIR:
        return add_value_and_index(form, type, count, offset);
    case NSH__CLASS_BYTE:
        class_ = NSH__FORM_UINT;
        break;
    default: /* characters and MPI_PACKED, by their size */
        if (type->itemsize <= 8 && (type->itemsize & (type->itemsize - 1)) == 0)
            class_ = type->handle == MPI_PACKED ? NSH__FORM_UINT : NSH__FORM_INT;
    }
    return nsh__form_add(form, class_, type->itemsize, count, offset);
}

/* A derived type's parts, as MPI_Type_get_contents gives them. */
typedef struct contents {
    int combiner, nints, naddresses, ntypes;
    int *ints;
    MPI_Aint *addresses;
    MPI_Datatype *types;
} contents;

static bool get_contents(MPI_Datatype handle, contents *c)
{
    *c = (contents){.ints = NULL};
    MPI_Type_get_envelope(handle, &c->nints, &c->naddresses, &c->ntypes, &c->combiner);
    if (c->combiner == MPI_COMBINER_NAMED)
        return true;
    c->ints = calloc((size_t)c->nints + 1, sizeof *c->ints);
    c->addresses = calloc((size_t)c->naddresses + 1, sizeof *c->addresses);
    c->types = calloc((size_t)c->ntypes + 1, sizeof(MPI_Datatype));
    if (c->ints == NULL || c->addresses == NULL || c->types == NULL)
        return false;
    return MPI_Type_get_contents(handle, c->nints, c->naddresses, c->ntypes, c->ints, c->addresses,
                                 c->types) == MPI_SUCCESS;
}

static void drop_contents(contents *c)
{
    for (int i = 0; c->types != NULL && i < c->ntypes; i++)
        nsh__type_drop(c->types[i]);
    free(c->types);
    free(c->addresses);
    free(c->ints);
}

static bool add_type(nsh__form *form, MPI_Datatype handle, int64_t count, int64_t offset,
                     int depth);

static bool add_struct(nsh__form *form, const contents *c, int64_t size, int64_t count,
                       int64_t offset, int depth)
{
    int first = form->n, members = c->ints[0];
    bool good = nsh__form_add(form, NSH__FORM_STRUCT, size, count, offset);

    for (int i = 0; i < members && good; i++)
        if (c->ints[1 + i] > 0)
            good = add_type(form, c->types[i], c->ints[1 + i], c->addresses[i], depth - 1);
    if (good)
        nsh__form_close(form, first);
    return good && form->n > first + 1;
}

static int64_t bytes_of(MPI_Datatype handle)
{
    MPI_Count lb, extent = 0;

    MPI_Type_get_extent_x(handle, &lb, &extent);
    return (int64_t)extent;
}

/* The bytes of one element, whatever they mean. */
static bool add_bytes(nsh__form *form, int64_t size, int64_t count, int64_t offset)
{
    return nsh__form_add(form, NSH__FORM_BYTES, size, count, offset);
}

/* A subtree whose root was given another size by MPI_Type_create_resized. */
static bool add_resized(nsh__form *form, MPI_Datatype inner, int64_t size, int64_t count,
                        int64_t offset, int depth)
{
    int first = form->n;

    if (bytes_of(inner) == size)
        return add_type(form, inner, count, offset, depth - 1);
    if (!add_type(form, inner, 1, offset, depth - 1))
        return false;
    if (form->node[first].class_ == NSH__FORM_STRUCT && form->node[first].count == 1) {
        form->node[first].size = size;
        form->node[first].count = count;
        return true;
    }
    form->n = first;
    return add_bytes(form, size, count, offset);
}

/* Rows of one kind, however they were made: vectors, indexed blocks, subarrays without holes. */
static bool add_rows(nsh__form *form, const contents *c, int64_t size, int64_t count,
                     int64_t offset, int depth)
{
    int64_t one = c->ntypes == 1 ? bytes_of(c->types[0]) : 0;
    int64_t each = one > 0 && size % one == 0 ? size / one : 0;

    /* What is several in itself would need one more node; rows of rows are one longer row. */
    if (each > 0 && each <= INT64_MAX / count)
        return add_type(form, c->types[0], each * count, offset, depth - 1);
    return add_bytes(form, size, count, offset);
}

static bool add_derived(nsh__form *form, MPI_Datatype handle, int64_t count, int64_t offset,
                        int depth)
{
    int64_t size = bytes_of(handle);
    contents c;
    bool good = get_contents(handle, &c);

    if (good)
        switch (c.combiner) {
        case MPI_COMBINER_STRUCT:
            good = add_struct(form, &c, size, count, offset, depth);
            break;
        case MPI_COMBINER_RESIZED:
            good = add_resized(form, c.types[0], size, count, offset, depth);
            break;
        case MPI_COMBINER_DUP:
            good = add_type(form, c.types[0], count, offset, depth - 1);
            break;
        case MPI_COMBINER_NAMED: /* one that type.c does not know */
            good = add_bytes(form, size, count, offset);
            break;
        default:
            good = add_rows(form, &c, size, count, offset, depth);
        }
    drop_contents(&c);
    return good;
}

static bool add_type(nsh__form *form, MPI_Datatype handle, int64_t count, int64_t offset, int depth)
{
    nsh__type type;

    if (depth == 0 || nsh__type_describe("nodeshare", -1, handle, &type) != NSH_SUCCESS)
        return false;
    return type.derived ? add_derived(form, handle, count, offset, depth)
                        : add_named(form, &type, count, offset);
}

int nsh__form_of_type(const nsh__type *type, nsh__form *out)
{
    bool good;

    *out = (nsh__form){.n = 0};
    good = type->derived ? add_derived(out, type->handle, 1, 0, NSH__FORM_DEPTH)
                         : add_named(out, type, 1, 0);
    if (!good)
        return nsh__fail(NSH_ERR_TYPE, "datatype %s has more than %d parts or %d levels",
                         type->name, NSH__FORM_NODES, NSH__FORM_DEPTH);
    return NSH_SUCCESS;
}

/* ---- to MPI ---- */

static MPI_Datatype basic(const nsh__form_node *node)
{
    switch (node->class_) {
    case NSH__FORM_INT:
        return node->size == 1   ? MPI_INT8_T
               : node->size == 2 ? MPI_INT16_T
               : node->size == 4 ? MPI_INT32_T
               : node->size == 8 ? MPI_INT64_T
                                 : MPI_DATATYPE_NULL;
    case NSH__FORM_UINT:
        return node->size == 1   ? MPI_UINT8_T
               : node->size == 2 ? MPI_UINT16_T
               : node->size == 4 ? MPI_UINT32_T
               : node->size == 8 ? MPI_UINT64_T
                                 : MPI_DATATYPE_NULL;
    case NSH__FORM_FLOAT:
        return node->size == sizeof(float)         ? MPI_FLOAT
               : node->size == sizeof(double)      ? MPI_DOUBLE
               : node->size == sizeof(long double) ? MPI_LONG_DOUBLE
                                                   : MPI_DATATYPE_NULL;
    case NSH__FORM_COMPLEX:
        return node->size == 2 * sizeof(float)         ? MPI_C_FLOAT_COMPLEX
               : node->size == 2 * sizeof(double)      ? MPI_C_DOUBLE_COMPLEX
               : node->size == 2 * sizeof(long double) ? MPI_C_LONG_DOUBLE_COMPLEX
                                                       : MPI_DATATYPE_NULL;
    case NSH__FORM_BOOL:
        return node->size == 1 ? MPI_C_BOOL : MPI_DATATYPE_NULL;
    case NSH__FORM_TEXT:
        return node->size == 1 ? MPI_CHAR : MPI_DATATYPE_NULL;
    default:
        return MPI_DATATYPE_NULL;
    }
}

static int no_type(const nsh__form *form, const char *why)
{
    char words[128];

    nsh__form_print(form, words, sizeof words);
    return nsh__fail(NSH_ERR_TYPE, "elements %s: %s", words, why);
}

static int make_one(const nsh__form *form, int i, MPI_Datatype *out, bool *derived);

/* count of node i in a row. */
static int make_row(const nsh__form *form, int i, MPI_Datatype *out, bool *derived)
{
    MPI_Datatype one;
    int rc = make_one(form, i, &one, derived);

    if (rc != NSH_SUCCESS || form->node[i].count == 1) {
        *out = one;
        return rc;
    }
    rc = form->node[i].count <= INT32_MAX ? MPI_Type_contiguous((int)form->node[i].count, one, out)
                                          : MPI_ERR_COUNT;
    if (*derived)
        MPI_Type_free(&one);
    *derived = rc == MPI_SUCCESS;
    return rc == MPI_SUCCESS ? NSH_SUCCESS : no_type(form, "too many in a row");
}

static int make_struct(const nsh__form *form, int i, MPI_Datatype *out)
{
    int lengths[NSH__FORM_NODES], n = 0, rc = NSH_SUCCESS;
    MPI_Aint places[NSH__FORM_NODES];
    MPI_Datatype types[NSH__FORM_NODES], packed;
    bool derived[NSH__FORM_NODES];

    for (int k = i + 1; k < i + form->node[i].nodes && rc == NSH_SUCCESS;
         k += form->node[k].nodes) {
        derived[n] = false;
        lengths[n] = 1;
        places[n] = (MPI_Aint)form->node[k].offset;
        rc = make_row(form, k, &types[n], &derived[n]);
        n += rc == NSH_SUCCESS;
    }
    if (rc == NSH_SUCCESS && MPI_Type_create_struct(n, lengths, places, types, &packed) != 0)
        rc = no_type(form, "MPI_Type_create_struct failed");
    if (rc == NSH_SUCCESS) {
        if (MPI_Type_create_resized(packed, 0, (MPI_Aint)form->node[i].size, out) != 0)
            rc = no_type(form, "MPI_Type_create_resized failed");
        MPI_Type_free(&packed);
    }
    for (int k = 0; k < n; k++)
        if (derived[k])
            MPI_Type_free(&types[k]);
    return rc;
}

static int make_one(const nsh__form *form, int i, MPI_Datatype *out, bool *derived)
{
    const nsh__form_node *node = &form->node[i];
    int rc = NSH_SUCCESS;

    *derived = false;
    *out = basic(node);
    if (node->class_ == NSH__FORM_STRUCT)
        rc = make_struct(form, i, out);
    else if (node->class_ == NSH__FORM_BYTES && node->size <= INT32_MAX)
        rc = MPI_Type_contiguous((int)node->size, MPI_BYTE, out) == MPI_SUCCESS
                 ? NSH_SUCCESS
                 : no_type(form, "MPI_Type_contiguous failed");
    else if (*out == MPI_DATATYPE_NULL)
        return no_type(form, "MPI has no type like that here");
    else
        return NSH_SUCCESS;
    *derived = rc == NSH_SUCCESS;
    return rc;
}

int nsh__form_to_mpi(const nsh__form *form, MPI_Datatype *out, bool *derived)
{
    int rc;

    *derived = false;
    if (form->n == 1 && form->node[0].count == 1 && basic(&form->node[0]) != MPI_DATATYPE_NULL) {
        *out = basic(&form->node[0]);
        return NSH_SUCCESS;
    }
    if (!nsh__mpi_alive())
        return no_type(form, "derived types need MPI");
    rc = make_row(form, 0, out, derived);
    if (rc == NSH_SUCCESS && *derived)
        MPI_Type_commit(out);
    return rc;
}

/* ---- compare, check, print ---- */

static bool is_byte(const nsh__form_node *node)
{
    return node->size == 1 && (node->class_ == NSH__FORM_INT || node->class_ == NSH__FORM_UINT ||
                               node->class_ == NSH__FORM_TEXT);
}

/* The element's bytes without a meaning, as one number; 0: they have one. */
static int64_t plain_bytes(const nsh__form_node *node)
{
    return node->class_ == NSH__FORM_BYTES || is_byte(node) ? node->size * node->count : 0;
}

bool nsh__form_equal(const nsh__form *a, const nsh__form *b)
{
    if (a->n == 1 && b->n == 1 && plain_bytes(&a->node[0]) > 0)
        return plain_bytes(&a->node[0]) == plain_bytes(&b->node[0]);
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++) {
        const nsh__form_node *x = &a->node[i], *y = &b->node[i];
        bool alike = x->class_ == y->class_ || (is_byte(x) && is_byte(y));

        if (!alike || x->nodes != y->nodes || x->size != y->size || x->count != y->count ||
            (i > 0 && x->offset != y->offset))
            return false;
    }
    return true;
}

static bool valid_node(const nsh__form *form, int i, int end, int depth)
{
    const nsh__form_node *node = &form->node[i];

    if (depth == 0 || node->size <= 0 || node->count <= 0 || node->nodes < 1 ||
        node->nodes > end - i || node->count > INT64_MAX / node->size)
        return false;
    if (node->class_ != NSH__FORM_STRUCT)
        return node->nodes == 1 && node->class_ >= NSH__FORM_INT && node->class_ < NSH__FORM_STRUCT;
    for (int k = i + 1; k < i + node->nodes; k += form->node[k].nodes) {
        const nsh__form_node *member = &form->node[k];

        if (!valid_node(form, k, i + node->nodes, depth - 1) || member->offset < 0 ||
            member->offset > node->size ||
            member->size * member->count > node->size - member->offset)
            return false;
    }
    return node->nodes > 1;
}

bool nsh__form_valid(const nsh__form *form)
{
    return form->n >= 1 && form->n <= NSH__FORM_NODES && form->node[0].nodes == form->n &&
           valid_node(form, 0, form->n, NSH__FORM_DEPTH + 1);
}

__attribute__((format(printf, 3, 4))) static void append(char *out, int bytes, const char *format,
                                                         ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    vsnprintf(out + used, (size_t)bytes - used, format, args);
    va_end(args);
}

static void print_node(const nsh__form *form, int i, char *out, int bytes)
{
    static const char *const names[] = {"?",    "int",     "uint",  "float", "bool",
                                        "text", "complex", "bytes", "struct"};
    const nsh__form_node *node = &form->node[i];
    int class_ = node->class_;

    if (class_ == NSH__FORM_STRUCT) {
        append(out, bytes, "{");
        for (int k = i + 1; k < i + node->nodes; k += form->node[k].nodes) {
            append(out, bytes, "%s", k == i + 1 ? "" : ", ");
            print_node(form, k, out, bytes);
        }
        append(out, bytes, "}");
    } else if (class_ == NSH__FORM_BYTES) {
        append(out, bytes, "bytes%" PRId64, node->size);
    } else if (class_ == NSH__FORM_BOOL || class_ == NSH__FORM_TEXT) {
        append(out, bytes, "%s", names[class_]);
    } else {
        append(out, bytes, "%s%" PRId64, names[class_], 8 * node->size);
    }
    if (node->count > 1)
        append(out, bytes, "[%" PRId64 "]", node->count);
}

void nsh__form_print(const nsh__form *form, char *out, int bytes)
{
    out[0] = '\0';
    if (form->n > 0)
        print_node(form, 0, out, bytes);
}
