#include "sip/uri.h"

#include "sip/grammar.h"

/* URIs with more parameters or headers are compared byte by byte, for comparing them as 19.1.4
 * says takes the square of their number. */
#define COMPARED_LIMIT 32u

enum {
    UNRESERVED = IN_USER | IN_PASSWORD | IN_PARAM | IN_HEADER | IN_URI | IN_BARE,
    DELIMITER = IN_URI | IS_RESERVED,
    RESERVED = DELIMITER | IN_BARE,
    DIGITS = UNRESERVED | IN_TOKEN | IN_SCHEME | IN_LABEL | IS_DIGIT | IS_HEX,
    LETTERS = UNRESERVED | IN_TOKEN | IN_SCHEME | IN_LABEL | IS_ALPHA,
};

/* clang-format off */
const uint16_t grammar_classes[256] = {
    ['0' ... '9'] = DIGITS,
    ['A' ... 'F'] = LETTERS | IS_HEX,
    ['G' ... 'Z'] = LETTERS,
    ['a' ... 'f'] = LETTERS | IS_HEX,
    ['g' ... 'z'] = LETTERS,
    ['-'] = UNRESERVED | IN_TOKEN | IN_SCHEME | IN_LABEL,
    ['.'] = UNRESERVED | IN_TOKEN | IN_SCHEME,
    ['_'] = UNRESERVED | IN_TOKEN,
    ['!'] = UNRESERVED | IN_TOKEN,
    ['~'] = UNRESERVED | IN_TOKEN,
    ['*'] = UNRESERVED | IN_TOKEN,
    ['\''] = UNRESERVED | IN_TOKEN,
    ['('] = UNRESERVED,
    [')'] = UNRESERVED,
    ['`'] = IN_TOKEN,
    ['%'] = IN_TOKEN | IN_URI | IN_BARE,
    ['+'] = RESERVED | IN_USER | IN_PASSWORD | IN_PARAM | IN_HEADER | IN_TOKEN | IN_SCHEME,
    ['$'] = RESERVED | IN_USER | IN_PASSWORD | IN_PARAM | IN_HEADER,
    ['&'] = RESERVED | IN_USER | IN_PASSWORD | IN_PARAM,
    ['='] = RESERVED | IN_USER | IN_PASSWORD,
    [','] = DELIMITER | IN_USER | IN_PASSWORD,
    [';'] = DELIMITER | IN_USER,
    ['?'] = DELIMITER | IN_USER | IN_HEADER,
    ['/'] = RESERVED | IN_USER | IN_PARAM | IN_HEADER,
    [':'] = RESERVED | IN_PARAM | IN_HEADER,
    ['@'] = RESERVED,
    ['['] = IN_URI | IN_BARE | IN_PARAM | IN_HEADER,
    [']'] = IN_URI | IN_BARE | IN_PARAM | IN_HEADER,
};
/* clang-format on */

size_t grammar_host(struct slice s, size_t at)
{
    size_t start = at;
    size_t top = at;
    struct address_bytes address;

    if (at == s.len)
        return start;
    if (s.at[at] == '[') {
        size_t end = at + slice_find(slice_from(s, at), ']');
        return end < s.len && host_numeric(slice_of(s.at + at, end + 1 - at), &address) ? end + 1
                                                                                        : start;
    }
    if (grammar_is(s.at[at], IS_DIGIT)) {
        size_t end = ipv4_parse(s, at, address.at);
        if (end > at && (end == s.len || (s.at[end] != '.' && !grammar_is(s.at[end], IN_LABEL))))
            return end;
    }
    do {
        size_t label = at;
        at = grammar_skip(s, at, IN_LABEL);
        if (at == label)
            break; /* behind the dot that may end a host name */
        if (s.at[label] == '-' || s.at[at - 1] == '-')
            return start;
        top = label;
    } while (at < s.len && s.at[at] == '.' && ++at);
    return at > start && grammar_is(s.at[top], IS_ALPHA) ? at : start;
}

bool host_valid(struct slice host)
{
    return host.len && grammar_host(host, 0) == host.len;
}

static enum scheme scheme_of(struct slice name)
{
    if (grammar_same_word(name, S("sip")))
        return SCHEME_SIP;
    if (grammar_same_word(name, S("sips")))
        return SCHEME_SIPS;
    return grammar_same_word(name, S("tel")) ? SCHEME_TEL : SCHEME_OTHER;
}

/* Past the '@', if there is one: it is allowed nowhere else, so the first one ends the userinfo.
 * s.len when the userinfo is malformed. */
