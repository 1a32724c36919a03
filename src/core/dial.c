#include "core/dial.h"

#include "core/caller.h"
#include "core/gruu.h"
#include "core/instance.h"
#include "core/location.h"
#include "core/target.h"
#include "core/why.h"

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
static const struct written nowhere;

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

/* A place that needs no registration; of the target all but its flow is known. */
static struct fault add_place(struct dialing *d, struct slice contact, const struct uri *uri,
                              struct target target)
{
    struct fault fault = target_find(d->core, uri, &target);

    if (!fault.status && has_room(d))
        target_add(d->req, &target, contact, NO_SLICE);
    else if (fault.status)
        why_step(d->req, S("contact"), nowhere, "% cannot be reached from here: %", contact,
                 slice_text(fault.reason));
    return fault;
}

/* An address that was written for one of ours is its phone, a name may be another domain. */
static struct fault add_static(struct dialing *d, struct slice contact, const struct uri *uri)
{
    struct address_bytes address;

    return add_place(d, contact, uri,
                     (struct target){.q = 1000, .is_ours = host_numeric(uri->host, &address)});
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
            .flow = location_flow(d->core, flows[i]),
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
            add_static(d, contact, &uri);
}

static struct fault dial_user(struct dialing *d, const struct user *user)
{
    unsigned before = d->req->targets.count;

    if (caller_is_stranger(d->req) && user->is_closed) {
        why_profile_step(d->req, user,
                         "% has the profile %, which callers of other domains do not reach");
        return unknown;
    }
    if (user == d->req->sender && d->req->message.method == METHOD_INVITE) {
        why_step(d->req, S("user"), nowhere, "% is the caller itself", user_id(user), NO_SLICE);
        return (struct fault){486, NULL};
    }
    add_bindings(d, user);
    add_contacts(d, user);
    if (d->req->targets.count > before)
        return NO_FAULT;
    why_step(d->req, S("user"), nowhere,
             d->req->has_unfit_target ? "no phone of % may be asked by this scheme"
                                      : "no phone of % is registered",
             user_id(user), NO_SLICE);
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
        return add_static(d, text, &uri);
    if (!uri.user.len || d->hops++ == DIAL_HOPS) {
        why_step(d->req, S("rule"), nowhere,
                 uri.user.len ? "% is one step too many: aliases and rules lead in a circle"
                              : "% names nobody",
                 text, NO_SLICE);
        return unknown;
    }
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
    struct target target = {.q = q, .is_ours = true};
    struct uri uri;

    affix_write(&w, &route->affix, number);
    if (w.failed)
        return false;
    why_step(d->req, S("route"), route->written,
             "the gateway % takes such numbers, and is asked for %", user_id(gateway),
             writer_slice(&w));
    if (binding) {
        target.binding = binding->id;
        target.flow = location_flow(d->core, binding);
        target_add(d->req, &target, number_at(d, binding_contact(binding), writer_slice(&w)),
                   binding_path(binding));
        return true;
    }
    if (next_contact(&rest, &contact) && uri_parse(contact, &uri) &&
        !add_place(d, number_at(d, contact, writer_slice(&w)), &uri, target).status)
        return true;
    why_step(d->req, S("route"), gateway->written,
             "the gateway % is not registered, and has no contact", user_id(gateway), NO_SLICE);
    return false;
}

/* A route for the number that the caller's level keeps from it. */
static void tell_level(struct dialing *d, struct slice number)
{
    const struct user *sender = d->req->sender;
    unsigned position = 0;
    const struct route *route = d->req->why ? dialplan_route(&d->core->settings->dialplan, number,
                                                             LEVEL_LIMIT + 1, &position)
                                            : NULL;
    char text[8];
    struct writer level = writer_over(text, sizeof text);

    if (!route || route->priority < sender->level)
        return;
    write_number(&level, sender->level);
    why_step(
        d->req, S("route"), route->written,
        "a route of the gateway % is for callers of a higher level than %, which is the caller's",
        route->gateway, writer_slice(&level));
}

/* One after another, as their priorities are. */
static bool dial_gateways(struct dialing *d, struct slice number)
{
    const struct user *sender = d->req->sender;
    const struct route *route;
    unsigned position = 0;
    uint16_t q = 1000;

    tell_level(d, number);
    while (has_room(d) && (route = dialplan_route(&d->core->settings->dialplan, number,
                                                  sender->level, &position))) {
        const struct user *gateway = location_find_id(d->core, route->gateway);
        if (gateway && gateway != sender && add_gateway(d, gateway, route, number, q))
            q--;
    }
    return d->req->targets.count > 0;
}

/* ---- the routing table */

static void tell_rule(const struct dialing *d, const struct rule *rule, const char *text,
                      struct slice what)
{
    why_step(d->req, S("rule"), rule->written, text,
             rule->pattern.len ? rule->pattern : rule->identity, what);
}

static struct fault rewrite(struct dialing *d, const struct rule *rule, struct slice number)
{
    size_t start = d->text->len;

    if (rule->target.len)
        write_slice(d->text, rule->target);
    else
        affix_write(d->text, &rule->affix, number);
    d->is_rewritten = true;
    tell_rule(d, rule, "the rule for % makes it %", written_from(d, start));
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
    struct slice uri;

