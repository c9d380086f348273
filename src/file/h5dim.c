/* SPDX-License-Identifier: BSD-3-Clause */
/* h5dim.c -- labelled dimensions: HDF5's dimension scales, as netCDF-4 has them.
 *
 * Invariant: all dimensions of a dataset have a scale, or none has: for a dimension without a scale
 * netCDF uses any dimension of the same length, or refuses the file. A scale is the dimension's
 * coordinates or only a length, as its attribute NAME says. One that is only the length of a
 * growing dimension is empty, so that the first number that is appended to it is the coordinate of
 * the first frame. */
#define _GNU_SOURCE
#include "file/h5.h"

#ifdef NSH_HDF5

#include "base/error.h"
#include "base/fault.h"
#include "file/h5private.h"

#include <errno.h>
#include <hdf5_hl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SCALE_CHUNK = 1024, PATH = 2 * NSH__FILE_NAME + 2 };

/* A dimension that gets a label. */
typedef struct dimension {
    const char *call;
    nsh__h5 *h5;
    const char *name; /* of the dataset */
    hid_t dataset;
    int dim;
    hsize_t n;
    bool grows;
    char path[PATH]; /* of the scale */
} dimension;

/* A dataset that is to become a scale. */
typedef struct scale {
    hid_t id;
    int ndim;
    hsize_t n;
    bool is_scale, grows;
} scale;

static int fail_taken(const dimension *d, const char *why)
{
    return nsh__fail(NSH_ERR_EXISTS, "%s: \"%.80s\" is in the file and %s", d->call, d->path, why);
}

/* ---- scales ---- */

/* Create a scale; -1 on failure. */
static hid_t make_scale(const dimension *d, const double points[])
{
    hsize_t n = d->grows && points == NULL ? 0 : d->n, most = H5S_UNLIMITED, chunk = SCALE_CHUNK;
    hid_t space = H5Screate_simple(1, &n, d->grows ? &most : NULL);
    hid_t create = H5Pcreate(H5P_DATASET_CREATE), link = H5Pcreate(H5P_LINK_CREATE), id;

    H5Pset_char_encoding(link, H5T_CSET_UTF8);
    if (d->grows)
        H5Pset_chunk(create, 1, &chunk);
    id = H5Dcreate2(d->h5->id, d->path, H5T_NATIVE_DOUBLE, space, link, create, H5P_DEFAULT);
    if (id >= 0 && nsh__h5_make_length(id, n) < 0) {
        H5Dclose(id);
        id = -1;
    }
    H5Pclose(link);
    H5Pclose(create);
    H5Sclose(space);
    return id;
}

