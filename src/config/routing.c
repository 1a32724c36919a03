/* The routing table, the networks of the access lists, other domains and other nodes. */
#include "config/loading.h"
#include "core/limits.h"
#include "core/peer.h"

/* ---- the routing table */

static bool is_number(struct slice pattern)
{
    for (size_t i = 0; i < pattern.len; i++)
        if (!strchr("0123456789*#xXnNzZoO?", pattern.at[i]))
            return false;
    return true;
}

void routing_check_pattern(struct loading *l, const struct node *node, struct slice pattern)
{
    if (l->has_warned_of_prefix || !is_number(pattern))
        return;
    l->has_warned_of_prefix = true;
    report_warning(l->report, node->place,
                   "the pattern %.*s and others like it match longer numbers, too; where only its "
                   "own length is meant, write %.*s!",
                   (int)pattern.len, pattern.at, (int)pattern.len, pattern.at);
}

/* HOST or HOST:PORT. */
static bool is_server(struct slice text)
{
    bool is_bracketed = text.len && text.at[0] == '[';
    size_t end = is_bracketed ? slice_find(text, ']') + 1 : slice_find(text, ':');
    uint64_t port;

    if (end >= text.len)
        return host_valid(text);
    return host_valid(slice_until(text, end)) && text.at[end] == ':' &&
           slice_number(slice_from(text, end + 1), 65535, &port) && port;
}

static bool check_target(struct loading *l, const struct node *node,
                         const struct node_values *given)
{
    struct uri uri;
    bool has_server = is_server(given->server);

    if (given->target.len)
        has_server = uri_parse(given->target, &uri) && uri.scheme <= SCHEME_SIPS;
    return has_server || report_fault(l->report, node->place,
                                      "%.*s needs a server, or a target; write HOST or HOST:PORT, "
                                      "or a URI like sip:name@192.0.2.1",
                                      (int)node->name.len, node->name.at);
}

static enum rule_kind kind_of(struct slice name)
{
    if (slice_equal_nocase(name, S("rewrite")))
        return RULE_REWRITE;
    if (slice_equal_nocase(name, S("redirect")))
        return RULE_REDIRECT;
    return slice_equal_nocase(name, S("refer")) ? RULE_REFER : RULE_REFUSE;
}

/* A replacement with an @ goes elsewhere, as a URI does. */
static void settle_replacement(struct loading *l, struct rule *rule, struct slice replace)
{
    char text[NAME_LIMIT + 4];
    struct writer w = writer_over(text, sizeof text);
    bool is_uri = slice_find(replace, '@') < replace.len;

    if (is_uri && !slice_starts(replace, S("sip:")) && !slice_starts(replace, S("sips:")))
        write_slice(&w, S("sip:"));
    write_slice(&w, replace);
    if (is_uri)
        rule->kind = RULE_REDIRECT;
    if (!w.failed)
        rule->target = loading_keep(l, writer_slice(&w));
}

static bool read_rule(struct loading *l, const struct node *node, const struct key *key,
                      struct rule *rule)
{
    struct node_values given = {.error = NOT_GIVEN};
    enum rule_kind kind = kind_of(node->name);

    if (!loading_keys(l, node, key->section, &given, &(struct seen){0}))
        return false;
    if (!given.pattern.len && !given.identity.len)
        return report_fault(l->report, node->place,
                            "%.*s without a pattern or an identity; write what it is for",
                            (int)node->name.len, node->name.at);
    if ((kind == RULE_REDIRECT || kind == RULE_REFER) && !check_target(l, node, &given))
        return false;
    if (given.pattern.len)
        routing_check_pattern(l, node, given.pattern);
    *rule = (struct rule){
        .kind = kind,
        .pattern = loading_keep(l, given.pattern),
        .identity = loading_keep(l, given.identity),
        .target = loading_keep(l, given.target),
        .server = loading_keep(l, given.server),
        .affix = {loading_keep(l, given.prefix), loading_keep(l, given.suffix)},
        .status = given.error == NOT_GIVEN ? 403 : (uint16_t)given.error,
        .written = loading_written(l, node),
    };
    if (kind == RULE_REWRITE && given.replace.len)
        settle_replacement(l, rule, given.replace);
    return true;
}

static bool read_rules(struct loading *l, const struct node *section)
{
    struct dialplan *plan = &l->whole->config.settings.dialplan;
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node)) {
        const struct key *key = schema_find(&schema_rules, node->name);

        if (!key) {
            report_warning(l->report, node->place, "<routing> knows no <%.*s>; it is ignored",
                           (int)node->name.len, node->name.at);
            continue;
        }
        if (plan->rule_count == RULES_LIMIT)
            return report_fault(l->report, node->place, "more than %u rules; write fewer",
                                RULES_LIMIT);
        if (!read_rule(l, node, key, &l->rules[plan->rule_count]))
            return false;
        plan->rule_count++;
    }
    return true;
}

