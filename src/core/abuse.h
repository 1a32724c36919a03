/*
 * Password guessing, slowed per account and banned per source.
 *
 * A guess is a wrong response to a nonce that we gave to that very address (or one over a stream):
 * nobody can make another's address guilty.  After settings.guesses_per_account of them from one
 * source for one account, or settings.guesses_per_source for any, what else comes from there with
 * credentials is not looked at and not answered, until settings.guess_window has passed without a
 * guess.  So no such span ever sees more guesses answered.  A source is an IPv4 address or an IPv6
 * /64.  Where the user has a live binding at that source, and in networks that the access lists
 * exempt, nothing is counted and nothing refused.
 *
 * The counters lie in a table of fixed size; a full place gives up the counter that says least.
 * While nobody guesses it is not looked into.
 */
#pragma once

#include "core/request.h"

void abuse_init(struct core *core, struct arena *from);
size_t abuse_bytes(void);

/* What comes with these credentials must be dropped.  `user` is NULL for unknown names. */
bool abuse_is_refused(const struct core *core, const struct request *req, struct slice name,
                      const struct user *user);

/* They were wrong, and carried a nonce of ours. */
void abuse_note(struct core *core, const struct request *req, struct slice name,
                const struct user *user, struct actions *out);
