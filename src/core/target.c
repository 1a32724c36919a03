#include "core/target.h"

#include "core/connection.h"
#include "core/fellow.h"
#include "core/policy.h"

/* A sips: request stays one, and goes by TLS alone; no other becomes one (RFC 5630 3.1.3, 5.3). */
static bool is_fit(const struct request *req, const struct target *target, struct slice uri)
{
    bool is_sips = req->uri.scheme == SCHEME_SIPS;

    if (uri.len && slice_equal_nocase(slice_until(uri, min_u64(uri.len, 5)), S("sips:")) != is_sips)
        return false;
    return !is_sips || target->way == WAY_SOUGHT || flow_is_secure(&target->flow);
}

void target_add(struct request *req, const struct target *target, struct slice uri,
                struct slice path)
{
    struct target_set *set = &req->targets;
    unsigned i = set->count;

    if (!is_fit(req, target, uri)) {
        req->has_unfit_target = true;
        return;
    }
    set->count++;
    assert(i < BRANCH_LIMIT);
    for (; i > 0 && set->at[i - 1].q < target->q; i--) { /* higher q first (16.6) */
        set->at[i] = set->at[i - 1];
        set->uris[i] = set->uris[i - 1];
        set->paths[i] = set->paths[i - 1];
    }
    set->at[i] = *target;
    set->uris[i] = uri;
    set->paths[i] = path;
}

/* Whoever wrote the URI chose where that domain is: it is to prove there that it is. */
static bool must_prove(const struct core *core, const struct uri *uri)
{
    struct address_bytes address;
    struct slice elsewhere;

    return uri_param(uri, S("maddr"), &elsewhere) && !host_numeric(uri->host, &address) &&
           policy_of(core, uri->host, core->now.wall) != POLICY_OPPORTUNISTIC;
}

/* RFC 3263 4.1: by the URI's transport parameter, or UDP; of sips: by TLS over whatever is named.
 */
static bool transport_asked(const struct core *core, const struct uri *uri, struct flow *flow)
{
    const struct settings *settings = core->settings;
    bool is_sips = uri->scheme == SCHEME_SIPS || must_prove(core, uri);
    struct slice name;

    flow->transport = is_sips ? TRANSPORT_TLS : TRANSPORT_UDP;
    if (uri_param(uri, S("transport"), &name))
        flow->transport = (uint8_t)transport_of(name);
    else if (!is_sips && fellow_wants_stream(core, uri))
        flow->transport = TRANSPORT_TCP;
    if (is_sips && flow->transport == TRANSPORT_TCP)
        flow->transport = TRANSPORT_TLS;
    for (unsigned i = 0; uri->scheme <= SCHEME_SIPS && i < settings->socket_count; i++)
        if (settings->sockets[i].transport == flow->transport)
            return !is_sips || flow_is_secure(flow);
    return false;
}

struct fault target_find(const struct core *core, const struct uri *uri, struct target *target)
{
    struct flow *flow = &target->flow;
    struct address_bytes address;
    struct slice host;

    *flow = (struct flow){0};
    if (!transport_asked(core, uri, flow))
        return (struct fault){500, "Transport Not Supported"};
    if (!uri_param(uri, S("maddr"), &host))
        host = uri->host;
    if (!host_numeric(host, &address)) {
        *flow = (struct flow){0};
        target->way = WAY_SOUGHT;
        return NO_FAULT;
    }
    flow->port = uri->port ? (uint16_t)uri->port : transport_port(flow->transport);
    flow->is_v6 = address.is_v6;
    memcpy(flow->address, address.at, sizeof address.at);
    if (!flow_choose_socket(core, flow, false))
        return (struct fault){500, "No Address Of That Kind"};
    return NO_FAULT;
}
