/* SPDX-License-Identifier: BSD-3-Clause */
/* chaos.c -- a rank of the workload that the driver disturbs.
 *
 *   chaos KIND SEED DIRECTORY      started by the driver; KIND is correct or wrong
 *
 * correct: operations of all kinds from the seed, on one communicator that lives throughout and on
 * others of parts of its ranks that come and go, each verified against what every rank computes for
 * itself, without communication. */
#define _GNU_SOURCE
#include "chaos.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

chaos_page *chaos;
int chaos_rank_number;
const char *chaos_directory;

static int world_size;
static context contexts[CHAOS_FAMILIES]; /* this rank's part of each family; comm NULL: none now */
static MPI_Comm family_mpi[CHAOS_FAMILIES];
static int64_t episode;
static int children; /* not yet waited for */
static _Thread_local char last_operation[48] = "start";
static _Thread_local int this_thread;
static bool two_threads; /* now; thread 0 says so */
static bool multiple;    /* MPI allows it */

/* ---- findings and progress ---- */

void finding(const char *format, ...)
{
    char line[2048], path[512];
    va_list args;
    int n, fd;

    n = snprintf(line, sizeof line, "rank %d, episode %lld, %s%s: ", chaos_rank_number,
                 (long long)episode, this_thread == 1 ? "second thread, " : "", last_operation);
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    snprintf(path, sizeof path, "%s/findings", chaos_directory);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        fwrite(line, 1, (size_t)n, stderr);
    atomic_fetch_add(&chaos->findings, 1);
    for (;;)
        pause();
}

void set_scene(int64_t number, const char *name)
{
    episode = number;
    snprintf(last_operation, sizeof last_operation, "%s", name);
}

void calling(const char *text)
{
    chaos_rank *me = &chaos->ranks[chaos_rank_number];

    snprintf(me->what, sizeof me->what, "%lld %s: %s", (long long)episode, last_operation, text);
    atomic_fetch_add(&me->progress, 1);
}

int called(const char *text, int rc)
{
    (void)text;
    atomic_fetch_add(&chaos->ranks[chaos_rank_number].progress, 1);
    return rc;
}

void must_succeed(const char *text, int rc)
{
    if (rc != NSH_SUCCESS)
        finding("%s -> %s | %s", text, nsh_strerror(rc), nsh_error_detail());
}

/* Let every communicator of this thread make progress for about a millisecond. */
static void serve_all(void)
{
    for (int f = 0; f < CHAOS_FAMILIES; f++)
        if (contexts[f].comm != NULL && contexts[f].thread == this_thread)
            nsh_comm_progress(contexts[f].comm);
    chaos_nap(1);
}

void await_room(void)
{
    calling("waiting for room in /dev/shm");
    while (atomic_load(&chaos->full) != 0)
        serve_all();
}

/* All ranks of mpi, without holding up what others ask of this one. */
static void meet(MPI_Comm mpi)
{
    MPI_Request request;
    int done = 0;

    calling("MPI_Ibarrier");
    MPI_Ibarrier(mpi, &request);
    while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done)
        serve_all();
}

/* All ranks have the same code, or the run soon ends with a finding: some are here then, others in
 * their next operation. A repeated call begins on every rank after every rank has seen room, so it
 * may fail only if /dev/shm was made full again since this rank saw it. */
bool repeat_create(MPI_Comm mpi, const char *text, int rc, unsigned *fills, bool *again)
{
    unsigned now = atomic_load(&chaos->fills);

    if (rc != NSH_ERR_NOMEM || now == 0 || (*again && now == *fills)) {
        must_succeed(text, rc);
        return false;
    }
    await_room();
    *fills = atomic_load(&chaos->fills);
    *again = true;
    meet(mpi);
    return true;
}

bool repeat_first(const char *text, int rc, int *tries)
{
    if (rc != NSH_ERR_NOMEM || atomic_load(&chaos->fills) == 0 || ++*tries > 10) {
        must_succeed(text, rc);
        return false;
    }
    await_room();
    return true;
}

