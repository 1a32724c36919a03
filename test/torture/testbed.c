#include "testbed.h"

#include "core/credential.h"
#include "core/identity.h"
#include "core/recall.h"

#include <stdlib.h>

#include "toy_digest.h"

/* Some are known by an extension that stands for an odd user part. */
static const struct {
    const char *id;
    const char *extension;
} users[TESTBED_USERS] = {
    {"user"},
    {"j.user"},
    {"caller"},
    {"watson"},
    {"kumiko"},
    {"UserB"},
    {"null-"},
    {"mundane"},
    {"I have spaces"},
    {"escaped", "sips:user@example.com"},
    {"semicolon", "user;par=u@example.net"},
    {"odd", "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"},
    {"at@sign"},
};

static const struct socket_settings sockets[ARRIVAL_COUNT] = {
    [BY_UDP] = {TRANSPORT_UDP, S("192.0.2.254"), 5060},
    [BY_TCP] = {TRANSPORT_TCP, S("192.0.2.254"), 5060},
    [BY_TLS] = {TRANSPORT_TLS, S("192.0.2.254"), 5061},
    [BY_UDP_LOOPBACK] = {TRANSPORT_UDP, S("127.0.0.1"), 5080},
    [BY_UDP6] = {TRANSPORT_UDP, S("[2001:db8::10]"), 5060},
    [BY_UDP6_5070] = {TRANSPORT_UDP, S("[2001:db8::10]"), 5070},
};

static bool is_in_database(unsigned index)
{
    return index % 2;
}

static void make_user(struct testbed *server, struct user_settings *user, unsigned index)
{
    user->source = is_in_database(index) ? SOURCE_DATABASE : SOURCE_FILE;
    user->id = slice_text(users[index].id);
    user->extension = slice_text(users[index].extension);
    for (unsigned i = 0; i < ALGORITHM_COUNT; i++) {
        digest_ha1(&toy_digests, i, user->id, server->settings.realm, S(TESTBED_PASSWORD),
                   user->ha1[i]);
        user->has_ha1[i] = true;
    }
}

static bool find_in_database(void *self, enum roster_key key, struct slice name,
                             struct user_settings *user)
{
    const struct testbed *server = self;

    for (unsigned i = 0; i < COUNT_OF(users); i++) {
        *user = server->users[i];
        if (is_in_database(i) && slice_equal(key == ROSTER_ID ? user->id : user->extension, name))
            return true;
    }
    return false;
}

static void put_users(struct testbed *server, bool of_database)
{
    for (unsigned i = 0; i < COUNT_OF(users); i++)
        if (is_in_database(i) == of_database)
            assert(core_put_user(server->core, &server->users[i]));
}

static void create_core(struct testbed *server)
{
    struct core_origin origin = {
        .limits = server->limits,
        .settings = &server->settings,
        .digests = &toy_digests,
        .es256 = server->es256,
        .secret = {1, 2},
        .seed = {3, ++server->runs},
    };

    server->asked_count = server->fetched_count = 0;
    memset(server->memory, 0, server->memory_size);
    server->core = core_create(server->memory, &origin, server->now);
    free(server->notes);
    server->notes = NULL;
}

struct testbed *testbed_new(const struct limits *limits, const char *realm, const char *localname)
{
    struct testbed *server = calloc(1, sizeof *server);

    assert(server);
    server->limits = *limits;
    server->settings = settings_default();
    server->settings.session_expires = 0; /* forwarded messages are compared field by field */
    server->settings.realm = slice_text(realm);
    server->localname = slice_text(localname);
    server->settings.localnames = &server->localname;
    server->settings.localname_count = localname != NULL;
    server->settings.sockets = sockets;
    server->settings.socket_count = ARRIVAL_COUNT;
    server->settings.is_public = true;
    server->memory_size = (core_bytes(limits) + 63) & ~(size_t)63;
    server->memory = aligned_alloc(64, server->memory_size);
    server->sent_bytes = writer_over(malloc(TESTBED_BYTES), TESTBED_BYTES);
    server->journal = writer_over(malloc(TESTBED_JOURNAL), TESTBED_JOURNAL);
    server->past = writer_over(malloc(TESTBED_JOURNAL), TESTBED_JOURNAL);
    server->out = (struct actions){server->actions, 0, STEP_ACTIONS,
                                   writer_over(malloc(STEP_BYTES), STEP_BYTES)};
    assert(server->memory && server->sent_bytes.at && server->journal.at && server->past.at &&
           server->out.bytes.at);
    for (unsigned i = 0; i < COUNT_OF(users); i++)
        make_user(server, &server->users[i], i);
    testbed_clear(server);
    return server;
}

