/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_format.c -- what a journal's bytes say.
 *
 * Invariant: the counts are those of the states and attempts, and no task below area->lowest is
 * OPEN without an attempt. */
#include "task/journal_format.h"

#include "base/assert.h"
#include "base/hash.h"

#include <nodeshare/batch.h>

#include <inttypes.h>
#include <limits.h>
#include <string.h>

_Static_assert(sizeof(nsh__record) == NSH__RECORD, "a record has no holes");
_Static_assert(sizeof(nsh__journal_head) == NSH__JOURNAL_HEAD, "nor has the header");

/* Format 1 was that of 0.1: its header has no tag, and its result_signature depends on the MPI. */
static const char magic[8] = {'n', 's', 'h', 'j', 'r', 'n', 'l', NSH__JOURNAL_FORMAT};

enum { ORDER = 0x01020304, REVERSE = 0x04030201, NAME = sizeof magic - 1 };

void nsh__journal_table_init(nsh__journal_table *ledger)
{
    memset(ledger->area, 0, sizeof *ledger->area);
    ledger->area->open = ledger->area->fresh = ledger->tasks;
}

/* ---- the header ---- */

static uint64_t head_sum(const nsh__journal_head *head)
{
    return nsh__mix_bytes(0x6e7368, head, offsetof(nsh__journal_head, checksum));
}

void nsh__journal_table_head(const nsh__journal_table *ledger, nsh__journal_head *out)
{
    *out = (nsh__journal_head){.order = ORDER,
                               .bytes = NSH__JOURNAL_HEAD,
                               .tasks = ledger->tasks,
                               .result_bytes = ledger->result_bytes,
                               .result_signature = ledger->result_signature,
                               .tag = ledger->tag};
    memcpy(out->magic, magic, sizeof magic);
    out->checksum = head_sum(out);
}

nsh__head_kind nsh__journal_head_kind(const nsh__journal_head *head, int64_t n)
{
    const int64_t all = NSH__JOURNAL_HEAD, name = NAME;

    if (n == 0)
        return NSH__HEAD_EMPTY;
    if (memcmp(head->magic, magic, (size_t)(n < name ? n : name)) != 0)
        return NSH__HEAD_FOREIGN;
    if (n > name && head->magic[NAME] != magic[NAME])
        return NSH__HEAD_OTHER;
    if (n < all)
        return NSH__HEAD_BEGUN;
    if (head->order == REVERSE)
        return NSH__HEAD_ORDER;
    if (head->order != ORDER || head->bytes != NSH__JOURNAL_HEAD ||
        head->checksum != head_sum(head) || head->tasks < 0 || head->result_bytes < 0)
        return NSH__HEAD_DAMAGED;
    return NSH__HEAD_GOOD;
}

bool nsh__journal_head_mend(nsh__journal_head *head)
{
    unsigned char *bytes = (unsigned char *)head;

    for (size_t i = 0; i < sizeof *head; i++) {
        for (int more = 1; more < 256; more++) {
            bytes[i]++;
            if (nsh__journal_head_kind(head, NSH__JOURNAL_HEAD) == NSH__HEAD_GOOD)
                return true;
        }
        bytes[i]++; /* what it was */
    }
    return false;
}

char nsh__journal_format(const nsh__journal_head *head)
{
    char format = head->magic[NAME];

    return format > ' ' && format <= '~' ? format : '?';
}

/* ---- records ---- */

