/* A digest for tests: pure and fast, and of no worth against anybody. */
#pragma once

#include "sip/challenge.h"

static inline void toy_digest(const struct slice *parts, unsigned count, uint8_t *out,
                              unsigned size)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (unsigned i = 0; i < count; i++)
        for (size_t at = 0; at < parts[i].len; at++)
            hash = (hash ^ (unsigned char)parts[i].at[at]) * prime;
    for (unsigned at = 0; at < size; at += sizeof hash) {
        memcpy(out + at, &hash, sizeof hash);
        hash = (hash ^ hash >> 32) * prime;
    }
}

static inline void toy_md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    toy_digest(parts, count, out, 16);
}

static inline void toy_sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    toy_digest(parts, count, out, 32);
}

static const struct digest_table toy_digests = {
    {[ALGORITHM_MD5] = toy_md5, [ALGORITHM_SHA256] = toy_sha256}};
