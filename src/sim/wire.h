/*
 * Wires: the streams between phones and server (RFC 3261 18), in seeds that have them.
 *
 * What a wire carries comes whole and in order, or not at all: a wire breaks with what is on it,
 * sometimes in the middle of a message.  A killed server breaks all of them, unless its supervisor
 * keeps those that phones opened for the next run.  A phone whose wire broke comes back by another,
 * and registers; meanwhile the server may call at its door, if it has one.
 */
#pragma once

#include "core/event.h"

struct sim;
struct phone;

#define WIRES 64u   /* that phones open, at a time */
#define DIALLED 32u /* and that the server opens */

struct wire {
    struct flow flow;  /* connection 0: none */
    instant stands_at; /* what the server sends before waits until then */
    bool is_standing;  /* the server knows that it stands */
};

struct wires {
    struct wire at[WIRES + DIALLED + 1]; /* by place */
    uint32_t generation;
};

/* Seeds in which some phones use streams. */
bool wire_is_seed(uint64_t seed);

/* A phone's wire to the server, by this address: its handle is set.  False if nobody answers. */
bool wire_open(struct sim *sim, struct flow *flow);

/* The server wants one (ACTION_CONNECT): it stands a little later, or does not (DUE_DIAL). */
void wire_dial(struct sim *sim, const struct flow *flow);
void wire_dialled(struct sim *sim, const struct flow *flow, uint32_t starts);

/* What either side sends arrives, sooner or later. */
bool wire_stands(const struct sim *sim, const struct flow *flow);

/* From when on what is sent by it now is under way. */
instant wire_ready(const struct sim *sim, const struct flow *flow);

/* It breaks, or the phone goes: both sides hear of it. */
void wire_break(struct sim *sim, struct phone *phone);

/* DUE_WIRE: the core's wish, to end a stream or to open one, is done. */
void wire_end(struct sim *sim, const struct flow *flow, uint32_t starts);

/* The server died: all wires break, or those that phones opened are kept. */
void wire_server_died(struct sim *sim, bool are_kept);

/* The kept ones are told to the new server, before anything else. */
void wire_server_started(struct sim *sim, void (*tell)(struct sim *sim, const struct event *event));

/* Some break by themselves. */
void wire_weather(struct sim *sim);
