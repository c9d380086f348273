/* SPDX-License-Identifier: BSD-3-Clause */
/* journal.c -- the file of a batch.
 *
 * Invariant: under the lock, after catch_up, area->end is the end of the file and of what the
 * ledger knows; whatever fails leaves it there. */
#define _GNU_SOURCE
#include "task/journal.h"

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
#include <time.h>
#include <unistd.h>

enum {
    ROOM = 1 << 20,
    MOST_CLAIMED = 1024,
    MOST_TRIES = 100,
    FIRST_NAP_NS = 20000, /* after a lock that was refused */
    LAST_NAP_NS = 5000000,
    LOOK_NS = 10000000 /* between two looks at the path */
};

/* Bytes that are locked; no file comes near them. */
#define LOCK_BYTE    (INT64_C(1) << 61)
#define SLOT_BYTE    (LOCK_BYTE + 1)
#define WITNESS_BYTE (LOCK_BYTE + (INT64_C(1) << 16))
#define WITNESSES    (INT64_C(1) << 48)

static int rank_of(const nsh__journal *j)
{
    return j->comm != NULL ? j->comm->rank : 0;
}

/* With errno. */
static int io_failed(const nsh__journal *j, int code, const char *what)
{
    return nsh__fail(code, "journal %s: %s: %s (rank %d)", j->path, what, strerror(errno),
                     rank_of(j));
}

/* ---- locks ---- */

/* NSH_ERR_BUSY without a detail: another one has it. */
static int set_lock(const nsh__journal *j, short type, int64_t byte, bool wait)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    int rc;

    do {
        errno = ENOLCK; /* of the failure on purpose, which must not leave a lock behind */
        rc = nsh__fault(journal_lock) ? -1
                                      : fcntl(j->file.fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &f);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return NSH_SUCCESS;
    if (errno == EAGAIN || errno == EACCES)
        return NSH_ERR_BUSY;
    if (errno == ENOLCK || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
        return io_failed(j, NSH_ERR_UNSUPPORTED, "no locks on this file system");
    return io_failed(j, NSH_ERR_IO, "lock");
}

/* Does another one hold this byte? */
static int is_held(const nsh__journal *j, int64_t byte, bool *held)
{
    struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    if (fcntl(j->file.fd, F_OFD_GETLK, &f) != 0)
        return io_failed(j, NSH_ERR_IO, "look for a lock");
    *held = f.l_type != F_UNLCK;
    return NSH_SUCCESS;
}

/* Does nobody hold this slot? Not even this rank's own job is asked. */
static bool slot_free(const nsh__journal *j, int slot)
{
    bool held = true;

    return is_held(j, SLOT_BYTE + slot, &held) == NSH_SUCCESS && !held;
}

/* A nap of a random part of so many nanoseconds; MPI goes on meanwhile. */
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

/* Tell who waits for long. */
static void report_wait(const nsh__journal *j, int64_t begin, int64_t now, int64_t *next)
{
    nsh__wait *wait = &j->comm->wait;

    if (wait->report == NULL || now - begin < wait->report_after || now < *next)
        return;
    wait->report(wait->owner, NULL, now - begin);
    *next = now + wait->report_every;
}

/* Every try is a request, to a server perhaps: the naps begin with twice what one takes, and each
 * is twice as long as the one before. */
static int lock_file(const nsh__journal *j)
{
    int64_t begin = nsh__wait_clock(), now, nap = 0, next_report = 0;
    int rc = set_lock(j, F_WRLCK, LOCK_BYTE, j->comm == NULL);

    while (rc == NSH_ERR_BUSY) {
        now = nsh__wait_clock();
        report_wait(j, begin, now, &next_report);
        nap = nap == 0 ? 2 * (now - begin) : 2 * nap;
        nap = nap < FIRST_NAP_NS ? FIRST_NAP_NS : nsh__min(nap, LAST_NAP_NS);
        rc = back_off(j, nap);
        if (rc == NSH_SUCCESS)
            rc = set_lock(j, F_WRLCK, LOCK_BYTE, false);
    }
    return rc;
}

static void unlock_file(const nsh__journal *j)
{
    struct flock f = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)LOCK_BYTE, .l_len = 1};

    fcntl(j->file.fd, F_OFD_SETLK, &f);
}

