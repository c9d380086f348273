/* SPDX-License-Identifier: BSD-3-Clause */
/* file.c -- files: open, commit, close, and how ranks talk about what they do with one.
 *
 * Invariant: what is open is either the target, for reading, or something that may be changed: its
 * working copy, or with in_place the target itself. Only a commit makes one of the other. */
#include "file/file.h"

#include "base/fault.h"
#include "base/sized.h"
#include "base/hash.h"
#include "disk/coherent.h"
#include "disk/disk_lock.h"
#include "disk/inherit.h"
#include "core/agree.h"
#include "core/enter.h"
#include "core/object_free.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPLY = 16 << 10 }; /* bytes: within one message between nodes */

_Static_assert((int)REPLY >= (int)sizeof(nsh__found) && (int)REPLY >= 2 * NSH__PATH,
               "reply is large");

/* ---- how ranks talk ---- */

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

/* Is a part of the name "."? HDF5 skips such a part when it looks a name up, but cannot make it. */
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
    for (int64_t at = 0; at < n && rc == NSH_SUCCESS; at += REPLY)
        rc = nsh__file_answer(file, call, NSH_SUCCESS, mine + at, n - at < REPLY ? n - at : REPLY);
    if (rc != NSH_SUCCESS) {
        if (!nsh__file_is_io_rank(file))
            free(mine);
        return rc;
    }
    *reply = mine;
    *bytes = n;
    return NSH_SUCCESS;
}

/* ---- the owner's side of a file ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Give up what was changed. HDF5 insists on writing what it still has, but not to the working copy:
 * that may be the target already, where a commit has failed after it was renamed. */
