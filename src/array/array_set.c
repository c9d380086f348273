/* SPDX-License-Identifier: BSD-3-Clause */
/* array_set.c -- changes of an array for which one rank has the data: nsh_array_set and similar
 * calls.
 *
 * Invariant: a replica changes only after every rank of its node has entered the call (for an
 * update: update_begin) and only if root's arguments are good. The rank that acts for a node (root
 * on its own node, the leader on others) releases the gate. */
#include "core/comm_break.h"
#include "core/enter.h"
#include "array/array.h"

#include "core/agree.h"
#include "base/hash.h"
#include "base/hyperslab.h"

/* One call, as every rank sees it. */
typedef struct change {
    nsh_array *array;
    nsh__call call;
    int root;
    int n; /* n, pieces and code matter on root only */
    const nsh_piece *pieces;
    int code;      /* what root finds wrong with its arguments; the last failure has the detail */
    bool in_place; /* on all ranks: the data is in root's replica already, and the other replicas
                      may change before all ranks of their nodes have arrived */
} change;

/* ---- root's arguments ---- */

static int check_piece(const change *c, const nsh_piece *piece)
{
    const nsh_array *array = c->array;
    const int64_t *count = piece->count != NULL ? piece->count : array->extent;
    nsh__slab from;
    int64_t low, high;
    int rc = nsh__array_inside(array, c->call, piece->offset, piece->count);

    if (rc != NSH_SUCCESS)
        return rc;
    if (!nsh__slab_strided(&from, array->ndim, count, piece->stride, array->type.itemsize))
        return nsh__fail(NSH_ERR_ARG, "%s: strides of data overflow (root %d)",
                         nsh__array_phrase(c->array, c->call).text, c->root);
    if (from.nbytes == 0)
        return NSH_SUCCESS;
    if (piece->data == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: data is NULL on root %d",
                         nsh__array_phrase(c->array, c->call).text, c->root);
    nsh__slab_bounds(&from, &low, &high);
    if (nsh__array_aliases(array, (const char *)piece->data + low, high - low))
        return nsh__fail(NSH_ERR_ARG, "%s: data lies in the array's own replica (root %d)",
                         nsh__array_phrase(c->array, c->call).text, c->root);
    return NSH_SUCCESS;
}

static int check_pieces(const change *c)
{
    int rc = NSH_SUCCESS;

    if (c->n < 0 || (c->n > 0 && c->pieces == NULL))
        return nsh__fail(NSH_ERR_ARG, "%s: %d pieces, pieces %s (root %d)",
                         nsh__array_phrase(c->array, c->call).text, c->n,
                         c->pieces == NULL ? "NULL" : "given", c->root);
    for (int i = 0; i < c->n && rc == NSH_SUCCESS; i++)
        rc = check_piece(c, &c->pieces[i]);
    return rc;
}

/* [collective] NSH_ROOT_ANY: root is the one rank that has data. */
static int find_root(change *c, bool has_data)
{
    nsh_comm *comm = c->array->comm;
    nsh__agreement agreement = {.call = c->call,
                                .signature = nsh__mix(c->array->id, (uint64_t)NSH_ROOT_ANY),
                                .range = true,
                                .low = has_data ? comm->rank : INT64_MAX,
                                .high = has_data ? comm->rank : -1};
    int rc;

    nsh__agreement_enter(comm, &agreement);
    rc = nsh__agreement_leave(comm, &agreement);
    if (rc != NSH_SUCCESS)
        return rc;
    if (agreement.high < 0)
        return nsh__fail(NSH_ERR_ARG, "%s: NSH_ROOT_ANY and no rank has data",
                         nsh__array_phrase(c->array, c->call).text);
    if (agreement.low != agreement.high)
        return nsh__fail(NSH_ERR_ARG, "%s: NSH_ROOT_ANY and ranks %d and %d have data",
                         nsh__array_phrase(c->array, c->call).text, (int)agreement.low,
                         (int)agreement.high);
    c->root = (int)agreement.low;
    return NSH_SUCCESS;
}

/* ---- begin ---- */

