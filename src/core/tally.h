/*
 * Counts of calls, by where they come from and go to: for `sipwitch stats`.
 *
 * A call counts from its answer to its end, also when a restart found it in the journal.
 */
#pragma once

#include "base/base.h"
#include "core/leg.h"

struct core;
struct dialog;

enum node {
    NODE_SYSTEM,    /* every call */
    NODE_EXTENSION, /* our own users */
    NODE_EXTERNAL,  /* everyone else */
    NODE_COUNT,
};

struct node_count {
    uint64_t total;
    uint32_t current;
    uint32_t peak;
};

/* What the legs of relayed calls let through, and what they did not. */
struct leg_sum {
    uint64_t packets, bytes;
    uint64_t drops[LEG_DROP_COUNT];
    uint64_t expected, lost; /* packets of RTP, by their sequence numbers */
};

struct tally {
    struct node_count from[NODE_COUNT];
    struct node_count to[NODE_COUNT];
    int64_t last[NODE_COUNT]; /* wall seconds: when the latest began; 0 = none yet */
    uint64_t requests, responses, unreadable; /* messages received */
    uint64_t shed;           /* requests refused because more came than could be served */
    uint64_t bound, unbound; /* bindings that came and went */
    uint64_t relayed;        /* calls that were answered, */
    uint32_t relayed_peak;   /* and at most at once, those that ring too */
    uint64_t unrelayed;      /* offers refused because the relay is full, */
    uint64_t broken;         /* and calls that it had no port for */
    struct leg_sum legs;     /* up to when each was looked at last */
};

/* Its From and To are known from now on, until it is closed. */
void tally_begin(struct core *core, struct dialog *dialog);
void tally_end(struct core *core, const struct dialog *dialog);
