/* test_mpi_data.c -- ranks: 3 5  layouts: one-node cliques-2 odd-even per-rank
 * seconds: 90 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* No message leaves from memory that this process may not write, whatever the caller's data lies
 * in: networks that register memory refuse such pages. Every buffer that the library gives to MPI
 * to read is looked up in /proc/self/maps. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"
#include "scratch.h"

static int looked_at, refused;

/* Can this process write to p? -1: it is not mapped. */
static int writable(const void *p)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long begin, end, at = (unsigned long)(uintptr_t)p;
    char line[512], permissions[8];
    int answer = -1;

    while (answer < 0 && f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, permissions) == 3 && at >= begin && at < end)
            answer = permissions[1] == 'w';
    if (f != NULL)
        fclose(f);
    return answer;
}

static void look_at(const void *buffer, int count)
{
    if (count == 0 || buffer == MPI_IN_PLACE)
        return;
    looked_at++;
    refused += writable(buffer) != 1;
}

int MPI_Isend(const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    look_at(buffer, count);
    return PMPI_Isend(buffer, count, type, to, tag, comm, request);
}

int MPI_Ireduce(const void *buffer, void *out, int count, MPI_Datatype type, MPI_Op op, int root,
                MPI_Comm comm, MPI_Request *request)
{
    look_at(buffer, count);
    return PMPI_Ireduce(buffer, out, count, type, op, root, comm, request);
}

/* ---- cases ---- */

enum { ROWS = 60, COLUMNS = 5000, SIZE = ROWS * COLUMNS };

static double value(int i)
{
    return (double)(i % 997);
}

/* [collective] The case is over: refused buffers fail it, and with several nodes there were some.
 */
