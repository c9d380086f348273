/* SPDX-License-Identifier: BSD-3-Clause */
/* h5attr.c -- attributes, and dimensions with labels and coordinates.
 *
 * Invariant: what is written is what netCDF-4 would have written in its place. */
#define _GNU_SOURCE
#include "h5.h"

#ifdef NSH_HDF5

#include "error.h"
#include "fault.h"
#include "h5private.h"

#include <hdf5_hl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *object(const char *name)
{
    return name != NULL && name[0] != '\0' ? name : "/";
}

static int no_object(const char *call, const char *name)
{
    return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no object \"%.120s\" in the file", call, name);
}

/* ---- set ---- */

static hid_t text_type(int64_t n)
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

static int put_text(hid_t at, const char *attr, int64_t n, const char *text)
{
    hid_t type = text_type(n);
    int rc = put_attr(at, attr, type, 1, true, n > 0 ? text : "");

    H5Tclose(type);
    return rc;
}

int nsh__h5_set_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t n, const void *values)
{
    nsh__h5_visit visit;
    int rc = NSH_SUCCESS, put;
    hid_t at;

    nsh__h5_enter(&visit);
    if (!nsh__h5_exists(h5, name)) {
        rc = no_object(call, name);
    } else {
        at = H5Oopen(h5->id, object(name), H5P_DEFAULT);
        put = at < 0                    ? -1
              : type == NSH_ATTR_TEXT   ? put_text(at, attr, n, values)
              : type == NSH_ATTR_DOUBLE ? put_attr(at, attr, H5T_NATIVE_DOUBLE, n, n == 1, values)
                                        : put_attr(at, attr, H5T_NATIVE_INT64, n, n == 1, values);
        if (put < 0)
            rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot write attribute", attr);
        if (at >= 0)
            H5Oclose(at);
    }
    nsh__h5_leave(&visit);
    return rc;
}

/* ---- get ---- */

/* Values of type `memory`, each of `item` bytes, in new memory. */
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

/* Text, at most up to the room there is. */
static void join(char **text, int64_t *used, int64_t *room, const char *more, size_t n)
{
    if (*text == NULL || *used + (int64_t)n + 1 > *room) {
        int64_t wanted = 2 * (*room + (int64_t)n + 1);
        char *grown = realloc(*text, (size_t)wanted);

        if (grown == NULL)
            return;
        *text = grown;
        *room = wanted;
    }
    memcpy(*text + *used, more, n);
    *used += (int64_t)n;
    (*text)[*used] = '\0';
}

/* Strings of any kind, one after another with commas. */
static int read_strings(hid_t id, hid_t type, int64_t *n, void **values)
{
    bool pointers = H5Tis_variable_str(type) > 0;
    size_t size = pointers ? sizeof(char *) : H5Tget_size(type);
    int64_t count, room = 0, used = 0;
    void *data;
    char *text = NULL;
    hid_t memory = H5Tcopy(type), space;

    if (read_values(id, memory, size, &count, &data) < 0) {
        H5Tclose(memory);
        return -1;
    }
    join(&text, &used, &room, "", 0);
    for (int64_t i = 0; i < count; i++) {
        const char *one = pointers ? ((char **)data)[i] : (char *)data + i * (int64_t)size;

        if (i > 0)
            join(&text, &used, &room, ", ", 2);
        if (one != NULL)
            join(&text, &used, &room, one, pointers ? strlen(one) : strnlen(one, size));
    }
    if (pointers && (space = H5Aget_space(id)) >= 0) {
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, data);
        H5Sclose(space);
    }
    H5Tclose(memory);
    free(data);
    *n = used;
    *values = text;
    return text != NULL ? 0 : -1;
}