bool chaos_wanted(const char *name)
{
    const char *list = getenv("NSH_CHAOS_OPERATIONS"), *found;
    size_t n = strlen(name);

    if (list == NULL || *list == '\0')
        return true;
    for (found = strstr(list, name); found != NULL; found = strstr(found + 1, name))
        if ((found == list || found[-1] == ',') && (found[n] == '\0' || found[n] == ','))
            return true;
    return false;
}

/* ---- what the driver orders ---- */

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&chaos->ranks[chaos_rank_number].interrupts, 1);
}

/* Arms an interval timer of 3 ms, or disarms it. */
static void switch_timer(int number)
{
    static volatile sig_atomic_t armed;
    struct itimerval timer = {{0, 0}, {0, 0}};

    (void)number;
    armed = !armed;
    timer.it_value.tv_usec = timer.it_interval.tv_usec = armed ? 3000 : 0;
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void handle_signals(bool restart)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_flags = restart ? SA_RESTART : 0;
    action.sa_handler = count_signal;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = switch_timer;
    sigaction(SIGUSR2, &action, NULL);
}

/* In a child: what is neither reading nor freeing is STATE at once. */
static void child_is_refused(context *c)
{
    for (int i = 0; i < CHAOS_OBJECTS; i++) {
        if (c->mutexes[i] != NULL && nsh_mutex_lock(c->mutexes[i]) != NSH_ERR_STATE)
            _exit(5);
        if (c->counters[i] != NULL && nsh_counter_add(c->counters[i], 1, NULL) != NSH_ERR_STATE)
            _exit(6);
    }
    if (nsh_comm_barrier(c->comm) != NSH_ERR_STATE)
        _exit(7);
}

static void child_frees(context *c)
{
    int rc = NSH_SUCCESS;

    for (int i = 0; i < MOST_ARRAYS; i++)
        if (c->arrays[i].array != NULL)
            rc |= nsh_array_free(&c->arrays[i].array);
    for (int i = 0; i < CHAOS_OBJECTS; i++)
        rc |= nsh_mutex_free(&c->mutexes[i]) | nsh_semaphore_abandon(&c->semaphores[i]) |
              nsh_counter_free(&c->counters[i]);
    rc |= chaos_rank_number % 2 == 0 ? nsh_comm_free(&c->comm) : nsh_comm_abandon(&c->comm);
    if (rc != NSH_SUCCESS)
        _exit(3);
}

/* A child that lives on for a while: it reads what its parent can read, and gives up what it has
 * inherited, which must be nobody's business but its own. */
static void child_reads_and_frees(void)
{
    volatile unsigned char seen = 0;

    chaos_nap(20);
    for (int f = 0; f < CHAOS_FAMILIES; f++) {
        context *c = &contexts[f];

        if (c->comm == NULL)
            continue;
        for (int i = 0; i < MOST_ARRAYS; i++) {
            int64_t nbytes = nsh_array_nbytes(c->arrays[i].array);
            const unsigned char *data = nsh_array_data(c->arrays[i].array);

            for (int64_t b = 0; b < nbytes; b += 512)
                seen = (unsigned char)(seen + data[b]);
        }
        child_is_refused(c);
        child_frees(c);
    }
    _exit(0);
}

/* Children are waited for later; one that failed is a finding. */
static void reap(bool all)
{
    int status;
    pid_t pid;

    while (children > 0 && (pid = waitpid(-1, &status, WNOHANG)) >= 0) {
        if (pid == 0 && !all)
            return;
        if (pid == 0) {
            serve_all();
            continue;
        }
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            continue; /* the injector, which only dies with this rank */
        children--;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            finding("a forked child ended with status %#x", (unsigned)status);
    }
}

static void fork_child(bool exec)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid > 0)
        children++;
    if (pid != 0)
        return;
    if (!exec)
        child_reads_and_frees();
    execl("/bin/sh", "sh", "-c", ":", (char *)NULL);
    _exit(4);
}

