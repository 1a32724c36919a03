/*
 * A SIP message as received: an index over its bytes (RFC 3261 section 7 and 25).
 *
 * message_parse makes one pass: start line, and where each header field begins and ends.  The
 * values are parsed only when asked for, by the modules of each header.  Nothing is copied: the
 * bytes belong to the caller and must stay while the message is used.
 */
#pragma once

#include "base/slice.h"

#define MESSAGE_LIMIT 65535u /* bytes; a span's reach */
#define MESSAGE_FIELDS 250u  /* header fields; the longest seen in the torture tests has 42 */

enum method {
    METHOD_OTHER,
    METHOD_ACK,
    METHOD_BYE,
    METHOD_CANCEL,
    METHOD_INFO,
    METHOD_INVITE,
    METHOD_MESSAGE,
    METHOD_NOTIFY,
    METHOD_OPTIONS,
    METHOD_PRACK,
    METHOD_PUBLISH,
    METHOD_REFER,
    METHOD_REGISTER,
    METHOD_SUBSCRIBE,
    METHOD_UPDATE,
    METHOD_COUNT,
};

/* The header fields that a proxy or registrar reads. */
enum header {
    HEADER_OTHER,
    HEADER_ASSERTION, /* any field by which servers that trust each other say who somebody is */
    HEADER_AUTHORIZATION,
    HEADER_CALL_ID,
    HEADER_CONTACT,
    HEADER_CONTENT_LENGTH,
    HEADER_CONTENT_TYPE,
    HEADER_CSEQ,
    HEADER_DATE,
    HEADER_EVENT,
    HEADER_EXPIRES,
    HEADER_FROM,
    HEADER_IDENTITY,
    HEADER_MAX_BREADTH,
    HEADER_MAX_FORWARDS,
    HEADER_MIN_EXPIRES,
    HEADER_MIN_SE,
    HEADER_PATH,
    HEADER_PROXY_AUTHENTICATE,
    HEADER_PROXY_AUTHORIZATION,
    HEADER_PROXY_REQUIRE,
    HEADER_REASON,
    HEADER_RECORD_ROUTE,
    HEADER_REQUIRE,
    HEADER_RETRY_AFTER,
    HEADER_ROUTE,
    HEADER_SESSION_EXPIRES,
    HEADER_SUPPORTED,
    HEADER_TIMESTAMP,
    HEADER_TO,
    HEADER_UNSUPPORTED,
    HEADER_USER_AGENT,
    HEADER_VIA,
    HEADER_WWW_AUTHENTICATE,
    HEADER_COUNT,
};

/* One header field: the line or lines from its name to the CRLF that ends it. */
struct field {
    uint16_t line;      /* first byte of the name */
    uint16_t value;     /* first byte of the value, past white space */
    uint16_t end;       /* past the value's last byte, before trailing white space */
    uint16_t next_line; /* past the CRLF */
    uint8_t header;
    uint8_t next; /* next field of the same header, 0 = none */
};

/* A CSeq value (20.16). */
struct cseq {
    uint32_t number;
    enum method method;
    struct slice method_text;
};

struct message {
    struct slice bytes; /* all of it, cut to Content-Length; borrowed */
    bool is_request;
    bool has_length; /* a Content-Length field was there */
    uint8_t field_count;
    uint8_t first[HEADER_COUNT]; /* first field of each header, 0 = none */
    uint8_t last[HEADER_COUNT];  /* and the last */
    uint16_t status;             /* of a response */
    enum method method;          /* of a request */
    struct span method_text;     /* of a request */
    struct span uri;             /* Request-URI, of a request */
    struct span reason;          /* Reason-Phrase, of a response */
    uint16_t headers;            /* first byte after the start line */
    uint16_t headers_end;        /* the empty line */
    uint16_t body;
    struct cseq cseq;                        /* once the message was parsed without a fault */
    struct field fields[MESSAGE_FIELDS + 1]; /* the first is never used */
};

/* What is wrong with a message: the status a request deserves, and why in words for the Reason
 * Phrase.  status 0: nothing. */
struct fault {
    uint16_t status;
    const char *reason; /* static text */
};

#define NO_FAULT ((struct fault){0, NULL})

/*
 * Indexes a datagram or a framed message.  Whatever the fault, `m` holds the fields found so far,
 * so that an answer can be made if the fields it needs are among them; m->bytes.len == 0 means that
 * nothing could be read.  Checks what every message must have (8.1.1): start line, one Call-ID,
 * From, To, CSeq that fits the method, Via; and Content-Length against the bytes (18.3): too few
 * are a fault, those beyond it are cut off.
 */
struct fault message_parse(struct slice bytes, struct message *m);

static inline struct slice message_span(const struct message *m, struct span s)
{
    return slice_of(m->bytes.at + s.at, s.len);
}

static inline struct slice message_value(const struct message *m, unsigned field)
{
    const struct field *f = &m->fields[field];

    return slice_of(m->bytes.at + f->value, (size_t)(f->end - f->value));
}

/* The name of a field as it came. */
static inline struct slice message_name(const struct message *m, unsigned field)
{
    const struct field *f = &m->fields[field];
    struct slice line = slice_of(m->bytes.at + f->line, (size_t)(f->value - f->line));

    return slice_trim(slice_until(line, slice_find(line, ':')));
}

/* Value of the first field of a header, or the empty slice with at == NULL. */
static inline struct slice message_first(const struct message *m, enum header header)
{
    return m->first[header] ? message_value(m, m->first[header]) : NO_SLICE;
}

static inline struct slice message_body(const struct message *m)
{
    return slice_from(m->bytes, m->body);
}

bool cseq_parse(struct slice value, struct cseq *cseq);

/* A method's name by its text, METHOD_OTHER if it has no number; case counts (7.1). */
enum method method_of(struct slice text);
struct slice method_name(enum method method);

/* The header of a field name, long or compact (7.3.3); case does not count.  HEADER_ASSERTION has
 * many names: RFC 3325's, those of its kin, and P-SIPWITCH-anything. */
enum header header_of(struct slice name);
struct slice header_name(enum header header);

/* How many fields of a header there are. */
unsigned message_count(const struct message *m, enum header header);

/* A list of option tags (20.32, 20.37), in any of its fields, has this one. */
bool message_has_option(const struct message *m, enum header header, struct slice option);

/* Takes the next of a comma-separated list, trimmed, respecting quotes and angle brackets; false
 * when the list is used up. */
bool list_next(struct slice *rest, struct slice *item);
