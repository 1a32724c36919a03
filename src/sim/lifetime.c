#include "sim/lifetime.h"

#include "core/ctrans.h"
#include "core/inspect.h"
#include "sim/sim.h"

#define LONG (64 * T1 + SLACK)
#define SHORT (T4 + SLACK)
#define SLACK MS(10)            /* a timer is late by a tick */
#define RINGING SECONDS(3 * 60) /* a phone rings anew for so long at most (sim/call), */
#define TIMER_C SECONDS(181)    /* and this begins each time (sim/machine) */

/* How long a transaction may be in a state; absent: as long as it likes. */
/* clang-format off */
static const duration server_limits[STRANS_STATE_COUNT] = {
    [STRANS_NONE]       = SLACK,
    [STRANS_ACCEPTED]   = LONG,
    [STRANS_COMPLETED]  = LONG,
    [STRANS_CONFIRMED]  = SHORT,
    [STRANS_ANSWERED]   = LONG,
    [STRANS_TERMINATED] = SLACK,
};

static const duration client_limits[CTRANS_STATE_COUNT] = {
    [CTRANS_NONE]       = SLACK,
    [CTRANS_CALLING]    = LONG,
    [CTRANS_PROCEEDING] = RINGING + TIMER_C + SLACK,
    [CTRANS_ACCEPTED]   = LONG,
    [CTRANS_COMPLETED]  = LONG,
    [CTRANS_TRYING]     = LONG,
    [CTRANS_PENDING]    = LONG,
    [CTRANS_ANSWERED]   = SHORT,
    [CTRANS_TERMINATED] = SLACK,
};
/* clang-format on */

static bool is_unheard(const struct transaction_view *view)
{
    return view->state == CTRANS_CALLING || view->state == CTRANS_TRYING;
}

static duration limit_of(const struct transaction_view *view)
{
    if (!view->is_client)
        return server_limits[view->state];
    if (is_unheard(view) && (view->is_seeking || view->is_reliable))
        return 0; /* it may be sent anew, by another stream */
    if (view->state == CTRANS_PROCEEDING && view->is_hurried)
        return LONG;
    return client_limits[view->state];
}

/* One that is hurried, or has found its way, is in another state than it was. */
static uint32_t state_of(const struct transaction_view *view)
{
    return view->state | (view->is_hurried ? 1u << 6 : 0) | (view->is_seeking ? 1u << 7 : 0);
}

#define STATE_BITS 8u

/* Since when it has been seen so, in milliseconds. */
static uint32_t find_since(const struct ledger *seen, uint64_t key, uint32_t state, uint32_t now)
{
    uint32_t place = ledger_first(seen, key);
    uint32_t value = place ? ledger_value(seen, place) : 0;

    return place && value % (1u << STATE_BITS) == state ? value >> STATE_BITS : now;
}

void lifetime_look(struct sim *sim)
{
    struct lifetimes *lifetimes = &sim->judge.lifetimes;
    uint32_t now = (uint32_t)(sim->now / MS(1));
    struct transaction_view view;
    struct ledger seen = {0};

    if (!sim->machine.is_up)
        return;
    for (uint32_t cursor = 0; core_next_transaction(sim->machine.core, &cursor, &view);) {
        const char *kind = view.is_client ? "client" : "server";
        uint64_t key = ledger_key(kind, NO_SLICE, NO_SLICE, view.id);
        uint32_t since = find_since(&lifetimes->seen, key, state_of(&view), now);
        duration limit = limit_of(&view);
        if (limit && MS(now - since) > limit)
            judge_fail(sim, "every transaction ends within its timers",
                       "a %s transaction has been in state %u for %u ms", kind, view.state,
                       now - since);
        ledger_note(&seen, key, state_of(&view) | since << STATE_BITS);
    }
    lifetime_forget(lifetimes);
    lifetimes->seen = seen;
}

void lifetime_forget(struct lifetimes *lifetimes)
{
    ledger_free(&lifetimes->seen);
}
