/* SPDX-License-Identifier: BSD-3-Clause */
/* file_merge.c -- hyperslabs in short runs are written in long ones: two-phase output.
 *
 * The ranks go through the file in rounds. In each round a window of the file is divided among the
 * writing nodes, a part for each. First every rank copies its bytes of the window to the shared
 * memory of its node, and the leaders send each part to the node that writes it; then the ranks of
 * that node write it. A part belongs to one node alone, so a gap between short runs may be read and
 * written back with them. (Thakur, Gropp and Lusk, "Data sieving and collective I/O in ROMIO",
 * Frontiers 1999.)
 *
 * Invariant: between rounds all marks are zero; within a round a unit of a part is marked when a
 * rank has put its bytes there, and unmarked bytes of the file keep their values. */
#include "base/fault.h"
#include "base/hash.h"
#include "core/agree.h"
#include "core/comm_break.h"
#include "core/message.h"
#include "core/shared.h"
#include "file/file.h"
#include "file/file_part.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART = 512 << 10, /* bytes of the file that a node writes in a round */
    NODES = 16,       /* that write, at most; more would need memory on every node and be hardly
                         faster */
    LEAST = 64 << 10, /* fewer bytes than this are not worth a write by another rank */
    UNIT = 4096,      /* of marks, at most */
    GAP = 4096,       /* shorter gaps are read and written back */
    SHORT = 8 << 10   /* runs from this length on are written one by one, which is as fast */
};

typedef struct merge {
    nsh_file *file;
    nsh__call call;
    const nsh__found *found;
    const nsh__partition *partition;
    nsh__shared memory; /* of the node: parts, then their marks */
    int fd;             /* where this rank's node writes */
    int parts;          /* in a window: one for each of the first nodes */
    int64_t unit;       /* divides all offsets and lengths in the file; */
    int64_t units;      /* units of a part */
    nsh__slab bytes;    /* this rank's, where they are in the file */
    int64_t done;       /* how many of these bytes are in memory already */
    int64_t begin;      /* byte of the file at which the window begins */
    char *gaps;         /* private memory, for what is read from the file */
    char *out, *in;     /* and on a leader for messages */
} merge;

bool nsh__file_is_short(const nsh__partition *partition)
{
    nsh__slab slab;

    nsh__slab_of(&slab, partition->ndim, partition->extent, partition->offset, partition->count,
                 partition->type->itemsize);
    return slab.nbytes > 0 && slab.ndim > 0 && slab.run < SHORT;
}

static char *data_of(const merge *m, int part)
{
    return m->memory.block.rw + (int64_t)part * PART;
}

static char *marks_of(const merge *m, int part)
{
    return data_of(m, m->parts) + part * m->units;
}

/* ---- the first phase: bytes are collected ---- */

/* The slab as it lies in memory whose first byte is byte `begin` of the file, each unit counting
 * as one byte. */
static nsh__slab slab_in_units(const nsh__slab *slab, int64_t begin, int64_t unit)
{
    nsh__slab scaled = *slab;

    scaled.nbytes /= unit;
    scaled.start = (slab->start - begin) / unit;
    scaled.run /= unit;
    for (int d = 0; d < slab->ndim; d++)
        scaled.stride[d] /= unit;
    return scaled;
}

/* Copy this rank's bytes of the window, and their marks, to the node's memory. */
static void put_bytes(merge *m)
{
    int64_t end = nsh__slab_before(&m->bytes, m->begin + (int64_t)m->parts * PART);
    nsh__slab window = slab_in_units(&m->bytes, m->begin, 1), packed;
    nsh__slab marks = slab_in_units(&m->bytes, m->begin, m->unit);
    char ones[1024];

    nsh__slab_packed(&packed, m->partition->nbytes);
    nsh__slab_copy(data_of(m, 0), &window, m->partition->data, &packed, m->done, end - m->done);
    memset(ones, 1, sizeof ones);
    for (int64_t at = m->done / m->unit, left = end / m->unit - at; left > 0;) {
        int64_t n = left < (int64_t)sizeof ones ? left : (int64_t)sizeof ones;

        nsh__slab_unpack(marks_of(m, 0), &marks, at, n, ones);
        at += n;
        left -= n;
    }
    m->done = end;
}

/* Find the next marked units of n at or after *at: *at becomes their begin; returns their number.
 */
static int64_t next_marked(const char *marks, int64_t n, int64_t *at)
{
    const char *first = memchr(marks + *at, 1, (size_t)(n - *at)), *end;

    if (first == NULL)
        return 0;
    *at = first - marks;
    end = memchr(first, 0, (size_t)(n - *at));
    return (end != NULL ? end - marks : n) - *at;
}

/* Pack a part as a message: its marks, then the bytes of the marked units; 0 bytes if no unit is
 * marked. The part has no marks afterwards. */
