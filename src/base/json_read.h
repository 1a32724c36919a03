/*
 * JSON (RFC 8259), read where it lies.
 *
 * A text is checked once as a whole; then its objects and lists are walked, each member as it is
 * asked for.  Nothing is copied.  What the RFC leaves to the reader is refused: half a surrogate
 * pair, more than JSON_DEPTH brackets in one another, text before or behind but white space.
 */
#pragma once

#include "base/cursor.h"

#define JSON_DEPTH 8u

enum json_kind {
    JSON_OBJECT,
    JSON_LIST,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

struct json_value {
    enum json_kind kind;
    struct slice text; /* between its brackets or quotes; a string is still escaped */
};

/* False if it is not one value and nothing else. */
bool json_read(struct slice text, struct json_value *value);

/* Takes the next member off the text of an object that json_read accepted; false at its end.  The
 * name is still escaped. */
bool json_take_member(struct slice *rest, struct slice *name, struct json_value *value);

/* The same with the values of a list. */
bool json_take_item(struct slice *rest, struct json_value *value);

/* The member whose name is written like this, of this kind.  False if there is none, if it is there
 * twice (who takes the first and who the last would not agree), or if `object` is none. */
bool json_find(const struct json_value *object, struct slice name, enum json_kind kind,
               struct json_value *value);

/* Writes the text of a string with its escapes undone. */
void json_unescape(struct writer *w, struct slice string);
