/* A signature for tests: the text's sum with the key's first octet, over and over. */
#pragma once

#include "sip/es256.h"

#include <string.h>

static inline void toy_signature(uint8_t key, struct slice text, uint8_t *signature)
{
    uint8_t sum = key;

    for (size_t i = 0; i < text.len; i++)
        sum = (uint8_t)(sum * 31 + (uint8_t)text.at[i]);
    memset(signature, sum, ES256_SIGNATURE);
}

/* A key is an octet; without one nothing is signed. */
static inline bool toy_sign(const void *key, struct slice text, uint8_t *signature)
{
    if (key)
        toy_signature(*(const uint8_t *)key, text, signature);
    return key;
}

static inline bool toy_verify(const uint8_t *point, struct slice text, const uint8_t *signature)
{
    uint8_t again[ES256_SIGNATURE];

    toy_signature(point[0], text, again);
    return memcmp(again, signature, sizeof again) == 0;
}
