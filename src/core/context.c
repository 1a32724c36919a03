#include "core/context.h"

#include "core/anchor.h"
#include "core/awaited.h"
#include "core/caller.h"
#include "core/calls.h"
#include "core/connection.h"
#include "core/dialog.h"
#include "core/failover.h"
#include "core/fault.h"
#include "core/forward.h"
#include "core/hearing.h"
#include "core/inside.h"
#include "core/locate.h"
#include "core/location.h"
#include "core/penalty.h"
#include "core/pending.h"
#include "core/policy.h"
#include "core/proxy.h"
#include "core/race.h"
#include "core/record.h"
#include "core/reply.h"
#include "core/session.h"
#include "core/signing.h"
#include "core/tell.h"
#include "core/transaction.h"

#define WAIT_LONGEST SECONDS(5)     /* a request waits for a phone that our restart cut off */
#define RETURN_PATIENCE SECONDS(60) /* one that has not come back by then is not waited for */
#define MERGE_PART 256u      /* longer parts of what merged requests share stand as their hash */
#define EDITS_RESERVE 1024u  /* bytes that forwarding adds to a message */
#define DATAGRAM_LIMIT 1300u /* 18.1.1: a longer request to a host outside goes by a stream, */
#define STREAM_PATIENCE SECONDS(2) /* two SYNs: one that stands no sooner is done without */

size_t context_bytes(const struct limits *limits)
{
    return pool_bytes(sizeof(struct context), limits->contexts) + table_bytes(limits->contexts);
}

void context_init(struct core *core, struct arena *from)
{
    uint32_t n = core->limits.contexts;

    pool_init(&core->contexts, from, sizeof(struct context), n, 1);
    table_init(&core->contexts_by_merge, from, n, core->contexts.items, sizeof(struct context),
               offsetof(struct context, by_merge));
}

/* What merged requests share (8.2.2.2), and the Request-URI: a fork upstream to two of our users is
 * no merge. */
static struct hash128 merge_key(const struct core *core, const struct request *req)
{
    const struct slice parts[] = {
        message_span(&req->message, req->message.uri),
        req->call_id,
        req->from_tag,
        req->to_tag,
        request_header(req, HEADER_CSEQ),
    };
    char bytes[COUNT_OF(parts) * (MERGE_PART + 8)];
    struct writer w = writer_over(bytes, sizeof bytes);

    for (unsigned i = 0; i < COUNT_OF(parts); i++) {
        write_u32(&w, (uint32_t)parts[i].len);
        if (parts[i].len <= MERGE_PART)
            write_slice(&w, parts[i]);
        else
            write_u64(&w, hash_bytes(&core->key_table, parts[i]));
    }
    return hash_bytes_wide(&core->key_table, writer_slice(&w));
}

bool context_is_merged(const struct core *core, struct request *req)
{
    const struct hash128 *key = &req->merge;

    req->merge = merge_key(core, req);
    for (uint32_t i = table_first(&core->contexts_by_merge, (uint32_t)key->low); i;
         i = table_next(&core->contexts_by_merge, i)) {
        const struct context *context = pool_at(&core->contexts, i);
        if (context->merge.low == key->low && context->merge.high == key->high)
            return true;
    }
    return false;
}

static bool has_place(const struct pool *pool, bool is_new)
{
    return pool->live < pool->limit - (is_new ? pool->limit / RESERVED_PART : 0);
}

bool context_has_room(const struct core *core, const struct request *req, size_t len)
{
    bool is_new = !req->to_tag.len;
    size_t text = core->slab.arena.limit;
    size_t reserve = is_new ? text / RESERVED_PART : 0;

    return has_place(&core->contexts, is_new) && has_place(&core->servers, is_new) &&
           has_place(&core->clients, is_new) && core->slab.live + reserve < text &&
           slab_has_room(&core->slab, min_u64(len + EDITS_RESERVE, SLAB_LARGEST));
}

struct target *context_targets(const struct context *context)
{
    return (struct target *)(void *)context->targets.at;
}

struct slice context_target_uri(const struct context *context, unsigned index)
{
    const struct target *target = &context_targets(context)[index];

    return slice_of(context->targets.at + target->uri_at, target->uri_len);
}

struct slice context_target_path(const struct context *context, unsigned index)
{
    const struct target *target = &context_targets(context)[index];

    return slice_of(context->targets.at + target->uri_at + target->uri_len, target->path_len);
}

/* Copies the target set: structs, then URIs and Paths. */
static bool keep_targets(struct core *core, struct context *context, const struct target_set *set)
{
    size_t head = set->count * sizeof(struct target);
    size_t len = head;
    struct writer w;

    for (unsigned i = 0; i < set->count; i++)
        len += set->uris[i].len + set->paths[i].len;
    if (!slab_take(&core->slab, len, &context->targets))
        return false;
    w = writer_over(context->targets.at, len);
    w.len = head;
    for (unsigned i = 0; i < set->count; i++) {
        struct target *target = &context_targets(context)[i];
        *target = set->at[i];
        target->uri_at = (uint32_t)w.len;
        target->uri_len = (uint16_t)set->uris[i].len;
        target->path_len = (uint16_t)set->paths[i].len;
        write_slice(&w, set->uris[i]);
        write_slice(&w, set->paths[i]);
    }
    context->target_count = (uint8_t)set->count;
    return true;
}

