#include "core/rehearse.h"

#include "base/json.h"
#include "core/admission.h"
#include "core/caller.h"
#include "core/connection.h"
#include "core/dial.h"
#include "core/failover.h"
#include "core/listing.h"
#include "core/locate.h"
#include "core/location.h"
#include "core/penalty.h"
#include "core/policy.h"
#include "core/proxy.h"
#include "core/realm.h"
#include "core/transaction.h"
#include "core/why.h"
#include "sip/compose.h"

#define FOUND_SOME (UINT64_C(1) << 63) /* in a cursor: there was a place in an earlier part */
#define SENTENCE 1024u

static const struct written nowhere;

/* A lookup on its way, and who waits for it. */
struct rehearsal {
    struct handle client; /* the transaction that locates; none: it is free */
    struct admin_answer to;
    uint8_t count;
    struct {
        struct flow flow;
        struct locate_server server;
    } places[PLACES_LIMIT];
};

/* A call that is not made. */
struct act {
    struct core *core;
    struct request req;
    struct user *caller; /* NULL: of another domain */
    struct why why;
    struct writer *rows;
    struct writer *text; /* for what dialing makes */
    struct slice elsewhere;
};

size_t rehearse_bytes(void)
{
    return REHEARSALS_LIMIT * sizeof(struct rehearsal) + 64;
}

void rehearse_init(struct core *core, struct arena *from)
{
    core->rehearsals = arena_take(from, REHEARSALS_LIMIT * sizeof *core->rehearsals);
}

/* ---- rows */

static void end_row(struct writer *w)
{
    json_end(w);
    write_char(w, '\n');
}

static void write_way(struct writer *w, const struct flow *flow)
{
    struct address_bytes address = flow_address(flow);

    write_host(w, &address);
    write_char(w, ':');
    write_number(w, flow->port);
    write_slice(w, S(" by "));
    write_slice(w, transport_name(flow->transport));
}

static void say_result(struct writer *w, struct slice result, struct fault fault, struct slice uri)
{
    json_begin(w);
    json_text(w, S("result"), result);
    if (fault.status) {
        json_number(w, S("status"), fault.status);
        json_text(w, S("text"),
                  fault.reason ? slice_text(fault.reason) : reason_phrase(fault.status));
    }
    if (uri.len)
        json_text(w, S("uri"), uri);
    end_row(w);
}

static void say_place(const struct core *core, const struct flow *flow,
                      const struct locate_server *server, struct moment now, struct writer *w)
{
    bool has_failed = penalty_has(core, flow, now.boot);
    char text[SENTENCE];
    struct writer sentence = writer_over(text, sizeof text);

    write_slice(&sentence, S("a server of it"));
    if (server->name.len) {
        write_slice(&sentence, S(", "));
        write_slice(&sentence, server->name);
        write_char(&sentence, ',');
    }
    write_slice(&sentence, S(" is at "));
    write_way(&sentence, flow);
    if (server->is_bound)
        write_slice(&sentence, S(", and must match its TLSA records"));
    if (has_failed)
        write_slice(&sentence, S(", and has failed within the last minutes"));
    json_begin(w);
    json_text(w, S("step"), S("place"));
    json_text(w, S("text"), writer_slice(&sentence));
    if (server->name.len)
        json_text(w, S("server"), server->name);
    write_peer(w, flow);
    if (has_failed)
        json_bool(w, S("failed"), true);
    end_row(w);
}

/* ---- the call */

/* Whom: a URI, or what stands in one of ours. */
static bool write_callee(const struct core *core, struct slice said, struct writer *w)
{
    bool has_scheme = slice_starts(said, S("sip:")) || slice_starts(said, S("sips:"));
    bool has_host = slice_find(said, '@') < said.len;

    if (!has_scheme)
        write_slice(w, S("sip:"));
    if (has_scheme || has_host) {
        write_slice(w, said);
    } else {
        uri_escape(w, said);
        write_char(w, '@');
        write_slice(w, settings_domain(core->settings));
    }
    return !w->failed && w->len <= NAME_LIMIT * 4;
}

static void write_caller(const struct act *a, struct slice said, struct writer *w)
{
    if (a->caller) {
        uri_escape(w, user_id(a->caller));
        write_char(w, '@');
        write_slice(w, settings_domain(a->core->settings));
    } else {
        write_slice(w, said.len ? said : S("anonymous@anonymous.invalid"));
    }
}

