/*
 * Signed answers: the half that RFC 8224 leaves out, between servers of our kind.
 *
 * RFC 8224 covers the offer alone.  Where the domain of a callee has proven who calls, it signs the
 * media keys of the answer in turn, in each response to the INVITE that has some:
 *
 *     P-SIPWITCH-Answer: PASSPORT;info=<https://example.com/identity.pem>;ppt="answer"
 *
 * It is an Identity field (RFC 8224 4) under another name, with a whole PASSporT of a type of our
 * own, whose claims are
 *
 *     call   the response's Call-ID ("id"), From tag ("from") and To tag ("to"): it fits no other
 *     orig   who signs: sip: and a domain
 *     dest   who called: From, in its canonical form
 *     iat    when
 *     mky    the fingerprints of the media keys in the response's body
 */
#pragma once

#include "core/vouch.h"

/* Writes the line for a response as it will be sent.  On anything but VOUCHED nothing is written
 * that counts; VOUCH_NOT_OURS: it has no keys. */
enum vouching answer_sign(const struct message *m, const struct voucher *voucher,
                          const struct es256_table *es256, int64_t wall, struct writer *line);

enum answer_verdict {
    ANSWER_NOTHING,  /* it has no media keys, and says nothing of any */
    ANSWER_UNSIGNED, /* it has some, for which nobody known here vouches */
    ANSWER_PROVEN,
    ANSWER_WAITING, /* for a certificate */
    ANSWER_CHANGED, /* it is not as it was signed */
};

/* Checks a response as it came.  Whoever may change one can as well take its signature off, or put
 * that of another domain in its place: that, and a certificate that does not count or is not to be
 * had, leave it unsigned.  `asked` is the domain whose signature counts; empty: whoever signed. */
enum answer_verdict answer_check(const struct message *m, struct slice asked,
                                 certificate_function *certificate, void *self,
                                 const struct es256_table *es256, int64_t wall);
