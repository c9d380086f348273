/* SPDX-License-Identifier: BSD-3-Clause */
/* driver.c -- starts the workload in a layout, disturbs it, and judges what comes of it.
 *
 *   driver --launch scripts/launch --program chaos --directory D --layout L --ranks R
 *          --kind correct|wrong --seed N --rounds K [--seconds S] [--only pause,link,...]
 *          [--private-shm] [--limit 5]
 *
 * A round is one disturbance. Which, of which rank, how long and when, comes from the seed. Exit
 * code: 0 without a finding, 1 with one, 77 where the layout cannot be made. See scripts/chaos. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "page.h"

enum { LOOK_MS = 20, START_SECONDS = 60, END_SECONDS = 60, STACKS_SECONDS = 40 };

static struct {
    const char *launch, *program, *directory, *layout, *kind, *only;
    int ranks, rounds;
    uint64_t seed;
    double seconds, limit; /* limit: the longest wait after the last disturbance */
    bool private_shm;
} options = {.kind = "correct", .only = "", .rounds = 20, .limit = 5};

static chaos_page *page;
static chaos_random dice;
static pid_t launcher;
static int exit_status = -1; /* of the launcher; -1: it runs */
static char mark[64];        /* in the environment of all processes of the run */
static FILE *log_file;
static double begin_time;
static int given[ORDERS];        /* rounds by kind */
static bool unsupported[ORDERS]; /* here an injector cannot do this */

/* What the driver knows of one rank. */
static struct {
    unsigned long long progress;
    double since; /* when that was seen first */
    double due;   /* when the injector has long done what it was told; 0: nothing */
} seen[CHAOS_RANKS];
static double quiet_since; /* the last disturbance was over */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9 - begin_time;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    va_list args;

    fprintf(log_file, "%8.3f ", now());
    va_start(args, format);
    vfprintf(log_file, format, args);
    va_end(args);
    fputc('\n', log_file);
    fflush(log_file);
}

static bool on_hosts(void)
{
    return strncmp(options.layout, "hosts-", 6) == 0;
}

/* Its MPI_Win_allocate_shared makes the file on one rank, and where that finds no room any more the
 * other ranks wait in it for ever. The library asks for what is free, but others may take it in
 * between, and a driver that fills /dev/shm does. So there this is done only if it is asked for. */
static bool is_open_mpi(void)
{
    return getenv("MPI") != NULL && strcmp(getenv("MPI"), "openmpi") == 0;
}

static bool shm_is_private(void)
{
    return on_hosts() || options.private_shm;
}

/* ---- the workload as processes ---- */

static void path_of(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", options.directory, name);
}

/* What differs between runs of one layout, and is the same on all ranks. */
static void choose_environment(char text[512])
{
    static const char *const waits[] = {"auto", "auto", "auto", "block"};
    static const char *const words[] = {"auto", "auto", "window", "message"};
    static const char *const checks[] = {"0", "0", "1"};
    static const char *const threads[] = {"multiple", "multiple", "single"};
    chaos_random r = {chaos_mix(options.seed, 3)};
    const char *wait = waits[chaos_below(&r, 4)], *rma = words[chaos_below(&r, 4)];
    const char *check = checks[chaos_below(&r, 3)], *thread = threads[chaos_below(&r, 3)];

    setenv("NSH_WAIT", wait, 0);
    setenv("NSH_RMA", rma, 0);
    setenv("NSH_CHECK", check, 0);
    setenv("NSH_CHAOS_THREADS", thread, 0);
    setenv("NSH_TEST_LAYOUT", options.layout, 1);
    setenv("NSH_LOG", "1", 0);
    /* What Open MPI keeps in /dev/shm for itself it extends without a look, and dies of that. */
    setenv("OMPI_MCA_btl_vader_backing_directory", options.directory, 0);
    /* There an MPI_Win_allocate for which one rank has no room never returns on the others. */
    setenv("OMPI_MCA_osc_rdma_backing_directory", options.directory, 0);
    if (shm_is_private())
        setenv("NSH_CHAOS_PRIVATE_SHM", "1", 1);
    snprintf(mark, sizeof mark, "NSH_CHAOS_RUN=%d-%llu", (int)getpid(),
             (unsigned long long)options.seed);
    putenv(mark);
    snprintf(text, 512, "NSH_WAIT=%s NSH_RMA=%s NSH_CHECK=%s NSH_CHAOS_THREADS=%s",
             getenv("NSH_WAIT"), getenv("NSH_RMA"), getenv("NSH_CHECK"),
             getenv("NSH_CHAOS_THREADS"));
}

