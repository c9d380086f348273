/* SPDX-License-Identifier: BSD-3-Clause */
/* page.h -- the memory that the driver, the ranks and their injectors share.
 *
 * It is a file that all of them map, also across namespaces. Two uses: the driver gives orders and
 * watches progress through it, and the ranks keep in it what an oracle needs that does not depend
 * on the library (who is inside a mutex, how many have entered a barrier).
 *
 * Every word is atomic and sequentially consistent unless its comment says otherwise. */
#ifndef NODESHARE_CHAOS_PAGE_H
#define NODESHARE_CHAOS_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    CHAOS_RANKS = 16,
    CHAOS_FAMILIES = 5,
    CHAOS_COLORS = 8,
    CHAOS_OBJECTS = 3, /* mutexes, semaphores and counters of one communicator at a time, each */
    CHAOS_TEXT = 120
};

/* What an injector can be told to do to its rank. X(name, label) */
#define CHAOS_ORDER_MAP(X)                                                                         \
    X(ORDER_PAUSE, "pause")     /* SIGSTOP, SIGCONT ms later */                                    \
    X(ORDER_SIGNALS, "signals") /* SIGUSR1, again and again for ms */                              \
    X(ORDER_TIMER, "timer")     /* the rank arms an interval timer for ms */                       \
    X(ORDER_FORK, "fork")       /* the rank forks a child that frees its handles and exits */      \
    X(ORDER_EXEC, "exec")       /* the rank forks a child that calls exec */                       \
    X(ORDER_LINK, "link")       /* the host's network device is down for ms */                     \
    X(ORDER_SHM, "shm")         /* /dev/shm is full for ms */                                      \
    X(ORDER_STACKS, "stacks")   /* gdb prints the rank's stacks; no disturbance */

typedef enum chaos_order {
    ORDER_NONE = 0,
#define CHAOS_ORDER_ENUM(name, label) name,
    CHAOS_ORDER_MAP(CHAOS_ORDER_ENUM)
#undef CHAOS_ORDER_ENUM
        ORDERS
} chaos_order;

/* Of one rank. */
typedef struct chaos_rank {
    /* Written by the driver, posted last; done and failed by the injector, done last. */
    atomic_uint posted, done; /* numbers of orders; equal: the injector is idle */
    int order, ms;            /* plain: published by posted */
    int64_t room;             /* of ORDER_SHM: bytes that stay free; plain, published by posted */
    atomic_int failed;        /* the last order could not be carried out */
    /* Written by the rank. */
    atomic_ullong progress; /* grows before and after each call of the library */
    atomic_int ready;       /* MPI works and the first communicator exists */
    atomic_int finished;
    atomic_int forks;         /* ORDER_FORK and ORDER_EXEC that the rank has still to carry out; */
    atomic_int execs;         /* the injector counts them up, the rank down */
    char what[CHAOS_TEXT];    /* the call it is in; plain, for people to read */
    atomic_ullong interrupts; /* signals handled */
} chaos_rank;

/* Of one communicator: family * CHAOS_COLORS + color. The ranks write; nothing is ever reset. */
typedef struct chaos_tally {
    atomic_ullong count, sum, squares; /* of numbers that must each come once */
} chaos_tally;

typedef struct chaos_slot {
    atomic_llong entered; /* barriers, by all ranks together */
    atomic_int turn;      /* sequential sections: whose turn it is, modulo size */
    struct {
        atomic_int owner; /* rank + 1 */
        atomic_llong total;
        volatile int64_t value; /* plain: guarded by the mutex under test */
    } mutexes[CHAOS_OBJECTS];
    atomic_int inside[CHAOS_OBJECTS]; /* semaphores: permits in use */
    chaos_tally counters[CHAOS_OBJECTS];
    chaos_tally tasks;
} chaos_slot;

typedef struct chaos_page {
    atomic_int stop;     /* driver: no further episode */
    atomic_int full;     /* injectors: file systems that are full now */
    atomic_uint fills;   /* injectors: how often one was made full, counted before it is */
    atomic_int findings; /* ranks */
    atomic_ullong episodes, operations; /* rank 0 */
    chaos_rank ranks[CHAOS_RANKS];
    chaos_slot slots[CHAOS_FAMILIES * CHAOS_COLORS];
} chaos_page;

/* Map the file at path, made as long as the page is. NULL: it cannot be. */
chaos_page *chaos_page_map(const char *path);

const char *chaos_order_label(int order);

/* Sleep while *word == seen, at most ms. Works between processes. */
void chaos_sleep_on(atomic_uint *word, unsigned seen, int ms);
void chaos_wake(atomic_uint *word);
void chaos_nap(double ms);

/* splitmix64: the same numbers for the same state. */
typedef struct chaos_random {
    uint64_t state;
} chaos_random;

uint64_t chaos_mix(uint64_t a, uint64_t b);
uint64_t chaos_next(chaos_random *random);
int64_t chaos_below(chaos_random *random, int64_t n); /* 0 .. n-1 */

#endif