static size_t parse_userinfo(struct slice s, size_t at, struct uri *uri)
{
    size_t end = at + slice_find(slice_from(s, at), '@');
    struct slice text = slice_until(s, end);
    size_t past;

    if (end == s.len)
        return at;
    past = grammar_skip_escaped(text, at, IN_USER);
    uri->user = slice_of(s.at + at, past - at);
    if (past < end && s.at[past] == ':') {
        size_t password = past + 1;
        past = grammar_skip_escaped(text, password, IN_PASSWORD);
        uri->password = slice_of(s.at + password, past - password);
    }
    return past == end && uri->user.len ? end + 1 : s.len;
}

/* *( ";" pname [ "=" pvalue ] ); stops at the ';' of a malformed one. */
static size_t parse_params(struct slice s, size_t at)
{
    while (at < s.len && s.at[at] == ';') {
        size_t name = at + 1;
        size_t past = grammar_skip_escaped(s, name, IN_PARAM);
        if (past == name)
            return at;
        if (past < s.len && s.at[past] == '=') {
            size_t value = past + 1;
            past = grammar_skip_escaped(s, value, IN_PARAM);
            if (past == value)
                return at;
        }
        at = past;
    }
    return at;
}

/* header *( "&" header ) up to the end of the URI. */
static bool headers_valid(struct slice s)
{
    for (size_t at = 0;; at++) {
        size_t name = at;
        at = grammar_skip_escaped(s, at, IN_HEADER);
        if (at == name || at == s.len || s.at[at] != '=')
            return false;
        at = grammar_skip_escaped(s, at + 1, IN_HEADER);
        if (at == s.len)
            return true;
        if (s.at[at] != '&')
            return false;
    }
}

bool uri_parse(struct slice text, struct uri *uri)
{
    size_t at = grammar_skip(text, 0, IN_SCHEME);
    size_t host, params;

    *uri = (struct uri){.text = text};
    if (at == text.len || text.at[at] != ':' || !grammar_is(text.at[0], IS_ALPHA))
        return false;
    uri->scheme = scheme_of(slice_until(text, at++));
    if (uri->scheme == SCHEME_TEL)
        uri->user = slice_of(text.at + at, slice_find(slice_from(text, at), ';'));
    if (uri->scheme > SCHEME_SIPS)
        return true;
    host = parse_userinfo(text, at, uri);
    at = grammar_host(text, host);
    if (at == host)
        return false;
    uri->host = slice_of(text.at + host, at - host);
    if (at < text.len && text.at[at] == ':') {
        size_t port = at + 1;
        at = grammar_port(text, port, &uri->port);
        if (at == port)
            return false;
    }
    params = at;
    at = parse_params(text, at);
    uri->params = slice_of(text.at + params, at - params);
    if (at == text.len)
        return true;
    uri->headers = slice_from(text, at + 1);
    return text.at[at] == '?' && headers_valid(uri->headers);
}

#define ENCODED 0x100u

/* The next character of a text, its escape decoded.  A reserved character is not equivalent to its
 * escape (19.1.4), which the ENCODED bit tells apart. */
static unsigned next_char(struct slice s, size_t *at)
{
    unsigned c = (unsigned char)s.at[*at];

    if (c == '%' && s.len - *at > 2) {
        int high = hex_digit(s.at[*at + 1]);
        int low = hex_digit(s.at[*at + 2]);
        if (high >= 0 && low >= 0) {
            *at += 3;
            c = (unsigned)(high << 4 | low);
            return grammar_is((char)c, IS_RESERVED) ? c | ENCODED : c;
        }
    }
    ++*at;
    return c;
}

bool uri_text_equal(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

    while (i < a.len && j < b.len)
        if ((next_char(a, &i) & 0xff) != (next_char(b, &j) & 0xff))
            return false;
    return i == a.len && j == b.len;
}

static bool equivalent(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

    while (i < a.len && j < b.len)
        if (next_char(a, &i) != next_char(b, &j))
            return false;
    return i == a.len && j == b.len;
}

