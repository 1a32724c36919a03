#include "world.h"

#include "core/recall.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define JOURNAL 65536u /* bytes of records, at most, that are recalled */
#define BYTES (4u * STEP_BYTES)

static void hash_with(const EVP_MD *md, const struct slice *parts, unsigned count, uint8_t *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned len;

    EVP_DigestInit_ex(ctx, md, NULL);
    for (unsigned i = 0; i < count; i++)
        EVP_DigestUpdate(ctx, parts[i].at, parts[i].len);
    EVP_DigestFinal_ex(ctx, out, &len);
    EVP_MD_CTX_free(ctx);
}

static void md5(const struct slice *parts, unsigned count, uint8_t *out)
{
    hash_with(EVP_md5(), parts, count, out);
}

static void sha256(const struct slice *parts, unsigned count, uint8_t *out)
{
    hash_with(EVP_sha256(), parts, count, out);
}

const struct digest_table world_digests = {{md5, sha256}};

const struct limits world_limits = {
    .users = 16,
    .bindings = 64,
    .transactions = 64,
    .contexts = 32,
    .dialogs = 16,
    .anchors = 16,
    .calls = 16,
    .nonces = 64,
    .accepted = 16,
    .connected = 4,
    .lookups = 4,
    .text = 2 << 20,
};

static const struct socket_settings sockets[] = {
    {TRANSPORT_UDP, {"192.0.2.1", 9}, 5060},
    {TRANSPORT_UDP, {"[2001:db8::1]", 13}, 5060},
    {TRANSPORT_TCP, {"192.0.2.1", 9}, 5060},
};

struct user_settings world_user(const struct world *w, const char *id, const char *extension,
                                const char *secret)
{
    struct user_settings user = {
        .id = slice_text(id),
        .extension = slice_text(extension),
        .has_ha1 = {true, true},
    };

    for (unsigned i = 0; i < ALGORITHM_COUNT; i++)
        digest_ha1(&world_digests, i, user.id, w->settings.realm, slice_text(secret), user.ha1[i]);
    return user;
}

void world_put_user(struct world *w, const char *id, const char *extension, const char *secret,
                    bool has_sha256)
{
    struct user_settings user = world_user(w, id, extension, secret);

    user.has_ha1[ALGORITHM_SHA256] = has_sha256;
    assert(core_put_user(w->core, &user));
}

static void clear(struct world *w)
{
    w->out.count = 0;
    w->out.bytes.len = 0;
}

static void start(struct world *w)
{
    struct core_origin origin = {
        .limits = w->limits,
        .settings = &w->settings,
        .digests = w->digests,
        .es256 = w->es256,
        .secret = {1, 2},
        .seed = {(uint64_t)w->now.boot, w->record_count},
        .boot = w->boot,
    };

    w->memory = aligned_alloc(64, (core_bytes(&w->limits) + 63) & ~(size_t)63);
    memset(w->memory, 0, core_bytes(&w->limits));
    w->core = core_create(w->memory, &origin, w->now);
    free(w->past);
    w->past = w->roster ? calloc(1, recall_bytes(JOURNAL)) : NULL;
    if (w->roster)
        recall_begin(w->core, w->past, JOURNAL, w->roster);
    world_put_user(w, "alice", "201", "wonder", true);
    if (!w->roster)
        world_put_user(w, "bob", "202", "builder", true);
}

static struct slice copy_of(struct slice bytes)
{
    char *copy = malloc(bytes.len);

    memcpy(copy, bytes.at, bytes.len);
    return slice_of(copy, bytes.len);
}

static void change_relay(struct world *w, struct slice bytes)
{
    struct leg_change change;

    assert(w->relay && bytes.len && bytes.len % sizeof change == 0);
    for (; bytes.len; bytes = slice_from(bytes, sizeof change)) {
        memcpy(&change, bytes.at, sizeof change);
        table_change(w->relay, &change);
    }
}

static void note_look(struct world *w, struct slice bytes)
{
    w->looked_count = (unsigned)(bytes.len / sizeof w->looked[0]);
    assert(w->relay && w->looked_count <= TABLE_LEGS);
    memcpy(w->looked, bytes.at, bytes.len);
}

/* What an action says was written, and is not written over. */
static bool is_written(const struct world *w, struct slice bytes)
{
    const struct writer *written = &w->out.bytes;

    return bytes.at < written->at || bytes.at >= written->at + written->limit ||
           bytes.at + bytes.len <= written->at + written->len;
}

