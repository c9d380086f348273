/* SPDX-License-Identifier: BSD-3-Clause */
/* file_info.c -- what is in a file: its datasets, what each of them is, attributes, dimensions. */
#include "file/file.h"

#include "base/hash.h"
#include "base/sized.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void fill_info(const nsh__dataset *dataset, nsh_dataset_info *out)
{
    *out = (nsh_dataset_info){.ndim = dataset->ndim,
                              .growing = dataset->growing,
                              .elements = dataset->size,
                              .itemsize =
                                  dataset->element.node[0].size * dataset->element.node[0].count,
                              .stored = dataset->stored,
                              .attributes = dataset->attributes};
    memcpy(out->extent, dataset->extent, sizeof out->extent);
    memcpy(out->chunk, dataset->chunk, sizeof out->chunk);
    memcpy(out->filters, dataset->filters, sizeof out->filters);
    nsh__element_print(&dataset->element, out->type, sizeof out->type);
}

int nsh_file_info(nsh_file *file, const char *name, nsh_dataset_info *out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_dataset_info, filters, NSH_DATASET_INFO_INIT);
    const nsh__call call = NSH__CALL_FILE_INFO;
    nsh_dataset_info info;
    nsh__found found;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    if (out == NULL)
        rc = nsh__file_null(call, "out");
    else
        rc = nsh__sized_check(&kind, nsh__call_name(call), file->comm->rank, out);
    signature = nsh__file_name_signature(file, call, name, &rc);
    rc = nsh__file_enter(file, call, rc, signature);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_is_io_rank(file))
        rc = nsh__file_find(file, call, name, NULL, false, &found);
    if (nsh__file_is_io_rank(file) && rc == NSH_SUCCESS)
        rc = nsh__h5_stored(nsh__call_name(call), file->h5, name, &found.dataset.stored);
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc != NSH_SUCCESS)
        return rc;
    fill_info(&found.dataset, &info);
    nsh__sized_write(&kind, &info, out);
    return NSH_SUCCESS;
}

/* The signature of a dataset, a group or, without a name, the file, whose name then is "". */
static uint64_t object_signature(const nsh_file *file, nsh__call call, const char **name, int *code)
{
    if (*name != NULL && (*name)[0] != '\0')
        return nsh__file_name_signature(file, call, *name, code);
    *name = "";
    return 0;
}

/* Names, NUL after each, as one block: pointers to them, a NULL, and the names. */
static char **index_names(const char *text, int64_t bytes, int64_t *n)
{
    int64_t count = 0, at = 0;
    char **index, *copy;

    for (int64_t i = 0; i < bytes; i++)
        count += text[i] == '\0';
    index = malloc((size_t)(count + 1) * sizeof *index + (size_t)bytes);
    if (index == NULL)
        return NULL;
    copy = (char *)(index + count + 1);
    if (bytes > 0)
        memcpy(copy, text, (size_t)bytes);
    for (int64_t i = 0; i < count; i++) {
        index[i] = copy + at;
        at += (int64_t)strlen(copy + at) + 1;
    }
    index[count] = NULL;
    *n = count;
    return index;
}

/* [collective] Send the I/O rank's list of names to all ranks. */
static int share_names(nsh_file *file, nsh__call call, int rc, char *text, int64_t bytes,
                       int64_t *n, char ***names)
{
    char **index = NULL;
    int64_t count = 0;
    int agreed = nsh__file_answer_long(file, call, rc, &text, &bytes);

    if (agreed == NSH_SUCCESS) {
        index = index_names(text, bytes, &count);
        rc = index != NULL ? NSH_SUCCESS
                           : nsh__fail(NSH_ERR_NOMEM, "%s: no memory", nsh__call_name(call));
        agreed = nsh__file_enter(file, call, rc, 7);
    }
    if (agreed == NSH_SUCCESS || nsh__file_is_io_rank(file))
        free(text);
    if (agreed != NSH_SUCCESS) {
        free(index);
        return agreed;
    }
    *n = count;
    *names = index;
    return NSH_SUCCESS;
}

int nsh_file_list(nsh_file *file, int64_t *n, char ***names)
{
    const nsh__call call = NSH__CALL_FILE_LIST;
    char *text = NULL;
    int64_t bytes = 0;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = n != NULL && names != NULL ? NSH_SUCCESS : nsh__file_null(call, "n or names");
    rc = nsh__file_enter(file, call, rc, 8);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_is_io_rank(file))
        rc = nsh__file_readable(file, call);
    if (nsh__file_is_io_rank(file) && rc == NSH_SUCCESS)
        rc = nsh__h5_list(nsh__call_name(call), file->h5, &text, &bytes);
    return share_names(file, call, rc, text, bytes, n, names);
}

int nsh_file_list_attrs(nsh_file *file, const char *name, int64_t *n, char ***names)
{
    const nsh__call call = NSH__CALL_FILE_LIST_ATTRS;
    char *text = NULL;
    int64_t bytes = 0;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = n != NULL && names != NULL ? NSH_SUCCESS : nsh__file_null(call, "n or names");
    signature = object_signature(file, call, &name, &rc);
    rc = nsh__file_enter(file, call, rc, signature);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_is_io_rank(file))
        rc = nsh__file_readable(file, call);
    if (nsh__file_is_io_rank(file) && rc == NSH_SUCCESS)
        rc = nsh__h5_list_attrs(nsh__call_name(call), file->h5, name, &text, &bytes);
    return share_names(file, call, rc, text, bytes, n, names);
}

/* ---- attributes ---- */

