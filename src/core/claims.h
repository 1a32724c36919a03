/*
 * Claims: who calls from a domain and shows a certificate by which no CA says so may be proven by
 * the domain itself, whose TLSA records name what its servers show (RFC 7673, doc/adr/0012).
 *
 * The servers are looked up as if they were to be called, without their addresses; DNSSEC must
 * prove each answer on the way.  The request waits for that like one that is signed for its
 * certificate (core/awaited); what was found counts for every connection whose peer shows that
 * certificate, as long as it is remembered.
 */
#pragma once

#include "core/request.h"

/* What is known of one. */
enum claim_state {
    CLAIM_NONE, /* nothing was shown that could prove it */
    CLAIM_UNKNOWN,
    CLAIM_REFUTED,
    CLAIM_PROVEN,
};

size_t claims_bytes(void);
void claims_init(struct core *core, struct arena *from);

/* That the peer of a connection with this credential (core/credential.h; may be empty) is of that
 * domain. */
enum claim_state claims_look(const struct core *core, struct slice credential, struct slice domain);

/* Has the request of a context wait for what DNS says of a claim that is not known.  False, and it
 * does not wait, if nothing can be asked, or too much is being asked. */
bool claims_await(struct core *core, struct slice credential, struct slice domain,
                  struct context *context, struct actions *out);

/* How many are being asked for. */
uint32_t claims_under_way(const struct core *core);

/* EVENT_DNS, if the question is of a claim; and the timer of one.  Who waited for it goes on, one
 * request in a step. */
bool claims_asked(uint64_t question);
void claims_tell(struct core *core, uint64_t question, const struct dns_answer *answer,
                 struct moment now, struct actions *out);
void claims_expire(struct core *core, struct kept_claim *kept, struct moment now,
                   struct actions *out);
