/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_file.c -- the file of a batch: locked, read, appended to, synced.
 *
 * Invariant: under the journal lock, after nsh__journal_read_new, area->end is the end of the file
 * and of the records that the table has applied; a failure leaves it there. */
#define _GNU_SOURCE
#include "task/journal_file.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/machine.h"
#include "base/math.h"
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIRST_NAP_NS = 20000, /* after a lock that was refused */
    LAST_NAP_NS = 5000000,
    LOOK_NS = 10000000 /* between two checks of the path */
};

int nsh__journal_rank(const nsh__journal *j)
{
    return j->comm != NULL ? j->comm->rank : 0;
}

int nsh__journal_io_failed(const nsh__journal *j, int code, const char *what)
{
    return nsh__fail(code, "journal %s: %s: %s (rank %d)", j->path, what, strerror(errno),
                     nsh__journal_rank(j));
}

/* ---- locks ---- */

int nsh__journal_lock_byte(const nsh__journal *j, short type, int64_t byte, bool wait)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    int rc;

    do {
        errno = ENOLCK; /* for an injected failure, which must not leave a lock behind */
        rc = nsh__fault(journal_lock) ? -1
                                      : fcntl(j->file.fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &f);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return NSH_SUCCESS;
    if (errno == EAGAIN || errno == EACCES)
        return NSH_ERR_BUSY;
    if (errno == ENOLCK || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
        return nsh__journal_io_failed(j, NSH_ERR_UNSUPPORTED, "no locks on this file system");
    return nsh__journal_io_failed(j, NSH_ERR_IO, "lock");
}

int nsh__journal_byte_held(const nsh__journal *j, int64_t byte, bool *held)
{
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    if (fcntl(j->file.fd, F_OFD_GETLK, &f) != 0)
        return nsh__journal_io_failed(j, NSH_ERR_IO, "look for a lock");
    *held = f.l_type != F_UNLCK;
    return NSH_SUCCESS;
}

bool nsh__journal_slot_free(const nsh__journal *j, int slot)
{
    bool held = true;

    return nsh__journal_byte_held(j, NSH__SLOT_BYTE + slot, &held) == NSH_SUCCESS && !held;
}

/* Sleep for a random time between half of `most` nanoseconds and all of it; MPI progresses
 * meanwhile. */
static int back_off(const nsh__journal *j, int64_t most)
{
    atomic_uint never = 0, nobody = 0;
    const nsh__event event = {
        .word = &never, .mask = ~0U, .target = 1, .sleepers = &nobody, .tag = -1};
    int64_t now = nsh__wait_clock();
    uint64_t part = nsh__mix((uint64_t)now, (uint64_t)j->comm->rank) % (uint64_t)most;
    int rc = nsh__wait_event(&j->comm->wait, &event, now + most / 2 + (int64_t)part / 2);

    return rc == NSH_ERR_TIMEOUT ? NSH_SUCCESS : rc;
}

/* Report a wait that lasts long. */
static void report_wait(const nsh__journal *j, int64_t begin, int64_t now, int64_t *next)
{
    nsh__wait *wait = &j->comm->wait;

    if (wait->report == NULL || now - begin < wait->report_after || now < *next)
        return;
    wait->report(wait->owner, NULL, now - begin);
    *next = now + wait->report_every;
}

/* Every attempt may be a request to a server. So the first nap is twice the time of an attempt, and
 * each later one is twice as long as the one before. */
int nsh__journal_lock_file(const nsh__journal *j)
{
    int64_t begin = nsh__wait_clock(), now, nap = 0, next_report = 0;
    int rc = nsh__journal_lock_byte(j, F_WRLCK, NSH__LOCK_BYTE, j->comm == NULL);

    while (rc == NSH_ERR_BUSY) {
        now = nsh__wait_clock();
        report_wait(j, begin, now, &next_report);
        nap = nap == 0 ? 2 * (now - begin) : 2 * nap;
        nap = nap < FIRST_NAP_NS ? FIRST_NAP_NS : nsh__min(nap, LAST_NAP_NS);
        rc = back_off(j, nap);
        if (rc == NSH_SUCCESS)
            rc = nsh__journal_lock_byte(j, F_WRLCK, NSH__LOCK_BYTE, false);
    }
    return rc;
}

void nsh__journal_unlock_file(const nsh__journal *j)
{
    struct flock f = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)NSH__LOCK_BYTE, .l_len = 1};

    fcntl(j->file.fd, F_OFD_SETLK, &f);
}