/* Records, and requests that were sent: they are needed after the step. */
static void keep(struct world *w, uint32_t from)
{
    for (uint32_t i = from; i < w->out.count; i++) {
        const struct action *act = &w->out.at[i];
        assert(is_written(w, act->bytes));
        if (act->kind == ACTION_CALL) {
            struct reader r = reader_over(act->bytes);
            assert(w->call_count < COUNT_OF(w->calls));
            w->calls[w->call_count++] = read_u64(&r);
        }
        if (act->kind == ACTION_ASK) {
            assert(w->asked_count < COUNT_OF(w->asked));
            w->asked[w->asked_count].question = act->ask;
            snprintf(w->asked[w->asked_count++].name, DNS_NAME + 1, "%.*s", (int)act->bytes.len,
                     act->bytes.at);
        }
        if (act->kind == ACTION_FETCH) {
            assert(w->fetched_count < COUNT_OF(w->fetched));
            w->fetched[w->fetched_count].question = act->fetch;
            snprintf(w->fetched[w->fetched_count++].what, sizeof w->fetched[0].what, "%.*s",
                     (int)act->bytes.len, act->bytes.at);
        }
        if (act->kind == ACTION_LEG)
            change_relay(w, act->bytes);
        if (act->kind == ACTION_LOOK)
            note_look(w, act->bytes);
        if (act->kind == ACTION_PERSIST) {
            assert(w->record_count < COUNT_OF(w->records));
            w->records[w->record_count++] = copy_of(act->bytes);
        } else if (act->kind == ACTION_SEND && !slice_starts(act->bytes, S("SIP/2.0 ")) &&
                   !slice_starts(act->bytes, S("\r\n"))) {
            assert(w->request_count < COUNT_OF(w->requests));
            w->requests[w->request_count].to = act->flow;
            w->requests[w->request_count++].bytes = copy_of(act->bytes);
        }
    }
    if (w->relay)
        table_check(w->relay);
}

static void step(struct world *w, struct event event)
{
    uint32_t from = w->out.count;

    core_step(w->core, &event, w->now, &w->out);
    keep(w, from);
}

void world_event(struct world *w, const struct event *event)
{
    clear(w);
    step(w, *event);
}

void world_tell(struct world *w, unsigned n, const struct dns_answer *answer)
{
    struct event event = {
        .kind = EVENT_DNS,
        .question = w->asked[n].question.id,
        .dns = answer,
    };

    assert(n < w->asked_count);
    w->asked_count--;
    memmove(&w->asked[n], &w->asked[n + 1], (w->asked_count - n) * sizeof w->asked[0]);
    world_event(w, &event);
}

void world_begin(struct world *w, bool is_public)
{
    world_begin_within(w, is_public, &world_limits);
}

void world_begin_within(struct world *w, bool is_public, const struct limits *limits)
{
    *w = (struct world){
        .settings = settings_default(),
        .limits = *limits,
        .digests = &world_digests,
        .now = {SECONDS(1000), 1700000000},
    };
    w->settings.realm = S("example.com");
    w->settings.sockets = sockets;
    w->settings.socket_count = COUNT_OF(sockets);
    w->settings.is_public = is_public;
    w->bytes = malloc(BYTES);
    w->out = (struct actions){w->slots, 0, COUNT_OF(w->slots), writer_over(w->bytes, BYTES)};
    start(w);
    step(w, (struct event){.kind = EVENT_STARTED});
}

static void tell_legs(struct world *w, struct event event, const struct leg_place *keys,
                      unsigned count)
{
    struct leg_found found[LEGS_LISTED];

    assert(count <= LEGS_LISTED);
    event.kind = EVENT_LEGS;
    event.legs = found;
    for (unsigned i = 0; i < count; i++) {
        const struct table_row *row = table_find(w->relay, &keys[i]);
        if (row)
            found[event.leg_count++] = (struct leg_found){row->key, row->leg, row->stream};
    }
    step(w, event);
}

void world_relay(struct world *w, struct relay_table *table)
{
    struct leg_place keys[LEGS_LISTED];
    unsigned count = 0;

    clear(w);
    w->relay = table;
    step(w, (struct event){.kind = EVENT_RELAY, .has_relay = true, .leg_limit = TABLE_LEGS});
    for (unsigned i = 0; i < TABLE_LEGS; i++)
        if (table->rows[i].is_open)
            keys[count++] = table->rows[i].key;
    tell_legs(w, (struct event){.is_list = true, .is_end = true}, keys, count);
    while (!core_deadline(w->core))
        step(w, (struct event){.kind = EVENT_DEADLINE});
}

void world_look(struct world *w)
{
    unsigned count = w->looked_count;

    clear(w);
    w->looked_count = 0;
    tell_legs(w, (struct event){0}, w->looked, count);
}

void world_forget(struct world *w)
{
    for (unsigned i = 0; i < w->record_count; i++)
        free((void *)(uintptr_t)w->records[i].at);
    w->record_count = 0;
}

void world_end(struct world *w)
{
    world_forget(w);
    for (unsigned i = 0; i < w->request_count; i++)
        free((void *)(uintptr_t)w->requests[i].bytes.at);
    free(w->memory);
    free(w->past);
    free(w->bytes);
}

