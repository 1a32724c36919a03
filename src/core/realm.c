#include "core/realm.h"

#include "core/abuse.h"
#include "core/fault.h"
#include "core/location.h"
#include "core/reply.h"

#define NONCE_TEXT 16u
#define WINDOW 64u /* nonce counts that may arrive out of order */
#define WAYS 4u    /* places a nonce may have in the table */
#define FIRST_USE                                                                                  \
    60u /* seconds: a nonce first seen later is stale, so that one which was evicted is            \
           not taken for new for long */

size_t realm_bytes(const struct limits *limits)
{
    return sizeof(struct nonce_slot) * limits->nonces + 64;
}

void realm_init(struct core *core, struct arena *from)
{
    assert(core->limits.nonces >= WAYS && !(core->limits.nonces & (core->limits.nonces - 1)));
    core->nonces = arena_take(from, sizeof(struct nonce_slot) * core->limits.nonces);
    assert(core->nonces);
}

/* In 16 characters, for a challenge must be short (core/reply): 32 bits of time, 24 of salt, and
 * the first 40 of the MAC, by whose whole the nonce is known here. */
struct nonce {
    uint32_t
        second; /* of boot time: the wall clock may be set back, and a stale nonce be good again */
    uint32_t salt; /* two phones at one address get different ones */
    uint64_t mac;
};

/* Bound to this run, and to the source address, not its port: NATs change that. */
static uint64_t nonce_mac(const struct core *core, const struct nonce *nonce,
                          const struct flow *flow)
{
    uint64_t words[4] = {(uint64_t)nonce->second << 32 | core->run, nonce->salt};

    memcpy(&words[2], flow->address, 16);
    return hash_sign(&core->key_nonce, slice_of((const char *)words, sizeof words));
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void write_digits(struct writer *w, uint64_t bits, unsigned count)
{
    while (count-- > 0)
        write_char(w, digits[bits >> 6 * count & 63]);
}

static bool read_digits(struct slice text, uint64_t *bits)
{
    *bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = memchr(digits, text.at[i], sizeof digits - 1);
        if (!at)
            return false;
        *bits = *bits << 6 | (uint64_t)(at - digits);
    }
    return true;
}

/* The halves of its text: 48 bits each. */
static uint64_t first_half(const struct nonce *nonce)
{
    return (uint64_t)nonce->second << 16 | nonce->salt >> 8;
}

static uint64_t second_half(const struct nonce *nonce)
{
    return (uint64_t)(nonce->salt & 0xff) << 40 | nonce->mac >> 24;
}

static uint32_t second_of(struct moment now)
{
    return (uint32_t)(now.boot / SECONDS(1));
}

static void nonce_write(struct writer *w, struct core *core, const struct flow *flow,
                        struct moment now)
{
    struct nonce nonce = {second_of(now), ++core->nonces_given & 0xffffff, 0};

    nonce.mac = nonce_mac(core, &nonce, flow);
    write_digits(w, first_half(&nonce), NONCE_TEXT / 2);
    write_digits(w, second_half(&nonce), NONCE_TEXT / 2);
}

/* False unless we gave it, in this run, to this address. */
static bool nonce_read(const struct core *core, struct slice text, const struct flow *flow,
                       struct nonce *nonce)
{
    uint64_t first, second;

    if (text.len != NONCE_TEXT || !read_digits(slice_until(text, NONCE_TEXT / 2), &first) ||
        !read_digits(slice_from(text, NONCE_TEXT / 2), &second))
        return false;
    *nonce = (struct nonce){
        .second = (uint32_t)(first >> 16),
        .salt = (uint32_t)(first & 0xffff) << 8 | (uint32_t)(second >> 40),
    };
    nonce->mac = nonce_mac(core, nonce, flow);
    return second_half(nonce) == second;
}

static struct nonce_slot *nonce_find(struct core *core, const struct nonce *nonce)
{
    uint32_t base = (uint32_t)nonce->mac & (core->limits.nonces - 1) & ~(WAYS - 1);

