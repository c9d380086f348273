/* SPDX-License-Identifier: BSD-3-Clause */
/* matmul.c -- a product of two matrices, row by row on all workers, against a serial one.
 *
 *   mpiexec -n 4 matmul [N] [--threads T]
 *
 * Both factors are kept once per node. Each row of the product is filled in place on the node of
 * the worker that computes it, and replicated at the end. Every element is a sum in one order, so
 * that the product has the same bits as the serial one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

typedef struct factors {
    int64_t n;
    const double *a, *b;
} factors;

static void must(int rc, const char *what)
{
    if (rc == NSH_SUCCESS)
        return;
    fprintf(stderr, "matmul: %s: %s: %s\n", what, nsh_strerror(rc), nsh_error_detail());
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void product_row(const factors *f, int64_t i, double row[])
{
    for (int64_t j = 0; j < f->n; j++)
        row[j] = 0;
    for (int64_t k = 0; k < f->n; k++)
        for (int64_t j = 0; j < f->n; j++)
            row[j] += f->a[i * f->n + k] * f->b[k * f->n + j];
}

static int fill_row(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    (void)worker;
    product_row(arg, index, row);
    return NSH_SUCCESS;
}

/* Some numbers, whose sums depend on the order of adding. */
static int fill_factor(const nsh_map_worker *worker, int64_t index, void *row, void *arg)
{
    const int64_t *what = arg; /* n, and which one */
    double *p = row;

    (void)worker;
    for (int64_t j = 0; j < what[0]; j++)
        p[j] = 1.0 / (double)(1 + (index * 7 + j * 13 * what[1]) % 101);
    return NSH_SUCCESS;
}

static nsh_array *make(nsh_comm *comm, int64_t n)
{
    const int64_t extent[2] = {n, n};
    nsh_array *array;

    must(nsh_array_create(comm, MPI_DOUBLE, 2, extent, NULL, &array), "array");
    return array;
}

/* Elements of the product that differ from the serial one in any bit. */
static int64_t wrong_elements(const factors *f, const double *c)
{
    double *row = malloc((size_t)f->n * sizeof *row);
    int64_t wrong = 0;

    if (row == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < f->n; i++) {
        product_row(f, i, row);
        for (int64_t j = 0; j < f->n; j++)
            wrong += memcmp(&row[j], &c[i * f->n + j], sizeof *row) != 0;
    }
    free(row);
    return wrong;
}

int main(int argc, char **argv)
{
    nsh_map_options options = NSH_MAP_OPTIONS_INIT;
    int64_t n = 300, wrong = 0, what[2];
    nsh_array *a, *b, *c;
    nsh_comm *comm;
    factors f;
    int level;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            options.threads = atoi(argv[++i]);
        else
            n = atoll(argv[i]);
    }
    if (options.threads > 0)
        options.context = NSH_MAP_RANKS_THREADS;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), "communicator");
    a = make(comm, n);
    b = make(comm, n);
    c = make(comm, n);
    what[0] = n;
    what[1] = 1;
    must(nsh_map_rows(a, fill_factor, what, NULL), "a");
    what[1] = 2;
    must(nsh_map_rows(b, fill_factor, what, NULL), "b");
    f = (factors){n, nsh_array_data(a), nsh_array_data(b)};
    must(nsh_map_rows(c, fill_row, &f, &options), "c");
    if (nsh_comm_node_rank(comm) == 0)
        wrong = wrong_elements(&f, nsh_array_data(c));
    MPI_Allreduce(MPI_IN_PLACE, &wrong, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (nsh_comm_rank(comm) == 0)
        printf("product of %d x %d on %d ranks: %d elements differ from the serial one\n", (int)n,
               (int)n, nsh_comm_size(comm), (int)wrong);
    must(nsh_array_free(&a), "free");
    must(nsh_array_free(&b), "free");
    must(nsh_array_free(&c), "free");
    must(nsh_comm_free(&comm), "free");
    MPI_Finalize();
    return wrong == 0 ? 0 : 1;
}
