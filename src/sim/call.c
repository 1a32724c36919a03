#include "sim/call.h"

#include "sim/copy.h"
#include "sim/sim.h"
#include "sip/address.h"

/* What a called phone means to do. */
struct manner {
    unsigned weight;
    unsigned rings; /* 180s, one every ring_every */
    duration ring_every;
    unsigned first, last; /* it decides between these milliseconds */
    unsigned status;      /* its decision; 0: none, ever */
};

/* clang-format off */
static const struct manner manners[] = {
    /* weight rings  every       decides         as */
    {40,      1,     SECONDS(9), 300,    8000,   200},
    {10,      0,     0,          0,      50,     200},
    {8,       3,     SECONDS(3), 8000,   20000,  200},
    {3,       3,     SECONDS(60),20000,  190000, 200},
    {8,       1,     SECONDS(9), 100,    3000,   486},
    {5,       0,     0,          0,      100,    486},
    {4,       1,     SECONDS(9), 500,    5000,   603},
    {3,       0,     0,          0,      2000,   480},
    {2,       0,     0,          0,      2000,   600},
    {1,       0,     0,          0,      500,    302},
    {1,       0,     0,          0,      500,    503},
    {6,       9,     SECONDS(20),0,      0,      0},   /* rings, nobody comes */
    {2,       0,     0,          0,      0,      0},   /* does not even ring: 100 at most */
    {2,       60,    MS(200),    12000,  15000,  200}, /* a storm of provisional responses */
};

/* How long a caller waits before it cancels. */
static const struct { unsigned weight, first, last; } patience[] = {
    {50, 60000, 75000},
    {10, 200,   1500},
    {10, 1500,  9000},
    {4,  0,     120},
    {1,  170000, 260000},
};
/* clang-format on */

static unsigned throw_manner(struct sim *sim)
{
    unsigned weights[COUNT_OF(manners)];

    for (unsigned i = 0; i < COUNT_OF(manners); i++)
        weights[i] = manners[i].weight;
    return dice_weighted(&sim->dice, weights, COUNT_OF(manners));
}

static duration throw_patience(struct sim *sim)
{
    unsigned weights[COUNT_OF(patience)], i;

    for (i = 0; i < COUNT_OF(patience); i++)
        weights[i] = patience[i].weight;
    i = dice_weighted(&sim->dice, weights, COUNT_OF(patience));
    return MS(dice_between(&sim->dice, patience[i].first, patience[i].last));
}

/* -- finding -- */

struct call *call_by_serial(struct phone *phone, uint32_t serial)
{
    for (struct call *c = phone->calls; c; c = c->next)
        if (c->serial == serial)
            return c;
    for (struct call *c = phone->past_calls; c; c = c->next)
        if (c->serial == serial)
            return c;
    return NULL;
}

static bool has_tags(const struct call *c, struct slice call_id, struct slice local_tag,
                     struct slice remote_tag)
{
    return slice_equal(slice_text(c->call_id), call_id) &&
           slice_equal(slice_text(c->local_tag), local_tag) &&
           slice_equal(slice_text(c->remote_tag), remote_tag);
}

const struct call *call_with_tags(const struct phone *phone, struct slice call_id,
                                  struct slice local_tag, struct slice remote_tag)
{
    for (const struct call *c = phone->calls; c; c = c->next)
        if (has_tags(c, call_id, local_tag, remote_tag))
            return c;
    for (const struct call *c = phone->past_calls; c; c = c->next)
        if (has_tags(c, call_id, local_tag, remote_tag))
            return c;
    return NULL;
}

/* The dialog a request or (with `is_ours`) a response to our request belongs to. */
static struct call *find_dialog(struct phone *phone, const struct message *m, bool is_ours)
{
    struct slice from = address_tag(message_first(m, HEADER_FROM));
    struct slice to = address_tag(message_first(m, HEADER_TO));

    return (struct call *)(uintptr_t)call_with_tags(phone, message_first(m, HEADER_CALL_ID),
                                                    is_ours ? from : to, is_ours ? to : from);
}

