/* UTF-8 (RFC 3629): which bytes are text. */
#pragma once

#include "base/slice.h"

/* Length of the sequence that a text, which is not empty, begins with; 0 if it is none: broken,
 * overlong, a surrogate, or beyond U+10FFFF. */
size_t utf8_sequence(struct slice s);

/* All of it is. */
bool utf8_is_valid(struct slice s);
