/* SPDX-License-Identifier: BSD-3-Clause */
/* h5.c -- HDF5 as one process uses it: files.
 *
 * Invariant: between enter and leave only one thread of the process runs here, and HDF5 does not
 * print; leave restores the program's setting. */
#define _GNU_SOURCE
#include "file/h5.h"

#include "base/error.h"

#ifdef NSH_HDF5

#include "base/fault.h"
#include "file/h5private.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

nsh__h5_visit nsh__h5_enter(void)
{
    nsh__h5_visit visit = {.is_v2 = 1};

    pthread_mutex_lock(&turn);
    nsh__disk_guard_begin(&visit.guard);
    H5Eauto_is_v2(H5E_DEFAULT, &visit.is_v2);
#ifndef H5_NO_DEPRECATED_SYMBOLS
    if (!visit.is_v2) {
        H5Eget_auto1(&visit.print1, &visit.data);
        H5Eset_auto1(NULL, NULL);
        return visit;
    }
#endif
    H5Eget_auto2(H5E_DEFAULT, &visit.print2, &visit.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return visit;
}

int nsh__h5_leave(nsh__h5_visit *visit, int rc)
{
    H5Eclear2(H5E_DEFAULT);
#ifndef H5_NO_DEPRECATED_SYMBOLS
    if (!visit->is_v2)
        H5Eset_auto1(visit->print1, visit->data);
#endif
    if (visit->is_v2)
        H5Eset_auto2(H5E_DEFAULT, visit->print2, visit->data);
    nsh__disk_guard_end(&visit->guard);
    pthread_mutex_unlock(&turn);
    return rc;
}

/* ---- failures ---- */

/* Keep the first entry of HDF5's error stack: the place where the failure began. */
static herr_t note_reason(unsigned n, const H5E_error2_t *error, void *text)
{
    if (n == 0)
        snprintf(text, 160, "%s", error->desc != NULL ? error->desc : "");
    return 0;
}

int nsh__h5_failed(const char *call, int code, const char *what, const char *name)
{
    char reason[160] = "";

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_reason, reason);
    if (strstr(reason, "errno = ") != NULL)
        code = NSH_ERR_IO;
    return nsh__fail(code, "%s: %s %.80s: HDF5: %s", call, what, name,
                     reason[0] != '\0' ? reason : "no reason given");
}

int nsh__h5_written(const char *call, const nsh__h5 *h5, int rc)
{
    if (h5->backing.error == 0)
        return rc;
    return nsh__fail(NSH_ERR_IO, "%s: cannot write the file: %s (errno = %d)", call,
                     strerror(h5->backing.error), h5->backing.error);
}

/* ---- the library ---- */

/* The version of the linked HDF5. False: HDF5 cannot be initialised, for example because the
 * environment names a plug-in that does not exist. */
static bool linked_version(unsigned version[3])
{
    bool begun;

    pthread_mutex_lock(&turn);
    begun = H5get_libversion(&version[0], &version[1], &version[2]) >= 0;
    pthread_mutex_unlock(&turn);
    return begun;
}

const char *nsh__h5_version(void)
{
    static char text[48];
    unsigned version[3] = {0};

    linked_version(version);
    snprintf(text, sizeof text, "%u.%u.%u", version[0], version[1], version[2]);
    return text;
}

/* Releases of one minor version with one soname have the same interface. */
int nsh__h5_available(const char *call)
{
    unsigned version[3] = {0};

    if (!linked_version(version))
        return nsh__fail(NSH_ERR_UNSUPPORTED,
                         "%s: HDF5 cannot begin; do the variables HDF5_* name what exists?", call);
    if (version[0] != H5_VERS_MAJOR || version[1] != H5_VERS_MINOR)
        return nsh__fail(NSH_ERR_UNSUPPORTED,
                         "%s: built with HDF5 %d.%d.%d, but the process has HDF5 %u.%u.%u", call,
                         H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE, version[0], version[1],
                         version[2]);
    return NSH_SUCCESS;
}

/* ---- files ---- */

/* An access list with our driver and HDF5's native connector, whatever the environment says;
 * closing the file closes all its objects. */
static hid_t access_list(nsh__h5_backing *backing)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);

    if (list >= 0 && nsh__h5_driver_set(list, backing) < 0) {
        H5Pclose(list);
        list = -1;
    }
