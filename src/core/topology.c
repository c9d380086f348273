/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.c -- which ranks share memory, which share a host, and how many cores they have.
 *
 * Invariant: the table rank -> node comes from MPI, never from arithmetic on ranks, so any
 * placement works. */
#include "core/topology.h"

#include "base/fault.h"
#include "base/machine.h"
#include "core/boot.h"

#include <stdlib.h>
#include <string.h>

/* What each rank tells all others. */
typedef struct place {
    int64_t leader; /* the lowest rank of its node */
    uint64_t host;
} place;

static int tables_alloc(nsh_comm *comm, int ranks)
{
    size_t n = (size_t)ranks;

    comm->node_of = calloc(5 * n, sizeof *comm->node_of); /* there are at most as many nodes as
                                                             ranks */
    if (comm->node_of == NULL || nsh__fault(comm_alloc))
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the topology of %d ranks", ranks);
    comm->leader_of = comm->node_of + n;
    comm->size_of = comm->leader_of + n;
    comm->node_rank_of = comm->size_of + n;
    comm->asked = comm->node_rank_of + n;
    comm->pending = calloc(n, sizeof *comm->pending);
    if (comm->pending == NULL)
        return nsh__fail(NSH_ERR_NOMEM, "no memory for the topology of %d ranks", ranks);
    return NSH_SUCCESS;
}

/* [local] The caller's node_comm must lie inside comm and inside shared memory. */
static int node_comm_check(const nsh_comm *comm, MPI_Comm domain, MPI_Comm node_comm, int *color)
{
    MPI_Group all, sharing, mine;
    int inter = 0, n = 0, rc = NSH_SUCCESS;

    MPI_Comm_test_inter(node_comm, &inter);
    if (inter)
        return nsh__fail(NSH_ERR_ARG, "nsh_comm_create: node_comm is an intercommunicator");
    MPI_Comm_group(comm->mpi, &all);
    MPI_Comm_group(domain, &sharing);
    MPI_Comm_group(node_comm, &mine);
    MPI_Group_size(mine, &n);
    *color = comm->rank;
    for (int i = 0; i < n && rc == NSH_SUCCESS; i++) {
        int there, rank;

        MPI_Group_translate_ranks(mine, 1, &i, all, &rank);
        MPI_Group_translate_ranks(mine, 1, &i, sharing, &there);
        if (rank == MPI_UNDEFINED)
            rc = nsh__fail(NSH_ERR_ARG,
                           "nsh_comm_create: rank %d of node_comm is not in comm "
                           "(rank %d)",
                           i, comm->rank);
        else if (there == MPI_UNDEFINED)
            rc = nsh__fail(NSH_ERR_ARG,
                           "nsh_comm_create: ranks %d and %d of node_comm do not share "
                           "memory",
                           comm->rank, rank);
        else if (rank < *color)
            *color = rank;
    }
    MPI_Group_free(&mine);
    MPI_Group_free(&sharing);
    MPI_Group_free(&all);
    return rc;
}

/* [collective] Split by the caller's node_comm: a node is formed only if all of its ranks have
 * passed the same one. */
static int split_as_given(nsh_comm *comm, MPI_Comm domain, MPI_Comm node_comm)
{
    int color = 0, size = 0, given = 0, rc;

    rc = nsh__boot_agree(comm, node_comm_check(comm, domain, node_comm, &color));
    if (rc != NSH_SUCCESS)
        return rc;
    if (MPI_Comm_split(domain, color, comm->rank, &comm->node_mpi) != MPI_SUCCESS)
        return nsh__boot_agree(comm, nsh__fail(NSH_ERR_MPI, "nsh_comm_create: MPI_Comm_split"));
    MPI_Comm_size(comm->node_mpi, &size);
    MPI_Comm_size(node_comm, &given);
    if (size != given)
        rc = nsh__fail(NSH_ERR_ARG,
                       "nsh_comm_create: node_comm has %d ranks, of which %d passed it "
                       "(rank %d)",
                       given, size, comm->rank);
    return nsh__boot_agree(comm, rc);
}

/* [collective] Split *node into nodes of k ranks. */
static int split_smaller(nsh_comm *comm, MPI_Comm *node, int k)
{
    MPI_Comm smaller = MPI_COMM_NULL;
    int rank = 0, rc;

    MPI_Comm_rank(*node, &rank);
    rc = MPI_Comm_split(*node, rank / k, comm->rank, &smaller);
    if (rc != MPI_SUCCESS)
        return nsh__fail_mpi("nsh_comm_create: MPI_Comm_split", rc);
    MPI_Comm_set_errhandler(smaller, MPI_ERRORS_RETURN);
    MPI_Comm_free(node);
    *node = smaller;
    return NSH_SUCCESS;
}

