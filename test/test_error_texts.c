/* SPDX-License-Identifier: BSD-3-Clause */
/* test_error_texts.c -- words for every status, and the detail of the last failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <nodeshare.h>

#include "base/error.h"

static void every_status_has_words(void **state)
{
    static const struct {
        int code;
        const char *name, *text;
    } all[] = {
#define ROW(name, text) {name, #name, text},
        NSH_STATUS_MAP(ROW)
#undef ROW
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const char *words = nsh_strerror(all[i].code);

        assert_int_equal(all[i].code, i + 1); /* the order is the severity */
        assert_int_equal(strncmp(words, all[i].name, strlen(all[i].name)), 0);
        assert_non_null(strstr(words, all[i].text));
        assert_ptr_equal(words, nsh_strerror(all[i].code));
    }
    assert_non_null(nsh_strerror(NSH_SUCCESS));
    assert_string_not_equal(nsh_strerror(NSH_SUCCESS), "unknown status");
}

static void no_status_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(nsh_strerror(-1), "unknown status");
    assert_string_equal(nsh_strerror(NSH_ERR_INTERNAL + 1), "unknown status");
    assert_string_equal(nsh_strerror(INT_MAX), "unknown status");
    assert_string_equal(nsh_strerror(INT_MIN), "unknown status");
}

static void detail_is_the_last_failure(void **state)
{
    (void)state;
    assert_int_equal(nsh__fail(NSH_ERR_ARG, "call: value %d (rank %d)", 42, 3), NSH_ERR_ARG);
    assert_string_equal(nsh_error_detail(), "call: value 42 (rank 3)");
    assert_int_equal(nsh__fail_from(NSH_ERR_NOMEM, 2, "call: elsewhere"), NSH_ERR_NOMEM);
    assert_string_equal(nsh_error_detail(), "call: elsewhere [from rank 2]");
    assert_int_equal(nsh__fail_from(NSH_ERR_NOMEM, -1, "call: here"), NSH_ERR_NOMEM);
    assert_string_equal(nsh_error_detail(), "call: here");
}

/* The rank that a failure comes from is worth more than the end of a long text. */
static void long_details_are_cut(void **state)
{
    char text[4 * NSH__TEXT];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    nsh__fail(NSH_ERR_ARG, "%s", text);
    assert_true(strlen(nsh_error_detail()) >= NSH__TEXT / 2);
    assert_true(strlen(nsh_error_detail()) < sizeof text - 1);
    nsh__fail_from(NSH_ERR_ARG, 7, text);
    assert_true(strlen(nsh_error_detail()) < sizeof text - 1);
}

static void a_success_leaves_it_alone(void **state)
{
    nsh_comm *comm = NULL;

    (void)state;
    assert_int_equal(nsh_comm_create_serial(&comm), NSH_SUCCESS);
    nsh__fail(NSH_ERR_ARG, "kept");
    assert_int_equal(nsh_comm_barrier(comm), NSH_SUCCESS);
    assert_int_equal(nsh_comm_free(&comm), NSH_SUCCESS);
    assert_string_equal(nsh_error_detail(), "kept");
}

static void *other_thread(void *seen)
{
    *(size_t *)seen = strlen(nsh_error_detail());
    nsh__fail(NSH_ERR_IO, "of the other thread");
    return NULL;
}

static void each_thread_has_its_own(void **state)
{
    pthread_t thread;
    size_t seen = 1;

    (void)state;
    nsh__fail(NSH_ERR_ARG, "of this thread");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(seen, 0);
    assert_string_equal(nsh_error_detail(), "of this thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_words),     cmocka_unit_test(no_status_is_unknown),
        cmocka_unit_test(detail_is_the_last_failure), cmocka_unit_test(long_details_are_cut),
        cmocka_unit_test(a_success_leaves_it_alone),  cmocka_unit_test(each_thread_has_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
