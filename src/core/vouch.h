/*
 * Vouching for who calls (RFC 8224): the authentication service signs what our own users send to
 * other domains (6.1), the verification service checks what other domains have signed (6.2).
 *
 * Both are functions of the request as it is sent or as it came; who may be signed for, and what
 * becomes of a request, is the caller's to decide.  A certificate is asked for by its place, and is
 * what the shell found there; the core never reads one.
 */
#pragma once

#include "sip/es256.h"
#include "sip/message.h"
#include "sip/passport.h"

/* Seconds that a Date may be off (6.1 step 3, 6.2 step 4). */
#define VOUCH_FRESH 60

/* Identity fields of one request that are looked at: a check costs more than all the rest. */
#define VOUCH_FIELDS 4u

/* Who signs, and for which domain. */
struct voucher {
    struct slice domain; /* which the certificate names, in lower case */
    struct slice info;   /* the URI of the certificate */
    const void *key;     /* for es256_table.sign */
    int64_t not_before, not_after;
};

/* Reads the canonical name (8.5) of a From or To value into PASSPORT_NAME bytes; false if there is
 * none or it is a number, for which no domain speaks (8.2). */
bool vouch_read_name(struct slice value, char *at, struct passport_name *name);

enum vouching {
    VOUCHED,
    VOUCH_NOT_OURS, /* From is of another domain, or a number, or has no user: no authority */
    VOUCH_STALE,    /* its Date is off, or no date, or the certificate has expired */
    VOUCH_UNCLEAR,  /* From, To or a fingerprint cannot be read, or there is too much of it */
    VOUCH_FAILED,   /* the signature could not be made */
};

/* Writes the lines to be added to a request as it will be sent: Date, if it has none, and Identity.
 * On anything but VOUCHED nothing is written that counts. */
enum vouching vouch_sign(const struct message *m, const struct voucher *voucher,
                         const struct es256_table *es256, int64_t wall, struct writer *lines);

/* Writes a line that says that a request for `before`, which is of the voucher's domain, was sent
 * on to `after` (RFC 8946 4.1); VOUCH_NOT_OURS if it is not, or if both are the same. */
enum vouching vouch_divert(const struct message *m, const struct voucher *voucher,
                           const struct uri *before, const struct uri *after,
                           const struct es256_table *es256, int64_t wall, struct writer *line);

/* What is at a certificate's place. */
enum certificate_state {
    CERTIFICATE_UNKNOWN,     /* it has to be fetched */
    CERTIFICATE_UNREACHABLE, /* it could not be */
    CERTIFICATE_UNSUPPORTED, /* untrusted, of another domain, or of a key that is none of P-256 */
    CERTIFICATE_GOOD,
};

struct certificate {
    enum certificate_state state;
    uint8_t point[ES256_POINT];
    int64_t not_before, not_after;
};

/* Answers for the certificate at `info`, as one that speaks for `domain` (8.4). */
typedef struct certificate certificate_function(void *self, struct slice info, struct slice domain);

enum verdict_kind {
    VERDICT_NONE,    /* nobody vouches in a way that is known here (6.2 step 1): only told */
    VERDICT_PROVEN,  /* From is who it says */
    VERDICT_WAITING, /* for the certificate at `info` */
    VERDICT_REFUSED, /* by `fault` (6.2.2) */
};

struct vouch_verdict {
    enum verdict_kind kind;
    struct fault fault;
    struct slice info; /* borrowed from the message */
    bool covers_media; /* the offer's fingerprints are signed too */
    bool leads_here; /* it asks for To, or each domain on the way from there has signed that it sent
                        it on (RFC 8946) */
};

/* Checks a request as it came, before any edit.  One field that proves it is enough (6.2.1). */
struct vouch_verdict vouch_verify(const struct message *m, certificate_function *certificate,
                                  void *self, const struct es256_table *es256, int64_t wall);
