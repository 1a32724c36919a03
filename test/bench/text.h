/* A cursor that writes a message into a buffer somebody else owns.  Once something did not fit it
   stays full, and the caller asks only at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *at;
    size_t length;
};

struct text {
    char *start;
    char *at;
    char *end;
    bool full;
};

static inline struct text text_over(char *buffer, size_t size)
{
    return (struct text){buffer, buffer, buffer + size, false};
}

static inline size_t text_length(const struct text *text)
{
    return (size_t)(text->at - text->start);
}

static inline void text_put(struct text *text, const char *bytes, size_t length)
{
    if (text->full || (size_t)(text->end - text->at) < length) {
        text->full = true;
        return;
    }
    memcpy(text->at, bytes, length);
    text->at += length;
}

static inline void text_say(struct text *text, const char *string)
{
    text_put(text, string, strlen(string));
}

static inline void text_span(struct text *text, struct span span)
{
    text_put(text, span.at, span.length);
}

static inline void text_hex(struct text *text, uint32_t value)
{
    char digits[8];
    for (int i = 7; i >= 0; i--, value >>= 4)
        digits[i] = "0123456789abcdef"[value & 15];
    text_put(text, digits, sizeof digits);
}

static inline void text_decimal(struct text *text, uint32_t value)
{
    char digits[10];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    text_put(text, digits + at, sizeof digits - at);
}
