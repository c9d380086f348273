/* SPDX-License-Identifier: BSD-3-Clause */
/* replicate.c -- copy one node's bytes to every node.
 *
 * Invariant: no byte reaches a replica from a message unless its number, signature and length are
 * those of this call on this node. */
#include "core/replicate.h"

#include "base/fault.h"
#include "base/hyperslab.h"
#include "core/heap.h"
#include "core/message.h"
#include "core/stream.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    META_BYTES = 32 << 10, /* limit of the bytes of hyperslabs in one message */
    MAX_CHILDREN = 32,     /* binomial tree of 2^32 nodes */
    SEGMENT_CHILDREN = 2,  /* binary tree */
    CHAIN_NODES = 4        /* up to this many nodes a chain is best at any length */
};

typedef enum shape { SHAPE_BINOMIAL, SHAPE_CHAIN, SHAPE_BINARY } shape;

typedef struct header {
    uint64_t sequence, signature;
    int32_t code;   /* root's code; after a failure its detail follows instead of the hyperslabs */
    int32_t pieces; /* hyperslabs in this message */
    int32_t shape;
    int32_t more;   /* another message of this transfer follows the stream */
    int64_t nbytes; /* of this message's stream */
} header;

static int64_t text_bytes(const header *h)
{
    return h->code != NSH_SUCCESS ? NSH__TEXT : 0;
}

/* Offset and count of each hyperslab in the message. */
static const int64_t *meta_of(const header *h)
{
    return (const int64_t *)((const char *)(h + 1) + text_bytes(h));
}

typedef struct nsh__transfer {
    char *message; /* header, hyperslabs or detail, inline stream */
    char *staging;
    bool touched;
    MPI_Request requests[]; /* one for each node */
} nsh__transfer;

/* The neighbours of this node in the tree of one transfer, as ranks. */
typedef struct tree {
    int parent, children;
    int child[MAX_CHILDREN];
} tree;

/* ---- the memory of transfers ---- */

int64_t nsh__transfer_bytes(const nsh_comm *comm)
{
    return comm->node_count > 1 ? NSH__MESSAGE + NSH__WINDOW * (int64_t)NSH__SEGMENT : 0;
}