static int check_attr(const nsh_file *file, nsh__call call, const char *attr, nsh_attr_type type)
{
    size_t n = attr != NULL ? strlen(attr) : 0;

    if (n == 0 || n > NSH__FILE_NAME)
        return nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" is no name of an attribute (rank %d)",
                         nsh__call_name(call), attr != NULL ? attr : "(NULL)", file->comm->rank);
    if ((int)type < NSH_ATTR_TEXT || type > NSH_ATTR_FLOAT)
        return nsh__fail(NSH_ERR_ARG, "%s: type %d of an attribute (rank %d)", nsh__call_name(call),
                         (int)type, file->comm->rank);
    return NSH_SUCCESS;
}

static uint64_t text_signature(uint64_t signature, const char *text)
{
    return nsh__mix_bytes(signature, text, text != NULL ? strlen(text) + 1 : 0);
}

static int check_values(const nsh_file *file, const char *attr, nsh_attr_type type, int64_t n,
                        const void *values)
{
    bool text = type == NSH_ATTR_TEXT;
    int64_t most = text ? NSH__ATTR_LONG : NSH__ATTR_NUMBERS / (int64_t)nsh__attr_size(type);

    if (n < (text ? 0 : 1) || n > most)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_file_set_attr: %" PRId64 " values of \"%.80s\", not %d to %" PRId64
                         " (rank %d)",
                         n, attr, text ? 0 : 1, most, file->comm->rank);
    if (n > NSH__ATTR_SHORT && memchr(values, '\0', (size_t)n) != NULL)
        return nsh__fail(NSH_ERR_ARG,
                         "nsh_file_set_attr: a NUL in the %" PRId64 " bytes of \"%.80s\" (rank %d)",
                         n, attr, file->comm->rank);
    return NSH_SUCCESS;
}

int nsh_file_set_attr(nsh_file *file, const char *name, const char *attr, nsh_attr_type type,
                      int64_t n, const void *values)
{
    const nsh__call call = NSH__CALL_FILE_SET_ATTR;
    uint64_t signature;
    int64_t bytes;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = check_attr(file, call, attr, type);
    if (rc == NSH_SUCCESS && type == NSH_ATTR_TEXT && n == -1 && values != NULL)
        n = (int64_t)strlen(values);
    if (rc == NSH_SUCCESS && values == NULL)
        rc = nsh__file_null(call, "values");
    if (rc == NSH_SUCCESS)
        rc = check_values(file, attr, type, n, values);
    bytes = rc == NSH_SUCCESS ? n * (int64_t)nsh__attr_size(type) : 0;
    signature = text_signature(object_signature(file, call, &name, &rc), attr);
    signature = nsh__mix_bytes(nsh__mix(signature, (uint64_t)type), values, (size_t)bytes);
    rc = nsh__file_enter(file, call, rc, signature);
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file)) {
        rc = nsh__file_writable(file, call);
        if (rc == NSH_SUCCESS)
            rc = nsh__h5_set_attr(nsh__call_name(call), file->h5, name, attr, type, n, values);
    }
    return nsh__file_changed(file, call, nsh__file_answer(file, call, rc, NULL, 0));
}

int nsh_file_get_attr(nsh_file *file, const char *name, const char *attr, nsh_attr_type type,
                      int64_t *n, void **values)
{
    const nsh__call call = NSH__CALL_FILE_GET_ATTR;
    int64_t count = 0, bytes = 0;
    void *data = NULL;
    char *reply;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = n != NULL && values != NULL ? NSH_SUCCESS : nsh__file_null(call, "n or values");
    if (rc == NSH_SUCCESS)
        rc = check_attr(file, call, attr, type);
    signature = text_signature(object_signature(file, call, &name, &rc), attr);
    rc = nsh__file_enter(file, call, rc, nsh__mix(signature, (uint64_t)type));
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_is_io_rank(file)) {
        rc = nsh__file_readable(file, call);
        if (rc == NSH_SUCCESS)
            rc = nsh__h5_get_attr(nsh__call_name(call), file->h5, name, attr, type, &count, &data);
        bytes = count * (int64_t)nsh__attr_size(type);
    }
    reply = data;
    rc = nsh__file_answer_long(file, call, rc, &reply, &bytes);
    if (rc != NSH_SUCCESS) {
        free(data); /* NULL but on the I/O rank */
        return rc;
    }
    if (type == NSH_ATTR_TEXT)
        reply[bytes] = '\0';
    *n = bytes / (int64_t)nsh__attr_size(type);
    *values = reply;
    return NSH_SUCCESS;
}

/* ---- dimensions ---- */

enum { MOST_LABEL = 255 }; /* of netCDF */

int nsh_file_set_dim(nsh_file *file, const char *name, int dim, const char *label, const char *unit,
                     const double points[])
{
    const nsh__call call = NSH__CALL_FILE_SET_DIM;
    uint64_t signature;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = check_attr(file, call, label, NSH_ATTR_TEXT);
    if (rc == NSH_SUCCESS && strchr(label, '/') != NULL)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_file_set_dim: label \"%.80s\" has a slash (rank %d)",
                       label, file->comm->rank);
    if (rc == NSH_SUCCESS && strlen(label) > MOST_LABEL)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_file_set_dim: a label of %zu bytes, not %d (rank %d)",
                       strlen(label), MOST_LABEL, file->comm->rank);
    signature = nsh__mix(nsh__file_name_signature(file, call, name, &rc), (uint64_t)dim);
    rc = nsh__file_enter(file, call, rc, text_signature(text_signature(signature, label), unit));
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file)) {
        rc = nsh__file_writable(file, call);
        if (rc == NSH_SUCCESS)
            rc = nsh__h5_set_dim(nsh__call_name(call), file->h5, name, dim, label, unit, points);
    }
    return nsh__file_changed(file, call, nsh__file_answer(file, call, rc, NULL, 0));
}
