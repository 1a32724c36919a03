/*
 * PASSporT (RFC 8225): what a domain signs of a request, and the type "div" of one that was sent on
 * to another destination (RFC 8946 3), and the type "answer" of a signed answer (core/answer).
 *
 * It is written in the one order and without the white space of RFC 8225 9, so that who knows the
 * request can make the same bytes.  What is read may be in any order: its signature is over the
 * bytes as they came.  The slices of one that was read are borrowed from the buffers it was decoded
 * into.
 */
#pragma once

#include "base/cursor.h"
#include "sip/fingerprint.h"
#include "sip/uri.h"

#define PASSPORT_NAME 512u     /* bytes of a URI, a number or another text of it */
#define PASSPORT_HEADER 1024u  /* bytes of its header as JSON */
#define PASSPORT_PAYLOAD 6144u /* and of its claims: three URIs and all fingerprints */
#define PASSPORT_DESTS 4u      /* destinations of one that is read: a request has one */

/* Bytes of what is signed. */
#define PASSPORT_SIGNED ((PASSPORT_HEADER + PASSPORT_PAYLOAD) / 3 * 4 + 8)

/* Who: a telephone number, or a URI in its canonical form (RFC 8224 8.5). */
struct passport_name {
    bool is_number;
    struct slice text;
};

/* Of type "answer": the response's tags and Call-ID. */
struct passport_call {
    struct slice from, id, to;
};

struct passport {
    struct slice info; /* x5u: where the certificate is */
    struct slice type; /* ppt: empty, "div" or "answer" */
    struct passport_name orig;
    struct passport_name dest[PASSPORT_DESTS];
    unsigned dest_count;
    struct passport_name div;  /* of type "div": the destination before */
    struct passport_call call; /* of type "answer" */
    int64_t iat;
    struct fingerprints keys; /* mky; none if it is absent */
};

/* Writes header "." claims, each in base64url: what is signed (RFC 7515 5.1).  Fails if a text of
 * it is too long or is no UTF-8, or if it has no destination or more than one. */
void passport_write(struct writer *w, const struct passport *passport);

/* Where a PASSporT is decoded to. */
struct passport_text {
    char header[PASSPORT_HEADER], payload[PASSPORT_PAYLOAD];
    char unescaped[PASSPORT_PAYLOAD];
};

/* Reads header and claims in base64url.  False if they are not JSON, lack what every PASSporT of
 * its type has (RFC 8225 4, 5; RFC 8946 3), are for another algorithm than ES256, or have more than
 * the limits allow.  Claims that have no meaning here are passed over. */
bool passport_read(struct slice header, struct slice payload, struct passport_text *text,
                   struct passport *passport);

bool passport_same_name(const struct passport_name *a, const struct passport_name *b);

/* Writes scheme:user@host: without password, port, parameters and headers, in lower case, with no
 * escape that is not needed (RFC 8224 8.5).  False if it is no SIP or SIPS URI, or has no user. */
bool passport_write_uri(struct writer *w, const struct uri *uri);

/* The user is a telephone number (RFC 8224 8.1) by its parameter or its '+', for which the
 * certificate of a domain does not speak (8.2). */
bool passport_is_number(const struct uri *uri);
