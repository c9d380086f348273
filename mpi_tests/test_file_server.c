/* test_file_server.c -- ranks: 2  layouts: cliques-2
 * seconds: 30
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Files on a file server. This program stands between the library and the system and makes the
 * local file system behave as NFS does: flock(2) locks all bytes, so that it and a lock of a byte
 * exclude each other; a rename cannot insist on a new name; the answer to link(2) may be lost; and
 * the user has a quota. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <nodeshare.h>

#include "scratch.h"

/* ---- between the library and the system ---- */

#define INTERPOSED __attribute__((visibility("default")))

enum { NFS = 0x6969 };

static bool answer_lost; /* link(2) is done and says that it was done before */
static int flocks, links, renames;
static int64_t quota = INT64_MAX; /* bytes that may still be written */
static bool synced_late;          /* the server reports the quota only at a sync */

INTERPOSED int fstatfs(int fd, struct statfs *fs)
{
    int rc = (int)syscall(SYS_fstatfs, fd, fs);

    fs->f_type = NFS;
    return rc;
}

INTERPOSED int flock(int fd, int operation)
{
    struct flock all = {.l_whence = SEEK_SET};
    int kind = operation & ~LOCK_NB, rc;

    flocks++;
    all.l_type = (short)(kind == LOCK_EX ? F_WRLCK : kind == LOCK_SH ? F_RDLCK : F_UNLCK);
    rc = fcntl(fd, F_OFD_SETLK, &all);
    if (rc != 0 && (errno == EAGAIN || errno == EACCES))
        errno = EWOULDBLOCK;
    return rc;
}

INTERPOSED int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    (void)from, (void)old, (void)to, (void)new, (void)flags;
    renames++;
    errno = EINVAL;
    return -1;
}

INTERPOSED int link(const char *old, const char *new)
{
    int rc = (int)syscall(SYS_linkat, AT_FDCWD, old, AT_FDCWD, new, 0);

    links++;
    if (rc == 0 && answer_lost) {
        errno = EEXIST;
        rc = -1;
    }
    return rc;
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    ssize_t done;

    if (quota == 0 && n > 0) {
        errno = EDQUOT;
        return -1;
    }
    done = syscall(SYS_pwrite64, fd, data, (int64_t)n < quota ? n : (size_t)quota, at);
    if (done > 0)
        quota -= done;
    return done;
}

INTERPOSED int fsync(int fd)
{
    if (synced_late) {
        errno = EDQUOT;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

/* ---- tests ---- */

static nsh_comm *comm;
static nsh_array *array;

static nsh_file *open_file(nsh_file_mode mode)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, scratch_path("f.h5"), mode, NULL, &file), NSH_SUCCESS);
    return file;
}

