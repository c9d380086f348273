/* SPDX-License-Identifier: BSD-3-Clause */
/* h5scale.c -- is a dimension scale the coordinates of its dimension, or only a length?
 *
 * Invariant: its attribute NAME says so, as netCDF-4 has it. */
#define _GNU_SOURCE
#include "file/h5.h"

#ifdef NSH_HDF5

#include "file/h5private.h"

#include <hdf5_hl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* netCDF-4's text for a dimension without coordinates; the length follows, ten characters wide. */
static const char length_only[] = "This is a netCDF dimension but not a netCDF variable.";

int nsh__h5_make_length(hid_t dataset, hsize_t n)
{
    char text[sizeof length_only + 24];

    snprintf(text, sizeof text, "%s%10" PRIu64, length_only, (uint64_t)n);
    return H5DSset_scale(dataset, text);
}

/* The file may have any contents, and HDF5's own functions for scales trust the attribute to be one
 * short string.
 */
bool nsh__h5_is_length(hid_t dataset)
{
    char text[256] = "";
    hid_t id, type, space;
    bool is;

    if (H5Aexists(dataset, "NAME") <= 0 || (id = H5Aopen(dataset, "NAME", H5P_DEFAULT)) < 0)
        return false;
    type = H5Aget_type(id);
    space = H5Aget_space(id);
    is = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
         H5Tget_size(type) < sizeof text && space >= 0 &&
         H5Sget_simple_extent_npoints(space) == 1 && H5Aread(id, type, text) >= 0 &&
         strncmp(text, length_only, sizeof length_only - 1) == 0;
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(id);
    return is;
}

int nsh__h5_make_coordinate(hid_t dataset, const char *name)
{
    const char *slash = strrchr(name, '/');

    return H5LTset_attribute_string(dataset, ".", "NAME", slash != NULL ? slash + 1 : name);
}

#else
typedef int nsh__h5scale_unused; /* ISO C forbids an empty translation unit */
#endif
