/* SPDX-License-Identifier: BSD-3-Clause */
/* batch.h -- tasks 0 .. ntasks-1 of very different length for workers that take one after another,
 * with their results, recorded so that a killed run can be resumed.
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
 * rank leads it. No rank is set aside as a manager. Taking a task is one atomic operation on one
 * node; over several nodes, and with a journal, a node takes a chunk of tasks with one remote
 * operation or one record when one of its workers finds none, and its workers take tasks from it as
 * on one node. Tasks are taken in the order of their numbers: number the long ones first. A chunk
 * has as many tasks as the node has workers, so that order holds over all nodes; it has more where
 * tasks are so short that taking them takes noticeable time (options.chunk).
 *
 * States: a task is OPEN, RUNNING once a worker has taken it, and then DONE or FAILED. A task is
 * taken once; a FAILED one stays FAILED until nsh_batch_reopen.
 *
 * Journal: with options.journal the batch is kept in a file as well. A call that takes tasks or
 * ends one appends a record (one for a chunk, one for an end with its result) before it returns. A
 * run that was killed at any moment is resumed by creating the batch with the same journal: tasks
 * that are DONE or FAILED stay so, with their results; tasks that were RUNNING are OPEN again; an
 * incomplete record at the end is cut off. Tasks that were RUNNING at a kill are taken last,
 * because one of them may have killed the job: all others are done before a task that crashes its
 * process runs again. options.max_attempts ends it as FAILED. Tasks that ran at the same time, and
 * up to a chunk of tasks that were only taken, count as attempted too. Each job holds a lock on a
 * slot of the file for its lifetime, so several jobs may work on one journal at the same time: each
 * task is taken by one of them. Tasks of a killed job go to the other jobs when these have no other
 * task left, or to the next job. A job that finds no more tasks ends while other jobs still run
 * theirs, and lacks those results, unless options.wait is set. A journal records how many tasks it
 * has, the type of their results, and options.tag, so that it is not resumed with other inputs:
 * make the tag a hash of everything on which the results depend. `nsh status FILE` shows its
 * progress, `nsh reset FILE` reopens tasks. `nsh salvage FILE NEW` copies the good records of a
 * damaged journal (FORMAT) to a new one: where the record of a task's end is lost, the task is OPEN
 * again; where the record of a reset is lost, its tasks stay ended.
 *
 * Caveats
 *   - Over several nodes chunks are taken from words at a home: what nodeshare/mutex.h says of a
 *     home that computes for long applies here too.
 *   - A worker finishes its task before it asks for another.
 *   - The file system of a journal must have locks that work between all hosts that use it (open
 *     file description locks; not Lustre without -o flock). Its header and results are in the
 *     machine's byte order.
 *   - All ranks of a batch must reach the same file, and see each other's locks on it: different
 *     working directories, a disk local to each host, or a file system whose locks are local to the
 *     host (NFS with nolock, Lustre with localflock, BeeGFS by default) make create fail with
 *     NSH_ERR_UNSUPPORTED, and nothing is written. Two jobs that do not see each other's locks
 *     cannot detect that when they begin: a job whose tasks are taken by the other gets
 *     NSH_ERR_UNSUPPORTED from then on, and the tasks that it was running run twice.
 *   - A kill loses nothing that a call has reported. A power failure may, unless options.sync is
 *     set. Once an fdatasync has failed, the state of the disk is unknown: that call and all later
 *     ones that write to the journal return NSH_ERR_IO.
 *   - A journal must not be removed or replaced (mv, cp, editors) while a batch uses it: from then
 *     on calls that would write to it return NSH_ERR_IO, or NSH_ERR_FORMAT if its bytes were
 *     overwritten in place (cp onto it, truncate). If the file is not removed but moved to
 *     another path, nsh_batch_finish may still write to it there for 10 ms.
 *   - Rank 0 shows progress on stderr if that is a terminal (options.quiet), or with
 *     NSH_PROGRESS_LINE=1 (comm.h).
 *   - An incomplete record at the end of a journal cannot be told from a damaged last record: it is
 *     cut off, and its task runs again.
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

/* What to do if the journal exists, and if it does not. */
typedef enum nsh_batch_mode {
    NSH_BATCH_RESUME = 0, /* continue it; create it if it does not exist */
    NSH_BATCH_NEW,        /* create it; NSH_ERR_EXISTS if it exists */
    NSH_BATCH_OVERWRITE /* replace it; NSH_ERR_BUSY while another job works on it; NSH_ERR_FORMAT if
                           the file has bytes and is not a journal of this format */
} nsh_batch_mode;

typedef struct nsh_batch_options {
    size_t size;                  /* set by NSH_BATCH_OPTIONS_INIT */
    int worker_size;              /* ranks of a worker */
    const nsh_task_state *states; /* ntasks initial states, where RUNNING counts as OPEN; NULL: all
                                     OPEN. Ignored when a journal is resumed */
    MPI_Datatype result_type;     /* of a task's result; MPI_DATATYPE_NULL: no results */
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
    int max_attempts; /* with a journal, 1 .. 255: a task that was RUNNING at this many kills is
                         FAILED, and tasks are recorded one by one; 0: no limit */
    int wait;         /* not 0, with a journal: nsh_batch_next waits for tasks that other jobs run,
                         so that nsh_batch_results is complete after it */
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
 * on it), IO (the detail has the system's message), FORMAT (not a journal, one of another version
 * of nodeshare, or damaged elsewhere than at its end), UNSUPPORTED (no locks there, or not between
 * these ranks, or not the same file). Nothing is written before all ranks have opened the file.
 * When the call fails it removes what it has made. */