static int64_t padded(int64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

int64_t nsh__record_bytes(const nsh__record *record)
{
    return NSH__RECORD + padded(record->result_bytes);
}

/* A checksum is the sum of the bytes, and the place times an odd number over it: from the bytes and
 * the checksum follows the place for which they were written. */
static const uint64_t place_factor = 0x9e3779b97f4a7c15u, place_inverse = 0xf1de83e19937733du;

#define FARTHEST (UINT64_C(1) << 48) /* no place is that far */

/* n is a multiple of 8. */
static uint64_t record_sum(const char *bytes, int64_t n)
{
    uint64_t sum = 0x6a6f75726e616c, word;

    for (int64_t i = (int64_t)sizeof sum; i < n; i += (int64_t)sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        sum = nsh__mix(sum, word);
    }
    return nsh__mix(sum, (uint64_t)n);
}

void nsh__record_write(const nsh__record *record, const void *result, int64_t place, char *out)
{
    int64_t bytes = nsh__record_bytes(record);
    uint64_t sum;

    memset(out, 0, (size_t)bytes);
    memcpy(out, record, sizeof *record);
    if (record->result_bytes > 0 && result != NULL)
        memcpy(out + sizeof *record, result, (size_t)record->result_bytes);
    sum = record_sum(out, bytes) ^ (uint64_t)place * place_factor;
    memcpy(out, &sum, sizeof sum);
}

/* Bytes that follow such a record. */
static int64_t bytes_behind(const nsh__journal_table *ledger, const nsh__record *r)
{
    if (r->kind == NSH__RECORD_JOIN)
        return (int64_t)sizeof(nsh__job);
    return r->kind == NSH__RECORD_END && r->state == NSH_TASK_DONE ? ledger->result_bytes : 0;
}

/* Could such a record be one of this ledger? */
static bool fits(const nsh__journal_table *ledger, const nsh__record *r)
{
    return r->kind >= NSH__RECORD_JOIN && r->kind < NSH__RECORD_KINDS && r->slot < NSH__SLOTS &&
           r->state <= NSH_TASK_FAILED && r->first >= 0 && r->first <= r->last &&
           r->last <= ledger->tasks && r->result_bytes == bytes_behind(ledger, r);
}

int64_t nsh__record_find(const nsh__journal_table *ledger, const char *bytes, int64_t n,
                         int64_t *place, nsh__record *out, const char **result)
{
    uint64_t origin;
    int64_t all;

    if (n < NSH__RECORD)
        return 0;
    memcpy(out, bytes, sizeof *out);
    if (!fits(ledger, out))
        return 0;
    all = nsh__record_bytes(out);
    if (n < all)
        return 0;
    origin = (record_sum(bytes, all) ^ out->checksum) * place_inverse;
    if (origin % 8 != 0 || origin >= FARTHEST)
        return 0;
    *place = (int64_t)origin;
    *result = bytes + sizeof *out;
    return all;
}

int64_t nsh__record_read(const nsh__journal_table *ledger, const char *bytes, int64_t n,
                         int64_t place, nsh__record *out, const char **result)
{
    int64_t origin, all = nsh__record_find(ledger, bytes, n, &origin, out, result);

    return all > 0 && origin == place ? all : 0;
}

/* ---- states ---- */

static int64_t *count_of(nsh__journal_table_area *area, unsigned char state)
{
    switch (state & NSH__STATE_MASK) {
    case NSH_TASK_OPEN:
        return &area->open;
    case NSH_TASK_RUNNING:
        return &area->running[state >> NSH__STATE_BITS];
    case NSH_TASK_DONE:
        return &area->done;
    default:
        return &area->failed;
    }
}

static unsigned char state_of(const nsh__journal_table *ledger, int64_t task)
{
    return atomic_load_explicit(&ledger->states[task], memory_order_relaxed);
}

static unsigned attempts_of(const nsh__journal_table *ledger, int64_t task)
{
    return ledger->attempts != NULL ? ledger->attempts[task] : 0;
}

static bool is_fresh(const nsh__journal_table *ledger, int64_t task)
{
    return state_of(ledger, task) == NSH_TASK_OPEN && attempts_of(ledger, task) == 0;
}

/* release: who sees DONE sees the result. */
static void set_state(nsh__journal_table *ledger, int64_t task, unsigned char state)
{
    nsh__journal_table_area *area = ledger->area;

    area->fresh -= is_fresh(ledger, task);
    --*count_of(area, state_of(ledger, task));
    nsh__assert(*count_of(area, state_of(ledger, task)) >= 0 && area->fresh >= 0,
                "task %" PRId64 " leaves state 0x%x with a count of %" PRId64 ", %" PRId64 " fresh",
                task, state_of(ledger, task), *count_of(area, state_of(ledger, task)), area->fresh);
    ++*count_of(area, state);
    atomic_store_explicit(&ledger->states[task], state, memory_order_release);
    if (!is_fresh(ledger, task))
        return;
    area->fresh++;
    if (task < area->lowest)
        area->lowest = task;
}

/* Of a task that is not OPEN. */
static void set_attempts(nsh__journal_table *ledger, int64_t task, unsigned attempts)
{
    if (ledger->attempts != NULL && attempts <= UCHAR_MAX)
        ledger->attempts[task] = (unsigned char)attempts;
}

static void reopen(nsh__journal_table *ledger, int64_t task)
{
    set_state(ledger, task, NSH_TASK_OPEN);
    if (ledger->results != NULL)
        memset(ledger->results + task * ledger->result_bytes, 0, (size_t)ledger->result_bytes);
}

static void release(nsh__journal_table *ledger, unsigned slot, unsigned manner)
{
    unsigned char running = (unsigned char)(slot << NSH__STATE_BITS | NSH_TASK_RUNNING);

    for (int64_t t = 0; t < ledger->tasks && ledger->area->running[slot] > 0; t++) {
        if (state_of(ledger, t) != running)
            continue;
        if (manner == NSH__KILLED)
            set_attempts(ledger, t, attempts_of(ledger, t) + 1);
        reopen(ledger, t);
    }
    ledger->area->workers[slot] = 0;
}

static void join(nsh__journal_table *ledger, const nsh__record *record, const char *name)
{
    nsh__job *job = &ledger->area->jobs[record->slot];

    release(ledger, record->slot, record->state);
    ledger->area->workers[record->slot] = record->value;
    memcpy(job, name, sizeof *job);
    job->host[sizeof job->host - 1] = 0;
}

static void reopen_ended(nsh__journal_table *ledger, unsigned from)
{
    for (int64_t t = 0; t < ledger->tasks; t++) {
        unsigned char state = state_of(ledger, t);

        if (state <= NSH_TASK_RUNNING || state > NSH_TASK_FAILED || (from & 1U << state) == 0)
            continue;
        set_attempts(ledger, t, 0);
        reopen(ledger, t);
    }
}

static void end(nsh__journal_table *ledger, const nsh__record *record, const char *result)
{
    /* A task that is DONE stays so, whatever else has been written about it. */
    if (record->first >= ledger->tasks ||
        (state_of(ledger, record->first) & NSH__STATE_MASK) == NSH_TASK_DONE)
        return;
    if (ledger->results != NULL && record->state == NSH_TASK_DONE && result != NULL)
        memcpy(ledger->results + record->first * ledger->result_bytes, result,
               (size_t)ledger->result_bytes);
    set_state(ledger, record->first,
              record->state == NSH_TASK_RUNNING ? NSH_TASK_OPEN : record->state);
}

void nsh__journal_table_apply(nsh__journal_table *ledger, const nsh__record *record,
                              const char *result)
{
    switch (record->kind) {
    case NSH__RECORD_JOIN:
        join(ledger, record, result);
        break;
    case NSH__RECORD_RELEASE:
        release(ledger, record->slot, record->state);
        break;
    case NSH__RECORD_CLAIM:
        for (int64_t t = record->first; t < record->last; t++)
            if (state_of(ledger, t) == NSH_TASK_OPEN)
                set_state(ledger, t,
                          (unsigned char)(record->slot << NSH__STATE_BITS | NSH_TASK_RUNNING));
        break;
    case NSH__RECORD_END:
        end(ledger, record, result);
        break;
    default:
        reopen_ended(ledger, record->value);
    }
}

/* Does another job join in this one's slot? */
static bool is_robbed(const nsh__journal_table *ledger, const nsh__record *record,
                      const char *result)
{
    nsh__job job;

    if (record->slot != ledger->slot ||
        (record->kind != NSH__RECORD_JOIN && record->kind != NSH__RECORD_RELEASE))
        return false;
    if (record->kind == NSH__RECORD_RELEASE)
        return true;
    memcpy(&job, result, sizeof job);
    return job.witness != ledger->witness;
}

int64_t nsh__journal_table_replay(nsh__journal_table *ledger, const char *bytes, int64_t n,
                                  int64_t place)
{
    const char *result;
    nsh__record record;
    int64_t done = 0, all;

    while ((all = nsh__record_read(ledger, bytes + done, n - done, place + done, &record,
                                   &result)) > 0) {
        if (is_robbed(ledger, &record, result))
            atomic_store(&ledger->area->robbed, true);
        nsh__journal_table_apply(ledger, &record, result);
        done += all;
    }
    return done;
}

bool nsh__journal_table_any_record(const nsh__journal_table *ledger, const char *bytes, int64_t n)
{
    const char *result;
    nsh__record record;
    int64_t place;

    for (int64_t at = 0; at + NSH__RECORD <= n; at++)
        if (nsh__record_find(ledger, bytes + at, n - at, &place, &record, &result) > 0)
            return true;
    return false;
}

/* The first of the OPEN tasks with the fewest attempts; tasks: there is none. */
static int64_t find_tried(const nsh__journal_table *ledger)
{
    int64_t best = ledger->tasks;

    for (int64_t t = 0; t < ledger->tasks; t++)
        if (state_of(ledger, t) == NSH_TASK_OPEN &&
            (best == ledger->tasks || attempts_of(ledger, t) < attempts_of(ledger, best)))
            best = t;
    return best;
}

void nsh__journal_table_find(nsh__journal_table *ledger, int64_t most, int64_t *begin,
                             int64_t *end_)
{
    int64_t t = ledger->area->lowest;

    if (ledger->area->fresh == 0) {
        ledger->area->lowest = ledger->tasks;
        *begin = ledger->area->open > 0 ? find_tried(ledger) : ledger->tasks;
        *end_ = *begin + (*begin < ledger->tasks);
        return;
    }
    while (t < ledger->tasks && !is_fresh(ledger, t))
        t++;
    ledger->area->lowest = *begin = t;
    while (t < ledger->tasks && t - *begin < most && is_fresh(ledger, t))
        t++;
    *end_ = t;
}
