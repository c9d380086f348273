/* SPDX-License-Identifier: BSD-3-Clause */
/* h5driver.c -- the driver through which HDF5 reads and writes the bytes of our files.
 *
 * Invariant: HDF5 reads what it wrote last, even if that is not in the file. */
#define _GNU_SOURCE
#include "file/h5.h"

#ifdef NSH_HDF5

#include "base/fault.h"
#include "file/h5driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ADDR ((haddr_t)INT64_MAX)

/* Bytes that HDF5 has written and that are not in the file. */
typedef struct kept {
    struct kept *next; /* written later */
    haddr_t at;
    size_t n;
    char data[];
} kept;

typedef struct driver_file {
    H5FD_t public; /* HDF5's; comes first */
    int fd;
    nsh__h5_backing *backing;
    haddr_t eoa, eof;
    dev_t device;
    ino_t inode;
    kept *first, **last; /* in the order of writing; where the next one is linked */
} driver_file;

/* Put the reason of a failure on HDF5's error stack. */
static void push_error(hid_t minor, const char *what, int error)
{
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_VFL, minor,
             "%s: %s (errno = %d)", what, strerror(error), error);
}

/* ---- bytes that are not in the file ---- */

/* Keep bytes that could not be written. Without memory they are lost, as the file is in any case.
 */
static void keep_bytes(driver_file *file, haddr_t at, size_t n, const void *data)
{
    kept *k = malloc(sizeof *k + n);

    if (k == NULL)
        return;
    *k = (kept){NULL, at, n};
    memcpy(k->data, data, n);
    *file->last = k;
    file->last = &k->next;
}

static void lay_over(const kept *k, haddr_t at, size_t n, char *data)
{
    haddr_t begin = k->at > at ? k->at : at;
    haddr_t end = k->at + k->n < at + n ? k->at + k->n : at + n;

    if (begin < end)
        memcpy(data + (begin - at), k->data + (begin - k->at), (size_t)(end - begin));
}

static void forget_kept(driver_file *file)
{
    while (file->first != NULL) {
        kept *next = file->first->next;

        free(file->first);
        file->first = next;
    }
    file->last = &file->first;
}

/* ---- bytes ---- */