/* Does the path lead to the file that is open? Where that cannot be told, it does. */
static bool in_place(const nsh__journal *j)
{
    struct stat here, there;

    if (stat(j->path, &there) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return fstat(j->file.fd, &here) != 0 ||
           (here.st_dev == there.st_dev && here.st_ino == there.st_ino);
}

static int replaced(const nsh__journal *j)
{
    return nsh__fail(NSH_ERR_IO, "journal %s: was removed or replaced while it is used (rank %d)",
                     j->path, rank_of(j));
}

/* What is written to a file that nobody finds any more is lost. */
static int lock_in_place(nsh__journal *j)
{
    int rc = lock_file(j);

    if (rc != NSH_SUCCESS)
        return rc;
    if (!in_place(j)) {
        unlock_file(j);
        return replaced(j);
    }
    j->looked = nsh__wait_coarse_clock();
    return NSH_SUCCESS;
}

/* The same, for what is done for every task: a look at the path costs as much as the write, so
 * there is one every LOOK_NS. That the file has no path at all any more, catch_up sees at once. */
static int lock_again(nsh__journal *j)
{
    return nsh__wait_coarse_clock() - j->looked < LOOK_NS ? lock_file(j) : lock_in_place(j);
}

/* This node's turn, and then the file's. */
static int lock(nsh__journal *j)
{
    int rc = nsh__journal_writer_begin(&j->writer);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = lock_in_place(j);
    if (rc != NSH_SUCCESS)
        nsh__journal_writer_end(&j->writer);
    return rc;
}

static void unlock(const nsh__journal *j)
{
    unlock_file(j);
    nsh__journal_writer_end(&j->writer);
}

/* ---- read ---- */

static int64_t end_of(const nsh__journal *j)
{
    return atomic_load_explicit(&j->ledger.area->end, memory_order_acquire);
}

static void set_end(nsh__journal *j, int64_t end)
{
    nsh__assert(end % 8 == 0 && (end >= end_of(j) || end <= NSH__JOURNAL_HEAD),
                "journal %s: %" PRId64 " bytes are known after %" PRId64, j->path, end, end_of(j));
    atomic_store_explicit(&j->ledger.area->end, end, memory_order_release);
}

static int file_size(const nsh__journal *j, int64_t *size)
{
    struct stat s;

    if (fstat(j->file.fd, &s) != 0)
        return io_failed(j, NSH_ERR_IO, "fstat");
    if (s.st_nlink == 0 && !in_place(j)) /* some file systems count no links */
        return replaced(j);
    *size = (int64_t)s.st_size;
    return NSH_SUCCESS;
}

/* n bytes, or as many as there are. */
static int read_at(const nsh__journal *j, char *out, int64_t n, int64_t at, int64_t *got)
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
            return io_failed(j, NSH_ERR_IO, "read");
        if (k == 0)
            break;
        *got += k;
    }
    return NSH_SUCCESS;
}

/* A kill leaves a part of one append. What follows end is something else, damage, if it is longer
 * than an append can be, or if there are good records in it: those may have moved, because bytes
 * before them were lost or came in. */
static int damaged(const nsh__journal *j, int64_t end, int64_t size, bool *found)
{
    int64_t step = j->capacity / 2, got; /* a record is no longer than half the room */
    int rc = NSH_SUCCESS;

    *found = size - end > j->capacity;
    for (int64_t at = end + 1; at < size && rc == NSH_SUCCESS && !*found; at += step) {
        rc = read_at(j, j->buffer, nsh__min(j->capacity, size - at), at, &got);
        if (rc == NSH_SUCCESS)
            *found = nsh__journal_table_any_record(&j->ledger, j->buffer, got);
    }
    return rc;
}

/* What follows end is no record: cut it off, if it is what a kill leaves. */
static int cut_tail(nsh__journal *j, int64_t end, int64_t size)
{
    bool found;
    int rc = damaged(j, end, size, &found);

    if (rc == NSH_SUCCESS && found)
        rc = nsh__fail(NSH_ERR_FORMAT,
                       "journal %s: damaged at byte %" PRId64
                       "; nsh salvage keeps what is good (rank %d)",
                       j->path, end, rank_of(j));
    if (rc == NSH_SUCCESS && !j->readonly && ftruncate(j->file.fd, (off_t)end) != 0)
        rc = io_failed(j, NSH_ERR_IO, "ftruncate");
    return rc;
}

/* A job that joins in a slot has seen that nobody has it locked. If that is this job's, the two do
 * not see each other's locks, and each will take what the other has. */
static int check_slot(const nsh__journal *j)
{
    if (!atomic_load(&j->ledger.area->robbed))
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_UNSUPPORTED,
                     "journal %s: a job that does not see this one's locks has taken its tasks: "
                     "locks stay on the host (rank %d)",
                     j->path, rank_of(j));
}

/* Under the lock, or readonly: the ledger knows all there is. */
static int catch_up(nsh__journal *j)
{
    int64_t end = end_of(j), size = 0, got, used = 1;
    int rc = file_size(j, &size);

    if (rc == NSH_SUCCESS && size < end)
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: has shrunk from %" PRId64 " to %" PRId64 " bytes (rank %d)",
                         j->path, end, size, rank_of(j));
    while (rc == NSH_SUCCESS && end < size && used > 0) {
        rc = read_at(j, j->buffer, nsh__min(j->capacity, size - end), end, &got);
        if (rc != NSH_SUCCESS)
            break;
        used = nsh__journal_table_replay(&j->ledger, j->buffer, got, end);
        end += used;
        set_end(j, end);
    }
    if (rc == NSH_SUCCESS && end < size)
        rc = cut_tail(j, end, size);
    return rc == NSH_SUCCESS ? check_slot(j) : rc;
}

/* ---- append; all under the lock, after catch_up ---- */

/* pwrite that does not end the process at the limit of a file's size. */
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