static void follow_orders(void)
{
    chaos_rank *me = &chaos->ranks[chaos_rank_number];

    for (; atomic_load(&me->forks) > 0; atomic_fetch_sub(&me->forks, 1))
        fork_child(false);
    for (; atomic_load(&me->execs) > 0; atomic_fetch_sub(&me->execs, 1))
        fork_child(true);
    reap(false);
}

void between_calls(context *c)
{
    int64_t dice = chaos_below(&c->own, 100);

    if (!two_threads) /* a child has but one of them */
        follow_orders();
    if (dice < 25)
        chaos_nap((double)chaos_below(&c->own, 3000) / 1000);
    else if (dice < 27)
        chaos_nap((double)(20 + chaos_below(&c->own, 40)));
    free_some(c);
    check_held(c, false);
}

/* ---- contexts ---- */

uint64_t operation_seed(const context *c, int rank)
{
    return chaos_mix(chaos_mix((uint64_t)c->op, c->same.state), (uint64_t)rank + 1);
}

void checked_barrier(context *c)
{
    atomic_fetch_add(&c->slot->entered, 1);
    c->barriers++;
    CALL(nsh_comm_barrier(c->comm));
    if (atomic_load(&c->slot->entered) < c->barriers * c->size)
        finding("barrier %lld returned after %lld entries by %d ranks", (long long)c->barriers,
                (long long)atomic_load(&c->slot->entered), c->size);
}

/* The communicators that are there throughout: all ranks, and four ways to part them. */
static void split_world(void)
{
    const int colors[CHAOS_FAMILIES] = {0, 0, chaos_rank_number * 2 / world_size,
                                        chaos_rank_number % 2, chaos_rank_number / 2};

    for (int f = 0; f < CHAOS_FAMILIES; f++) {
        context *c = &contexts[f];

        memset(c, 0, sizeof *c);
        c->family = f;
        c->color = colors[f];
        MPI_Comm_split(MPI_COMM_WORLD, c->color, f == 1 ? -chaos_rank_number : 0, &family_mpi[f]);
        c->mpi = family_mpi[f];
        MPI_Comm_rank(c->mpi, &c->rank);
        MPI_Comm_size(c->mpi, &c->size);
        c->slot = &chaos->slots[f * CHAOS_COLORS + c->color];
    }
}

static void open_context(context *c, uint64_t seed)
{
    uint64_t mixed = chaos_mix(chaos_mix(seed, (uint64_t)episode),
                               (uint64_t)(c->family * CHAOS_COLORS + c->color));

    snprintf(last_operation, sizeof last_operation, "open %d", c->family);
    c->same.state = mixed;
    c->own.state = chaos_mix(mixed, (uint64_t)chaos_rank_number + 1000);
    c->op = 0;
    CREATE(c->mpi, nsh_comm_create(c->mpi, NULL, &c->comm));
}

/* What is left in what order, each rank decides for itself where it may. */
static void drop_all(context *c)
{
    if (chaos_below(&c->own, 2) == 0) {
        drop_arrays(c);
        drop_turns(c);
    } else {
        drop_turns(c);
        drop_arrays(c);
    }
    free_dead(c);
}

typedef enum close_way { CLOSE_FREE, CLOSE_FREE_ALL, CLOSE_ABANDON } close_way;

/* What is alive goes first, or together with the communicator, or that is left to MPI_Finalize. */
static void close_context(context *c, close_way way)
{
    snprintf(last_operation, sizeof last_operation, "close %d", c->family);
    if (way == CLOSE_FREE_ALL) {
        hold_some(c);
        CALL(nsh_comm_free_all(&c->comm));
        free_shells(c);
        drop_arrays(c);
        free_dead(c);
    } else {
        drop_all(c);
        if (way == CLOSE_ABANDON)
            CALL(nsh_comm_abandon(&c->comm));
        else
            CALL(nsh_comm_free(&c->comm));
    }
    check_held(c, true);
}

