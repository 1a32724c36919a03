/* MD5 and SHA-256 by OpenSSL, for the core and the configuration: pure functions, no heap. */
#pragma once

#include "sip/challenge.h"

extern const struct digest_table digests_openssl;
