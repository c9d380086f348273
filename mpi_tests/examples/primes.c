/* SPDX-License-Identifier: BSD-3-Clause */
/* primes.c -- counts the primes up to a limit by a dynamic map over segments.
 *
 *   mpiexec -n 4 primes [LIMIT]        10000000 by default: 664579
 *
 * The primes up to the root of the limit are kept once per node; each segment is sieved with them,
 * and its count goes into an accumulator.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

enum { SEGMENT = 1 << 16 };

typedef struct sieve {
    int64_t limit, nsmall;
    const int64_t *small;
} sieve;

static void must(int rc, const char *what)
{
    if (rc == NSH_SUCCESS)
        return;
    fprintf(stderr, "primes: %s: %s: %s\n", what, nsh_strerror(rc), nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* The primes up to limit, into small if it is not NULL; returns how many. */
static int64_t small_primes(int64_t limit, int64_t small[])
{
    char *composite = calloc((size_t)limit + 1, 1);
    int64_t n = 0;

    if (composite == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t p = 2; p <= limit; p++) {
        if (composite[p])
            continue;
        if (small != NULL)
            small[n] = p;
        n++;
        for (int64_t k = p * p; k <= limit; k += p)
            composite[k] = 1;
    }
    free(composite);
    return n;
}

/* Counts the primes of one segment. */
static int count_segment(const nsh_map_worker *worker, int64_t index, void *arg)
{
    const sieve *s = arg;
    int64_t *count = worker->accumulator;
    int64_t first = index * SEGMENT, last = first + SEGMENT - 1;
    char composite[SEGMENT] = {0};

    if (last > s->limit)
        last = s->limit;
    for (int64_t i = 0; i < s->nsmall && s->small[i] * s->small[i] <= last; i++) {
        int64_t p = s->small[i], k = (first + p - 1) / p * p;

        for (k = k > p * p ? k : p * p; k <= last; k += p)
            composite[k - first] = 1;
    }
    for (int64_t k = first > 2 ? first : 2; k <= last; k++)
        *count += !composite[k - first];
    return NSH_SUCCESS;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

int main(int argc, char **argv)
{
    nsh_map_options options = NSH_MAP_OPTIONS_INIT;
    sieve s = {.limit = argc > 1 ? atoll(argv[1]) : 10000000};
    int64_t root = 1, count = 0, *small = NULL;
    nsh_comm *comm;
    nsh_array *primes;
    int level;

    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), "communicator");
    while (root * root < s.limit)
        root++;
    s.nsmall = small_primes(root, NULL);
    must(nsh_array_create(comm, MPI_INT64_T, 1, &s.nsmall, NULL, &primes), "array");
    if (nsh_comm_rank(comm) == 0) {
        small = malloc(((size_t)s.nsmall + 1) * sizeof *small);
        if (small == NULL)
            MPI_Abort(MPI_COMM_WORLD, 1);
        small_primes(root, small);
    }
    must(nsh_array_set(primes, small, NULL, NULL, 0), "set");
    free(small);
    s.small = nsh_array_data(primes);

    options.reduce_bytes = sizeof count;
    options.combine = add;
    options.result = &count;
    must(nsh_map(comm, s.limit / SEGMENT + 1, count_segment, &s, &options), "map");
    if (nsh_comm_rank(comm) == 0)
        printf("%" PRId64 " primes up to %" PRId64 "\n", count, s.limit);

    must(nsh_array_free(&primes), "free");
    must(nsh_comm_free(&comm), "free");
    MPI_Finalize();
    return 0;
}