static int write_at_end(nsh__journal *j, const char *bytes, int64_t n)
{
    int64_t end = end_of(j), done = 0;

    while (done < n) {
        ssize_t k = write_some(j, bytes + done, n - done, end + done);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            int rc = io_failed(j, NSH_ERR_IO, "write");

            if (ftruncate(j->file.fd, (off_t)end) != 0)
                nsh__log("journal %s: half a record stays at its end", j->path);
            return rc;
        }
        done += k;
    }
    set_end(j, end + n);
    return NSH_SUCCESS;
}

static int append(nsh__journal *j, const nsh__record *record, const void *result)
{
    nsh__record_write(record, result, end_of(j), j->buffer);
    return write_at_end(j, j->buffer, nsh__record_bytes(record));
}

/* A record that also is true from here on. */
static int append_and_apply(nsh__journal *j, const nsh__record *record, const char *behind)
{
    int rc = append(j, record, behind);

    if (rc == NSH_SUCCESS)
        nsh__journal_table_apply(&j->ledger, record, behind);
    return rc;
}

/* Once bytes could not be brought to the disk the system may have dropped them, and a later
 * fdatasync says nothing of them: so the failure stays. */
static int sync_data(nsh__journal *j)
{
    atomic_int *lost = &j->ledger.area->lost;

    if (fdatasync(j->file.fd) != 0 || nsh__fault(journal_sync)) {
        atomic_store(lost, errno != 0 ? errno : EIO);
        return io_failed(j, NSH_ERR_IO, "fdatasync");
    }
    return NSH_SUCCESS;
}

static int still_lost(const nsh__journal *j)
{
    int error = atomic_load(&j->ledger.area->lost);

    if (error == 0)
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_IO,
                     "journal %s: what was written before may not be on the disk: %s (rank %d)",
                     j->path, strerror(error), rank_of(j));
}

static int settle(nsh__journal *j, int rc)
{
    if (rc == NSH_SUCCESS)
        rc = still_lost(j);
    return rc == NSH_SUCCESS && j->sync ? sync_data(j) : rc;
}

/* Network file systems keep what is written and say at a close that it did not reach the server. A
 * descriptor's duplicate is closed like the descriptor, and the locks stay. */
static int settle_at_close(nsh__journal *j)
{
    int copy = fcntl(j->file.fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0 && close(copy) != 0 && errno != EINTR) {
        atomic_store(&j->ledger.area->lost, errno);
        return io_failed(j, NSH_ERR_IO, "close");
    }
    return still_lost(j);
}

/* ---- what could not be written ---- */

static void retain_unwritten(nsh__journal *j, const nsh__record *record, const void *result)
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

/* ---- what other ranks of the node have handed in ---- */

static nsh__record end_record(const nsh__journal *j, int64_t task, nsh_task_state state)
{
    return (nsh__record){.kind = NSH__RECORD_END,
                         .state = (uint8_t)state,
                         .slot = (uint16_t)j->slot,
                         .first = task,
                         .last = task + 1,
                         .result_bytes = state == NSH_TASK_DONE ? j->ledger.result_bytes : 0};
}

/* Where the result of a task is in memory of this node. */
static char *result_of(const nsh__journal *j, int64_t task)
{
    return j->ledger.results != NULL ? j->ledger.results + task * j->ledger.result_bytes : NULL;
}

/* Take all that waits, true from here on whatever becomes of it, and write it, if all went well
 * before (rc): as much at once as there is room for. */
static int write_entries(nsh__journal *j, int rc)
{
    int64_t n = 0, end = end_of(j);
    nsh__entry *entry;
    int i = 0;

    while ((entry = nsh__journal_writer_take(&j->writer, &i)) != NULL) {
        nsh__record record = end_record(j, entry->task, (nsh_task_state)entry->task_state);

        if (rc == NSH_SUCCESS && n + nsh__record_bytes(&record) > j->capacity) {
            rc = write_at_end(j, j->buffer, n);
            n = 0;
            end = end_of(j);
        }
        if (rc == NSH_SUCCESS) {
            nsh__record_write(&record, result_of(j, entry->task), end + n, j->buffer + n);
            n += nsh__record_bytes(&record);
        }
        nsh__journal_table_apply(&j->ledger, &record, NULL); /* the result is there already */
    }
    return rc == NSH_SUCCESS && n > 0 ? write_at_end(j, j->buffer, n) : rc;
}

/* The end of a turn that has come to rc: what the others wait for is written too, all of it synced
 * at once. Others may read a record before it is on the disk, its writer only goes on then. */
static int leave(nsh__journal *j, int rc, bool locked)
{
    int entries = write_entries(j, rc);
    bool written = entries == NSH_SUCCESS;

    if (locked)
        unlock_file(j);
    rc = settle(j, rc);
    if (written)
        entries = rc;
    nsh__journal_writer_answer(&j->writer, entries, written);
    nsh__journal_writer_end(&j->writer);
    return rc;
}

/* ---- what could not be written, again ---- */

static int flush(nsh__journal *j)
{
    int64_t done = 0, n;
    int rc = NSH_SUCCESS;
    nsh__record record;

    while (done < j->unwritten_bytes) {
        memcpy(&record, j->unwritten + done, sizeof record);
        n = nsh__record_bytes(&record);
        rc = append_and_apply(j, &record, j->unwritten + done + sizeof record);
        if (rc != NSH_SUCCESS)
            break;
        done += n;
    }
    if (done > 0)
        memmove(j->unwritten, j->unwritten + done, (size_t)(j->unwritten_bytes - done));
    j->unwritten_bytes -= done;
    return rc;
}

