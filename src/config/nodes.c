/* What stands in <provision>: profiles, users, gateways and the other nodes; and the accounts of
 * the system. */
#include "base/hash.h"
#include "config/loading.h"
#include "core/limits.h"

#include <stdlib.h>

struct stored {
    struct slice id;
    uint8_t ha1[16];
};

static const struct hash_key any_key = {1, 2};

static const struct kind {
    const char *name;
    enum user_kind kind;
    const char *profile; /* unless it says otherwise */
} kinds[] = {
    {"user", USER_PERSON, "*"},
    {"admin", USER_PERSON, "admin"},
    {"service", USER_DEVICE, "service"},
    {"device", USER_DEVICE, "device"},
    {"gateway", USER_GATEWAY, "gateway"},
    {"reject", USER_REJECT, NULL},
    {"test", USER_TEST, NULL},
    {"alias", USER_ALIAS, NULL},
};

static const struct kind *kind_of(struct slice name)
{
    for (unsigned i = 0; i < COUNT_OF(kinds); i++)
        if (slice_equal_nocase(slice_text(kinds[i].name), name))
            return &kinds[i];
    return NULL;
}

static bool is_id(struct slice id)
{
    if (id.len == 0 || id.len > NAME_LIMIT)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if ((unsigned char)id.at[i] <= ' ' || id.at[i] == 0x7f || strchr("@:", id.at[i]))
            return false;
    return true;
}

/* ---- profiles */

static struct profile *find_profile(struct loading *l, struct slice id)
{
    for (unsigned i = 0; i < l->profile_count; i++)
        if (slice_equal(l->profiles[i].id, id))
            return &l->profiles[i];
    return NULL;
}

/* As all values that are yes or no. */
static bool is_no(struct slice text)
{
    return strchr("nNfF0", text.at[0]) != NULL;
}

static bool read_profile(struct loading *l, const struct node *node)
{
    struct node_values given = {.level = NOT_GIVEN};
    const struct key *key = schema_find(&schema_nodes, S("profile"));
    struct profile *profile;

    if (!slice_equal_nocase(node->name, S("profile")))
        return true;
    if (!loading_keys(l, node, key->section, &given, &(struct seen){0}))
        return false;
    profile = find_profile(l, given.id);
    if (!given.id.len || (!profile && l->profile_count == PROFILES_LIMIT)) {
        report_warning(l->report, node->place,
                       "a profile is ignored; give it an id, and define %u at most",
                       PROFILES_LIMIT);
        return true;
    }
    if (!profile) {
        profile = &l->profiles[l->profile_count++];
        *profile = l->profiles[0];
        profile->id = loading_keep(l, given.id);
    }
    profile->written = loading_written(l, node);
    if (given.level != NOT_GIVEN)
        profile->level = (uint8_t)given.level;
    if (given.incoming.len)
        profile->is_closed = is_no(given.incoming);
    if (given.outgoing.len)
        profile->is_inside_only = is_no(given.outgoing);
    return true;
}

static bool read_profiles(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node))
        if (!read_profile(l, node))
            return false;
    return true;
}

/* For answers that name them. */
static bool keep_profiles(struct loading *l)
{
    struct settings *settings = &l->whole->config.settings;
    struct profile_settings *kept = keep_array(&l->whole->keeper, l->profile_count, sizeof *kept);

    if (!kept)
        return false;
    for (unsigned i = 0; i < l->profile_count; i++)
        kept[i] =
            (struct profile_settings){loading_keep(l, l->profiles[i].id), l->profiles[i].written};
    settings->profiles = kept;
    settings->profile_count = l->profile_count;
    return true;
}

bool profiles_read(struct loading *l)
{
    static const struct profile built_in[] = {
        {.id = S("*"), .level = 1},
        {.id = S("admin"), .level = LEVEL_LIMIT},
        {S("local"), {0, 0}, 1, true, true},
        {S("restricted"), {0, 0}, 0, true, true},
        {S("device"), {0, 0}, 0, true, true},
        {.id = S("service")},
        {S("gateway"), {0, 0}, 0, true, true},
    };

    memcpy(l->profiles, built_in, sizeof built_in);
    l->profile_count = COUNT_OF(built_in);
    return loading_sections(l, S("provision"), read_profiles) && keep_profiles(l);
}

