/* SPDX-License-Identifier: BSD-3-Clause */
/* worker_group.c -- some consecutive ranks that act as one.
 *
 * Invariant: in round r a seat's counters have come to r times its ranks (reports) and r (answers),
 * modulo 2^32. */
#include "task/worker_group.h"

#include "base/fault.h"

#include <stdio.h>
#include <string.h>

/* A report or an answer that crosses nodes. */
typedef struct message {
    uint32_t round;
    int32_t code, flag;
    int64_t value;
    char text[NSH__TEXT];
} message;

void nsh__squad_init(nsh__squad *squad, nsh_comm *comm, nsh__seat *seats, int size, uint64_t batch)
{
    int leader = comm->rank / size * size;

    *squad = (nsh__squad){.comm = comm,
                          .seats = seats,
                          .leader = leader,
                          .size = leader > comm->size - size ? comm->size - leader : size,
                          .tag = NSH__TAG_SQUAD + (int)(batch % NSH__SQUAD_TAGS)};
}

static bool near(const nsh__squad *squad, int rank)
{
    return squad->comm->node_of[rank] == squad->comm->node_index;
}

static nsh__seat *seat_of(const nsh__squad *squad, int rank)
{
    return &squad->seats[squad->comm->node_rank_of[rank]];
}

/* ---- messages ---- */

static int send_message(const nsh__squad *squad, int to, const nsh__round *round)
{
    message m = {
        .round = squad->rounds, .code = round->code, .flag = round->flag, .value = round->value};
    MPI_Request request = MPI_REQUEST_NULL;
    int rc;

    if (round->code != NSH_SUCCESS)
        snprintf(m.text, sizeof m.text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
    rc = MPI_Isend(&m, (int)sizeof m, MPI_BYTE, to, squad->tag, squad->comm->mpi, &request);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_send))
        return nsh__fail_mpi("MPI_Isend in a worker", rc);
    return nsh__wait_requests(&squad->comm->wait, 1, &request);
}

/* The next message with the squad's tag; from is who it comes from. */
static int receive_message(const nsh__squad *squad, message *m, int *from)
{
    nsh__seat *own = seat_of(squad, squad->comm->rank);
    const nsh__event event = {&own->never, ~0U, 1, &own->answers_sleepers, squad->tag};
    MPI_Status status;
    int rc = nsh__wait_event(&squad->comm->wait, &event, NSH__NEVER);

    if (rc != NSH_SUCCESS)
        return rc;
    rc = MPI_Recv(m, (int)sizeof *m, MPI_BYTE, MPI_ANY_SOURCE, squad->tag, squad->comm->mpi,
                  &status);
    if (rc != MPI_SUCCESS || nsh__fault(mpi_recv))
        return nsh__fail_mpi("MPI_Recv in a worker", rc);
    *from = status.MPI_SOURCE;
    if (m->round != squad->rounds || *from < squad->leader || *from >= squad->leader + squad->size)
        return nsh__fail(NSH_ERR_MISMATCH,
                         "ranks %d and %d of a worker are in different calls of a batch", *from,
                         squad->comm->rank);
    return NSH_SUCCESS;
}

/* ---- reports ---- */

/* Remember the largest, and its words as this thread's last failure. */
static void heed(nsh__round *round, int from, int code, int flag, const char *text)
{
    if (code > round->code) {
        round->code = code;
        nsh__fail_from(code, from, text);
    }
    if (flag > round->flag)
        round->flag = flag;
}

/* By the leader. */
static int collect(nsh__squad *squad, nsh__round *round)
{
    nsh__seat *own = seat_of(squad, squad->leader);
    unsigned here = 0;
    int rc, far = 0, from;
    message m;

    for (int r = squad->leader + 1; r < squad->leader + squad->size; r++) {
        if (near(squad, r))
            here++;
        else
            far++;
    }
    rc = nsh__wait_word(&squad->comm->wait, &own->reports, squad->rounds * here,
                        &own->reports_sleepers);
    for (int r = squad->leader + 1; r < squad->leader + squad->size && rc == NSH_SUCCESS; r++) {
        const nsh__seat *seat = seat_of(squad, r); /* of another node: not read */

        if (near(squad, r))
            heed(round, r, seat->code, seat->flag, seat->text);
    }
    for (; far > 0 && rc == NSH_SUCCESS; far--) {
        rc = receive_message(squad, &m, &from);
        if (rc == NSH_SUCCESS)
            heed(round, from, m.code, m.flag, m.text);
    }
    return rc;
}

static void write_seat(nsh__seat *seat, const nsh__round *round)
{
    seat->code = round->code;
    seat->flag = round->flag;
    seat->value = round->value;
    if (round->code != NSH_SUCCESS)
        snprintf(seat->text, sizeof seat->text, "%.*s", NSH__TEXT - 1, nsh_error_detail());
}

static int broken(const nsh__squad *squad, int rc)
{
    return rc == NSH_SUCCESS ? rc : nsh__comm_break(squad->comm, rc);
}

int nsh__squad_report(nsh__squad *squad, nsh__round *round)
{
    nsh__seat *at;

    squad->rounds++;
    if (squad->size == 1)
        return NSH_SUCCESS;
    if (nsh__squad_leads(squad))
        return broken(squad, collect(squad, round));
    if (!near(squad, squad->leader))
        return broken(squad, send_message(squad, squad->leader, round));
    write_seat(seat_of(squad, squad->comm->rank), round);
    at = seat_of(squad, squad->leader);
    atomic_fetch_add_explicit(&at->reports, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&at->reports, &at->reports_sleepers);
    return NSH_SUCCESS;
}

/* ---- answers ---- */

static int tell(const nsh__squad *squad, const nsh__round *round)
{
    nsh__seat *own = seat_of(squad, squad->leader);
    int rc = NSH_SUCCESS;

    write_seat(own, round);
    atomic_fetch_add_explicit(&own->answers, 1, memory_order_seq_cst); /* for nsh__wake */
    nsh__wake(&own->answers, &own->answers_sleepers);
    for (int r = squad->leader + 1; r < squad->leader + squad->size && rc == NSH_SUCCESS; r++)
        if (!near(squad, r))
            rc = send_message(squad, r, round);
    return rc;
}

static int hear(const nsh__squad *squad, nsh__round *round)
{
    nsh__seat *at = seat_of(squad, squad->leader);
    message m = {.code = NSH_SUCCESS};
    int rc, from = squad->leader;

    if (!near(squad, squad->leader)) {
        rc = receive_message(squad, &m, &from);
    } else {
        rc = nsh__wait_word(&squad->comm->wait, &at->answers, squad->rounds, &at->answers_sleepers);
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

int nsh__squad_answer(nsh__squad *squad, nsh__round *round)
{
    int rc;

    if (squad->size == 1)
        return round->code;
    if (nsh__squad_leads(squad)) {
        rc = tell(squad, round);
    } else {
        squad->comm->partner = squad->leader;
        rc = hear(squad, round);
        squad->comm->partner = -1;
    }
    return rc != NSH_SUCCESS ? broken(squad, rc) : round->code;
}