/* -- life -- */

static struct call *begin_call(struct sim *sim, struct phone *phone, bool is_caller)
{
    struct call *c = take(1, sizeof *c);

    *c = (struct call){.next = phone->calls,
                       .serial = ++phone->serial,
                       .is_caller = is_caller,
                       .is_strict = judge_is_strict(sim) && !phone_is_rude(phone),
                       .state = is_caller ? CALL_INVITING : CALL_RINGING,
                       .began = sim->now,
                       .binding = judge_binding_of(sim, phone),
                       .act_at = NEVER,
                       .session = {.act_at = NEVER}};
    phone_name(phone, "t", c->local_tag, sizeof c->local_tag);
    phone->calls = c;
    return c;
}

/* Only marked here: call_expire moves it to the past ones, where nothing walks the list. */
static void end_call(struct call *c)
{
    c->state = CALL_ENDED;
    c->act_at = c->session.act_at = NEVER;
}

static void bury_ended(struct phone *phone)
{
    for (struct call **link = &phone->calls; *link;) {
        struct call *c = *link;
        if (c->state != CALL_ENDED) {
            link = &c->next;
            continue;
        }
        *link = c->next;
        c->next = phone->past_calls;
        phone->past_calls = c;
    }
}

static void confirm(struct sim *sim, struct call *c)
{
    c->state = CALL_CONFIRMED;
    c->was_confirmed = true;
    c->confirmed_at = sim->now;
    c->elapsed = machine_elapsed(sim);
    c->hangs_up = dice_chance(&sim->dice, 600);
    c->wants_reinvite = dice_chance(&sim->dice, 200);
    c->act_at = NEVER;
    if (c->wants_reinvite)
        c->act_at = sim->now + dice_wait(&sim->dice, SECONDS(5));
    else if (c->hangs_up)
        c->act_at = sim->now + dice_wait(&sim->dice, SECONDS(40));
    /* Two who look at the same clock hang up at once. */
    if (c->act_at != NEVER && dice_chance(&sim->dice, 300))
        c->act_at += SECONDS(10) - c->act_at % SECONDS(10);
}

/* Route fields from Record-Route (12.1.1, 12.1.2). */
static struct slice route_set(const struct message *m, bool is_reversed)
{
    char text[2048];
    struct slice routes[16];
    unsigned count = 0;
    struct writer w = writer_over(text, sizeof text);

    for (unsigned i = m->first[HEADER_RECORD_ROUTE]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i), item;
        while (count < COUNT_OF(routes) && list_next(&rest, &item))
            routes[count++] = item;
    }
    for (unsigned i = 0; i < count; i++)
        put_field(&w, "Route", routes[is_reversed ? count - 1 - i : i]);
    return copy_slice(w.failed ? NO_SLICE : writer_slice(&w));
}

static void learn_target(struct call *c, const struct message *m)
{
    struct slice rest = message_first(m, HEADER_CONTACT);
    struct address address;

    if (address_next(&rest, &address))
        copy_replace(&c->target, address.uri);
}

/* -- requests within a dialog -- */

/* How it is reached in this call: by TLS at its door. */
static void put_contact(struct writer *w, const struct phone *phone, const struct call *c)
{
    char text[64];
    struct slice host;

    if (!c->flow.transport) {
        bool has_gruu = phone->public_gruu[0] && c->serial % 2;
        put(w, "<%s>", has_gruu ? phone->public_gruu : phone->contact);
        return;
    }
    host = network_text(&phone->door, text, sizeof text);
    put(w, "<sip:%s@%.*s;transport=tls>", phone->user_name, (int)host.len, host.at);
}

/* The letter goes by the stream of its call, if that came by one. */
static void send_by_call(struct sim *sim, struct phone *phone, struct call *c,
                         struct letter *letter, char *text, size_t limit)
{
    if (!c->flow.transport)
        return;
    phone_renew_flow(sim, phone, &c->flow);
    letter->flow = c->flow;
    letter->transport = c->flow.transport;
    letter->sent_by = network_text(&phone->door, text, limit);
}