void context_close(struct core *core, struct context *context)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);

    if (context->held_by)
        awaited_leave(core, context);
    server->context = 0;
    table_remove(&core->contexts_by_merge, pool_index(&core->contexts, context));
    slab_give(&core->slab, &context->request);
    slab_give(&core->slab, &context->targets);
    slab_give(&core->slab, &context->best);
    slab_give(&core->slab, &context->reason);
    slab_give(&core->slab, &context->signature);
    slab_give(&core->slab, &context->answer);
    pool_give(&core->contexts, context);
}

bool context_is_ringing(const struct core *core, const struct context *context)
{
    const struct server_transaction *server = pool_at(&core->servers, context->server);

    return server->is_initial && !(context->flags & CONTEXT_ACCEPTED);
}

bool context_read(const struct core *core, const struct context *context, struct moment now,
                  struct request *req)
{
    struct fault fault = message_parse(block_slice(&context->request), &req->message);

    if (fault.status)
        return false;
    request_read(req, &context->flow);
    request_limits(req);
    request_routes(core, req); /* they found no fault when the request came */
    req->now = now;
    req->caller = context->caller;
    req->proof = context->proof;
    return true;
}

/* Opens the client transaction of a target; without room the branch fails alone (it counts as
 * 503). */
static void open_branch(struct core *core, struct context *context, unsigned index)
{
    const struct target *target = &context_targets(context)[index];
    struct client_transaction *client = client_open(core, context->method, &target->flow);

    if (!client)
        return;
    client->server = pool_handle(&core->servers, pool_at(&core->servers, context->server));
    client->branch = (uint8_t)index;
    context->branches[index] = pool_handle(&core->clients, client);
    context->open++;
}

/* How long a request waits for a way to its target: a phone whose connection our restart broke is
 * about to come back. */
static instant wait_until(const struct core *core, const struct target *target, instant now)
{
    const struct binding *binding =
        target->binding ? location_binding(core, target->binding) : NULL;

    if (!binding || !binding->is_restored || now >= core->started_at + RETURN_PATIENCE)
        return now;
    return now + WAIT_LONGEST;
}

struct slice context_branch_uri(const struct core *core, const struct client_transaction *client)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);
    const struct context *context =
        server && server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct slice uri = context ? context_target_uri(context, client->branch) : NO_SLICE;
    struct message request;

    if (uri.len || !context || !context->request.at ||
        message_parse(block_slice(&context->request), &request).status)
        return uri;
    return message_span(&request, request.uri);
}

/* The domain that a target's server must be of, empty where none is named: that of the dialog, or
 * of who is asked for.  An address proves nothing. */
static struct slice target_domain(const struct core *core, const struct target *target,
                                  struct slice text, const struct request *req, uint8_t *policy)
{
    struct address_bytes address;
    struct uri uri = req->uri;

    if (inside_is_to_outside(req, target))
        return inside_domain(core, req, target, policy);
    if (text.len ? !uri_parse(text, &uri) : !req->uri_is_valid)
        return NO_SLICE;
    if (uri.scheme > SCHEME_SIPS || host_numeric(uri.host, &address) || uri.host.len > NAME_LIMIT)
        return NO_SLICE;
    *policy = policy_of(core, uri.host, core->now.wall);
    return uri.host;
}

/* What a server outside must prove (RFC 5922 7.3); false if nothing is demanded.  One that has TLSA
 * records is not done without them where they are not known. */
static bool make_plan(const struct core *core, const struct target *target,
                      const struct client_transaction *client, struct slice uri,
                      const struct request *req, struct peer_plan *plan)
{
    if (target->binding || !flow_is_secure(&target->flow))
        return false;
    *plan = (struct peer_plan){.policy = POLICY_OPPORTUNISTIC};
    plan->domain = target_domain(core, target, uri, req, &plan->policy);
    if (!plan->domain.len)
        return false;
    if (client)
        locate_demand(core, client, &target->flow, plan);
    if (target->is_bound && !plan->tlsa_count)
        plan->policy = POLICY_DANE;
    return true;
}

static bool find_way(struct core *core, const struct context *context,
                     struct client_transaction *client, const struct request *req, struct flow *way,
                     struct actions *out)
{
    const struct target *target = &context_targets(context)[client->branch];
    struct slice uri = context_target_uri(context, client->branch);
    bool may_dial = !client->has_dialled;
    struct peer_plan plan;
    bool has_plan = make_plan(core, target, client, uri, req, &plan);
    bool is_found = connection_way(core, target, has_plan ? &plan : NULL, &may_dial, way, out);

    client->has_dialled = !may_dial;
    return is_found;
}

bool context_find_way(struct core *core, const struct request *req, unsigned index,
                      struct flow *way, struct actions *out)
{
    const struct target *target = &req->targets.at[index];
    bool may_dial = true;
    struct peer_plan plan;
    bool has_plan = make_plan(core, target, NULL, req->targets.uris[index], req, &plan);

    return connection_way(core, target, has_plan ? &plan : NULL, &may_dial, way, out);
}

/* 18.1.1 is for hosts outside: a phone is reached by the flow that it registered by, or did; and
 * who is in a dialog must say that it listens there. */
static bool may_change_transport(const struct target *target, const struct request *req)
{
    bool is_inside = req->direction != COOKIE_INVALID;

    return !target->binding && !flow_is_reliable(&target->flow) &&
           (!is_inside || (!inside_to(req)->binding && inside_listens(req, &target->flow)));
}

