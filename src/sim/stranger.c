#include "sim/stranger.h"

#include "sim/copy.h"
#include "sim/letter.h"
#include "sim/sim.h"
#include "sip/address.h"

/* -- hearing -- */

static void keep(struct ears *ears, enum ear ear, const struct flow *flow, struct slice bytes)
{
    struct overheard *heard = &ears->heard[ear][ears->count[ear]++ % OVERHEARD];

    copy_replace(&heard->bytes, bytes);
    heard->flow = *flow;
}

static bool contains(struct slice bytes, const char *text)
{
    return memmem(bytes.at, bytes.len, text, strlen(text)) != NULL;
}

void stranger_hear(struct sim *sim, const struct flow *flow, struct slice bytes)
{
    struct ears *ears = &sim->ears;
    struct slice line;

    if (!dice_chance(&sim->dice, 200))
        return;
    keep(ears, EAR_ANY, flow, bytes);
    if (contains(bytes, "uthorization: Digest"))
        keep(ears, EAR_CREDENTIALS, flow, bytes);
    if (slice_starts(bytes, S("INVITE")) && !contains(bytes, "\r\nRoute: <sip:"))
        keep(ears, EAR_INVITE, flow, bytes);
    /* A strict router's cookie is in the Request-URI: not this one's. */
    line = slice_until(bytes, slice_find(bytes, '\r'));
    if (!slice_starts(bytes, S("SIP/2.0")) && !contains(line, "@" SERVER_HOST_V4) &&
        !contains(line, "@" SERVER_HOST_V6) && contains(bytes, "\r\nRoute: <sip:") &&
        contains(bytes, "@" SERVER_HOST_V4))
        keep(ears, EAR_DIALOG, flow, bytes);
}

/* One of the last; NULL if nothing was heard yet. */
static const struct overheard *recall(struct sim *sim, enum ear ear)
{
    unsigned count = sim->ears.count[ear];

    if (!count)
        return NULL;
    return &sim->ears.heard[ear][random_below(&sim->dice, count < OVERHEARD ? count : OVERHEARD)];
}

/* -- writing -- */

static void note_repeated(struct ears *ears, struct slice bytes)
{
    struct message m;

    message_parse(bytes, &m);
    if (!slice_starts(bytes, S("INVITE")) || !m.bytes.len || !m.first[HEADER_CALL_ID])
        return;
    if (ears->repeated_count == ears->repeated_room) {
        ears->repeated_room = ears->repeated_room ? 2 * ears->repeated_room : 64;
        ears->repeated = realloc(ears->repeated, ears->repeated_room * sizeof *ears->repeated);
        if (!ears->repeated)
            abort();
    }
    ears->repeated[ears->repeated_count++] = copy_slice(message_first(&m, HEADER_CALL_ID));
}

unsigned stranger_repeats(const struct sim *sim, struct slice call_id)
{
    unsigned count = 0;

    for (unsigned i = 0; i < sim->ears.repeated_count; i++)
        count += slice_equal(sim->ears.repeated[i], call_id);
    return count;
}

static void send_bytes(struct sim *sim, struct stranger *s, const struct flow *source,
                       struct slice bytes)
{
    note_repeated(&sim->ears, bytes);
    network_to_server(sim, s->node, source ? source : &s->address, bytes);
}

static void send_letter(struct sim *sim, struct stranger *s, const struct flow *source,
                        struct letter *letter)
{
    char bytes[LETTER_LIMIT], branch[48];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct writer b = writer_over(branch, sizeof branch);

    if (!letter->branch.len) {
        put(&b, BRANCH_COOKIE "evil%u-%u", s->node, ++s->serial);
        letter->branch = writer_slice(&b);
    }
    letter_write(&w, letter);
    if (!w.failed)
        send_bytes(sim, s, source, writer_slice(&w));
}