/* RFC 2543's routing: the first route is the Request-URI, the target comes last. */
static void route_strictly(struct letter *letter, const struct call *c, struct writer *w)
{
    size_t end = slice_find(c->routes, '\n');
    struct slice first = slice_of(c->routes.at + 7, end - 8); /* past "Route: ", before the CR */
    struct address address;
    size_t start = w->len;

    if (!c->routes.len || !address_next(&first, &address))
        return;
    letter->uri = address.uri;
    write_slice(w, slice_from(c->routes, end + 1));
    put(w, "Route: <%.*s>\r\n", (int)c->target.len, c->target.at);
    letter->routes = slice_of(w->at + start, w->len - start);
}

/* The 2xx to its INVITE had the offer (13.2.1). */
static bool owes_answer(const struct call *c, enum purpose purpose)
{
    return c->sound.is_late && purpose == FOR_CALL;
}

static void send_within(struct sim *sim, struct phone *phone, struct call *c, enum method method,
                        enum purpose purpose)
{
    static char text[LETTER_LIMIT], bytes[LETTER_LIMIT];
    char branch[48], from[256], to[256], contact[160], door[64], media[256];
    struct writer w = writer_over(text, sizeof text), m = writer_over(media, sizeof media);
    struct writer f = writer_over(from, sizeof from), t = writer_over(to, sizeof to);
    struct writer k = writer_over(contact, sizeof contact);
    struct letter letter = phone_letter(phone, method, branch, sizeof branch);

    put(&f, "%.*s;tag=%s", (int)c->local.len, c->local.at, c->local_tag);
    put(&t, "%.*s;tag=%s", (int)c->remote.len, c->remote.at, c->remote_tag);
    put_contact(&k, phone, c);
    send_by_call(sim, phone, c, &letter, door, sizeof door);
    assert(!f.failed && !t.failed);
    letter.uri = c->target;
    letter.routes = c->routes;
    if (phone->traits & TRAIT_STRICT)
        route_strictly(&letter, c, &w);
    letter.from = writer_slice(&f);
    letter.to = writer_slice(&t);
    letter.call_id = slice_text(c->call_id);
    letter.cseq = method == METHOD_ACK ? c->invite_cseq : ++c->cseq;
    if (method == METHOD_INVITE) {
        letter.contact = writer_slice(&k);
        c->invite_cseq = c->cseq;
    }
    if (method == METHOD_INVITE || (method == METHOD_ACK && owes_answer(c, purpose)))
        sound_say(sim, phone, c, &m);
    letter.body = writer_slice(&m);
    if (method == METHOD_INVITE || method == METHOD_UPDATE)
        session_ask(sim, phone, c, &letter);
    if (method != METHOD_ACK) {
        exchange_begin(sim, phone, purpose, &letter, c->serial, 0);
        return;
    }
    struct writer a = writer_over(bytes, sizeof bytes);
    letter_write(&a, &letter);
    copy_replace(&c->ack, writer_slice(&a));
    phone_send_by(sim, phone, &c->flow, c->ack);
}

static void hang_up(struct sim *sim, struct phone *phone, struct call *c)
{
    sim->report.counts[COUNT_BYES]++;
    c->state = CALL_ENDING;
    c->act_at = c->session.act_at = NEVER;
    send_within(sim, phone, c, METHOD_BYE, FOR_BYE);
}

/* -- the caller -- */

/* Its domain calls by TLS, and in its own name. */
static void go_by_tls(struct sim *sim, struct phone *phone, struct call *c)
{
    struct slice domain = zone_calls_by_tls(sim, phone);
    struct flow flow = {.transport = TRANSPORT_TLS, .socket = SOCKET_TLS_V4};

    if (!domain.len)
        return;
    phone_renew_flow(sim, phone, &flow);
    if (!wire_stands(sim, &flow))
        return;
    c->flow = flow;
    c->is_proven = wire_is_proven(sim, &flow, domain);
    if (c->is_proven || zone_must_prove(sim, phone))
        c->domain = domain;
    sim->report.counts[COUNT_CALLERS] += c->is_proven;
}