static void discard(nsh_file *file)
{
    if (file->in_work) {
        nsh__h5_cancel(file->h5);
        unlink(file->work);
    }
    nsh__h5_close(NULL, &file->h5);
    close_fd(&file->work_fd);
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

/* A working copy of the target, or an empty one; or the target itself. */
static int begin_change(nsh_file *file, nsh__call call)
{
    const char *name = nsh__call_name(call);
    bool in_place = file->in_place && file->there, gone;
    int rc = NSH_SUCCESS;

    if (file->there) /* the commit will ask again, but a copy of it may take long */
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
        discard(file);
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
    return file->working ? NSH_SUCCESS : begin_change(file, call);
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

/* What is wrong with a rank that finds another file, or none, where rank 0 has one. */
static int not_that(const nsh_file *file, nsh__call call, const char *path, bool copy)
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

/* What is at path, if it is the right file. */
static int open_that(const nsh_file *file, nsh__call call, const char *path, bool write,
                     const nsh__identity *wanted, int *fd)
{
    const char *name = nsh__call_name(call);
    bool copy = strlen(path) > strlen(file->path);
    nsh__identity found;
    int opened, rc = nsh__disk_open(name, path, write, &opened);

    if (rc == NSH_ERR_NOT_FOUND)
        return not_that(file, call, path, copy);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__identity_of(name, path, opened, &found);
    if (rc == NSH_SUCCESS && !nsh__identity_same(&found, wanted))
        rc = not_that(file, call, path, copy);
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
        rc = open_that(file, call, path, copy || file->in_place, &place->identity, kept);
    }
    *fd = *kept;
    return rc;
}

/* ---- open ---- */

/* What the owner tells the others about a new file. */
typedef struct opened {
    nsh__place place;
    int64_t writers;
    int64_t there;
    int64_t coherent;
    char path[NSH__PATH];
} opened;

enum { TRIES = 10 }; /* a file may be replaced while ranks open it */

static int check_open(const char *path, nsh_file_mode mode, const nsh_file_options *options,
                      nsh_file **out)
{
    if (path == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_file_open: %s is NULL", path == NULL ? "path" : "out");
    if ((int)mode < NSH_FILE_CREATE || mode > NSH_FILE_APPEND)
        return nsh__fail(NSH_ERR_ARG, "nsh_file_open: mode %d", (int)mode);
    if (options->writers < 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_file_open: %d writers", options->writers);
    return NSH_SUCCESS;
}

static int file_init(nsh_comm *comm, const char *path, nsh_file_mode mode,
                     const nsh_file_options *options, nsh_file **out, nsh_file **made)
{
    nsh_file *file;
    int rc = nsh__h5_available("nsh_file_open");

    if (rc == NSH_SUCCESS)
        rc = check_open(path, mode, options, out);
    if (rc != NSH_SUCCESS)
        return rc;
    file = *made = nsh__fault(file_alloc) ? NULL : calloc(1, sizeof *file);
    if (file == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_file_open: no memory");
    file->comm = comm;
    file->mode = mode;
    file->in_place = options->in_place != 0;
    file->writers = options->writers;
    file->target_fd = file->work_fd = file->dirty_fd = -1;
    snprintf(file->path, sizeof file->path, "%s", path);
    return nsh__path_check("nsh_file_open", path);
}

/* By the owner: where the target is, and what is there. A link to nothing is a name for a new file,
 * but not for one that must not exist yet: there open(2) does not follow it either. */
static int look_at_target(nsh_file *file, const char *name, bool reads)
{
    bool excl = file->mode == NSH_FILE_EXCL, changes = !excl && file->mode != NSH_FILE_READ;
    char path[NSH__PATH];
    int rc = nsh__path_resolve(name, file->path, !excl, path);

    if (rc != NSH_SUCCESS)
        return rc;
    memcpy(file->path, path, sizeof path);
    rc = nsh__disk_look(name, path, changes);
    if (rc == NSH_SUCCESS && changes && !file->in_place)
        rc = nsh__disk_replaceable(name, path);
    if (rc == NSH_SUCCESS && file->mode == NSH_FILE_APPEND)
        rc = nsh__disk_open_locked(name, path, &file->target_fd);
    else if (rc == NSH_SUCCESS && reads)
        rc = nsh__disk_open(name, path, false, &file->target_fd);
    return rc;
}

/* By the owner: the target is there or not, as the mode wants it; one that is read or continued is
 * open from now on. */
static int find_target(nsh_file *file, nsh__call call)
{
    const char *name = nsh__call_name(call);
    bool reads = file->mode == NSH_FILE_READ || file->mode == NSH_FILE_APPEND, there;
    nsh__detail kept;
    int rc;

    nsh__detail_keep(&kept);
    rc = look_at_target(file, name, reads);
    there = rc == NSH_SUCCESS;
    if (rc == NSH_ERR_NOT_FOUND && file->mode != NSH_FILE_READ) {
        nsh__detail_restore(&kept);
        rc = NSH_SUCCESS;
    }
    if (there && file->mode == NSH_FILE_EXCL)
        rc = nsh__fail(NSH_ERR_EXISTS, "%s: %.160s exists", name, file->path);
    file->there = there && reads;
    return rc;
}

/* By the owner: the target or an empty working copy is open, and is HDF5. */
static int begin(nsh_file *file, nsh__call call, opened *reply)
{
    int64_t bytes;
    int rc = find_target(file, call);

    if (rc == NSH_SUCCESS)
        file->coherent = nsh__coherent(nsh__call_name(call), file->path);
    if (rc == NSH_SUCCESS)
        rc = file->there ? nsh__file_readable(file, call) : nsh__file_writable(file, call);
    if (rc == NSH_SUCCESS)
        rc = nsh__file_place(file, call, &reply->place, &bytes);
    if (rc != NSH_SUCCESS)
        return rc;
    reply->there = file->there;
    reply->coherent = file->coherent;
    reply->writers = file->writers == 0 && !file->coherent ? 1 : file->writers;
    snprintf(reply->path, sizeof reply->path, "%s", file->path);
    return NSH_SUCCESS;
}

/* Readers hold on to the file that rank 0 has open, before anybody replaces it. */
static int hold(nsh_file *file, nsh__call call, const opened *reply)
{
    nsh_comm *comm = file->comm;
    int rc = NSH_SUCCESS, fd;

    snprintf(file->path, sizeof file->path, "%s", reply->path);
    file->there = reply->there != 0;
    file->coherent = reply->coherent != 0;
    if (file->there)
        file->target = reply->place.identity;
    file->writers = reply->writers == 0 || reply->writers > comm->node_count ? comm->node_count
                                                                             : (int)reply->writers;
    if (reply->there && nsh__comm_leads(comm))
        rc = nsh__file_fd(file, call, &reply->place, &fd);
    return nsh__file_enter(file, call, rc, 3);
}

/* What is not the communicator's. Changes that were not committed are thrown away. */
static void close_files(nsh_file *file)
{
    nsh__file_reader_free(file);
    discard(file);
    if (nsh__file_is_io_rank(file) && file->target_fd >= 0)
        nsh__disk_lock_drop(file->target_fd); /* which a forked child would keep */
    close_fd(&file->target_fd);
}

/* [collective] The owner opens the file, and then those who must have the same one. Again, if what
 * a rank finds is not the owner's: it may have been replaced between the two. */
static int open_same(nsh_file *file, nsh__call call)
{
    opened reply = {.there = 0};
    nsh__detail kept;
    int rc = NSH_ERR_STATE;

    nsh__detail_keep(&kept);
    for (int i = 0; i < TRIES && rc == NSH_ERR_STATE; i++) {
        close_files(file);
        rc = nsh__file_is_io_rank(file) ? begin(file, call, &reply) : NSH_SUCCESS;
        rc = nsh__file_answer(file, call, rc, &reply, sizeof reply);
        if (rc == NSH_SUCCESS)
            rc = hold(file, call, &reply);
    }
    if (rc == NSH_SUCCESS)
        nsh__detail_restore(&kept);
    return rc;
}

/* The file is an object of its communicator in the place of its reply. */
static void shell_close(void *handle, bool whole)
{
    nsh_file *file = handle;

    close_files(file);
    nsh__array_kind.close(file->reply, whole);
}

static void shell_destroy(void *handle)
{
    nsh_file *file = handle;

    nsh__array_kind.destroy(file->reply);
    free(file);
}

static const nsh__kind file_kind = {.name = "file", .close = shell_close, .destroy = shell_destroy};

static void stand_for(nsh_array *reply, const nsh__kind *kind, void *handle)
{
    reply->object.kind = kind;
    reply->object.handle = handle;
}

/* Accepts every stage. */
static void file_destroy(nsh_file *file)
{
    if (file == NULL)
        return;
    close_files(file);
    if (file->reply != NULL)
        stand_for(file->reply, &nsh__array_kind, file->reply);
    nsh_array_free(&file->reply);
    free(file);
}

int nsh__file_open(nsh_comm *comm, nsh__call call, const char *path, nsh_file_mode mode,
                   const nsh_file_options *options, nsh_file **out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_file_options, in_place, NSH_FILE_OPTIONS_INIT);
    nsh_file_options given = NSH_FILE_OPTIONS_INIT, *o = &given;
    const int64_t bytes = REPLY;
    nsh_file *file = NULL;
    uint64_t signature;
    int rc;

    rc = nsh__comm_present(comm, nsh__call_name(call));
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__sized_read(&kind, nsh__call_name(call), comm->rank, options, o);
    if (rc == NSH_SUCCESS)
        rc = file_init(comm, path, mode, o, out, &file);
    signature = nsh__mix_bytes((uint64_t)mode, path, path != NULL ? strlen(path) : 0);
    signature = nsh__mix(signature, (uint64_t)o->writers << 1 | (o->in_place != 0));
    rc = nsh__agree(comm, call, rc, signature);
    if (rc == NSH_SUCCESS)
        rc = nsh_array_create(comm, MPI_BYTE, 1, &bytes, NULL, &file->reply);
    if (rc != NSH_SUCCESS)
        goto fail;
    rc = open_same(file, call);
    if (rc != NSH_SUCCESS)
        goto fail;
    stand_for(file->reply, &file_kind, file);
    *out = file;
    return NSH_SUCCESS;
fail:
    file_destroy(file);
    return rc;
}

int nsh_file_open(nsh_comm *comm, const char *path, nsh_file_mode mode,
                  const nsh_file_options *options, nsh_file **out)
{
    if (comm == NULL)
        return nsh__file_null(NSH__CALL_FILE_OPEN, "comm");
    return nsh__file_open(comm, NSH__CALL_FILE_OPEN, path, mode, options, out);
}

/* ---- commit ---- */

/* What the owner tells the others about a commit. */
typedef struct committed {
    int32_t changed; /* there was something to commit */
    int32_t renamed; /* the working copy is the target now */
    nsh__identity target;
} committed;

/* By the owner: the working copy, which is on disk, becomes the target, unless that is not the file
 * any more which it continues. */
static int put_in_place(nsh_file *file, const char *name, const nsh__identity *mine)
{
    bool gone = false, new = !file->there && file->mode != NSH_FILE_CREATE;
    int rc = nsh__identity_still(name, file->work, mine, true, &gone);

    if (rc == NSH_SUCCESS && gone)
        rc = nsh__fail(NSH_ERR_IO, "%s: %.120s has been removed", name, file->work);
    if (rc == NSH_SUCCESS && file->there) {
        rc = nsh__identity_still(name, file->path, &file->target, false, &gone);
        new = gone;
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__disk_replace(name, file->work, file->work_fd, file->path, new);
    if (rc == NSH_ERR_EXISTS && (file->there || file->mode != NSH_FILE_EXCL))
        rc = nsh__fail(NSH_ERR_STATE, "%s: another program has made %.120s meanwhile, which stays",
                       name, file->path);
    return rc;
}

/* By the owner: changes in place are on disk; are they in the file that is at the path? */
static int still_in_place(nsh_file *file, const char *name)
{
    bool gone;
    int rc = nsh__identity_still(name, file->path, &file->target, true, &gone);

    return rc == NSH_SUCCESS && gone
               ? nsh__fail(NSH_ERR_STATE, "%s: %.120s has been removed", name, file->path)
               : rc;
}

/* By the owner, when the bytes that went around HDF5 are on disk. */
static int replace(nsh_file *file, nsh__call call, committed *out)
{
    const char *name = nsh__call_name(call);
    int fd = file->in_work ? file->work_fd : file->target_fd, rc;

    *out = (committed){.changed = file->working, .renamed = file->in_work, .target = file->target};
    if (file->failed)
        return nsh__fail(
            NSH_ERR_STATE, "%s: an earlier change has failed; %.120s %s", name, file->path,
            file->in_place ? "was changed in place, and may be damaged" : "is as it was");
    if (!file->working)
        return NSH_SUCCESS;
    rc = nsh__h5_close(name, &file->h5);
    if (rc == NSH_SUCCESS && file->in_work)
        nsh__inherit(name, file->path, fd, true);
    if (rc == NSH_SUCCESS)
        rc = nsh__disk_sync(name, file->path, fd);
    if (rc == NSH_SUCCESS)
        rc = nsh__identity_of(name, file->path, fd, &out->target);
    if (rc == NSH_SUCCESS)
        rc = file->in_work ? put_in_place(file, name, &out->target) : still_in_place(file, name);
    file->failed = rc != NSH_SUCCESS;
    if (rc == NSH_SUCCESS)
        file->working = file->in_work = false;
    return rc;
}

/* On every rank: what was committed is what the handle reads and continues from now on. */
static void adopt(nsh_file *file, const committed *now)
{
    nsh__file_reader_free(file);
    if (now->renamed) {
        close_fd(&file->target_fd);
        file->target_fd = file->work_fd;
        file->work_fd = -1;
    }
    /* Elsewhere only what is opened from now on is sure to show the new pages. */
    if (now->changed && !file->coherent && !nsh__file_is_io_rank(file))
        close_fd(&file->target_fd);
    file->target = now->target;
    file->there = true;
    file->dirty_fd = -1;
}

static int commit(nsh_file *file, nsh__call call)
{
    committed now = {.renamed = 0};
    int rc = NSH_SUCCESS;

    if (file->invalid != 0)
        rc = nsh__fail(NSH_ERR_STATE,
                       "%s: %s has failed (%.40s), so the new file would not be whole; what is at "
                       "%.80s stays",
                       nsh__call_name(call), nsh__call_name(file->invalid_by),
                       nsh_strerror(file->invalid), file->path);
    else if (file->dirty_fd >= 0)
        rc = nsh__disk_sync(nsh__call_name(call), file->path, file->dirty_fd);
    rc = nsh__file_enter(file, call, rc, 0);
    if (rc != NSH_SUCCESS)
        return nsh__file_changed(file, call, rc);
    if (nsh__file_is_io_rank(file))
        rc = replace(file, call, &now);
    rc = nsh__file_answer(file, call, rc, &now, sizeof now);
    if (rc == NSH_SUCCESS)
        adopt(file, &now);
    return rc;
}

int nsh_file_commit(nsh_file *file)
{
    int rc;

    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_COMMIT, "file");
    rc = nsh__comm_callable(file->comm, "nsh_file_commit");
    return rc != NSH_SUCCESS ? rc : commit(file, NSH__CALL_FILE_COMMIT);
}

int nsh__file_close(nsh_file **file, nsh__call call)
{
    bool reads = (*file)->mode == NSH_FILE_READ;
    int rc = nsh__comm_present((*file)->comm, nsh__call_name(call));

    if (nsh__object_forget((*file)->comm, &(*file)->reply->object)) {
        *file = NULL;
        return reads ? NSH_SUCCESS : rc; /* what was not committed is lost, or the parent's */
    }
    rc = nsh__comm_callable((*file)->comm, nsh__call_name(call));
    if (rc != NSH_SUCCESS)
        return rc;
    rc = commit(*file, call);
    file_destroy(*file);
    *file = NULL;
    return rc;
}

int nsh_file_close(nsh_file **file)
{
    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_CLOSE, "file");
    return *file != NULL ? nsh__file_close(file, NSH__CALL_FILE_CLOSE) : NSH_SUCCESS;
}

int nsh_file_abandon(nsh_file **file)
{
    int rc;

    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_ABANDON, "file");
    if (*file == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget((*file)->comm, &(*file)->reply->object)) {
        *file = NULL;
        return NSH_SUCCESS;
    }
    rc = nsh__comm_callable((*file)->comm, "nsh_file_abandon");
    if (rc == NSH_SUCCESS)
        rc = nsh__agree_to_free((*file)->comm, NSH__CALL_FILE_ABANDON, NSH_SUCCESS,
                                (*file)->reply->id);
    if (rc != NSH_SUCCESS)
        return rc;
    file_destroy(*file);
    *file = NULL;
    return rc;
}
