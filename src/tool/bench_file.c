/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_file.c -- files against code without the library: write(2), read(2), HDF5 opened for each
 * frame. */
#define _GNU_SOURCE
#include "tool/bench.h"

#include "tool/tool.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FRAME = 8192 /* of 8 bytes */, FRAMES = 1000, FEW = 20 };

typedef struct job {
    const bench *b;
    nsh_array *array, *frame;
    char path[PATH_MAX], plain[PATH_MAX];
    void *memory; /* rank 0: shared, as large as the array */
    int64_t bytes;
    double seconds; /* what the timed part took */
} job;

static void must_plain(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- save and restore ---- */

static void save_array(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        tool_must(nsh_snapshot_save(j->path, 1, &j->array), "save");
}

/* The same guarantee by hand: a new file is put on disk, then renamed. */
static void plain_write(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times && j->b->rank == 0; i++) {
        char fresh[PATH_MAX + 8];
        int fd;
        ssize_t n = 0;

        snprintf(fresh, sizeof fresh, "%s.new", j->plain);
        fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        must_plain(fd >= 0, fresh);
        for (int64_t at = 0; at < j->bytes; at += n) {
            n = write(fd, (const char *)nsh_array_data(j->array) + at, (size_t)(j->bytes - at));
            must_plain(n > 0, "write");
        }
        must_plain(fsync(fd) == 0 && close(fd) == 0 && rename(fresh, j->plain) == 0, "fsync");
    }
}

static void restore_array(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times; i++)
        tool_must(nsh_snapshot_restore(j->path, 1, &j->array), "restore");
}

static void plain_read(void *arg, int times)
{
    job *j = arg;

    for (int i = 0; i < times && j->b->rank == 0; i++) {
        int fd = open(j->plain, O_RDONLY);
        ssize_t n = 0;

        must_plain(fd >= 0, j->plain);
        for (int64_t at = 0; at < j->bytes; at += n) {
            n = read(fd, (char *)j->memory + at, (size_t)(j->bytes - at));
            must_plain(n > 0, "read");
        }
        close(fd);
    }
}

/* ---- frames ---- */

static void bench_append(job *j, nsh_file_mode mode, int frames)
{
    nsh_file *file;

    tool_must(nsh_file_open(j->b->comm, j->path, mode, NULL, &file), "open");
    for (int i = 0; i < frames; i++)
        tool_must(nsh_file_append(file, "u", j->frame), "append");
    tool_must(nsh_file_close(&file), "close");
}

/* FRAMES frames, one file. */
static void append_many(void *arg, int times)
{
    double begin = MPI_Wtime();

    for (int i = 0; i < times; i++)
        bench_append(arg, NSH_FILE_CREATE, FRAMES);
    ((job *)arg)->seconds = MPI_Wtime() - begin;
}

/* FRAMES frames, each of which opens, extends and closes the file, with the same guarantee:
 * measured on the first FEW, which have the least to copy. */
static void append_each(void *arg, int times)
{
    double begin;

    bench_append(arg, NSH_FILE_CREATE, 1);
    begin = MPI_Wtime();
    for (int i = 0; i < times * FEW; i++)
        bench_append(arg, NSH_FILE_APPEND, 1);
    ((job *)arg)->seconds = (MPI_Wtime() - begin) * FRAMES / FEW;
}

/* ---- costs other than time ---- */

/* A counter of /proc/self/io, summed over all ranks, in MiB. */
static double read_traffic(const char *name)
{
    FILE *f = fopen("/proc/self/io", "r");
    char line[128];
    double mine = 0, all = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            mine = atof(line + strlen(name) + 1) / (1 << 20);
    if (f != NULL)
        fclose(f);
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

static double peak_mib(void)
{
    struct rusage used;
    double mine, most = 0;

    getrusage(RUSAGE_SELF, &used);
    mine = (double)used.ru_maxrss / 1024;
    MPI_Allreduce(&mine, &most, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return most;
}

static void bench_costs(job *j)
{
    double mib = (double)j->bytes / (1 << 20), before = read_traffic("wchar");

    save_array(j, 1);
    bench_row(j->b, "bytes-written-by-save-vs-array", read_traffic("wchar") - before, mib, "MiB");
    before = read_traffic("rchar");
    restore_array(j, 1);
    bench_row(j->b, "bytes-read-by-restore-vs-array", read_traffic("rchar") - before, mib, "MiB");
}

/* ---- all of it ---- */

static void compare_files(const bench *b, const char *what, const char *baseline, bench_side ours,
                          bench_side theirs, job *j)
{
    bool gib = j->bytes >= INT64_C(1) << 30;
    char name[96];

    snprintf(name, sizeof name, "%s-%lld%s-vs-%s", what, (long long)(j->bytes >> (gib ? 30 : 20)),
             gib ? "GiB" : "MiB", baseline);
    bench_compare(b, name, "ms", 1, ours, theirs, j);
}

static void prepare_job(job *j, const char *directory)
{
    const int64_t extent = j->bytes / 8, frame = FRAME;
    const nsh_array_options options = {sizeof options, "x"};
    const double one = 1;

    snprintf(j->path, sizeof j->path, "%.1000s/nsh-bench-file.h5", directory);
    snprintf(j->plain, sizeof j->plain, "%.1000s/nsh-bench-file.raw", directory);
    tool_must(nsh_array_create(j->b->comm, MPI_DOUBLE, 1, &extent, &options, &j->array), "array");
    tool_must(nsh_array_create(j->b->comm, MPI_DOUBLE, 1, &frame, NULL, &j->frame), "array");
    tool_must(nsh_array_fill(j->array, &one), "fill");
    tool_must(nsh_array_fill(j->frame, &one), "fill");
    if (j->b->rank == 0) {
        j->memory =
            mmap(NULL, (size_t)j->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        must_plain(j->memory != MAP_FAILED, "mmap");
    }
}

void bench_file(const bench *given)
{
    const char *directory = getenv("NSH_BENCH_DIR");
    bench b = *given;
    job j = {.b = &b, .bytes = b.max_bytes / 8 * 8};
    volatile double seen = 0;
    double before;

    if (nsh_file_close(NULL) == NSH_ERR_UNSUPPORTED)
        return;
    prepare_job(&j, directory != NULL ? directory : ".");
    for (int64_t i = 0; i < j.bytes / 8; i += 512) /* the array's own pages do not count */
        seen = seen + ((const double *)nsh_array_data(j.array))[i];
    before = peak_mib();
    save_array(&j, 1);
    bench_row(&b, "memory-of-saving-vs-64MiB", peak_mib() - before, 64, "MiB");
    plain_write(&j, 1);
    compare_files(&b, "save", "write-fsync-rename", save_array, plain_write, &j);
    compare_files(&b, "restore", "read", restore_array, plain_read, &j);
    bench_costs(&j);
    b.seconds = &j.seconds;
    bench_compare(&b, "append-1000-frames-vs-open-extend-close", "ms", 1, append_many, append_each,
                  &j);
    if (b.rank == 0) {
        unlink(j.path);
        unlink(j.plain);
        munmap(j.memory, (size_t)j.bytes);
    }
    tool_must(nsh_array_free(&j.frame), "free");
    tool_must(nsh_array_free(&j.array), "free");
}
