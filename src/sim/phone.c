#include "sim/phone.h"

#include "sim/copy.h"
#include "sim/digest.h"
#include "sim/sim.h"
#include "sim/trace.h"
#include "sip/address.h"

#include <stdio.h>

void phone_name(struct phone *phone, const char *prefix, char *text, size_t limit)
{
    struct writer w = writer_over(text, limit);

    put(&w, "%s%u-%u", prefix, phone->node, ++phone->serial);
    assert(!w.failed);
    text[w.len] = '\0';
}

void phone_send(struct sim *sim, struct phone *phone, struct slice bytes)
{
    if (phone->connect_at == NEVER) /* else it has no stream at present */
        network_to_server(sim, phone->node, &phone->address, bytes);
}

static enum transport phone_transport(const struct phone *phone)
{
    if (!phone_is_by_stream(phone))
        return TRANSPORT_UDP;
    return phone->traits & TRAIT_WEB   ? TRANSPORT_WS
           : phone->traits & TRAIT_TLS ? TRANSPORT_TLS
                                       : TRANSPORT_TCP;
}

/* It came from another domain, by TLS: no other connection will do. */
static bool is_of_domain(const struct phone *phone, const struct flow *flow)
{
    return flow_is_secure(flow) && phone->traits & TRAIT_FOREIGN;
}

void phone_send_by(struct sim *sim, struct phone *phone, const struct flow *flow,
                   struct slice bytes)
{
    bool is_stream = flow->transport && flow_is_reliable(flow);
    bool may_be_other = is_stream ? wire_stands(sim, flow) : (phone->traits & TRAIT_FLOWS) != 0;
    bool is_current = false;
    uint32_t node = may_be_other ? network_owner(sim, flow, &is_current) : NO_NODE;

    if (is_current && (is_stream || node != phone->node))
        network_to_server(sim, node, flow, bytes);
    else if (!is_stream || !is_of_domain(phone, flow))
        phone_send(sim, phone, bytes);
}

void phone_renew_flow(struct sim *sim, struct phone *phone, struct flow *flow)
{
    struct flow fresh;

    if (!is_of_domain(phone, flow) || wire_stands(sim, flow))
        return;
    if (!wire_stands(sim, &phone->stream)) {
        fresh = network_new_address(sim, phone->site, flow->is_v6, true);
        fresh.transport = flow->transport;
        fresh.socket = flow->socket;
        if (!wire_open(sim, &fresh, zone_proof(sim, &fresh)))
            return;
        network_move(sim, phone->node, NULL, &fresh);
        phone->stream = fresh;
    }
    *flow = phone->stream;
}

struct letter phone_letter(struct phone *phone, enum method method, char *branch, size_t limit)
{
    phone_name(phone, BRANCH_COOKIE, branch, limit);
    return (struct letter){.method = method,
                           .sent_by = slice_text(phone->host),
                           .branch = slice_text(branch),
                           .has_rport = (phone->traits & TRAIT_RPORT) != 0,
                           .transport = phone_transport(phone),
                           .max_forwards = 70};
}

#define FLOW_FIELDS "Supported: path, outbound, gruu\r\n"

/* -- credentials (RFC 3261 22, RFC 7616) -- */

/* A field that answers the challenge we know for this letter. */
static void put_credentials(struct writer *w, struct phone *phone, const struct letter *letter,
                            const char *field)
{
    char hex[2 * DIGEST_LIMIT], count[9];
    struct slice realm = S(SERVER_DOMAIN), method = method_name(letter->method);

    snprintf(count, sizeof count, "%08x", ++phone->nonce.count);
    struct credentials c = {
        .username = slice_text(phone->user_name),
        .realm = realm,
        .nonce = slice_text(phone->nonce.text),
        .uri = letter->uri,
        .cnonce = S("0a4f113b"),
        .qop = phone->nonce.has_qop ? S("auth") : NO_SLICE,
        .nc = phone->nonce.count,
        .nc_text = slice_of(count, 8),
    };
    digest_response(&sim_digests, &c, phone->ha1, method, letter->body, hex);
    put(w, "%s: Digest username=\"%s\", realm=\"%.*s\", nonce=\"%s\", uri=\"%.*s\", ", field,
        phone->user_name, (int)realm.len, realm.at, phone->nonce.text, (int)letter->uri.len,
        letter->uri.at);
    put(w, "response=\"%.32s\", algorithm=MD5", hex);
    if (phone->nonce.opaque[0])
        put(w, ", opaque=\"%s\"", phone->nonce.opaque);
    if (phone->nonce.has_qop)
        put(w, ", qop=auth, nc=%s, cnonce=\"0a4f113b\"", count);
    put(w, "\r\n");
}