/* 18.1.1: a request that is too long for a datagram goes by a stream; if that cannot be opened, or
 * does not stand soon, context_seek sends it by the target's flow, and those after it go there at
 * once for a while. */
static struct slice compose_branch(struct core *core, const struct request *req,
                                   const struct target *target, struct client_transaction *client,
                                   struct forwarding *to, struct actions *out)
{
    size_t start = out->bytes.len;
    struct slice bytes = forward_request(core, req, to, out);
    struct flow stream = to->flow;

    if (bytes.len <= DATAGRAM_LIMIT || !may_change_transport(target, req))
        return bytes;
    stream.transport = TRANSPORT_TCP;
    if (penalty_has(core, &stream, req->now.boot) || !connection_reach(core, &stream, out))
        return bytes;
    out->bytes.len = start;
    client->has_dialled = true;
    if (!connection_has_opened(core, &stream))
        client->stream_due = req->now.boot + STREAM_PATIENCE;
    to->flow = stream;
    return forward_request(core, req, to, out);
}

/* What the request becomes on its way to a target. */
static struct forwarding forwarding_to(struct core *core, struct context *context,
                                       const struct request *req, unsigned index,
                                       struct actions *out)
{
    const struct target *target = &context_targets(context)[index];
    struct forwarding to = {
        .flow = target->flow,
        .uri = context_target_uri(context, index),
        .path = context_target_path(context, index),
        .binding = target->binding,
    };

    if (!target->binding && flow_is_secure(&target->flow))
        to.domain = target_domain(core, target, to.uri, req, &to.policy);
    if (target->is_bound)
        to.policy = POLICY_DANE;
    if (signing_concerns(target)) {
        to.signature = signing_lines(core, context, req);
        to.diversion = signing_diversion(core, context, req, to.uri, out);
    }
    return to;
}

/* What becomes of the description on its way.  If that is only decided now, the INVITE's image says
 * so before it goes.  False: the relay is full. */
static bool anchor_branch(struct core *core, struct context *context, unsigned index,
                          const struct request *req, struct forwarding *to, struct actions *out)
{
    if (anchor_decide(core, context, index, &to->flow, req))
        pending_put(core, pool_at(&core->servers, context->server), out);
    return anchor_request(core, context, index, &to->flow, req, &to->description, out);
}

void context_decide_media(struct core *core, struct context *context, unsigned index,
                          const struct request *req)
{
    const struct target *target = &context_targets(context)[index];
    bool is_known = target->way != WAY_SOUGHT && connection_stands(core, &target->flow) &&
                    pool_get(&core->clients, context->branches[index]);

    anchor_decide(core, context, index, is_known ? &target->flow : NULL, req);
}

bool context_send(struct core *core, struct context *context, struct client_transaction *client,
                  const struct request *req, uint32_t breadth, struct actions *out)
{
    const struct target *target = &context_targets(context)[client->branch];
    struct forwarding to = forwarding_to(core, context, req, client->branch, out);
    struct slice bytes;

    to.max_breadth = breadth;
    client->is_signed = to.signature.len > 0;
    if (!find_way(core, context, client, req, &to.flow, out)) {
        if (!failover_prove(core, context, client, req, out))
            client_wait(core, client, wait_until(core, target, req->now.boot), req->now.boot);
        return true;
    }
    if (race_holds(core, client, &to.flow, req->now.boot, out))
        return true;
    if (!anchor_branch(core, context, client->branch, req, &to, out)) {
        client->lacks_relay = true;
        return false;
    }
    to.transaction = client_branch(core, client);
    bytes = compose_branch(core, req, target, client, &to, out);
    client->flow = to.flow;
    return client_send(core, client, bytes, req->now.boot, out);
}

static void send_branch(struct core *core, struct context *context, const struct request *req,
                        unsigned index, uint32_t breadth, struct actions *out)
{
    struct client_transaction *client = pool_get(&core->clients, context->branches[index]);

    if (!client)
        return;
    if (context_targets(context)[index].way == WAY_SOUGHT) {
        if (!failover_seek(core, context, client, req, out))
            client_wait(core, client, req->now.boot, req->now.boot);
        return;
    }
    if (context_send(core, context, client, req, breadth, out))
        return;
    anchor_fail(core, context, index, out);
    context->branches[index] = NO_HANDLE;
    context->open--;
    client_close(core, client);
}

/* How many targets ring at once: those of equal q, and no more than Max-Breadth (RFC 5393 5.3.3).
 */
static unsigned group_end(const struct context *context, const struct request *req)
{
    const struct target *targets = context_targets(context);
    unsigned first = context->next_target;
    unsigned end = first + 1;

    while (end < context->target_count && targets[end].q == targets[first].q &&
           end - first < req->max_breadth)
        end++;
    return end;
}

static void say_trying(struct core *core, struct server_transaction *server,
                       const struct request *req, struct actions *out)
{
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 100, NO_SLICE, out);

    server_respond(core, server, 100, reply_end(out, w, start), req->now.boot, out);
}

