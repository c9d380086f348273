/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.c -- rounds around a ring of the leaders.
 *
 * Invariant: in each round the left neighbour sends exactly what this node expects, because both
 * compute it from the same table or the same arithmetic. */
#include "core/ring.h"

#include "base/fault.h"
#include "base/math.h"
#include "core/message.h"
#include "core/replicate.h"
#include "core/views.h"

#include <string.h>

/* Half of the staging memory is for sends, half for receives. */
enum { PART = NSH__SEGMENT / 2 };

static int leader_at(const nsh_comm *comm, int distance)
{
    int n = comm->node_count;

    return comm->leader_of[((comm->node_index + distance) % n + n) % n];
}

int nsh__ring_table(nsh_comm *comm, int64_t *table, int width)
{
    MPI_Request request;
    int rc;

    if (comm->mpi == MPI_COMM_NULL || width == 0)
        return NSH_SUCCESS;
    rc = MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, table, width, MPI_INT64_T, comm->mpi,
                        &request);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("MPI_Iallgather", rc);
    return nsh__wait_requests(&comm->wait, 1, &request);
}

/* ---- hyperslabs ---- */

/* One direction of a round: a stream cut into parts, NSH__WINDOW of them in flight. */
typedef struct flow {
    nsh__stream stream, unpack; /* unpack comes after stream, for staged parts */
    int64_t nbytes;
    bool out;
    MPI_Request requests[NSH__WINDOW];
    char *data[NSH__WINDOW];
} flow;

static int64_t part_bytes(const flow *f, int64_t j)
{
    return nsh__min(PART, f->nbytes - j * PART);
}

static char *staging(const nsh_comm *comm, const flow *f, int slot)
{
    return nsh__transfer_staging(comm, 0) + (slot + (f->out ? 0 : NSH__WINDOW)) * (int64_t)PART;
}

/* Complete part j, because its slot is to be used again. */
static int flow_complete(nsh_comm *comm, flow *f, int64_t j)
{
    int slot = (int)(j % NSH__WINDOW), rc;

    if (j < 0 || j * PART >= f->nbytes)
        return NSH_SUCCESS;
    rc = nsh__wait_requests(&comm->wait, 1, &f->requests[slot]);
    if (rc == NSH_SUCCESS && !f->out && f->data[slot] == staging(comm, f, slot))
        nsh__stream_unpack(&f->unpack, j * PART, part_bytes(f, j), f->data[slot]);
    return rc;
}

static int flow_post(nsh_comm *comm, flow *f, int64_t j)
{
    int slot = (int)(j % NSH__WINDOW);
    int64_t pos = j * PART, n = part_bytes(f, j);

    if (pos >= f->nbytes)
        return NSH_SUCCESS;
    f->data[slot] = nsh__stream_destination(&f->stream, pos, n);
    if (f->data[slot] == NULL) {
        f->data[slot] = staging(comm, f, slot);
        if (f->out)
            nsh__stream_pack(&f->stream, pos, n, f->data[slot]);
    }
    return f->out ? nsh__isend(comm, f->data[slot], n, leader_at(comm, 1), NSH__TAG_DATA,
                               &f->requests[slot])
                  : nsh__irecv(comm, f->data[slot], n, leader_at(comm, -1), NSH__TAG_DATA,
                               &f->requests[slot]);
}

static void flow_init(flow *f, const nsh__destination *destination, int n, const int64_t *meta,
                      bool out)
{
    nsh__stream_init(&f->stream, destination, n, meta, NULL);
    nsh__stream_init(&f->unpack, destination, n, meta, NULL);
    f->nbytes = nsh__stream_bytes(destination, n, meta);
    f->out = out;
    nsh__clear_requests(NSH__WINDOW, f->requests);
}

/* Send one node's hyperslabs to the right while another node's come from the left. */
static int run_round(nsh_comm *comm, flow *in, flow *out)
{
    int64_t most = in->nbytes > out->nbytes ? in->nbytes : out->nbytes;
    int64_t parts = (most + PART - 1) / PART;
    int rc = NSH_SUCCESS;

    for (int64_t j = 0; j < parts + NSH__WINDOW && rc == NSH_SUCCESS; j++) {
        rc = flow_complete(comm, in, j - NSH__WINDOW);
        if (rc == NSH_SUCCESS)
            rc = flow_post(comm, in, j);
        if (rc == NSH_SUCCESS)
            rc = flow_complete(comm, out, j - NSH__WINDOW);
        if (rc == NSH_SUCCESS)
            rc = flow_post(comm, out, j);
    }
    if (rc != NSH_SUCCESS) {
        nsh__drop_requests(NSH__WINDOW, in->requests, true);
        nsh__drop_requests(NSH__WINDOW, out->requests, false);
    }
    return rc;
}