static int write_at(int fd, haddr_t at, size_t n, const char *data)
{
    while (n > 0) {
        ssize_t done =
            nsh__fault(h5_pwrite) ? (errno = ENOSPC, -1) : pwrite(fd, data, n, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : ENOSPC;
        data += done;
        at += (haddr_t)done;
        n -= (size_t)done;
    }
    return 0;
}

/* Read n bytes; those after the end of the file are zero. */
static int read_at(int fd, haddr_t at, size_t n, char *data)
{
    while (n > 0) {
        ssize_t done = nsh__fault(h5_pread) ? (errno = EIO, -1) : pread(fd, data, n, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        if (done == 0) {
            memset(data, 0, n);
            return 0;
        }
        data += done;
        at += (haddr_t)done;
        n -= (size_t)done;
    }
    return 0;
}

static bool is_outside(haddr_t at, size_t n)
{
    return at > MAX_ADDR || n > MAX_ADDR - at;
}

static herr_t driver_read(H5FD_t *public, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                          void *data)
{
    driver_file *file = (driver_file *)public;
    int error = is_outside(at, n) ? EINVAL : read_at(file->fd, at, n, data);

    (void)type;
    (void)transfer;
    if (error != 0) {
        push_error(H5E_READERROR, "cannot read", error);
        return -1;
    }
    for (const kept *k = file->first; k != NULL; k = k->next)
        lay_over(k, at, n, data);
    return 0;
}

static herr_t driver_write(H5FD_t *public, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t n,
                           const void *data)
{
    driver_file *file = (driver_file *)public;
    nsh__h5_backing *backing = file->backing;

    (void)type;
    (void)transfer;
    if (backing->error == 0)
        backing->error = is_outside(at, n) ? EFBIG : write_at(file->fd, at, n, data);
    if (backing->error != 0 && !is_outside(at, n))
        keep_bytes(file, at, n, data);
    if (!is_outside(at, n) && at + n > file->eof)
        file->eof = at + n;
    return 0;
}

/* Give the file the length that HDF5 expects. */
static herr_t driver_truncate(H5FD_t *public, hid_t transfer, hbool_t closing)
{
    driver_file *file = (driver_file *)public;
    nsh__h5_backing *backing = file->backing;

    (void)transfer;
    (void)closing;
    if (file->eoa == file->eof)
        return 0;
    if (backing->error == 0 &&
        (nsh__fault(h5_pwrite) ? (errno = ENOSPC, -1) : ftruncate(file->fd, (off_t)file->eoa)) != 0)
        backing->error = errno;
    file->eof = file->eoa;
    return 0;
}

/* ---- open and close ---- */

static int open_flags(unsigned flags)
{
    return (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY) | (flags & H5F_ACC_TRUNC ? O_TRUNC : 0) |
           (flags & H5F_ACC_CREAT ? O_CREAT : 0) | (flags & H5F_ACC_EXCL ? O_EXCL : 0) | O_CLOEXEC;
}

/* Open the file again: HDF5's lock then belongs to this open file, not to the caller's descriptor.
 */
static int open_backing(nsh__h5_backing *backing, const char *name, int flags, struct stat *st)
{
    char there[32];
    struct stat mine;
    int fd;

    snprintf(there, sizeof there, "/proc/self/fd/%d", backing->fd);
    fd = backing->fd < 0 || access(there, F_OK) != 0 ? open(name, flags, 0666)
                                                     : open(there, flags & ~(O_CREAT | O_EXCL));
    if (fd < 0)
        return -1;
    if (fstat(fd, st) != 0 ||
        (backing->fd >= 0 && (fstat(backing->fd, &mine) != 0 || mine.st_dev != st->st_dev ||
                              mine.st_ino != st->st_ino))) {
        backing->replaced = true;
        close(fd);
        errno = ESTALE;
        return -1;
    }
    return fd;
}

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t list, haddr_t max_addr)
{
    nsh__h5_backing *const *backing = H5Pget_driver_info(list);
    driver_file *file = backing != NULL ? calloc(1, sizeof *file) : NULL;
    struct stat st;

    (void)max_addr;
    if (file == NULL)
        return NULL;
    file->fd = open_backing(*backing, name, open_flags(flags), &st);
    if (file->fd < 0) {
        push_error(H5E_CANTOPENFILE, "cannot open", errno);
        free(file);
        return NULL;
    }
    file->backing = *backing;
    file->last = &file->first;
    file->eof = (haddr_t)st.st_size;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return &file->public;
}

static herr_t driver_close(H5FD_t *public)
{
    driver_file *file = (driver_file *)public;

    if (close(file->fd) != 0 && file->backing->error == 0)
        file->backing->error = errno;
    forget_kept(file);
    free(file);
    return 0;
}

/* HDF5's lock keeps other processes out, but not on a file system without locks. Our own working
 * copy has the lock of disk_lock.h: over NFS flock(2) would be refused because of it. */
static herr_t driver_lock(H5FD_t *public, hbool_t exclusive)
{
    driver_file *file = (driver_file *)public;

    if (file->backing->mine)
        return 0;
    if (flock(file->fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    file->backing->busy = true;
    push_error(H5E_CANTLOCKFILE, "cannot lock", EWOULDBLOCK);
    return -1;
}

static herr_t driver_unlock(H5FD_t *public)
{
    flock(((driver_file *)public)->fd, LOCK_UN);
    return 0;
}

/* ---- queries by HDF5 ---- */

static int driver_compare(const H5FD_t *a, const H5FD_t *b)
{
    const driver_file *x = (const driver_file *)a, *y = (const driver_file *)b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

/* The features of HDF5's own POSIX driver without the one by which HDF5 looks at the path through
 * the handle: that fails if the file is not at the path any more, and open_backing has checked it.
 */
static herr_t driver_query(const H5FD_t *public, unsigned long *flags)
{
    (void)public;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *public, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)public)->eoa;
}

static herr_t driver_set_eoa(H5FD_t *public, H5FD_mem_t type, haddr_t at)
{
    (void)type;
    ((driver_file *)public)->eoa = at;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *public, H5FD_mem_t type)
{
    (void)type;
    return ((const driver_file *)public)->eof;
}

static herr_t driver_get_handle(H5FD_t *public, hid_t list, void **handle)
{
    (void)list;
    *handle = &((driver_file *)public)->fd;
    return 0;
}

/* The driver's part of an access list is the address of its backing. */
static void *copy_info(const void *info)
{
    nsh__h5_backing **copy = malloc(sizeof *copy);

    if (copy != NULL)
        memcpy(copy, info, sizeof *copy);
    return copy;
}

static void *driver_get_info(H5FD_t *public)
{
    return copy_info(&((driver_file *)public)->backing);
}

static herr_t free_info(void *info)
{
    free(info);
    return 0;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION /* HDF5 1.14 */
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)(H5_VFD_RESERVED + 78),
#endif
    .name = "nodeshare",
    .maxaddr = MAX_ADDR,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(nsh__h5_backing *),
    .fapl_get = driver_get_info,
    .fapl_copy = copy_info,
    .fapl_free = free_info,
    .open = driver_open,
    .close = driver_close,
    .cmp = driver_compare,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .lock = driver_lock,
    .unlock = driver_unlock,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Each access list gets a driver of its own: HDF5 treats two open files as one only if they have
 * the same driver, so the files of two handles have nothing in common. */
herr_t nsh__h5_driver_set(hid_t list, nsh__h5_backing *backing)
{
    hid_t id = H5FDregister(&driver);

    backing->driver = id >= 0 ? id : 0;
    return id >= 0 ? H5Pset_driver(list, id, &backing) : -1;
}

void nsh__h5_driver_drop(nsh__h5_backing *backing)
{
    if (backing->driver > 0)
        H5FDunregister(backing->driver);
    backing->driver = 0;
}

#else
typedef int nsh__h5driver_unused; /* ISO C forbids an empty translation unit */
#endif
