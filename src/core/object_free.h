/* SPDX-License-Identifier: BSD-3-Clause */
/* object_free.h -- the program frees or abandons an object, and with the last one perhaps the
 * communicator. */
#ifndef NSH_CORE_OBJECT_FREE_H
#define NSH_CORE_OBJECT_FREE_H

#include "core/object.h"

/* [local] For free and abandon: true if the handle is a shell, which is freed, or belongs to the
 * parent of this forked process, which keeps it. Then nothing else is to be done. */
bool nsh__object_forget(nsh_comm *comm, nsh__object *object);

/* [local] For abandon, and a free that is local: the program frees its handle on this rank. */
void nsh__object_abandon(nsh_comm *comm, nsh__object *object);

/* [by all ranks, at the same point] For a free that is collective. */
void nsh__object_free(nsh_comm *comm, nsh__object *object);

#endif