static void set_profile(struct loading *l, const struct node *node, const struct kind *kind,
                        const struct node_values *given, struct user_settings *user)
{
    const struct profile *profile =
        find_profile(l, given->profile.len ? given->profile : slice_text(kind->profile));

    if (!profile) {
        report_warning(l->report, node->place,
                       "there is no profile %.*s; define it, or %.*s has that of all",
                       (int)given->profile.len, given->profile.at, (int)user->id.len, user->id.at);
        profile = &l->profiles[0];
    }
    user->level = given->level == NOT_GIVEN ? profile->level : (uint8_t)given->level;
    user->is_closed = profile->is_closed;
    user->is_inside_only = profile->is_inside_only;
    user->profile = (uint8_t)(profile - l->profiles);
}

/* ---- who is there already */

static uint32_t *known_slot(struct loading *l, struct slice id, struct slice extension)
{
    const struct user_settings *users = l->whole->config.users;
    bool by_id = id.len > 0;
    uint32_t at = (uint32_t)hash_bytes(&any_key, by_id ? id : extension) ^ (by_id ? 0 : 1);

    for (;; at++) {
        uint32_t *slot = &l->known[at & l->known_mask];

        if (!*slot || (by_id ? slice_equal(users[*slot - 1].id, id)
                             : slice_equal(users[*slot - 1].extension, extension)))
            return slot;
    }
}

/* ---- stored digests */

static struct stored *stored_slot(struct loading *l, struct slice id)
{
    uint32_t at = (uint32_t)hash_bytes(&any_key, id);

    for (;; at++) {
        struct stored *slot = &l->stored[at & l->stored_mask];
        if (!slot->id.len || slice_equal(slot->id, id))
            return slot;
    }
}

static void read_stored_line(struct loading *l, struct slice line, unsigned number)
{
    size_t colon = slice_find(line, ':');
    struct stored read = {.id = slice_until(line, colon)};

    if (!line.len)
        return;
    if (!is_id(read.id) || colon == line.len ||
        !hex_decode(slice_from(line, colon + 1), read.ha1, sizeof read.ha1)) {
        report_warning(l->report, (struct place){0},
                       "line %u of the stored digests is ignored; write id:MD5 in hex", number);
        return;
    }
    struct stored *slot = stored_slot(l, read.id);
    if (!slot->id.len)
        *slot = read;
}

static bool read_stored(struct loading *l)
{
    struct slice rest = NO_SLICE, line;
    uint32_t lines = 1, size = 16;

    if (l->origin->stored_digests)
        rest = l->origin->stored_digests(l->origin->self, l->whole->config.settings.realm);
    for (size_t i = 0; i < rest.len; i++)
        lines += rest.at[i] == '\n';
    while (size < 2 * lines)
        size *= 2;
    l->stored = calloc(size, sizeof *l->stored);
    l->stored_mask = size - 1;
    if (!l->stored)
        return false;
    for (unsigned number = 1; report_next(&rest, &line); number++)
        read_stored_line(l, slice_trim(line), number);
    return true;
}

static void set_digests(struct loading *l, const struct node *node, const struct node_values *given,
                        struct user_settings *user)
{
    struct slice realm = l->whole->config.settings.realm;
    const struct stored *stored = stored_slot(l, user->id);

