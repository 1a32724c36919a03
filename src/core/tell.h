/*
 * Telling those who watch what happens: registrations and calls as they come and go, a line of JSON
 * each (sipwitch-control(7)).
 *
 * Nothing is written while nobody watches.  What is told stands behind the records of what it tells
 * of, so it is never told of what a crash could undo.
 */
#pragma once

#include "core/state.h"

void tell_bound(struct core *core, const struct binding *binding, struct actions *out);
/* `why`: "removed", "expired" or "released". */
void tell_unbound(struct core *core, const struct binding *binding, struct slice why,
                  struct actions *out);

/* An INVITE that begins a call is forwarded; it failed. */
void tell_ringing(struct core *core, const struct context *context, struct actions *out);
void tell_failed(struct core *core, const struct context *context, unsigned status,
                 struct actions *out);

/* A call was answered; it ended: "bye", "expired" or "dropped". */
void tell_answered(struct core *core, const struct dialog *dialog, struct actions *out);
void tell_ended(struct core *core, const struct dialog *dialog, struct slice why,
                struct actions *out);
