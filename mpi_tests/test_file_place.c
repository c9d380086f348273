/* test_file_place.c -- ranks: 1 4  layouts: one-node cliques-2 serial  env: NSH_LOG=1
 * seconds: 60
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a file is and to whom it belongs: symbolic links, working directories that change, owner,
 * group, permissions, access control lists, other names, directories that cannot be read; and what
 * of the old file is left after a commit. What is expected is what the file system says. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <nodeshare.h>

#include "scratch.h"

static nsh_comm *comm;
static nsh_array *array;
static char top[256]; /* the directory of this test */

/* Rank 0 changes the file system; every rank sees it afterwards. */
#define ON_RANK_0(action)                                                                          \
    do {                                                                                           \
        if (check_rank == 0)                                                                       \
            CHECK_EQ(action, 0);                                                                   \
        PMPI_Barrier(MPI_COMM_WORLD);                                                              \
    } while (0)

static const char *in_top(const char *name)
{
    return scratch_path(name);
}

static void save(const char *path)
{
    CHECK_ALL(nsh_snapshot_save(path, 1, &array), NSH_SUCCESS);
}

static nsh_file *open_file(const char *path, nsh_file_mode mode)
{
    nsh_file *file = NULL;

    CHECK_ALL(nsh_file_open(comm, path, mode, NULL, &file), NSH_SUCCESS);
    return file;
}

static bool is_link(const char *name)
{
    struct stat st;

    return lstat(in_top(name), &st) == 0 && S_ISLNK(st.st_mode);
}

static bool is_file(const char *name)
{
    struct stat st;

    return lstat(in_top(name), &st) == 0 && S_ISREG(st.st_mode);
}

static void make_directory(const char *name)
{
    ON_RANK_0(mkdir(in_top(name), 0755));
}

/* ---- links ---- */