int nsh__transfer_create(nsh_comm *comm, char *area)
{
    nsh__transfer *t;

    if (comm->node_count == 1)
        return NSH_SUCCESS;
    t = nsh__fault(comm_alloc)
            ? NULL
            : calloc(1, sizeof *t + (size_t)comm->node_count * sizeof t->requests[0]);
    if (t == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for transfers between nodes");
    t->message = area;
    t->staging = area + NSH__MESSAGE;
    comm->transfer = t;
    return NSH_SUCCESS;
}

void nsh__transfer_destroy(nsh_comm *comm)
{
    free(comm->transfer);
    comm->transfer = NULL;
}

int nsh__transfer_touch(nsh_comm *comm)
{
    nsh__transfer *t = comm->transfer;
    int rc = NSH_SUCCESS;

    if (t == NULL || t->touched)
        return NSH_SUCCESS;
    rc = nsh__heap_touch(comm, t->message, nsh__transfer_bytes(comm));
    t->touched = rc == NSH_SUCCESS;
    return rc;
}

char *nsh__transfer_staging(const nsh_comm *comm, int slot)
{
    return comm->transfer->staging + slot * (int64_t)NSH__SEGMENT;
}

MPI_Request *nsh__transfer_requests(const nsh_comm *comm)
{
    return comm->transfer->requests;
}

/* ---- trees over the nodes ---- */

/* The rank that acts for the node with virtual number v: root's node is 0. */
static int actor(const nsh_comm *comm, int root, int v)
{
    return v == 0 ? root
                  : comm->leader_of[(int)(((int64_t)comm->node_of[root] + v) % comm->node_count)];
}

static shape choose_shape(const nsh_comm *comm, int64_t nbytes)
{
    if (nbytes <= NSH__INLINE)
        return SHAPE_BINOMIAL;
    if (comm->node_count <= CHAIN_NODES || nbytes / NSH__SEGMENT >= 2 * comm->node_count)
        return SHAPE_CHAIN;
    return SHAPE_BINARY;
}

static void add_child(const nsh_comm *comm, int root, int64_t v, tree *t)
{
    if (v < comm->node_count)
        t->child[t->children++] = actor(comm, root, (int)v);
}

static void find_tree(const nsh_comm *comm, int root, shape s, tree *t)
{
    int n = comm->node_count, v = (comm->node_index - comm->node_of[root] + n) % n;
    int64_t step;

    *t = (tree){.parent = -1};
    switch (s) {
    case SHAPE_CHAIN:
        if (v > 0)
            t->parent = actor(comm, root, v - 1);
        add_child(comm, root, (int64_t)v + 1, t);
        break;
    case SHAPE_BINARY:
        if (v > 0)
            t->parent = actor(comm, root, (v - 1) / 2);
        add_child(comm, root, 2 * (int64_t)v + 1, t);
        add_child(comm, root, 2 * (int64_t)v + 2, t);
        break;
    default: /* the parent lacks the lowest bit of v; the largest subtree is served first */
        if (v > 0)
            t->parent = actor(comm, root, v & (v - 1));
        for (step = 1; step < n && (v & step) == 0; step *= 2)
            ;
        for (step /= 2; step > 0; step /= 2)
            add_child(comm, root, v + step, t);
    }
}

/* ---- long streams ---- */

static void init_stream(nsh__stream *s, const nsh__destination *destination, const header *h,
                        const nsh_piece pieces[])
{
    nsh__stream_init(s, destination, h->pieces, meta_of(h), pieces);
}

static int64_t segment_bytes(const header *h, int64_t j)
{
    int64_t left = h->nbytes - j * NSH__SEGMENT;

    return left < NSH__SEGMENT ? left : NSH__SEGMENT;
}

static int64_t segments(const header *h)
{
    return (h->nbytes + NSH__SEGMENT - 1) / NSH__SEGMENT;
}

static int send_segment(nsh_comm *comm, const tree *t, const char *data, int64_t bytes,
                        MPI_Request requests[SEGMENT_CHILDREN])
{
    int rc = NSH_SUCCESS;

    for (int i = 0; i < t->children && rc == NSH_SUCCESS; i++)
        rc = nsh__isend(comm, data, bytes, t->child[i], NSH__TAG_DATA, &requests[i]);
    return rc;
}

/* [by root] Send segments from its buffer, and copy each into its own node's replica while it is
 * under way. */
static int send_stream(nsh_comm *comm, const tree *t, const nsh__destination *destination,
                       const header *h, const nsh_piece pieces[])
{
    MPI_Request sends[NSH__WINDOW][SEGMENT_CHILDREN];
    nsh__stream out, own;
    int rc = NSH_SUCCESS;

    nsh__clear_requests(NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0]);
    init_stream(&out, destination, h, pieces);
    init_stream(&own, destination, h, pieces);
    for (int64_t j = 0; j < segments(h) && rc == NSH_SUCCESS; j++) {
        int64_t pos = j * NSH__SEGMENT, bytes = segment_bytes(h, j);
        int slot = (int)(j % NSH__WINDOW);
        char *data;

        rc = nsh__wait_requests(&comm->wait, SEGMENT_CHILDREN, sends[slot]);
        if (rc != NSH_SUCCESS)
            break;
        data = nsh__stream_source(&out, pos, bytes);
        if (data == NULL) {
            data = nsh__transfer_staging(comm, slot);
            nsh__stream_pack(&out, pos, bytes, data);
        }
        rc = send_segment(comm, t, data, bytes, sends[slot]);
        nsh__stream_copy(&own, pos, bytes);
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0]);
    if (rc != NSH_SUCCESS)
        nsh__drop_requests(NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0], false);
    return rc;
}

/* May pieces be written in any order? If some overlap the last one must win; a large number is not
 * compared but treated as overlapping. */
static bool any_order(const nsh__destination *destination, const header *h)
{
    enum { FEW = 16 };
    const int64_t *meta = meta_of(h);
    int n = destination->ndim;

    for (int a = 0; a < h->pieces && h->pieces <= FEW; a++)
        for (int b = a + 1; b < h->pieces; b++)
            if (nsh__hyperslabs_overlap(n, meta + 2 * a * n, meta + (2 * a + 1) * n,
                                        meta + 2 * b * n, meta + (2 * b + 1) * n))
                return false;
    return h->pieces <= FEW;
}

/* Post the receive of segment j, straight into the replica if it is contiguous there. Segments may
 * arrive in any order, but staged ones are unpacked in order. */
