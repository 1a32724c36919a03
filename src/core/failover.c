#include "core/failover.h"

#include "core/branch.h"
#include "core/connection.h"
#include "core/context.h"
#include "core/courier.h"
#include "core/fault.h"
#include "core/hangup.h"
#include "core/inside.h"
#include "core/locate.h"
#include "core/media.h"
#include "core/oddity.h"
#include "core/penalty.h"
#include "core/pending.h"
#include "core/race.h"
#include "core/rehearse.h"
#include "core/transaction.h"

static struct target *target_of(const struct context *context,
                                const struct client_transaction *client)
{
    return &context_targets(context)[client->branch];
}

static struct context *context_of(const struct core *core, const struct client_transaction *client)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);

    return server && server->context ? pool_at(&core->contexts, server->context) : NULL;
}

static bool is_unheard(const struct client_transaction *client)
{
    return client->machine.state == CTRANS_CALLING || client->machine.state == CTRANS_TRYING;
}

/* The INVITE's image, before anything is sent. */
static void record(struct core *core, struct context *context, struct actions *out)
{
    if (context->flags & CONTEXT_INVITE)
        pending_put(core, pool_at(&core->servers, context->server), out);
}

enum seclusion failover_widest(const struct core *core, const struct flow *flow, struct slice uri)
{
    const struct settings *settings = core->settings;
    struct address_bytes caller = flow_address(flow);

    if (uri.len ||
        access_of(settings->networks, settings->network_count, flow->is_v6, flow->address) &
            ACCESS_TRUSTED)
        return SECLUSION_LOOPBACK;
    return address_seclusion(&caller);
}

/* By the target's URI, or the request's own (RFC 3261 16.6 step 7); in a dialog by its next hop, or
 * where that has no name, by the domain of its other end. */
static bool read_aim(const struct core *core, const struct context *context,
                     const struct client_transaction *client, const struct request *req,
                     struct uri *uri)
{
    struct slice text = context_target_uri(context, client->branch);
    const struct target *target = target_of(context, client);

    if (inside_is_to_outside(req, target)) {
        if (target->way != WAY_GIVEN && inside_hop(core, req, uri))
            return true;
        *uri = (struct uri){.scheme = SCHEME_SIPS, .host = inside_to(req)->domain};
        return uri->host.len;
    }
    *uri = req->uri;
    return text.len ? uri_parse(text, uri) : req->uri_is_valid;
}

static bool begin(struct core *core, const struct context *context,
                  struct client_transaction *client, const struct request *req,
                  const struct flow *only)
{
    const struct target *target = target_of(context, client);
    struct slice text = context_target_uri(context, client->branch);
    bool has_place = target->tries || target->way != WAY_SOUGHT; /* the one that failed */
    uint8_t policy = POLICY_OPPORTUNISTIC;
    struct uri uri;
    struct locate_aim aim = {
        .uri = &uri,
        .widest = failover_widest(core, &context->flow, text),
        .tried = has_place && !only ? &target->flow : NULL,
        .only = only,
        .is_secure = only,
    };

    if (inside_is_to_outside(req, target)) {
        aim.is_secure = flow_is_secure(&inside_to(req)->flow);
        inside_domain(core, req, target, &policy);
    }
    aim.is_dane = only || policy == POLICY_DANE;
    return read_aim(core, context, client, req, &uri) &&
           locate_begin(core, client, &aim, req->now.boot);
}

static uint32_t breadth_of(const struct request *req)
{
    return req->message.first[HEADER_MAX_BREADTH] ? 1 : 0;
}

static void send_to(struct core *core, struct context *context, struct client_transaction *client,
                    const struct request *req, const struct flow *place, struct actions *out)
{
    struct target *target = target_of(context, client);

    target->flow = *place;
    target->way = WAY_CHOSEN;
    target->is_bound = locate_given(core, client).is_bound;
    if (target->tries++ && target->media_path == MEDIA_DIRECT)
        target->media = MEDIA_UNDECIDED; /* this place may be of the other family */
    client->lacks_flow = false;
    client->has_dialled = false;
    context_decide_media(core, context, client->branch, req);
    record(core, context, out);
    locate_tried(core, client, place, req->now.boot);
    if (!context_send(core, context, client, req, breadth_of(req), out))
        client_wait(core, client, req->now.boot, req->now.boot);
}

