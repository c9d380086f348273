/* SPDX-License-Identifier: BSD-3-Clause */
/* study.c -- compresses every file of a directory tree, one task a file, journalled.
 *
 *   [mpiexec -n 4] study [--serial] [--journal FILE] [--kill-after N] [DIRECTORY]
 *
 * Rank 0 walks the tree (/usr/share/doc by default); the names are kept once per node. A task's
 * result is the file's size and its size after zlib's deflate. With a journal, a study that was
 * killed goes on where it was, unless the tree has changed since. --kill-after N: a rank that has
 * done N tasks kills itself. With more files than N times the ranks some rank always gets there.
 * --serial: without MPI, by one process.
 */
#define _GNU_SOURCE
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zlib.h>

#include <nodeshare.h>

static void must(int rc, const char *what)
{
    if (rc == NSH_SUCCESS)
        return;
    fprintf(stderr, "study: %s: %s: %s\n", what, nsh_strerror(rc), nsh_error_detail());
    exit(1);
}

/* ---- the files ---- */

/* Names, each with its terminator, in a row. */
static char *names;
static int64_t nbytes, nfiles;

/* What the study is of: names, sizes and times of all files, in whatever order. */
static uint64_t tag;

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t sum, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return sum;
}

static int add_name(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    int64_t n = (int64_t)strlen(path) + 1;
    int64_t facts[3] = {s->st_size, s->st_mtim.tv_sec, s->st_mtim.tv_nsec};
    char *more;

    (void)ftw;
    if (type != FTW_F || !S_ISREG(s->st_mode))
        return 0;
    more = realloc(names, (size_t)(nbytes + n));
    if (more == NULL)
        return 1;
    names = more;
    memcpy(names + nbytes, path, (size_t)n);
    nbytes += n;
    nfiles++;
    tag += hash(hash(0xcbf29ce484222325u, path, (size_t)n), facts, sizeof facts);
    return 0;
}

/* The names on every node. nftw gives no order, but rank 0 alone decides on it; a journal that is
 * resumed wants the same one, so the names are sorted. */
static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(void)
{
    char **list = calloc((size_t)nfiles + 1, sizeof *list), *sorted = malloc((size_t)nbytes + 1);
    int64_t at = 0;

    if (list == NULL || sorted == NULL)
        exit(1);
    for (int64_t i = 0; i < nfiles; i++, at += (int64_t)strlen(names + at) + 1)
        list[i] = names + at;
    qsort(list, (size_t)nfiles, sizeof *list, compare);
    at = 0;
    for (int64_t i = 0; i < nfiles; i++) {
        size_t n = strlen(list[i]) + 1;

        memcpy(sorted + at, list[i], n);
        at += (int64_t)n;
    }
    free(list);
    free(names);
    names = sorted;
}

static nsh_array *share_names(nsh_comm *comm, const char *directory)
{
    const int64_t three = 3;
    int64_t sizes[3] = {0, 0, 0};
    nsh_array *array;

    if (nsh_comm_rank(comm) == 0) {
        if (nftw(directory, add_name, 32, FTW_PHYS) != 0)
            fprintf(stderr, "study: cannot read all of %s\n", directory);
        sort_names();
        sizes[0] = nbytes;
        sizes[1] = nfiles;
        sizes[2] = (int64_t)tag;
    }
    must(nsh_array_create(comm, MPI_INT64_T, 1, &three, NULL, &array), "sizes");
    must(nsh_array_set(array, sizes, NULL, NULL, 0), "sizes");
    must(nsh_array_get(array, NULL, NULL, sizes), "sizes");
    must(nsh_array_free(&array), "free");
    nfiles = sizes[1];
    tag = (uint64_t)sizes[2];
    must(nsh_array_create(comm, MPI_CHAR, 1, &sizes[0], NULL, &array), "names");
    must(nsh_array_set(array, names, NULL, NULL, 0), "names");
    free(names);
    return array;
}

/* Where each name begins. */
static int64_t *index_names(const char *all)
{
    int64_t *first = malloc(((size_t)nfiles + 1) * sizeof *first), at = 0;

    if (first == NULL)
        exit(1);
    for (int64_t i = 0; i < nfiles; i++, at += (int64_t)strlen(all + at) + 1)
        first[i] = at;
    return first;
}