static int post_segment(nsh_comm *comm, const tree *t, const header *h, nsh__stream *in,
                        bool straight, int64_t j, char **data, MPI_Request *request)
{
    int64_t pos = j * NSH__SEGMENT, bytes = segment_bytes(h, j);

    *data = straight ? nsh__stream_destination(in, pos, bytes) : NULL;
    if (*data == NULL)
        *data = nsh__transfer_staging(comm, (int)(j % NSH__WINDOW));
    return nsh__irecv(comm, *data, bytes, t->parent, NSH__TAG_DATA, request);
}

/* [by the leader of another node] Receive each segment, send it on from where it lies, and unpack
 * it if it is staged. */
static int receive_stream(nsh_comm *comm, const tree *t, const nsh__destination *destination,
                          const header *h)
{
    MPI_Request receives[NSH__WINDOW], sends[NSH__WINDOW][SEGMENT_CHILDREN];
    char *data[NSH__WINDOW];
    nsh__stream in, own;
    int64_t n = segments(h);
    bool straight = any_order(destination, h);
    int rc = NSH_SUCCESS;

    nsh__clear_requests(NSH__WINDOW, receives);
    nsh__clear_requests(NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0]);
    init_stream(&in, destination, h, NULL);
    init_stream(&own, destination, h, NULL);
    for (int64_t j = 0; j < NSH__WINDOW && j < n && rc == NSH_SUCCESS; j++)
        rc = post_segment(comm, t, h, &in, straight, j, &data[j], &receives[j]);
    for (int64_t j = 0; j < n && rc == NSH_SUCCESS; j++) {
        int slot = (int)(j % NSH__WINDOW);

        comm->partner = t->parent;
        rc = nsh__wait_requests(&comm->wait, 1, &receives[slot]);
        comm->partner = -1;
        if (rc == NSH_SUCCESS)
            rc = send_segment(comm, t, data[slot], segment_bytes(h, j), sends[slot]);
        if (rc != NSH_SUCCESS)
            break;
        if (data[slot] == nsh__transfer_staging(comm, slot))
            nsh__stream_unpack(&own, j * NSH__SEGMENT, segment_bytes(h, j), data[slot]);
        if (j + NSH__WINDOW >= n)
            continue;
        /* The slot's staging memory and requests are to be used again. */
        rc = nsh__wait_requests(&comm->wait, SEGMENT_CHILDREN, sends[slot]);
        if (rc == NSH_SUCCESS)
            rc = post_segment(comm, t, h, &in, straight, j + NSH__WINDOW, &data[slot],
                              &receives[slot]);
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0]);
    if (rc != NSH_SUCCESS) {
        nsh__drop_requests(NSH__WINDOW, receives, true);
        nsh__drop_requests(NSH__WINDOW * SEGMENT_CHILDREN, &sends[0][0], false);
    }
    return rc;
}

/* ---- transfers ---- */

static int send_header(nsh_comm *comm, const tree *t, const void *message, int64_t bytes,
                       MPI_Request requests[MAX_CHILDREN])
{
    int rc = NSH_SUCCESS, tag = nsh__transfer_tag(comm->sequence);

    for (int i = 0; i < t->children && rc == NSH_SUCCESS; i++)
        rc = nsh__isend(comm, message, bytes, t->child[i], tag, &requests[i]);
    return rc;
}

/* A node acknowledges after all nodes below it have. */
static int acknowledge(nsh_comm *comm, const tree *t)
{
    MPI_Request requests[MAX_CHILDREN + 1];
    char nothing[MAX_CHILDREN + 1];
    int rc = NSH_SUCCESS;

    if (comm->sequence % NSH__ACK_EVERY != 0)
        return NSH_SUCCESS;
    nsh__clear_requests(MAX_CHILDREN + 1, requests);
    for (int i = 0; i < t->children && rc == NSH_SUCCESS; i++)
        rc = nsh__irecv(comm, &nothing[i], 0, t->child[i], NSH__TAG_ACK, &requests[i]);
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, t->children, requests);
    if (rc != NSH_SUCCESS) {
        nsh__drop_requests(t->children, requests, true);
        return rc;
    }
    if (t->parent < 0)
        return NSH_SUCCESS;
    rc = nsh__isend(comm, nothing, 0, t->parent, NSH__TAG_ACK, &requests[MAX_CHILDREN]);
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, 1, &requests[MAX_CHILDREN]);
    return rc;
}

