/*
 * Digest access authentication as SIP uses it (RFC 3261 22, RFC 7616, RFC 8760): reading
 * credentials and computing what they should have said.  Hashing itself is given from outside.
 */
#pragma once

#include "base/cursor.h"

enum algorithm {
    ALGORITHM_MD5,
    ALGORITHM_SHA256,
    ALGORITHM_COUNT,
    ALGORITHM_OTHER = ALGORITHM_COUNT,
};

#define DIGEST_LIMIT 32u /* bytes of the longest digest */

/* Hashes the concatenation of the parts into `out`; a pure function. */
typedef void digest_function(const struct slice *parts, unsigned count, uint8_t *out);

struct digest_table {
    digest_function *hash[ALGORITHM_COUNT];
};

unsigned digest_size(enum algorithm algorithm); /* bytes */
struct slice algorithm_name(enum algorithm algorithm);

/* An Authorization or Proxy-Authorization value.  Quoted values are without their quotes and
 * still escaped; at == NULL where absent. */
struct credentials {
    struct slice username, realm, nonce, uri, response, cnonce, opaque, qop;
    enum algorithm algorithm; /* MD5 where absent */
    uint32_t nc;              /* 0 where absent */
    struct slice nc_text;
};

/* False unless the scheme is Digest and username, realm, nonce, uri, response are there once each
 * and every value keeps to its grammar. */
bool credentials_parse(struct slice value, struct credentials *credentials);

/* Text of a quoted-string (inside its quotes) with backslash escapes undone; `out` fails if it is
 * too small. */
void quoted_unescape(struct writer *out, struct slice quoted);

/* HA1 = H(username:realm:password), as kept for a user; digest_size bytes. */
void digest_ha1(const struct digest_table *digests, enum algorithm algorithm, struct slice user,
                struct slice realm, struct slice password, uint8_t *ha1);

/* The response that these credentials should carry for a request with `method` and `body` (for
 * qop=auth-int), in lower-case hex: 2 * digest_size characters. */
void digest_response(const struct digest_table *digests, const struct credentials *credentials,
                     const uint8_t *ha1, struct slice method, struct slice body, char *hex);

/* Compares in a time that does not depend on where they differ; case of hex digits does not
 * count. */
bool digest_equal(struct slice a, struct slice b);