    if (stored->id.len) {
        memcpy(user->ha1[ALGORITHM_MD5], stored->ha1, sizeof stored->ha1);
        user->has_ha1[ALGORITHM_MD5] = true;
    } else if (given->digest.len) {
        user->has_ha1[ALGORITHM_MD5] = hex_decode(given->digest, user->ha1[ALGORITHM_MD5], 16);
        if (!user->has_ha1[ALGORITHM_MD5])
            report_warning(l->report, node->place,
                           "the digest of %.*s is ignored; write the 32 hex digits of MD5 of "
                           "id:realm:password",
                           (int)user->id.len, user->id.at);
    } else if (given->secret.len) {
        for (unsigned a = 0; a < ALGORITHM_COUNT; a++) {
            digest_ha1(l->origin->digests, (enum algorithm)a, user->id, realm, given->secret,
                       user->ha1[a]);
            user->has_ha1[a] = true;
        }
    } else if (user->source == SOURCE_FILE && !user->contacts.len) {
        report_warning(l->report, node->place,
                       "%.*s has neither secret nor digest and cannot register", (int)user->id.len,
                       user->id.at);
    }
}

/* ---- extensions */

static bool extension_is_ours(const struct loading *l, struct slice extension)
{
    const struct values *v = &l->values;
    uint64_t number;

    return slice_number(extension, UINT64_MAX, &number) && number >= v->prefix &&
           number - v->prefix < v->range;
}

static void take_extension(struct loading *l, struct slice extension, struct user_settings *user)
{
    *known_slot(l, NO_SLICE, extension) = l->whole->config.user_count + 1;
    user->extension = loading_keep(l, extension);
}

static void set_extension(struct loading *l, const struct node *node, struct slice extension,
                          struct user_settings *user)
{
    const struct values *v = &l->values;
    uint64_t number;

    if (!extension.len)
        return;
    if (!slice_number(extension, UINT64_MAX, &number)) {
        report_warning(l->report, node->place,
                       "extension %.*s of %.*s is ignored; write digits only", (int)extension.len,
                       extension.at, (int)user->id.len, user->id.at);
    } else if (!v->range) {
        report_warning(l->report, node->place,
                       "extension %.*s of %.*s is ignored: range in <registry> is 0, so that there "
                       "are none; write how many",
                       (int)extension.len, extension.at, (int)user->id.len, user->id.at);
    } else if (!extension_is_ours(l, extension)) {
        report_warning(l->report, node->place,
                       "extension %.*s of %.*s is ignored; write one from %llu to %llu, or change "
                       "prefix and range in <registry>",
                       (int)extension.len, extension.at, (int)user->id.len, user->id.at,
                       (unsigned long long)v->prefix,
                       (unsigned long long)(v->prefix + v->range - 1));
    } else if (*known_slot(l, NO_SLICE, extension)) {
        report_warning(l->report, node->place, "extension %.*s is taken; that of %.*s is ignored",
                       (int)extension.len, extension.at, (int)user->id.len, user->id.at);
    } else {
        take_extension(l, extension, user);
    }
}

/* ---- contacts */

static void add_contact(struct loading *l, const struct node *node, struct slice contact,
                        struct writer *w)
{
    struct writer before = *w;
    struct uri uri;

    if (!slice_starts(contact, S("sip:")) && !slice_starts(contact, S("sips:")))
        write_slice(w, S("sip:"));
    write_slice(w, contact);
    if (w->failed || !uri_parse(slice_of(w->at + before.len, w->len - before.len), &uri)) {
        report_warning(l->report, node->place,
                       "the contact %.*s is ignored; write a SIP URI, like sip:name@192.0.2.1",
                       (int)contact.len, contact.at);
        *w = before;
        return;
    }
    write_char(w, '\n');
}