/* An honest-looking request out of nowhere. */
static void send_fresh(struct sim *sim, struct stranger *s, enum method method,
                       const char *from_user, struct slice uri, struct slice to_tag,
                       struct slice extra)
{
    char from[128], to[160], call_id[48], contact[96];
    struct writer f = writer_over(from, sizeof from), t = writer_over(to, sizeof to);
    struct writer c = writer_over(call_id, sizeof call_id);
    struct writer k = writer_over(contact, sizeof contact);
    const struct flow *source = NULL;

    put(&f, "<sip:%s>;tag=e%u", from_user, ++s->serial);
    put(&t, "<%.*s>%s%.*s", (int)uri.len, uri.at, to_tag.len ? ";tag=" : "", (int)to_tag.len,
        to_tag.at);
    put(&c, "evil%u-%u", s->node, ++s->serial);
    put(&k, "<sip:evil@%s>", s->host);
    /* Some lie about where they are. */
    if (dice_chance(&sim->dice, 200))
        source = &sim->phones[random_below(&sim->dice, sim->phone_count)].address;
    send_letter(sim, s, source,
                &(struct letter){.method = method,
                                 .uri = uri,
                                 .sent_by = slice_text(s->host),
                                 .has_rport = dice_chance(&sim->dice, 500),
                                 .max_forwards = 70,
                                 .from = writer_slice(&f),
                                 .to = writer_slice(&t),
                                 .call_id = writer_slice(&c),
                                 .cseq = 1,
                                 .contact = writer_slice(&k),
                                 .extra = extra,
                                 .body = S("evil")});
}

static struct slice throw_user(struct sim *sim, char *text, size_t limit)
{
    struct writer w = writer_over(text, limit);

    put(&w, "sip:u%u@" SERVER_DOMAIN, (unsigned)random_below(&sim->dice, sim->machine.user_count));
    return writer_slice(&w);
}

static enum method throw_method(struct sim *sim, const enum method *methods, size_t count)
{
    return methods[random_below(&sim->dice, count)];
}

static const char *throw_text(struct sim *sim, const char *const *texts, size_t count)
{
    return texts[random_below(&sim->dice, count)];
}

/* -- the attacks -- */

static const enum method callings[] = {METHOD_INVITE, METHOD_MESSAGE};

static void send_garbage(struct sim *sim, struct stranger *s)
{
    char bytes[600];
    size_t len = random_below(&sim->dice, sizeof bytes);

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)random_next(&sim->dice);
    send_bytes(sim, s, NULL, slice_of(bytes, len));
}

static void send_mutation(struct sim *sim, struct stranger *s)
{
    const struct overheard *heard = recall(sim, EAR_ANY);
    struct slice bytes;

    /* Who hears a branch of the server can answer it, and an ACK with a genuine cookie cannot be
     * challenged: these are no attacks that it could ward off. */
    if (!heard || slice_starts(heard->bytes, S("SIP/2.0")) || slice_starts(heard->bytes, S("ACK")))
        return;
    bytes = copy_slice(heard->bytes);
    char *at = (char *)(uintptr_t)bytes.at;
    for (uint64_t n = dice_between(&sim->dice, 1, 12); n > 0 && bytes.len > 16; n--) {
        size_t i = random_below(&sim->dice, bytes.len);
        switch (random_below(&sim->dice, 4)) {
        case 0: at[i] = (char)random_next(&sim->dice); break;
        case 1: at[i] = "\r\n;,<>\"@: "[random_below(&sim->dice, 10)]; break;
        case 2: memmove(at + i, at + i + 1, --bytes.len - i); break;
        default: bytes.len = i + 16 < bytes.len ? i + 16 : bytes.len;
        }
    }
    send_bytes(sim, s, NULL, bytes);
    copy_free(&bytes);
}

