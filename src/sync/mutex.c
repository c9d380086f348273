/* SPDX-License-Identifier: BSD-3-Clause */
/* mutex.c -- a mutex over all ranks of a communicator.
 *
 * FIFO is one queue: a local one on one node, a remote one otherwise. COHORT on several nodes has
 * two: a local one on each node, and a remote one. The holder of the local one asks for the remote
 * one, which stays with the node while the mutex is passed on there.
 *
 * Invariant (COHORT): the holder of the mutex holds its node's local queue. A node that holds the
 * remote queue has a holder or a waiter in its local one, so the remote queue is always released in
 * the end. */
#include <nodeshare/mutex.h>

#include "base/fault.h"
#include "base/sized.h"
#include "base/hash.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "core/names.h"
#include "core/object_free.h"
#include "core/shared.h"
#include "sync/mutex_check.h"
#include "sync/queue.h"

#include <math.h>
#include <stdlib.h>

/* How a node holds the remote queue; in its shared memory, guarded by the local queue. */
typedef struct cohort {
    _Alignas(64) atomic_int holder; /* 1 + the rank that took the remote queue and has a place in
                                       it; 0: not held. Only nsh_mutex_holder reads it without the
                                       lock */
    bool waited;                    /* that rank's queue->waited */
    int passes;                     /* how often the mutex was passed on since then */
    _Atomic uint64_t watch;         /* on one node: see mutex_check.h */
} cohort;

struct nsh_mutex {
    nsh_comm *comm;
    nsh__queue local;  /* one node, or COHORT */
    nsh__queue remote; /* several nodes */
    cohort *cohort;    /* COHORT on several nodes, else NULL */
    int cohort_limit;
    int home;
    bool held;
    nsh__mutex_check watch; /* NSH_CHECK=1 */
    int64_t acquisitions, waited;
    nsh__object object;
};

/* ---- create ---- */

static int check_mutex_options(const nsh_comm *comm, const nsh_mutex_options *o, nsh_mutex **out)
{
    if (out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_create: out is NULL (rank %d)", comm->rank);
    if ((unsigned)o->order > NSH_MUTEX_COHORT || o->cohort_limit < 1)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_create: order %d, cohort_limit %d (rank %d)",
                         (int)o->order, o->cohort_limit, comm->rank);
    return NSH_SUCCESS;
}

static nsh_mutex *mutex_alloc(nsh_comm *comm, const nsh_mutex_options *o)
{
    nsh_mutex *mutex = nsh__fault(mutex_alloc) ? NULL : calloc(1, sizeof *mutex);

    if (mutex == NULL)
        return NULL;
    mutex->comm = comm;
    mutex->cohort_limit = o->cohort_limit;
    return mutex;
}

static int most_on_a_node(const nsh_comm *comm)
{
    int most = 0;

    for (int i = 0; i < comm->node_count; i++)
        if (comm->size_of[i] > most)
            most = comm->size_of[i];
    return most;
}

static void mutex_destroy(void *handle)
{
    nsh_mutex *mutex = handle;

    if (mutex == NULL)
        return;
    nsh__object_fini(&mutex->object);
    free(mutex);
}

static const nsh__kind mutex_kind = {.name = "mutex", .destroy = mutex_destroy};

/* [local] This rank's part of the mutex. mutex_destroy accepts it at any stage. */
static int mutex_init(nsh_comm *comm, const nsh_mutex_options *o, nsh_mutex **out, nsh_mutex **made)
{
    int rc = check_mutex_options(comm, o, out);

    if (rc != NSH_SUCCESS)
        return rc;
    *made = mutex_alloc(comm, o);
    if (*made == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "nsh_mutex_create: no memory");
    rc = nsh__shared_home(comm, NSH__CALL_MUTEX_CREATE, o->home, &(*made)->home);
    if (rc != NSH_SUCCESS)
        return rc;
    return nsh__object_init(&(*made)->object, &mutex_kind, *made, NSH__CALL_MUTEX_CREATE, o->name);
}

static int look_at_holder(void *owner)
{
    nsh_mutex *mutex = owner;
    bool pointless;
    int rc = nsh__mutex_check_look(&mutex->watch, &pointless);

    return rc == NSH_SUCCESS && pointless ? NSH_ERR_STATE : rc;
}

