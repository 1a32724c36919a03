#include "core/forward.h"

#include "core/caller.h"
#include "core/connection.h"
#include "core/fellow.h"
#include "core/outside.h"
#include "core/realm.h"
#include "core/session.h"
#include "sip/address.h"
#include "sip/compose.h"

/* A forwarded request's texts of our own, built beside it; the splice points into them. */
#define TEXT_LIMIT (1056u + 2 * COOKIE_DOMAINS + CALLER_FIELD)
#define LENGTH_TEXT 8u /* a Content-Length */

static struct slice text_since(const struct writer *w, size_t start)
{
    return slice_of(w->at + start, w->len - start);
}

static bool host_is_source(struct slice host, const struct flow *flow)
{
    struct address_bytes address;

    return host_numeric(host, &address) && address.is_v6 == flow->is_v6 &&
           memcmp(address.at, flow->address, flow->is_v6 ? 16 : 4) == 0;
}

void stamp_via(struct splice *s, const struct request *req, size_t origin, char *text)
{
    struct writer w = writer_over(text, VIA_STAMP_TEXT);
    const char *base = req->message.bytes.at + origin;
    const struct via *via = &req->via;

    if (via->has_rport) {
        write_slice(&w, S("rport="));
        write_number(&w, req->flow.port);
        splice_add(s, (size_t)(via->rport.at - base), via->rport.len, writer_slice(&w));
    }
    if (via->has_rport || !host_is_source(via->host, &req->flow)) {
        size_t start = w.len;
        struct address_bytes source = {.is_v6 = req->flow.is_v6};
        memcpy(source.at, req->flow.address, sizeof source.at);
        write_slice(&w, S(";received="));
        write_address(&w, &source);
        struct slice received = text_since(&w, start);
        if (via->received.at) { /* what the sender claims: 18.2.1 lets only us say it */
            size_t head = sizeof ";received=" - 1;
            splice_add(s, (size_t)(via->received.at - base), via->received.len,
                       slice_from(received, head));
        } else {
            splice_add(s, (size_t)(via->text.at + via->text.len - base), 0, received);
        }
    }
    assert(!w.failed);
}

uint32_t forward_loop(const struct core *core, const struct request *req)
{
    const struct message *m = &req->message;
    char bytes[2048];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_slice(&w, message_span(m, m->uri));
    write_slice(&w, S("\r"));
    write_slice(&w, message_first(m, HEADER_ROUTE));
    write_slice(&w, S("\r"));
    write_slice(&w, req->from_tag);
    write_slice(&w, S("\r"));
    write_slice(&w, req->to_tag);
    write_slice(&w, S("\r"));
    write_slice(&w, req->call_id);
    write_u32(&w, req->cseq.number);
    write_slice(&w, message_first(m, HEADER_PROXY_REQUIRE));
    return (uint32_t)hash_bytes(&core->key_loop, writer_slice(&w));
}

/* The socket of a flow, by the name that its peer knows it by. */
static void write_socket(struct writer *w, const struct core *core, const struct flow *flow)
{
    const struct socket_settings *socket = &core->settings->sockets[flow->socket];
    struct slice outside = outside_name(core, flow);

    write_slice(w, outside.len ? outside : socket->host);
    write_char(w, ':');
    write_number(w, socket->port);
}

void forward_via(struct writer *w, const struct core *core, const struct flow *flow,
                 const struct branch *branch)
{
    const struct socket_settings *socket = &core->settings->sockets[flow->socket];

    write_slice(w, S("Via: SIP/2.0/"));
    write_slice(w, transport_name(socket->transport));
    write_char(w, ' ');
    write_socket(w, core, flow);
    write_slice(w, S(";branch="));
    branch_write(w, &core->key_branch, branch);
    if (flow_is_secure(flow) && connection_is_ours(core, flow))
        write_slice(w, S(";alias")); /* RFC 5923 8.1: whoever is there may ask us by it */
    write_slice(w, S("\r\n"));
}