/* A call or message in a user's name, without credentials. */
static void send_in_others_name(struct sim *sim, struct stranger *s)
{
    char user[64], text[64];
    struct writer w = writer_over(user, sizeof user - 1);
    enum method method = throw_method(sim, callings, COUNT_OF(callings));

    put(&w, "u%u@" SERVER_DOMAIN, (unsigned)random_below(&sim->dice, sim->machine.user_count));
    user[w.len] = '\0';
    send_fresh(sim, s, method, user, throw_user(sim, text, sizeof text), NO_SLICE, NO_SLICE);
}

/* Somebody else's credentials under a request of one's own: another Call-ID, or a higher CSeq. */
static void replay_credentials(struct sim *sim, struct stranger *s)
{
    static struct message m;
    const struct overheard *heard = recall(sim, EAR_CREDENTIALS);
    char routes[1024], extra[1200], call_id[64], contact[96];
    struct writer kept = writer_over(routes, sizeof routes), x = writer_over(extra, sizeof extra);
    struct writer c = writer_over(call_id, sizeof call_id);
    struct writer k = writer_over(contact, sizeof contact);
    struct letter letter;

    if (!heard)
        return;
    message_parse(heard->bytes, &m);
    if (address_tag(message_first(&m, HEADER_TO)).len)
        return; /* its cookie and its source would be proof enough */
    letter_read(&letter, &m, &kept);
    put(&c, "evil%u-%u", s->node, ++s->serial);
    put(&k, "<sip:evil@%s>", s->host);
    if (m.first[HEADER_AUTHORIZATION])
        put_field(&x, "Authorization", message_first(&m, HEADER_AUTHORIZATION));
    if (m.first[HEADER_PROXY_AUTHORIZATION])
        put_field(&x, "Proxy-Authorization", message_first(&m, HEADER_PROXY_AUTHORIZATION));
    letter.branch = NO_SLICE;
    letter.extra = writer_slice(&x);
    if (m.method == METHOD_REGISTER)
        letter.contact = writer_slice(&k);
    if (dice_chance(&sim->dice, 500))
        letter.call_id = writer_slice(&c);
    else
        letter.cseq += (uint32_t)dice_between(&sim->dice, 1, 3);
    /* A nonce is bound to its source: so the lie is complete, but for the request. */
    send_letter(sim, s, &heard->flow, &letter);
}

/* A response to a branch that is guessed from one that was heard. */
static void forge_response(struct sim *sim, struct stranger *s)
{
    const struct overheard *heard = recall(sim, EAR_ANY);
    char bytes[LETTER_LIMIT];
    struct writer w = writer_over(bytes, sizeof bytes);
    static const unsigned statuses[] = {180, 200, 200, 302, 486, 603};
    static struct message m;

    if (!heard)
        return;
    message_parse(heard->bytes, &m);
    put(&w, "SIP/2.0 %u Forged\r\nVia: SIP/2.0/UDP " SERVER_HOST_V4 ":5060;branch=" BRANCH_COOKIE,
        statuses[random_below(&sim->dice, COUNT_OF(statuses))]);
    for (unsigned i = 0; i < 42; i++)
        put(&w, "%x", (unsigned)random_below(&sim->dice, 16));
    put(&w, "\r\n");
    put_field(&w, "Via", message_first(&m, HEADER_VIA));
    put_field(&w, "From", message_first(&m, HEADER_FROM));
    put_field(&w, "To", S("<sip:u0@" SERVER_DOMAIN ">;tag=forged"));
    put_field(&w, "Call-ID", message_first(&m, HEADER_CALL_ID));
    put_field(&w, "CSeq", message_first(&m, HEADER_CSEQ));
    put(&w, "Contact: <sip:evil@%s>\r\nContent-Length: 0\r\n\r\n", s->host);
    if (!w.failed)
        send_bytes(sim, s, NULL, writer_slice(&w));
}

/* One digit of each. */
static void change_cookies(struct sim *sim, char *routes, size_t len)
{
    static const struct slice before = S("Route: <sip:");

    for (size_t i = 0; i + before.len < len; i++) {
        if (!slice_equal(slice_of(routes + i, before.len), before))
            continue;
        size_t start = i + before.len;
        size_t cookie = slice_find(slice_of(routes + start, len - start), '@');
        char *at = &routes[start + random_below(&sim->dice, cookie)];
        *at = *at == 'a' ? 'b' : 'a';
    }
}

