/* ES256 by OpenSSL: the core's table, and the keys for it. */
#pragma once

#include "sip/es256.h"

#include <openssl/evp.h>

/* `key` of its sign is an EVP_PKEY with a private key of P-256. */
extern const struct es256_table es256_openssl;

/* The public key; false if it is none of P-256. */
bool es256_point(const EVP_PKEY *key, uint8_t *point);
