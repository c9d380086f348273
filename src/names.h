/* SPDX-License-Identifier: BSD-3-Clause */
/* names.h -- the names of the objects on a communicator: one space for all kinds. */
#ifndef NSH_SRC_NAMES_H
#define NSH_SRC_NAMES_H

#include "comm.h"

typedef enum nsh__kind {
    NSH__KIND_ARRAY,
    NSH__KIND_MUTEX,
    NSH__KIND_SEMAPHORE,
    NSH__KIND_COUNTER
} nsh__kind;

/* A member of a named object, at the same address for as long as it has its name. */
typedef struct nsh__named {
    char *name; /* NULL: none */
    nsh__kind kind;
    void *object;
} nsh__named;

/* [local] Give object a copy of name, unique on comm; NULL: none. call words a failure:
 * NSH_ERR_ARG (empty, or more than 255 bytes), NSH_ERR_EXISTS, NSH_ERR_NOMEM. */
int nsh__name_give(nsh_comm *comm, nsh__call call, nsh__kind kind, const char *name, void *object,
                   nsh__named *entry);

/* [local] Take it away again; accepts none. */
void nsh__name_take(nsh_comm *comm, nsh__named *entry);

/* [local] The object of this kind and name. call names the public function. NSH_ERR_ARG (a NULL
 * argument), NSH_ERR_NOT_FOUND. */
int nsh__name_find(nsh_comm *comm, const char *call, nsh__kind kind, const char *name, void *out);

/* [local] All of them under NSH_LOG=1. */
void nsh__names_log(const nsh_comm *comm);

#endif