static struct slice quoted(struct slice value)
{
    return value.len >= 2 && value.at[0] == '"' ? slice_of(value.at + 1, value.len - 2) : value;
}

/* Learns the first challenge with MD5; false if there is none. */
static bool learn_challenge(struct phone *phone, const struct message *m, enum header header)
{
    for (unsigned i = m->first[header]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i), item, value;
        struct nonce nonce = {.count = 0};
        bool is_md5 = true;
        rest = slice_from(rest, slice_find(rest, ' '));
        while (list_next(&rest, &item)) {
            size_t equals = slice_find(item, '=');
            struct slice name = slice_trim(slice_until(item, equals));
            value = equals < item.len ? quoted(slice_trim(slice_from(item, equals + 1))) : NO_SLICE;
            if (slice_equal_nocase(name, S("nonce")))
                copy_text(nonce.text, sizeof nonce.text, value);
            else if (slice_equal_nocase(name, S("opaque")))
                copy_text(nonce.opaque, sizeof nonce.opaque, value);
            else if (slice_equal_nocase(name, S("qop")))
                nonce.has_qop = true;
            else if (slice_equal_nocase(name, S("algorithm")))
                is_md5 = slice_equal_nocase(value, S("MD5"));
        }
        if (is_md5 && nonce.text[0]) {
            phone->nonce = nonce;
            return true;
        }
    }
    return false;
}

void phone_request(struct sim *sim, struct phone *phone, enum purpose purpose,
                   struct letter *letter, uint32_t call)
{
    char extra[1024];
    struct writer w = writer_over(extra, sizeof extra);
    bool is_registration = purpose == FOR_REGISTRATION;

    if (phone->traits & TRAIT_OUTBOUND && !is_registration)
        letter->routes = S("Route: <sip:" SERVER_HOST_V4 ";lr>\r\n");
    if (phone->traits & TRAIT_EAGER && phone->nonce.text[0]) {
        put_credentials(&w, phone, letter,
                        is_registration ? "Authorization" : "Proxy-Authorization");
        letter->extra = writer_slice(&w);
    }
    exchange_begin(sim, phone, purpose, letter, call, 0);
}

/* Sends the request again with credentials; false if that is no use. */
static bool answer_challenge(struct sim *sim, struct phone *phone, struct exchange *e,
                             const struct message *response)
{
    static struct message request;
    char routes[2048], extra[1024], branch[48];
    struct writer kept = writer_over(routes, sizeof routes), w = writer_over(extra, sizeof extra);
    struct letter letter;
    struct call *call = e->call ? call_by_serial(phone, e->call) : NULL;
    bool is_proxy = response->status == 407;

    if (e->tries >= 3 || phone->traits & TRAIT_FOREIGN ||
        !learn_challenge(phone, response,
                         is_proxy ? HEADER_PROXY_AUTHENTICATE : HEADER_WWW_AUTHENTICATE))
        return false;
    if (call && (call->state == CALL_ENDED || (call->wants_cancel && e->purpose == FOR_CALL)))
        return false;
    message_parse(e->bytes, &request);
    letter_read(&letter, &request, &kept);
    phone_name(phone, BRANCH_COOKIE, branch, sizeof branch);
    letter.branch = slice_text(branch);
    letter.cseq = call                             ? ++call->cseq
                  : e->purpose == FOR_REGISTRATION ? ++phone->register_cseq
                                                   : letter.cseq + 1;
    if (call && letter.method == METHOD_INVITE)
        call->invite_cseq = letter.cseq;
    if (e->purpose == FOR_REGISTRATION) {
        struct slice expires = message_first(&request, HEADER_EXPIRES);
        put_field(&w, "Expires", expires);
        if (phone->traits & TRAIT_FLOWS)
            put(&w, FLOW_FIELDS);
    }
    put_credentials(&w, phone, &letter, is_proxy ? "Proxy-Authorization" : "Authorization");
    letter.extra = writer_slice(&w);
    exchange_begin(sim, phone, e->purpose, &letter, e->call, e->tries + 1);
    return true;
}

