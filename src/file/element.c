/* SPDX-License-Identifier: BSD-3-Clause */
/* element.c -- element types, to and from MPI datatypes.
 *
 * Invariant: the nodes of subtree i are i .. i + node[i].nodes - 1. */
#include "file/element.h"

#include "base/error.h"

#include <nodeshare/error.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool nsh__element_add(nsh__element *element, nsh__element_class class_, int64_t size, int64_t count,
                      int64_t offset)
{
    if (element->n >= NSH__ELEMENT_NODES)
        return false;
    element->node[element->n++] = (nsh__element_node){class_, 1, size, count, offset};
    return true;
}

void nsh__element_close(nsh__element *element, int first)
{
    element->node[first].nodes = element->n - first;
}

/* ---- from MPI ---- */

static bool add_pair(nsh__element *element, nsh__element_class value, int64_t value_size,
                     int64_t size, int64_t count, int64_t offset)
{
    int first = element->n;
    int64_t second = value_size > (int64_t)sizeof(int) ? value_size : (int64_t)sizeof(int);
    bool good = nsh__element_add(element, NSH__ELEMENT_STRUCT, size, count, offset) &&
                nsh__element_add(element, value, value_size, 1, 0);

    good = good && nsh__element_add(element, NSH__ELEMENT_INT, (int64_t)sizeof(int), 1, second);
    if (good)
        nsh__element_close(element, first);
    return good;
}

/* MPI_2REAL and similar types: two numbers of the same type. */
static bool add_twins(nsh__element *element, nsh__element_class kind, int64_t size, int64_t count,
                      int64_t offset)
{
    int first = element->n;
    bool good = nsh__element_add(element, NSH__ELEMENT_STRUCT, size, count, offset) &&
                nsh__element_add(element, kind, size / 2, 1, 0) &&
                nsh__element_add(element, kind, size / 2, 1, size / 2);

    if (good)
        nsh__element_close(element, first);
    return good;
}

static bool add_value_and_index(nsh__element *element, const nsh__type *type, int64_t count,
                                int64_t offset)
{
    MPI_Datatype t = type->handle;

    if (t == MPI_FLOAT_INT)
        return add_pair(element, NSH__ELEMENT_FLOAT, sizeof(float), type->itemsize, count, offset);
    if (t == MPI_DOUBLE_INT)
        return add_pair(element, NSH__ELEMENT_FLOAT, sizeof(double), type->itemsize, count, offset);
    if (t == MPI_LONG_DOUBLE_INT)
        return add_pair(element, NSH__ELEMENT_FLOAT, sizeof(long double), type->itemsize, count,
                        offset);
    if (t == MPI_LONG_INT)
        return add_pair(element, NSH__ELEMENT_INT, sizeof(long), type->itemsize, count, offset);
    if (t == MPI_SHORT_INT)
        return add_pair(element, NSH__ELEMENT_INT, sizeof(short), type->itemsize, count, offset);
    return add_twins(element,
                     strstr(type->name, "INT") != NULL ? NSH__ELEMENT_INT : NSH__ELEMENT_FLOAT,
                     type->itemsize, count, offset);
}

/* Does the type consist of `parts` C numbers? Other types of a Fortran compiler may have any
 * layout. */
static bool is_c_real(const nsh__type *type, int64_t parts)
{
    return !type->optional || type->itemsize == parts * (int64_t)sizeof(float) ||
           type->itemsize == parts * (int64_t)sizeof(double);
}