static unsigned fold_case(unsigned c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool equivalent_nocase(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

    while (i < a.len && j < b.len)
        if (fold_case(next_char(a, &i)) != fold_case(next_char(b, &j)))
            return false;
    return i == a.len && j == b.len;
}

void uri_unescape(struct writer *w, struct slice text)
{
    for (size_t at = 0; at < text.len;) {
        bool is_escape = text.at[at] == '%';
        size_t start = at;
        unsigned c = next_char(text, &at);
        if (is_escape && (at - start != 3 || (c & 0xff) == 0))
            w->failed = true;
        write_char(w, (char)c);
    }
}

void uri_escape(struct writer *w, struct slice text)
{
    for (size_t at = 0; at < text.len; at++) {
        if (grammar_is(text.at[at], IN_USER)) {
            write_char(w, text.at[at]);
        } else {
            write_char(w, '%');
            write_hex(w, (uint8_t)text.at[at], 2);
        }
    }
}

bool param_next(struct slice *rest, struct slice *name, struct slice *value)
{
    size_t at = grammar_skip_space(*rest, 0);
    size_t past;

    if (!rest->len || (at < rest->len && rest->at[at] != ';'))
        return false;
    past = at < rest->len ? grammar_param(*rest, at, name, value) : at;
    if (past == at && at < rest->len)
        return false;
    *rest = slice_from(*rest, past);
    return past > at;
}

bool param_find(struct slice params, struct slice name, struct slice *value)
{
    struct slice found;

    while (param_next(&params, &found, value))
        if (slice_equal_nocase(found, name))
            return true;
    return false;
}

bool uri_param(const struct uri *uri, struct slice name, struct slice *value)
{
    struct slice params = uri->params;
    struct slice found;

    while (param_next(&params, &found, value))
        if (equivalent_nocase(found, name))
            return true;
    return false;
}

static bool hosts_equal(struct slice a, struct slice b)
{
    struct address_bytes x, y;

    if (slice_equal_nocase(a, b))
        return true;
    /* The same IPv6 address can be written in several ways (RFC 5954 4.2). */
    return a.len && b.len && a.at[0] == '[' && b.at[0] == '[' && host_numeric(a, &x) &&
           host_numeric(b, &y) && memcmp(x.at, y.at, sizeof x.at) == 0;
}

static unsigned count_params(struct slice params)
{
    struct slice name, value;
    unsigned count = 0;

    while (param_next(&params, &name, &value))
        count++;
    return count;
}

static bool param_counts(struct slice name)
{
    static const struct slice names[] = {S("user"), S("ttl"), S("method"), S("maddr"),
                                         S("transport")};

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (equivalent_nocase(name, names[i]))
            return true;
    return false;
}

/* Each parameter of `a` has the same value in `b`; a missing one matters only if it counts. */
static bool params_agree(const struct uri *a, const struct uri *b)
{
    struct slice rest = a->params;
    struct slice name, value, other;

    while (param_next(&rest, &name, &value))
        if (uri_param(b, name, &other) ? !equivalent_nocase(value, other) : param_counts(name))
            return false;
    return true;
}

static bool params_equal(const struct uri *a, const struct uri *b)
{
    if (slice_equal(a->params, b->params))
        return true;
    if (count_params(a->params) > COMPARED_LIMIT || count_params(b->params) > COMPARED_LIMIT)
        return false;
    return params_agree(a, b) && params_agree(b, a);
}

/* Takes "name=value" and the '&' behind it off a URI's headers. */
static bool header_next(struct slice *rest, struct slice *name, struct slice *value)
{
    size_t end = slice_find(*rest, '&');
    struct slice header = slice_until(*rest, end);
    size_t equals = slice_find(header, '=');

    if (equals == header.len)
        return false;
    *name = slice_until(header, equals);
    *value = slice_from(header, equals + 1);
    *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
    return true;
}

static unsigned count_headers(struct slice headers)
{
    struct slice name, value;
    unsigned count = 0;

    while (header_next(&headers, &name, &value))
        count++;
    return count;
}

static unsigned count_header(struct slice headers, struct slice name, struct slice value)
{
    struct slice found, text;
    unsigned count = 0;

    while (header_next(&headers, &found, &text))
        count += equivalent_nocase(found, name) && equivalent_nocase(text, value);
    return count;
}

static bool headers_equal(struct slice a, struct slice b)
{
    struct slice rest = a;
    struct slice name, value;
    unsigned count;

    if (slice_equal(a, b))
        return true;
    count = count_headers(a);
    if (count > COMPARED_LIMIT || count != count_headers(b))
        return false;
    while (header_next(&rest, &name, &value))
        if (count_header(a, name, value) != count_header(b, name, value))
            return false;
    return true;
}

/* A component that is missing does not match one that is empty. */
static bool component_equal(struct slice a, struct slice b)
{
    return !a.at == !b.at && equivalent(a, b);
}

static bool opaque_equal(struct slice a, struct slice b)
{
    size_t colon = slice_find(a, ':');

    return a.len == b.len && slice_equal(slice_from(a, colon), slice_from(b, colon)) &&
           slice_equal_nocase(slice_until(a, colon), slice_until(b, colon));
}

bool uri_equal(const struct uri *a, const struct uri *b)
{
    if (a->scheme != b->scheme)
        return false;
    if (a->scheme > SCHEME_SIPS)
        return opaque_equal(a->text, b->text);
    return a->port == b->port && component_equal(a->user, b->user) &&
           component_equal(a->password, b->password) && hosts_equal(a->host, b->host) &&
           params_equal(a, b) && headers_equal(a->headers, b->headers);
}
