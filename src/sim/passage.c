#include "sim/passage.h"

#include "core/strans.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sip/address.h"

/* -- what comes -- */

/* A request by what a forwarding leaves as it is. */
static uint64_t request_key(const struct message *m)
{
    struct cseq cseq = {0};

    cseq_parse(message_first(m, HEADER_CSEQ), &cseq);
    return ledger_key("request", message_first(m, HEADER_CALL_ID),
                      address_tag(message_first(m, HEADER_FROM)),
                      (uint64_t)cseq.number * METHOD_COUNT + cseq.method);
}

static uint64_t departure_key(struct slice branch, enum method method)
{
    return ledger_key("departure", branch, NO_SLICE, method);
}

static struct departure *find_departure(struct passage *p, struct slice branch, enum method method)
{
    uint32_t place = ledger_first(&p->sent, departure_key(branch, method));

    return place ? &p->departures[ledger_value(&p->sent, place)] : NULL;
}

static uint32_t device_of(const struct sim *sim, uint32_t node)
{
    return node < sim->phone_count ? sim->phones[node].device : node;
}

static void note_response(struct passage *p, const struct message *m, uint32_t device,
                          uint64_t step)
{
    struct via via;
    struct cseq cseq;
    struct departure *d;

    if (!letter_via(m, &via) || !cseq_parse(message_first(m, HEADER_CSEQ), &cseq))
        return;
    d = find_departure(p, via.branch, cseq.method);
    if (!d)
        return;
    d->device = device;
    if (!d->answered_step)
        d->answered_step = step;
    if (!d->final_step && m->status >= 200)
        d->final_step = step;
}

static bool is_ours(struct slice host)
{
    return slice_equal_nocase(host, S(SERVER_DOMAIN)) ||
           slice_equal_nocase(host, S(SERVER_HOST_V4)) ||
           slice_equal_nocase(host, S(SERVER_HOST_V6));
}

static uint64_t gruu_key(struct slice user)
{
    return ledger_key("gruu", user, NO_SLICE, 0);
}

void passage_given(struct sim *sim, uint32_t node, struct slice gruu)
{
    struct uri uri;

    if (uri_parse(gruu, &uri))
        ledger_note(&sim->judge.passage.gruus, gruu_key(uri.user), node);
}

/* The phone that a GRUU names; NO_NODE if it is none. */
static uint32_t find_device(const struct sim *sim, struct slice text)
{
    const struct ledger *gruus = &sim->judge.passage.gruus;
    struct slice gr = NO_SLICE;
    struct uri uri;
    uint32_t place;

    if (!sim->has_wires || !uri_parse(text, &uri) || !is_ours(uri.host) ||
        !uri_param(&uri, S("gr"), &gr))
        return NO_NODE;
    place = ledger_first(gruus, gruu_key(uri.user));
    if (place)
        return ledger_value(gruus, place);
    for (unsigned i = 0; i < sim->phone_count; i++)
        if (slice_equal(slice_text(sim->phones[i].public_gruu), text))
            return i;
    return NO_NODE;
}

int passage_user(const struct sim *sim, struct slice text)
{
    uint32_t device = find_device(sim, text);
    struct uri uri;

    if (device != NO_NODE)
        return (int)sim->phones[device].user;
    if (!uri_parse(text, &uri) || !uri.user.len || !is_ours(uri.host))
        return -1;
    for (unsigned i = 0; i < sim->machine.user_count; i++)
        if (uri_text_equal(uri.user, sim->machine.users[i].id) ||
            uri_text_equal(uri.user, sim->machine.users[i].extension))
            return (int)i;
    return -1;
}

static bool is_from_elsewhere(const struct message *m)
{
    struct slice rest = message_first(m, HEADER_FROM);
    struct address from;
    struct uri uri;

    return address_next(&rest, &from) && uri_parse(from.uri, &uri) && !is_ours(uri.host);
}

static void note_target(struct arrival *a, struct slice text)
{
    struct uri uri;
    struct writer w = writer_over(a->target, sizeof a->target - 1);

    if (!uri_parse(text, &uri) || !uri.host.len)
        return;
    write_slice(&w, uri.host);
    write_char(&w, ':');
    write_number(&w, uri.port ? uri.port : 5060);
    if (w.failed)
        a->target[0] = '\0';
}

