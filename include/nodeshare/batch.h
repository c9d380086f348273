/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.h -- tasks 0 .. ntasks-1 of very different length for workers that take one after another,
 * with their results, recorded so that a run that is killed goes on where it was.
 *
 *     nsh_batch_create(comm, ntasks, &options, &batch);
 *     while (nsh_batch_next(batch, &task) == NSH_SUCCESS && task >= 0) {
 *         double result = compute(task);
 *         nsh_batch_finish(batch, task, NSH_TASK_DONE, &result);
 *     }
 *     nsh_batch_results(batch, array);
 *     nsh_batch_free(&batch);
 *
 * A worker is a group of worker_size consecutive ranks, the last one may be smaller; its lowest
 * rank leads it. No rank is spent on managing. Taking a task is one atomic operation on one node;
 * over several nodes, and with a journal, a node takes a chunk of tasks with one remote operation
 * or one record when one of its workers finds none, and its workers share that as on one node.
 * Tasks are taken in the order of their numbers: number the long ones first. A chunk has as many
 * tasks as the node has workers, so that order holds over all nodes; it has more where tasks are so
 * short that taking them would cost something (options.chunk).
 *
 * States: a task is OPEN, RUNNING once a worker has taken it, and then DONE or FAILED. A task is
 * taken once; a FAILED one stays so until nsh_batch_reopen.
 *
 * Journal: with options.journal the batch is a file as well. What is taken (a record a chunk), what
 * has ended, and results are appended before the call that does it returns. A run that was killed,
 * at any moment, is resumed by creating the batch with the same journal: what is DONE or FAILED
 * stays, with its results; what was RUNNING is OPEN again; half a record at the end is cut off.
 * What was RUNNING at a kill goes last, for it may be what has killed the job: a task that crashes
 * its process leaves all others done. options.max_attempts ends it as FAILED. Tasks that ran beside
 * it, and up to a chunk that was only taken, count as having run.
 * Each job holds a lock on a slot of the file for its lifetime, so several jobs may work on one
 * journal at the same time: each task is taken by one of them, and the tasks of one that was killed
 * go to those that are still there when they run out, or to the next. A job that finds no more
 * tasks ends while others still run theirs, with results that lack those, unless options.wait is
 * set. A journal knows how many
 * tasks it has, of what results, and options.tag, so that it is not resumed with other inputs: let
 * the tag be a hash of all that the results depend on. `nsh status FILE` shows how far it is,
 * `nsh reset FILE` reopens tasks.
 * `nsh salvage FILE NEW` copies the good records of a damaged journal (FORMAT) to a new one: a lost
 * record of an end makes its task OPEN again, a lost one of a reset leaves its tasks ended.
 *
 * Caveats
 *   - Over several nodes chunks are words at a home: what nodeshare/mutex.h says of a home that
 *     computes for long holds here too.
 *   - A worker finishes its task before it asks for another.
 *   - The file system of a journal must have locks that work between all hosts that use it (open
 *     file description locks; not Lustre without -o flock). Its header and results are in the
 *     machine's byte order.
 *   - All ranks of a batch must reach one file, and see each other's locks on it: other working
 *     directories, a disk of each host's own, or a file system whose locks stay on the host (NFS
 *     with nolock, Lustre with localflock, BeeGFS as it is installed) make create fail with
 *     NSH_ERR_UNSUPPORTED, and nothing is written. Two jobs that do not see each other's locks
 *     cannot know it when they begin: one whose tasks are taken by the other gets
 *     NSH_ERR_UNSUPPORTED from then on, and what ran in it runs twice.
 *   - Kills lose nothing that was reported. A power failure may, unless options.sync is set. Once
 *     an fdatasync has failed, nobody knows what is on the disk: that call and all later ones that
 *     write to the journal return NSH_ERR_IO.
 *   - A journal must not be removed or replaced (mv, cp, editors) while a batch uses it: from then
 *     on what would write to it returns NSH_ERR_IO. If the file is not removed but moved to another
 *     path, nsh_batch_finish may still write to it there for 10 ms.
 *   - Rank 0 shows progress on stderr if that is a terminal (options.quiet), or with
 *     NSH_PROGRESS_LINE=1 (comm.h).
 *   - Half a record at the end of a journal cannot be told from a last record that was damaged: it
 *     is cut off, and its task runs again.
 */