/* 16.6: forwards to the next group of targets; what must survive is recorded before. */
static void forward_group(struct core *core, struct context *context, const struct request *req,
                          struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    unsigned first = context->next_target;
    unsigned end = group_end(context, req);
    uint32_t breadth = 0;

    if (end - first > 1 || req->message.first[HEADER_MAX_BREADTH])
        breadth = req->max_breadth / (end - first);
    for (unsigned i = first; i < end; i++) {
        if (context_targets(context)[i].is_next_flow)
            continue;
        open_branch(core, context, i);
        context_decide_media(core, context, i, req);
    }
    context->next_target = (uint8_t)end;
    if (context->flags & CONTEXT_INVITE) {
        pending_put(core, server, out);
        if (!first)
            say_trying(core, server, req, out);
    }
    for (unsigned i = first; i < end; i++)
        send_branch(core, context, req, i, breadth, out);
}

static void conclude(struct core *core, struct context *context, struct moment now,
                     struct actions *out);

static struct span span_of(const struct message *m, struct slice part)
{
    return part.len ? (struct span){(uint16_t)(part.at - m->bytes.at), (uint16_t)part.len}
                    : (struct span){0, 0};
}

/* What the observer will ask of the request when it is answered. */
static void note_dialog_parts(struct context *context, const struct message *m)
{
    context->contact = span_of(m, dialog_contact(m));
    context->uri = m->uri;
    context->from = span_of(m, message_first(m, HEADER_FROM));
    context->call_id = span_of(m, message_first(m, HEADER_CALL_ID));
}

/* Its bytes are needed again for an INVITE's record and answers, for further targets and places,
 * where a stream may fail, and to know whom a stranger's answer is for. */
static bool keep_request(struct core *core, struct context *context, const struct request *req)
{
    const struct target *target = context_targets(context);
    bool is_needed = context->flags & CONTEXT_INVITE || context->target_count > 1 ||
                     target->way != WAY_GIVEN || flow_is_reliable(&target->flow) ||
                     (req->message.bytes.len + EDITS_RESERVE > DATAGRAM_LIMIT &&
                      may_change_transport(target, req)) ||
                     (flow_is_secure(&req->flow) && !req->caller);

    return !is_needed || slab_copy(&core->slab, req->message.bytes, &context->request);
}

/* Its texts could not be kept, or nothing could be sent: it is as if it had not been let in. */
static void put_off(struct core *core, struct context *context, const struct request *req,
                    struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    size_t start = out->bytes.len;
    struct writer *w = reply_begin(core, req, 503, NO_SLICE, out);

    server_respond(core, server, 503, reply_end(out, w, start), req->now.boot, out);
    context_close(core, context);
}

/* The server transaction of a request with its context, which has no targets yet. */
static struct context *begin(struct core *core, const struct request *req)
{
    bool is_invite = req->message.method == METHOD_INVITE;
    struct flow back = reply_flow(req);
    struct server_transaction *server =
        server_open(core, &req->key, is_invite, &back, reply_sent_by(req));
    struct context *context = pool_take(&core->contexts);

    assert(server && context);
    server->caller = req->caller;
    if (is_invite && reply_is_unproven(req))
        server_meter(server, req->message.bytes.len);
    server->context = pool_index(&core->contexts, context);
    context->server = pool_index(&core->servers, server);
    context->method = (uint8_t)req->message.method;
    context->flags = is_invite ? CONTEXT_INVITE : 0;
    if (req->sender && user_is_written(req->sender))
        context->flags |= CONTEXT_WRITTEN;
    context->flow = req->flow;
    context->caller = req->caller;
    context->proof = req->proof;
    context->dialog = req->dialog;
    context->merge = req->merge;
    context->opened_at = req->now.boot;
    table_insert(&core->contexts_by_merge, server->context, (uint32_t)context->merge.low);
    return context;
}

struct context *context_hold(struct core *core, const struct request *req)
{
    struct context *context = begin(core, req);

    if (slab_copy(&core->slab, req->message.bytes, &context->request))
        return context;
    server_close(core, pool_at(&core->servers, context->server));
    return NULL;
}

void context_open(struct core *core, struct request *req, struct actions *out)
{
    bool is_invite = req->message.method == METHOD_INVITE;
    struct context *context = begin(core, req);
    struct server_transaction *server = pool_at(&core->servers, context->server);

    server->is_initial = is_invite && !req->to_tag.len;
    if (signing_may(core, req))
        context->flags |= CONTEXT_SIGNED;
    server->session = session_promised(core, &req->message);
    if (is_invite)
        note_dialog_parts(context, &req->message);
    if (server->is_initial) {
        context->call = calls_number(core);
        context->began = req->now.wall;
    }
    if (keep_targets(core, context, &req->targets) && keep_request(core, context, req))
        forward_group(core, context, req, out);
    if (server->is_initial)
        tell_ringing(core, context, out);
    if (context->open)
        return;
    if (context->request.at)
        conclude(core, context, req->now, out);
    else
        put_off(core, context, req, out);
}

bool context_sender_plan(const struct core *core, const struct context *context,
                         struct peer_plan *plan)
{
    struct end end = {0};
    struct request req;

    *plan = (struct peer_plan){.policy = POLICY_OPPORTUNISTIC};
    if (context->proof & (CALLER_OWN | CALLER_NODE))
        return true;
    if (!context->request.at || !context_read(core, context, core->now, &req))
        return false;
    if (req.direction == COOKIE_INVALID)
        caller_demand(core, &req, &end);
    else
        end = *inside_from(&req);
    plan->domain = end.domain;
    plan->policy = end.policy;
    return end.policy != POLICY_DANE;
}