#if H5_VERSION_GE(1, 12, 0)
    H5Pset_vol(list, H5VL_NATIVE, NULL);
#endif
    H5Pset_fclose_degree(list, H5F_CLOSE_STRONG);
    return list;
}

/* Does fd have the file with this status open? */
static bool is_file(const struct stat *st, int fd)
{
    struct stat its;

    return fstat(fd, &its) == 0 && its.st_dev == st->st_dev && its.st_ino == st->st_ino;
}

/* Is HDF5 file id, which this program has opened with HDF5's ordinary driver, the file with this
 * status, and may one of the two handles change it while the other uses it? */
static bool is_conflict(hid_t id, const struct stat *st, bool write)
{
    hid_t list = H5Fget_access_plist(id);
    bool ordinary = list >= 0 && H5Pget_driver(list) == H5FD_SEC2;
    unsigned intent = 0;
    int *fd = NULL;

    if (list >= 0)
        H5Pclose(list);
    return ordinary && H5Fget_vfd_handle(id, H5P_DEFAULT, (void **)&fd) >= 0 && fd != NULL &&
           is_file(st, *fd) && H5Fget_intent(id, &intent) >= 0 &&
           (write || (intent & H5F_ACC_RDWR) != 0);
}

/* NSH_ERR_STATE if the program has the file open with HDF5 itself: what it has written may not be
 * in the file before it closes it. */
static int check_program(const char *call, const char *path, int fd, bool write)
{
    ssize_t n = H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_FILE);
    hid_t *id = n > 0 ? calloc((size_t)n, sizeof *id) : NULL;
    bool found = false;
    struct stat st;

    if (id != NULL && fstat(fd, &st) == 0)
        n = H5Fget_obj_ids(H5F_OBJ_ALL, H5F_OBJ_FILE, (size_t)n, id);
    else
        n = 0;
    for (ssize_t i = 0; i < n && !found; i++)
        found = is_conflict(id[i], &st, write);
    free(id);
    if (!found)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_STATE, "%s: this program has %.120s open with HDF5 itself%s", call,
                     path, write ? "" : ", for writing");
}

/* A name for the file of fd. HDF5 needs a name that exists, and looks for the files of external
 * links beside it: so it is the path, unless the file is not there any more. */
static const char *name_of_fd(const char *path, int fd, char out[32])
{
    struct stat st;

    snprintf(out, 32, "/proc/self/fd/%d", fd);
    return (stat(path, &st) == 0 && is_file(&st, fd)) || access(out, F_OK) != 0 ? path : out;
}

/* CREATE and CONTINUE open a working copy. */
typedef enum opening { CREATE, CONTINUE, READ, CHANGE } opening;

/* Open or create the file with HDF5; negative on failure. */
static hid_t open_id(const char *path, opening how, hid_t access)
{
    hid_t create, id;

    if (how != CREATE)
        return H5Fopen(path, how == READ ? H5F_ACC_RDONLY : H5F_ACC_RDWR, access);
    create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    id = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    H5Pclose(create);
    return id;
}

/* The outcome of opening the file; on a failure the file is closed. */
static int check_opened(const char *call, const char *path, opening how, nsh__h5 *h5)
{
    int rc = NSH_SUCCESS;

    if (h5->id >= 0 && nsh__fault(h5_open)) {
        H5Fclose(h5->id);
        h5->id = -1;
    }
    if (h5->id < 0 && h5->backing.replaced)
        return nsh__fail(NSH_ERR_STATE, "%s: %.120s has been replaced by another file", call, path);
    if (h5->id < 0 && h5->backing.busy)
        return nsh__fail(NSH_ERR_BUSY, "%s: %.120s is open elsewhere%s", call, path,
                         how == READ ? ", for writing" : "");
    if (h5->id < 0)
        rc = nsh__h5_failed(call, how == CREATE ? NSH_ERR_IO : NSH_ERR_FORMAT, "cannot open", path);
    rc = nsh__h5_written(call, h5, rc);
    if (rc != NSH_SUCCESS && h5->id >= 0)
        H5Fclose(h5->id);
    return rc;
}