/* What a URI says of the way to that socket; sips: says TLS by itself. */
static struct slice transport_param(enum transport transport, bool is_sips)
{
    static const struct slice params[TRANSPORT_COUNT] = {
        [TRANSPORT_TCP] = S(";transport=tcp"),
        [TRANSPORT_TLS] = S(";transport=tls"),
        [TRANSPORT_WS] = S(";transport=ws"),
        [TRANSPORT_WSS] = S(";transport=ws"), /* it is TLS by its port (RFC 7118 5.2) */
    };

    return is_sips && transport == TRANSPORT_TLS ? NO_SLICE : params[transport];
}

/* 16.6 step 4: of a sips: request it is sips:, too. */
static void write_record_route(struct writer *w, const struct core *core, const struct flow *flow,
                               bool is_sips, struct slice cookie)
{
    const struct socket_settings *ours = &core->settings->sockets[flow->socket];

    write_slice(w, is_sips ? S("Record-Route: <sips:") : S("Record-Route: <sip:"));
    write_slice(w, cookie);
    write_char(w, '@');
    write_socket(w, core, flow);
    write_slice(w, transport_param(ours->transport, is_sips));
    write_slice(w, S(";lr>\r\n"));
}

/* Both ends know us by one name. */
static bool is_one_side(const struct core *core, const struct flow *a, const struct flow *b)
{
    return a->socket == b->socket && !outside_name(core, a).len == !outside_name(core, b).len;
}

/* One Record-Route, or two where the request changes sides (RFC 5658): the one towards the next
 * hop on top. */
static void write_record_routes(struct writer *w, const struct core *core,
                                const struct request *req, const struct forwarding *to)
{
    char text[COOKIE_TEXT];
    struct writer c = writer_over(text, sizeof text);
    struct cookie cookie = {
        .caller = {.binding = req->caller, .flow = req->flow},
        .callee = {to->binding, to->flow, to->domain, to->policy},
    };
    bool is_sips = req->uri.scheme == SCHEME_SIPS;

    if (!req->caller)
        caller_demand(core, req, &cookie.caller);
    cookie_write(&c, &core->key_cookie, &cookie, req->call_id, req->from_tag);
    write_record_route(w, core, &to->flow, is_sips, writer_slice(&c));
    if (!is_one_side(core, &to->flow, &req->flow))
        write_record_route(w, core, &req->flow, is_sips, writer_slice(&c));
}

/* Methods that make a route set (12.1, RFC 6665 4.4.1, RFC 3515). */
static bool makes_dialog(const struct request *req)
{
    enum method method = req->message.method;

    return !req->to_tag.len && (method == METHOD_INVITE || method == METHOD_SUBSCRIBE ||
                                method == METHOD_REFER || method == METHOD_NOTIFY);
}

static void replace_value(struct splice *s, const struct message *m, unsigned field,
                          struct slice value)
{
    const struct field *f = &m->fields[field];

    splice_add(s, f->value, (size_t)(f->end - f->value), value);
}

static void remove_field(struct splice *s, const struct message *m, unsigned field)
{
    const struct field *f = &m->fields[field];

    splice_add(s, f->line, (size_t)(f->next_line - f->line), NO_SLICE);
}

/* All fields of a header; neighbours in one edit. */
static void remove_fields(struct splice *s, const struct message *m, enum header header)
{
    unsigned i = m->first[header];

    while (i) {
        uint16_t from = m->fields[i].line;
        uint16_t to = m->fields[i].next_line;
        for (i = m->fields[i].next; i && m->fields[i].line == to; i = m->fields[i].next)
            to = m->fields[i].next_line;
        splice_add(s, from, (size_t)(to - from), NO_SLICE);
    }
}

/* What is left of a Route field's values once the first `count` are gone, which are counted down,
 * and, if it is asked for, the last one. */
static struct slice remaining_routes(struct slice value, unsigned *count, struct slice *last)
{
    struct slice rest = value;
    struct slice left, before;
    struct address route;

