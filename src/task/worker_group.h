/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_group.h -- consecutive ranks that act as one worker: they report to the lowest rank, their
 * leader, and it answers.
 *
 * Ranks of the leader's node do so through shared memory, others by messages with the group's tag.
 * In every call all ranks report and all get an answer, so no answer is overwritten before it was
 * read. A waiting rank sleeps. */
#ifndef NSH_TASK_WORKER_GROUP_H
#define NSH_TASK_WORKER_GROUP_H

#include "core/comm.h"

/* A rank's place in shared memory, zero at first. The rank itself writes all fields but the
 * counters, and increments a counter after it; a rank that sees the new count may read them. */
typedef struct nsh__group_member {
    _Alignas(64) atomic_uint reports; /* incremented at a leader's place by ranks of its node */
    atomic_uint reports_sleepers;
    _Alignas(64) atomic_uint answers; /* incremented by a leader */
    atomic_uint answers_sleepers;
    atomic_uint never; /* always 0: a rank that waits only for a message waits on it */
    int code, flag;    /* a rank's report; a leader's answer */
    int64_t value;
    char text[NSH__TEXT];
} nsh__group_member;

/* One rank's view. */
typedef struct nsh__worker_group {
    nsh_comm *comm;
    nsh__group_member *members; /* of this node's ranks */
    int leader, size;           /* the leader's rank, and how many ranks from it on */
    int tag;
    unsigned rounds;
} nsh__worker_group;

/* The values of one round: a report of all ranks and an answer. */
typedef struct nsh__round {
    int code;      /* the largest that was reported, with its detail; then the leader's answer */
    int flag;      /* the largest that was reported, then the leader's */
    int64_t value; /* the leader's answer */
} nsh__round;

/* [local] The group of this rank, where groups are `size` consecutive ranks of comm; different
 * batches have different tags. */
void nsh__worker_group_init(nsh__worker_group *group, nsh_comm *comm, nsh__group_member *members,
                            int size, uint64_t batch);

/* [local] Is this rank the leader of the group? */
static inline bool nsh__worker_group_leads(const nsh__worker_group *group)
{
    return group->comm->rank == group->leader;
}

/* [collective over the group] Report code and flag. On the leader they become the largest of all,
 * and it must answer; the others call the answer function next and wait there. Returns NSH_SUCCESS,
 * or what has broken the communicator: then there is no answer. The inline function is for groups
 * of one rank. */
int nsh__worker_group_report_all(nsh__worker_group *group, nsh__round *round);

static inline int nsh__worker_group_report(nsh__worker_group *group, nsh__round *round)
{
    return group->size == 1 ? NSH_SUCCESS : nsh__worker_group_report_all(group, round);
}

/* [collective over the group] All ranks get the leader's code and value. Returns the code. */
int nsh__worker_group_answer_all(nsh__worker_group *group, nsh__round *round);

static inline int nsh__worker_group_answer(nsh__worker_group *group, nsh__round *round)
{
    return group->size == 1 ? round->code : nsh__worker_group_answer_all(group, round);
}

#endif