static bool look_at_scale(hid_t id, scale *out)
{
    hsize_t extent[H5S_MAX_RANK] = {0}, most[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(id);

    *out = (scale){.id = id, .ndim = -1};
    if (space >= 0) {
        out->ndim = H5Sget_simple_extent_dims(space, extent, most);
        H5Sclose(space);
    }
    out->n = extent[0];
    out->grows = out->ndim == 1 && most[0] == H5S_UNLIMITED;
    out->is_scale = H5DSis_scale(id) > 0;
    return out->ndim >= 0;
}

/* May the existing dataset be the scale, and get points? */
static int check_scale(const dimension *d, const scale *s, const double points[])
{
    char why[96];

    if (s->ndim != 1)
        return fail_taken(d, "has other than one dimension");
    if (!s->is_scale && H5Aexists(s->id, "DIMENSION_LIST") > 0)
        return fail_taken(d, "has a labelled dimension itself");
    if (!s->is_scale && points != NULL)
        return fail_taken(d, "has data; without points they become the coordinates");
    if (s->grows != d->grows)
        return fail_taken(d, s->grows ? "grows, the dimension does not"
                                      : "does not grow, the dimension does");
    if (s->n != d->n && !d->grows) {
        snprintf(why, sizeof why, "is %" PRIu64 " long, not %" PRIu64, (uint64_t)s->n,
                 (uint64_t)d->n);
        return fail_taken(d, why);
    }
    return NSH_SUCCESS;
}

/* Points need a dataset of doubles. Coordinates of a smaller floating point type that exist already
 * may get points too. */
static int check_points(const dimension *d, const scale *s)
{
    hid_t type = H5Dget_type(s->id);
    H5T_class_t class_ = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    bool good =
        class_ == H5T_FLOAT && (H5Tget_size(type) >= sizeof(double) || !nsh__h5_is_length(s->id));

    if (type >= 0)
        H5Tclose(type);
    return good ? NSH_SUCCESS
                : nsh__fail(NSH_ERR_TYPE,
                            "%s: \"%.80s\" is in the file and not of doubles, as points are",
                            d->call, d->path);
}

/* Write the first n coordinates. A growing dimension may have more: it is as long as the longest of
 * its series. */
static bool write_points(const dimension *d, const scale *s, const double points[])
{
    hsize_t zero = 0, n = d->n;
    hid_t space, memory;
    bool good;

    if (s->n < n && H5Dset_extent(s->id, &n) < 0)
        return false;
    if (nsh__h5_is_length(s->id) && nsh__h5_make_coordinate(s->id, d->path) < 0)
        return false;
    if (n == 0)
        return true;
    space = H5Dget_space(s->id);
    memory = H5Screate_simple(1, &n, NULL);
    good = H5Sselect_hyperslab(space, H5S_SELECT_SET, &zero, NULL, &n, NULL) >= 0 &&
           H5Dwrite(s->id, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, points) >= 0 &&
           H5Fflush(s->id, H5F_SCOPE_LOCAL) >= 0; /* they may next be read without HDF5 */
    H5Sclose(memory);
    H5Sclose(space);
    return good;
}

/* The scale at the path, created if it does not exist, with points if they are given. -1 on
 * failure: *rc says why, or is NSH_SUCCESS if HDF5 has failed. */
static hid_t scale_for(const dimension *d, const double points[], int *rc)
{
    bool exists = nsh__h5_exists(d->h5, d->path);
    hid_t id = exists ? H5Dopen2(d->h5->id, d->path, H5P_DEFAULT) : make_scale(d, points);
    scale s;
    bool good;

    if (id < 0 && exists)
        *rc = fail_taken(d, "is no dataset");
    if (id < 0)
        return -1;
    good = look_at_scale(id, &s);
    if (good && exists)
        *rc = check_scale(d, &s, points);
    if (good && *rc == NSH_SUCCESS && points != NULL)
        *rc = check_points(d, &s);
    good = good && *rc == NSH_SUCCESS;
    if (good && !s.is_scale)
        good = H5DSset_scale(id, strrchr(d->path, '/') != NULL ? strrchr(d->path, '/') + 1
                                                               : d->path) >= 0;
    if (good && points != NULL)
        good = write_points(d, &s, points);
    if (good)
        return id;
    H5Dclose(id);
    return -1;
}

/* ---- the other dimensions ---- */

/* The path of the scale of a dimension without a label: beside the dataset. */
static void path_of(dimension *d, const char *label)
{
    const char *slash = strrchr(d->name, '/');

    snprintf(d->path, sizeof d->path, "%.*s%s", slash != NULL ? (int)(slash - d->name + 1) : 0,
             d->name, label);
}

static void path_without_label(dimension *d)
{
    const char *slash = strrchr(d->name, '/'), *base = slash != NULL ? slash + 1 : d->name;
    char label[256];

    /* netCDF does not accept longer names. */
    snprintf(label, sizeof label, "%s_dim%d", strlen(base) < 240 ? base : "", d->dim);
    path_of(d, label);
}

/* Remove such a scale if no dimension uses it any more. */
static void drop_without_label(const dimension *labelled)
{
    dimension d = *labelled;
    hid_t id;
    bool unused;

    path_without_label(&d);
    if (strcmp(d.path, labelled->path) == 0 || !nsh__h5_exists(d.h5, d.path))
        return;
    id = H5Dopen2(d.h5->id, d.path, H5P_DEFAULT);
    unused = id >= 0 && nsh__h5_is_length(id) && H5Aexists(id, "REFERENCE_LIST") == 0;
    if (id >= 0)
        H5Dclose(id);
    if (unused)
        nsh__h5_unlink(d.h5, d.path);
}

static herr_t detach_scale(hid_t dataset, unsigned dim, hid_t from, void *arg)
{
    (void)arg;
    return H5DSdetach_scale(dataset, from, dim) < 0 ? -1 : 0;
}

/* Make this the only scale of the dimension. */
static bool attach_scale(const dimension *d, hid_t to)
{
    const char *slash = strrchr(d->path, '/');
    unsigned dim = (unsigned)d->dim;

    if (H5DSis_attached(d->dataset, to, dim) <= 0) {
        if (H5DSiterate_scales(d->dataset, dim, NULL, detach_scale, NULL) < 0 ||
            H5DSattach_scale(d->dataset, to, dim) < 0)
            return false;
        drop_without_label(d);
    }
    return H5DSset_label(d->dataset, dim, slash != NULL ? slash + 1 : d->path) >= 0;
}

static bool extent_of(dimension *d, int dim, int *ndim)
{
    hsize_t extent[H5S_MAX_RANK], most[H5S_MAX_RANK];
    hid_t space = H5Dget_space(d->dataset);

    *ndim = space >= 0 ? H5Sget_simple_extent_dims(space, extent, most) : -1;
    if (space >= 0)
        H5Sclose(space);
    if (dim < 0 || dim >= *ndim)
        return false;
    d->dim = dim;
    d->n = extent[dim];
    d->grows = most[dim] == H5S_UNLIMITED;
    return true;
}

/* Create and attach scales for the dimensions that have none. */
static bool complete_scales(const dimension *labelled, int ndim)
{
    dimension d = *labelled;
    bool good = true;
    hid_t id;

    for (int k = 0; k < ndim && good; k++) {
        if (H5DSget_num_scales(d.dataset, (unsigned)k) > 0)
            continue;
        good = extent_of(&d, k, &ndim);
        path_without_label(&d);
        while (nsh__h5_exists(d.h5, d.path) && strlen(d.path) < sizeof d.path - 2)
            strcat(d.path, "_");
        id = good ? make_scale(&d, NULL) : -1;
        good = id >= 0 && attach_scale(&d, id);
        if (id >= 0)
            H5Dclose(id);
    }
    return good;
}

/* ---- labelling ---- */

static int check_dimension(dimension *d, int dim)
{
    int ndim;

    if (!extent_of(d, dim, &ndim))
        return nsh__fail(NSH_ERR_ARG,
                         "%s: \"%.80s\" has %d dimensions, dimension %d is none of them", d->call,
                         d->name, ndim, dim);
    if (ndim > 1 && strcmp(d->path, d->name) == 0)
        return nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" has %d dimensions, one of its name has one",
                         d->call, d->name, ndim);
    if (strlen(d->path) > NSH__FILE_NAME)
        return nsh__fail(NSH_ERR_ARG, "%s: the name of the coordinates has more than %d bytes",
                         d->call, NSH__FILE_NAME);
    if (strcmp(d->path, d->name) != 0 && H5DSis_scale(d->dataset) > 0)
        return nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" is itself the coordinates of a dimension",
                         d->call, d->name);
    return NSH_SUCCESS;
}

