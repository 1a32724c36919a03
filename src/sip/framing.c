#include "sip/framing.h"

/* Set in *scanned once the length of the message is known, so that a body that comes in pieces does
 * not have its headers read again with each. */
#define LENGTH_KNOWN ((size_t)1 << 31)

static const struct frame more_needed = {FRAME_NONE, 0, {0, NULL}};

static struct frame broken(size_t len, struct fault fault)
{
    return (struct frame){FRAME_BROKEN, len, fault};
}

/* CRLFs before a start line.  A second one would make a ping of the first, so that a lone CRLF
 * waits for what follows. */
static struct frame leading_crlf(struct slice buffer)
{
    static const struct slice ping = S("\r\n\r\n");
    size_t len = buffer.len < ping.len ? buffer.len : ping.len;

    if (memcmp(buffer.at, ping.at, len) != 0)
        return (struct frame){FRAME_SKIP, 2, NO_FAULT};
    return len == ping.len ? (struct frame){FRAME_PING, len, NO_FAULT} : more_needed;
}

static bool is_leading_crlf(struct slice buffer)
{
    return buffer.at[0] == '\r' && (buffer.len == 1 || buffer.at[1] == '\n');
}

/* Past the next CRLF; s.len + 1 if there is none. */
static size_t past_line(struct slice s, size_t at)
{
    for (;; at++) {
        at += slice_find(slice_from(s, at), '\r');
        if (s.len - at < 2)
            return s.len + 1;
        if (s.at[at + 1] == '\n')
            return at + 2;
    }
}

/* Where the empty line begins; s.len if it is not there yet. */
static size_t find_empty_line(struct slice s, size_t at)
{
    for (;;) {
        at = past_line(s, at);
        if (at > s.len || s.len - at < 2)
            return s.len;
        if (s.at[at] == '\r' && s.at[at + 1] == '\n')
            return at;
    }
}

/* Past a field and the lines folded into it (7.3.1). */
static size_t past_field(struct slice headers, size_t at)
{
    do
        at = past_line(headers, at);
    while (at < headers.len && (headers.at[at] == ' ' || headers.at[at] == '\t'));
    return at;
}

/* The value of a field, if it is a Content-Length. */
static bool is_length(struct slice field, struct slice *value)
{
    char first = ascii_lower(field.at[0]);
    size_t colon;

    if (first != 'c' && first != 'l') /* most fields are none of ours */
        return false;
    colon = slice_find(field, ':');
    if (colon == field.len ||
        header_of(slice_trim(slice_until(field, colon))) != HEADER_CONTENT_LENGTH)
        return false;
    *value = slice_trim(slice_from(field, colon + 1));
    return true;
}

/* 1*DIGIT, cut to just above what any message may have. */
static bool parse_length(struct slice value, size_t *length)
{
    size_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        n = min_u64(n * 10 + (size_t)(value.at[i] - '0'), MESSAGE_LIMIT + 1);
    }
    *length = n;
    return value.len > 0;
}

/* Content-Length from the lines up to the empty one. */
static struct fault read_length(struct slice headers, size_t *length)
{
    size_t at = past_line(headers, 0);
    bool found = false;

    while (at < headers.len) {
        size_t next = past_field(headers, at);
        struct slice value;
        if (is_length(slice_of(headers.at + at, next - at), &value)) {
            if (found)
                return (struct fault){400, "Repeated Content-Length"};
            if (!parse_length(value, length))
                return (struct fault){400, "Bad Content-Length"};
            found = true;
        }
        at = next;
    }
    return found ? NO_FAULT : (struct fault){400, "Missing Content-Length"};
}

/* Finds the end of the headers and with it the length of the message. */
static struct frame read_headers(struct slice buffer, size_t *scanned)
{
    const struct fault too_large = {513, "Message Too Large"};
    size_t end = find_empty_line(buffer, *scanned);
    size_t length = 0;
    struct fault fault;

    /* An empty line still to come begins at its earliest one byte before the end. */
    if (end > FRAME_HEADER_LIMIT && (end < buffer.len || end - 1 > FRAME_HEADER_LIMIT))
        return broken(FRAME_HEADER_LIMIT, too_large);
    if (end == buffer.len) {
        *scanned = end > 3 ? end - 3 : 0;
        return more_needed;
    }
    fault = read_length(slice_until(buffer, end), &length);
    if (!fault.status && length > MESSAGE_LIMIT - (end + 2))
        fault = too_large;
    if (fault.status)
        return broken(end + 2, fault);
    *scanned = (end + 2 + length) | LENGTH_KNOWN;
    return more_needed;
}

struct frame frame_next(struct slice buffer, size_t *scanned)
{
    size_t len;

    if (!buffer.len)
        return more_needed;
    if (!*scanned && is_leading_crlf(buffer))
        return leading_crlf(buffer);
    if (!(*scanned & LENGTH_KNOWN)) {
        struct frame frame = read_headers(buffer, scanned);
        if (!(*scanned & LENGTH_KNOWN))
            return frame;
    }
    len = *scanned & ~LENGTH_KNOWN;
    if (buffer.len < len)
        return more_needed;
    *scanned = 0;
    return (struct frame){FRAME_MESSAGE, len, NO_FAULT};
}