#ifndef NODESHARE_BATCH_H
#define NODESHARE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include <mpi.h>

#include <nodeshare/array.h>
#include <nodeshare/comm.h>
#include <nodeshare/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_batch nsh_batch;

/* State of a task. */
typedef enum nsh_task_state {
    NSH_TASK_OPEN = 0, /* no worker has taken it */
    NSH_TASK_RUNNING,  /* a worker has taken it */
    NSH_TASK_DONE,     /* it has ended, and its result is kept */
    NSH_TASK_FAILED    /* it has ended without a result */
} nsh_task_state;

/* States from which nsh_batch_reopen opens tasks, to be joined with |. */
typedef enum nsh_batch_reopen_from {
    NSH_BATCH_REOPEN_RUNNING = 1 << NSH_TASK_RUNNING,
    NSH_BATCH_REOPEN_DONE = 1 << NSH_TASK_DONE,
    NSH_BATCH_REOPEN_FAILED = 1 << NSH_TASK_FAILED
} nsh_batch_reopen_from;

/* How many tasks are in each state. */
typedef struct nsh_task_counts {
    size_t size;     /* set by NSH_TASK_COUNTS_INIT */
    int64_t tasks;   /* all of them */
    int64_t open;    /* NSH_TASK_OPEN */
    int64_t running; /* NSH_TASK_RUNNING */
    int64_t done;    /* NSH_TASK_DONE */
    int64_t failed;  /* NSH_TASK_FAILED */
} nsh_task_counts;

#define NSH_TASK_COUNTS_INIT                                                                       \
    {                                                                                              \
        sizeof(nsh_task_counts), 0, 0, 0, 0, 0                                                     \
    }

/* What becomes of a journal that exists, or does not. */
typedef enum nsh_batch_mode {
    NSH_BATCH_RESUME = 0, /* go on with it; begin it if there is none */
    NSH_BATCH_NEW,        /* begin it; NSH_ERR_EXISTS if there is one */
    NSH_BATCH_OVERWRITE /* begin it anew; NSH_ERR_BUSY while another job works on it; NSH_ERR_FORMAT
                           if the file has bytes and is not a journal of this format */
} nsh_batch_mode;

typedef struct nsh_batch_options {
    size_t size;                  /* set by NSH_BATCH_OPTIONS_INIT */
    int worker_size;              /* ranks of a worker */
    const nsh_task_state *states; /* ntasks, with which the batch begins, RUNNING counts as OPEN;
                                     NULL: all OPEN. Of no effect on a journal that is resumed */
    MPI_Datatype result_type;     /* of a task's result; MPI_DATATYPE_NULL: there are none */
    int64_t result_count;         /* elements of a task's result */
    const char *journal;          /* its path, the same on every rank; NULL: none */
    nsh_batch_mode mode;          /* what becomes of a journal that exists */
    uint64_t tag; /* what the tasks are: a hash of their inputs, kept in the journal. A journal with
                     another tag is not resumed: NSH_ERR_MISMATCH */
    int sync;     /* not 0: every record is on the disk (fdatasync) before the call returns */
    int home; /* a rank or NSH_HOME_ANY, as in nsh_mutex_options: where the batch's words live */
    int64_t chunk;    /* tasks that a node takes at once, where it does not take them one by one
                      anyway: over several nodes, or with a journal (then 1024 at most). 0: as
                      many as it has workers, more while that many end within milliseconds,
                      fewer when few are left */
    int max_attempts; /* with a journal: a task that was RUNNING when its job was killed so many
                         times has FAILED, 1 .. 255; 0: it is tried again however often. Tasks are
                         then recorded one by one */
    int wait;         /* not 0, with a journal: there are no more tasks only when no other job runs
                         one, so that what nsh_batch_results gives then is complete */
    double wait_seconds; /* nsh_batch_next waits no longer than this for other jobs; 0: as long as
                            they live */
    int quiet;           /* not 0: no progress on stderr */
    void (*progress)(const nsh_task_counts *counts, void *arg); /* called on rank 0, in its calls of
                                                                   next and finish; NULL: none */
    void *progress_arg;                                         /* arg of progress */
    double progress_seconds;                                    /* between two of these calls */
} nsh_batch_options;