    while (*count && rest.len && address_next(&rest, &route))
        (*count)--;
    left = before = rest;
    if (!last)
        return left;
    while (rest.len) {
        before = rest;
        if (!address_next(&rest, &route))
            break;
        *last = route.uri;
    }
    left.len = (size_t)(before.at - left.at);
    while (left.len && left.at[--left.len] != ',') /* it goes too */
        ;
    return left;
}

/* Takes all but `left` of a field's value away, the field where nothing is left.  One that has no
 * value stays: there may be any number of those. */
static void keep_routes(struct splice *s, const struct message *m, unsigned field,
                        struct slice left)
{
    struct slice value = message_value(m, field);
    size_t before = (size_t)(left.at - value.at);
    size_t end = before + left.len;

    if (left.len == value.len)
        return;
    if (!left.len) {
        remove_field(s, m, field);
        return;
    }
    if (before)
        splice_add(s, m->fields[field].value, before, NO_SLICE);
    if (end < value.len)
        splice_add(s, m->fields[field].value + end, value.len - end, NO_SLICE);
}

/* 16.4: the first values of Route, which are ours, come off; and if a strict router sent this, the
 * last, which is returned: it is the Request-URI.  Before another strict router it stays there, and
 * one more of the first comes off (16.6 step 6). */
static struct slice edit_routes(struct splice *s, const struct request *req)
{
    const struct message *m = &req->message;
    unsigned count = req->own_routes + req->next_is_strict;
    bool takes_last = req->is_strict && !req->next_is_strict;
    struct slice target = NO_SLICE;

    for (unsigned i = m->first[HEADER_ROUTE]; i && (count || takes_last); i = m->fields[i].next) {
        bool has_target = takes_last && i == m->last[HEADER_ROUTE];
        keep_routes(s, m, i,
                    remaining_routes(message_value(m, i), &count, has_target ? &target : NULL));
    }
    return target;
}

/* 16.6 step 6: what a strict router puts back into the Request-URI when it has gone through. */
static void add_last_route(struct splice *s, const struct message *m, struct slice uri)
{
    size_t at = m->fields[m->last[HEADER_ROUTE]].next_line;

    splice_add(s, at, 0, S("Route: <"));
    splice_add(s, at, 0, uri);
    splice_add(s, at, 0, S(">\r\n"));
}

/* The way to a binding that registered through other proxies (RFC 3327 5.4). */
static void add_path(struct splice *s, const struct message *m, struct slice path)
{
    size_t at = m->fields[m->first[HEADER_VIA]].line;

    if (!path.len)
        return;
    splice_add(s, at, 0, S("Route: "));
    splice_add(s, at, 0, path);
    splice_add(s, at, 0, S("\r\n"));
}

static void edit_max_forwards(struct splice *s, const struct request *req, struct writer *w)
{
    const struct message *m = &req->message;
    unsigned field = m->first[HEADER_MAX_FORWARDS];
    size_t start = w->len;

    if (field) {
        write_number(w, req->max_forwards - 1);
        replace_value(s, m, field, text_since(w, start));
        return;
    }
    write_slice(w, S("Max-Forwards: "));
    write_number(w, req->max_forwards);
    write_slice(w, S("\r\n"));
    splice_add(s, m->headers_end, 0, text_since(w, start));
}

static void edit_max_breadth(struct splice *s, const struct request *req, uint32_t breadth,
                             struct writer *w)
{
    const struct message *m = &req->message;
    unsigned field = m->first[HEADER_MAX_BREADTH];
    size_t start = w->len;

    if (!breadth)
        return;
    if (field) {
        write_number(w, breadth);
        replace_value(s, m, field, text_since(w, start));
        return;
    }
    write_slice(w, S("Max-Breadth: "));
    write_number(w, breadth);
    write_slice(w, S("\r\n"));
    splice_add(s, m->headers_end, 0, text_since(w, start));
}

/* What a phone is told of a caller from outside. */
static void add_caller(struct splice *s, const struct request *req, struct writer *w)
{
    size_t start = w->len;

    caller_write_field(w, req);
    if (w->len > start)
        splice_add(s, req->message.headers_end, 0, text_since(w, start));
}

