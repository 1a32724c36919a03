#include "core/inside.h"

#include "core/connection.h"
#include "core/fault.h"
#include "core/location.h"
#include "core/policy.h"
#include "core/target.h"

const struct end *inside_to(const struct request *req)
{
    return req->direction == COOKIE_TO_CALLEE ? &req->cookie.callee : &req->cookie.caller;
}

const struct end *inside_from(const struct request *req)
{
    return req->direction == COOKIE_TO_CALLEE ? &req->cookie.caller : &req->cookie.callee;
}

bool inside_is_to_outside(const struct request *req, const struct target *target)
{
    return req->direction != COOKIE_INVALID && !target->binding;
}

/* Our own user, who may call other domains anyway. */
static bool may_name_hosts(const struct core *core, const struct request *req)
{
    const struct end *from = inside_from(req);
    const struct binding *binding = from->binding ? location_binding(core, from->binding) : NULL;
    const struct user *user = binding ? location_user(core, binding) : req->sender;

    return user && !user->is_inside_only;
}

/* RFC 3261 16.6 step 6; false for what a strict router sent without a Route behind ours. */
static bool read_hop(const struct request *req, struct uri *hop)
{
    if (req->foreign_route.len)
        return uri_parse(req->foreign_route, hop);
    *hop = req->uri;
    return req->uri_is_valid && !req->is_strict;
}

bool inside_hop(const struct core *core, const struct request *req, struct uri *hop)
{
    struct address_bytes address;

    return read_hop(req, hop) && hop->scheme <= SCHEME_SIPS && !host_numeric(hop->host, &address) &&
           !uri_is_local(core, hop) && may_name_hosts(core, req);
}

bool inside_listens(const struct request *req, const struct flow *flow)
{
    struct address_bytes address;
    struct uri hop;

    if (!read_hop(req, &hop))
        return false;
    if (!host_numeric(hop.host, &address))
        return true;
    return address.is_v6 == flow->is_v6 &&
           memcmp(address.at, flow->address, sizeof flow->address) == 0 &&
           (hop.port ? hop.port : transport_port(flow->transport)) == flow->port;
}

/* It is that domain's, or the name of one of its hosts. */
static bool is_within(struct slice host, struct slice domain)
{
    size_t before = host.len > domain.len ? host.len - domain.len : 0;

    return host.len >= domain.len && slice_equal_nocase(slice_from(host, before), domain) &&
           (!before || host.at[before - 1] == '.');
}

struct slice inside_domain(const struct core *core, const struct request *req,
                           const struct target *target, uint8_t *policy)
{
    const struct end *end = inside_to(req);
    struct slice domain = end->domain;
    struct uri hop;

    *policy = POLICY_OPPORTUNISTIC;
    if (fault_is(FAULT_DIALOG_UNPROVEN))
        return NO_SLICE;
    /* A server elsewhere that the domain has sent us to is that of its own name. */
    if (target->way != WAY_GIVEN && inside_hop(core, req, &hop) &&
        (!domain.len || !is_within(hop.host, domain)))
        domain = hop.host;
    if (domain.len)
        *policy = policy_of(core, domain, core->now.wall);
    if (*policy < end->policy)
        *policy = end->policy;
    return domain;
}

/* The connection of the dialog's beginning, not one that has got its handle since. */
static bool stands(const struct core *core, const struct end *end)
{
    return connection_stands(core, &end->flow) &&
           (!end->domain.len || connection_is_for(core, &end->flow, end->domain));
}

/* The port of a URI is one of that transport, at that host. */
static bool listens_there(const struct uri *hop, const struct flow *flow)
{
    struct address_bytes address;
    struct slice name;
    bool is_so = uri_param(hop, S("transport"), &name) &&
                 transport_of(name) == (enum transport)flow->transport;

    return hop->port && (is_so || (hop->scheme == SCHEME_SIPS && flow_is_secure(flow))) &&
           host_numeric(hop->host, &address) && address.is_v6 == flow->is_v6 &&
           memcmp(address.at, flow->address, sizeof flow->address) == 0;
}

/* Another stream to the same host: where the next hop says that it listens, if that is there, or
 * where we had found it. */
static void renew_flow(const struct core *core, const struct uri *hop, struct flow *flow)
{
    if (!connection_is_ours(core, flow))
        flow->port = transport_port(flow->transport);
    flow->connection = 0;
    if (hop && listens_there(hop, flow))
        flow->port = (uint16_t)hop->port;
}

bool inside_flow(const struct core *core, const struct end *end, const struct uri *hop,
                 struct flow *flow)
{
    bool is_there = stands(core, end);

    *flow = end->flow;
    if (!is_there)
        renew_flow(core, hop, flow);
    return is_there;
}

void inside_target(struct core *core, struct request *req)
{
    const struct end *end = inside_to(req);
    struct target target = {.q = 1000};
    struct uri hop;
    bool is_there = inside_flow(core, end, read_hop(req, &hop) ? &hop : NULL, &target.flow);

    /* An ACK makes no transaction, and is for who has just answered. */
    if (req->message.method != METHOD_ACK && inside_hop(core, req, &hop)) {
        target.way = is_there ? WAY_CHOSEN : WAY_SOUGHT;
        target.tries = is_there;
    }
    if (flow_find_socket(core, &target.flow))
        target_add(req, &target, NO_SLICE, NO_SLICE);
}
