/*
 * The whole core: messages, streams, time, answers of phones, restarts and a failing store, from an
 * input.
 *
 * The input is cut into pieces at each octet 0x1E.  A piece that begins with an octet below is that
 * order; any other is a message from the present peer, so a plain SIP message is an input too; or,
 * where that peer has a stream, the next bytes of it.  A request that is challenged is sent again
 * with credentials.
 *
 * What is checked: what goes out can be parsed, no limit is passed, nothing goes to a domain that
 * must prove itself, in a dialog neither, but where it has or will before anything is sent, or from
 * where its call came, bindings survive a restart
 * while the store works, after a day of silence all memory is given back, and a phone can be
 * reached again.
 */
#include "fuzz.h"
#include "rest.h"

#include "core/identity.h"
#include "sip/address.h"
#include "sip/framing.h"

enum order {
    ORDER_PEER = 1, /* socket and host of the present peer, and which user it is; a stream of it is
                       opened, unless it stands */
    ORDER_WAIT,     /* two octets: centiseconds */
    ORDER_WALL,     /* two octets: the wall clock jumps by as many seconds, signed */
    ORDER_RESTART,  /* a bit for each stream that outlives it; RECALLS */
    ORDER_CHECKPOINT,
    ORDER_STORE_FAILED,
    ORDER_STORE_WORKS,
    ORDER_ANSWER,        /* the latest request but n; status: its receiver answers it */
    ORDER_FOLLOW = 0x0c, /* method: a request in the dialog of the latest response */
    ORDER_BIND = 0x0f,   /* user; host */
    ORDER_CLOSE,         /* place: a stream ends, from either side */
    ORDER_RECALL,        /* there is time for it */
    ORDER_DNS,           /* the latest question but n; status; records, each behind its length: DNS
                            answers */
    ORDER_UNREACHED,     /* the latest request but n; octets of it: it did not arrive */
    ORDER_CERTIFICATE,   /* the latest that is fetched but n; state; key; days that it lasts */
    ORDER_NAMES,         /* a bit for each of `domains`: who comes by TLS from now on, or is
                            connected to, has a certificate for them */
    ORDER_STAND,         /* place: a stream that we open stands */
    ORDER_TURN,          /* method; tag: a request in the dialog of the latest INVITE that began
                            one, from who got it */
};

#define RECALLS 0x80u /* what the last run left comes when it is asked for, or there is time */

#define HAS_KEYS 0x10u /* in a status: the answer has a media key */

/* Branches of requests that ORDER_FOLLOW and ORDER_TURN make in a dialog, by where they go. */
#define INSIDE "z9hG4bKin-"
#define TO_CALLEE INSIDE "callee"
#define TO_CALLER INSIDE "caller"

#define SEPARATOR 0x1e
#define PIECES 64u          /* of an input; the rest is ignored */
#define PEERS 6u            /* hosts; each has a stream at most */
#define STREAM_BYTES 20000u /* of a stream, that are no whole message yet */
#define CALLS 16u           /* of an input; of others is not known who must prove what */

static const struct limits tiny = {
    .users = 16,
    .bindings = 6,
    .transactions = 8,
    .contexts = 4,
    .dialogs = 3,
    .calls = 3,
    .nonces = 8,
    .accepted = PEERS,
    .connected = TESTBED_STREAMS - PEERS,
    .lookups = 2,
    .text = 800 << 10,
};

static const char *const callers[] = {"user", "caller", "watson", "kumiko"};

/* Other domains: what each must prove, and the names of all sets of them, a line each. */
static const struct domain_settings domains[] = {
    {.name = S("verified.example"), .policy = POLICY_VERIFIED},
    {.name = S("dane.example"), .policy = POLICY_DANE},
    {.name = S("other.example"), .policy = POLICY_OPPORTUNISTIC},
};
static const struct slice names[] = {
    S(""),
    S("verified.example"),
    S("dane.example"),
    S("verified.example\ndane.example"),
    S("other.example"),
    S("verified.example\nother.example"),
    S("dane.example\nother.example"),
    S("verified.example\ndane.example\nother.example"),
};