static int open_h5_file(const char *call, const char *path, int fd, opening how, nsh__h5 **out)
{
    nsh__h5 *h5 = calloc(1, sizeof *h5);
    nsh__h5_visit visit;
    char name[32];
    hid_t access;
    int rc;

    if (h5 == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory", call);
    visit = nsh__h5_enter();
    rc = how == CREATE ? NSH_SUCCESS : check_program(call, path, fd, how != READ);
    if (rc == NSH_SUCCESS) {
        h5->backing.fd = fd;
        h5->backing.mine = how == CREATE || how == CONTINUE;
        access = access_list(&h5->backing);
        h5->id = open_id(name_of_fd(path, fd, name), how, access);
        h5->backing.fd = -1;
        rc = check_opened(call, path, how, h5);
        H5Pclose(access);
    }
    if (rc != NSH_SUCCESS)
        nsh__h5_driver_drop(&h5->backing);
    if (nsh__h5_leave(&visit, rc) == NSH_SUCCESS)
        *out = h5;
    else
        free(h5);
    return rc;
}

int nsh__h5_create(const char *call, const char *path, int fd, nsh__h5 **out)
{
    return open_h5_file(call, path, fd, CREATE, out);
}

int nsh__h5_continue(const char *call, const char *path, int fd, nsh__h5 **out)
{
    return open_h5_file(call, path, fd, CONTINUE, out);
}

int nsh__h5_open(const char *call, const char *path, int fd, bool write, nsh__h5 **out)
{
    return open_h5_file(call, path, fd, write ? CHANGE : READ, out);
}

int nsh__h5_flush(const char *call, nsh__h5 *h5)
{
    nsh__h5_visit visit = nsh__h5_enter();
    int rc = NSH_SUCCESS;

    if (H5Fflush(h5->id, H5F_SCOPE_GLOBAL) < 0 || nsh__fault(h5_flush))
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot write", "metadata");
    return nsh__h5_leave(&visit, nsh__h5_written(call, h5, rc));
}

/* Closing a dataset may write what HDF5 has buffered. */
void nsh__h5_forget(nsh__h5 *h5, nsh__h5_open_dataset *dataset)
{
    if (dataset->name == NULL)
        return;
    H5Tclose(dataset->memory);
    if ((H5Dclose(dataset->id) < 0 || nsh__fault(h5_dataset_close)) && h5->backing.error == 0)
        h5->backing.error = EIO;
    free(dataset->name);
    *dataset = (nsh__h5_open_dataset){.name = NULL};
}

void nsh__h5_cancel(nsh__h5 *h5)
{
    if (h5 != NULL && h5->backing.error == 0)
        h5->backing.error = ECANCELED;
}

int nsh__h5_close(const char *call, nsh__h5 **h5)
{
    nsh__h5_visit visit;
    int rc = NSH_SUCCESS;
    bool closed;

    if (*h5 == NULL)
        return NSH_SUCCESS;
    visit = nsh__h5_enter();
    for (int i = 0; i < NSH__H5_OPEN; i++)
        nsh__h5_forget(*h5, &(*h5)->open[i]);
    closed = H5Fclose((*h5)->id) >= 0;
    if (closed)
        nsh__h5_driver_drop(&(*h5)->backing);
    if ((!closed || nsh__fault(h5_close)) && call != NULL)
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot close", "the file");
    if (call != NULL)
        rc = nsh__h5_written(call, *h5, rc);
    nsh__h5_leave(&visit, rc);
    if (closed)
        free(*h5); /* otherwise HDF5 may still use the backing in it */
    *h5 = NULL;
    return rc;
}

/* ---- objects in a file ---- */

/* Checks every link on the way, because H5Lexists fails if an earlier one is missing. */
int nsh__h5_exists(const nsh__h5 *h5, const char *name)
{
    char part[NSH__FILE_NAME + 1];
    size_t n = strlen(name);

    if (n == 0)
        return 1;
    if (n > NSH__FILE_NAME)
        return 0;
    for (size_t i = 1; i <= n; i++)
        if ((name[i] == '/' && name[i - 1] != '/') || name[i] == '\0') {
            snprintf(part, sizeof part, "%.*s", (int)i, name);
            if (strcmp(part, ".") != 0 && H5Lexists(h5->id, part, H5P_DEFAULT) <= 0)
                return 0;
            if (H5Oexists_by_name(h5->id, part, H5P_DEFAULT) <= 0)
                return 0; /* a link whose target does not exist */
        }
    return 1;
}

#else
typedef int nsh__h5_unused; /* ISO C forbids an empty translation unit */
#endif
