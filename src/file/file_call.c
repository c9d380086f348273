/* SPDX-License-Identifier: BSD-3-Clause */
/* file_call.c -- what the calls on a file have in common: agreements and replies, what is open, and
 * checks of datasets.
 *
 * Invariant: only the I/O rank has HDF5 open; the other ranks learn from its replies. */
#define _GNU_SOURCE
#include "file/file.h"

#include "base/fault.h"
#include "base/hash.h"
#include "core/agree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)NSH__FILE_REPLY >= (int)sizeof(nsh__found) &&
                   (int)NSH__FILE_REPLY >= 2 * NSH__PATH,
               "reply is large");

/* ---- agreements and replies ---- */

int nsh__file_null(nsh__call call, const char *what)
{
    int rc = nsh__h5_available(nsh__call_name(call));

    return rc != NSH_SUCCESS ? rc
                             : nsh__fail(NSH_ERR_ARG, "%s: %s is NULL", nsh__call_name(call), what);
}

int nsh__file_enter(nsh_file *file, nsh__call call, int code, uint64_t signature)
{
    return nsh__agree(file->comm, call, code, nsh__mix(file->reply->id, signature));
}

/* Is a part of the name "."? HDF5 skips such a part when it looks a name up, but cannot create it.
 */
static bool has_dot(const char *name)
{
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += strspn(part, "/");
        if (part[0] == '.' && (part[1] == '/' || part[1] == '\0'))
            return true;
    }
    return false;
}

uint64_t nsh__file_name_signature(const nsh_file *file, nsh__call call, const char *name, int *code)
{
    size_t n = name != NULL ? strlen(name) : 0;

    if (*code == NSH_SUCCESS &&
        (n == 0 || n > NSH__FILE_NAME || name[n - 1] == '/' || has_dot(name)))
        *code = nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" is no name within a file (rank %d)",
                          nsh__call_name(call), name != NULL ? name : "(NULL)", file->comm->rank);
    return nsh__mix_bytes(1, name, n);
}

int nsh__file_answer(nsh_file *file, nsh__call call, int code, void *reply, int64_t bytes)
{
    const nsh_piece piece = {reply, NULL, &bytes, NULL};
    int rc = nsh__array_set_for(file->reply, call, &piece, 0, code);

    if (rc == NSH_SUCCESS && bytes > 0 && !nsh__file_is_io_rank(file))
        memcpy(reply, nsh_array_data(file->reply), (size_t)bytes);
    return rc;
}

int nsh__file_answer_long(nsh_file *file, nsh__call call, int code, char **reply, int64_t *bytes)
{
    char *mine = nsh__file_is_io_rank(file) ? *reply : NULL;
    int64_t n = nsh__file_is_io_rank(file) && code == NSH_SUCCESS ? *bytes : 0;
    int rc = nsh__file_answer(file, call, code, &n, sizeof n);

    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__file_is_io_rank(file)) {
        mine = nsh__fault(file_alloc) ? NULL : malloc((size_t)n + 1);
        if (mine == NULL)
            rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %" PRId64 " bytes",
                           nsh__call_name(call), n);
    }
    rc = nsh__file_enter(file, call, rc, 2);
    for (int64_t at = 0; at < n && rc == NSH_SUCCESS; at += NSH__FILE_REPLY)
        rc = nsh__file_answer(file, call, NSH_SUCCESS, mine + at,
                              n - at < NSH__FILE_REPLY ? n - at : NSH__FILE_REPLY);
    if (rc != NSH_SUCCESS) {
        if (!nsh__file_is_io_rank(file))
            free(mine);
        return rc;
    }
    *reply = mine;
    *bytes = n;
    return NSH_SUCCESS;
}

/* ---- the I/O rank's side of a file ---- */

void nsh__file_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* At close HDF5 writes what it has buffered. That is cancelled, because the working copy may be the
 * target already, if a commit has failed after the rename. */
void nsh__file_discard(nsh_file *file)
{
    if (file->in_work) {
        nsh__h5_cancel(file->h5);
        unlink(file->work);
    }
    nsh__h5_close(NULL, &file->h5);
    nsh__file_close_fd(&file->work_fd);
    file->dirty_fd = -1;
    file->working = file->in_work = false;
}

int nsh__file_readable(nsh_file *file, nsh__call call)
{
    if (file->failed)
        return nsh__fail(NSH_ERR_STATE, "%s: an earlier change of %.120s has failed",
                         nsh__call_name(call), file->path);
    if (file->h5 != NULL)
        return NSH_SUCCESS;
    return nsh__h5_open(nsh__call_name(call), file->path, file->target_fd, false, &file->h5);
}