static void start_workload(void)
{
    char output[512], seed[32], ranks[16];

    path_of(output, "output");
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)options.seed);
    snprintf(ranks, sizeof ranks, "%d", options.ranks);
    launcher = fork();
    if (launcher != 0)
        return;
    setsid();
    int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    dup2(open("/dev/null", O_RDONLY), 0);
    execl(options.launch, options.launch, options.layout, ranks, options.program, options.kind,
          seed, options.directory, (char *)NULL);
    _exit(127);
}

static bool launcher_runs(void)
{
    int status;

    if (exit_status < 0 && waitpid(launcher, &status, WNOHANG) == launcher)
        exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return exit_status < 0;
}

/* Does the process have the run's mark in its environment? */
static bool is_ours(const char *pid)
{
    char path[64];
    static char text[1 << 16];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%.20s/environ", pid);
    f = fopen(path, "r");
    if (f == NULL)
        return false;
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    return memmem(text, n, mark, strlen(mark) + 1) != NULL;
}

/* How many there were. */
static int kill_workload(void)
{
    DIR *d = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    while (d != NULL && (entry = readdir(d)) != NULL) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid > 1 && pid != getpid() && is_ours(entry->d_name) && kill(pid, SIGKILL) == 0)
            n++;
    }
    if (d != NULL)
        closedir(d);
    return n;
}

static void end_workload(void)
{
    for (int tries = 0; tries < 5 && kill_workload() > 0; tries++)
        chaos_nap(100);
    for (int tries = 0; tries < 100 && launcher_runs(); tries++)
        chaos_nap(20);
}

/* ---- progress ---- */

static bool injectors_idle(void)
{
    for (int r = 0; r < options.ranks; r++)
        if (atomic_load(&page->ranks[r].posted) != atomic_load(&page->ranks[r].done))
            return false;
    return true;
}

static void look_at_progress(void)
{
    for (int r = 0; r < options.ranks; r++) {
        unsigned long long progress = atomic_load(&page->ranks[r].progress);

        if (progress == seen[r].progress && seen[r].since != 0)
            continue;
        seen[r].progress = progress;
        seen[r].since = now();
    }
    if (!injectors_idle())
        quiet_since = now();
}

/* The rank that has stood still longest since the last disturbance; how long. */
static double longest_wait(int *who)
{
    double longest = 0;

    *who = -1;
    for (int r = 0; r < options.ranks; r++) {
        double since = seen[r].since > quiet_since ? seen[r].since : quiet_since;

        if (atomic_load(&page->ranks[r].finished) || now() - since < longest)
            continue;
        longest = now() - since;
        *who = r;
    }
    return longest;
}

static bool all_are(bool finished)
{
    for (int r = 0; r < options.ranks; r++)
        if (!atomic_load(finished ? &page->ranks[r].finished : &page->ranks[r].ready))
            return false;
    return true;
}

/* A rank whose injector does not answer is dead: they die together. -1: none. */
static int dead_rank(void)
{
    for (int r = 0; r < options.ranks; r++)
        if (atomic_load(&page->ranks[r].posted) != atomic_load(&page->ranks[r].done) &&
            now() > seen[r].due)
            return r;
    return -1;
}

/* Why the run has failed by now; NULL: it has not. */
static const char *trouble(void)
{
    static char text[256];
    int who;

    look_at_progress();
    if (atomic_load(&page->findings) > 0)
        return "a finding of the workload";
    if (!launcher_runs() && !all_are(true)) {
        snprintf(text, sizeof text, "the workload has ended with exit code %d", exit_status);
        return text;
    }
    who = dead_rank();
    if (who >= 0) {
        snprintf(text, sizeof text, "rank %d has died", who);
        return text;
    }
    if (longest_wait(&who) > options.limit) {
        snprintf(text, sizeof text, "rank %d has waited %.1f s since the last disturbance", who,
                 longest_wait(&who));
        return text;
    }
    return NULL;
}

