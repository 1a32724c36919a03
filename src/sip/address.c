#include "sip/address.h"

#include "sip/grammar.h"

/* Past a scheme, its colon and something in the given classes; `at` itself if it is no URI. */
static size_t skip_uri(struct slice s, size_t at, unsigned classes)
{
    size_t colon = grammar_skip(s, at, IN_SCHEME);
    size_t end;

    if (colon == s.len || s.at[colon] != ':' || !grammar_is(s.at[at], IS_ALPHA))
        return at;
    end = grammar_skip(s, colon + 1, classes);
    return end > colon + 1 ? end : at;
}

/* Past a quoted string or tokens and the white space behind.  The last token may touch the '<'
 * (RFC 4475 3.1.1.6). */
static size_t parse_display(struct slice s, size_t at, struct address *address)
{
    size_t start = at;
    size_t end = at;

    if (at < s.len && s.at[at] == '"') {
        end = grammar_quoted_end(s, at + 1);
        if (end == s.len)
            return end;
        at = grammar_skip_space(s, ++end);
    } else {
        while (at < s.len && grammar_is(s.at[at], IN_TOKEN)) {
            end = grammar_skip(s, at, IN_TOKEN);
            at = grammar_skip_space(s, end);
        }
    }
    if (end > start)
        address->display = slice_of(s.at + start, end - start);
    return at;
}

/* Past name-addr, without white space inside the brackets (25.1), or addr-spec; 0 if it is
 * neither. */
static size_t parse_spec(struct slice s, size_t at, struct address *address)
{
    size_t end = skip_uri(s, at, IN_BARE);

    if (end > at) {
        address->uri = slice_of(s.at + at, end - at);
        return end;
    }
    at = parse_display(s, at, address);
    if (at == s.len || s.at[at] != '<')
        return 0;
    end = skip_uri(s, ++at, IN_URI);
    if (end == at || end == s.len || s.at[end] != '>')
        return 0;
    address->uri = slice_of(s.at + at, end - at);
    return end + 1;
}

/* The header's parameters; 0 if they are malformed.  A second tag is refused (7.3.1): who takes the
 * first and who the last would not agree on the dialog. */
static size_t parse_params(struct slice s, size_t at, struct slice *tag)
{
    while (at < s.len && s.at[at] == ';') {
        struct slice name = NO_SLICE, value = NO_SLICE;
        size_t past = grammar_param(s, at, &name, &value);
        bool is_tag = past > at && grammar_same_word(name, S("tag"));
        if (past == at || (is_tag && tag->at))
            return 0;
        if (is_tag) /* a token: without a value or quoted it is none */
            *tag = value.len && value.at[0] == '"' ? slice_of(value.at, 0) : value;
        at = past;
    }
    return at;
}

static bool parse_address(struct slice *rest, struct address *address, struct slice *tag)
{
    struct slice s = *rest;
    size_t start = grammar_skip_space(s, 0);
    size_t at, params;

    *address = (struct address){0};
    *tag = NO_SLICE;
    at = parse_spec(s, start, address);
    if (!at)
        return false;
    params = grammar_skip_space(s, at);
    at = parse_params(s, params, tag);
    if (!at)
        return false;
    address->params = grammar_trim_end(slice_of(s.at + params, at - params));
    address->text = grammar_trim_end(slice_of(s.at + start, at - start));
    return grammar_take_comma(s, at, rest);
}

bool address_next(struct slice *rest, struct address *address)
{
    struct slice tag;

    return parse_address(rest, address, &tag);
}

bool address_parse(struct slice value, struct address *address, struct slice *tag)
{
    return parse_address(&value, address, tag) && !value.len;
}

struct slice address_tag(struct slice value)
{
    struct address address;
    struct slice tag;

    return address_parse(value, &address, &tag) ? tag : NO_SLICE;
}

/* ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ) (25.1) */
bool qvalue_parse(struct slice text, unsigned *thousandths)
{
    unsigned unit = 1000;
    unsigned n;

    if (!text.len || text.len > 5 || (text.at[0] != '0' && text.at[0] != '1') ||
        (text.len > 1 && text.at[1] != '.'))
        return false;
    n = text.at[0] == '1' ? unit : 0;
    for (size_t at = 2; at < text.len; at++) {
        if (!grammar_is(text.at[at], IS_DIGIT))
            return false;
        unit /= 10;
        n += unit * (unsigned)(text.at[at] - '0');
    }
    if (n > 1000)
        return false;
    *thousandths = n;
    return true;
}
