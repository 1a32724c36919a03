#include "sip/message.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Letters, digits and -.!%*_+`'~ (25.1). */
static const bool token_chars[256] = {
    ['!'] = 1,         ['%'] = 1,         ['\''] = 1,        ['*'] = 1, ['+'] = 1,
    ['-'] = 1,         ['.'] = 1,         ['_'] = 1,         ['`'] = 1, ['~'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static const struct slice method_names[METHOD_COUNT] = {
    [METHOD_ACK] = S("ACK"),
    [METHOD_BYE] = S("BYE"),
    [METHOD_CANCEL] = S("CANCEL"),
    [METHOD_INFO] = S("INFO"),
    [METHOD_INVITE] = S("INVITE"),
    [METHOD_MESSAGE] = S("MESSAGE"),
    [METHOD_NOTIFY] = S("NOTIFY"),
    [METHOD_OPTIONS] = S("OPTIONS"),
    [METHOD_PRACK] = S("PRACK"),
    [METHOD_PUBLISH] = S("PUBLISH"),
    [METHOD_REFER] = S("REFER"),
    [METHOD_REGISTER] = S("REGISTER"),
    [METHOD_SUBSCRIBE] = S("SUBSCRIBE"),
    [METHOD_UPDATE] = S("UPDATE"),
};

static const struct {
    char name[22]; /* 16 bytes can be read from any */
    uint8_t len;
    char compact; /* 0 = none */
} header_names[HEADER_COUNT] = {
    [HEADER_ASSERTION] = {"P-Asserted-Identity", 19, 0},
    [HEADER_AUTHORIZATION] = {"Authorization", 13, 0},
    [HEADER_CALL_ID] = {"Call-ID", 7, 'i'},
    [HEADER_CONTACT] = {"Contact", 7, 'm'},
    [HEADER_CONTENT_LENGTH] = {"Content-Length", 14, 'l'},
    [HEADER_CONTENT_TYPE] = {"Content-Type", 12, 'c'},
    [HEADER_CSEQ] = {"CSeq", 4, 0},
    [HEADER_DATE] = {"Date", 4, 0},
    [HEADER_EVENT] = {"Event", 5, 'o'},
    [HEADER_EXPIRES] = {"Expires", 7, 0},
    [HEADER_FROM] = {"From", 4, 'f'},
    [HEADER_IDENTITY] = {"Identity", 8, 'y'},
    [HEADER_MAX_BREADTH] = {"Max-Breadth", 11, 0},
    [HEADER_MAX_FORWARDS] = {"Max-Forwards", 12, 0},
    [HEADER_MIN_EXPIRES] = {"Min-Expires", 11, 0},
    [HEADER_MIN_SE] = {"Min-SE", 6, 0},
    [HEADER_PATH] = {"Path", 4, 0},
    [HEADER_PROXY_AUTHENTICATE] = {"Proxy-Authenticate", 18, 0},
    [HEADER_PROXY_AUTHORIZATION] = {"Proxy-Authorization", 19, 0},
    [HEADER_PROXY_REQUIRE] = {"Proxy-Require", 13, 0},
    [HEADER_REASON] = {"Reason", 6, 0},
    [HEADER_RECORD_ROUTE] = {"Record-Route", 12, 0},
    [HEADER_REQUIRE] = {"Require", 7, 0},
    [HEADER_RETRY_AFTER] = {"Retry-After", 11, 0},
    [HEADER_ROUTE] = {"Route", 5, 0},
    [HEADER_SESSION_EXPIRES] = {"Session-Expires", 15, 'x'},
    [HEADER_SUPPORTED] = {"Supported", 9, 'k'},
    [HEADER_TIMESTAMP] = {"Timestamp", 9, 0},
    [HEADER_TO] = {"To", 2, 't'},
    [HEADER_UNSUPPORTED] = {"Unsupported", 11, 0},
    [HEADER_USER_AGENT] = {"User-Agent", 10, 0},
    [HEADER_VIA] = {"Via", 3, 'v'},
    [HEADER_WWW_AUTHENTICATE] = {"WWW-Authenticate", 16, 0},
};

/* Header numbers by the length of their name; 0 ends a row. */
#define LONGEST_NAME 19u
static const uint8_t headers_by_length[LONGEST_NAME + 1][5] = {
    [2] = {HEADER_TO},
    [3] = {HEADER_VIA},
    [4] = {HEADER_FROM, HEADER_CSEQ, HEADER_PATH, HEADER_DATE},
    [5] = {HEADER_ROUTE, HEADER_EVENT},
    [6] = {HEADER_REASON, HEADER_MIN_SE},
    [7] = {HEADER_CALL_ID, HEADER_CONTACT, HEADER_EXPIRES, HEADER_REQUIRE},
    [8] = {HEADER_IDENTITY},
    [9] = {HEADER_SUPPORTED, HEADER_TIMESTAMP},
    [10] = {HEADER_USER_AGENT},
    [11] = {HEADER_UNSUPPORTED, HEADER_RETRY_AFTER, HEADER_MAX_BREADTH, HEADER_MIN_EXPIRES},
    [12] = {HEADER_MAX_FORWARDS, HEADER_CONTENT_TYPE, HEADER_RECORD_ROUTE},
    [13] = {HEADER_AUTHORIZATION, HEADER_PROXY_REQUIRE},
    [14] = {HEADER_CONTENT_LENGTH},
    [15] = {HEADER_SESSION_EXPIRES},
    [16] = {HEADER_WWW_AUTHENTICATE},
    [18] = {HEADER_PROXY_AUTHENTICATE},
    [19] = {HEADER_PROXY_AUTHORIZATION},
};

enum method method_of(struct slice text)
{
    static const uint8_t by_first_letter[26][2] = {
        ['A' - 'A'] = {METHOD_ACK},
        ['B' - 'A'] = {METHOD_BYE},
        ['C' - 'A'] = {METHOD_CANCEL},
        ['I' - 'A'] = {METHOD_INVITE, METHOD_INFO},
        ['M' - 'A'] = {METHOD_MESSAGE},
        ['N' - 'A'] = {METHOD_NOTIFY},
        ['O' - 'A'] = {METHOD_OPTIONS},
        ['P' - 'A'] = {METHOD_PRACK, METHOD_PUBLISH},
        ['R' - 'A'] = {METHOD_REGISTER, METHOD_REFER},
        ['S' - 'A'] = {METHOD_SUBSCRIBE},
        ['U' - 'A'] = {METHOD_UPDATE},
    };

    if (!text.len || text.at[0] < 'A' || text.at[0] > 'Z')
        return METHOD_OTHER;
    for (unsigned i = 0; i < 2; i++) {
        enum method method = by_first_letter[text.at[0] - 'A'][i];
        if (method && slice_equal(text, method_names[method]))
            return method;
    }
    return METHOD_OTHER;
}

struct slice method_name(enum method method)
{
    assert(method < METHOD_COUNT);
    return method_names[method];
}

struct slice header_name(enum header header)
{
    assert(header < HEADER_COUNT);
    return slice_of(header_names[header].name, header_names[header].len);
}

static enum header compact_header(char c)
{
    for (unsigned i = HEADER_OTHER + 1; i < HEADER_COUNT; i++)
        if (header_names[i].compact == c)
            return i;
    return HEADER_OTHER;
}

/* What a phone must not say of itself to others: P-Asserted-Identity (RFC 3325) and the like. */
static bool is_assertion(struct slice name)
{
    static const struct slice names[] = {
        S("P-Asserted-Identity"),
        S("P-Preferred-Identity"),
        S("P-Asserted-Service"),
        S("P-Preferred-Service"),
        S("P-Served-User"),
        S("P-Profile-Key"),
        S("P-Private-Network-Indication"),
        S("P-Charging-Vector"),
        S("P-Charging-Function-Addresses"),
        S("Remote-Party-ID"),
    };
    const struct slice own = S("P-SIPWITCH-");

    if (name.len < own.len || (ascii_lower(name.at[0]) != 'p' && ascii_lower(name.at[0]) != 'r'))
        return false;
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (slice_equal_nocase(name, names[i]))
            return true;
    return slice_equal_nocase(slice_until(name, own.len), own);
}

enum header header_of(struct slice name)
{
    if (name.len == 1 && name.at[0])
        return compact_header(ascii_lower(name.at[0]));
    if (is_assertion(name))
        return HEADER_ASSERTION;
    if (name.len > LONGEST_NAME)
        return HEADER_OTHER;
    for (const uint8_t *header = headers_by_length[name.len]; *header; header++)
        if (slice_equal_nocase(name, header_name(*header)))
            return *header;
    return HEADER_OTHER;
}

/* Where the first CR or LF at or after `at` is, or the end. */
static size_t find_line_end(struct slice bytes, size_t at)
{
#ifdef __SSE2__
    const __m128i cr = _mm_set1_epi8('\r');
    const __m128i lf = _mm_set1_epi8('\n');

    for (; at + 16 <= bytes.len; at += 16) {
        __m128i sixteen = _mm_loadu_si128((const __m128i *)(const void *)(bytes.at + at));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(sixteen, cr), _mm_cmpeq_epi8(sixteen, lf));
        unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask)
            return at + (unsigned)__builtin_ctz(mask);
    }
#endif
    while (at < bytes.len && bytes.at[at] != '\r' && bytes.at[at] != '\n')
        at++;
    return at;
}