static const char *watch(double ms)
{
    double until = now() + ms / 1000;
    const char *why = trouble();

    while (why == NULL && now() < until) {
        chaos_nap(ms < LOOK_MS ? ms : LOOK_MS);
        why = trouble();
    }
    return why;
}

/* ---- disturbances ---- */

static void post(int rank, chaos_order order, int ms, int64_t room)
{
    chaos_rank *r = &page->ranks[rank];

    r->order = order;
    r->ms = ms;
    r->room = room;
    seen[rank].due = now() + ms * 1e-3 + options.limit;
    atomic_fetch_add(&r->posted, 1);
    chaos_wake(&r->posted);
}

static bool in_list(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = strstr(list, name); p != NULL; p = strstr(p + 1, name))
        if ((p == list || p[-1] == ',') && (p[n] == '\0' || p[n] == ','))
            return true;
    return false;
}

static bool possible(chaos_order order)
{
    if (unsupported[order] || order == ORDER_STACKS)
        return false;
    if (options.only[0] != '\0' && !in_list(options.only, chaos_order_label(order)))
        return false;
    if (order == ORDER_LINK)
        return on_hosts();
    /* A wrong program need not be told of memory and of mistakes at the same time. */
    if (order == ORDER_SHM && is_open_mpi() && options.only[0] == '\0')
        return false;
    if (order == ORDER_SHM)
        return shm_is_private() && strcmp(options.kind, "wrong") != 0;
    return true;
}

static chaos_order choose_order(void)
{
    static const int weights[ORDERS] = {
        [ORDER_PAUSE] = 50, [ORDER_SIGNALS] = 10, [ORDER_TIMER] = 6, [ORDER_FORK] = 8,
        [ORDER_EXEC] = 4,   [ORDER_LINK] = 25,    [ORDER_SHM] = 12};
    int64_t all = 0, at;

    for (int o = 1; o < ORDERS; o++)
        all += possible(o) ? weights[o] : 0;
    at = chaos_below(&dice, all);
    for (int o = 1; o < ORDERS; o++) {
        at -= possible(o) ? weights[o] : 0;
        if (possible(o) && at < 0)
            return o;
    }
    return ORDER_PAUSE;
}

static int choose_ms(chaos_order order)
{
    switch (order) {
    case ORDER_PAUSE:
        return chaos_below(&dice, 20) == 0 ? 2000 : 50 + (int)chaos_below(&dice, 350);
    case ORDER_LINK:
        return 50 + (int)chaos_below(&dice, 950);
    case ORDER_FORK:
    case ORDER_EXEC:
        return 0;
    default:
        return 20 + (int)chaos_below(&dice, 380);
    }
}

/* One fill at a time: ranks of one file system would fight for its last bytes. */
static bool shm_is_full(void)
{
    for (int r = 0; r < options.ranks; r++)
        if (page->ranks[r].order == ORDER_SHM &&
            atomic_load(&page->ranks[r].posted) != atomic_load(&page->ranks[r].done))
            return true;
    return false;
}

/* Takes note of what the injector of rank could not do. */
static void learn(int rank)
{
    chaos_rank *r = &page->ranks[rank];

    if (atomic_load(&r->failed) && r->order != ORDER_NONE && exit_status < 0) {
        unsupported[r->order] = true;
        given[r->order]--;
        note("rank %d: %s cannot be done here", rank, chaos_order_label(r->order));
    }
    atomic_store(&r->failed, 0);
}

/* Order one disturbance, of a rank whose injector is idle; others may still be going on. */
static const char *disturb(void)
{
    chaos_order order = choose_order();
    int rank = (int)chaos_below(&dice, options.ranks), ms = choose_ms(order);
    int64_t room = chaos_below(&dice, 3) == 0 ? 0 : chaos_below(&dice, 600) * 1024;
    chaos_rank *r = &page->ranks[rank];
    const char *why = NULL;

    while (why == NULL && (atomic_load(&r->posted) != atomic_load(&r->done) ||
                           (order == ORDER_SHM && shm_is_full())))
        why = watch(5);
    if (why != NULL)
        return why;
    learn(rank);
    note("rank %d: %s %d ms", rank, chaos_order_label(order), ms);
    given[order]++;
    post(rank, order, ms, room);
    quiet_since = now();
    return NULL;
}