#define NSH_BATCH_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(nsh_batch_options), 1, NULL, MPI_DATATYPE_NULL, 1, NULL, NSH_BATCH_RESUME, 0, 0,    \
            NSH_HOME_ANY, 0, 0, 0, 0, 0, NULL, NULL, 1                                             \
    }

/* ---- create and free ---- */

/* [collective] Create a batch. ntasks >= 0 and the options but quiet, the three of progress and the
 * addresses are equal on every rank. Memory: ntasks bytes (with a journal twice as many) and all
 * results, once per node.
 *
 * Errors: ARG (ntasks < 0; worker_size not in 1 .. size; an unknown state, mode or home;
 * result_count < 1; chunk, wait_seconds or progress_seconds < 0; max_attempts not in 0 .. 255),
 * TYPE, MISMATCH (also: the journal is one of another number of tasks, another result or another
 * tag), NOMEM, STATE (comm is broken), MPI; of a journal EXISTS, BUSY (OVERWRITE; or 64 jobs work
 * on it), IO (with the system's words), FORMAT (not a journal, one of another version of
 * nodeshare, or damaged elsewhere than at its end), UNSUPPORTED (no locks there, or not between
 * these ranks, or not the same file). Nothing is written before all ranks have opened the file,
 * and what the call has made is removed when it fails. */
NSH_API int nsh_batch_create(nsh_comm *comm, int64_t ntasks, const nsh_batch_options *options,
                             nsh_batch **out);

/* [collective] Free the batch and set *batch to NULL; *batch may be NULL already. A task that a
 * worker has taken and not finished is OPEN again in the journal.
 * Errors: ARG (batch is NULL), MISMATCH (ranks free different batches; nothing is freed), MPI; IO:
 * the batch is freed, but the journal lacks what could not be written. */
NSH_API int nsh_batch_free(nsh_batch **batch);

/* [local] Give the batch up on this rank and set *batch to NULL, as nsh_mutex_abandon does. Other
 * workers go on. A journal is closed on this rank; what is RUNNING in it is OPEN for other jobs
 * when the last rank has closed it; for option max_attempts that counts as a kill. Errors: ARG
 * (batch is NULL), STATE (this rank's worker has not finished its task), IO, FORMAT, UNSUPPORTED
 * (as nsh_batch_free). */
NSH_API int nsh_batch_abandon(nsh_batch **batch);

/* ---- work ---- */

/* [collective] Over this rank's worker: take a task. *task is its number, or -1 if none is OPEN any
 * more. With a journal, tasks that run in another job may still come back: a later call sees that.
 *
 * With options.wait the call itself waits until they have ended or come back: it looks again after
 * a 16th of the time for which it has waited, a second at most, and *task is -1 when no other job
 * that lives runs a task. Rank 0 goes on to show progress meanwhile, and names a job that is
 * waited for by its host and pid. Tasks of this job's other workers are not waited for: no other
 * job will have them, and nsh_batch_results does. Two batches of one process must not wait for
 * each other.
 *
 * Errors: ARG (NULL), STATE (this worker has not finished its task; comm is broken), MPI; IO,
 * FORMAT, UNSUPPORTED (of the journal), TIMEOUT (wait_seconds are over and another job still runs
 * tasks): nothing is taken, and a later call may be made. */
NSH_API int nsh_batch_next(nsh_batch *batch, int64_t *task);

