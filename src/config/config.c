#include "config/config.h"

#include "base/arena.h"
#include "base/hash.h"
#include "config/document.h"
#include "config/schema.h"
#include "core/limits.h"

#include <stdlib.h>

#define LATER_LIMIT 128u /* keys without effect that are noted, each once */
#define NAMES_LIMIT 64u

struct whole {
    struct config config; /* first: what config_free gets */
    size_t size;
    struct arena arena;
};

struct loading {
    const struct document *document;
    struct report *report;
    const struct digest_table *digests;
    struct values values;
    const char *noted[LATER_LIMIT];
    unsigned noted_count;
    struct whole *whole;
    uint32_t *known; /* users by id and by extension: index + 1, 0 = none */
    uint32_t known_mask;
};

/* ---- keys, by the schema */

static void note_later(struct loading *l, const struct node *node, const char *name,
                       struct slice section)
{
    for (unsigned i = 0; i < l->noted_count; i++)
        if (l->noted[i] == name)
            return;
    if (l->noted_count == LATER_LIMIT)
        return;
    l->noted[l->noted_count++] = name;
    report_warning(l->report, node->place, "%s in <%.*s> has no effect in this version", name,
                   (int)section.len, section.at);
}

static bool read_number(struct loading *l, const struct node *node, const struct key *key,
                        uint64_t *number)
{
    if (slice_number(node->text, key->most, number) && *number >= key->least)
        return true;
    return report_fault(l->report, node->place, "%s is \"%.*s\"; write a number from %llu to %llu",
                        key->name, (int)node->text.len, node->text.at,
                        (unsigned long long)key->least, (unsigned long long)key->most);
}

static bool read_value(struct loading *l, const struct node *node, const struct key *key,
                       struct slice section, void *values)
{
    void *at = (char *)values + key->offset;

    switch (key->kind) {
    case KEY_TEXT: *(struct slice *)at = node->text; return true;
    case KEY_NUMBER: return read_number(l, node, key, at);
    case KEY_BOOLEAN:
        *(bool *)at = !(node->text.len && strchr("nNfF0", node->text.at[0]));
        return true;
    case KEY_LATER:
    case KEY_SECTION:
    case KEY_USERS: break;
    }
    note_later(l, node, key->name, section);
    return true;
}

static bool read_keys(struct loading *l, const struct node *parent, const struct schema *schema,
                      void *values)
{
    const struct node *child = document_first(l->document, parent);
    uint64_t seen = 0;

    assert(schema->count <= 64);
    for (; child; child = document_next(l->document, child)) {
        const struct key *key = schema_find(schema, child->name);

        if (!key) {
            report_warning(l->report, child->place, "<%.*s> has no key %.*s; it is ignored",
                           (int)parent->name.len, parent->name.at, (int)child->name.len,
                           child->name.at);
            continue;
        }
        uint64_t bit = UINT64_C(1) << (key - schema->keys);
        if (seen & bit) {
            report_warning(l->report, child->place, "%s is given again; the first one counts",
                           key->name);
            continue;
        }
        seen |= bit;
        if (!read_value(l, child, key, parent->name, values))
            return false;
    }
    return true;
}

/* ---- users */