void context_say_trying(struct core *core, struct server_transaction *server, instant now,
                        struct actions *out)
{
    const struct context *context =
        server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct request req;

    for (unsigned i = 0; context && i < context->next_target; i++) {
        const struct client_transaction *client = pool_get(&core->clients, context->branches[i]);
        if (!client || !client->request.at)
            continue;
        server_respond(core, server, 100, forward_trying(block_slice(&client->request), out), now,
                       out);
        return;
    }
    if (context && context->request.at && context_read(core, context, core->now, &req))
        say_trying(core, server, &req, out); /* no server is known yet */
}

void context_refuse(struct core *core, struct request *req, struct fault fault, struct actions *out)
{
    struct flow back = reply_flow(req);
    struct server_transaction *server =
        server_open(core, &req->key, true, &back, reply_sent_by(req));
    struct slice bytes = reply_compose(core, req, fault, out);

    assert(server);
    if (!bytes.len) {
        server_close(core, server);
        return;
    }
    server_respond(core, server, fault.status, bytes, req->now.boot, out);
    if (req->sender)
        return;
    /* No 100 went out, so whoever lost the answer asks again (17.1.1.2); and who never asked gets
     * it once. */
    server->machine.resend_at = NEVER;
    server_arm(core, server);
}

#define RANK_UNLOCATED 5998

/* 16.7 step 6: 6xx first, then the lowest class; within 4xx those that the caller can do something
 * about, and a time-out last.  Lower is better. */
static unsigned rank(unsigned status)
{
    switch (status) {
    case 401:
    case 407:
    case 415:
    case 420:
    case 484: return 4000;
    case 408: return 4999;
    case 503: return 5999;
    default: return status >= 600 ? status : status * 10 + 1;
    }
}

static bool is_challenge(unsigned status)
{
    return status == 401 || status == 407;
}

/* 16.7 step 7: the caller gets the challenges of all branches at once. */
static void add_challenges(struct core *core, struct context *context, const struct message *m,
                           struct actions *out)
{
    static const enum header headers[] = {HEADER_WWW_AUTHENTICATE, HEADER_PROXY_AUTHENTICATE};
    size_t start = out->bytes.len;
    struct writer *w = &out->bytes;
    struct message best;
    struct block block;

    if (message_parse(block_slice(&context->best), &best).status)
        return;
    write_slice(w, slice_until(best.bytes, best.headers_end));
    for (unsigned h = 0; h < COUNT_OF(headers); h++)
        for (unsigned i = m->first[headers[h]]; i; i = m->fields[i].next) {
            const struct field *f = &m->fields[i];
            write_bytes(w, m->bytes.at + f->line, (size_t)(f->next_line - f->line));
        }
    write_slice(w, slice_from(best.bytes, best.headers_end));
    if (w->len - start <= MESSAGE_LIMIT &&
        slab_copy(&core->slab, slice_of(w->at + start, w->len - start), &block)) {
        slab_give(&core->slab, &context->best);
        context->best = block;
    }
    w->len = start;
}

/* The branch's own failure, in words. */
static void keep_fault(struct core *core, struct context *context, struct fault fault,
                       struct moment now, struct actions *out)
{
    struct request req;

    if (fault.reason && context->request.at && context_read(core, context, now, &req))
        slab_copy(&core->slab, reply_compose(core, &req, fault, out), &context->best);
}

/* Keeps a failure if it is better than those before.  That no server could be found says less than
 * what anybody answered. */
static void weigh(struct core *core, struct context *context, const struct message *response,
                  struct fault fault, struct moment now, struct actions *out)
{
    size_t start = out->bytes.len;
    unsigned status = fault.status;
    unsigned rated = response || !fault.reason ? rank(status) : RANK_UNLOCATED;

    if (is_challenge(status) && is_challenge(context->best_status) && context->best.at) {
        add_challenges(core, context, response, out);
        return;
    }
    if (context->best_status && rated >= context->best_rank)
        return;
    slab_give(&core->slab, &context->best);
    context->best_status = (uint16_t)status;
    context->best_rank = (uint16_t)rated;
    if (response)
        slab_copy(&core->slab, forward_response(response, &AS_IT_CAME, 0, NO_SLICE, out),
                  &context->best);
    else
        keep_fault(core, context, fault, now, out);
    out->bytes.len = start;
}

/* Only an INVITE takes long enough to be worth it (9.1). */
static void cancel_branches(struct core *core, struct context *context, instant now,
                            struct actions *out)
{
    if (!(context->flags & CONTEXT_INVITE))
        return;
    for (unsigned i = 0; i < context->next_target; i++) {
        struct client_transaction *client = pool_get(&core->clients, context->branches[i]);
        if (client)
            client_cancel(core, client, now, out);
    }
}

void context_cancel(struct core *core, struct server_transaction *server, struct slice reason,
                    struct moment now, struct actions *out)
{
    struct context *context;

    if (!server->context)
        return;
    context = pool_at(&core->contexts, server->context);
    if (context->flags & (CONTEXT_CANCELLED | CONTEXT_ACCEPTED))
        return;
    context->flags |= CONTEXT_CANCELLED;
    if (context_is_held(context)) { /* nobody was asked yet */
        conclude(core, context, now, out);
        return;
    }
    slab_give(&core->slab, &context->reason);
    slab_copy(&core->slab, reason, &context->reason);
    pending_put(core, server, out);
    cancel_branches(core, context, now.boot, out);
}

