/* A user of the domain under test with one phone, and what it answers a challenge with
   (RFC 3261 section 22, RFC 2617: MD5, qop=auth, the nonce kept and its count rising). */
#pragma once

#include "text.h"

#define BENCH_DOMAIN "bench.test"

enum { NONCE_MAX = 160, HASH_HEX = 32 };

struct credentials {
    char nonce[NONCE_MAX];
    char opaque[NONCE_MAX];
    size_t nonce_length; /* 0: never challenged */
    size_t opaque_length;
    uint32_t uses;
    uint32_t generation; /* of the nonce: an old one's refusal says nothing of the new one */
};

struct phone {
    char user[8]; /* "u000001" */
    char ha1[HASH_HEX];
    uint32_t cseq;
    uint32_t wire;
    struct credentials registrar;
    struct credentials proxy;
};

bool digest_prepare(void);
void digest_hex(const char *bytes, size_t length, char hex[HASH_HEX]);

void phone_prepare(struct phone *phone, uint32_t number, uint32_t wire);

/* False where the challenge has no nonce or one too long to keep. */
bool credentials_take(struct credentials *credentials, struct span challenge);

/* Writes the header's value and counts the use. */
void credentials_answer(struct credentials *credentials, const struct phone *phone,
                        struct span method, struct span uri, struct text *text);