static int64_t body_bytes(const nsh__destination *destination, const header *h)
{
    return text_bytes(h) + (int64_t)h->pieces * 2 * destination->ndim * (int64_t)sizeof(int64_t);
}

static int64_t transfer_bytes(const nsh__destination *destination, const header *h)
{
    int64_t bytes = (int64_t)sizeof *h + body_bytes(destination, h);

    return h->nbytes <= NSH__INLINE ? bytes + h->nbytes : bytes;
}

/* Write the hyperslabs of the next pieces, as many as one message takes; returns how many. */
static int describe_pieces(const nsh__destination *destination, header *h, int n,
                           const nsh_piece pieces[])
{
    int64_t *meta = (int64_t *)((char *)(h + 1) + text_bytes(h));
    int64_t each = 2 * destination->ndim * (int64_t)sizeof *meta;
    int64_t most = each > 0 ? META_BYTES / each : META_BYTES;
    int taken = 0;

    h->nbytes = 0;
    for (; taken < n && taken < most; taken++) {
        const nsh_piece *p = &pieces[taken];
        int64_t bytes = destination->itemsize;

        for (int d = 0; d < destination->ndim; d++) {
            meta[d] = p->offset != NULL ? p->offset[d] : 0;
            meta[destination->ndim + d] = p->count != NULL ? p->count[d] : destination->extent[d];
            bytes *= meta[destination->ndim + d];
        }
        if (h->nbytes > 0 && h->nbytes > INT64_MAX - bytes)
            break;
        h->nbytes += bytes;
        meta += 2 * destination->ndim;
    }
    h->pieces = taken;
    return taken;
}

/* [by root] Send one message and its stream, and copy it on root's own node. */
static int send_batch(nsh_comm *comm, const tree *t, const nsh__destination *destination, header *h,
                      const nsh_piece pieces[])
{
    MPI_Request requests[MAX_CHILDREN];
    char *inlined = (char *)(h + 1) + body_bytes(destination, h);
    nsh__stream c;
    int rc;

    nsh__clear_requests(MAX_CHILDREN, requests);
    init_stream(&c, destination, h, pieces);
    if (h->nbytes <= NSH__INLINE)
        nsh__stream_pack(&c, 0, h->nbytes, inlined);
    rc = send_header(comm, t, h, transfer_bytes(destination, h), requests);
    if (h->nbytes <= NSH__INLINE) {
        init_stream(&c, destination, h, pieces);
        nsh__stream_copy(&c, 0, h->nbytes);
    } else if (rc == NSH_SUCCESS) {
        rc = send_stream(comm, t, destination, h, pieces);
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, t->children, requests);
    if (rc != NSH_SUCCESS)
        nsh__drop_requests(t->children, requests, false);
    return rc;
}

static int64_t stream_bytes(const nsh__destination *destination, int n, const nsh_piece pieces[])
{
    int64_t total = 0;

    for (int i = 0; i < n; i++) {
        int64_t bytes = destination->itemsize;

        for (int d = 0; d < destination->ndim; d++)
            bytes *= pieces[i].count != NULL ? pieces[i].count[d] : destination->extent[d];
        if (bytes > NSH__INLINE)
            return bytes;
        total += bytes;
    }
    return total;
}

