/* SPDX-License-Identifier: BSD-3-Clause */
/* h5attr.c -- attributes.
 *
 * Invariant: what is written is what netCDF-4 would have written in its place. */
#define _GNU_SOURCE
#include "file/h5.h"

#ifdef NSH_HDF5

#include "base/error.h"
#include "base/fault.h"
#include "file/h5private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *object_name(const char *name)
{
    return name != NULL && name[0] != '\0' ? name : "/";
}

static int fail_no_object(const char *call, const char *name)
{
    return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no object \"%.120s\" in the file", call, name);
}

/* ---- set ---- */

static hid_t attr_text_type(int64_t n)
{
    hid_t type = H5Tcopy(H5T_C_S1);

    H5Tset_size(type, (size_t)(n > 0 ? n : 1));
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

static int put_attr(hid_t at, const char *attr, hid_t type, int64_t n, bool scalar,
                    const void *values)
{
    hsize_t count = (hsize_t)n;
    hid_t space = scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, NULL), id;
    int rc = -1;

    if (H5Aexists(at, attr) > 0)
        H5Adelete(at, attr);
    id = H5Acreate2(at, attr, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (id >= 0) {
        rc = H5Awrite(id, type, values) < 0 || nsh__fault(h5_attr) ? -1 : 0;
        H5Aclose(id);
    }
    H5Sclose(space);
    return rc;
}

/* Write the text as a string of variable length: its bytes are not in the object header, which has
 * at most 64 KiB. */
static int put_long_text(hid_t at, const char *attr, int64_t n, const char *text)
{
    char *copy = strndup(text, (size_t)n); /* ends with a NUL */
    hid_t type;
    int rc = -1;

    if (copy == NULL)
        return -1;
    type = attr_text_type(n);
    if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_strpad(type, H5T_STR_NULLTERM) >= 0)
        rc = put_attr(at, attr, type, 1, true, &copy);
    H5Tclose(type);
    free(copy);
    return rc;
}

int nsh__h5_put_text(hid_t at, const char *attr, int64_t n, const char *text)
{
    hid_t type;
    int rc;

    if (n > NSH__ATTR_SHORT)
        return put_long_text(at, attr, n, text);
    type = attr_text_type(n);
    rc = put_attr(at, attr, type, 1, true, n > 0 ? text : "");
    H5Tclose(type);
    return rc;
}

static hid_t memory_type(nsh_attr_type type)
{
    return type == NSH_ATTR_DOUBLE  ? H5T_NATIVE_DOUBLE
           : type == NSH_ATTR_FLOAT ? H5T_NATIVE_FLOAT
           : type == NSH_ATTR_INT32 ? H5T_NATIVE_INT32
                                    : H5T_NATIVE_INT64;
}

int nsh__h5_set_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t n, const void *values)
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = NSH_SUCCESS, put;
    hid_t at;

    if (!nsh__h5_exists(h5, name)) {
        rc = fail_no_object(call, name);
    } else {
        at = H5Oopen(h5->id, object_name(name), H5P_DEFAULT);
        put = at < 0                  ? -1
              : type == NSH_ATTR_TEXT ? nsh__h5_put_text(at, attr, n, values)
                                      : put_attr(at, attr, memory_type(type), n, n == 1, values);
        if (put < 0)
            rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot write attribute", attr);
        if (at >= 0)
            H5Oclose(at);
    }
    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

/* ---- get ---- */

/* Read the values as type `memory`, of `item` bytes each, into new memory. */
static int read_values(hid_t id, hid_t memory, size_t item, int64_t *n, void **values)
{
    hid_t space = H5Aget_space(id);
    hssize_t points = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    void *data = NULL;

    if (space >= 0)
        H5Sclose(space);
    if (points < 0 || (uint64_t)points > INT64_MAX / item)
        return -1;
    data = calloc((size_t)points + 1, item);
    if (data == NULL || (points > 0 && H5Aread(id, memory, data) < 0)) {
        free(data);
        return -1;
    }
    *n = (int64_t)points;
    *values = data;
    return 0;
}

