/* SPDX-License-Identifier: BSD-3-Clause */
/* h5dataset.c -- datasets of an HDF5 file: look up, describe, make, read, write, list.
 *
 * Invariant: a dataset that stays open is in h5->open under its name, and nowhere else. */
#define _GNU_SOURCE
#include "file/h5.h"

#include "base/error.h"

#ifdef NSH_HDF5

#include "base/fault.h"
#include "file/h5private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 256 << 10,      /* bytes of a chunk of frames, at most */
    CHUNK_LITTLE = 64 << 10 /* bytes of a chunk of several small frames */
};

/* ---- looking a dataset up ---- */

/* Is the object of this name, which exists, a dataset? */
static bool is_dataset(const nsh__h5 *h5, const char *name)
{
    hid_t object = H5Oopen(h5->id, name, H5P_DEFAULT);
    bool is = object >= 0 && H5Iget_type(object) == H5I_DATASET;

    if (object >= 0)
        H5Oclose(object);
    return is;
}

/* Open a dataset and find the type of its elements in memory. */
static int open_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__h5_open_dataset *out)
{
    hid_t id, in_file;

    if (!nsh__h5_exists(h5, name) || name[0] == '\0')
        return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no dataset \"%.120s\" in the file", call, name);
    if (!is_dataset(h5, name)) {
        if (H5Eget_num(H5E_DEFAULT) > 0) /* HDF5 cannot open it */
            return nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot open", name);
        return nsh__fail(NSH_ERR_NOT_FOUND, "%s: \"%.120s\" is no dataset", call, name);
    }
    id = H5Dopen2(h5->id, name, H5P_DEFAULT);
    if (id < 0 || nsh__fault(h5_dataset))
        return nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot open", name);
    in_file = H5Dget_type(id);
    *out = (nsh__h5_open_dataset){.name = strdup(name), .id = id};
    out->memory = in_file >= 0 ? nsh__h5_memory_type(in_file, &out->plain) : -1;
    if (in_file >= 0)
        H5Tclose(in_file);
    out->length = nsh__h5_is_length(id);
    if (out->memory >= 0 && out->name != NULL)
        return NSH_SUCCESS;
    nsh__h5_failed(call, NSH_ERR_TYPE, "no type in memory for elements of", name);
    if (out->memory >= 0)
        H5Tclose(out->memory);
    H5Dclose(id);
    free(out->name);
    *out = (nsh__h5_open_dataset){.name = NULL};
    return NSH_ERR_TYPE;
}

int nsh__h5_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__h5_open_dataset **out)
{
    nsh__h5_open_dataset fresh;
    int rc;

    for (int i = 0; i < NSH__H5_OPEN; i++)
        if (h5->open[i].name != NULL && strcmp(h5->open[i].name, name) == 0) {
            *out = &h5->open[i];
            return NSH_SUCCESS;
        }
    rc = open_dataset(call, h5, name, &fresh);
    if (rc != NSH_SUCCESS)
        return rc;
    *out = &h5->open[h5->next];
    h5->next = (h5->next + 1) % NSH__H5_OPEN;
    nsh__h5_forget(h5, *out);
    **out = fresh;
    return nsh__h5_written(call, h5, NSH_SUCCESS);
}

/* ---- describing a dataset ---- */

/* Fill in ndim, extent and growing. */
static int describe_shape(const char *call, const char *name, hid_t id, nsh__dataset *out)
{
    hsize_t extent[H5S_MAX_RANK], most[H5S_MAX_RANK];
    hid_t space = H5Dget_space(id);
    int ndim = space >= 0 ? H5Sget_simple_extent_dims(space, extent, most) : -1;
    H5S_class_t class_ = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;

    if (space >= 0)
        H5Sclose(space);
    if (class_ == H5S_NULL) { /* no elements at all */
        out->ndim = 1;
        out->extent[0] = 0;
        return NSH_SUCCESS;
    }
    if (ndim < 0 || ndim > NSH__MAX_NDIM)
        return nsh__h5_failed(call, NSH_ERR_FORMAT, "no shape of", name);
    out->ndim = ndim;
    for (int d = 0; d < ndim; d++) {
        if (extent[d] > INT64_MAX)
            return nsh__fail(NSH_ERR_FORMAT, "%s: \"%.100s\" has an extent above INT64_MAX", call,
                             name);
        out->extent[d] = (int64_t)extent[d];
    }
    out->growing = ndim > 0 && most[0] == H5S_UNLIMITED;
    return NSH_SUCCESS;
}