static void put_from(struct writer *w, const struct sim *sim, const struct phone *phone,
                     const struct call *c)
{
    if (c->flow.transport)
        put(w, "<sip:%s@%s>;tag=%s", phone->user_name, zone_name(sim, phone).at, c->local_tag);
    else
        put(w, "<%s>;tag=%s", phone->aor, c->local_tag);
}

void call_start(struct sim *sim, struct phone *phone, struct slice uri)
{
    char branch[48], from[256], to[256], contact[160], door[64], media[256], vouched[4096];
    struct writer f = writer_over(from, sizeof from), t = writer_over(to, sizeof to);
    struct writer k = writer_over(contact, sizeof contact), m = writer_over(media, sizeof media);
    struct writer v = writer_over(vouched, sizeof vouched);
    struct call *c = begin_call(sim, phone, true);
    struct letter letter = phone_letter(phone, METHOD_INVITE, branch, sizeof branch);

    phone_name(phone, "call", c->call_id, sizeof c->call_id);
    go_by_tls(sim, phone, c);
    send_by_call(sim, phone, c, &letter, door, sizeof door);
    put_from(&f, sim, phone, c);
    put(&t, "<%.*s>", (int)uri.len, uri.at);
    put_contact(&k, phone, c);
    c->cseq = c->invite_cseq = (uint32_t)dice_between(&sim->dice, 1, 100000);
    c->local = copy_slice(letter_untagged(writer_slice(&f)));
    c->remote = copy_slice(writer_slice(&t));
    c->act_at = sim->now + throw_patience(sim);
    letter.uri = uri;
    letter.from = writer_slice(&f);
    letter.to = writer_slice(&t);
    letter.call_id = slice_text(c->call_id);
    letter.cseq = c->cseq;
    letter.contact = writer_slice(&k);
    c->sound.is_late = sim->relay.is_there && c->serial % 8 == 5;
    if (!c->sound.is_late)
        sound_say(sim, phone, c, &m);
    letter.body = writer_slice(&m);
    session_ask(sim, phone, c, &letter);
    if (c->flow.transport && notary_vouch(sim, &letter, zone_name(sim, phone), &v)) {
        c->is_signed = true;
        letter.extra = writer_slice(&v);
    }
    sim->report.counts[COUNT_CALLS]++;
    judge_call_begun(sim, phone, c);
    phone_request(sim, phone, FOR_CALL, &letter, c->serial);
}

void call_progress(struct sim *sim, struct phone *phone, struct exchange *e,
                   const struct message *response)
{
    struct call *c = call_by_serial(phone, e->call);

    (void)response;
    if (c && c->wants_cancel && !e->is_cancelled && e->purpose == FOR_CALL)
        exchange_cancel(sim, phone, e);
}

static struct call *fork_of(struct sim *sim, struct phone *phone, const struct call *first)
{
    struct call *c = begin_call(sim, phone, true);

    memcpy(c->call_id, first->call_id, sizeof c->call_id);
    memcpy(c->local_tag, first->local_tag, sizeof c->local_tag);
    c->binding = first->binding;
    c->flow = first->flow;
    c->domain = first->domain;
    c->is_proven = first->is_proven;
    c->is_signed = first->is_signed;
    c->local = copy_slice(first->local);
    c->remote = copy_slice(first->remote);
    c->cseq = first->cseq;
    c->invite_cseq = first->invite_cseq;
    c->is_strict = false;
    return c;
}