/* The next hop of a dialog has a name that leads nowhere, as those of many phones: it is where the
 * dialog began.  False if that is not known any more, or it was another's place. */
static bool stay_where_it_began(struct core *core, struct context *context,
                                struct client_transaction *client, const struct request *req,
                                struct actions *out)
{
    struct target *target = target_of(context, client);

    if (!inside_is_to_outside(req, target) || target->tries || !target->flow.transport)
        return false;
    locate_end(core, client);
    target->way = WAY_GIVEN;
    record(core, context, out);
    return context_send(core, context, client, req, breadth_of(req), out);
}

bool failover_seek(struct core *core, struct context *context, struct client_transaction *client,
                   const struct request *req, struct actions *out)
{
    struct flow place;

    if (!client->lookup && !begin(core, context, client, req, NULL))
        return stay_where_it_began(core, context, client, req, out);
    switch (locate_next(core, client, &place, req->now.boot, out)) {
    case RESOLVE_NONE: return stay_where_it_began(core, context, client, req, out);
    case RESOLVE_PLACE: send_to(core, context, client, req, &place, out); break;
    case RESOLVE_WAIT: client_await(core, client, locate_due(core, client), req->now.boot); break;
    }
    return true;
}

/* It must match TLSA records, which are not known: after a restart, or since the call began. */
static bool lacks_records(const struct core *core, const struct target *target,
                          const struct request *req)
{
    uint8_t policy = POLICY_OPPORTUNISTIC;

    if (target->binding || !flow_is_secure(&target->flow))
        return false;
    if (inside_is_to_outside(req, target))
        inside_domain(core, req, target, &policy);
    return target->is_bound || policy == POLICY_DANE;
}

bool failover_prove(struct core *core, struct context *context, struct client_transaction *client,
                    const struct request *req, struct actions *out)
{
    const struct target *target = target_of(context, client);
    struct flow place;

    if (!client->lookup && (client->has_dialled || !lacks_records(core, target, req) ||
                            !begin(core, context, client, req, &target->flow)))
        return false;
    if (!locate_is_narrow(core, client))
        return false;
    switch (locate_next(core, client, &place, req->now.boot, out)) {
    case RESOLVE_NONE: return false;
    case RESOLVE_WAIT: client_await(core, client, locate_due(core, client), req->now.boot); break;
    case RESOLVE_PLACE:
        locate_tried(core, client, &place, req->now.boot);
        if (!context_send(core, context, client, req, breadth_of(req), out))
            client_wait(core, client, req->now.boot, req->now.boot);
    }
    return true;
}

/* A transaction of its own for the next place of the same target. */
static struct client_transaction *take_over(struct core *core, struct context *context,
                                            struct client_transaction *client)
{
    static const struct flow none = {0};
    struct client_transaction *next = client_open(core, context->method, &none);

    if (!next)
        return NULL;
    next->server = client->server;
    next->branch = client->branch;
    context->branches[client->branch] = pool_handle(&core->clients, next);
    locate_move(core, client, next);
    if (fault_is(FAULT_BRANCH_REUSED))
        client_rename(core, next, client_branch(core, client));
    return next;
}

/* The target has another place, as far as is known. */
static bool may_go_on(const struct context *context, const struct client_transaction *client)
{
    const struct target *target = target_of(context, client);

    return target->way == WAY_CHOSEN && target->tries < PLACES_LIMIT && context->request.at &&
           !context_is_over(context) && !client->is_cancelled && !client->has_run_out;
}

static void await_next(struct core *core, struct context *context, struct client_transaction *next,
                       instant now, struct actions *out)
{
    target_of(context, next)->way = WAY_SOUGHT;
    record(core, context, out);
    client_await(core, next, locate_due(core, next), now);
}