int nsh__journal_flush(nsh__journal *j)
{
    int rc;

    if (j->unwritten_bytes == 0)
        return settle_at_close(j);
    rc = lock(j);
    if (rc != NSH_SUCCESS)
        return rc;
    rc = catch_up(j);
    if (rc == NSH_SUCCESS)
        rc = flush(j);
    rc = leave(j, rc, true);
    return rc == NSH_SUCCESS ? settle_at_close(j) : rc;
}

/* ---- open ---- */

int nsh__journal_init(nsh__journal *j, nsh_comm *comm, const char *path, bool sync)
{
    nsh__record record = {.result_bytes = j->ledger.result_bytes};
    int64_t longest = nsh__record_bytes(&record);

    j->comm = comm;
    j->path = path;
    j->file.fd = j->slot = j->ledger.slot = -1;
    j->sync = sync;
    j->capacity = longest > ROOM / 2 ? 2 * longest : ROOM;
    j->buffer = nsh__fault(batch_alloc) ? NULL : malloc((size_t)j->capacity);
    if (j->buffer == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "journal %s: no memory (rank %d)", path, rank_of(j));
    return NSH_SUCCESS;
}

/* errno, or 0. */
static int try_open(nsh__journal *j, int flags)
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

/* After try_open. */
static int check_open(const nsh__journal *j, int error)
{
    struct stat st;

    errno = error;
    if (error != 0)
        return io_failed(j, error == EEXIST ? NSH_ERR_EXISTS : NSH_ERR_IO, "open");
    if (fstat(j->file.fd, &st) == 0 && !S_ISREG(st.st_mode))
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: not a regular file (rank %d)", j->path,
                         rank_of(j));
    return NSH_SUCCESS;
}

static void close_file(nsh__journal *j)
{
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    nsh__fork_release(&j->file);
    if (j->file.fd >= 0) {
        fcntl(j->file.fd, F_OFD_SETLK, &all); /* a child that has just begun may hold them too */
        close(j->file.fd);
    }
    j->file.fd = -1;
}

void nsh__journal_destroy(nsh__journal *j)
{
    close_file(j);
    free(j->buffer);
    free(j->unwritten);
    j->buffer = j->unwritten = NULL;
}

/* Is a file that begins with n bytes of this header a journal, or one that was to become one? */
static int check_kind(const nsh__journal *j, const nsh__journal_head *head, int64_t n)
{
    switch (nsh__journal_head_kind(head, n)) {
    case NSH__HEAD_FOREIGN:
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: not a journal (rank %d)", j->path,
                         rank_of(j));
    case NSH__HEAD_OTHER:
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: of another version of nodeshare: its format is %c, not %c "
                         "(rank %d)",
                         j->path, nsh__journal_format(head), NSH__JOURNAL_FORMAT, rank_of(j));
    case NSH__HEAD_ORDER:
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: of a machine with another byte order (rank %d)", j->path,
                         rank_of(j));
    default:
        return NSH_SUCCESS;
    }
}

/* Is it one of these tasks? */
static int check_head(const nsh__journal *j, const nsh__journal_head *head)
{
    const nsh__journal_table *l = &j->ledger;

    if (head->tasks != l->tasks || head->result_bytes != l->result_bytes ||
        head->result_signature != l->result_signature)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "journal %s: has %" PRId64 " tasks with results of %" PRId64
                         " bytes, not %" PRId64 " of %" PRId64 ", or another type (rank %d)",
                         j->path, head->tasks, head->result_bytes, l->tasks, l->result_bytes,
                         rank_of(j));
    if (head->tag != l->tag)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "journal %s: is of other inputs: its tag is 0x%016" PRIx64
                         ", not 0x%016" PRIx64 " (rank %d)",
                         j->path, head->tag, l->tag, rank_of(j));
    return NSH_SUCCESS;
}

static int read_head(const nsh__journal *j, nsh__journal_head *out, int64_t *got)
{
    int rc = read_at(j, (char *)out, (int64_t)sizeof *out, 0, got);

    return rc == NSH_SUCCESS ? check_kind(j, out, *got) : rc;
}

/* *whole: there is a header, and not only the beginning of one. */
static int look_at_head(const nsh__journal *j, nsh_batch_mode mode, bool *whole)
{
    nsh__journal_head head;
    int64_t got = 0;
    int rc = read_head(j, &head, &got);

    *whole = got == (int64_t)sizeof head && mode != NSH_BATCH_OVERWRITE;
    if (rc != NSH_SUCCESS || !*whole)
        return rc;
    if (nsh__journal_head_kind(&head, got) == NSH__HEAD_DAMAGED)
        return nsh__fail(NSH_ERR_FORMAT,
                         "journal %s: its header is damaged; nsh salvage may mend it (rank %d)",
                         j->path, rank_of(j));
    return check_head(j, &head);
}

