/*
 * Streams to several addresses of one server, side by side (RFC 8305 5; RFC 7984 for SIP): where
 * one family of addresses leads nowhere, a request is late by a quarter of a second, not by the
 * time that TCP takes to find out.
 *
 * As long as a stream does not stand, and its server has another address, the request is held: its
 * client transaction has sent nothing.  After a while one for the next address stands beside it,
 * and is the branch's; the former is left, and its rival.  The first whose stream stands sends, so
 * that nobody gets the request twice; the places of the others have a penalty then, and are tried
 * last for a while.  Of several servers each has its patience first: the order is its domain's.
 */
#pragma once

#include "core/request.h"

/* A request that is about to be sent that way is held, if it must be; else the race is over. */
bool race_holds(struct core *core, struct client_transaction *client, const struct flow *way,
                instant now, struct actions *out);

/* Another address is due, and nobody has left the server yet: true if there is one. */
bool race_goes_on(struct core *core, const struct client_transaction *client, instant now);

/* One that was held is left for `next`, which has its lookup. */
void race_join(struct core *core, struct client_transaction *next,
               struct client_transaction *client);

/* It is left for another server: it is no rival any more. */
void race_abandon(struct core *core, struct client_transaction *client, struct actions *out);

/* The rivals of the one that has the lookup are too late. */
void race_end(struct core *core, const struct client_transaction *client, instant now,
              struct actions *out);

/* The stream that `next` was to replace has failed: true if the branch is another's that is held,
 * and goes on.  Not as long as there is another address at hand. */
bool race_resume(struct core *core, struct context *context, struct client_transaction *next,
                 struct moment now, struct actions *out);

/* The stream of one that is held stands. */
void race_stood(struct core *core, struct client_transaction *client, struct moment now,
                struct actions *out);