/* Numbers as text. */
static int read_printed(hid_t id, bool real, int64_t *n, void **values)
{
    int64_t count, room = 0, used = 0;
    char *text = NULL, one[40];
    void *data;

    if (read_values(id, real ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, 8, &count, &data) < 0)
        return -1;
    join(&text, &used, &room, "", 0);
    for (int64_t i = 0; i < count; i++) {
        int k =
            real ? snprintf(one, sizeof one, "%s%.17g", i > 0 ? ", " : "", ((double *)data)[i])
                 : snprintf(one, sizeof one, "%s%" PRId64, i > 0 ? ", " : "", ((int64_t *)data)[i]);

        join(&text, &used, &room, one, (size_t)k);
    }
    free(data);
    *n = used;
    *values = text;
    return text != NULL ? 0 : -1;
}

static int get(const char *call, hid_t id, const char *attr, nsh_attr_type type, int64_t *n,
               void **values)
{
    hid_t in_file = H5Aget_type(id);
    H5T_class_t class_ = in_file >= 0 ? H5Tget_class(in_file) : H5T_NO_CLASS;
    bool number = class_ == H5T_INTEGER || class_ == H5T_FLOAT || class_ == H5T_ENUM;
    int got = -1, rc = NSH_SUCCESS;

    if ((!number && class_ != H5T_STRING) || (class_ == H5T_STRING && type != NSH_ATTR_TEXT))
        rc = nsh__fail(NSH_ERR_TYPE, "%s: attribute \"%.80s\" is not %s", call, attr,
                       type == NSH_ATTR_TEXT ? "text or numbers" : "numbers");
    else if (class_ == H5T_STRING)
        got = read_strings(id, in_file, n, values);
    else if (type == NSH_ATTR_TEXT)
        got = read_printed(id, class_ == H5T_FLOAT, n, values);
    else
        got = read_values(id, type == NSH_ATTR_DOUBLE ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64, 8, n,
                          values);
    if (in_file >= 0)
        H5Tclose(in_file);
    if (rc == NSH_SUCCESS && got < 0)
        rc = nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot read attribute", attr);
    return rc;
}

int nsh__h5_get_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t *n, void **values)
{
    nsh__h5_visit visit;
    int rc = NSH_SUCCESS;
    hid_t id;

    nsh__h5_enter(&visit);
    if (!nsh__h5_exists(h5, name)) {
        rc = no_object(call, name);
    } else if (H5Aexists_by_name(h5->id, object(name), attr, H5P_DEFAULT) <= 0) {
        rc = nsh__fail(NSH_ERR_NOT_FOUND, "%s: \"%.80s\" has no attribute \"%.80s\"", call,
                       object(name), attr);
    } else {
        id = H5Aopen_by_name(h5->id, object(name), attr, H5P_DEFAULT, H5P_DEFAULT);
        if (id < 0 || nsh__fault(h5_attr))
            rc = nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot read attribute", attr);
        else
            rc = get(call, id, attr, type, n, values);
        if (id >= 0)
            H5Aclose(id);
    }
    nsh__h5_leave(&visit);
    return rc;
}

/* ---- dimension scales ---- */

/* What netCDF-4 calls a dimension without coordinates. */
static const char only_a_length[] = "This is a netCDF dimension but not a netCDF variable. %10lld";

/* A dataset of coordinates, or of a length. */
static hid_t make_scale(nsh__h5 *h5, const char *path, const char *label, hsize_t n, bool grows,
                        const double points[])
{
    hsize_t most = H5S_UNLIMITED, chunk = 1024;
    hid_t space = H5Screate_simple(1, &n, grows ? &most : NULL);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE), id;
    char name[96];
    bool bad;

    if (grows)
        H5Pset_chunk(create, 1, &chunk);
    id = H5Dcreate2(h5->id, path, points != NULL ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT, space,
                    H5P_DEFAULT, create, H5P_DEFAULT);
    snprintf(name, sizeof name, only_a_length, (long long)n);
    bad = id < 0 || H5DSset_scale(id, points != NULL ? label : name) < 0;
    if (!bad && points != NULL && n > 0)
        bad = H5Dwrite(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, points) < 0;
    H5Pclose(create);
    H5Sclose(space);
    if (bad && id >= 0) {
        H5Dclose(id);
        id = -1;
    }
    return id;
}