void world_restore(struct world *w, struct slice record)
{
    clear(w);
    step(w, (struct event){.kind = EVENT_RESTORED, .bytes = record});
}

void world_restart(struct world *w)
{
    unsigned count = w->record_count;

    free(w->memory);
    w->now.boot += SECONDS(1);
    w->now.wall += 1;
    start(w);
    for (unsigned i = 0; i < count; i++) {
        world_restore(w, w->records[i]);
        for (unsigned n = 0; n < w->out.count; n++)
            assert(w->out.at[n].kind == ACTION_PERSIST);
    }
    clear(w);
    step(w, (struct event){.kind = EVENT_STARTED});
}

void world_signal(struct world *w, enum event_kind kind)
{
    world_event(w, &(struct event){.kind = kind});
}

struct flow world_flow(unsigned host, unsigned port)
{
    return (struct flow){
        .transport = TRANSPORT_UDP,
        .port = (uint16_t)port,
        .address = {198, 51, 100, (uint8_t)host},
    };
}

/* Lines end in \n and become CRLF. */
static void receive(struct world *w, struct event event, const char *text)
{
    char wire[32768];
    size_t len = 0;

    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            wire[len++] = '\r';
        wire[len++] = *c;
    }
    clear(w);
    event.bytes = slice_of(wire, len);
    step(w, event);
}

void world_receive(struct world *w, unsigned host, unsigned port, const char *format, ...)
{
    char text[16384];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    receive(w, (struct event){.kind = EVENT_RECEIVED, .flow = world_flow(host, port)}, text);
}

void world_receive_by(struct world *w, const struct flow *flow, const char *format, ...)
{
    char text[16384];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    receive(w, (struct event){.kind = EVENT_RECEIVED, .flow = *flow}, text);
}

void world_break(struct world *w, const struct flow *flow, struct fault fault, const char *text)
{
    receive(w, (struct event){.kind = EVENT_BROKEN, .flow = *flow, .fault = fault}, text);
}

struct flow world_open(struct world *w, unsigned host, unsigned port)
{
    struct flow flow = world_flow(host, port);

    flow.transport = TRANSPORT_TCP;
    flow.socket = 2;
    flow.connection = connection_name(w->opened % w->limits.accepted + 1, 1 + w->opened);
    w->opened++;
    step(w, (struct event){.kind = EVENT_OPENED, .flow = flow});
    return flow;
}

void world_show(struct world *w, const struct flow *flow, const char *domains,
                const struct credential *credential)
{
    char bytes[CREDENTIAL_BYTES];
    struct writer writer = writer_over(bytes, sizeof bytes);

    credential_write(&writer, credential);
    world_event(w, &(struct event){.kind = EVENT_OPENED,
                                   .flow = *flow,
                                   .bytes = slice_text(domains),
                                   .credential = writer_slice(&writer)});
}

void world_close(struct world *w, const struct flow *flow)
{
    step(w, (struct event){.kind = EVENT_CLOSED, .flow = *flow});
}

void world_keep_calls(struct world *w)
{
    clear(w);
    while (w->call_count) {
        uint64_t id = w->calls[--w->call_count];
        step(w, (struct event){.kind = EVENT_CALLS_KEPT,
                               .bytes = slice_of((const char *)&id, sizeof id)});
    }
}

/* Both clocks run alike. */
static void advance(struct world *w, instant to)
{
    w->now.wall += (int64_t)(to / SECONDS(1) - w->now.boot / SECONDS(1));
    w->now.boot = to;
}

void world_wait(struct world *w, duration time)
{
    instant end = w->now.boot + time;

    clear(w);
    while (core_deadline(w->core) <= end) {
        advance(w, max_u64(core_deadline(w->core), w->now.boot));
        step(w, (struct event){.kind = EVENT_DEADLINE});
    }
    advance(w, end);
}

static const struct action *nth_send(const struct world *w, unsigned n)
{
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->out.at[i].kind == ACTION_SEND && n-- == 0)
            return &w->out.at[i];
    return NULL;
}

struct slice world_sent(const struct world *w, unsigned n)
{
    const struct action *send = nth_send(w, n);

    return send ? send->bytes : NO_SLICE;
}

struct flow world_sent_to(const struct world *w, unsigned n)
{
    const struct action *send = nth_send(w, n);

    return send ? send->flow : (struct flow){0};
}

unsigned world_sent_count(const struct world *w)
{
    unsigned n = 0;

    while (nth_send(w, n))
        n++;
    return n;
}

unsigned world_status(const struct world *w, unsigned n)
{
    struct message m;
    struct slice sent = world_sent(w, n);

    if (!sent.len)
        return 0;
    message_parse(sent, &m); /* an answer repeats what is wrong with what it answers */
    return m.is_request ? 0 : m.status;
}

