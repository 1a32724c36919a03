#include "sim/letter.h"

#include "sip/address.h"

#include <stdarg.h>
#include <stdio.h>

void put(struct writer *w, const char *format, ...)
{
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(w->at + w->len, w->limit - w->len, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= w->limit - w->len)
        w->failed = true;
    else
        w->len += (size_t)len;
}

void put_field(struct writer *w, const char *name, struct slice value)
{
    write_slice(w, slice_text(name));
    write_slice(w, S(": "));
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

/* What a body is, if the letter does not say. */
static struct slice type_of(struct slice body)
{
    return slice_starts(body, S("v=0")) ? S("application/sdp") : S("text/plain");
}

static void put_body(struct writer *w, struct slice type, struct slice body)
{
    if (body.len)
        put_field(w, "Content-Type", type.len ? type : type_of(body));
    put(w, "Content-Length: %zu\r\n\r\n", body.len);
    write_slice(w, body);
}

void letter_write(struct writer *w, const struct letter *l)
{
    struct slice method = method_name(l->method);

    write_slice(w, method);
    write_char(w, ' ');
    write_slice(w, l->uri);
    write_slice(w, S(" SIP/2.0\r\nVia: SIP/2.0/"));
    write_slice(w, transport_name(l->transport ? l->transport : TRANSPORT_UDP));
    write_char(w, ' ');
    write_slice(w, l->sent_by);
    write_slice(w, l->has_rport ? S(";rport;branch=") : S(";branch="));
    write_slice(w, l->branch);
    put(w, "\r\nMax-Forwards: %u\r\n", l->max_forwards);
    write_slice(w, l->routes);
    put_field(w, "From", l->from);
    put_field(w, "To", l->to);
    put_field(w, "Call-ID", l->call_id);
    put(w, "CSeq: %u ", l->cseq);
    write_slice(w, method);
    write_slice(w, S("\r\n"));
    if (l->contact.len)
        put_field(w, "Contact", l->contact);
    if (l->knows_timers)
        write_slice(w, S("Supported: timer\r\n"));
    if (l->session)
        put(w, "Session-Expires: %u\r\n", l->session);
    write_slice(w, l->extra);
    put_body(w, l->type, l->body);
}

static void copy_fields(struct writer *w, const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next)
        write_bytes(w, m->bytes.at + m->fields[i].line,
                    (size_t)(m->fields[i].next_line - m->fields[i].line));
}

bool letter_via(const struct message *m, struct via *via)
{
    struct slice rest = message_first(m, HEADER_VIA);

    return rest.len && via_next(&rest, via);
}

void letter_read(struct letter *l, const struct message *request, struct writer *routes)
{
    struct via via = {0};
    struct cseq cseq = {0};
    size_t start = routes->len;
    uint64_t session = 0;

    letter_via(request, &via);
    cseq_parse(message_first(request, HEADER_CSEQ), &cseq);
    copy_fields(routes, request, HEADER_ROUTE);
    slice_number(message_first(request, HEADER_SESSION_EXPIRES), UINT32_MAX, &session);
    *l = (struct letter){
        .method = request->method,
        .uri = message_span(request, request->uri),
        .sent_by = slice_trim(slice_of(
            via.host.at,
            (size_t)((via.params.at ? via.params.at : via.text.at + via.text.len) - via.host.at))),
        .branch = via.branch,
        .has_rport = via.has_rport,
        .transport = via.transport,
        .max_forwards = 70,
        .from = message_first(request, HEADER_FROM),
        .to = message_first(request, HEADER_TO),
        .call_id = message_first(request, HEADER_CALL_ID),
        .cseq = cseq.number,
        .routes = slice_of(routes->at + start, routes->len - start),
        .contact = message_first(request, HEADER_CONTACT),
        .knows_timers = message_has_option(request, HEADER_SUPPORTED, S("timer")),
        .session = (unsigned)session,
        .body = message_body(request),
    };
}

/* The request's Vias, the topmost with what its sender could not know. */
static void copy_vias(struct writer *w, const struct message *request, const struct flow *source)
{
    struct via via;
    unsigned first = request->first[HEADER_VIA];
    struct address_bytes address = {.is_v6 = source->is_v6};

    if (!letter_via(request, &via) || !via.has_rport ||
        slice_find(via.rport, '=') < via.rport.len) {
        copy_fields(w, request, HEADER_VIA);
        return;
    }
    const struct field *f = &request->fields[first];
    size_t after = (size_t)(via.rport.at + via.rport.len - request->bytes.at);
    memcpy(address.at, source->address, sizeof address.at);
    write_bytes(w, request->bytes.at + f->line, after - f->line);
    put(w, "=%u;received=", source->port);
    write_address(w, &address);
    write_bytes(w, request->bytes.at + after, f->next_line - after);
    for (unsigned i = f->next; i; i = request->fields[i].next)
        write_bytes(w, request->bytes.at + request->fields[i].line,
                    (size_t)(request->fields[i].next_line - request->fields[i].line));
}

void reply_write(struct writer *w, const struct message *request, const struct flow *source,
                 const struct reply *r)
{
    struct slice to = message_first(request, HEADER_TO);
    struct slice reason = reason_phrase(r->status);

    put(w, "SIP/2.0 %u %.*s\r\n", r->status, (int)reason.len, reason.at);
    copy_vias(w, request, source);
    if (r->status < 300)
        copy_fields(w, request, HEADER_RECORD_ROUTE);
    copy_fields(w, request, HEADER_FROM);
    write_slice(w, S("To: "));
    write_slice(w, to);
    if (r->to_tag.len && r->status > 100 && !address_tag(to).len) {
        write_slice(w, S(";tag="));
        write_slice(w, r->to_tag);
    }
    write_slice(w, S("\r\n"));
    copy_fields(w, request, HEADER_CALL_ID);
    copy_fields(w, request, HEADER_CSEQ);
    if (r->contact.len)
        put_field(w, "Contact", r->contact);
    write_slice(w, r->extra);
    put_body(w, NO_SLICE, r->body);
}

struct slice letter_untagged(struct slice value)
{
    struct slice rest = value;
    struct address address;

    if (!address_next(&rest, &address))
        return value;
    return slice_of(value.at, (size_t)(address.uri.at + address.uri.len - value.at) +
                                  (address.uri.at + address.uri.len < value.at + value.len &&
                                   address.uri.at[address.uri.len] == '>'));
}