void testbed_clear(struct testbed *server)
{
    server->now = (struct moment){SECONDS(1000), 1700000000};
    server->runs = 0;
    server->journal.len = server->journal_old = 0;
    server->journal_is_full = false;
    testbed_forget(server);
    server->call_count = 0;
    memset(server->streams, 0, sizeof server->streams);
    server->opened = 0;
    create_core(server);
    put_users(server, false);
    put_users(server, true);
    testbed_step(server, EVENT_STARTED, NULL, NO_SLICE);
}

void testbed_free(struct testbed *server)
{
    free(server->memory);
    free(server->sent_bytes.at);
    free(server->journal.at);
    free(server->past.at);
    free(server->notes);
    free(server->out.bytes.at);
    free(server);
}

static void restore(struct testbed *server, struct slice journal)
{
    struct reader records = reader_over(journal);

    server->journal_old = 0;
    for (unsigned i = 1; i <= TESTBED_STREAMS; i++)
        if (server->streams[i].connection)
            testbed_step(server, EVENT_OPENED, &server->streams[i], NO_SLICE);
    while (records.rest.len) {
        uint64_t len = read_u64(&records);
        testbed_step(server, EVENT_RESTORED, NULL, read_bytes(&records, len));
        assert(!records.failed);
    }
    testbed_step(server, EVENT_STARTED, NULL, NO_SLICE);
}

void testbed_restart(struct testbed *server)
{
    create_core(server);
    put_users(server, false);
    put_users(server, true);
    restore(server, writer_slice(&server->journal));
}

void testbed_restart_recalling(struct testbed *server)
{
    static struct roster roster = {find_in_database, NULL};
    size_t bytes = server->journal.len;

    create_core(server);
    server->past.len = 0;
    write_slice(&server->past, writer_slice(&server->journal));
    server->notes = calloc(1, recall_bytes(bytes));
    assert(server->notes);
    roster.self = server;
    recall_begin(server->core, server->notes, bytes, &roster);
    put_users(server, false);
    restore(server, writer_slice(&server->past));
}

bool testbed_recall(struct testbed *server)
{
    if (!recall_goes_on(server->core))
        return false;
    put_users(server, true);
    testbed_step(server, EVENT_RECALL, NULL, NO_SLICE);
    return true;
}

struct flow testbed_flow(enum arrival arrival, unsigned host, uint16_t port)
{
    struct flow flow = {
        .transport = (uint8_t)sockets[arrival].transport,
        .is_v6 = sockets[arrival].host.at[0] == '[',
        .port = port,
        .socket = (uint16_t)arrival,
    };
    static const uint8_t v4[4] = {198, 51, 100, 0};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [13] = 9};

    if (flow_is_reliable(&flow))
        flow.connection = host;
    memcpy(flow.address, flow.is_v6 ? v6 : v4, flow.is_v6 ? sizeof v6 : sizeof v4);
    flow.address[flow.is_v6 ? 15 : 3] = (uint8_t)host;
    return flow;
}

static void keep_sent(struct testbed *server, const struct action *action)
{
    size_t start;

    assert(action->bytes.len);
    if (server->sent_count == TESTBED_SENT ||
        server->sent_bytes.limit - server->sent_bytes.len < action->bytes.len)
        testbed_forget(server);
    start = server->sent_bytes.len;
    write_slice(&server->sent_bytes, action->bytes);
    server->sent[server->sent_count++] =
        (struct sent){action->flow, slice_of(server->sent_bytes.at + start, action->bytes.len)};
}

static void keep_record(struct testbed *server, struct slice record)
{
    struct writer *journal = &server->journal;

    if (journal->limit - journal->len < sizeof(uint64_t) + record.len)
        server->journal_is_full = true;
    if (server->journal_is_full)
        return;
    write_u64(journal, record.len); /* as many octets as a frame of the real one takes */
    write_slice(journal, record);
}

/* The older segments go. */
static void drop_old_records(struct testbed *server)
{
    struct writer *journal = &server->journal;

    journal->len -= server->journal_old;
    memmove(journal->at, journal->at + server->journal_old, journal->len);
    server->journal_old = 0;
}

