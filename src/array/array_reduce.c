/* SPDX-License-Identifier: BSD-3-Clause */
/* array_reduce.c -- changes of an array for which every rank has data: allgather, allreduce, fill;
 * and the comparison of replicas, checksum.
 *
 * Invariant: a call has two agreements. After the first all ranks have entered and agree on the
 * call; between them the ranks of a node work on disjoint parts; after the second all ranks see the
 * result. */
#include "base/math.h"
#include "core/comm_break.h"
#include "core/enter.h"
#include "array/array.h"

#include "core/agree.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/hyperslab.h"
#include "core/ring.h"

#include <stdlib.h>
#include <string.h>

/* The part of n items on which this rank of its node works. */
static void part_of_rank(const nsh_comm *comm, int64_t n, int64_t *begin, int64_t *end)
{
    int64_t each = n / comm->node_size, more = n % comm->node_size;

    *begin = comm->node_rank * each + nsh__min(comm->node_rank, more);
    *end = *begin + each + (comm->node_rank < more);
}

/* [collective] The first agreement of a call on array. */
static int begin_reduction(nsh_array *array, nsh__call call, int code, uint64_t signature)
{
    return nsh__agree(array->comm, call, code, nsh__mix(array->id, signature));
}

/* [collective] The last agreement. A failure between the agreements leaves replicas half changed,
 * and other nodes in the middle of a round. They learn it at once by a break of the communicator:
 * they would never reach an agreement. */
static int finish_reduction(nsh_array *array, nsh__call call, int code)
{
    int rc = code;

    if (rc == NSH_SUCCESS)
        rc = nsh__agree(array->comm, call, rc, array->id);
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(array->comm, rc);
    nsh__array_changed(array);
    return NSH_SUCCESS;
}

/* ---- fill ---- */