/* A predefined type, known to type.c. */
static bool add_named(nsh__element *element, const nsh__type *type, int64_t count, int64_t offset)
{
    nsh__element_class class_ = NSH__ELEMENT_BYTES;
    bool no_sign = strstr(type->name, "UINT") != NULL || strstr(type->name, "UNSIGNED") != NULL;

    switch (type->class_) {
    case NSH__CLASS_INTEGER:
    case NSH__CLASS_MULTI:
        if (type->itemsize <= 8)
            class_ = no_sign ? NSH__ELEMENT_UINT : NSH__ELEMENT_INT;
        break;
    case NSH__CLASS_FLOAT:
        if (is_c_real(type, 1))
            class_ = NSH__ELEMENT_FLOAT;
        break;
    case NSH__CLASS_COMPLEX:
        if (is_c_real(type, 2))
            class_ = NSH__ELEMENT_COMPLEX;
        break;
    case NSH__CLASS_LOGICAL: /* Fortran's LOGICAL is as large as its INTEGER */
        class_ = type->itemsize == 1 ? NSH__ELEMENT_BOOL : NSH__ELEMENT_INT;
        break;
    case NSH__CLASS_PAIR:
        return add_value_and_index(element, type, count, offset);
    case NSH__CLASS_BYTE:
        class_ = NSH__ELEMENT_UINT;
        break;
    default: /* characters and MPI_PACKED, by their size */
        if (type->itemsize <= 8 && (type->itemsize & (type->itemsize - 1)) == 0)
            class_ = type->handle == MPI_PACKED ? NSH__ELEMENT_UINT : NSH__ELEMENT_INT;
    }
    return nsh__element_add(element, class_, type->itemsize, count, offset);
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

static bool add_type(nsh__element *element, MPI_Datatype handle, int64_t count, int64_t offset,
                     int depth);

static bool add_struct(nsh__element *element, const contents *c, int64_t size, int64_t count,
                       int64_t offset, int depth)
{
    int first = element->n, members = c->ints[0];
    bool good = nsh__element_add(element, NSH__ELEMENT_STRUCT, size, count, offset);

    for (int i = 0; i < members && good; i++)
        if (c->ints[1 + i] > 0)
            good = add_type(element, c->types[i], c->ints[1 + i], c->addresses[i], depth - 1);
    if (good)
        nsh__element_close(element, first);
    return good && element->n > first + 1;
}

static int64_t bytes_of(MPI_Datatype handle)
{
    MPI_Count lb, extent = 0;

    MPI_Type_get_extent_x(handle, &lb, &extent);
    return (int64_t)extent;
}

/* Add bytes without a meaning, as many as one element has. */
static bool add_bytes(nsh__element *element, int64_t size, int64_t count, int64_t offset)
{
    return nsh__element_add(element, NSH__ELEMENT_BYTES, size, count, offset);
}

/* Add a subtree whose root has another size by MPI_Type_create_resized. */
static bool add_resized(nsh__element *element, MPI_Datatype inner, int64_t size, int64_t count,
                        int64_t offset, int depth)
{
    int first = element->n;

    if (bytes_of(inner) == size)
        return add_type(element, inner, count, offset, depth - 1);
    if (!add_type(element, inner, 1, offset, depth - 1))
        return false;
    if (element->node[first].class_ == NSH__ELEMENT_STRUCT && element->node[first].count == 1) {
        element->node[first].size = size;
        element->node[first].count = count;
        return true;
    }
    element->n = first;
    return add_bytes(element, size, count, offset);
}

/* Add rows of one type, made in any way: vectors, indexed blocks, subarrays without holes. */
static bool add_rows(nsh__element *element, const contents *c, int64_t size, int64_t count,
                     int64_t offset, int depth)
{
    int64_t one = c->ntypes == 1 ? bytes_of(c->types[0]) : 0;
    int64_t each = one > 0 && size % one == 0 ? size / one : 0;

    /* Rows of rows become one longer row: otherwise each would need a node more. */
    if (each > 0 && each <= INT64_MAX / count)
        return add_type(element, c->types[0], each * count, offset, depth - 1);
    return add_bytes(element, size, count, offset);
}

static bool add_derived(nsh__element *element, MPI_Datatype handle, int64_t count, int64_t offset,
                        int depth)
{
    int64_t size = bytes_of(handle);
    contents c;
    bool good = get_contents(handle, &c);

    if (good)
        switch (c.combiner) {
        case MPI_COMBINER_STRUCT:
            good = add_struct(element, &c, size, count, offset, depth);
            break;
        case MPI_COMBINER_RESIZED:
            good = add_resized(element, c.types[0], size, count, offset, depth);
            break;
        case MPI_COMBINER_DUP:
            good = add_type(element, c.types[0], count, offset, depth - 1);
            break;
        case MPI_COMBINER_NAMED: /* a type that type.c does not know */
            good = add_bytes(element, size, count, offset);
            break;
        default:
            good = add_rows(element, &c, size, count, offset, depth);
        }
    drop_contents(&c);
    return good;
}

static bool add_type(nsh__element *element, MPI_Datatype handle, int64_t count, int64_t offset,
                     int depth)
{
    nsh__type type;

    if (depth == 0 || nsh__type_init("nodeshare", -1, handle, &type) != NSH_SUCCESS)
        return false;
    return type.derived ? add_derived(element, handle, count, offset, depth)
                        : add_named(element, &type, count, offset);
}

int nsh__element_of_type(const nsh__type *type, nsh__element *out)
{
    bool good;

    *out = (nsh__element){.n = 0};
    good = type->derived ? add_derived(out, type->handle, 1, 0, NSH__ELEMENT_DEPTH)
                         : add_named(out, type, 1, 0);
    if (!good)
        return nsh__fail(NSH_ERR_TYPE, "datatype %s has more than %d parts or %d levels",
                         type->name, NSH__ELEMENT_NODES, NSH__ELEMENT_DEPTH);
    return NSH_SUCCESS;
}

/* ---- to MPI ---- */

static MPI_Datatype basic_type(const nsh__element_node *node)
{
    switch (node->class_) {
    case NSH__ELEMENT_INT:
        return node->size == 1   ? MPI_INT8_T
               : node->size == 2 ? MPI_INT16_T
               : node->size == 4 ? MPI_INT32_T
               : node->size == 8 ? MPI_INT64_T
                                 : MPI_DATATYPE_NULL;
    case NSH__ELEMENT_UINT:
        return node->size == 1   ? MPI_UINT8_T
               : node->size == 2 ? MPI_UINT16_T
               : node->size == 4 ? MPI_UINT32_T
               : node->size == 8 ? MPI_UINT64_T
                                 : MPI_DATATYPE_NULL;
    case NSH__ELEMENT_FLOAT:
        return node->size == sizeof(float)         ? MPI_FLOAT
               : node->size == sizeof(double)      ? MPI_DOUBLE
               : node->size == sizeof(long double) ? MPI_LONG_DOUBLE
                                                   : MPI_DATATYPE_NULL;
    case NSH__ELEMENT_COMPLEX:
        return node->size == 2 * sizeof(float)         ? MPI_C_FLOAT_COMPLEX
               : node->size == 2 * sizeof(double)      ? MPI_C_DOUBLE_COMPLEX
               : node->size == 2 * sizeof(long double) ? MPI_C_LONG_DOUBLE_COMPLEX
                                                       : MPI_DATATYPE_NULL;
    case NSH__ELEMENT_BOOL:
        return node->size == 1 ? MPI_C_BOOL : MPI_DATATYPE_NULL;
    case NSH__ELEMENT_TEXT:
        return node->size == 1 ? MPI_CHAR : MPI_DATATYPE_NULL;
    default:
        return MPI_DATATYPE_NULL;
    }
}

static int fail_no_type(const nsh__element *element, const char *why)
{
    char words[128];

    nsh__element_print(element, words, sizeof words);
    return nsh__fail(NSH_ERR_TYPE, "elements %s: %s", words, why);
}

static int make_one(const nsh__element *element, int i, MPI_Datatype *out, bool *derived);

/* Make a datatype of all items of node i in a row. */
static int make_row(const nsh__element *element, int i, MPI_Datatype *out, bool *derived)
{
    MPI_Datatype one;
    int rc = make_one(element, i, &one, derived);

    if (rc != NSH_SUCCESS || element->node[i].count == 1) {
        *out = one;
        return rc;
    }
    rc = element->node[i].count <= INT32_MAX
             ? MPI_Type_contiguous((int)element->node[i].count, one, out)
             : MPI_ERR_COUNT;
    if (*derived)
        MPI_Type_free(&one);
    *derived = rc == MPI_SUCCESS;
    return rc == MPI_SUCCESS ? NSH_SUCCESS : fail_no_type(element, "too many in a row");
}

static int make_struct(const nsh__element *element, int i, MPI_Datatype *out)
{
    int lengths[NSH__ELEMENT_NODES], n = 0, rc = NSH_SUCCESS;
    MPI_Aint places[NSH__ELEMENT_NODES];
    MPI_Datatype types[NSH__ELEMENT_NODES], packed;
    bool derived[NSH__ELEMENT_NODES];

    for (int k = i + 1; k < i + element->node[i].nodes && rc == NSH_SUCCESS;
         k += element->node[k].nodes) {
        derived[n] = false;
        lengths[n] = 1;
        places[n] = (MPI_Aint)element->node[k].offset;
        rc = make_row(element, k, &types[n], &derived[n]);
        n += rc == NSH_SUCCESS;
    }
    if (rc == NSH_SUCCESS && MPI_Type_create_struct(n, lengths, places, types, &packed) != 0)
        rc = fail_no_type(element, "MPI_Type_create_struct failed");
    if (rc == NSH_SUCCESS) {
        if (MPI_Type_create_resized(packed, 0, (MPI_Aint)element->node[i].size, out) != 0)
            rc = fail_no_type(element, "MPI_Type_create_resized failed");
        MPI_Type_free(&packed);
    }
    for (int k = 0; k < n; k++)
        if (derived[k])
            MPI_Type_free(&types[k]);
    return rc;
}

static int make_one(const nsh__element *element, int i, MPI_Datatype *out, bool *derived)
{
    const nsh__element_node *node = &element->node[i];
    int rc = NSH_SUCCESS;

    *derived = false;
    *out = basic_type(node);
    if (node->class_ == NSH__ELEMENT_STRUCT)
        rc = make_struct(element, i, out);
    else if (node->class_ == NSH__ELEMENT_BYTES && node->size <= INT32_MAX)
        rc = MPI_Type_contiguous((int)node->size, MPI_BYTE, out) == MPI_SUCCESS
                 ? NSH_SUCCESS
                 : fail_no_type(element, "MPI_Type_contiguous failed");
    else if (*out == MPI_DATATYPE_NULL)
        return fail_no_type(element, "MPI has no type like that here");
    else
        return NSH_SUCCESS;
    *derived = rc == NSH_SUCCESS;
    return rc;
}

int nsh__element_to_mpi(const nsh__element *element, MPI_Datatype *out, bool *derived)
{
    int rc;

    *derived = false;
    if (element->n == 1 && element->node[0].count == 1 &&
        basic_type(&element->node[0]) != MPI_DATATYPE_NULL) {
        *out = basic_type(&element->node[0]);
        return NSH_SUCCESS;
    }
    if (!nsh__mpi_alive())
        return fail_no_type(element, "derived types need MPI");
    rc = make_row(element, 0, out, derived);
    if (rc == NSH_SUCCESS && *derived)
        MPI_Type_commit(out);
    return rc;
}

/* ---- compare, check, print ---- */

static bool is_byte(const nsh__element_node *node)
{
    return node->size == 1 &&
           (node->class_ == NSH__ELEMENT_INT || node->class_ == NSH__ELEMENT_UINT ||
            node->class_ == NSH__ELEMENT_TEXT);
}

/* The number of the element's bytes if they have no meaning, else 0. */
static int64_t plain_bytes(const nsh__element_node *node)
{
    return node->class_ == NSH__ELEMENT_BYTES || is_byte(node) ? node->size * node->count : 0;
}

bool nsh__element_equal(const nsh__element *a, const nsh__element *b)
{
    if (a->n == 1 && b->n == 1 && plain_bytes(&a->node[0]) > 0)
        return plain_bytes(&a->node[0]) == plain_bytes(&b->node[0]);
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++) {
        const nsh__element_node *x = &a->node[i], *y = &b->node[i];
        bool alike = x->class_ == y->class_ || (is_byte(x) && is_byte(y));

        if (!alike || x->nodes != y->nodes || x->size != y->size || x->count != y->count ||
            (i > 0 && x->offset != y->offset))
            return false;
    }
    return true;
}