static void note_call(struct testbed *server, struct slice record)
{
    struct reader r = reader_over(record);

    server->calls[server->call_count++ % COUNT_OF(server->calls)] = read_u64(&r);
}

static void keep_stream(struct testbed *server, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);

    assert(place && place <= TESTBED_STREAMS && !server->streams[place].connection);
    server->streams[place] = *flow;
    server->is_open[place] = false;
    server->proven[place] = server->plans[place] = NO_SLICE;
}

static void keep_plan(struct testbed *server, const struct action *action)
{
    uint32_t place = connection_place(action->flow.connection);

    keep_stream(server, &action->flow);
    assert(action->bytes.len <= TESTBED_PLAN);
    memcpy(server->plan_bytes[place], action->bytes.at, action->bytes.len);
    server->plans[place] = slice_of(server->plan_bytes[place], action->bytes.len);
}

bool testbed_stands(const struct testbed *server, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);

    return place && place <= TESTBED_STREAMS && flow_equal(&server->streams[place], flow);
}

static void carry_out(struct testbed *server)
{
    struct actions *out = &server->out;

    assert(out->count <= out->limit && !out->bytes.failed);
    for (unsigned i = 0; i < out->count; i++) {
        const struct action *action = &out->at[i];
        switch (action->kind) {
        case ACTION_SEND: keep_sent(server, action); break;
        case ACTION_PERSIST: keep_record(server, action->bytes); break;
        case ACTION_CHECKPOINTED: drop_old_records(server); break;
        case ACTION_CALL: note_call(server, action->bytes); break;
        case ACTION_CONNECT: keep_plan(server, action); break;
        case ACTION_CLOSE:
            if (testbed_stands(server, &action->flow))
                server->is_closing[connection_place(action->flow.connection)] = true;
            break;
        case ACTION_ASK:
            server->asked[server->asked_count++ % TESTBED_QUESTIONS] = action->ask;
            break;
        case ACTION_FETCH:
            server->fetched[server->fetched_count++ % TESTBED_QUESTIONS] = action->fetch.id;
            break;
        case ACTION_EXPECT:
        case ACTION_LEG:
        case ACTION_LOOK:
        case ACTION_LOG:
        case ACTION_ANSWER: break;
        }
    }
    out->count = 0;
    out->bytes.len = 0;
}

static void run_event(struct testbed *server, const struct event *event)
{
    core_step(server->core, event, server->now, &server->out);
    carry_out(server);
    for (unsigned i = 1; i <= TESTBED_STREAMS; i++)
        if (server->is_closing[i])
            testbed_close(server, i);
}

void testbed_step(struct testbed *server, enum event_kind kind, const struct flow *flow,
                  struct slice bytes)
{
    struct event event = {.kind = kind, .bytes = bytes};

    if (flow)
        event.flow = *flow;
    if (kind == EVENT_CHECKPOINT)
        server->journal_old = server->journal.len;
    run_event(server, &event);
}

/* A certificate and its key whose hashes are all 'k'. */
static struct slice write_credential(char *bytes)
{
    struct credential credential = {.count = 1};
    struct writer w = writer_over(bytes, CREDENTIAL_BYTES);

    memset(&credential.chain[0], 'k', sizeof credential.chain[0]);
    credential_write(&w, &credential);
    return writer_slice(&w);
}

static void say_open(struct testbed *server, unsigned place, struct slice domains)
{
    struct event event = {.kind = EVENT_OPENED, .flow = server->streams[place]};
    char bytes[CREDENTIAL_BYTES];

    server->is_open[place] = true;
    if (flow_is_secure(&event.flow)) {
        server->proven[place] = event.bytes = domains;
        event.credential = write_credential(bytes);
    }
    run_event(server, &event);
}

struct flow testbed_open(struct testbed *server, enum arrival arrival, unsigned place,
                         uint16_t port, struct slice domains)
{
    struct flow flow = testbed_flow(arrival, place, port);

    flow.connection = connection_name(place, ++server->opened);
    keep_stream(server, &flow);
    say_open(server, place, domains);
    return flow;
}

/* As the shell decides it. */
static bool proves_plan(const struct testbed *server, unsigned place, struct slice domains)
{
    char bytes[CREDENTIAL_BYTES];
    struct credential shown;
    struct peer_plan plan;

    if (!server->plans[place].len || !peer_read(server->plans[place], &plan))
        return true;
    if (!plan.tlsa_count)
        return plan.policy == POLICY_OPPORTUNISTIC ||
               (plan.policy == POLICY_VERIFIED && identity_is_among(domains, plan.domain));
    credential_read(write_credential(bytes), &shown);
    return credential_matches(&shown, &plan, toy_digests.hash[ALGORITHM_SHA256]);
}

