/* test_array_types.c -- ranks: 1 3 5  layouts: one-node cliques-2 odd-even per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every type of element, and reductions over them, against plain MPI. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

static nsh_comm *comm;

/* A set by each rank gives the same bytes as MPI_Bcast. */
static void round_trip(MPI_Datatype type, int64_t item)
{
    enum { COUNT = 37 };
    int64_t n = COUNT;
    char *data = malloc((size_t)(COUNT * item));
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(comm, type, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_EQ(nsh_array_itemsize(array), item);
    for (int root = 0; root < check_size; root++) {
        for (int64_t i = 0; i < COUNT * item; i++)
            data[i] = (char)(root == check_rank ? i * 11 + root : 0);
        CHECK_ALL(nsh_array_set(array, data, NULL, NULL, root), NSH_SUCCESS);
        MPI_Bcast(data, (int)(COUNT * item), MPI_BYTE, root, MPI_COMM_WORLD);
        CHECK_MEM(nsh_array_data(array), data, COUNT * item);
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    free(data);
}

static void test_predefined(void)
{
    const MPI_Datatype types[] = {MPI_CHAR,
                                  MPI_SHORT,
                                  MPI_INT,
                                  MPI_LONG,
                                  MPI_LONG_LONG_INT,
                                  MPI_SIGNED_CHAR,
                                  MPI_UNSIGNED_CHAR,
                                  MPI_UNSIGNED_SHORT,
                                  MPI_UNSIGNED,
                                  MPI_UNSIGNED_LONG,
                                  MPI_UNSIGNED_LONG_LONG,
                                  MPI_FLOAT,
                                  MPI_DOUBLE,
                                  MPI_LONG_DOUBLE,
                                  MPI_WCHAR,
                                  MPI_C_BOOL,
                                  MPI_INT8_T,
                                  MPI_INT16_T,
                                  MPI_INT32_T,
                                  MPI_INT64_T,
                                  MPI_UINT8_T,
                                  MPI_UINT16_T,
                                  MPI_UINT32_T,
                                  MPI_UINT64_T,
                                  MPI_AINT,
                                  MPI_COUNT,
                                  MPI_OFFSET,
                                  MPI_C_COMPLEX,
                                  MPI_C_FLOAT_COMPLEX,
                                  MPI_C_DOUBLE_COMPLEX,
                                  MPI_C_LONG_DOUBLE_COMPLEX,
                                  MPI_BYTE,
                                  MPI_PACKED,
                                  MPI_FLOAT_INT,
                                  MPI_DOUBLE_INT,
                                  MPI_LONG_INT,
                                  MPI_2INT,
                                  MPI_SHORT_INT,
                                  MPI_LONG_DOUBLE_INT};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        MPI_Aint lb, extent;

        MPI_Type_get_extent(types[i], &lb, &extent);
        round_trip(types[i], (int64_t)extent);
    }
}

typedef struct particle {
    double position[3];
    int id;
    char kind;
} particle;

static MPI_Datatype particle_type(void)
{
    int lengths[] = {3, 1, 1};
    MPI_Aint places[] = {offsetof(particle, position), offsetof(particle, id),
                         offsetof(particle, kind)};
    MPI_Datatype types[] = {MPI_DOUBLE, MPI_INT, MPI_CHAR}, made, padded;

    MPI_Type_create_struct(3, lengths, places, types, &made);
    MPI_Type_create_resized(made, 0, sizeof(particle), &padded);
    MPI_Type_free(&made);
    MPI_Type_commit(&padded);
    return padded;
}

static void refused(MPI_Datatype type)
{
    int64_t n = 4;
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(comm, type, 1, &n, NULL, &array), NSH_ERR_TYPE);
    CHECK(array == NULL);
}

static void test_derived(void)
{
    MPI_Datatype type = particle_type(), other;
    int64_t n = 4;
    nsh_array *array = NULL;

    round_trip(type, sizeof(particle));
    CHECK_ALL(nsh_array_create(comm, type, 1, &n, NULL, &array), NSH_SUCCESS);
    MPI_Type_free(&type); /* the array has its own */
    CHECK(nsh_array_type(array) != MPI_DATATYPE_NULL);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);

    MPI_Type_contiguous(3, MPI_INT, &type);
    MPI_Type_commit(&type);
    round_trip(type, 12);
    MPI_Type_free(&type);

    MPI_Type_vector(3, 1, 2, MPI_INT, &type);
    refused(type);
    MPI_Type_create_resized(type, -4, 40, &other);
    refused(other);
    MPI_Type_free(&other);
    MPI_Type_free(&type);
    refused(MPI_DATATYPE_NULL);
}

