#include "core/dial.h"

#include "core/gruu.h"
#include "core/instance.h"
#include "core/location.h"
#include "core/target.h"

struct dialing {
    struct core *core;
    struct request *req;
    struct writer *text;
    struct slice elsewhere;
    unsigned hops; /* aliases that led here */
    bool is_rewritten;
};

static struct fault dial_name(struct dialing *d, struct slice name);

static const struct fault unknown = {404, NULL};

/* ---- texts that are made */

static struct slice written_from(const struct dialing *d, size_t start)
{
    return slice_of(d->text->at + start, d->text->len - start);
}

/* A user part: what it cannot hold is escaped (25.1). */
static void write_user_part(struct writer *w, struct slice name)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.at[i];
        bool is_plain = (c >= '0' && c <= '9') ||
                        (ascii_lower((char)c) >= 'a' && c < 0x7f && ascii_lower((char)c) <= 'z');
        if (is_plain || memchr("-_.!~*'()&=+$,;?/", c, 17)) {
            write_char(w, (char)c);
            continue;
        }
        write_char(w, '%');
        write_char(w, hex[c >> 4]);
        write_char(w, hex[c & 15]);
    }
}

/* The contact's URI, but for this number. */
static struct slice number_at(struct dialing *d, struct slice contact, struct slice number)
{
    size_t start = d->text->len;
    size_t scheme = slice_find(contact, ':') + 1;
    size_t at = slice_find(contact, '@');
    size_t host = at < contact.len ? at + 1 : scheme;

    write_slice(d->text, slice_until(contact, scheme));
    write_user_part(d->text, number);
    write_char(d->text, '@');
    write_slice(d->text, slice_from(contact, host));
    return written_from(d, start);
}

/* ---- users */

/* Takes the next line off. */
static bool next_contact(struct slice *rest, struct slice *contact)
{
    size_t end = slice_find(*rest, '\n');

    *contact = slice_until(*rest, end);
    *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
    return contact->len > 0;
}

static bool has_room(const struct dialing *d)
{
    return d->req->targets.count < BRANCH_LIMIT;
}

/* A place that needs no registration. */
static struct fault add_static(struct dialing *d, struct slice contact, const struct uri *uri,
                               uint16_t q)
{
    struct target target = {.q = q};
    struct fault fault = target_find(d->core, uri, &target);

    if (!fault.status && has_room(d))
        target_add(d->req, &target, contact, NO_SLICE);
    return fault;
}

/* A phone: the best of its flows, and behind it the others, for when that fails. */
static void add_phone(struct dialing *d, struct binding *binding)
{
    struct binding *flows[BINDINGS_PER_AOR];
    unsigned count = instance_flows(d->core, binding, flows);
    unsigned before = d->req->targets.count;

    for (unsigned i = 0; i < count && has_room(d); i++) {
        struct target target = {
            .binding = flows[i]->id,
            .flow = flows[i]->flow,
            .q = flows[0]->q,
            .is_next_flow = d->req->targets.count > before,
        };
        target_add(d->req, &target, binding_contact(flows[i]), binding_path(flows[i]));
    }
}

static void add_bindings(struct dialing *d, const struct user *user)
{
    const struct core *core = d->core;

    for (struct binding *b = location_first(core, user); b; b = location_next(core, b)) {
        if (user->kind != USER_PERSON || instance_is_best(core, b))
            add_phone(d, b);
        if (user->kind != USER_PERSON)
            return; /* the newest takes the place of the others */
    }
}

static void add_contacts(struct dialing *d, const struct user *user)
{
    struct slice rest = user_contacts(user), contact;
    struct uri uri;

    while (next_contact(&rest, &contact))
        if (uri_parse(contact, &uri) && !uri_is_local(d->core, &uri))
            add_static(d, contact, &uri, 1000);
}

static struct fault dial_user(struct dialing *d, const struct user *user)
{
    if (!d->req->sender && user->is_closed)
        return unknown;
    if (user == d->req->sender && d->req->message.method == METHOD_INVITE)
        return (struct fault){486, NULL};
    add_bindings(d, user);
    add_contacts(d, user);
    if (d->req->targets.count)
        return NO_FAULT;
    return (struct fault){d->core->settings->unregistered, NULL};
}

/* ---- URIs that the administrator wrote */

/* In our own domain it is dialed in its turn. */
static struct fault dial_uri(struct dialing *d, struct slice text)
{
    struct uri uri;

    if (!uri_parse(text, &uri) || uri.scheme > SCHEME_SIPS)
        return unknown;
    if (!uri_is_local(d->core, &uri))
        return add_static(d, text, &uri, 1000);
    if (!uri.user.len || d->hops++ == DIAL_HOPS)
        return unknown;
    size_t start = d->text->len;
    uri_unescape(d->text, uri.user);
    return d->text->failed ? unknown : dial_name(d, written_from(d, start));
}

/* All its contacts ring; the last fault counts if there is none. */
static struct fault dial_alias(struct dialing *d, const struct user *alias)
{
    struct slice rest = user_contacts(alias), contact;
    struct fault fault = unknown;

    while (next_contact(&rest, &contact))
        fault = dial_uri(d, contact);
    return d->req->targets.count ? NO_FAULT : fault;
}

