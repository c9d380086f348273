/* test_file_share.c -- ranks: 4  layouts: cliques-2 hosts-2
 * seconds: 60
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Which node writes and reads which bytes of a file, on file systems of several kinds. This program
 * stands between the library and the system: it counts what is written and read, says of which type
 * the file system is, and shows old bytes and writes late as clients of a server may. */
#define _GNU_SOURCE
#include "check.h"

#ifdef NSH_HDF5

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <hdf5.h>
#include <nodeshare.h>

#include "old_bytes.h"
#include "scratch.h"

/* ---- between the library and the system ---- */

#define INTERPOSED __attribute__((visibility("default")))

enum { EXT4 = 0xEF53, NFS = 0x6969 };
enum { PAGE = 4096, PAGES = 16384, LARGE = 64 << 10 };

static char top[256];               /* what is below this directory counts */
static char written[PAGES];         /* pages of the file to which this rank has written */
static int64_t bytes_read;          /* in calls for as much as only datasets have */
static bool overflow;               /* a page beyond the table */
static uint32_t type_of_filesystem; /* 0: as it is */
static bool stale;                  /* what others have written beyond the first page is not seen */
static bool late;                   /* zeros get to the file with the next fsync(2) only */

/* Zeros that are not in the file yet. */
static struct {
    int fd;
    size_t n;
    off_t at;
} unwritten[64];
static int unwritten_count;

static bool counts(int fd)
{
    char name[64], target[600];
    ssize_t n;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = readlink(name, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    return top[0] != '\0' && strncmp(target, top, strlen(top)) == 0;
}

static bool all_zero(const char *data, size_t n)
{
    return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (late && n >= LARGE && unwritten_count < 64 && counts(fd) && all_zero(data, n)) {
        unwritten[unwritten_count].fd = fd;
        unwritten[unwritten_count].n = n;
        unwritten[unwritten_count++].at = at;
        return (ssize_t)n;
    }
    if (n > 0 && counts(fd))
        for (int64_t page = at / PAGE; page <= (int64_t)(at + (off_t)n - 1) / PAGE; page++) {
            if (page < PAGES)
                written[page] = 1;
            else
                overflow = true;
        }
    return syscall(SYS_pwrite64, fd, data, n, at);
}

INTERPOSED ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return pwrite(fd, data, n, at);
}

INTERPOSED ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    ssize_t got = syscall(SYS_pread64, fd, data, n, at);

    if (n >= LARGE && counts(fd))
        bytes_read += (int64_t)n;
    if (stale && got > 0 && at >= PAGE && counts(fd))
        memset(data, 0, (size_t)got);
    return got;
}

INTERPOSED ssize_t pread64(int fd, void *data, size_t n, off64_t at)
{
    return pread(fd, data, n, at);
}

INTERPOSED int fsync(int fd)
{
    static const char zeros[2 * LARGE];

    for (int i = 0; i < unwritten_count; i++)
        syscall(SYS_pwrite64, unwritten[i].fd, zeros, unwritten[i].n, unwritten[i].at);
    unwritten_count = 0;
    return (int)syscall(SYS_fsync, fd);
}

INTERPOSED int fstatfs(int fd, struct statfs *fs)
{
    int rc = (int)syscall(SYS_fstatfs, fd, fs);

    if (type_of_filesystem != 0)
        fs->f_type = type_of_filesystem;
    return rc;
}

/* Descriptors that this rank has of what counts. */
static int descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += counts(fd);
    return n;
}

/* ---- what the nodes have done ---- */

static nsh_comm *comm;

static void forget(void)
{
    memset(written, 0, sizeof written);
    bytes_read = 0;
    PMPI_Barrier(MPI_COMM_WORLD);
}

/* Pages that ranks of several nodes have written; and the nodes that have written any. */
static int shared_pages(int *nodes)
{
    char *of_node = malloc(PAGES), *all = calloc(1, PAGES);
    int shared = 0;

    *nodes = 0;
    for (int node = 0; node < nsh_comm_node_count(comm); node++) {
        bool mine = nsh_comm_node_of(comm, check_rank) == node, any = false;

        for (int i = 0; i < PAGES; i++)
            of_node[i] = (char)(mine && written[i]);
        PMPI_Allreduce(MPI_IN_PLACE, of_node, PAGES, MPI_CHAR, MPI_MAX, MPI_COMM_WORLD);
        for (int i = 0; i < PAGES; i++) {
            any |= of_node[i] != 0;
            shared += of_node[i] && all[i];
            all[i] |= of_node[i];
        }
        *nodes += any;
    }
    free(of_node);
    free(all);
    return shared;
}

/* How many nodes have read datasets. */
static int nodes_that_read(void)
{
    int n = 0;

    for (int node = 0; node < nsh_comm_node_count(comm); node++) {
        int64_t bytes = nsh_comm_node_of(comm, check_rank) == node ? bytes_read : 0;

        PMPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
        n += bytes > 0;
    }
    return n;
}

/* ---- arrays ---- */