static uint32_t *known_slot(struct loading *l, struct slice id, struct slice extension)
{
    static const struct hash_key key = {1, 2};
    const struct user_settings *users = l->whole->config.users;
    bool by_id = id.len > 0;
    uint32_t at = (uint32_t)hash_bytes(&key, by_id ? id : extension) ^ (by_id ? 0 : 1);

    for (;; at++) {
        uint32_t *slot = &l->known[at & l->known_mask];

        if (!*slot || (by_id ? slice_equal(users[*slot - 1].id, id)
                             : slice_equal(users[*slot - 1].extension, extension)))
            return slot;
    }
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

static struct slice keep(struct loading *l, struct slice text)
{
    struct arena *arena = &l->whole->arena;

    /* Texts stand one after another, after what needs alignment. */
    assert(text.len <= arena->limit - arena->used);
    char *at = arena->at + arena->used;
    if (text.len)
        memcpy(at, text.at, text.len);
    arena->used += text.len;
    return slice_of(at, text.len);
}

static void set_digests(struct loading *l, const struct node *node, const struct user_values *given,
                        struct user_settings *user)
{
    struct slice realm = l->whole->config.settings.realm;

    if (given->digest.len) {
        user->has_ha1[ALGORITHM_MD5] = hex_decode(given->digest, user->ha1[ALGORITHM_MD5], 16);
        if (!user->has_ha1[ALGORITHM_MD5])
            report_warning(l->report, node->place,
                           "the digest of %.*s is ignored; write the 32 hex digits of MD5 of "
                           "id:realm:password",
                           (int)user->id.len, user->id.at);
    } else if (given->secret.len) {
        for (unsigned a = 0; a < ALGORITHM_COUNT; a++) {
            digest_ha1(l->digests, (enum algorithm)a, user->id, realm, given->secret, user->ha1[a]);
            user->has_ha1[a] = true;
        }
    } else {
        report_warning(l->report, node->place,
                       "%.*s has neither secret nor digest and cannot register", (int)user->id.len,
                       user->id.at);
    }
}

static void set_extension(struct loading *l, const struct node *node, struct slice extension,
                          struct user_settings *user)
{
    const struct values *v = &l->values;
    uint64_t number, last = v->range ? v->prefix + v->range - 1 : UINT64_MAX;

    if (!extension.len)
        return;
    if (!slice_number(extension, UINT64_MAX, &number)) {
        report_warning(l->report, node->place,
                       "extension %.*s of %.*s is ignored; write digits only", (int)extension.len,
                       extension.at, (int)user->id.len, user->id.at);
    } else if (v->range && (number < v->prefix || number > last)) {
        report_warning(l->report, node->place,
                       "extension %.*s of %.*s is ignored; write one from %llu to %llu, or change "
                       "prefix and range in <registry>",
                       (int)extension.len, extension.at, (int)user->id.len, user->id.at,
                       (unsigned long long)v->prefix, (unsigned long long)last);
    } else if (*known_slot(l, NO_SLICE, extension)) {
        report_warning(l->report, node->place, "extension %.*s is taken; that of %.*s is ignored",
                       (int)extension.len, extension.at, (int)user->id.len, user->id.at);
    } else {
        *known_slot(l, NO_SLICE, extension) = l->whole->config.user_count + 1;
        user->extension = keep(l, extension);
    }
}

static bool read_user(struct loading *l, const struct node *node)
{
    struct config *config = &l->whole->config;
    struct user_settings *user = &config->users[config->user_count];
    struct user_values given = {0};

    if (!read_keys(l, node, &schema_user, &given))
        return false;
    if (!is_id(given.id)) {
        report_warning(l->report, node->place,
                       "a user is ignored; give it an id of 1 to %u characters without blanks, @ "
                       "and :",
                       NAME_LIMIT);
        return true;
    }
    uint32_t *slot = known_slot(l, given.id, NO_SLICE);
    if (*slot) {
        report_warning(l->report, node->place, "%.*s is there already; the first one counts",
                       (int)given.id.len, given.id.at);
        return true;
    }
    *slot = config->user_count + 1;
    *user = (struct user_settings){.id = keep(l, given.id), .display = keep(l, given.display)};
    set_digests(l, node, &given, user);
    set_extension(l, node, given.extension, user);
    config->user_count++;
    return true;
}

static bool read_provision(struct loading *l, const struct node *section)
{
    const struct node *node = document_first(l->document, section);

    for (; node; node = document_next(l->document, node)) {
        switch (schema_node_kind(node->name)) {
        case NODE_USER:
            if (!read_user(l, node))
                return false;
            break;
        case NODE_LATER:
            report_warning(l->report, node->place, "<%.*s> has no effect in this version",
                           (int)node->name.len, node->name.at);
            break;
        case NODE_UNKNOWN:
            report_warning(l->report, node->place, "<provision> knows no <%.*s>; it is ignored",
                           (int)node->name.len, node->name.at);
            break;
        }
    }
    return true;
}

/* ---- settings */

static bool check_realm(struct loading *l, struct slice realm)
{
    static const char what[] = "the realm cannot be used; write up to %u characters without "
                               "quotation marks and backslashes";
    bool ok = realm.len > 0 && realm.len <= NAME_LIMIT;

    for (size_t i = 0; ok && i < realm.len; i++)
        ok = (unsigned char)realm.at[i] >= ' ' && !strchr("\"\\\x7f", realm.at[i]);
    return ok || report_fault(l->report, (struct place){0}, what, NAME_LIMIT);
}

static bool read_digest(struct loading *l, bool *sha256_first)
{
    struct slice name = l->values.digest;

    *sha256_first = slice_equal_nocase(name, S("sha-256")) || slice_equal_nocase(name, S("sha256"));
    if (!name.len || *sha256_first || slice_equal_nocase(name, S("md5")))
        return true;
    return report_fault(l->report, (struct place){0},
                        "digest in <registry> is \"%.*s\"; write MD5 or SHA-256", (int)name.len,
                        name.at);
}

static void read_localnames(struct loading *l, struct slice *names)
{
    struct settings *settings = &l->whole->config.settings;
    struct slice rest = l->values.localnames;

    settings->localnames = names;
    while (rest.len) {
        size_t end = 0;

        while (end < rest.len && !strchr(" ,;:\t\r\n", rest.at[end]))
            end++;
        if (end && settings->localname_count == NAMES_LIMIT) {
            report_warning(l->report, (struct place){0},
                           "localnames beyond the first %u are ignored", NAMES_LIMIT);
            return;
        }
        if (end)
            names[settings->localname_count++] = keep(l, slice_until(rest, end));
        rest = slice_from(rest, end < rest.len ? end + 1 : end);
    }
}

/* A list of transports; GNU SIP Witch took one, and listened on UDP and TCP all the same. */
static bool read_transports(struct loading *l, struct config *config)
{
    struct slice rest = l->values.transport;

    while (rest.len) {
        size_t end = 0;

        while (end < rest.len && !strchr(" ,;\t\r\n", rest.at[end]))
            end++;
        struct slice name = slice_until(rest, end);
        rest = slice_from(rest, end < rest.len ? end + 1 : end);
        if (slice_equal_nocase(name, S("udp")))
            config->has_udp = true;
        else if (slice_equal_nocase(name, S("tcp")))
            config->has_tcp = true;
        else if (slice_equal_nocase(name, S("tls")))
            report_warning(l->report, (struct place){0},
                           "transport tls has no effect in this version");
        else if (name.len)
            return report_fault(l->report, (struct place){0},
                                "transport in <stack> is \"%.*s\"; write udp, tcp or both",
                                (int)name.len, name.at);
    }
    if (!config->has_udp && !config->has_tcp)
        config->has_udp = config->has_tcp = true;
    return true;
}

static bool is_said(struct slice name)
{
    return name.len && !slice_equal_nocase(name, S("none"));
}

static bool read_settings(struct loading *l, struct slice realm, struct slice *names)
{
    struct config *config = &l->whole->config;
    struct settings *settings = &config->settings;
    const struct values *v = &l->values;

    *settings = settings_default();
    settings->realm = keep(l, v->realm.len ? v->realm : realm);
    if (v->agent.len)
        settings->agent = keep(l, v->agent);
    if (v->expires)
        settings->expires = (uint32_t)v->expires;
    if (settings->expires < settings->expires_shortest)
        settings->expires_shortest = settings->expires;
    if (settings->expires > settings->expires_longest)
        settings->expires_longest = settings->expires;
    settings->is_public = is_said(v->published) || is_said(v->public);
    config->interface = keep(l, v->interface);
    config->port = (uint16_t)v->port;
    config->bindings = (uint32_t)v->mapped;
    read_localnames(l, names);
    return check_realm(l, settings->realm) && read_digest(l, &settings->sha256_first) &&
           read_transports(l, config);
}

/* ---- the whole */

static uint32_t count_users(const struct document *document)
{
    uint32_t count = 0;

    for (uint32_t i = 1; i < document->count; i++)
        if (schema_node_kind(document->nodes[i].name) == NODE_USER)
            count++;
    return count;
}

/* Room for what is kept: no text is kept that is not in the file, and none twice. */
static bool make_whole(struct loading *l, uint32_t users, struct slice realm, struct slice **names)
{
    size_t size = sizeof(struct whole) + 64 + (size_t)users * sizeof(struct user_settings) + 64 +
                  NAMES_LIMIT * sizeof **names + 64 + l->document->texts_length + realm.len +
                  l->values.interface.len;
    struct whole *whole = calloc(1, size);

    if (!whole)
        return report_fault(l->report, (struct place){0}, "no memory for %u users", users);
    whole->size = size;
    whole->arena = arena_over(whole, size);
    whole->arena.used = sizeof *whole;
    whole->config.users = arena_take(&whole->arena, users * sizeof *whole->config.users);
    *names = arena_take(&whole->arena, NAMES_LIMIT * sizeof **names);
    l->whole = whole;
    return true;
}

static bool make_known(struct loading *l, uint32_t users)
{
    uint32_t size = 64;

    while (size < 4 * users)
        size *= 2;
    l->known = calloc(size, sizeof *l->known);
    l->known_mask = size - 1;
    return l->known || report_fault(l->report, (struct place){0}, "no memory for %u users", users);
}

static bool read_sections(struct loading *l)
{
    const struct node *root = document_root(l->document);
    const struct node *section = document_first(l->document, root);
    uint64_t seen = 0;

    for (; section; section = document_next(l->document, section)) {
        const struct key *key = schema_find(&schema_root, section->name);

        if (!key) {
            report_warning(l->report, section->place,
                           "<sipwitch> has no section <%.*s>; it is ignored",
                           (int)section->name.len, section->name.at);
            continue;
        }
        uint64_t bit = UINT64_C(1) << (key - schema_root.keys);
        if (seen & bit)
            report_warning(l->report, section->place, "<%s> is given again; %s", key->name,
                           key->kind == KEY_USERS ? "all of them count" : "the first one counts");
        else if (key->kind == KEY_LATER)
            note_later(l, section, key->name, root->name);
        else if (key->kind == KEY_SECTION && !read_keys(l, section, key->section, &l->values))
            return false;
        seen |= bit;
    }
    return true;
}

static bool read_users(struct loading *l)
{
    const struct node *root = document_root(l->document);
    const struct node *section = document_first(l->document, root);

    for (; section; section = document_next(l->document, section)) {
        const struct key *key = schema_find(&schema_root, section->name);

        if (key && key->kind == KEY_USERS && !read_provision(l, section))
            return false;
    }
    return true;
}

static bool read_all(struct loading *l, struct slice realm)
{
    struct slice root = document_root(l->document)->name;
    uint32_t users = count_users(l->document);
    struct slice *names = NULL;

    if (!slice_equal(root, S("sipwitch")))
        return report_fault(l->report, document_root(l->document)->place,
                            "the file begins with <%.*s>; begin it with <sipwitch>", (int)root.len,
                            root.at);
    l->values = values_default();
    return read_sections(l) && make_whole(l, users, realm, &names) &&
           read_settings(l, realm, names) && make_known(l, users) && read_users(l);
}

struct config *config_read(struct slice xml, struct slice realm, const struct digest_table *digests,
                           struct report *report)
{
    struct document document;
    struct loading l = {.document = &document, .report = report, .digests = digests};
    bool ok = document_parse(&document, xml, report) && read_all(&l, realm);

    free(l.known);
    document_free(&document);
    if (ok)
        return &l.whole->config;
    if (l.whole)
        config_free(&l.whole->config);
    return NULL;
}

void config_free(struct config *config)
{
    struct whole *whole = (struct whole *)(void *)config;

    explicit_bzero(whole, whole->size);
    free(whole);
}