static bool is_crlf(struct slice bytes, size_t at)
{
    return at + 2 <= bytes.len && memcmp(bytes.at + at, "\r\n", 2) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static size_t skip_token(struct slice bytes, size_t at)
{
    while (at < bytes.len && token_chars[(unsigned char)bytes.at[at]])
        at++;
    return at;
}

static struct span span_between(size_t start, size_t end)
{
    return (struct span){(uint16_t)start, (uint16_t)(end - start)};
}

static const struct fault bad_start = {400, "Bad Start Line"};

/* SIP-Version SP Status-Code SP Reason-Phrase (7.2). */
static struct fault parse_status_line(struct message *m, size_t at, size_t end)
{
    uint64_t status;

    if (end - at < 4 || m->bytes.at[at + 3] != ' ' ||
        !slice_number(slice_of(m->bytes.at + at, 3), 699, &status) || status < 100)
        return bad_start;
    m->status = (uint16_t)status;
    m->reason = span_between(at + 4, end);
    return NO_FAULT;
}

/* Method SP Request-URI SP SIP-Version (7.1): one space each, none in the URI. */
static struct fault parse_request_line(struct message *m, size_t at, size_t end)
{
    struct slice line = slice_until(m->bytes, end);
    size_t method_end = skip_token(line, at);
    struct slice method = slice_of(line.at + at, method_end - at);
    size_t uri = method_end + 1;
    size_t uri_end;
    struct slice version;

    if (!method.len || uri >= end || line.at[method_end] != ' ')
        return bad_start;
    m->is_request = true;
    m->method = method_of(method);
    m->method_text = span_between(at, method_end);
    uri_end = uri + slice_find(slice_from(line, uri), ' ');
    m->uri = span_between(uri, uri_end);
    if (uri_end == uri || uri_end == end)
        return bad_start;
    version = slice_from(line, uri_end + 1);
    if (slice_equal_nocase(version, S("SIP/2.0")))
        return NO_FAULT;
    if (slice_find(version, ' ') == version.len && version.len > 4 &&
        slice_equal_nocase(slice_until(version, 4), S("SIP/")))
        return (struct fault){505, "Version Not Supported"};
    return bad_start;
}

static struct fault parse_start_line(struct message *m)
{
    const struct slice version = S("SIP/2.0 ");
    size_t at = 0;
    size_t end;

    while (is_crlf(m->bytes, at)) /* 7.5 */
        at += 2;
    end = find_line_end(m->bytes, at);
    if (!is_crlf(m->bytes, end)) {
        m->bytes.len = 0;
        return bad_start;
    }
    m->headers = (uint16_t)(end + 2);
    if (end - at >= version.len &&
        slice_equal_nocase(slice_of(m->bytes.at + at, version.len), version))
        return parse_status_line(m, at + version.len, end);
    return parse_request_line(m, at, end);
}

static void list_field(struct message *m, enum header header, uint8_t index)
{
    uint8_t *last = &m->last[header];

    *(*last ? &m->fields[*last].next : &m->first[header]) = index;
    *last = index;
}

/* The header of a name that is written as the RFC writes it, with the colon right behind, as nearly
 * all are; HEADER_OTHER if it takes a closer look. */
static enum header usual_header(struct slice bytes, size_t at, size_t *colon)
{
#ifdef __SSE2__
    if (at + 16 <= bytes.len) {
        __m128i line = _mm_loadu_si128((const __m128i *)(const void *)(bytes.at + at));
        unsigned colons = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_set1_epi8(':')));
        unsigned len = colons ? (unsigned)__builtin_ctz(colons) : 0;
        for (const uint8_t *header = headers_by_length[len]; *header; header++) {
            __m128i name =
                _mm_loadu_si128((const __m128i *)(const void *)header_names[*header].name);
            unsigned same = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(line, name));
            if (!(~same & ((1u << len) - 1))) {
                *colon = at + len;
                return *header;
            }
        }
    }