bool routing_read(struct loading *l)
{
    l->rules = keep_array(&l->whole->keeper, RULES_LIMIT, sizeof *l->rules);
    l->whole->config.settings.dialplan.rules = l->rules;
    return l->rules && loading_sections(l, S("routing"), read_rules);
}

/* ---- access */

/* What the names of networks are in: the lists, and what the names mean by themselves. */
static unsigned access_by_name(const struct loading *l, struct slice name)
{
    struct slice trusted = l->values.trusted, restricted = l->values.restricted, word;
    struct slice exempt = l->values.exempt;
    unsigned access = 0;

    while (loading_word(&trusted, &word))
        access |= slice_equal(word, name) ? ACCESS_TRUSTED : 0u;
    while (loading_word(&restricted, &word))
        access |= slice_equal(word, name) ? ACCESS_ALLOWED : 0u;
    while (loading_word(&exempt, &word))
        access |= slice_equal(word, name) ? ACCESS_EXEMPT : 0u;
    if (slice_equal(name, S("decline")))
        access |= ACCESS_DECLINED;
    if (slice_equal(name, S("reject")))
        access |= ACCESS_REJECTED;
    return access;
}

/* The number of the site that a name is, from 1; 0 = it is none. */
static unsigned site_by_name(const struct loading *l, struct slice name)
{
    struct slice sites = l->values.sites, word;
    unsigned number = 1;

    for (; loading_word(&sites, &word) && number <= UINT8_MAX; number++)
        if (slice_equal(word, name) && !slice_equal_nocase(word, S("none")))
            return number;
    return 0;
}

/* The bits of a mask like 255.255.255.0; 33 if it is none. */
static unsigned bits_of_mask(const struct address_bytes *mask)
{
    uint32_t word = (uint32_t)mask->at[0] << 24 | (uint32_t)mask->at[1] << 16 |
                    (uint32_t)mask->at[2] << 8 | mask->at[3];
    unsigned bits = 0;

    while (bits < 32 && word & UINT32_C(1) << (31 - bits))
        bits++;
    return bits == 32 || !(word << bits) ? bits : 33;
}

/* An address, an address and its bits, or an address and its mask. */
static bool parse_network(struct slice text, struct address_bytes *address, unsigned *bits)
{
    size_t slash = slice_find(text, '/');
    struct slice length = slash < text.len ? slice_from(text, slash + 1) : NO_SLICE;
    struct address_bytes mask;
    uint64_t number;
    unsigned most;

    if (!host_numeric(slice_until(text, slash), address))
        return false;
    most = address->is_v6 ? 128 : 32;
    *bits = most;
    if (slash == text.len)
        return true;
    if (slice_number(length, most, &number)) {
        *bits = (unsigned)number;
        return true;
    }
    *bits = !address->is_v6 && host_numeric(length, &mask) && !mask.is_v6 ? bits_of_mask(&mask)
                                                                          : most + 1;
    return *bits <= most;
}

static void clear_host_bits(struct subnet *network)
{
    for (unsigned bit = network->bits; bit < 128; bit++)
        network->address[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
}

/* In order, the most specific first; the same network twice is in the lists of both names. */
static bool add_network(struct loading *l, const struct address_bytes *address, unsigned bits,
                        struct slice name, struct written written)
{
    struct settings *settings = &l->whole->config.settings;
    struct subnet fresh = {
        .bits = (uint8_t)bits,
        .is_v6 = address->is_v6,
        .access = (uint8_t)access_by_name(l, name),
        .site = (uint8_t)site_by_name(l, name),
        .written = written,
    };
    unsigned at;

    memcpy(fresh.address, address->at, sizeof fresh.address);
    clear_host_bits(&fresh);
    for (at = 0; at < settings->network_count; at++) {
        struct subnet *other = &l->networks[at];
        if (other->bits == fresh.bits && other->is_v6 == fresh.is_v6 &&
            memcmp(other->address, fresh.address, sizeof fresh.address) == 0) {
            other->access |= fresh.access;
            other->site = other->site ? other->site : fresh.site;
            return true;
        }
    }
    if (at == NETWORKS_LIMIT)
        return false;
    for (; at > 0 && l->networks[at - 1].bits < fresh.bits; at--)
        l->networks[at] = l->networks[at - 1];
    l->networks[at] = fresh;
    settings->network_count++;
    return true;
}

static bool note_name(struct loading *l, struct slice name)
{
    if (l->network_name_count == NETWORKS_LIMIT)
        return false;
    l->network_names[l->network_name_count++] = name;
    return true;
}

static bool read_network(struct loading *l, const struct node *node)
{
    struct slice rest = node->text, word;
    struct address_bytes address;
    unsigned bits;

    while (loading_word_of(&rest, " ,;\t\r\n", &word)) {
        if (!parse_network(word, &address, &bits))
            return report_fault(l->report, node->place,
                                "%.*s is no network; write one like 192.0.2.0/24 or 2001:db8::/32",
                                (int)word.len, word.at);
        if (!note_name(l, node->name) ||
            !add_network(l, &address, bits, node->name, loading_written(l, node)))
            return report_fault(l->report, node->place, "more than %u networks; write fewer",
                                NETWORKS_LIMIT);
    }
    return true;
}

static bool read_access(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node))
        if (!read_network(l, node))
            return false;
    return true;
}

