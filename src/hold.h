/* SPDX-License-Identifier: BSD-3-Clause */
/* hold.h -- a replica's pages stay as they are for as long as a foreign view points at them. */
#ifndef NSH_SRC_HOLD_H
#define NSH_SRC_HOLD_H

#include "object.h"

/* [local] The object goes, and with it its block: its holds keep the pages alone. */
void nsh__holds_detach(nsh__object *object);

#endif
