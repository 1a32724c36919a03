#include "sim/promise.h"

#include "core/inspect.h"
#include "sim/copy.h"
#include "sim/sim.h"
#include "sim/trace.h"
#include "sip/address.h"

/* Stored expiry is a tenth longer than promised; and timers have ticks, the wall clock seconds. */
#define SLACK SECONDS(1200 / 10 + 5)
#define TICK SECONDS(2)
/* The server counts from when it decided, and cuts to whole seconds. */
#define EARLY SECONDS(2)
#define REACH_LIMIT 8192u

static struct promise *find_promise(struct promises *p, int user, struct slice contact)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->at[i].user == user && slice_equal(slice_text(p->at[i].contact), contact))
            return &p->at[i];
    return NULL;
}

static struct promise *have_promise(struct promises *p, int user, struct slice contact)
{
    struct promise *promise = find_promise(p, user, contact);

    if (promise)
        return promise;
    if (!p->at) {
        p->at = take(PROMISE_LIMIT, sizeof *p->at);
        p->reaches = take(REACH_LIMIT, sizeof *p->reaches);
    }
    assert(p->count < PROMISE_LIMIT);
    promise = &p->at[p->count++];
    promise->user = user;
    copy_text(promise->contact, sizeof promise->contact, contact);
    return promise;
}

static void fail(struct sim *sim, const char *rule, const struct promise *p)
{
    judge_fail(sim, rule, "u%d <%s>, live %.1f stored %.1f may %.1f, elapsed %.1f%s%s", p->user,
               p->contact, (double)p->live_until / 1e9, (double)p->stored_until / 1e9,
               (double)p->may_until / 1e9, (double)machine_elapsed(sim) / 1e9,
               p->is_doubtful ? ", doubtful" : "", p->is_owed ? ", owed" : "");
}

/* -- where a user may be reached -- */

static void end_reaches(struct promises *p, const struct promise *promise, const struct flow *but,
                        duration until)
{
    for (unsigned i = 0; i < p->reach_count; i++) {
        struct reach *r = &p->reaches[i];
        if (&p->at[r->promise] == promise && r->until == NEVER &&
            !(but && flow_equal(&r->flow, but)))
            r->until = until;
    }
}

static void note_reach(struct promises *p, const struct promise *promise, const struct flow *flow,
                       duration from)
{
    unsigned index = (unsigned)(promise - p->at);

    for (unsigned i = 0; i < p->reach_count; i++)
        if (p->reaches[i].promise == index && p->reaches[i].until == NEVER &&
            flow_equal(&p->reaches[i].flow, flow))
            return;
    assert(p->reach_count < REACH_LIMIT);
    p->reaches[p->reach_count++] = (struct reach){promise->user, index, *flow, from, NEVER};
}

/* By the flow that it registered by, or another stream to its host, which no other phone has. */
static bool leads_to(const struct flow *flow, const struct flow *registered)
{
    if (flow_equal(flow, registered))
        return true;
    return flow_is_reliable(flow) && flow->transport == registered->transport &&
           flow->is_v6 == registered->is_v6 &&
           memcmp(flow->address, registered->address, sizeof flow->address) == 0;
}

bool promise_reaches(const struct sim *sim, int user, const struct flow *flow, duration since)
{
    const struct promises *p = &sim->judge.promises;

    for (unsigned i = 0; i < p->reach_count; i++) {
        const struct reach *r = &p->reaches[i];
        const struct promise *promise = &p->at[r->promise];
        if (r->user == user && r->until >= since && leads_to(flow, &r->flow) &&
            (promise->is_doubtful || r->until != NEVER || promise->may_until >= since))
            return true;
    }
    return false;
}

/* -- REGISTER -- */

static uint64_t register_key(int user, const struct message *m)
{
    struct cseq cseq = {0};

    cseq_parse(message_first(m, HEADER_CSEQ), &cseq);
    return ledger_key("register", message_first(m, HEADER_CALL_ID), NO_SLICE,
                      (uint64_t)cseq.number << 8 | (unsigned)user);
}

static int user_of(const struct sim *sim, const struct message *m)
{
    struct slice rest = message_first(m, HEADER_TO);
    struct address address;

    return address_next(&rest, &address) ? passage_user(sim, address.uri) : -1;
}

