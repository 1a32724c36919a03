/*
 * Promises: the judge of bindings (rule: no accepted one lost, no removed one resurrected).
 *
 * A 200 to a REGISTER lists the bindings of its user with what is left of their lives (10.3): from
 * the moment it leaves, it is a promise.  A REGISTER that the core was given and whose 200 did not
 * leave makes its contacts doubtful: bound or not, until the next 200 or restart shows which.
 * Given while the store fails, a promise covers no restart, and must not exceed a minute.
 *
 * Times are the machine's own (machine_elapsed); what survives a restart goes by the wall clock.
 */
#pragma once

#include "core/flow.h"
#include "sip/message.h"

struct sim;
struct held;

#define PROMISE_LIMIT 2048u

struct promise {
    int user;
    char contact[160];
    uint64_t way;          /* the flow of an instance, 0 = none (RFC 5626) */
    duration live_until;   /* the core must show it until then */
    duration stored_until; /* and, after a restart, until then */
    int64_t stored_wall;
    duration may_until; /* and must not show it after that */
    int64_t may_wall;
    bool is_doubtful;
    bool is_owed;     /* the last change may be missing in the journal */
    uint64_t touched; /* step of the last REGISTER for it */
    uint64_t changed_second;
    struct flow flow; /* from which it was registered last */
    duration flow_since;
};

/* An address from which a user was registered, or may have been. */
struct reach {
    int user;
    unsigned promise;
    struct flow flow;
    duration from, until; /* elapsed; NEVER: still */
};

struct promises {
    struct promise *at;
    unsigned count;
    struct reach *reaches;
    unsigned reach_count;
};

void promise_requested(struct sim *sim, const struct flow *flow, const struct message *request,
                       uint64_t step);
void promise_made(struct sim *sim, const struct held *held, const struct message *response);

void promise_checkpointed(struct sim *sim);
void promise_power_cut(struct sim *sim);
/* The wall clock was set by so many seconds. */
void promise_jumped(struct sim *sim, int64_t seconds);

/* Compares with what the core shows: at any time, and just after it was restored. */
void promise_inspect(struct sim *sim);
void promise_inspect_restored(struct sim *sim);

/* A request to this user that came at `since` may go to this address. */
bool promise_reaches(const struct sim *sim, int user, const struct flow *flow, duration since);

void promise_free(struct promises *p);
