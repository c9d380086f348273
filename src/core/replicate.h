/* SPDX-License-Identifier: BSD-3-Clause */
/* replicate.h -- copy one node's bytes to every node, pipelined over the nodes.
 *
 * One rank acts for each node: root for its own node, the leader for any other. A transfer is a
 * message that announces the data (header, then offset and count of each hyperslab) and a stream:
 * the hyperslabs' bytes in order. A short stream is a part of the message, which goes down a
 * binomial tree. A long one follows it in segments, NSH__WINDOW of them in flight: along a chain
 * while the pipeline is longer than the chain, otherwise down a binary tree. Segments go straight
 * from the caller's buffer and into the replicas if both are contiguous, and through staging memory
 * if they are not.
 *
 * A transfer whose call has a number that NSH__ACK_EVERY divides is acknowledged up the tree, so
 * that no sender runs ahead without limit. (Segmented chain and tree broadcast: Pjesivac-Grbovic et
 * al., "Performance analysis of MPI collective operations", Cluster Computing 10, 2007.) */
#ifndef NSH_CORE_REPLICATE_H
#define NSH_CORE_REPLICATE_H

#include <nodeshare/types.h>

#include "core/comm.h"
#include "core/stream.h"

enum {
    NSH__SEGMENT = 512 << 10,
    NSH__WINDOW = 4,
    NSH__INLINE = 64 << 10,  /* longest stream inside the message */
    NSH__MESSAGE = 128 << 10 /* bytes for header, hyperslabs and an inline stream */
};

/* [local, while the communicator is created or ends] The memory for transfers, in the node's shared
 * memory: none on one node. */
int64_t nsh__transfer_bytes(const nsh_comm *comm);
int nsh__transfer_create(nsh_comm *comm, char *area);
void nsh__transfer_destroy(nsh_comm *comm);

/* [local, leader] Touch that memory, once; NSH_ERR_NOMEM. */
int nsh__transfer_touch(nsh_comm *comm);

/* [local, by the rank that acts] One of the NSH__WINDOW segments in this node's shared memory. */
char *nsh__transfer_staging(const nsh_comm *comm, int slot);

/* [by root, when its node has arrived] Copy n pieces into the replica and send them to all other
 * nodes; pieces == NULL: no pieces. in_place: the data is in the replica already. code: the result
 * of root's checks, sent to all nodes with its detail; if it is a failure only data in place is
 * sent. Returns NSH_SUCCESS or what breaks the communicator. */
int nsh__replicate_send(nsh_comm *comm, const nsh__destination *destination, int n,
                        const nsh_piece pieces[], bool in_place, int code);

/* Root's code and its detail, as a node receives them. */
typedef struct nsh__remote_status {
    int code;
    char text[NSH__TEXT];
} nsh__remote_status;

/* [by the leader of another node] Receive and forward. await: wait at the gate until all ranks of
 * the node have arrived, before the replica changes. Returns as nsh__replicate_send. */
int nsh__replicate_receive(nsh_comm *comm, const nsh__destination *destination, int root,
                           bool await, nsh__remote_status *out);

/* [local] Copy pieces into the replica: on a single node nothing else is needed. */
void nsh__replicate_local(const nsh__destination *destination, int n, const nsh_piece pieces[]);

/* [local] One request for each node, for use between two steps of a call, when none is pending. */
MPI_Request *nsh__transfer_requests(const nsh_comm *comm);

#endif