bool nsh__journal_in_place(const nsh__journal *j)
{
    struct stat here, there;

    if (stat(j->path, &there) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return fstat(j->file.fd, &here) != 0 ||
           (here.st_dev == there.st_dev && here.st_ino == there.st_ino);
}

static int fail_replaced(const nsh__journal *j)
{
    return nsh__fail(NSH_ERR_IO, "journal %s: was removed or replaced while it is used (rank %d)",
                     j->path, nsh__journal_rank(j));
}

/* Lock the file, and check the path: what is written to a file that was removed or replaced is
 * lost. */
static int lock_checked_path(nsh__journal *j)
{
    int rc = nsh__journal_lock_file(j);

    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__journal_in_place(j)) {
        nsh__journal_unlock_file(j);
        return fail_replaced(j);
    }
    j->looked_at = nsh__wait_coarse_clock();
    return NSH_SUCCESS;
}

/* For every task: a check of the path costs as much as the write, so it is made only every LOOK_NS.
 * nsh__journal_read_new sees at once when the file has no path at all any more. */
int nsh__journal_lock_again(nsh__journal *j)
{
    return nsh__wait_coarse_clock() - j->looked_at < LOOK_NS ? nsh__journal_lock_file(j)
                                                             : lock_checked_path(j);
}

int nsh__journal_lock(nsh__journal *j)
{
    int rc = nsh__journal_writer_begin(&j->writer);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = lock_checked_path(j);
    if (rc != NSH_SUCCESS)
        nsh__journal_writer_end(&j->writer);
    return rc;
}

void nsh__journal_unlock(const nsh__journal *j)
{
    nsh__journal_unlock_file(j);
    nsh__journal_writer_end(&j->writer);
}

/* ---- open and close ---- */

/* errno, or 0. */
int nsh__journal_try_open(nsh__journal *j, int flags)
{
    j->file.fd = open(j->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (nsh__fault(journal_open) && j->file.fd >= 0) {
        close(j->file.fd);
        j->file.fd = -1;
        errno = EIO;
    }
    if (j->file.fd < 0)
        return errno;
    nsh__fork_guard(&j->file);
    return 0;
}

int nsh__journal_check_open(const nsh__journal *j, int error)
{
    struct stat st;

    errno = error;
    if (error != 0)
        return nsh__journal_io_failed(j, error == EEXIST ? NSH_ERR_EXISTS : NSH_ERR_IO, "open");
    if (fstat(j->file.fd, &st) == 0 && !S_ISREG(st.st_mode))
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: not a regular file (rank %d)", j->path,
                         nsh__journal_rank(j));
    return NSH_SUCCESS;
}

void nsh__journal_close(nsh__journal *j)
{
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    nsh__fork_release(&j->file);
    if (j->file.fd >= 0) {
        fcntl(j->file.fd, F_OFD_SETLK, &all); /* a forked child may still hold them too */
        close(j->file.fd);
    }
    j->file.fd = -1;
}

/* ---- read ---- */

static int64_t journal_end(const nsh__journal *j)
{
    return atomic_load_explicit(&j->table.area->end, memory_order_acquire);
}

void nsh__journal_set_end(nsh__journal *j, int64_t end)
{
    nsh__assert(end % 8 == 0 && (end >= journal_end(j) || end <= NSH__JOURNAL_HEAD),
                "journal %s: %" PRId64 " bytes are known after %" PRId64, j->path, end,
                journal_end(j));
    atomic_store_explicit(&j->table.area->end, end, memory_order_release);
}

int nsh__journal_size(const nsh__journal *j, int64_t *size)
{
    struct stat s;

    if (fstat(j->file.fd, &s) != 0)
        return nsh__journal_io_failed(j, NSH_ERR_IO, "fstat");
    if (s.st_nlink == 0 && !nsh__journal_in_place(j)) /* some file systems do not count links */
        return fail_replaced(j);
    *size = (int64_t)s.st_size;
    return NSH_SUCCESS;
}

int nsh__journal_read_at(const nsh__journal *j, char *out, int64_t n, int64_t at, int64_t *got)
{
    for (*got = 0; *got < n;) {
        ssize_t k = pread(j->file.fd, out + *got, (size_t)(n - *got), (off_t)(at + *got));

        if (nsh__fault(journal_read)) {
            k = -1;
            errno = EIO;
        }
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return nsh__journal_io_failed(j, NSH_ERR_IO, "read");
        if (k == 0)
            break;
        *got += k;
    }
    return NSH_SUCCESS;
}

/* A kill leaves a part of one append. If what follows `end` is longer than an append can be, or
 * contains good records, it is damage: bytes before those records were lost or inserted. */
static int find_damage(const nsh__journal *j, int64_t end, int64_t size, bool *found)
{
    int64_t step = j->capacity / 2, got; /* a record is no longer than half the buffer */
    int rc = NSH_SUCCESS;

    *found = size - end > j->capacity;
    for (int64_t at = end + 1; at < size && rc == NSH_SUCCESS && !*found; at += step) {
        rc = nsh__journal_read_at(j, j->buffer, nsh__min(j->capacity, size - at), at, &got);
        if (rc == NSH_SUCCESS)
            *found = nsh__journal_table_any_record(&j->table, j->buffer, got);
    }
    return rc;
}

