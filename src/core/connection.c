#include "core/connection.h"

#include "core/claims.h"
#include "core/credential.h"
#include "core/fault.h"
#include "core/identity.h"
#include "core/location.h"
#include "core/oddity.h"
#include "core/policy.h"
#include "core/request.h"

static uint32_t places(const struct limits *limits)
{
    return limits->accepted + limits->connected;
}

size_t connection_bytes(const struct limits *limits)
{
    return (places(limits) + 1) * sizeof(struct connection) + table_bytes(places(limits)) + 64;
}

void connection_init(struct core *core, struct arena *from)
{
    const struct limits *limits = &core->limits;
    uint32_t n = places(limits);
    uint16_t generation = (uint16_t)random_next(&core->random);

    assert(n < 1u << CONNECTION_BITS);
    core->connections = arena_take(from, (n + 1) * sizeof *core->connections);
    table_init(&core->connections_by_peer, from, n, core->connections, sizeof *core->connections,
               offsetof(struct connection, by_peer));
    for (uint32_t place = n; place > limits->accepted; place--) {
        core->connections[place].generation = generation;
        core->connections[place].first_client = core->free_connection;
        core->free_connection = place;
    }
}

static bool is_ours(const struct core *core, uint32_t place)
{
    return place > core->limits.accepted;
}

/* The same peer: whatever the handle and our own socket. */
static uint32_t peer_hash(const struct core *core, const struct flow *flow)
{
    struct flow peer = *flow;

    peer.connection = 0;
    peer.socket = 0;
    return (uint32_t)hash_bytes(&core->key_table, slice_of((const char *)&peer, sizeof peer));
}

static bool is_peer(const struct connection *connection, const struct flow *to)
{
    const struct flow *flow = &connection->flow;
    uint16_t port = connection->alias ? connection->alias : flow->port;

    return flow->transport == to->transport && flow->is_v6 == to->is_v6 && port == to->port &&
           memcmp(flow->address, to->address, sizeof flow->address) == 0;
}

static struct connection *find(const struct core *core, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);
    struct connection *connection;

    if (!place || place > places(&core->limits))
        return NULL;
    connection = &core->connections[place];
    return connection->is_live && flow_equal(&connection->flow, flow) ? connection : NULL;
}

/* Without room for a text it has proven nothing. */
static void keep_proof(struct core *core, struct connection *connection, const struct event *event)
{
    if (event->bytes.len)
        slab_copy(&core->slab, event->bytes, &connection->proven);
    if (event->credential.len)
        slab_copy(&core->slab, event->credential, &connection->credential);
}

static void enter(struct core *core, uint32_t place, const struct flow *flow)
{
    struct connection *connection = &core->connections[place];

    assert(!connection->is_live);
    connection->flow = *flow;
    connection->is_live = true;
    connection->has_opened = false;
    connection->is_kept = false;
    connection->alias = 0;
    connection->is_proven = false;
    connection->first_client = 0;
    table_insert(&core->connections_by_peer, place, peer_hash(core, flow));
}

/* The domain that we opened it for is among those that its peer has proven to be. */
static bool has_proven_itself(const struct core *core, const struct connection *connection,
                              struct slice proven)
{
    while (connection->domain && proven.len) {
        size_t end = slice_find(proven, '\n');
        if (policy_hash(core, slice_until(proven, end)) == connection->domain)
            return true;
        proven = slice_from(proven, end < proven.len ? end + 1 : end);
    }
    return false;
}

static void wake_held(struct core *core, const struct connection *connection, instant now)
{
    struct client_transaction *client;

    for (uint32_t i = connection->first_client; i; i = client->next_on) {
        client = pool_at(&core->clients, i);
        if (client->is_held)
            timer_set(&core->timers, &client->timer, now);
    }
}

void connection_opened(struct core *core, const struct event *event, struct moment now,
                       struct actions *out)
{
    uint32_t place = connection_place(event->flow.connection);
    struct connection *connection = &core->connections[place];

    assert(place && place <= places(&core->limits));
    if (!is_ours(core, place))
        enter(core, place, &event->flow);
    else if (!find(core, &event->flow))
        return;
    connection->has_opened = true;
    keep_proof(core, connection, event);
    if (has_proven_itself(core, connection, event->bytes))
        policy_note(core, connection->domain, true, now, out);
    if (is_ours(core, place))
        wake_held(core, connection, now.boot);
}