/* Integers reduce exactly, so MPI_Allreduce must agree to the bit. */
static void test_integer_ops(void)
{
    const MPI_Op ops[] = {MPI_SUM, MPI_PROD, MPI_MAX,  MPI_MIN, MPI_BAND,
                          MPI_BOR, MPI_BXOR, MPI_LAND, MPI_LOR, MPI_LXOR};
    const int64_t sizes[] = {1, 7, 100003};

    for (size_t s = 0; s < 3; s++) {
        int64_t n = sizes[s];
        int64_t *data = malloc((size_t)n * sizeof *data), *sum = malloc((size_t)n * sizeof *sum);
        nsh_array *array = NULL;

        CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_SUCCESS);
        for (size_t o = 0; o < (n > 100 ? 2 : sizeof ops / sizeof ops[0]); o++) {
            for (int64_t i = 0; i < n; i++)
                data[i] = (i * 7 + check_rank * 13 + (int64_t)o) % 11 - (o > 3 ? 0 : 5);
            CHECK_ALL(nsh_array_allreduce(array, data, ops[o]), NSH_SUCCESS);
            MPI_Allreduce(data, sum, (int)n, MPI_INT64_T, ops[o], MPI_COMM_WORLD);
            CHECK_MEM(nsh_array_data(array), sum, n * 8);
        }
        CHECK_ALL(nsh_array_allreduce(array, data, MPI_MAXLOC), NSH_ERR_ARG);
        CHECK_ALL(nsh_array_allreduce(array, data, MPI_OP_NULL), NSH_ERR_ARG);
        CHECK_MEM(nsh_array_data(array), sum, n * 8);
        CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
        free(data);
        free(sum);
    }
}

/* Sums of doubles depend on the order, but not on the node. */
static void test_float_sum(void)
{
    int64_t n = 50001;
    double *data = malloc((size_t)n * sizeof *data);
    nsh_array *array = NULL;
    uint64_t sum = 0;

    CHECK_ALL(nsh_array_create(comm, MPI_DOUBLE, 1, &n, NULL, &array), NSH_SUCCESS);
    for (int64_t i = 0; i < n; i++)
        data[i] = 1.0 / (double)(i + 1 + check_rank);
    CHECK_ALL(nsh_array_allreduce(array, data, MPI_SUM), NSH_SUCCESS);
    CHECK_ALL(nsh_array_checksum(array, &sum), NSH_SUCCESS); /* compares the nodes */
    for (int64_t i = 0; i < n; i += 997) {
        double expected = 0, seen = ((const double *)nsh_array_data(array))[i];

        for (int r = 0; r < check_size; r++)
            expected += 1.0 / (double)(i + 1 + r);
        CHECK(seen > expected * (1 - 1e-14) && seen < expected * (1 + 1e-14));
    }
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    free(data);
}

/* a * b of 2x2 integer matrices: not commutative, so the order of ranks shows. */
typedef struct matrix {
    int64_t m[4];
} matrix;

static matrix product(matrix a, matrix b)
{
    return (matrix){{a.m[0] * b.m[0] + a.m[1] * b.m[2], a.m[0] * b.m[1] + a.m[1] * b.m[3],
                     a.m[2] * b.m[0] + a.m[3] * b.m[2], a.m[2] * b.m[1] + a.m[3] * b.m[3]}};
}

static void multiply(void *in, void *inout, int *n, MPI_Datatype *type)
{
    matrix *a = in, *b = inout;

    (void)type;
    for (int i = 0; i < *n; i++)
        b[i] = product(a[i], b[i]);
}

static matrix matrix_of(int rank, int64_t i)
{
    return (matrix){{1 + rank, i % 5, 2 - rank, 1 + i % 3}};
}

static void test_rank_order(void)
{
    int64_t n = 20011;
    matrix *data = malloc((size_t)n * sizeof *data);
    MPI_Datatype type;
    MPI_Op op;
    nsh_array *array = NULL;

    MPI_Type_contiguous(4, MPI_INT64_T, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(multiply, 0, &op);
    CHECK_ALL(nsh_array_create(comm, type, 1, &n, NULL, &array), NSH_SUCCESS);
    for (int64_t i = 0; i < n; i++)
        data[i] = matrix_of(check_rank, i);
    CHECK_ALL(nsh_array_allreduce(array, data, op), NSH_SUCCESS);
    for (int64_t i = 0; i < n; i++) {
        data[i] = matrix_of(0, i);
        for (int r = 1; r < check_size; r++)
            data[i] = product(data[i], matrix_of(r, i));
    }
    CHECK_MEM(nsh_array_data(array), data, n * (int64_t)sizeof *data);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    MPI_Op_free(&op);
    MPI_Type_free(&type);
    free(data);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_case("create the communicator");
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    check_case("predefined types");
    test_predefined();
    check_case("derived types");
    test_derived();
    check_case("reductions of integers");
    test_integer_ops();
    check_case("sums of doubles");
    test_float_sum();
    check_case("an operation that does not commute, in rank order");
    test_rank_order();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