bool failover_next(struct core *core, struct context *context, struct client_transaction *client,
                   unsigned status, duration length, struct moment now, struct actions *out)
{
    struct target *target = target_of(context, client);
    struct client_transaction *next;
    struct request req;
    struct flow place;

    if (target->way == WAY_GIVEN || target->way == WAY_SOUGHT)
        return false;
    if (locate_is_narrow(core, client)) /* it knows of no other */
        locate_end(core, client);
    penalty_put(core, &target->flow, length, now.boot);
    next = may_go_on(context, client) && context_read(core, context, now, &req)
               ? take_over(core, context, client)
               : NULL;
    if (!next)
        return false;
    if (next->lookup || begin(core, context, next, &req, NULL)) {
        locate_failed(core, next, status);
        if (race_resume(core, context, next, now, out)) {
            client_close(core, next);
            return true;
        }
        switch (locate_next(core, next, &place, now.boot, out)) {
        case RESOLVE_PLACE: send_to(core, context, next, &req, &place, out); return true;
        case RESOLVE_WAIT: await_next(core, context, next, now.boot, out); return true;
        case RESOLVE_NONE: break;
        }
    }
    target->way = WAY_LAST;
    context->branches[client->branch] = pool_handle(&core->clients, client);
    client_close(core, next);
    return false;
}

/* It was told of a way for the media that needs no relay: what it answers passes as it is. */
static bool is_direct(const struct context *context, const struct client_transaction *client)
{
    return context->flags & CONTEXT_OFFERED &&
           target_of(context, client)->media_path == MEDIA_DIRECT;
}

/* It is late, but may be there: what it says is heard, and answered by CANCEL. */
static void leave(struct core *core, struct context *context, struct client_transaction *client)
{
    client->is_left = true;
    client->is_direct = is_direct(context, client);
    client->is_decided = true;
    client->is_cancelled = context->flags & CONTEXT_INVITE;
    client->machine.resend_at = NEVER;
    client_arm(core, client);
}

void failover_return(struct core *core, struct client_transaction *client, struct moment now,
                     struct actions *out)
{
    struct context *context = context_of(core, client);
    struct client_transaction *other =
        context ? pool_get(&core->clients, context->branches[client->branch]) : NULL;
    struct target *target;

    if (!other || !is_unheard(other) || other->is_decided || !is_unheard(client) ||
        flow_is_reliable(&client->flow) || context_is_over(context))
        return;
    target = target_of(context, client);
    if (client->is_direct != is_direct(context, client))
        return; /* it knows of another way for the media than is recorded by now */
    locate_end(core, other);
    if (other->request.at)
        leave(core, context, other);
    else
        client_close(core, other);
    client->is_left = client->is_decided = client->is_cancelled = false;
    context->branches[client->branch] = pool_handle(&core->clients, client);
    target->flow = client->flow;
    target->way = WAY_LAST;
    target->is_bound = false;
    penalty_lift(core, &target->flow, now.boot);
    record(core, context, out);
}

static void stay(struct core *core, struct context *context, struct client_transaction *client)
{
    if (client->is_held) { /* until its stream stands or ends */
        locate_calm(core, client);
        client_arm(core, client);
        return;
    }
    target_of(context, client)->way = WAY_LAST;
    if (flow_is_secure(&client->flow))
        locate_calm(core, client); /* it knows what a new connection there must prove */
    else
        locate_end(core, client);
    client_arm(core, client);
}

void failover_by_datagram(struct core *core, struct client_transaction *client, struct moment now,
                          struct actions *out)
{
    const struct context *context = context_of(core, client);
    struct flow stream = client->flow;

    if (context && client->lookup)
        locate_tried(core, client, &target_of(context, client)->flow, now.boot);
    context_seek(core, client, now, out);
    connection_spare(core, &stream, out);
}

/* What was sent there may be answered yet; what was held will not be sent. */
static void leave_place(struct core *core, struct context *context,
                        struct client_transaction *client, struct client_transaction *next,
                        bool is_race, instant now, struct actions *out)
{
    if (is_race) {
        race_join(core, next, client);
        return;
    }
    penalty_put(core, &target_of(context, client)->flow, PENALTY, now);
    locate_failed(core, next, 408);
    race_end(core, next, now, out);
    if (client->is_held)
        race_abandon(core, client, out);
    else
        leave(core, context, client);
}