/* [collective] Over this rank's worker: the task that it has taken is DONE or FAILED; it is FAILED
 * if any of its ranks says so.
 *
 * result  of a task that is DONE: result_count elements, read on the worker's leader; NULL: zeroes.
 *         Not read otherwise
 *
 * Errors: ARG (NULL; task out of range; state is neither), STATE (task is not this worker's; comm
 * is broken), MPI. IO, FORMAT, UNSUPPORTED: the task is finished, its state and result are kept in
 * memory, and written to the journal with the next record that can be. */
NSH_API int nsh_batch_finish(nsh_batch *batch, int64_t task, nsh_task_state state,
                             const void *result);

/* ---- look ---- */

/* [local] The state of a task as this node knows it: of what workers with a rank on it do, now; of
 * other nodes, as of the last call of nsh_batch_sync, _results or _reopen; of other jobs, as of
 * the last record read. With a journal, tasks that another node or job has taken in one chunk are
 * all RUNNING, though its workers may not have begun each of them. Errors: ARG. */
NSH_API int nsh_batch_state(const nsh_batch *batch, int64_t task, nsh_task_state *state);

/* [non-local] How many tasks are in which state, into *out, which NSH_TASK_COUNTS_INIT has
 * initialised: those of this node now, those of others as of their last chunk. Exact when every
 * worker was told that there are no more, and after nsh_batch_sync. Of another job on the journal as
 * many RUN as it has workers.
 * Errors: ARG (NULL; out->size), STATE (comm is broken), IO, FORMAT, UNSUPPORTED (of the journal;
 * out->size), MPI. */
NSH_API int nsh_batch_counts(nsh_batch *batch, nsh_task_counts *out);

/* [non-local] The same as text, "2 Jobs: 0 Finished / 0 Running / 0 Failed / 2 in Queue", into
 * buffer of n bytes, cut off where it does not fit. Errors: as nsh_batch_counts. */
NSH_API int nsh_batch_status_line(nsh_batch *batch, char *buffer, size_t n);

/* [local] The number of this rank's worker and of all workers; this rank in its worker (0: it
 * leads); -1 for NULL. */
NSH_API int nsh_batch_worker(const nsh_batch *batch);
NSH_API int nsh_batch_worker_count(const nsh_batch *batch);
NSH_API int nsh_batch_worker_rank(const nsh_batch *batch);

/* [collective] Over this rank's worker: a communicator of its ranks, for use inside tasks. Made in
 * the first call, because MPI does not have many, and freed with the batch. MPI_COMM_NULL on a
 * serial communicator. Errors: ARG, STATE (comm is broken), MPI. */
NSH_API int nsh_batch_worker_comm(nsh_batch *batch, MPI_Comm *out);

/* ---- all together ---- */

/* [collective] Every node learns the states and results that the others have, and counts are exact
 * until a worker goes on.
 * Errors: ARG, STATE (comm is broken), IO, FORMAT, UNSUPPORTED (of the journal), MPI. */
NSH_API int nsh_batch_sync(nsh_batch *batch);

/* [collective] Tasks in one of these states are OPEN again, and their results are gone. From
 * RUNNING: those of this batch, which their workers lose. What other nodes have is known
 * afterwards. All workers can take tasks again.
 *
 * from  one or several of nsh_batch_reopen_from, joined with |; equal on every rank
 *
 * Errors: ARG (none of them, or another bit), MISMATCH, STATE, IO, FORMAT, UNSUPPORTED (of the
 * journal), MPI. */
NSH_API int nsh_batch_reopen(nsh_batch *batch, unsigned from);

/* [collective] All results in the order of tasks into array, which has the batch's result_type and
 * ntasks x result_count elements in whatever shape; zeroes for what is not DONE.
 * Errors: ARG (NULL; other elements; another communicator; a batch without results), MISMATCH,
 * STATE (comm is broken; between update_begin and _end), IO, FORMAT, UNSUPPORTED (of the journal),
 * MPI. */
NSH_API int nsh_batch_results(nsh_batch *batch, nsh_array *array);

#ifdef __cplusplus
}
#endif

#endif
