#include "core/transaction.h"

#include "core/connection.h"
#include "core/context.h"
#include "core/courier.h"
#include "core/failover.h"
#include "core/fault.h"
#include "core/forward.h"
#include "core/hearing.h"
#include "core/instance.h"
#include "core/locate.h"
#include "core/location.h"
#include "core/pending.h"
#include "core/proxy.h"
#include "core/race.h"

#define SEEK_AGAIN MS(100) /* a request that waits for its phone to come back looks so often */

size_t transaction_bytes(const struct limits *limits)
{
    uint32_t n = limits->transactions;

    return pool_bytes(sizeof(struct server_transaction), n) + table_bytes(n) +
           pool_bytes(sizeof(struct client_transaction), n) + table_bytes(n);
}

void transaction_init(struct core *core, struct arena *from, uint32_t first_generation)
{
    uint32_t n = core->limits.transactions;

    pool_init(&core->servers, from, sizeof(struct server_transaction), n, first_generation);
    table_init(&core->servers_by_key, from, n, core->servers.items,
               sizeof(struct server_transaction), offsetof(struct server_transaction, by_key));
    pool_init(&core->clients, from, sizeof(struct client_transaction), n, first_generation);
    table_init(&core->clients_by_branch, from, n, core->clients.items,
               sizeof(struct client_transaction), offsetof(struct client_transaction, by_branch));
}

static void send_bytes(const struct flow *flow, struct slice bytes, struct actions *out)
{
    actions_push(out, (struct action){.kind = ACTION_SEND, .flow = *flow, .bytes = bytes});
}

/* A block may be given back before the shell has sent it: what goes out is a copy. */
static void send_copy(const struct flow *flow, const struct block *block, struct actions *out)
{
    size_t start = out->bytes.len;

    if (!block->at)
        return;
    write_slice(&out->bytes, block_slice(block));
    send_bytes(flow, slice_of(out->bytes.at + start, block->len), out);
}

static void enter_server(struct core *core, const struct server_transaction *server)
{
    core->strans_states |= 1u << server->machine.state;
}

static void enter_client(struct core *core, const struct client_transaction *client)
{
    core->ctrans_states |= 1u << client->machine.state;
}

struct server_transaction *server_find(const struct core *core, const struct hash128 *key)
{
    for (uint32_t i = table_first(&core->servers_by_key, (uint32_t)key->low); i;
         i = table_next(&core->servers_by_key, i)) {
        struct server_transaction *server = pool_at(&core->servers, i);
        if (server->key.low == key->low && server->key.high == key->high)
            return server;
    }
    return NULL;
}

struct server_transaction *server_open(struct core *core, const struct hash128 *key, bool is_invite,
                                       const struct flow *flow, uint16_t sent_by)
{
    struct server_transaction *server = pool_take(&core->servers);

    if (!server)
        return NULL;
    server->key = *key;
    server->flow = *flow;
    server->sent_by = sent_by;
    server->timer.kind = TIMER_SERVER;
    strans_init(&server->machine, is_invite, flow_is_reliable(flow), core->now.boot);
    table_insert(&core->servers_by_key, pool_index(&core->servers, server), (uint32_t)key->low);
    enter_server(core, server);
    server_arm(core, server);
    return server;
}

void server_close(struct core *core, struct server_transaction *server)
{
    if (server->context) /* branches still being cancelled end on their own */
        context_close(core, pool_at(&core->contexts, server->context));
    timer_clear(&core->timers, &server->timer);
    table_remove(&core->servers_by_key, pool_index(&core->servers, server));
    slab_give(&core->slab, &server->response);
    pool_give(&core->servers, server);
}

void server_arm(struct core *core, struct server_transaction *server)
{
    instant due = strans_deadline(&server->machine);

    if (due == NEVER)
        timer_clear(&core->timers, &server->timer);
    else
        timer_set(&core->timers, &server->timer, due);
}

static bool may_carry(const struct core *core, const struct binding *binding,
                      const struct flow *flow)
{
    return binding->flow.transport == flow->transport && connection_stands(core, &binding->flow);
}

/* The phone that the request came from, if it has a connection of that kind: it is back, and has
 * registered by it, or it keeps several flows (RFC 5626), of which its own is the nearest. */
static bool is_back(const struct core *core, const struct server_transaction *server,
                    struct flow *flow)
{
    struct binding *binding = server->caller ? location_binding(core, server->caller) : NULL;
    struct binding *flows[BINDINGS_PER_AOR];
    unsigned count = binding ? instance_flows(core, binding, flows) : 0;