    for (unsigned i = 0; i < WAYS; i++)
        if (core->nonces[base + i].nonce == nonce->mac)
            return &core->nonces[base + i];
    return NULL;
}

/* Its place: an empty one, else that of the nonce with the fewest uses. */
static struct nonce_slot *nonce_place(struct core *core, const struct nonce *nonce)
{
    uint32_t base = (uint32_t)nonce->mac & (core->limits.nonces - 1) & ~(WAYS - 1);
    struct nonce_slot *place = &core->nonces[base];

    for (unsigned i = 1; i < WAYS; i++)
        if (core->nonces[base + i].highest < place->highest)
            place = &core->nonces[base + i];
    *place = (struct nonce_slot){.nonce = nonce->mac};
    return place;
}

/* Marks a count as used. PROOF_STALE: the window has lost it. */
static enum proof count_use(struct nonce_slot *slot, uint32_t count, uint32_t what)
{
    if (fault_is(FAULT_NONCE_REPLAYED))
        return PROOF_GIVEN;
    if (count > slot->highest) {
        uint32_t ahead = count - slot->highest;
        slot->window = ahead < WINDOW ? slot->window << ahead | 1 : 1;
        slot->highest = count;
        slot->last = what;
        return PROOF_GIVEN;
    }
    uint32_t behind = slot->highest - count;
    if (behind >= WINDOW)
        return PROOF_STALE;
    if (slot->window >> behind & 1)
        return slot->last == what ? PROOF_REPEATED : PROOF_STALE;
    slot->window |= UINT64_C(1) << behind;
    return PROOF_GIVEN;
}

/* Which request it was, so that its retransmission is known: response, Call-ID, CSeq, body. */
static uint32_t what_was_asked(const struct core *core, const struct request *req,
                               const struct credentials *c)
{
    uint64_t words[4] = {
        hash_bytes(&core->key_table, c->response),
        hash_bytes(&core->key_table, req->call_id),
        hash_bytes(&core->key_table, req->via.branch),
        (uint64_t)req->cseq.number << 32 | c->nc,
    };

    return (uint32_t)hash_bytes(&core->key_table, slice_of((const char *)words, sizeof words)) | 1;
}

static enum proof check_nonce(struct core *core, const struct request *req,
                              const struct credentials *c, const struct nonce *nonce)
{
    uint32_t life = (uint32_t)(core->settings->nonce_life / SECONDS(1));
    uint32_t age = second_of(req->now) - nonce->second;
    struct nonce_slot *slot;

    if (age > life)
        return PROOF_STALE;
    slot = nonce_find(core, nonce);
    if (!slot) {
        if (age > FIRST_USE)
            return PROOF_STALE; /* evicted: what was used of it is forgotten */
        slot = nonce_place(core, nonce);
    }
    return count_use(slot, c->qop.at ? c->nc : 1, what_was_asked(core, req, c));
}

static const uint8_t *user_ha1(const struct user *user, enum algorithm algorithm)
{
    return algorithm == ALGORITHM_MD5 ? user->ha1_md5 : user->ha1_sha256;
}

/* Both name this server, and nobody at it: REGISTER is for the domain, whichever of its names
 * stands there. */
static bool both_are_the_server(const struct core *core, const struct request *req,
                                const struct uri *uri)
{
    return !uri->user.len && !req->uri.user.len && !uri->headers.len && uri_is_local(core, uri) &&
           uri_is_local(core, &req->uri);
}

/* The digest uri must be the Request-URI as received, the same URI written otherwise, or another
 * name of the server where the request is for the server itself: proxies may rewrite it, and some
 * phones write the address that they send to (RFC 3261 22.4, RFC 7616 3.4.6).  What is hashed is
 * the digest uri as it stands. */
static bool uri_agrees(const struct core *core, const struct request *req, struct slice text)
{
    struct uri uri;

    if (slice_equal(text, message_span(&req->message, req->message.uri)))
        return true;
    return uri_parse(text, &uri) && req->uri_is_valid &&
           (uri_equal(&uri, &req->uri) || both_are_the_server(core, req, &uri));
}

