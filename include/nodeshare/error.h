/* SPDX-License-Identifier: BSD-3-Clause */
/* error.h -- status codes and the detail of this thread's last failure. */
#ifndef NODESHARE_ERROR_H
#define NODESHARE_ERROR_H

/* Only functions marked so are exported from the shared library. */
#if defined(__GNUC__)
#define NSH_API __attribute__((visibility("default")))
#else
#define NSH_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Every status but NSH_SUCCESS, as X(name, text). The order is the order of severity: when ranks
 * fail differently in one collective call, all of them return the largest. */
#define NSH_STATUS_MAP(X)                                                                          \
    X(NSH_ERR_ARG, "invalid argument")                                                             \
    X(NSH_ERR_TYPE, "datatype not usable here")                                                    \
    X(NSH_ERR_STATE, "object is not in a state that allows this call")                             \
    X(NSH_ERR_MISMATCH, "ranks disagree on the arguments of a collective call")                    \
    X(NSH_ERR_NOMEM, "not enough memory")                                                          \
    X(NSH_ERR_BUSY, "busy")                                                                        \
    X(NSH_ERR_TIMEOUT, "timed out")                                                                \
    X(NSH_ERR_NOT_FOUND, "not found")                                                              \
    X(NSH_ERR_EXISTS, "exists already")                                                            \
    X(NSH_ERR_IO, "input/output error")                                                            \
    X(NSH_ERR_FORMAT, "file is not in the expected format")                                        \
    X(NSH_ERR_UNSUPPORTED, "not supported by this build or system")                                \
    X(NSH_ERR_MPI, "MPI call failed")                                                              \
    X(NSH_ERR_INTERNAL, "internal error")

/* What a call returns: success, or why it failed. */
typedef enum nsh_status {
    NSH_SUCCESS = 0, /* the call has done what it says */
#define NSH_STATUS_ENUM(name, text) name,
    NSH_STATUS_MAP(NSH_STATUS_ENUM)
#undef NSH_STATUS_ENUM
} nsh_status;

/* [local] The name and the meaning of a status, e.g. "NSH_ERR_ARG: invalid argument". Never NULL;
 * a number that is no status gives "unknown status". The text is static. */
NSH_API const char *nsh_strerror(int status);

/* [local] This thread's last failure with call, values and rank, e.g.
 *   nsh_array_set: hyperslab [3,7) exceeds extent 5 in dimension 0 (root 2)
 * After a collective call that failed on another rank it is that rank's detail, followed by
 * " [from rank 2]". Empty before the first failure. Never NULL; valid until this thread's next
 * failing call; a successful call leaves it alone. */
NSH_API const char *nsh_error_detail(void);

/* ---- what a program does with a code ---- */

/* Make a call of nodeshare, once, and end the job if it fails: for programs that cannot continue.
 *     NSH_OR_ABORT(nsh_array_set(array, data, NULL, NULL, 0));
 * prints one line on stderr, such as
 *   heat.c:31: nsh_array_set(array, data, NULL, NULL, 0): NSH_ERR_ARG: invalid argument:
 *   nsh_array_set: hyperslab [3,7) exceeds extent 5 in dimension 0 (root 2) (code 1, rank 3)
 * and calls MPI_Abort on MPI_COMM_WORLD with the code. It is an expression without a value. */
#define NSH_OR_ABORT(call) nsh_or_abort((call), #call, __FILE__, __LINE__)

/* Make a call of nodeshare, once, and return its code from the enclosing function, which returns
 * int, if it fails. It is a statement. Between two collective calls a rank returns early only on a
 * code that all ranks have. */
#define NSH_OR_RETURN(call)                                                                        \
    do {                                                                                           \
        int nsh_or_return_code = (call);                                                           \
        if (nsh_or_return_code != NSH_SUCCESS)                                                     \
            return nsh_or_return_code;                                                             \
    } while (0)

/* [local] What NSH_OR_ABORT calls: returns if code is NSH_SUCCESS, else prints and does not return.
 * Where MPI is not initialised, or finalised, or that of a forked child's parent, it ends this
 * process alone, by exit(EXIT_FAILURE) or in the forked child by _Exit. */
NSH_API void nsh_or_abort(int code, const char *call, const char *file, int line);

#ifdef __cplusplus
}
#endif

#endif
