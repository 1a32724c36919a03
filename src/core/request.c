#include "core/request.h"

#include "core/outside.h"

#define MAX_FORWARDS 70u /* 16.6 step 3, where it is absent */
#define MAX_BREADTH 60u  /* RFC 5393 5.3.3 */

#define PART_LIMIT 256u /* longer parts stand in the key as their hash */

/* Appends a text with its length before it, so that no two lists share their bytes. */
static void write_part(struct writer *w, const struct core *core, struct slice part)
{
    write_u32(w, (uint32_t)part.len);
    if (part.len <= PART_LIMIT)
        write_slice(w, part);
    else
        write_u64(w, hash_bytes(&core->key_table, part));
}

static void write_lower(struct writer *w, struct slice host)
{
    size_t start = w->len;

    write_slice(w, host);
    for (size_t i = start; i < w->len; i++)
        w->at[i] = ascii_lower(w->at[i]);
}

/* 17.2.3: branch, sent-by, and the method, an ACK being its INVITE's; before RFC 3261 there was no
 * branch to trust, so the fields that stay the same stand for it. */
static void write_key(struct writer *w, const struct core *core, const struct request *req)
{
    bool is_invite = req->message.method == METHOD_INVITE || req->message.method == METHOD_ACK ||
                     req->message.method == METHOD_CANCEL;

    if (req->via.branch.len > sizeof BRANCH_COOKIE - 1 &&
        slice_starts(req->via.branch, S(BRANCH_COOKIE))) {
        write_part(w, core, req->via.branch);
    } else {
        write_part(w, core, req->from_tag);
        write_part(w, core, req->call_id);
        write_u32(w, req->cseq.number);
        write_part(w, core, req->via.branch);
    }
    write_u32(w, req->via.port ? req->via.port : 5060);
    write_lower(w, slice_until(req->via.host, min_u64(req->via.host.len, PART_LIMIT)));
    write_part(w, core, is_invite ? S("I") : message_span(&req->message, req->message.method_text));
}

void request_key(const struct core *core, struct request *req)
{
    char bytes[6 * (PART_LIMIT + 8)];
    struct writer w = writer_over(bytes, sizeof bytes);

    write_key(&w, core, req);
    assert(!w.failed);
    req->key = hash_bytes_wide(&core->key_table, writer_slice(&w));
}

static void read_address(struct slice value, struct address *address, struct slice *tag)
{
    if (address_parse(value, address, tag))
        return;
    *address = (struct address){0};
    *tag = NO_SLICE;
}

void request_read(struct request *req, const struct flow *flow)
{
    const struct message *m = &req->message;
    struct slice rest = request_header(req, HEADER_VIA);

    req->flow = *flow;
    req->call_id = request_header(req, HEADER_CALL_ID);
    if (!rest.len || !via_next(&rest, &req->via))
        req->via = (struct via){0};
    req->via_rest = rest;
    req->cseq = m->cseq;
    read_address(request_header(req, HEADER_FROM), &req->from, &req->from_tag);
    read_address(request_header(req, HEADER_TO), &req->to, &req->to_tag);
    req->uri_is_valid = uri_parse(message_span(m, m->uri), &req->uri);
    req->max_forwards = MAX_FORWARDS;
    req->max_breadth = MAX_BREADTH;
    req->own_routes = 0;
    req->is_strict = req->next_is_strict = false;
    req->foreign_route = NO_SLICE;
    req->direction = COOKIE_INVALID;
    req->sender = NULL;
    req->access = 0;
    req->proof = 0;
    req->is_counted = false;
    req->is_repeated = false;
    req->why = NULL;
    req->caller = 0;
    req->targets.count = 0;
    req->has_unfit_target = false;
    req->dialog = NO_HANDLE;
}

/* The same host: by name, or by address however it is written. */
static bool host_equal(struct slice a, struct slice b)
{
    struct address_bytes x, y;

    if (slice_equal_nocase(a, b))
        return true;
    return a.len && b.len && a.at[0] == '[' && b.at[0] == '[' && host_numeric(a, &x) &&
           host_numeric(b, &y) && memcmp(x.at, y.at, sizeof x.at) == 0;
}

static bool is_at(const struct socket_settings *socket, struct slice host, uint32_t port)
{
    return socket->port == port && host_equal(socket->host, host);
}

bool host_is_socket(const struct core *core, struct slice host, uint32_t port)
{
    const struct settings *settings = core->settings;

    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone && is_at(&settings->sockets[i], host, port))
            return true;
    return false;
}

/* Of one whose address has gone: what was sent before still names it. */
static bool host_was_socket(const struct core *core, struct slice host, uint32_t port)
{
    const struct settings *settings = core->settings;

    for (unsigned i = 0; i < settings->socket_count; i++)
        if (settings->sockets[i].is_gone && is_at(&settings->sockets[i], host, port))
            return true;
    return false;
}

