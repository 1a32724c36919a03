#include "core/courier.h"

#include "core/connection.h"
#include "core/context.h"
#include "core/locate.h"
#include "core/peer.h"

bool courier_waits(const struct client_transaction *client)
{
    return !client->server.generation && client->lacks_flow && client->lookup;
}

void courier_withdraw(struct core *core, struct handle cancel)
{
    struct client_transaction *client = pool_get(&core->clients, cancel);

    if (client && courier_waits(client))
        client_close(core, client);
}

/* False for an ACK that is one too many, or a copy of one that waits already. */
static bool is_let_in(struct core *core, const struct client_transaction *client,
                      struct slice bytes)
{
    struct handle *place = NULL;

    if (client->method != METHOD_ACK)
        return true;
    for (unsigned i = 0; i < WAITING_ACKS_LIMIT; i++) {
        const struct client_transaction *other = pool_get(&core->clients, core->waiting_acks[i]);
        if (!other)
            place = &core->waiting_acks[i];
        else if (slice_equal(block_slice(&other->request), bytes))
            return false;
    }
    if (place)
        *place = pool_handle(&core->clients, client);
    return place;
}

/* An ACK is not answered, so nothing is left to do once it is sent. */
static bool deliver(struct core *core, struct client_transaction *client, instant now,
                    struct actions *out)
{
    size_t start = out->bytes.len;
    struct slice bytes;

    locate_end(core, client);
    write_slice(&out->bytes, block_slice(&client->request));
    bytes = slice_of(out->bytes.at + start, out->bytes.len - start);
    if (client->method != METHOD_ACK)
        return client_send(core, client, bytes, now, out);
    actions_push(out, (struct action){.kind = ACTION_SEND, .flow = client->flow, .bytes = bytes});
    client_close(core, client);
    return true;
}

/* False if there is nobody whom it may be given. */
static bool reach(struct core *core, struct client_transaction *client, const struct flow *place,
                  instant now, struct actions *out)
{
    struct peer_plan plan = {.domain = locate_domain(core, client), .policy = POLICY_DANE};

    locate_tried(core, client, place, now);
    locate_demand(core, client, place, &plan);
    client->flow.connection = 0;
    return connection_reach_domain(core, &client->flow, &plan, out) &&
           deliver(core, client, now, out);
}

/* False if it is given up. */
static bool advance(struct core *core, struct client_transaction *client, instant now,
                    struct actions *out)
{
    struct flow place;

    switch (locate_next(core, client, &place, now, out)) {
    case RESOLVE_NONE: return false;
    case RESOLVE_PLACE: return reach(core, client, &place, now, out);
    case RESOLVE_WAIT: break;
    }
    client_await(core, client, locate_due(core, client), now);
    return true;
}

bool courier_await(struct core *core, struct client_transaction *client, struct slice domain,
                   struct slice bytes, instant now, struct actions *out)
{
    const struct uri uri = {.scheme = SCHEME_SIPS, .host = domain};
    const struct locate_aim aim = {
        .uri = &uri,
        .widest = SECLUSION_LOOPBACK, /* it was led there before */
        .only = &client->flow,
        .is_secure = true,
        .is_dane = true,
    };

    slab_give(&core->slab, &client->request);
    return is_let_in(core, client, bytes) && bytes.len <= MESSAGE_LIMIT &&
           slab_copy(&core->slab, bytes, &client->request) &&
           locate_begin(core, client, &aim, now) && advance(core, client, now, out);
}

bool courier_send(struct core *core, struct client_transaction *client, const struct target *target,
                  const struct peer_plan *plan, struct slice bytes, instant now,
                  struct actions *out)
{
    bool may_dial = true;

    if (connection_way(core, target, plan, &may_dial, &client->flow, out))
        return client_send(core, client, bytes, now, out);
    client->flow = target->flow;
    return plan && plan->policy == POLICY_DANE && flow_is_secure(&client->flow) &&
           courier_await(core, client, plan->domain, bytes, now, out);
}

bool courier_follow(struct core *core, const struct client_transaction *branch,
                    struct client_transaction *client, struct slice bytes, instant now,
                    struct actions *out)
{
    struct request req;
    struct slice domain = context_bound_domain(core, branch, &req, &client->flow);

    return domain.len && courier_await(core, client, domain, bytes, now, out);
}

void courier_look(struct core *core, struct client_transaction *client, struct moment now,
                  struct actions *out)
{
    if (!advance(core, client, now.boot, out))
        client_step(core, client, CTRANS_UNREACHED, NULL, now, out);
}