void call_accepted(struct sim *sim, struct phone *phone, struct exchange *e,
                   const struct message *response)
{
    struct call *first = call_by_serial(phone, e->call);
    struct call *c = find_dialog(phone, response, true);
    bool is_known = c && c->was_confirmed;

    if (!first)
        return;
    if (is_known && e->purpose == FOR_CALL) {
        if (c->ack.len && !(phone->traits & TRAIT_NEVER_ACKS)) {
            phone_renew_flow(sim, phone, &c->flow);
            phone_send_by(sim, phone, &c->flow, c->ack);
        }
        return;
    }
    if (e->purpose == FOR_REINVITE) {
        learn_target(first, response);
        sound_hear(first, message_body(response));
        if (!e->is_learned && first->state == CALL_CONFIRMED)
            session_learn(sim, first, response, e->began);
        e->is_learned = true;
        if (first->invite_cseq == e->cseq)
            send_within(sim, phone, first, METHOD_ACK, FOR_REINVITE);
        return;
    }
    c = first->state == CALL_INVITING ? first : fork_of(sim, phone, first);
    copy_text(c->remote_tag, sizeof c->remote_tag, address_tag(message_first(response, HEADER_TO)));
    c->routes = route_set(response, true);
    learn_target(c, response);
    c->sound.is_late = first->sound.is_late;
    c->sound.has_said |= first->sound.has_said;
    c->sound.at = first->sound.at;
    sound_hear(c, message_body(response));
    confirm(sim, c);
    session_learn(sim, c, response, sim->now);
    sim->report.counts[COUNT_ANSWERED]++;
    if (!(phone->traits & TRAIT_NEVER_ACKS))
        send_within(sim, phone, c, METHOD_ACK, FOR_CALL);
    if (c != first || e->is_cancelled || c->wants_cancel)
        hang_up(sim, phone, c);
}

void call_finished(struct sim *sim, struct phone *phone, struct exchange *e,
                   const struct message *response)
{
    struct call *c = call_by_serial(phone, e->call);
    unsigned status = response ? response->status : 0;

    if (!c || c->state == CALL_ENDED)
        return;
    switch (e->purpose) {
    case FOR_CALL:
        sim->report.counts[status == 487 ? COUNT_CANCELLED : COUNT_REFUSED]++;
        if (c->state == CALL_INVITING)
            end_call(c);
        break;
    case FOR_UPDATE:
        if (status / 100 == 2 && c->state == CALL_CONFIRMED)
            session_learn(sim, c, response, e->began); /* fall through */
    case FOR_REINVITE:
        if ((status == 481 || status == 408 || !response) && c->state == CALL_CONFIRMED)
            hang_up(sim, phone, c);
        break;
    case FOR_BYE:
        judge_hung_up(sim, phone, c, status);
        c->was_hung_up = status >= 200 && status < 300;
        c->was_lost = !c->was_hung_up;
        end_call(c);
        break;
    default: break;
    }
}

/* -- the callee -- */

static void answer_call(struct sim *sim, struct phone *phone, struct call *c, struct answer *a,
                        unsigned status)
{
    static struct message request;
    char contact[160], extra[200], media[256];
    struct writer k = writer_over(contact, sizeof contact), x = writer_over(extra, sizeof extra);
    struct writer m = writer_over(media, sizeof media);
    struct reply reply = {.status = status, .to_tag = slice_text(c->local_tag)};

    if (status < 300) {
        put_contact(&k, phone, c);
        reply.contact = writer_slice(&k);
        if (a->method == METHOD_INVITE && (status == 183 || status >= 200))
            sound_say(sim, phone, c, &m);
        reply.body = writer_slice(&m);
    } else if (status == 302) {
        put(&x, "Contact: <sip:elsewhere@93.184.99.1>\r\n");
    }
    if (status / 100 == 2) {
        message_parse(a->request, &request);
        session_agree(sim, phone, c, &request, &x);
    }
    reply.extra = writer_slice(&x);
    answer_send(sim, phone, a, &reply);
}

static struct answer *pending_answer(struct phone *phone, const struct call *c)
{
    for (struct answer *a = phone->answers; a; a = a->next)
        if (a->call == c->serial && a->method == METHOD_INVITE && a->status < 200)
            return a;
    return NULL;
}