/* The work is the same whether the user exists or not. */
static bool response_is_right(const struct core *core, const struct request *req,
                              const struct credentials *c, const struct user *user)
{
    static const uint8_t nobody[DIGEST_LIMIT];
    bool is_known = user && user->has_ha1 >> c->algorithm & 1;
    char expected[2 * DIGEST_LIMIT];

    digest_response(core->digests, c, is_known ? user_ha1(user, c->algorithm) : nobody,
                    message_span(&req->message, req->message.method_text),
                    message_body(&req->message), expected);
    return digest_equal(c->response, slice_of(expected, 2 * digest_size(c->algorithm))) && is_known;
}

/* By name, or by what some phones send: user@realm.  `name` becomes what it is counted by. */
static struct user *find_user(const struct core *core, struct slice *name)
{
    struct user *user = location_find(core, *name);

    if (user)
        return user;
    *name = slice_until(*name, slice_find(*name, '@'));
    return location_find(core, *name);
}

/* A nonce that is none of ours is answered by a new one before anything else is looked at, lest it
 * be a way to guess that nobody counts. */
static enum proof check_credentials(struct core *core, struct request *req,
                                    const struct credentials *c, struct actions *out)
{
    bool has_qop = c->qop.at != NULL;
    char text[NAME_LIMIT];
    struct writer w = writer_over(text, sizeof text);
    struct slice name;
    struct user *user;
    struct nonce nonce;
    enum proof proof;

    quoted_unescape(&w, c->username);
    if (w.failed)
        return PROOF_NONE;
    name = writer_slice(&w);
    user = find_user(core, &name);
    if (user && user->kind == USER_REJECT) {
        req->sender = user;
        return PROOF_REFUSED;
    }
    if (c->algorithm == ALGORITHM_OTHER || (has_qop && (!c->nc || !c->cnonce.at)) ||
        !uri_agrees(core, req, c->uri))
        return PROOF_NONE;
    if (!nonce_read(core, c->nonce, &req->flow, &nonce))
        return PROOF_STALE;
    if (user)
        name = user_id(user); /* whichever of its names was used */
    if (abuse_is_refused(core, req, name, user))
        return PROOF_IGNORED;
    if (!response_is_right(core, req, c, user)) {
        abuse_note(core, req, name, user, out);
        return PROOF_NONE;
    }
    proof = check_nonce(core, req, c, &nonce);
    if (proof == PROOF_GIVEN || proof == PROOF_REPEATED)
        req->sender = user;
    req->is_repeated = proof == PROOF_REPEATED;
    return proof;
}

bool realm_is_ours(const struct core *core, struct slice value)
{
    struct credentials c;

    return credentials_parse(value, &c) && slice_equal(c.realm, core->settings->realm);
}

void realm_spend(struct core *core, const struct request *req, enum header header)
{
    const struct message *m = &req->message;
    unsigned tried = 0;

    for (unsigned i = m->first[header]; i && tried++ < CREDENTIALS_LIMIT; i = m->fields[i].next) {
        struct credentials c;
        struct nonce nonce;
        if (credentials_parse(message_value(m, i), &c) &&
            slice_equal(c.realm, core->settings->realm) &&
            nonce_read(core, c.nonce, &req->flow, &nonce))
            check_nonce(core, req, &c, &nonce);
    }
}

enum proof realm_check(struct core *core, struct request *req, enum header header,
                       struct actions *out)
{
    const struct message *m = &req->message;
    enum proof best = PROOF_NONE;
    unsigned tried = 0;

    for (unsigned i = m->first[header]; i && tried < CREDENTIALS_LIMIT; i = m->fields[i].next) {
        struct credentials c;
        enum proof proof;
        if (!credentials_parse(message_value(m, i), &c) ||
            !slice_equal(c.realm, core->settings->realm))
            continue;
        proof = check_credentials(core, req, &c, out);
        tried++;
        if (proof == PROOF_GIVEN || proof == PROOF_REPEATED || proof == PROOF_REFUSED ||
            proof == PROOF_IGNORED)
            return proof;
        if (proof == PROOF_STALE)
            best = proof;
    }
    return best;
}