static int begin_file(nsh__journal *j)
{
    nsh__journal_head head;
    int rc = NSH_SUCCESS;

    nsh__journal_table_head(&j->ledger, &head);
    set_end(j, 0);
    if (ftruncate(j->file.fd, 0) != 0)
        return io_failed(j, NSH_ERR_IO, "ftruncate");
    rc = write_at_end(j, (const char *)&head, (int64_t)sizeof head);
    set_end(j, NSH__JOURNAL_HEAD); /* read like any other */
    return rc;
}

/* Another job, if this one has a slot. */
static bool anybody_else(const nsh__journal *j)
{
    for (int s = 0; s < NSH__SLOTS; s++)
        if (s != j->slot && !slot_free(j, s))
            return true;
    return false;
}

/* This process's job works in its slot. */
static int announce(nsh__journal *j, int64_t workers, nsh__manner manner)
{
    nsh__record record = {.kind = NSH__RECORD_JOIN,
                          .state = (uint8_t)manner,
                          .slot = (uint16_t)j->slot,
                          .value = (uint32_t)workers,
                          .result_bytes = (int64_t)sizeof(nsh__job)};
    nsh__job job = {.pid = (int64_t)getpid(), .witness = j->witness};

    gethostname(job.host, sizeof job.host - 1);
    return append_and_apply(j, &record, (const char *)&job);
}

/* The first free slot. */
static int take_slot(nsh__journal *j)
{
    int rc = NSH_ERR_BUSY;

    for (j->slot = 0; j->slot < NSH__SLOTS; j->slot++) {
        if (!slot_free(j, j->slot))
            continue;
        rc = set_lock(j, F_RDLCK, SLOT_BYTE + j->slot, false);
        if (rc != NSH_ERR_BUSY)
            return rc;
    }
    return nsh__fail(rc, "journal %s: %d jobs work on it (rank %d)", j->path, NSH__SLOTS,
                     rank_of(j));
}

static int release_dead(nsh__journal *j)
{
    int rc = NSH_SUCCESS;

    for (int s = 0; s < NSH__SLOTS && rc == NSH_SUCCESS; s++) {
        nsh__record record = {.kind = NSH__RECORD_RELEASE, .slot = (uint16_t)s};

        if (s != j->slot && j->ledger.area->running[s] > 0 && slot_free(j, s))
            rc = append_and_apply(j, &record, NULL);
    }
    return rc;
}

static int may_begin_anew(const nsh__journal *j, nsh_batch_mode mode)
{
    if (mode != NSH_BATCH_OVERWRITE || !anybody_else(j))
        return NSH_SUCCESS;
    return nsh__fail(NSH_ERR_BUSY, "journal %s: another job works on it (rank %d)", j->path,
                     rank_of(j));
}

/* A byte that nobody else locks: who sees that it is locked has the same file, on a file system
 * whose locks reach so far. */
static int lock_witness(nsh__journal *j)
{
    struct timespec t;
    uint64_t number;

    clock_gettime(CLOCK_REALTIME, &t);
    number = nsh__mix(nsh__mix(nsh__machine_host(), (uint64_t)getpid()), (uint64_t)(uintptr_t)j);
    number = nsh__mix(nsh__mix(number, (uint64_t)t.tv_sec), (uint64_t)t.tv_nsec);
    j->witness = (int64_t)(number % WITNESSES);
    return set_lock(j, F_WRLCK, WITNESS_BYTE + j->witness, false);
}

/* Under the lock, with the file open: nothing is written yet. */
static int admit(nsh__journal *j, nsh_batch_mode mode)
{
    bool whole;
    int rc = may_begin_anew(j, mode);

    if (rc == NSH_SUCCESS)
        rc = look_at_head(j, mode, &whole);
    if (rc == NSH_SUCCESS)
        rc = take_slot(j);
    return rc == NSH_SUCCESS ? lock_witness(j) : rc;
}

/* Open the file, or make one: at the end of a symbolic link, too. */
static int open_or_make(nsh__journal *j, nsh_batch_mode mode)
{
    int error = mode == NSH_BATCH_NEW ? ENOENT : try_open(j, O_RDWR);

    j->made = false;
    if (error == ENOENT) {
        error = try_open(j, O_RDWR | O_CREAT | O_EXCL);
        j->made = error == 0;
    }
    if (error == EEXIST && mode != NSH_BATCH_NEW)
        error = try_open(j, O_RDWR | O_CREAT);
    return check_open(j, error);
}

/* Whoever replaces or removes a file does not wait for its lock: then what is locked is not what
 * the next job finds. */
static int open_and_lock(nsh__journal *j, nsh_batch_mode mode)
{
    int rc;

    for (int tries = 0; tries < MOST_TRIES; tries++) {
        rc = open_or_make(j, mode);
        if (rc == NSH_SUCCESS)
            rc = lock_file(j);
        if (rc != NSH_SUCCESS || in_place(j))
            return rc;
        close_file(j);
    }
    return nsh__fail(NSH_ERR_IO, "journal %s: is replaced again and again (rank %d)", j->path,
                     rank_of(j));
}

