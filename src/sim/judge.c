#include "sim/judge.h"

#include "core/hangup.h"
#include "core/inspect.h"
#include "sim/sim.h"
#include "sim/trace.h"
#include "sip/address.h"

#include <stdarg.h>
#include <stdio.h>

void judge_fail(struct sim *sim, const char *rule, const char *format, ...)
{
    struct report *report = &sim->report;
    va_list arguments;
    int len;

    if (report->has_failed)
        return;
    report->has_failed = true;
    report->failed_at = sim->now;
    report->rule_len = strlen(rule);
    len = snprintf(report->reason, sizeof report->reason, "%s: ", rule);
    va_start(arguments, format);
    vsnprintf(report->reason + len, sizeof report->reason - (size_t)len, format, arguments);
    va_end(arguments);
    trace_note(sim, "FAILED %s", report->reason);
}

bool judge_is_strict(const struct sim *sim)
{
    return sim->now >= STRICT_FROM;
}

/* -- the machine -- */

void judge_received(struct sim *sim, const struct flow *flow, uint32_t sender, struct slice bytes,
                    uint64_t step)
{
    static struct message m;
    struct fault fault = message_parse(bytes, &m);

    if (!m.bytes.len)
        return;
    passage_received(sim, flow, sender, &m, step);
    if (!fault.status && m.is_request && m.method == METHOD_REGISTER && sender < sim->phone_count)
        promise_requested(sim, flow, &m, step);
}

void judge_decided(struct sim *sim, const struct held *held)
{
    static struct message m;

    if (!message_parse(held->bytes, &m).status)
        passage_decided(sim, held, &m);
}

/* A keep-alive of bare line ends is no message. */
static bool is_keepalive(struct slice bytes)
{
    return bytes.len <= 4 && slice_find(bytes, '\r') == 0;
}

void judge_sent(struct sim *sim, const struct held *held)
{
    static struct message m;
    struct fault fault;
    struct cseq cseq;

    if (is_keepalive(held->bytes))
        return;
    fault = message_parse(held->bytes, &m);
    if (fault.status && !m.is_request && m.status >= 400)
        return; /* it repeats the faults of the request that it refuses */
    if (fault.status) {
        judge_fail(sim, "the server sends well-formed messages", "%u %s: %.*s", fault.status,
                   fault.reason, (int)slice_find(held->bytes, '\r'), held->bytes.at);
        return;
    }
    passage_watch(sim);
    passage_sent(sim, held, &m);
    if (!m.is_request && m.status / 100 == 2 && cseq_parse(message_first(&m, HEADER_CSEQ), &cseq) &&
        cseq.method == METHOD_REGISTER)
        promise_made(sim, held, &m);
}

void judge_persist_failed(struct sim *sim)
{
    sim->judge.is_unsafe = true;
}

void judge_checkpointed(struct sim *sim)
{
    sim->judge.is_unsafe = false;
    promise_checkpointed(sim);
}

static void note_states(struct sim *sim)
{
    struct census census = core_census(sim->machine.core);

    sim->report.states[STATES_STRANS] |= census.strans_states;
    sim->report.states[STATES_CTRANS] |= census.ctrans_states;
    sim->report.states[STATES_DIALOG] |= census.dialog_states;
    sim->report.states[STATES_LEGS] |= census.legs_states;
    sim->report.states[STATES_LOCATE] |= census.sights;
}

void judge_killed(struct sim *sim, bool is_power_cut)
{
    note_states(sim);
    if (is_power_cut) {
        promise_power_cut(sim);
        zone_power_cut(sim);
    }
    if (is_power_cut || sim->judge.is_unsafe)
        sim->judge.upheaval = sim->now;
    sim->judge.is_unsafe = false;
}

void judge_started(struct sim *sim)
{
    sim->judge.last_start = sim->now;
    lifetime_forget(&sim->judge.lifetimes);
    if (sim->machine.starts == 1)
        sim->judge.text_at_rest = core_census(sim->machine.core).text_bytes;
    else
        promise_inspect_restored(sim);
}

void judge_jumped(struct sim *sim)
{
    sim->judge.upheaval = sim->now;
}

void judge_slept(struct sim *sim)
{
    sim->judge.upheaval = sim->judge.slept = sim->now;
}

/* -- the phones -- */