/* Append n bytes of `more` to *text, which grows. False: no memory. */
static bool append_text(char **text, int64_t *used, int64_t *capacity, const char *more, size_t n)
{
    if (*text == NULL || *used + (int64_t)n + 1 > *capacity) {
        int64_t wanted = 2 * (*capacity + (int64_t)n + 1);
        char *grown = realloc(*text, (size_t)wanted);

        if (grown == NULL)
            return false;
        *text = grown;
        *capacity = wanted;
    }
    memcpy(*text + *used, more, n);
    *used += (int64_t)n;
    (*text)[*used] = '\0';
    return true;
}

/* Hand the text to the caller if it is complete, else free it. */
static int finish_text(bool good, char *text, int64_t used, int64_t *n, void **values)
{
    if (!good) {
        free(text);
        return -1;
    }
    *n = used;
    *values = text;
    return 0;
}

/* The length of a string of fixed size: up to the first NUL, or to the padding at its end. */
static size_t fixed_length(H5T_str_t padding, const char *text, size_t size)
{
    if (padding == H5T_STR_NULLTERM)
        return strnlen(text, size);
    while (size > 0 && text[size - 1] == '\0')
        size--;
    return size;
}

/* Read strings of any kind as one text, separated by commas. */
static int read_strings(hid_t id, hid_t type, int64_t *n, void **values)
{
    bool pointers = H5Tis_variable_str(type) > 0;
    H5T_str_t padding = H5Tget_strpad(type);
    size_t size = pointers ? sizeof(char *) : H5Tget_size(type);
    int64_t count, capacity = 0, used = 0;
    void *data;
    char *text = NULL;
    hid_t memory = H5Tcopy(type), space;
    bool good;

    if (read_values(id, memory, size, &count, &data) < 0) {
        H5Tclose(memory);
        return -1;
    }
    good = append_text(&text, &used, &capacity, "", 0);
    for (int64_t i = 0; i < count && good; i++) {
        const char *one = pointers ? ((char **)data)[i] : (char *)data + i * (int64_t)size;

        if (i > 0)
            good = append_text(&text, &used, &capacity, ", ", 2);
        if (one != NULL && good)
            good = append_text(&text, &used, &capacity, one,
                               pointers ? strlen(one) : fixed_length(padding, one, size));
    }
    if (pointers && (space = H5Aget_space(id)) >= 0) {
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, data);
        H5Sclose(space);
    }
    H5Tclose(memory);
    free(data);
    return finish_text(good, text, used, n, values);
}

/* How numbers are read, so that each keeps its value. */
typedef enum kind { SIGNED, UNSIGNED, SINGLE, REAL } kind;

static kind kind_of(hid_t in_file)
{
    if (H5Tget_class(in_file) == H5T_FLOAT)
        return H5Tget_size(in_file) <= sizeof(float) ? SINGLE : REAL;
    return H5Tget_class(in_file) == H5T_INTEGER && H5Tget_sign(in_file) == H5T_SGN_NONE ? UNSIGNED
                                                                                        : SIGNED;
}

static int read_attr_numbers(hid_t id, kind as, int64_t *n, void **values)
{
    return read_values(id,
                       as == SIGNED     ? H5T_NATIVE_INT64
                       : as == UNSIGNED ? H5T_NATIVE_UINT64
                                        : H5T_NATIVE_DOUBLE,
                       8, n, values);
}

static int print_number(kind as, const void *values, int64_t i, char *out, size_t bytes)
{
    const double real = as >= SINGLE ? ((const double *)values)[i] : 0;

    return as == SIGNED     ? snprintf(out, bytes, "%" PRId64, ((const int64_t *)values)[i])
           : as == UNSIGNED ? snprintf(out, bytes, "%" PRIu64, ((const uint64_t *)values)[i])
                            : snprintf(out, bytes, as == SINGLE ? "%.9g" : "%.17g", real);
}

/* Read numbers as text. */
static int read_printed(hid_t id, kind as, int64_t *n, void **values)
{
    int64_t count, capacity = 0, used = 0;
    char *text = NULL, one[40];
    void *data;
    bool good;

    if (read_attr_numbers(id, as, &count, &data) < 0)
        return -1;
    good = append_text(&text, &used, &capacity, "", 0);
    for (int64_t i = 0; i < count && good; i++) {
        if (i > 0)
            good = append_text(&text, &used, &capacity, ", ", 2);
        good = good && append_text(&text, &used, &capacity, one,
                                   (size_t)print_number(as, data, i, one, sizeof one));
    }
    free(data);
    return finish_text(good, text, used, n, values);
}