/* A failure of our own making: 487 after a CANCEL, 408 when nobody answered, 503 without room.
 * Where nobody was reached: a user's phones are away, others are none of ours to explain (16.7 step
 * 6). */
static struct slice write_failure(struct core *core, const struct context *context,
                                  struct moment now, unsigned *status, struct actions *out)
{
    size_t start = out->bytes.len;
    struct request req;

    *status = context->flags & CONTEXT_CANCELLED  ? 487
              : !context->best_status             ? 503
              : context->best_status != 503       ? context->best_status
              : context_targets(context)->binding ? 480
                                                  : 500;
    if (!context->request.at || !context_read(core, context, now, &req))
        return NO_SLICE;
    return reply_end(out, reply_begin(core, &req, *status, NO_SLICE, out), start);
}

/* The call ends with this response, which nobody has been sent yet; false if it is none. */
static bool conclude_call(const struct core *core, const struct context *context, unsigned status,
                          struct moment now, struct writer *texts, struct call_record *call)
{
    if (!context->call || !context->request.at)
        return false;
    calls_describe(core, context, 0, texts, call);
    call->status = (uint16_t)status;
    call->ended = now.wall;
    if (context->flags & CONTEXT_CANCELLED)
        call->ender = CALL_ENDED_BY_CALLER;
    return true;
}

/* An INVITE's failure is in the journal before it is sent, and with it the record of the call. */
static void record_failure(struct core *core, struct context *context,
                           struct server_transaction *server, struct slice bytes, struct moment now,
                           struct actions *out)
{
    char text[CALL_RECORD_LIMIT];
    struct writer texts = writer_over(text, sizeof text);
    struct call_record call;
    bool is_call = conclude_call(core, context, server->status, now, &texts, &call);

    pending_put_failed(core, server, bytes, is_call ? &call : NULL, out);
    if (is_call)
        calls_end(core, &call, out);
    context->call = 0;
}

/* A phone's 503 was not said of us: it goes on as a 500 (16.7 step 6). */
static unsigned outward_status(const struct context *context)
{
    return context->best_status == 503 ? 500 : context->best_status;
}

/* The one final response that is not a 2xx.  A non-INVITE gets no 408, neither ours nor another's
 * (RFC 4320 4.2). */
static void send_failure(struct core *core, struct context *context, struct moment now,
                         struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    bool is_invite = context->flags & CONTEXT_INVITE;
    unsigned status = outward_status(context);
    struct slice bytes;

    anchor_refuse(core, context, out);
    if (!is_invite && status == 408) {
        server_silence(core, server, now.boot, out);
        return;
    }
    if (context->best.at) {
        size_t start = out->bytes.len;
        write_slice(&out->bytes, block_slice(&context->best));
        bytes = slice_of(out->bytes.at + start, context->best.len);
    } else {
        bytes = write_failure(core, context, now, &status, out);
    }
    if (!bytes.len) {
        server_silence(core, server, now.boot, out);
        return;
    }
    server->status = (uint16_t)status;
    if (is_invite)
        record_failure(core, context, server, bytes, now, out);
    if (server->is_initial)
        tell_failed(core, context, status, out);
    server_respond(core, server, status, bytes, now.boot, out);
}

/* No branch is open any more: the next group, or the end. */
static void conclude(struct core *core, struct context *context, struct moment now,
                     struct actions *out)
{
    bool is_over = context_is_over(context);
    struct request req;

    while (!is_over && !context->open && context->next_target < context->target_count &&
           context->request.at && context_read(core, context, now, &req))
        forward_group(core, context, &req, out);
    if (context->open)
        return;
    if (!(context->flags & CONTEXT_ACCEPTED))
        send_failure(core, context, now, out);
    else if (context->flags & CONTEXT_INVITE && context->next_target > 1)
        pending_put(core, pool_at(&core->servers, context->server), out);
    context_close(core, context);
}

/* A call was answered, and there was no room to observe it: all that is known is told now. */
static void record_unobserved(struct core *core, struct context *context, unsigned status,
                              struct moment now, struct actions *out)
{
    char text[CALL_RECORD_LIMIT];
    struct writer texts = writer_over(text, sizeof text);
    struct call_record call;

    if (!conclude_call(core, context, status, now, &texts, &call))
        return;
    call.answered = now.wall;
    if (record_wanted(core))
        calls_persist(&call, out);
    calls_end(core, &call, out);
    context->call = 0;
}

static void accept(struct core *core, struct context *context, struct client_transaction *client,
                   const struct message *response, struct moment now, struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    bool is_invite = context->flags & CONTEXT_INVITE, has_sound;
    struct description description = AS_IT_CAME;
    char text[HEARING_LINE];
    struct writer line = writer_over(text, sizeof text);
    struct slice bytes;

    context->flags |= CONTEXT_ACCEPTED;
    hearing_write_line(&line, core, server, client, response, now.wall);
    has_sound = anchor_response(core, server, context, client, response, &description, out);
    if (is_invite) {
        server->status = response->status;
        if (server->accepted_count < ANSWER_LIMIT)
            server->accepted[server->accepted_count++] = client_branch(core, client);
        context->answerer = client->branch;
        dialog_accept(core, server, response, now, out);
        if (!has_sound)
            dialog_break(core, response, now, out);
        record_unobserved(core, context, response->status, now, out);
        pending_put(core, server, out);
    } else {
        dialog_answer(core, context, response, now, out);
    }
    bytes = forward_response(response, &description, server->session, writer_slice(&line), out);
    server_respond(core, server, response->status, bytes, now.boot, out);
    cancel_branches(core, context, now.boot, out);
    if (fault_is(FAULT_CANCEL_AFTER_2XX) && is_invite)
        client_cancel(core, client, now.boot, out);
}