static bool root_is_here(const change *c)
{
    return c->array->comm->node_of[c->root] == c->array->comm->node_index;
}

/* [collective] A root that does not exist fails on every rank that names it; if other ranks name
 * another root the agreement returns a mismatch. */
static int begin_array_change(change *c)
{
    nsh_comm *comm = c->array->comm;
    uint64_t signature = nsh__mix(c->array->id, (uint64_t)c->root);
    int rc = NSH_SUCCESS;

    if (c->root < 0 || c->root >= comm->size) {
        rc = nsh__fail(NSH_ERR_ARG, "%s: root %d is no rank of 0..%d (rank %d)",
                       nsh__array_phrase(c->array, c->call).text, c->root, comm->size - 1,
                       comm->rank);
        return nsh__agree(comm, c->call, rc, signature);
    }
    rc = nsh__agree_first(comm, c->call, signature);
    if (rc == NSH_SUCCESS)
        rc = nsh__comm_enter(comm, c->call, signature);
    if (rc == NSH_SUCCESS && root_is_here(c))
        comm->acting = c->root;
    return rc;
}

/* While root of this node acts, a message of this call from another node means that that node has
 * another root. The leader would receive it, so it watches for it. */
static void watch_change(const change *c, bool on)
{
    nsh_comm *comm = c->array->comm;

    if (comm->node_count == 1 || !nsh__comm_leads(comm))
        return;
    comm->wait.watch_tag = on ? nsh__transfer_tag(comm->sequence) : -1;
    comm->rooted = comm->sequence;
}

static int fail_mismatch(const change *c)
{
    char text[NSH__TEXT];

    nsh__gate_word_mismatch(&c->array->comm->gate, text);
    return nsh__fail(NSH_ERR_MISMATCH, "%s", text);
}

/* ---- set: every rank arrives at its gate, one acts, the others leave ---- */

/* [by root] Copy root's data to its own replica and send it to all other nodes. */
static int send_data(const change *c)
{
    nsh_comm *comm = c->array->comm;
    nsh__destination destination = nsh__array_destination(c->array);

    if (comm->node_count > 1)
        return nsh__replicate_send(comm, &destination, c->n, c->pieces, c->in_place, c->code);
    if (c->code == NSH_SUCCESS && !c->in_place)
        nsh__replicate_local(&destination, c->n, c->pieces);
    return NSH_SUCCESS;
}

/* [by root] Data in place is sent before the node's ranks have arrived. */
static int act_as_root(const change *c)
{
    nsh_comm *comm = c->array->comm;
    int rc = c->in_place ? send_data(c) : NSH_SUCCESS;

    if (rc == NSH_SUCCESS)
        rc = nsh__gate_await(&comm->gate);
    if (rc == NSH_SUCCESS && !nsh__gate_unanimous(&comm->gate)) {
        if (comm->gate.alone || !nsh__comm_leads(comm))
            return nsh__gate_leave(&comm->gate);
        rc = fail_mismatch(c);
    }
    if (rc == NSH_SUCCESS && !c->in_place)
        rc = send_data(c);
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    nsh__gate_release(&comm->gate, c->code, comm->rank,
                      c->code != NSH_SUCCESS ? nsh_error_detail() : "");
    return c->code;
}

/* [by the leader] Wait until all ranks of the node have arrived in this call. */
static int await_node(const change *c)
{
    nsh_comm *comm = c->array->comm;
    int rc = nsh__gate_await(&comm->gate);

    return rc == NSH_SUCCESS && !nsh__gate_unanimous(&comm->gate) ? fail_mismatch(c) : rc;
}

/* [by the other ranks of root's node] */
static int await_root(const change *c)
{
    nsh_comm *comm = c->array->comm;
    int rc;

    if (!comm->gate.alone && nsh__comm_leads(comm)) {
        rc = await_node(c);
        if (rc != NSH_SUCCESS)
            return nsh__comm_break(comm, rc);
    }
    return nsh__gate_leave(&comm->gate);
}