/* A REGISTER's wish for a contact is to be removed. */
static bool is_removal(const struct message *m, const struct address *contact)
{
    struct slice value;
    uint64_t seconds;

    if (!param_find(contact->params, S("expires"), &value))
        value = message_first(m, HEADER_EXPIRES);
    return slice_number(value, UINT32_MAX, &seconds) && !seconds;
}

/* An instance's flow by its reg-id; 0 if it is none. */
static uint64_t way_of(const struct address *contact)
{
    struct slice instance, reg_id;

    if (!param_find(contact->params, S("+sip.instance"), &instance) ||
        !param_find(contact->params, S("reg-id"), &reg_id))
        return 0;
    return ledger_key("way", instance, reg_id, 0);
}

/* A flow has one binding: another Contact takes the place of the former (RFC 5626 6). */
static void replace_flow(struct promises *p, struct promise *by, uint64_t way, uint64_t step)
{
    by->way = way;
    for (unsigned i = 0; way && i < p->count; i++) {
        struct promise *old = &p->at[i];
        if (old == by || old->user != by->user || old->way != way)
            continue;
        old->is_doubtful = true;
        old->stored_until = 0;
        old->touched = step;
    }
}

void promise_requested(struct sim *sim, const struct flow *flow, const struct message *m,
                       uint64_t step)
{
    struct promises *p = &sim->judge.promises;
    int user = user_of(sim, m);
    struct slice rest = message_first(m, HEADER_CONTACT);
    struct address address;
    bool is_copy;

    if (user < 0 || !m->first[HEADER_AUTHORIZATION])
        return;
    is_copy = ledger_first(&sim->judge.answered, register_key(user, m)) != 0;
    while (address_next(&rest, &address)) {
        struct promise *promise = have_promise(p, user, address.uri);
        if (is_copy) { /* it changes nothing but where the phone is */
            note_reach(p, promise, flow, machine_elapsed(sim));
            continue;
        }
        promise->is_doubtful = true;
        replace_flow(p, promise, way_of(&address), step);
        if (is_removal(m, &address)) /* whatever becomes of the answer */
            promise->stored_until = 0;
        promise->touched = step;
        promise->flow = *flow;
        note_reach(p, promise, flow, machine_elapsed(sim));
    }
}

/* The seconds a 200 gives to a contact; -1 if it is not listed. */
static int64_t listed(const struct message *m, const char *contact)
{
    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i), value;
        struct address address;
        uint64_t seconds;
        while (address_next(&rest, &address))
            if (slice_equal(address.uri, slice_text(contact)) &&
                param_find(address.params, S("expires"), &value) &&
                slice_number(value, UINT32_MAX, &seconds))
                return (int64_t)seconds;
    }
    return -1;
}

static void renew(struct sim *sim, struct promise *p, duration decided, int64_t seconds,
                  bool is_owed)
{
    duration until = decided + SECONDS(seconds);
    int64_t wall =
        machine_moment(sim).wall - (int64_t)((machine_elapsed(sim) - decided) / SECONDS(1));

    if (is_owed && seconds > 61 && until > p->stored_until + SLACK)
        fail(sim, "while the store fails no more than a minute is promised", p);
    p->live_until = until - min_u64(EARLY, SECONDS(seconds));
    p->may_until = until + SLACK;
    p->may_wall = wall + seconds + (int64_t)(SLACK / SECONDS(1));
    p->is_owed = is_owed;
    if (!is_owed) {
        p->stored_until = p->live_until;
        p->stored_wall = wall + seconds - (int64_t)(EARLY / SECONDS(1));
    }
}

/* One that ran out by itself may show again after a restart: it is stored for longer. */
static void remove_promise(struct sim *sim, struct promise *p, bool is_owed)
{
    bool ran_out = p->live_until && p->live_until <= machine_elapsed(sim);

    p->live_until = p->stored_until = 0;
    p->is_owed = is_owed;
    if (!p->is_owed && !ran_out)
        p->may_wall = 0;
    p->may_until = 0;
    end_reaches(&sim->judge.promises, p, NULL, machine_elapsed(sim));
}

