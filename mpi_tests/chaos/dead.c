/* SPDX-License-Identifier: BSD-3-Clause */
/* dead.c -- objects that no rank uses any more, and each rank gives up when it likes. */
#include "chaos.h"

static void give_up(dead *d)
{
    switch (d->kind) {
    case DEAD_ARRAY:
        CALL(nsh_array_free(&d->handle.array));
        break;
    case DEAD_MUTEX:
        CALL(nsh_mutex_abandon(&d->handle.mutex));
        break;
    case DEAD_SEMAPHORE:
        CALL(nsh_semaphore_abandon(&d->handle.semaphore));
        break;
    case DEAD_COUNTER:
        CALL(nsh_counter_abandon(&d->handle.counter));
        break;
    case DEAD_NONE:
        break;
    }
    d->kind = DEAD_NONE;
}

void bury(context *c, dead what)
{
    int at = (int)chaos_below(&c->own, MOST_DEAD);

    give_up(&c->dead[at]);
    c->dead[at] = what;
}

void free_some(context *c)
{
    int first = (int)chaos_below(&c->own, MOST_DEAD);

    for (int k = 0; k < MOST_DEAD; k++)
        if (chaos_below(&c->own, 4) == 0)
            give_up(&c->dead[(first + k) % MOST_DEAD]);
}

void free_dead(context *c)
{
    int first = (int)chaos_below(&c->own, MOST_DEAD);

    for (int k = 0; k < MOST_DEAD; k++)
        give_up(&c->dead[(first + k) % MOST_DEAD]);
}