/* Append the names of the filters, with commas. */
static void describe_filters(hid_t list, nsh__dataset *out)
{
    int n = H5Pget_nfilters(list);

    for (int i = 0; i < n; i++) {
        char name[32] = "";
        unsigned flags, config;
        size_t values = 0, used = strlen(out->filters);

        H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
        snprintf(out->filters + used, sizeof out->filters - used, "%s%.31s", i > 0 ? "," : "",
                 name[0] != '\0' ? name : "unknown");
    }
}

/* Is it a dataset of this file, and not of another file to which an external link leads? */
static bool is_own(const nsh__h5 *h5, const H5O_info_t *dataset)
{
    H5O_info_t root;

    return H5Oget_info2(h5->id, &root, H5O_INFO_BASIC) >= 0 && root.fileno == dataset->fileno;
}

/* Describe chunks and filters. True if the dataset is contiguous in the file. */
static bool describe_layout(hid_t id, nsh__dataset *out)
{
    hid_t list = H5Dget_create_plist(id);
    hsize_t chunk[H5S_MAX_RANK];
    H5D_layout_t layout;
    bool contiguous;

    if (list < 0)
        return false;
    layout = H5Pget_layout(list);
    contiguous = layout == H5D_CONTIGUOUS && H5Pget_external_count(list) == 0;
    if (layout == H5D_CHUNKED && H5Pget_chunk(list, H5S_MAX_RANK, chunk) == out->ndim) {
        out->chunked = 1;
        for (int d = 0; d < out->ndim; d++)
            out->chunk[d] = (int64_t)chunk[d];
    }
    describe_filters(list, out);
    H5Pclose(list);
    return contiguous && out->filters[0] == '\0';
}

static int describe_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out)
{
    nsh__h5_open_dataset *dataset;
    H5O_info_t info;
    haddr_t offset;
    bool in_one_piece;
    int rc = nsh__h5_dataset(call, h5, name, &dataset);

    memset(out, 0, sizeof *out);
    if (rc == NSH_SUCCESS)
        rc = describe_shape(call, name, dataset->id, out);
    if (rc == NSH_SUCCESS)
        rc = nsh__h5_element_of(call, name, dataset->memory, &out->element);
    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__shape_size(out->ndim, out->extent, (int64_t)H5Tget_size(dataset->memory), &out->size,
                         &out->nbytes))
        return nsh__fail(NSH_ERR_FORMAT, "%s: \"%.100s\" has more than INT64_MAX bytes", call,
                         name);
    if (H5Oget_info2(dataset->id, &info, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS) < 0)
        return nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot look at", name);
    out->attributes = (int32_t)info.num_attrs;
    in_one_piece = describe_layout(dataset->id, out) && is_own(h5, &info);
    out->stored = out->chunked ? -1 : (int64_t)H5Dget_storage_size(dataset->id);
    offset = in_one_piece && dataset->plain ? H5Dget_offset(dataset->id) : HADDR_UNDEF;
    out->offset = offset != HADDR_UNDEF && offset <= INT64_MAX && out->stored == out->nbytes &&
                          out->nbytes <= INT64_MAX - (int64_t)offset
                      ? (int64_t)offset
                      : -1;
    return NSH_SUCCESS;
}

int nsh__h5_stored(const char *call, nsh__h5 *h5, const char *name, int64_t *bytes)
{
    nsh__h5_visit visit = nsh__h5_enter();
    nsh__h5_open_dataset *dataset;
    int rc = nsh__h5_dataset(call, h5, name, &dataset);

    if (rc == NSH_SUCCESS)
        *bytes = (int64_t)H5Dget_storage_size(dataset->id);
    return nsh__h5_leave(&visit, rc);
}

int nsh__h5_describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out)
{
    nsh__h5_visit visit = nsh__h5_enter();

    return nsh__h5_leave(&visit, describe_dataset(call, h5, name, out));
}