/* A 200 to another phone tells that a doubtful contact is bound, but does not promise it. */
static void believe(struct promise *p, duration decided, int64_t seconds)
{
    p->live_until = decided + SECONDS(seconds) - min_u64(EARLY, SECONDS(seconds));
    p->may_until = decided + SECONDS(seconds) + SLACK;
    p->stored_until = 0;
    p->is_owed = true;
}

/* What a 200 says of one contact of the user. */
static void settle_promise(struct sim *sim, struct promise *p, const struct held *held,
                           const struct message *m)
{
    int64_t seconds = listed(m, p->contact);

    if (p->touched > held->step)
        return; /* it speaks of the time before another REGISTER */
    if (seconds < 0 && !p->is_doubtful && p->live_until > held->decided)
        fail(sim, "no accepted binding is lost", p);
    if (seconds >= 0 && !p->is_doubtful && p->may_until < held->decided)
        fail(sim, "no removed binding is resurrected", p);
    if (!p->is_doubtful)
        return;
    if (seconds >= 0 && flow_equal(&p->flow, &held->flow)) {
        renew(sim, p, held->decided, seconds, held->is_unwritten);
        end_reaches(&sim->judge.promises, p, &p->flow, machine_elapsed(sim));
    } else if (seconds >= 0) {
        believe(p, held->decided, seconds);
    } else {
        remove_promise(sim, p, held->is_unwritten);
    }
    trace_note(sim, "  u%d <%s> is %s", p->user, p->contact,
               seconds >= 0 ? held->is_unwritten ? "bound, unwritten" : "bound" : "removed");
    p->is_doubtful = false;
    p->changed_second = sim->now / SECONDS(1);
}

/* A REGISTER that comes again may count again: longer, but never anew. */
static void prolong(struct sim *sim, int user, const struct held *held, const struct message *m)
{
    struct promises *p = &sim->judge.promises;

    for (unsigned i = 0; i < p->count; i++) {
        struct promise *promise = &p->at[i];
        int64_t seconds = promise->user == user ? listed(m, promise->contact) : -1;
        if (seconds >= 0 && promise->live_until > held->decided)
            promise->may_until =
                max_u64(promise->may_until, held->decided + SECONDS(seconds) + SLACK);
    }
}

void promise_made(struct sim *sim, const struct held *held, const struct message *m)
{
    struct promises *p = &sim->judge.promises;
    int user = user_of(sim, m);
    bool is_current;
    uint32_t node = network_owner(sim, &held->flow, &is_current);
    uint64_t key = register_key(user, m);

    if (node >= sim->phone_count || !phone_is_honest(&sim->phones[node]) ||
        (int)sim->phones[node].user != user) {
        judge_fail(sim, "a REGISTER without the user's password is not accepted", "node %u", node);
        return;
    }
    if (ledger_first(&sim->judge.answered, key)) {
        prolong(sim, user, held, m);
        return;
    }
    ledger_note(&sim->judge.answered, key, 1);
    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct address address;
        while (address_next(&rest, &address))
            if (!find_promise(p, user, address.uri))
                judge_fail(sim, "only what was asked for is bound", "u%d %.*s", user,
                           (int)address.uri.len, address.uri.at);
    }
    for (unsigned i = 0; i < p->count; i++)
        if (p->at[i].user == user)
            settle_promise(sim, &p->at[i], held, m);
}

/* -- the store -- */

void promise_checkpointed(struct sim *sim)
{
    struct promises *p = &sim->judge.promises;

    for (unsigned i = 0; i < p->count; i++) {
        struct promise *promise = &p->at[i];
        if (!promise->is_owed)
            continue;
        promise->is_owed = false;
        promise->stored_until = promise->live_until;
        promise->stored_wall =
            machine_moment(sim).wall +
            ((int64_t)promise->live_until - (int64_t)machine_elapsed(sim)) / (int64_t)SECONDS(1) -
            1;
        if (!promise->live_until)
            promise->may_wall = 0;
    }
}

void promise_power_cut(struct sim *sim)
{
    struct promises *p = &sim->judge.promises;

    for (unsigned i = 0; i < p->count; i++)
        if (p->at[i].changed_second == sim->now / SECONDS(1))
            p->at[i].is_doubtful = true;
}