int nsh__journal_enter(nsh__journal *j, nsh_batch_mode mode, int64_t *ticket)
{
    int rc = open_and_lock(j, mode);

    if (rc == NSH_SUCCESS) {
        rc = admit(j, mode);
        unlock_file(j);
    }
    if (rc == NSH_SUCCESS)
        *ticket = j->witness * NSH__SLOTS + j->slot;
    return rc;
}

int nsh__journal_attach(nsh__journal *j, int64_t ticket)
{
    bool seen = false;
    int rc = check_open(j, try_open(j, O_RDWR));

    j->slot = (int)(ticket % NSH__SLOTS);
    j->witness = ticket / NSH__SLOTS;
    if (rc == NSH_SUCCESS)
        rc = is_held(j, WITNESS_BYTE + j->witness, &seen);
    if (rc == NSH_SUCCESS && !seen)
        rc = nsh__fail(NSH_ERR_UNSUPPORTED,
                       "journal %s: rank 0's lock on it is not seen here: another file under this "
                       "path, or locks that stay on the host (rank %d)",
                       j->path, rank_of(j));
    if (rc == NSH_SUCCESS)
        rc = set_lock(j, F_RDLCK, SLOT_BYTE + j->slot, false);
    if (rc == NSH_ERR_BUSY)
        rc = nsh__fail(NSH_ERR_IO, "journal %s: slot %d is another job's (rank %d)", j->path,
                       j->slot, rank_of(j));
    return rc;
}

static bool ever_joined(const nsh__journal *j)
{
    for (int s = 0; s < NSH__SLOTS; s++)
        if (j->ledger.area->jobs[s].pid != 0)
            return true;
    return false;
}

static int write_states(nsh__journal *j, const nsh_task_state states[])
{
    int rc = NSH_SUCCESS;

    for (int64_t t = 0; t < j->ledger.tasks && rc == NSH_SUCCESS; t++) {
        nsh__record r = end_record(j, t, states[t]);

        if (states[t] >= NSH_TASK_DONE && j->ledger.states[t] == NSH_TASK_OPEN)
            rc = append_and_apply(j, &r, NULL);
    }
    return rc;
}

/* Under the lock. */
static int begin(nsh__journal *j, nsh_batch_mode mode, int workers, const nsh_task_state states[])
{
    bool whole = false;
    int rc = may_begin_anew(j, mode);

    if (rc == NSH_SUCCESS)
        rc = look_at_head(j, mode, &whole);
    if (rc != NSH_SUCCESS)
        return rc;
    if (!whole)
        rc = begin_file(j);
    set_end(j, NSH__JOURNAL_HEAD);
    if (rc == NSH_SUCCESS)
        rc = catch_up(j);
    if (rc == NSH_SUCCESS && states != NULL && !ever_joined(j))
        rc = write_states(j, states);
    if (rc == NSH_SUCCESS)
        rc = announce(j, workers, NSH__KILLED);
    j->joined = rc == NSH_SUCCESS;
    return j->joined ? release_dead(j) : rc;
}

int nsh__journal_begin(nsh__journal *j, nsh_batch_mode mode, int workers,
                       const nsh_task_state states[])
{
    int rc = lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = leave(j, begin(j, mode, workers, states), true);
    return rc == NSH_SUCCESS && j->sync
               ? nsh__disk_sync_directory("nsh_batch_create", j->path, j->file.fd)
               : rc;
}

int nsh__journal_read(nsh__journal *j)
{
    bool whole;
    int rc = look_at_head(j, NSH_BATCH_RESUME, &whole);

    if (rc == NSH_SUCCESS && !whole)
        rc = nsh__fail(NSH_ERR_FORMAT, "journal %s: is empty here (rank %d)", j->path, rank_of(j));
    if (rc != NSH_SUCCESS)
        return rc;
    set_end(j, NSH__JOURNAL_HEAD);
    return nsh__journal_catch_up(j, NULL);
}

void nsh__journal_ready(nsh__journal *j)
{
    j->ledger.slot = j->slot;
    j->ledger.witness = j->witness;
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

    nsh__detail_keep(&kept); /* of what it is discarded for */
    j->joined = j->joined && !j->made;
    if (j->made && j->file.fd >= 0) {
        rc = lock(j);
        if (rc == NSH_SUCCESS && !anybody_else(j))
            remove_file(j);
        if (rc == NSH_SUCCESS)
            unlock(j);
        /* Nobody can have joined where there are no locks. */
        if (rc == NSH_ERR_UNSUPPORTED && in_place(j) && file_size(j, &size) == NSH_SUCCESS &&
            size == 0)
            remove_file(j);
    }
    nsh__detail_restore(&kept);
}

/* ---- tasks ---- */

/* Under the lock, with all that others and this rank have to say. */
static int begin_change(nsh__journal *j)
{
    int rc = lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = catch_up(j);
    if (rc == NSH_SUCCESS)
        rc = flush(j);
    return rc == NSH_SUCCESS ? rc : leave(j, rc, true);
}

/* Of all jobs that live. A slot whose job has gone keeps its number of workers, so it is asked
 * for. */