/* -- registration -- */

static void send_registration(struct sim *sim, struct phone *phone, const char *contact,
                              unsigned expires)
{
    char branch[48], from[160], to[160], text[256], extra[1200];
    struct writer f = writer_over(from, sizeof from), t = writer_over(to, sizeof to);
    struct writer k = writer_over(text, sizeof text), x = writer_over(extra, sizeof extra);
    struct letter letter = phone_letter(phone, METHOD_REGISTER, branch, sizeof branch);

    put(&f, "<%s>;tag=r%u", phone->aor, phone->node);
    put(&t, "<%s>", phone->aor);
    put(&k, "<%s>", contact);
    if (phone->traits & TRAIT_FLOWS)
        put(&k, ";+sip.instance=\"<urn:sim:%u>\";reg-id=%u", phone->device,
            phone->traits & TRAIT_SECOND ? 2u : 1u);
    if (phone->q)
        put(&k, ";q=0.%03u", phone->q);
    put(&x, "Expires: %u\r\n", expires);
    if (phone->traits & TRAIT_FLOWS)
        put(&x, FLOW_FIELDS);
    letter.uri = S("sip:" SERVER_DOMAIN);
    letter.from = writer_slice(&f);
    letter.to = writer_slice(&t);
    letter.call_id = slice_text(phone->call_id);
    letter.cseq = ++phone->register_cseq;
    letter.contact = writer_slice(&k);
    if (phone->traits & TRAIT_EAGER && phone->nonce.text[0])
        put_credentials(&x, phone, &letter, "Authorization");
    letter.extra = writer_slice(&x);
    sim->report.counts[COUNT_REGISTRATIONS]++;
    phone->register_at = NEVER;
    exchange_begin(sim, phone, FOR_REGISTRATION, &letter, 0, 0);
}

static bool is_registering(const struct phone *phone)
{
    for (const struct exchange *e = phone->exchanges; e; e = e->next)
        if (e->purpose == FOR_REGISTRATION &&
            (e->state == EXCHANGE_CALLING || e->state == EXCHANGE_PROCEEDING))
            return true;
    return false;
}

/* One at a time (10.2): what could not be sent yet is sent when the last is answered. */
static void refresh(struct sim *sim, struct phone *phone)
{
    if (is_registering(phone)) {
        phone->register_at = sim->now + SECONDS(1);
        return;
    }
    if (phone->removed_contact[0])
        send_registration(sim, phone, phone->removed_contact, 0);
    else
        send_registration(sim, phone, phone->contact,
                          phone->wants_registration ? phone->expires : 0);
}

void phone_register(struct sim *sim, struct phone *phone)
{
    if (phone->traits & TRAIT_FOREIGN)
        return;
    phone->wants_registration = true;
    phone->register_at = sim->now;
}

void phone_unregister(struct sim *sim, struct phone *phone)
{
    if (phone->traits & TRAIT_FOREIGN)
        return;
    phone->wants_registration = false;
    phone->register_at = sim->now;
}

/* What the server granted this contact: its expires parameter; 0 if it is not there. */
static unsigned granted(const struct phone *phone, const struct message *response)
{
    for (unsigned i = response->first[HEADER_CONTACT]; i; i = response->fields[i].next) {
        struct slice rest = message_value(response, i), value;
        struct address address;
        uint64_t seconds;
        while (address_next(&rest, &address))
            if (slice_equal(address.uri, slice_text(phone->contact)) &&
                param_find(address.params, S("expires"), &value) &&
                slice_number(value, UINT32_MAX, &seconds))
                return (unsigned)seconds;
    }
    return 0;
}

static void learn_gruu(char *text, size_t limit, struct slice params, struct slice name)
{
    struct slice value;

    if (param_find(params, name, &value))
        copy_text(text, limit, quoted(value));
}