/* What another node is told of who begins something. */
static void add_node(struct splice *s, const struct core *core, const struct request *req,
                     const struct forwarding *to, struct slice uri, struct writer *w)
{
    size_t start = w->len;

    if (!to->binding)
        fellow_write_field(w, core, req, &to->flow, uri);
    if (w->len > start)
        splice_add(s, req->message.headers_end, 0, text_since(w, start));
}

static void edit_description(struct splice *s, const struct message *m, const struct description *d,
                             struct writer *w)
{
    unsigned field = m->first[HEADER_CONTENT_LENGTH];
    size_t start = w->len;

    if (!d->text.len)
        return;
    splice_add(s, d->at.at, d->at.len, d->text);
    if (!field)
        return; /* a datagram's end is that of its message */
    write_number(w, m->bytes.len - m->body - d->at.len + d->text.len);
    replace_value(s, m, field, text_since(w, start));
}

struct slice forward_request(struct core *core, const struct request *req,
                             const struct forwarding *to, struct actions *out)
{
    const struct message *m = &req->message;
    struct splice s = {.count = 0};
    char text[TEXT_LIMIT];
    char stamp[VIA_STAMP_TEXT];
    struct writer w = writer_over(text, sizeof text);
    size_t start = out->bytes.len;
    struct slice uri = edit_routes(&s, req);
    struct branch branch = {.transaction = to->transaction, .loop = forward_loop(core, req)};

    if (!uri.len)
        uri = to->uri;
    if (req->next_is_strict && !req->is_strict)
        add_last_route(&s, m, uri.len ? uri : message_span(m, m->uri));
    if (req->next_is_strict)
        uri = req->foreign_route;
    if (uri.len)
        splice_add(&s, m->uri.at, m->uri.len, uri);
    forward_via(&w, core, &to->flow, &branch);
    if (makes_dialog(req))
        write_record_routes(&w, core, req, to);
    splice_add(&s, m->fields[m->first[HEADER_VIA]].line, 0, writer_slice(&w));
    add_path(&s, m, to->path);
    stamp_via(&s, req, 0, stamp);
    edit_max_forwards(&s, req, &w);
    edit_max_breadth(&s, req, to->max_breadth, &w);
    if (m->method == METHOD_INVITE || m->first[HEADER_SESSION_EXPIRES])
        session_edit_request(&s, core, m, &w);
    edit_description(&s, m, &to->description, &w);
    remove_fields(&s, m, HEADER_ASSERTION); /* every phone is untrusted (RFC 3325 5) */
    add_caller(&s, req, &w);
    add_node(&s, core, req, to, uri, &w);
    for (unsigned i = m->first[HEADER_PROXY_AUTHORIZATION]; i; i = m->fields[i].next)
        if (s.count < EDIT_LIMIT - 2 && realm_is_ours(core, message_value(m, i)))
            remove_field(&s, m, i); /* said to us, and no one else's to see (22.3) */
    /* Last: nothing that it covers is changed, here or by what stands above (RFC 8224 6.1). */
    if (to->signature.len)
        splice_add(&s, m->headers_end, 0, to->signature);
    if (to->diversion.len)
        splice_add(&s, m->headers_end, 0, to->diversion);
    assert(!w.failed);
    splice_write(&out->bytes, m->bytes, &s);
    return text_since(&out->bytes, start);
}

