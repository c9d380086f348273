/* SPDX-License-Identifier: BSD-3-Clause */
/* test_or_abort.c -- NSH_OR_ABORT and NSH_OR_RETURN: one call, and what a failure does. Here MPI is
 * not initialised; mpi_tests/test_abort.c has the rest. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nodeshare.h>

static int calls;

static int counted(int code)
{
    calls++;
    return code;
}

static int first_failure(int a, int b)
{
    NSH_OR_RETURN(counted(a));
    NSH_OR_RETURN(counted(b));
    return 99;
}

static void test_return(void **state)
{
    (void)state;
    calls = 0;
    assert_int_equal(first_failure(NSH_ERR_BUSY, NSH_ERR_IO), NSH_ERR_BUSY);
    assert_int_equal(calls, 1);
    assert_int_equal(first_failure(NSH_SUCCESS, NSH_ERR_IO), NSH_ERR_IO);
    assert_int_equal(first_failure(NSH_SUCCESS, NSH_SUCCESS), 99);
    assert_int_equal(calls, 5);
}

static void test_success(void **state)
{
    (void)state;
    calls = 0;
    NSH_OR_ABORT(counted(NSH_SUCCESS));
    assert_int_equal(calls, 1);
    nsh_or_abort(NSH_SUCCESS, "what the macro calls", __FILE__, __LINE__); /* returns */
}

/* What a child that does so says on stderr, and how it ends. */
static int in_a_child(char *said, size_t size)
{
    int ends[2], status = -1;
    ssize_t n, length = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        NSH_OR_ABORT(nsh_array_get(NULL, NULL, NULL, NULL));
        _exit(0);
    }
    close(ends[1]);
    while ((n = read(ends[0], said + length, size - 1 - (size_t)length)) > 0)
        length += n;
    said[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_abort(void **state)
{
    char said[1000];
    int status = in_a_child(said, sizeof said);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
    assert_non_null(strstr(said, "test_or_abort.c:"));
    assert_non_null(strstr(said, "nsh_array_get(NULL, NULL, NULL, NULL): NSH_ERR_ARG"));
    assert_non_null(strstr(said, "nsh_array_get: "));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_return),
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_abort),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