static bool read_call(struct act *a, const struct admin_request *request, struct moment now,
                      struct writer *w)
{
    char uri[NAME_LIMIT * 4 + 8];
    struct writer callee = writer_over(uri, sizeof uri);
    struct flow flow = {.transport = TRANSPORT_UDP};
    size_t start = w->len;

    if (!write_callee(a->core, request->text, &callee))
        return false;
    write_slice(w, S("INVITE "));
    write_slice(w, writer_slice(&callee));
    write_slice(w, S(" SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKroute\r\n"
                     "Max-Forwards: 70\r\nFrom: <sip:"));
    write_caller(a, request->user, w);
    write_slice(w, S(">;tag=route\r\nTo: <"));
    write_slice(w, writer_slice(&callee));
    write_slice(w, S(">\r\nCall-ID: route\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"));
    if (w->failed || message_parse(slice_of(w->at + start, w->len - start), &a->req.message).status)
        return false;
    request_read(&a->req, &flow);
    a->req.now = now;
    a->req.sender = a->caller;
    a->req.proof = a->caller ? CALLER_OWN : 0;
    if (a->req.uri_is_valid && a->req.uri.scheme == SCHEME_SIPS)
        a->req.flow.transport = TRANSPORT_TLS; /* else it would be refused for that */
    return a->req.uri_is_valid && a->req.from.uri.len && a->req.to.uri.len;
}

/* From where its phone is registered, if one is. */
static void take_place(struct act *a)
{
    const struct binding *binding = a->caller ? location_first(a->core, a->caller) : NULL;

    if (!binding)
        return;
    memcpy(a->req.flow.address, binding->flow.address, sizeof a->req.flow.address);
    a->req.flow.is_v6 = binding->flow.is_v6;
    a->req.caller = binding->id;
}

static void tell_caller(struct act *a, struct slice said)
{
    char text[8];
    struct writer level = writer_over(text, sizeof text);

    if (!a->caller) {
        why_step(&a->req, S("caller"), nowhere, "the caller is of another domain%%",
                 said.len ? S(": ") : NO_SLICE, said);
        return;
    }
    write_number(&level, a->caller->level);
    why_step(&a->req, S("caller"), a->caller->written, "% calls, of level %", user_id(a->caller),
             writer_slice(&level));
}

/* What stands before the dial plan; then that. */
static struct fault find_targets(struct act *a)
{
    struct fault fault = proxy_check_uri(&a->req);

    if (!fault.status && a->req.caller)
        fault = proxy_check_source(a->core, &a->req);
    if (!fault.status && !a->caller)
        fault = admission_fault(a->core, &a->req);
    if (!fault.status && !a->caller)
        fault = admission_rehearse(a->core, &a->req);
    if (fault.status)
        return fault;
    return dial_request(a->core, &a->req, a->text, &a->elsewhere);
}

/* ---- where it goes */

static struct slice target_uri(const struct act *a, unsigned index)
{
    struct slice uri = a->req.targets.uris[index];

    return uri.len ? uri : message_span(&a->req.message, a->req.message.uri);
}

static void write_when(const struct act *a, const struct binding *binding, struct writer *w)
{
    if (binding->expires == NEVER)
        return;
    write_slice(w, binding->expires > a->req.now.boot ? S(", registered for another ")
                                                      : S(", if it has registered again by then"));
    if (binding->expires <= a->req.now.boot)
        return;
    write_number(w, (binding->expires - a->req.now.boot) / SECONDS(1));
    write_slice(w, S(" s"));
}

/* A target whose place is known. */
static void say_target(struct act *a, unsigned index)
{
    const struct target *target = &a->req.targets.at[index];
    const struct binding *binding =
        target->binding ? location_binding(a->core, target->binding) : NULL;
    char text[SENTENCE];
    struct writer sentence = writer_over(text, sizeof text);

    if (index && target->is_next_flow)
        write_slice(&sentence, S("if that cannot be reached: "));
    else if (index && target->q < a->req.targets.at[index - 1].q)
        write_slice(&sentence, S("if nobody answers there: "));
    if (binding) {
        write_slice(&sentence, S("a phone of "));
        write_slice(&sentence, user_id(location_user(a->core, binding)));
        write_slice(&sentence, S(" at "));
    }
    write_way(&sentence, &target->flow);
    if (binding) {
        write_when(a, binding, &sentence);
        if (!connection_stands(a->core, &target->flow))
            write_slice(&sentence, S("; its connection has ended"));
    }
    json_begin(a->rows);
    json_text(a->rows, S("step"), S("target"));
    json_text(a->rows, S("text"), writer_slice(&sentence));
    json_text(a->rows, S("uri"), target_uri(a, index));
    write_peer(a->rows, &target->flow);
    end_row(a->rows);
}

