/*
 * Wires: the streams between phones and server (RFC 3261 18), in seeds that have them.
 *
 * What a wire carries comes whole and in order, or not at all: a wire breaks with what is on it,
 * sometimes in the middle of a message.  A killed server breaks all of them, unless its supervisor
 * keeps them for the next run.  A phone whose wire broke comes back by another, and registers.
 * Nobody takes the connections that the server opens.
 */
#pragma once

#include "core/event.h"

struct sim;
struct phone;

#define WIRES 64u /* at a time */

struct wires {
    struct flow at[WIRES + 1]; /* by place; connection 0: none */
    uint32_t generation;
};

/* Seeds in which some phones use streams. */
bool wire_is_seed(uint64_t seed);

/* A phone's wire to the server, by this address: its handle is set.  False if nobody answers. */
bool wire_open(struct sim *sim, struct flow *flow);
bool wire_stands(const struct sim *sim, const struct flow *flow);

/* It breaks, or the phone goes: both sides hear of it. */
void wire_break(struct sim *sim, struct phone *phone);

/* DUE_WIRE: the core's wish, to end a stream or to open one, is done. */
void wire_end(struct sim *sim, const struct flow *flow, uint32_t starts);

/* The server died: all wires break, or are kept. */
void wire_server_died(struct sim *sim, bool are_kept);

/* Some break by themselves. */
void wire_weather(struct sim *sim);
