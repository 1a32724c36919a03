#include "core/reply.h"

#include "core/forward.h"
#include "core/target.h"

/* 8.2.6.2: the same for each copy of a request, and unguessable. */
static uint64_t tag_of(const struct core *core, const struct request *req)
{
    if (req->via.branch.len > sizeof BRANCH_COOKIE - 1)
        return hash_sign(&core->key_tag, req->via.text);
    return hash_sign(&core->key_tag, req->via.text) ^ hash_sign(&core->key_tag, req->call_id);
}

/* A field from its name, or from its value with the compact name before it (7.3.3). */
static void write_tail(struct writer *w, const struct message *m, const struct field *f,
                       size_t from, enum header header, const struct splice *edits)
{
    static const struct slice compact[HEADER_COUNT] = {
        [HEADER_VIA] = S("v:"),     [HEADER_FROM] = S("f:"),    [HEADER_TO] = S("t:"),
        [HEADER_CALL_ID] = S("i:"), [HEADER_CSEQ] = S("CSeq:"),
    };
    struct slice tail = slice_of(m->bytes.at + from, f->next_line - from);

    if (from != f->line)
        write_slice(w, compact[header]);
    if (edits)
        splice_write(w, tail, edits);
    else
        write_slice(w, tail);
}

/* A field as the request has it, its whole line; one that it lacks is not made up. */
static void write_field(struct writer *w, const struct request *req, enum header header,
                        bool is_short)
{
    const struct message *m = &req->message;
    const struct field *f = &m->fields[m->first[header]];

    if (m->first[header])
        write_tail(w, m, f, is_short ? f->value : f->line, header, NULL);
}

static void write_vias(struct writer *w, const struct request *req, bool is_short)
{
    const struct message *m = &req->message;

    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        const struct field *f = &m->fields[i];
        size_t from = is_short ? f->value : f->line;
        struct splice via = {.count = 0};
        char stamp[VIA_STAMP_TEXT];
        if (i == m->first[HEADER_VIA] && req->via.text.at)
            stamp_via(&via, req, from, stamp);
        write_tail(w, m, f, from, HEADER_VIA, &via);
    }
}

static void write_to(const struct core *core, const struct request *req, unsigned status,
                     bool is_short, struct writer *w)
{
    const struct message *m = &req->message;
    const struct field *f = &m->fields[m->first[HEADER_TO]];

    if (status <= 100 || req->to_tag.len || !req->to.uri.len) {
        write_field(w, req, HEADER_TO, is_short);
        return;
    }
    if (is_short) {
        write_slice(w, S("t:"));
        write_slice(w, message_first(m, HEADER_TO));
    } else {
        write_bytes(w, m->bytes.at + f->line, (size_t)(f->end - f->line));
    }
    write_slice(w, S(";tag="));
    write_hex(w, tag_of(core, req), is_short ? 8 : 16);
    write_slice(w, S("\r\n"));
}

static struct writer *begin(struct core *core, const struct request *req, unsigned status,
                            struct slice reason, bool is_short, struct actions *out)
{
    struct writer *w = &out->bytes;

    if (status == 200) {
        write_slice(w, S("SIP/2.0 200 OK\r\n"));
    } else {
        write_slice(w, S("SIP/2.0 "));
        write_number(w, status);
        write_char(w, ' ');
        write_slice(w, is_short ? S("") : reason.len ? reason : reason_phrase(status));
        write_slice(w, S("\r\n"));
    }
    write_vias(w, req, is_short);
    write_field(w, req, HEADER_FROM, is_short);
    write_to(core, req, status, is_short, w);
    write_field(w, req, HEADER_CALL_ID, is_short);
    write_field(w, req, HEADER_CSEQ, is_short);
    if (core->settings->agent.len && !is_short) {
        write_slice(w, S("Server: "));
        write_slice(w, core->settings->agent);
        write_slice(w, S("\r\n"));
    }
    return w;
}

struct writer *reply_begin(struct core *core, const struct request *req, unsigned status,
                           struct slice reason, struct actions *out)
{
    return begin(core, req, status, reason, false, out);
}