static void accept_call(struct sim *sim, struct phone *phone, struct call *c, struct answer *a)
{
    static struct message request;

    c->state = CALL_ANSWERED;
    c->act_at = NEVER;
    answer_call(sim, phone, c, a, 200);
    if (!(phone->traits & TRAIT_TWOFOLD))
        return;
    /* A second phone behind it answers as well. */
    struct call *twin = begin_call(sim, phone, false);
    message_parse(a->request, &request);
    struct answer *second = answer_begin(sim, phone, &request);
    memcpy(twin->call_id, c->call_id, sizeof twin->call_id);
    memcpy(twin->remote_tag, c->remote_tag, sizeof twin->remote_tag);
    twin->local = copy_slice(c->local);
    twin->remote = copy_slice(c->remote);
    twin->routes = copy_slice(c->routes);
    twin->target = copy_slice(c->target);
    twin->remote_cseq = c->remote_cseq;
    twin->flow = c->flow;
    twin->state = CALL_ANSWERED;
    twin->binding = c->binding;
    second->call = twin->serial;
    answer_call(sim, phone, twin, second, 200);
}

static bool is_merged(struct phone *phone, const struct message *request)
{
    static struct message other;

    for (const struct answer *a = phone->answers; a; a = a->next) {
        if (a->method != request->method)
            continue;
        message_parse(a->request, &other);
        if (slice_equal(message_first(&other, HEADER_CALL_ID),
                        message_first(request, HEADER_CALL_ID)) &&
            slice_equal(message_first(&other, HEADER_CSEQ), message_first(request, HEADER_CSEQ)) &&
            slice_equal(address_tag(message_first(&other, HEADER_FROM)),
                        address_tag(message_first(request, HEADER_FROM))))
            return true;
    }
    return false;
}

static void refuse(struct sim *sim, struct phone *phone, const struct message *request,
                   unsigned status)
{
    struct answer *a = answer_begin(sim, phone, request);

    answer_send(sim, phone, a, &(struct reply){.status = status, .to_tag = S("no")});
}

static void reinvited(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct call *c = find_dialog(phone, request, false);
    struct cseq cseq;
    struct answer *a;

    cseq_parse(message_first(request, HEADER_CSEQ), &cseq);
    if (!c || c->state == CALL_ENDED || c->state == CALL_ENDING) {
        refuse(sim, phone, request, 481);
        return;
    }
    if (cseq.number <= c->remote_cseq) {
        refuse(sim, phone, request, 500);
        return;
    }
    c->remote_cseq = cseq.number;
    if (c->state != CALL_CONFIRMED || exchange_of_call(phone, c->serial, FOR_REINVITE)) {
        refuse(sim, phone, request, 491);
        return;
    }
    learn_target(c, request);
    sound_hear(c, message_body(request));
    a = answer_begin(sim, phone, request);
    a->call = c->serial;
    answer_call(sim, phone, c, a, 200);
}

void call_invited(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct slice from = message_first(request, HEADER_FROM);
    struct cseq cseq;
    struct call *c;
    struct answer *a;

    if (address_tag(message_first(request, HEADER_TO)).len) {
        reinvited(sim, phone, request);
        return;
    }
    if (is_merged(phone, request)) {
        refuse(sim, phone, request, 482);
        return;
    }
    zone_check_caller(sim, request);
    cseq_parse(message_first(request, HEADER_CSEQ), &cseq);
    a = answer_begin(sim, phone, request);
    c = begin_call(sim, phone, false);
    a->call = c->serial;
    if (flow_is_secure(&phone->heard_by) && phone->traits & TRAIT_FOREIGN)
        c->flow = phone->heard_by;
    copy_text(c->call_id, sizeof c->call_id, message_first(request, HEADER_CALL_ID));
    copy_text(c->remote_tag, sizeof c->remote_tag, address_tag(from));
    c->remote = copy_slice(letter_untagged(from));
    c->local = copy_slice(letter_untagged(message_first(request, HEADER_TO)));
    c->routes = route_set(request, false);
    c->remote_cseq = cseq.number;
    c->cseq = (uint32_t)dice_between(&sim->dice, 1, 100000);
    learn_target(c, request);
    sound_hear(c, message_body(request));
    c->manner = throw_manner(sim);
    if (phone->traits & TRAIT_SILENT)
        c->manner = COUNT_OF(manners) - 3 + (c->serial & 1);
    if (phone->traits & TRAIT_STORMY)
        c->manner = COUNT_OF(manners) - 1;
    c->rings = manners[c->manner].rings;
    c->act_at = sim->now + MS(dice_between(&sim->dice, 0, 40));
}

