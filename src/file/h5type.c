/* SPDX-License-Identifier: BSD-3-Clause */
/* h5type.c -- HDF5's types and element types.
 *
 * Invariant: memory_type(type_of(element)) is plain, and its element type is that element. */
#include "file/h5.h"

#ifdef NSH_HDF5

#include "base/error.h"
#include "file/h5private.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- from an element type ---- */

static hid_t float_type(int64_t size)
{
    return size == sizeof(float)         ? H5Tcopy(H5T_NATIVE_FLOAT)
           : size == sizeof(double)      ? H5Tcopy(H5T_NATIVE_DOUBLE)
           : size == sizeof(long double) ? H5Tcopy(H5T_NATIVE_LDOUBLE)
                                         : -1;
}

static hid_t integer_type(int64_t size, bool with_sign)
{
    switch (size) {
    case 1:
        return H5Tcopy(with_sign ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8);
    case 2:
        return H5Tcopy(with_sign ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16);
    case 4:
        return H5Tcopy(with_sign ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32);
    case 8:
        return H5Tcopy(with_sign ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64);
    default:
        return -1;
    }
}

/* Complex numbers as h5py writes them. */
static hid_t complex_type(int64_t size)
{
    hid_t part = float_type(size / 2), whole = H5Tcreate(H5T_COMPOUND, (size_t)size);

    bool good = part >= 0 && whole >= 0 && H5Tinsert(whole, "r", 0, part) >= 0 &&
                H5Tinsert(whole, "i", (size_t)(size / 2), part) >= 0;

    if (part >= 0)
        H5Tclose(part);
    if (!good && whole >= 0)
        H5Tclose(whole);
    return good ? whole : -1;
}

static hid_t bool_type(void)
{
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    int8_t no = 0, yes = 1;

    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

static hid_t text_type_of_length(int64_t length)
{
    hid_t type = H5Tcopy(H5T_C_S1);

    H5Tset_size(type, (size_t)length);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

static hid_t type_of_row(const nsh__element *element, int i);

/* MPI's structs have no names for their members: they are f0, f1, ... as in NumPy. */
static hid_t struct_type(const nsh__element *element, int i)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, (size_t)element->node[i].size);
    int n = 0;

    for (int k = i + 1; k < i + element->node[i].nodes && type >= 0; k += element->node[k].nodes) {
        hid_t member = type_of_row(element, k);
        char name[16];

        snprintf(name, sizeof name, "f%d", n++);
        if (member < 0 || H5Tinsert(type, name, (size_t)element->node[k].offset, member) < 0) {
            H5Tclose(type);
            type = -1;
        }
        if (member >= 0)
            H5Tclose(member);
    }
    return type;
}

static hid_t type_of_one(const nsh__element *element, int i)
{
    int64_t size = element->node[i].size;

    switch (element->node[i].class_) {
    case NSH__ELEMENT_INT:
    case NSH__ELEMENT_UINT:
        return integer_type(size, element->node[i].class_ == NSH__ELEMENT_INT);
    case NSH__ELEMENT_FLOAT:
        return float_type(size);
    case NSH__ELEMENT_BOOL:
        return bool_type();
    case NSH__ELEMENT_COMPLEX:
        return complex_type(size);
    case NSH__ELEMENT_STRUCT:
        return struct_type(element, i);
    default:
        return H5Tcreate(H5T_OPAQUE, (size_t)size);
    }
}

static hid_t type_of_row(const nsh__element *element, int i)
{
    hsize_t count = (hsize_t)element->node[i].count;
    hid_t one, row;

    if (element->node[i].class_ == NSH__ELEMENT_TEXT)
        return text_type_of_length(element->node[i].count);
    one = type_of_one(element, i);
    if (count == 1 || one < 0)
        return one;
    row = H5Tarray_create2(one, 1, &count);
    H5Tclose(one);
    return row;
}

hid_t nsh__h5_type_of(const nsh__element *element)
{
    return type_of_row(element, 0);
}

/* ---- types that a file knows by name ---- */

/* The hash of a subtree: equal for structs with the same members. */
static uint64_t hash_of_subtree(const nsh__element *element, int i)
{
    uint64_t hash = (uint64_t)element->node[i].size;

    for (int k = i + 1; k < i + element->node[i].nodes; k++) {
        const nsh__element_node *node = &element->node[k];

        hash = nsh__mix(nsh__mix(hash, (uint64_t)node->class_), (uint64_t)node->nodes);
        hash = nsh__mix(nsh__mix(hash, (uint64_t)node->size), (uint64_t)node->count);
        hash = nsh__mix(hash, (uint64_t)node->offset);
    }
    return hash;
}