/* Set up NSH_CHECK=1. Its word follows the places: in the memory of the node, or at the home. */
static void watch_attach(nsh_mutex *mutex, int places)
{
    nsh_comm *comm = mutex->comm;
    cohort *c = (cohort *)((nsh__place *)mutex->object.shared.block.rw + 1 + places);

    mutex->watch.cell = (nsh__cell){comm, comm->node_count == 1 ? &c->watch : NULL,
                                    &mutex->object.shared.words, (int64_t)comm->size + 1};
    mutex->watch.name = mutex->object.name;
    mutex->local.look = mutex->remote.look = look_at_holder;
    mutex->local.owner = mutex->remote.owner = mutex;
}

/* Set the queues' pointers into the shared memory. */
static void mutex_attach(nsh_mutex *mutex, int places)
{
    nsh_comm *comm = mutex->comm;
    nsh__place *local = (nsh__place *)mutex->object.shared.block.rw;

    mutex->local = (nsh__queue){
        .comm = comm, .local = local, .participants = comm->node_size, .me = comm->node_rank};
    mutex->remote = (nsh__queue){.comm = comm,
                                 .remote = &mutex->object.shared.words,
                                 .participants = comm->size,
                                 .me = comm->rank};
    if (places > 0 && comm->node_count > 1)
        mutex->cohort = (cohort *)(local + 1 + places);
    if (comm->check)
        watch_attach(mutex, places);
}

int nsh_mutex_create(nsh_comm *comm, const nsh_mutex_options *options, nsh_mutex **out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_mutex_options, name, NSH_MUTEX_OPTIONS_INIT);
    nsh_mutex_options given = NSH_MUTEX_OPTIONS_INIT, *o = &given;
    nsh_mutex *mutex = NULL;
    nsh__need need = {0};
    int places = 0, rc;
    uint64_t signature;

    rc = nsh__object_begin(comm, NSH__CALL_MUTEX_CREATE);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__sized_read(&kind, "nsh_mutex_create", comm->rank, options, o);
    need.nwords = comm->node_count > 1 ? (int64_t)comm->size + 1 + comm->check : 0;
    if (need.nwords == 0 || o->order == NSH_MUTEX_COHORT) {
        places = most_on_a_node(comm);
        need.bytes = (1 + places) * (int64_t)sizeof(nsh__place) + (int64_t)sizeof(cohort);
    }
    if (rc == NSH_SUCCESS)
        rc = mutex_init(comm, o, out, &mutex);
    signature = nsh__shared_signature(
        comm, o->home, nsh__mix((uint64_t)o->order, (uint64_t)o->cohort_limit), o->name);
    need.home = mutex != NULL ? mutex->home : 0;
    rc = nsh__object_create(comm, NSH__CALL_MUTEX_CREATE, rc, signature, &need, &mutex_kind, mutex,
                            mutex != NULL ? &mutex->object : NULL);
    if (rc != NSH_SUCCESS)
        return rc;
    mutex_attach(mutex, places);
    *out = mutex;
    return NSH_SUCCESS;
}