/* What follows `end` is no record: cut it off if a kill can have left it, otherwise fail. */
static int cut_tail(nsh__journal *j, int64_t end, int64_t size)
{
    bool found;
    int rc = find_damage(j, end, size, &found);

    if (rc == NSH_SUCCESS && found)
        rc = nsh__fail(NSH_ERR_FORMAT,
                       "journal %s: damaged at byte %" PRId64
                       "; nsh salvage keeps what is good (rank %d)",
                       j->path, end, nsh__journal_rank(j));
    if (rc == NSH_SUCCESS && !j->readonly && ftruncate(j->file.fd, (off_t)end) != 0)
        rc = nsh__journal_io_failed(j, NSH_ERR_IO, "ftruncate");
    return rc;
}

/* A job begins only in a slot that nobody has locked. If it has taken this job's slot, the two do
 * not see each other's locks, and each of them would run the other's tasks. */
static int check_slot(const nsh__journal *j)
{
    if (!atomic_load(&j->table.area->robbed))
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_UNSUPPORTED,
                     "journal %s: a job that does not see this one's locks has taken its tasks: "
                     "locks stay on the host (rank %d)",
                     j->path, nsh__journal_rank(j));
}

int nsh__journal_read_new(nsh__journal *j)
{
    int64_t end = journal_end(j), size = 0, got, used = 1;
    int rc = nsh__journal_size(j, &size);

    if (rc == NSH_SUCCESS && size < end)
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: has shrunk from %" PRId64 " to %" PRId64 " bytes (rank %d)",
                         j->path, end, size, nsh__journal_rank(j));
    while (rc == NSH_SUCCESS && end < size && used > 0) {
        rc = nsh__journal_read_at(j, j->buffer, nsh__min(j->capacity, size - end), end, &got);
        if (rc != NSH_SUCCESS)
            break;
        used = nsh__journal_table_replay(&j->table, j->buffer, got, end);
        end += used;
        nsh__journal_set_end(j, end);
    }
    if (rc == NSH_SUCCESS && end < size)
        rc = cut_tail(j, end, size);
    return rc == NSH_SUCCESS ? check_slot(j) : rc;
}

/* ---- append: all under the journal lock, after nsh__journal_read_new ---- */

/* pwrite that does not kill the process (SIGXFSZ) at the limit of a file's size. */
static ssize_t write_some(const nsh__journal *j, const char *bytes, int64_t n, int64_t at)
{
    bool limited = nsh__machine_file_size() < INT64_MAX;
    nsh__disk_guard guard;
    ssize_t k;
    int error;

    if (limited)
        nsh__disk_guard_begin(&guard);
    k = pwrite(j->file.fd, bytes, (size_t)n, (off_t)at);
    error = errno;
    if (limited)
        nsh__disk_guard_end(&guard);
    errno = error;
    if (!nsh__fault(journal_write))
        return k;
    errno = ENOSPC;
    return -1;
}

int nsh__journal_write_at_end(nsh__journal *j, const char *bytes, int64_t n)
{
    int64_t end = journal_end(j), done = 0;

    while (done < n) {
        ssize_t k = write_some(j, bytes + done, n - done, end + done);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            int rc = nsh__journal_io_failed(j, NSH_ERR_IO, "write");

            if (ftruncate(j->file.fd, (off_t)end) != 0)
                nsh__log("journal %s: half a record stays at its end", j->path);
            return rc;
        }
        done += k;
    }
    nsh__journal_set_end(j, end + n);
    return NSH_SUCCESS;
}

static int append_record(nsh__journal *j, const nsh__record *record, const void *result)
{
    nsh__record_write(record, result, journal_end(j), j->buffer);
    return nsh__journal_write_at_end(j, j->buffer, nsh__record_bytes(record));
}

int nsh__journal_append_and_apply(nsh__journal *j, const nsh__record *record, const char *result)
{
    int rc = append_record(j, record, result);

    if (rc == NSH_SUCCESS)
        nsh__journal_table_apply(&j->table, record, result);
    return rc;
}

/* ---- sync ---- */

/* After a failure the system may have dropped the unwritten bytes, and a later fdatasync succeeds
 * without them. So the failure is permanent. */
int nsh__journal_sync_data(nsh__journal *j)
{
    atomic_int *lost = &j->table.area->lost;

    if (fdatasync(j->file.fd) != 0 || nsh__fault(journal_sync)) {
        atomic_store(lost, errno != 0 ? errno : EIO);
        return nsh__journal_io_failed(j, NSH_ERR_IO, "fdatasync");
    }
    return NSH_SUCCESS;
}

