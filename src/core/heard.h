/*
 * What is heard of the two ends of a relayed call: packets of RTP expected from each and lost on
 * their way to the relay, and their jitter (RFC 3550 6.4.1), as its legs were looked at last.
 *
 * They are looked at once more when somebody hangs up, so that the call's record has them to its
 * end, and when somebody offers anew, for the answer may close legs.  What was heard of a leg that
 * is closed stands in the record of the call's media (core/anchor) with the change that closed it,
 * so that a crash leaves both or neither; the relay itself keeps what is heard of those that are
 * open.  What is lost between the relay and a phone, only that phone knows.
 */
#pragma once

#include "core/legs.h"

struct actions;
struct anchor;
struct core;
struct dialog;
struct leg_found;

/* Of one leg. */
struct heard_leg {
    struct leg_heard heard;
    uint16_t port; /* the relay's, which no other leg of the call has; 0: nothing was heard */
    uint8_t side;  /* enum legs_side: whom it is heard of */
};

/* Of one call. */
struct heard_call {
    struct leg_heard before[2];            /* by enum legs_side: of legs that are closed, */
    struct heard_leg legs[2 * LEGS_PAIRS]; /* and of those that are open */
};

/* What the relay has of one call.  Legs that it is about to close were noted before. */
void heard_note(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                unsigned count);

/* The leg with this key is closed, or the relay has lost it.  True if anything was heard there. */
bool heard_close(struct heard_call *heard, const struct leg_place *key);

/* By enum legs_side: of those that are closed as well. */
void heard_sum(const struct heard_call *call, struct leg_heard heard[2]);

/* By enum legs_side; nothing is expected of one that goes directly.  Of several m-lines, the
 * packets of all and the worst jitter. */
void heard_of(const struct core *core, const struct dialog *dialog, struct leg_heard heard[2]);

/* In a record of the journal: of sides that nothing is expected of, nothing; those are left as they
 * are in reading.  False if it is broken. */
void heard_write(struct writer *w, const struct leg_heard heard[2]);
bool heard_read(struct reader *r, struct leg_heard heard[2]);
