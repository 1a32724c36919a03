#include "talk.h"

#include <stdio.h>

#include "sip/address.h"

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* The end of a message: its length, and what it is the length of. */
static const char *body_of(const char *body)
{
    static char text[8192];
    size_t len = body ? strlen(body) : 0;

    for (const char *c = body; c && *c; c++)
        len += *c == '\n';
    snprintf(text, sizeof text, "%sContent-Length: %zu\n\n%s",
             body ? "Content-Type: application/sdp\n" : "", len, body ? body : "");
    return text;
}

static bool is_of_invite(const char *method)
{
    return !strcmp(method, "INVITE") || !strcmp(method, "ACK") || !strcmp(method, "CANCEL");
}

void talk_say(struct world *w, struct words words)
{
    const char *method = text_or(words.method, "INVITE");
    const char *more = text_or(words.more, "");
    unsigned cseq = words.cseq ? words.cseq : 1;
    struct flow flow = world_flow(words.host, 5060);

    world_receive_by(w, words.by ? words.by : &flow,
                     "%s %s SIP/2.0\n"
                     "Via: SIP/2.0/%s 198.51.100.%u:5060;branch=z9hG4bK%s;rport\n"
                     "%s"
                     "From: %s\n"
                     "To: %s\n"
                     "Call-ID: %s\n"
                     "CSeq: %u %s\n"
                     "Contact: <sip:h%u@198.51.100.%u:5060>\n"
                     "%s"
                     "%s",
                     method, text_or(words.uri, "sip:bob@example.com"), words.by ? "TCP" : "UDP",
                     words.host, text_or(words.branch, is_of_invite(method) ? "invite" : method),
                     strstr(more, "Max-Forwards") ? "" : "Max-Forwards: 70\n",
                     text_or(words.from, CAROL), text_or(words.to, BOB),
                     text_or(words.call_id, "call"), cseq, method, words.host, words.host, more,
                     body_of(words.body));
}

/* The latest request with that method that was sent to `host`; one with that field, if not
 * HEADER_OTHER. */
static struct message request_to(const struct world *w, unsigned host, const char *method,
                                 enum header with)
{
    struct message m;

    for (unsigned i = w->request_count; i-- > 0;) {
        if (w->requests[i].to.address[3] != host)
            continue;
        assert_false(message_parse(w->requests[i].bytes, &m).status);
        if (slice_equal(message_span(&m, m.method_text), slice_text(method)) &&
            (with == HEADER_OTHER || m.first[with]))
            return m;
    }
    print_error("no %s was sent to %u\n", method, host);
    fail();
    return m;
}

/* Appends the lines of a header field. */
static void copy_fields(char *text, size_t limit, const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice v = message_value(m, i);
        size_t len = strlen(text);
        snprintf(text + len, limit - len, "%s: %.*s\n", header_name(header).at, (int)v.len, v.at);
    }
}

void talk_answer(struct world *w, struct answer answer)
{
    struct message m = request_to(w, answer.host, text_or(answer.method, "INVITE"), HEADER_OTHER);
    char head[8192] = "", contact[64], tag[64] = "";
    struct flow flow = world_flow(answer.host, 5060);
    bool has_tag = address_tag(message_first(&m, HEADER_TO)).len != 0;
    static const enum header copied[] = {HEADER_VIA,     HEADER_RECORD_ROUTE, HEADER_FROM,
                                         HEADER_CALL_ID, HEADER_CSEQ,         HEADER_TO};

    for (unsigned i = 0; i < COUNT_OF(copied); i++)
        copy_fields(head, sizeof head, &m, copied[i]);
    head[strlen(head) - 1] = 0; /* To, the last, may get a tag */
    snprintf(contact, sizeof contact, "<sip:h%u@198.51.100.%u:5060>", answer.host, answer.host);
    if (answer.tag)
        snprintf(tag, sizeof tag, ";tag=%s", answer.tag);
    else if (!has_tag && answer.status > 100)
        snprintf(tag, sizeof tag, ";tag=h%u", answer.host);
    world_receive_by(w, answer.by ? answer.by : &flow,
                     "SIP/2.0 %u Answer\n"
                     "%s%s\n"
                     "Contact: %s\n"
                     "%s"
                     "%s",
                     answer.status, head, tag, text_or(answer.contact, contact),
                     text_or(answer.more, ""), body_of(answer.body));
}