/* More than 3 MiB, which begin and end within pages; little; much again. */
static const int64_t sizes[] = {(3 << 20) + 1234, 700, (2 << 20) + 4095};

enum { ARRAYS = 3 };

static nsh_array *arrays[ARRAYS], *into[ARRAYS];

static void make_arrays(void)
{
    for (int i = 0; i < ARRAYS; i++) {
        char *data = malloc((size_t)sizes[i]);

        for (int64_t k = 0; k < sizes[i]; k++)
            data[k] = (char)(k * 31 + i + k / 4096);
        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &sizes[i], NULL, &arrays[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &sizes[i], NULL, &into[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_set(arrays[i], data, NULL, NULL, 0), NSH_SUCCESS);
        free(data);
    }
}

static void free_arrays(void)
{
    for (int i = 0; i < ARRAYS; i++) {
        CHECK_ALL(nsh_array_free(&arrays[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_free(&into[i]), NSH_SUCCESS);
    }
}

static nsh_file *open_file(nsh_file_mode mode, int writers, int in_place)
{
    nsh_file_options options = NSH_FILE_OPTIONS_INIT;
    nsh_file *file = NULL;

    options.writers = writers;
    options.in_place = in_place;
    CHECK_ALL(nsh_file_open(comm, scratch_path("share.h5"), mode, &options, &file), NSH_SUCCESS);
    return file;
}

static void write_all(nsh_file *file, const char *group)
{
    char name[64];

    for (int i = 0; i < ARRAYS; i++) {
        snprintf(name, sizeof name, "%s/%d", group, i);
        CHECK_ALL(nsh_file_write(file, name, arrays[i]), NSH_SUCCESS);
    }
}

static void read_all(nsh_file *file, const char *group)
{
    const char none = 0;
    char name[64];

    for (int i = 0; i < ARRAYS; i++) {
        snprintf(name, sizeof name, "%s/%d", group, i);
        CHECK_ALL(nsh_array_fill(into[i], &none), NSH_SUCCESS);
        CHECK_ALL(nsh_file_read(file, name, into[i]), NSH_SUCCESS);
        CHECK_MEM(nsh_array_data(into[i]), nsh_array_data(arrays[i]), sizes[i]);
    }
}

/* A group in a file that is new, copied, or changed in place: as many nodes write as are wanted,
 * and each page is one node's. Before the commit as many read as can see it, afterwards all. */
static void one_mode(nsh_file_mode mode, int in_place, int writers, int writing, int reading,
                     const char *group)
{
    nsh_file *file = open_file(mode, writers, in_place);
    int nodes;

    forget();
    write_all(file, group);
    CHECK_EQ(shared_pages(&nodes), 0);
    CHECK_EQ(nodes, writing);
    if (reading > 0) {
        read_all(file, group);
        CHECK_EQ(nodes_that_read(), reading);
    }
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_EQ(shared_pages(&nodes), 0);
    /* An open descriptor may show old pages where hosts do not see each other's. */
    if (type_of_filesystem != EXT4 && check_rank > 0)
        CHECK_EQ(descriptors(), 0);
    forget();
    read_all(file, group);
    CHECK_EQ(nodes_that_read(), nsh_comm_node_count(comm));
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
}

static void all_modes(const char *what, uint32_t type, int writers, int writing, int reading)
{
    check_case("%s: a new file, a copy, in place", what);
    type_of_filesystem = type;
    one_mode(NSH_FILE_CREATE, 0, writers, writing, reading, "first");
    one_mode(NSH_FILE_APPEND, 0, writers, writing, reading, "second");
    one_mode(NSH_FILE_APPEND, 1, writers, writing, reading, "third");
    type_of_filesystem = 0;
}

static void one_node(const char *what, uint32_t type, const char *group)
{
    check_case("%s: one node writes", what);
    type_of_filesystem = type;
    one_mode(NSH_FILE_APPEND, 0, 0, 1, 1, group);
    type_of_filesystem = 0;
}

/* Every rank has rows of its own, the borders of which are within pages. */
static void test_hyperslabs(void)
{
    const int64_t extent[] = {4, 300001};
    const int64_t offset[] = {check_rank, 0}, count[] = {1, extent[1]};
    char *data = malloc((size_t)extent[1]);
    nsh_file *file;
    int nodes;

    check_case("hyperslabs on NFS go through the node of rank 0");
    memset(data, 'a' + check_rank, (size_t)extent[1]);
    type_of_filesystem = NFS;
    file = open_file(NSH_FILE_APPEND, 0, 0);
    forget();
    CHECK_ALL(nsh_file_write_hyperslab(file, "rows", MPI_BYTE, 2, extent, data, offset, count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_EQ(shared_pages(&nodes), 0);
    CHECK_EQ(nodes, 1);
    type_of_filesystem = 0;
    free(data);
}

/* HDF5, which rank 0 calls for all, may keep a few bytes; readers go around it. */
static void test_little(void)
{
    const int64_t extent = check_size, offset = check_rank, count = 1;
    const char mine = (char)('a' + check_rank);
    nsh_array *array = NULL;
    nsh_file *file;

    check_case("what went through the node of rank 0 is read before the commit");
    CHECK_ALL(nsh_array_create(comm, MPI_CHAR, 1, &extent, NULL, &array), NSH_SUCCESS);
    type_of_filesystem = NFS;
    file = open_file(NSH_FILE_APPEND, 0, 0);
    CHECK_ALL(
        nsh_file_write_hyperslab(file, "little", MPI_CHAR, 1, &extent, &mine, &offset, &count),
        NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "little", array), NSH_SUCCESS);
    for (int r = 0; r < check_size; r++)
        CHECK_EQ(((const char *)nsh_array_data(array))[r], 'a' + r);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    type_of_filesystem = 0;
}

/* Columns in which no rank writes now keep what other nodes have written there before. */
static void test_gaps(void)
{
    enum { ROWS = 8192, COLUMNS = 16, WRITTEN = 8 };
    const int64_t extent[] = {ROWS, COLUMNS}, rows = ROWS / check_size, mine = WRITTEN / check_size;
    const int64_t band[] = {rows * check_rank, 0}, of_band[] = {rows, COLUMNS};
    const int64_t strip[] = {0, mine * check_rank}, of_strip[] = {ROWS, mine};
    double *data = malloc(sizeof *data * ROWS * COLUMNS),
           *loaded = malloc(sizeof *data * ROWS * COLUMNS);
    nsh_file *file;

    check_case("gaps between what is written are not written back, where a node may see old bytes");
    type_of_filesystem = NFS;
    file = open_file(NSH_FILE_APPEND, nsh_comm_node_count(comm), 0);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        data[i] = 1;
    CHECK_ALL(nsh_file_write_hyperslab(file, "gaps", MPI_DOUBLE, 2, extent, data, band, of_band),
              NSH_SUCCESS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        data[i] = 2;
    stale = nsh_comm_node_of(comm, check_rank) != nsh_comm_node_of(comm, 0);
    CHECK_ALL(nsh_file_write_hyperslab(file, "gaps", MPI_DOUBLE, 2, extent, data, strip, of_strip),
              NSH_SUCCESS);
    stale = false;
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    file = open_file(NSH_FILE_READ, 0, 0);
    CHECK_ALL(
        nsh_file_get(file, "gaps", NULL, NULL, MPI_DOUBLE, loaded, sizeof *loaded * ROWS * COLUMNS),
        NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        data[i] = i % COLUMNS < WRITTEN ? 2 : 1;
    CHECK_MEM(loaded, data, sizeof *data * ROWS * COLUMNS);
    type_of_filesystem = 0;
    free(data);
    free(loaded);
}

enum { REUSED = 1 << 20 };

/* Rank 0 makes a new dataset zero where old bytes are, and then all ranks write parts of it. */
static void test_zeros(void)
{
    const int64_t extent = REUSED, count = REUSED / (2 * check_size),
                  offset = 2 * count * check_rank;
    char *data = malloc(REUSED), *loaded = malloc(REUSED);
    nsh_file *file;

    check_case("zeros that a node writes late do not fall on what others have written");
    memset(data, 'o', REUSED);
    if (check_rank == 0)
        make_with_old_bytes(scratch_path("share.h5"), H5T_NATIVE_CHAR, REUSED, data);
    type_of_filesystem = NFS;
    file = open_file(NSH_FILE_APPEND, nsh_comm_node_count(comm), 1);
    memset(data, 'n', REUSED);
    late = check_rank == 0;
    CHECK_ALL(nsh_file_write_hyperslab(file, "new", MPI_CHAR, 1, &extent, data, &offset, &count),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    late = false;
    file = open_file(NSH_FILE_READ, 0, 0);
    CHECK_ALL(nsh_file_get(file, "new", NULL, NULL, MPI_CHAR, loaded, REUSED), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    for (int i = 0; i < REUSED; i++)
        data[i] = i / count % 2 == 0 ? 'n' : 0;
    CHECK_MEM(loaded, data, REUSED);
    type_of_filesystem = 0;
    free(data);
    free(loaded);
}

int main(int argc, char **argv)
{

    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    snprintf(top, sizeof top, "%s", scratch_make());
    make_arrays();
    all_modes("ext4", EXT4, 0, nsh_comm_node_count(comm), nsh_comm_node_count(comm));
    all_modes("NFS", NFS, 0, 1, 1);
    one_node("SMB", 0xFF534D42, "smb");
    one_node("9p", 0x01021997, "9p");
    one_node("FUSE", 0x65735546, "fuse");
    one_node("one that nobody knows", 0x12345678, "unknown");
    all_modes("NFS, where the program says that all nodes write", NFS, nsh_comm_node_count(comm),
              nsh_comm_node_count(comm), 0);
    test_hyperslabs();
    test_little();
    test_gaps();
    test_zeros();
    CHECK(!overflow);
    free_arrays();
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}

#else

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_skip("built without HDF5");
}

#endif
