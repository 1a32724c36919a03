#include "core/wishes.h"

#include "core/oddity.h"

const struct fault wishes_too_many = {403, "Too Many Contacts"};

/* 10.3 step 7: the Contact's expires, or the Expires field, or our own default. A value that is no
 * number means the default (20.10, 20.19). */
static uint32_t wished_expires(const struct core *core, const struct request *req,
                               const struct address *contact)
{
    struct slice text;
    uint64_t seconds;

    if (param_find(contact->params, S("expires"), &text)) {
        if (slice_number(text, UINT32_MAX, &seconds))
            return (uint32_t)seconds;
        return core->settings->expires;
    }
    if (slice_number(request_header(req, HEADER_EXPIRES), UINT32_MAX, &seconds))
        return (uint32_t)seconds;
    return core->settings->expires;
}

/* An instance counts where the phone supports what it is for: flows, which have a reg-id beside it
 * (RFC 5626 4.1), or GRUUs (RFC 5627 4.1). */
static struct fault read_instance(const struct request *req, const struct address *contact,
                                  struct wish *wish)
{
    const struct message *m = &req->message;
    struct slice instance, reg_id;
    uint64_t number = 0;
    bool is_flow = param_find(contact->params, S("reg-id"), &reg_id) &&
                   message_has_option(m, HEADER_SUPPORTED, S("outbound"));

    wish->instance = NO_SLICE;
    wish->reg_id = 0;
    if (!param_find(contact->params, S("+sip.instance"), &instance) || instance.len < 3 ||
        !(is_flow || message_has_option(m, HEADER_SUPPORTED, S("gruu"))))
        return NO_FAULT;
    if (is_flow && (!slice_number(reg_id, INT32_MAX, &number) || !number))
        return (struct fault){400, "Bad reg-id"};
    if (instance.len > INSTANCE_LIMIT)
        return (struct fault){400, "Instance Too Long"};
    wish->instance = instance;
    wish->reg_id = (uint32_t)number;
    return NO_FAULT;
}

/* A Contact where no phone of another host can be: nobody, everybody, or ourselves. */
static bool is_odd_host(const struct request *req, struct slice host)
{
    struct address_bytes address = flow_address(&req->flow);
    bool is_inside = address_is_loopback(&address);

    if (!host_numeric(host, &address))
        return slice_equal_nocase(host, S("localhost")) && !is_inside;
    return address_is_many(&address) || (address_is_loopback(&address) && !is_inside);
}

static bool is_odd_contact(const struct core *core, const struct request *req,
                           const struct uri *uri)
{
    struct slice maddr;

    if (is_odd_host(req, uri->host))
        return true;
    return uri_param(uri, S("maddr"), &maddr) &&
           (is_odd_host(req, maddr) || host_is_local(core, maddr, uri->port));
}

/* A phone on this machine may listen by UDP on a port where we do by TLS only. */
static bool is_this_server(const struct core *core, const struct uri *uri)
{
    const struct settings *settings = core->settings;
    bool is_datagram = uri->scheme == SCHEME_SIP, is_named = true;
    struct slice name;

    if (!uri_is_local(core, uri))
        return false;
    if (uri_param(uri, S("transport"), &name))
        is_datagram = transport_of(name) == TRANSPORT_UDP;
    for (unsigned i = 0; uri->port && i < settings->socket_count; i++) {
        const struct socket_settings *socket = &settings->sockets[i];
        if (socket->port != uri->port || !slice_equal_nocase(socket->host, uri->host))
            continue;
        if ((socket->transport == TRANSPORT_UDP) == is_datagram)
            return true;
        is_named = false;
    }
    return is_named;
}

static struct fault read_contact(const struct core *core, const struct request *req,
                                 const struct address *contact, struct wish *wish)
{
    const struct settings *settings = core->settings;
    struct slice q_text;
    unsigned q = 1000;

    wish->uri_text = contact->uri;
    if (contact->uri.len > CONTACT_LIMIT || req->call_id.len > CONTACT_LIMIT)
        return (struct fault){400, "Contact Too Long"};
    if (!uri_parse(contact->uri, &wish->uri))
        return (struct fault){400, "Bad Contact"};
    if (wish->uri.scheme > SCHEME_SIPS)
        return (struct fault){416, "Unsupported Contact Scheme"};
    if (is_this_server(core, &wish->uri))
        return (struct fault){403, "Contact Is This Server"};
    if (is_odd_contact(core, req, &wish->uri))
        return (struct fault){403, "Contact Cannot Be Reached"};
    if (param_find(contact->params, S("q"), &q_text) && !qvalue_parse(q_text, &q))
        return (struct fault){400, "Bad q Value"};
    wish->q = (uint16_t)q;
    wish->expires = wished_expires(core, req, contact);
    if (wish->expires && wish->expires < settings->expires_shortest && wish->expires < 3600)
        return (struct fault){423, NULL};
    if (wish->expires > settings->expires_longest)
        wish->expires = settings->expires_longest;
    if (core->store_failed && wish->expires > PROMISE_SHORT)
        wish->expires = PROMISE_SHORT;
    return read_instance(req, contact, wish);
}