static int set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                   const char *unit, const double points[])
{
    dimension d = {.call = call, .h5 = h5, .name = name};
    nsh__h5_open_dataset *dataset;
    int rc = nsh__h5_dataset(call, h5, name, &dataset), ndim;
    hid_t to;
    bool good;

    if (rc != NSH_SUCCESS)
        return rc;
    d.dataset = dataset->id;
    H5Iinc_ref(d.dataset); /* detaching a scale closes the datasets that h5 has open */
    path_of(&d, label);
    rc = check_dimension(&d, dim);
    to = rc == NSH_SUCCESS ? scale_for(&d, points, &rc) : -1;
    good = to >= 0 && !nsh__fault(h5_attr);
    if (good && strcmp(d.path, d.name) != 0)
        good = attach_scale(&d, to) && extent_of(&d, dim, &ndim) && complete_scales(&d, ndim);
    if (good && unit != NULL)
        good = nsh__h5_put_text(to, "units", (int64_t)strlen(unit), unit) >= 0;
    if (rc == NSH_SUCCESS && !good)
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot make dimension", d.path);
    if (to >= 0)
        H5Dclose(to);
    if (H5Idec_ref(d.dataset) < 0 && h5->backing.error == 0)
        h5->backing.error = EIO;
    return rc;
}

int nsh__h5_set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                    const char *unit, const double points[])
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = set_dim(call, h5, name, dim, label, unit, points);

    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

#else
typedef int nsh__h5dim_unused; /* ISO C forbids an empty translation unit */
#endif
