#include "core/caller.h"

#include "core/connection.h"
#include "core/policy.h"

static struct slice from_host(const struct request *req)
{
    struct uri uri;

    return uri_parse(req->from.uri, &uri) && uri.scheme <= SCHEME_SIPS ? uri.host : NO_SLICE;
}

uint8_t caller_prove(const struct core *core, const struct request *req)
{
    struct slice host = from_host(req);

    if (host.len > NAME_LIMIT)
        return 0;
    return connection_proves(core, &req->flow, host) ? CALLER_TLS : 0;
}

void caller_demand(const struct core *core, const struct request *req, struct end *end)
{
    struct slice host = from_host(req);
    struct address_bytes address;
    uint8_t policy;

    if (!flow_is_secure(&req->flow) || req->proof & CALLER_OWN || host.len > NAME_LIMIT ||
        host_numeric(host, &address))
        return;
    policy = policy_of(core, host, req->now.wall);
    if (req->proof & CALLER_TLS && connection_proves(core, &req->flow, host) &&
        !connection_certifies(core, &req->flow, host))
        policy = POLICY_DANE; /* DNS alone has proven it, and will have to */
    if (req->proof & CALLER_TLS && policy < POLICY_VERIFIED)
        policy = POLICY_VERIFIED;
    if (policy == POLICY_OPPORTUNISTIC)
        return;
    end->domain = host;
    end->policy = policy;
}

/* Of an offer it is said whether it is alone. */
static struct slice name_of(unsigned bit, unsigned proof)
{
    static const struct slice names[] = {S("own"),    S("tls"),  S("signature"), S("offer-only"),
                                         S("signed"), S("node"), S("answer")};

    return 1u << bit == CALLER_OFFER && proof & CALLER_ANSWER ? S("offer") : names[bit];
}

static void write_names(struct writer *w, unsigned proof)
{
    static const uint8_t order[] = {0, 1, 2, 4, 3, 6, 5};
    bool is_first = true;

    for (unsigned i = 0; i < COUNT_OF(order); i++) {
        if (!(proof >> order[i] & 1))
            continue;
        if (!is_first)
            write_char(w, '+');
        write_slice(w, name_of(order[i], proof));
        is_first = false;
    }
}

void caller_write(struct writer *w, unsigned proof)
{
    if (proof & CALLER_UNTOLD)
        return;
    if (proof)
        write_names(w, proof);
    else
        write_slice(w, S("none"));
}

void caller_write_field(struct writer *w, const struct request *req)
{
    if (req->to_tag.len || req->proof & CALLER_OWN)
        return;
    write_slice(w, S("P-SIPWITCH-Caller: "));
    if (req->proof) {
        write_slice(w, S("verified;domain="));
        write_slice(w, from_host(req));
        write_slice(w, S(";by="));
        write_names(w, req->proof & (CALLER_TLS | CALLER_SIGNATURE | CALLER_NODE));
        if (req->proof & CALLER_OFFER)
            write_slice(w, S(";media=offer-only"));
    } else {
        write_slice(w, S("unverified"));
    }
    write_slice(w, S("\r\n"));
}
