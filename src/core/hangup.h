/*
 * Hanging up: BYE, the only request of our own inside phones' dialogs (RFC 3261 15).
 *
 * It is made of the observer's record: From, To and Call-ID, the Contact and the route set of the
 * end it goes to (12.2.1.1), and a CSeq that leaps over what the observer may have missed.  It
 * takes the way that requests in the dialog take: by the current flow of the end's binding, or to
 * another domain's server, which proves to be that first (core/courier).
 */
#pragma once

#include "core/state.h"
#include "core/strans.h"

/* No BYE is awaited longer: its transaction's 64 T1, and a moment. */
#define HANGUP_LONGEST (64 * T1 + T4)

/* A 2xx that nobody is to have: whoever sent it gets an ACK, and a BYE, by that flow. */
void hangup_refuse(struct core *core, const struct message *response, const struct flow *flow,
                   struct moment now, struct actions *out);

/* The stream that a BYE of ours went by has ended, and nothing was heard of it: it is sent once
 * more by another.  False if it is none of ours, or there is no other. */
bool hangup_again(struct core *core, struct client_transaction *client, instant now,
                  struct actions *out);

/* Sends BYE to both ends of a call; `reason` is why (RFC 3326), or empty.  Returns how many will be
 * answered or given up: an end that cannot be reached gets none. */
unsigned hangup_send(struct core *core, const struct dialog *dialog, struct slice reason,
                     struct moment now, struct actions *out);