/* All who read the file get the array. */
static void check_readable(const char *name)
{
    nsh_array *loaded = NULL;
    nsh_file *file = open_file(NSH_FILE_READ);

    CHECK_ALL(nsh_file_load(file, name, &loaded), NSH_SUCCESS);
    if (loaded != NULL)
        CHECK_MEM(nsh_array_data(loaded), nsh_array_data(array), nsh_array_nbytes(array));
    CHECK_ALL(nsh_array_free(&loaded), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

/* The lock of a working copy is ours, HDF5 writes to it, and a target has none. */
static void test_locks(void)
{
    nsh_file *file;

    check_case("our own lock keeps neither us nor readers out");
    flocks = 0;
    file = open_file(NSH_FILE_CREATE);
    CHECK_ALL(nsh_file_write(file, "first", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    check_readable("first");
    CHECK_ALL(nsh_file_write(file, "second", array), NSH_SUCCESS);
    check_readable("first");
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file(NSH_FILE_APPEND);
    check_readable("second");
    CHECK_ALL(nsh_file_write(file, "third", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    check_readable("third");
    CHECK(check_rank != 0 || flocks > 0);
}

/* A file that must be new, to which another program may be faster. */
static void test_new_name(void)
{
    char is[16] = "";
    nsh_file *file;
    FILE *f;

    check_case("a new file, where rename(2) can only replace");
    scratch_unlink("f.h5");
    links = renames = 0;
    file = open_file(NSH_FILE_EXCL);
    CHECK_ALL(nsh_file_write(file, "first", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(links, check_rank == 0);
    CHECK_EQ(renames, check_rank == 0);
    CHECK_EQ(scratch_count("f.h5"), 1);
    check_readable("first");

    check_case("another program makes it first");
    scratch_unlink("f.h5");
    file = open_file(NSH_FILE_EXCL);
    CHECK_ALL(nsh_file_write(file, "first", array), NSH_SUCCESS);
    if (check_rank == 0 && (f = fopen(scratch_path("f.h5"), "w")) != NULL) {
        fputs("precious", f);
        fclose(f);
    }
    CHECK_ALL(nsh_file_close(&file), NSH_ERR_EXISTS);
    if (check_rank == 0 && (f = fopen(scratch_path("f.h5"), "r")) != NULL) {
        CHECK(fgets(is, sizeof is, f) != NULL);
        CHECK_STR(is, "precious");
        fclose(f);
    }
    CHECK_EQ(scratch_count("f.h5"), 1);

    check_case("the server's answer is lost");
    scratch_unlink("f.h5");
    answer_lost = true;
    file = open_file(NSH_FILE_EXCL);
    CHECK_ALL(nsh_file_write(file, "first", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    answer_lost = false;
    CHECK_EQ(scratch_count("f.h5"), 1);
    check_readable("first");
}

/* Replaces the file under a quota: the first code that is not success. */
static int replace_file(int64_t bytes)
{
    nsh_file *file = NULL;
    int rc, closed = NSH_SUCCESS;

    quota = bytes;
    rc = nsh_file_open(comm, scratch_path("f.h5"), NSH_FILE_CREATE, NULL, &file);
    if (rc == NSH_SUCCESS)
        rc = nsh_file_write(file, "second", array);
    if (rc == NSH_SUCCESS)
        rc = nsh_file_set_attr(file, "second", "units", NSH_ATTR_TEXT, 1, "m");
    if (rc != NSH_SUCCESS) {
        CHECK_HAS(nsh_error_detail(), strerror(EDQUOT));
        closed = nsh_file_abandon(&file);
    } else {
        rc = nsh_file_close(&file);
        if (rc != NSH_SUCCESS)
            CHECK_HAS(nsh_error_detail(), strerror(EDQUOT));
    }
    CHECK_EQ(closed, NSH_SUCCESS);
    quota = INT64_MAX;
    return CHECK_SAME(rc);
}

/* Whichever write is the first that exceeds it, the error is that of a full disk with words of its
 * own, and the old file stays. */
static void test_quota(void)
{
    int64_t bytes = 0;
    nsh_file *file;
    int rc;

    check_case("a quota is exceeded");
    file = open_file(NSH_FILE_CREATE);
    CHECK_ALL(nsh_file_write(file, "first", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    while ((rc = replace_file(bytes)) != NSH_SUCCESS && bytes < 4 * nsh_array_nbytes(array)) {
        CHECK_EQ(rc, NSH_ERR_IO);
        CHECK_EQ(scratch_count("f.h5"), 1);
        check_readable("first");
        bytes += bytes < 4000 ? 400 : 20000;
    }
    CHECK_EQ(rc, NSH_SUCCESS);
    CHECK(bytes > nsh_array_nbytes(array));
    check_readable("second");

    check_case("the server tells of it late");
    synced_late = true;
    CHECK_EQ(replace_file(INT64_MAX), NSH_ERR_IO);
    synced_late = false;
    CHECK_EQ(scratch_count("f.h5"), 1);
    check_readable("second");
}

int main(int argc, char **argv)
{
    const int64_t extent = 100000;
    const char byte = 'x';

    check_init(&argc, &argv);
    check_needs_hdf5();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    scratch_make();
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &byte), NSH_SUCCESS);
    test_locks();
    test_new_name();
    test_quota();
    scratch_remove();
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
