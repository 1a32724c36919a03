#include "core/reply.h"

#include "core/forward.h"

/* 8.2.6.2: the same for each copy of a request, and unguessable. */
static uint64_t tag_of(const struct core *core, const struct request *req)
{
    uint64_t words[3] = {req->key.low, req->key.high, 0};

    words[2] = hash_bytes(&core->key_tag, req->call_id);
    return hash_bytes(&core->key_tag, slice_of((const char *)words, sizeof words));
}

static void write_field(struct writer *w, enum header header, struct slice value)
{
    write_slice(w, header_name(header));
    write_slice(w, S(": "));
    write_slice(w, value);
    write_slice(w, S("\r\n"));
}

static void write_vias(struct writer *w, const struct request *req)
{
    const struct message *m = &req->message;
    unsigned field = m->first[HEADER_VIA];
    const struct field *f = &m->fields[field];
    struct splice via = {.count = 0};
    char stamp[VIA_STAMP_TEXT];
    struct slice line = slice_of(m->bytes.at + f->line, (size_t)(f->next_line - f->line));

    stamp_via(&via, req, f->line, stamp);
    splice_write(w, line, &via);
    while ((field = m->fields[field].next)) {
        f = &m->fields[field];
        write_bytes(w, m->bytes.at + f->line, (size_t)(f->next_line - f->line));
    }
}

struct writer *reply_begin(struct core *core, const struct request *req, unsigned status,
                           struct slice reason, struct actions *out)
{
    struct writer *w = &out->bytes;

    write_slice(w, S("SIP/2.0 "));
    write_number(w, status);
    write_char(w, ' ');
    write_slice(w, reason.len ? reason : reason_phrase(status));
    write_slice(w, S("\r\n"));
    write_vias(w, req);
    write_field(w, HEADER_FROM, request_header(req, HEADER_FROM));
    write_slice(w, S("To: "));
    write_slice(w, request_header(req, HEADER_TO));
    if (status > 100 && !req->to_tag.len) {
        write_slice(w, S(";tag="));
        write_hex(w, tag_of(core, req), 16);
    }
    write_slice(w, S("\r\n"));
    write_field(w, HEADER_CALL_ID, req->call_id);
    write_field(w, HEADER_CSEQ, request_header(req, HEADER_CSEQ));
    if (core->settings->agent.len) {
        write_slice(w, S("Server: "));
        write_slice(w, core->settings->agent);
        write_slice(w, S("\r\n"));
    }
    return w;
}

struct slice reply_end(struct actions *out, struct writer *w, size_t start)
{
    write_slice(w, S("Content-Length: 0\r\n\r\n"));
    assert(!w->failed);
    return slice_of(out->bytes.at + start, out->bytes.len - start);
}

struct flow reply_flow(const struct request *req)
{
    struct flow flow = req->flow;

    if (!flow_is_reliable(&flow) && !req->via.has_rport)
        flow.port = req->via.port ? (uint16_t)req->via.port : 5060;
    return flow;
}

void reply_send(const struct request *req, struct slice bytes, struct actions *out)
{
    actions_push(out, (struct action){
                          .kind = ACTION_SEND,
                          .flow = reply_flow(req),
                          .bytes = bytes,
                      });
}

void reply_because(struct core *core, const struct request *req, struct fault fault,
                   struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w;

    if (req->message.method == METHOD_ACK)
        return;
    w = reply_begin(core, req, fault.status, slice_text(fault.reason), out);
    reply_send(req, reply_end(out, w, start), out);
}

void reply(struct core *core, const struct request *req, unsigned status, struct actions *out)
{
    reply_because(core, req, (struct fault){(uint16_t)status, NULL}, out);
}