struct slice forward_response(const struct message *m, const struct description *description,
                              uint32_t session, struct slice line, struct actions *out)
{
    char text[SESSION_TEXT + LENGTH_TEXT];
    struct writer w = writer_over(text, sizeof text);
    const struct field *f = &m->fields[m->first[HEADER_VIA]];
    struct slice value = message_value(m, m->first[HEADER_VIA]);
    struct slice rest = value;
    struct splice s = {.count = 0};
    size_t start = out->bytes.len;
    struct via via;

    if (m->status == 503)
        splice_add(&s, (size_t)m->reason.at - 4, m->reason.len + 4u,
                   S("500 Server Internal Error"));
    /* Nearly always it is alone in its field. */
    if (slice_find(value, ',') < value.len && via_next(&rest, &via) && rest.len)
        splice_add(&s, f->value, value.len - rest.len, NO_SLICE);
    else
        splice_add(&s, f->line, (size_t)(f->next_line - f->line), NO_SLICE);
    remove_fields(&s, m, HEADER_ASSERTION);
    session_edit_response(&s, m, session, &w);
    edit_description(&s, m, description, &w);
    if (line.len)
        splice_add(&s, m->headers_end, 0, line);
    splice_write(&out->bytes, m->bytes, &s);
    return text_since(&out->bytes, start);
}

static void copy_field(struct writer *w, const struct message *m, unsigned field)
{
    const struct field *f = &m->fields[field];

    write_bytes(w, m->bytes.at + f->line, (size_t)(f->next_line - f->line));
}

struct slice forward_trying(struct slice request, struct actions *out)
{
    static const enum header copied[] = {HEADER_FROM, HEADER_TO, HEADER_CALL_ID, HEADER_CSEQ};
    struct writer *w = &out->bytes;
    size_t start = w->len;
    struct message m;
    struct fault fault = message_parse(request, &m);

    assert(!fault.status); /* it is our own */
    write_slice(w, S("SIP/2.0 100 Trying\r\n"));
    for (unsigned i = m.fields[m.first[HEADER_VIA]].next; i; i = m.fields[i].next)
        copy_field(w, &m, i); /* all but ours, which is alone in its field */
    for (unsigned i = 0; i < COUNT_OF(copied); i++)
        copy_field(w, &m, m.first[copied[i]]);
    write_slice(w, S("Content-Length: 0\r\n\r\n"));
    assert(!w->failed);
    return text_since(w, start);
}

static void write_line(struct writer *w, enum header header, struct slice value)
{
    write_slice(w, header_name(header));
    write_slice(w, S(": "));
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

/* A request within the transaction of another: its Request-URI, topmost Via, Route, From, Call-ID
 * and CSeq number. */
static struct slice write_companion(struct slice request, struct slice method, struct slice to,
                                    struct slice reason, struct actions *out)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;
    struct message m;
    struct fault fault = message_parse(request, &m);
    struct cseq cseq = {0};
    struct via via = {0};
    struct slice rest = message_first(&m, HEADER_VIA);

    assert(!fault.status); /* it is our own */
    via_next(&rest, &via);
    cseq_parse(message_first(&m, HEADER_CSEQ), &cseq);
    write_slice(w, method);
    write_char(w, ' ');
    write_slice(w, message_span(&m, m.uri));
    write_slice(w, S(" SIP/2.0\r\n"));
    write_line(w, HEADER_VIA, via.text);
    for (unsigned i = m.first[HEADER_ROUTE]; i; i = m.fields[i].next)
        copy_field(w, &m, i);
    write_slice(w, S("Max-Forwards: 70\r\n"));
    copy_field(w, &m, m.first[HEADER_FROM]);
    write_line(w, HEADER_TO, to.at ? to : message_first(&m, HEADER_TO));
    copy_field(w, &m, m.first[HEADER_CALL_ID]);
    write_slice(w, S("CSeq: "));
    write_number(w, cseq.number);
    write_char(w, ' ');
    write_slice(w, method);
    write_slice(w, S("\r\n"));
    if (reason.len)
        write_line(w, HEADER_REASON, reason);
    write_slice(w, S("Content-Length: 0\r\n\r\n"));
    assert(!w->failed);
    return text_since(w, start);
}

struct slice forward_ack(struct slice request, const struct message *response, struct actions *out)
{
    return write_companion(request, S("ACK"), message_first(response, HEADER_TO), NO_SLICE, out);
}

struct slice forward_cancel(struct slice request, struct slice reason, struct actions *out)
{
    return write_companion(request, S("CANCEL"), NO_SLICE, reason, out);
}