/* [I/O rank] Open for changes: a working copy of the target, an empty one, or with in_place the
 * target. */
static int begin_file_change(nsh_file *file, nsh__call call)
{
    const char *name = nsh__call_name(call);
    bool in_place = file->in_place && file->there, gone;
    int rc = NSH_SUCCESS;

    if (file->there) /* the commit checks again, but the copy may take long */
        rc = nsh__identity_still(name, file->path, &file->target, in_place, &gone);
    if (rc == NSH_SUCCESS)
        rc = nsh__h5_close(name, &file->h5);
    if (rc == NSH_SUCCESS && !in_place) {
        rc = nsh__disk_work(name, file->path, file->work, &file->work_fd);
        file->in_work = rc == NSH_SUCCESS;
        if (rc == NSH_SUCCESS && file->there)
            rc = nsh__disk_fill(name, file->target_fd, file->work, file->work_fd);
    }
    if (rc == NSH_SUCCESS && in_place)
        rc = nsh__h5_open(name, file->path, file->target_fd, true, &file->h5);
    else if (rc == NSH_SUCCESS && file->there)
        rc = nsh__h5_continue(name, file->work, file->work_fd, &file->h5);
    else if (rc == NSH_SUCCESS)
        rc = nsh__h5_create(name, file->work, file->work_fd, &file->h5);
    if (rc != NSH_SUCCESS) {
        nsh__file_discard(file);
        return rc;
    }
    file->working = true;
    return NSH_SUCCESS;
}

int nsh__file_writable(nsh_file *file, nsh__call call)
{
    if (file->failed)
        return nsh__fail(NSH_ERR_STATE, "%s: an earlier change of %.120s has failed",
                         nsh__call_name(call), file->path);
    if (file->mode == NSH_FILE_READ)
        return nsh__fail(NSH_ERR_STATE, "%s: %.120s is open for reading", nsh__call_name(call),
                         file->path);
    return file->working ? NSH_SUCCESS : begin_file_change(file, call);
}

int nsh__file_changed(nsh_file *file, nsh__call call, int code)
{
    if (code == NSH_ERR_IO || code == NSH_ERR_FORMAT || code == NSH_ERR_MPI ||
        code == NSH_ERR_INTERNAL)
        file->failed = true;
    if (code != NSH_SUCCESS && file->invalid == 0 && !file->there) {
        file->invalid = code;
        file->invalid_by = call;
    }
    return code;
}

int nsh__file_place(nsh_file *file, nsh__call call, nsh__place *out, int64_t *bytes)
{
    int rc;

    *out = (nsh__place){.alone = file->working && !file->coherent};
    if (file->in_work)
        snprintf(out->suffix, sizeof out->suffix, "%s", file->work + strlen(file->path));
    rc = nsh__identity_of(nsh__call_name(call), file->path,
                          file->in_work ? file->work_fd : file->target_fd, &out->identity);
    *bytes = out->identity.bytes;
    if (file->working)
        out->identity.mtime = 0;
    return rc;
}

/* ---- checks of datasets and arrays ---- */

int nsh__file_check_array(const nsh_file *file, nsh__call call, const nsh_array *array)
{
    int rc = nsh__array_settled(array, call);

    if (rc == NSH_SUCCESS && array->comm != file->comm)
        rc = nsh__fail(NSH_ERR_ARG, "%s: array and file are on different communicators",
                       nsh__call_name(call));
    return rc;
}

bool nsh__file_same_extent(const nsh__dataset *dataset, int ndim, const int64_t extent[], int more)
{
    bool same = dataset->ndim == ndim + more;

    for (int d = 0; d < ndim && same; d++)
        same = dataset->extent[more + d] == extent[d];
    return same;
}

/* "4 x 6"; "scalar" without a dimension. */
static void print_extent(int ndim, const int64_t extent[], char *out, size_t bytes)
{
    size_t used = 0;

    snprintf(out, bytes, "scalar");
    for (int d = 0; d < ndim && used < bytes; d++)
        used += (size_t)snprintf(out + used, bytes - used, d == 0 ? "%" PRId64 : " x %" PRId64,
                                 extent[d]);
}

int nsh__file_same_element(const char *call, const char *name, const nsh__dataset *dataset,
                           const nsh__element *element)
{
    char there[96], here[96];

    if (nsh__element_equal(element, &dataset->element))
        return NSH_SUCCESS;
    nsh__element_print(&dataset->element, there, sizeof there);
    nsh__element_print(element, here, sizeof here);
    return nsh__fail(NSH_ERR_TYPE, "%s: \"%.60s\" has elements of %s, not %s", call, name, there,
                     here);
}

