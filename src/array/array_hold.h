/* SPDX-License-Identifier: BSD-3-Clause */
/* array_hold.h -- a replica's pages stay as they are for as long as a foreign view points at
 * them. */
#ifndef NSH_ARRAY_ARRAY_HOLD_H
#define NSH_ARRAY_ARRAY_HOLD_H

#include "core/object.h"

/* [local] The object goes, and with it its block: its holds keep the pages alone. */
void nsh__holds_detach(nsh__object *object);

#endif
