/* test_comm.c -- ranks: 1 4  layouts: one-node cliques-2 odd-even rpn-2 per-rank */
/* SPDX-License-Identifier: BSD-3-Clause */
/* Which rank is on which node, on communicators of every kind. The oracle is MPI_Comm_split_type,
 * cut the same way as the library is told to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "check.h"

/* The node of this rank as MPI says, or a part of it. */
static MPI_Comm node_by_mpi(MPI_Comm comm, int ranks_per_node)
{
    MPI_Comm domain, node;
    int rank;

    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &domain);
    if (ranks_per_node == 0)
        return domain;
    MPI_Comm_rank(domain, &rank);
    MPI_Comm_split(domain, rank / ranks_per_node, 0, &node);
    MPI_Comm_free(&domain);
    return node;
}

static int told_ranks_per_node(void)
{
    const char *text = getenv("NSH_RANKS_PER_NODE");

    return text != NULL ? atoi(text) : 0;
}

static void check_topology(nsh_comm *comm, MPI_Comm mpi, MPI_Comm node)
{
    int rank, size, node_rank, node_size, leader, leads, nodes;

    MPI_Comm_rank(mpi, &rank);
    MPI_Comm_size(mpi, &size);
    MPI_Comm_rank(node, &node_rank);
    MPI_Comm_size(node, &node_size);
    CHECK_EQ(nsh_comm_rank(comm), rank);
    CHECK_EQ(nsh_comm_size(comm), size);
    CHECK_EQ(nsh_comm_node_rank(comm), node_rank);
    CHECK_EQ(nsh_comm_node_size(comm), node_size);
    leads = node_rank == 0;
    MPI_Allreduce(&leads, &nodes, 1, MPI_INT, MPI_SUM, mpi);
    CHECK_EQ(nsh_comm_node_count(comm), nodes);
    CHECK_EQ(nsh_comm_host_count(comm), 1);
    leader = rank;
    MPI_Bcast(&leader, 1, MPI_INT, 0, node);
    CHECK_EQ(nsh_comm_node_of(comm, leader), nsh_comm_node_index(comm));
    CHECK_EQ(nsh_comm_node_of(comm, rank), nsh_comm_node_index(comm));
    CHECK_EQ(nsh_comm_node_of(comm, size), -1);
    CHECK_EQ(nsh_comm_node_of(comm, -1), -1);
}

/* An array on it works: every rank as root. */
static void check_use(nsh_comm *comm)
{
    int64_t n = 1000;
    nsh_array *array = NULL;

    CHECK_ALL(nsh_array_create(comm, MPI_INT64_T, 1, &n, NULL, &array), NSH_SUCCESS);
    for (int root = 0; root < nsh_comm_size(comm); root++) {
        int64_t at = root, one = 1, value = 1000 + root;

        CHECK_ALL(nsh_array_set(array, &value, &at, &one, root), NSH_SUCCESS);
        CHECK_EQ(((const int64_t *)nsh_array_data(array))[root], value);
    }
    CHECK_ALL(nsh_comm_barrier(comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_node_barrier(comm), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_progress(comm), NSH_SUCCESS);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
}

/* The line that nsh_comm_print has written, into memory that is large enough, or is not. */
static void check_text(const nsh_comm *comm, const char *line)
{
    int length = (int)strlen(line);
    char text[256] = "", five[5] = "____";

    CHECK_EQ(nsh_comm_snprintf(text, sizeof text, comm), length);
    CHECK_STR(text, line);
    CHECK_EQ(nsh_comm_snprintf(text, (size_t)length, comm), length);
    CHECK_EQ(strlen(text), length - 1);
    CHECK_EQ(nsh_comm_snprintf(five, sizeof five, comm), length);
    CHECK_EQ(strlen(five), 4);
    CHECK_MEM(five, line, 4);
    CHECK_EQ(nsh_comm_snprintf(NULL, 0, comm), length);
    CHECK_EQ(nsh_comm_snprintf(NULL, 1, comm), -1);
    CHECK_HAS(nsh_error_detail(), "nsh_comm_snprintf");
    CHECK_EQ(nsh_comm_snprintf(text, sizeof text, NULL), -1);
    CHECK_HAS(nsh_error_detail(), "comm is NULL");
}

static void test_world(void)
{
    MPI_Comm node = node_by_mpi(MPI_COMM_WORLD, told_ranks_per_node());
    nsh_comm *comm = NULL;
    char line[256] = "";
    FILE *f = tmpfile();

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    check_topology(comm, MPI_COMM_WORLD, node);
    check_use(comm);
    CHECK_EQ(nsh_comm_print(comm, f), NSH_SUCCESS);
    rewind(f);
    CHECK(fgets(line, sizeof line, f) != NULL);
    CHECK_HAS(line, check_size == 1 ? "1 rank on 1 node (1), leader 0" : "ranks on");
    fclose(f);
    check_text(comm, line);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    CHECK(comm == NULL);
    MPI_Comm_free(&node);
}

static void test_given_nodes(void)
{
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    MPI_Comm domain = node_by_mpi(MPI_COMM_WORLD, 0), node;
    nsh_comm *comm = NULL;
    int rank;

    MPI_Comm_rank(domain, &rank);
    MPI_Comm_split(domain, rank % 2, -rank, &node); /* ranks in reverse order: only the set of ranks
                                                       counts */
    options.node_comm = node;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
    MPI_Comm_free(&node);
    MPI_Comm_split(domain, rank % 2, rank, &node);
    check_topology(comm, MPI_COMM_WORLD, node);
    check_use(comm);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    MPI_Comm_free(&node);

    options = (nsh_comm_options)NSH_COMM_OPTIONS_INIT;
    options.ranks_per_node = 3;
    node = node_by_mpi(MPI_COMM_WORLD, 3);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
    check_topology(comm, MPI_COMM_WORLD, node);
    check_use(comm);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    MPI_Comm_free(&node);
    MPI_Comm_free(&domain);
}

/* A failure of one rank: each other rank learns once from which one. */
static void test_failure_of_one(void)
{
    int bad = check_size - 1;

    for (int i = 0; i < 2; i++) {
        nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
        nsh_comm *comm = NULL;
        const char *from;

        if (check_rank == bad && i == 0)
            options.ranks_per_node = -1;
        if (check_rank == bad && i == 1)
            options.size = 0;
        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_ERR_ARG);
        from = strstr(nsh_error_detail(), " [from rank ");
        if (check_rank == bad)
            CHECK(from == NULL);
        else if (CHECK(from != NULL))
            CHECK(strstr(from + 1, " [from rank ") == NULL);
    }
}