/* A request in a dialog that was heard, as somebody else: with a changed cookie, with the genuine
 * one in a dialog of one's own, or with everything genuine but the source. */
static void intrude(struct sim *sim, struct stranger *s)
{
    static struct message m;
    const struct overheard *heard = recall(sim, EAR_DIALOG);
    char routes[2048], call_id[64];
    struct writer kept = writer_over(routes, sizeof routes);
    struct writer c = writer_over(call_id, sizeof call_id);
    static const enum method methods[] = {METHOD_BYE, METHOD_BYE, METHOD_INVITE, METHOD_INFO,
                                          METHOD_ACK};
    struct letter letter;
    const struct flow *source = NULL;

    if (!heard)
        return;
    message_parse(heard->bytes, &m);
    letter_read(&letter, &m, &kept);
    letter.method = throw_method(sim, methods, COUNT_OF(methods));
    letter.branch = NO_SLICE;
    letter.cseq += 7;
    switch (random_below(&sim->dice, 3)) {
    case 0:
        change_cookies(sim, routes, letter.routes.len);
        source = dice_chance(&sim->dice, 500) ? &heard->flow : NULL;
        break;
    case 1:
        put(&c, "evil%u-%u", s->node, ++s->serial);
        letter.call_id = writer_slice(&c);
        source = dice_chance(&sim->dice, 500) ? &heard->flow : NULL;
        break;
    default:
        letter.sent_by = slice_text(s->host);
        if (letter.method == METHOD_ACK)
            letter.method = METHOD_BYE; /* an ACK cannot be challenged */
    }
    send_letter(sim, s, source, &letter);
}

static void send_stray(struct sim *sim, struct stranger *s)
{
    static const enum method methods[] = {METHOD_ACK, METHOD_BYE, METHOD_CANCEL, METHOD_INFO};
    char text[64];
    enum method method = throw_method(sim, methods, COUNT_OF(methods));

    send_fresh(sim, s, method, "somebody@evil.example", throw_user(sim, text, sizeof text),
               method == METHOD_CANCEL ? NO_SLICE : S("nothing"), NO_SLICE);
}

/* CANCEL for a call that was heard, by another branch. */
static void cancel_others_call(struct sim *sim, struct stranger *s)
{
    static struct message m;
    const struct overheard *heard = recall(sim, EAR_INVITE);
    char routes[1024];
    struct writer kept = writer_over(routes, sizeof routes);
    struct letter letter;

    if (!heard)
        return;
    message_parse(heard->bytes, &m);
    letter_read(&letter, &m, &kept);
    letter.method = METHOD_CANCEL;
    letter.branch = letter.contact = letter.body = NO_SLICE;
    send_letter(sim, s, dice_chance(&sim->dice, 500) ? &heard->flow : NULL, &letter);
}

/* The server as a relay between two other domains, or into a private network. */
static void seek_relay(struct sim *sim, struct stranger *s)
{
    static const char *const targets[] = {
        "sip:victim@93.184.77.1:5060",
        "sip:victim@192.168.1.1",
        "sip:victim@" SERVER_DOMAIN ";maddr=93.184.77.1",
        "sip:u0@" SERVER_HOST_V4 ":5060;transport=tcp",
        "sip:victim@other.example",
        "tel:+4930123456",
    };

    enum method method = throw_method(sim, callings, COUNT_OF(callings));
    const char *target = throw_text(sim, targets, COUNT_OF(targets));
    bool has_route = dice_chance(&sim->dice, 500);

    send_fresh(sim, s, method, "somebody@evil.example", slice_text(target), NO_SLICE,
               has_route ? S("Route: <sip:93.184.77.1;lr>\r\n") : NO_SLICE);
}

