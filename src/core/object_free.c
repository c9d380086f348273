/* SPDX-License-Identifier: BSD-3-Clause */
/* object_free.c -- the program frees or abandons an object, and with the last one perhaps the
 * communicator.
 *
 * Invariant: a communicator that is gone keeps its private memory for as long as the program has
 * handles of its objects. */
#include "core/object_free.h"

#include "core/comm_end.h"

bool nsh__object_forget(nsh_comm *comm, nsh__object *object)
{
    if (nsh__comm_inherited(comm))
        return true;
    if (object->state != NSH__OBJECT_SHELL)
        return false;
    nsh__object_destroy(comm, object);
    comm->live--;
    nsh__comm_unused(comm);
    return true;
}

void nsh__object_abandon(nsh_comm *comm, nsh__object *object)
{
    if (nsh__object_forget(comm, object))
        return;
    nsh__object_release(comm, object);
    nsh__comm_unused(comm);
}

void nsh__object_free(nsh_comm *comm, nsh__object *object)
{
    nsh__object_reclaim(comm, object);
    nsh__comm_unused(comm);
}
