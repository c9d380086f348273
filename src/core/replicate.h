/* SPDX-License-Identifier: BSD-3-Clause */
/* replicate.h -- one node's bytes -> the same bytes on every node, pipelined over the nodes.
 *
 * For each node one rank acts: root for its own node, the leader for any other. A transfer is a
 * message that says what comes (header, then offset and count of each hyperslab) and a stream: the
 * hyperslabs' bytes in order. A short stream rides in the message, down a binomial tree. A long one
 * follows it in segments, WINDOW of them in flight, along a chain while the pipeline is longer than
 * the chain, else down a binary tree; segments go straight from the caller's buffer and into the
 * replicas where both are contiguous, and through staging memory where they are not.
 *
 * A transfer whose call has a number that NSH__ACK_EVERY divides is acknowledged up the tree, so
 * that no sender runs ahead without bound. (Segmented chain and tree broadcast: Pjesivac-Grbovic et
 * al., "Performance analysis of MPI collective operations", Cluster Computing 10, 2007.) */
#ifndef NSH_CORE_REPLICATE_H
#define NSH_CORE_REPLICATE_H

#include <nodeshare/types.h>

#include "core/comm.h"
#include "core/stream.h"

enum {
    NSH__SEGMENT = 512 << 10,
    NSH__WINDOW = 4,
    NSH__INLINE = 64 << 10,  /* longest stream within the message */
    NSH__MESSAGE = 128 << 10 /* room for header, hyperslabs and an inline stream */
};

/* The room for transfers, in the node's shared memory: none on one node. */
int64_t nsh__transfer_bytes(const nsh_comm *comm);
int nsh__transfer_create(nsh_comm *comm, char *area);
void nsh__transfer_destroy(nsh_comm *comm);

/* [local, leader] Touch the capacity, once; NSH_ERR_NOMEM. */
int nsh__transfer_touch(nsh_comm *comm);

/* NSH__WINDOW segments of this node's shared memory, for whoever acts for the node. */
char *nsh__transfer_staging(const nsh_comm *comm, int slot);

/* [by root, when its node has arrived] Copy n pieces into the replica and send them to all other
 * nodes; pieces == NULL: no pieces. in_place: the data is in the replica already. code: what root
 * has found instead of good arguments or of the data, told to all nodes with its detail; with a
 * failure only what is in place is sent. Returns NSH_SUCCESS or what breaks the communicator. */
int nsh__replicate_send(nsh_comm *comm, const nsh__destination *destination, int n,
                        const nsh_piece pieces[], bool in_place, int code);

/* What a node receives: root's code and its detail. */
typedef struct nsh__remote_status {
    int code;
    char text[NSH__TEXT];
} nsh__remote_status;

/* [by the leader of another node] Receive and forward. Before the replica changes, all ranks of the
 * node have arrived at the gate (await). Returns as nsh__replicate_send. */
int nsh__replicate_receive(nsh_comm *comm, const nsh__destination *destination, int root,
                           bool await, nsh__remote_status *out);

/* [local] Copy pieces into the replica: all that a single node needs. */
void nsh__replicate_local(const nsh__destination *destination, int n, const nsh_piece pieces[]);

/* One request a node, for use between two steps of a call, when none is pending. */
MPI_Request *nsh__transfer_requests(const nsh_comm *comm);

#endif
