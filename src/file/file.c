/* SPDX-License-Identifier: BSD-3-Clause */
/* file.c -- files: open, commit, close.
 *
 * Invariant: what is open is either the target, for reading, or something that may be changed: its
 * working copy, or with in_place the target itself. Only a commit turns one into the other. */
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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- open ---- */

/* What the I/O rank tells the others about a file that it has opened. */
typedef struct opened {
    nsh__place place;
    int64_t writers;
    int64_t there;
    int64_t coherent;
    char path[NSH__PATH];
} opened;

enum { TRIES = 10 }; /* a file may be replaced while ranks open it */

static int check_open_args(const char *path, nsh_file_mode mode, const nsh_file_options *options,
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
        rc = check_open_args(path, mode, options, out);
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

/* [I/O rank] Resolve the path and open the target if it is read or continued. A link whose target
 * does not exist names a new file, but not with NSH_FILE_EXCL, where open(2) would not follow it
 * either. */
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

/* [I/O rank] Find the target, and check that it exists, or does not, as the mode wants. */
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

/* [I/O rank] Open the target or an empty working copy with HDF5, and fill the reply. */
static int begin_open(nsh_file *file, nsh__call call, opened *reply)
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

/* [collective] Take the reply over. The leaders open the file that the I/O rank has open, before
 * another program can replace it. */
static int hold_target(nsh_file *file, nsh__call call, const opened *reply)
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

/* [local] Close all descriptors and HDF5's files, and discard changes that are not committed. */
static void close_files(nsh_file *file)
{
    nsh__file_reader_free(file);
    nsh__file_discard(file);
    if (nsh__file_is_io_rank(file) && file->target_fd >= 0)
        nsh__disk_lock_drop(file->target_fd); /* a forked child would keep the lock */
    nsh__file_close_fd(&file->target_fd);
}

/* [collective] The I/O rank opens the file, and then the leaders open the same one. They try again
 * if a leader finds another file: it may have been replaced in between. */
static int open_same(nsh_file *file, nsh__call call)
{
    opened reply = {.there = 0};
    nsh__detail kept;
    int rc = NSH_ERR_STATE;

    nsh__detail_keep(&kept);
    for (int i = 0; i < TRIES && rc == NSH_ERR_STATE; i++) {
        close_files(file);
        rc = nsh__file_is_io_rank(file) ? begin_open(file, call, &reply) : NSH_SUCCESS;
        rc = nsh__file_answer(file, call, rc, &reply, sizeof reply);
        if (rc == NSH_SUCCESS)
            rc = hold_target(file, call, &reply);
    }
    if (rc == NSH_SUCCESS)
        nsh__detail_restore(&kept);
    return rc;
}

/* Among the objects of the communicator the file takes the place of its reply. */
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

static void set_object_kind(nsh_array *reply, const nsh__kind *kind, void *handle)
{
    reply->object.kind = kind;
    reply->object.handle = handle;
}

/* Accepts a file in every stage of its creation, and NULL. */
static void file_destroy(nsh_file *file)
{
    if (file == NULL)
        return;
    close_files(file);
    if (file->reply != NULL)
        set_object_kind(file->reply, &nsh__array_kind, file->reply);
    nsh_array_free(&file->reply);
    free(file);
}

int nsh__file_open(nsh_comm *comm, nsh__call call, const char *path, nsh_file_mode mode,
                   const nsh_file_options *options, nsh_file **out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_file_options, in_place, NSH_FILE_OPTIONS_INIT);
    nsh_file_options given = NSH_FILE_OPTIONS_INIT, *o = &given;
    const int64_t bytes = NSH__FILE_REPLY;
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
    set_object_kind(file->reply, &file_kind, file);
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

/* What the I/O rank tells the others about a commit. */
typedef struct committed {
    int32_t changed; /* the file had changes */
    int32_t renamed; /* the working copy is the target now */
    nsh__identity target;
} committed;

/* [I/O rank] Rename the working copy, which is on disk, to the target, unless another program has
 * replaced or changed the target. */
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

/* [I/O rank] Changes in place are on disk: is the changed file still the one at the path? */
static int still_in_place(nsh_file *file, const char *name)
{
    bool gone;
    int rc = nsh__identity_still(name, file->path, &file->target, true, &gone);

    return rc == NSH_SUCCESS && gone
               ? nsh__fail(NSH_ERR_STATE, "%s: %.120s has been removed", name, file->path)
               : rc;
}

/* [I/O rank] Commit, after all bytes that were written without HDF5 are on disk. */
static int replace_target(nsh_file *file, nsh__call call, committed *out)
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

/* On every rank: from now on the handle reads and continues what was committed. */
static void adopt_commit(nsh_file *file, const committed *now)
{
    nsh__file_reader_free(file);
    if (now->renamed) {
        nsh__file_close_fd(&file->target_fd);
        file->target_fd = file->work_fd;
        file->work_fd = -1;
    }
    /* On such file systems only a new open is sure to show the new pages. */
    if (now->changed && !file->coherent && !nsh__file_is_io_rank(file))
        nsh__file_close_fd(&file->target_fd);
    file->target = now->target;
    file->there = true;
    file->dirty_fd = -1;
}

static int commit_file(nsh_file *file, nsh__call call)
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
        rc = replace_target(file, call, &now);
    rc = nsh__file_answer(file, call, rc, &now, sizeof now);
    if (rc == NSH_SUCCESS)
        adopt_commit(file, &now);
    return rc;
}

int nsh_file_commit(nsh_file *file)
{
    int rc;

    if (file == NULL)
        return nsh__file_null(NSH__CALL_FILE_COMMIT, "file");
    rc = nsh__comm_callable(file->comm, "nsh_file_commit");
    return rc != NSH_SUCCESS ? rc : commit_file(file, NSH__CALL_FILE_COMMIT);
}

int nsh__file_close(nsh_file **file, nsh__call call)
{
    bool reads = (*file)->mode == NSH_FILE_READ;
    int rc = nsh__comm_present((*file)->comm, nsh__call_name(call));

    if (nsh__object_forget((*file)->comm, &(*file)->reply->object)) {
        *file = NULL;
        return reads ? NSH_SUCCESS : rc; /* uncommitted changes are lost, or belong to the parent
                                            process */
    }
    rc = nsh__comm_callable((*file)->comm, nsh__call_name(call));
    if (rc != NSH_SUCCESS)
        return rc;
    rc = commit_file(*file, call);
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