/* A place that has not said anything for long, or whose stream does not stand soon: the next, if
 * there is one. */
static void leave_slow(struct core *core, struct context *context,
                       struct client_transaction *client, struct moment now, struct actions *out)
{
    bool is_race = client->is_held && race_goes_on(core, client, now.boot);
    struct client_transaction *next;
    struct request req;
    struct flow place;

    if (client->is_held && !is_race && locate_is_patient(core, client, now.boot)) {
        locate_stagger(core, client, now.boot);
        client_arm(core, client);
        return;
    }
    if (!may_go_on(context, client) || !context_read(core, context, now, &req)) {
        stay(core, context, client);
        return;
    }
    switch (locate_next(core, client, &place, now.boot, out)) {
    case RESOLVE_NONE: stay(core, context, client); return;
    case RESOLVE_WAIT: client_arm(core, client); return;
    case RESOLVE_PLACE: break;
    }
    next = take_over(core, context, client);
    if (!next) {
        stay(core, context, client);
        return;
    }
    leave_place(core, context, client, next, is_race, now.boot, out);
    send_to(core, context, next, &req, &place, out);
}

/* The stream that it went by is gone. */
static void seek_way(struct core *core, struct client_transaction *client, struct moment now,
                     struct actions *out)
{
    if (!hangup_again(core, client, now.boot, out))
        context_seek(core, client, now, out);
}

void failover_look(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out)
{
    struct context *context = context_of(core, client);

    if (client->is_rehearsal)
        rehearse_look(core, client, now, out);
    else if (courier_waits(client))
        courier_look(core, client, now, out);
    else if (client->lacks_flow)
        seek_way(core, client, now, out);
    else if (context && is_unheard(client))
        leave_slow(core, context, client, now, out);
    else
        client_arm(core, client); /* it ends by its own timers */
}

/* The branch that a request of ours carries, as far as it came back; empty if it does not. */
static struct slice find_branch(struct slice bytes)
{
    static const struct slice mark = S(";branch=" BRANCH_COOKIE);

    for (size_t at = 0; at + mark.len <= bytes.len; at++) {
        struct slice rest;
        at += slice_find(slice_from(bytes, at), ';');
        rest = slice_from(bytes, at);
        if (!slice_starts(rest, mark))
            continue;
        rest = slice_from(rest, mark.len - (sizeof BRANCH_COOKIE - 1));
        return slice_until(rest, min_u64(rest.len, BRANCH_TEXT));
    }
    return NO_SLICE;
}

static bool is_at(const struct flow *a, const struct flow *b)
{
    return a->transport == b->transport && a->is_v6 == b->is_v6 && a->port == b->port &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

void failover_unreached(struct core *core, const struct flow *flow, struct slice bytes,
                        struct moment now, struct actions *out)
{
    struct slice text = find_branch(bytes);
    const struct target *target;
    struct client_transaction *client;
    struct context *context;
    struct branch branch;

    if (slice_starts(bytes, S("ACK ")) || slice_starts(bytes, S("CANCEL ")) ||
        !branch_read(text, &core->key_branch, &branch) || !branch.transaction)
        return;
    client = client_find(core, branch.transaction);
    context = client ? context_of(core, client) : NULL;
    if (!context || !is_unheard(client) || client->lacks_flow || !is_at(&client->flow, flow))
        return;
    target = target_of(context, client);
    if (!target->binding || target->way != WAY_GIVEN) /* a phone may be back soon */
        client_step(core, client, CTRANS_UNREACHED, NULL, now, out);
}

void failover_heard(struct core *core, struct context *context, struct client_transaction *client,
                    unsigned status, instant now)
{
    if (!client->lookup || status == 503)
        return;
    if (status == 100) { /* it works at it, and may yet say 503 */
        locate_calm(core, client);
        return;
    }
    if (context) {
        penalty_lift(core, &target_of(context, client)->flow, now);
        target_of(context, client)->way = WAY_LAST;
    }
    locate_end(core, client);
}
