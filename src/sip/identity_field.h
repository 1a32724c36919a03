/*
 * The Identity header field (RFC 8224 4): a PASSporT whole, or its signature alone ("compact"),
 * with the place of the certificate.
 */
#pragma once

#include "sip/es256.h"
#include "sip/passport.h"

struct identity_field {
    struct slice header, payload; /* in base64url; empty in the compact form */
    struct slice covered;   /* header "." payload: what is signed; empty in the compact form */
    struct slice signature; /* in base64url */
    struct slice info;      /* the URI of the certificate, without its brackets */
    struct slice algorithm; /* "ES256" where absent */
    struct slice type;      /* ppt, without its quotes; empty where absent */
};

/* The whole value of a field.  False if it breaks the grammar or has no place of a certificate. */
bool identity_field_parse(struct slice value, struct identity_field *identity);

/* The signature's bytes; false if it is none of ES256. */
bool identity_field_signature(const struct identity_field *identity, uint8_t *signature);

/* Writes the value of a field with a whole PASSporT, of which `covered` was signed. */
void identity_field_write(struct writer *w, const struct passport *passport, struct slice covered,
                          const uint8_t *signature);
