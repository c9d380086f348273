/* SPDX-License-Identifier: BSD-3-Clause */
/* names.h -- the names of the objects on a communicator: one space for all kinds. */
#ifndef NSH_CORE_NAMES_H
#define NSH_CORE_NAMES_H

#include "core/object.h"

/* [local] Register the object's name, if it has one. A failure's detail names call: NSH_ERR_EXISTS
 * (an object of that name is not reclaimed yet), NSH_ERR_NOMEM. */
int nsh__name_register(nsh_comm *comm, nsh__call call, nsh__object *object);

/* [local] Unregister the object's name; accepts an object whose name is not registered. */
void nsh__name_unregister(nsh_comm *comm, nsh__object *object);

/* [local] The handle of the object of this kind and name, unless this rank has released it. call:
 * the name of the public function. NSH_ERR_ARG (a NULL argument), NSH_ERR_NOT_FOUND. */
int nsh__name_find(nsh_comm *comm, const char *call, const nsh__kind *kind, const char *name,
                   void *out);

#endif
