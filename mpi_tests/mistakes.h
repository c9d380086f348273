/* SPDX-License-Identifier: BSD-3-Clause */
/* mistakes.h -- incorrect programs: in each the ranks of one half make another call, or name
 * another root or array, than those of the other half.
 *
 * It holds definitions: one source of a program includes it, and makes the objects. */
#ifndef NODESHARE_MISTAKES_H
#define NODESHARE_MISTAKES_H

#include <stdint.h>

#include <nodeshare.h>

static nsh_comm *comm;
static nsh_array *array, *other; /* of count int64_t, as data */
static int64_t *data;
static int64_t count;

static int first_of_node(int node)
{
    for (int r = 0; r < nsh_comm_size(comm); r++)
        if (nsh_comm_node_of(comm, r) == node)
            return r;
    return 0;
}

/* To which half this rank belongs: nodes are divided if there are several, else ranks. */
static int camp(void)
{
    return nsh_comm_node_count(comm) > 1 ? nsh_comm_node_index(comm) % 2 : nsh_comm_rank(comm) % 2;
}

static int camp_root(int which)
{
    return nsh_comm_node_count(comm) > 1 ? first_of_node(which) : which;
}

static int set_at(nsh_array *a, int root)
{
    return nsh_array_set(a, data, NULL, NULL, root);
}

static int self_as_root(void)
{
    return set_at(array, nsh_comm_rank(comm));
}

static int nodes_swapped(void)
{
    return set_at(array, camp_root(1 - camp()));
}

static int both_send(void)
{
    return set_at(array, camp_root(camp()));
}

static int barrier_or_set(void)
{
    return camp() == 0 ? nsh_comm_barrier(comm) : set_at(array, camp_root(1));
}

static int set_or_barrier(void)
{
    return camp() == 1 ? nsh_comm_barrier(comm) : set_at(array, camp_root(0));
}

static int begin_or_set(void)
{
    void *view = NULL;

    return camp() == 0 ? nsh_array_update_begin(array, NULL, NULL, 0, &view) : set_at(array, 0);
}

static int different_arrays(void)
{
    return set_at(camp() == 0 ? array : other, 0);
}

static int set_or_fill(void)
{
    int64_t one = -1;

    return camp() == 0 ? set_at(array, 0) : nsh_array_fill(array, &one);
}

#endif