static bool port_is_ours(const struct core *core, uint32_t port)
{
    const struct settings *settings = core->settings;

    if (!port)
        return true;
    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone && settings->sockets[i].port == port)
            return true;
    return false;
}

bool via_is_own(const struct core *core, const struct via *via)
{
    uint32_t port = via->port ? via->port : 5060;

    return host_is_socket(core, via->host, port) || host_was_socket(core, via->host, port) ||
           (outside_has(core, via->host) && port_is_ours(core, port));
}

/* Without the dot that ends a fully qualified name. */
static struct slice without_root(struct slice host)
{
    return host.len > 1 && host.at[host.len - 1] == '.' ? slice_until(host, host.len - 1) : host;
}

bool host_is_claimed(const struct core *core, struct slice host)
{
    const struct settings *settings = core->settings;

    host = without_root(host);
    if (slice_equal_nocase(host, settings->realm))
        return true;
    for (unsigned i = 0; i < settings->localname_count; i++)
        if (host_equal(host, settings->localnames[i]))
            return true;
    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone && host_equal(host, settings->sockets[i].host))
            return true;
    return outside_has(core, host);
}

bool host_is_local(const struct core *core, struct slice host, uint32_t port)
{
    const struct settings *settings = core->settings;

    host = without_root(host);
    if (slice_equal_nocase(host, settings->realm))
        return port_is_ours(core, port);
    for (unsigned i = 0; i < settings->localname_count; i++)
        if (host_equal(host, settings->localnames[i]))
            return port_is_ours(core, port);
    if (outside_has(core, host))
        return port_is_ours(core, port);
    return host_is_socket(core, host, port ? port : 5060);
}

bool uri_is_local(const struct core *core, const struct uri *uri)
{
    if (uri->scheme > SCHEME_SIPS)
        return false;
    return host_is_local(core, uri->host, uri->port) ||
           (uri->scheme == SCHEME_SIPS && !uri->port && host_is_socket(core, uri->host, 5061));
}

bool route_is_own(const struct core *core, const struct uri *uri)
{
    uint32_t port = uri->port ? uri->port : uri->scheme == SCHEME_SIPS ? 5061 : 5060;

    return uri_is_local(core, uri) ||
           (uri->scheme <= SCHEME_SIPS && host_was_socket(core, uri->host, port));
}

bool request_is_ours(const struct core *core, const struct request *req)
{
    struct slice maddr;

    return uri_is_local(core, &req->uri) &&
           (!uri_param(&req->uri, S("maddr"), &maddr) || host_is_local(core, maddr, req->uri.port));
}

/* A strict router put the URI that we recorded into the Request-URI (16.4). */
static bool is_strictly_routed(const struct core *core, struct request *req)
{
    if (!req->message.first[HEADER_ROUTE] || !req->uri.user.at || !route_is_own(core, &req->uri))
        return false;
    req->direction = cookie_read(req->uri.user, &core->key_cookie, req->call_id, req->from_tag,
                                 req->to_tag, &req->cookie);
    return req->direction != COOKIE_INVALID;
}

struct fault request_routes(const struct core *core, struct request *req)
{
    const struct message *m = &req->message;

    if (!m->first[HEADER_ROUTE])
        return NO_FAULT;
    req->is_strict = is_strictly_routed(core, req);
    for (unsigned i = m->first[HEADER_ROUTE]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct slice lr;
        struct address route;
        struct uri uri;
        while (rest.len) {
            if (!address_next(&rest, &route) || !uri_parse(route.uri, &uri))
                return (struct fault){400, "Bad Route"};
            if (req->is_strict && !rest.len && i == m->last[HEADER_ROUTE])
                return NO_FAULT;
            if (!route_is_own(core, &uri)) {
                req->foreign_route = route.uri;
                req->next_is_strict = !uri_param(&uri, S("lr"), &lr);
                return NO_FAULT;
            }
            if (req->own_routes == OWN_ROUTES_LIMIT)
                return (struct fault){400, "Too Many Routes"};
            if (!req->own_routes++ && !req->is_strict)
                req->direction = cookie_read(uri.user, &core->key_cookie, req->call_id,
                                             req->from_tag, req->to_tag, &req->cookie);
        }
    }
    return NO_FAULT;
}

struct fault request_limits(struct request *req)
{
    const struct message *m = &req->message;
    uint64_t n;

    if (m->first[HEADER_MAX_FORWARDS]) {
        if (!slice_number(request_header(req, HEADER_MAX_FORWARDS), 255, &n))
            return (struct fault){400, "Bad Max-Forwards"};
        req->max_forwards = (uint32_t)n;
    }
    if (m->first[HEADER_MAX_BREADTH]) {
        if (!slice_number(request_header(req, HEADER_MAX_BREADTH), UINT32_MAX, &n))
            return (struct fault){400, "Bad Max-Breadth"};
        req->max_breadth = (uint32_t)n;
    }
    return NO_FAULT;
}