void call_cancelled(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct answer *invite = answer_find(phone, request, METHOD_INVITE);
    struct call *c = invite ? call_by_serial(phone, invite->call) : NULL;

    refuse(sim, phone, request, invite ? 200 : 481);
    if (!invite || invite->status >= 200 || !c || c->state != CALL_RINGING)
        return;
    answer_call(sim, phone, c, invite, 487);
    end_call(c);
}

void call_acknowledged(struct sim *sim, struct phone *phone, const struct message *request)
{
    static struct message invite;
    struct answer *a = answer_find(phone, request, METHOD_INVITE);
    struct call *c = find_dialog(phone, request, false);
    struct cseq acked, sent;

    if (a && a->status >= 300) {
        a->is_acknowledged = true;
        a->resend_at = NEVER;
        a->end_at = min_u64(a->end_at, sim->now + SECONDS(5));
        return;
    }
    if (!c || !cseq_parse(message_first(request, HEADER_CSEQ), &acked))
        return;
    for (a = phone->answers; a; a = a->next) {
        if (a->call != c->serial || a->method != METHOD_INVITE || a->status / 100 != 2)
            continue;
        message_parse(a->request, &invite);
        cseq_parse(message_first(&invite, HEADER_CSEQ), &sent);
        if (sent.number == acked.number) {
            a->is_acknowledged = true;
            a->resend_at = NEVER;
        }
    }
    sound_hear(c, message_body(request));
    if (c->state == CALL_ANSWERED)
        confirm(sim, c);
}

void call_ended(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct call *c = find_dialog(phone, request, false);

    refuse(sim, phone, request, c ? 200 : 481);
    if (!c)
        return;
    for (struct answer *a = phone->answers; a; a = a->next)
        if (a->call == c->serial && a->method == METHOD_INVITE && a->status / 100 == 2) {
            a->is_acknowledged = true; /* it would not come any more */
            a->resend_at = NEVER;
        }
    if (c->state != CALL_ENDING)
        end_call(c);
}

/* A refresh by UPDATE (RFC 3311). */
void call_updated(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct call *c = find_dialog(phone, request, false);
    struct cseq cseq;
    struct answer *a;

    cseq_parse(message_first(request, HEADER_CSEQ), &cseq);
    if (!c || c->state != CALL_CONFIRMED) {
        refuse(sim, phone, request, c && c->state == CALL_ANSWERED ? 491 : 481);
        return;
    }
    if (cseq.number <= c->remote_cseq) {
        refuse(sim, phone, request, 500);
        return;
    }
    c->remote_cseq = cseq.number;
    a = answer_begin(sim, phone, request);
    answer_call(sim, phone, c, a, 200);
}

void call_unacknowledged(struct sim *sim, struct phone *phone, const struct answer *a)
{
    struct call *c = call_by_serial(phone, a->call);

    if (!c || (c->state != CALL_ANSWERED && c->state != CALL_CONFIRMED))
        return;
    c->is_strict = false;
    hang_up(sim, phone, c);
}

/* -- plans -- */

