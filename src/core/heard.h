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

/* Of both ends, by enum legs_side: nothing is expected where nothing was heard. */
struct heard_ends {
    struct leg_heard sides[2];             /* the packets of all m-lines, and the worst jitter; */
    struct leg_heard lines[2][LEGS_LINES]; /* of each of them, which older records do not know */
};

/* Of one leg. */
struct heard_leg {
    struct leg_heard heard;
    uint16_t port; /* the relay's, which no other leg of the call has; 0: nothing was heard */
    uint8_t side;  /* enum legs_side: whom it is heard of */
    uint8_t line;  /* the m-line, from 0 */
};

/* Of one call. */
struct heard_call {
    struct heard_ends before;              /* of legs that are closed, */
    struct heard_leg legs[2 * LEGS_PAIRS]; /* and of those that are open */
};

/* What the relay has of one call.  Legs that it is about to close were noted before. */
void heard_note(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                unsigned count);

/* The leg with this key is closed, or the relay has lost it.  True if anything was heard there. */
bool heard_close(struct heard_call *heard, const struct leg_place *key);

/* Of those that are closed as well. */
void heard_sum(const struct heard_call *call, struct heard_ends *ends);

/* Nothing, of one that goes directly. */
void heard_of(const struct core *core, const struct dialog *dialog, struct heard_ends *ends);

/* In a record of the journal, which takes no more bytes than this.  What nothing is expected of
 * takes none, and is left as it is in reading.  False if it is broken. */
#define HEARD_LIMIT (3u + 2u * (1u + LEGS_LINES) * 12u)
void heard_write(struct writer *w, const struct heard_ends *ends);
bool heard_read(struct reader *r, struct heard_ends *ends);