/* The name of a type in the file: equal types have the same name. */
static void name_type(const nsh__element *element, int i, char *out, size_t bytes)
{
    const nsh__element_node *node = &element->node[i];

    if (node->class_ == NSH__ELEMENT_BOOL)
        snprintf(out, bytes, "_bool");
    else if (node->class_ == NSH__ELEMENT_COMPLEX)
        snprintf(out, bytes, "_complex%" PRId64, 8 * node->size);
    else if (node->class_ == NSH__ELEMENT_BYTES)
        snprintf(out, bytes, "_bytes%" PRId64, node->size);
    else
        snprintf(out, bytes, "_struct_%016" PRIx64, hash_of_subtree(element, i));
}

int nsh__h5_commit_types(hid_t file, const nsh__element *element)
{
    char name[40];
    hid_t type;
    int rc = 0;

    for (int i = element->n - 1; i >= 0 && rc >= 0; i--) { /* members before structs */
        int class_ = element->node[i].class_;

        if (class_ != NSH__ELEMENT_BOOL && class_ != NSH__ELEMENT_COMPLEX &&
            class_ != NSH__ELEMENT_BYTES && class_ != NSH__ELEMENT_STRUCT)
            continue;
        name_type(element, i, name, sizeof name);
        if (H5Lexists(file, name, H5P_DEFAULT) > 0)
            continue;
        type = type_of_one(element, i);
        rc = type >= 0 ? H5Tcommit2(file, name, type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : -1;
        if (type >= 0)
            H5Tclose(type);
    }
    return rc;
}

/* ---- types in memory ---- */

/* Does the type mean in memory what it means in the file? */
static bool is_plain(hid_t type)
{
    H5T_class_t class_ = H5Tget_class(type);
    int members = class_ == H5T_COMPOUND ? H5Tget_nmembers(type) : 0;
    bool plain = true;
    hid_t inner;

    switch (class_) {
    case H5T_OPAQUE:
        return true;
    case H5T_STRING:
        return H5Tis_variable_str(type) == 0;
    case H5T_COMPOUND:
        for (int i = 0; i < members && plain; i++) {
            inner = H5Tget_member_type(type, (unsigned)i);
            plain = inner >= 0 && is_plain(inner);
            if (inner >= 0)
                H5Tclose(inner);
        }
        return plain && members > 0;
    case H5T_ARRAY:
    case H5T_ENUM:
        inner = H5Tget_super(type);
        plain = inner >= 0 && is_plain(inner);
        break;
    case H5T_INTEGER:
    case H5T_FLOAT:
    case H5T_BITFIELD:
        inner = H5Tget_native_type(type, H5T_DIR_ASCEND);
        plain = inner >= 0 && H5Tequal(inner, type) > 0;
        break;
    default:
        return false;
    }
    if (inner >= 0)
        H5Tclose(inner);
    return plain;
}

hid_t nsh__h5_memory_type(hid_t in_file, bool *plain)
{
    *plain = is_plain(in_file);
    return *plain ? H5Tcopy(in_file) : H5Tget_native_type(in_file, H5T_DIR_ASCEND);
}

/* ---- to an element type ---- */

static bool same_name(hid_t type, unsigned member, const char *a, const char *b, const char *c)
{
    char *name = H5Tget_member_name(type, member);
    bool same =
        name != NULL && (strcmp(name, a) == 0 || strcmp(name, b) == 0 || strcmp(name, c) == 0);

    H5free_memory(name);
    return same;
}

static bool is_complex(hid_t type, int64_t size)
{
    bool is = H5Tget_nmembers(type) == 2 && same_name(type, 0, "r", "re", "real") &&
              same_name(type, 1, "i", "im", "imag") && H5Tget_member_offset(type, 0) == 0 &&
              H5Tget_member_offset(type, 1) == (size_t)size / 2;

    for (unsigned i = 0; i < 2 && is; i++) {
        hid_t part = H5Tget_member_type(type, i);

        is = H5Tget_class(part) == H5T_FLOAT && 2 * H5Tget_size(part) == (size_t)size;
        H5Tclose(part);
    }
    return is;
}

static bool is_bool(hid_t type)
{
    int8_t no = -1, yes = -1;

    if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2)
        return false;
    return H5Tenum_valueof(type, "FALSE", &no) >= 0 && H5Tenum_valueof(type, "TRUE", &yes) >= 0 &&
           no == 0 && yes == 1;
}

