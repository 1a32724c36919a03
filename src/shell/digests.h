/* MD5 and SHA-256 by OpenSSL, for the core and the configuration: pure functions, no heap. */
#pragma once

#include "sip/challenge.h"

extern const struct digest_table digests_openssl;

/* Of a WebSocket's key, which is no secret: nothing depends on its strength (RFC 6455 10.8). */
void digests_sha1(struct slice bytes, uint8_t sum[20]);