/* What URIs reach this phone alone (RFC 5627 4.3). */
static void learn_gruus(struct sim *sim, struct phone *phone, const struct message *response)
{
    struct phone *device = &sim->phones[phone->device];

    for (unsigned i = response->first[HEADER_CONTACT]; i; i = response->fields[i].next) {
        struct slice rest = message_value(response, i);
        struct address address;
        while (address_next(&rest, &address)) {
            if (!slice_equal(address.uri, slice_text(phone->contact)))
                continue;
            learn_gruu(device->public_gruu, sizeof device->public_gruu, address.params,
                       S("pub-gruu"));
            learn_gruu(device->temporary_gruu, sizeof device->temporary_gruu, address.params,
                       S("temp-gruu"));
            passage_given(sim, device->node, slice_text(device->temporary_gruu));
        }
    }
}

static void registered(struct sim *sim, struct phone *phone, const struct message *response)
{
    unsigned seconds;

    if (!response || response->status >= 300) {
        phone->is_registered = false;
        phone->register_at = sim->now + SECONDS(dice_between(&sim->dice, 2, 30));
        return;
    }
    seconds = granted(phone, response);
    if (phone->traits & TRAIT_FLOWS)
        learn_gruus(sim, phone, response);
    if (phone->removed_contact[0]) {
        phone->removed_contact[0] = '\0';
        phone->register_at = sim->now;
        return;
    }
    phone->is_registered = seconds > 0;
    if (phone->back_since == NEVER)
        phone->back_since = sim->now;
    if (phone->wants_registration)
        phone->register_at =
            sim->now + MS(1000 * (uint64_t)seconds / 2) + MS(random_below(&sim->dice, 5000));
    else if (phone->is_registered)
        phone->register_at = sim->now; /* it was meant to go */
}

/* -- answers to our requests -- */

void phone_finished(struct sim *sim, struct phone *phone, struct exchange *e,
                    const struct message *response)
{
    unsigned status = response ? response->status : 0;

    if ((status == 401 || status == 407) && e->purpose != FOR_CANCEL &&
        answer_challenge(sim, phone, e, response))
        return;
    switch (e->purpose) {
    case FOR_REGISTRATION: registered(sim, phone, response); break;
    case FOR_CALL:
    case FOR_REINVITE:
    case FOR_UPDATE:
    case FOR_BYE: call_finished(sim, phone, e, response); break;
    default: break;
    }
}

/* -- others' requests -- */

static void answer_simply(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct answer *a = answer_begin(sim, phone, request);

    /* Some take their time, and say so; some with more than the 100 that RFC 4320 4.1 allows. */
    if (request->method == METHOD_MESSAGE && dice_chance(&sim->dice, 100)) {
        a->reply_at = sim->now + MS(dice_between(&sim->dice, 3000, 12000));
        if (dice_chance(&sim->dice, 500))
            answer_send(sim, phone, a,
                        &(struct reply){.status = dice_chance(&sim->dice, 500) ? 100 : 182});
        return;
    }
    answer_send(sim, phone, a, &(struct reply){.status = 200, .to_tag = S("ok")});
}

static void refuse(struct sim *sim, struct phone *phone, const struct message *request)
{
    answer_send(sim, phone, answer_begin(sim, phone, request),
                &(struct reply){.status = 503, .to_tag = S("busy")});
}

typedef void request_handler(struct sim *sim, struct phone *phone, const struct message *request);

static request_handler *const handlers[METHOD_COUNT] = {
    [METHOD_INVITE] = call_invited,
    [METHOD_BYE] = call_ended,
    [METHOD_UPDATE] = call_updated,
    [METHOD_CANCEL] = call_cancelled,
};

/* The other flow of the same phone; NULL if it has none. */
static struct phone *other_flow(struct sim *sim, struct phone *phone)
{
    for (unsigned i = 0; phone->traits & TRAIT_FLOWS && i < sim->phone_count; i++)
        if (sim->phones[i].device == phone->device && i != phone->node)
            return &sim->phones[i];
    return NULL;
}

