/* Addresses of the Internet as numbers, and how they are written (RFC 3986 3.2.2, RFC 5952). */
#pragma once

#include "base/cursor.h"

/* 16 bytes, IPv4 in the first four, the rest zero. */
struct address_bytes {
    bool is_v6;
    uint8_t at[16];
};

static inline bool address_equal(const struct address_bytes *a, const struct address_bytes *b)
{
    return a->is_v6 == b->is_v6 && memcmp(a->at, b->at, sizeof a->at) == 0;
}

/* Nobody's: 0.0.0.0 or ::. */
static inline bool address_is_unspecified(const struct address_bytes *a)
{
    static const uint8_t none[16] = {0};

    return memcmp(a->at, none, sizeof none) == 0;
}

/* A numeric host: IPv4 dotted quad or IPv6 with or without brackets. */
bool host_numeric(struct slice host, struct address_bytes *address);
/* Dotted quad, or IPv6 in brackets; and without them, as other protocols than SIP have it. */
void write_host(struct writer *w, const struct address_bytes *address);
void write_address(struct writer *w, const struct address_bytes *address);

/* Past a dotted quad; `at` itself if there is none.  A leading zero is refused: some read such a
 * number as octal. */
size_t ipv4_parse(struct slice s, size_t at, uint8_t *bytes);