/* ---- creating a dataset ---- */

/* The length of chunks along n elements, at most `most`. The last chunk is stored whole too, so
 * they divide n evenly, or nearly so. */
static hsize_t even_chunk(hsize_t n, hsize_t most)
{
    enum { LITTLE = 32 }; /* one part of LITTLE may be lost */
    hsize_t pieces = n / most + (n % most != 0);
    hsize_t longest = n / pieces + (n % pieces != 0), best = longest, least = n;

    /* With longest > LITTLE the first length is good: fewer elements than pieces are lost. */
    for (hsize_t c = longest; c > longest / 8 && least > n / LITTLE; c--) {
        hsize_t lost = n % c != 0 ? c - n % c : 0;

        if (lost < least) {
            least = lost;
            best = c;
        }
    }
    return best;
}

/* Choose chunks: several whole frames if they are small, else parts of one frame, cut along its
 * first dimensions first. */
static void choose_chunk(int ndim, const hsize_t extent[], hsize_t item, hsize_t chunk[])
{
    hsize_t bytes = item;

    for (int d = 1; d < ndim; d++) {
        chunk[d] = extent[d] > 0 ? extent[d] : 1;
        bytes *= chunk[d]; /* of one frame; INT64_MAX if they are more */
        if (bytes / chunk[d] < item || bytes > INT64_MAX)
            bytes = INT64_MAX;
    }
    chunk[0] = bytes < CHUNK_LITTLE ? CHUNK_LITTLE / bytes : 1;
    for (int d = 1; d < ndim && bytes > CHUNK; d++) {
        hsize_t inner = item;

        for (int k = d + 1; k < ndim; k++)
            inner = inner > CHUNK ? inner : inner * chunk[k];
        chunk[d] = inner >= CHUNK              ? 1
                   : CHUNK / inner >= chunk[d] ? chunk[d]
                                               : even_chunk(chunk[d], CHUNK / inner);
        bytes = inner >= CHUNK ? bytes : 0; /* the rest fits */
    }
}

/* Properties of a new dataset: chunks for a series, else contiguous and allocated at once. */
static hid_t creation_list(int ndim, const hsize_t extent[], hsize_t item, bool series)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[H5S_MAX_RANK];

    if (series) {
        choose_chunk(ndim, extent, item, chunk);
        H5Pset_chunk(list, ndim, chunk);
        H5Pset_fill_time(list, H5D_FILL_TIME_ALLOC);
    } else {
        H5Pset_layout(list, H5D_CONTIGUOUS);
        H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
        H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
    }
    return list;
}

/* The dataspace of a new dataset, and in now[] its first extent; a series begins without frames. */
static hid_t space_of(int ndim, const int64_t extent[], bool series, hsize_t now[])
{
    hsize_t most[H5S_MAX_RANK];

    for (int d = 0; d < ndim; d++)
        now[d] = most[d] = (hsize_t)extent[d];
    if (ndim == 0)
        return H5Screate(H5S_SCALAR);
    if (series) {
        now[0] = 0;
        most[0] = H5S_UNLIMITED;
    }
    return H5Screate_simple(ndim, now, most);
}

/* Is one of the groups on the way to name a dataset? */
static bool is_below_dataset(const nsh__h5 *h5, const char *name)
{
    char part[NSH__FILE_NAME + 1];
    bool below = false;

    for (size_t i = 1; name[i] != '\0' && !below; i++)
        if (name[i] == '/' && name[i - 1] != '/') {
            snprintf(part, sizeof part, "%.*s", (int)i, name);
            below = nsh__h5_exists(h5, part) && is_dataset(h5, part);
        }
    return below;
}

/* Create a dataset of that type and extent, and the groups on the way to it. */
static int link_new(const char *call, nsh__h5 *h5, const char *name, hid_t type, hid_t space,
                    bool series, const hsize_t now[])
{
    int ndim = H5Sget_simple_extent_ndims(space);
    hid_t create = creation_list(ndim, now, H5Tget_size(type), series);
    hid_t groups = H5Pcreate(H5P_LINK_CREATE), id;

    H5Pset_create_intermediate_group(groups, 1);
    H5Pset_char_encoding(groups, H5T_CSET_UTF8);
    id = H5Dcreate2(h5->id, name, type, space, groups, create, H5P_DEFAULT);
    if (id >= 0 && nsh__fault(h5_make)) {
        H5Dclose(id);
        H5Ldelete(h5->id, name, H5P_DEFAULT);
        id = -1;
    }
    H5Pclose(groups);
    H5Pclose(create);
    if (id < 0)
        return nsh__h5_failed(call, NSH_ERR_IO, "cannot make", name);
    H5Dclose(id);
    return NSH_SUCCESS;
}

