/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_group.c -- consecutive ranks that act as one worker.
 *
 * Invariant: in round r a leader's `reports` is r times the number of other ranks of its node in
 * the group, and its `answers` is r, modulo 2^32. */
#include "task/worker_group.h"

#include "base/fault.h"
#include "core/comm_break.h"

#include <stdio.h>
#include <string.h>

/* A report or an answer that crosses nodes. */
typedef struct message {
    uint32_t round;
    int32_t code, flag;
    int64_t value;
    char text[NSH__TEXT];
} message;

void nsh__worker_group_init(nsh__worker_group *group, nsh_comm *comm, nsh__group_member *members,
                            int size, uint64_t batch)
{
    int leader = comm->rank / size * size;

    *group = (nsh__worker_group){.comm = comm,
                                 .members = members,
                                 .leader = leader,
                                 .size = leader > comm->size - size ? comm->size - leader : size,
                                 .tag = NSH__TAG_WORKER + (int)(batch % NSH__WORKER_TAGS)};
}

static bool on_this_node(const nsh__worker_group *group, int rank)
{
    return group->comm->node_of[rank] == group->comm->node_index;
}

static nsh__group_member *member_at(const nsh__worker_group *group, int rank)
{
    return &group->members[group->comm->node_rank_of[rank]];
}

/* ---- messages ---- */

static int send_round(const nsh__worker_group *group, int to, const nsh__round *round)
{
    message m = {
        .round = group->rounds, .code = round->code, .flag = round->flag, .value = round->value};
    MPI_Request request = MPI_REQUEST_NULL;
    int rc;

    if (round->code != NSH_SUCCESS)
        snprintf(m.text, sizeof m.text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    rc = MPI_Isend(&m, (int)sizeof m, MPI_BYTE, to, group->tag, group->comm->mpi, &request);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_send))
        return nsh__fail_mpi("MPI_Isend in a worker", rc);
    return nsh__wait_requests(&group->comm->wait, 1, &request);
}

/* Receive the next message with the group's tag; *from is its sender. */
static int receive_round(const nsh__worker_group *group, message *m, int *from)
{
    nsh__group_member *own = member_at(group, group->comm->rank);
    const nsh__event event = {&own->never, ~0U, 1, &own->answers_sleepers, group->tag};
    MPI_Status status;
    int rc = nsh__wait_event(&group->comm->wait, &event, NSH__NEVER);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = MPI_Recv(m, (int)sizeof *m, MPI_BYTE, MPI_ANY_SOURCE, group->tag, group->comm->mpi,
                  &status);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_recv))
        return nsh__fail_mpi("MPI_Recv in a worker", rc);
    *from = status.MPI_SOURCE;
    if (m->round != group->rounds || *from < group->leader || *from >= group->leader + group->size)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "ranks %d and %d of a worker are in different calls of a batch", *from,
                         group->comm->rank);
    return NSH_SUCCESS;
}

/* ---- reports ---- */

/* Keep the largest code and flag; the detail of the code becomes this thread's last failure. */
static void merge_report(nsh__round *round, int from, int code, int flag, const char *text)
{
    if (code > round->code) {
        round->code = code;
        nsh__fail_from(code, from, text);
    }
    if (flag > round->flag)
        round->flag = flag;
}

/* [by the leader] Wait for all reports. */
static int collect_reports(nsh__worker_group *group, nsh__round *round)
{
    nsh__group_member *own = member_at(group, group->leader);
    unsigned here = 0;
    int rc, far = 0, from;
    message m;

    for (int r = group->leader + 1; r < group->leader + group->size; r++) {
        if (on_this_node(group, r))
            here++;
        else
            far++;
    }
    rc = nsh__wait_word(&group->comm->wait, &own->reports, group->rounds * here,
                        &own->reports_sleepers);
    for (int r = group->leader + 1; r < group->leader + group->size && rc == NSH_SUCCESS; r++) {
        const nsh__group_member *member = member_at(group, r); /* read only if it is on this node */

        if (on_this_node(group, r))
            merge_report(round, r, member->code, member->flag, member->text);
    }
    for (; far > 0 && rc == NSH_SUCCESS; far--) {
        rc = receive_round(group, &m, &from);
        if (rc == NSH_SUCCESS)
            merge_report(round, from, m.code, m.flag, m.text);
    }
    return rc;
}

static void write_member(nsh__group_member *member, const nsh__round *round)
{
    member->code = round->code;
    member->flag = round->flag;
    member->value = round->value;
    if (round->code != NSH_SUCCESS)
        snprintf(member->text, sizeof member->text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
}

static int break_on_error(const nsh__worker_group *group, int rc)
{
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(group->comm, rc);
}

int nsh__worker_group_report_all(nsh__worker_group *group, nsh__round *round)
{
    nsh__group_member *at;

    group->rounds++;
    if (nsh__worker_group_leads(group))
        return break_on_error(group, collect_reports(group, round));
    if (!on_this_node(group, group->leader))
        return break_on_error(group, send_round(group, group->leader, round));
    write_member(member_at(group, group->comm->rank), round);
    at = member_at(group, group->leader);
    atomic_fetch_add_explicit(&at->reports, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&at->reports, &at->reports_sleepers);
    return NSH_SUCCESS;
}

/* ---- answers ---- */

static int send_answer(const nsh__worker_group *group, const nsh__round *round)
{
    nsh__group_member *own = member_at(group, group->leader);
    int rc = NSH_SUCCESS;

    write_member(own, round);
    atomic_fetch_add_explicit(&own->answers, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&own->answers, &own->answers_sleepers);
    for (int r = group->leader + 1; r < group->leader + group->size && rc == NSH_SUCCESS; r++)
        if (!on_this_node(group, r))
            rc = send_round(group, r, round);
    return rc;
}

static int receive_answer(const nsh__worker_group *group, nsh__round *round)
{
    nsh__group_member *at = member_at(group, group->leader);
    message m = {.code = NSH_SUCCESS};
    int rc, from = group->leader;

    if (!on_this_node(group, group->leader)) {
        rc = receive_round(group, &m, &from);
    } else {
        rc = nsh__wait_word(&group->comm->wait, &at->answers, group->rounds, &at->answers_sleepers);
        if (rc == NSH_SUCCESS) {
            m = (message){.code = at->code, .flag = at->flag, .value = at->value};
            memcpy(m.text, at->text, sizeof m.text);
        }
    }
    if (rc != NSH_SUCCESS)
        return rc;
    *round = (nsh__round){m.code, m.flag, m.value};
    if (m.code != NSH_SUCCESS)
        nsh__fail_from(m.code, from, m.text);
    return NSH_SUCCESS;
}

int nsh__worker_group_answer_all(nsh__worker_group *group, nsh__round *round)
{
    int rc;

    if (nsh__worker_group_leads(group)) {
        rc = send_answer(group, round);
    } else {
        group->comm->partner = group->leader;
        rc = receive_answer(group, round);
        group->comm->partner = -1;
    }
    return rc != NSH_SUCCESS ? break_on_error(group, rc) : round->code;
}