int nsh_array_fill(nsh_array *array, const void *element)
{
    int rc = nsh__array_usable(array, NSH__CALL_FILL), code = NSH_SUCCESS;
    int64_t item, first, last, done;
    uint64_t signature = 0;
    char *p;

    if (rc != NSH_SUCCESS)
        return rc;
    item = array->type.itemsize;
    if (element == NULL)
        code = nsh__fail(NSH_ERR_ARG, "%s: element is NULL (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_FILL).text, array->comm->rank);
    else
        signature = nsh__mix_bytes(1, element, (size_t)item);
    rc = begin_reduction(array, NSH__CALL_FILL, code, signature);
    if (rc != NSH_SUCCESS)
        return rc;
    part_of_rank(array->comm, array->size, &first, &last);
    if (first < last) {
        p = array->replica.rw + first * item;
        memcpy(p, element, (size_t)item);
        for (done = 1; done < last - first; done += nsh__min(done, last - first - done))
            memcpy(p + done * item, p, (size_t)(nsh__min(done, last - first - done) * item));
    }
    return finish_reduction(array, NSH__CALL_FILL, NSH_SUCCESS);
}

/* ---- checksum ---- */

/* Sum the hashes of 64 KiB chunks: the result does not depend on which rank hashes which chunk. */
static uint64_t chunk_sum(const char *bytes, int64_t n, int64_t from, int64_t to)
{
    enum { CHUNK = 64 << 10 };
    uint64_t sum = 0;

    for (int64_t c = from; c < to; c++) {
        int64_t length = nsh__min(CHUNK, n - c * CHUNK);
        const char *p = bytes + c * CHUNK;
        uint64_t hash = nsh__mix(0x6e736873, (uint64_t)c), word;

        for (; length >= 8; length -= 8, p += 8) {
            memcpy(&word, p, 8);
            hash = (hash ^ word) * 0x9fb21c651e98df25u;
            hash ^= hash >> 32;
        }
        sum += nsh__mix_bytes(hash, p, (size_t)length);
    }
    return sum;
}

int nsh_array_checksum(nsh_array *array, uint64_t *out)
{
    nsh__agreement agreement = {.call = NSH__CALL_CHECKSUM};
    int rc = nsh__array_usable(array, NSH__CALL_CHECKSUM);
    int64_t chunks, from, to;
    uint64_t sum = 0;
    nsh_comm *comm;

    if (rc != NSH_SUCCESS)
        return rc;
    comm = array->comm;
    if (out == NULL)
        rc = nsh__fail(NSH_ERR_ARG, "nsh_array_checksum: out is NULL (rank %d)", comm->rank);
    chunks = (array->nbytes + (64 << 10) - 1) / (64 << 10);
    part_of_rank(comm, chunks, &from, &to);
    if (rc == NSH_SUCCESS)
        sum = chunk_sum(array->replica.ro, array->nbytes, from, to);
    comm->area->slots[comm->node_rank].sum = sum;
    rc = begin_reduction(array, NSH__CALL_CHECKSUM, rc, 0);
    if (rc != NSH_SUCCESS)
        return rc;
    /* No rank changes its slot's sum before the second agreement has begun on all ranks of the
     * node. */
    sum = 0;
    for (int i = 0; i < comm->node_size; i++)
        sum += comm->area->slots[i].sum;
    agreement.signature = array->id;
    agreement.range = true;
    agreement.low = agreement.high = (int64_t)sum;
    nsh__agreement_enter(comm, &agreement);
    rc = nsh__agreement_leave(comm, &agreement);
    if (rc != NSH_SUCCESS)
        return rc;
    if (agreement.low != agreement.high)
        return nsh__fail(NSH_ERR_MISMATCH, "%s: the replicas of nodes differ (rank %d: %016llx)",
                         nsh__array_phrase(array, NSH__CALL_CHECKSUM).text, comm->rank,
                         (unsigned long long)sum);
    *out = sum;
    return NSH_SUCCESS;
}

/* ---- allgather ---- */

/* The hyperslab of a rank in the table: offset and count, ndim each. */
static int64_t *slab_of_rank(const nsh_array *array, int64_t *table, int rank)
{
    return table + (int64_t)rank * 2 * array->ndim;
}

static void write_own_part(const nsh_array *array, int64_t *table, const int64_t offset[],
                           const int64_t count[])
{
    int64_t *mine = slab_of_rank(array, table, array->comm->rank);

    for (int d = 0; d < array->ndim; d++) {
        mine[d] = offset != NULL ? offset[d] : 0;
        mine[array->ndim + d] = count != NULL ? count[d] : array->extent[d];
    }
}

static int check_own(const nsh_array *array, const void *data, const int64_t offset[],
                     const int64_t count[])
{
    int rc = nsh__array_inside(array, NSH__CALL_ALLGATHER, offset, count);
    int64_t bytes;

    if (rc != NSH_SUCCESS)
        return rc;
    bytes = nsh__array_bytes(array, count);
    if (bytes > 0 && data == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: data is NULL (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_ALLGATHER).text, array->comm->rank);
    if (nsh__array_aliases(array, data, bytes))
        return nsh__fail(NSH_ERR_ARG, "%s: data lies in the array's own replica (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_ALLGATHER).text, array->comm->rank);
    return NSH_SUCCESS;
}

/* Under NSH_CHECK=1 the table has the hyperslabs of all ranks: each rank compares its own with
 * those of higher ranks. */
static int check_overlap(const nsh_array *array, int64_t *table)
{
    const nsh_comm *comm = array->comm;
    int64_t *mine = slab_of_rank(array, table, comm->rank);

    for (int r = comm->rank + 1; r < comm->size; r++) {
        int64_t *theirs = slab_of_rank(array, table, r);

        if (nsh__hyperslabs_overlap(array->ndim, mine, mine + array->ndim, theirs,
                                    theirs + array->ndim))
            return nsh__fail(NSH_ERR_ARG, "%s: hyperslabs of ranks %d and %d overlap",
                             nsh__array_phrase(array, NSH__CALL_ALLGATHER).text, comm->rank, r);
    }
    return NSH_SUCCESS;
}

/* Copy this rank's data into the node's replica. */
static void copy_own(const nsh_array *array, int64_t *table, const void *data)
{
    int64_t *mine = slab_of_rank(array, table, array->comm->rank);
    nsh_piece piece = {data, mine, mine + array->ndim, NULL};
    nsh__destination destination = nsh__array_destination(array);

    nsh__replicate_local(&destination, 1, &piece);
}

int nsh_array_allgather(nsh_array *array, const void *data, const int64_t offset[],
                        const int64_t count[])
{
    int rc = nsh__array_usable(array, NSH__CALL_ALLGATHER);
    bool shared;
    int64_t *table = NULL;
    nsh_comm *comm;

    if (rc != NSH_SUCCESS)
        return rc;
    comm = array->comm;
    rc = check_own(array, data, offset, count);
    if (rc == NSH_SUCCESS) {
        table = nsh__fault(gather_alloc)
                    ? NULL
                    : calloc(2 * (size_t)comm->size * 2 * (size_t)array->ndim + 1, sizeof *table);
        if (table == NULL)
            rc = nsh__fail(NSH_ERR_NOMEM, "nsh_array_allgather: no memory for %d hyperslabs",
                           comm->size);
        else
            write_own_part(array, table, offset, count);
    }
    shared = comm->node_count > 1 || comm->check;
    rc = begin_reduction(array, NSH__CALL_ALLGATHER, rc, 0);
    if (rc == NSH_SUCCESS && shared) {
        rc = nsh__ring_table(comm, table, 2 * array->ndim);
        if (rc != NSH_SUCCESS) /* MPI may still write to the table */
            return nsh__comm_break(comm, rc);
        if (comm->check)
            rc = check_overlap(array, table);
        if (comm->check)
            rc = begin_reduction(array, NSH__CALL_ALLGATHER, rc, 1);
    }
    if (rc != NSH_SUCCESS)
        goto done;
    copy_own(array, table, data);
    if (comm->node_count > 1) {
        nsh__destination destination = nsh__array_destination(array);

        rc = nsh__agree_node(comm, NSH__CALL_ALLGATHER);
        if (rc == NSH_SUCCESS && nsh__comm_leads(comm))
            rc = nsh__ring_slabs(comm, &destination, table,
                                 table + (int64_t)comm->size * 2 * array->ndim);
    }
    rc = finish_reduction(array, NSH__CALL_ALLGATHER, rc);
done:
    free(table);
    return rc;
}

int nsh_array_allgather_fail(nsh_array *array, int code, const char *text)
{
    int rc = nsh__array_usable(array, NSH__CALL_ALLGATHER);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__fail_given("nsh_array_allgather_fail", array->comm->rank, code, text);
    return begin_reduction(array, NSH__CALL_ALLGATHER, rc, 0);
}

/* ---- allreduce ---- */

enum { SLOT_BYTES = 256 << 10 }; /* bytes of a chunk, and of each rank's staging slot */

/* [all ranks of a node] Reduce one chunk: each rank copies its part of data into its own staging
 * slot. Then rank i of the node reduces the i-th part of the chunk over all slots, from the last
 * rank to the first, because MPI_Reduce_local has its first argument on the left. */
static int reduce_chunk(nsh_array *array, MPI_Op op, const char *data, const nsh__heap_block *slots,
                        int64_t slot, int64_t at, int64_t n)
{
    nsh_comm *comm = array->comm;
    int64_t item = array->type.itemsize, from, to, bytes;
    int rc = NSH_SUCCESS, agreed;

    memcpy(slots->rw + comm->node_rank * slot, data + at * item, (size_t)(n * item));
    agreed = nsh__agree_node(comm, NSH__CALL_ALLREDUCE);
    if (agreed != NSH_SUCCESS)
        return agreed;
    part_of_rank(comm, n, &from, &to);
    bytes = (to - from) * item;
    if (bytes > 0) {
        char *out = array->replica.rw + (at + from) * item;
        const char *in = slots->rw + from * item;

        memcpy(out, in + (comm->node_size - 1) * slot, (size_t)bytes);
        for (int r = comm->node_size - 2; r >= 0 && rc == NSH_SUCCESS; r--) {
            rc = MPI_Reduce_local((char *)(uintptr_t)in + r * slot, out, (int)(to - from),
                                  array->type.handle, op);
            if (rc != MPI_SUCCESS || nsh__fault(mpi_reduce))
                rc = nsh__fail_mpi("nsh_array_allreduce: MPI_Reduce_local", rc);
        }
    }
    agreed = nsh__agree_node(comm, NSH__CALL_ALLREDUCE); /* the staging slots may be used again */
    return rc != NSH_SUCCESS ? rc : agreed;
}

/* [all ranks of a node] Reduce the data of the node's ranks in rank order into the replica. */
static int reduce_node(nsh_array *array, MPI_Op op, const char *data, const nsh__heap_block *slots,
                       int64_t slot)
{
    int64_t item = array->type.itemsize, chunk = slot / item;
    int rc = NSH_SUCCESS;

    if (array->comm->node_size == 1) {
        memcpy(array->replica.rw, data, (size_t)array->nbytes);
        return NSH_SUCCESS;
    }
    /* Remember a failure and continue: the other ranks of the node go through all chunks. */
    for (int64_t at = 0; at < array->size; at += chunk) {
        int one = reduce_chunk(array, op, data, slots, slot, at, nsh__min(chunk, array->size - at));

        rc = rc != NSH_SUCCESS ? rc : one;
    }
    return rc;
}

/* Do nodes hold consecutive ranks, so that reducing by node keeps rank order? */
static bool nodes_in_rank_order(const nsh_comm *comm)
{
    for (int r = 1; r < comm->size; r++)
        if (comm->node_of[r] < comm->node_of[r - 1])
            return false;
    return true;
}

/* Bytes of a rank's staging slot; and of the slots of the largest node, since all nodes' heaps are
 * alike. */
static int64_t slots_bytes(const nsh_array *array, int64_t *slot)
{
    const nsh_comm *comm = array->comm;
    int64_t item = array->type.itemsize;
    int most = 1;

    for (int i = 0; i < comm->node_count; i++)
        most = comm->size_of[i] > most ? comm->size_of[i] : most;
    *slot = (nsh__min((SLOT_BYTES + item - 1) / item, array->size) * item + 63) / 64 * 64;
    return most > 1 ? most * *slot : 0;
}

static int check_reduce(nsh_array *array, const void *data, MPI_Op op)
{
    int rank = array->comm->rank;

    if (data == NULL && array->nbytes > 0)
        return nsh__fail(NSH_ERR_ARG, "%s: data is NULL (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_ALLREDUCE).text, rank);
    if (nsh__array_aliases(array, data, array->nbytes))
        return nsh__fail(NSH_ERR_ARG, "%s: data lies in the array's own replica (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_ALLREDUCE).text, rank);
    if (!nsh__type_reducible(&array->type, op))
        return nsh__fail(NSH_ERR_ARG, "%s: op cannot be used with %s (rank %d)",
                         nsh__array_phrase(array, NSH__CALL_ALLREDUCE).text, array->type.name,
                         rank);
    if (array->type.itemsize > NSH__SEGMENT / 2)
        return nsh__fail(NSH_ERR_UNSUPPORTED, "nsh_array_allreduce: elements of %lld bytes",
                         (long long)array->type.itemsize);
    return NSH_SUCCESS;
}

/* [collective] Reduce over nodes: their sums are in the replicas. If not by_node, reduce all ranks'
 * data in rank order. */
static int reduce_nodes(nsh_array *array, const void *data, MPI_Op op, bool by_node)
{
    nsh_comm *comm = array->comm;
    nsh__destination destination = nsh__array_destination(array);
    MPI_Datatype type = array->type.handle;
    int rc = nsh__agree_node(comm, NSH__CALL_ALLREDUCE);

    if (rc == NSH_SUCCESS)
        rc = nsh__comm_enter(comm, NSH__CALL_ALLREDUCE, array->id);
    if (rc == NSH_SUCCESS && !by_node)
        rc = nsh__ring_reduce_ranks(comm, &destination, data, type, op);
    else if (rc == NSH_SUCCESS && nsh__comm_leads(comm))
        rc = nsh__ring_reduce(comm, &destination, type, op);
    return rc;
}

/* How a reduction is done, the same on all ranks. */
typedef struct plan {
    bool by_node;      /* first the ranks of each node, then the nodes */
    int64_t slot;      /* bytes of a rank's staging slot */
    nsh__shared slots; /* the staging slots of a node's ranks */
} plan;

/* [collective] The first agreement: on this rank's code and the operation; it also allocates the
 * staging slots. */
static int begin_reduce(nsh_array *array, MPI_Op op, int code, plan *p)
{
    nsh_comm *comm = array->comm;
    nsh__need need = {0};
    int commutes = 1;
    uint64_t signature;

    *p = (plan){.slot = 0};
    if (comm->size > 1 && op != MPI_OP_NULL)
        MPI_Op_commutative(op, &commutes);
    p->by_node = commutes || nodes_in_rank_order(comm);
    if (p->by_node)
        need.bytes = slots_bytes(array, &p->slot);
    signature = nsh__mix(nsh__mix(array->id, nsh__op_signature(op)), (uint64_t)commutes);
    return nsh__shared_create(comm, NSH__CALL_ALLREDUCE, code, signature, &need, NULL, &p->slots);
}

int nsh_array_allreduce(nsh_array *array, const void *data, MPI_Op op)
{
    int rc = nsh__array_usable(array, NSH__CALL_ALLREDUCE);
    nsh_comm *comm;
    plan p;

    if (rc != NSH_SUCCESS)
        return rc;
    comm = array->comm;
    rc = begin_reduce(array, op, check_reduce(array, data, op), &p);
    if (rc != NSH_SUCCESS)
        return rc;
    if (p.by_node && array->size > 0)
        rc = reduce_node(array, op, data, &p.slots.block, p.slot);
    if (rc == NSH_SUCCESS && array->size > 0 && comm->node_count > 1)
        rc = reduce_nodes(array, data, op, p.by_node);
    rc = finish_reduction(array, NSH__CALL_ALLREDUCE, rc);
    nsh__shared_free(comm, &p.slots);
    return rc;
}

int nsh_array_allreduce_fail(nsh_array *array, MPI_Op op, int code, const char *text)
{
    int rc = nsh__array_usable(array, NSH__CALL_ALLREDUCE);
    plan p;

    if (rc != NSH_SUCCESS)
        return rc;
    rc = nsh__fail_given("nsh_array_allreduce_fail", array->comm->rank, code, text);
    return begin_reduce(array, op, rc, &p);
}