static void set_contacts(struct loading *l, const struct node *node,
                         const struct node_values *given, struct user_settings *user)
{
    char text[CONTACTS_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    if (given->contact.len)
        add_contact(l, node, given->contact, &w);
    if (given->contacts && !given->contacts->first_child && given->contacts->text.len)
        add_contact(l, given->contacts, given->contacts->text, &w);
    for (const struct node *n = given->contacts ? document_first(l->document, given->contacts)
                                                : NULL;
         n; n = document_next(l->document, n))
        add_contact(l, n, n->text, &w);
    user->contacts = loading_keep(l, writer_slice(&w));
}

/* ---- routes */

static bool read_route(struct loading *l, const struct node *node, struct slice gateway)
{
    struct dialplan *plan = &l->whole->config.settings.dialplan;
    struct node_values given = {.priority = 0};
    struct route *route = l->routes;

    if (!loading_keys(l, node, &schema_route, &given, &(struct seen){0}))
        return false;
    if (!given.pattern.len)
        return report_fault(l->report, node->place,
                            "a route without a pattern; write the numbers "
                            "it is for");
    if (plan->route_count == l->route_limit)
        return report_fault(l->report, node->place, "more than %u routes; write fewer",
                            ROUTES_LIMIT);
    routing_check_pattern(l, node, given.pattern);
    /* By priority, the highest first; of the same one in the order of the file. */
    unsigned at = plan->route_count++;
    for (; at > 0 && route[at - 1].priority < given.priority; at--)
        route[at] = route[at - 1];
    route[at] = (struct route){
        .pattern = loading_keep(l, given.pattern),
        .gateway = gateway,
        .affix = {loading_keep(l, given.prefix), loading_keep(l, given.suffix)},
        .priority = (uint8_t)given.priority,
        .written = loading_written(l, node),
    };
    return true;
}

static bool read_routes(struct loading *l, const struct node *list, struct slice gateway)
{
    const struct node *node = list ? document_first(l->document, list) : NULL;

    for (; node; node = document_next(l->document, node))
        if (!read_route(l, node, gateway))
            return false;
    return true;
}

/* ---- nodes */

/* False if it cannot be: it is said why. */
static bool name_is_free(struct loading *l, const struct node *node, struct slice id)
{
    if (!is_id(id))
        report_warning(l->report, node->place,
                       "a %.*s is ignored; give it an id of 1 to %u characters without blanks, @ "
                       "and :",
                       (int)node->name.len, node->name.at, NAME_LIMIT);
    else if (*known_slot(l, id, NO_SLICE))
        report_warning(l->report, node->place, "%.*s is there already; the first one counts",
                       (int)id.len, id.at);
    else
        return true;
    return false;
}

static uint16_t status_of(const struct kind *kind, uint64_t error)
{
    if (kind->kind == USER_REJECT)
        return error == NOT_GIVEN ? 403 : (uint16_t)error;
    return error == NOT_GIVEN || error < 300 ? 480 : (uint16_t)error;
}

static bool read_node(struct loading *l, const struct node *node, const struct kind *kind)
{
    struct config *config = &l->whole->config;
    struct user_settings *user = &config->users[config->user_count];
    struct node_values given = {.level = NOT_GIVEN, .error = NOT_GIVEN};
    const struct key *key = schema_find(&schema_nodes, node->name);

    if (!loading_keys(l, node, key->section, &given, &(struct seen){0}))
        return false;
    if (!name_is_free(l, node, given.id))
        return true;
    *known_slot(l, given.id, NO_SLICE) = config->user_count + 1;
    *user = (struct user_settings){
        .id = loading_keep(l, given.id),
        .display = loading_keep(l, given.display),
        .kind = kind->kind,
        .status = status_of(kind, given.error),
        .written = loading_written(l, node),
    };
    set_contacts(l, node, &given, user);
    set_extension(l, node, given.extension, user);
    if (kind->profile) {
        set_profile(l, node, kind, &given, user);
        set_digests(l, node, &given, user);
    }
    config->user_count++;
    return read_routes(l, given.routes, user->id);
}

static bool read_provision(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node)) {
        const struct kind *kind = kind_of(node->name);
        const struct key *key = schema_find(&schema_nodes, node->name);

        if (!key)
            report_warning(l->report, node->place, "<provision> knows no <%.*s>; it is ignored",
                           (int)node->name.len, node->name.at);
        else if (key->kind == KEY_NOTED)
            loading_note(l, node, key, section->name);
        else if (kind && !read_node(l, node, kind))
            return false;
    }
    return true;
}

/* ---- accounts of the system */

