/* SPDX-License-Identifier: BSD-3-Clause */
/* h5.c -- HDF5, as one process uses it: files and datasets.
 *
 * Invariant: between enter and leave one thread of the process is here, HDF5's printing is off, and
 * afterwards it is as the program had it. */
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

enum {
    CHUNK = 256 << 10,      /* bytes of a chunk of frames, at most */
    CHUNK_LITTLE = 64 << 10 /* and of many small frames together */
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

void nsh__h5_enter(nsh__h5_visit *visit)
{
    *visit = (nsh__h5_visit){.is_v2 = 1};
    pthread_mutex_lock(&turn);
    nsh__disk_guard_begin(&visit->guard);
    H5Eauto_is_v2(H5E_DEFAULT, &visit->is_v2);
#ifndef H5_NO_DEPRECATED_SYMBOLS
    if (!visit->is_v2) {
        H5Eget_auto1(&visit->print1, &visit->data);
        H5Eset_auto1(NULL, NULL);
        return;
    }
#endif
    H5Eget_auto2(H5E_DEFAULT, &visit->print2, &visit->data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void nsh__h5_leave(nsh__h5_visit *visit)
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
}

/* ---- failures ---- */

/* The reason is where the failure began; of the way up from there only that is kept. */
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

/* False: it cannot begin, as with a plug-in in the environment that is not there. */
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

/* Our driver and HDF5's own format, whatever the environment says; and a close is a close. */
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

static bool is_file(const struct stat *st, int fd)
{
    struct stat its;

    return fstat(fd, &its) == 0 && its.st_dev == st->st_dev && its.st_ino == st->st_ino;
}

/* Is this file of the process, open with HDF5's ordinary driver, the one with that status, and may
 * one of the two opens change it under the other? */
static bool conflicts(hid_t id, const struct stat *st, bool write)
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

/* The program may use HDF5 itself. What it has written is not in the file before it closes it. */
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
        found = conflicts(id[i], &st, write);
    free(id);
    if (!found)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_STATE, "%s: this program has %.120s open with HDF5 itself%s", call,
                     path, write ? "" : ", for writing");
}

/* The name of the file behind fd. HDF5 looks for the files of external links beside it, and wants
 * something to be there: the path, unless it has gone elsewhere. */
static const char *name_of(const char *path, int fd, char out[32])
{
    struct stat st;

    snprintf(out, 32, "/proc/self/fd/%d", fd);
    return (stat(path, &st) == 0 && is_file(&st, fd)) || access(out, F_OK) != 0 ? path : out;
}

/* CREATE and CONTINUE: a working copy. */
typedef enum opening { CREATE, CONTINUE, READ, CHANGE } opening;

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

/* What has become of opening it; on failure it is closed. */
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

static int open_file(const char *call, const char *path, int fd, opening how, nsh__h5 **out)
{
    nsh__h5 *h5 = calloc(1, sizeof *h5);
    nsh__h5_visit visit;
    char name[32];
    hid_t access;
    int rc;

    if (h5 == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "%s: no memory", call);
    nsh__h5_enter(&visit);
    rc = how == CREATE ? NSH_SUCCESS : check_program(call, path, fd, how != READ);
    if (rc == NSH_SUCCESS) {
        h5->backing.fd = fd;
        h5->backing.mine = how == CREATE || how == CONTINUE;
        access = access_list(&h5->backing);
        h5->id = open_id(name_of(path, fd, name), how, access);
        h5->backing.fd = -1;
        rc = check_opened(call, path, how, h5);
        H5Pclose(access);
    }
    if (rc != NSH_SUCCESS)
        nsh__h5_driver_drop(&h5->backing);
    nsh__h5_leave(&visit);
    if (rc == NSH_SUCCESS)
        *out = h5;
    else
        free(h5);
    return rc;
}

int nsh__h5_create(const char *call, const char *path, int fd, nsh__h5 **out)
{
    return open_file(call, path, fd, CREATE, out);
}

int nsh__h5_continue(const char *call, const char *path, int fd, nsh__h5 **out)
{
    return open_file(call, path, fd, CONTINUE, out);
}

int nsh__h5_open(const char *call, const char *path, int fd, bool write, nsh__h5 **out)
{
    return open_file(call, path, fd, write ? CHANGE : READ, out);
}