/* May communicators be alive in MPI_Finalize? MPICH gives its global lock away there, whoever has
 * it, before it calls what is attached to MPI_COMM_SELF: a helper thread that is inside MPI then
 * may hang it, too seldom for a test. Without MPI_THREAD_MULTIPLE there is no helper. */
static bool may_forget(void)
{
#ifdef OPEN_MPI
    return true;
#else
    return !multiple;
#endif
}

/* The same on all ranks of the world. MPI has not so many communicators that each could be left to
 * MPI_Finalize. */
static close_way choose_close(chaos_random *all)
{
    static int abandoned;
    int64_t dice = chaos_below(all, 8);

    if (dice == 0 && may_forget() && abandoned++ < 3)
        return CLOSE_ABANDON;
    return dice < 4 ? CLOSE_FREE_ALL : CLOSE_FREE;
}

/* ---- episodes ---- */

static const struct {
    const char *name;
    void (*run)(context *c);
    int weight;
} operations[] = {
    {"array", do_array, 60},    {"barrier", checked_barrier, 6},
    {"mutex", do_mutex, 12},    {"semaphore", do_semaphore, 6},
    {"counter", do_counter, 6}, {"sequential", do_sequential, 3},
    {"batch", do_batch, 4},     {"map", do_map, 4},
    {"file", do_file, 2},
};

enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static void step(context *c)
{
    int weights[OPERATIONS], all = 0, which = 0;
    int64_t dice;

    for (int i = 0; i < OPERATIONS; i++)
        all += weights[i] = chaos_wanted(operations[i].name) ? operations[i].weight : 0;
    dice = chaos_below(&c->same, all);
    while (which < OPERATIONS - 1 && dice >= weights[which])
        dice -= weights[which++];
    c->op++;
    snprintf(last_operation, sizeof last_operation, "%d.%lld %s", c->family, (long long)c->op,
             operations[which].name);
    between_calls(c);
    operations[which].run(c);
    if (chaos_rank_number == 0)
        atomic_fetch_add(&chaos->operations, 1);
}

/* Rank 0 decides whether there is another episode, and says so by the library's own means. */
static bool another_episode(shadow *control)
{
    context *world = &contexts[0];
    int64_t go = atomic_load(&chaos->stop) == 0;

    snprintf(last_operation, sizeof last_operation, "control");
    CALL(nsh_array_set(control->array, &go, NULL, NULL, 0));
    memcpy(&go, nsh_array_data(control->array), sizeof go);
    if (world->rank == 0)
        atomic_fetch_add(&chaos->episodes, 1);
    return go != 0;
}

/* A second thread that has a communicator to itself. */
typedef struct second {
    context *c;
    int64_t steps;
    atomic_int done;
} second;

static void *run_second(void *arg)
{
    second *s = arg;

    this_thread = 1;
    for (; s->steps > 0; s->steps--)
        step(s->c);
    atomic_store(&s->done, 1);
    return NULL;
}

static void run_both(second *s, const int open[], int n, chaos_random *all, int64_t steps)
{
    pthread_t thread;

    s->c->thread = 1;
    two_threads = true;
    if (pthread_create(&thread, NULL, run_second, s) != 0)
        finding("no second thread");
    while (steps-- > 0)
        step(&contexts[open[chaos_below(all, n)]]);
    calling("waiting for the second thread");
    while (!atomic_load(&s->done))
        serve_all();
    pthread_join(thread, NULL);
    two_threads = false;
    s->c->thread = 0;
}

static void run_episode(uint64_t seed)
{
    chaos_random all = {chaos_mix(chaos_mix(seed, 77), (uint64_t)episode)};
    int64_t steps = 10 + chaos_below(&all, 30);
    int open[3] = {0}, n = 1, first = 1 + (int)chaos_below(&all, CHAOS_FAMILIES - 1);
    bool both = chaos_below(&all, 3) == 0;

    for (int64_t parts = chaos_below(&all, 3); n <= parts; n++) {
        open[n] = first + (n - 1) * (first < CHAOS_FAMILIES - 1 ? 1 : -1);
        open_context(&contexts[open[n]], seed);
    }
    if (both && multiple && n > 1) {
        second s = {.c = &contexts[open[n - 1]], .steps = steps / 2};

        run_both(&s, open, n - 1, &all, steps / 2);
    } else {
        while (steps-- > 0)
            step(&contexts[open[chaos_below(&all, n)]]);
    }
    while (--n > 0)
        close_context(&contexts[open[n]], choose_close(&all));
}

