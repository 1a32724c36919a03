/*
 * What is heard of the two ends of a relayed call: packets of RTP expected from each and lost on
 * their way to the relay, and their jitter (RFC 3550 6.4.1), as its legs were looked at last.
 *
 * They are looked at once more when somebody hangs up, so that the call's record has them to its
 * end.  What is lost between the relay and a phone, only that phone knows.
 */
#pragma once

#include "core/anchor.h"

/* What the relay has of one call. */
void heard_note(struct core *core, struct anchor *anchor, const struct leg_found *legs,
                unsigned count);

/* By enum legs_side; nothing is expected of one that goes directly.  Of several m-lines, the
 * packets of all and the worst jitter. */
void heard_of(const struct core *core, const struct dialog *dialog, struct leg_heard heard[2]);
