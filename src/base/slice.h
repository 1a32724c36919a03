/* Borrowed bytes.  Whoever hands out a slice owns what it points at; nothing here copies. */
#pragma once

#include "base/base.h"

#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

/* A place in a message: offset and length.  Moves with its bytes by one memcpy. */
struct span {
    uint16_t at;
    uint16_t len;
};

/* A slice of a string literal. */
#define S(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define NO_SLICE ((struct slice){NULL, 0})

static inline struct slice slice_of(const char *at, size_t len)
{
    return (struct slice){at, len};
}

static inline struct slice slice_text(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline struct slice slice_from(struct slice s, size_t start)
{
    assert(start <= s.len);
    return (struct slice){s.at + start, s.len - start};
}

static inline struct slice slice_until(struct slice s, size_t end)
{
    assert(end <= s.len);
    return (struct slice){s.at, end};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && memcmp(s.at, prefix.at, prefix.len) == 0;
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Linear white space: SP, HTAB, and the CRLF of a fold. */
static inline bool slice_is_space(char c)
{
    return (unsigned char)c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}

/* The same letters, whatever their case; of slices of one length. */
bool slice_same_letters(struct slice a, struct slice b);

/* Equal but for the case of ASCII letters. */
static inline bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (!a.len || memcmp(a.at, b.at, a.len) == 0 || slice_same_letters(a, b));
}

/* Index of the first `c`, or s.len. */
size_t slice_find(struct slice s, char c);

/* Without the leading and trailing linear white space. */
struct slice slice_trim(struct slice s);

/* Decimal digits only, at most `limit`; false for anything else, the empty slice included. */
bool slice_number(struct slice s, uint64_t limit, uint64_t *number);
