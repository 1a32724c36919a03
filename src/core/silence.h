/*
 * Whether packets of relayed calls arrive.
 *
 * The relay is asked for the legs of each call: each second while it is young, then each five.  Who
 * is not heard of three seconds after the answer, though the other is, is believed to be where its
 * signalling comes from, and it is logged who hears nothing.  A call of which nothing comes at all
 * for settings.media.silence is hung up; where one of the two is on hold, for ten times as long.
 *
 * Of calls that go directly nothing is seen but their end: two calls of the same two in a row that
 * end within ten seconds are suspected to have had no sound, and their next is relayed.
 */
#pragma once

#include "core/anchor.h"

struct call_record;

size_t silence_bytes(void);
void silence_init(struct core *core, struct arena *from);

/* Something has changed: the anchor is looked at soon. */
void silence_watch(struct core *core, struct anchor *anchor, instant now);

/* Timer: it is looked at. */
void silence_expire(struct core *core, struct anchor *anchor, struct moment now,
                    struct actions *out);

/* Its call is about to end, or legs of it: it is looked at once more, for its record. */
void silence_look(const struct core *core, const struct anchor *anchor, struct actions *out);

/* EVENT_LEGS: what the relay has of one call. */
void silence_hear(struct core *core, const struct leg_found *legs, unsigned count,
                  struct moment now, struct actions *out);

/* EVENT_UNOPENED: legs that the relay could not open.  Their calls have no sound, and end. */
void silence_miss(struct core *core, const struct leg_found *legs, unsigned count, bool is_taken,
                  instant now);

/* The latest calls between these two ended at once. */
bool silence_suspects(const struct core *core, const struct context *context, unsigned branch);

/* A call has ended. */
void silence_note_end(struct core *core, const struct call_record *call, instant now);