/* Number i as an integer; false: it is not one, or out of range. */
static bool whole_number(kind as, const void *values, int64_t i, int64_t least, int64_t most,
                         int64_t *out)
{
    double real = as >= SINGLE ? ((const double *)values)[i] : 0;

    if (as >= SINGLE && !(real >= -0x1p63 && real < 0x1p63 && real == (double)(int64_t)real))
        return false;
    if (as == UNSIGNED && ((const uint64_t *)values)[i] > INT64_MAX)
        return false;
    *out = as >= SINGLE ? (int64_t)real : ((const int64_t *)values)[i];
    return *out >= least && *out <= most;
}

/* Convert numbers to integers in place. HDF5 itself would convert to the nearest integer in range.
 */
static int to_integers(const char *call, const char *attr, kind as, bool narrow, int64_t n,
                       void *values)
{
    int64_t least = narrow ? INT32_MIN : INT64_MIN, most = narrow ? INT32_MAX : INT64_MAX, number;
    char one[40];

    for (int64_t i = 0; i < n; i++) {
        if (!whole_number(as, values, i, least, most, &number)) {
            print_number(as, values, i, one, sizeof one);
            return nsh__fail(NSH_ERR_TYPE, "%s: attribute \"%.80s\" has %s, which is no %s", call,
                             attr, one, narrow ? "int32" : "int64");
        }
        if (narrow)
            ((int32_t *)values)[i] = (int32_t)number;
        else
            ((int64_t *)values)[i] = number;
    }
    return NSH_SUCCESS;
}

static int get_values(const char *call, hid_t id, const char *attr, nsh_attr_type type, int64_t *n,
                      void **values)
{
    hid_t in_file = H5Aget_type(id);
    H5T_class_t class_ = in_file >= 0 ? H5Tget_class(in_file) : H5T_NO_CLASS;
    bool number = class_ == H5T_INTEGER || class_ == H5T_FLOAT || class_ == H5T_ENUM;
    bool whole = type == NSH_ATTR_INT32 || type == NSH_ATTR_INT64;
    kind as = number ? kind_of(in_file) : SIGNED;
    int got = -1, rc = NSH_SUCCESS;

    if ((!number && class_ != H5T_STRING) || (class_ == H5T_STRING && type != NSH_ATTR_TEXT))
        rc = nsh__fail(NSH_ERR_TYPE, "%s: attribute \"%.80s\" is not %s", call, attr,
                       type == NSH_ATTR_TEXT ? "text or numbers" : "numbers");
    else if (class_ == H5T_STRING)
        got = read_strings(id, in_file, n, values);
    else if (type == NSH_ATTR_TEXT)
        got = read_printed(id, as, n, values);
    else
        got = whole ? read_attr_numbers(id, as, n, values)
                    : read_values(id, memory_type(type), nsh__attr_size(type), n, values);
    if (in_file >= 0)
        H5Tclose(in_file);
    if (rc == NSH_SUCCESS && got < 0)
        return nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot read attribute", attr);
    if (rc == NSH_SUCCESS && number && whole)
        rc = to_integers(call, attr, as, type == NSH_ATTR_INT32, *n, *values);
    if (rc != NSH_SUCCESS && got >= 0) {
        free(*values);
        *values = NULL;
    }
    return rc;
}

int nsh__h5_get_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t *n, void **values)
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = NSH_SUCCESS;
    hid_t id;

    if (!nsh__h5_exists(h5, name)) {
        rc = fail_no_object(call, name);
    } else if (H5Aexists_by_name(h5->id, object_name(name), attr, H5P_DEFAULT) <= 0) {
        rc = nsh__fail(NSH_ERR_NOT_FOUND, "%s: \"%.80s\" has no attribute \"%.80s\"", call,
                       object_name(name), attr);
    } else {
        id = H5Aopen_by_name(h5->id, object_name(name), attr, H5P_DEFAULT, H5P_DEFAULT);
        if (id < 0 || nsh__fault(h5_attr))
            rc = nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot read attribute", attr);
        else
            rc = get_values(call, id, attr, type, n, values);
        if (id >= 0)
            H5Aclose(id);
    }
    return nsh__h5_leave(&visit, rc);
}

#else
typedef int nsh__h5attr_unused; /* ISO C forbids an empty translation unit */
#endif
