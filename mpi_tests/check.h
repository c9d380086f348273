/* SPDX-License-Identifier: BSD-3-Clause */
/* check.h -- the checks with which the tests under mpiexec are written.
 *
 *     / * test_thing.c -- ranks: 1 2 3  layouts: one-node cliques-2 * /
 *     int main(int argc, char **argv)
 *     {
 *         check_init(&argc, &argv);
 *         check_case("set reaches every rank");
 *         CHECK_ALL(nsh_array_set(array, data, NULL, NULL, 0), NSH_SUCCESS);
 *         CHECK_EQ(seen, 42);
 *         return check_finish();
 *     }
 *
 * A failed check prints "# rank 1: file:line: ..." and is counted. It never returns from the
 * test: the other ranks would hang. The macros return whether the check held (those around a call:
 * its code), for tests that cannot continue with a NULL. Only the first CHECK_SHOWN failures of a
 * rank in one case are printed.
 *
 * check_init, check_case, check_skip, check_finish, CHECK_SAME and CHECK_SAME_ON are collective;
 * nothing else communicates. They use the PMPI names, so that a test may count MPI calls.
 *
 * The first comment of a test names its runs; mpi_tests/README.md says what it may contain.
 */
#ifndef NODESHARE_CHECK_H
#define NODESHARE_CHECK_H

#include <stdint.h>

#include <mpi.h>
#include <nodeshare.h>

#define CHECK_SHOWN 10

/* This process in MPI_COMM_WORLD, and the layout of the run ("one-node" when run by hand). */
extern int check_rank;
extern int check_size;
extern const char *check_layout;

/* MPI_Init_thread (MPI_THREAD_MULTIPLE, or the level given). Ends the run when the world is not
 * as large as NSH_TEST_RANKS says: a wrong mpiexec starts singletons that would all pass. */
void check_init(int *argc, char ***argv);
void check_init_thread(int *argc, char ***argv, int level);

/* Ends the former case, if any, with its TAP line, and begins the next (printf format). */
void check_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the run as skipped, on all ranks; does not return. */
void check_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* [collective] Ends the run as skipped where the library has no HDF5. */
void check_needs_hdf5(void);

/* Ends the last case, prints the plan, finalises MPI; gives the exit code for main. Where MPI is
 * finalised already, check_report_cases must have been called before that. */
int check_finish(void);

/* Ends the last case and adds up the results, for tests that call MPI_Finalize themselves. */
void check_report_cases(void);

/* How many checks of the current case have failed on this rank: for forked children. */
int check_failures(void);

/* Print a comment of this rank; the case continues. */
void check_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* [collective] Memory, zeroed, that all ranks share by a file they map: also those of other nodes,
 * as all nodes of a test are on one machine. Lives until the process ends; not for use by MPI. */
void *check_shared(int64_t bytes);

/* [collective over comm] An array of n int64_t, each of this value; name may be NULL. */
nsh_array *check_make_array(nsh_comm *comm, int64_t n, const char *name, int64_t value);

/* [local] Whether each element has this value: of an array of int64_t, or of n of them. */
int check_array(const nsh_array *array, int64_t value);
int check_values(const int64_t *seen, int64_t n, int64_t value);

/* Random numbers: the same sequence on every rank, another one for another NSH_TEST_SEED. */
uint64_t check_random(void);
int64_t check_random_below(int64_t n); /* 0 .. n-1 */

#define CHECK(cond)           check_true((cond) ? 1 : 0, #cond, __FILE__, __LINE__)
#define CHECK_EQ(a, b)        check_eq((int64_t)(a), (int64_t)(b), #a, #b, __FILE__, __LINE__)
#define CHECK_DOUBLE(a, b)    check_double((a), (b), #a, #b, __FILE__, __LINE__) /* bitwise */
#define CHECK_STR(a, b)       check_str((a), (b), #a, #b, __FILE__, __LINE__)
#define CHECK_HAS(text, part) check_has((text), (part), #text, __FILE__, __LINE__)
#define CHECK_MEM(a, b, n)    check_mem((a), (b), (n), #a, #b, __FILE__, __LINE__)

/* A collective call whose code is known: each rank compares its own code, so all ranks have the
 * same one if no check fails. A failure must also come with an error detail. */
#define CHECK_ALL(call, code) check_code((call), (code), #call, __FILE__, __LINE__)

/* A collective call whose answer is not known beforehand: all ranks of MPI_COMM_WORLD, or of
 * comm, must give the same one. Prints the distinct codes otherwise. The value is the code. */
#define CHECK_SAME(call)          check_same(MPI_COMM_WORLD, (call), #call, __FILE__, __LINE__)
#define CHECK_SAME_ON(comm, call) check_same((comm), (call), #call, __FILE__, __LINE__)

/* Both at once. One MPI_Allreduce a call: for tests that are not in a hurry. */
#define CHECK_ALL_ON(comm, call, code)                                                             \
    check_code(check_same((comm), (call), #call, __FILE__, __LINE__), (code), #call, __FILE__,     \
               __LINE__)

int check_true(int held, const char *text, const char *file, int line);
int check_eq(int64_t a, int64_t b, const char *ta, const char *tb, const char *file, int line);
int check_double(double a, double b, const char *ta, const char *tb, const char *file, int line);
int check_str(const char *a, const char *b, const char *ta, const char *tb, const char *file,
              int line);
int check_has(const char *text, const char *part, const char *ttext, const char *file, int line);
int check_mem(const void *a, const void *b, int64_t n, const char *ta, const char *tb,
              const char *file, int line);
int check_code(int got, int want, const char *call, const char *file, int line);
int check_same(MPI_Comm comm, int got, const char *call, const char *file, int line);

/* 1 in a build with a sanitizer, where address space limits and store faults are not usual. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHECK_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CHECK_SANITIZED 1
#endif
#endif
#ifndef CHECK_SANITIZED
#define CHECK_SANITIZED 0
#endif

#endif