static void end_case(const nsh_comm *comm, int expect)
{
    int sum = 0;

    PMPI_Allreduce(&looked_at, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    CHECK_EQ(refused, 0);
    if (expect && nsh_comm_node_count(comm) > 1)
        CHECK(sum > 0);
    looked_at = refused = 0;
}

static void take_left(void *in, void *inout, int *n, MPI_Datatype *type)
{
    (void)type;
    memcpy(inout, in, (size_t)*n * sizeof(double));
}

static void sets(nsh_array *to, const double *from)
{
    const int64_t two[2] = {COLUMNS, 2}, half[2] = {ROWS, COLUMNS / 2};
    const int64_t places[3][2] = {{0, 0}, {20, 0}, {40, 0}}, rows[2] = {20, COLUMNS};
    const int64_t row[2] = {1, COLUMNS};
    const double *seen = nsh_array_data(to);

    for (int root = 0; root < check_size; root++) {
        nsh_piece pieces[3];

        CHECK_ALL(nsh_array_fill(to, &(double){-1}), NSH_SUCCESS);
        CHECK_ALL(nsh_array_set(to, from, NULL, NULL, root), NSH_SUCCESS);
        CHECK_MEM(seen, from, SIZE * sizeof(double));
        CHECK_ALL(nsh_array_set(to, from + 7, NULL, row, root), NSH_SUCCESS);
        CHECK_DOUBLE(seen[0], value(7));
        CHECK_ALL(nsh_array_set_strided(to, from, two, NULL, half, root), NSH_SUCCESS);
        CHECK_DOUBLE(seen[1], value(2));
        for (int i = 0; i < 3; i++)
            pieces[i] = (nsh_piece){from + i, places[i], rows, NULL};
        CHECK_ALL(nsh_array_set_many(to, 3, pieces, root), NSH_SUCCESS);
        CHECK_DOUBLE(seen[40 * COLUMNS], value(2));
    }
}

static void reductions(nsh_array *to, const double *from)
{
    const int64_t rows[2] = {ROWS / check_size, COLUMNS}, mine[2] = {rows[0] * check_rank, 0};
    const double *seen = nsh_array_data(to);
    MPI_Op left;

    CHECK_ALL(nsh_array_allgather(to, from + mine[0] * COLUMNS, mine, rows), NSH_SUCCESS);
    CHECK_MEM(seen, from, rows[0] * check_size * COLUMNS * (int64_t)sizeof(double));
    CHECK_ALL(nsh_array_allreduce(to, from, MPI_SUM), NSH_SUCCESS);
    CHECK_DOUBLE(seen[12345], check_size * value(12345));
    MPI_Op_create(take_left, 0, &left);
    CHECK_ALL(nsh_array_allreduce(to, from, left), NSH_SUCCESS);
    CHECK_DOUBLE(seen[12345], value(12345));
    MPI_Op_free(&left);
}

/* Chunks go through rank 0, so the others send their hyperslabs to it. */
static int files(nsh_comm *comm, nsh_array *to, const double *from)
{
    const int64_t extent[2] = {ROWS, COLUMNS}, rows[2] = {ROWS / check_size, COLUMNS};
    const int64_t mine[2] = {rows[0] * check_rank, 0};
    nsh_file *file = NULL;
    int rc = CHECK_SAME(nsh_file_open(comm, scratch_path("a.h5"), NSH_FILE_CREATE, NULL, &file));

    if (rc != NSH_SUCCESS)
        return rc;
    CHECK_ALL(nsh_file_append_hyperslab(file, "frames", MPI_DOUBLE, 2, extent,
                                        from + mine[0] * COLUMNS, mine, rows),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_write_hyperslab(file, "whole", MPI_DOUBLE, 2, extent,
                                       from + mine[0] * COLUMNS, mine, rows),
              NSH_SUCCESS);
    CHECK_ALL(nsh_file_commit(file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_read(file, "whole", to), NSH_SUCCESS);
    CHECK_MEM(nsh_array_data(to), from, rows[0] * check_size * COLUMNS * (int64_t)sizeof(double));
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    return NSH_SUCCESS;
}

/* What a user does with the getter. */
static void own_message(const nsh_array *array)
{
    double *in = calloc(SIZE, sizeof *in);
    int to = (check_rank + 1) % check_size, from = (check_rank + check_size - 1) % check_size;

    CHECK_EQ(writable(nsh_array_mpi_data(array)), 1);
    CHECK_EQ(writable(nsh_array_data(array)), 0);
    CHECK_MEM(nsh_array_mpi_data(array), nsh_array_data(array), SIZE * sizeof(double));
    MPI_Sendrecv(nsh_array_mpi_data(array), SIZE, MPI_DOUBLE, to, 0, in, SIZE, MPI_DOUBLE, from, 0,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    CHECK_MEM(in, nsh_array_data(array), SIZE * sizeof(double));
    CHECK(nsh_array_mpi_data(NULL) == NULL);
    free(in);
}

int main(int argc, char **argv)
{
    const int64_t extent[2] = {ROWS, COLUMNS}, none = 0;
    double *data = malloc(SIZE * sizeof *data);
    nsh_comm *comm[2] = {NULL, NULL};
    nsh_array *source[2] = {NULL, NULL}, *to = NULL, *empty = NULL;

    check_init(&argc, &argv);
    scratch_make();
    for (int i = 0; i < SIZE; i++)
        data[i] = value(i);
    for (int i = 0; i < 2; i++) {
        check_case("communicator %d", i);
        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_create(comm[i], MPI_DOUBLE, 2, extent, NULL, &source[i]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_set(source[i], data, NULL, NULL, 0), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_array_create(comm[0], MPI_DOUBLE, 2, extent, NULL, &to), NSH_SUCCESS);
    CHECK_ALL(nsh_array_create(comm[0], MPI_DOUBLE, 1, &none, NULL, &empty), NSH_SUCCESS);
    CHECK(nsh_array_mpi_data(empty) == NULL);
    for (int i = 0; i < 2; i++) {
        const double *from = nsh_array_data(source[i]);

        check_case("set from an array of communicator %d", i);
        sets(to, from);
        end_case(comm[0], 1);
        check_case("allgather, allreduce from an array of communicator %d", i);
        reductions(to, from);
        end_case(comm[0], 1);
        check_case("files from an array of communicator %d", i);
        end_case(comm[0], files(comm[0], to, from) == NSH_SUCCESS);
    }
    check_case("a message of the user's own");
    own_message(source[0]);
    check_case("a view that is gone is not looked up");
    CHECK_ALL(nsh_array_free(&source[1]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm[1]), NSH_SUCCESS);
    sets(to, data);
    sets(to, nsh_array_mpi_data(source[0]));
    end_case(comm[0], 1);
    CHECK_ALL(nsh_array_free(&empty), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&to), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&source[0]), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&comm[0]), NSH_SUCCESS);
    scratch_remove();
    free(data);
    return check_finish();
}