void talk_end(struct world *w)
{
    world_wait(w, SECONDS(400));
    assert_int_equal(core_census(w->core).server_transactions, 0);
    assert_int_equal(core_census(w->core).client_transactions, 0);
    assert_int_equal(core_census(w->core).contexts, 0);
    assert_int_equal(core_census(w->core).lookups, 0);
    assert_int_equal(core_census(w->core).asked, 0);
    assert_int_equal(core_census(w->core).held, 0);
    w->asked_count = 0;
    world_end(w);
}

void talk_phone(struct world *w, unsigned host, const char *params)
{
    char contact[128];

    snprintf(contact, sizeof contact, "Contact: <sip:bob@198.51.100.%u:5060>%s\n", host, params);
    assert_int_equal(world_register_with(w, "bob", "builder", host, 5060, contact), 200);
}

void talk_phones(struct world *w)
{
    talk_phone(w, 3, "");
    talk_phone(w, 4, ";q=0.5"); /* whenever it came */
    talk_phone(w, 2, "");
}

const char *talk_route(const struct world *w, unsigned host)
{
    static char text[1024];
    struct message m = request_to(w, host, "INVITE", HEADER_RECORD_ROUTE);
    struct slice v = message_first(&m, HEADER_RECORD_ROUTE);

    snprintf(text, sizeof text, "Route: %.*s\n", (int)v.len, v.at);
    return text;
}

static const char *name_of_type(enum dns_type type)
{
    switch (type) {
    case DNS_A: return "A";
    case DNS_AAAA: return "AAAA";
    case DNS_SRV: return "SRV";
    case DNS_TLSA: return "TLSA";
    case DNS_NAPTR: break;
    }
    return "NAPTR";
}

/* A status, a method, what DNS is asked, or what was done to a stream; empty for what is not sent.
 */
static void name_action(const struct action *act, char *name, size_t limit)
{
    struct message m;

    *name = 0;
    if (act->kind == ACTION_ASK) {
        snprintf(name, limit, "%s?", name_of_type(act->ask.type));
    } else if (act->kind == ACTION_CONNECT || act->kind == ACTION_CLOSE) {
        snprintf(name, limit, act->kind == ACTION_CONNECT ? "connect" : "close");
    } else if (act->kind == ACTION_SEND) {
        message_parse(act->bytes, &m); /* an answer may repeat what is wrong with a request */
        if (m.is_request)
            snprintf(name, limit, "%.*s", (int)m.method_text.len, m.bytes.at + m.method_text.at);
        else if (m.bytes.len)
            snprintf(name, limit, "%u", m.status);
    }
}

const char *talk_sent(const struct world *w)
{
    static char text[2048];
    char name[64];
    size_t len = 0;

    *text = 0;
    for (uint32_t i = 0; i < w->out.count; i++) {
        name_action(&w->out.at[i], name, sizeof name);
        if (w->out.at[i].kind == ACTION_ASK)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%.*s", len ? " " : "", name,
                                    (int)w->out.at[i].bytes.len, w->out.at[i].bytes.at);
        else if (*name)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s>%u", len ? " " : "", name,
                                    w->out.at[i].flow.address[3]);
    }
    return text;
}

static void act(struct world *w, const char *does)
{
    unsigned host, status;
    char word[32], method[32] = "INVITE";

    if (sscanf(does, "wait %u", &status) == 1)
        world_wait(w, MS(status));
    else if (!strcmp(does, "restart"))
        world_restart(w);
    else if (sscanf(does, "%u %3u %31s", &host, &status, method) >= 2)
        ANSWER(w, .host = host, .status = status, .method = method);
    else if (sscanf(does, "%u %31s", &host, word) == 2)
        SAY(w, .host = host, .method = word);
    else
        fail_msg("what is \"%s\"?", does);
}

void talk_play(struct world *w, const struct line *lines, unsigned count, const char *file, int at)
{
    for (unsigned i = 0; i < count; i++) {
        act(w, lines[i].does);
        if (!strcmp(talk_sent(w), lines[i].sent))
            continue;
        print_error("after \"%s\": \"%s\" was sent, not \"%s\"\n", lines[i].does, talk_sent(w),
                    lines[i].sent);
        _fail(file, at);
    }
}