static int64_t live_workers(const nsh__journal *j)
{
    const int64_t *workers = j->ledger.area->workers;
    int64_t sum = workers[j->slot];

    for (int s = 0; s < NSH__SLOTS; s++)
        if (s != j->slot && workers[s] > 0 && !slot_free(j, s))
            sum += workers[s];
    return sum;
}

/* Tasks that may be tried again; those that may not have FAILED. */
static int find(nsh__journal *j, int64_t most, int64_t *begin, int64_t *end)
{
    int rc = NSH_SUCCESS;

    for (;;) {
        nsh__record record = {
            .kind = NSH__RECORD_END, .state = NSH_TASK_FAILED, .slot = (uint16_t)j->slot};

        nsh__journal_table_find(&j->ledger, most, begin, end);
        if (rc != NSH_SUCCESS || *begin == *end || j->max_attempts == 0 ||
            j->ledger.attempts[*begin] < j->max_attempts)
            return rc;
        record.first = *begin;
        record.last = *end;
        rc = append_and_apply(j, &record, NULL);
        if (rc == NSH_SUCCESS)
            nsh__log("journal %s: task %" PRId64 " has FAILED: it ran when %d jobs were killed",
                     j->path, *begin, j->ledger.attempts[*begin]);
    }
}

/* The first slot of another job in which tasks run, as of the last record read; NSH__SLOTS:
 * none. */
static int other_job(const nsh__journal *j)
{
    int s = 0;

    while (s < NSH__SLOTS && (s == j->slot || j->ledger.area->running[s] == 0))
        s++;
    return s;
}

void nsh__journal_other(const nsh__journal *j, char text[NSH__JOB_TEXT])
{
    int s = other_job(j);

    snprintf(text, NSH__JOB_TEXT, "another job");
    if (s < NSH__SLOTS)
        snprintf(text, NSH__JOB_TEXT, "process %" PRId64 " on %.55s", j->ledger.area->jobs[s].pid,
                 j->ledger.area->jobs[s].host);
}

static int claim(nsh__journal *j, const nsh__claim_wish *wish, int64_t *begin, int64_t *end)
{
    nsh__journal_table *l = &j->ledger;
    nsh__record record = {.kind = NSH__RECORD_CLAIM, .slot = (uint16_t)j->slot};
    int64_t most;
    int rc;

    *begin = *end = 0;
    most = j->max_attempts > 0 ? 1 : nsh__min(wish->most, MOST_CLAIMED);
    if (most > 1)
        most = nsh__min(most, nsh__claim_part(wish, l->area->open, live_workers(j)));
    rc = find(j, most, &record.first, &record.last);
    if (rc == NSH_SUCCESS && record.first == record.last) {
        rc = release_dead(j);
        if (rc == NSH_SUCCESS)
            rc = find(j, most, &record.first, &record.last);
    }
    if (rc != NSH_SUCCESS || record.first == record.last)
        return rc;
    rc = append_and_apply(j, &record, NULL);
    if (rc == NSH_SUCCESS) {
        *begin = record.first;
        *end = record.last;
    }
    return rc;
}

int nsh__journal_claim(nsh__journal *j, const nsh__claim_wish *wish, int64_t *begin, int64_t *end,
                       bool *others)
{
    int rc = begin_change(j);

    if (rc != NSH_SUCCESS)
        return rc;
    *begin = *end = 0;
    if (atomic_load(&j->ledger.area->lost) == 0) /* otherwise leave says so, and nothing is taken */
        rc = claim(j, wish, begin, end);
    *others = *begin == *end && other_job(j) < NSH__SLOTS;
    return leave(j, rc, true);
}

/* For all ranks of the node that wait. */
static void write_for_all(nsh__journal *j)
{
    int rc = lock_again(j);
    bool locked = rc == NSH_SUCCESS;

    if (rc == NSH_SUCCESS)
        rc = catch_up(j);
    if (rc == NSH_SUCCESS)
        rc = flush(j);
    leave(j, rc, locked);
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
    nsh__record record = end_record(j, task, state);
    nsh__entry *own = nsh__journal_writer_own(&j->writer);
    unsigned waiting = NSH__ENTRY_WAITING;
    char *kept = result_of(j, task);
    int rc;

    if (record.result_bytes > 0 && result != NULL)
        memcpy(kept, result, (size_t)record.result_bytes);
    own->task = task;
    own->task_state = (int)state;
    atomic_store(&own->state, NSH__ENTRY_WAITING);
    rc = wait_for_answer(j, own);
    if (rc != NSH_SUCCESS) { /* of the communicator: what a writer has taken, it writes */
        if (!atomic_compare_exchange_strong(&own->state, &waiting, NSH__ENTRY_NONE))
            return rc;
        nsh__journal_table_apply(&j->ledger, &record, NULL);
        retain_unwritten(j, &record, kept);
        return rc;
    }
    if (own->code != NSH_SUCCESS && own->rank != rank_of(j))
        nsh__fail_from(own->code, own->rank, own->text);
    if (!own->written)
        retain_unwritten(j, &record, kept);
    return own->code;
}

