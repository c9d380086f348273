/* SPDX-License-Identifier: BSD-3-Clause */
/* check.c -- checks that count instead of returning, and TAP from rank 0.
 *
 * Checks may be made by several threads at once, so the counters are atomic; cases belong to the
 * thread that called check_init.
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int check_rank = -1;
int check_size = 0;
const char *check_layout = "one-node";

static atomic_llong case_checks;
static atomic_llong case_failures;
static char case_name[256];
static int case_open;
static int cases;
static int reported;
static long long all_checks;
static long long all_failures;
static uint64_t random_state = 1;

/* One write a line, so that lines of different ranks do not mix. */
__attribute__((format(printf, 2, 0))) static void print_line(const char *prefix, const char *format,
                                                             va_list args)
{
    char line[4096];
    int n = snprintf(line, sizeof line, "%s", prefix);
    size_t used = (size_t)n;

    n = vsnprintf(line + used, sizeof line - used - 1, format, args);
    if (n > 0)
        used += (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
    for (size_t i = 0; i < used; i++)
        if (line[i] == '\n')
            line[i] = ' ';
    line[used] = '\n';
    fwrite(line, 1, used + 1, stdout);
    fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static void print_root(const char *format, ...)
{
    va_list args;

    if (check_rank != 0)
        return;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void check_note(const char *format, ...)
{
    char prefix[32];
    va_list args;

    snprintf(prefix, sizeof prefix, "# rank %d: ", check_rank);
    va_start(args, format);
    print_line(prefix, format, args);
    va_end(args);
}

/* Count a check, and print it if it failed and not too many others have. Returns held. */
__attribute__((format(printf, 4, 5))) static int count(int held, const char *file, int line,
                                                       const char *format, ...)
{
    char prefix[512];
    va_list args;
    long long nth;

    atomic_fetch_add(&case_checks, 1);
    if (held)
        return 1;
    nth = atomic_fetch_add(&case_failures, 1) + 1;
    if (nth > CHECK_SHOWN) {
        if (nth == CHECK_SHOWN + 1)
            check_note("further failures of this case are counted, not printed");
        return 0;
    }
    snprintf(prefix, sizeof prefix, "# rank %d: %s:%d: ", check_rank, file, line);
    va_start(args, format);
    print_line(prefix, format, args);
    va_end(args);
    return 0;
}

void check_init(int *argc, char ***argv)
{
    check_init_thread(argc, argv, MPI_THREAD_MULTIPLE);
}

void check_init_thread(int *argc, char ***argv, int level)
{
    const char *ranks = getenv("NSH_TEST_RANKS");
    const char *layout = getenv("NSH_TEST_LAYOUT");
    const char *seed = getenv("NSH_TEST_SEED");
    int provided;

    PMPI_Init_thread(argc, argv, level, &provided);
    PMPI_Comm_rank(MPI_COMM_WORLD, &check_rank);
    PMPI_Comm_size(MPI_COMM_WORLD, &check_size);
    if (layout != NULL)
        check_layout = layout;
    if (seed != NULL)
        random_state = strtoull(seed, NULL, 0);
    if (ranks != NULL && atoi(ranks) != check_size) {
        printf("Bail out! %s ranks were asked for, MPI_COMM_WORLD has %d: wrong mpiexec?\n", ranks,
               check_size);
        fflush(stdout);
        PMPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (provided < level)
        print_root("# MPI gives thread level %d instead of %d", provided, level);
    print_root("# seed %" PRIu64, random_state);
}

static void end_case(void)
{
    long long mine[2], sum[2] = {0, 0};

    if (!case_open)
        return;
    case_open = 0;
    mine[0] = atomic_exchange(&case_checks, 0);
    mine[1] = atomic_exchange(&case_failures, 0);
    PMPI_Allreduce(mine, sum, 2, MPI_LONG_LONG, MPI_SUM, MPI_COMM_WORLD);
    cases++;
    all_checks += sum[0];
    all_failures += sum[1];
    print_root("%s %d - %s", sum[1] == 0 ? "ok" : "not ok", cases, case_name);
    if (sum[1] != 0)
        print_root("# %lld of %lld checks failed on %d ranks together", sum[1], sum[0], check_size);
    if (getenv("NSH_TEST_EXPECT") != NULL && strncmp(getenv("NSH_TEST_EXPECT"), "death", 5) == 0)
        PMPI_Barrier(MPI_COMM_WORLD); /* no rank ends before the line above is printed */
}

void check_case(const char *format, ...)
{
    va_list args;

    end_case();
    va_start(args, format);
    vsnprintf(case_name, sizeof case_name, format, args);
    va_end(args);
    case_open = 1;
}

void check_skip(const char *format, ...)
{
    va_list args;

    if (check_rank == 0) {
        va_start(args, format);
        print_line("1..0 # SKIP ", format, args);
        va_end(args);
    }
    PMPI_Finalize();
    exit(77);
}

void check_needs_hdf5(void)
{
    nsh_comm *comm = NULL;
    nsh_file *file = NULL;
    int rc = nsh_comm_create_serial(&comm);

    if (rc == NSH_SUCCESS)
        rc = nsh_file_open(comm, "/", NSH_FILE_READ, NULL, &file);
    nsh_comm_free(&comm);
    if (rc == NSH_ERR_UNSUPPORTED)
        check_skip("built without HDF5");
}

int check_failures(void)
{
    return (int)atomic_load(&case_failures);
}

void check_report_cases(void)
{
    if (reported)
        return;
    reported = 1;
    if (!case_open && (atomic_load(&case_checks) != 0))
        check_case("checks outside any case");
    end_case();
    print_root("# %lld checks", all_checks);
    print_root("1..%d", cases);
}

/* MPICH up to 4.1 over UCX and TCP: a rank that is still disconnecting needs progress of peers that
 * already sit in the process manager's barrier, and MPI_Finalize hangs (pmodels/mpich, pull request
 * 6596; a lone MPI_Bcast is enough). The results are out by then, so on hosts ranks just leave. */
static void finalize(void)
{
    if (strncmp(check_layout, "hosts-", 6) != 0) {
        PMPI_Finalize();
        return;
    }
    fflush(NULL);
    PMPI_Barrier(MPI_COMM_WORLD);
    _exit(all_failures == 0 && cases > 0 ? 0 : 1);
}

int check_finish(void)
{
    int finalized = 0;

    PMPI_Finalized(&finalized);
    if (!finalized) {
        check_report_cases();
        all_failures += atomic_exchange(&case_failures, 0);
        finalize();
    } else if (!reported) {
        check_note("check_report_cases was not called before MPI_Finalize");
        return 1;
    }
    all_failures += atomic_load(&case_failures);
    return all_failures == 0 && cases > 0 ? 0 : 1;
}

void *check_shared(int64_t bytes)
{
    char path[] = "/tmp/nsh_check_XXXXXX";
    int fd = -1;
    void *p = MAP_FAILED;

    if (check_rank == 0) {
        fd = mkstemp(path);
        if (fd >= 0 && ftruncate(fd, bytes) != 0)
            perror("check_shared");
    }
    PMPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (check_rank != 0)
        fd = open(path, O_RDWR);
    if (fd >= 0)
        p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror("check_shared");
        PMPI_Abort(MPI_COMM_WORLD, 1);
    }
    close(fd);
    PMPI_Barrier(MPI_COMM_WORLD);
    if (check_rank == 0)
        unlink(path);
    return p;
}

nsh_array *check_make_array(nsh_comm *comm, int64_t n, const char *name, int64_t value)
{
    nsh_array_options options = NSH_ARRAY_OPTIONS_INIT;
    nsh_array *array = NULL;

    options.name = name;
    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, &options, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &value), NSH_SUCCESS);
    return array;
}

int check_values(const int64_t *seen, int64_t n, int64_t value)
{
    int64_t wrong = 0;

    for (int64_t i = 0; i < n; i++)
        wrong += seen[i] != value;
    return CHECK_EQ(wrong, 0);
}

int check_array(const nsh_array *array, int64_t value)
{
    return check_values(nsh_array_data(array), nsh_array_size(array), value);
}

/* splitmix64 */
uint64_t check_random(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t check_random_below(int64_t n)
{
    return n <= 0 ? 0 : (int64_t)(check_random() % (uint64_t)n);
}

int check_true(int held, const char *text, const char *file, int line)
{
    return count(held, file, line, "%s does not hold", text);
}

int check_eq(int64_t a, int64_t b, const char *ta, const char *tb, const char *file, int line)
{
    return count(a == b, file, line, "%s is %" PRId64 ", %s is %" PRId64, ta, a, tb, b);
}

int check_double(double a, double b, const char *ta, const char *tb, const char *file, int line)
{
    return count(memcmp(&a, &b, sizeof a) == 0, file, line, "%s is %.17g, %s is %.17g", ta, a, tb,
                 b);
}

int check_str(const char *a, const char *b, const char *ta, const char *tb, const char *file,
              int line)
{
    int held = a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);

    return count(held, file, line, "%s is \"%s\", %s is \"%s\"", ta, a != NULL ? a : "(NULL)", tb,
                 b != NULL ? b : "(NULL)");
}

int check_has(const char *text, const char *part, const char *ttext, const char *file, int line)
{
    int held = text != NULL && strstr(text, part) != NULL;

    return count(held, file, line, "%s is \"%s\" without \"%s\"", ttext,
                 text != NULL ? text : "(NULL)", part);
}

int check_mem(const void *a, const void *b, int64_t n, const char *ta, const char *tb,
              const char *file, int line)
{
    const unsigned char *x = a, *y = b;
    int64_t i = 0;

    if (n <= 0)
        return count(1, file, line, " ");
    if (a == NULL || b == NULL)
        return count(0, file, line, "%s is %p, %s is %p", ta, a, tb, b);
    if (memcmp(a, b, (size_t)n) == 0)
        return count(1, file, line, " ");
    while (x[i] == y[i])
        i++;
    return count(0, file, line,
                 "%s and %s differ first in byte %" PRId64 " of %" PRId64 ": 0x%02x, 0x%02x", ta,
                 tb, i, n, x[i], y[i]);
}

int check_code(int got, int want, const char *call, const char *file, int line)
{
    const char *detail = got != NSH_SUCCESS ? nsh_error_detail() : "";

    count(got == want, file, line, "%s: %d (%s; %s), not %d (%s)", call, got, nsh_strerror(got),
          detail, want, nsh_strerror(want));
    if (got == want && got != NSH_SUCCESS && detail[0] == '\0')
        count(0, file, line, "%s: %s comes without a detail", call, nsh_strerror(got));
    return got;
}

int check_same(MPI_Comm comm, int got, const char *call, const char *file, int line)
{
    int mine[2] = {got, -got}, most[2];

    PMPI_Allreduce(mine, most, 2, MPI_INT, MPI_MAX, comm);
    count(most[0] == -most[1], file, line, "%s: this rank got %d (%s; %s), codes go from %d to %d",
          call, got, nsh_strerror(got), got != NSH_SUCCESS ? nsh_error_detail() : "", -most[1],
          most[0]);
    return got;
}