const char *world_header(const struct world *w, unsigned n, const char *name)
{
    static char values[8][2048];
    static unsigned next;
    char *value = values[next++ % 8];
    struct message m;
    struct slice sent = world_sent(w, n);

    *value = 0;
    if (!sent.len)
        return value;
    assert(!message_parse(sent, &m).status);
    for (unsigned i = 1; i <= m.field_count; i++) {
        const struct field *f = &m.fields[i];
        if (slice_equal_nocase(slice_of(m.bytes.at + f->line, strlen(name)), slice_text(name)) &&
            (m.bytes.at[f->line + strlen(name)] == ':')) {
            struct slice v = message_value(&m, i);
            memcpy(value, v.at, v.len);
            value[v.len] = 0;
            break;
        }
    }
    return value;
}

static void param_of(const char *challenge, const char *name, char *out, size_t limit)
{
    char key[64];
    const char *at;

    snprintf(key, sizeof key, "%s=\"", name);
    at = strstr(challenge, key);
    assert(at);
    at += strlen(key);
    snprintf(out, limit, "%.*s", (int)(strchr(at, '"') - at), at);
}

const char *world_credentials(const char *challenge, const char *user, const char *secret,
                              const char *method, const char *uri, unsigned nc)
{
    static char value[1024];
    char realm[128], nonce[128], hex[2 * DIGEST_LIMIT + 1] = "", count[9];
    uint8_t ha1[DIGEST_LIMIT];
    struct credentials c;

    param_of(challenge, "realm", realm, sizeof realm);
    param_of(challenge, "nonce", nonce, sizeof nonce);
    snprintf(count, sizeof count, "%08x", nc);
    c = (struct credentials){
        .username = slice_text(user),
        .realm = slice_text(realm),
        .nonce = slice_text(nonce),
        .uri = slice_text(uri),
        .cnonce = S("0a4f113b"),
        .qop = S("auth"),
        .algorithm = ALGORITHM_MD5,
        .nc = nc,
        .nc_text = slice_text(count),
    };
    digest_ha1(&world_digests, ALGORITHM_MD5, c.username, c.realm, slice_text(secret), ha1);
    digest_response(&world_digests, &c, ha1, slice_text(method), NO_SLICE, hex);
    snprintf(value, sizeof value,
             "Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%.32s\", "
             "cnonce=\"0a4f113b\", nc=%s, qop=auth, algorithm=MD5",
             user, realm, nonce, uri, hex, count);
    return value;
}

static unsigned register_by(struct world *w, const struct flow *flow, const char *user,
                            const char *secret, const char *contacts)
{
    static unsigned calls;
    char authorization[1100] = "";
    unsigned call = ++calls;

    for (unsigned cseq = 1; cseq <= 2; cseq++) {
        world_receive_by(w, flow,
                         "REGISTER sip:example.com SIP/2.0\n"
                         "Via: SIP/2.0/%s 198.51.100.%u:%u;branch=z9hG4bKreg%u-%u;rport\n"
                         "Max-Forwards: 70\n"
                         "From: <sip:%s@example.com>;tag=r%u\n"
                         "To: <sip:%s@example.com>\n"
                         "Call-ID: reg%u\n"
                         "CSeq: %u REGISTER\n"
                         "%s%s"
                         "Content-Length: 0\n\n",
                         flow->transport == TRANSPORT_UDP ? "UDP" : "TCP", flow->address[3],
                         flow->port, call, cseq, user, call, user, call, cseq, contacts,
                         authorization);
        if (cseq == 1) {
            assert(world_status(w, 0) == 401);
            snprintf(authorization, sizeof authorization, "Authorization: %s\n",
                     world_credentials(world_header(w, 0, "WWW-Authenticate"), user, secret,
                                       "REGISTER", "sip:example.com", 1));
        }
    }
    return world_status(w, 0);
}

unsigned world_register_with(struct world *w, const char *user, const char *secret, unsigned host,
                             unsigned port, const char *contacts)
{
    struct flow flow = world_flow(host, port);

    return register_by(w, &flow, user, secret, contacts);
}

void world_register_by(struct world *w, const struct flow *flow, const char *user,
                       const char *secret, const char *contact, unsigned expires)
{
    char contacts[512];

    snprintf(contacts, sizeof contacts, "Contact: %s\nExpires: %u\n", contact, expires);
    assert(register_by(w, flow, user, secret, contacts) == 200);
}

void world_register(struct world *w, const char *user, const char *secret, unsigned host,
                    unsigned port, unsigned expires)
{
    struct flow flow = world_flow(host, port);
    char contact[128];

    snprintf(contact, sizeof contact, "<sip:%s@198.51.100.%u:%u>", user, host, port);
    world_register_by(w, &flow, user, secret, contact, expires);
}