/* One whose servers DNS has to name: what is demanded of them. */
static void say_domain(struct act *a, unsigned index)
{
    static const char *const demands[] = {
        [POLICY_OPPORTUNISTIC] = "the servers of % need prove nothing",
        [POLICY_VERIFIED] = "the servers of % must prove by TLS that they are its",
        [POLICY_DANE] = "the servers of % must prove by DANE that they are its",
    };
    struct uri uri;

    if (!uri_parse(target_uri(a, index), &uri))
        return;
    uint8_t policy = policy_of(a->core, uri.host, a->core->now.wall);
    bool is_remembered = policy_is_remembered(a->core, uri.host, a->core->now.wall);
    why_step(&a->req, S("domain"), policy_written(a->core, uri.host),
             is_remembered ? "the servers of % must prove by TLS that they are its, for they have "
                             "within thirty days"
                           : demands[policy],
             uri.host, NO_SLICE);
}

/* The sought target of that number, from 1; their count if it is higher. */
static unsigned find_sought(const struct act *a, unsigned wanted, unsigned *index)
{
    unsigned count = 0;

    for (unsigned i = 0; i < a->req.targets.count; i++)
        if (a->req.targets.at[i].way == WAY_SOUGHT && ++count == wanted)
            *index = i;
    return count;
}

static enum rehearsal_state begin_answer(struct act *a, const struct admin_request *request,
                                         uint64_t *cursor)
{
    struct fault fault;
    unsigned unused, given = 0;

    a->req.why = &a->why;
    tell_caller(a, request->user);
    fault = find_targets(a);
    if (fault.status == 302 && a->elsewhere.len) {
        say_result(a->rows, S("referred"), fault, a->elsewhere);
        return REHEARSAL_DONE;
    }
    if (fault.status) {
        say_result(a->rows, S("refused"), fault, NO_SLICE);
        return REHEARSAL_DONE;
    }
    for (unsigned i = 0; i < a->req.targets.count; i++)
        if (a->req.targets.at[i].way == WAY_SOUGHT) {
            say_domain(a, i);
        } else {
            say_target(a, i);
            given++;
        }
    *cursor = 1 | (given ? FOUND_SOME : 0);
    if (find_sought(a, 0, &unused))
        return REHEARSAL_PART;
    say_result(a->rows, S("goes"), NO_FAULT, NO_SLICE);
    return REHEARSAL_DONE;
}

/* ---- servers of other domains */

static struct rehearsal *find_free(struct core *core)
{
    for (unsigned i = 0; i < REHEARSALS_LIMIT; i++)
        if (!core->rehearsals[i].client.generation)
            return &core->rehearsals[i];
    return NULL;
}

static struct rehearsal *find_of(struct core *core, const struct client_transaction *client)
{
    for (unsigned i = 0; i < REHEARSALS_LIMIT; i++)
        if (pool_get(&core->clients, core->rehearsals[i].client) == client)
            return &core->rehearsals[i];
    return NULL;
}

static bool open_lookup(struct act *a, unsigned index, struct rehearsal *rehearsal)
{
    static const struct flow none;
    struct client_transaction *client = client_open(a->core, METHOD_OPTIONS, &none);
    struct uri uri;
    struct locate_aim aim = {
        .uri = &uri,
        .widest = failover_widest(a->core, &a->req.flow, a->req.targets.uris[index]),
    };

    if (!client)
        return false;
    client->is_rehearsal = true;
    if (!uri_parse(target_uri(a, index), &uri) ||
        !locate_begin(a->core, client, &aim, a->req.now.boot)) {
        client_close(a->core, client);
        return false;
    }
    rehearsal->client = pool_handle(&a->core->clients, client);
    return true;
}

static enum rehearsal_state go_on(struct act *a, const struct admin_request *request,
                                  uint64_t *cursor, struct moment now, const char **why_not,
                                  struct actions *out)
{
    unsigned number = (unsigned)(*cursor & ~FOUND_SOME), index = 0;
    struct rehearsal *rehearsal = find_free(a->core);
    struct fault fault = find_targets(a);
    unsigned count = find_sought(a, number, &index);