    if (rule->kind == RULE_REWRITE)
        return rewrite(d, rule, number);
    if (rule->kind == RULE_REFUSE) {
        tell_rule(d, rule, "the rule for % refuses it", NO_SLICE);
        return (struct fault){rule->status, NULL};
    }
    uri = rule_uri(d, rule, number);
    if (rule->kind == RULE_REFER) {
        tell_rule(d, rule, "the rule for % tells the caller to ask %", uri);
        d->elsewhere = uri;
        return (struct fault){302, NULL};
    }
    if (!d->req->sender) { /* we carry no strangers to others */
        tell_rule(d, rule, "the rule for % is for our own users", NO_SLICE);
        return unknown;
    }
    tell_rule(d, rule, "the rule for % sends it on to %", uri);
    return dial_uri(d, uri);
}

/* ---- the whole */

static void tell_node(struct dialing *d, const struct user *user, struct slice name)
{
    static const char *const by_id[] = {
        [USER_PERSON] = "% is a user",     [USER_DEVICE] = "% is a device or service",
        [USER_GATEWAY] = "% is a gateway", [USER_REJECT] = "% is an id that is refused",
        [USER_TEST] = "% is a test node",  [USER_ALIAS] = "% is an alias",
    };
    static const char *const by_source[] = {
        [SOURCE_DATABASE] = "% is a user of the database",
        [SOURCE_ACCOUNT] = "% is an account of this system",
    };

    if (!d->req->why)
        return;
    if (!slice_equal(name, user_id(user)))
        why_step(d->req, S("user"), user->written, "% is the extension of %", name, user_id(user));
    else
        why_step(d->req, S("user"), user->written,
                 user->source == SOURCE_FILE ? by_id[user->kind] : by_source[user->source], name,
                 NO_SLICE);
}

static struct fault dial_name(struct dialing *d, struct slice name)
{
    const struct settings *settings = d->core->settings;
    const struct user *user;
    const struct rule *rule;

    if (slice_equal(name, settings->system)) {
        why_step(d->req, S("reserved"), settings->written[SETTING_SYSTEM],
                 "% is the id that nobody may call", name, NO_SLICE);
        return (struct fault){403, NULL};
    }
    if (slice_equal(name, settings->anonymous)) {
        why_step(d->req, S("reserved"), settings->written[SETTING_ANONYMOUS],
                 "% is the id that nobody has", name, NO_SLICE);
        return unknown;
    }
    user = location_find(d->core, name);
    if (user) {
        tell_node(d, user, name);
        return dial_node(d, user);
    }
    if (d->req->sender && dial_gateways(d, name))
        return NO_FAULT;
    rule = dialplan_rule(&settings->dialplan, name, !d->is_rewritten);
    if (rule)
        return apply_rule(d, rule, name);
    why_step(d->req, S("unknown"), nowhere,
             "% is nobody's id or extension, and no route or rule is for it", name, NO_SLICE);
    return unknown;
}

/* A name or number of our own domain. */
static struct fault dial(struct core *core, struct request *req, struct slice name,
                         struct writer *text, struct slice *elsewhere)
{
    struct dialing d = {.core = core, .req = req, .text = text};
    struct fault fault = dial_name(&d, name);

    *elsewhere = d.elsewhere;
    if (!req->targets.count && req->has_unfit_target)
        fault = req->uri.scheme == SCHEME_SIPS ? FAULT_SIPS_NOT_ALLOWED : FAULT_SIPS_REQUIRED;
    if (fault.status && caller_is_stranger(req))
        return (struct fault){480, NULL};
    return fault;
}

/* The same for a GRUU (core/gruu.h), which reaches one phone. */
static struct fault dial_gruu(struct core *core, struct request *req)
{
    struct dialing d = {.core = core, .req = req};
    unsigned status;
    struct binding *binding = gruu_find(core, &req->uri, &status);

    why_step(req, S("gruu"), nowhere, "% is the URI of one phone", req->uri.text, NO_SLICE);
    if (!binding)
        return (struct fault){(uint16_t)(caller_is_stranger(req) ? 480 : status), NULL};
    if (caller_is_stranger(req) && location_user(core, binding)->is_closed)
        return (struct fault){480, NULL};
    add_phone(&d, binding);
    return req->targets.count ? NO_FAULT : (struct fault){480, NULL};
}

/* Another domain, or an address outside. */
static struct fault dial_outside(struct core *core, struct request *req)
{
    struct target target = {.q = 1000};
    struct fault fault;

    why_step(req, S("outside"), nowhere, "% is not of this domain", req->uri.host, NO_SLICE);
    if (!req->sender)
        return (struct fault){403, NULL};
    if (req->sender->is_inside_only) {
        why_profile_step(req, req->sender,
                         "% has the profile %, which does not call other domains");
        return (struct fault){403, NULL};
    }
    fault = target_find(core, &req->uri, &target);
    if (!fault.status)
        target_add(req, &target, NO_SLICE, NO_SLICE);
    return fault;
}

struct fault dial_request(struct core *core, struct request *req, struct writer *text,
                          struct slice *elsewhere)
{
    char name[NAME_LIMIT];
    struct writer w = writer_over(name, sizeof name);

    if (!request_is_ours(core, req))
        return dial_outside(core, req);
    if (uri_is_gruu(&req->uri))
        return dial_gruu(core, req);
    uri_unescape(&w, req->uri.user);
    if (w.failed)
        return (struct fault){caller_is_stranger(req) ? 480 : 404, NULL};
    return dial(core, req, writer_slice(&w), text, elsewhere);
}