/* A call, by the Call-ID and From tag of its INVITE: what its ends must prove to be, or NULL. */
struct begun {
    uint64_t name;
    const struct domain_settings *caller, *callee;
    bool has_come, has_gone;
    bool is_doubtful; /* it has in several ways, or by way of others */
    struct flow came_by;
};

struct play {
    struct testbed *server;
    struct slice names;   /* of those who come by TLS */
    unsigned checked;     /* of what was sent */
    bool has_told_of_key; /* DNS has said which key a server has */
    struct flow peer;
    const char *user;
    bool store_failed; /* at any time: then the journal may lack something */
    bool wall_jumped;
    struct begun calls[CALLS];
    unsigned call_count;
    bool has_missed; /* some of what was sent */
};

/* What came by a stream, and is no whole message yet. */
static struct {
    char at[STREAM_BYTES];
    size_t len, scanned;
} received[TESTBED_STREAMS + 1];

static unsigned octet(struct slice piece, size_t at)
{
    return at < piece.len ? (unsigned char)piece.at[at] : 0;
}

/* The domain of a URI, if that must prove itself. */
static const struct domain_settings *strict_host(struct slice text)
{
    struct uri uri;

    if (!uri_parse(text, &uri))
        return NULL;
    for (unsigned i = 0; i < COUNT_OF(domains); i++)
        if (domains[i].policy != POLICY_OPPORTUNISTIC && uri.scheme <= SCHEME_SIPS &&
            slice_equal_nocase(uri.host, domains[i].name))
            return &domains[i];
    return NULL;
}

/* The same of who a request goes to: one in no dialog, that is not sent by way of others. */
static const struct domain_settings *strict_domain(const struct message *m)
{
    struct address to;
    struct slice rest = message_first(m, HEADER_TO), tag;

    if (!m->is_request || m->first[HEADER_ROUTE] || !address_next(&rest, &to) ||
        param_find(to.params, S("tag"), &tag))
        return NULL;
    return strict_host(message_span(m, m->uri));
}

/* Who is there has proven to be the domain, or must before anything is sent. */
static bool is_proven(const struct play *play, const struct flow *flow,
                      const struct domain_settings *domain)
{
    const struct testbed *server = play->server;
    unsigned place = connection_place(flow->connection);
    struct peer_plan plan;

    if (!flow_is_secure(flow))
        return false;
    if (server->is_open[place] &&
        (play->has_told_of_key || (domain->policy == POLICY_VERIFIED &&
                                   identity_is_among(server->proven[place], domain->name))))
        return true;
    return peer_read(server->plans[place], &plan) &&
           slice_equal_nocase(plan.domain, domain->name) &&
           (plan.tlsa_count || plan.policy == POLICY_VERIFIED);
}

/* A stream that has gone meanwhile is not looked at. */
static void check_proof(const struct play *play, const struct sent *sent, const struct message *m)
{
    const struct domain_settings *domain = strict_domain(m);

    if (domain && (!flow_is_reliable(&sent->flow) || testbed_stands(play->server, &sent->flow)))
        assert(is_proven(play, &sent->flow, domain));
}

/* ---- calls */

static bool is_beginning(const struct message *m)
{
    return m->is_request && m->method == METHOD_INVITE &&
           !address_tag(message_first(m, HEADER_TO)).len;
}

static uint64_t call_name(const struct message *m, enum header caller)
{
    static const struct hash_key key = {7, 8};

    return hash_bytes(&key, message_first(m, HEADER_CALL_ID)) * 3 ^
           hash_bytes(&key, address_tag(message_first(m, caller)));
}

