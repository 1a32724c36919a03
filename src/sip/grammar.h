/*
 * The basic rules of RFC 3261 25.1 as scanners: classes of characters, and where a run of them
 * ends.  Private to src/sip; uri.c holds the table and the host.  All take the place to begin at
 * and return the place where they stopped, so one pass over the bytes suffices.
 */
#pragma once

#include "base/slice.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum grammar_class {
    IN_TOKEN = 1 << 0,
    IN_USER = 1 << 1, /* like the three below, without the escapes */
    IN_PASSWORD = 1 << 2,
    IN_PARAM = 1 << 3,  /* paramchar */
    IN_HEADER = 1 << 4, /* of hname and hvalue */
    IN_URI = 1 << 5,    /* anywhere in any URI; '%' too */
    IN_SCHEME = 1 << 6,
    IN_LABEL = 1 << 7, /* letters, digits, '-' */
    IS_ALPHA = 1 << 8,
    IS_DIGIT = 1 << 9,
    IS_HEX = 1 << 10,
    IS_RESERVED = 1 << 11,
    IN_BARE = 1 << 12, /* in a URI without angle brackets: no ';', ',', '?' (20.10) */
};

extern const uint16_t grammar_classes[256];

static inline bool grammar_is(char c, unsigned classes)
{
    return grammar_classes[(unsigned char)c] & classes;
}

#ifdef __SSE2__
/* Which of sixteen bytes are neither letters nor digits, a bit each. */
static inline unsigned grammar_marks(const char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i digit = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
    return ~(unsigned)_mm_movemask_epi8(_mm_or_si128(is_digit, is_letter)) & 0xffff;
}
#endif

/* Past characters of classes that hold all letters and digits, for most of the time of parsing is
 * spent here: those are passed sixteen at a time, and each mark among them is looked up. */
static inline size_t grammar_skip(struct slice s, size_t at, unsigned classes)
{
#ifdef __SSE2__
    for (; s.len - at >= 16; at += 16) {
        for (unsigned marks = grammar_marks(s.at + at); marks; marks &= marks - 1) {
            size_t mark = at + (unsigned)__builtin_ctz(marks);
            if (!grammar_is(s.at[mark], classes))
                return mark;
        }
    }
#endif
    while (at < s.len && grammar_is(s.at[at], classes))
        at++;
    return at;
}

/* The same with well-formed %-escapes; stops at a bad one. */
static inline size_t grammar_skip_escaped(struct slice s, size_t at, unsigned classes)
{
    for (;;) {
        at = grammar_skip(s, at, classes);
        if (s.len - at < 3 || s.at[at] != '%' || !grammar_is(s.at[at + 1], IS_HEX) ||
            !grammar_is(s.at[at + 2], IS_HEX))
            return at;
        at += 3;
    }
}

/* SWS: blanks and folds.  A CRLF without a blank behind it is not white space. */
static inline size_t grammar_skip_space(struct slice s, size_t at)
{
    while (at < s.len && (unsigned char)s.at[at] <= ' ') {
        bool is_fold = s.len - at > 2 && s.at[at] == '\r' && s.at[at + 1] == '\n' &&
                       (s.at[at + 2] == ' ' || s.at[at + 2] == '\t');
        if (!is_fold && s.at[at] != ' ' && s.at[at] != '\t')
            break;
        at += is_fold ? 3 : 1;
    }
    return at;
}

/* The text is this word, which is in lower-case letters, whatever its own case.  Setting a bit
 * makes a letter lower, and nothing else into one.  Most senders use lower case. */
static inline bool grammar_same_word(struct slice s, struct slice word)
{
    size_t i = 0;

    if (s.len != word.len)
        return false;
    if (memcmp(s.at, word.at, word.len) == 0)
        return true;
    while (i < word.len && (s.at[i] | 0x20) == word.at[i])
        i++;
    return i == word.len;
}

/* Without the white space at its end. */
static inline struct slice grammar_trim_end(struct slice s)
{
    while (s.len && slice_is_space(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* The next '"', '\' or control character, or the end. */
static inline size_t grammar_find_special(struct slice s, size_t at)
{
#ifdef __SSE2__
    for (; s.len - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(s.at + at));
        __m128i found = _mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, _mm_set1_epi8(0x1f)));
        unsigned mask;
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
        mask = (unsigned)_mm_movemask_epi8(found);
        if (mask)
            return at + (unsigned)__builtin_ctz(mask);
    }
#endif
    while (at < s.len && (unsigned char)s.at[at] >= ' ' && s.at[at] != '"' && s.at[at] != '\\' &&
           s.at[at] != 0x7f)
        at++;
    return at;
}

/* From past the opening quote to the closing one; s.len if there is none or a character on the way
 * is not allowed.  A backslash quotes any ASCII character but CR and LF. */
static inline size_t grammar_quoted_end(struct slice s, size_t at)
{
    for (;;) {
        size_t special = at = grammar_find_special(s, at);
        if (at == s.len || s.at[at] == '"')
            return at;
        if (s.at[at] != '\\')
            at = grammar_skip_space(s, at);
        else if (s.len - at > 1 && !(s.at[at + 1] & 0x80) && s.at[at + 1] != '\r' &&
                 s.at[at + 1] != '\n')
            at += 2;
        if (at == special)
            return s.len;
    }
}

/* Past a parameter's value at `at`: a quoted string, or the characters of tokens, hosts and URI
 * parameters; `at` itself if there is none. */
static inline size_t grammar_value(struct slice s, size_t at)
{
    if (at < s.len && s.at[at] == '"') {
        size_t end = grammar_quoted_end(s, at + 1);
        return end < s.len ? end + 1 : at;
    }
    return grammar_skip(s, at, IN_TOKEN | IN_PARAM);
}

/* Past SEMI name [ EQUAL value ] and the white space behind; `at` itself if it is malformed. */
static inline size_t grammar_param(struct slice s, size_t at, struct slice *name,
                                   struct slice *value)
{
    size_t start = grammar_skip_space(s, at + 1);
    size_t end = grammar_skip(s, start, IN_TOKEN | IN_PARAM);

    if (end == start)
        return at;
    *name = slice_of(s.at + start, end - start);
    *value = slice_of(s.at + end, 0);
    start = grammar_skip_space(s, end);
    if (start == s.len || s.at[start] != '=')
        return start;
    start = grammar_skip_space(s, start + 1);
    end = grammar_value(s, start);
    if (end == start)
        return at;
    *value = slice_of(s.at + start, end - start);
    return grammar_skip_space(s, end);
}

/* 1 to 65535, leading zeros allowed; `at` itself if it is none. */
static inline size_t grammar_port(struct slice s, size_t at, uint32_t *port)
{
    size_t start = at;
    uint32_t n = 0;

    for (; at < s.len && grammar_is(s.at[at], IS_DIGIT) && n <= UINT16_MAX; at++)
        n = n * 10 + (uint32_t)(s.at[at] - '0');
    if (n == 0 || n > UINT16_MAX)
        return start;
    *port = n;
    return at;
}

/* Behind one value of a field, past white space: at its end, or at a comma with something behind
 * it, which is taken. */
static inline bool grammar_take_comma(struct slice s, size_t at, struct slice *rest)
{
    if (at < s.len) {
        if (s.at[at] != ',')
            return false;
        at = grammar_skip_space(s, at + 1);
        if (at == s.len)
            return false;
    }
    *rest = slice_from(s, at);
    return true;
}

/* Past a host name, IPv4 address or IPv6 reference; `at` itself if there is none. */
size_t grammar_host(struct slice s, size_t at);
