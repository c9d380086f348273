/* SPDX-License-Identifier: BSD-3-Clause */
/* chaos.h -- what the files of the workload have in common.
 *
 * A finding ends the run: finding() writes it down and never returns, and the driver takes over.
 * Therefore nothing here hands failures back. */
#ifndef NODESHARE_CHAOS_H
#define NODESHARE_CHAOS_H

#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

#include <nodeshare.h>

#include "page.h"

enum { MOST_ARRAYS = 6, MOST_DEAD = 8, MOST_HELD = 3, MOST_NDIM = 3 };

extern chaos_page *chaos;
extern int chaos_rank_number; /* in MPI_COMM_WORLD */
extern const char *chaos_directory;

/* An array and the copy that this rank computes for itself: the oracle. */
typedef struct shadow {
    nsh_array *array; /* NULL: the place is free */
    char *copy;
    MPI_Datatype type;
    int ndim;
    int64_t extent[MOST_NDIM];
    int64_t size, item, version;
} shadow;

/* What a rank gives up when it likes. */
typedef enum dead_kind {
    DEAD_NONE = 0,
    DEAD_ARRAY,
    DEAD_MUTEX,
    DEAD_SEMAPHORE,
    DEAD_COUNTER
} dead_kind;

typedef struct dead {
    dead_kind kind;
    union {
        nsh_array *array;
        nsh_mutex *mutex;
        nsh_semaphore *semaphore;
        nsh_counter *counter;
    } handle;
} dead;

/* A replica that this rank holds though it has freed the array. */
typedef struct held {
    nsh_hold *hold; /* NULL: the place is free */
    const void *data;
    char *copy;
    int64_t nbytes;
} held;

/* A communicator with what lives on it. */
typedef struct context {
    nsh_comm *comm;
    MPI_Comm mpi;
    int family, color, rank, size;
    int thread; /* of this rank, that uses it: 0 or 1 */
    chaos_slot *slot;
    int64_t barriers;  /* of this family and color so far */
    chaos_random same; /* equal on all ranks of comm */
    chaos_random own;  /* of this rank */
    int64_t op;        /* number of the operation, equal on all ranks of comm */
    shadow arrays[MOST_ARRAYS];
    dead dead[MOST_DEAD];
    held held[MOST_HELD];
    nsh_mutex *mutexes[CHAOS_OBJECTS];
    nsh_semaphore *semaphores[CHAOS_OBJECTS];
    int permits[CHAOS_OBJECTS];
    nsh_counter *counters[CHAOS_OBJECTS];
    int64_t initial[CHAOS_OBJECTS];
    uint64_t base[CHAOS_OBJECTS][3]; /* the tally when the counter was created */
} context;

/* ---- chaos.c ---- */

void finding(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Is the operation or mistake in the list NSH_CHAOS_OPERATIONS? All are in none. */
bool chaos_wanted(const char *name);

/* Where this rank is, for findings and people. */
void set_scene(int64_t episode, const char *name);

/* Around every call of the library: progress, and what the rank is doing. */
void calling(const char *text);
int called(const char *text, int rc);

/* A call that must succeed. */
#define CALL(expr) must_succeed(#expr, CODE(expr))

/* A call with several good codes: its code. */
#define CODE(expr) called(#expr, (calling(#expr), (expr)))

/* A collective call that creates something, or needs room in shared memory of its own (allgather,
 * allreduce and maps): it may fail with NSH_ERR_NOMEM while /dev/shm is full, and is repeated
 * afterwards, then with success. */
#define CREATE(mpi, expr)                                                                          \
    do {                                                                                           \
        unsigned fills_ = 0;                                                                       \
        bool again_ = false;                                                                       \
        while (repeat_create((mpi), #expr, CODE(expr), &fills_, &again_))                          \
            continue;                                                                              \
    } while (0)

/* The same for a call of one rank. */
#define FIRST(expr)                                                                                \
    do {                                                                                           \
        int tries_ = 0;                                                                            \
        while (repeat_first(#expr, CODE(expr), &tries_))                                           \
            continue;                                                                              \
    } while (0)

void must_succeed(const char *text, int rc);
bool repeat_create(MPI_Comm mpi, const char *text, int rc, unsigned *fills, bool *again);
bool repeat_first(const char *text, int rc, int *tries);
void await_room(void); /* until /dev/shm is not full */

/* Between two calls this rank computes for a random time, mostly for none, and does what the driver
 * has ordered. */
void between_calls(context *c);

/* A barrier, and an independent proof that all ranks had entered. */
void checked_barrier(context *c);

/* Value number i of one operation's data by one rank. */
static inline uint64_t value_of(uint64_t operation, int64_t i)
{
    uint64_t z = (operation + (uint64_t)i) * UINT64_C(0x9e3779b97f4a7c15);

    return z ^ (z >> 29);
}

/* Another number for each operation and rank. */
uint64_t operation_seed(const context *c, int rank);

/* ---- the operations ---- */

/* dead.c: give the object up now or later, once all ranks have agreed to. */
void bury(context *c, dead what);
void free_some(context *c); /* some of what this rank may give up */
void free_dead(context *c); /* all of it */

void do_array(context *c);    /* arrays.c: any change or look */
void drop_arrays(context *c); /* all of them, each rank in its own order */
void hold_some(context *c);   /* some replicas, beyond the life of what they belong to */
void check_held(context *c, bool release);
void do_mutex(context *c); /* turns.c */
void do_semaphore(context *c);
void do_counter(context *c);
void do_sequential(context *c);
void drop_turns(context *c);
void free_shells(context *c); /* what is left of locks after nsh_comm_free_all */
void do_batch(context *c);    /* work.c */
void do_map(context *c);
void do_file(context *c); /* files.c */

/* A live array with at least one element, or NULL; the same on all ranks. */
shadow *any_array(context *c);
/* Compare the replica with the copy. */
void check_array(context *c, const shadow *s, const char *after);
shadow *new_array(context *c, MPI_Datatype type, int ndim, const int64_t extent[]);
void drop_array(context *c, shadow *s);

void run_wrong(uint64_t seed, MPI_Comm world); /* wrong.c */

/* ---- injector.c ---- */

/* Fork the child that disturbs this rank. */
void injector_start(int rank, const char *dir);

#endif