static bool add_h5_type(nsh__element *element, hid_t type, int64_t count, int64_t offset,
                        int depth);

static bool add_super(nsh__element *element, hid_t type, int64_t count, int64_t offset, int depth)
{
    hid_t inner = H5Tget_super(type);
    bool good = inner >= 0 && add_h5_type(element, inner, count, offset, depth - 1);

    if (inner >= 0)
        H5Tclose(inner);
    return good;
}

static bool add_array(nsh__element *element, hid_t type, int64_t count, int64_t offset, int depth)
{
    hsize_t dims[H5S_MAX_RANK];
    int n = H5Tget_array_ndims(type);

    if (n < 0 || n > H5S_MAX_RANK || H5Tget_array_dims2(type, dims) < 0)
        return false;
    for (int d = 0; d < n; d++) {
        if (dims[d] == 0 || dims[d] > INT64_MAX / (hsize_t)count)
            return false;
        count *= (int64_t)dims[d];
    }
    return add_super(element, type, count, offset, depth);
}

static bool add_compound(nsh__element *element, hid_t type, int64_t count, int64_t offset,
                         int depth)
{
    int first = element->n, members = H5Tget_nmembers(type);
    int64_t size = (int64_t)H5Tget_size(type);
    bool good;

    if (is_complex(type, size))
        return nsh__element_add(element, NSH__ELEMENT_COMPLEX, size, count, offset);
    good = members > 0 && nsh__element_add(element, NSH__ELEMENT_STRUCT, size, count, offset);
    for (int i = 0; i < members && good; i++) {
        hid_t member = H5Tget_member_type(type, (unsigned)i);

        good =
            member >= 0 && add_h5_type(element, member, 1,
                                       (int64_t)H5Tget_member_offset(type, (unsigned)i), depth - 1);
        if (member >= 0)
            H5Tclose(member);
    }
    if (good)
        nsh__element_close(element, first);
    return good;
}

static bool add_h5_type(nsh__element *element, hid_t type, int64_t count, int64_t offset, int depth)
{
    int64_t size = (int64_t)H5Tget_size(type);

    if (depth == 0 || size <= 0 || count > INT64_MAX / size)
        return false;
    switch (H5Tget_class(type)) {
    case H5T_INTEGER:
        return nsh__element_add(
            element, H5Tget_sign(type) == H5T_SGN_2 ? NSH__ELEMENT_INT : NSH__ELEMENT_UINT, size,
            count, offset);
    case H5T_BITFIELD:
        return nsh__element_add(element, NSH__ELEMENT_UINT, size, count, offset);
    case H5T_FLOAT:
        return nsh__element_add(element, NSH__ELEMENT_FLOAT, size, count, offset);
    case H5T_STRING:
        return H5Tis_variable_str(type) == 0 &&
               nsh__element_add(element, NSH__ELEMENT_TEXT, 1, count * size, offset);
    case H5T_OPAQUE:
        return nsh__element_add(element, NSH__ELEMENT_BYTES, size, count, offset);
    case H5T_ENUM:
        if (is_bool(type))
            return nsh__element_add(element, NSH__ELEMENT_BOOL, 1, count, offset);
        return add_super(element, type, count, offset, depth);
    case H5T_ARRAY:
        return add_array(element, type, count, offset, depth);
    case H5T_COMPOUND:
        return add_compound(element, type, count, offset, depth);
    default: /* references and variable length: an array cannot hold their bytes */
        return false;
    }
}

int nsh__h5_element_of(const char *call, const char *name, hid_t type, nsh__element *out)
{
    *out = (nsh__element){.n = 0};
    if (add_h5_type(out, type, 1, 0, NSH__ELEMENT_DEPTH) && nsh__element_valid(out))
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_TYPE,
                     "%s: elements of \"%.100s\" have no fixed size, or more than %d "
                     "parts or %d levels",
                     call, name, NSH__ELEMENT_NODES, NSH__ELEMENT_DEPTH);
}

#else
typedef int nsh__h5type_unused; /* ISO C forbids an empty translation unit */
#endif
