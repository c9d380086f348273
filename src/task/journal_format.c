/* SPDX-License-Identifier: BSD-3-Clause */
/* journal_format.c -- the bytes of a journal.
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

void nsh__journal_table_init(nsh__journal_table *table)
{
    memset(table->area, 0, sizeof *table->area);
    table->area->open = table->area->fresh = table->tasks;
}

/* ---- the header ---- */

static uint64_t head_sum(const nsh__journal_head *head)
{
    return nsh__mix_bytes(0x6e7368, head, offsetof(nsh__journal_head, checksum));
}

void nsh__journal_table_head(const nsh__journal_table *table, nsh__journal_head *out)
{
    *out = (nsh__journal_head){.order = ORDER,
                               .bytes = NSH__JOURNAL_HEAD,
                               .tasks = table->tasks,
                               .result_bytes = table->result_bytes,
                               .result_signature = table->result_signature,
                               .tag = table->tag};
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
        bytes[i]++; /* its old value again */
    }
    return false;
}

char nsh__journal_format(const nsh__journal_head *head)
{
    char format = head->magic[NAME];

    return format > ' ' && format <= '~' ? format : '?';
}

/* ---- records ---- */

static int64_t padded_bytes(int64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

int64_t nsh__record_bytes(const nsh__record *record)
{
    return NSH__RECORD + padded_bytes(record->result_bytes);
}

/* A checksum is the sum of the bytes, XOR the place times an odd number. So the bytes and the
 * checksum together tell the place for which they were written. */
static const uint64_t place_factor = 0x9e3779b97f4a7c15u, place_inverse = 0xf1de83e19937733du;

#define FARTHEST (UINT64_C(1) << 48) /* every place is below */

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

/* Bytes that follow a record of this kind. */
static int64_t bytes_after(const nsh__journal_table *table, const nsh__record *r)
{
    if (r->kind == NSH__RECORD_JOIN)
        return (int64_t)sizeof(nsh__job);
    return r->kind == NSH__RECORD_END && r->state == NSH_TASK_DONE ? table->result_bytes : 0;
}

/* Can this record belong to a journal with this table? */
static bool record_fits(const nsh__journal_table *table, const nsh__record *r)
{
    return r->kind >= NSH__RECORD_JOIN && r->kind < NSH__RECORD_KINDS && r->slot < NSH__SLOTS &&
           r->state <= NSH_TASK_FAILED && r->first >= 0 && r->first <= r->last &&
           r->last <= table->tasks && r->result_bytes == bytes_after(table, r);
}

int64_t nsh__record_find(const nsh__journal_table *table, const char *bytes, int64_t n,
                         int64_t *place, nsh__record *out, const char **result)
{
    uint64_t origin;
    int64_t all;

    if (n < NSH__RECORD)
        return 0;
    memcpy(out, bytes, sizeof *out);
    if (!record_fits(table, out))
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

int64_t nsh__record_read(const nsh__journal_table *table, const char *bytes, int64_t n,
                         int64_t place, nsh__record *out, const char **result)
{
    int64_t origin, all = nsh__record_find(table, bytes, n, &origin, out, result);

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

static unsigned char state_in_table(const nsh__journal_table *table, int64_t task)
{
    return atomic_load_explicit(&table->states[task], memory_order_relaxed);
}

static unsigned attempts_of(const nsh__journal_table *table, int64_t task)
{
    return table->attempts != NULL ? table->attempts[task] : 0;
}

static bool is_fresh(const nsh__journal_table *table, int64_t task)
{
    return state_in_table(table, task) == NSH_TASK_OPEN && attempts_of(table, task) == 0;
}

/* release: a reader that sees DONE sees the result. */
static void set_state(nsh__journal_table *table, int64_t task, unsigned char state)
{
    nsh__journal_table_area *area = table->area;

    area->fresh -= is_fresh(table, task);
    --*count_of(area, state_in_table(table, task));
    nsh__assert(*count_of(area, state_in_table(table, task)) >= 0 && area->fresh >= 0,
                "task %" PRId64 " leaves state 0x%x with a count of %" PRId64 ", %" PRId64 " fresh",
                task, state_in_table(table, task), *count_of(area, state_in_table(table, task)),
                area->fresh);
    ++*count_of(area, state);
    atomic_store_explicit(&table->states[task], state, memory_order_release);
    if (!is_fresh(table, task))
        return;
    area->fresh++;
    if (task < area->lowest)
        area->lowest = task;
}

/* Only for a task that is not OPEN. */
static void set_attempts(nsh__journal_table *table, int64_t task, unsigned attempts)
{
    if (table->attempts != NULL && attempts <= UCHAR_MAX)
        table->attempts[task] = (unsigned char)attempts;
}

static void reopen_task(nsh__journal_table *table, int64_t task)
{
    set_state(table, task, NSH_TASK_OPEN);
    if (table->results != NULL)
        memset(table->results + task * table->result_bytes, 0, (size_t)table->result_bytes);
}

static void release_slot(nsh__journal_table *table, unsigned slot, unsigned manner)
{
    unsigned char running = (unsigned char)(slot << NSH__STATE_BITS | NSH_TASK_RUNNING);

    for (int64_t t = 0; t < table->tasks && table->area->running[slot] > 0; t++) {
        if (state_in_table(table, t) != running)
            continue;
        if (manner == NSH__KILLED)
            set_attempts(table, t, attempts_of(table, t) + 1);
        reopen_task(table, t);
    }
    table->area->workers[slot] = 0;
}

static void apply_join(nsh__journal_table *table, const nsh__record *record, const char *name)
{
    nsh__job *job = &table->area->jobs[record->slot];

    release_slot(table, record->slot, record->state);
    table->area->workers[record->slot] = record->value;
    memcpy(job, name, sizeof *job);
    job->host[sizeof job->host - 1] = 0;
}

static void reopen_ended(nsh__journal_table *table, unsigned from)
{
    for (int64_t t = 0; t < table->tasks; t++) {
        unsigned char state = state_in_table(table, t);

        if (state <= NSH_TASK_RUNNING || state > NSH_TASK_FAILED || (from & 1U << state) == 0)
            continue;
        set_attempts(table, t, 0);
        reopen_task(table, t);
    }
}

static void apply_end(nsh__journal_table *table, const nsh__record *record, const char *result)
{
    /* A task that is DONE stays so, whatever else has been written about it. */
    if (record->first >= table->tasks ||
        (state_in_table(table, record->first) & NSH__STATE_MASK) == NSH_TASK_DONE)
        return;
    if (table->results != NULL && record->state == NSH_TASK_DONE && result != NULL)
        memcpy(table->results + record->first * table->result_bytes, result,
               (size_t)table->result_bytes);
    set_state(table, record->first,
              record->state == NSH_TASK_RUNNING ? NSH_TASK_OPEN : record->state);
}

void nsh__journal_table_apply(nsh__journal_table *table, const nsh__record *record,
                              const char *result)
{
    switch (record->kind) {
    case NSH__RECORD_JOIN:
        apply_join(table, record, result);
        break;
    case NSH__RECORD_RELEASE:
        release_slot(table, record->slot, record->state);
        break;
    case NSH__RECORD_CLAIM:
        for (int64_t t = record->first; t < record->last; t++)
            if (state_in_table(table, t) == NSH_TASK_OPEN)
                set_state(table, t,
                          (unsigned char)(record->slot << NSH__STATE_BITS | NSH_TASK_RUNNING));
        break;
    case NSH__RECORD_END:
        apply_end(table, record, result);
        break;
    default:
        reopen_ended(table, record->value);
    }
}

/* Has another job begun in this job's slot, or released it? */
static bool takes_slot(const nsh__journal_table *table, const nsh__record *record,
                       const char *result)
{
    nsh__job job;

    if (record->slot != table->slot ||
        (record->kind != NSH__RECORD_JOIN && record->kind != NSH__RECORD_RELEASE))
        return false;
    if (record->kind == NSH__RECORD_RELEASE)
        return true;
    memcpy(&job, result, sizeof job);
    return job.witness != table->witness;
}

int64_t nsh__journal_table_replay(nsh__journal_table *table, const char *bytes, int64_t n,
                                  int64_t place)
{
    const char *result;
    nsh__record record;
    int64_t done = 0, all;

    while ((all = nsh__record_read(table, bytes + done, n - done, place + done, &record, &result)) >
           0) {
        if (takes_slot(table, &record, result))
            atomic_store(&table->area->robbed, true);
        nsh__journal_table_apply(table, &record, result);
        done += all;
    }
    return done;
}

bool nsh__journal_table_any_record(const nsh__journal_table *table, const char *bytes, int64_t n)
{
    const char *result;
    nsh__record record;
    int64_t place;

    for (int64_t at = 0; at + NSH__RECORD <= n; at++)
        if (nsh__record_find(table, bytes + at, n - at, &place, &record, &result) > 0)
            return true;
    return false;
}

/* The first of the OPEN tasks with the fewest attempts, or table->tasks if no task is OPEN. */
static int64_t find_tried(const nsh__journal_table *table)
{
    int64_t best = table->tasks;

    for (int64_t t = 0; t < table->tasks; t++)
        if (state_in_table(table, t) == NSH_TASK_OPEN &&
            (best == table->tasks || attempts_of(table, t) < attempts_of(table, best)))
            best = t;
    return best;
}

void nsh__journal_table_find(nsh__journal_table *table, int64_t most, int64_t *begin, int64_t *end_)
{
    int64_t t = table->area->lowest;

    if (table->area->fresh == 0) {
        table->area->lowest = table->tasks;
        *begin = table->area->open > 0 ? find_tried(table) : table->tasks;
        *end_ = *begin + (*begin < table->tasks);
        return;
    }
    while (t < table->tasks && !is_fresh(table, t))
        t++;
    table->area->lowest = *begin = t;
    while (t < table->tasks && t - *begin < most && is_fresh(table, t))
        t++;
    *end_ = t;
}