void testbed_stand(struct testbed *server, unsigned place, struct slice domains)
{
    struct event event = {.kind = EVENT_CLOSED, .is_unproven = true};

    if (place <= server->limits.accepted || !server->streams[place].connection ||
        server->is_open[place])
        return;
    if (proves_plan(server, place, domains)) {
        say_open(server, place, domains);
        return;
    }
    event.flow = server->streams[place];
    server->streams[place] = (struct flow){0};
    run_event(server, &event);
}

void testbed_close(struct testbed *server, unsigned place)
{
    struct event event = {.kind = EVENT_CLOSED, .flow = server->streams[place]};

    server->is_closing[place] = false;
    if (!event.flow.connection)
        return;
    server->streams[place] = (struct flow){0};
    run_event(server, &event);
}

void testbed_break(struct testbed *server, const struct flow *flow, struct slice bytes,
                   struct fault fault)
{
    run_event(server, &(struct event){
                          .kind = EVENT_BROKEN,
                          .flow = *flow,
                          .bytes = bytes,
                          .fault = fault,
                      });
}

void testbed_tell(struct testbed *server, unsigned n, const struct dns_answer *answer)
{
    if (n < server->asked_count && n < TESTBED_QUESTIONS)
        run_event(
            server,
            &(struct event){
                .kind = EVENT_DNS,
                .question = server->asked[(server->asked_count - 1 - n) % TESTBED_QUESTIONS].id,
                .dns = answer,
            });
}

void testbed_certificate(struct testbed *server, unsigned n, const struct certificate *found)
{
    if (n < server->fetched_count && n < TESTBED_QUESTIONS)
        run_event(
            server,
            &(struct event){
                .kind = EVENT_CERTIFICATE,
                .question = server->fetched[(server->fetched_count - 1 - n) % TESTBED_QUESTIONS],
                .certificate = found,
            });
}

static void pass_time(struct testbed *server, instant at)
{
    server->now.wall += (int64_t)(at / SECONDS(1) - server->now.boot / SECONDS(1));
    server->now.boot = at;
}

void testbed_run_until(struct testbed *server, instant at)
{
    for (unsigned steps = 0; core_deadline(server->core) <= at; steps++) {
        instant due = core_deadline(server->core);
        assert(steps < 1000000); /* a deadline that never passes */
        if (due > server->now.boot)
            pass_time(server, due);
        testbed_step(server, EVENT_DEADLINE, NULL, NO_SLICE);
    }
    if (at > server->now.boot)
        pass_time(server, at);
}

void testbed_forget(struct testbed *server)
{
    server->sent_count = 0;
    server->sent_bytes.len = 0;
}

struct slice testbed_last(const struct testbed *server)
{
    assert(server->sent_count);
    return server->sent[server->sent_count - 1].bytes;
}

/* What stands in quotes behind `name`; empty if it is not there. */
static struct slice quoted_param(struct slice value, const char *name)
{
    const char *at = memmem(value.at, value.len, name, strlen(name));
    struct slice rest;

    if (!at)
        return NO_SLICE;
    rest = slice_from(value, (size_t)(at - value.at) + strlen(name));
    return slice_until(rest, slice_find(rest, '"'));
}

static void write_credentials(struct writer *w, const struct credentials *c, bool is_proxy,
                              const char *hex)
{
    write_slice(w, is_proxy ? S("Proxy-Authorization") : S("Authorization"));
    write_slice(w, S(": Digest username=\""));
    write_slice(w, c->username);
    write_slice(w, S("\", realm=\""));
    write_slice(w, c->realm);
    write_slice(w, S("\", nonce=\""));
    write_slice(w, c->nonce);
    write_slice(w, S("\", uri=\""));
    write_slice(w, c->uri);
    write_slice(w, S("\", response=\""));
    write_bytes(w, hex, 2 * digest_size(ALGORITHM_MD5));
    write_slice(w, S("\", algorithm=MD5, cnonce=\"c\", qop=auth, nc="));
    write_slice(w, c->nc_text);
    write_slice(w, S("\r\n"));
}