int nsh__h5_flush(const char *call, nsh__h5 *h5)
{
    nsh__h5_visit visit;
    int rc = NSH_SUCCESS;

    nsh__h5_enter(&visit);
    if (H5Fflush(h5->id, H5F_SCOPE_GLOBAL) < 0 || nsh__fault(h5_flush))
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot write", "metadata");
    rc = nsh__h5_written(call, h5, rc);
    nsh__h5_leave(&visit);
    return rc;
}

/* Closing a dataset may write what HDF5 has kept of it. */
static void forget(nsh__h5 *h5, nsh__h5_open_dataset *dataset)
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
    nsh__h5_enter(&visit);
    for (int i = 0; i < NSH__H5_OPEN; i++)
        forget(*h5, &(*h5)->open[i]);
    closed = H5Fclose((*h5)->id) >= 0;
    if (closed)
        nsh__h5_driver_drop(&(*h5)->backing);
    if ((!closed || nsh__fault(h5_close)) && call != NULL)
        rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot close", "the file");
    if (call != NULL)
        rc = nsh__h5_written(call, *h5, rc);
    nsh__h5_leave(&visit);
    if (closed)
        free(*h5); /* otherwise HDF5 may still use the backing in it */
    *h5 = NULL;
    return rc;
}

/* ---- looking a dataset up ---- */

/* Every link on the way: H5Lexists fails where an earlier one is missing. */
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
                return 0; /* a link to nothing */
        }
    return 1;
}

static bool is_dataset(const nsh__h5 *h5, const char *name)
{
    hid_t object = H5Oopen(h5->id, name, H5P_DEFAULT);
    bool is = object >= 0 && H5Iget_type(object) == H5I_DATASET;

    if (object >= 0)
        H5Oclose(object);
    return is;
}

static int open_dataset(const char *call, nsh__h5 *h5, const char *name, nsh__h5_open_dataset *out)
{
    hid_t id, in_file;

    if (!nsh__h5_exists(h5, name) || name[0] == '\0')
        return nsh__fail(NSH_ERR_NOT_FOUND, "%s: no dataset \"%.120s\" in the file", call, name);
    if (!is_dataset(h5, name)) {
        if (H5Eget_num(H5E_DEFAULT) > 0) /* it cannot be told */
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
    forget(h5, *out);
    **out = fresh;
    return nsh__h5_written(call, h5, NSH_SUCCESS);
}

/* ---- describing it ---- */

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

/* Is it a dataset of this file, and not of another one that an external link leads to? */
static bool is_own(const nsh__h5 *h5, const H5O_info_t *dataset)
{
    H5O_info_t root;

    return H5Oget_info2(h5->id, &root, H5O_INFO_BASIC) >= 0 && root.fileno == dataset->fileno;
}

/* True where the bytes lie in the file in one piece. */
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

static int describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out)
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
    nsh__h5_open_dataset *dataset;
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = nsh__h5_dataset(call, h5, name, &dataset);
    if (rc == NSH_SUCCESS)
        *bytes = (int64_t)H5Dget_storage_size(dataset->id);
    nsh__h5_leave(&visit);
    return rc;
}

int nsh__h5_describe(const char *call, nsh__h5 *h5, const char *name, nsh__dataset *out)
{
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = describe(call, h5, name, out);
    nsh__h5_leave(&visit);
    return rc;
}

/* ---- making one ---- */

/* How long chunks of at most `most` are along n elements: the last one is stored whole too, so that
 * they divide n evenly, or nearly. */
static hsize_t even_chunk(hsize_t n, hsize_t most)
{
    enum { LITTLE = 32 }; /* one such part may be lost */
    hsize_t pieces = n / most + (n % most != 0);
    hsize_t longest = n / pieces + (n % pieces != 0), best = longest, least = n;

    /* With longest > LITTLE the first one will do: fewer elements than pieces are lost. */
    for (hsize_t c = longest; c > longest / 8 && least > n / LITTLE; c--) {
        hsize_t lost = n % c != 0 ? c - n % c : 0;

        if (lost < least) {
            least = lost;
            best = c;
        }
    }
    return best;
}