static bool is_everywhere(struct slice name)
{
    return slice_equal(name, S("any")) || slice_equal(name, S("world")) ||
           slice_equal(name, S("nat"));
}

/* Names that are not written in <access>, if a list has them: 127.0.0.0/8 and ::1, all, and the
 * networks of the interfaces.  In no list they mean nothing, and would only hide others. */
static bool add_implicit(struct loading *l, struct slice name)
{
    static const struct address_bytes all[] = {{false, {0}}, {true, {0}}};
    static const struct address_bytes loops[] = {{false, {127}}, {true, {[15] = 1}}};
    static const struct written nowhere;
    bool is_known = false;

    if (slice_equal(name, S("loopback")))
        return add_network(l, &loops[0], 8, name, nowhere) &&
               add_network(l, &loops[1], 128, name, nowhere);
    if (is_everywhere(name))
        return add_network(l, &all[0], 0, name, nowhere) &&
               add_network(l, &all[1], 0, name, nowhere);
    for (unsigned i = 0; i < l->network_name_count; i++)
        is_known |= slice_equal(l->network_names[i], name);
    for (unsigned i = 0; i < l->origin->network_count && !is_known; i++) {
        const struct local_network *local = &l->origin->networks[i];
        if (slice_equal(local->name, name) &&
            !add_network(l, &local->address, local->bits, name, nowhere))
            return false;
    }
    return true;
}

static bool name_exists(const struct loading *l, struct slice name)
{
    for (unsigned i = 0; i < l->network_name_count; i++)
        if (slice_equal(l->network_names[i], name))
            return true;
    for (unsigned i = 0; i < l->origin->network_count; i++)
        if (slice_equal(l->origin->networks[i].name, name))
            return true;
    return slice_equal(name, S("loopback")) || is_everywhere(name);
}

/* A list of names: what nobody knows matches nothing, and it is said. */
static bool settle_list(struct loading *l, struct slice list, const char *key, bool *is_said)
{
    struct slice word;

    while (loading_word(&list, &word)) {
        if (slice_equal_nocase(word, S("none")))
            continue;
        *is_said = true;
        if (!name_exists(l, word)) {
            l->report->file = l->origin->parts[l->origin->main].name;
            report_warning(l->report, (struct place){0},
                           "%s names %.*s, which is no network and matches nothing; define it in "
                           "<access>",
                           key, (int)word.len, word.at);
        }
        if (!add_implicit(l, word))
            return report_fault(l->report, (struct place){0}, "more than %u networks; write fewer",
                                NETWORKS_LIMIT);
    }
    return true;
}

bool access_read(struct loading *l)
{
    struct settings *settings = &l->whole->config.settings;
    bool has_trusted = false, has_exempt = false, has_sites = false;

    l->networks = keep_array(&l->whole->keeper, NETWORKS_LIMIT, sizeof *l->networks);
    l->network_names = keep_array(&l->whole->keeper, NETWORKS_LIMIT, sizeof *l->network_names);
    settings->networks = l->networks;
    return l->networks && l->network_names && loading_sections(l, S("access"), read_access) &&
           settle_list(l, l->values.trusted, "trusted", &has_trusted) &&
           settle_list(l, l->values.exempt, "exempt", &has_exempt) &&
           settle_list(l, l->values.sites, "sites", &has_sites) &&
           settle_list(l, l->values.restricted, "restricted", &settings->is_restricted);
}

/* ---- other domains */

static bool policy_named(struct slice name, uint8_t *policy)
{
    static const struct slice names[] = {
        [POLICY_OPPORTUNISTIC] = S("opportunistic"),
        [POLICY_VERIFIED] = S("verified"),
        [POLICY_DANE] = S("dane"),
    };

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (slice_equal_nocase(name, names[i])) {
            *policy = (uint8_t)i;
            return true;
        }
    return false;
}

static bool fault_of_policy(struct loading *l, struct place place, struct slice text)
{
    return report_fault(l->report, place, "tls is \"%.*s\"; write opportunistic, verified or dane",
                        (int)text.len, text.at);
}