NSH_API int nsh_batch_create(nsh_comm *comm, int64_t ntasks, const nsh_batch_options *options,
                             nsh_batch **out);

/* [collective] Free the batch and set *batch to NULL; *batch may be NULL already. A task that a
 * worker has taken and not finished is OPEN again in the journal.
 * Errors: ARG (batch is NULL), MISMATCH (ranks free different batches; nothing is freed), MPI; IO:
 * the batch is freed, but the journal lacks what could not be written. */
NSH_API int nsh_batch_free(nsh_batch **batch);

/* [local] Abandon the batch on this rank and set *batch to NULL, as nsh_mutex_abandon does. Other
 * workers continue. A journal is closed on this rank; its RUNNING tasks are OPEN for other jobs
 * when the last rank has closed it; option max_attempts counts that as a kill. Errors: ARG (batch
 * is NULL), STATE (this rank's worker has not finished its task), IO, FORMAT, UNSUPPORTED (as
 * nsh_batch_free). */
NSH_API int nsh_batch_abandon(nsh_batch **batch);

/* ---- work ---- */

/* [collective] Over this rank's worker: take a task. *task is its number, or -1 if none is OPEN any
 * more. With a journal, tasks that run in another job may still become OPEN again: a later call
 * sees that.
 *
 * With options.wait the call itself waits until they have ended or are OPEN again: it looks again
 * after a 16th of the time for which it has waited, a second at most, and *task is -1 when no other
 * living job runs a task. Rank 0 still shows progress meanwhile, and names the host and pid of a
 * job for which it waits. The call does not wait for tasks of this job's other workers: no other
 * job will take them, and nsh_batch_results waits for them. Two batches of one process must not
 * wait for each other.
 *
 * Errors: ARG (NULL), STATE (this worker has not finished its task; comm is broken), MPI; IO,
 * FORMAT, UNSUPPORTED (of the journal), TIMEOUT (wait_seconds are over and another job still runs
 * tasks): nothing is taken, and the call may be repeated. */
NSH_API int nsh_batch_next(nsh_batch *batch, int64_t *task);

/* [collective] Over this rank's worker: end its task as DONE or FAILED; the task is FAILED if any
 * rank of the worker passes that state.
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

/* [local] The state of a task as this node knows it: the current one for workers with a rank on
 * this node; for those of other nodes the one at the last call of nsh_batch_sync, _results or
 * _reopen; for other jobs the one in the last record read. With a journal, tasks that another node
 * or job has taken in one chunk are all RUNNING, though its workers may not have begun each of
 * them. Errors: ARG. */
NSH_API int nsh_batch_state(const nsh_batch *batch, int64_t task, nsh_task_state *state);

/* [non-local] Store how many tasks are in each state in *out, which NSH_TASK_COUNTS_INIT has
 * initialised: for this node now, for other nodes at their last chunk. The numbers are exact when
 * nsh_batch_next has given every worker -1, and after nsh_batch_sync. Another job on the journal
 * counts as many RUNNING tasks as it has workers.
 * Errors: ARG (NULL; out->size), STATE (comm is broken), IO, FORMAT, UNSUPPORTED (of the journal;
 * out->size), MPI. */
NSH_API int nsh_batch_counts(nsh_batch *batch, nsh_task_counts *out);

/* [non-local] The same as text, "2 Jobs: 0 Finished / 0 Running / 0 Failed / 2 in Queue", written
 * to buffer of n bytes and cut off where it does not fit. Errors: as nsh_batch_counts. */
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
 * until a worker takes or ends a task.
 * Errors: ARG, STATE (comm is broken), IO, FORMAT, UNSUPPORTED (of the journal), MPI. */
NSH_API int nsh_batch_sync(nsh_batch *batch);

/* [collective] Open all tasks in these states again and drop their results. RUNNING means the tasks
 * of this batch, which their workers lose. Afterwards every node knows the states and results of
 * the others, and all workers can take tasks again.
 *
 * from  one or several of nsh_batch_reopen_from, joined with |; equal on every rank
 *
 * Errors: ARG (no bit, or an unknown one), MISMATCH, STATE, IO, FORMAT, UNSUPPORTED (of the
 * journal), MPI. */
NSH_API int nsh_batch_reopen(nsh_batch *batch, unsigned from);

/* [collective] Store all results in the order of tasks in array, which has the batch's result_type
 * and ntasks x result_count elements in any shape; tasks that are not DONE give zeroes.
 * Errors: ARG (NULL; other elements; another communicator; a batch without results), MISMATCH,
 * STATE (comm is broken; between update_begin and _end), IO, FORMAT, UNSUPPORTED (of the journal),
 * MPI. */
NSH_API int nsh_batch_results(nsh_batch *batch, nsh_array *array);

#ifdef __cplusplus
}
#endif

#endif
