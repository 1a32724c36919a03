/*
 * The judge: the rules that hold whatever happens, and the first time one was broken.
 *
 *   finals      one non-2xx final a transaction or one or more 2xx, never both (16.7, 17.2.1)
 *   promises    sim/promise: no accepted binding lost or resurrected
 *   passage     sim/passage: nothing sent to an unauthorised target
 *   end         in the calm, every request is answered, every 2xx acknowledged, every call hung up
 *   lifetimes   sim/lifetime: no transaction outlives its timers
 *   rest        memory returns to rest
 *   records     sim/archive: one for each call that was sent to a phone, whatever crashed
 *   observer    its table equals the phones' truth
 *   sessions    a call that is refreshed is not ended, and one that nobody refreshes is (RFC 4028)
 *   non-INVITE  never 408 (RFC 4320 4.2)
 *   domains     in the calm, the one server of a domain that lives hears of every call (RFC 3263)
 *   flows       in the calm, where one flow of a phone fails it is asked by the next (RFC 5626)
 *   proof       sim/zone: who must prove to be a domain gets nothing before it has
 */
#pragma once

#include "sim/call.h"
#include "sim/ledger.h"
#include "sim/lifetime.h"
#include "sim/passage.h"
#include "sim/promise.h"

struct sim;
struct phone;
struct held;

struct judge {
    struct passage passage;
    struct promises promises;
    struct lifetimes lifetimes;
    struct ledger answered; /* REGISTERs that were, by user, Call-ID and CSeq */
    struct ledger failed;   /* phones of which one flow has failed, by what was sent to it; */
    struct ledger heard;    /* and that were sent it by another */
    instant upheaval;    /* clocks jumped, or a crash with the store failing: calls from before it
                            may be forgotten */
    instant slept;       /* the machine, for an hour: what it knew of transactions has expired */
    bool is_unsafe;      /* something is missing in the journal, until the next checkpoint */
    instant last_start;  /* of a core */
    size_t text_at_rest; /* of a core with users and nothing else */
};

/* Remembers the first failure; the seed ends there. */
__attribute__((format(printf, 3, 4))) void judge_fail(struct sim *sim, const char *rule,
                                                      const char *format, ...);

/* From the machine: an event before it is given to the core, a send when the core decides it and
 * when it leaves. */
void judge_received(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice bytes,
                    uint64_t step);
void judge_decided(struct sim *sim, const struct held *held);
void judge_sent(struct sim *sim, const struct held *held);
void judge_persist_failed(struct sim *sim);
void judge_checkpointed(struct sim *sim);
void judge_killed(struct sim *sim, bool is_power_cut);
void judge_started(struct sim *sim); /* EVENT_STARTED was just given */
void judge_jumped(struct sim *sim);
void judge_slept(struct sim *sim);

/* From the phones. */
void judge_call_begun(struct sim *sim, const struct phone *phone, const struct call *call);
void judge_final(struct sim *sim, const struct phone *phone, struct exchange *exchange,
                 const struct message *response);
void judge_unanswered(struct sim *sim, const struct phone *phone, const struct exchange *exchange);
void judge_unacknowledged(struct sim *sim, const struct phone *phone, const struct answer *answer);
void judge_hung_up(struct sim *sim, const struct phone *phone, const struct call *call,
                   unsigned status);

/* A flow of a phone that has another fails with this request (430): false if the other did so
 * already. And: the phone has heard of it. */
bool judge_flow_fails(struct sim *sim, const struct phone *phone, const struct message *request);
void judge_flow_heard(struct sim *sim, const struct phone *device, const struct message *request);

/* Nothing but kills goes wrong any more: what begins now must end well. */
bool judge_is_strict(const struct sim *sim);

/* The id of the binding that the core has for this phone's contact; 0 if there is none. */
uint64_t judge_binding_of(const struct sim *sim, const struct phone *phone);

/* Looks into the core: now and then; when the calls stand; when all is over. */
void judge_inspect(struct sim *sim);
void judge_observer(struct sim *sim);
void judge_rest(struct sim *sim);

void judge_free(struct sim *sim);
