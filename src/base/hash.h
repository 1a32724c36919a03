/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash that an outsider can neither predict
 * nor forge.  It indexes tables and signs branches, nonces, tags and cookies.
 */
#pragma once

#include "base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

struct hash128 {
    uint64_t low, high;
};

/* The hash of one run of bytes. */
uint64_t hash_bytes(const struct hash_key *key, struct slice bytes);

/* The 128-bit variant; wide enough to stand for what it hashes (doc/adr/0001). */
struct hash128 hash_bytes_wide(const struct hash_key *key, struct slice bytes);

/* A key of its own for each purpose, from the one secret. */
struct hash_key hash_derive(const struct hash_key *secret, struct slice purpose);
