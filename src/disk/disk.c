/* SPDX-License-Identifier: BSD-3-Clause */
/* disk.c -- files as POSIX knows them.
 *
 * Invariant: a target is either the old file or a whole new one, even if a process is killed at any
 * moment: only rename(2) changes it, after the new bytes are on disk. A working copy in use is
 * locked by its maker, if the file system has locks; so one that can be locked is not in use. The
 * rename makes the lock one on the target. */
#define _GNU_SOURCE
#include "disk/disk.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/math.h"
#include "disk/coherent.h"
#include "disk/disk_lock.h"
#include "disk/inherit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/fs.h>
#include <sys/ioctl.h>
#endif

enum {
    PART = 1 << 20,    /* bytes of one call */
    DIRECT = 64 << 10, /* runs from this length on are read and written one by one */
    SPARSE = 16,       /* gaps longer than this many runs, */
    GAP = 4 << 10      /* and than this, are not read through */
};

static int fail_errno(const char *call, const char *what, const char *path, int error)
{
    int code = error == ENOENT   ? NSH_ERR_NOT_FOUND
               : error == EEXIST ? NSH_ERR_EXISTS
               : error == ENOMEM ? NSH_ERR_NOMEM
                                 : NSH_ERR_IO;

    return nsh__fail(code, "%s: %s %.120s: %s", call, what, path, strerror(error));
}

/* The number of nested guards of this thread: only the outermost calls the system. */
static _Thread_local int guards;

void nsh__disk_guard_begin(nsh__disk_guard *guard)
{
    sigset_t block, now;

    if (guards++ > 0)
        return;
    sigemptyset(&block);
    sigaddset(&block, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &block, &guard->mask);
    sigpending(&now);
    guard->pending = sigismember(&now, SIGXFSZ) == 1;
}

void nsh__disk_guard_end(const nsh__disk_guard *guard)
{
    const struct timespec at_once = {0, 0};
    sigset_t mine;

    if (--guards > 0)
        return;
    sigemptyset(&mine);
    sigaddset(&mine, SIGXFSZ);
    while (!guard->pending && sigtimedwait(&mine, NULL, &at_once) == SIGXFSZ)
        ;
    pthread_sigmask(SIG_SETMASK, &guard->mask, NULL);
}

/* ---- reading and writing ---- */

