/*
 * Lifetimes: the judge of how long a transaction stays in a state (RFC 3261 17, RFC 6026; rule:
 * every transaction ends within its timers).
 *
 * It looks at all of them every few seconds, and remembers since when each was seen in its state.
 * States that have no timer of their own are left to what they wait for: a server transaction
 * without final response to its branches, a client transaction that seeks its way to the lookup or
 * the stream.
 */
#pragma once

#include "sim/ledger.h"

struct sim;

struct lifetimes {
    struct ledger seen; /* at the last look: state and since when, by transaction */
};

#define LIFETIME_LOOKS SECONDS(10) /* one every */

void lifetime_look(struct sim *sim);

/* Another core began: its transactions are others. */
void lifetime_forget(struct lifetimes *lifetimes);