void connection_leave(struct core *core, struct client_transaction *client)
{
    if (!client->connection)
        return;
    if (client->prev_on)
        ((struct client_transaction *)pool_at(&core->clients, client->prev_on))->next_on =
            client->next_on;
    else
        core->connections[client->connection].first_client = client->next_on;
    if (client->next_on)
        ((struct client_transaction *)pool_at(&core->clients, client->next_on))->prev_on =
            client->prev_on;
    client->connection = client->next_on = client->prev_on = 0;
}

void connection_join(struct core *core, struct client_transaction *client)
{
    const struct connection *found =
        flow_is_reliable(&client->flow) ? find(core, &client->flow) : NULL;

    connection_leave(core, client);
    if (!found)
        return;
    client->connection = connection_place(client->flow.connection);
    struct connection *connection = &core->connections[client->connection];
    client->next_on = connection->first_client;
    if (client->next_on)
        ((struct client_transaction *)pool_at(&core->clients, client->next_on))->prev_on =
            pool_index(&core->clients, client);
    connection->first_client = pool_index(&core->clients, client);
}

/* Nothing was heard yet: whether the request arrived cannot be known.  Who has answered may do so
 * again by a connection of its own (18.2.2). */
static bool is_unheard(const struct client_transaction *client)
{
    return client->machine.state == CTRANS_CALLING || client->machine.state == CTRANS_TRYING;
}

void connection_closed(struct core *core, const struct event *event, instant now)
{
    struct connection *connection = find(core, &event->flow);
    uint32_t place = connection_place(event->flow.connection);

    if (!connection)
        return;
    while (connection->first_client) {
        struct client_transaction *client = pool_at(&core->clients, connection->first_client);
        connection_leave(core, client);
        if (is_unheard(client)) {
            client->lacks_flow = true;
            client->is_held = false;
            client->is_unproven = event->is_unproven;
            client->machine.end_at = NEVER; /* context_seek says until when it waits */
            timer_set(&core->timers, &client->timer, now);
        } else {
            client->has_dialled = false; /* there it was heard: what follows may go by another */
        }
    }
    table_remove(&core->connections_by_peer, place);
    slab_give(&core->slab, &connection->proven);
    slab_give(&core->slab, &connection->credential);
    connection->is_live = false;
    if (is_ours(core, place)) {
        connection->first_client = core->free_connection;
        core->free_connection = place;
    }
}

void connection_spare(struct core *core, const struct flow *flow, struct actions *out)
{
    const struct connection *connection = find(core, flow);

    if (connection && is_ours(core, connection_place(flow->connection)) &&
        !connection->first_client && !connection->is_kept)
        actions_push(out, (struct action){.kind = ACTION_CLOSE, .flow = *flow});
}

void connection_keep(struct core *core, const struct flow *flow)
{
    struct connection *connection = find(core, flow);

    if (connection)
        connection->is_kept = true;
}

bool connection_stands(const struct core *core, const struct flow *flow)
{
    return !flow_is_reliable(flow) || find(core, flow);
}

bool connection_has_opened(const struct core *core, const struct flow *flow)
{
    const struct connection *connection = find(core, flow);

    return connection && connection->has_opened;
}

/* How well one of our sockets serves for a flow; 0 if it is of another kind, or gone. */
static unsigned socket_fitness(const struct socket_settings *socket, const struct flow *flow)
{
    struct address_bytes peer = {.is_v6 = flow->is_v6}, ours;

    memcpy(peer.at, flow->address, sizeof peer.at);
    return !socket->is_gone && socket->transport == flow->transport &&
                   host_numeric(socket->host, &ours) && ours.is_v6 == peer.is_v6
               ? address_fitness(&ours, &peer)
               : 0;
}

bool flow_choose_socket(const struct core *core, struct flow *flow, bool must_fit)
{
    const struct settings *settings = core->settings;
    unsigned best = 0;

    for (unsigned i = 0; i < settings->socket_count; i++) {
        unsigned fit = socket_fitness(&settings->sockets[i], flow);
        if (fit > best) {
            best = fit;
            flow->socket = (uint16_t)i;
        }
    }
    return best > (must_fit ? ADDRESS_UNFIT : 0);
}

