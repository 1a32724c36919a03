/*
 * JSON (RFC 8259), written onto a writer: objects of named members, without line breaks.
 *
 * A text that is no UTF-8 has each bad byte replaced by U+FFFD, and control characters are escaped,
 * so that a line stays one line whatever a peer sent.  Commas are put where they belong.
 */
#pragma once

#include "base/cursor.h"

#define JSON_TEXT 1024u /* bytes of a text that are written; the rest is cut */

/* The outermost object, then its members, then its end. */
void json_begin(struct writer *w);
void json_end(struct writer *w);

void json_text(struct writer *w, struct slice name, struct slice value);
void json_whole(struct writer *w, struct slice name, struct slice value); /* and is not cut */
void json_number(struct writer *w, struct slice name, uint64_t value);
void json_bool(struct writer *w, struct slice name, bool value);
void json_null(struct writer *w, struct slice name);

/* A member that is an object; ends with json_end. */
void json_open(struct writer *w, struct slice name);

/* A member that is a list; its texts, its objects (each ends with json_end), and its end. */
void json_list(struct writer *w, struct slice name);
void json_next(struct writer *w);
void json_item(struct writer *w, struct slice value);
void json_list_end(struct writer *w);