#else
    (void)bytes, (void)at, (void)colon;
#endif
    return HEADER_OTHER;
}

/* Name and colon of the field at `at`: where the colon is, or 0 when it is malformed. */
static size_t parse_name(struct slice bytes, size_t at, enum header *header)
{
    size_t colon;
    size_t name_end;

    *header = usual_header(bytes, at, &colon);
    if (*header != HEADER_OTHER)
        return colon;
    name_end = skip_token(bytes, at);
    *header = header_of(slice_of(bytes.at + at, name_end - at));
    for (colon = name_end; colon < bytes.len && is_blank(bytes.at[colon]); colon++)
        ;
    return name_end > at && colon < bytes.len && bytes.at[colon] == ':' ? colon : 0;
}

/* One header field from `at`; returns where the next begins, or 0 when it is malformed. */
static size_t parse_field(struct message *m, size_t at)
{
    struct slice bytes = m->bytes;
    struct field *field = &m->fields[m->field_count + 1];
    enum header header;
    size_t value = parse_name(bytes, at, &header);
    size_t end, next_line;

    if (!value)
        return 0;
    next_line = end = ++value;
    do {
        end = find_line_end(bytes, next_line);
        if (!is_crlf(bytes, end))
            return 0;
        next_line = end + 2;
    } while (next_line < bytes.len && is_blank(bytes.at[next_line])); /* folded: 7.3.1 */

    while (value < end && slice_is_space(bytes.at[value]))
        value++;
    while (end > value && slice_is_space(bytes.at[end - 1]))
        end--;
    field->line = (uint16_t)at;
    field->value = (uint16_t)value;
    field->end = (uint16_t)end;
    field->next_line = (uint16_t)next_line;
    field->header = (uint8_t)header;
    field->next = 0;
    m->field_count++;
    if (header != HEADER_OTHER)
        list_field(m, header, m->field_count);
    return next_line;
}