int nsh_mutex_free(nsh_mutex **mutex)
{
    nsh_mutex *m;
    int rc = NSH_SUCCESS;

    if (mutex == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_free: mutex is NULL");
    m = *mutex;
    if (m == NULL)
        return NSH_SUCCESS;
    if (nsh__object_forget(m->comm, &m->object)) {
        *mutex = NULL;
        return NSH_SUCCESS;
    }
    if (m->held)
        rc = nsh__fail(NSH_ERR_STATE, "%s: rank %d holds the mutex",
                       nsh__object_phrase("nsh_mutex_free", &m->object).text, m->comm->rank);
    rc = nsh__agree_to_free(m->comm, NSH__CALL_MUTEX_FREE, rc, m->object.id);
    if (rc != NSH_SUCCESS)
        return rc;
    nsh__object_free(m->comm, &m->object);
    *mutex = NULL;
    return NSH_SUCCESS;
}

int nsh_mutex_abandon(nsh_mutex **mutex)
{
    nsh_mutex *m;

    if (mutex == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_abandon: mutex is NULL");
    m = *mutex;
    if (m == NULL)
        return NSH_SUCCESS;
    if (m->held && nsh__comm_present(m->comm, "nsh_mutex_abandon") == NSH_SUCCESS)
        return nsh__fail(NSH_ERR_STATE, "nsh_mutex_abandon: rank %d holds the mutex",
                         m->comm->rank);
    nsh__object_abandon(m->comm, &m->object);
    *mutex = NULL;
    return NSH_SUCCESS;
}

/* ---- lock ---- */

/* After a failure between ranks the state of the queue is unknown: the communicator is broken. */
static int mutex_checked(nsh_mutex *mutex, int rc)
{
    if (rc == NSH_SUCCESS || rc == NSH_ERR_BUSY || rc == NSH_ERR_TIMEOUT)
        return rc;
    return nsh__comm_break(mutex->comm, rc);
}

static int mutex_usable(const nsh_mutex *mutex, const char *call, bool held)
{
    if (mutex == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: mutex is NULL", call);
    if (mutex->held != held)
        return nsh__fail(NSH_ERR_STATE, "%s: rank %d %s the mutex",
                         nsh__object_phrase(call, &mutex->object).text, mutex->comm->rank,
                         held ? "does not hold" : "holds");
    return nsh__comm_whole(mutex->comm, call);
}

static int unlock_queue(nsh__queue *queue, nsh__queue_hook last, void *owner)
{
    return nsh__queue_unlock(queue, queue->me, queue->waited, last, owner);
}

/* This rank has got the remote queue: its node holds it until end_cohort. */
static void begin_cohort(nsh_mutex *mutex)
{
    cohort *c = mutex->cohort;

    c->waited = mutex->remote.waited;
    c->passes = 0;
    atomic_store_explicit(&c->holder, mutex->comm->rank + 1, memory_order_relaxed);
}

/* [by the holder of the local queue] Release the remote queue on behalf of the rank that took
 * it. */
static int end_cohort(void *owner)
{
    nsh_mutex *mutex = owner;
    cohort *c = mutex->cohort;
    int holder = atomic_load_explicit(&c->holder, memory_order_relaxed);

    if (holder == 0)
        return NSH_SUCCESS;
    atomic_store_explicit(&c->holder, 0, memory_order_relaxed);
    return nsh__queue_unlock(&mutex->remote, holder - 1, c->waited, NULL, NULL);
}

/* Before this rank waits on its node: the rank for which it waits may itself wait for the effect of
 * this rank's late request on a remote queue. *held: that request has got the remote queue, and no
 * rank of the node holds the local one, so this rank holds the mutex. */
static int catch_up(nsh_mutex *mutex, int64_t deadline, bool *held)
{
    int rc = nsh__queue_catch_up(&mutex->remote, deadline, held);

    if (rc != NSH_SUCCESS || !*held)
        return rc;
    rc = nsh__queue_trylock(&mutex->local);
    if (rc == NSH_SUCCESS) {
        begin_cohort(mutex);
    } else if (rc == NSH_ERR_BUSY) {
        *held = false;
        rc = unlock_queue(&mutex->remote, NULL, NULL);
    }
    return rc;
}

/* Lock the local queue, then the remote one unless the node holds it. */
static int lock_cohort(nsh_mutex *mutex, int64_t deadline, bool *waited)
{
    cohort *c = mutex->cohort;
    bool held;
    int undone, rc = catch_up(mutex, deadline, &held);

    if (rc != NSH_SUCCESS || held) {
        *waited = mutex->remote.waited;
        return rc;
    }
    rc = nsh__queue_lock(&mutex->local, deadline);
    *waited = mutex->local.waited;
    if (rc != NSH_SUCCESS || atomic_load_explicit(&c->holder, memory_order_relaxed) != 0)
        return rc;
    rc = nsh__queue_lock(&mutex->remote, deadline);
    if (rc == NSH_ERR_TIMEOUT) { /* the next rank of this node asks for itself */
        undone = unlock_queue(&mutex->local, NULL, NULL);
        return undone != NSH_SUCCESS ? undone : rc;
    }
    if (rc != NSH_SUCCESS)
        return rc;
    begin_cohort(mutex);
    *waited = *waited || mutex->remote.waited;
    return NSH_SUCCESS;
}

static int trylock_cohort(nsh_mutex *mutex)
{
    cohort *c = mutex->cohort;
    bool held;
    int undone, rc = catch_up(mutex, NSH__NEVER, &held);

    if (rc == NSH_SUCCESS && !held)
        rc = nsh__queue_trylock(&mutex->local);
    if (rc != NSH_SUCCESS || atomic_load_explicit(&c->holder, memory_order_relaxed) != 0)
        return rc;
    rc = nsh__queue_trylock(&mutex->remote);
    if (rc == NSH_ERR_BUSY) {
        undone = unlock_queue(&mutex->local, NULL, NULL);
        return undone != NSH_SUCCESS ? undone : rc;
    }
    if (rc == NSH_SUCCESS)
        begin_cohort(mutex);
    return rc;
}

static int unlock_cohort(nsh_mutex *mutex)
{
    int rc = NSH_SUCCESS;

    if (mutex->cohort->passes++ >= mutex->cohort_limit)
        rc = end_cohort(mutex);
    return rc == NSH_SUCCESS ? unlock_queue(&mutex->local, end_cohort, mutex) : rc;
}

/* The queue of a mutex that has only one. */
static nsh__queue *only_queue(nsh_mutex *mutex)
{
    return mutex->comm->node_count == 1 ? &mutex->local : &mutex->remote;
}

static int rank_on_node(const nsh_comm *comm, int node_rank)
{
    for (int r = 0; r < comm->size; r++)
        if (comm->node_of[r] == comm->node_index && comm->node_rank_of[r] == node_rank)
            return r;
    return -1;
}

/* Does the memory of this node tell which rank holds the mutex? Then no remote operation is
 * needed. */
static bool held_here(const nsh_mutex *mutex)
{
    return mutex->comm->node_count == 1 || (mutex->cohort != NULL && mutex->cohort->holder != 0);
}

/* The holder if this node's memory tells it, otherwise -1. */
static int known_holder(void *object)
{
    nsh_mutex *mutex = object;
    int holder = -1;

    if (!held_here(mutex) || nsh__queue_holder(&mutex->local, &holder) != NSH_SUCCESS)
        return -1;
    return rank_on_node(mutex->comm, holder);
}

/* What nsh__report_wait reports about a wait for this mutex. */
static nsh__subject subject_of(nsh_mutex *mutex, const char *call)
{
    return (nsh__subject){call, "mutex", nsh_mutex_name(mutex), known_holder, mutex};
}

static int timed_out(nsh_mutex *mutex, double seconds)
{
    int rank = mutex->comm->rank, holder = known_holder(mutex);

    if (holder >= 0)
        return nsh__fail(NSH_ERR_TIMEOUT,
                         "nsh_mutex_timedlock: not within %g seconds; held by rank %d (rank %d)",
                         seconds, holder, rank);
    return nsh__fail(NSH_ERR_TIMEOUT,
                     "nsh_mutex_timedlock: not within %g seconds; holder unknown (rank %d)",
                     seconds, rank);
}

/* This rank has the mutex; waited: not at once. */
static void took(nsh_mutex *mutex, bool waited)
{
    mutex->held = true;
    mutex->acquisitions++;
    mutex->waited += waited;
    if (mutex->comm->check)
        nsh__mutex_check_held(mutex->comm, &mutex->watch);
}

static int lock(nsh_mutex *mutex, int64_t deadline)
{
    nsh__queue *queue = only_queue(mutex);
    bool waited = false;
    int rc;

    if (mutex->cohort != NULL) {
        rc = lock_cohort(mutex, deadline, &waited);
    } else {
        rc = nsh__queue_lock(queue, deadline);
        waited = queue->waited;
    }
    if (rc != NSH_SUCCESS)
        return mutex_checked(mutex, rc);
    took(mutex, waited);
    return NSH_SUCCESS;
}

/* Lock without a deadline. Under NSH_CHECK=1 the holder learns that a rank waits, and this rank
 * gives up if the holder waits for it. */
static int lock_at_last(nsh_mutex *mutex)
{
    bool check = mutex->comm->check;
    int rc = NSH_SUCCESS, watched = NSH_SUCCESS;

    if (check)
        rc = nsh__mutex_check_wait(&mutex->watch, 1);
    if (rc == NSH_SUCCESS)
        rc = lock(mutex, NSH__NEVER);
    if (check && (rc == NSH_SUCCESS || rc == NSH_ERR_TIMEOUT))
        watched = nsh__mutex_check_wait(&mutex->watch, -1);
    if (watched != NSH_SUCCESS)
        return mutex_checked(mutex, watched);
    if (rc == NSH_ERR_TIMEOUT)
        return nsh__fail(NSH_ERR_STATE,
                         "nsh_mutex_lock: the rank that holds the mutex (%s) is in a collective "
                         "call, which waits for this rank (rank %d)",
                         mutex->object.name != NULL ? mutex->object.name : "without a name",
                         mutex->comm->rank);
    return rc;
}

int nsh_mutex_lock(nsh_mutex *mutex)
{
    int rc = mutex_usable(mutex, "nsh_mutex_lock", false);

    if (rc != NSH_SUCCESS)
        return rc;
    mutex->comm->subject = subject_of(mutex, "nsh_mutex_lock");
    return nsh__subject_end(mutex->comm, lock_at_last(mutex));
}

int nsh_mutex_timedlock(nsh_mutex *mutex, double seconds)
{
    int64_t deadline;
    int rc = mutex_usable(mutex, "nsh_mutex_timedlock", false);

    if (rc != NSH_SUCCESS)
        return rc;
    if (isnan(seconds) || seconds < 0)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_timedlock: %g seconds (rank %d)", seconds,
                         mutex->comm->rank);
    mutex->comm->subject = subject_of(mutex, "nsh_mutex_timedlock");
    deadline = nsh__wait_deadline(seconds);
    rc = deadline == NSH__NEVER ? lock_at_last(mutex) : lock(mutex, deadline);
    rc = nsh__subject_end(mutex->comm, rc);
    return rc == NSH_ERR_TIMEOUT ? timed_out(mutex, seconds) : rc;
}

int nsh_mutex_trylock(nsh_mutex *mutex)
{
    int rc = mutex_usable(mutex, "nsh_mutex_trylock", false);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = mutex->cohort != NULL ? trylock_cohort(mutex) : nsh__queue_trylock(only_queue(mutex));
    if (rc == NSH_ERR_BUSY)
        return nsh__fail(rc, "%s: held by another rank (rank %d)",
                         nsh__object_phrase("nsh_mutex_trylock", &mutex->object).text,
                         mutex->comm->rank);
    if (rc != NSH_SUCCESS)
        return mutex_checked(mutex, rc);
    took(mutex, false);
    return NSH_SUCCESS;
}

int nsh_mutex_unlock(nsh_mutex *mutex)
{
    int rc = mutex_usable(mutex, "nsh_mutex_unlock", true);

    if (rc != NSH_SUCCESS)
        return rc;
    mutex->held = false;
    nsh__mutex_check_dropped(mutex->comm, &mutex->watch);
    mutex->comm->subject = (nsh__subject){.call = "nsh_mutex_unlock"};
    rc = mutex->cohort != NULL ? unlock_cohort(mutex) : unlock_queue(only_queue(mutex), NULL, NULL);
    return mutex_checked(mutex, nsh__subject_end(mutex->comm, rc));
}

/* ---- getters ---- */

int nsh_mutex_holder(nsh_mutex *mutex, int *rank)
{
    int holder = -1, rc;
    bool local;

    if (mutex == NULL || rank == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_holder: mutex or rank is NULL");
    rc = nsh__comm_whole(mutex->comm, "nsh_mutex_holder");
    if (rc != NSH_SUCCESS)
        return rc;
    if (mutex->held) {
        *rank = mutex->comm->rank;
        return NSH_SUCCESS;
    }
    local = held_here(mutex);
    rc = nsh__queue_holder(local ? &mutex->local : &mutex->remote, &holder);
    if (rc != NSH_SUCCESS)
        return rc;
    *rank = local ? rank_on_node(mutex->comm, holder) : holder;
    return NSH_SUCCESS;
}

int nsh_mutex_get_stats(const nsh_mutex *mutex, nsh_mutex_stats *out)
{
    static const nsh__sized kind = NSH__SIZED(nsh_mutex_stats, seconds, NSH_MUTEX_STATS_INIT);
    nsh_mutex_stats now;
    int rc;

    if (mutex == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_mutex_get_stats: mutex or out is NULL");
    rc = nsh__sized_check(&kind, "nsh_mutex_get_stats", mutex->comm->rank, out);
    if (rc != NSH_SUCCESS)
        return rc;
    now = (nsh_mutex_stats){
        .acquisitions = mutex->acquisitions,
        .waited = mutex->waited,
        .seconds = 1e-9 * (double)(mutex->local.waited_ns + mutex->remote.waited_ns),
    };
    nsh__sized_write(&kind, &now, out);
    return NSH_SUCCESS;
}

int nsh_mutex_find(nsh_comm *comm, const char *name, nsh_mutex **out)
{
    return nsh__name_find(comm, "nsh_mutex_find", &mutex_kind, name, out);
}

const char *nsh_mutex_name(const nsh_mutex *mutex)
{
    return mutex != NULL ? mutex->object.name : NULL;
}

int nsh_mutex_home(const nsh_mutex *mutex)
{
    return mutex != NULL ? mutex->comm->leader_of[mutex->home] : -1;
}