int nsh__disk_open(const char *call, const char *path, bool write, int *fd)
{
    int opened = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK), error = errno;
    struct stat st;

    if (opened >= 0 && nsh__fault(disk_open)) {
        close(opened);
        opened = -1;
        error = EIO;
    }
    if (opened < 0)
        return fail_errno(call, "cannot open", path, error);
    if (fstat(opened, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(opened);
        return fail_errno(call, "cannot open", path, S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
    }
    *fd = opened;
    return NSH_SUCCESS;
}

static int write_all_bytes(const char *call, const char *path, int fd, int64_t at, const char *data,
                           int64_t n)
{
    while (n > 0) {
        ssize_t done = nsh__fault(disk_write) ? (errno = ENOSPC, -1)
                                              : pwrite(fd, data, (size_t)nsh__min(n, PART), at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail_errno(call, "cannot write", path, done < 0 ? errno : ENOSPC);
        data += done;
        at += done;
        n -= done;
    }
    return NSH_SUCCESS;
}

static int read_all_bytes(const char *call, const char *path, int fd, int64_t at, char *data,
                          int64_t n)
{
    while (n > 0) {
        ssize_t done = nsh__fault(disk_read) ? (errno = EIO, -1)
                                             : pread(fd, data, (size_t)nsh__min(n, PART), at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_errno(call, "cannot read", path, errno);
        if (done == 0)
            return nsh__fail(NSH_ERR_FORMAT,
                             "%s: %.120s is truncated: it ends before byte %" PRId64, call, path,
                             at + n);
        data += done;
        at += done;
        n -= done;
    }
    return NSH_SUCCESS;
}

/* A stretch of the file that is read or written by one call. If it has gaps, span is larger than n.
 */
typedef struct stretch {
    int64_t at, span; /* in the file */
    int64_t n;        /* stream bytes */
} stretch;

/* The address in memory if it is contiguous here, so that no staging is needed; else NULL. */
static char *direct_memory(char *base, const nsh__slab *slab, int64_t from, int64_t n)
{
    int64_t run = from / slab->run, within = from % slab->run;

    return within + n <= slab->run ? base + nsh__slab_run_at(slab, run) + within : NULL;
}

/* The stretch at stream position pos: a piece of one run. */
static stretch next_piece(const nsh__slab *slab, int64_t pos, int64_t end)
{
    int64_t n = nsh__min(nsh__min(slab->run - pos % slab->run, end - pos), PART);

    return (stretch){nsh__slab_at(slab, pos), n, n};
}

/* The stretch to read at pos: as many runs as lie near each other. */
static stretch next_slab_stretch(const nsh__slab *slab, int64_t pos, int64_t end)
{
    stretch s = next_piece(slab, pos, end);
    int64_t run = slab->run, most = run < GAP / SPARSE ? GAP : SPARSE * run;
    int last = slab->ndim - 1;

    if (last < 0 || s.n < run || run >= DIRECT)
        return s;
    while (end - pos - s.n >= run) {
        int64_t i = (pos + s.n) / run, at = nsh__slab_run_at(slab, i) - s.at;
        int64_t step = slab->stride[last], runs = 1;

        if (at - s.span > most || at + run > PART)
            break;
        if (step - run <= most)
            runs = nsh__min(
                nsh__min(slab->count[last] - i % slab->count[last], (end - pos - s.n) / run),
                1 + (PART - at - run) / step);
        s.n += runs * run;
        s.span = at + (runs - 1) * step + run;
    }
    return s;
}

int nsh__disk_write(const char *call, const char *path, int fd, int64_t at,
                    const nsh__slab *in_file, const char *base, const nsh__slab *in_memory,
                    int64_t from, int64_t n)
{
    char *staging = NULL;
    nsh__disk_guard guard;
    int rc = NSH_SUCCESS;

    nsh__disk_guard_begin(&guard);
    for (int64_t pos = from; pos < from + n && rc == NSH_SUCCESS;) {
        stretch s = next_piece(in_file, pos, from + n);
        const char *data = direct_memory((char *)(uintptr_t)base, in_memory, pos, s.n);

        if (data == NULL) {
            if (staging == NULL && (staging = malloc(PART)) == NULL)
                rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory to write", call);
            else
                nsh__slab_pack(staging, base, in_memory, pos, s.n);
            data = staging;
        }
        if (rc == NSH_SUCCESS)
            rc = write_all_bytes(call, path, fd, at + s.at, data, s.n);
        pos += s.n;
    }
    nsh__disk_guard_end(&guard);
    free(staging);
    return rc;
}

int nsh__disk_read(const char *call, const char *path, int fd, int64_t at, const nsh__slab *in_file,
                   char *base, const nsh__slab *in_memory, int64_t from, int64_t n)
{
    char *staging = NULL;
    nsh__slab in_staging;
    int rc = NSH_SUCCESS;

    for (int64_t pos = from; pos < from + n && rc == NSH_SUCCESS;) {
        stretch s = next_slab_stretch(in_file, pos, from + n);
        char *data = s.n == s.span ? direct_memory(base, in_memory, pos, s.n) : NULL;
        bool staged = data == NULL;

        if (staged) {
            if (staging == NULL && (staging = malloc(PART)) == NULL)
                return nsh__fail(NSH_ERR_NOMEM, "%s: no memory to read", call);
            data = staging;
        }
        rc = read_all_bytes(call, path, fd, at + s.at, data, s.span);
        if (staged && rc == NSH_SUCCESS) {
            in_staging = *in_file;
            in_staging.start -= s.at;
            nsh__slab_copy(base, in_memory, staging, &in_staging, pos, s.n);
        }
        pos += s.n;
    }
    free(staging);
    return rc;
}

int nsh__disk_zero(const char *call, const char *path, int fd, int64_t at, int64_t n)
{
    static const char zeros[DIRECT];
    nsh__disk_guard guard;
    int rc = NSH_SUCCESS;

    nsh__disk_guard_begin(&guard);
    for (int64_t done = 0; done < n && rc == NSH_SUCCESS; done += DIRECT)
        rc = write_all_bytes(call, path, fd, at + done, zeros, nsh__min(n - done, DIRECT));
    nsh__disk_guard_end(&guard);
    return rc;
}

int nsh__disk_sync(const char *call, const char *path, int fd)
{
    if (fsync(fd) != 0 || nsh__fault(disk_sync))
        return fail_errno(call, "cannot sync", path, errno != 0 ? errno : EIO);
    return NSH_SUCCESS;
}

/* ---- working copies ---- */

/* The parts of a working copy's name after that of its target, and at its end. */
static const char infix[] = ".tmp-", ending[] = ".nsh";

enum { HOST = 32 }; /* bytes of a host's name that are used */

int nsh__disk_look(const char *call, const char *path, bool write)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        int error = errno;

        return fail_errno(call, "cannot open", path,
                          lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? EEXIST : error);
    }
    if (!S_ISREG(st.st_mode))
        return fail_errno(call, "cannot open", path, S_ISDIR(st.st_mode) ? EISDIR : EINVAL);
    if (write && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
        return fail_errno(call, "cannot write", path, errno);
    return NSH_SUCCESS;
}

int nsh__disk_replaceable(const char *call, const char *path)
{
    char directory[NSH__PATH];
    struct stat file, around;
    uid_t me = geteuid();

    nsh__path_directory(path, directory);
    if (me == 0 || stat(path, &file) != 0 || stat(directory, &around) != 0 ||
        (around.st_mode & S_ISVTX) == 0 || file.st_uid == me || around.st_uid == me)
        return NSH_SUCCESS;
    return nsh__fail(
        NSH_ERR_IO,
        "%s: cannot replace %.120s: its directory is sticky and it is another user's: %s", call,
        path, strerror(EPERM));
}

/* A working copy of path is called PATH.tmp-HOST-PID-NUMBER.nsh. */
static void name_work(const char *path, const char *host, unsigned number, char out[NSH__PATH])
{
    snprintf(out, NSH__PATH, "%.*s%s%.*s-%ld-%u%s", NSH__PATH - 128, path, infix, HOST, host,
             (long)getpid(), number, ending);
}

/* Is name the name of a working copy that begins with prefix? host gets the host in it. */
static bool is_work(const char *name, const char *prefix, char host[HOST + 1])
{
    size_t n = strlen(name), before = strlen(prefix), last = strlen(ending);

    if (n < before + last || strncmp(name, prefix, before) != 0 ||
        strcmp(name + n - last, ending) != 0)
        return false;
    n -= last;
    for (int numbers = 0; numbers < 2; numbers++) {
        size_t end = n;

        while (n > before && name[n - 1] >= '0' && name[n - 1] <= '9')
            n--;
        if (n == end || n == before || name[--n] != '-')
            return false;
    }
    if (n == before || n - before > HOST)
        return false;
    snprintf(host, HOST + 1, "%.*s", (int)(n - before), name + before);
    return true;
}

static void own_host(char host[HOST + 1])
{
    char name[256] = "";

    gethostname(name, sizeof name - 1);
    snprintf(host, HOST + 1, "%.*s", HOST, name[0] != '\0' ? name : "host");
}

/* Remove a working copy whose maker has ended: no process has its lock, and the maker's lock would
 * be seen from here. */
static void remove_stale(int directory, const char *name, const char *maker)
{
    int fd = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char host[HOST + 1];
    struct stat st;

    if (fd < 0)
        return;
    own_host(host);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (nsh__of_this_host(fd) || strcmp(host, maker) == 0) &&
        nsh__disk_lock_take(fd) == NSH__LOCK_HELD)
        unlinkat(directory, name, 0);
    close(fd);
}

static void remove_stale_copies(const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[NSH__PATH], prefix[NSH__PATH], maker[HOST + 1];
    struct dirent *entry;
    DIR *d;

    nsh__path_directory(path, directory);
    snprintf(prefix, sizeof prefix, "%.*s%s", NSH__PATH - 16, slash != NULL ? slash + 1 : path,
             infix);
    d = opendir(directory);
    while (d != NULL && (entry = readdir(d)) != NULL)
        if (is_work(entry->d_name, prefix, maker))
            remove_stale(dirfd(d), entry->d_name, maker);
    if (d != NULL)
        closedir(d);
}

/* Lock a new working copy, if the file system has locks. False: another process has its lock, or
 * has removed it. */
static bool lock_new_copy(int fd)
{
    struct stat st;

    return nsh__disk_lock_take(fd) != NSH__LOCK_BUSY && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static bool leads_to(const char *path, int fd)
{
    struct stat at_path, open;

    return stat(path, &at_path) == 0 && fstat(fd, &open) == 0 && at_path.st_dev == open.st_dev &&
           at_path.st_ino == open.st_ino;
}

/* Only on a local file system: elsewhere the lock may keep out programs that read with HDF5. */
static int lock_target(const char *call, const char *path, int fd)
{
    nsh__disk_lock lock = nsh__of_this_host(fd) ? nsh__disk_lock_take(fd) : NSH__LOCK_NONE;

    if (lock == NSH__LOCK_BUSY)
        return nsh__fail(NSH_ERR_BUSY, "%s: another handle has %.120s open for changes", call,
                         path);
    if (lock == NSH__LOCK_NONE)
        nsh__log("%s: no locks for %s: if another handle changes it too, the later commit fails",
                 call, path);
    return NSH_SUCCESS;
}

int nsh__disk_open_locked(const char *call, const char *path, int *fd)
{
    enum { TRIES = 100 };
    int opened, rc;

    for (int i = 0; i < TRIES; i++) {
        rc = nsh__disk_open(call, path, true, &opened);
        if (rc != NSH_SUCCESS)
            return rc;
        rc = lock_target(call, path, opened);
        if (rc == NSH_SUCCESS && leads_to(path, opened)) {
            *fd = opened;
            return NSH_SUCCESS;
        }
        close(opened); /* a rename came first: the lock is on the old file */
        if (rc != NSH_SUCCESS)
            return rc;
    }
    return nsh__fail(NSH_ERR_BUSY, "%s: %.120s is replaced all the time", call, path);
}

int nsh__disk_work(const char *call, const char *path, char work[NSH__PATH], int *fd)
{
    static atomic_uint made;
    char host[HOST + 1];
    int made_fd = -1, error = EEXIST;
    mode_t mode = access(path, F_OK) == 0 ? 0600 : 0666; /* more permissions only as the target has
                                                            them */

    remove_stale_copies(path);
    own_host(host);
    for (int tries = 0; made_fd < 0 && error == EEXIST && tries < 1000; tries++) {
        name_work(path, host, atomic_fetch_add(&made, 1), work);
        made_fd = open(work, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        error = errno;
        if (made_fd >= 0 && !lock_new_copy(made_fd)) { /* another process took it for a stale one */
            close(made_fd);
            made_fd = -1;
            error = EEXIST;
        }
    }
    if (made_fd >= 0 && nsh__fault(disk_work)) {
        close(made_fd);
        unlink(work);
        made_fd = -1;
        error = ENOSPC;
    }
    if (made_fd < 0) {
        fail_errno(call, "cannot create", work, error);
        return NSH_ERR_IO; /* also where the directory is missing */
    }
    nsh__inherit(call, path, made_fd, false);
    *fd = made_fd;
    return NSH_SUCCESS;
}

/* Copy all bytes in the fastest way that the file system has. */
static int copy_bytes(int from, int to)
{
    enum { MOST = 1 << 30 };
    char *buffer;
    ssize_t n;

#ifdef FICLONE
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
#endif
    if (lseek(from, 0, SEEK_SET) < 0)
        return errno;
#if defined(__linux__)
    while ((n = copy_file_range(from, NULL, to, NULL, MOST, 0)) > 0)
        ;
    if (n == 0 && lseek(to, 0, SEEK_CUR) > 0)
        return 0;
    if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return errno;
#endif
    buffer = malloc(PART);
    if (buffer == NULL)
        return ENOMEM;
    n = lseek(from, 0, SEEK_SET) < 0 || lseek(to, 0, SEEK_SET) < 0 ? -1 : 0;
    while (n >= 0 && (n = read(from, buffer, PART)) > 0)
        n = write(to, buffer, (size_t)n) == n ? n : -1;
    free(buffer);
    return n < 0 ? (errno != 0 ? errno : ENOSPC) : 0;
}

int nsh__disk_fill(const char *call, int from, const char *work, int fd)
{
    nsh__disk_guard guard;
    int error;

    nsh__disk_guard_begin(&guard);
    error = copy_bytes(from, fd);
    nsh__disk_guard_end(&guard);
    return error == 0 ? NSH_SUCCESS : fail_errno(call, "cannot write", work, error);
}

static bool one_file(const char *a, const char *b)
{
    struct stat x, y;

    return lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* If a server's answer was lost, link(2) may have run twice. A name of the working copy that
 * remains is removed later as a stale one. */
static int rename_new(const char *work, const char *path)
{
#if defined(__linux__) && defined(RENAME_NOREPLACE)
    if (renameat2(AT_FDCWD, work, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
#endif
    if (link(work, path) != 0) {
        int error = errno;

        if (error != EEXIST || !one_file(work, path)) {
            errno = error;
            return -1;
        }
    }
    (void)!unlink(work);
    return 0;
}

/* A directory that may be written to but not read cannot be synced by itself: then the whole file
 * system is synced. */
int nsh__disk_sync_directory(const char *call, const char *path, int fd)
{
    char directory[NSH__PATH];
    int opened, rc = NSH_SUCCESS;

    nsh__path_directory(path, directory);
    opened = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
#if defined(__linux__)
    if (opened < 0 && errno == EACCES)
        return syncfs(fd) == 0 ? NSH_SUCCESS : fail_errno(call, "cannot sync", directory, errno);
#endif
    if (opened < 0)
        return fail_errno(call, "cannot open", directory, errno);
    if (fsync(opened) != 0 && errno != EINVAL && errno != EROFS)
        rc = fail_errno(call, "cannot sync", directory, errno);
    close(opened);
    (void)fd;
    return rc;
}

int nsh__disk_replace(const char *call, const char *work, int fd, const char *path, bool new)
{
    if (nsh__fault(disk_rename) || (new ? rename_new(work, path) : rename(work, path)) != 0)
        return fail_errno(call, "cannot replace", path, errno != 0 ? errno : EIO);
    if (!nsh__of_this_host(fd))
        nsh__disk_lock_drop(fd); /* a target has no lock there: see lock_target */
    return nsh__disk_sync_directory(call, path, fd);
}