static int make_dataset_in(const char *call, nsh__h5 *h5, const char *name,
                           const nsh__element *element, int ndim, const int64_t extent[],
                           bool series)
{
    hsize_t now[H5S_MAX_RANK] = {0};
    hid_t type, space;
    int rc;

    if (nsh__h5_exists(h5, name))
        return nsh__fail(NSH_ERR_EXISTS, "%s: \"%.120s\" is in the file already", call, name);
    if (is_below_dataset(h5, name))
        return nsh__fail(NSH_ERR_EXISTS, "%s: a dataset is where \"%.100s\" needs a group", call,
                         name);
    type = nsh__h5_type_of(element);
    space = space_of(ndim, extent, series, now);
    if (type < 0 || space < 0)
        rc = nsh__h5_failed(call, NSH_ERR_TYPE, "no type in a file for elements of", name);
    else if (nsh__h5_commit_types(h5->id, element) < 0)
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot write the type of", name);
    else
        rc = link_new(call, h5, name, type, space, series, now);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return rc;
}

int nsh__h5_make(const char *call, nsh__h5 *h5, const char *name, const nsh__element *element,
                 int ndim, const int64_t extent[], bool series)
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = make_dataset_in(call, h5, name, element, ndim, extent, series);

    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

void nsh__h5_unlink(nsh__h5 *h5, const char *name)
{
    for (int i = 0; i < NSH__H5_OPEN; i++)
        nsh__h5_forget(h5, &h5->open[i]); /* it may be open under another name */
    if (nsh__h5_exists(h5, name))
        H5Ldelete(h5->id, name, H5P_DEFAULT);
}

void nsh__h5_remove(nsh__h5 *h5, const char *name)
{
    nsh__h5_visit visit = nsh__h5_enter();

    nsh__h5_unlink(h5, name);
    nsh__h5_leave(&visit, NSH_SUCCESS);
}

int nsh__h5_resize(const char *call, nsh__h5 *h5, const char *name, int64_t leading)
{
    nsh__h5_visit visit = nsh__h5_enter();
    hsize_t extent[H5S_MAX_RANK];
    nsh__h5_open_dataset *dataset;
    int rc = nsh__h5_dataset(call, h5, name, &dataset);
    hid_t space;

    if (rc == NSH_SUCCESS) {
        space = H5Dget_space(dataset->id);
        H5Sget_simple_extent_dims(space, extent, NULL);
        H5Sclose(space);
        extent[0] = (hsize_t)leading;
        if (H5Dset_extent(dataset->id, extent) < 0 || nsh__fault(h5_resize))
            rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot extend", name);
    }
    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

/* ---- reading and writing ---- */

/* Read a hyperslab into `in`, or write one from `out`; the other pointer is NULL. */
static int move_elements(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                         const int64_t count[], void *in, const void *out)
{
    hsize_t start[H5S_MAX_RANK], n[H5S_MAX_RANK];
    nsh__h5_open_dataset *dataset;
    hid_t space, memory;
    int rc = nsh__h5_dataset(call, h5, name, &dataset), ndim;
    bool bad;

    if (rc != NSH_SUCCESS)
        return rc;
    space = H5Dget_space(dataset->id);
    ndim = H5Sget_simple_extent_ndims(space);
    for (int d = 0; d < ndim; d++) {
        start[d] = (hsize_t)offset[d];
        n[d] = (hsize_t)count[d];
    }
    if (in == NULL && dataset->length) {
        nsh__h5_make_coordinate(dataset->id, name);
        dataset->length = false;
    }
    memory = ndim > 0 ? H5Screate_simple(ndim, n, NULL) : H5Screate(H5S_SCALAR);
    bad = ndim > 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, n, NULL) < 0;
    if (!bad && in != NULL)
        bad = H5Dread(dataset->id, dataset->memory, memory, space, H5P_DEFAULT, in) < 0 ||
              nsh__fault(h5_read);
    else if (!bad)
        bad = H5Dwrite(dataset->id, dataset->memory, memory, space, H5P_DEFAULT, out) < 0 ||
              nsh__fault(h5_write);
    if (bad)
        rc = in != NULL ? nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot read", name)
                        : nsh__h5_failed(call, NSH_ERR_IO, "cannot write", name);
    H5Sclose(memory);
    H5Sclose(space);
    return rc;
}

