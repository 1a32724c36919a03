#include "render.h"

static const char USER_AGENT[] = "User-Agent: bench/1.0\r\n";
static const char ALLOW[] = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE\r\n";
static const char EMPTY[] = "Content-Length: 0\r\n\r\n";
static const char SPEECH[] = "Content-Type: text/plain\r\nContent-Length: 24\r\n\r\n"
                             "Are you there? I am too.";
static const char SESSION[] = "Content-Type: application/sdp\r\nContent-Length: 156\r\n\r\n"
                              "v=0\r\n"
                              "o=bench 2890844526 2890844526 IN IP4 127.0.0.1\r\n"
                              "s=-\r\n"
                              "c=IN IP4 127.0.0.1\r\n"
                              "t=0 0\r\n"
                              "m=audio 49170 RTP/AVP 0\r\n"
                              "a=rtpmap:0 PCMU/8000\r\n"
                              "a=ptime:20\r\n"
                              "a=sendrecv\r\n";
_Static_assert(sizeof SESSION -
                       sizeof "Content-Type: application/sdp\r\nContent-Length: 156\r\n\r\n" ==
                   156,
               "the Content-Length of SESSION");

static void render_name(struct text *text, const struct letter *letter)
{
    text_hex(text, letter->slot);
    text_hex(text, letter->serial);
}

static void render_user(struct text *text, const struct phone *phone)
{
    text_say(text, "sip:");
    text_put(text, phone->user, 7);
    text_say(text, "@" BENCH_DOMAIN);
}

static void render_contact(struct text *text, const struct phone *phone, const struct wire *wire)
{
    text_say(text, "Contact: <sip:");
    if (phone)
        text_put(text, phone->user, 7);
    else
        text_say(text, "caller");
    text_say(text, "@");
    text_put(text, wire->address, wire->address_length);
    text_say(text, ">");
}

static void render_via(struct text *text, const struct letter *letter)
{
    text_say(text, " SIP/2.0\r\nVia: SIP/2.0/UDP ");
    text_put(text, letter->wire->address, letter->wire->address_length);
    text_say(text, ";rport;branch=" RENDER_BRANCH);
    render_name(text, letter);
    text_put(text, &letter->step, 1);
    text_say(text, "\r\n");
}

/* A caller without a phone is a stranger: this domain's server does not challenge it. */
static void render_from(struct text *text, const struct letter *letter)
{
    text_say(text, "Max-Forwards: 70\r\nFrom: <");
    if (letter->caller)
        render_user(text, letter->caller);
    else
        text_say(text, "sip:caller@bench.example");
    text_say(text, ">" RENDER_CALLER_TAG);
    render_name(text, letter);
    text_say(text, "\r\n");
}

static void render_call(struct text *text, const struct letter *letter, const char *method)
{
    text_say(text, "Call-ID: ");
    render_name(text, letter);
    text_say(text, "@bench.example\r\nCSeq: ");
    text_decimal(text, letter->cseq);
    text_say(text, " ");
    text_say(text, method);
    text_say(text, "\r\n");
}

static void render_to_callee(struct text *text, const struct letter *letter)
{
    render_via(text, letter);
    render_from(text, letter);
    text_say(text, "To: <");
    render_user(text, letter->callee);
    text_say(text, ">\r\n");
}

void render_options(struct text *text, const struct letter *letter)
{
    text_say(text, "OPTIONS sip:" BENCH_DOMAIN);
    render_via(text, letter);
    render_from(text, letter);
    text_say(text, "To: <sip:" BENCH_DOMAIN ">\r\n");
    render_call(text, letter, "OPTIONS");
    render_contact(text, NULL, letter->wire);
    text_say(text, "\r\nAccept: application/sdp\r\n");
    text_say(text, USER_AGENT);
    text_say(text, EMPTY);
}

/* Refreshes keep their Call-ID (RFC 3261 10.2), so it names the phone, not the operation. */
void render_register(struct text *text, const struct letter *letter)
{
    static const char uri[] = "sip:" BENCH_DOMAIN;
    struct phone *phone = letter->caller;
    text_say(text, "REGISTER ");
    text_say(text, uri);
    render_via(text, letter);
    render_from(text, letter);
    text_say(text, "To: <");
    render_user(text, phone);
    text_say(text, ">\r\nCall-ID: ");
    text_put(text, phone->user, 7);
    text_say(text, "-register@bench.example\r\nCSeq: ");
    text_decimal(text, letter->cseq);
    text_say(text, " REGISTER\r\n");
    render_contact(text, phone, letter->wire);
    text_say(text, "\r\nExpires: 3600\r\n");
    text_say(text, USER_AGENT);
    if (letter->credentials) {
        text_say(text, "Authorization: ");
        credentials_answer(letter->credentials, phone, (struct span){"REGISTER", 8},
                           (struct span){uri, sizeof uri - 1}, text);
        text_say(text, "\r\n");
    }
    text_say(text, EMPTY);
}