    for (unsigned i = 0; i < count && !may_carry(core, binding, flow); i++)
        if (may_carry(core, flows[i], flow))
            binding = flows[i];
    if (!binding || !may_carry(core, binding, flow))
        return false;
    *flow = binding->flow;
    return true;
}

/* Where it listens: by TLS, whoever does so now must be who has sent the request. */
static bool reach_sender(struct core *core, struct server_transaction *server, struct actions *out)
{
    const struct context *context =
        server->context ? pool_at(&core->contexts, server->context) : NULL;
    struct peer_plan plan = {.policy = POLICY_OPPORTUNISTIC};

    if (flow_is_secure(&server->flow) && !server->caller &&
        (!context || !context_sender_plan(core, context, &plan)))
        return false;
    return connection_reach_domain(core, &server->flow, plan.domain.len ? &plan : NULL, out);
}

/* 18.2.2: responses go by the connection that the request came by or, if that is gone, by one to
 * where its sender listens; but for a phone of ours that is back: many listen nowhere. */
static bool find_sender(struct core *core, struct server_transaction *server, struct actions *out)
{
    if (connection_stands(core, &server->flow) || is_back(core, server, &server->flow))
        return true;
    server->flow.connection = 0;
    server->flow.port = server->sent_by;
    if (!reach_sender(core, server, out))
        return false;
    connection_keep(core, &server->flow);
    return true;
}

void server_meter(struct server_transaction *server, size_t len)
{
    server->is_metered = true;
    server->allowance = (uint32_t)(UNPROVEN_TIMES * len);
}

static void spend(struct server_transaction *server, size_t len)
{
    server->allowance -= (uint32_t)min_u64(server->allowance, len);
}

static bool is_first_repeat(const struct server_transaction *server)
{
    return server->machine.resend_after == T1 / MS(1);
}

/* It is due by timer G alone: nobody has asked for it again. */
static bool may_repeat(const struct server_transaction *server)
{
    return !server->is_metered || is_first_repeat(server) ||
           server->allowance >= server->response.len;
}

void server_step(struct core *core, struct server_transaction *server, enum strans_input input,
                 instant now, struct actions *out)
{
    bool has_enough = input == STRANS_RESEND_DUE && !may_repeat(server);
    unsigned effects = strans_step(&server->machine, input, now);

    enter_server(core, server);
    if (has_enough)
        server->machine.resend_at = NEVER;
    else if (effects & STRANS_SEND && find_sender(core, server, out))
        send_copy(&server->flow, &server->response, out);
    if (input == STRANS_RESEND_DUE)
        spend(server, server->response.len);
    if (effects & STRANS_ENDED) {
        pending_end(core, server, out);
        server_close(core, server);
    } else if (effects) {
        server_arm(core, server);
    }
    if (effects & STRANS_IS_SLOW)
        context_say_trying(core, server, now, out);
}

/* Only what may have to be sent again is kept: not a 2xx to INVITE, whose sender repeats it. */
static void keep_response(struct core *core, struct server_transaction *server, struct slice bytes)
{
    slab_give(&core->slab, &server->response);
    if (server->machine.state != STRANS_ACCEPTED &&
        !slab_copy(&core->slab, bytes, &server->response))
        return; /* no room: a retransmission goes unanswered, and the peer's timer ends it */
}

bool server_respond(struct core *core, struct server_transaction *server, unsigned status,
                    struct slice bytes, instant now, struct actions *out)
{
    enum strans_input input = strans_input_of(status);

    if (!strans_accepts(&server->machine, input) && !fault_is(FAULT_SECOND_FINAL))
        return false;
    strans_step(&server->machine, input, now);
    enter_server(core, server);
    keep_response(core, server, bytes);
    spend(server, bytes.len);
    if (find_sender(core, server, out))
        send_bytes(&server->flow, bytes, out);
    server_arm(core, server);
    return true;
}

void server_silence(struct core *core, struct server_transaction *server, instant now,
                    struct actions *out)
{
    server_step(core, server, STRANS_SILENCE, now, out);
}

void server_expire(struct core *core, struct server_transaction *server, instant now,
                   struct actions *out)
{
    enum strans_input input = strans_due(&server->machine, now);

    if (input == STRANS_INPUT_COUNT)
        server_arm(core, server);
    else
        server_step(core, server, input, now, out);
}

uint64_t client_branch(const struct core *core, const struct client_transaction *client)
{
    struct handle handle = pool_handle(&core->clients, client);

    return client->restored ? client->restored : (uint64_t)handle.index << 32 | handle.generation;
}