static int compare_hosts(const void *a, const void *b)
{
    const place *x = a, *y = b;

    return (x->host > y->host) - (x->host < y->host);
}

/* Fill the tables and the number of hosts from every rank's place. Sorts places. */
static void tabulate(nsh_comm *comm, place *places, uint64_t host)
{
    comm->node_count = 0;
    for (int r = 0; r < comm->size; r++) {
        int leader = (int)places[r].leader;

        if (leader == r) {
            comm->leader_of[comm->node_count] = r;
            comm->node_of[r] = comm->node_count++;
        } else {
            comm->node_of[r] = comm->node_of[leader]; /* a lower rank, already set */
        }
        comm->node_rank_of[r] =
            comm->size_of[comm->node_of[r]]++; /* so node ranks are in rank order */
        comm->host_ranks += places[r].host == host;
    }
    comm->node_index = comm->node_of[comm->rank];
    qsort(places, (size_t)comm->size, sizeof *places, compare_hosts);
    comm->host_count = 1;
    for (int r = 1; r < comm->size; r++)
        comm->host_count += places[r].host != places[r - 1].host;
}

static int gather_places(nsh_comm *comm)
{
    place *places = calloc((size_t)comm->size, sizeof *places);
    place mine = {comm->rank, nsh__machine_host()};
    int64_t leader = comm->rank;
    int rc = tables_alloc(comm, comm->size);

    if (places == NULL)
        rc = nsh__fail(NSH_ERR_NOMEM, "no memory for the places of %d ranks", comm->size);
    rc = nsh__boot_agree(comm, rc);
    if (rc == NSH_SUCCESS) {
        MPI_Bcast(&leader, 1, MPI_INT64_T, 0, comm->node_mpi);
        mine.leader = leader;
        rc = MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, places, (int)sizeof mine, MPI_BYTE,
                           comm->mpi);
        if (rc != MPI_SUCCESS || nsh__fault(comm_gather))
            rc = nsh__fail_mpi("nsh_comm_create: MPI_Allgather", rc);
        else
            tabulate(comm, places, mine.host);
        rc = nsh__boot_agree(comm, rc);
    }
    free(places);
    return rc;
}

/* Each rank may be bound to its own cores, as Open MPI does: the union counts. */
static void count_cores(nsh_comm *comm, MPI_Comm domain)
{
    unsigned char mine[NSH__AFFINITY_BYTES];

    nsh__machine_affinity(mine);
    memcpy(comm->affinity, mine, sizeof mine);
    if (MPI_Allreduce(mine, comm->affinity, NSH__AFFINITY_BYTES, MPI_BYTE, MPI_BOR, domain) !=
        MPI_SUCCESS)
        comm->cores = 1;
    else
        comm->cores = nsh__machine_cores(comm->affinity);
}

int nsh__topology_find(nsh_comm *comm, MPI_Comm node_comm, int ranks_per_node)
{
    MPI_Comm domain = MPI_COMM_NULL;
    int rc;

    rc = MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &domain);
    if (rc != MPI_SUCCESS || nsh__fault(comm_split))
        rc = nsh__fail_mpi("nsh_comm_create: MPI_Comm_split_type", rc);
    rc = nsh__boot_agree(comm, rc);
    if (rc != NSH_SUCCESS)
        goto done;
    MPI_Comm_set_errhandler(domain, MPI_ERRORS_RETURN);
    count_cores(comm, domain);
    if (node_comm != MPI_COMM_NULL) {
        rc = split_as_given(comm, domain, node_comm);
    } else {
        comm->node_mpi = domain;
        domain = MPI_COMM_NULL;
    }
    if (rc == NSH_SUCCESS && ranks_per_node > 0)
        rc = nsh__boot_agree(comm, split_smaller(comm, &comm->node_mpi, ranks_per_node));
    if (rc != NSH_SUCCESS)
        goto done;
    MPI_Comm_set_errhandler(comm->node_mpi, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm->node_mpi, &comm->node_rank);
    MPI_Comm_size(comm->node_mpi, &comm->node_size);
    rc = gather_places(comm);
done:
    if (domain != MPI_COMM_NULL)
        MPI_Comm_free(&domain);
    return rc;
}

int nsh__topology_alone(nsh_comm *comm)
{
    int rc = tables_alloc(comm, 1);

    if (rc != NSH_SUCCESS)
        return rc;
    comm->size = comm->node_size = comm->node_count = 1;
    comm->host_count = comm->host_ranks = 1;
    comm->size_of[0] = 1;
    nsh__machine_affinity(comm->affinity);
    comm->cores = nsh__machine_cores(comm->affinity);
    return NSH_SUCCESS;
}

void nsh__topology_destroy(nsh_comm *comm)
{
    free(comm->node_of);
    free(comm->pending);
    comm->pending = NULL;
    comm->node_of = comm->leader_of = comm->size_of = comm->asked = NULL;
}
