/* SPDX-License-Identifier: BSD-3-Clause */
/* error.h -- how the library reports a failure: the function that detects it chooses the code and
 * sets the detail. Everything here is [local, any thread]. */
#ifndef NSH_BASE_ERROR_H
#define NSH_BASE_ERROR_H

#include <nodeshare/error.h>

/* Bytes of an error detail, terminator included; details travel between ranks in this size. */
enum { NSH__TEXT = 256 };

/* Set the detail of this thread's last failure and return code. */
int nsh__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A failure of another rank becomes this thread's last failure: its detail and the rank that it
 * comes from; rank -1: the detail names no rank. */
int nsh__fail_from(int code, int rank, const char *text);

/* A failure that the program itself reports through call: code, and the detail "call: text (rank
 * r)". A code that is not a failure gives NSH_ERR_ARG. */
int nsh__fail_given(const char *call, int rank, int code, const char *text);

/* A copy of the detail, to be restored after a failure that does not make the call fail: a call
 * that succeeds does not change the detail. */
typedef struct nsh__detail {
    char text[NSH__TEXT + 32];
} nsh__detail;

void nsh__detail_keep(nsh__detail *out);
void nsh__detail_restore(const nsh__detail *kept);

/* An MPI call has failed: returns NSH_ERR_MPI, the detail is MPI's error string. */
int nsh__fail_mpi(const char *call, int mpi_code);

/* Write a line to stderr if NSH_LOG=1. */
void nsh__log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