/* Sort the table by node: the rows of a node's ranks follow each other. */
static void sort_by_node(const nsh_comm *comm, const int64_t *table, int width, int64_t *sorted)
{
    int64_t at = 0;

    for (int node = 0; node < comm->node_count; node++)
        for (int r = comm->leader_of[node], left = comm->size_of[node]; left > 0; r++)
            if (comm->node_of[r] == node) {
                memcpy(sorted + at, table + (int64_t)r * width, (size_t)width * sizeof *table);
                at += width;
                left--;
            }
}

/* The number of ranks on the nodes before this one. */
static int64_t ranks_before(const nsh_comm *comm, int node)
{
    int64_t ranks = 0;

    for (int i = 0; i < node; i++)
        ranks += comm->size_of[i];
    return ranks;
}

int nsh__ring_slabs(nsh_comm *comm, const nsh__destination *destination, const int64_t *table,
                    int64_t *work)
{
    int n = comm->node_count, width = 2 * destination->ndim, rc = NSH_SUCCESS;
    flow in, out;

    sort_by_node(comm, table, width, work);
    for (int s = 1; s < n && rc == NSH_SUCCESS; s++) {
        int mine = (comm->node_index - s + 1 + n) % n, theirs = (comm->node_index - s + n) % n;

        flow_init(&out, destination, comm->size_of[mine], work + ranks_before(comm, mine) * width,
                  true);
        flow_init(&in, destination, comm->size_of[theirs],
                  work + ranks_before(comm, theirs) * width, false);
        rc = run_round(comm, &in, &out);
    }
    return rc;
}

/* ---- reduction ---- */

/* A block of the array; each node reduces one part of it. */
typedef struct block {
    char *data; /* in the replica */
    int64_t nbytes, part, item;
} block;

static char *part_of(const block *b, int node, int64_t *bytes)
{
    int64_t at = nsh__min(node * b->part, b->nbytes);

    *bytes = nsh__min(b->part, b->nbytes - at);
    return b->data + at;
}

/* Receive the other nodes' versions of this node's part, and reduce from the last node to the
 * first: MPI_Reduce_local has its first argument on the left. */
static int reduce_part(nsh_comm *comm, const block *b, MPI_Datatype type, MPI_Op op)
{
    char *sum = nsh__transfer_staging(comm, 0), *in = nsh__transfer_staging(comm, 1);
    int64_t bytes;
    char *own = part_of(b, comm->node_index, &bytes);
    int rc = NSH_SUCCESS;

    for (int node = comm->node_count - 1; node >= 0 && rc == NSH_SUCCESS && bytes > 0; node--) {
        MPI_Request request = MPI_REQUEST_NULL;
        bool first = node == comm->node_count - 1;
        char *theirs = node == comm->node_index ? own : first ? sum : in;

        if (node != comm->node_index) {
            rc = nsh__irecv(comm, theirs, bytes, comm->leader_of[node], NSH__TAG_DATA, &request);
            if (rc == NSH_SUCCESS)
                rc = nsh__wait_requests(&comm->wait, 1, &request);
            if (rc != NSH_SUCCESS)
                nsh__drop_request(&request, true);
        }
        if (rc != NSH_SUCCESS)
            break;
        if (first && theirs != sum)
            memcpy(sum, theirs, (size_t)bytes);
        if (first)
            continue;
        rc = MPI_Reduce_local(theirs, sum, (int)(bytes / b->item), type, op);
        if (rc != MPI_SUCCESS || nsh__fault(mpi_reduce))
            rc = nsh__fail_mpi("nsh_array_allreduce: MPI_Reduce_local", rc);
    }
    if (rc == NSH_SUCCESS && bytes > 0)
        memcpy(own, sum, (size_t)bytes);
    return rc;
}