struct writer *reply_begin_short(struct core *core, const struct request *req, unsigned status,
                                 struct actions *out)
{
    return begin(core, req, status, NO_SLICE, true, out);
}

struct slice reply_end(struct actions *out, struct writer *w, size_t start)
{
    write_slice(w, S("Content-Length: 0\r\n\r\n"));
    assert(!w->failed);
    return slice_of(out->bytes.at + start, out->bytes.len - start);
}

uint16_t reply_sent_by(const struct request *req)
{
    return req->via.port ? (uint16_t)req->via.port : transport_port(req->via.transport);
}

struct slice reply_end_short(struct actions *out, struct writer *w, size_t start)
{
    write_slice(w, S("\r\n")); /* a datagram says how long it is (20.14) */
    assert(!w->failed);
    return slice_of(out->bytes.at + start, out->bytes.len - start);
}

bool reply_is_unproven(const struct request *req)
{
    return !req->sender && req->direction == COOKIE_INVALID && !flow_is_reliable(&req->flow);
}

bool reply_exceeds(const struct request *req, size_t len)
{
    return reply_is_unproven(req) && req->message.bytes.len > UNPROVEN_FREE &&
           len > req->message.bytes.len;
}

struct flow reply_flow(const struct request *req)
{
    struct flow flow = req->flow;

    if (!flow_is_reliable(&flow) && !req->via.has_rport && req->via.text.at)
        flow.port = reply_sent_by(req);
    return flow;
}

void reply_send(const struct request *req, struct slice bytes, struct actions *out)
{
    if (reply_exceeds(req, bytes.len)) {
        out->bytes.len -= bytes.len;
        return;
    }
    actions_push(out, (struct action){
                          .kind = ACTION_SEND,
                          .flow = reply_flow(req),
                          .bytes = bytes,
                      });
}

/* Who cannot be asked by this scheme could be by the other (RFC 5630). */
static void write_warning(const struct core *core, const struct request *req, struct fault fault,
                          struct writer *w)
{
    const struct socket_settings *socket = &core->settings->sockets[req->flow.socket];
    struct slice reason = slice_text(fault.reason);
    bool is_required = slice_equal(reason, slice_text(FAULT_SIPS_REQUIRED.reason));

    if (!is_required && !slice_equal(reason, slice_text(FAULT_SIPS_NOT_ALLOWED.reason)))
        return;
    write_slice(w, is_required ? S("Warning: 381 ") : S("Warning: 380 "));
    write_slice(w, socket->host);
    write_char(w, ':');
    write_number(w, socket->port);
    write_slice(w, S(" \""));
    write_slice(w, reason);
    write_slice(w, S("\"\r\n"));
}

struct slice reply_compose(struct core *core, const struct request *req, struct fault fault,
                           struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, fault.status, slice_text(fault.reason), out);
    struct slice bytes;

    if (fault.reason)
        write_warning(core, req, fault, w);
    bytes = reply_end(out, w, start);
    if (!reply_exceeds(req, bytes.len))
        return bytes;
    out->bytes.len = start;
    bytes = reply_end_short(out, reply_begin_short(core, req, fault.status, out), start);
    if (!reply_exceeds(req, bytes.len))
        return bytes;
    out->bytes.len = start;
    return NO_SLICE;
}

void reply_because(struct core *core, const struct request *req, struct fault fault,
                   struct actions *out)
{
    struct slice bytes;

    if (req->message.method == METHOD_ACK)
        return;
    bytes = reply_compose(core, req, fault, out);
    if (bytes.len)
        reply_send(req, bytes, out);
}

void reply_finish(struct core *core, const struct request *req, unsigned status, size_t start,
                  struct actions *out)
{
    struct slice bytes = reply_end(out, &out->bytes, start);

    if (!reply_exceeds(req, bytes.len)) {
        reply_send(req, bytes, out);
        return;
    }
    out->bytes.len = start;
    reply(core, req, status, out);
}

void reply(struct core *core, const struct request *req, unsigned status, struct actions *out)
{
    reply_because(core, req, (struct fault){(uint16_t)status, NULL}, out);
}