static bool valid_node(const nsh__element *element, int i, int end, int depth)
{
    const nsh__element_node *node = &element->node[i];

    if (depth == 0 || node->size <= 0 || node->count <= 0 || node->nodes < 1 ||
        node->nodes > end - i || node->count > INT64_MAX / node->size)
        return false;
    if (node->class_ != NSH__ELEMENT_STRUCT)
        return node->nodes == 1 && node->class_ >= NSH__ELEMENT_INT &&
               node->class_ < NSH__ELEMENT_STRUCT;
    for (int k = i + 1; k < i + node->nodes; k += element->node[k].nodes) {
        const nsh__element_node *member = &element->node[k];

        if (!valid_node(element, k, i + node->nodes, depth - 1) || member->offset < 0 ||
            member->offset > node->size ||
            member->size * member->count > node->size - member->offset)
            return false;
    }
    return node->nodes > 1;
}

bool nsh__element_valid(const nsh__element *element)
{
    return element->n >= 1 && element->n <= NSH__ELEMENT_NODES &&
           element->node[0].nodes == element->n &&
           valid_node(element, 0, element->n, NSH__ELEMENT_DEPTH + 1);
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

static void print_node(const nsh__element *element, int i, char *out, int bytes)
{
    static const char *const names[] = {"?",    "int",     "uint",  "float", "bool",
                                        "text", "complex", "bytes", "struct"};
    const nsh__element_node *node = &element->node[i];
    int class_ = node->class_;

    if (class_ == NSH__ELEMENT_STRUCT) {
        append(out, bytes, "{");
        for (int k = i + 1; k < i + node->nodes; k += element->node[k].nodes) {
            append(out, bytes, "%s", k == i + 1 ? "" : ", ");
            print_node(element, k, out, bytes);
        }
        append(out, bytes, "}");
    } else if (class_ == NSH__ELEMENT_BYTES) {
        append(out, bytes, "bytes%" PRId64, node->size);
    } else if (class_ == NSH__ELEMENT_BOOL || class_ == NSH__ELEMENT_TEXT) {
        append(out, bytes, "%s", names[class_]);
    } else {
        append(out, bytes, "%s%" PRId64, names[class_], 8 * node->size);
    }
    if (node->count > 1)
        append(out, bytes, "[%" PRId64 "]", node->count);
}

void nsh__element_print(const nsh__element *element, char *out, int bytes)
{
    out[0] = '\0';
    if (element->n > 0)
        print_node(element, 0, out, bytes);
}