static bool read_domain(struct loading *l, const struct node *node)
{
    struct settings *settings = &l->whole->config.settings;
    struct domain_settings *domain = &l->domains[settings->domain_count];
    struct node_values values = {0};
    struct seen seen = {0};

    if (!loading_keys(l, node, schema_find(&schema_domains, S("domain"))->section, &values, &seen))
        return false;
    if (!host_valid(values.id))
        return report_fault(l->report, node->place, "a domain without a name; add name");
    if (settings->domain_count == DOMAINS_LIMIT)
        return report_fault(l->report, node->place, "more than %u domains; write fewer",
                            DOMAINS_LIMIT);
    *domain = (struct domain_settings){
        .name = loading_keep(l, values.id),
        .policy = settings->policy,
        .written = loading_written(l, node),
        .must_sign = slice_equal_nocase(values.identity, S("required")),
    };
    if (values.identity.len && !domain->must_sign &&
        !slice_equal_nocase(values.identity, S("optional")))
        return report_fault(l->report, node->place,
                            "identity of a domain is \"%.*s\"; write required or optional",
                            (int)values.identity.len, values.identity.at);
    if (values.tls.len && !policy_named(values.tls, &domain->policy))
        return fault_of_policy(l, node->place, values.tls);
    settings->domain_count++;
    return true;
}

static bool read_domains(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node)) {
        if (!schema_find(&schema_domains, node->name))
            report_warning(l->report, node->place, "<domains> has no <%.*s>; it is ignored",
                           (int)node->name.len, node->name.at);
        else if (!read_domain(l, node))
            return false;
    }
    return true;
}

bool domains_read(struct loading *l)
{
    struct settings *settings = &l->whole->config.settings;
    struct slice policy = l->values.policy;

    if (policy.len && !policy_named(policy, &settings->policy)) {
        l->report->file = l->origin->parts[l->origin->main].name;
        return fault_of_policy(l, (struct place){0}, policy);
    }
    l->domains = keep_array(&l->whole->keeper, DOMAINS_LIMIT, sizeof *l->domains);
    settings->domains = l->domains;
    return l->domains && loading_sections(l, S("domains"), read_domains);
}

/* ---- other nodes */

static bool add_fellow(struct loading *l, const struct node *node, struct fellow fellow)
{
    struct settings *settings = &l->whole->config.settings;

    if (settings->fellow_count == FELLOWS_LIMIT)
        return report_fault(l->report, node->place, "more than %u nodes and addresses; write fewer",
                            FELLOWS_LIMIT);
    l->fellows[settings->fellow_count++] = fellow;
    return true;
}

/* One that has addresses is there once for each. */
static bool add_addresses(struct loading *l, const struct node *node, struct slice addresses,
                          struct fellow fellow)
{
    struct slice word;

    while (loading_word_of(&addresses, " ,;\t\r\n", &word)) {
        fellow.has_address = host_numeric(word, &fellow.address);
        if (!fellow.has_address)
            return report_fault(l->report, node->place,
                                "%.*s is no address of a node; write one like 192.0.2.1 or "
                                "2001:db8::1",
                                (int)word.len, word.at);
        if (!add_fellow(l, node, fellow))
            return false;
    }
    return true;
}

static bool read_fellow(struct loading *l, const struct node *node)
{
    struct node_values values = {0};
    struct address_bytes address;
    struct fellow fellow = {.has_address = false};

    if (!loading_keys(l, node, schema_find(&schema_fellows, S("node"))->section, &values,
                      &(struct seen){0}))
        return false;
    if (!values.id.len && !values.address.len)
        return report_fault(l->report, node->place,
                            "a node without a name and an address; write the domain that its "
                            "certificate names, or where it is");
    if (values.id.len && (!host_valid(values.id) || host_numeric(values.id, &address)))
        return report_fault(l->report, node->place,
                            "the name of a node is \"%.*s\"; write the domain that its certificate "
                            "names",
                            (int)values.id.len, values.id.at);
    fellow.name = loading_keep(l, values.id);
    return values.address.len ? add_addresses(l, node, values.address, fellow)
                              : add_fellow(l, node, fellow);
}

static bool read_fellows(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node)) {
        if (!schema_find(&schema_fellows, node->name))
            report_warning(l->report, node->place, "<nodes> has no <%.*s>; it is ignored",
                           (int)node->name.len, node->name.at);
        else if (!read_fellow(l, node))
            return false;
    }
    return true;
}

bool fellows_read(struct loading *l)
{
    l->fellows = keep_array(&l->whole->keeper, FELLOWS_LIMIT, sizeof *l->fellows);
    l->whole->config.settings.fellows = l->fellows;
    return l->fellows && loading_sections(l, S("nodes"), read_fellows);
}