/* Somebody between says that this flow has failed, though the other has not (RFC 5626 5.3). */
static bool refuses_flow(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct phone *other = other_flow(sim, phone);

    if (!other || request->method == METHOD_CANCEL || request->method == METHOD_ACK ||
        address_tag(message_first(request, HEADER_TO)).len || !dice_chance(&sim->dice, 250) ||
        !judge_binding_of(sim, other) || other->connect_at != NEVER ||
        !judge_flow_fails(sim, phone, request))
        return false;
    answer_send(sim, phone, answer_begin(sim, phone, request),
                &(struct reply){.status = 430, .to_tag = S("flow")});
    return true;
}

static void receive_request(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct answer *known = answer_find(phone, request, request->method);

    if (known) /* it comes again, by a stream that stands now */
        known->flow = phone->heard_by;
    if (request->method == METHOD_ACK)
        call_acknowledged(sim, phone, request);
    else if (known && known->status)
        phone_send_by(sim, phone, &phone->heard_by, known->response);
    else if (!known && phone->traits & TRAIT_BUSY && request->method != METHOD_CANCEL)
        refuse(sim, phone, request);
    else if (!known && handlers[request->method])
        handlers[request->method](sim, phone, request);
    else if (!known)
        answer_simply(sim, phone, request);
}

/* It belongs to a request that this flow dealt with itself. */
static bool has_answered(struct phone *phone, const struct message *m)
{
    bool is_about_invite = m->method == METHOD_ACK || m->method == METHOD_CANCEL;

    return answer_find(phone, m, is_about_invite ? METHOD_INVITE : m->method) != NULL;
}

/* Calls are the phone's, by whatever flow they come. */
static void hand_over(struct sim *sim, struct phone *phone, const struct message *request)
{
    struct phone *device = has_answered(phone, request) ? phone : &sim->phones[phone->device];

    device->heard_by = phone->heard_by;
    judge_flow_heard(sim, device, request);
    receive_request(sim, device, request);
    phone_arrange(sim, device);
}

void phone_receive(struct sim *sim, struct phone *phone, const struct flow *flow,
                   struct slice bytes)
{
    struct message m;
    struct fault fault = message_parse(bytes, &m);

    phone->heard_by = *flow;
    if (fault.status || !m.bytes.len) {
        /* A keep-alive is none; a refusal repeats the faults of what somebody sent in our name. */
        if (bytes.len > 4 && (m.is_request || m.status < 400))
            judge_fail(sim, "the server sends well-formed messages", "node %u: %u %s", phone->node,
                       fault.status, fault.reason ? fault.reason : "");
        return;
    }
    if (!m.is_request)
        exchange_receive(sim, phone, &m);
    else if (has_answered(phone, &m) || has_answered(&sim->phones[phone->device], &m) ||
             !refuses_flow(sim, phone, &m))
        hand_over(sim, phone, &m);
    phone_arrange(sim, phone);
}

/* -- timers -- */

void phone_arrange(struct sim *sim, struct phone *phone)
{
    instant first = min_u64(min_u64(phone->register_at, phone->act_at),
                            min_u64(exchange_deadline(phone), call_deadline(phone)));

    first = min_u64(first, phone->connect_at);

    if (first == NEVER || first >= phone->wake_at)
        return;
    phone->wake_at = first;
    agenda_note(&sim->agenda, first, DUE_PHONE, phone->node, NULL);
}

/* -- its stream -- */

static bool connect_phone(struct sim *sim, struct phone *phone, bool is_v6)
{
    struct flow flow = network_new_address(sim, phone->site, is_v6, false);

    flow.transport = (uint8_t)phone_transport(phone);
    flow.socket = phone->traits & TRAIT_WEB   ? SOCKET_WS_V4
                  : phone->traits & TRAIT_TLS ? SOCKET_TLS_V4
                                              : SOCKET_TCP_V4;
    flow.socket += is_v6;
    if (!wire_open(sim, &flow, NO_SLICE))
        return false;
    network_move(sim, phone->node, NULL, &flow);
    phone->address = flow;
    return true;
}