static struct slice account_extension(const struct loading *l, const struct account *account,
                                      char *text, size_t limit)
{
    struct writer w = writer_over(text, limit);

    if (account->number.len)
        return account->number;
    if (account->place != UINT32_MAX)
        write_number(&w, l->values.prefix + account->place);
    return writer_slice(&w);
}

static void add_account(struct loading *l, const struct account *account, const struct node *node,
                        const struct node_values *given)
{
    const struct kind *kind = kind_of(account->is_admin ? S("admin") : S("user"));
    struct config *config = &l->whole->config;
    struct user_settings *user = &config->users[config->user_count];
    char text[32];
    struct slice extension = account_extension(l, account, text, sizeof text);

    if (!is_id(account->name) || *known_slot(l, account->name, NO_SLICE))
        return; /* the files count more */
    *known_slot(l, account->name, NO_SLICE) = config->user_count + 1;
    *user = (struct user_settings){
        .id = loading_keep(l, account->name),
        .display = loading_keep(l, account->display),
        .source = SOURCE_ACCOUNT,
    };
    if (extension_is_ours(l, extension) && !*known_slot(l, NO_SLICE, extension))
        take_extension(l, extension, user);
    set_profile(l, node, kind, given, user);
    set_digests(l, node, given, user);
    config->user_count++;
}

struct template
{
    struct slice name;
    const struct node *node;
    struct node_values given;
};

/* What accounts of one kind get; that of the first part that says it. */
static bool read_templates(struct loading *l, struct template *template)
{
    static const struct node nothing;

    template->node = &nothing;
    template->given = (struct node_values){.level = NOT_GIVEN, .error = NOT_GIVEN};
    for (unsigned part = 0; part < l->origin->part_count; part++) {
        const struct node *section, *node;

        l->document = &l->documents[part];
        section = document_first(l->document, document_root(l->document));
        for (; section; section = document_next(l->document, section)) {
            if (!slice_equal(section->name, S("templates")))
                continue;
            l->report->file = l->origin->parts[part].name;
            node = document_first(l->document, section);
            for (; node; node = document_next(l->document, node)) {
                const struct key *key = schema_find(&schema_templates, node->name);
                if (!key || !slice_equal_nocase(node->name, template->name))
                    continue;
                template->node = node;
                return loading_keys(l, node, key->section, &template->given, &(struct seen){0});
            }
        }
    }
    return true;
}

static bool read_accounts(struct loading *l)
{
    struct template user = {.name = S("user")}, admin = {.name = S("admin")};

    if (!l->origin->account_count)
        return true;
    if (!read_templates(l, &user) || !read_templates(l, &admin))
        return false;
    for (unsigned i = 0; i < l->origin->account_count; i++) {
        const struct account *account = &l->origin->accounts[i];
        const struct template *template = account->is_admin ? &admin : &user;
        add_account(l, account, template->node, &template->given);
    }
    return true;
}

/* ---- the whole */

/* Room for all: no more than there are elements of such names. */
static bool make_room(struct loading *l)
{
    struct config *config = &l->whole->config;
    uint32_t users = l->origin->account_count, routes = 0, size = 64;

    for (unsigned part = 0; part < l->origin->part_count; part++)
        for (uint32_t i = 1; i < l->documents[part].count; i++) {
            users += kind_of(l->documents[part].nodes[i].name) != NULL;
            routes += slice_equal_nocase(l->documents[part].nodes[i].name, S("route"));
        }
    while (size < 4 * users)
        size *= 2;
    l->route_limit = (uint32_t)min_u64(routes, ROUTES_LIMIT);
    l->known = calloc(size, sizeof *l->known);
    l->known_mask = size - 1;
    config->users = keep_array(&l->whole->keeper, users + 1, sizeof *config->users);
    l->routes = keep_array(&l->whole->keeper, l->route_limit, sizeof *l->routes);
    config->settings.dialplan.routes = l->routes;
    return l->known && config->users && l->routes;
}

bool nodes_read(struct loading *l)
{
    return make_room(l) && read_stored(l) && loading_sections(l, S("provision"), read_provision) &&
           read_accounts(l);
}