/* ---- a task ---- */

/* Size, and size after deflate; false: the file cannot be read. */
static int compress_file(const char *path, int64_t sizes[2])
{
    static unsigned char in[1 << 16], out[1 << 16];
    z_stream z = {.zalloc = Z_NULL};
    FILE *f = fopen(path, "rb");
    int flush, good = f != NULL && deflateInit(&z, 6) == Z_OK;

    sizes[0] = sizes[1] = 0;
    do {
        z.avail_in = good ? (uInt)fread(in, 1, sizeof in, f) : 0;
        z.next_in = in;
        sizes[0] += z.avail_in;
        flush = z.avail_in < sizeof in ? Z_FINISH : Z_NO_FLUSH;
        do {
            z.next_out = out;
            z.avail_out = sizeof out;
            if (good)
                deflate(&z, flush);
            sizes[1] += (int64_t)(sizeof out - z.avail_out);
        } while (good && z.avail_out == 0);
    } while (good && flush != Z_FINISH);
    good = good && !ferror(f);
    if (f != NULL) {
        deflateEnd(&z);
        fclose(f);
    }
    return good;
}

static void work(nsh_batch *batch, const char *all, const int64_t first[], int64_t kill_after)
{
    int64_t task, sizes[2];

    for (int64_t done = 0;; done++) {
        must(nsh_batch_next(batch, &task), "next");
        if (task < 0)
            return;
        if (done == kill_after)
            raise(SIGKILL);
        must(nsh_batch_finish(
                 batch, task,
                 compress_file(all + first[task], sizes) ? NSH_TASK_DONE : NSH_TASK_FAILED, sizes),
             "finish");
    }
}

static void report(nsh_comm *comm, nsh_batch *batch)
{
    const int64_t extent[2] = {nfiles, 2};
    int64_t total[2] = {0, 0};
    nsh_array *results;
    nsh_task_counts counts = NSH_TASK_COUNTS_INIT;

    must(nsh_array_create(comm, MPI_INT64_T, 2, extent, NULL, &results), "results");
    must(nsh_batch_results(batch, results), "results");
    must(nsh_batch_counts(batch, &counts), "counts");
    for (int64_t i = 0; i < 2 * nfiles; i++)
        total[i % 2] += ((const int64_t *)nsh_array_data(results))[i];
    if (nsh_comm_rank(comm) == 0)
        printf("%" PRId64 " files, %" PRId64 " failed, %" PRId64 " bytes, %" PRId64 " compressed\n",
               nfiles, counts.failed, total[0], total[1]);
    must(nsh_array_free(&results), "free");
}

int main(int argc, char **argv)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;
    const char *directory = "/usr/share/doc";
    int64_t kill_after = -1, *first;
    int serial = 0, level;
    nsh_batch *batch;
    nsh_array *all;
    nsh_comm *comm;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--serial") == 0)
            serial = 1;
        else if (strcmp(argv[i], "--journal") == 0 && i + 1 < argc)
            options.journal = argv[++i];
        else if (strcmp(argv[i], "--kill-after") == 0 && i + 1 < argc)
            kill_after = atoll(argv[++i]);
        else
            directory = argv[i];
    }
    if (!serial)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    must(serial ? nsh_comm_create_serial(&comm) : nsh_comm_create(MPI_COMM_WORLD, NULL, &comm),
         "communicator");
    all = share_names(comm, directory);
    first = index_names(nsh_array_data(all));
    options.result_type = MPI_INT64_T;
    options.result_count = 2;
    options.tag = tag;
    options.wait = 1; /* of several jobs on the journal each prints what all have done */
    must(nsh_batch_create(comm, nfiles, &options, &batch), "batch");
    work(batch, nsh_array_data(all), first, kill_after);
    report(comm, batch);
    must(nsh_batch_free(&batch), "free");
    must(nsh_array_free(&all), "free");
    must(nsh_comm_free(&comm), "free");
    free(first);
    if (!serial)
        MPI_Finalize();
    return 0;
}
