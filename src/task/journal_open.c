/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_open.c -- the four steps by which a job begins to work on a journal.
 *
 * Invariant: nothing is written before all ranks of the job have the same file open. */
#define _GNU_SOURCE
#include "task/journal_open.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/machine.h"
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TRIES = 100 };

#define WITNESSES (INT64_C(1) << 48)

/* ---- the header ---- */

/* Is this the header of a journal, or the first n bytes of one? */
static int check_kind(const nsh__journal *j, const nsh__journal_head *head, int64_t n)
{
    switch (nsh__journal_head_kind(head, n)) {
    case NSH__HEAD_FOREIGN:
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: not a journal (rank %d)", j->path,
                         nsh__journal_rank(j));
    case NSH__HEAD_OTHER:
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: of another version of nodeshare: its format is %c, not %c "
                         "(rank %d)",
                         j->path, nsh__journal_format(head), NSH__JOURNAL_FORMAT,
                         nsh__journal_rank(j));
    case NSH__HEAD_ORDER:
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: of a machine with another byte order (rank %d)", j->path,
                         nsh__journal_rank(j));
    default:
        return NSH_SUCCESS;
    }
}

/* Does the header belong to these tasks? */
static int check_tasks(const nsh__journal *j, const nsh__journal_head *head)
{
    const nsh__journal_table *l = &j->table;

    if (head->tasks != l->tasks || head->result_bytes != l->result_bytes ||
        head->result_signature != l->result_signature)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "journal %s: has %" PRId64 " tasks with results of %" PRId64
                         " bytes, not %" PRId64 " of %" PRId64 ", or another type (rank %d)",
                         j->path, head->tasks, head->result_bytes, l->tasks, l->result_bytes,
                         nsh__journal_rank(j));
    if (head->tag != l->tag)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "journal %s: is of other inputs: its tag is 0x%016" PRIx64
                         ", not 0x%016" PRIx64 " (rank %d)",
                         j->path, head->tag, l->tag, nsh__journal_rank(j));
    return NSH_SUCCESS;
}

int nsh__journal_read_head(const nsh__journal *j, nsh__journal_head *out, int64_t *got)
{
    int rc = nsh__journal_read_at(j, (char *)out, (int64_t)sizeof *out, 0, got);

    return rc == NSH_SUCCESS ? check_kind(j, out, *got) : rc;
}

int nsh__journal_check_head(const nsh__journal *j, nsh_batch_mode mode, bool *whole)
{
    nsh__journal_head head;
    int64_t got = 0;
    int rc = nsh__journal_read_head(j, &head, &got);

    *whole = got == (int64_t)sizeof head && mode != NSH_BATCH_OVERWRITE;
    if (rc != NSH_SUCCESS || !*whole)
        return rc;
    if (nsh__journal_head_kind(&head, got) == NSH__HEAD_DAMAGED)
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: its header is damaged; nsh salvage may mend it (rank %d)",
                         j->path, nsh__journal_rank(j));
    return check_tasks(j, &head);
}

static int write_header(nsh__journal *j)
{
    nsh__journal_head head;
    int rc = NSH_SUCCESS;

    nsh__journal_table_head(&j->table, &head);
    nsh__journal_set_end(j, 0);
    if (ftruncate(j->file.fd, 0) != 0)
        return nsh__journal_io_failed(j, NSH_ERR_IO, "ftruncate");
    rc = nsh__journal_write_at_end(j, (const char *)&head, (int64_t)sizeof head);
    nsh__journal_set_end(j, NSH__JOURNAL_HEAD); /* the header is known, no record is */
    return rc;
}

/* ---- slots ---- */

/* Does another job hold a slot? */
static bool another_job_holds(const nsh__journal *j)
{
    for (int s = 0; s < NSH__SLOTS; s++)
        if (s != j->slot && !nsh__journal_slot_free(j, s))
            return true;
    return false;
}

int nsh__journal_announce(nsh__journal *j, int64_t workers, nsh__manner manner)
{
    nsh__record record = {.kind = NSH__RECORD_JOIN,
                          .state = (uint8_t)manner,
                          .slot = (uint16_t)j->slot,
                          .value = (uint32_t)workers,
                          .result_bytes = (int64_t)sizeof(nsh__job)};
    nsh__job job = {.pid = (int64_t)getpid(), .witness = j->witness};

    gethostname(job.host, sizeof job.host - 1);
    return nsh__journal_append_and_apply(j, &record, (const char *)&job);
}