/* Well-formed, and still odd. */
static void send_oddity(struct sim *sim, struct stranger *s)
{
    static const char *const extras[] = {
        "Proxy-Require: levitation\r\n",
        "Require: levitation\r\n",
        "Max-Breadth: 0\r\n",
        "Via: SIP/2.0/UDP " SERVER_HOST_V4 ":5060;branch=z9hG4bKours\r\n",
        "Route: <sip:" SERVER_HOST_V4 ";lr>, <sip:cookie@" SERVER_HOST_V4 ";lr>\r\n",
        "Proxy-Authorization: Digest username=\"u0\", realm=\"" SERVER_DOMAIN
        "\", nonce=\"0123\", uri=\"sip:" SERVER_DOMAIN "\", response=\"00\"\r\n",
        "Authorization: Basic dTA6dTA=\r\n",
        "Expires: 0\r\n",
    };
    static const enum method methods[] = {METHOD_INVITE,   METHOD_MESSAGE,   METHOD_OPTIONS,
                                          METHOD_REGISTER, METHOD_SUBSCRIBE, METHOD_PUBLISH};
    static const char *const senders[] = {"u0@" SERVER_DOMAIN, "somebody@evil.example"};
    enum method method = throw_method(sim, methods, COUNT_OF(methods));
    const char *extra = throw_text(sim, extras, COUNT_OF(extras));
    const char *sender = throw_text(sim, senders, COUNT_OF(senders));
    char text[64];

    send_fresh(sim, s, method, sender, throw_user(sim, text, sizeof text), NO_SLICE,
               slice_text(extra));
}

static void register_unasked(struct sim *sim, struct stranger *s)
{
    char text[64];
    struct slice aor = throw_user(sim, text, sizeof text);
    char user[64];

    copy_text(user, sizeof user, slice_from(aor, 4));
    send_fresh(sim, s, METHOD_REGISTER, user, aor, NO_SLICE, S("Expires: 600\r\n"));
}

/* clang-format off */
static const struct {
    unsigned weight;
    void (*act)(struct sim *sim, struct stranger *s);
} attacks[] = {
    {4,  send_garbage},
    {12, send_mutation},
    {10, send_in_others_name},
    {20, replay_credentials},
    {10, forge_response},
    {20, intrude},
    {6,  send_stray},
    {5,  cancel_others_call},
    {5,  seek_relay},
    {5,  send_oddity},
    {4,  register_unasked},
};
/* clang-format on */

void stranger_act(struct sim *sim, struct stranger *s)
{
    unsigned weights[COUNT_OF(attacks)];

    for (unsigned i = 0; i < COUNT_OF(attacks); i++)
        weights[i] = attacks[i].weight;
    sim->report.counts[COUNT_ATTACKS]++;
    attacks[dice_weighted(&sim->dice, weights, COUNT_OF(attacks))].act(sim, s);
    if (sim->phase < PHASE_HANG_UP)
        agenda_note(&sim->agenda, sim->now + dice_wait(&sim->dice, SECONDS(12)), DUE_STRANGER,
                    s->node, NULL);
}

void stranger_init(struct sim *sim, struct stranger *s, uint32_t node)
{
    char text[64];

    *s = (struct stranger){.node = node};
    s->address = network_new_address(sim, node, false, true);
    network_move(sim, node, NULL, &s->address);
    copy_text(s->host, sizeof s->host, network_text(&s->address, text, sizeof text));
    agenda_note(&sim->agenda, SECONDS(20), DUE_STRANGER, node, NULL);
}

void stranger_free_ears(struct ears *ears)
{
    for (unsigned ear = 0; ear < EAR_COUNT; ear++)
        for (unsigned i = 0; i < OVERHEARD; i++)
            copy_free(&ears->heard[ear][i].bytes);
    for (unsigned i = 0; i < ears->repeated_count; i++)
        copy_free(&ears->repeated[i]);
    free(ears->repeated);
}
