#include "core/target.h"

#include "core/connection.h"

void target_add(struct request *req, const struct target *target, struct slice uri,
                struct slice path)
{
    struct target_set *set = &req->targets;
    unsigned i = set->count++;

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

/* RFC 3263 4.1: by the URI's transport parameter, or UDP. */
static bool transport_asked(const struct uri *uri, struct flow *flow)
{
    struct slice name;

    flow->transport = TRANSPORT_UDP;
    if (uri_param(uri, S("transport"), &name))
        flow->transport = (uint8_t)transport_of(name);
    return uri->scheme == SCHEME_SIP &&
           (flow->transport == TRANSPORT_UDP || flow->transport == TRANSPORT_TCP);
}

struct fault target_flow(const struct core *core, const struct uri *uri, struct flow *flow)
{
    struct address_bytes address;
    struct slice host;

    *flow = (struct flow){.port = uri->port ? (uint16_t)uri->port : 5060};
    if (!uri_param(uri, S("maddr"), &host))
        host = uri->host;
    if (!host_numeric(host, &address))
        return (struct fault){500, "Domain Names Are Not Resolved Yet"};
    if (!transport_asked(uri, flow))
        return (struct fault){500, "Transport Not Supported"};
    flow->is_v6 = address.is_v6;
    memcpy(flow->address, address.at, sizeof address.at);
    if (!flow_find_socket(core, flow))
        return (struct fault){500, "No Address Of That Kind"};
    return NO_FAULT;
}