/* Hold the first free slot. */
static int take_slot(nsh__journal *j)
{
    int rc = NSH_ERR_BUSY;

    for (j->slot = 0; j->slot < NSH__SLOTS; j->slot++) {
        if (!nsh__journal_slot_free(j, j->slot))
            continue;
        rc = nsh__journal_lock_byte(j, F_RDLCK, NSH__SLOT_BYTE + j->slot, false);
        if (rc != NSH_ERR_BUSY)
            return rc;
    }
    return nsh__fail(rc, "journal %s: %d jobs work on it (rank %d)", j->path, NSH__SLOTS,
                     nsh__journal_rank(j));
}

int nsh__journal_release_dead(nsh__journal *j)
{
    int rc = NSH_SUCCESS;

    for (int s = 0; s < NSH__SLOTS && rc == NSH_SUCCESS; s++) {
        nsh__record record = {.kind = NSH__RECORD_RELEASE, .slot = (uint16_t)s};

        if (s != j->slot && j->table.area->running[s] > 0 && nsh__journal_slot_free(j, s))
            rc = nsh__journal_append_and_apply(j, &record, NULL);
    }
    return rc;
}

/* Lock a byte that no other process locks: a rank that sees this lock has the same file, on a file
 * system whose locks reach it. */
static int lock_witness(nsh__journal *j)
{
    struct timespec t;
    uint64_t number;

    clock_gettime(CLOCK_REALTIME, &t);
    number = nsh__mix(nsh__mix(nsh__machine_host(), (uint64_t)getpid()), (uint64_t)(uintptr_t)j);
    number = nsh__mix(nsh__mix(number, (uint64_t)t.tv_sec), (uint64_t)t.tv_nsec);
    j->witness = (int64_t)(number % WITNESSES);
    return nsh__journal_lock_byte(j, F_WRLCK, NSH__WITNESS_BYTE + j->witness, false);
}

/* ---- the steps of a job ---- */

static int may_begin_anew(const nsh__journal *j, nsh_batch_mode mode)
{
    if (mode != NSH_BATCH_OVERWRITE || !another_job_holds(j))
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_BUSY, "journal %s: another job works on it (rank %d)", j->path,
                     nsh__journal_rank(j));
}

/* [under the file's lock] Nothing is written yet. */
static int check_and_take_slot(nsh__journal *j, nsh_batch_mode mode)
{
    bool whole;
    int rc = may_begin_anew(j, mode);

    if (rc == NSH_SUCCESS)
        rc = nsh__journal_check_head(j, mode, &whole);
    if (rc == NSH_SUCCESS)
        rc = take_slot(j);
    return rc == NSH_SUCCESS ? lock_witness(j) : rc;
}

/* Open the file or create it, also through a symbolic link. */
static int open_or_make(nsh__journal *j, nsh_batch_mode mode)
{
    int error = mode == NSH_BATCH_NEW ? ENOENT : nsh__journal_try_open(j, O_RDWR);

    j->made = false;
    if (error == ENOENT) {
        error = nsh__journal_try_open(j, O_RDWR | O_CREAT | O_EXCL);
        j->made = error == 0;
    }
    if (error == EEXIST && mode != NSH_BATCH_NEW)
        error = nsh__journal_try_open(j, O_RDWR | O_CREAT);
    return nsh__journal_check_open(j, error);
}

/* A process that replaces or removes the file does not wait for its lock. Then the locked file is
 * not the one that the next job opens. */
static int open_and_lock(nsh__journal *j, nsh_batch_mode mode)
{
    int rc;

    for (int tries = 0; tries < MOST_TRIES; tries++) {
        rc = open_or_make(j, mode);
        if (rc == NSH_SUCCESS)
            rc = nsh__journal_lock_file(j);
        if (rc != NSH_SUCCESS || nsh__journal_in_place(j))
            return rc;
        nsh__journal_close(j);
    }
    return nsh__fail(NSH_ERR_IO, "journal %s: is replaced again and again (rank %d)", j->path,
                     nsh__journal_rank(j));
}

int nsh__journal_open_first(nsh__journal *j, nsh_batch_mode mode, int64_t *ticket)
{
    int rc = open_and_lock(j, mode);

    if (rc == NSH_SUCCESS) {
        rc = check_and_take_slot(j, mode);
        nsh__journal_unlock_file(j);
    }
    if (rc == NSH_SUCCESS)
        *ticket = j->witness * NSH__SLOTS + j->slot;
    return rc;
}