/* The peer's side of a call; *peer is whose it is. */
static const struct call *other_side(const struct sim *sim, const struct call *c,
                                     const struct phone **peer)
{
    for (unsigned i = 0; i < sim->phone_count; i++) {
        const struct call *other =
            call_with_tags(&sim->phones[i], slice_text(c->call_id), slice_text(c->remote_tag),
                           slice_text(c->local_tag));
        if (other && other != c) {
            *peer = &sim->phones[i];
            return other;
        }
    }
    *peer = NULL;
    return NULL;
}

void judge_call_begun(struct sim *sim, const struct phone *phone, const struct call *call)
{
    passage_call(sim, phone->node, slice_text(call->call_id));
}

/* A tag that a called phone gave. */
static bool is_tag_known(const struct sim *sim, struct slice call_id, struct slice callee_tag,
                         struct slice caller_tag)
{
    for (unsigned i = 0; i < sim->phone_count; i++)
        if (call_with_tags(&sim->phones[i], call_id, callee_tag, caller_tag))
            return true;
    return false;
}

static bool is_challenge(unsigned status)
{
    return status == 401 || status == 407;
}

static void judge_invite_final(struct sim *sim, const struct phone *phone, struct exchange *e,
                               const struct message *response)
{
    struct slice tag = address_tag(message_first(response, HEADER_TO));
    struct slice call_id = message_first(response, HEADER_CALL_ID);
    unsigned status = response->status;
    bool is_success = status < 300;
    bool is_about_proof = is_challenge(status) || is_challenge(e->failure);
    bool is_new_core = sim->judge.last_start > e->began;
    bool is_upset = sim->judge.upheaval > e->began;
    bool is_about_load = status == 503 || e->failure == 503;
    /* A new core does not know what was answered without a transaction, and asks for credentials or
     * lets in what the old one had no time for; one that slept for an hour has forgotten it, with
     * who was bound; and what the old one could not write for a failing store never happened. */
    bool is_excused = sim->judge.slept > e->began ||
                      (is_new_core && (is_upset || is_about_load || is_about_proof)) ||
                      (is_about_proof && is_upset);

    if (is_excused)
        return;
    if (is_success ? e->failure != 0 : e->is_accepted)
        judge_fail(sim, "one non-2xx final or 2xx, never both", "node %u, %.*s: %u after %u",
                   phone->node, (int)call_id.len, call_id.at, status,
                   is_success ? e->failure : 200);
    if (is_success && e->purpose == FOR_CALL &&
        !is_tag_known(sim, call_id, tag, address_tag(message_first(response, HEADER_FROM))))
        judge_fail(sim, "a forged response reaches nobody", "node %u, %.*s", phone->node,
                   (int)call_id.len, call_id.at);
    /* What was refused without a transaction may, in a copy, be refused for another reason: so was
     * a challenge, and the phone may have registered by that flow since. */
    if (!is_success && e->failure && !is_about_load && !is_challenge(e->failure) &&
        (e->failure != status || !slice_equal(slice_text(e->failure_tag), tag)))
        judge_fail(sim, "never two different non-2xx finals", "node %u, %.*s: %u after %u",
                   phone->node, (int)call_id.len, call_id.at, status, e->failure);
    if (is_success) {
        e->is_accepted = true;
    } else {
        e->failure = status;
        size_t len = tag.len < sizeof e->failure_tag ? tag.len : sizeof e->failure_tag - 1;
        memcpy(e->failure_tag, tag.len ? tag.at : "", len);
        e->failure_tag[len] = '\0';
    }
}

/* One server of the domain lives, and nothing went wrong: so it must have heard of the request. */
static void judge_located(struct sim *sim, const struct phone *caller, const struct exchange *e,
                          const struct message *response)
{
    struct slice rest = message_first(response, HEADER_TO), call_id;
    struct address to;
    const struct phone *phone = address_next(&rest, &to) ? zone_phone(sim, to.uri) : NULL;

    const struct call *call = call_by_serial((struct phone *)(uintptr_t)caller, e->call);

    if (!phone || !zone_is_reachable(sim, phone) || !call || call->wants_cancel ||
        e->purpose != FOR_CALL || e->began < STRICT_FROM || sim->judge.upheaval > e->began ||
        !phone_is_honest(caller) || caller->traits & TRAIT_FOREIGN ||
        (response->status != 404 && response->status != 408 && response->status / 100 != 5))
        return;
    call_id = message_first(response, HEADER_CALL_ID);
    for (const struct call *c = phone->calls; c; c = c->next)
        if (slice_equal(slice_text(c->call_id), call_id))
            return;
    for (const struct call *c = phone->past_calls; c; c = c->next)
        if (slice_equal(slice_text(c->call_id), call_id))
            return;
    judge_fail(sim, "a domain is reached by the server that lives", "node %u, %.*s: %u",
               caller->node, (int)call_id.len, call_id.at, response->status);
}

