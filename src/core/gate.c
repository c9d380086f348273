/* SPDX-License-Identifier: BSD-3-Clause */
/* gate.c -- the gate of a node.
 *
 * Invariant: between two releases every rank arrives at most once, so the release of a phase
 * happens after all of its arrivals and before any of the next. */
#include "core/gate.h"

#include "base/assert.h"

#include <stdio.h>

void nsh__gate_word_mismatch(const nsh__gate *gate, char text[NSH__TEXT])
{
    if (gate->word_mismatch != NULL)
        gate->word_mismatch(gate->owner, text);
    else
        snprintf(text, NSH__TEXT,
                 "ranks of a node are in different calls, or disagree on arguments");
}

void nsh__gate_init(nsh__gate *gate, nsh__gate_area *area, nsh__wait *wait, int rank, int node_rank,
                    int node_size, bool alone)
{
    *gate = (nsh__gate){.area = area,
                        .wait = wait,
                        .rank = rank,
                        .size = (unsigned)node_size,
                        .leads = node_rank == 0,
                        .alone = alone};
    gate->shown = &gate->own;
}

static void open_gate(nsh__gate *gate)
{
    if (gate->size == 1)
        return;
    atomic_store_explicit(&gate->area->opened, gate->opened, memory_order_seq_cst);
    nsh__wake(&gate->area->opened, &gate->area->opened_sleepers);
}

static int await(nsh__gate *gate, atomic_uint *word, unsigned target, atomic_uint *sleepers)
{
    return nsh__wait_word(gate->wait, word, target, sleepers);
}

static int await_opened(nsh__gate *gate)
{
    return await(gate, &gate->area->opened, gate->opened, &gate->area->opened_sleepers);
}

bool nsh__gate_arrive(nsh__gate *gate, uint64_t signature, bool failed)
{
    nsh__gate_area *area = gate->area;
    unsigned which, count;
    bool last;

    gate->signature = signature != 0 ? signature : 1;
    gate->arrived += gate->size;
    gate->opened++;
    gate->phase++;
    gate->released = false;
    which = gate->phase & 1;
    if (gate->size == 1) { /* no other rank reads it */
        atomic_store_explicit(&area->signatures[which].sum, gate->signature, memory_order_relaxed);
        atomic_store_explicit(&area->signatures[which].failures, failed, memory_order_relaxed);
        atomic_store_explicit(&area->arrived, gate->arrived, memory_order_relaxed);
        return true;
    }
    /* The signature is added before the count, which publishes it: the last rank sees all
     * signatures and everything that the others stored before they arrived. seq_cst rather than
     * acq_rel for nsh__wake. */
    if (failed)
        atomic_fetch_add_explicit(&area->signatures[which].failures, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&area->signatures[which].sum, gate->signature, memory_order_relaxed);
    atomic_store_explicit(gate->shown, gate->phase, memory_order_relaxed);
    count = atomic_fetch_add_explicit(&area->arrived, 1, memory_order_seq_cst) + 1;
    nsh__assert(gate->arrived - count < gate->size,
                "%u arrivals of %u, phase %u of rank %d, %u ranks", count, gate->arrived,
                gate->phase, gate->rank, gate->size);
    last = count == gate->arrived;
    if (last && gate->alone && !nsh__gate_unanimous(gate)) {
        char text[NSH__TEXT];

        nsh__gate_word_mismatch(gate, text);
        nsh__gate_release(gate, NSH_ERR_MISMATCH, -1, text);
    }
    if (last)
        nsh__wake(&area->arrived, &area->arrived_sleepers);
    return last;
}

int nsh__gate_await(nsh__gate *gate)
{
    return await(gate, &gate->area->arrived, gate->arrived, &gate->area->arrived_sleepers);
}

bool nsh__gate_unanimous(const nsh__gate *gate)
{
    return atomic_load_explicit(&gate->area->signatures[gate->phase & 1].sum,
                                memory_order_relaxed) == gate->size * gate->signature;
}

bool nsh__gate_failed(const nsh__gate *gate)
{
    return atomic_load_explicit(&gate->area->signatures[gate->phase & 1].failures,
                                memory_order_relaxed) != 0;
}

void nsh__gate_release(nsh__gate *gate, int outcome, int from, const char *text)
{
    nsh__gate_area *area = gate->area;
    unsigned former = (gate->phase + 1) & 1;

    nsh__assert(atomic_load(&area->arrived) == gate->arrived,
                "%u arrivals of %u, phase %u, released by rank %d", atomic_load(&area->arrived),
                gate->arrived, gate->phase, gate->rank);
    nsh__assert(gate->size == 1 || atomic_load(&area->opened) + 1 == gate->opened,
                "%u releases before release %u by rank %d", atomic_load(&area->opened),
                gate->opened, gate->rank);
    gate->released = true;
    gate->from = from;
    area->outcome = outcome;
    if (outcome != NSH_SUCCESS) {
        area->from = from;
        snprintf(area->text, sizeof area->text, "%s", text);
    }
    atomic_store_explicit(&area->signatures[former].failures, 0, memory_order_relaxed);
    atomic_store_explicit(&area->signatures[former].sum, 0, memory_order_relaxed);
    open_gate(gate);
}

int nsh__gate_leave(nsh__gate *gate)
{
    nsh__gate_area *area = gate->area;
    int rc = await_opened(gate);

    gate->released = rc == NSH_SUCCESS;
    gate->from = rc == NSH_SUCCESS && area->outcome != NSH_SUCCESS ? area->from : -1;
    if (rc == NSH_SUCCESS && area->outcome != NSH_SUCCESS)
        return nsh__fail_from(area->outcome, area->from == gate->rank ? -1 : area->from,
                              area->text);
    return rc;
}

int nsh__gate_pass(nsh__gate *gate, uint64_t signature)
{
    bool acts = nsh__gate_arrive(gate, signature, false);
    int rc;

    if (!gate->alone) {
        acts = gate->leads;
        if (acts && (rc = nsh__gate_await(gate)) != NSH_SUCCESS)
            return rc;
    }
    if (acts && nsh__gate_unanimous(gate)) {
        nsh__gate_release(gate, NSH_SUCCESS, -1, "");
        return NSH_SUCCESS;
    }
    if (acts && !gate->alone) {
        char text[NSH__TEXT];

        nsh__gate_word_mismatch(gate, text);
        return nsh__fail(NSH_ERR_MISMATCH, "%s", text);
    }
    return nsh__gate_leave(gate);
}