static struct begun *find_call(struct play *play, uint64_t name)
{
    for (unsigned i = 0; i < play->call_count; i++)
        if (play->calls[i].name == name)
            return &play->calls[i];
    return NULL;
}

/* NULL if there is no room. */
static struct begun *enter_call(struct play *play, const struct message *m)
{
    uint64_t name = call_name(m, HEADER_FROM);
    struct begun *call = find_call(play, name);

    if (!call && play->call_count < CALLS) {
        call = &play->calls[play->call_count++];
        call->name = name;
    }
    return call;
}

static void note_coming(struct play *play, struct slice bytes)
{
    static struct message m;
    struct slice rest;
    struct address from;
    struct begun *call;
    const struct domain_settings *caller = NULL;

    if (message_parse(bytes, &m).status || !is_beginning(&m))
        return;
    call = enter_call(play, &m);
    if (!call)
        return;
    rest = message_first(&m, HEADER_FROM);
    if (flow_is_secure(&play->peer) && address_next(&rest, &from))
        caller = strict_host(from.uri);
    call->is_doubtful |= m.first[HEADER_ROUTE] || m.first[HEADER_RECORD_ROUTE] ||
                         (call->has_come && !flow_equal(&call->came_by, &play->peer)) ||
                         (call->has_come && call->caller != caller);
    call->has_come = true;
    call->caller = caller;
    call->came_by = play->peer;
}

static void note_going(struct play *play, const struct message *m)
{
    const struct domain_settings *callee = strict_domain(m);
    struct begun *call = is_beginning(m) ? enter_call(play, m) : NULL;

    if (!call)
        return;
    call->is_doubtful |= call->has_gone && call->callee != callee;
    call->has_gone = true;
    call->callee = callee;
}

static bool has(struct slice text, struct slice part)
{
    return memmem(text.at, text.len, part.at, part.len) != NULL;
}

/* In a dialog with such a domain: it is there, too, or has begun the call from there. */
static void check_inside(struct play *play, const struct sent *sent, const struct message *m)
{
    bool to_callee = has(m->bytes, S(TO_CALLEE));
    const struct domain_settings *domain;
    const struct begun *call;

    if (play->has_missed || !m->is_request || !has(m->bytes, S(INSIDE)))
        return;
    call = find_call(play, call_name(m, to_callee ? HEADER_FROM : HEADER_TO));
    if (!call || call->is_doubtful)
        return;
    domain = to_callee ? call->callee : call->caller;
    if (domain && (!flow_is_reliable(&sent->flow) || testbed_stands(play->server, &sent->flow)))
        assert(is_proven(play, &sent->flow, domain) ||
               (!to_callee && flow_equal(&sent->flow, &call->came_by)));
}

static void check_sent(struct play *play)
{
    const struct testbed *server = play->server;
    static struct message m;

    if (play->checked > server->sent_count) {
        play->checked = 0;
        play->has_missed = true;
    }
    for (; play->checked < server->sent_count; play->checked++) {
        const struct sent *sent = &server->sent[play->checked];
        if (slice_equal(sent->bytes, S("\r\n\r\n"))) /* it keeps a phone's way here open */
            continue;
        struct fault fault = message_parse(sent->bytes, &m);
        assert(sent->bytes.len <= MESSAGE_LIMIT && m.body > 0);
        assert(!m.is_request || !fault.status);
        assert(sent->flow.socket < ARRIVAL_COUNT);
        check_proof(play, sent, &m);
        note_going(play, &m);
        check_inside(play, sent, &m);
    }
}

static void step(struct play *play, enum event_kind kind, const struct flow *flow,
                 struct slice bytes)
{
    testbed_step(play->server, kind, flow, bytes);
    rest_check_limits(play->server);
}

static bool is_challenge(struct slice bytes)
{
    return slice_starts(bytes, S("SIP/2.0 401 ")) || slice_starts(bytes, S("SIP/2.0 407 "));
}