void passage_received(struct sim *sim, const struct flow *flow, uint32_t sender,
                      const struct message *m, uint64_t step)
{
    struct passage *p = &sim->judge.passage;
    struct via via;

    if (!m->is_request) {
        note_response(p, m, device_of(sim, sender), step);
        return;
    }
    if (!letter_via(m, &via))
        return;
    if (p->arrival_count == p->arrival_room) {
        p->arrival_room = p->arrival_room ? 2 * p->arrival_room : 4096;
        p->arrivals = realloc(p->arrivals, p->arrival_room * sizeof *p->arrivals);
        if (!p->arrivals)
            abort();
    }
    struct arrival *a = &p->arrivals[p->arrival_count];
    *a = (struct arrival){.flow = *flow,
                          .sender = sender,
                          .via_port = via.port ? via.port : transport_port(via.transport),
                          .user = passage_user(sim, message_span(m, m->uri)),
                          .device = find_device(sim, message_span(m, m->uri)),
                          .is_foreign = is_from_elsewhere(m),
                          .elapsed = machine_elapsed(sim)};
    note_target(a, message_span(m, m->uri));
    ledger_note(&p->by_branch, ledger_key("arrival", via.branch, NO_SLICE, 0), p->arrival_count);
    ledger_note(&p->by_request, request_key(m), p->arrival_count);
    p->arrival_count++;
}

static uint64_t call_key(struct slice call_id)
{
    return ledger_key("call", call_id, NO_SLICE, 0);
}

/* The flows of one phone are one. */
void passage_call(struct sim *sim, uint32_t node, struct slice call_id)
{
    ledger_note(&sim->judge.passage.by_call, call_key(call_id), device_of(sim, node));
}

/* -- what goes -- */

static bool is_participant(const struct sim *sim, uint32_t node, struct slice call_id)
{
    const struct ledger *l = &sim->judge.passage.by_call;

    node = device_of(sim, node);
    for (uint32_t i = ledger_first(l, call_key(call_id)); i; i = ledger_next(l, i))
        if (ledger_value(l, i) == node)
            return true;
    return false;
}

static bool is_honest(const struct sim *sim, uint32_t node)
{
    return node < sim->phone_count && phone_is_honest(&sim->phones[node]);
}

/* May this request, as it arrived once, go to this address outside a dialog? */
static bool is_called(const struct sim *sim, const struct arrival *a, const struct flow *flow)
{
    char text[64];
    struct slice peer = network_text(flow, text, sizeof text);
    bool is_allowed = a->is_foreign ? sim->machine.settings.is_public : is_honest(sim, a->sender);
    bool is_current;

    if (a->device != NO_NODE && device_of(sim, network_owner(sim, flow, &is_current)) != a->device)
        return false;
    if (a->user >= 0)
        return is_allowed && promise_reaches(sim, a->user, flow, a->elapsed);
    return is_allowed && !a->is_foreign &&
           (slice_equal(slice_text(a->target), peer) ||
            zone_leads(sim, slice_text(a->target), flow));
}

/* The request that this one forwards; NULL if there is none that may go there. */
static const struct arrival *find_reason(const struct sim *sim, const struct flow *flow,
                                         const struct message *m)
{
    const struct passage *p = &sim->judge.passage;
    struct slice call_id = message_first(m, HEADER_CALL_ID);
    bool is_in_dialog = address_tag(message_first(m, HEADER_TO)).len > 0, is_current;
    uint32_t node = network_owner(sim, flow, &is_current);

    for (uint32_t i = ledger_first(&p->by_request, request_key(m)); i;
         i = ledger_next(&p->by_request, i)) {
        const struct arrival *a = &p->arrivals[ledger_value(&p->by_request, i)];
        if (is_in_dialog ? is_honest(sim, a->sender) && is_participant(sim, a->sender, call_id) &&
                               is_participant(sim, node, call_id)
                         : is_called(sim, a, flow))
            return a;
    }
    return NULL;
}

/* One of several that such a phone has (RFC 5626). */
static bool is_flow_of(const struct sim *sim, uint32_t device, const struct flow *flow)
{
    bool is_current;

    return device < sim->phone_count && sim->phones[device].traits & TRAIT_FLOWS &&
           device_of(sim, network_owner(sim, flow, &is_current)) == device;
}

/* The same flow or, of streams, the same host: a phone comes back by another, and no two share one.
 * Or another flow of the same phone. */
static bool is_same_peer(const struct sim *sim, const struct flow *a, const struct flow *b)
{
    bool is_current;

    if (flow_equal(a, b))
        return true;
    /* What is too long for a datagram goes by one all the same where no stream can be opened
     * (RFC 3261 18.1.1). */
    if (flow_is_reliable(a) && (flow_is_reliable(b) || a->port == b->port) &&
        memcmp(a->address, b->address, sizeof a->address) == 0)
        return true;
    return is_flow_of(sim, device_of(sim, network_owner(sim, a, &is_current)), b);
}

