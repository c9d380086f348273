/* SPDX-License-Identifier: BSD-3-Clause */
/* journal.c -- the tasks of a journal: claimed, ended, opened again, counted.
 *
 * Invariant: a task that this job runs is RUNNING in this job's slot in the file. */
#include "task/journal.h"

#include "base/error.h"
#include "base/fault.h"
#include "base/math.h"
#include "task/journal_open.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 1 << 20, MOST_CLAIMED = 1024 };

int nsh__journal_init(nsh__journal *j, nsh_comm *comm, const char *path, bool sync)
{
    nsh__record record = {.result_bytes = j->table.result_bytes};
    int64_t longest = nsh__record_bytes(&record);

    j->comm = comm;
    j->path = path;
    j->file.fd = j->slot = j->table.slot = -1;
    j->sync = sync;
    j->capacity = longest > BUFFER_BYTES / 2 ? 2 * longest : BUFFER_BYTES;
    j->buffer = nsh__fault(batch_alloc) ? NULL : malloc((size_t)j->capacity);
    if (j->buffer == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "journal %s: no memory (rank %d)", path,
                         nsh__journal_rank(j));
    return NSH_SUCCESS;
}

void nsh__journal_destroy(nsh__journal *j)
{
    nsh__journal_close(j);
    free(j->buffer);
    free(j->unwritten);
    j->buffer = j->unwritten = NULL;
}

/* ---- tasks ---- */

/* Take the journal lock, read all new records, and write this rank's retained ones. On failure the
 * lock is released. */
static int begin_journal_change(nsh__journal *j)
{
    int rc = nsh__journal_lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__journal_read_new(j);
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_write_retained(j);
    return rc == NSH_SUCCESS ? rc : nsh__journal_write_and_unlock(j, rc, true);
}

int nsh__journal_flush(nsh__journal *j)
{
    int rc;

    if (j->unwritten_bytes == 0)
        return nsh__journal_sync_at_close(j);
    rc = nsh__journal_lock(j);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__journal_read_new(j);
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_write_retained(j);
    rc = nsh__journal_write_and_unlock(j, rc, true);
    return rc == NSH_SUCCESS ? nsh__journal_sync_at_close(j) : rc;
}

/* The workers of all jobs that live. A slot whose job has gone keeps its number of workers, so the
 * slot's lock is checked. */
static int64_t live_workers(const nsh__journal *j)
{
    const int64_t *workers = j->table.area->workers;
    int64_t sum = workers[j->slot];

    for (int s = 0; s < NSH__SLOTS; s++)
        if (s != j->slot && workers[s] > 0 && !nsh__journal_slot_free(j, s))
            sum += workers[s];
    return sum;
}

/* Find OPEN tasks to run. A task that has no attempts left is marked FAILED. */
static int find_tasks_to_run(nsh__journal *j, int64_t most, int64_t *begin, int64_t *end)
{
    int rc = NSH_SUCCESS;

    for (;;) {
        nsh__record record = {
            .kind = NSH__RECORD_END, .state = NSH_TASK_FAILED, .slot = (uint16_t)j->slot};

        nsh__journal_table_find(&j->table, most, begin, end);
        if (rc != NSH_SUCCESS || *begin == *end || j->max_attempts == 0 ||
            j->table.attempts[*begin] < j->max_attempts)
            return rc;
        record.first = *begin;
        record.last = *end;
        rc = nsh__journal_append_and_apply(j, &record, NULL);
        if (rc == NSH_SUCCESS)
            nsh__log("journal %s: task %" PRId64 " has FAILED: it ran when %d jobs were killed",
                     j->path, *begin, j->table.attempts[*begin]);
    }
}

/* The first slot of another job that has RUNNING tasks, by the records that were read; NSH__SLOTS:
 * no such job. */
static int other_job(const nsh__journal *j)
{
    int s = 0;

    while (s < NSH__SLOTS && (s == j->slot || j->table.area->running[s] == 0))
        s++;
    return s;
}

void nsh__journal_other(const nsh__journal *j, char text[NSH__JOB_TEXT])
{
    int s = other_job(j);

    snprintf(text, NSH__JOB_TEXT, "another job");
    if (s < NSH__SLOTS)
        snprintf(text, NSH__JOB_TEXT, "process %" PRId64 " on %.55s", j->table.area->jobs[s].pid,
                 j->table.area->jobs[s].host);
}