/* A phone that says it is reached at such a domain is reached by its flow; and nobody else makes
 * branches as ours are. */
static bool is_confusing(struct slice bytes)
{
    if (has(bytes, S(INSIDE)))
        return true;
    for (unsigned i = 0; slice_starts(bytes, S("REGISTER")) && i < COUNT_OF(domains); i++)
        for (size_t at = 0; at + domains[i].name.len <= bytes.len; at++)
            if (slice_equal_nocase(slice_of(bytes.at + at, domains[i].name.len), domains[i].name))
                return true;
    return false;
}

static void receive(struct play *play, struct slice bytes)
{
    static char text[2 * MESSAGE_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    const struct testbed *server = play->server;
    unsigned before = server->sent_count;

    if (is_confusing(bytes))
        return;
    note_coming(play, bytes);
    step(play, EVENT_RECEIVED, &play->peer, bytes);
    if (server->sent_count <= before || !is_challenge(testbed_last(server)))
        return;
    if (testbed_sign(&w, bytes, testbed_last(server), play->user) && w.len <= MESSAGE_LIMIT)
        step(play, EVENT_RECEIVED, &play->peer, writer_slice(&w));
}

/* From where another message went: nothing comes by a stream that has ended. */
static void receive_by(struct play *play, const struct flow *flow, struct slice bytes)
{
    if (!flow_is_reliable(flow) || testbed_stands(play->server, flow))
        step(play, EVENT_RECEIVED, flow, bytes);
}

/* One frame off a stream's bytes, as the shell takes it; false where there is none. */
static bool take_frame(struct play *play, unsigned place)
{
    static char text[STREAM_BYTES];
    struct slice bytes = slice_of(received[place].at, received[place].len);
    struct frame frame = frame_next(bytes, &received[place].scanned);

    if (frame.kind == FRAME_NONE)
        return false;
    if (frame.kind == FRAME_BROKEN) {
        testbed_break(play->server, &play->peer, bytes, frame.fault);
        assert(!testbed_stands(play->server, &play->peer));
        return false;
    }
    memcpy(text, bytes.at, frame.len);
    received[place].scanned = 0;
    received[place].len -= frame.len;
    memmove(received[place].at, received[place].at + frame.len, received[place].len);
    if (frame.kind == FRAME_MESSAGE)
        receive(play, slice_of(text, frame.len));
    return testbed_stands(play->server, &play->peer);
}

static void stream(struct play *play, struct slice bytes)
{
    unsigned place = connection_place(play->peer.connection);

    if (!testbed_stands(play->server, &play->peer))
        return;
    if (bytes.len > STREAM_BYTES - received[place].len) {
        testbed_close(play->server, place);
        return;
    }
    memcpy(received[place].at + received[place].len, bytes.at, bytes.len);
    received[place].len += bytes.len;
    while (take_frame(play, place))
        continue;
}

static void copy_fields(struct writer *w, const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        write_slice(w, header_name(header));
        write_slice(w, S(": "));
        write_slice(w, message_value(m, i));
        write_slice(w, S("\r\n"));
    }
}

/* The latest message but `n` that is a request, or a response; NULL if there is none. */
static const struct sent *find_sent(const struct testbed *server, unsigned n, bool is_request,
                                    struct message *m)
{
    for (unsigned i = server->sent_count; i-- > 0;) {
        message_parse(server->sent[i].bytes, m);
        if (m->is_request == is_request && n-- == 0)
            return &server->sent[i];
    }
    return NULL;
}