static uint64_t flow_key(const struct message *m, uint64_t device)
{
    return ledger_key("flow", message_first(m, HEADER_CALL_ID), message_first(m, HEADER_CSEQ),
                      device);
}

bool judge_flow_fails(struct sim *sim, const struct phone *phone, const struct message *request)
{
    const struct ledger *failed = &sim->judge.failed;

    for (uint32_t place = ledger_first(failed, flow_key(request, NO_NODE)); place;
         place = ledger_next(failed, place))
        if (ledger_value(failed, place) == phone->device)
            return false;
    sim->report.counts[COUNT_FLOWS_LEFT]++;
    ledger_note(&sim->judge.failed, flow_key(request, NO_NODE), phone->device);
    return true;
}

void judge_flow_heard(struct sim *sim, const struct phone *device, const struct message *request)
{
    if (device->traits & TRAIT_FLOWS)
        ledger_note(&sim->judge.heard, flow_key(request, device->node), 1);
}

/* One of its flows was a stream then that is broken, and that the server may take for whole. */
static bool was_away(const struct sim *sim, uint32_t device, instant began)
{
    for (unsigned i = 0; i < sim->phone_count; i++)
        if (sim->phones[i].device == device && sim->phones[i].back_since > began)
            return true;
    return false;
}

/* Nobody else answered it, and nothing went wrong: so the phone's other flow was tried. */
static void judge_flows(struct sim *sim, const struct phone *caller, const struct exchange *e,
                        const struct message *response)
{
    const struct judge *j = &sim->judge;
    uint32_t place = ledger_first(&j->failed, flow_key(response, NO_NODE));

    if (response->status == 430)
        judge_fail(sim, "that a flow has failed is said to us alone (RFC 5626 7)", "node %u",
                   caller->node);
    if (!place || e->began < STRICT_FROM || j->upheaval > e->began || j->last_start > e->began ||
        e->is_cancelled ||
        (response->status != 480 && response->status != 503 && response->status != 500 &&
         response->status != 408) ||
        ledger_first(&j->heard, flow_key(response, ledger_value(&j->failed, place))) ||
        was_away(sim, ledger_value(&j->failed, place), e->began))
        return;
    judge_fail(sim, "where one flow of a phone fails it is asked by the next (RFC 5626)",
               "node %u, %u", ledger_value(&j->failed, place), response->status);
}

void judge_final(struct sim *sim, const struct phone *phone, struct exchange *e,
                 const struct message *response)
{
    judge_located(sim, phone, e, response);
    judge_flows(sim, phone, e, response);
    if (e->method == METHOD_INVITE)
        judge_invite_final(sim, phone, e, response);
    else if (response->status == 408)
        judge_fail(sim, "never 408 to a non-INVITE (RFC 4320)", "node %u, method %u", phone->node,
                   e->method);
}

void judge_unanswered(struct sim *sim, const struct phone *phone, const struct exchange *e)
{
    bool must_end = e->purpose == FOR_CALL || e->purpose == FOR_REGISTRATION;
    /* Timer B of a restored branch runs from the restart. */
    bool is_early = sim->now < sim->judge.last_start + SECONDS(33);

    if (!phone_is_honest(phone))
        return; /* who guesses too often is not answered (core/abuse) */
    if (must_end && !is_early && e->began >= STRICT_FROM && sim->judge.upheaval < e->began)
        judge_fail(sim, "in the calm every request is answered", "node %u, branch %s, method %u",
                   phone->node, e->branch, e->method);
}

/* The caller's side of the call that an INVITE's transaction made. */
static bool is_caller_polite(const struct sim *sim, const struct phone *phone,
                             const struct answer *a)
{
    static struct message invite;
    const struct phone *peer;
    const struct call *c = call_by_serial((struct phone *)(uintptr_t)phone, a->call), *other = NULL;

    if (!c)
        return false;
    other = other_side(sim, c, &peer);
    if (other)
        return !phone_is_rude(peer) && !other->was_lost;
    /* The caller never heard of the answer, and waits: it knows the call without our tag.  Another
     * INVITE of that Call-ID was challenged, and then repeated by somebody else. */
    message_parse(a->request, &invite);
    for (unsigned i = 0; i < sim->phone_count; i++)
        for (const struct call *d = sim->phones[i].calls; d; d = d->next)
            if (d->is_caller && strcmp(d->call_id, c->call_id) == 0 &&
                d->invite_cseq == invite.cseq.number) /* its stream may be gone unnoticed */
                return !phone_is_rude(&sim->phones[i]) && sim->judge.upheaval <= d->began;
    return false; /* it gave up before, or is a stranger */
}

