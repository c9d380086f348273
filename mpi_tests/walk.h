/* SPDX-License-Identifier: BSD-3-Clause */
/* walk.h -- a run of calls in which one fault site after the other fails. */
#ifndef NODESHARE_WALK_H
#define NODESHARE_WALK_H

#include <stdbool.h>

/* [collective] Over MPI_COMM_WORLD: whether a call that gave rc succeeded on all ranks. All have
 * the same code, whatever it is; where the communicator broke, ranks may learn of it a call apart.
 */
bool walk_succeeded(int rc);

/* The first code of this run that was not success. */
extern int walk_failure;

/* [collective] A run in which the first, the second .. passage through the site fails, on each rank
 * in turn: until a run comes to its end or passages have failed; then one in which none fails. The
 * run sets NSH_FAULT to the wish. Gives how many runs failed. */
int walk_site(const char *site, int passages, void (*run)(const char *wish));

#endif