/* The peer is on this machine: what is unfit for others leads there. */
static bool is_here(const struct core *core, const struct flow *flow)
{
    const struct settings *settings = core->settings;
    struct address_bytes ours;

    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone && host_numeric(settings->sockets[i].host, &ours) &&
            ours.is_v6 == flow->is_v6 && memcmp(ours.at, flow->address, sizeof ours.at) == 0)
            return true;
    return false;
}

bool flow_find_socket(const struct core *core, struct flow *flow)
{
    const struct settings *settings = core->settings;
    unsigned own = flow->socket < settings->socket_count
                       ? socket_fitness(&settings->sockets[flow->socket], flow)
                       : 0;

    return own > ADDRESS_UNFIT || (own && is_here(core, flow)) ||
           flow_choose_socket(core, flow, false);
}

bool connection_is_ours(const struct core *core, const struct flow *flow)
{
    return is_ours(core, connection_place(flow->connection));
}

bool connection_is_for(const struct core *core, const struct flow *flow, struct slice domain)
{
    const struct connection *connection = find(core, flow);

    return connection && (!is_ours(core, connection_place(flow->connection)) ||
                          connection->domain == policy_hash(core, domain));
}

struct slice connection_credential(const struct core *core, const struct flow *flow)
{
    const struct connection *connection = flow_is_secure(flow) ? find(core, flow) : NULL;

    return connection ? block_slice(&connection->credential) : NO_SLICE;
}

void connection_alias(struct core *core, const struct flow *flow, const struct via *via)
{
    struct connection *connection = find(core, flow);
    uint32_t place = connection_place(flow->connection);
    struct flow peer = *flow;
    struct slice value;

    if (!connection || connection->alias || is_ours(core, place) ||
        (!connection->proven.len && !connection->is_proven) ||
        !param_find(via->params, S("alias"), &value))
        return;
    peer.port = via->port ? (uint16_t)via->port : transport_port(flow->transport);
    connection->alias = peer.port;
    table_remove(&core->connections_by_peer, place);
    table_insert(&core->connections_by_peer, place, peer_hash(core, &peer));
}

bool connection_alias_proven(struct core *core, const struct flow *flow, const struct via *via)
{
    struct connection *connection = find(core, flow);

    if (!connection)
        return false;
    connection->is_proven = true;
    connection_alias(core, flow, via);
    return connection->alias;
}

bool connection_certifies(const struct core *core, const struct flow *flow, struct slice domain)
{
    const struct connection *connection = flow_is_secure(flow) ? find(core, flow) : NULL;

    return connection && domain.len && identity_is_among(block_slice(&connection->proven), domain);
}

bool connection_proves(const struct core *core, const struct flow *flow, struct slice domain)
{
    return connection_certifies(core, flow, domain) ||
           (domain.len &&
            claims_look(core, connection_credential(core, flow), domain) == CLAIM_PROVEN);
}

/* Its peer has shown what one of the plan's records names, whoever opened it. */
static bool matches(const struct core *core, const struct connection *connection,
                    const struct peer_plan *plan)
{
    struct credential credential;

    return plan->tlsa_count && credential_read(block_slice(&connection->credential), &credential) &&
           credential_matches(&credential, plan, core->digests->hash[ALGORITHM_SHA256]);
}

static bool will_do(const struct core *core, const struct connection *connection,
                    const struct peer_plan *plan)
{
    bool is_its;

    if (!plan || !flow_is_secure(&connection->flow) || fault_is(FAULT_CONNECTION_SHARED))
        return true;
    if (matches(core, connection, plan))
        return true;
    is_its = connection->domain == policy_hash(core, plan->domain);
    if (plan->tlsa_count && !(is_its && connection->has_tlsa)) /* a CA's word is no proof then */
        return false;
    if (plan->policy == POLICY_DANE)
        return is_its && (connection->policy == POLICY_DANE || connection->has_tlsa);
    return identity_is_among(block_slice(&connection->proven), plan->domain) ||
           (is_its && connection->policy >= plan->policy);
}

static const struct connection *find_standing(const struct core *core, const struct flow *to,
                                              const struct peer_plan *plan)
{
    uint32_t hash = peer_hash(core, to);

    for (uint32_t i = table_first(&core->connections_by_peer, hash); i;
         i = table_next(&core->connections_by_peer, i))
        if (is_peer(&core->connections[i], to) && will_do(core, &core->connections[i], plan))
            return &core->connections[i];
    return NULL;
}