void render_message(struct text *text, const struct letter *letter)
{
    text_say(text, "MESSAGE ");
    const char *uri = text->at;
    render_user(text, letter->callee);
    size_t uri_length = (size_t)(text->at - uri);
    render_to_callee(text, letter);
    render_call(text, letter, "MESSAGE");
    text_say(text, USER_AGENT);
    if (letter->credentials) {
        text_say(text, "Proxy-Authorization: ");
        credentials_answer(letter->credentials, letter->caller, (struct span){"MESSAGE", 7},
                           (struct span){uri, uri_length}, text);
        text_say(text, "\r\n");
    }
    text_say(text, SPEECH);
}

void render_invite(struct text *text, const struct letter *letter)
{
    text_say(text, "INVITE ");
    render_user(text, letter->callee);
    render_to_callee(text, letter);
    render_call(text, letter, "INVITE");
    render_contact(text, letter->caller, letter->wire);
    text_say(text, "\r\n");
    text_say(text, ALLOW);
    text_say(text, USER_AGENT);
    text_say(text, SESSION);
}

/* Where a comma outside <> ends the last of several values, and where that value starts. */
static size_t render_last_value(const char *at, size_t length)
{
    bool inside = false;
    while (length > 0) {
        char c = at[length - 1];
        inside = c == '>' || (inside && c != '<');
        if (c == ',' && !inside)
            break;
        length--;
    }
    return length;
}

/* The caller's route set is the Record-Route of the answer, last value first. */
static void render_routes(struct text *text, const struct scan *answer)
{
    for (unsigned i = answer->record_route_count; i-- > 0;) {
        struct span line = answer->record_routes[i];
        while (line.length > 0) {
            size_t start = render_last_value(line.at, line.length);
            text_say(text, "Route: ");
            text_put(text, line.at + start, line.length - start);
            text_say(text, "\r\n");
            line.length = start > 0 ? start - 1 : 0;
        }
    }
}

static void render_in_dialog(struct text *text, const struct letter *letter,
                             const struct scan *answer, const char *method)
{
    struct span target = scan_parameter(answer->contact, "<", ">");
    text_say(text, method);
    text_say(text, " ");
    text_span(text, target.length ? target : answer->contact);
    render_via(text, letter);
    render_routes(text, answer);
    render_from(text, letter);
    text_say(text, "To: ");
    text_span(text, answer->to);
    text_say(text, "\r\n");
    render_call(text, letter, method);
    text_say(text, USER_AGENT);
    text_say(text, EMPTY);
}

void render_ack(struct text *text, const struct letter *letter, const struct scan *answer)
{
    render_in_dialog(text, letter, answer, "ACK");
}

void render_bye(struct text *text, const struct letter *letter, const struct scan *answer)
{
    render_in_dialog(text, letter, answer, "BYE");
}

static void render_copied(struct text *text, const struct scan *request, const char *name)
{
    for (unsigned i = 0; i < request->via_count; i++) {
        text_say(text, "Via: ");
        text_span(text, request->vias[i]);
        text_say(text, "\r\n");
    }
    text_say(text, "From: ");
    text_span(text, request->from);
    text_say(text, "\r\nTo: ");
    text_span(text, request->to);
    if (scan_parameter(request->to, ";tag=", ";").length == 0) {
        text_say(text, RENDER_CALLEE_TAG);
        text_put(text, name, RENDER_NAME);
    }
    text_say(text, "\r\nCall-ID: ");
    text_span(text, request->call_id);
    text_say(text, "\r\nCSeq: ");
    text_span(text, request->cseq);
    text_say(text, "\r\n");
}

static void render_dialog(struct text *text, const struct scan *request, const struct phone *phone,
                          const struct wire *wire, const char *name)
{
    for (unsigned i = 0; i < request->record_route_count; i++) {
        text_say(text, "Record-Route: ");
        text_span(text, request->record_routes[i]);
        text_say(text, "\r\n");
    }
    render_copied(text, request, name);
    render_contact(text, phone, wire);
    text_say(text, "\r\n");
}

void render_ringing(struct text *text, const struct scan *request, const struct phone *phone,
                    const struct wire *wire, const char *name)
{
    text_say(text, "SIP/2.0 180 Ringing\r\n");
    render_dialog(text, request, phone, wire, name);
    text_say(text, EMPTY);
}

void render_answered(struct text *text, const struct scan *request, const struct phone *phone,
                     const struct wire *wire, const char *name)
{
    text_say(text, "SIP/2.0 200 OK\r\n");
    render_dialog(text, request, phone, wire, name);
    text_say(text, ALLOW);
    text_say(text, SESSION);
}

void render_ok(struct text *text, const struct scan *request, const char *name)
{
    text_say(text, "SIP/2.0 200 OK\r\n");
    render_copied(text, request, name);
    text_say(text, EMPTY);
}
