/* test_shm_full.c -- ranks: 3  layouts: small-shm small-shm-2 small-shm-3
 * seconds: 120  env: OMPI_MCA_btl_vader_backing_directory=/tmp */
/* SPDX-License-Identifier: BSD-3-Clause */
/* /dev/shm is full, or nearly so, when something is created: NSH_ERR_NOMEM or success, the same on
 * all ranks, never a signal; and the same call succeeds once space is free. What was created is
 * then used while /dev/shm is full again: nothing is touched late. What Open MPI stores its
 * messages in lies elsewhere here: it touches that late itself, and dies. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <nodeshare.h>

#include "check.h"
#include "core/heap.h"
#include "core/words.h"

static const char filler[] = "/dev/shm/filler";
static const int64_t MOST_FILLED = INT64_C(2) << 30;
static const int64_t levels[] = {0, 64 << 10, 300 << 10, 1300 << 10};
enum { LEVELS = sizeof levels / sizeof levels[0], MEDIUM = 300000, LARGE = 3 << 20 };

/* What one test case creates, on a communicator of its own. */
typedef struct things {
    nsh_comm *comm;
    nsh_array *array;
    nsh_mutex *mutex;
    nsh_semaphore *semaphore;
    nsh_counter *counter;
    nsh_batch *batch;
    char *data; /* LARGE bytes, private */
} things;

/* ---- /dev/shm ---- */

