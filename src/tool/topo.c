/* SPDX-License-Identifier: BSD-3-Clause */
/* topo.c -- nsh topo: where the ranks are, and which methods the library uses there. */
#include "tool/tool.h"

#include <stdio.h>
#include <string.h>

#include <nodeshare.h>

#include "core/comm.h"
#include "file/h5.h"
#include "core/heap.h"
#include "base/machine.h"

static void print_mpi(void)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0, level = 0;
    const char *name;

    MPI_Get_library_version(text, &length);
    text[strcspn(text, "\n")] = '\0';
    MPI_Query_thread(&level);
    name = level == MPI_THREAD_MULTIPLE     ? "MPI_THREAD_MULTIPLE"
           : level == MPI_THREAD_SERIALIZED ? "MPI_THREAD_SERIALIZED"
           : level == MPI_THREAD_FUNNELED   ? "MPI_THREAD_FUNNELED"
                                            : "MPI_THREAD_SINGLE";
    printf("mpi       %s, %s\n", text, name);
}

/* What serves the words and messages of a leader that computes. */
static const char *helper_case(const nsh_comm *comm)
{
    if (comm->helper != NULL)
        return "a thread on each leader drives MPI";
    if (comm->node_count == 1)
        return "none, and none is needed";
    if (!comm->threads && comm->words_by_message)
        return "none: MPI gave no MPI_THREAD_MULTIPLE. Home leaders answer in nodeshare calls "
               "only, "
               "nsh_comm_progress among them";
    if (!comm->threads)
        return "none: MPI gave no MPI_THREAD_MULTIPLE. A home leader that computes for long calls "
               "nsh_comm_progress";
    if (comm->progress == NSH_PROGRESS_AUTO)
        return "a thread on each leader that homes words, from the first mutex on";
    return "none (NSH_PROGRESS=none). A home leader that computes for long calls nsh_comm_progress";
}

static void print_waiting(const nsh_comm *comm)
{
    const char *how = "sleep at once";

    if (comm->wait.spin_ns == INT64_MAX)
        how = "spin, never sleep";
    else if (comm->wait.spin_ns > 0)
        how = comm->wait.yield ? "give the core away for a while, then sleep"
                               : "spin for a while, then sleep";
    printf("cores     %d usable on this host, %d ranks on it\n", comm->cores, comm->host_ranks);
    printf("waiting   %s; MPI is driven meanwhile\n", how);
    printf("words     %s\n",
           comm->node_count == 1 ? "C11 atomics in the memory of the node"
           : comm->words_by_message
               ? "with node leaders, asked for by messages (NSH_RMA=message)"
               : "with node leaders, by MPI's one-sided atomics (NSH_RMA=window)");
    printf("helper    %s\n", helper_case(comm));
}

static void print_memory(const nsh_comm *comm)
{
    char line[128] = "unknown";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "r");
    int64_t shm = nsh__machine_shm(false);

    if (f != NULL) {
        if (fgets(line, sizeof line, f) != NULL)
            line[strcspn(line, "\n")] = '\0';
        fclose(f);
    }
    printf("heap      at most %lld MiB of arrays per node\n",
           (long long)(nsh__heap_limit(comm, 0) >> 20));
    if (shm == INT64_MAX)
        printf("/dev/shm  without a limit\n");
    else
        printf("/dev/shm  %lld MiB\n", (long long)(shm >> 20));
    printf("hugepages for shared memory: %s\n", line);
}

int tool_topo(int argc, char **argv)
{
    nsh_comm *comm;

    (void)argv;
    if (argc != 0) {
        fprintf(stderr, "nsh topo takes no arguments\n");
        return 2;
    }
    tool_must(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), "communicator");
    if (nsh_comm_rank(comm) == 0) {
        printf("nodeshare %s\n", NSH_VERSION_STRING);
        printf("ranks     ");
        nsh_comm_print(comm, stdout);
        printf("hosts     %d\n", nsh_comm_host_count(comm));
        if (nsh_comm_host_count(comm) != nsh_comm_node_count(comm))
            printf("WARNING   nodes are not hosts: they were split, or this MPI reports shared "
                   "memory wrongly;\n          every node keeps a replica of its own\n");
        print_mpi();
        printf("hdf5      %s\n", nsh__h5_version());
        print_waiting(comm);
        print_memory(comm);
    }
    tool_must(nsh_comm_free(&comm), "free");
    return 0;
}
