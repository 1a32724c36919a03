/*
 * ES256 (RFC 7518 3.4): ECDSA with the curve P-256 and SHA-256, as PASSporTs are signed.  Signing
 * and verifying are given from outside, as digests are: functions of their arguments alone.
 */
#pragma once

#include "base/slice.h"

#define ES256_SIGNATURE 64u /* bytes: R and S */
#define ES256_POINT 65u     /* bytes of a public key: 4, X and Y (SEC 1 2.3.3) */

struct es256_table {
    /* False if there is no memory.  `key` is what its maker says it is. */
    bool (*sign)(const void *key, struct slice text, uint8_t *signature);

    /* False if the signature is not that of this key, or the point is none of the curve. */
    bool (*verify)(const uint8_t *point, struct slice text, const uint8_t *signature);
};
