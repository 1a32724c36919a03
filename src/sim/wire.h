/*
 * Wires: the streams between phones and server (RFC 3261 18), in seeds that have them.
 *
 * What a wire carries comes in order, in parts (sim/pipe), or not at all: a wire breaks with what
 * is on it, sometimes in the middle of a message.  A killed server breaks all of them, unless its
 * supervisor keeps those that phones opened for the next run.  A phone whose wire broke comes back
 * by another, and registers; meanwhile the server may call at its door, if it has one.  One that
 * was abandoned ends when the server misses its keep-alives (RFC 5626), or something is sent by it
 * in vain.
 *
 * By TLS a peer may prove to be a domain, as the server's plan demands or not (sim/zone).
 */
#pragma once

#include "core/event.h"
#include "core/peer.h"

struct sim;
struct phone;
struct held;

#define WIRES 96u   /* that phones open, at a time */
#define DIALLED 32u /* and that the server opens */

struct wire {
    struct flow flow;             /* connection 0: none */
    instant stands_at;            /* what the server sends before waits until then */
    bool is_standing;             /* the server knows that it stands */
    bool is_abandoned;            /* and does not know that its peer has gone */
    bool is_expected;             /* it looks whether the peer keeps it alive (RFC 5626) */
    char domain[32];              /* that the server opened it for; empty: none */
    uint8_t policy;               /* enum peer_policy: what it demanded, */
    char records[TLSA_LIMIT + 1]; /* and the first bytes of the TLSA records that must match */
    char proven[32];              /* the domain that its peer has proven to be, or empty */
};

struct wires {
    struct wire at[WIRES + DIALLED + 1]; /* by place */
    uint32_t generation;
};

/* Seeds in which some phones use streams. */
bool wire_is_seed(uint64_t seed);

/* A phone's wire to the server, by this address: its handle is set.  By TLS it proves to be that
 * domain, if there is one.  False if nobody answers. */
bool wire_open(struct sim *sim, struct flow *flow, struct slice proven);

/* The server wants one (ACTION_CONNECT): it stands a little later, or does not (DUE_DIAL). */
void wire_dial(struct sim *sim, const struct held *held);
void wire_dialled(struct sim *sim, const struct flow *flow, uint32_t starts);

/* What either side sends arrives, sooner or later. */
bool wire_stands(const struct sim *sim, const struct flow *flow);

/* Its peer has proven to be that domain, or must before anything is sent to it. */
bool wire_is_proven(const struct sim *sim, const struct flow *flow, struct slice domain);

/* The server opened it, by TLS, for that domain; or for none, to answer a request, and its peer has
 * proven to be that, or nobody. */
bool wire_is_dialled(const struct sim *sim, const struct flow *flow, struct slice *domain);

/* How many the server has, or is opening. */
unsigned wire_count(const struct sim *sim);

/* From when on what is sent by it now is under way. */
instant wire_ready(const struct sim *sim, const struct flow *flow);

/* It breaks, or the phone goes: both sides hear of it. */
void wire_break(struct sim *sim, struct phone *phone);

/* The phone goes, and only it knows: the server hears of it when it sends something, or misses
 * keep-alives, or much later. */
void wire_abandon(struct sim *sim, struct phone *phone);

/* Something was sent by it that nobody took. */
void wire_lost(struct sim *sim, const struct flow *flow);

/* ACTION_EXPECT; and DUE_SILENCE. */
void wire_expect(struct sim *sim, const struct flow *flow);
void wire_listen(struct sim *sim, const struct flow *flow, uint32_t starts);

/* The server ends it by itself. */
void wire_close(struct sim *sim, const struct flow *flow);

/* DUE_WIRE: the core's wish, to end a stream or to open one, is done. */
void wire_end(struct sim *sim, const struct flow *flow, uint32_t starts);

/* The server died: all wires break, or those that phones opened are kept. */
void wire_server_died(struct sim *sim, bool are_kept);

/* The kept ones are told to the new server, before anything else. */
void wire_server_started(struct sim *sim, void (*tell)(struct sim *sim, const struct event *event));

/* Those between domains end, as they do when nobody needs them. */
void wire_rest(struct sim *sim);

/* Some break by themselves. */
void wire_weather(struct sim *sim);