static uint32_t branch_hash(const struct core *core, uint64_t branch)
{
    return (uint32_t)hash_bytes(&core->key_table, slice_of((const char *)&branch, sizeof branch));
}

struct client_transaction *client_find(const struct core *core, uint64_t branch)
{
    struct handle handle = {(uint32_t)(branch >> 32), (uint32_t)branch};
    struct client_transaction *client = pool_get(&core->clients, handle);

    if (client && !client->restored)
        return client;
    for (uint32_t i = table_first(&core->clients_by_branch, branch_hash(core, branch)); i;
         i = table_next(&core->clients_by_branch, i)) {
        client = pool_at(&core->clients, i);
        if (client->restored == branch)
            return client;
    }
    return NULL;
}

void client_rename(struct core *core, struct client_transaction *client, uint64_t branch)
{
    client->restored = branch;
    table_insert(&core->clients_by_branch, pool_index(&core->clients, client),
                 branch_hash(core, branch));
}

struct client_transaction *client_open(struct core *core, enum method method,
                                       const struct flow *flow)
{
    struct client_transaction *client = pool_take(&core->clients);

    if (!client)
        return NULL;
    client->flow = *flow;
    client->method = (uint8_t)method;
    client->timer.kind = TIMER_CLIENT;
    return client;
}

void client_close(struct core *core, struct client_transaction *client)
{
    timer_clear(&core->timers, &client->timer);
    connection_leave(core, client);
    locate_end(core, client);
    if (client->restored)
        table_remove(&core->clients_by_branch, pool_index(&core->clients, client));
    slab_give(&core->slab, &client->request);
    pool_give(&core->clients, client);
}

void client_arm(struct core *core, struct client_transaction *client)
{
    instant due = ctrans_deadline(&client->machine);

    if (client->lookup)
        due = min_u64(due, locate_due(core, client));
    if (client->stream_due)
        due = min_u64(due, client->stream_due);
    if (due == NEVER)
        timer_clear(&core->timers, &client->timer);
    else
        timer_set(&core->timers, &client->timer, due);
}

bool client_send(struct core *core, struct client_transaction *client, struct slice bytes,
                 instant now, struct actions *out)
{
    slab_give(&core->slab, &client->request);
    if (bytes.len > MESSAGE_LIMIT || !slab_copy(&core->slab, bytes, &client->request))
        return false;
    client->lacks_flow = client->is_unproven = client->is_held = false;
    connection_join(core, client);
    ctrans_init(&client->machine, client->method == METHOD_INVITE, flow_is_reliable(&client->flow),
                now);
    enter_client(core, client);
    client_arm(core, client);
    send_bytes(&client->flow, bytes, out);
    return true;
}

void client_hold(struct core *core, struct client_transaction *client, const struct flow *way,
                 instant now)
{
    client->flow = *way;
    client->lacks_flow = client->is_unproven = false;
    client->is_held = true;
    connection_join(core, client);
    ctrans_init(&client->machine, client->method == METHOD_INVITE, true, now);
    enter_client(core, client);
    client_arm(core, client);
}

void client_wait(struct core *core, struct client_transaction *client, instant until, instant now)
{
    if (client->machine.state == CTRANS_NONE)
        ctrans_init(&client->machine, client->method == METHOD_INVITE, true, now);
    enter_client(core, client);
    client->lacks_flow = true;
    client->is_held = false;
    client->machine.end_at = until;
    timer_set(&core->timers, &client->timer, min_u64(until, now + SEEK_AGAIN));
}

void client_await(struct core *core, struct client_transaction *client, instant until, instant now)
{
    if (client->machine.state == CTRANS_NONE)
        ctrans_init(&client->machine, client->method == METHOD_INVITE, true, now);
    enter_client(core, client);
    client->lacks_flow = true;
    client->is_held = false;
    client->machine.end_at = NEVER;
    timer_set(&core->timers, &client->timer, until);
}

/* 9.1: only for a request that has a provisional response and no final one. */
static void send_cancel(struct core *core, struct client_transaction *client, instant now,
                        struct actions *out)
{
    struct slice reason = proxy_cancel_reason(core, client), bytes;
    bool has_way = context_find_flow(core, client, out);
    struct client_transaction *cancel = client_open(core, METHOD_CANCEL, &client->flow);

