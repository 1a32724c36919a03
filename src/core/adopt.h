/*
 * The relay's table and ours made one: at the start, when the relay has legs of the last run, and
 * when the relay itself has started anew and has none.
 *
 * The shell lists the whole table (EVENT_RELAY, then EVENT_LEGS).  A leg of no call is closed, one
 * that follows another rule is moved; at the end of the list what is missing is opened, a few calls
 * a step.
 */
#pragma once

#include "core/anchor.h"

/* EVENT_RELAY */
void adopt_begin(struct core *core, bool has_relay, unsigned leg_limit);

/* EVENT_LEGS that list. */
void adopt_legs(struct core *core, const struct event *event, struct actions *out);

/* There is more to be opened; opens some of it. */
bool adopt_waits(const struct core *core);
void adopt_some(struct core *core, struct actions *out);
