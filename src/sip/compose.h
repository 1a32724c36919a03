/*
 * Writing messages: responses made from requests (RFC 3261 8.2.6), and received bytes with edits
 * spliced in.
 */
#pragma once

#include "base/cursor.h"
#include "sip/message.h"

/* Replace `remove` bytes at `at` of the original with `insert`. */
struct edit {
    uint16_t at;
    uint16_t remove;
    struct slice insert;
};

#define EDIT_LIMIT 40u /* the most that one forwarding makes is 35 */

/* Edits in the order of their place; edits at the same place keep the order they were added in. */
struct splice {
    struct edit edits[EDIT_LIMIT];
    unsigned count;
};

void splice_add(struct splice *s, size_t at, size_t remove, struct slice insert);

/* Writes the original with the edits applied.  Edits must not overlap. */
void splice_write(struct writer *w, struct slice original, const struct splice *s);

/* The default Reason-Phrase of a status (21), "Unknown" for those without. */
struct slice reason_phrase(unsigned status);