static void test_links(void)
{
    nsh_file *file = NULL;

    check_case("a link to nothing is a name for a new file");
    make_directory("home");
    make_directory("store");
    ON_RANK_0(symlink("../store/big.h5", in_top("home/state.h5")));
    ON_RANK_0(symlink("home/state.h5", in_top("link.h5")));
    CHECK_ALL(nsh_file_open(comm, in_top("link.h5"), NSH_FILE_READ, NULL, &file),
              NSH_ERR_NOT_FOUND);
    save(in_top("link.h5"));
    CHECK(is_link("link.h5") && is_link("home/state.h5") && is_file("store/big.h5"));
    file = open_file(in_top("link.h5"), NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_write(file, "more", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(is_link("link.h5") && is_link("home/state.h5") && is_file("store/big.h5"));

    check_case("a link to nothing exists, for NSH_FILE_EXCL");
    ON_RANK_0(symlink("store/none.h5", in_top("dangling.h5")));
    CHECK_ALL(nsh_file_open(comm, in_top("dangling.h5"), NSH_FILE_EXCL, NULL, &file),
              NSH_ERR_EXISTS);
    CHECK(is_link("dangling.h5") && !is_file("store/none.h5"));

    check_case("links that lead to each other, or to no directory");
    ON_RANK_0(symlink("b.h5", in_top("a.h5")));
    ON_RANK_0(symlink("a.h5", in_top("b.h5")));
    CHECK_ALL(nsh_file_open(comm, in_top("a.h5"), NSH_FILE_CREATE, NULL, &file), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), strerror(ELOOP));
    ON_RANK_0(symlink("nowhere/x.h5", in_top("c.h5")));
    CHECK_ALL(nsh_file_open(comm, in_top("c.h5"), NSH_FILE_CREATE, NULL, &file), NSH_ERR_IO);
    CHECK(is_link("a.h5") && is_link("b.h5") && is_link("c.h5"));
    CHECK(file == NULL);
}

/* A directory that the path leads through is another one at the commit. */
static void test_moved_directory(void)
{
    nsh_file *file;

    check_case("a link to a directory changes between open and close");
    make_directory("run1");
    make_directory("run2");
    ON_RANK_0(symlink("run1", in_top("latest")));
    file = open_file(in_top("latest/x.h5"), NSH_FILE_CREATE);
    ON_RANK_0(unlink(in_top("latest")));
    ON_RANK_0(symlink("run2", in_top("latest")));
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(is_file("run1/x.h5") && !is_file("run2/x.h5"));
}

/* ---- the working directory ---- */

static void go(const char *directory)
{
    CHECK_EQ(chdir(directory), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void test_chdir(void)
{
    nsh_file *file;
    int value = -1;

    check_case("the working directory changes between open and close");
    make_directory("sub");
    go(top);
    file = open_file("new.h5", NSH_FILE_CREATE);
    go("sub");
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK(is_file("new.h5") && !is_file("sub/new.h5"));
    ON_RANK_0(symlink("/dev/null", in_top("sub/new.h5"))); /* another file of that name is here */
    CHECK_ALL(nsh_file_write(file, "b", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "b", array), NSH_SUCCESS);
    CHECK_EQ(nsh_file_get(file, "b", NULL, NULL, MPI_INT, &value, sizeof value), NSH_SUCCESS);
    CHECK_EQ(value, 7);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(is_link("sub/new.h5"));
    CHECK_EQ(scratch_count("new.h5"), 1);
    go("/");
}

/* ---- what is kept of the old file ---- */

/* Begin to read what this process prints on stderr; -1: it cannot be had. */
static int begin_to_listen(int *real)
{
    char name[64];
    int fd;

    snprintf(name, sizeof name, "stderr-%d", check_rank);
    fd = open(in_top(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
    *real = dup(2);
    dup2(fd, 2);
    return fd;
}

static void end_to_listen(int fd, int real, char *out, size_t bytes)
{
    ssize_t n = pread(fd, out, bytes - 1, 0);

    out[n > 0 ? n : 0] = '\0';
    dup2(real, 2);
    close(real);
    close(fd);
}

/* Save to path, and what rank 0 says about it. */
static void save_and_listen(const char *path, char *said, size_t bytes)
{
    int real, fd = begin_to_listen(&real);

    save(path);
    end_to_listen(fd, real, said, bytes);
}

/* An access control list as Linux stores it: user 1234 may read, the mask is rw-. */
static const unsigned char acl[] = {
    2,   0,   0,   0,   1,  0, 6, 0, 255, 255, 255, 255, 2,  0, 4, 0, 210, 4,   0,   0,  4, 0, 4, 0,
    255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};

static const char acl_name[] = "system.posix_acl_access";

static void test_permissions(void)
{
    char said[4096] = "", text[16] = "";
    struct stat st = {.st_mode = 0}, before = {.st_mode = 0};
    unsigned char list[sizeof acl];
    bool attributes = false, lists = false;

    check_case("mode, attributes and lists of a file that is replaced");
    save(in_top("mine.h5"));
    if (check_rank == 0) {
        const char *path = in_top("mine.h5");

        attributes = setxattr(path, "user.note", "kept", 4, 0) == 0;
        CHECK_EQ(chmod(path, 0640), 0);
        lists = setxattr(path, acl_name, acl, sizeof acl, 0) == 0;
        CHECK_EQ(stat(path, &before), 0);
    }
    save_and_listen(in_top("mine.h5"), said, sizeof said);
    CHECK(strstr(said, "does not keep") == NULL);
    if (check_rank == 0) {
        const char *path = in_top("mine.h5");

        CHECK_EQ(stat(path, &st), 0);
        CHECK(st.st_ino != before.st_ino);
        CHECK_EQ(st.st_mode, before.st_mode);
        CHECK(!attributes || getxattr(path, "user.note", text, sizeof text) == 4);
        CHECK(!attributes || memcmp(text, "kept", 4) == 0);
        CHECK(!lists || getxattr(path, acl_name, list, sizeof list) == (ssize_t)sizeof acl);
        CHECK(!lists || memcmp(list, acl, sizeof acl) == 0);
        check_note("attributes %s, access control lists %s", attributes ? "yes" : "no",
                   lists ? "yes" : "no");
    }

    check_case("permissions of a directory's default list are not added");
    if (check_rank == 0) {
        CHECK_EQ(mkdir(in_top("open"), 0755), 0);
        lists = setxattr(in_top("open"), "system.posix_acl_default", acl, sizeof acl, 0) == 0;
        close(open(in_top("open/secret.h5"), O_CREAT | O_WRONLY, 0600));
        removexattr(in_top("open/secret.h5"), acl_name);
        CHECK_EQ(chmod(in_top("open/secret.h5"), 0600), 0);
    }
    PMPI_Barrier(MPI_COMM_WORLD);
    save(in_top("open/secret.h5"));
    if (check_rank == 0) {
        CHECK_EQ(stat(in_top("open/secret.h5"), &st), 0);
        CHECK_EQ(st.st_mode & 0777, 0600);
        CHECK(getxattr(in_top("open/secret.h5"), acl_name, list, sizeof list) < 0);
    }
}

static void test_working_copy(void)
{
    struct stat st;
    nsh_file *file;

    check_case("a working copy is no more open than the file that it will replace");
    save(in_top("secret.h5"));
    ON_RANK_0(chmod(in_top("secret.h5"), 0440));
    if (geteuid() != 0)
        ON_RANK_0(chmod(in_top("secret.h5"), 0640));
    file = open_file(in_top("secret.h5"), NSH_FILE_CREATE);
    if (check_rank == 0) {
        DIR *d = opendir(top);
        struct dirent *entry;

        while (d != NULL && (entry = readdir(d)) != NULL)
            if (strncmp(entry->d_name, "secret.h5.tmp-", 14) == 0) {
                CHECK_EQ(stat(in_top(entry->d_name), &st), 0);
                CHECK_EQ(st.st_mode & 0777, 0640);
            }
        closedir(d);
    }
    ON_RANK_0(chmod(in_top("secret.h5"), 0604)); /* meanwhile: what counts is what is replaced */
    CHECK_ALL(nsh_file_write(file, "a", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    if (check_rank == 0) {
        CHECK_EQ(stat(in_top("secret.h5"), &st), 0);
        CHECK_EQ(st.st_mode & 0777, 0604);
    }
}

static void test_other_names(void)
{
    char said[4096] = "";

    check_case("other names of a file that is replaced keep the old one, which is said");
    save(in_top("one.h5"));
    ON_RANK_0(link(in_top("one.h5"), in_top("two.h5")));
    save_and_listen(in_top("one.h5"), said, sizeof said);
    if (check_rank == 0) {
        struct stat one, two;

        CHECK_EQ(stat(in_top("one.h5"), &one), 0);
        CHECK_EQ(stat(in_top("two.h5"), &two), 0);
        CHECK(one.st_ino != two.st_ino);
        CHECK_HAS(said, "one.h5 does not keep its 1 other names");
    }
}

/* ---- other users: only root can become them ---- */

enum { NOBODY = 65534, SOMEBODY = 1234 };

static void test_owner(void)
{
    struct stat st;

    check_case("root keeps owner, group and mode of another user's file");
    save(in_top("theirs.h5"));
    ON_RANK_0(chown(in_top("theirs.h5"), SOMEBODY, NOBODY));
    ON_RANK_0(chmod(in_top("theirs.h5"), 02660));
    save(in_top("theirs.h5"));
    if (check_rank == 0) {
        CHECK_EQ(stat(in_top("theirs.h5"), &st), 0);
        CHECK_EQ(st.st_uid, SOMEBODY);
        CHECK_EQ(st.st_gid, NOBODY);
        CHECK_EQ(st.st_mode & 07777, 02660);
    }
}

static void test_group(void)
{
    char said[4096] = "";
    bool list = false;
    struct stat st;
    int real, fd;

    check_case("an owner and a group that cannot be kept are said; the new group gets no more");
    make_directory("shared");
    ON_RANK_0(chmod(in_top("shared"), 0777));
    save(in_top("shared/x.h5"));
    ON_RANK_0(chown(in_top("shared/x.h5"), SOMEBODY, SOMEBODY));
    if (check_rank == 0)
        list = setxattr(in_top("shared/x.h5"), acl_name, acl, sizeof acl, 0) == 0;
    ON_RANK_0(chmod(in_top("shared/x.h5"), 02662));
    fd = begin_to_listen(&real);
    CHECK_EQ(seteuid(NOBODY), 0);
    save(in_top("shared/x.h5"));
    CHECK_EQ(seteuid(0), 0);
    end_to_listen(fd, real, said, sizeof said);
    if (check_rank == 0) {
        CHECK_EQ(stat(in_top("shared/x.h5"), &st), 0);
        CHECK_EQ(st.st_uid, NOBODY);
        CHECK(st.st_gid != SOMEBODY);
        CHECK_EQ(st.st_mode & 07777, 0622);
        CHECK_HAS(said, " owner 1234, group 1234");
        CHECK(!list || strstr(said, acl_name) != NULL);
        CHECK(getxattr(in_top("shared/x.h5"), acl_name, NULL, 0) < 0);
    }

    check_case("a file that this user may not write is not replaced");
    ON_RANK_0(chmod(in_top("shared/x.h5"), 0444));
    CHECK_EQ(seteuid(NOBODY), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_snapshot_save(in_top("shared/x.h5"), 1, &array), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "shared/x.h5: Permission denied");
    CHECK_EQ(seteuid(0), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void test_sticky_directory(void)
{
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    nsh_file *file = NULL;

    check_case("another user's file in a sticky directory: refused at once, but not in place");
    make_directory("sticky");
    save(in_top("sticky/x.h5"));
    ON_RANK_0(chmod(in_top("sticky/x.h5"), 0666));
    ON_RANK_0(chmod(in_top("sticky"), 01777));
    CHECK_EQ(seteuid(NOBODY), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK_ALL(nsh_file_open(comm, in_top("sticky/x.h5"), NSH_FILE_CREATE, NULL, &file), NSH_ERR_IO);
    CHECK_HAS(nsh_error_detail(), "sticky");
    CHECK_ALL(nsh_file_open(comm, in_top("sticky/x.h5"), NSH_FILE_APPEND, NULL, &file), NSH_ERR_IO);
    options.in_place = 1;
    CHECK_ALL(nsh_file_open(comm, in_top("sticky/x.h5"), NSH_FILE_APPEND, &options, &file),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_write(file, "more", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    save(in_top("sticky/own.h5"));
    save(in_top("sticky/own.h5"));
    CHECK_EQ(seteuid(0), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
}

static void test_blind_directory(void)
{
    nsh_file *file;

    check_case("a directory that may be written to but not read");
    make_directory("blind");
    ON_RANK_0(chmod(in_top("blind"), 0333));
    CHECK_EQ(seteuid(NOBODY), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    save(in_top("blind/x.h5"));
    file = open_file(in_top("blind/x.h5"), NSH_FILE_APPEND);
    CHECK_ALL(nsh_file_write(file, "more", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(seteuid(0), 0);
    PMPI_Barrier(MPI_COMM_WORLD);
    CHECK(is_file("blind/x.h5"));
}

/* ---- what is left of the old file ---- */

/* How many descriptors this process has of removed files in this test's directory. */
static int removed_but_open(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    char target[600];
    int n = 0;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        ssize_t length = readlinkat(dirfd(d), entry->d_name, target, sizeof target - 1);

        target[length > 0 ? length : 0] = '\0';
        n += strncmp(target, top, strlen(top)) == 0 && strstr(target, " (deleted)") != NULL;
    }
    if (d != NULL)
        closedir(d);
    return n;
}

static void test_space(void)
{
    nsh_file *file;
    int value;

    check_case("a commit leaves no descriptor of the file that it has replaced");
    save(in_top("grow.h5"));
    file = open_file(in_top("grow.h5"), NSH_FILE_APPEND);
    for (int i = 0; i < 3; i++) {
        value = -1;
        CHECK_EQ(nsh_file_get(file, "a", NULL, NULL, MPI_INT, &value, sizeof value), NSH_SUCCESS);
        CHECK_EQ(value, 7);
        CHECK_ALL(nsh_file_read(file, "a", array), NSH_SUCCESS);
        CHECK_ALL(nsh_file_append(file, "series", array), NSH_SUCCESS);
        CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
        PMPI_Barrier(MPI_COMM_WORLD);
        CHECK_EQ(removed_but_open(), 0);
    }
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(removed_but_open(), 0);
}

static void clean_up(void)
{
    char command[400];

    snprintf(command, sizeof command, "rm -rf %s", top);
    ON_RANK_0(system(command));
}

int main(int argc, char **argv)
{
    nsh_array_options options = {sizeof options, "a"};
    const int seven = 7;

    check_init(&argc, &argv);
    check_needs_hdf5();
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    snprintf(top, sizeof top, "%s", scratch_make());
    if (geteuid() == 0)
        ON_RANK_0(chmod(top, 0755)); /* other users have work in it */
    CHECK_ALL(nsh_array_create(comm, MPI_INT, 0, NULL, &options, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_set(array, &seven, NULL, NULL, 0), NSH_SUCCESS);
    test_links();
    test_moved_directory();
    test_chdir();
    test_permissions();
    test_working_copy();
    test_other_names();
    if (geteuid() == 0) {
        test_owner();
        test_group();
        test_sticky_directory();
        test_blind_directory();
    }
    test_space();
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    clean_up();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
