/* SPDX-License-Identifier: BSD-3-Clause */
/* h5none.c -- h5.h in builds without HDF5. */
#include "file/h5.h"

#ifndef NSH_HDF5

#include "base/error.h"

const char *nsh__h5_version(void)
{
    return "none";
}

int nsh__h5_available(const char *call)
{
    return nsh__fail(NSH_ERR_UNSUPPORTED, "%s: this library was built without HDF5", call);
}

int nsh__h5_create(const char *call, const char *path, int fd, nsh__h5 **out)
{
    (void)path, (void)fd, (void)out;
    return nsh__h5_available(call);
}

int nsh__h5_continue(const char *call, const char *path, int fd, nsh__h5 **out)
{
    (void)path, (void)fd, (void)out;
    return nsh__h5_available(call);
}

void nsh__h5_cancel(nsh__h5 *h5)
{
    (void)h5;
}

int nsh__h5_open(const char *call, const char *path, int fd, bool write, nsh__h5 **out)
{
    (void)path, (void)fd, (void)write, (void)out;
    return nsh__h5_available(call);
}

int nsh__h5_flush(const char *call, nsh__h5 *h5)
{
    (void)h5;
    return nsh__h5_available(call);
}

int nsh__h5_close(const char *call, nsh__h5 **h5)
{
    (void)call, (void)h5;
    return NSH_SUCCESS;
}

int nsh__h5_describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out)
{
    (void)h5, (void)name, (void)out;
    return nsh__h5_available(call);
}

int nsh__h5_stored(const char *call, nsh__h5 *h5, const char *name, int64_t *bytes)
{
    (void)h5, (void)name, (void)bytes;
    return nsh__h5_available(call);
}

int nsh__h5_make(const char *call, nsh__h5 *h5, const char *name, const nsh__element *element,
                 int ndim, const int64_t extent[], bool series)
{
    (void)h5, (void)name, (void)element, (void)ndim, (void)extent, (void)series;
    return nsh__h5_available(call);
}

void nsh__h5_remove(nsh__h5 *h5, const char *name)
{
    (void)h5, (void)name;
}

int nsh__h5_read(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                 const int64_t count[], void *data)
{
    (void)h5, (void)name, (void)offset, (void)count, (void)data;
    return nsh__h5_available(call);
}

int nsh__h5_write(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                  const int64_t count[], const void *data)
{
    (void)h5, (void)name, (void)offset, (void)count, (void)data;
    return nsh__h5_available(call);
}

int nsh__h5_resize(const char *call, nsh__h5 *h5, const char *name, int64_t leading)
{
    (void)h5, (void)name, (void)leading;
    return nsh__h5_available(call);
}

int nsh__h5_list(const char *call, nsh__h5 *h5, char **out, int64_t *bytes)
{
    (void)h5, (void)out, (void)bytes;
    return nsh__h5_available(call);
}

int nsh__h5_list_attrs(const char *call, nsh__h5 *h5, const char *name, char **out, int64_t *bytes)
{
    (void)h5, (void)name, (void)out, (void)bytes;
    return nsh__h5_available(call);
}

int nsh__h5_set_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t n, const void *values)
{
    (void)h5, (void)name, (void)attr, (void)type, (void)n, (void)values;
    return nsh__h5_available(call);
}

int nsh__h5_get_attr(const char *call, nsh__h5 *h5, const char *name, const char *attr,
                     nsh_attr_type type, int64_t *n, void **values)
{
    (void)h5, (void)name, (void)attr, (void)type, (void)n, (void)values;
    return nsh__h5_available(call);
}

int nsh__h5_set_dim(const char *call, nsh__h5 *h5, const char *name, int dim, const char *label,
                    const char *unit, const double points[])
{
    (void)h5, (void)name, (void)dim, (void)label, (void)unit, (void)points;
    return nsh__h5_available(call);
}

#else
typedef int nsh__h5none_unused; /* ISO C forbids an empty translation unit */
#endif