/* Rows and columns of a grid, and the whole, used in turn. */
static void test_grid(void)
{
    MPI_Comm row, column;
    nsh_comm *whole = NULL, *rows = NULL, *columns = NULL, *self = NULL;

    MPI_Comm_split(MPI_COMM_WORLD, check_rank / 2, check_rank, &row);
    MPI_Comm_split(MPI_COMM_WORLD, check_rank % 2, check_rank, &column);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &whole), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create(row, NULL, &rows), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create(column, NULL, &columns), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_create(MPI_COMM_SELF, NULL, &self), NSH_SUCCESS);
    for (int i = 0; i < 3; i++) {
        check_use(whole);
        check_use(rows);
        check_use(columns);
        check_use(self);
    }
    CHECK_ALL(nsh_comm_free(&rows), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&self), NSH_SUCCESS);
    check_use(whole);
    CHECK_ALL(nsh_comm_free(&columns), NSH_SUCCESS);
    CHECK_ALL(nsh_comm_free(&whole), NSH_SUCCESS);
    MPI_Comm_free(&row);
    MPI_Comm_free(&column);
}

static void test_part(void)
{
    MPI_Comm part;
    nsh_comm *comm = NULL;

    MPI_Comm_split(MPI_COMM_WORLD, check_rank == check_size - 1 ? MPI_UNDEFINED : 0, -check_rank,
                   &part); /* without the last rank, in reverse order */
    if (part != MPI_COMM_NULL) {
        CHECK_ALL(nsh_comm_create(part, NULL, &comm), NSH_SUCCESS);
        check_use(comm);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
        MPI_Comm_free(&part);
    }
}

static void test_waiting(void)
{
    nsh_comm_options options = NSH_COMM_OPTIONS_INIT;
    nsh_comm *comm = NULL;

    options.wait = check_rank % 2 == 0 ? NSH_WAIT_SPIN : NSH_WAIT_BLOCK;
    options.progress = NSH_PROGRESS_THREAD;
    options.heap_bytes = 1 << 20;
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, &options, &comm), NSH_SUCCESS);
    check_use(comm);
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
}

/* Around the library's collective calls, a message that anybody may send and an operation of all
 * ranks of the node are under way on its communicator. */
static void test_node_messages(void)
{
    nsh_comm *comm = NULL;
    MPI_Request message, operation;
    MPI_Comm node;
    int rank, size, got = -1, sent, one = 1, sum = 0;

    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    node = nsh_comm_node_mpi(comm);
    MPI_Comm_rank(node, &rank);
    MPI_Comm_size(node, &size);
    CHECK_EQ(rank, nsh_comm_node_rank(comm));
    CHECK_EQ(size, nsh_comm_node_size(comm));
    MPI_Irecv(&got, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, node, &message);
    MPI_Iallreduce(&one, &sum, 1, MPI_INT, MPI_SUM, node, &operation);
    check_use(comm);
    for (int64_t n = 1; n < 1 << 24; n *= 16) { /* windows are made */
        nsh_array *array = NULL;

        CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &n, NULL, &array), NSH_SUCCESS);
        CHECK_ALL(nsh_array_fill(array, "x"), NSH_SUCCESS);
    }
    CHECK_EQ(got, -1);
    sent = rank;
    MPI_Send(&sent, 1, MPI_INT, (rank + 1) % size, 77, node);
    MPI_Wait(&message, MPI_STATUS_IGNORE);
    MPI_Wait(&operation, MPI_STATUS_IGNORE);
    CHECK_EQ(got, (rank + size - 1) % size);
    CHECK_EQ(sum, size);
    CHECK_ALL(nsh_comm_free_all(&comm), NSH_SUCCESS);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_case("all ranks");
    test_world();
    check_case("nodes that the caller names");
    test_given_nodes();
    check_case("a failure of one rank");
    test_failure_of_one();
    check_case("rows, columns, self and the whole in turn");
    test_grid();
    check_case("some of the ranks, in another order");
    test_part();
    check_case("waiting, a helper thread, a small heap");
    test_waiting();
    check_case("messages of the program on the node's communicator");
    test_node_messages();
    check_case("many communicators one after another");
    for (int i = 0; i < (check_size > 2 ? 5 : 200); i++) {
        nsh_comm *comm = NULL;

        CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
        CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    }
    return check_finish();
}