void phone_cut_off(struct sim *sim, struct phone *phone)
{
    trace_note(sim, "node %u is cut off", phone->node);
    network_leave(sim, &phone->address);
    phone->back_since = NEVER;
    phone->connect_at = sim->now + MS(dice_between(&sim->dice, 10, 3000));
    exchange_break(sim, phone);
    phone_arrange(sim, phone);
}

static void connect_again(struct sim *sim, struct phone *phone)
{
    if (!connect_phone(sim, phone, phone->address.is_v6)) {
        phone->connect_at = sim->now + SECONDS(1);
        return;
    }
    phone->connect_at = NEVER;
    exchange_resume(sim, phone);
    if (phone->wants_registration)
        phone_register(sim, phone);
}

void phone_wake(struct sim *sim, struct phone *phone)
{
    if (sim->now < phone->wake_at)
        return; /* it was woken earlier meanwhile */
    phone->wake_at = NEVER;
    if (sim->now >= phone->connect_at)
        connect_again(sim, phone);
    exchange_expire(sim, phone);
    call_expire(sim, phone);
    if (sim->now >= phone->register_at)
        refresh(sim, phone);
    if (sim->now >= phone->act_at)
        phone_act(sim, phone);
    phone_arrange(sim, phone);
}

/* -- what it does of its own accord -- */

static void name_contact(struct phone *phone, bool is_behind_nat)
{
    char text[64];
    struct flow private = {.port = 5060, .address = {192, 168, 1, (uint8_t)(phone->node + 1)}};
    struct slice host = network_text(is_behind_nat ? &private : &phone->address, text, sizeof text);
    struct writer w = writer_over(phone->contact, sizeof phone->contact - 1);

    copy_text(phone->host, sizeof phone->host, host);
    if (phone->traits & TRAIT_WEB) /* a browser does not know where it is */
        snprintf(phone->host, sizeof phone->host, "n%u.invalid", phone->node);
    put(&w, "sip:%s-%u@%s", phone->user_name, phone->node, phone->host);
    if (phone->traits & TRAIT_STREAM)
        put(&w, phone->traits & TRAIT_WEB   ? ";transport=ws"
                : phone->traits & TRAIT_TLS ? ";transport=tls"
                                            : ";transport=tcp");
    if (phone->traits & TRAIT_LOOPING) {
        w.len = 0;
        put(&w, "sip:%s@" SERVER_HOST_V4 ":5060", phone->user_name);
    }
    phone->contact[w.len] = '\0';
}

/* Where its Contact and Via say that it listens. */
static void open_door(struct phone *phone, bool is_behind_nat)
{
    if (!(phone->traits & TRAIT_DOOR) || phone->traits & (TRAIT_WEB | TRAIT_TLS) || is_behind_nat)
        return;
    phone->door = phone->address;
    phone->door.connection = 0;
}

/* A phone behind a NAT keeps its contact and is seen from another port; one that is not has a new
 * contact, and removes the old one. */
void phone_move(struct sim *sim, struct phone *phone, bool keeps_contact)
{
    struct flow old = phone->address;

    if (phone->traits & TRAIT_STREAM) {
        wire_break(sim, phone);
        return;
    }
    if (!keeps_contact && (phone->removed_contact[0] || phone->traits & TRAIT_LOOPING))
        return;
    sim->report.counts[COUNT_MOVES]++;
    phone->address = network_new_address(sim, phone->site, old.is_v6, false);
    network_move(sim, phone->node, &old, &phone->address);
    if (!keeps_contact) {
        memcpy(phone->removed_contact, phone->contact, sizeof phone->removed_contact);
        name_contact(phone, false);
    }
    trace_note(sim, "node %u moves, contact %s", phone->node, phone->contact);
    if (phone->wants_registration)
        phone_register(sim, phone);
}

/* It loses its power: calls and transactions with it. */
void phone_reboot(struct sim *sim, struct phone *phone)
{
    trace_note(sim, "node %u reboots", phone->node);
    sim->report.counts[COUNT_REBOOTS]++;
    exchange_forget(phone);
    call_forget_all(phone);
    if (phone->traits & TRAIT_STREAM)
        wire_abandon(sim, phone);
    phone->nonce = (struct nonce){.count = 0};
    phone_name(phone, "boot", phone->call_id, sizeof phone->call_id);
    phone->register_cseq = 0;
    if (phone->wants_registration)
        phone_register(sim, phone);
}