/* Whole frames while they are small, else parts of one: a frame's rows stay together longest. */
static void choose_chunk(int ndim, const hsize_t extent[], hsize_t item, hsize_t chunk[])
{
    hsize_t bytes = item;

    for (int d = 1; d < ndim; d++) {
        chunk[d] = extent[d] > 0 ? extent[d] : 1;
        bytes *= chunk[d]; /* of one frame; may wrap, where the loop below begins with a cut */
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
        bytes = inner >= CHUNK ? bytes : 0; /* what is left fits */
    }
}

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

/* A dataset on the way to name, where there should be groups. */
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

/* A dataset of that type and extent, and the groups on the way to it. */
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

static int make(const char *call, nsh__h5 *h5, const char *name, const nsh__element *element,
                int ndim, const int64_t extent[], bool series)
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
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = nsh__h5_written(call, h5, make(call, h5, name, element, ndim, extent, series));
    nsh__h5_leave(&visit);
    return rc;
}

void nsh__h5_unlink(nsh__h5 *h5, const char *name)
{
    for (int i = 0; i < NSH__H5_OPEN; i++)
        forget(h5, &h5->open[i]); /* it may be open under another name */
    if (nsh__h5_exists(h5, name))
        H5Ldelete(h5->id, name, H5P_DEFAULT);
}

void nsh__h5_remove(nsh__h5 *h5, const char *name)
{
    nsh__h5_visit visit;

    nsh__h5_enter(&visit);
    nsh__h5_unlink(h5, name);
    nsh__h5_leave(&visit);
}

int nsh__h5_resize(const char *call, nsh__h5 *h5, const char *name, int64_t leading)
{
    hsize_t extent[H5S_MAX_RANK];
    nsh__h5_open_dataset *dataset;
    nsh__h5_visit visit;
    hid_t space;
    int rc;

    nsh__h5_enter(&visit);
    rc = nsh__h5_dataset(call, h5, name, &dataset);
    if (rc == NSH_SUCCESS) {
        space = H5Dget_space(dataset->id);
        H5Sget_simple_extent_dims(space, extent, NULL);
        H5Sclose(space);
        extent[0] = (hsize_t)leading;
        if (H5Dset_extent(dataset->id, extent) < 0 || nsh__fault(h5_resize))
            rc = nsh__h5_failed(call, NSH_ERR_IO, "cannot extend", name);
    }
    rc = nsh__h5_written(call, h5, rc);
    nsh__h5_leave(&visit);
    return rc;
}

/* ---- reading and writing ---- */

static int move(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
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
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = move(call, h5, name, offset, count, data, NULL);
    nsh__h5_leave(&visit);
    return rc;
}

int nsh__h5_write(const char *call, nsh__h5 *h5, const char *name, const int64_t offset[],
                  const int64_t count[], const void *data)
{
    nsh__h5_visit visit;
    int rc;

    nsh__h5_enter(&visit);
    rc = nsh__h5_written(call, h5, move(call, h5, name, offset, count, NULL, data));
    nsh__h5_leave(&visit);
    return rc;
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

static int listed(const char *call, herr_t done, const char *what, names *all, char **out,
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
    names all = {NULL, 0, 0, false};
    nsh__h5_visit visit;
    herr_t done;
    int rc;

    nsh__h5_enter(&visit);
    done = H5Ovisit2(h5->id, H5_INDEX_NAME, H5_ITER_INC, visit_object, &all, H5O_INFO_BASIC);
    rc = listed(call, done, "the file", &all, out, bytes);
    nsh__h5_leave(&visit);
    return rc;
}

int nsh__h5_list_attrs(const char *call, nsh__h5 *h5, const char *name, char **out, int64_t *bytes)
{
    names all = {NULL, 0, 0, false};
    nsh__h5_visit visit;
    hsize_t at = 0;
    herr_t done;
    int rc;

    nsh__h5_enter(&visit);
    if (!nsh__h5_exists(h5, name)) {
        rc = nsh__fail(NSH_ERR_NOT_FOUND, "%s: no object \"%.120s\" in the file", call, name);
    } else {
        done = H5Aiterate_by_name(h5->id, name[0] != '\0' ? name : "/", H5_INDEX_NAME, H5_ITER_INC,
                                  &at, visit_attr, &all, H5P_DEFAULT);
        rc = listed(call, done, name, &all, out, bytes);
    }
    nsh__h5_leave(&visit);
    return rc;
}

#else
typedef int nsh__h5_unused; /* ISO C forbids an empty translation unit */
#endif