static struct fault parse_fields(struct message *m)
{
    size_t at = m->headers;

    while (!is_crlf(m->bytes, at)) {
        if (m->field_count == MESSAGE_FIELDS)
            return (struct fault){513, "Too Many Header Fields"};
        at = parse_field(m, at);
        if (!at)
            return (struct fault){400, "Malformed Header Field"};
    }
    m->headers_end = (uint16_t)at;
    m->body = (uint16_t)(at + 2);
    return NO_FAULT;
}

bool cseq_parse(struct slice value, struct cseq *cseq)
{
    size_t digits = 0;
    uint64_t number;

    *cseq = (struct cseq){0};
    if (!value.len)
        return false;
    while (digits < value.len && value.at[digits] >= '0' && value.at[digits] <= '9')
        digits++;
    cseq->method_text = slice_trim(slice_from(value, digits));
    cseq->method = method_of(cseq->method_text);
    if (cseq->method_text.at == value.at + digits || !cseq->method_text.len ||
        skip_token(cseq->method_text, 0) != cseq->method_text.len)
        return false;
    if (!slice_number(slice_until(value, digits), INT32_MAX, &number)) /* 8.1.1.5 */
        return false;
    cseq->number = (uint32_t)number;
    return true;
}

static struct fault check_length(struct message *m)
{
    unsigned field = m->first[HEADER_CONTENT_LENGTH];
    size_t present = m->bytes.len - m->body;
    uint64_t length;