static void expire_ringing(struct sim *sim, struct phone *phone, struct call *c)
{
    const struct manner *manner = &manners[c->manner];
    struct answer *a = pending_answer(phone, c);
    instant decide_at =
        c->began + MS(manner->first) + MS(c->serial * 7919u % (manner->last - manner->first + 1));

    if (!a) {
        end_call(c);
        return;
    }
    if (manner->status && sim->now >= decide_at) {
        if (manner->status == 200) {
            accept_call(sim, phone, c, a);
        } else {
            answer_call(sim, phone, c, a, manner->status);
            end_call(c);
        }
        return;
    }
    if (!manner->status && !manner->rings && !(phone->traits & TRAIT_SILENT))
        answer_call(sim, phone, c, a, 100);
    if (c->rings) {
        c->rings--;
        answer_call(sim, phone, c, a, dice_chance(&sim->dice, 900) ? 180 : 183);
    }
    c->act_at = c->rings ? sim->now + manner->ring_every : NEVER;
    if (manner->status)
        c->act_at = min_u64(c->act_at, max_u64(decide_at, sim->now + 1));
}

static void expire_confirmed(struct sim *sim, struct phone *phone, struct call *c)
{
    c->act_at = NEVER;
    if (!c->wants_reinvite) {
        hang_up(sim, phone, c);
        return;
    }
    c->wants_reinvite = false;
    if (c->hangs_up)
        c->act_at = sim->now + dice_wait(&sim->dice, SECONDS(40));
    if (dice_chance(&sim->dice, 300)) {
        send_within(sim, phone, c, METHOD_INFO, FOR_INFO);
    } else if (!exchange_of_call(phone, c->serial, FOR_REINVITE)) {
        sim->report.counts[COUNT_REINVITES]++;
        send_within(sim, phone, c, METHOD_INVITE, FOR_REINVITE);
    }
}

static void give_up(struct sim *sim, struct phone *phone, struct call *c)
{
    struct exchange *e = exchange_of_call(phone, c->serial, FOR_CALL);

    c->wants_cancel = true;
    c->act_at = NEVER;
    if (e && e->state == EXCHANGE_PROCEEDING && !e->is_cancelled)
        exchange_cancel(sim, phone, e);
}

static void keep_session(struct sim *sim, struct phone *phone, struct call *c)
{
    enum session_act act = session_due(sim, c);

    if (act == SESSION_REST || c->state != CALL_CONFIRMED)
        return;
    if (act == SESSION_HANG_UP) {
        hang_up(sim, phone, c);
    } else if (c->serial % 2) {
        sim->report.counts[COUNT_REFRESHES]++;
        send_within(sim, phone, c, METHOD_UPDATE, FOR_UPDATE);
    } else if (!exchange_of_call(phone, c->serial, FOR_REINVITE)) {
        sim->report.counts[COUNT_REFRESHES]++;
        send_within(sim, phone, c, METHOD_INVITE, FOR_REINVITE);
    }
}

void call_expire(struct sim *sim, struct phone *phone)
{
    for (struct call *c = phone->calls; c; c = c->next) {
        if (sim->now >= c->session.act_at)
            keep_session(sim, phone, c);
        if (sim->now < c->act_at)
            continue;
        switch (c->state) {
        case CALL_INVITING: give_up(sim, phone, c); break;
        case CALL_RINGING: expire_ringing(sim, phone, c); break;
        case CALL_CONFIRMED: expire_confirmed(sim, phone, c); break;
        default: c->act_at = NEVER;
        }
    }
    bury_ended(phone);
}

instant call_deadline(const struct phone *phone)
{
    instant first = NEVER;

    for (const struct call *c = phone->calls; c; c = c->next)
        first = min_u64(first, min_u64(c->act_at, c->session.act_at));
    return first;
}

void call_hang_up_all(struct sim *sim, struct phone *phone)
{
    for (struct call *c = phone->calls; c; c = c->next) {
        if (c->state == CALL_CONFIRMED)
            hang_up(sim, phone, c);
        else if (c->state == CALL_INVITING)
            give_up(sim, phone, c);
    }
}

void call_forget_all(struct phone *phone)
{
    for (struct call *c = phone->calls; c; c = c->next) {
        if (c->state != CALL_ENDED)
            c->was_lost = true;
        end_call(c);
    }
    bury_ended(phone);
}