void judge_unacknowledged(struct sim *sim, const struct phone *phone, const struct answer *a)
{
    instant sent = a->end_at - SECONDS(32);

    if (!a->is_strict || phone_is_rude(phone) || sim->judge.upheaval > sent)
        return;
    if (a->status >= 300 ? sim->judge.last_start < sent : is_caller_polite(sim, phone, a))
        judge_fail(sim, "in the calm every final response is acknowledged",
                   "node %u, branch %s, status %u", phone->node, a->branch, a->status);
}

uint64_t judge_binding_of(const struct sim *sim, const struct phone *phone)
{
    struct binding_view view;

    if (!sim->machine.is_up || phone->traits & TRAIT_FOREIGN)
        return 0;
    for (uint32_t cursor = 0; core_next_binding(sim->machine.core, &cursor, &view);)
        if (slice_equal(view.aor, slice_text(phone->user_name)) &&
            slice_equal(view.contact, slice_text(phone->contact)) &&
            flow_equal(&view.flow, &phone->address))
            return view.id;
    return 0;
}

/* The server's idea of where this end is still fits; and who came by TLS, and cannot prove what is
 * demanded of its domain, is heard as long as its stream stands. */
static bool is_end_there(const struct sim *sim, const struct phone *phone, const struct call *c)
{
    if (phone->traits & TRAIT_FOREIGN)
        return !flow_is_secure(&c->flow) || zone_is_reachable(sim, phone);
    return c->binding && judge_binding_of(sim, phone) == c->binding;
}

void judge_hung_up(struct sim *sim, const struct phone *phone, const struct call *c,
                   unsigned status)
{
    const struct phone *peer;
    const struct call *other = other_side(sim, c, &peer);

    if (status / 100 == 2 || sim->now < STRICT_FROM + SECONDS(33) || !sim->machine.is_up)
        return;
    if (!other || other->was_lost || phone_is_rude(phone) || phone_is_rude(peer) ||
        !c->was_confirmed || sim->judge.upheaval > c->confirmed_at ||
        !is_end_there(sim, phone, c) || !is_end_there(sim, peer, other))
        return;
    judge_fail(sim, "a call that stood can be hung up", "node %u, %s: %u", phone->node, c->call_id,
               status);
}

/* -- looking into the core -- */

void judge_inspect(struct sim *sim)
{
    passage_watch(sim);
    if (!sim->machine.is_up)
        return;
    promise_inspect(sim);
    judge_observer(sim);
}

static unsigned count_observed(const struct sim *sim, const struct call *c)
{
    struct dialog_view view;
    unsigned count = 0;

    for (uint32_t cursor = 0; core_next_dialog(sim->machine.core, &cursor, &view);)
        count += slice_equal(view.call_id, slice_text(c->call_id)) &&
                 slice_equal(view.caller_tag, slice_text(c->local_tag)) &&
                 slice_equal(view.callee_tag, slice_text(c->remote_tag));
    return count;
}

/* A caller's call that both sides consider up must be in the table, once. */
static void check_observed(struct sim *sim, const struct phone *phone, const struct call *c)
{
    const struct phone *peer;
    const struct call *other;
    duration age = machine_elapsed(sim) - c->elapsed;
    unsigned count;

    if (!c->is_caller || c->state != CALL_CONFIRMED || sim->judge.upheaval >= c->began ||
        age + SECONDS(5) > sim->machine.settings.call_longest)
        return;
    other = other_side(sim, c, &peer);
    if (!other || other->state != CALL_CONFIRMED ||
        machine_elapsed(sim) + SECONDS(5) > session_not_before(c, other))
        return;
    count = count_observed(sim, c);
    if (count != 1)
        judge_fail(sim, "the observer's table equals the phones' truth",
                   "%s (%s, %s) stands and is there %u times", c->call_id, c->local_tag,
                   c->remote_tag, count);
    else
        relay_judge_call(sim, phone, c, peer, other);
}

#define END_SLACK (HANGUP_LONGEST + SECONDS(5)) /* both are told, and may be away */