/* One that some phone was given; false if none was. */
static bool put_gruu(struct sim *sim, struct writer *w)
{
    unsigned start = (unsigned)random_below(&sim->dice, sim->phone_count);
    bool is_public = dice_chance(&sim->dice, 500);

    for (unsigned i = 0; i < sim->phone_count; i++) {
        const struct phone *phone = &sim->phones[(start + i) % sim->phone_count];
        if (!phone->public_gruu[0])
            continue;
        put(w, "%s", is_public ? phone->public_gruu : phone->temporary_gruu);
        sim->report.counts[COUNT_GRUUS]++;
        return true;
    }
    return false;
}

/* Whom to dial: mostly a user, by id or extension; sometimes nobody, sometimes another domain. */
static struct slice throw_target(struct sim *sim, char *text, size_t limit)
{
    struct writer w = writer_over(text, limit);
    unsigned user = (unsigned)random_below(&sim->dice, sim->machine.user_count);

    if (zone_is_seed(sim->report.seed) && dice_chance(&sim->zones.dice, 120)) {
        zone_write_target(sim, &w);
        return writer_slice(&w);
    }
    if (sim->has_wires && dice_chance(&sim->dice, 100) && put_gruu(sim, &w))
        return writer_slice(&w);
    if (dice_chance(&sim->dice, 30))
        put(&w, "sip:nobody@" SERVER_DOMAIN);
    else if (dice_chance(&sim->dice, 30))
        put(&w, "sip:someone@%s", sim->phones[sim->foreign_first].host);
    else if (dice_chance(&sim->dice, 300))
        put(&w, "sip:%u@" SERVER_DOMAIN, FIRST_EXTENSION + user);
    else
        put(&w, "sip:u%u@" SERVER_DOMAIN, user);
    return writer_slice(&w);
}

static void act_call(struct sim *sim, struct phone *phone)
{
    char text[128];

    call_start(sim, phone, throw_target(sim, text, sizeof text));
}

static void send_plainly(struct sim *sim, struct phone *phone, enum method method,
                         enum purpose purpose, struct slice uri)
{
    char branch[48], from[160], to[160], call_id[48];
    struct writer f = writer_over(from, sizeof from), t = writer_over(to, sizeof to);
    struct letter letter = phone_letter(phone, method, branch, sizeof branch);

    phone_name(phone, "single", call_id, sizeof call_id);
    put(&f, "<%s>;tag=s%u", phone->aor, ++phone->serial);
    put(&t, "<%.*s>", (int)uri.len, uri.at);
    letter.uri = uri;
    letter.from = writer_slice(&f);
    letter.to = writer_slice(&t);
    letter.call_id = slice_text(call_id);
    letter.cseq = 1;
    letter.body = method == METHOD_MESSAGE ? S("hello") : NO_SLICE;
    if (sim->phase < PHASE_HANG_UP && dice_chance(&sim->dice, 20))
        letter.max_forwards = 0;
    phone_request(sim, phone, purpose, &letter, 0);
}

void phone_write_to(struct sim *sim, struct phone *phone, struct slice uri)
{
    sim->report.counts[COUNT_MESSAGES]++;
    send_plainly(sim, phone, METHOD_MESSAGE, FOR_MESSAGE, uri);
}

static void act_message(struct sim *sim, struct phone *phone)
{
    char text[128];

    phone_write_to(sim, phone, throw_target(sim, text, sizeof text));
}

static void act_options(struct sim *sim, struct phone *phone)
{
    char text[128];

    sim->report.counts[COUNT_OPTIONS]++;
    send_plainly(sim, phone, METHOD_OPTIONS, FOR_OPTIONS,
                 dice_chance(&sim->dice, 700) ? S("sip:" SERVER_DOMAIN)
                                              : throw_target(sim, text, sizeof text));
}

static void act_refresh(struct sim *sim, struct phone *phone)
{
    if (phone->wants_registration)
        phone_register(sim, phone);
}

static void act_leave(struct sim *sim, struct phone *phone)
{
    if (sim->phase != PHASE_FAULTS)
        return;
    if (phone->wants_registration)
        phone_unregister(sim, phone);
    else
        phone_register(sim, phone);
}