int nsh__file_fits(nsh__call call, const char *name, const nsh__dataset *dataset,
                   const nsh__element *element, int ndim, const int64_t extent[], int more)
{
    char there[80], here[80];
    int rc = nsh__file_same_element(nsh__call_name(call), name, dataset, element);

    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_same_extent(dataset, ndim, extent, more) && (more == 0 || dataset->growing))
        return NSH_SUCCESS;
    if (more > 0 && !dataset->growing)
        return nsh__fail(NSH_ERR_ARG,
                         "%s: \"%.60s\" is no series: its first dimension does not grow",
                         nsh__call_name(call), name);
    print_extent(dataset->ndim - more, dataset->extent + more, there, sizeof there);
    print_extent(ndim, extent, here, sizeof here);
    return nsh__fail(NSH_ERR_ARG, "%s: %s\"%.60s\" has the extent %s, not %s", nsh__call_name(call),
                     more > 0 ? "a frame of " : "", name, there, here);
}

int nsh__file_find(nsh_file *file, nsh__call call, const char *name, const nsh_array *array,
                   bool whole, nsh__found *out)
{
    const char *words = nsh__call_name(call);
    nsh__dataset *dataset = &out->dataset;
    nsh__element element;
    int64_t bytes;
    int rc = nsh__file_readable(file, call);

    if (rc == NSH_SUCCESS)
        rc = nsh__file_place(file, call, &out->place, &bytes);
    if (rc == NSH_SUCCESS)
        rc = nsh__h5_describe(words, file->h5, name, dataset);
    if (rc == NSH_SUCCESS && dataset->offset >= 0 && dataset->nbytes > bytes - dataset->offset)
        rc = nsh__fail(NSH_ERR_FORMAT, "%s: the file ends before \"%.80s\" does", words, name);
    if (rc == NSH_SUCCESS && array != NULL)
        rc = nsh__element_of_type(&array->type, &element);
    if (rc == NSH_SUCCESS && array != NULL)
        rc = nsh__file_same_element(words, name, dataset, &element);
    if (rc != NSH_SUCCESS || array == NULL)
        return rc;
    if (whole && dataset->ndim != array->ndim)
        return nsh__fail(NSH_ERR_ARG, "%s: \"%.80s\" has %d dimensions, the array %d", words, name,
                         dataset->ndim, array->ndim);
    for (int d = 0; whole && d < array->ndim; d++)
        if (dataset->extent[d] != array->extent[d])
            return nsh__fail(NSH_ERR_ARG,
                             "%s: extent of \"%.80s\" in dimension %d is %" PRId64
                             ", of the array %" PRId64,
                             words, name, d, dataset->extent[d], array->extent[d]);
    return NSH_SUCCESS;
}

/* ---- every rank's descriptor ---- */

/* [local] The failure of a rank that finds another file than rank 0, or none. */
static int fail_other_file(const nsh_file *file, nsh__call call, const char *path, bool copy)
{
    const char *name = nsh__call_name(call);

    if (copy)
        return nsh__fail(NSH_ERR_IO,
                         "%s: %.120s is another file on rank %d than on rank 0, or none", name,
                         path, file->comm->rank);
    return nsh__fail(NSH_ERR_STATE,
                     "%s: rank %d does not find the file that rank 0 has open: %.120s has been "
                     "replaced, or is another file there",
                     name, file->comm->rank, path);
}

/* [local] Open the file at path, if its identity is the expected one. */
static int open_expected(const nsh_file *file, nsh__call call, const char *path, bool write,
                         const nsh__identity *wanted, int *fd)
{
    const char *name = nsh__call_name(call);
    bool copy = strlen(path) > strlen(file->path);
    nsh__identity found;
    int opened, rc = nsh__disk_open(name, path, write, &opened);

    if (rc == NSH_ERR_NOT_FOUND)
        return fail_other_file(file, call, path, copy);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__identity_of(name, path, opened, &found);
    if (rc == NSH_SUCCESS && !nsh__identity_same(&found, wanted))
        rc = fail_other_file(file, call, path, copy);
    if (rc == NSH_SUCCESS)
        *fd = opened;
    else
        close(opened);
    return rc;
}

int nsh__file_fd(nsh_file *file, nsh__call call, const nsh__place *place, int *fd)
{
    bool copy = place->suffix[0] != '\0';
    int *kept = copy ? &file->work_fd : &file->target_fd, rc = NSH_SUCCESS;
    char path[NSH__PATH];

    if (*kept < 0) {
        snprintf(path, sizeof path, "%.*s%s", NSH__PATH - NSH__SUFFIX, file->path, place->suffix);
        rc = open_expected(file, call, path, copy || file->in_place, &place->identity, kept);
    }
    *fd = *kept;
    return rc;
}
