#include "base/hash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void round_once(struct state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word, int rounds)
{
    s->v3 ^= word;
    for (int i = 0; i < rounds; i++)
        round_once(s);
    s->v0 ^= word;
}

static inline uint64_t squeeze(struct state *s, int rounds)
{
    for (int i = 0; i < rounds; i++)
        round_once(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static inline struct state start(const struct hash_key *key)
{
    return (struct state){
        key->k0 ^ UINT64_C(0x736f6d6570736575),
        key->k1 ^ UINT64_C(0x646f72616e646f6d),
        key->k0 ^ UINT64_C(0x6c7967656e657261),
        key->k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void absorb_all(struct state *s, struct slice bytes, int rounds)
{
    const char *at = bytes.at;
    size_t whole = bytes.len & ~(size_t)7;
    uint64_t last = (uint64_t)bytes.len << 56;

    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        absorb(s, word, rounds);
    }
    for (size_t i = whole; i < bytes.len; i++)
        last |= (uint64_t)(unsigned char)at[i] << 8 * (i - whole);
    absorb(s, last, rounds);
}

static inline uint64_t hash(const struct hash_key *key, struct slice bytes, int rounds,
                            int last_rounds)
{
    struct state s = start(key);

    absorb_all(&s, bytes, rounds);
    s.v2 ^= 0xff;
    return squeeze(&s, last_rounds);
}

static inline struct hash128 hash_wide(const struct hash_key *key, struct slice bytes, int rounds,
                                       int last_rounds)
{
    struct state s = start(key);
    struct hash128 wide;

    s.v1 ^= 0xee;
    absorb_all(&s, bytes, rounds);
    s.v2 ^= 0xee;
    wide.low = squeeze(&s, last_rounds);
    s.v1 ^= 0xdd;
    wide.high = squeeze(&s, last_rounds);
    return wide;
}

uint64_t hash_bytes(const struct hash_key *key, struct slice bytes)
{
    return hash(key, bytes, 1, 3);
}

struct hash128 hash_bytes_wide(const struct hash_key *key, struct slice bytes)
{
    return hash_wide(key, bytes, 1, 3);
}

uint64_t hash_sign(const struct hash_key *key, struct slice bytes)
{
    return hash(key, bytes, 2, 4);
}

struct hash_key hash_derive(const struct hash_key *secret, struct slice purpose)
{
    struct hash128 wide = hash_wide(secret, purpose, 2, 4);

    return (struct hash_key){wide.low, wide.high};
}
