/* test_array_types.c -- ranks: 1 2 3  layouts: one-node cliques-2 odd-even per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Every type of element, and reductions over them, against plain MPI. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

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

/* ---- every type and every operation ---- */

/* What MPI-3.1, section 5.9.2, calls a type. */
enum { CINT = 1, FINT = 2, REAL = 4, BOOL = 8, CPLX = 16, OCTET = 32, MULTI = 64, PAIR = 128 };

typedef struct kind {
    const char *name;
    MPI_Datatype type;
    int class_;       /* 0: no operation is defined for it */
    int bytes;        /* of a number; of a pair's value */
    int value_class_; /* of a pair's value; its index is an int, or a twin of the value if that */
    int index_at;     /* in bytes; -1: a twin */
} kind;

#define INDEX_AT(value_type)                                                                       \
    (int)offsetof(                                                                                 \
        struct {                                                                                   \
            value_type value;                                                                      \
            int index;                                                                             \
        },                                                                                         \
        index)
#define NUMBER(type, class_, bytes)                                                                \
    {                                                                                              \
#type, type, class_, (int)(bytes), 0, 0                                                    \
    }
#define VALUE_INDEX(type, value, class_, at)                                                       \
    {                                                                                              \
#type, type, PAIR, (int)sizeof(value), class_, at                                          \
    }

/* A small number in memory as the type has it; real types of more bytes than double only as zero
 * unless C's. */
static void put(char *at, int class_, int bytes, int value)
{
    float f = (float)value;
    double d = value;
    long double l = value;
    int64_t i = class_ == BOOL ? value & 1 : value;

    memset(at, 0, (size_t)bytes);
    if (class_ == CPLX)
        put(at, REAL, bytes / 2, value);
    else if (class_ != REAL)
        memcpy(at, &i, (size_t)(bytes < 8 ? bytes : 8));
    else if (bytes == sizeof f)
        memcpy(at, &f, sizeof f);
    else if (bytes == sizeof d)
        memcpy(at, &d, sizeof d);
    else if (bytes == sizeof l)
        memcpy(at, &l, 10);
}

static void put_element(char *at, const kind *k, int64_t item, int value)
{
    memset(at, 0, (size_t)item);
    if (k->class_ != PAIR) {
        put(at, k->class_, k->bytes, value);
        return;
    }
    put(at, k->value_class_, k->bytes, value % 3);
    put(at + (k->index_at < 0 ? k->bytes : k->index_at), k->index_at < 0 ? k->value_class_ : CINT,
        k->index_at < 0 ? k->bytes : (int)sizeof(int), value);
}

/* One operation on one type: as MPI_Allreduce does it, where the standard has it. Fortran's
 * integers in logical operations are MPI's to decide. */
static void reduce_as_mpi(nsh_array *array, const kind *k, MPI_Op op, int classes, const char *name)
{
    enum { COUNT = 5 };
    int64_t item = nsh_array_itemsize(array);
    char data[COUNT * 64], expected[COUNT * 64];
    int rc = MPI_ERR_OP, want;

    for (int64_t i = 0; i < COUNT; i++)
        put_element(data + i * item, k, item, (int)(1 + (i * 3 + check_rank * 2) % 4));
    memset(expected, 0, sizeof expected);
    if ((k->class_ & classes) != 0)
        rc = MPI_Allreduce(data, expected, COUNT, k->type, op, MPI_COMM_WORLD);
    want = rc == MPI_SUCCESS ? NSH_SUCCESS : NSH_ERR_ARG;
    rc = nsh_array_allreduce(array, data, op);
    if (rc != want)
        check_note("%s of %s: MPI %s", name, k->name, want == NSH_SUCCESS ? "does it" : "does not");
    CHECK_ALL(rc, want);
    if (rc == NSH_SUCCESS && want == NSH_SUCCESS)
        CHECK_MEM(nsh_array_data(array), expected, COUNT * item);
    else
        CHECK_HAS(nsh_error_detail(), "nsh_array_allreduce");
}