/* What is stored by the clock may have been stored before it was set back or after: who starts by
 * another boot cannot tell, so only what holds by both readings is still promised. */
void promise_jumped(struct sim *sim, int64_t seconds)
{
    struct promises *p = &sim->judge.promises;

    for (unsigned i = 0; i < p->count && seconds < 0; i++)
        p->at[i].stored_wall += seconds;
}

/* -- looking -- */

/* One whose time has come counts for nothing, even if its timer has not fired yet. */
static bool is_shown(const struct sim *sim, const struct promise *p, struct flow *flow)
{
    struct binding_view view;
    instant now = machine_moment(sim).boot;

    for (uint32_t cursor = 0; core_next_binding(sim->machine.core, &cursor, &view);)
        if (slice_equal(view.aor, sim->machine.users[p->user].id) &&
            slice_equal(view.contact, slice_text(p->contact))) {
            *flow = view.flow;
            return view.expires > now;
        }
    return false;
}

static void check_all_known(struct sim *sim)
{
    struct binding_view view;
    char text[80];

    for (uint32_t cursor = 0; core_next_binding(sim->machine.core, &cursor, &view);) {
        struct writer w = writer_over(text, sizeof text);
        put(&w, "sip:%.*s@" SERVER_DOMAIN, (int)view.aor.len, view.aor.at);
        if (!find_promise(&sim->judge.promises, passage_user(sim, writer_slice(&w)), view.contact))
            judge_fail(sim, "only what was asked for is bound", "%.*s: %.*s", (int)view.aor.len,
                       view.aor.at, (int)view.contact.len, view.contact.at);
    }
}

void promise_inspect(struct sim *sim)
{
    struct promises *p = &sim->judge.promises;
    duration elapsed = machine_elapsed(sim);
    struct flow flow;

    for (unsigned i = 0; i < p->count; i++) {
        struct promise *promise = &p->at[i];
        bool is_there;
        if (promise->is_doubtful)
            continue;
        is_there = is_shown(sim, promise, &flow);
        if (!is_there && elapsed < promise->live_until)
            fail(sim, "no accepted binding is lost", promise);
        if (is_there && elapsed > promise->may_until + TICK)
            fail(sim, "no removed binding is resurrected", promise);
    }
    check_all_known(sim);
}

/* After a restart the core's word decides what was in doubt. */
static void inspect_restored(struct sim *sim, struct promise *p)
{
    struct moment now = machine_moment(sim);
    duration elapsed = machine_elapsed(sim);
    struct flow flow;
    bool is_there = is_shown(sim, p, &flow);
    bool is_promised = elapsed < p->stored_until && now.wall < p->stored_wall;
    bool is_possible = p->is_owed || elapsed <= p->may_until || now.wall <= p->may_wall;

    if (!p->is_doubtful && !is_there && is_promised)
        fail(sim, "no accepted binding is lost in a restart", p);
    if (!p->is_doubtful && is_there && !is_possible)
        fail(sim, "no removed binding is resurrected by a restart", p);
    if (!is_there) {
        p->live_until = p->stored_until = p->may_until = 0;
        p->may_wall = 0;
        end_reaches(&sim->judge.promises, p, NULL, elapsed);
    } else {
        note_reach(&sim->judge.promises, p, &flow, elapsed);
        duration left = is_promised ? SECONDS(p->stored_wall - now.wall) : 0;
        p->stored_until = p->live_until =
            !p->is_doubtful && is_promised ? min_u64(p->stored_until, elapsed + left) : 0;
        p->may_until = elapsed + SECONDS(1200) + SLACK;
        p->may_wall = now.wall + 1200 + (int64_t)(SLACK / SECONDS(1));
    }
    trace_note(sim, "  u%d <%s> is %s%s", p->user, p->contact, is_there ? "there" : "not there",
               p->is_doubtful ? ", which was in doubt"
               : p->is_owed   ? ", which was owed"
                              : "");
    p->is_doubtful = p->is_owed = false;
}

void promise_inspect_restored(struct sim *sim)
{
    for (unsigned i = 0; i < sim->judge.promises.count; i++)
        inspect_restored(sim, &sim->judge.promises.at[i]);
    check_all_known(sim);
}

void promise_free(struct promises *p)
{
    free(p->at);
    free(p->reaches);
}