int nsh__h5_read(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                 const int64_t count[], void *data)
{
    nsh__h5_visit visit = nsh__h5_enter();

    return nsh__h5_leave(&visit, move_elements(call, h5, name, offset, count, data, NULL));
}

int nsh__h5_write(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                  const int64_t count[], const void *data)
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = move_elements(call, h5, name, offset, count, NULL, data);

    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

/* ---- listing ---- */

typedef struct names {
    char *text;
    int64_t bytes, capacity;
    bool failed;
} names;

static void add_name(names *all, const char *name)
{
    int64_t n = (int64_t)strlen(name) + 1;

    if (all->bytes + n > all->capacity) {
        int64_t capacity = 2 * all->capacity + n + 256;
        char *text = realloc(all->text, (size_t)capacity);

        if (text == NULL) {
            all->failed = true;
            return;
        }
        all->text = text;
        all->capacity = capacity;
    }
    memcpy(all->text + all->bytes, name, (size_t)n);
    all->bytes += n;
}

static herr_t visit_object(hid_t id, const char *name, const H5O_info_t *info, void *arg)
{
    (void)id;
    if (info->type == H5O_TYPE_DATASET)
        add_name(arg, name);
    return ((names *)arg)->failed ? -1 : 0;
}

static herr_t visit_attr(hid_t id, const char *name, const H5A_info_t *info, void *arg)
{
    (void)id;
    (void)info;
    add_name(arg, name);
    return ((names *)arg)->failed ? -1 : 0;
}

/* Hand the names to the caller, or free them and return the failure. */
static int finish_list(const char *call, herr_t done, const char *what, names *all, char **out,
                       int64_t *bytes)
{
    int rc;

    if (done >= 0 && !nsh__fault(h5_list)) {
        *out = all->text;
        *bytes = all->bytes;
        return NSH_SUCCESS;
    }
    rc = all->failed ? nsh__fail(NSH_ERR_NOMEM, "%s: no memory for names", call)
                     : nsh__h5_failed(call, NSH_ERR_FORMAT, "cannot list", what);
    free(all->text);
    return rc;
}

int nsh__h5_list(const char *call, nsh__h5 *h5, char **out, int64_t *bytes)
{
    nsh__h5_visit visit = nsh__h5_enter();
    names all = {NULL, 0, 0, false};
    herr_t done = H5Ovisit2(h5->id, H5_INDEX_NAME, H5_ITER_INC, visit_object, &all, H5O_INFO_BASIC);

    return nsh__h5_leave(&visit, finish_list(call, done, "the file", &all, out, bytes));
}

int nsh__h5_list_attrs(const char *call, nsh__h5 *h5, const char *name, char **out, int64_t *bytes)
{
    nsh__h5_visit visit = nsh__h5_enter();
    names all = {NULL, 0, 0, false};
    hsize_t at = 0;
    herr_t done;
    int rc;

    if (!nsh__h5_exists(h5, name)) {
        rc = nsh__fail(NSH_ERR_NOT_FOUND, "%s: no object \"%.120s\" in the file", call, name);
    } else {
        done = H5Aiterate_by_name(h5->id, name[0] != '\0' ? name : "/", H5_INDEX_NAME, H5_ITER_INC,
                                  &at, visit_attr, &all, H5P_DEFAULT);
        rc = finish_list(call, done, name, &all, out, bytes);
    }
    return nsh__h5_leave(&visit, rc);
}

#else
typedef int nsh__h5dataset_unused; /* ISO C forbids an empty translation unit */
#endif