/* Nobody refreshed it for so long that the server must have ended it. */
static void check_expired(struct sim *sim, const struct dialog_view *view)
{
    const struct call *caller = NULL, *callee = NULL;

    for (unsigned i = 0; i < sim->phone_count; i++) {
        const struct phone *phone = &sim->phones[i];
        if (phone_is_rude(phone))
            continue;
        if (!caller)
            caller = call_with_tags(phone, view->call_id, view->caller_tag, view->callee_tag);
        if (!callee)
            callee = call_with_tags(phone, view->call_id, view->callee_tag, view->caller_tag);
    }
    if (!caller || !callee || sim->judge.upheaval >= caller->began ||
        sim->now < sim->judge.last_start + END_SLACK)
        return;
    if (machine_elapsed(sim) < END_SLACK ||
        machine_elapsed(sim) - END_SLACK < session_not_after(caller, callee))
        return;
    judge_fail(sim, "a call that nobody refreshes is ended", "%.*s is still there",
               (int)view->call_id.len, view->call_id.at);
}

/* A dialog in the table must be one that some phone had and that was not hung up. */
static void check_view(struct sim *sim, const struct dialog_view *view)
{
    bool is_known = false;

    for (unsigned i = 0; i < sim->phone_count; i++) {
        const struct phone *phone = &sim->phones[i];
        const struct call *sides[] = {
            call_with_tags(phone, view->call_id, view->caller_tag, view->callee_tag),
            call_with_tags(phone, view->call_id, view->callee_tag, view->caller_tag),
        };
        for (unsigned side = 0; side < COUNT_OF(sides); side++) {
            if (!sides[side])
                continue;
            is_known = true;
            if (sides[side]->was_hung_up && sim->judge.upheaval < sides[side]->began)
                judge_fail(sim, "the observer's table equals the phones' truth",
                           "%.*s (%.*s, %.*s) was hung up and is still there",
                           (int)view->call_id.len, view->call_id.at, (int)view->caller_tag.len,
                           view->caller_tag.at, (int)view->callee_tag.len, view->callee_tag.at);
        }
    }
    if (!is_known)
        judge_fail(sim, "the observer's table equals the phones' truth",
                   "nobody ever had %.*s (%.*s, %.*s)", (int)view->call_id.len, view->call_id.at,
                   (int)view->caller_tag.len, view->caller_tag.at, (int)view->callee_tag.len,
                   view->callee_tag.at);
}

void judge_observer(struct sim *sim)
{
    struct dialog_view view;

    if (!sim->machine.is_up)
        return;
    for (unsigned i = 0; i < sim->phone_count; i++)
        for (const struct call *c = sim->phones[i].calls; c; c = c->next)
            check_observed(sim, &sim->phones[i], c);
    for (uint32_t cursor = 0; core_next_dialog(sim->machine.core, &cursor, &view);) {
        check_view(sim, &view);
        check_expired(sim, &view);
    }
}

void judge_rest(struct sim *sim)
{
    struct census census;

    if (!sim->machine.is_up) {
        judge_fail(sim, "the server is up in the end", "it is not");
        return;
    }
    note_states(sim);
    census = core_census(sim->machine.core);
    if (census.server_transactions || census.client_transactions || census.contexts)
        judge_fail(sim, "every transaction ends within its timers",
                   "%u server and %u client transactions, %u contexts are left",
                   census.server_transactions, census.client_transactions, census.contexts);
    if (census.lookups)
        judge_fail(sim, "no lookup outlives its request", "%u are left", census.lookups);
    if (census.dialogs || census.bindings || census.calls)
        judge_fail(sim, "what ended is forgotten", "%u dialogs, %u bindings, %u records are left",
                   census.dialogs, census.bindings, census.calls);
    archive_judge(sim);
    relay_judge_rest(sim);
    if (census.timers || census.asked || census.held)
        judge_fail(sim, "nothing is waited for in the end",
                   "%u timers, %u questions, %u requests are left", census.timers, census.asked,
                   census.held);
    if (census.connections != wire_count(sim))
        judge_fail(sim, "a stream that has ended is forgotten", "%u are known, and %u stand",
                   census.connections, wire_count(sim));
    if (census.text_bytes != sim->judge.text_at_rest)
        judge_fail(sim, "memory returns to rest", "%zu bytes of text, at rest %zu",
                   census.text_bytes, sim->judge.text_at_rest);
}

void judge_free(struct sim *sim)
{
    passage_free(&sim->judge.passage);
    promise_free(&sim->judge.promises);
    ledger_free(&sim->judge.answered);
    ledger_free(&sim->judge.failed);
    ledger_free(&sim->judge.heard);
    lifetime_forget(&sim->judge.lifetimes);
}