static bool join_standing(const struct core *core, struct flow *to, const struct peer_plan *plan)
{
    const struct connection *standing = find_standing(core, to, plan);

    if (standing)
        *to = standing->flow;
    return standing;
}

/* A new one. */
static bool open_to(struct core *core, struct flow *to, const struct peer_plan *plan,
                    struct actions *out)
{
    uint32_t place = core->free_connection;
    size_t start = out->bytes.len;
    struct connection *connection;

    if (!place || flow_is_web(to) || !flow_find_socket(core, to))
        return false;
    connection = &core->connections[place];
    core->free_connection = connection->first_client;
    to->connection = connection_name(place, ++connection->generation);
    enter(core, place, to);
    connection->domain = plan ? policy_hash(core, plan->domain) : 0;
    connection->policy = plan ? plan->policy : POLICY_OPPORTUNISTIC;
    connection->has_tlsa = plan && plan->tlsa_count;
    if (plan && flow_is_secure(to))
        peer_write(&out->bytes, plan);
    actions_push(out, (struct action){
                          .kind = ACTION_CONNECT,
                          .flow = *to,
                          .bytes = slice_of(out->bytes.at + start, out->bytes.len - start),
                      });
    return true;
}

bool connection_reach_domain(struct core *core, struct flow *to, const struct peer_plan *plan,
                             struct actions *out)
{
    return join_standing(core, to, plan) || open_to(core, to, plan, out);
}

bool connection_reach(struct core *core, struct flow *to, struct actions *out)
{
    return connection_reach_domain(core, to, NULL, out);
}

/* Where a phone says that it listens for streams, if that is the host it registered from. */
static bool listens_at(const struct binding *binding, struct flow *flow)
{
    struct address_bytes address;
    struct slice transport;
    struct uri uri;

    if (!uri_parse(binding_contact(binding), &uri) || !host_numeric(uri.host, &address) ||
        !uri_param(&uri, S("transport"), &transport) ||
        transport_of(transport) != (enum transport)flow->transport)
        return false;
    if (address.is_v6 != flow->is_v6 ||
        memcmp(address.at, flow->address, sizeof flow->address) != 0)
        return false;
    flow->port = uri.port ? (uint16_t)uri.port : transport_port(flow->transport);
    return true;
}

/* Nobody could prove it: its TLSA records are not known (core/failover looks for them). */
static bool is_unprovable(const struct peer_plan *plan)
{
    return plan && plan->policy == POLICY_DANE && !plan->tlsa_count;
}

/* To where its phone listens, or a bare target is: not where a peer came from, which listens
 * elsewhere. */
static bool dial(struct core *core, const struct binding *binding, const struct peer_plan *plan,
                 bool *may_dial, struct flow *way, struct actions *out)
{
    bool is_known = binding ? way->transport == TRANSPORT_TCP && listens_at(binding, way)
                            : !way->connection || connection_is_ours(core, way);

    if (!is_known || !*may_dial)
        return false;
    way->connection = 0;
    if (join_standing(core, way, plan))
        return true; /* which may end any time, without a fault of its peer: another is opened then
                      */
    if (is_unprovable(plan))
        return false;
    *may_dial = false;
    return open_to(core, way, plan, out);
}

/* Its socket is there, and of its kind. */
static bool has_socket(const struct core *core, const struct flow *flow)
{
    const struct settings *settings = core->settings;
    const struct socket_settings *own;

    if (flow->socket >= settings->socket_count)
        return false;
    own = &settings->sockets[flow->socket];
    return !own->is_gone && own->transport == flow->transport &&
           (own->host.at[0] == '[') == flow->is_v6;
}

/* It leads to its peer now; a datagram by another socket of ours where its own is gone. */
static bool leads(const struct core *core, struct flow *way)
{
    return flow_is_reliable(way) ? find(core, way) != NULL
                                 : has_socket(core, way) || flow_find_socket(core, way);
}

bool connection_way(struct core *core, const struct target *target, const struct peer_plan *plan,
                    bool *may_dial, struct flow *way, struct actions *out)
{
    const struct binding *binding = NULL;

    *way = target->flow;
    if (leads(core, way))
        return true;
    if (target->binding) {
        binding = location_binding(core, target->binding);
        if (!binding)
            return false;
        *way = binding->flow;
        if (leads(core, way))
            return true;
    }
    return dial(core, binding, plan, may_dial, way, out);
}
