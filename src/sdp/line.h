/*
 * The lines of a session description (RFC 8866 5): a letter, '=', a value, a line break.  Private
 * to src/sdp.
 */
#pragma once

#include "base/slice.h"

struct line {
    char type;
    struct slice value; /* behind the '=' */
    size_t at;          /* the letter */
    size_t end;         /* past the value */
    size_t next;        /* past the line break; == end where the last line has none */
};

enum line_result {
    LINE_TAKEN,
    LINE_NONE, /* there are no more; empty ones at the end are passed over */
    LINE_BAD,  /* it is no line: line->at says where */
};

/* Takes the line at `*at`.  It ends with CRLF, or with LF alone (5: parsers are to be tolerant); a
 * CR elsewhere, or a NUL, is in no value (9). */
enum line_result line_next(struct slice text, size_t *at, struct line *line);

/* An attribute's name, and what stands behind its colon, or the empty slice (5.13). */
void line_attribute(const struct line *line, struct slice *name, struct slice *value);

/* Takes the next word of a value, and the blanks before it; false if there is none. */
bool line_word(struct slice *rest, struct slice *word);

/* One that belongs to ICE (RFC 8839 5), and what it is. */
enum ice_attribute {
    ICE_NONE,
    ICE_CANDIDATE,
    ICE_REMOTE,
    ICE_OTHER,
};
enum ice_attribute line_ice(struct slice name);
