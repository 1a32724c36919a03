/*
 * What tests of calls with a relay share.
 */
#pragma once

#include "talk.h"

#include "core/calls.h"

/* The record that the latest call left in this step. */
static inline struct call_record relayed_record(const struct world *w)
{
    struct call_record call = {0};

    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->out.at[i].kind == ACTION_CALL) {
            struct reader r = reader_over(w->out.at[i].bytes);
            assert_true(call_read(&r, &call));
        }
    assert_true(call.id);
    return call;
}

/* Nothing of any call is left. */
static inline void relayed_end(struct world *w, const struct relay_table *table)
{
    world_wait(w, SECONDS(100));
    assert_int_equal(core_census(w->core).server_transactions, 0);
    assert_int_equal(core_census(w->core).dialogs, 0);
    assert_int_equal(core_census(w->core).anchors, 0);
    assert_int_equal(core_census(w->core).relay_ports, 0);
    assert_int_equal(table->count, 0);
    talk_end(w);
}