/* Pass the reduced parts around the ring. */
static int distribute_parts(nsh_comm *comm, const block *b)
{
    int n = comm->node_count, rc = NSH_SUCCESS;

    for (int s = 1; s < n && rc == NSH_SUCCESS; s++) {
        MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        int64_t in_bytes, out_bytes;
        char *out = part_of(b, (comm->node_index - s + 1 + n) % n, &out_bytes);
        char *in = part_of(b, (comm->node_index - s + n) % n, &in_bytes);

        rc = nsh__irecv(comm, in, in_bytes, leader_at(comm, -1), NSH__TAG_DATA, &requests[0]);
        if (rc == NSH_SUCCESS)
            rc = nsh__isend(comm, out, out_bytes, leader_at(comm, 1), NSH__TAG_DATA, &requests[1]);
        if (rc == NSH_SUCCESS)
            rc = nsh__wait_requests(&comm->wait, 2, requests);
        if (rc != NSH_SUCCESS) {
            nsh__drop_request(&requests[0], true);
            nsh__drop_request(&requests[1], false);
        }
    }
    return rc;
}

static int reduce_block(nsh_comm *comm, const block *b, MPI_Datatype type, MPI_Op op,
                        MPI_Request sends[])
{
    int n = comm->node_count, rc = NSH_SUCCESS;

    nsh__clear_requests(n, sends);
    for (int node = 0; node < n && rc == NSH_SUCCESS; node++) {
        int64_t bytes;
        char *data = part_of(b, node, &bytes);

        if (node != comm->node_index && bytes > 0)
            rc = nsh__isend(comm, data, bytes, comm->leader_of[node], NSH__TAG_DATA, &sends[node]);
    }
    if (rc == NSH_SUCCESS)
        rc = reduce_part(comm, b, type, op);
    if (rc == NSH_SUCCESS) /* the next block overwrites the parts */
        rc = nsh__wait_requests(&comm->wait, n, sends);
    if (rc != NSH_SUCCESS)
        nsh__drop_requests(n, sends, false);
    return rc == NSH_SUCCESS ? distribute_parts(comm, b) : rc;
}

static int64_t destination_bytes(const nsh__destination *destination)
{
    int64_t bytes = destination->itemsize;

    for (int d = 0; d < destination->ndim; d++)
        bytes *= destination->extent[d];
    return bytes;
}

int nsh__ring_reduce(nsh_comm *comm, const nsh__destination *destination, MPI_Datatype type,
                     MPI_Op op)
{
    int64_t item = destination->itemsize, total = destination_bytes(destination),
            n = comm->node_count;
    int64_t even = (total / item + n - 1) / n * item; /* a node's part of a small array */
    int64_t part = nsh__min(NSH__SEGMENT / item * item, even);
    MPI_Request *sends = nsh__transfer_requests(comm);
    int rc = NSH_SUCCESS;

    for (int64_t at = 0; at < total && rc == NSH_SUCCESS; at += n * part) {
        block b = {destination->replica + at, nsh__min(n * part, total - at), part, item};

        rc = reduce_block(comm, &b, type, op, sends);
    }
    return rc;
}

/* Send the whole array from rank 0 to the other nodes. */
static int send_from_first(nsh_comm *comm, const nsh__destination *destination)
{
    const nsh_piece whole = {NULL, NULL, NULL, NULL};
    nsh__remote_status remote;

    if (comm->rank == 0)
        return nsh__replicate_send(comm, destination, 1, &whole, true, NSH_SUCCESS);
    if (nsh__comm_leads(comm))
        return nsh__replicate_receive(comm, destination, 0, false, &remote);
    return NSH_SUCCESS;
}

int nsh__ring_reduce_ranks(nsh_comm *comm, const nsh__destination *destination, const void *data,
                           MPI_Datatype type, MPI_Op op)
{
    enum { COUNT = 1 << 20 };
    int64_t item = destination->itemsize, size = destination_bytes(destination) / item;
    int rc = NSH_SUCCESS;

    for (int64_t at = 0; at < size && rc == NSH_SUCCESS; at += COUNT) {
        MPI_Request request = MPI_REQUEST_NULL;

        rc = MPI_Ireduce(nsh__views_for_mpi((const char *)data + at * item),
                         destination->replica + at * item, (int)nsh__min(COUNT, size - at), type,
                         op, 0, comm->mpi, &request);
        if (rc != MPI_SUCCESS || nsh__fault(mpi_reduce))
            rc = nsh__fail_mpi("nsh_array_allreduce: MPI_Ireduce", rc);
        else
            rc = nsh__wait_requests(&comm->wait, 1, &request);
    }
    return rc == NSH_SUCCESS ? send_from_first(comm, destination) : rc;
}
