/* SPDX-License-Identifier: BSD-3-Clause */
/* error.h -- how the modules of the library report a failure: decided once, worded where
 * decided. */
#ifndef NSH_BASE_ERROR_H
#define NSH_BASE_ERROR_H

#include <nodeshare/error.h>

/* Bytes of an error detail, terminator included; details travel between ranks in this size. */
enum { NSH__TEXT = 256 };

/* Word this thread's last failure and return code. */
int nsh__fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A failure learned from elsewhere becomes this thread's: its detail and the rank that it comes
 * from; rank -1: from this rank itself, or from no rank in particular. */
int nsh__fail_from(int code, int rank, const char *text);

/* A failure that the program itself reports through call: code and the detail "call: text (rank
 * r)". A code that is no failure is NSH_ERR_ARG. */
int nsh__fail_given(const char *call, int rank, int code, const char *text);

/* The detail as it is, to be put back where a failure is met on the way to success: a call that
 * succeeds leaves the detail alone. */
typedef struct nsh__detail {
    char text[NSH__TEXT + 32];
} nsh__detail;

void nsh__detail_keep(nsh__detail *out);
void nsh__detail_restore(const nsh__detail *kept);

/* An MPI call failed: NSH_ERR_MPI, with MPI's own words. */
int nsh__fail_mpi(const char *call, int mpi_code);

/* One line on stderr under NSH_LOG=1. */
void nsh__log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