/* Until all that was ordered is over and then every rank has moved. */
static const char *calm(void)
{
    unsigned long long before[CHAOS_RANKS];
    const char *why = NULL;
    bool moved = false;

    while (why == NULL && !injectors_idle())
        why = watch(10);
    note("calm");
    for (int r = 0; r < options.ranks; r++) {
        learn(r);
        before[r] = atomic_load(&page->ranks[r].progress);
    }
    while (why == NULL && !moved) {
        why = watch(10);
        moved = true;
        for (int r = 0; r < options.ranks; r++)
            moved = moved && atomic_load(&page->ranks[r].progress) != before[r];
    }
    return why;
}

/* ---- a run ---- */

static const char *await_start(void)
{
    while (!all_are(false)) {
        if (!launcher_runs())
            return "the workload ended before it began";
        if (atomic_load(&page->findings) > 0)
            return "a finding of the workload";
        if (now() > START_SECONDS)
            return "the workload has not started in time";
        chaos_nap(LOOK_MS);
    }
    return NULL;
}

static const char *disturb_all(void)
{
    const char *why = NULL;
    int calm_after = 0;

    for (int round = 0; why == NULL && (round < options.rounds || now() < options.seconds);
         round++) {
        why = disturb();
        if (why == NULL && calm_after-- == 0) {
            why = calm();
            calm_after = (int)chaos_below(&dice, 16);
        }
        if (why == NULL && chaos_below(&dice, 4) != 0)
            why = watch((double)chaos_below(&dice, 200));
    }
    return why != NULL ? why : calm();
}

static const char *await_end(void)
{
    const char *why = NULL;
    double until;

    atomic_store(&page->stop, 1);
    while (why == NULL && !all_are(true))
        why = watch(LOOK_MS);
    until = now() + END_SECONDS;
    while (why == NULL && launcher_runs()) {
        chaos_nap(LOOK_MS);
        if (now() > until)
            why = "all ranks have finished, but the run does not end";
    }
    /* On hosts the exit code is mpiexec's own (scripts/hosts). */
    if (why == NULL && exit_status != 0 && !on_hosts())
        why = "all ranks have finished, but the exit code is not 0";
    return why;
}

/* ---- what was found ---- */

static void print_file(const char *name, const char *title, int last_bytes)
{
    char path[512], line[4096];
    FILE *f;

    path_of(path, name);
    f = fopen(path, "r");
    if (f == NULL)
        return;
    if (last_bytes > 0 && fseek(f, -last_bytes, SEEK_END) != 0)
        rewind(f);
    printf("# ---- %s\n", title);
    while (fgets(line, sizeof line, f) != NULL)
        printf("#   %s%s", line, strchr(line, '\n') != NULL ? "" : "\n");
    fclose(f);
}

/* Of the ranks that live. */
static void print_stacks(void)
{
    double until = now() + STACKS_SECONDS;
    bool asked[CHAOS_RANKS], waiting = true;
    char name[32], title[256];

    for (int r = 0; r < options.ranks; r++) {
        asked[r] = atomic_load(&page->ranks[r].posted) == atomic_load(&page->ranks[r].done);
        if (asked[r])
            post(r, ORDER_STACKS, 0, 0);
    }
    while (waiting && now() < until) {
        chaos_nap(100);
        waiting = false;
        for (int r = 0; r < options.ranks; r++)
            waiting = waiting || (asked[r] && atomic_load(&page->ranks[r].posted) !=
                                                  atomic_load(&page->ranks[r].done));
    }
    for (int r = 0; r < options.ranks; r++) {
        snprintf(name, sizeof name, "stacks.%d", r);
        snprintf(title, sizeof title, "rank %d, still for %.1f s, in: %s", r, now() - seen[r].since,
                 page->ranks[r].what);
        printf("# ---- %s\n", title);
        print_file(name, "stack", 0);
    }
}

