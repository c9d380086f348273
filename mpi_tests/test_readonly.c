/* test_readonly.c -- ranks: 1 2  layouts: one-node per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* A store into a replica faults at once, at the culprit; NSH_GUARD=0 lifts that. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#include <nodeshare.h>

#include "check.h"

static sigjmp_buf back;

static void caught(int signal)
{
    siglongjmp(back, signal);
}

/* The signal that a store raises, or 0. */
static int store(const void *p)
{
    struct sigaction act = {.sa_handler = caught}, segv, bus;
    int signal;

    sigaction(SIGSEGV, &act, &segv);
    sigaction(SIGBUS, &act, &bus);
    signal = sigsetjmp(back, 1);
    if (signal == 0)
        *(volatile char *)(uintptr_t)p = 1;
    sigaction(SIGSEGV, &segv, NULL);
    sigaction(SIGBUS, &bus, NULL);
    return signal;
}

int main(int argc, char **argv)
{
    int64_t small = 10, large = 3 << 20;

    check_init(&argc, &argv);
    for (int guard = 1; guard >= 0; guard--) {
        nsh_comm *comm = NULL;
        nsh_array *array[2] = {NULL, NULL};

        check_case(guard ? "guarded" : "NSH_GUARD=0");
        setenv("NSH_GUARD", guard ? "1" : "0", 1);
        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &small, NULL, &array[0]), NSH_SUCCESS);
        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &large, NULL, &array[1]), NSH_SUCCESS);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(store(nsh_array_data(array[i])), guard ? SIGSEGV : 0);
            CHECK_EQ(*(const char *)nsh_array_data(array[i]), guard ? 0 : 1);
            CHECK_ALL(nsh_array_free(&array[i]), NSH_SUCCESS);
        }
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    return check_finish();
}
