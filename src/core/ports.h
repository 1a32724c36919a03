/*
 * The relay's ports, in pairs of an even one and the next (RFC 3550 11): which are in use.  Taken
 * at random, so that nobody can guess where a call is.
 */
#pragma once

#include "base/random.h"

#define PORT_PAIRS 32768u
/* At least: so long a phone may go on that its BYE has not reached. */
#define PORT_REST SECONDS(5)

struct ports {
    uint32_t first;                  /* pair of the range, */
    uint32_t count;                  /* and how many it has */
    uint32_t taken;                  /* of them */
    uint32_t limit;                  /* that may be taken */
    uint32_t open_first, open_count; /* those of the range that are taken from now on */
    uint64_t used[PORT_PAIRS / 64];
    uint64_t avoided[PORT_PAIRS / 64];    /* another program has one of them */
    uint64_t resting[2][PORT_PAIRS / 64]; /* given back since the last turn, and before it */
    instant turn;                         /* the next one */
};

/* The pairs that lie in first_port to last_port, of which `limit` may be in use at a time. */
void ports_init(struct ports *ports, uint16_t first_port, uint16_t last_port, uint32_t limit);

/* From now on so many may be in use at a time; those that are in use beyond stay so. */
void ports_bound(struct ports *ports, uint32_t limit);

/* From now on only pairs that lie in first_port to last_port are taken; with 0, all of the range.
 */
void ports_narrow(struct ports *ports, uint16_t first_port, uint16_t last_port);

/* What was given back long enough ago counts as any other: called before some are taken. */
void ports_wake(struct ports *ports, instant now);

/* The first port of `pairs` that follow each other; 0 if there are none, or the limit is reached.
 * Those that were just given back are taken where there are no others: what is still on its way to
 * them would come into another call. */
uint16_t ports_take(struct ports *ports, unsigned pairs, struct random *random);

/* Pairs that a former run took; false if one of them is in use or out of range. */
bool ports_claim(struct ports *ports, uint16_t port, unsigned pairs);

/* A port cannot be opened, for another program has it: its pair is not taken again, until all are
 * tried once more. */
void ports_avoid(struct ports *ports, uint16_t port);
void ports_retry(struct ports *ports);

/* They are of this range. */
bool ports_have(const struct ports *ports, uint16_t port, unsigned pairs);

void ports_give(struct ports *ports, uint16_t port, unsigned pairs);