    if (!field)
        return NO_FAULT;
    m->has_length = true;
    if (!slice_number(message_value(m, field), UINT32_MAX, &length))
        return (struct fault){400, "Bad Content-Length"};
    if (m->fields[field].next) /* alike or not: 20.14 knows one, and another may mind the other */
        return (struct fault){400, "Repeated Content-Length"};
    if (length > present)
        return (struct fault){400, "Content-Length Exceeds Message"};
    m->bytes.len = m->body + (size_t)length; /* 18.3: the rest is discarded */
    return NO_FAULT;
}

/* The fields that are there exactly once in every message; Via at least once. */
static struct fault check_mandatory(const struct message *m)
{
    static const struct {
        enum header header;
        const char *missing;
        const char *repeated;
    } rules[] = {
        {HEADER_VIA, "Missing Via", NULL},
        {HEADER_CSEQ, "Missing CSeq", "Repeated CSeq"},
        {HEADER_CALL_ID, "Missing Call-ID", "Repeated Call-ID"},
        {HEADER_FROM, "Missing From", "Repeated From"},
        {HEADER_TO, "Missing To", "Repeated To"},
    };

    for (unsigned i = 0; i < COUNT_OF(rules); i++) {
        unsigned field = m->first[rules[i].header];
        if (!field || m->fields[field].value == m->fields[field].end)
            return (struct fault){400, rules[i].missing};
        if (rules[i].repeated && m->fields[field].next)
            return (struct fault){400, rules[i].repeated};
    }
    unsigned forwards = m->first[HEADER_MAX_FORWARDS];
    if (forwards && m->fields[forwards].next)
        return (struct fault){400, "Repeated Max-Forwards"};
    return NO_FAULT;
}

static struct fault check_cseq(struct message *m)
{
    if (!cseq_parse(message_first(m, HEADER_CSEQ), &m->cseq))
        return (struct fault){400, "Bad CSeq"};
    if (m->is_request && !slice_equal(m->cseq.method_text, message_span(m, m->method_text)))
        return (struct fault){400, "CSeq Method Differs"};
    return NO_FAULT;
}

struct fault message_parse(struct slice bytes, struct message *m)
{
    struct fault line_fault, fault;

    m->bytes = slice_until(bytes, bytes.len > MESSAGE_LIMIT ? MESSAGE_LIMIT : bytes.len);
    m->is_request = m->has_length = false;
    m->field_count = 0;
    m->status = 0;
    m->method = METHOD_OTHER;
    m->method_text = m->uri = m->reason = (struct span){0, 0};
    m->headers = m->headers_end = m->body = 0;
    m->cseq = (struct cseq){0};
    memset(m->first, 0, sizeof m->first);
    memset(m->last, 0, sizeof m->last);

    line_fault = parse_start_line(m);
    if (!m->bytes.len)
        return line_fault;
    fault = parse_fields(m);
    if (!fault.status)
        fault = check_mandatory(m);
    if (!fault.status && !line_fault.status)
        fault = check_cseq(m);
    if (!fault.status)
        fault = check_length(m);
    return line_fault.status ? line_fault : fault;
}

unsigned message_count(const struct message *m, enum header header)
{
    unsigned count = 0;

    for (unsigned i = m->first[header]; i; i = m->fields[i].next)
        count++;
    return count;
}

bool message_has_option(const struct message *m, enum header header, struct slice option)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct slice item;
        while (list_next(&rest, &item))
            if (slice_equal_nocase(item, option))
                return true;
    }
    return false;
}

bool list_next(struct slice *rest, struct slice *item)
{
    bool quoted = false, angled = false;
    size_t i;

    if (!rest->len)
        return false;
    for (i = 0; i < rest->len; i++) {
        char c = rest->at[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '<' || c == '>') {
            angled = c == '<';
        } else if (c == ',' && !angled) {
            break;
        }
    }
    if (i > rest->len)
        i = rest->len;
    *item = slice_trim(slice_until(*rest, i));
    *rest = slice_from(*rest, i < rest->len ? i + 1 : i);
    return true;
}