static void answer(struct play *play, unsigned n, unsigned choice)
{
    static const unsigned statuses[] = {100, 180, 183, 200, 202, 302, 404, 408,
                                        481, 486, 487, 500, 503, 600, 603, 199};
    static struct message m;
    static char text[2 * MESSAGE_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    const struct sent *request = find_sent(play->server, n, true, &m);

    if (!request)
        return;
    write_slice(&w, S("SIP/2.0 "));
    write_number(&w, statuses[choice % COUNT_OF(statuses)]);
    write_slice(&w, S(" x\r\n"));
    copy_fields(&w, &m, HEADER_VIA);
    copy_fields(&w, &m, HEADER_RECORD_ROUTE);
    copy_fields(&w, &m, HEADER_FROM);
    write_slice(&w, S("To: "));
    write_slice(&w, message_first(&m, HEADER_TO));
    if (!memmem(w.at + w.len - message_first(&m, HEADER_TO).len, message_first(&m, HEADER_TO).len,
                ";tag=", 5)) {
        write_slice(&w, S(";tag=t"));
        write_number(&w, choice >> 6);
    }
    write_slice(&w, S("\r\n"));
    copy_fields(&w, &m, HEADER_CALL_ID);
    copy_fields(&w, &m, HEADER_CSEQ);
    write_slice(&w, S("Contact: <sip:phone@198.51.100.9>\r\n"));
    if (choice & HAS_KEYS)
        write_slice(&w, S("Content-Type: application/sdp\r\nContent-Length: 29\r\n\r\n"
                          "a=fingerprint:sha-256 AB:CD\r\n"));
    else
        write_slice(&w, S("Content-Length: 0\r\n\r\n"));
    if (!w.failed && w.len <= MESSAGE_LIMIT)
        receive_by(play, &request->flow, writer_slice(&w));
}

/* Both ends can be told apart by their tags, and our own routes lead to the other. */
static bool is_in_dialog(const struct message *m)
{
    struct slice from = address_tag(message_first(m, HEADER_FROM));
    struct slice to = address_tag(message_first(m, HEADER_TO));

    return m->first[HEADER_RECORD_ROUTE] && from.len && to.len && !slice_equal(from, to);
}

/* ACK, BYE, CANCEL or a further request from the one who got the response. */
static void follow(struct play *play, unsigned choice)
{
    static const enum method methods[] = {METHOD_ACK, METHOD_BYE, METHOD_CANCEL, METHOD_INVITE,
                                          METHOD_INFO};
    static struct message m;
    static char text[2 * MESSAGE_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    const struct sent *response = find_sent(play->server, 0, false, &m);
    enum method method = methods[choice % COUNT_OF(methods)];
    struct cseq cseq;

    if (!response || !cseq_parse(message_first(&m, HEADER_CSEQ), &cseq))
        return;
    write_slice(&w, method_name(method));
    write_slice(&w, S(" sip:phone@198.51.100.9 SIP/2.0\r\n"));
    if (method == METHOD_CANCEL || (method == METHOD_ACK && m.status >= 300))
        copy_fields(&w, &m, HEADER_VIA);
    else if (cseq.method == METHOD_INVITE && m.status < 300 && is_in_dialog(&m))
        write_slice(&w, S("Via: SIP/2.0/UDP 198.51.100.7;rport;branch=" TO_CALLEE "\r\n"));
    else
        write_slice(&w, S("Via: SIP/2.0/UDP 198.51.100.7;rport;branch=z9hG4bKf\r\n"));
    for (unsigned i = m.field_count; i > 0; i--) /* 12.1.2: in reverse */
        if (m.fields[i].header == HEADER_RECORD_ROUTE) {
            write_slice(&w, S("Route: "));
            write_slice(&w, message_value(&m, i));
            write_slice(&w, S("\r\n"));
        }
    copy_fields(&w, &m, HEADER_FROM);
    copy_fields(&w, &m, HEADER_TO);
    copy_fields(&w, &m, HEADER_CALL_ID);
    write_slice(&w, S("CSeq: "));
    write_number(&w, cseq.number + (method != METHOD_ACK && method != METHOD_CANCEL) +
                         choice / COUNT_OF(methods));
    write_char(&w, ' ');
    write_slice(&w, method_name(method));
    write_slice(&w, S("\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"));
    if (!w.failed && w.len <= MESSAGE_LIMIT)
        receive_by(play, &response->flow, writer_slice(&w));
}

/* The latest INVITE that began something; NULL if there is none. */
static const struct sent *find_invite(const struct testbed *server, struct message *m)
{
    for (unsigned i = server->sent_count; i-- > 0;) {
        message_parse(server->sent[i].bytes, m);
        if (is_beginning(m))
            return &server->sent[i];
    }
    return NULL;
}

/* A request from who got it, and has answered with that tag. */
static void turn(struct play *play, unsigned choice, unsigned tag)
{
    static const enum method methods[] = {METHOD_BYE, METHOD_INFO, METHOD_INVITE, METHOD_UPDATE};
    static struct message m;
    static char text[2 * MESSAGE_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    const struct sent *invite = find_invite(play->server, &m);
    enum method method = methods[choice % COUNT_OF(methods)];
    const char own[] = {'t', (char)('0' + tag % 4), '\0'};
    struct slice caller = invite ? address_tag(message_first(&m, HEADER_FROM)) : NO_SLICE;

    if (!caller.len || slice_equal(caller, slice_text(own)))
        return;
    write_slice(&w, method_name(method));
    write_slice(&w, S(" sip:phone@198.51.100.9 SIP/2.0\r\n"
                      "Via: SIP/2.0/UDP 198.51.100.7;rport;branch=" TO_CALLER "\r\n"));
    for (unsigned i = m.first[HEADER_RECORD_ROUTE]; i; i = m.fields[i].next) {
        write_slice(&w, S("Route: "));
        write_slice(&w, message_value(&m, i));
        write_slice(&w, S("\r\n"));
    }
    write_slice(&w, S("From: "));
    write_slice(&w, message_first(&m, HEADER_TO));
    write_slice(&w, S(";tag="));
    write_slice(&w, slice_text(own));
    write_slice(&w, S("\r\nTo: "));
    write_slice(&w, message_first(&m, HEADER_FROM));
    write_slice(&w, S("\r\n"));
    copy_fields(&w, &m, HEADER_CALL_ID);
    write_slice(&w, S("CSeq: "));
    write_number(&w, 1 + choice / COUNT_OF(methods));
    write_char(&w, ' ');
    write_slice(&w, method_name(method));
    write_slice(&w, S("\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"));
    if (!w.failed && w.len <= MESSAGE_LIMIT)
        receive_by(play, &invite->flow, writer_slice(&w));
}

static void tell(struct play *play, unsigned n, unsigned status, struct slice records)
{
    struct dns_answer answer = {.status = status % (DNS_BOGUS + 1), .is_secure = status >> 7};
    struct reader r = reader_over(records);
    enum dns_type type = DNS_A;

    while (answer.count < DNS_RECORDS && r.rest.len) {
        struct slice data = read_bytes(&r, min_u64(read_u8(&r), r.rest.len));
        answer.data[answer.count++] = data;
    }
    if (n < play->server->asked_count)
        type = play->server->asked[(play->server->asked_count - 1 - n) % TESTBED_QUESTIONS].type;
    play->has_told_of_key |= type == DNS_TLSA && answer.is_secure && answer.count;
    testbed_tell(play->server, n, &answer);
    rest_check_limits(play->server);
}

/* What the shell found where a signature says that a certificate is. */
static void certify(struct play *play, unsigned n, unsigned state, unsigned key, unsigned days)
{
    int64_t day = 24 * 3600, wall = play->server->now.wall;
    struct certificate found = {
        .state = CERTIFICATE_UNREACHABLE + state % CERTIFICATE_GOOD,
        .point = {(uint8_t)key},
        .not_before = wall - day,
        .not_after = wall + (int64_t)days * day - day,
    };

    testbed_certificate(play->server, n, &found);
    rest_check_limits(play->server);
}

static void refuse(struct play *play, unsigned n, unsigned octets)
{
    static struct message m;
    static char head[1020];
    const struct sent *request = find_sent(play->server, n, true, &m);
    size_t len = request ? min_u64(4 * octets, request->bytes.len) : 0;

    if (!request || flow_is_reliable(&request->flow))
        return;
    memcpy(head, request->bytes.at, len);
    struct flow flow = request->flow;
    step(play, EVENT_UNREACHED, &flow, slice_of(head, len));
}

/* The bindings that there are. */
struct bound {
    unsigned count;
    struct {
        uint64_t name; /* a hash of all that a restart keeps */
        bool lasts;    /* a minute at least */
    } at[COUNT_OF(callers) * BINDINGS_PER_AOR];
};

static struct bound list_bound(const struct testbed *server)
{
    static const struct hash_key key = {5, 6};
    struct bound bound = {.count = 0};
    struct binding_view view;
    uint32_t cursor = 0;

    while (core_next_binding(server->core, &cursor, &view)) {
        assert(bound.count < COUNT_OF(bound.at));
        bound.at[bound.count].lasts = view.expires > server->now.boot + SECONDS(60);
        bound.at[bound.count++].name = hash_bytes(&key, view.aor) ^
                                       (hash_bytes(&key, view.contact) * 3) ^
                                       (hash_bytes(&key, view.call_id) * 5) ^ view.cseq;
    }
    return bound;
}

static bool is_among(const struct bound *bound, uint64_t name)
{
    for (unsigned i = 0; i < bound->count; i++)
        if (bound->at[i].name == name)
            return true;
    return false;
}

/* None was lost, and none is there that was not.  What is stored of one may last longer than its
 * phone was told, so how long each does is not compared. */
static void check_bound(const struct bound *before, const struct testbed *server)
{
    const struct bound after = list_bound(server);

    for (unsigned i = 0; i < before->count; i++)
        assert(!before->at[i].lasts || is_among(&after, before->at[i].name));
    for (unsigned i = 0; i < after.count; i++)
        assert(is_among(before, after.at[i].name));
}

/* Streams that we opened end with us. */
static void restart(struct play *play, unsigned survivors)
{
    const struct bound before = list_bound(play->server);

    for (unsigned place = 1; place <= TESTBED_STREAMS; place++)
        if (place > PEERS || !(survivors >> (place - 1) & 1))
            play->server->streams[place] = (struct flow){0};
    if (survivors & RECALLS)
        testbed_restart_recalling(play->server);
    else
        testbed_restart(play->server);
    rest_check_limits(play->server);
    if (!play->store_failed && !play->wall_jumped && !play->server->journal_is_full)
        check_bound(&before, play->server);
}

/* The order of what comes changes nothing of what there is. */
static void recall(struct play *play)
{
    const struct bound before = list_bound(play->server);
    bool goes_on = testbed_recall(play->server);

    rest_check_limits(play->server);
    if (goes_on)
        check_bound(&before, play->server);
}

static void open_stream(struct play *play, unsigned arrival, unsigned place, uint16_t port)
{
    struct testbed *server = play->server;
    const struct flow *there = &server->streams[place];

    if (there->connection && (there->socket != arrival || there->port != port))
        testbed_close(server, place);
    if (!there->connection) {
        received[place].len = received[place].scanned = 0;
        testbed_open(server, arrival, place, port, play->names);
    }
    play->peer = *there;
}

static void choose_peer(struct play *play, unsigned arrival, unsigned who)
{
    unsigned host = 1 + who % PEERS;
    uint16_t port = (uint16_t)(5060 + who % 3);

    play->peer = testbed_flow(arrival % ARRIVAL_COUNT, host, port);
    play->user = callers[who % COUNT_OF(callers)];
    if (flow_is_reliable(&play->peer))
        open_stream(play, arrival % ARRIVAL_COUNT, host, port);
}

static void run_piece(struct play *play, struct slice piece)
{
    struct testbed *server = play->server;
    unsigned a = octet(piece, 1), b = octet(piece, 2);
    struct flow flow;

    switch (octet(piece, 0)) {
    case ORDER_PEER: choose_peer(play, a, b); break;
    case ORDER_WAIT: testbed_run_until(server, server->now.boot + MS(10 * (a + 256 * b))); break;
    case ORDER_WALL:
        server->now.wall += (int16_t)(a | b << 8);
        play->wall_jumped = true;
        break;
    case ORDER_RESTART: restart(play, a); break;
    case ORDER_CHECKPOINT: step(play, EVENT_CHECKPOINT, NULL, NO_SLICE); break;
    case ORDER_STORE_FAILED:
        play->store_failed = true;
        step(play, EVENT_STORE_FAILED, NULL, NO_SLICE);
        break;
    case ORDER_STORE_WORKS: step(play, EVENT_STORE_WORKS, NULL, NO_SLICE); break;
    case ORDER_ANSWER: answer(play, a, b); break;
    case ORDER_FOLLOW: follow(play, a); break;
    case ORDER_TURN: turn(play, a, b); break;
    case ORDER_BIND:
        flow = testbed_flow(BY_UDP, 10 + b % 4, 5060);
        testbed_bind(server, callers[a % COUNT_OF(callers)], &flow);
        break;
    case ORDER_DNS: tell(play, a, b, slice_from(piece, min_u64(piece.len, 3))); break;
    case ORDER_UNREACHED: refuse(play, a, b); break;
    case ORDER_CERTIFICATE: certify(play, a, b, octet(piece, 3), octet(piece, 4)); break;
    case ORDER_NAMES: play->names = names[a % COUNT_OF(names)]; break;
    case ORDER_STAND: testbed_stand(server, 1 + a % TESTBED_STREAMS, play->names); break;
    case ORDER_CLOSE: testbed_close(server, 1 + a % TESTBED_STREAMS); break;
    case ORDER_RECALL: recall(play); break;
    default:
        if (flow_is_reliable(&play->peer))
            stream(play, piece);
        else
            receive(play, piece);
    }
    check_sent(play);
}

/* A signature of these games: its first octet is the key. */
static bool toy_sign(const void *key, struct slice text, uint8_t *signature)
{
    (void)text;
    memset(signature, *(const uint8_t *)key, ES256_SIGNATURE);
    return true;
}

static bool toy_verify(const uint8_t *point, struct slice text, const uint8_t *signature)
{
    (void)text;
    return point[0] == signature[0];
}

static struct testbed *make_server(void)
{
    static const struct es256_table toy = {toy_sign, toy_verify};
    static const uint8_t key = 'K';
    static const struct voucher own = {S("example.com"), S("https://example.com/c"), &key, 0,
                                       INT64_MAX};
    struct testbed *server = testbed_new(&tiny, "example.com", NULL);

    server->es256 = &toy;
    server->settings.vouchers = &own;
    server->settings.voucher_count = 1;
    server->settings.domains = domains;
    server->settings.domain_count = COUNT_OF(domains);
    return server;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct testbed *server;
    struct slice rest = fuzz_input(data, size);
    struct play play;
    size_t text_at_rest;

    if (!server)
        server = make_server();
    testbed_clear(server);
    text_at_rest = core_census(server->core).text_bytes;
    play = (struct play){.server = server};
    choose_peer(&play, BY_UDP, 0);
    for (unsigned i = 0; rest.len && i < PIECES; i++) {
        size_t end = slice_find(rest, SEPARATOR);
        if (end)
            run_piece(&play, slice_until(rest, end));
        rest = slice_from(rest, end < rest.len ? end + 1 : end);
    }
    rest_check(server, text_at_rest);
    rest_check_service(server);
    return 0;
}