static struct fault dial_node(struct dialing *d, const struct user *user)
{
    switch ((enum user_kind)user->kind) {
    case USER_REJECT:
    case USER_TEST: return (struct fault){user->status, NULL};
    case USER_ALIAS: return dial_alias(d, user);
    case USER_PERSON:
    case USER_DEVICE:
    case USER_GATEWAY: break;
    }
    return dial_user(d, user);
}

/* ---- gateways */

/* Where the gateway is now: its newest phone, or its first static contact. */
static bool add_gateway(struct dialing *d, const struct user *gateway, const struct route *route,
                        struct slice number, uint16_t q)
{
    const struct binding *binding = location_first(d->core, gateway);
    struct slice rest = user_contacts(gateway), contact = NO_SLICE;
    char changed[NAME_LIMIT];
    struct writer w = writer_over(changed, sizeof changed);
    struct target target = {.q = q};
    struct uri uri;

    affix_write(&w, &route->affix, number);
    if (w.failed)
        return false;
    if (binding) {
        target.binding = binding->id;
        target.flow = binding->flow;
        target_add(d->req, &target, number_at(d, binding_contact(binding), writer_slice(&w)),
                   binding_path(binding));
        return true;
    }
    return next_contact(&rest, &contact) && uri_parse(contact, &uri) &&
           !add_static(d, number_at(d, contact, writer_slice(&w)), &uri, q).status;
}

/* One after another, as their priorities are. */
static bool dial_gateways(struct dialing *d, struct slice number)
{
    const struct user *sender = d->req->sender;
    const struct route *route;
    unsigned position = 0;
    uint16_t q = 1000;

    while (has_room(d) && (route = dialplan_route(&d->core->settings->dialplan, number,
                                                  sender->level, &position))) {
        const struct user *gateway = location_find_id(d->core, route->gateway);
        if (gateway && gateway != sender && add_gateway(d, gateway, route, number, q))
            q--;
    }
    return d->req->targets.count > 0;
}

/* ---- the routing table */

static struct fault rewrite(struct dialing *d, const struct rule *rule, struct slice number)
{
    size_t start = d->text->len;

    if (rule->target.len)
        write_slice(d->text, rule->target);
    else
        affix_write(d->text, &rule->affix, number);
    d->is_rewritten = true;
    return d->text->failed ? unknown : dial_name(d, written_from(d, start));
}

/* The URI that a rule points at: its own, or the number at its server. */
static struct slice rule_uri(struct dialing *d, const struct rule *rule, struct slice number)
{
    size_t start = d->text->len;

    if (rule->target.len)
        return rule->target;
    write_slice(d->text, S("sip:"));
    write_user_part(d->text, number);
    write_char(d->text, '@');
    write_slice(d->text, rule->server);
    return written_from(d, start);
}

static struct fault apply_rule(struct dialing *d, const struct rule *rule, struct slice number)
{
    switch (rule->kind) {
    case RULE_REWRITE: return rewrite(d, rule, number);
    case RULE_REDIRECT: break;
    case RULE_REFER: d->elsewhere = rule_uri(d, rule, number); return (struct fault){302, NULL};
    case RULE_REFUSE: return (struct fault){rule->status, NULL};
    }
    if (!d->req->sender)
        return unknown; /* we carry no strangers to others */
    return dial_uri(d, rule_uri(d, rule, number));
}

/* ---- the whole */

static struct fault dial_name(struct dialing *d, struct slice name)
{
    const struct settings *settings = d->core->settings;
    const struct user *user;
    const struct rule *rule;

    if (slice_equal(name, settings->system))
        return (struct fault){403, NULL};
    if (slice_equal(name, settings->anonymous))
        return unknown;
    user = location_find(d->core, name);
    if (user)
        return dial_node(d, user);
    if (d->req->sender && dial_gateways(d, name))
        return NO_FAULT;
    rule = dialplan_rule(&settings->dialplan, name, !d->is_rewritten);
    return rule ? apply_rule(d, rule, name) : unknown;
}

struct fault dial(struct core *core, struct request *req, struct slice name, struct writer *text,
                  struct slice *elsewhere)
{
    struct dialing d = {.core = core, .req = req, .text = text};
    struct fault fault = dial_name(&d, name);

    *elsewhere = d.elsewhere;
    if (!req->targets.count && req->has_unfit_target)
        fault = (struct fault){480, req->uri.scheme == SCHEME_SIPS ? "SIPS Not Allowed"
                                                                   : "SIPS Required"};
    if (fault.status && !req->sender)
        return (struct fault){480, NULL};
    return fault;
}

struct fault dial_gruu(struct core *core, struct request *req)
{
    struct dialing d = {.core = core, .req = req};
    unsigned status;
    struct binding *binding = gruu_find(core, &req->uri, &status);

    if (!binding)
        return (struct fault){(uint16_t)(req->sender ? status : 480), NULL};
    if (!req->sender && location_user(core, binding)->is_closed)
        return (struct fault){480, NULL};
    add_phone(&d, binding);
    return req->targets.count ? NO_FAULT : (struct fault){480, NULL};
}
