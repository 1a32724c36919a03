/*
 * One seed: a domain, its phones, strangers and network, and the machine that runs the server,
 * through an hour of virtual time.
 *
 * The hour: FAULTS, when everything goes wrong and nothing wrong may be done; KILLS, when only the
 * server dies, and whatever begins must end well; CALM; HANG_UP, after which nobody calls;
 * QUIET, until even calls that were never hung up are forgotten; LEAVE, when all unregister; and
 * WEEKS later, some minutes.
 *
 * Everything depends on the seed alone: the same seed is the same hour, on every machine.
 */
#pragma once

#include "sim/agenda.h"
#include "sim/dice.h"
#include "sim/judge.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/notary.h"
#include "sim/phone.h"
#include "sim/pipe.h"
#include "sim/relay.h"
#include "sim/report.h"
#include "sim/stranger.h"
#include "sim/weeks.h"
#include "sim/wire.h"
#include "sim/zone.h"

#define SERVER_HOST_V4 "198.51.100.1"
#define SERVER_HOST_V6 "[2001:db8::1]"
#define SERVER_DOMAIN "sip.example"
#define FIRST_EXTENSION 200u

#define PHONES_LIMIT 56u

/* When the faults end, and when what they left has worn off: from there on things must end well. */
#define KILLS_MINUTE 22u
#define STRICT_FROM SECONDS(60 * KILLS_MINUTE + 75)

enum phase {
    PHASE_FAULTS,
    PHASE_KILLS,
    PHASE_CALM,
    PHASE_HANG_UP,
    PHASE_QUIET,
    PHASE_LEAVE,
    PHASE_WEEKS,
    PHASE_OVER,
    PHASE_COUNT,
};

struct sim {
    instant now;
    enum phase phase;
    bool is_traced, is_traced_whole;
    struct random dice;
    struct agenda agenda;
    struct network network;
    bool has_wires, has_secure;
    struct wires wires;
    struct pipes pipes;
    struct zones zones;
    struct notary notary;
    struct relay relay;
    struct machine machine;
    struct phone phones[PHONES_LIMIT];
    unsigned phone_count;
    instant loaded_until;   /* more comes than the machine can serve */
    unsigned foreign_first; /* index of the first phone of another domain */
    struct stranger strangers[STRANGERS];
    struct ears ears;
    struct judge judge;
    struct report report;
};

/* Runs a seed to its end, or to the first rule broken. */
void sim_run(struct sim *sim, uint64_t seed);
void sim_free(struct sim *sim);

/* Bytes have come to a node, a phone or a stranger, by this flow of its own. */
void sim_node_receive(struct sim *sim, uint32_t node, const struct flow *flow, struct slice bytes);