    ctrans_hurry(&client->machine, now);
    client_arm(core, client);
    if (!cancel)
        return; /* its 64 T1 end the branch all the same */
    bytes = forward_cancel(block_slice(&client->request), reason, out);
    if (has_way ? client_send(core, cancel, bytes, now, out)
                : courier_follow(core, client, cancel, bytes, now, out))
        client->cancel = pool_handle(&core->clients, cancel);
    else
        client_close(core, cancel);
}

void client_cancel(struct core *core, struct client_transaction *client, instant now,
                   struct actions *out)
{
    bool is_open = ctrans_is_open(&client->machine) || fault_is(FAULT_CANCEL_AFTER_2XX);

    if (client->is_cancelled || !is_open)
        return;
    if (!client->request.at) { /* it was not sent, and will not be */
        client_wait(core, client, now, now);
        return;
    }
    client->is_cancelled = true;
    if (client->machine.state != CTRANS_CALLING)
        send_cancel(core, client, now, out);
}

/* 17.1.1.3: where the INVITE went. */
static void send_ack(const struct client_transaction *client, const struct message *response,
                     struct actions *out)
{
    if (client->request.at && !fault_is(FAULT_ACK_LOST))
        send_bytes(&client->flow, forward_ack(block_slice(&client->request), response, out), out);
}

/* The same, as soon as it is proven who is there. */
static void send_ack_later(struct core *core, const struct client_transaction *client,
                           const struct message *response, instant now, struct actions *out)
{
    struct client_transaction *ack = client->request.at && !fault_is(FAULT_ACK_LOST)
                                         ? client_open(core, METHOD_ACK, &client->flow)
                                         : NULL;

    if (ack && !courier_follow(core, client, ack,
                               forward_ack(block_slice(&client->request), response, out), now, out))
        client_close(core, ack);
}

/* What is not needed for an ACK or another sending goes back. */
static void drop_request(struct core *core, struct client_transaction *client)
{
    if (client->machine.state == CTRANS_ACCEPTED || client->machine.state == CTRANS_ANSWERED)
        slab_give(&core->slab, &client->request);
}

/* The transaction user is told before the machine's end frees anything it may look at. */
static void tell_user(struct core *core, struct client_transaction *client, unsigned effects,
                      bool is_unreached, const struct message *response, struct moment now,
                      struct actions *out)
{
    if (client->method == METHOD_CANCEL || client->method == METHOD_ACK)
        return; /* its outcome changes nothing (9.1) */
    if (effects & CTRANS_PASS)
        proxy_response(core, client, response, now, out);
    else if (effects & CTRANS_FAILED)
        proxy_timeout(core, client, is_unreached ? 503 : 408, now, out);
}

/* Timer C: cancel, and if that was done and led to nothing, give up (16.8). */
static unsigned give_up_or_cancel(struct core *core, struct client_transaction *client, instant now,
                                  struct actions *out)
{
    if (client->is_cancelled) {
        client->machine.state = CTRANS_TERMINATED;
        return CTRANS_FAILED | CTRANS_ENDED;
    }
    client->has_run_out = true;
    client_cancel(core, client, now, out);
    return 0;
}

/* Timer C, which each provisional response begins anew; or what is left of the time that a phone
 * may ring, which the first begins. */
static duration ringing_time(const struct core *core, const struct client_transaction *client,
                             instant now)
{
    const struct settings *settings = core->settings;

    if (!settings->answer)
        return settings->timer_c;
    if (client->machine.state != CTRANS_PROCEEDING)
        return min_u64(settings->timer_c, settings->answer);
    return client->machine.end_at > now ? client->machine.end_at - now : 0;
}

void client_step(struct core *core, struct client_transaction *client, enum ctrans_input input,
                 const struct message *response, struct moment now, struct actions *out)
{
    bool was_calling = client->machine.state == CTRANS_CALLING, has_way = false;
    unsigned effects =
        ctrans_step(&client->machine, input, now.boot, ringing_time(core, client, now.boot));

    enter_client(core, client);
    if (effects & CTRANS_SEND)
        send_copy(&client->flow, &client->request, out);
    if (effects & CTRANS_EXPIRED)
        effects |= give_up_or_cancel(core, client, now.boot, out);
    if (was_calling && client->machine.state == CTRANS_PROCEEDING && client->is_cancelled)
        send_cancel(core, client, now.boot, out);
    if (effects) {
        client->lacks_flow = false;
        client_arm(core, client);
    }
    if (!ctrans_is_open(&client->machine))
        courier_withdraw(core, client->cancel);
    if (effects & CTRANS_SEND_ACK) { /* before the context goes, which knows the way */
        has_way = context_find_flow(core, client, out);
        if (!has_way)
            send_ack_later(core, client, response, now.boot, out);
    }
    tell_user(core, client, effects, input == CTRANS_UNREACHED, response, now, out);
    if (has_way) /* after what it ends is recorded */
        send_ack(client, response, out);
    drop_request(core, client);
    if (effects & CTRANS_ENDED && !(fault_is(FAULT_BRANCH_LEAKED) && client->is_cancelled))
        client_close(core, client);
}

