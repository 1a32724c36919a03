/*
 * The ports that a router is asked to forward, one by one, and what became of each: when to ask for
 * it, again if nothing comes back, and anew before it ends.  Whatever protocol it is asked by; the
 * clock is the caller's.
 *
 * The ports of signalling stand first, then those of media, in order.  What counts of the latter is
 * the longest run that leads here.
 */
#pragma once

#include "base/base.h"

/* A home router holds some hundreds; of media two for a phone and medium. */
#define FORWARDS_MEDIA 512u
#define FORWARDS_LIMIT (16u + FORWARDS_MEDIA)
#define FORWARDS_AT_ONCE 4u /* asked for and not answered: routers are small */
#define FORWARD_LIFE 3600u  /* seconds that are asked for: what a crash leaves behind goes then */

enum forward_state {
    FORWARD_WANTED,
    FORWARD_ASKED,
    FORWARD_HELD,
    FORWARD_REFUSED, /* and asked for again later */
    FORWARD_UNHEARD, /* nothing comes back; the same */
};

struct forward {
    uint8_t protocol; /* enum portmap_protocol */
    uint8_t state;    /* enum forward_state */
    uint8_t tries;
    uint16_t port;
    instant due; /* to be asked for, or asked for again */
};

struct forwards {
    unsigned count, media; /* the first of media; count if there is none */
    uint16_t refusal;      /* the latest, by the protocol's number */
    struct forward at[FORWARDS_LIMIT];
};

void forwards_clear(struct forwards *f);

/* False if there is no room. */
bool forwards_add(struct forwards *f, unsigned protocol, unsigned port);
/* UDP, from the first to the last; after all others. */
bool forwards_add_media(struct forwards *f, unsigned first, unsigned last);

/* The next that is to be asked for now, as if it was not yet; NULL if there is none. */
struct forward *forwards_next(struct forwards *f, instant now);
instant forwards_deadline(const struct forwards *f);

/* It was asked for; and what came back.  `seconds` is how long it lasts. */
void forward_asked(struct forward *forward, instant now);
void forward_held(struct forward *forward, uint32_t seconds, instant now);
void forward_refused(struct forwards *f, struct forward *forward, unsigned why, instant now);

/* NULL if it is none. */
struct forward *forwards_find(struct forwards *f, unsigned protocol, unsigned port);

/* The router has forgotten them all. */
void forwards_lose(struct forwards *f, instant now);

struct forwards_sum {
    unsigned held, refused, unheard, waiting;
    uint16_t first, last; /* of media; 0: none */
};
struct forwards_sum forwards_count(const struct forwards *f);