/* RFC 3327 5.3: stored with the bindings, if the phone knows of it. */
static struct fault read_path(const struct request *req, struct wishes *wishes)
{
    const struct message *m = &req->message;
    struct writer w = writer_over(wishes->path_text, sizeof wishes->path_text);

    wishes->path = NO_SLICE;
    if (m->first[HEADER_PATH] && !message_has_option(m, HEADER_SUPPORTED, S("path")))
        return (struct fault){420, NULL};
    for (unsigned i = m->first[HEADER_PATH]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct address hop;
        struct uri uri;
        struct slice lr;
        while (rest.len) {
            if (!address_next(&rest, &hop) || !uri_parse(hop.uri, &uri) ||
                uri.scheme > SCHEME_SIPS || !uri_param(&uri, S("lr"), &lr))
                return (struct fault){400, "Bad Path"};
            write_slice(&w, w.len ? S(", ") : S(""));
            write_slice(&w, hop.text);
        }
    }
    wishes->path = writer_slice(&w);
    return w.failed ? (struct fault){400, "Path Too Long"} : NO_FAULT;
}

/* The first hop is not us, and does not keep flows (RFC 5626 6). */
static bool lacks_outbound(const struct request *req, const struct wishes *wishes)
{
    struct slice rest = request_header(req, HEADER_VIA);
    struct slice path = wishes->path;
    struct address hop;
    struct uri uri;
    struct slice ob;
    struct via via;
    bool is_first_hop = !req->message.fields[req->message.first[HEADER_VIA]].next &&
                        via_next(&rest, &via) && !rest.len;

    if (is_first_hop)
        return false;
    return !path.len || !address_next(&path, &hop) || !uri_parse(hop.uri, &uri) ||
           !uri_param(&uri, S("ob"), &ob);
}

/* RFC 5626 6: one flow is registered at a time. */
static struct fault check_flows(const struct request *req, struct wishes *wishes)
{
    unsigned bound = 0, flows = 0;

    for (unsigned i = 0; i < wishes->count; i++) {
        bound += wishes->at[i].expires > 0;
        flows += wishes->at[i].reg_id > 0;
    }
    if (!flows)
        return NO_FAULT;
    if (lacks_outbound(req, wishes))
        return (struct fault){439, NULL};
    wishes->is_flow = bound > 0;
    return bound > 1 ? (struct fault){400, "Several Contacts With reg-id"} : NO_FAULT;
}

/* Contact: * stands alone, with Expires: 0 (10.2.2). */
static struct fault read_star(const struct request *req, struct wishes *wishes)
{
    const struct message *m = &req->message;
    uint64_t seconds;

    if (m->fields[m->first[HEADER_CONTACT]].next ||
        !slice_number(request_header(req, HEADER_EXPIRES), UINT32_MAX, &seconds) || seconds)
        return (struct fault){400, "Bad Contact"};
    wishes->all = true;
    return NO_FAULT;
}

struct fault wishes_read(const struct core *core, const struct request *req, struct wishes *wishes)
{
    const struct message *m = &req->message;

    struct fault fault = read_path(req, wishes);

    wishes->count = 0;
    wishes->all = wishes->is_flow = false;
    if (fault.status)
        return fault;
    if (slice_equal(request_header(req, HEADER_CONTACT), S("*")))
        return read_star(req, wishes);
    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        while (rest.len) {
            struct address contact;
            if (!address_next(&rest, &contact))
                return (struct fault){400, "Bad Contact"};
            if (wishes->count == BINDINGS_PER_AOR)
                return wishes_too_many;
            fault = read_contact(core, req, &contact, &wishes->at[wishes->count++]);
            if (fault.status)
                return fault;
        }
    }
    return check_flows(req, wishes);
}
