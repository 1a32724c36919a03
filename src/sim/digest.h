/* The hash functions of digest authentication, by OpenSSL. */
#pragma once

#include "sip/challenge.h"

extern const struct digest_table sim_digests;
