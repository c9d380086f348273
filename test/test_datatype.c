/* SPDX-License-Identifier: BSD-3-Clause */
/* test_datatype.c -- datatypes by name, and their names, without MPI_Init. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <nodeshare.h>

static void test_names(void **state)
{
    const struct {
        const char *name;
        MPI_Datatype type;
    } all[] = {
        {"int8", MPI_INT8_T},
        {"int16", MPI_INT16_T},
        {"int32", MPI_INT32_T},
        {"int64", MPI_INT64_T},
        {"uint8", MPI_UINT8_T},
        {"uint16", MPI_UINT16_T},
        {"uint32", MPI_UINT32_T},
        {"uint64", MPI_UINT64_T},
        {"float32", MPI_FLOAT},
        {"float64", MPI_DOUBLE},
        {"complex64", MPI_C_FLOAT_COMPLEX},
        {"complex128", MPI_C_DOUBLE_COMPLEX},
        {"bool", MPI_C_BOOL},
        {"char", MPI_CHAR},
        {"byte", MPI_BYTE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        MPI_Datatype type = MPI_DATATYPE_NULL;

        assert_int_equal(nsh_datatype_by_name(all[i].name, &type), NSH_SUCCESS);
        assert_true(type == all[i].type);
        assert_string_equal(nsh_datatype_name(type), all[i].name);
    }
}

static void test_other_names(void **state)
{
    (void)state;
    assert_string_equal(nsh_datatype_name(MPI_INT), "int32");
    assert_string_equal(nsh_datatype_name(MPI_UNSIGNED), "uint32");
    assert_string_equal(nsh_datatype_name(MPI_LONG), sizeof(long) == 8 ? "int64" : "int32");
    assert_string_equal(nsh_datatype_name(MPI_UNSIGNED_LONG_LONG), "uint64");
    assert_string_equal(nsh_datatype_name(MPI_SIGNED_CHAR), "int8");
    assert_string_equal(nsh_datatype_name(MPI_UNSIGNED_CHAR), "uint8");
    assert_string_equal(nsh_datatype_name(MPI_C_COMPLEX), "complex64");
#ifdef MPI_REAL8
    if (MPI_REAL8 != MPI_DATATYPE_NULL)
        assert_string_equal(nsh_datatype_name(MPI_REAL8), "float64");
#endif
    assert_null(nsh_datatype_name(MPI_DATATYPE_NULL));
    assert_null(nsh_datatype_name(MPI_LONG_DOUBLE));
    assert_null(nsh_datatype_name(MPI_2INT));
    assert_null(nsh_datatype_name(MPI_PACKED));
    assert_null(nsh_datatype_name(MPI_WCHAR));
    assert_string_equal(nsh_error_detail(), ""); /* none of these is a failure */
}

static void test_errors(void **state)
{
    MPI_Datatype type = MPI_BYTE;

    (void)state;
    assert_int_equal(nsh_datatype_by_name(NULL, &type), NSH_ERR_ARG);
    assert_int_equal(nsh_datatype_by_name("int8", NULL), NSH_ERR_ARG);
    assert_int_equal(nsh_datatype_by_name("float65", &type), NSH_ERR_NOT_FOUND);
    assert_non_null(strstr(nsh_error_detail(), "float65"));
    assert_int_equal(nsh_datatype_by_name("", &type), NSH_ERR_NOT_FOUND);
    assert_true(type == MPI_BYTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
