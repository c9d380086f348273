/* SPDX-License-Identifier: BSD-3-Clause */
/* wc.c -- count lines, words and bytes of a file that every node holds once.
 *
 *   mpiexec -n 4 wc FILE
 *
 * Rank 0 reads the file and sets it block by block; then every rank counts its own part in its
 * node's replica. A word is what stands between white space, as POSIX has it for the C locale;
 * wc(1) of older coreutils leaves out words of unprintable bytes. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

enum { BLOCK = 4 << 20 };

/* Every rank ends with the same verdict, whichever rank failed. */
static void must(int code)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "wc: %s: %s\n", nsh_strerror(code), nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The file's size, or -1 with a message: known to rank 0 alone. */
static int64_t open_file(const char *path, FILE **f)
{
    long long size = -1;

    *f = fopen(path, "rb");
    if (*f != NULL && fseek(*f, 0, SEEK_END) == 0 && (size = ftell(*f)) >= 0 &&
        fseek(*f, 0, SEEK_SET) == 0 && (size == 0 || fgetc(*f) != EOF)) {
        rewind(*f);
        return size;
    }
    fprintf(stderr, "wc: %s: %s\n", path, strerror(errno));
    return -1;
}

/* Rank 0 reads a block, all ranks get it. A short read counts as the end of the file. */
static void share_file(nsh_array *bytes, FILE *f, int rank)
{
    char *block = malloc(BLOCK);
    int64_t size = nsh_array_size(bytes);

    if (block == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t at = 0; at < size; at += BLOCK) {
        int64_t n = size - at < BLOCK ? size - at : BLOCK;

        if (rank == 0 && fread(block, 1, (size_t)n, f) != (size_t)n) {
            fprintf(stderr, "wc: the file has become shorter\n");
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        must(nsh_array_set(bytes, block, &at, &n, 0));
    }
    free(block);
}

static void count_part(const unsigned char *text, int64_t from, int64_t to, int64_t counts[3])
{
    for (int64_t i = from; i < to; i++) {
        counts[0] += text[i] == '\n';
        counts[1] += !isspace(text[i]) && (i == 0 || isspace(text[i - 1])); /* a word begins here */
    }
    counts[2] += to - from;
}

/* What this process has mapped, shared pages divided among those who map them, in KiB. */
static int64_t proportional_kib(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    long long kib = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Pss: %lld", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib;
}

static void report(nsh_comm *comm, const char *path, const int64_t mine[3], int64_t before,
                   int64_t after)
{
    int64_t total[3], grown = after - before, node = 0;

    MPI_Reduce(mine, total, 3, MPI_INT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Allreduce(&grown, &node, 1, MPI_INT64_T, MPI_SUM, nsh_comm_node_mpi(comm));
    if (nsh_comm_rank(comm) != 0)
        return;
    printf("%lld %lld %lld %s\n", (long long)total[0], (long long)total[1], (long long)total[2],
           path);
    fprintf(stderr,
            "%d ranks on %d nodes: %lld KiB for the file on node 0; a copy per rank: %lld "
            "KiB\n",
            nsh_comm_size(comm), nsh_comm_node_count(comm), (long long)node,
            (long long)(total[2] * nsh_comm_node_size(comm) / 1024));
}

int main(int argc, char **argv)
{
    int64_t size = -1, counts[3] = {0, 0, 0}, before, after, from, to;
    nsh_comm *comm;
    nsh_array *bytes;
    FILE *f = NULL;
    int rank, ranks;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (rank == 0 && argc == 2)
        size = open_file(argv[1], &f);
    else if (rank == 0)
        fprintf(stderr, "usage: mpiexec -n RANKS wc FILE\n");
    MPI_Bcast(&size, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    if (size < 0) {
        MPI_Finalize();
        return 1;
    }
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    before = proportional_kib();
    must(nsh_array_create(comm, MPI_BYTE, 1, &size, NULL, &bytes));
    share_file(bytes, f, rank);
    from = size / ranks * rank;
    to = rank == ranks - 1 ? size : from + size / ranks;
    count_part(nsh_array_data(bytes), from, to, counts);
    must(nsh_comm_barrier(comm));
    after = proportional_kib();
    must(nsh_comm_barrier(comm));
    report(comm, argv[1], counts, before, after);
    must(nsh_array_free(&bytes));
    must(nsh_comm_free(&comm));
    if (f != NULL)
        fclose(f);
    MPI_Finalize();
    return 0;
}
