/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_group.h -- some consecutive ranks that act as one: they report to the lowest, which tells
 * them.
 *
 * Ranks of the leader's node do so through memory they share, others by messages with the group's
 * tag. Every call is a report by all and an answer to all, so no answer is overwritten before it
 * was read. Who waits sleeps. */
#ifndef NSH_TASK_WORKER_GROUP_H
#define NSH_TASK_WORKER_GROUP_H

#include "core/comm.h"

/* A rank's place in shared memory, zero at first. Fields but the counters are written by the rank
 * itself before it counts up, and read by who has seen that. */
typedef struct nsh__group_member {
    _Alignas(64) atomic_uint reports; /* to a leader, by ranks of its node */
    atomic_uint reports_sleepers;
    _Alignas(64) atomic_uint answers; /* by a leader */
    atomic_uint answers_sleepers;
    atomic_uint never; /* 0: to wait for a message only */
    int code, flag;    /* a rank's report; a leader's answer */
    int64_t value;
    char text[NSH__TEXT];
} nsh__group_member;

/* One rank's view. */
typedef struct nsh__worker_group {
    nsh_comm *comm;
    nsh__group_member *members; /* of this node's ranks */
    int leader, size;           /* a rank, and how many from there on */
    int tag;
    unsigned rounds;
} nsh__worker_group;

/* What a round is about. */
typedef struct nsh__round {
    int code;      /* the largest that was reported, with its detail; then the leader's answer */
    int flag;      /* likewise the largest */
    int64_t value; /* the leader's answer */
} nsh__round;

/* [local] Squad k of those that comm's ranks make in groups of size; tags of batches differ. */
void nsh__worker_group_init(nsh__worker_group *group, nsh_comm *comm, nsh__group_member *members,
                            int size, uint64_t batch);

static inline bool nsh__worker_group_leads(const nsh__worker_group *group)
{
    return group->comm->rank == group->leader;
}

/* [collective over the group] Report code and flag. On the leader they become the largest of all,
 * and it must answer; the others wait for the answer next. NSH_SUCCESS, or what has broken the
 * communicator: then there is no answer. The inline part is for workers of one rank. */
int nsh__worker_group_report_all(nsh__worker_group *group, nsh__round *round);

static inline int nsh__worker_group_report(nsh__worker_group *group, nsh__round *round)
{
    return group->size == 1 ? NSH_SUCCESS : nsh__worker_group_report_all(group, round);
}

/* [collective over the group] The leader's code and value become everybody's. Returns the code. */
int nsh__worker_group_answer_all(nsh__worker_group *group, nsh__round *round);

static inline int nsh__worker_group_answer(nsh__worker_group *group, nsh__round *round)
{
    return group->size == 1 ? round->code : nsh__worker_group_answer_all(group, round);
}

#endif