    if (fault.status || number > count) {
        *why_not = "the configuration or a registration has changed meanwhile; ask again";
        return REHEARSAL_NONE;
    }
    if (!rehearsal)
        return REHEARSAL_FULL;
    *rehearsal = (struct rehearsal){
        .to = {request->client, number < count, (*cursor & FOUND_SOME) | (number + 1)},
    };
    a->req.now = now;
    if (!open_lookup(a, index, rehearsal))
        return REHEARSAL_FULL;
    rehearse_look(a->core, pool_get(&a->core->clients, rehearsal->client), now, out);
    return REHEARSAL_LATER;
}

static void finish(struct core *core, struct rehearsal *rehearsal,
                   struct client_transaction *client, struct moment now, struct actions *out)
{
    struct writer *w = &out->bytes;
    size_t start = w->len;
    bool has_found = rehearsal->count || rehearsal->to.cursor & FOUND_SOME;

    for (unsigned i = 0; i < rehearsal->count; i++)
        say_place(core, &rehearsal->places[i].flow, &rehearsal->places[i].server, now, w);
    if (!rehearsal->to.is_part) {
        if (has_found)
            say_result(w, S("goes"), NO_FAULT, NO_SLICE);
        else
            say_result(w, S("refused"), locate_fault(core, client), NO_SLICE);
        write_slice(w, S("{\"done\":true}\n"));
    } else if (has_found) {
        rehearsal->to.cursor |= FOUND_SOME;
    }
    actions_push(out, (struct action){
                          .kind = ACTION_ANSWER,
                          .answer = rehearsal->to,
                          .bytes = slice_of(w->at + start, w->len - start),
                      });
    *rehearsal = (struct rehearsal){.count = 0};
    client_close(core, client);
}

void rehearse_look(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out)
{
    struct rehearsal *rehearsal = find_of(core, client);
    struct flow place;

    assert(rehearsal);
    while (rehearsal->count < PLACES_LIMIT) {
        enum resolve_result result = locate_next(core, client, &place, now.boot, out);

        if (result == RESOLVE_WAIT) {
            client_await(core, client, locate_due(core, client), now.boot);
            return;
        }
        if (result == RESOLVE_NONE)
            break;
        rehearsal->places[rehearsal->count].flow = place;
        rehearsal->places[rehearsal->count++].server = locate_given(core, client);
    }
    finish(core, rehearsal, client, now, out);
}

/* ---- the whole */

/* Who calls: one of ours, or, with nobody or somebody of another domain, a stranger. */
static bool find_caller(struct act *a, struct slice said, const char **fault)
{
    size_t at = slice_find(said, '@');

    if (!said.len || (at < said.len && !host_is_claimed(a->core, slice_from(said, at + 1))))
        return true;
    a->caller = location_find(a->core, slice_until(said, at));
    if (!a->caller)
        *fault = "there is no such user to call as; `sipwitch user` lists them";
    else if (!user_may_be_bound(a->caller))
        *fault = "that is no user, device, service or gateway, and cannot call";
    return !*fault;
}

static struct moment moment_of(const struct admin_request *request, struct moment now)
{
    int64_t ahead = request->at ? (int64_t)request->at - now.wall : 0;

    if (ahead > 0)
        now.boot += SECONDS((uint64_t)ahead);
    now.wall += ahead;
    return now;
}

enum rehearsal_state rehearse(struct core *core, const struct admin_request *request,
                              uint64_t *cursor, struct moment now, struct writer *rows,
                              const char **fault, struct actions *out)
{
    char made[8192];
    struct writer text = writer_over(made, sizeof made);
    struct act a = {.core = core, .rows = rows, .text = &text};
    struct moment then = moment_of(request, now);
    enum rehearsal_state state;

    *fault = NULL;
    a.why = (struct why){rows, core->settings};
    if (!find_caller(&a, request->user, fault))
        return REHEARSAL_NONE;
    if (!read_call(&a, request, then, &text)) {
        *fault = "that is no URI, name or number that could be called";
        return REHEARSAL_NONE;
    }
    take_place(&a);
    core->now = then;
    state =
        *cursor ? go_on(&a, request, cursor, now, fault, out) : begin_answer(&a, request, cursor);
    core->now = now;
    return state;
}
