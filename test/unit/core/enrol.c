#include "enrol.h"

#include <stdio.h>

static void ask(struct world *w, const struct enrolment *what, const char *authorization)
{
    static unsigned serial;

    world_receive(w, what->host, 5060,
                  "REGISTER sip:example.com SIP/2.0\n"
                  "Via: SIP/2.0/UDP 198.51.100.%u:5060;branch=z9hG4bKenrol%u;rport\n"
                  "%s"
                  "Max-Forwards: 70\n"
                  "From: <sip:%s@example.com>;tag=f\n"
                  "To: <sip:%s@example.com>\n"
                  "Call-ID: %s\n"
                  "CSeq: %u REGISTER\n"
                  "%s%s"
                  "Content-Length: 0\n\n",
                  what->host, ++serial, what->vias, what->user, what->user, what->call_id,
                  what->cseq, what->fields, authorization);
}

void enrol(struct world *w, struct enrolment what)
{
    char authorization[1100];

    what.user = what.user ? what.user : "bob";
    what.secret = what.secret ? what.secret : "builder";
    what.host = what.host ? what.host : 2;
    what.call_id = what.call_id ? what.call_id : "enrol";
    what.fields = what.fields ? what.fields : "";
    what.vias = what.vias ? what.vias : "";
    ask(w, &what, "");
    assert(world_status(w, 0) == 401);
    snprintf(authorization, sizeof authorization, "Authorization: %s\n",
             world_credentials(world_header(w, 0, "WWW-Authenticate"), what.user, what.secret,
                               "REGISTER", "sip:example.com", 1));
    ask(w, &what, authorization);
}

unsigned enrol_count(const struct world *w)
{
    struct message m;

    assert(!message_parse(world_sent(w, 0), &m).status);
    return message_count(&m, HEADER_CONTACT);
}