static void reduce_all_ways(const kind *k)
{
    const struct {
        const char *name;
        MPI_Op op;
        int classes;
    } ops[] = {
        {"MPI_SUM", MPI_SUM, CINT | FINT | REAL | CPLX | MULTI},
        {"MPI_PROD", MPI_PROD, CINT | FINT | REAL | CPLX | MULTI},
        {"MPI_MAX", MPI_MAX, CINT | FINT | REAL | MULTI},
        {"MPI_MIN", MPI_MIN, CINT | FINT | REAL | MULTI},
        {"MPI_LAND", MPI_LAND, CINT | FINT | BOOL},
        {"MPI_LOR", MPI_LOR, CINT | FINT | BOOL},
        {"MPI_LXOR", MPI_LXOR, CINT | FINT | BOOL},
        {"MPI_BAND", MPI_BAND, CINT | FINT | OCTET | MULTI},
        {"MPI_BOR", MPI_BOR, CINT | FINT | OCTET | MULTI},
        {"MPI_BXOR", MPI_BXOR, CINT | FINT | OCTET | MULTI},
        {"MPI_MAXLOC", MPI_MAXLOC, PAIR},
        {"MPI_MINLOC", MPI_MINLOC, PAIR},
        {"MPI_REPLACE", MPI_REPLACE, 0},
    };
    const int64_t n = 5;
    nsh_array *array = NULL;

    if (k->type == MPI_DATATYPE_NULL) /* this MPI lacks it */
        return;
    if (CHECK_ALL(nsh_array_create(comm, k->type, 1, &n, NULL, &array), NSH_SUCCESS) != NSH_SUCCESS)
        return;
    for (size_t o = 0; o < sizeof ops / sizeof ops[0]; o++)
        reduce_as_mpi(array, k, ops[o].op, ops[o].classes, ops[o].name);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

static void test_c_types(void)
{
    const kind kinds[] = {
        NUMBER(MPI_CHAR, 0, 1),
        NUMBER(MPI_WCHAR, 0, sizeof(wchar_t)),
        NUMBER(MPI_PACKED, 0, 1),
        NUMBER(MPI_BYTE, OCTET, 1),
        NUMBER(MPI_SIGNED_CHAR, CINT, 1),
        NUMBER(MPI_UNSIGNED_CHAR, CINT, 1),
        NUMBER(MPI_SHORT, CINT, sizeof(short)),
        NUMBER(MPI_UNSIGNED_SHORT, CINT, sizeof(short)),
        NUMBER(MPI_INT, CINT, sizeof(int)),
        NUMBER(MPI_UNSIGNED, CINT, sizeof(int)),
        NUMBER(MPI_LONG, CINT, sizeof(long)),
        NUMBER(MPI_UNSIGNED_LONG, CINT, sizeof(long)),
        NUMBER(MPI_LONG_LONG, CINT, 8),
        NUMBER(MPI_LONG_LONG_INT, CINT, 8),
        NUMBER(MPI_UNSIGNED_LONG_LONG, CINT, 8),
        NUMBER(MPI_INT8_T, CINT, 1),
        NUMBER(MPI_INT16_T, CINT, 2),
        NUMBER(MPI_INT32_T, CINT, 4),
        NUMBER(MPI_INT64_T, CINT, 8),
        NUMBER(MPI_UINT8_T, CINT, 1),
        NUMBER(MPI_UINT16_T, CINT, 2),
        NUMBER(MPI_UINT32_T, CINT, 4),
        NUMBER(MPI_UINT64_T, CINT, 8),
        NUMBER(MPI_FLOAT, REAL, sizeof(float)),
        NUMBER(MPI_DOUBLE, REAL, sizeof(double)),
        NUMBER(MPI_LONG_DOUBLE, REAL, sizeof(long double)),
        NUMBER(MPI_C_BOOL, BOOL, 1),
        NUMBER(MPI_CXX_BOOL, BOOL, 1),
        NUMBER(MPI_C_COMPLEX, CPLX, 2 * sizeof(float)),
        NUMBER(MPI_C_FLOAT_COMPLEX, CPLX, 2 * sizeof(float)),
        NUMBER(MPI_C_DOUBLE_COMPLEX, CPLX, 2 * sizeof(double)),
        NUMBER(MPI_C_LONG_DOUBLE_COMPLEX, CPLX, 2 * sizeof(long double)),
        NUMBER(MPI_CXX_FLOAT_COMPLEX, CPLX, 2 * sizeof(float)),
        NUMBER(MPI_CXX_DOUBLE_COMPLEX, CPLX, 2 * sizeof(double)),
        NUMBER(MPI_CXX_LONG_DOUBLE_COMPLEX, CPLX, 2 * sizeof(long double)),
        NUMBER(MPI_AINT, MULTI, sizeof(MPI_Aint)),
        NUMBER(MPI_COUNT, MULTI, sizeof(MPI_Count)),
        NUMBER(MPI_OFFSET, MULTI, sizeof(MPI_Offset)),
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        reduce_all_ways(&kinds[i]);
}

static void test_fortran_types(void)
{
    const kind kinds[] = {
        NUMBER(MPI_CHARACTER, 0, 1),
        NUMBER(MPI_LOGICAL, BOOL, sizeof(int)),
        NUMBER(MPI_INTEGER, FINT, sizeof(int)),
        NUMBER(MPI_REAL, REAL, sizeof(float)),
        NUMBER(MPI_DOUBLE_PRECISION, REAL, sizeof(double)),
        NUMBER(MPI_COMPLEX, CPLX, 2 * sizeof(float)),
        NUMBER(MPI_DOUBLE_COMPLEX, CPLX, 2 * sizeof(double)),
        NUMBER(MPI_INTEGER1, FINT, 1),
        NUMBER(MPI_INTEGER2, FINT, 2),
        NUMBER(MPI_INTEGER4, FINT, 4),
        NUMBER(MPI_INTEGER8, FINT, 8),
        NUMBER(MPI_REAL4, REAL, 4),
        NUMBER(MPI_REAL8, REAL, 8),
        NUMBER(MPI_COMPLEX8, CPLX, 8),
        NUMBER(MPI_COMPLEX16, CPLX, 16),
#ifdef MPI_INTEGER16
        NUMBER(MPI_INTEGER16, FINT, 16),
#endif
#ifdef MPI_REAL16
        NUMBER(MPI_REAL16, REAL, 0), /* of an unknown format, but zero is zero */
#endif
#ifdef MPI_COMPLEX32
        NUMBER(MPI_COMPLEX32, CPLX, 0),
#endif
#ifdef MPI_LOGICAL1
        NUMBER(MPI_LOGICAL1, BOOL, 1),
#endif
#ifdef MPI_LOGICAL4
        NUMBER(MPI_LOGICAL4, BOOL, 4),
#endif
#ifdef MPI_LOGICAL8
        NUMBER(MPI_LOGICAL8, BOOL, 8),
#endif
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        reduce_all_ways(&kinds[i]);
}

static void test_pairs(void)
{
    const kind kinds[] = {
        VALUE_INDEX(MPI_FLOAT_INT, float, REAL, INDEX_AT(float)),
        VALUE_INDEX(MPI_DOUBLE_INT, double, REAL, INDEX_AT(double)),
        VALUE_INDEX(MPI_LONG_DOUBLE_INT, long double, REAL, INDEX_AT(long double)),
        VALUE_INDEX(MPI_LONG_INT, long, CINT, INDEX_AT(long)),
        VALUE_INDEX(MPI_SHORT_INT, short, CINT, INDEX_AT(short)),
        VALUE_INDEX(MPI_2INT, int, CINT, -1),
        VALUE_INDEX(MPI_2INTEGER, int, FINT, -1),
        VALUE_INDEX(MPI_2REAL, float, REAL, -1),
        VALUE_INDEX(MPI_2DOUBLE_PRECISION, double, REAL, -1),
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        reduce_all_ways(&kinds[i]);
}

/* Types that a Fortran program asks for by precision have no name, or by size have any. */
static void test_asked_for(void)
{
    kind kinds[] = {
        {"f90_real(6)", MPI_DATATYPE_NULL, REAL, 4, 0, 0},
        {"f90_real(15)", MPI_DATATYPE_NULL, REAL, 8, 0, 0},
        {"f90_complex(6)", MPI_DATATYPE_NULL, CPLX, 8, 0, 0},
        {"f90_complex(15)", MPI_DATATYPE_NULL, CPLX, 16, 0, 0},
        {"f90_integer(4)", MPI_DATATYPE_NULL, FINT, 2, 0, 0},
        {"f90_integer(9)", MPI_DATATYPE_NULL, FINT, 4, 0, 0},
        {"f90_integer(18)", MPI_DATATYPE_NULL, FINT, 8, 0, 0},
        {"match_size(real, 8)", MPI_DATATYPE_NULL, REAL, 8, 0, 0},
        {"match_size(integer, 8)", MPI_DATATYPE_NULL, FINT | CINT, 8, 0, 0},
        {"match_size(complex, 16)", MPI_DATATYPE_NULL, CPLX, 16, 0, 0},
    };
    int lengths[] = {1, 1};
    MPI_Aint places[] = {0, 8};
    MPI_Datatype parts[2], type;

    MPI_Type_create_f90_real(6, MPI_UNDEFINED, &kinds[0].type);
    MPI_Type_create_f90_real(15, MPI_UNDEFINED, &kinds[1].type);
    MPI_Type_create_f90_complex(6, MPI_UNDEFINED, &kinds[2].type);
    MPI_Type_create_f90_complex(15, MPI_UNDEFINED, &kinds[3].type);
    MPI_Type_create_f90_integer(4, &kinds[4].type);
    MPI_Type_create_f90_integer(9, &kinds[5].type);
    MPI_Type_create_f90_integer(18, &kinds[6].type);
    MPI_Type_match_size(MPI_TYPECLASS_REAL, 8, &kinds[7].type);
    MPI_Type_match_size(MPI_TYPECLASS_INTEGER, 8, &kinds[8].type);
    MPI_Type_match_size(MPI_TYPECLASS_COMPLEX, 16, &kinds[9].type);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        reduce_all_ways(&kinds[i]);
    /* Inside a struct they are looked at and left alone. */
    parts[0] = kinds[1].type;
    parts[1] = kinds[6].type;
    MPI_Type_create_struct(2, lengths, places, parts, &type);
    MPI_Type_commit(&type);
    for (int i = 0; i < 3; i++)
        round_trip(type, 16);
    MPI_Type_free(&type);
    reduce_all_ways(&kinds[1]);
}

/* Ranks may call one type by different names, but not mean different types. */
static void test_signatures(void)
{
    MPI_Datatype mine = check_rank == 0 ? MPI_LONG_LONG : MPI_LONG_LONG_INT;
    const int64_t n = 3;
    nsh_array *array = NULL;
    MPI_Datatype real;

    CHECK_ALL(nsh_array_create(comm, mine, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    MPI_Type_create_f90_real(15, MPI_UNDEFINED, &real);
    CHECK_ALL(nsh_array_create(comm, real, 1, &n, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    if (check_size == 1)
        return;
    MPI_Type_create_f90_real(check_rank == 0 ? 6 : 15, MPI_UNDEFINED, &real);
    CHECK_ALL(nsh_array_create(comm, real, 1, &n, NULL, &array), NSH_ERR_MISMATCH);
    mine = check_rank == 0 ? MPI_INTEGER4 : MPI_REAL4;
    CHECK_ALL(nsh_array_create(comm, mine, 1, &n, NULL, &array), NSH_ERR_MISMATCH);
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
    check_case("every operation on every type, against MPI_Allreduce");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    test_c_types();
    test_fortran_types();
    test_pairs();
    check_case("types asked for by precision and by size");
    test_asked_for();
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
    check_case("which types are equal");
    test_signatures();
    check_case("reductions of integers");
    test_integer_ops();
    check_case("sums of doubles");
    test_float_sum();
    check_case("an operation that does not commute, in rank order");
    test_rank_order();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