int nsh__journal_open_shared(nsh__journal *j, int64_t ticket)
{
    bool seen = false;
    int rc = nsh__journal_check_open(j, nsh__journal_try_open(j, O_RDWR));

    j->slot = (int)(ticket % NSH__SLOTS);
    j->witness = ticket / NSH__SLOTS;
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_byte_held(j, NSH__WITNESS_BYTE + j->witness, &seen);
    if (rc == NSH_SUCCESS && !seen)
        rc = nsh__fail(NSH_ERR_UNSUPPORTED,
                       "journal %s: rank 0's lock on it is not seen here: another file under this "
                       "path, or locks that stay on the host (rank %d)",
                       j->path, nsh__journal_rank(j));
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_lock_byte(j, F_RDLCK, NSH__SLOT_BYTE + j->slot, false);
    if (rc == NSH_ERR_BUSY)
        rc = nsh__fail(NSH_ERR_IO, "journal %s: slot %d is another job's (rank %d)", j->path,
                       j->slot, nsh__journal_rank(j));
    return rc;
}

static bool ever_joined(const nsh__journal *j)
{
    for (int s = 0; s < NSH__SLOTS; s++)
        if (j->table.area->jobs[s].pid != 0)
            return true;
    return false;
}

static int write_states(nsh__journal *j, const nsh_task_state states[])
{
    int rc = NSH_SUCCESS;

    for (int64_t t = 0; t < j->table.tasks && rc == NSH_SUCCESS; t++) {
        nsh__record r = nsh__journal_end_record(j, t, states[t]);

        if (states[t] >= NSH_TASK_DONE && j->table.states[t] == NSH_TASK_OPEN)
            rc = nsh__journal_append_and_apply(j, &r, NULL);
    }
    return rc;
}

/* [under the journal lock] */
static int begin_job(nsh__journal *j, nsh_batch_mode mode, int workers,
                     const nsh_task_state states[])
{
    bool whole = false;
    int rc = may_begin_anew(j, mode);

    if (rc == NSH_SUCCESS)
        rc = nsh__journal_check_head(j, mode, &whole);
    if (rc != NSH_SUCCESS)
        return rc;
    if (!whole)
        rc = write_header(j);
    nsh__journal_set_end(j, NSH__JOURNAL_HEAD);
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_read_new(j);
    if (rc == NSH_SUCCESS && states != NULL && !ever_joined(j))
        rc = write_states(j, states);
    if (rc == NSH_SUCCESS)
        rc = nsh__journal_announce(j, workers, NSH__KILLED);
    j->joined = rc == NSH_SUCCESS;
    return j->joined ? nsh__journal_release_dead(j) : rc;
}

int nsh__journal_begin(nsh__journal *j, nsh_batch_mode mode, int workers,
                       const nsh_task_state states[])
{
    int rc = nsh__journal_lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__journal_write_and_unlock(j, begin_job(j, mode, workers, states), true);
    return rc == NSH_SUCCESS && j->sync
               ? nsh__disk_sync_directory("nsh_batch_create", j->path, j->file.fd)
               : rc;
}

int nsh__journal_read(nsh__journal *j)
{
    bool whole;
    int rc = nsh__journal_check_head(j, NSH_BATCH_RESUME, &whole);

    if (rc == NSH_SUCCESS && !whole)
        rc = nsh__fail(NSH_ERR_FORMAT, "journal %s: is empty here (rank %d)", j->path,
                       nsh__journal_rank(j));
    if (rc != NSH_SUCCESS)
        return rc;
    nsh__journal_set_end(j, NSH__JOURNAL_HEAD);
    rc = nsh__journal_lock(j);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__journal_read_new(j);
    nsh__journal_unlock(j);
    return rc;
}

void nsh__journal_ready(nsh__journal *j)
{
    j->table.slot = j->slot;
    j->table.witness = j->witness;
}

static void remove_file(const nsh__journal *j)
{
    if (unlink(j->path) != 0)
        nsh__log("journal %s: unlink: %s", j->path, strerror(errno));
}

void nsh__journal_discard(nsh__journal *j)
{
    nsh__detail kept;
    int64_t size = -1;
    int rc;

    nsh__detail_keep(&kept); /* the detail of the failure that led here */
    j->joined = j->joined && !j->made;
    if (j->made && j->file.fd >= 0) {
        rc = nsh__journal_lock(j);
        if (rc == NSH_SUCCESS && !another_job_holds(j))
            remove_file(j);
        if (rc == NSH_SUCCESS)
            nsh__journal_unlock(j);
        /* Where locks do not work no other job can have begun. */
        if (rc == NSH_ERR_UNSUPPORTED && nsh__journal_in_place(j) &&
            nsh__journal_size(j, &size) == NSH_SUCCESS && size == 0)
            remove_file(j);
    }
    nsh__detail_restore(&kept);
}