static int64_t bytes_free(void)
{
    struct statvfs fs;

    return statvfs("/dev/shm", &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize : 0;
}

/* A barrier that leaves the cores to others. */
static void meet(void)
{
    MPI_Request request;
    int done = 0;

    for (PMPI_Ibarrier(MPI_COMM_WORLD, &request); !done; usleep(100))
        PMPI_Test(&request, &done, MPI_STATUS_IGNORE);
}

/* [collective] Leave this many bytes free. All nodes of this layout share one /dev/shm. */
static void fill(int64_t leave)
{
    meet();
    if (check_rank == 0) {
        int fd = open(filler, O_CREAT | O_RDWR, 0600);
        int64_t length = fd >= 0 ? (int64_t)lseek(fd, 0, SEEK_END) : 0;

        CHECK(fd >= 0);
        if (bytes_free() > leave)
            CHECK_EQ(posix_fallocate(fd, length, bytes_free() - leave), 0);
        close(fd);
    }
    meet();
}

static void make_room(void)
{
    meet();
    if (check_rank == 0)
        unlink(filler);
    meet();
}

/* ---- what is created, and how it is used ---- */

static int create_comm(things *t)
{
    return nsh_comm_create(MPI_COMM_WORLD, NULL, &t->comm);
}

/* Every rank a node: MPI puts the parts of several leaders into one file. */
static int create_split_comm(things *t)
{
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;

    options.ranks_per_node = 1;
    return nsh_comm_create(MPI_COMM_WORLD, &options, &t->comm);
}

static void use_comm(things *t)
{
    CHECK_ALL(nsh_comm_barrier(t->comm), NSH_SUCCESS);
}

static int create_array(things *t, int64_t n)
{
    return nsh_array_create(t->comm, MPI_BYTE, 1, &n, NULL, &t->array);
}

static int create_small(things *t)
{
    return create_array(t, 100);
}

static int create_medium(things *t)
{
    return create_array(t, MEDIUM);
}

static int create_large(things *t)
{
    return create_array(t, LARGE);
}

/* set from every root in one piece and in a strided one, which is staged; and the rest. */
static void use_array(things *t)
{
    int64_t n = nsh_array_size(t->array), odd = n / 2, two = 2;
    char seven = 7;

    for (int root = 0; root < check_size; root++) {
        memset(t->data, root + 1, (size_t)n);
        CHECK_ALL(nsh_array_set(t->array, t->data, NULL, NULL, root), NSH_SUCCESS);
        CHECK_MEM(nsh_array_data(t->array), t->data, n);
        CHECK_ALL(nsh_array_set_strided(t->array, t->data, &two, NULL, &odd, root), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_array_fill(t->array, &seven), NSH_SUCCESS);
    CHECK_EQ(((const char *)nsh_array_data(t->array))[n - 1], 7);
}

/* An allreduce, for which the ranks of a node need staging slots. */
static int allreduce(things *t)
{
    memset(t->data, 1, MEDIUM);
    return nsh_array_allreduce(t->array, t->data, MPI_BOR);
}

static int create_mutex(things *t)
{
    return nsh_mutex_create(t->comm, NULL, &t->mutex);
}

static int create_cohort(things *t)
{
    nsh_mutex_options options = NSH_MUTEX_OPTIONS_INIT;

    options.order = NSH_MUTEX_COHORT;
    return nsh_mutex_create(t->comm, &options, &t->mutex);
}

static void use_mutex(things *t)
{
    CHECK_EQ(nsh_mutex_lock(t->mutex), NSH_SUCCESS);
    CHECK_EQ(nsh_mutex_unlock(t->mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(t->comm), NSH_SUCCESS);
}

static int create_semaphore(things *t)
{
    return nsh_semaphore_create(t->comm, 2, NULL, &t->semaphore);
}

static void use_semaphore(things *t)
{
    CHECK_EQ(nsh_semaphore_acquire(t->semaphore), NSH_SUCCESS);
    CHECK_EQ(nsh_semaphore_release(t->semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(t->comm), NSH_SUCCESS);
}

static int create_counter(things *t)
{
    return nsh_counter_create(t->comm, 5, NULL, &t->counter);
}

static void use_counter(things *t)
{
    int64_t value = 0;

    CHECK_EQ(nsh_counter_add(t->counter, 1, NULL), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_barrier(t->comm), NSH_SUCCESS);
    CHECK_EQ(nsh_counter_read(t->counter, &value), NSH_SUCCESS);
    CHECK_EQ(value, 5 + check_size);
    CHECK_ALL(nsh_comm_barrier(t->comm), NSH_SUCCESS);
}

static int create_with_counter(things *t)
{
    int rc = create_comm(t);

    return rc == NSH_SUCCESS ? create_counter(t) : rc;
}

static int create_batch(things *t)
{
    nsh_batch_options options = NSH_BATCH_OPTIONS_INIT;

    options.result_type = MPI_DOUBLE;
    return nsh_batch_create(t->comm, 50000, &options, &t->batch);
}

static void use_batch(things *t)
{
    const double result = 1;
    int64_t task = 0;

    for (int i = 0; i < 100; i++) {
        CHECK_EQ(nsh_batch_next(t->batch, &task), NSH_SUCCESS);
        CHECK_EQ(nsh_batch_finish(t->batch, task, NSH_TASK_DONE, &result), NSH_SUCCESS);
    }
    CHECK_ALL(nsh_batch_sync(t->batch), NSH_SUCCESS);
}

static int nothing(const nsh_map_worker *worker, int64_t index, void *arg)
{
    *(int64_t *)worker->accumulator += index >= 0 && arg != NULL;
    return NSH_SUCCESS;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

static int map(things *t)
{
    nsh_map_options options = NSH_MAP_OPTIONS_INIT;
    int64_t sum = 0;
    int rc;

    options.reduce_bytes = sizeof sum;
    options.combine = add;
    options.result = &sum;
    rc = nsh_map(t->comm, 10000, nothing, &sum, &options);
    if (rc == NSH_SUCCESS)
        CHECK_EQ(sum, 10000);
    return rc;
}

/* Windows beyond the first one, which many objects ask for. One node has no words. */
static int grow_words(things *t)
{
    return nsh_comm_node_count(t->comm) > 1 ? nsh__words_grow(t->comm, 1) : NSH_SUCCESS;
}

static int grow_heap(things *t)
{
    return nsh__heap_grow(t->comm, 1);
}

/* ---- the cases ---- */

typedef struct step {
    const char *name;
    int (*before)(things *); /* called with free space, so that only make can fail */
    int (*make)(things *);
    void (*use)(things *);
} step;

static const step steps[] = {
    {"communicator", NULL, create_comm, use_comm},
    {"communicator, a rank a node", NULL, create_split_comm, use_comm},
    {"small array", create_comm, create_small, use_array},
    {"small array, a rank a node", create_split_comm, create_small, use_array},
    {"medium array", create_comm, create_medium, use_array},
    {"large array", create_comm, create_large, use_array},
    {"mutex", create_comm, create_mutex, use_mutex},
    {"mutex, a rank a node", create_split_comm, create_mutex, use_mutex},
    {"cohort mutex", create_comm, create_cohort, use_mutex},
    {"semaphore", create_comm, create_semaphore, use_semaphore},
    {"counter", create_comm, create_counter, use_counter},
    {"batch", create_comm, create_batch, use_batch},
    {"map", create_comm, map, use_comm},
    {"another window of words", create_with_counter, grow_words, use_counter},
    {"another window of the heap", create_comm, grow_heap, use_comm},
};

static void free_things(things *t)
{
    CHECK_ALL(nsh_array_free(&t->array), NSH_SUCCESS);
    CHECK_ALL(nsh_mutex_free(&t->mutex), NSH_SUCCESS);
    CHECK_ALL(nsh_semaphore_free(&t->semaphore), NSH_SUCCESS);
    CHECK_ALL(nsh_counter_free(&t->counter), NSH_SUCCESS);
    CHECK_ALL(nsh_batch_free(&t->batch), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&t->comm), NSH_SUCCESS);
}

static void try_step(const step *s, int64_t level, things *t)
{
    int rc = s->before != NULL ? CHECK_SAME(s->before(t)) : NSH_SUCCESS;

    CHECK_EQ(rc, NSH_SUCCESS);
    if (rc != NSH_SUCCESS)
        return;
    fill(level);
    rc = CHECK_SAME(s->make(t));
    if (rc != NSH_SUCCESS) {
        CHECK_EQ(rc, NSH_ERR_NOMEM);
        make_room();
        CHECK_ALL(s->make(t), NSH_SUCCESS);
    }
    fill(0);
    s->use(t);
    make_room();
    if (t->array == NULL) /* memory that was scarce at create is available later */
        CHECK_ALL(create_large(t), NSH_SUCCESS);
    free_things(t);
}

int main(int argc, char **argv)
{
    things t = {.data = malloc(LARGE)};

    check_init(&argc, &argv);
    if (bytes_free() > MOST_FILLED) /* no layout of this test: other programs would suffer */
        check_skip("/dev/shm is not small");
    for (int i = 0; i < (int)(sizeof steps / sizeof steps[0]); i++) {
        check_case("%s", steps[i].name);
        for (int k = 0; k < LEVELS; k++)
            try_step(&steps[i], levels[k], &t);
    }
    check_case("allreduce");
    for (int k = 0; k < LEVELS; k++) {
        int rc;

        CHECK_ALL(create_comm(&t), NSH_SUCCESS);
        CHECK_ALL(create_medium(&t), NSH_SUCCESS);
        fill(levels[k]);
        rc = CHECK_SAME(allreduce(&t));
        if (rc != NSH_SUCCESS)
            CHECK_EQ(rc, NSH_ERR_NOMEM);
        make_room();
        CHECK_ALL(allreduce(&t), NSH_SUCCESS);
        CHECK_EQ(((const char *)nsh_array_data(t.array))[MEDIUM - 1], 1);
        free_things(&t);
    }
    free(t.data);
    return check_finish();
}