static int still_lost(const nsh__journal *j)
{
    int error = atomic_load(&j->table.area->lost);

    if (error == 0)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_IO,
                     "journal %s: what was written before may not be on the disk: %s (rank %d)",
                     j->path, strerror(error), nsh__journal_rank(j));
}

static int sync_file(nsh__journal *j, int rc)
{
    if (rc == NSH_SUCCESS)
        rc = still_lost(j);
    return rc == NSH_SUCCESS && j->sync ? nsh__journal_sync_data(j) : rc;
}

/* Network file systems buffer writes and report at a close that they did not reach the server. So
 * close a duplicate of the descriptor; the locks stay. */
int nsh__journal_sync_at_close(nsh__journal *j)
{
    int copy = fcntl(j->file.fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0 && close(copy) != 0 && errno != EINTR) {
        atomic_store(&j->table.area->lost, errno);
        return nsh__journal_io_failed(j, NSH_ERR_IO, "close");
    }
    return still_lost(j);
}

/* ---- records that could not be written ---- */

void nsh__journal_retain_unwritten(nsh__journal *j, const nsh__record *record, const void *result)
{
    int64_t n = nsh__record_bytes(record), capacity = j->unwritten_capacity;
    char *p = j->unwritten;

    while (capacity < j->unwritten_bytes + n)
        capacity = capacity > 0 ? 2 * capacity : 4096;
    if (capacity > j->unwritten_capacity) {
        p = realloc(p, (size_t)capacity);
        if (p == NULL) {
            nsh__log("journal %s: no memory to keep the end of task %" PRId64, j->path,
                     record->first);
            return;
        }
        j->unwritten = p;
        j->unwritten_capacity = capacity;
    }
    nsh__record_write(record, result, 0, p + j->unwritten_bytes);
    j->unwritten_bytes += n;
}

int nsh__journal_write_retained(nsh__journal *j)
{
    int64_t done = 0, n;
    int rc = NSH_SUCCESS;
    nsh__record record;

    while (done < j->unwritten_bytes) {
        memcpy(&record, j->unwritten + done, sizeof record);
        n = nsh__record_bytes(&record);
        rc = nsh__journal_append_and_apply(j, &record, j->unwritten + done + sizeof record);
        if (rc != NSH_SUCCESS)
            break;
        done += n;
    }
    if (done > 0)
        memmove(j->unwritten, j->unwritten + done, (size_t)(j->unwritten_bytes - done));
    j->unwritten_bytes -= done;
    return rc;
}

/* ---- entries of other ranks of the node ---- */

nsh__record nsh__journal_end_record(const nsh__journal *j, int64_t task, nsh_task_state state)
{
    return (nsh__record){.kind = NSH__RECORD_END,
                         .state = (uint8_t)state,
                         .slot = (uint16_t)j->slot,
                         .first = task,
                         .last = task + 1,
                         .result_bytes = state == NSH_TASK_DONE ? j->table.result_bytes : 0};
}

char *nsh__journal_result(const nsh__journal *j, int64_t task)
{
    return j->table.results != NULL ? j->table.results + task * j->table.result_bytes : NULL;
}

/* Take all entries that wait and apply them, also if they cannot be written. If rc is NSH_SUCCESS
 * write them, as many at once as the buffer has space for. */
static int write_entries(nsh__journal *j, int rc)
{
    int64_t n = 0, end = journal_end(j);
    nsh__entry *entry;
    int i = 0;

    while ((entry = nsh__journal_writer_take(&j->writer, &i)) != NULL) {
        nsh__record record =
            nsh__journal_end_record(j, entry->task, (nsh_task_state)entry->task_state);

        if (rc == NSH_SUCCESS && n + nsh__record_bytes(&record) > j->capacity) {
            rc = nsh__journal_write_at_end(j, j->buffer, n);
            n = 0;
            end = journal_end(j);
        }
        if (rc == NSH_SUCCESS) {
            nsh__record_write(&record, nsh__journal_result(j, entry->task), end + n, j->buffer + n);
            n += nsh__record_bytes(&record);
        }
        nsh__journal_table_apply(&j->table, &record, NULL); /* the result is in the table already */
    }
    return rc == NSH_SUCCESS && n > 0 ? nsh__journal_write_at_end(j, j->buffer, n) : rc;
}

/* The entries are synced together with the turn's own records. Other jobs may read a record before
 * it is on the disk; its writer continues only after that. */
int nsh__journal_write_and_unlock(nsh__journal *j, int rc, bool locked)
{
    int entries = write_entries(j, rc);
    bool written = entries == NSH_SUCCESS;

    if (locked)
        nsh__journal_unlock_file(j);
    rc = sync_file(j, rc);
    if (written)
        entries = rc;
    nsh__journal_writer_answer(&j->writer, entries, written);
    nsh__journal_writer_end(&j->writer);
    return rc;
}