static void act_move(struct sim *sim, struct phone *phone)
{
    if (sim->phase == PHASE_FAULTS && !(phone->traits & TRAIT_FOREIGN))
        phone_move(sim, phone, phone->host[0] == '1' && phone->host[1] == '9');
}

static void act_reboot(struct sim *sim, struct phone *phone)
{
    if (sim->phase == PHASE_FAULTS && !(phone->traits & TRAIT_FOREIGN))
        phone_reboot(sim, phone);
}

static const struct {
    unsigned weight;
    void (*act)(struct sim *sim, struct phone *phone);
} acts[] = {
    {60, act_call}, {14, act_message}, {5, act_options}, {10, act_refresh},
    {5, act_leave}, {4, act_move},     {2, act_reboot},
};

void phone_act(struct sim *sim, struct phone *phone)
{
    unsigned weights[COUNT_OF(acts)];

    if (sim->phase >= PHASE_HANG_UP) {
        phone->act_at = NEVER;
        return;
    }
    for (unsigned i = 0; i < COUNT_OF(acts); i++)
        weights[i] = acts[i].weight;
    acts[dice_weighted(&sim->dice, weights, COUNT_OF(acts))].act(sim, phone);
    phone->act_at = sim->now + dice_wait(&sim->dice, SECONDS(50));
}

/* -- birth and end -- */

void phone_init(struct sim *sim, struct phone *phone, uint32_t node, unsigned user, unsigned traits)
{
    bool is_foreign = (traits & TRAIT_FOREIGN) != 0;
    bool is_v6 = !is_foreign && dice_chance(&sim->dice, 200), is_behind_nat;
    struct writer w;

    *phone = (struct phone){.node = node,
                            .user = user,
                            .traits = traits,
                            .device = traits & TRAIT_SECOND ? node - 1 : node,
                            .site = node,
                            .register_at = NEVER,
                            .connect_at = NEVER,
                            .wake_at = NEVER};
    phone->expires = (unsigned)dice_between(&sim->dice, 90, 900);
    phone->act_at = traits & (TRAIT_BUSY | TRAIT_SECOND)
                        ? NEVER
                        : sim->now + dice_wait(&sim->dice, SECONDS(40));
    w = writer_over(phone->user_name, sizeof phone->user_name - 1);
    put(&w, is_foreign ? "f%u" : "u%u", user);
    w = writer_over(phone->aor, sizeof phone->aor - 1);
    put(&w, "sip:%s@%s", phone->user_name, is_foreign ? "elsewhere.example" : SERVER_DOMAIN);
    if (traits & TRAIT_STREAM) {
        connect_phone(sim, phone, is_v6);
    } else {
        phone->address = network_new_address(sim, phone->site, is_v6, is_foreign);
        network_move(sim, node, NULL, &phone->address);
    }
    is_behind_nat = !is_foreign && !is_v6 && dice_chance(&sim->dice, 500);
    name_contact(phone, is_behind_nat);
    open_door(phone, is_behind_nat);
    if (phone->host[0] == '1' && phone->host[1] == '9')
        phone->traits |= TRAIT_RPORT; /* behind a NAT nothing works without */
    phone_name(phone, "boot", phone->call_id, sizeof phone->call_id);
    digest_ha1(&sim_digests, ALGORITHM_MD5, slice_text(phone->user_name), S(SERVER_DOMAIN),
               traits & TRAIT_IMPOSTOR ? S("guess") : slice_text(phone->user_name), phone->ha1);
    phone_register(sim, phone);
    if (!is_foreign)
        phone->register_at = sim->now + MS(random_below(&sim->dice, 20000));
    phone_arrange(sim, phone);
}

void phone_free(struct phone *phone)
{
    exchange_forget(phone);
    call_forget_all(phone);
    while (phone->past_calls) {
        struct call *c = phone->past_calls;
        phone->past_calls = c->next;
        copy_free(&c->local);
        copy_free(&c->remote);
        copy_free(&c->target);
        copy_free(&c->routes);
        copy_free(&c->ack);
        free(c);
    }
}