static int64_t pack_part(const merge *m, int part, char *out)
{
    int64_t units = m->units, bytes = units, n;
    char *marks = marks_of(m, part);

    memcpy(out, marks, (size_t)units);
    for (int64_t at = 0; at < units && (n = next_marked(marks, units, &at)) > 0; at += n) {
        memcpy(out + bytes, data_of(m, part) + at * m->unit, (size_t)(n * m->unit));
        memset(marks + at, 0, (size_t)n);
        bytes += n * m->unit;
    }
    return bytes > units ? bytes : 0;
}

/* Unpack such a message into the part that this node writes. */
static void unpack_part(const merge *m, const char *in)
{
    int part = m->file->comm->node_index;
    int64_t units = m->units, bytes = units, n;

    for (int64_t at = 0; at < units && (n = next_marked(in, units, &at)) > 0; at += n) {
        memcpy(data_of(m, part) + at * m->unit, in + bytes, (size_t)(n * m->unit));
        memset(marks_of(m, part) + at, 1, (size_t)n);
        bytes += n * m->unit;
    }
}

/* [leader] Send one message to the node `shift` after this one and receive one from the node
 * `shift` before it; only nodes that write receive. */
static int exchange_parts(const merge *m, int shift)
{
    nsh_comm *comm = m->file->comm;
    int nodes = comm->node_count, me = comm->node_index, rc = NSH_SUCCESS;
    int to = (me + shift) % nodes, from = (me - shift + nodes) % nodes;
    MPI_Request sent = MPI_REQUEST_NULL, got = MPI_REQUEST_NULL;
    int64_t bytes = 0;

    if (me < m->parts)
        rc = nsh__irecv(comm, m->in, PART + m->units, comm->leader_of[from], NSH__TAG_FILE, &got);
    if (rc == NSH_SUCCESS && to < m->parts)
        rc = nsh__isend(comm, m->out, pack_part(m, to, m->out), comm->leader_of[to], NSH__TAG_FILE,
                        &sent);
    if (rc == NSH_SUCCESS && me < m->parts)
        rc = nsh__wait_received(&comm->wait, &got, &bytes);
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, 1, &sent);
    if (rc != NSH_SUCCESS) {
        nsh__drop_request(&got, true);
        nsh__drop_request(&sent, false);
        return nsh__comm_break(comm, rc);
    }
    if (bytes > 0)
        unpack_part(m, m->in);
    return NSH_SUCCESS;
}

/* [collective] Collect the bytes of this node's ranks, and then those of other nodes, in this
 * node's part. */
static int gather_parts(merge *m)
{
    nsh_comm *comm = m->file->comm;
    int rc;

    put_bytes(m);
    rc = nsh__agree_node(comm, m->call);
    if (rc != NSH_SUCCESS || comm->node_count == 1)
        return rc;
    for (int shift = 1; shift < comm->node_count && nsh__comm_leads(comm); shift++) {
        rc = exchange_parts(m, shift);
        if (rc != NSH_SUCCESS)
            return rc;
    }
    return nsh__agree_node(comm, m->call);
}

/* ---- the second phase: they are written ---- */

static int write_bytes(const merge *m, int64_t at, const char *data, int64_t n)
{
    nsh__slab all;

    m->file->dirty_fd = m->fd;
    nsh__slab_packed(&all, n);
    return nsh__disk_write(nsh__call_name(m->call), m->file->path, m->fd, at, &all, data, &all, 0,
                           n);
}

/* Read the bytes between the marked units [from, to) of this node's part from the file. */
static int read_gaps(const merge *m, int64_t from, int64_t to)
{
    const char *marks = marks_of(m, m->file->comm->node_index);
    char *data = data_of(m, m->file->comm->node_index);
    int64_t part = m->begin + (int64_t)m->file->comm->node_index * PART;
    nsh__slab all;
    int rc;

    nsh__slab_packed(&all, (to - from) * m->unit);
    rc = nsh__disk_read(nsh__call_name(m->call), m->file->path, m->fd, part + from * m->unit, &all,
                        m->gaps, &all, 0, all.nbytes);
    for (int64_t at = from, end; at < to && rc == NSH_SUCCESS; at = end) {
        const char *gap = memchr(marks + at, 0, (size_t)(to - at));

        if (gap == NULL)
            break;
        end = gap - marks;
        at = end;
        next_marked(marks, to, &end);
        memcpy(data + at * m->unit, m->gaps + (at - from) * m->unit,
               (size_t)((end - at) * m->unit));
    }
    return rc;
}

/* Find the next stretch of marked units in [*at, end), with the short gaps in it: *at becomes its
 * begin; returns its units. Where nodes do not see at once what others write no gap is written
 * back: a node might write back old bytes in place of those that another node has written. */
static int64_t next_marked_stretch(const merge *m, const char *marks, int64_t end, int64_t *at,
                                   bool *gaps)
{
    int64_t least = m->found->place.alone && m->parts > 1 ? 1 : GAP;
    int64_t n = next_marked(marks, end, at), next = *at + n, more;

    *gaps = false;
    for (; n > 0 && (more = next_marked(marks, end, &next)) > 0; next += more) {
        if ((next - *at - n) * m->unit >= least)
            break;
        n = next + more - *at;
        *gaps = true;
    }
    return n;
}