static herr_t detach(hid_t dataset, unsigned dim, hid_t scale, void *arg)
{
    (void)arg;
    return H5DSdetach_scale(dataset, scale, dim) < 0 ? -1 : 0;
}

/* The scale of that label: the one that is there if it is as long and without new points, otherwise
 * a new one. */
static hid_t scale_for(const char *call, nsh__h5 *h5, const char *path, const char *label,
                       hsize_t n, bool grows, const double points[], int *rc)
{
    hid_t id, space;
    hsize_t length = 0;

    if (!nsh__h5_exists(h5, path))
        return make_scale(h5, path, label, n, grows, points);
    id = H5Dopen2(h5->id, path, H5P_DEFAULT);
    if (id < 0 || H5DSis_scale(id) <= 0) {
        *rc =
            nsh__fail(NSH_ERR_EXISTS, "%s: \"%.80s\" exists and is no dimension scale", call, path);
        if (id >= 0)
            H5Dclose(id);
        return -1;
    }
    space = H5Dget_space(id);
    if (H5Sget_simple_extent_ndims(space) == 1)
        H5Sget_simple_extent_dims(space, &length, NULL);
    H5Sclose(space);
    if (length != n && (!grows || H5Dset_extent(id, &n) < 0)) {
        *rc = nsh__fail(NSH_ERR_EXISTS, "%s: dimension \"%.80s\" is %lld long, not %lld", call,
                        path, (long long)length, (long long)n);
        H5Dclose(id);
        return -1;
    }
    if (points != NULL && n > 0 &&
        H5Dwrite(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, points) < 0) {
        H5Dclose(id);
        return -1;
    }
    return id;
}

static int set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                   const char *unit, const double points[])
{
    char path[2 * NSH__FILE_NAME + 2];
    const char *slash = strrchr(name, '/');
    hsize_t extent[H5S_MAX_RANK], most[H5S_MAX_RANK];
    nsh__h5_open_dataset *dataset;
    hid_t space, scale;
    int rc = nsh__h5_dataset(call, h5, name, &dataset), ndim;
    bool bad;

    if (rc != NSH_SUCCESS)
        return rc;
    space = H5Dget_space(dataset->id);
    ndim = H5Sget_simple_extent_dims(space, extent, most);
    H5Sclose(space);
    if (dim < 0 || dim >= ndim)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: \"%.80s\" has %d dimensions, dimension %d is none of them", call,
                         name, ndim, dim);
    snprintf(path, sizeof path, "%.*s%s", slash != NULL ? (int)(slash - name + 1) : 0, name, label);
    scale = scale_for(call, h5, path, label, extent[dim], most[dim] == H5S_UNLIMITED, points, &rc);
    if (rc != NSH_SUCCESS)
        return rc;
    bad = scale < 0 || nsh__fault(h5_attr);
    if (!bad && H5DSis_attached(dataset->id, scale, (unsigned)dim) <= 0)
        bad = H5DSiterate_scales(dataset->id, (unsigned)dim, NULL, detach, NULL) < 0 ||
              H5DSattach_scale(dataset->id, scale, (unsigned)dim) < 0;
    bad = bad || H5DSset_label(dataset->id, (unsigned)dim, label) < 0 ||
          (unit != NULL && put_text(scale, "units", (int64_t)strlen(unit), unit) < 0);
    if (bad)
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot make dimension", path);
    if (scale >= 0)
        H5Dclose(scale);
    return rc;
}

int nsh__h5_set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                    const char *unit, const double points[])
{
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = set_dim(call, h5, name, dim, label, unit, points);
    nsh__h5_leave(&visit);
    return rc;
}

#else
typedef int nsh__h5attr_unused; /* ISO C forbids an empty translation unit */
#endif