static int claim_tasks(nsh__journal *j, const nsh__claim_wish *wish, int64_t *begin, int64_t *end)
{
    nsh__journal_table *l = &j->table;
    nsh__record record = {.kind = NSH__RECORD_CLAIM, .slot = (uint16_t)j->slot};
    int64_t most;
    int rc;

    *begin = *end = 0;
    most = j->max_attempts > 0 ? 1 : nsh__min(wish->most, MOST_CLAIMED);
    if (most > 1)
        most = nsh__min(most, nsh__claim_part(wish, l->area->open, live_workers(j)));
    rc = find_tasks_to_run(j, most, &record.first, &record.last);
    if (rc == NSH_SUCCESS && record.first == record.last) {
        rc = nsh__journal_release_dead(j);
        if (rc == NSH_SUCCESS)
            rc = find_tasks_to_run(j, most, &record.first, &record.last);
    }
    if (rc != NSH_SUCCESS || record.first == record.last)
        return rc;
    rc = nsh__journal_append_and_apply(j, &record, NULL);
    if (rc == NSH_SUCCESS) {
        *begin = record.first;
        *end = record.last;
    }
    return rc;
}

int nsh__journal_claim(nsh__journal *j, const nsh__claim_wish *wish, int64_t *begin, int64_t *end,
                       bool *others)
{
    int rc = begin_journal_change(j);

    if (rc != NSH_SUCCESS)
        return rc;
    *begin = *end = 0;
    if (atomic_load(&j->table.area->lost) == 0) /* otherwise the end of the turn returns the
                                                   failure, and nothing is claimed */
        rc = claim_tasks(j, wish, begin, end);
    *others = *begin == *end && other_job(j) < NSH__SLOTS;
    return nsh__journal_write_and_unlock(j, rc, true);
}

/* [by the node's writer] Write the entries of all ranks of the node that wait. */
static void write_for_all(nsh__journal *j)
{
    int rc = nsh__journal_lock_again(j);
    bool locked = rc == NSH_SUCCESS;

    if (rc == NSH_SUCCESS)
        rc = nsh__journal_read_new(j);
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_write_retained(j);
    nsh__journal_write_and_unlock(j, rc, locked);
}

static int wait_for_answer(nsh__journal *j, const nsh__entry *own)
{
    unsigned round = 0;
    int rc = NSH_SUCCESS;

    while (rc == NSH_SUCCESS && atomic_load(&own->state) != NSH__ENTRY_ANSWERED) {
        if (!nsh__journal_writer_try(&j->writer, &round))
            rc = nsh__journal_writer_wait(&j->writer, round);
        else if (atomic_load(&own->state) == NSH__ENTRY_WAITING)
            write_for_all(j);
        else
            nsh__journal_writer_end(&j->writer);
    }
    return rc;
}

int nsh__journal_end(nsh__journal *j, int64_t task, nsh_task_state state, const void *result)
{
    nsh__record record = nsh__journal_end_record(j, task, state);
    nsh__entry *own = nsh__journal_writer_own(&j->writer);
    unsigned waiting = NSH__ENTRY_WAITING;
    char *kept = nsh__journal_result(j, task);
    int rc;

    if (record.result_bytes > 0 && result != NULL)
        memcpy(kept, result, (size_t)record.result_bytes);
    own->task = task;
    own->task_state = (int)state;
    atomic_store(&own->state, NSH__ENTRY_WAITING);
    rc = wait_for_answer(j, own);
    if (rc != NSH_SUCCESS) { /* the communicator is broken; an entry that a writer has taken is
                                written */
        if (!atomic_compare_exchange_strong(&own->state, &waiting, NSH__ENTRY_NONE))
            return rc;
        nsh__journal_table_apply(&j->table, &record, NULL);
        nsh__journal_retain_unwritten(j, &record, kept);
        return rc;
    }
    if (own->code != NSH_SUCCESS && own->rank != nsh__journal_rank(j))
        nsh__fail_from(own->code, own->rank, own->text);
    if (!own->written)
        nsh__journal_retain_unwritten(j, &record, kept);
    return own->code;
}

/* [under the journal lock] This job's claimed tasks are OPEN again. over: the job ends; otherwise
 * it continues in its slot. */
static int give_tasks_back(nsh__journal *j, bool over)
{
    nsh__record record = {
        .kind = NSH__RECORD_RELEASE, .state = NSH__GIVEN_BACK, .slot = (uint16_t)j->slot};
    const nsh__journal_table_area *area = j->table.area;

    if (area->running[j->slot] == 0)
        return NSH_SUCCESS;
    return over ? nsh__journal_append_and_apply(j, &record, NULL)
                : nsh__journal_announce(j, area->workers[j->slot], NSH__GIVEN_BACK);
}

static int reopen_tasks(nsh__journal *j, unsigned states)
{
    nsh__record ended = {.kind = NSH__RECORD_REOPEN, .value = states & ~(1U << NSH_TASK_RUNNING)};
    int rc = NSH_SUCCESS;

    if (ended.value != 0)
        rc = nsh__journal_append_and_apply(j, &ended, NULL);
    if (rc == NSH_SUCCESS && (states & 1U << NSH_TASK_RUNNING) != 0)
        rc = give_tasks_back(j, false);
    return rc;
}

