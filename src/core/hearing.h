/*
 * Hearing answers: what a callee's domain has signed of them is checked where they come back
 * (core/answer), and those of our own phones are signed where they leave.
 *
 * It is checked before the transaction hears of it.  A response whose certificate is not known yet
 * is kept by its context until that was fetched, as a request is (core/certificates), and comes
 * again then.  One that is not as it was signed is never passed on: a 2xx is acknowledged and hung
 * up, a provisional one has its branch cancelled, and the caller hears 502.
 *
 * A phone is told by a field of ours in the response, where its call was signed and the answer has
 * media keys, or where it left for another domain by TLS, whose certificate proves that or does
 * not:
 *
 *     P-SIPWITCH-Callee: verified;domain=example.com;by=signature;media=offer+answer
 *     P-SIPWITCH-Callee: verified;domain=example.com;by=tls+signature;media=offer+answer
 *     P-SIPWITCH-Callee: verified;domain=example.com;by=tls
 *     P-SIPWITCH-Callee: unverified;media=offer-only
 *     P-SIPWITCH-Callee: unverified
 */
#pragma once

#include "core/request.h"
#include "core/vouch.h"

/* How a response was found. */
enum heard {
    HEARD_NOTHING,
    HEARD_PROVEN,
    HEARD_UNSIGNED,
    HEARD_CHANGED,
};

#define FAULT_CHANGED ((struct fault){502, "Answer Was Changed On Its Way"})

/* Room for a line that is added to a response. */
#define HEARING_LINE (PASSPORT_SIGNED + PASSPORT_HEADER + 256u)

/* The transaction may hear of it now, and client->heard says how it was found; else it waits, or
 * is dropped, for it comes again. */
bool hearing_admits(struct core *core, struct client_transaction *client,
                    const struct message *response, const struct flow *flow, struct actions *out);

/* What a context has kept comes again. */
void hearing_resume(struct core *core, struct context *context, struct moment now,
                    struct actions *out);

/* Writes the line that a provisional or successful response to an INVITE is passed on with, if any:
 * the signature of our own, or what the phone is told. */
void hearing_write_line(struct writer *w, struct core *core, struct server_transaction *server,
                        const struct client_transaction *client, const struct message *response,
                        int64_t wall);