bool testbed_sign(struct writer *w, struct slice request, struct slice challenge, const char *user)
{
    static struct message m, asked;
    struct credentials c = {.username = slice_text(user),
                            .cnonce = S("c"),
                            .qop = S("auth"),
                            .nc_text = S("00000001"),
                            .nc = 1,
                            .algorithm = ALGORITHM_MD5};
    uint8_t ha1[DIGEST_LIMIT];
    char hex[2 * DIGEST_LIMIT];
    struct slice value;

    message_parse(request, &m);
    if (!m.headers || message_parse(challenge, &asked).status)
        return false;
    value = message_first(&asked, asked.status == 407 ? HEADER_PROXY_AUTHENTICATE
                                                      : HEADER_WWW_AUTHENTICATE);
    c.nonce = quoted_param(value, "nonce=\"");
    c.realm = quoted_param(value, "realm=\"");
    c.uri = message_span(&m, m.uri);
    digest_ha1(&toy_digests, c.algorithm, c.username, c.realm, S(TESTBED_PASSWORD), ha1);
    digest_response(&toy_digests, &c, ha1, message_span(&m, m.method_text), message_body(&m), hex);
    write_slice(w, slice_until(request, m.headers));
    write_credentials(w, &c, asked.status == 407, hex);
    write_slice(w, slice_from(request, m.headers));
    return c.nonce.len && !w->failed;
}

static void write_escaped(struct writer *w, const char *text)
{
    for (; *text; text++) {
        bool is_plain = (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= 'a' && *text <= 'z');
        if (is_plain) {
            write_char(w, *text);
        } else {
            write_char(w, '%');
            write_hex(w, (unsigned char)*text, 2);
        }
    }
}

static void write_register(struct writer *w, const struct testbed *server, const char *user,
                           const struct flow *flow)
{
    struct address_bytes host = {.is_v6 = flow->is_v6};
    struct writer aor, at;
    char aor_text[512], at_text[64];

    memcpy(host.at, flow->address, sizeof host.at);
    at = writer_over(at_text, sizeof at_text);
    write_host(&at, &host);
    write_char(&at, ':');
    write_number(&at, flow->port);
    aor = writer_over(aor_text, sizeof aor_text);
    write_escaped(&aor, user);
    write_char(&aor, '@');
    write_slice(&aor, server->settings.realm);

    write_slice(w, S("REGISTER sip:"));
    write_slice(w, server->settings.realm);
    write_slice(w, S(" SIP/2.0\r\nVia: SIP/2.0/"));
    write_slice(w, transport_name(flow->transport));
    write_char(w, ' ');
    write_slice(w, writer_slice(&at));
    write_slice(w, S(";rport;branch=z9hG4bK"));
    write_number(w, server->now.boot + flow->port);
    write_slice(w, S("\r\nFrom: <sip:"));
    write_slice(w, writer_slice(&aor));
    write_slice(w, S(">;tag=1\r\nTo: <sip:"));
    write_slice(w, writer_slice(&aor));
    write_slice(w, S(">\r\nCall-ID: "));
    write_slice(w, writer_slice(&at));
    write_slice(w, S("\r\nCSeq: 1 REGISTER\r\nContact: <sip:phone@"));
    write_slice(w, writer_slice(&at));
    write_slice(w, S(">\r\nUser-Agent: a phone of the testbed\r\nContent-Length: 0\r\n\r\n"));
}

bool testbed_bind(struct testbed *server, const char *user, const struct flow *flow)
{
    char plain[2048], complete[4096];
    struct writer w = writer_over(plain, sizeof plain);
    struct writer s = writer_over(complete, sizeof complete);
    bool is_bound;

    write_register(&w, server, user, flow);
    testbed_step(server, EVENT_RECEIVED, flow, writer_slice(&w));
    if (!testbed_sign(&s, writer_slice(&w), testbed_last(server), user))
        return false;
    testbed_step(server, EVENT_RECEIVED, flow, writer_slice(&s));
    is_bound = slice_starts(testbed_last(server), S("SIP/2.0 200 "));
    testbed_forget(server);
    return is_bound;
}

void testbed_keep_calls(struct testbed *server)
{
    for (unsigned i = 0; i < server->call_count && i < COUNT_OF(server->calls); i++)
        testbed_step(server, EVENT_CALLS_KEPT, NULL,
                     slice_of((const char *)&server->calls[i], sizeof server->calls[i]));
    server->call_count = 0;
}