/* Write this rank's pages of the node's part: whole pages, so that ranks need not wait for each
 * other. */
static int write_rank_part(const merge *m)
{
    const nsh_comm *comm = m->file->comm;
    int64_t part = m->begin + (int64_t)comm->node_index * PART, begin, end, n;
    int sharing = comm->node_size < PART / LEAST ? comm->node_size : PART / LEAST;
    char *data = data_of(m, comm->node_index), *marks = marks_of(m, comm->node_index);
    int rc = NSH_SUCCESS;
    bool gaps;

    if (comm->node_rank >= sharing)
        return NSH_SUCCESS;
    nsh__part_of(PART / UNIT, sharing, comm->node_rank, &begin, &end);
    begin *= UNIT / m->unit;
    end *= UNIT / m->unit;
    for (int64_t at = begin; rc == NSH_SUCCESS && at < end; at += n) {
        n = next_marked_stretch(m, marks, end, &at, &gaps);
        if (n == 0)
            break;
        if (gaps)
            rc = read_gaps(m, at, at + n);
        if (rc == NSH_SUCCESS)
            rc = write_bytes(m, part + at * m->unit, data + at * m->unit, n * m->unit);
    }
    memset(marks + begin, 0, (size_t)(end - begin));
    return rc;
}

/* ---- rounds ---- */

/* The largest power of two that divides all offsets and lengths of the dataset's elements. */
static int64_t unit_of(const nsh__found *found, int64_t itemsize)
{
    int64_t unit = UNIT;

    while (itemsize % unit != 0 || found->dataset.offset % unit != 0)
        unit /= 2;
    return unit;
}

/* [collective] Allocate memory, and open the file if this rank will write. The code is agreed. */
static int begin_merge(merge *m, bool has_bytes)
{
    nsh_file *file = m->file;
    nsh_comm *comm = file->comm;
    int64_t message = comm->node_count > 1 && nsh__comm_leads(comm) ? PART + m->units : 0;
    nsh__need need = {.bytes = m->parts * (PART + m->units)};
    int rc = NSH_SUCCESS;

    nsh__slab_packed(&m->bytes, 0);
    if (has_bytes) {
        nsh__slab_of(&m->bytes, m->partition->ndim, m->partition->extent, m->partition->offset,
                     m->partition->count, m->partition->type->itemsize);
        m->bytes.start += m->found->dataset.offset;
    }
    m->gaps = nsh__fault(file_buffer) ? NULL : malloc((size_t)(PART + 2 * message));
    if (m->gaps == NULL)
        rc = nsh__fail(NSH_ERR_NOMEM, "%s: no memory for %d bytes of the file",
                       nsh__call_name(m->call), (int)PART);
    else
        m->out = m->gaps + PART;
    m->in = m->out + message;
    if (rc == NSH_SUCCESS && comm->node_index < m->parts)
        rc = nsh__file_fd(file, m->call, &m->found->place, &m->fd);
    return nsh__shared_create(comm, m->call, rc, nsh__mix(file->reply->id, 15), &need, NULL,
                              &m->memory);
}

/* [collective] Agree on the outcome of the last round and on the begin of the next one. False: no
 * bytes are left, or a rank has failed. */
static bool next_round(merge *m, int *rc)
{
    bool left = m->done < m->bytes.nbytes;
    nsh__agreement agreement = {.call = m->call,
                                .code = *rc,
                                .signature = nsh__mix(m->file->reply->id, 16),
                                .range = true,
                                .low = left ? nsh__slab_at(&m->bytes, m->done) : INT64_MAX};

    agreement.high = agreement.low;
    nsh__agreement_enter(m->file->comm, &agreement);
    *rc = nsh__agreement_leave(m->file->comm, &agreement);
    m->begin = agreement.low - agreement.low % PART;
    return *rc == NSH_SUCCESS && agreement.low < INT64_MAX;
}

int nsh__file_merge(nsh_file *file, nsh__call call, const nsh__found *found,
                    const nsh__partition *partition, bool has_bytes)
{
    merge m = {.file = file, .call = call, .found = found, .partition = partition};
    nsh__disk_guard guard;
    int rc;

    m.parts = file->comm->node_count < NODES ? file->comm->node_count : NODES;
    m.unit = unit_of(found, partition->type->itemsize);
    m.units = PART / m.unit;
    rc = begin_merge(&m, has_bytes);
    if (rc == NSH_SUCCESS) {
        nsh__disk_guard_begin(&guard); /* one for all writes */
        while (next_round(&m, &rc)) {
            rc = gather_parts(&m);
            if (rc == NSH_SUCCESS && file->comm->node_index < m.parts)
                rc = write_rank_part(&m);
        }
        nsh__disk_guard_end(&guard);
        nsh__shared_free(file->comm, &m.memory);
    }
    free(m.gaps);
    return rc;
}