/* [by the leader of another node] */
static int act_as_leader(const change *c)
{
    nsh_comm *comm = c->array->comm;
    nsh__destination destination = nsh__array_destination(c->array);
    nsh__remote_status remote;
    int rc = nsh__replicate_receive(comm, &destination, c->root, !c->in_place, &remote);

    if (rc == NSH_SUCCESS && c->in_place)
        rc = await_node(c);
    if (rc != NSH_SUCCESS)
        return nsh__comm_break(comm, rc);
    nsh__gate_release(&comm->gate, remote.code, c->root, remote.text);
    if (remote.code != NSH_SUCCESS)
        nsh__fail_from(remote.code, c->root, remote.text);
    return remote.code;
}

/* A MISMATCH that the gate's watch has found is not the outcome of a release: other nodes do not
 * know it yet, so break the communicator. */
static int settle_change(const change *c, int rc)
{
    nsh_comm *comm = c->array->comm;

    if (comm->wait.watch_tag >= 0 && rc == NSH_ERR_MISMATCH && !comm->gate.released)
        nsh__comm_break(comm, rc);
    watch_change(c, false);
    return rc;
}

static int carry_out(const change *c)
{
    nsh_comm *comm = c->array->comm;
    int rc;

    nsh__comm_show(comm, c->call, c->root, c->array->id, comm->signature);
    nsh__gate_arrive(&comm->gate, comm->signature, false);
    if (root_is_here(c)) {
        watch_change(c, true);
        rc = settle_change(c, comm->rank == c->root ? act_as_root(c) : await_root(c));
    } else if (nsh__comm_leads(comm)) {
        rc = act_as_leader(c);
    } else {
        rc = nsh__gate_leave(&comm->gate);
    }
    return rc;
}

static int set_pieces(nsh_array *array, nsh__call call, int n, const nsh_piece pieces[],
                      bool has_data, int root, int code)
{
    change c = {array, call, root, n, pieces, code, false};
    int rc = nsh__array_usable(array, call);

    if (rc == NSH_SUCCESS && root == NSH_ROOT_ANY)
        rc = find_root(&c, has_data);
    if (rc == NSH_SUCCESS)
        rc = begin_array_change(&c);
    if (rc == NSH_SUCCESS && c.root == array->comm->rank && code == NSH_SUCCESS)
        c.code = check_pieces(&c);
    if (rc == NSH_SUCCESS)
        rc = carry_out(&c);
    if (rc == NSH_SUCCESS)
        nsh__array_changed(array);
    return rc;
}

int nsh_array_set(nsh_array *array, const void *data, const int64_t offset[], const int64_t count[],
                  int root)
{
    const nsh_piece piece = {data, offset, count, NULL};

    return set_pieces(array, NSH__CALL_SET, 1, &piece, data != NULL, root, NSH_SUCCESS);
}

int nsh_array_set_strided(nsh_array *array, const void *data, const int64_t stride[],
                          const int64_t offset[], const int64_t count[], int root)
{
    const nsh_piece piece = {data, offset, count, stride};

    return set_pieces(array, NSH__CALL_SET_STRIDED, 1, &piece, data != NULL, root, NSH_SUCCESS);
}

int nsh_array_set_many(nsh_array *array, int n, const nsh_piece pieces[], int root)
{
    return set_pieces(array, NSH__CALL_SET_MANY, n, pieces, pieces != NULL, root, NSH_SUCCESS);
}

/* The failure counts only on root; the other ranks are in a set. */
int nsh_array_set_fail(nsh_array *array, int root, int code, const char *text)
{
    int failure = NSH_SUCCESS;

    if (array != NULL && (root == NSH_ROOT_ANY || root == array->comm->rank))
        failure = nsh__fail_given("nsh_array_set_fail", array->comm->rank, code, text);
    return set_pieces(array, NSH__CALL_SET, 0, NULL, true, root, failure);
}

int nsh__array_set_for(nsh_array *array, nsh__call call, const nsh_piece *piece, int root, int code)
{
    return set_pieces(array, call, 1, piece, true, root, code);
}

/* ---- update_begin, update_end ---- */

