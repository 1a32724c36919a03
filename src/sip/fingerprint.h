/*
 * Fingerprints of media keys (a=fingerprint, RFC 8122 5) in a session description, as a PASSporT
 * signs them (RFC 8225 5.2.2): each once, in the order of algorithm and digest.
 */
#pragma once

#include "base/slice.h"

/* Different ones in one session: a phone has one certificate, rarely one for each kind of media. */
#define FINGERPRINTS_LIMIT 16u

/* Bytes of the longest digest: SHA-512. */
#define FINGERPRINT_BYTES 64u

struct fingerprint {
    struct slice algorithm;
    struct slice digest; /* hex digits, with colons between the bytes or without */
};

struct fingerprints {
    struct fingerprint at[FINGERPRINTS_LIMIT];
    unsigned count;
};

/* Puts one in its place, unless it is there; false if it is none or there are too many. */
bool fingerprints_add(struct fingerprints *list, struct slice algorithm, struct slice digest);

/* Those of a session and of its media, whatever the case of the attribute's name, for phones are
 * not strict either.  False if one is malformed or there are too many. */
bool fingerprints_read(struct slice sdp, struct fingerprints *list);

/* The same keys, whatever the case of their digits and of the algorithms' names. */
bool fingerprints_equal(const struct fingerprints *a, const struct fingerprints *b);