/* The sides of the call that a BYE of the server's own ends, as its phones know them; how many. */
static unsigned find_ended(const struct sim *sim, const struct message *m,
                           const struct call *sides[2])
{
    struct slice call_id = message_first(m, HEADER_CALL_ID);
    struct slice from = address_tag(message_first(m, HEADER_FROM));
    struct slice to = address_tag(message_first(m, HEADER_TO));
    unsigned count = 0;

    for (unsigned i = 0; i < sim->phone_count && count < 2; i++) {
        const struct call *call = call_with_tags(&sim->phones[i], call_id, from, to);
        if (call)
            sides[count++] = call;
        call = call_with_tags(&sim->phones[i], call_id, to, from);
        if (call && count < 2)
            sides[count++] = call;
    }
    return count;
}

#define AGE_SLACK SECONDS(37) /* a phone may hear that long after the record began: 64 T1 */

/* The server hangs up by itself only what is too old, or was not refreshed in time, and only to who
 * takes part in it. */
static void check_hang_up(struct sim *sim, const struct flow *flow, const struct message *m)
{
    const struct call *sides[2];
    unsigned count = find_ended(sim, m, sides);
    struct slice call_id = message_first(m, HEADER_CALL_ID);
    duration until;
    bool is_current;

    sim->report.counts[COUNT_EXPIRED]++;
    if (!is_participant(sim, network_owner(sim, flow, &is_current), call_id))
        judge_fail(sim, "the server hangs up to who takes part in a call", "%.*s", (int)call_id.len,
                   call_id.at);
    if (!count || sim->judge.upheaval >= sides[0]->began)
        return;
    until = min_u64(sides[0]->elapsed + sim->machine.settings.call_longest,
                    session_not_before(sides[0], count > 1 ? sides[1] : NULL));
    if (machine_elapsed(sim) + AGE_SLACK < until)
        judge_fail(sim, "the server hangs up only calls that are too old or were not refreshed",
                   "%.*s, %.3f s before its time", (int)call_id.len, call_id.at,
                   (double)(until - machine_elapsed(sim)) / 1e9);
}

/* Who calls from another domain may be anybody, and whom he claims to be is the other end; more
 * than one may say the same. */
static void note_callers(struct sim *sim, const struct flow *flow, const struct message *m)
{
    const struct passage *p = &sim->judge.passage;

    for (uint32_t i = ledger_first(&p->by_request, request_key(m)); i;
         i = ledger_next(&p->by_request, i)) {
        const struct arrival *a = &p->arrivals[ledger_value(&p->by_request, i)];
        bool is_current;
        if (is_called(sim, a, flow))
            passage_call(sim, network_owner(sim, &a->flow, &is_current),
                         message_first(m, HEADER_CALL_ID));
    }
}

static void check_request(struct sim *sim, const struct held *held, const struct message *m,
                          struct slice branch)
{
    const struct flow *flow = &held->flow;
    const struct departure *invite = find_departure(&sim->judge.passage, branch, METHOD_INVITE);
    struct slice line = slice_until(m->bytes, slice_find(m->bytes, '\r'));
    const struct arrival *reason;
    char text[64];
    struct slice peer = network_text(flow, text, sizeof text);
    struct slice call_id = message_first(m, HEADER_CALL_ID);
    bool is_in_dialog = address_tag(message_first(m, HEADER_TO)).len != 0;
    bool is_current;

    if ((m->method == METHOD_ACK || m->method == METHOD_CANCEL) && invite) {
        if (!is_same_peer(sim, &invite->flow, flow) && !is_flow_of(sim, invite->device, flow))
            judge_fail(sim, "an ACK or CANCEL goes where its INVITE went", "%.*s to %.*s",
                       (int)line.len, line.at, (int)peer.len, peer.at);
        return;
    }
    if (is_in_dialog)
        zone_check_dialog(sim, flow, m, held->step);
    reason = find_reason(sim, flow, m);
    if (!reason && m->method == METHOD_BYE) {
        check_hang_up(sim, flow, m);
        return;
    }
    if (!reason) {
        judge_fail(sim, "nothing is sent to an unauthorised target", "%.*s to %.*s", (int)line.len,
                   line.at, (int)peer.len, peer.at);
        return;
    }
    if (is_in_dialog)
        return;
    zone_check_proof(sim, slice_text(reason->target), flow, held->step);
    if (m->method != METHOD_INVITE)
        return;
    if (network_owner(sim, flow, &is_current) != NO_NODE)
        passage_call(sim, network_owner(sim, flow, &is_current), call_id);
    note_callers(sim, flow, m);
}

static void check_response(struct sim *sim, const struct flow *flow, const struct message *m,
                           struct slice branch)
{
    const struct passage *p = &sim->judge.passage;
    char text[64];
    struct slice peer = network_text(flow, text, sizeof text);