static void fail(struct core *core, struct context *context, const struct message *response,
                 struct fault fault, struct moment now, struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);

    weigh(core, context, response, fault, now, out);
    dialog_answer(core, context, response, now, out);
    if (fault_is(FAULT_SECOND_FINAL) && response && context->open)
        server_respond(core, server, response->status,
                       forward_response(response, &AS_IT_CAME, 0, NO_SLICE, out), now.boot, out);
    if (context->best_status >= 600 && !(context->flags & CONTEXT_REFUSED)) {
        context->flags |= CONTEXT_REFUSED;
        cancel_branches(core, context, now.boot, out);
    }
    if (context->flags & CONTEXT_INVITE && context->open)
        pending_put(core, server, out);
}

/* RFC 5626 7: the way there has failed, not the phone. */
static bool has_lost_flow(const struct client_transaction *client, const struct message *response,
                          unsigned status)
{
    bool is_silent = status == 408 && client->method == METHOD_INVITE && !client->has_run_out;

    return response ? response->status == 430 : status == 503 || is_silent;
}

/* Sends it by the next flow of the same phone; false if there is none, or nobody waits for it. */
static bool try_next_flow(struct core *core, struct context *context, unsigned index,
                          struct moment now, struct actions *out)
{
    struct server_transaction *server = pool_at(&core->servers, context->server);
    struct request req;

    if (context_is_over(context) || ++index >= context->next_target ||
        !context_targets(context)[index].is_next_flow || !context->request.at ||
        !context_read(core, context, now, &req))
        return false;
    open_branch(core, context, index);
    context_decide_media(core, context, index, &req);
    if (context->flags & CONTEXT_INVITE)
        pending_put(core, server, out);
    send_branch(core, context, &req, index, req.message.first[HEADER_MAX_BREADTH] ? 1 : 0, out);
    return pool_get(&core->clients, context->branches[index]) != NULL;
}

void context_decide(struct core *core, struct context *context, struct client_transaction *client,
                    const struct message *response, struct fault fault, struct moment now,
                    struct actions *out)
{
    unsigned index = client->branch;

    assert(context->open);
    context->open--;
    context->branches[index] = NO_HANDLE;
    if (!response || response->status >= 300)
        anchor_fail(core, context, index, out);
    if (!client->lacks_relay && has_lost_flow(client, response, fault.status) &&
        !fault_is(FAULT_FLOW_GIVEN_UP) && try_next_flow(core, context, index, now, out))
        return;
    if (response && response->status == 430 && context_targets(context)[index].binding) {
        response = NULL; /* said to us, who know of no other flow: the phone is away */
        fault = (struct fault){503, NULL};
    }
    if (response && response->status < 300)
        accept(core, context, client, response, now, out);
    else if (!client->lacks_relay) /* else it is as if it had never been tried */
        fail(core, context, response, fault, now, out);
    if (!context->open)
        conclude(core, context, now, out);
}

void context_accept_left(struct core *core, struct context *context,
                         struct client_transaction *client, const struct message *response,
                         struct moment now, struct actions *out)
{
    assert(client->is_left && context->open);
    accept(core, context, client, response, now, out);
}

/* One branch of a restored INVITE, as if it were sent now. */
static void restore_branch(struct core *core, struct context *context, const struct request *req,
                           unsigned index, uint64_t branch, struct actions *out)
{
    size_t start = out->bytes.len;
    struct forwarding to = forwarding_to(core, context, req, index, out);
    struct client_transaction *client;

    to.transaction = branch;
    open_branch(core, context, index);
    client = pool_get(&core->clients, context->branches[index]);
    if (!client)
        return;
    client->is_signed = to.signature.len > 0;
    if (context_targets(context)[index].way != WAY_SOUGHT) { /* else it went nowhere yet */
        client_rename(core, client, branch);
        client->is_cancelled = context_is_over(context);
        slab_copy(&core->slab, forward_request(core, req, &to, out), &client->request);
    }
    ctrans_init(&client->machine, true, flow_is_reliable(&client->flow), req->now.boot);
    client->machine.resend_at = req->now.boot;
    out->bytes.len = start;
}

bool context_restore(struct core *core, struct context *context, const uint64_t *branches,
                     struct moment now, struct actions *out)
{
    struct request req;

    if (!context_read(core, context, now, &req) || req.message.method != METHOD_INVITE ||
        !req.message.is_request || !req.via.text.at)
        return false;
    context->method = METHOD_INVITE;
    context->opened_at = now.boot;
    context->best_rank = (uint16_t)rank(context->best_status);
    note_dialog_parts(context, &req.message);
    context->merge = merge_key(core, &req);
    table_insert(&core->contexts_by_merge, pool_index(&core->contexts, context),
                 (uint32_t)context->merge.low);
    for (unsigned i = 0; i < context->next_target; i++)
        if (branches[i])
            restore_branch(core, context, &req, i, branches[i], out);
    return true;
}

