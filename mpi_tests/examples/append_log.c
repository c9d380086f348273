/* SPDX-License-Identifier: BSD-3-Clause */
/* append_log.c -- ranks append records of several lines to one file, one at a time under a mutex.
 *
 *   mpiexec -n 4 append_log [--without] [--records N] [--order fifo|cohort] FILE
 *
 * A record is a header, its body, and an end with a checksum of the body, written piece by piece:
 *
 *   record RANK NUMBER LINES
 *   RANK NUMBER LINE letters     LINES times
 *   end RANK NUMBER CHECKSUM     over the bytes of the body: c = (31 c + byte) mod (2^31 - 1)
 *
 * Without the mutex records are torn and lost; scripts/check-log FILE RANKS RECORDS tells. Nodes
 * that share a file over NFS also open it after lock and close it before unlock: that is when NFS
 * looks and writes back. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nodeshare.h>

enum { MOST_LINES = 6, MOST_LETTERS = 72, LINE_BYTES = 160 };

static const char *const order_names[] = {"fifo", "cohort"}; /* by nsh_mutex_order */

typedef struct job {
    const char *path;
    int records; /* of each rank */
    bool locked;
    nsh_mutex_options mutex;
} job;

/* A rank that cannot lock or unlock would leave the others waiting. */
static void must(int code)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "append_log: %s: %s\n", nsh_strerror(code), nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Every rank has the same arguments and comes to the same verdict. */
static bool parse(int argc, char **argv, job *j)
{
    char *rest = NULL;
    bool known = true;

    for (int i = 1; i < argc && known; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(argv[i], "--without") == 0) {
            j->locked = false;
        } else if (strcmp(argv[i], "--records") == 0) {
            j->records = (int)strtol(next, &rest, 10);
            i++;
        } else if (strcmp(argv[i], "--order") == 0) {
            j->mutex.order = strcmp(next, "cohort") == 0 ? NSH_MUTEX_COHORT : NSH_MUTEX_FIFO;
            known = strcmp(next, order_names[j->mutex.order]) == 0;
            i++;
        } else {
            known = j->path == NULL && argv[i][0] != '-';
            j->path = argv[i];
        }
    }
    return known && j->path != NULL && j->records > 0 && (rest == NULL || *rest == '\0');
}

/* Write all of it, in as many pieces as the system likes. */
static bool put(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, text, bytes);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text += n;
            bytes -= (size_t)n;
        }
    }
    return true;
}

static size_t make_line(char *line, int rank, int number, int i)
{
    int at = snprintf(line, LINE_BYTES, "%d %d %d ", rank, number, i);
    int letters = (rank * 7 + number * 13 + i * 29) % MOST_LETTERS;

    for (int k = 0; k < letters; k++)
        line[at++] = (char)('a' + (rank + number + i + k) % 26);
    line[at++] = '\n';
    return (size_t)at;
}

/* What two ranks must not do at once: find the end of the file, and write there. */
static bool append(int fd, int rank, int number)
{
    char line[LINE_BYTES];
    int lines = 1 + (rank + number) % MOST_LINES;
    int n = snprintf(line, sizeof line, "record %d %d %d\n", rank, number, lines);
    uint64_t sum = 0;
    bool good = lseek(fd, 0, SEEK_END) >= 0 && put(fd, line, (size_t)n);

    for (int i = 0; i < lines && good; i++) {
        size_t bytes = make_line(line, rank, number, i);

        for (size_t k = 0; k < bytes; k++)
            sum = (31 * sum + (unsigned char)line[k]) % INT32_MAX;
        good = put(fd, line, bytes);
    }
    n = snprintf(line, sizeof line, "end %d %d %lld\n", rank, number, (long long)sum);
    return good && put(fd, line, (size_t)n);
}

/* This rank's records. One that fails gives the mutex back all the same, and is the last. */
static bool append_all(nsh_mutex *mutex, const job *j, int rank)
{
    int fd = open(j->path, O_WRONLY | O_CREAT, 0666), error = fd < 0 ? errno : 0;

    for (int number = 0; number < j->records && error == 0; number++) {
        if (j->locked)
            must(nsh_mutex_lock(mutex));
        if (!append(fd, rank, number))
            error = errno;
        if (j->locked)
            must(nsh_mutex_unlock(mutex));
    }
    if (fd >= 0 && close(fd) != 0 && error == 0)
        error = errno;
    if (error != 0)
        fprintf(stderr, "append_log: rank %d: %s: %s\n", rank, j->path, strerror(error));
    return error == 0;
}

static void report(nsh_comm *comm, const nsh_mutex *mutex, const job *j, double seconds)
{
    int rank = nsh_comm_rank(comm), ranks = nsh_comm_size(comm);
    nsh_mutex_stats mine = NSH_MUTEX_STATS_INIT, *all = malloc((size_t)ranks * sizeof mine);

    if (all == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    must(nsh_mutex_get_stats(mutex, &mine));
    MPI_Gather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        printf("%d ranks on %d nodes, %d records each, %s%s: %.3f s\n", ranks,
               nsh_comm_node_count(comm), j->records, j->locked ? "mutex " : "without a mutex",
               j->locked ? order_names[j->mutex.order] : "", seconds);
        for (int r = 0; r < ranks && j->locked; r++)
            printf("rank %d: %lld acquisitions, %lld waited, for %.3f s in all\n", r,
                   (long long)all[r].acquisitions, (long long)all[r].waited, all[r].seconds);
        fflush(stdout);
    }
    free(all);
}

int main(int argc, char **argv)
{
    job j = {.records = 1000, .locked = true, .mutex = NSH_MUTEX_OPTIONS_INIT};
    nsh_comm *comm;
    nsh_mutex *mutex = NULL;
    int good; /* on all ranks */
    double start;

    MPI_Init(&argc, &argv);
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm));
    good = parse(argc, argv, &j);
    if (good) {
        must(nsh_mutex_create(comm, &j.mutex, &mutex));
        must(nsh_comm_barrier(comm));
        start = MPI_Wtime();
        good = append_all(mutex, &j, nsh_comm_rank(comm));
        /* Not MPI_Barrier: the mutex may live here, and others still need it. While a rank waits in
         * nodeshare it serves them, with every MPI. */
        must(nsh_comm_barrier(comm));
        MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
        report(comm, mutex, &j, MPI_Wtime() - start);
    } else if (nsh_comm_rank(comm) == 0) {
        fprintf(stderr, "usage: mpiexec -n RANKS append_log [--without] [--records N] "
                        "[--order fifo|cohort] FILE\n");
    }
    must(nsh_mutex_free(&mutex));
    must(nsh_comm_free(&comm));
    MPI_Finalize();
    return good ? 0 : 1;
}