/* ALGORITHM_OTHER: MD5 unsaid (RFC 7616 3.3), for a short one. */
static void write_challenge(struct core *core, const struct request *req, enum header header,
                            enum algorithm algorithm, bool is_stale, struct writer *w)
{
    write_slice(w,
                header == HEADER_AUTHORIZATION ? S("WWW-Authenticate:") : S("Proxy-Authenticate:"));
    write_slice(w, algorithm == ALGORITHM_OTHER ? S("Digest realm=\"") : S(" Digest realm=\""));
    write_slice(w, core->settings->realm);
    write_slice(w, algorithm == ALGORITHM_OTHER ? S("\",nonce=\"") : S("\", nonce=\""));
    nonce_write(w, core, &req->flow, req->now);
    if (algorithm != ALGORITHM_OTHER) {
        write_slice(w, S("\", algorithm="));
        write_slice(w, algorithm_name(algorithm));
        write_slice(w, S(", qop=\"auth\""));
    } else {
        write_slice(w, S("\",qop=\"auth\""));
    }
    if (is_stale)
        write_slice(w, S(", stale=true"));
    write_slice(w, S("\r\n"));
}

/* Never by user: whether one exists must not show. */
static bool agent_knows_sha256(const struct core *core, const struct request *req)
{
    struct slice agent = request_header(req, HEADER_USER_AGENT);

    if (core->md5_only_count || core->recall)
        return false; /* a user without a SHA-256 digest, who may not be in memory, could not answer
                       */
    return core->settings->sha256_first ||
           (agent.len > 8 && slice_equal_nocase(slice_until(agent, 8), S("Linphone")));
}

void realm_challenge(struct core *core, const struct request *req, enum header header,
                     bool is_stale, struct actions *out)
{
    unsigned status = header == HEADER_AUTHORIZATION ? 401 : 407;
    size_t start = out->bytes.len;
    struct slice bytes;
    struct writer *w;

    if (req->message.method == METHOD_ACK)
        return;
    w = reply_begin(core, req, status, NO_SLICE, out);
    if (agent_knows_sha256(core, req))
        write_challenge(core, req, header, ALGORITHM_SHA256, is_stale, w);
    write_challenge(core, req, header, ALGORITHM_MD5, is_stale, w);
    bytes = reply_end(out, w, start);
    if (reply_exceeds(req, bytes.len)) {
        w->len = start;
        w = reply_begin_short(core, req, status, out);
        write_challenge(core, req, header, ALGORITHM_OTHER, is_stale, w);
        bytes = reply_end_short(out, w, start);
    }
    if (reply_exceeds(req, bytes.len)) {
        w->len = start;
        reply_because(core, req, (struct fault){400, "Too Short To Be Challenged"}, out);
        return;
    }
    reply_send(req, bytes, out);
}

uint64_t realm_sender_binding(const struct core *core, const struct request *req)
{
    if (!req->sender)
        return 0;
    for (const struct binding *b = location_first(core, req->sender); b; b = location_next(core, b))
        if (flow_equal(&b->flow, &req->flow))
            return b->id;
    return 0;
}

/* The user part of an address at one of our names, unescaped; false if it is no such. */
static bool local_name(const struct core *core, const struct address *address, struct writer *w)
{
    struct uri uri;

    if (!uri_parse(address->uri, &uri) || !uri_is_local(core, &uri))
        return false;
    uri_unescape(w, uri.user);
    return !w->failed;
}

bool realm_names(const struct core *core, const struct address *address, const struct user *user)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);

    return local_name(core, address, &w) &&
           (slice_equal(writer_slice(&w), user_id(user)) ||
            (user->extension_len && slice_equal(writer_slice(&w), user_extension(user))));
}
