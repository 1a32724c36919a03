/*
 * SipHash (Aumasson and Bernstein, 2012): a keyed hash that an outsider can neither predict nor
 * forge.  What the world sees, and could try to forge, is signed with SipHash-2-4; what only finds
 * things in our memory takes the quicker SipHash-1-3.
 */
#pragma once

#include "base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

struct hash128 {
    uint64_t low, high;
};

/* SipHash-1-3 of one run of bytes: for tables. */
uint64_t hash_bytes(const struct hash_key *key, struct slice bytes);

/* Its 128-bit variant; wide enough to stand for what it hashes (doc/adr/0001). */
struct hash128 hash_bytes_wide(const struct hash_key *key, struct slice bytes);

/* SipHash-2-4: signs branches, nonces, tags and cookies. */
uint64_t hash_sign(const struct hash_key *key, struct slice bytes);

/* A key of its own for each purpose, from the one secret. */
struct hash_key hash_derive(const struct hash_key *secret, struct slice purpose);
