#include "traffic.h"

#include <stdio.h>

static void append_fields(char *text, size_t limit, const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice name = header_name(header), value = message_value(m, i);
        size_t len = strlen(text);
        snprintf(text + len, limit - len, "%.*s: %.*s\n", (int)name.len, name.at, (int)value.len,
                 value.at);
    }
}

void traffic_invite(struct world *w, const char *branch, const char *extra)
{
    world_receive(w, CAROL, 5060,
                  "INVITE sip:bob@example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK%s;rport\n"
                  "Max-Forwards: 70\n"
                  "From: <sip:carol@elsewhere.example>;tag=carol\n"
                  "To: <sip:bob@example.com>\n"
                  "Call-ID: call-1\n"
                  "CSeq: 1 INVITE\n"
                  "Contact: <sip:carol@198.51.100.9:5060>\n"
                  "%s"
                  "Content-Length: 0\n\n",
                  branch, extra);
}

void traffic_answer(struct world *w, unsigned n, unsigned status, const char *tag,
                    const char *extra)
{
    char copied[4096] = "", to_tag[80] = "";
    struct flow to = world_sent_to(w, n);
    struct message m;

    assert(!message_parse(world_sent(w, n), &m).status);
    append_fields(copied, sizeof copied, &m, HEADER_VIA);
    append_fields(copied, sizeof copied, &m, HEADER_RECORD_ROUTE);
    append_fields(copied, sizeof copied, &m, HEADER_FROM);
    append_fields(copied, sizeof copied, &m, HEADER_CALL_ID);
    append_fields(copied, sizeof copied, &m, HEADER_CSEQ);
    if (!address_tag(message_first(&m, HEADER_TO)).len)
        snprintf(to_tag, sizeof to_tag, ";tag=%s", tag);
    world_receive(w, to.address[3], to.port,
                  "SIP/2.0 %u Answer\n"
                  "%s"
                  "To: %s%s\n"
                  "Contact: <sip:%s@198.51.100.%u:%u>\n"
                  "%s"
                  "Content-Length: 0\n\n",
                  status, copied, world_header(w, n, "To"), to_tag,
                  to.address[3] == CAROL ? "carol" : "bob", to.address[3], to.port, extra);
}

void traffic_request(struct world *w, bool is_callers, const char *method, unsigned cseq,
                     const char *route, const char *extra)
{
    const char *carol = "<sip:carol@elsewhere.example>;tag=carol";
    const char *bob = "<sip:bob@example.com>;tag=bob";
    unsigned host = is_callers ? CAROL : BOB;

    world_receive(w, host, 5060,
                  "%s sip:%s SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bK%s%u;rport\n"
                  "Max-Forwards: 70\n"
                  "Route: %s\n"
                  "From: %s\n"
                  "To: %s\n"
                  "Call-ID: call-1\n"
                  "CSeq: %u %s\n"
                  "Contact: <sip:%s@198.51.100.%u:5060>\n"
                  "%s"
                  "Content-Length: 0\n\n",
                  method, is_callers ? "bob@198.51.100.2:5060" : "carol@198.51.100.9:5060", host,
                  method, cseq, route, is_callers ? carol : bob, is_callers ? bob : carol, cseq,
                  method, is_callers ? "carol" : "bob", host, extra);
}

void traffic_call(struct world *w, char *route, size_t limit)
{
    world_register(w, "bob", "builder", BOB, 5060, 3600);
    traffic_invite(w, "inv", "");
    snprintf(route, limit, "%s", world_header(w, 1, "Record-Route"));
    traffic_answer(w, 1, 200, "bob", "");
    assert(core_census(w->core).dialogs == 1);
    traffic_request(w, true, "ACK", 1, route, "");
}
