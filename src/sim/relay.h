/*
 * The relay of media, in seeds that have one: a table of legs (core/leg.h) that outlives the server
 * and dies with the power; and what phones say of their media, and hear of the other's.
 *
 * The judge sends packets: what the phones of a call that stands were told leads to the other, both
 * ways, through legs that are open to nobody else, and through the address translators of four
 * kinds that phones live behind; and who cannot reach the other directly goes by the relay,
 * whatever crashed.  When all is over no leg is left.
 */
#pragma once

#include "core/core.h"

struct sim;
struct phone;
struct call;
struct writer;

bool relay_is_seed(uint64_t seed);

struct sim_leg {
    bool is_open;
    struct leg_place key;
    struct leg leg;
};

struct relay {
    bool is_there;
    struct sim_leg *legs;
    unsigned count, room;
};

/* The settings of the machine say where it is. */
void relay_init(struct sim *sim);
void relay_free(struct sim *sim);

/* ACTION_LEG; ACTION_LOOK, which DUE_LEGS answers. */
void relay_change(struct sim *sim, struct slice changes);
void relay_look(struct sim *sim, struct slice keys);

struct look;
void relay_answer(struct sim *sim, uint32_t start, struct look *look); /* DUE_LEGS */

/* A core has started: it is told what there is.  And: the machine lost its power. */
void relay_server_started(struct sim *sim,
                          void (*step)(struct sim *sim, const struct event *event));
void relay_cut_power(struct sim *sim);

/* What one side of a call says of its media, and heard of the other's. */
struct sound {
    struct flow at; /* where the phone was when it said so last */
    bool has_said, has_heard;
    bool is_late;        /* its INVITE offers nothing */
    bool is_by_relay;    /* what it heard last */
    struct leg_place to; /* where its packets go */
};

/* Writes a description for a call, or what stands for one in other seeds. */
void sound_say(struct sim *sim, const struct phone *phone, struct call *call, struct writer *w);
void sound_hear(struct call *call, struct slice description);

/* A call that stands, of both its sides. */
void relay_judge_call(struct sim *sim, const struct phone *phone, const struct call *call,
                      const struct phone *peer, const struct call *other);
void relay_judge_rest(struct sim *sim);