static void run_correct(uint64_t seed)
{
    const int64_t one = 1;
    shadow control;

    split_world();
    open_context(&contexts[0], seed);
    memset(&control, 0, sizeof control);
    CREATE(contexts[0].mpi,
           nsh_array_create(contexts[0].comm, MPI_INT64_T, 1, &one, NULL, &control.array));
    atomic_store(&chaos->ranks[chaos_rank_number].ready, 1);
    for (episode = 1; another_episode(&control); episode++)
        run_episode(seed);
    snprintf(last_operation, sizeof last_operation, "end");
    reap(true);
    if (!may_forget() ||
        chaos_below(&contexts[0].same, 3) != 0) { /* or MPI_Finalize finds all that is alive */
        CALL(nsh_array_free(&control.array));
        close_context(&contexts[0], choose_close(&contexts[0].same));
    }
    for (int f = 0; f < CHAOS_FAMILIES; f++)
        MPI_Comm_free(&family_mpi[f]);
}

/* ---- main ---- */

/* Some MPIs connect at the first message, and cannot while a link is down. */
static void connect_all(void)
{
    int in[CHAOS_RANKS] = {0}, out[CHAOS_RANKS];

    MPI_Alltoall(in, 1, MPI_INT, out, 1, MPI_INT, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* On hosts MPI_Finalize of MPICH up to 4.1 hangs now and then, whatever the program has done; see
 * mpi_tests/check.c. */
static void finalize(void)
{
    const char *layout = getenv("NSH_TEST_LAYOUT");

    calling("MPI_Barrier and MPI_Finalize");
    MPI_Barrier(MPI_COMM_WORLD);
    atomic_store(&chaos->ranks[chaos_rank_number].finished, 1);
    if (layout != NULL && strncmp(layout, "hosts-", 6) == 0)
        _exit(0);
    MPI_Finalize();
}

static int rank_from_launcher(void)
{
    const char *text = getenv("PMI_RANK");

    if (text == NULL)
        text = getenv("OMPI_COMM_WORLD_RANK");
    return text != NULL ? atoi(text) : 0;
}

int main(int argc, char **argv)
{
    const char *level = getenv("NSH_CHAOS_THREADS");
    char path[512];
    int provided, rank;
    uint64_t seed;

    if (argc != 4) {
        fprintf(stderr, "chaos KIND SEED DIRECTORY: see scripts/chaos\n");
        return 2;
    }
    seed = strtoull(argv[2], NULL, 0);
    chaos_directory = argv[3];
    snprintf(path, sizeof path, "%s/page", chaos_directory);
    chaos = chaos_page_map(path);
    rank = rank_from_launcher();
    if (chaos == NULL || rank >= CHAOS_RANKS)
        return 2;
    injector_start(rank, chaos_directory);
    chaos_rank_number = rank;
    handle_signals(seed % 2 == 0);
    MPI_Init_thread(&argc, &argv,
                    level != NULL && strcmp(level, "single") == 0 ? MPI_THREAD_SINGLE
                                                                  : MPI_THREAD_MULTIPLE,
                    &provided);
    multiple = provided == MPI_THREAD_MULTIPLE;
    MPI_Comm_rank(MPI_COMM_WORLD, &chaos_rank_number);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    if (chaos_rank_number != rank)
        finding("the launcher called this rank %d, MPI calls it %d", rank, chaos_rank_number);
    connect_all();
    if (strcmp(argv[1], "wrong") == 0)
        run_wrong(seed, MPI_COMM_WORLD);
    else
        run_correct(seed);
    finalize();
    return 0;
}