static void report_trouble(const char *why)
{
    printf("# FINDING: %s\n", why);
    if (launcher_runs()) {
        chaos_nap(1000); /* others may find something too */
        print_file("findings", "findings of ranks", 0);
        print_stacks();
    } else {
        print_file("findings", "findings of ranks", 0);
        for (int r = 0; r < options.ranks; r++)
            printf("# rank %d was in: %s\n", r, page->ranks[r].what);
    }
    print_file("log", "the driver's log", 2000);
    print_file("output", "output of the workload", 6000);
}

static void report(bool failed, const char *environment)
{
    int rounds = 0;

    for (int o = 1; o < ORDERS; o++)
        rounds += o == ORDER_STACKS ? 0 : given[o];
    printf("%s chaos %s layout=%s ranks=%d mpi=%s seed=%llu %s: %d rounds (",
           failed ? "not ok" : "ok", options.kind, options.layout, options.ranks,
           getenv("MPI") != NULL ? getenv("MPI") : "?", (unsigned long long)options.seed,
           environment, rounds);
    for (int o = 1, first = 1; o < ORDERS; o++) {
        if (given[o] <= 0 || o == ORDER_STACKS)
            continue;
        printf("%s%s %d", first ? "" : ", ", chaos_order_label(o), given[o]);
        first = 0;
    }
    printf("), %llu episodes, %llu operations, %.0f s\n",
           (unsigned long long)atomic_load(&page->episodes),
           (unsigned long long)atomic_load(&page->operations), now());
    fflush(stdout);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"launch", 1, NULL, 'l'}, {"program", 1, NULL, 'p'}, {"directory", 1, NULL, 'd'},
        {"layout", 1, NULL, 'L'}, {"ranks", 1, NULL, 'R'},   {"kind", 1, NULL, 'k'},
        {"seed", 1, NULL, 'n'},   {"rounds", 1, NULL, 'r'},  {"seconds", 1, NULL, 's'},
        {"only", 1, NULL, 'o'},   {"limit", 1, NULL, 'm'},   {"private-shm", 0, NULL, 'P'},
        {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
        switch (c) {
        case 'l':
            options.launch = optarg;
            break;
        case 'p':
            options.program = optarg;
            break;
        case 'd':
            options.directory = optarg;
            break;
        case 'L':
            options.layout = optarg;
            break;
        case 'R':
            options.ranks = atoi(optarg);
            break;
        case 'k':
            options.kind = optarg;
            break;
        case 'n':
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            options.rounds = atoi(optarg);
            break;
        case 's':
            options.seconds = atof(optarg);
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'm':
            options.limit = atof(optarg);
            break;
        case 'P':
            options.private_shm = true;
            break;
        default:
            exit(2);
        }
    }
    if (options.launch == NULL || options.program == NULL || options.directory == NULL ||
        options.layout == NULL || options.ranks < 1 || options.ranks > CHAOS_RANKS) {
        fprintf(stderr, "driver: see scripts/chaos\n");
        exit(2);
    }
}

static void interrupted(int number)
{
    kill_workload();
    _exit(128 + number);
}

int main(int argc, char **argv)
{
    char path[512], environment[512];
    const char *why;

    read_options(argc, argv);
    path_of(path, "page");
    page = chaos_page_map(path);
    path_of(path, "log");
    log_file = fopen(path, "w");
    if (page == NULL || log_file == NULL) {
        fprintf(stderr, "driver: cannot write in %s: %s\n", options.directory, strerror(errno));
        return 2;
    }
    dice.state = chaos_mix(options.seed, 2);
    choose_environment(environment);
    signal(SIGTERM, interrupted);
    signal(SIGINT, interrupted);
    signal(SIGHUP, interrupted);
    begin_time = now();
    start_workload();
    why = await_start();
    if (why != NULL && exit_status == 77) {
        print_file("output", "skipped", 0);
        return 77;
    }
    quiet_since = now();
    if (why == NULL)
        why = disturb_all();
    if (why == NULL)
        why = await_end();
    if (why != NULL)
        report_trouble(why);
    end_workload();
    report(why != NULL, environment);
    fclose(log_file);
    return why != NULL;
}