/* What this job has taken; it is over, or will take more. */
static int give_back(nsh__journal *j, bool over)
{
    nsh__record record = {
        .kind = NSH__RECORD_RELEASE, .state = NSH__GIVEN_BACK, .slot = (uint16_t)j->slot};
    const nsh__journal_table_area *area = j->ledger.area;

    if (area->running[j->slot] == 0)
        return NSH_SUCCESS;
    return over ? append_and_apply(j, &record, NULL)
                : announce(j, area->workers[j->slot], NSH__GIVEN_BACK);
}

static int reopen(nsh__journal *j, unsigned states)
{
    nsh__record ended = {.kind = NSH__RECORD_REOPEN, .value = states & ~(1U << NSH_TASK_RUNNING)};
    int rc = NSH_SUCCESS;

    if (ended.value != 0)
        rc = append_and_apply(j, &ended, NULL);
    if (rc == NSH_SUCCESS && (states & 1U << NSH_TASK_RUNNING) != 0)
        rc = give_back(j, false);
    return rc;
}

int nsh__journal_reopen(nsh__journal *j, unsigned states)
{
    int rc = begin_change(j);

    return rc == NSH_SUCCESS ? leave(j, reopen(j, states), true) : rc;
}

int nsh__journal_leave(nsh__journal *j)
{
    int rc = begin_change(j);

    return rc == NSH_SUCCESS ? leave(j, give_back(j, true), true) : rc;
}

/* What is taken beyond a job's number of workers counts as OPEN; look: and all that was taken by
 * jobs that are gone. */
static void count(const nsh__journal *j, bool look, nsh_task_counts *out)
{
    const nsh__journal_table_area *area = j->ledger.area;

    *out = (nsh_task_counts){.size = sizeof *out,
                             .tasks = j->ledger.tasks,
                             .open = area->open,
                             .done = area->done,
                             .failed = area->failed};
    for (int s = 0; s < NSH__SLOTS; s++) {
        int64_t taken = area->running[s];
        int64_t running =
            look && taken > 0 && slot_free(j, s) ? 0 : nsh__min(taken, area->workers[s]);

        out->running += running;
        out->open += taken - running;
    }
}

int nsh__journal_catch_up(nsh__journal *j, nsh_task_counts *out)
{
    int rc = lock(j);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = catch_up(j);
    if (rc == NSH_SUCCESS && out != NULL)
        count(j, false, out);
    unlock(j);
    return rc;
}

/* ---- a process alone ---- */

/* A journal of which only the path is known. */
static int open_any(nsh__journal *j, const char *path, bool readonly)
{
    nsh__journal_head head;
    int64_t got = 0;
    int rc;

    *j = (nsh__journal){.path = path, .file = {.fd = -1}, .slot = -1, .readonly = readonly};
    rc = check_open(j, try_open(j, readonly ? O_RDONLY : O_RDWR));
    if (rc == NSH_SUCCESS)
        rc = read_head(j, &head, &got);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__journal_head_kind(&head, got) != NSH__HEAD_GOOD)
        return nsh__fail(NSH_ERR_FORMAT, "journal %s: %s", path,
                         got < (int64_t)sizeof head ? "its header is not written yet"
                                                    : "its header is damaged");
    j->ledger = (nsh__journal_table){.area = calloc(1, sizeof *j->ledger.area),
                                     .states = calloc((size_t)head.tasks + 1, 1),
                                     .tasks = head.tasks,
                                     .result_bytes = head.result_bytes,
                                     .result_signature = head.result_signature,
                                     .tag = head.tag,
                                     .slot = -1};
    j->capacity = 2 * (head.result_bytes + 8 + NSH__RECORD);
    if (j->capacity < ROOM)
        j->capacity = ROOM;
    j->buffer = malloc((size_t)j->capacity);
    if (j->ledger.area == NULL || j->ledger.states == NULL || j->buffer == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "journal %s: no memory for %" PRId64 " tasks", path,
                         head.tasks);
    nsh__journal_table_init(&j->ledger);
    set_end(j, NSH__JOURNAL_HEAD);
    return NSH_SUCCESS;
}

static void close_any(nsh__journal *j)
{
    free(j->ledger.area);
    free((void *)j->ledger.states);
    nsh__journal_destroy(j);
}

int nsh__journal_status(const char *path, nsh_task_counts *out)
{
    nsh__journal j;
    int rc = open_any(&j, path, true);

    if (rc == NSH_SUCCESS)
        rc = catch_up(&j);
    if (rc == NSH_SUCCESS)
        count(&j, true, out);
    close_any(&j);
    return rc;
}

int nsh__journal_reset(const char *path, unsigned states)
{
    nsh__journal j;
    bool whole;
    int rc = open_any(&j, path, false);

    if (rc == NSH_SUCCESS)
        rc = lock(&j);
    if (rc == NSH_SUCCESS) {
        rc = look_at_head(&j, NSH_BATCH_RESUME, &whole);
        if (rc == NSH_SUCCESS)
            rc = catch_up(&j);
        if (rc == NSH_SUCCESS)
            rc = release_dead(&j);
        if (rc == NSH_SUCCESS)
            rc = reopen(&j, states & ~(1U << NSH_TASK_RUNNING));
        unlock(&j);
        if (rc == NSH_SUCCESS)
            rc = sync_data(&j);
    }
    close_any(&j);
    return rc;
}