int nsh__journal_reopen(nsh__journal *j, unsigned states)
{
    int rc = begin_journal_change(j);

    return rc == NSH_SUCCESS ? nsh__journal_write_and_unlock(j, reopen_tasks(j, states), true) : rc;
}

int nsh__journal_leave(nsh__journal *j)
{
    int rc = begin_journal_change(j);

    return rc == NSH_SUCCESS ? nsh__journal_write_and_unlock(j, give_tasks_back(j, true), true)
                             : rc;
}

/* Claimed tasks beyond a job's number of workers count as OPEN. look: so do all claimed tasks of
 * jobs that are gone. */
static void count_tasks(const nsh__journal *j, bool look, nsh_task_counts *out)
{
    const nsh__journal_table_area *area = j->table.area;

    *out = (nsh_task_counts){.size = sizeof *out,
                             .tasks = j->table.tasks,
                             .open = area->open,
                             .done = area->done,
                             .failed = area->failed};
    for (int s = 0; s < NSH__SLOTS; s++) {
        int64_t taken = area->running[s];
        int64_t running = look && taken > 0 && nsh__journal_slot_free(j, s)
                              ? 0
                              : nsh__min(taken, area->workers[s]);

        out->running += running;
        out->open += taken - running;
    }
}

int nsh__journal_catch_up(nsh__journal *j, nsh_task_counts *out)
{
    int rc = nsh__journal_lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__journal_read_new(j);
    if (rc == NSH_SUCCESS && out != NULL)
        count_tasks(j, false, out);
    nsh__journal_unlock(j);
    return rc;
}

/* ---- a process alone ---- */

/* Open a journal of which only the path is known. */
static int open_any(nsh__journal *j, const char *path, bool readonly)
{
    nsh__journal_head head;
    int64_t got = 0;
    int rc;

    *j = (nsh__journal){.path = path, .file = {.fd = -1}, .slot = -1, .readonly = readonly};
    rc = nsh__journal_check_open(j, nsh__journal_try_open(j, readonly ? O_RDONLY : O_RDWR));
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_read_head(j, &head, &got);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__journal_head_kind(&head, got) != NSH__HEAD_GOOD)
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: %s", path,
                         got < (int64_t)sizeof head ? "its header is not written yet"
                                                    : "its header is damaged");
    j->table = (nsh__journal_table){.area = calloc(1, sizeof *j->table.area),
                                    .states = calloc((size_t)head.tasks + 1, 1),
                                    .tasks = head.tasks,
                                    .result_bytes = head.result_bytes,
                                    .result_signature = head.result_signature,
                                    .tag = head.tag,
                                    .slot = -1};
    j->capacity = 2 * (head.result_bytes + 8 + NSH__RECORD);
    if (j->capacity < BUFFER_BYTES)
        j->capacity = BUFFER_BYTES;
    j->buffer = malloc((size_t)j->capacity);
    if (j->table.area == NULL || j->table.states == NULL || j->buffer == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "journal %s: no memory for %" PRId64 " tasks", path,
                         head.tasks);
    nsh__journal_table_init(&j->table);
    nsh__journal_set_end(j, NSH__JOURNAL_HEAD);
    return NSH_SUCCESS;
}

static void close_any(nsh__journal *j)
{
    free(j->table.area);
    free((void *)j->table.states);
    nsh__journal_destroy(j);
}

int nsh__journal_status(const char *path, nsh_task_counts *out)
{
    nsh__journal j;
    int rc = open_any(&j, path, true);

    if (rc == NSH_SUCCESS)
        rc = nsh__journal_read_new(&j);
    if (rc == NSH_SUCCESS)
        count_tasks(&j, true, out);
    close_any(&j);
    return rc;
}

int nsh__journal_reset(const char *path, unsigned states)
{
    nsh__journal j;
    bool whole;
    int rc = open_any(&j, path, false);

    if (rc == NSH_SUCCESS)
        rc = nsh__journal_lock(&j);
    if (rc == NSH_SUCCESS) {
        rc = nsh__journal_check_head(&j, NSH_BATCH_RESUME, &whole);
        if (rc == NSH_SUCCESS)
            rc = nsh__journal_read_new(&j);
        if (rc == NSH_SUCCESS)
            rc = nsh__journal_release_dead(&j);
        if (rc == NSH_SUCCESS)
            rc = reopen_tasks(&j, states & ~(1U << NSH_TASK_RUNNING));
        nsh__journal_unlock(&j);
        if (rc == NSH_SUCCESS)
            rc = nsh__journal_sync_data(&j);
    }
    close_any(&j);
    return rc;
}
