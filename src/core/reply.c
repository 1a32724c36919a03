#include "core/reply.h"

#include "core/forward.h"

/* 8.2.6.2: the same for each copy of a request, and unguessable. */
static uint64_t tag_of(const struct core *core, const struct request *req)
{
    if (req->via.branch.len > sizeof BRANCH_COOKIE - 1)
        return hash_sign(&core->key_tag, req->via.text);
    return hash_sign(&core->key_tag, req->via.text) ^ hash_sign(&core->key_tag, req->call_id);
}

/* A field as the request has it, its whole line; one that it lacks is not made up. */
static void write_field(struct writer *w, const struct request *req, enum header header)
{
    const struct message *m = &req->message;
    const struct field *f = &m->fields[m->first[header]];

    if (m->first[header])
        write_bytes(w, m->bytes.at + f->line, (size_t)(f->next_line - f->line));
}

static void write_vias(struct writer *w, const struct request *req)
{
    const struct message *m = &req->message;

    for (unsigned i = m->first[HEADER_VIA]; i; i = m->fields[i].next) {
        const struct field *f = &m->fields[i];
        struct splice via = {.count = 0};
        char stamp[VIA_STAMP_TEXT];
        if (i == m->first[HEADER_VIA] && req->via.text.at)
            stamp_via(&via, req, f->line, stamp);
        splice_write(w, slice_of(m->bytes.at + f->line, (size_t)(f->next_line - f->line)), &via);
    }
}

static void write_to(const struct core *core, const struct request *req, unsigned status,
                     struct writer *w)
{
    const struct message *m = &req->message;
    const struct field *f = &m->fields[m->first[HEADER_TO]];

    if (status <= 100 || req->to_tag.len || !req->to.uri.len) {
        write_field(w, req, HEADER_TO);
        return;
    }
    write_bytes(w, m->bytes.at + f->line, (size_t)(f->end - f->line));
    write_slice(w, S(";tag="));
    write_hex(w, tag_of(core, req), 16);
    write_slice(w, S("\r\n"));
}

struct writer *reply_begin(struct core *core, const struct request *req, unsigned status,
                           struct slice reason, struct actions *out)
{
    struct writer *w = &out->bytes;

    if (status == 200) {
        write_slice(w, S("SIP/2.0 200 OK\r\n"));
    } else {
        write_slice(w, S("SIP/2.0 "));
        write_number(w, status);
        write_char(w, ' ');
        write_slice(w, reason.len ? reason : reason_phrase(status));
        write_slice(w, S("\r\n"));
    }
    write_vias(w, req);
    write_field(w, req, HEADER_FROM);
    write_to(core, req, status, w);
    write_field(w, req, HEADER_CALL_ID);
    write_field(w, req, HEADER_CSEQ);
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

uint16_t reply_sent_by(const struct request *req)
{
    return req->via.port ? (uint16_t)req->via.port : 5060;
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
