/* The legs of a call in a record of the journal: all that they are, in little-endian order, of the
 * exchanges and m-lines that are used. */
#pragma once

#include "base/cursor.h"
#include "core/legs.h"

/* Room for any of them. */
#define LEGS_RECORD_LIMIT (256u + (1u + ANSWER_LIMIT) * (64u + 3u * LEGS_LINES * 40u))

void legs_write(struct writer *w, const struct legs *legs);

/* False if it is broken, or says what cannot be. */
bool legs_read(struct reader *r, struct legs *legs);

/* The clocks of their m-lines, which older records do not have: after legs_read. */
void legs_write_clocks(struct writer *w, const struct legs *legs);
void legs_read_clocks(struct reader *r, struct legs *legs);