    for (uint32_t i = ledger_first(&p->by_branch, ledger_key("arrival", branch, NO_SLICE, 0)); i;
         i = ledger_next(&p->by_branch, i)) {
        const struct arrival *a = &p->arrivals[ledger_value(&p->by_branch, i)];
        if (flow_equal(&a->flow, flow) ||
            (flow_is_reliable(flow) && flow->transport == a->flow.transport &&
             is_same_peer(sim, &a->flow, flow)) ||
            (memcmp(a->flow.address, flow->address, sizeof flow->address) == 0 &&
             flow->port == a->via_port))
            return;
    }
    judge_fail(sim, "a response goes to the source of its request", "%u %.*s to %.*s", m->status,
               (int)message_first(m, HEADER_CSEQ).len, message_first(m, HEADER_CSEQ).at,
               (int)peer.len, peer.at);
}

/* The same for all branches to a target. */
static uint64_t target_key(const struct message *m)
{
    return ledger_key("target", slice_until(m->bytes, slice_find(m->bytes, '\r')),
                      message_first(m, HEADER_CALL_ID), m->cseq.number);
}

void passage_decided(struct sim *sim, const struct held *held, const struct message *m)
{
    struct passage *p = &sim->judge.passage;
    const struct departure *known;
    struct via via;

    if (!m->is_request || !letter_via(m, &via))
        return;
    known = find_departure(p, via.branch, m->method);
    if (known && known->sent && !is_same_peer(sim, &known->flow, &held->flow) &&
        m->method != METHOD_ACK)
        judge_fail(sim, "who is asked next is asked by another branch (RFC 3263 4.3)", "%.*s",
                   (int)via.branch.len, via.branch.at);
    if (known)
        return;
    if (m->method == METHOD_CANCEL) {
        const struct departure *invite = find_departure(p, via.branch, METHOD_INVITE);
        if (invite && invite->final_step > sim->machine.last_start)
            judge_fail(sim, "a branch that has its final response is not cancelled", "%.*s",
                       (int)via.branch.len, via.branch.at);
    }
    if (p->departure_count == p->departure_room) {
        p->departure_room = p->departure_room ? 2 * p->departure_room : 4096;
        p->departures = realloc(p->departures, p->departure_room * sizeof *p->departures);
        if (!p->departures)
            abort();
    }
    ledger_note(&p->sent, departure_key(via.branch, m->method), p->departure_count);
    p->departures[p->departure_count++] = (struct departure){.flow = held->flow,
                                                             .device = NO_NODE,
                                                             .method = m->method,
                                                             .target = target_key(m),
                                                             .step = held->step,
                                                             .at = sim->now};
}

void passage_sent(struct sim *sim, const struct held *held, const struct message *m)
{
    struct departure *d;
    struct via via;

    if (!letter_via(m, &via)) {
        if (!m->is_request && m->status >= 400)
            return; /* the Via of what it answers is what was wrong */
        judge_fail(sim, "the server sends well-formed messages", "no Via");
        return;
    }
    if (!m->is_request) {
        check_response(sim, &held->flow, m, via.branch);
        return;
    }
    d = find_departure(&sim->judge.passage, via.branch, m->method);
    if (d->sent++ == 0) {
        d->at = sim->now;
        check_request(sim, held, m, via.branch);
    }
}

/* -- what should have gone again -- */

#define RESEND_SLACK MS(100)

/* A server that was left for another has answered after all: the other's answer is not wanted. */
static bool is_answered_elsewhere(const struct passage *p, const struct departure *d)
{
    for (uint32_t i = 0; i < p->departure_count; i++)
        if (p->departures[i].target == d->target && p->departures[i].final_step > d->step)
            return true;
    return false;
}

static bool is_excused(const struct sim *sim, const struct departure *d)
{
    const struct machine *m = &sim->machine;
    bool is_current;

    network_owner(sim, &d->flow, &is_current);
    return flow_is_reliable(&d->flow) || d->method == METHOD_ACK || d->sent != 1 ||
           d->answered_step || !is_current || !m->is_up || d->step <= m->last_start ||
           m->disk != DISK_WORKS || m->mended_at > d->at || sim->judge.upheaval > d->at;
}

void passage_watch(struct sim *sim)
{
    struct passage *p = &sim->judge.passage;

    for (; p->watched < p->departure_count; p->watched++) {
        const struct departure *d = &p->departures[p->watched];
        if (sim->now < d->at + T1 + RESEND_SLACK)
            return;
        if (!is_excused(sim, d) && !is_answered_elsewhere(p, d))
            judge_fail(sim, "a request without answer is sent again (17.1.1.2, 17.1.2.2)",
                       "method %u, sent at %.6f", d->method, (double)d->at / 1e9);
    }
}

void passage_free(struct passage *p)
{
    ledger_free(&p->by_branch);
    ledger_free(&p->by_request);
    ledger_free(&p->by_call);
    ledger_free(&p->sent);
    ledger_free(&p->gruus);
    free(p->arrivals);
    free(p->departures);
}
