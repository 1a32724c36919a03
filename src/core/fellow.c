#include "core/fellow.h"

#include "core/caller.h"
#include "core/claims.h"
#include "core/connection.h"
#include "core/oddity.h"

#define FIELD S("P-SIPWITCH-Node")

static bool is_stream(const struct flow *flow)
{
    return flow->transport == TRANSPORT_TCP || flow->transport == TRANSPORT_TLS;
}

static bool is_at(const struct fellow *fellow, const struct address_bytes *address)
{
    return fellow->has_address && fellow->address.is_v6 == address->is_v6 &&
           memcmp(fellow->address.at, address->at, sizeof address->at) == 0;
}

/* Who is at the other end of a stream is that node. */
static bool is_by(const struct core *core, const struct fellow *fellow, const struct flow *flow)
{
    struct address_bytes peer = flow_address(flow);

    return is_at(fellow, &peer) || (fellow->name.len && flow_is_secure(flow) &&
                                    connection_proves(core, flow, fellow->name));
}

/* ---- what one says */

/* The one such field has the word; of several none counts. */
static bool says_yes(const struct message *m)
{
    struct slice value = NO_SLICE;
    unsigned count = 0;

    for (unsigned i = m->first[HEADER_ASSERTION]; i; i = m->fields[i].next) {
        if (!slice_equal_nocase(message_name(m, i), FIELD))
            continue;
        value = message_value(m, i);
        count++;
    }
    return count == 1 &&
           slice_equal_nocase(slice_trim(slice_until(value, slice_find(value, ';'))), S("yes"));
}

static bool speaks_for(const struct core *core, const struct fellow *fellow, const struct uri *from)
{
    return from->scheme <= SCHEME_SIPS &&
           (host_is_claimed(core, from->host) ||
            (fellow->name.len && slice_equal_nocase(fellow->name, from->host)));
}

bool fellow_vouches(const struct core *core, const struct request *req)
{
    const struct settings *settings = core->settings;
    struct uri from;

    if (!settings->fellow_count || !is_stream(&req->flow) || !says_yes(&req->message) ||
        !uri_parse(req->from.uri, &from))
        return false;
    for (unsigned i = 0; i < settings->fellow_count; i++)
        if (speaks_for(core, &settings->fellows[i], &from) &&
            is_by(core, &settings->fellows[i], &req->flow))
            return true;
    return false;
}

struct slice fellow_claimed(const struct core *core, const struct request *req,
                            const struct uri *from)
{
    const struct settings *settings = core->settings;
    struct slice credential = connection_credential(core, &req->flow);

    if (!settings->fellow_count || !says_yes(&req->message))
        return NO_SLICE;
    for (unsigned i = 0; i < settings->fellow_count; i++) {
        const struct fellow *fellow = &settings->fellows[i];
        if (fellow->name.len && speaks_for(core, fellow, from) &&
            !is_by(core, fellow, &req->flow) &&
            claims_look(core, credential, fellow->name) == CLAIM_UNKNOWN)
            return fellow->name;
    }
    return NO_SLICE;
}

/* ---- what one is told */

bool fellow_wants_stream(const struct core *core, const struct uri *uri)
{
    const struct settings *settings = core->settings;
    struct address_bytes address;

    if (!settings->fellow_count || !host_numeric(uri->host, &address))
        return false;
    for (unsigned i = 0; i < settings->fellow_count; i++)
        if (is_at(&settings->fellows[i], &address))
            return true;
    return false;
}

/* A new connection has proven nothing yet; who is named is told all the same: it is no secret that
 * a caller is proven. */
static bool is_to(const struct core *core, const struct fellow *fellow, const struct flow *to,
                  struct slice host)
{
    return (fellow->name.len && slice_equal_nocase(fellow->name, host)) || is_by(core, fellow, to);
}

void fellow_write_field(struct writer *w, const struct core *core, const struct request *req,
                        const struct flow *to, struct slice text)
{
    const struct settings *settings = core->settings;
    struct uri uri;

    if (!settings->fellow_count || req->to_tag.len || !is_stream(to))
        return;
    if (!uri_parse(text.len ? text : req->uri.text, &uri))
        uri.host = NO_SLICE;
    for (unsigned i = 0; i < settings->fellow_count; i++) {
        if (!is_to(core, &settings->fellows[i], to, uri.host))
            continue;
        write_slice(w, FIELD);
        write_slice(w, req->proof & (CALLER_OWN | CALLER_NODE) ? S(": yes\r\n") : S(": no\r\n"));
        return;
    }
}