/* [by root] Keep the arguments of update_begin: update_end sends this piece, which is in place. */
static void note_update(nsh_array *array, const int64_t offset[], const int64_t count[])
{
    for (int d = 0; d < array->ndim; d++) {
        array->update[d] = offset != NULL ? offset[d] : 0;
        array->update[array->ndim + d] = count != NULL ? count[d] : array->extent[d];
    }
}

static char *element(const nsh_array *array, const int64_t index[])
{
    int64_t position = 0;

    for (int d = 0; d < array->ndim; d++)
        position = position * array->extent[d] + index[d];
    return array->replica.rw != NULL ? array->replica.rw + position * array->type.itemsize : NULL;
}

int nsh_array_update_begin(nsh_array *array, const int64_t offset[], const int64_t count[],
                           int root, void **view)
{
    change c = {.array = array, .call = NSH__CALL_UPDATE_BEGIN, .root = root};
    int rc = nsh__array_usable(array, c.call);

    if (rc == NSH_SUCCESS)
        rc = begin_array_change(&c);
    if (rc != NSH_SUCCESS)
        return rc;
    if (root == array->comm->rank)
        c.code = view != NULL ? nsh__array_inside(array, c.call, offset, count)
                              : nsh__fail(NSH_ERR_ARG, "%s: view is NULL (root %d)",
                                          nsh__array_phrase(c.array, c.call).text, root);
    rc = carry_out(&c);
    if (rc != NSH_SUCCESS)
        return rc;
    array->updating = root;
    if (root == array->comm->rank) {
        note_update(array, offset, count);
        *view = element(array, array->update);
    } else if (view != NULL) {
        *view = NULL;
    }
    return NSH_SUCCESS;
}

/* [by root] Discard what root has stored: zeros are sent instead. */
static void zero_update(const nsh_array *array)
{
    static const char zeros[4096];
    nsh__slab slab;

    nsh__slab_of(&slab, array->ndim, array->extent, array->update, array->update + array->ndim,
                 array->type.itemsize);
    for (int64_t at = 0, n; at < slab.nbytes; at += n) {
        n = slab.nbytes - at < (int64_t)sizeof zeros ? slab.nbytes - at : (int64_t)sizeof zeros;
        nsh__slab_unpack(array->replica.rw, &slab, at, n, zeros);
    }
}

/* [collective] End the update; failed: with a failure of root, which ends it too. */
static int end_update(nsh_array *array, const char *name, bool failed, int code, const char *text)
{
    change c = {.array = array, .call = NSH__CALL_UPDATE_END, .n = 1, .in_place = true};
    nsh_piece piece;
    bool ended;
    int rc;

    if (array == NULL)
        return nsh__fail(NSH_ERR_ARG, "%s: array is NULL", name);
    rc = nsh__comm_callable(array->comm, nsh__call_name(c.call));
    if (rc != NSH_SUCCESS)
        return rc;             /* the update continues */
    if (array->updating < 0) { /* agree on it, as in nsh__array_usable */
        rc = nsh__fail(NSH_ERR_STATE, "%s: no update has begun (rank %d)",
                       nsh__object_phrase(name, &array->object).text, array->comm->rank);
        return nsh__agree(array->comm, c.call, rc, nsh__mix(array->id, NSH_ERR_STATE));
    }
    c.root = array->updating;
    piece = (nsh_piece){NULL, array->update, array->update + array->ndim, NULL};
    c.pieces = &piece;
    rc = begin_array_change(&c);
    if (rc != NSH_SUCCESS)
        return rc;
    if (failed && c.root == array->comm->rank) {
        c.code = nsh__fail_given(name, c.root, code, text);
        zero_update(array);
    }
    rc = carry_out(&c);
    ended = array->comm->gate.released && array->comm->gate.from == c.root;
    if (rc == NSH_SUCCESS || ended) {
        array->updating = -1;
        nsh__array_changed(array);
    }
    return rc;
}

int nsh_array_update_end(nsh_array *array)
{
    return end_update(array, "nsh_array_update_end", false, NSH_SUCCESS, NULL);
}

int nsh_array_update_fail(nsh_array *array, int code, const char *text)
{
    return end_update(array, "nsh_array_update_fail", true, code, text);
}
