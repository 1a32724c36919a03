/* Base64 with the alphabet of URLs and without padding (RFC 4648 5, RFC 7515 2). */
#pragma once

#include "base/cursor.h"

void write_base64url(struct writer *w, struct slice bytes);

/* Characters that so many bytes take. */
static inline size_t base64url_length(size_t bytes)
{
    return bytes / 3 * 4 + (bytes % 3 ? bytes % 3 + 1 : 0);
}

/* The bytes of a text.  False if it has any other character, an impossible length or bits at its
 * end that are no part of a byte, so that no two texts are the same bytes; or if they do not fit.
 */
bool base64url_decode(struct writer *w, struct slice text);
