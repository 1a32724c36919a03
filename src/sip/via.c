#include "sip/via.h"

#include "sip/grammar.h"

static const struct slice transport_names[TRANSPORT_COUNT] = {
    [TRANSPORT_UDP] = S("UDP"), [TRANSPORT_TCP] = S("TCP"), [TRANSPORT_TLS] = S("TLS"),
    [TRANSPORT_WS] = S("WS"),   [TRANSPORT_WSS] = S("WSS"),
};

struct slice transport_name(enum transport transport)
{
    assert(transport < TRANSPORT_COUNT);
    return transport_names[transport];
}

enum transport transport_of(struct slice name)
{
    for (unsigned i = TRANSPORT_OTHER + 1; i < TRANSPORT_COUNT; i++)
        if (slice_equal_nocase(name, transport_names[i]))
            return i;
    return TRANSPORT_OTHER;
}

/* As nearly all write it; the names are compared where they are constants, which is fast. */
static enum transport usual_transport(struct slice name)
{
    if (slice_equal(name, S("UDP")))
        return TRANSPORT_UDP;
    if (slice_equal(name, S("TCP")))
        return TRANSPORT_TCP;
    return slice_equal(name, S("TLS")) ? TRANSPORT_TLS : transport_of(name);
}

/* sent-protocol LWS: three tokens.  The version is not judged here, for the answer to a version
 * unknown to us goes back by this Via.  0 if it is malformed. */
static size_t parse_protocol(struct slice s, size_t at, struct via *via)
{
    static const struct slice usual = S("SIP/2.0/");
    size_t start, end;

    if (slice_starts(slice_from(s, at), usual)) {
        at += usual.len;
    } else {
        for (unsigned part = 0; part < 2; part++) {
            start = at;
            at = grammar_skip_space(s, grammar_skip(s, at, IN_TOKEN));
            if (at == start || at == s.len || s.at[at] != '/')
                return 0;
            at++;
            at = grammar_skip_space(s, at);
        }
    }
    start = grammar_skip_space(s, at);
    end = grammar_skip(s, start, IN_TOKEN);
    at = grammar_skip_space(s, end);
    via->transport = usual_transport(slice_of(s.at + start, end - start));
    return end > start && at > end ? at : 0;
}

/* host [ COLON port ] and white space behind it; 0 if it is malformed. */
static size_t parse_sent_by(struct slice s, size_t at, struct via *via)
{
    size_t end = grammar_host(s, at);

    if (end == at)
        return 0;
    via->host = slice_of(s.at + at, end - at);
    at = grammar_skip_space(s, end);
    if (at < s.len && s.at[at] == ':') {
        size_t port = grammar_skip_space(s, at + 1);
        at = grammar_port(s, port, &via->port);
        if (at == port)
            return 0;
        at = grammar_skip_space(s, at);
    }
    return at;
}

/* Keeps a parameter that we read.  No name may come twice (7.3.1): who takes the first and who the
 * last would not agree. */
static bool keep_param(struct via *via, struct slice name, struct slice value)
{
    if (grammar_same_word(name, S("branch"))) {
        if (via->branch.at || !value.len || value.at[0] == '"')
            return false;
        via->branch = value;
    } else if (grammar_same_word(name, S("rport"))) {
        uint64_t port;
        if (via->has_rport || (value.len && !slice_number(value, UINT16_MAX, &port)))
            return false;
        via->has_rport = true;
        via->rport = slice_of(name.at, (size_t)(value.at + value.len - name.at));
    } else if (grammar_same_word(name, S("received"))) {
        struct address_bytes address;
        if (via->received.at || !host_numeric(value, &address))
            return false;
        via->received = value;
    }
    return true;
}

bool via_next(struct slice *rest, struct via *via)
{
    struct slice s = *rest;
    size_t start = grammar_skip_space(s, 0);
    size_t at, params;

    *via = (struct via){0};
    at = parse_protocol(s, start, via);
    if (!at)
        return false;
    params = at = parse_sent_by(s, at, via);
    if (!at)
        return false;
    while (at < s.len && s.at[at] == ';') {
        struct slice name, value;
        size_t past = grammar_param(s, at, &name, &value);
        if (past == at || !keep_param(via, name, value))
            return false;
        at = past;
    }
    via->params = grammar_trim_end(slice_of(s.at + params, at - params));
    via->text = grammar_trim_end(slice_of(s.at + start, at - start));
    return grammar_take_comma(s, at, rest);
}