int nsh__replicate_send(nsh_comm *comm, const nsh__destination *destination, int n,
                        const nsh_piece pieces[], bool in_place, int code)
{
    header *h = (header *)comm->transfer->message;
    int rc, done = 0;
    tree t;

    *h = (header){.sequence = comm->sequence, .signature = comm->signature, .code = code};
    if (code != NSH_SUCCESS) {
        n = in_place ? n : 0;
        snprintf((char *)(h + 1), NSH__TEXT, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    }
    /* All messages of a transfer use the same tree, so that they cannot overtake each other. */
    h->shape = (int32_t)choose_shape(comm, stream_bytes(destination, n, pieces));
    find_tree(comm, comm->rank, (shape)h->shape, &t);
    do {
        const nsh_piece *next = n > 0 ? pieces + done : NULL;

        done += describe_pieces(destination, h, n - done, next);
        h->more = done < n;
        rc = send_batch(comm, &t, destination, h, in_place ? NULL : next);
    } while (rc == NSH_SUCCESS && h->more);
    return rc == NSH_SUCCESS ? acknowledge(comm, &t) : rc;
}

/* Is it the complete first message of this transfer? Only then its fields may be used. */
static bool right_message(const nsh_comm *comm, const nsh__destination *destination,
                          const header *h, int64_t bytes)
{
    return bytes >= (int64_t)sizeof *h && h->sequence == comm->sequence &&
           h->signature == comm->signature && bytes == transfer_bytes(destination, h);
}

/* Receive one message from the parent, which is known only from root's header. */
static int receive_header(nsh_comm *comm, const nsh__destination *destination, int root, header *h)
{
    MPI_Request request = MPI_REQUEST_NULL;
    int64_t bytes = 0;
    int rc;

    comm->awaited = comm->node_of[root];
    comm->wait.watch_tag = nsh__agreement_tag(comm->sequence); /* the sender is in another call */
    rc = nsh__irecv(comm, h, NSH__MESSAGE, MPI_ANY_SOURCE, nsh__transfer_tag(comm->sequence),
                    &request);
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_received(&comm->wait, &request, &bytes);
    comm->wait.watch_tag = -1;
    comm->awaited = -1;
    if (rc != NSH_SUCCESS)
        nsh__drop_request(&request, true);
    else if (!right_message(comm, destination, h, bytes))
        rc = nsh__fail(NSH_ERR_MISMATCH,
                       "nodes are in different collective calls or disagree on root or array "
                       "(rank %d in %s, root %d)",
                       comm->rank, nsh__call_name(comm->call), root);
    return rc;
}

/* Receive one message and its stream. */
static int receive_batch(nsh_comm *comm, const nsh__destination *destination, int root, bool await,
                         header *h, tree *t)
{
    MPI_Request requests[MAX_CHILDREN];
    nsh__stream c;
    int rc = receive_header(comm, destination, root, h);

    if (rc != NSH_SUCCESS)
        return rc;
    nsh__clear_requests(MAX_CHILDREN, requests);
    find_tree(comm, root, (shape)h->shape, t);
    rc = send_header(comm, t, h, transfer_bytes(destination, h), requests);
    if (rc == NSH_SUCCESS && await) {
        rc = nsh__gate_await(&comm->gate);
        if (rc == NSH_SUCCESS && !nsh__gate_unanimous(&comm->gate)) {
            char words[NSH__TEXT];

            nsh__gate_word_mismatch(&comm->gate, words);
            rc = nsh__fail(NSH_ERR_MISMATCH, "%s", words);
        }
    }
    if (rc == NSH_SUCCESS) {
        if (h->nbytes > NSH__INLINE) {
            rc = receive_stream(comm, t, destination, h);
        } else {
            init_stream(&c, destination, h, NULL);
            nsh__stream_unpack(&c, 0, h->nbytes, (char *)(h + 1) + body_bytes(destination, h));
        }
    }
    if (rc == NSH_SUCCESS)
        rc = nsh__wait_requests(&comm->wait, t->children, requests);
    if (rc != NSH_SUCCESS)
        nsh__drop_requests(t->children, requests, false);
    return rc;
}

int nsh__replicate_receive(nsh_comm *comm, const nsh__destination *destination, int root,
                           bool await, nsh__remote_status *out)
{
    header *h = (header *)comm->transfer->message;
    int rc;
    tree t;

    do {
        rc = receive_batch(comm, destination, root, await, h, &t);
        await = false;
    } while (rc == NSH_SUCCESS && h->more);
    if (rc != NSH_SUCCESS)
        return rc;
    out->code = h->code;
    if (h->code != NSH_SUCCESS)
        snprintf(out->text, sizeof out->text, "%s", (const char *)(h + 1));
    return acknowledge(comm, &t);
}

void nsh__replicate_local(const nsh__destination *destination, int n, const nsh_piece pieces[])
{
    nsh__slab to, from;

    for (int i = 0; i < n; i++) {
        const int64_t *count = pieces[i].count != NULL ? pieces[i].count : destination->extent;

        nsh__slab_of(&to, destination->ndim, destination->extent, pieces[i].offset, pieces[i].count,
                     destination->itemsize);
        nsh__slab_strided(&from, destination->ndim, count, pieces[i].stride, destination->itemsize);
        nsh__slab_copy(destination->replica, &to, pieces[i].data, &from, 0, to.nbytes);
    }
}