/* A branch that waits for its way has nothing to send yet. */
static void compose_again(struct core *core, struct context *context, const struct request *req,
                          unsigned index, struct actions *out)
{
    struct client_transaction *client = pool_get(&core->clients, context->branches[index]);
    size_t start = out->bytes.len;
    uint32_t count = out->count;
    struct forwarding to;
    bool is_other;

    if (!client || !client->request.at)
        return;
    to = forwarding_to(core, context, req, index, out);
    to.transaction = client_branch(core, client);
    to.flow = client->flow;
    is_other = anchor_request(core, context, index, &to.flow, req, &to.description, out) &&
               to.description.text.len;
    if (out->count > count) /* what the anchor wants done stays */
        start = out->bytes.len;
    if (is_other) {
        slab_give(&core->slab, &client->request);
        slab_copy(&core->slab, forward_request(core, req, &to, out), &client->request);
    }
    out->bytes.len = start;
}

void context_compose_again(struct core *core, struct moment now, struct actions *out)
{
    for (uint32_t n = 1; n <= core->contexts.used; n++) {
        struct context *context = pool_live_at(&core->contexts, n);
        struct request req;
        if (!context || !context_read(core, context, now, &req))
            continue;
        for (unsigned i = 0; i < context->next_target; i++)
            compose_again(core, context, &req, i, out);
    }
}

/* The context of a branch, and its request read again; NULL if either is gone. */
static struct context *read_context(struct core *core, const struct client_transaction *client,
                                    struct moment now, struct request *req)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);
    struct context *context =
        server && server->context ? pool_at(&core->contexts, server->context) : NULL;

    return context && context->request.at && context_read(core, context, now, req) ? context : NULL;
}

bool context_find_flow(struct core *core, struct client_transaction *client, struct actions *out)
{
    const struct context *context;
    struct request req;

    if (connection_stands(core, &client->flow))
        return true;
    if (client->is_left) /* its target is elsewhere now */
        return false;
    context = read_context(core, client, core->now, &req);
    if (!context || !find_way(core, context, client, &req, &client->flow, out))
        return false;
    connection_join(core, client);
    return true;
}

struct slice context_bound_domain(struct core *core, const struct client_transaction *client,
                                  struct request *req, struct flow *place)
{
    const struct context *context =
        client->is_left ? NULL : read_context(core, client, core->now, req);
    const struct target *target;
    struct peer_plan plan;

    if (!context)
        return NO_SLICE;
    target = &context_targets(context)[client->branch];
    if (!make_plan(core, target, client, context_target_uri(context, client->branch), req, &plan) ||
        plan.policy != POLICY_DANE || plan.tlsa_count)
        return NO_SLICE;
    *place = target->flow;
    return plan.domain;
}

void context_send_by(struct core *core, struct context *context, struct client_transaction *client,
                     const struct request *req, const struct flow *way, struct actions *out)
{
    struct forwarding again = forwarding_to(core, context, req, client->branch, out);

    if (race_holds(core, client, way, req->now.boot, out))
        return;
    again.flow = *way;
    again.transaction = client_branch(core, client);
    again.max_breadth = req->message.first[HEADER_MAX_BREADTH] ? 1 : 0;
    client->flow = again.flow;
    client->lacks_relay = !anchor_branch(core, context, client->branch, req, &again, out);
    if (client->lacks_relay ||
        !client_send(core, client, forward_request(core, req, &again, out), req->now.boot, out))
        client_step(core, client, CTRANS_UNREACHED, NULL, req->now, out);
}

/* Sends it again by the way that there is now.  False if there is none, and none is being looked
 * for. */
static bool seek(struct core *core, struct context *context, struct client_transaction *client,
                 const struct request *req, struct actions *out)
{
    const struct target *target = &context_targets(context)[client->branch];
    struct flow way = target->flow;

    if (target->way == WAY_SOUGHT)
        return failover_seek(core, context, client, req, out);
    if (!find_way(core, context, client, req, &way, out))
        return failover_prove(core, context, client, req, out);
    if (!target->binding && flow_is_reliable(&client->flow) && !flow_is_reliable(&way))
        penalty_put(core, &client->flow, PENALTY, req->now.boot);
    context_send_by(core, context, client, req, &way, out);
    return true;
}

void context_seek(struct core *core, struct client_transaction *client, struct moment now,
                  struct actions *out)
{
    struct request req;
    struct context *context = read_context(core, client, now, &req);
    /* One that went out before is sent all the same, so that its CANCEL finds it. */
    bool is_given_up = !context || client->is_left || client->lacks_relay ||
                       (context_is_over(context) && !client->is_cancelled);

    if (!is_given_up) {
        const struct target *target = &context_targets(context)[client->branch];
        if (seek(core, context, client, &req, out))
            return;
        is_given_up = target->way == WAY_SOUGHT;
        if (client->machine.end_at == NEVER)
            client->machine.end_at = wait_until(core, target, now.boot);
    }
    if (is_given_up || now.boot >= client->machine.end_at)
        client_step(core, client, CTRANS_UNREACHED, NULL, now, out);
    else
        client_wait(core, client, client->machine.end_at, now.boot);
}

void context_resume(struct core *core, struct context *context, struct moment now,
                    struct actions *out)
{
    if (!context->open)
        conclude(core, context, now, out);
}