/* The time is over for the stream that it takes for its length alone: true if that does not stand,
 * and is still what it waits for. */
static bool has_waited_for_stream(const struct core *core, struct client_transaction *client,
                                  instant now)
{
    bool is_unheard =
        client->machine.state == CTRANS_CALLING || client->machine.state == CTRANS_TRYING;

    if (!client->stream_due || now < client->stream_due)
        return false;
    client->stream_due = 0;
    return is_unheard && !client->is_left && !client->lacks_flow &&
           flow_is_reliable(&client->flow) && !connection_has_opened(core, &client->flow);
}

void client_expire(struct core *core, struct client_transaction *client, struct moment now,
                   struct actions *out)
{
    enum ctrans_input input = ctrans_due(&client->machine, now.boot);

    if (client->is_held && connection_has_opened(core, &client->flow))
        race_stood(core, client, now, out);
    else if (has_waited_for_stream(core, client, now.boot))
        failover_by_datagram(core, client, now, out);
    else if (client->lookup && locate_expire(core, client, now.boot))
        failover_look(core, client, now, out);
    else if (client->is_rehearsal)
        client_await(core, client, locate_due(core, client), now.boot);
    else if (client->lacks_flow)
        failover_look(core, client, now, out);
    else if (input == CTRANS_INPUT_COUNT)
        client_arm(core, client);
    else
        client_step(core, client, input, NULL, now, out);
}

/* One of the flows that the phone has registered which the request went to (RFC 5626). */
static bool is_flow_of_phone(const struct core *core, const struct client_transaction *client,
                             const struct flow *flow)
{
    const struct server_transaction *server = pool_get(&core->servers, client->server);
    struct context *context =
        server && server->context ? pool_at(&core->contexts, server->context) : NULL;
    uint64_t name = context ? context_targets(context)[client->branch].binding : 0;
    struct binding *binding = name ? location_binding(core, name) : NULL;
    struct binding *flows[BINDINGS_PER_AOR];
    unsigned count = binding ? instance_flows(core, binding, flows) : 0;

    for (unsigned i = 0; i < count; i++)
        if (flow_equal(&flows[i]->flow, flow))
            return true;
    return false;
}

/* A phone whose stream has ended answers by another, or by another of its flows: what follows goes
 * by that, also where only the phone knows yet that the first is gone, or one is being opened.
 * Another domain's server must be reached where its INVITE went, and prove the same there
 * (context_find_flow). */
static bool answers_from_elsewhere(const struct core *core, const struct client_transaction *client,
                                   const struct flow *flow)
{
    bool is_elsewhere = flow_is_secure(&client->flow) &&
                        (!client->flow.connection || connection_is_ours(core, &client->flow));

    if (is_elsewhere || !flow_is_reliable(&client->flow) || flow_equal(flow, &client->flow))
        return false;
    return is_flow_of_phone(core, client, flow) || (flow->transport == client->flow.transport &&
                                                    !connection_has_opened(core, &client->flow));
}

void client_receive(struct core *core, const struct message *m, const struct flow *flow,
                    struct moment now, struct actions *out)
{
    struct slice rest = message_first(m, HEADER_VIA);
    struct client_transaction *client;
    struct branch branch;
    struct via via;

    if (message_count(m, HEADER_ASSERTION) > ASSERTION_LIMIT || !rest.len ||
        !via_next(&rest, &via) || !branch_read(via.branch, &core->key_branch, &branch) ||
        !branch.transaction || !via_is_own(core, &via))
        return;
    client = client_find(core, branch.transaction);
    if (client && m->cseq.method == METHOD_CANCEL) /* a CANCEL has the branch of its INVITE (9.1) */
        client = pool_get(&core->clients, client->cancel);
    if (!client || client->method != m->cseq.method || !hearing_admits(core, client, m, flow, out))
        return;
    if (answers_from_elsewhere(core, client, flow)) {
        client->flow = *flow;
        client->is_held = false;
    }
    if (client->is_left && m->status != 503)
        failover_return(core, client, now, out);
    client_step(core, client, ctrans_input_of(m->status), m, now, out);
}
