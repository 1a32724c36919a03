/*
 * A stream of unguessable numbers: SipHash of a counter under a secret seed.  The shell takes the
 * seed from getrandom(), the simulator from its own seed.
 */
#pragma once

#include "base/hash.h"

struct random {
    struct hash_key seed;
    uint64_t drawn;
};

static inline struct random random_seeded(struct hash_key seed)
{
    return (struct random){seed, 0};
}

static inline uint64_t random_next(struct random *stream)
{
    uint64_t counter = stream->drawn++;

    return hash_bytes(&stream->seed, slice_of((const char *)&counter, sizeof counter));
}

/* Even over 0 .. limit - 1; limit > 0. */
static inline uint64_t random_below(struct random *stream, uint64_t limit)
{
    return (uint64_t)((unsigned __int128)random_next(stream) * limit >> 64);
}
