#include "config/config.h"

#include "config/loading.h"
#include "core/limits.h"
#include "sip/uri.h"

#include <stdlib.h>

/* ---- keys, by the schema */

void loading_note(struct loading *l, const struct node *node, const struct key *key,
                  struct slice section)
{
    for (unsigned i = 0; i < l->noted_count; i++)
        if (l->noted[i] == key->name)
            return;
    if (l->noted_count == NOTED_LIMIT)
        return;
    l->noted[l->noted_count++] = key->name;
    report_warning(l->report, node->place, "%s in <%.*s> has no effect: %s", key->name,
                   (int)section.len, section.at, key->meaning);
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
    case KEY_LIST: *(const struct node **)at = node; return true;
    case KEY_SECTION: return true;
    case KEY_NOTED: break;
    }
    loading_note(l, node, key, section);
    return true;
}

static void warn_unknown(struct loading *l, const struct node *parent, const struct node *child)
{
    report_warning(l->report, child->place, "<%.*s> has no key %.*s; it is ignored",
                   (int)parent->name.len, parent->name.at, (int)child->name.len, child->name.at);
}

bool loading_keys(struct loading *l, const struct node *parent, const struct schema *schema,
                  void *values, struct seen *seen)
{
    const struct node *child = document_first(l->document, parent);

    assert(schema->count <= 64);
    for (; child; child = document_next(l->document, child)) {
        const struct key *key = schema_find(schema, child->name);

        if (!key) {
            warn_unknown(l, parent, child);
            continue;
        }
        uint64_t bit = UINT64_C(1) << (key - schema->keys);
        if (seen->here & bit)
            report_warning(l->report, child->place, "%s is given again; the first one counts",
                           key->name);
        else if (!(seen->before & bit) && !read_value(l, child, key, parent->name, values))
            return false;
        seen->here |= bit;
    }
    return true;
}

struct slice loading_keep(struct loading *l, struct slice text)
{
    return keep_text(&l->whole->keeper, text, &l->is_out_of_memory);
}

bool loading_word_of(struct slice *rest, const char *separators, struct slice *word)
{
    while (rest->len) {
        size_t end = 0;

        while (end < rest->len && !strchr(separators, rest->at[end]))
            end++;
        *word = slice_until(*rest, end);
        *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
        if (end)
            return true;
    }
    return false;
}

bool loading_word(struct slice *rest, struct slice *word)
{
    return loading_word_of(rest, " ,;:\t\r\n", word);
}

/* ---- sections of all parts */

static void turn_to(struct loading *l, unsigned part)
{
    l->document = &l->documents[part];
    l->report->file = l->origin->parts[part].name;
}

static bool is_whole_file(const struct document *document)
{
    return slice_equal(document_root(document)->name, S("sipwitch"));
}

/* The first section: a child of <sipwitch>, or the root itself. */
static const struct node *first_section(const struct document *document)
{
    const struct node *root = document_root(document);

    return is_whole_file(document) ? document_first(document, root) : root;
}

bool loading_sections(struct loading *l, struct slice name, section_reader *read)
{
    for (unsigned part = 0; part < l->origin->part_count; part++) {
        const struct node *section;

        turn_to(l, part);
        section = first_section(l->document);
        for (; section; section = document_next(l->document, section))
            if (slice_equal(section->name, name) && !read(l, section))
                return false;
    }
    return true;
}

struct written loading_written(const struct loading *l, const struct node *node)
{
    size_t file = (size_t)(l->document - l->documents) + 1;
    bool is_known = file <= WRITTEN_FILES && node->place.line <= WRITTEN_LINES;

    return is_known ? (struct written){file & WRITTEN_FILES, node->place.line & WRITTEN_LINES}
                    : (struct written){0, 0};
}

static struct written find_key(const struct loading *l, const struct node *section,
                               struct slice key)
{
    const struct node *node = document_first(l->document, section);

    while (node && !slice_equal(node->name, key))
        node = document_next(l->document, node);
    return node ? loading_written(l, node) : (struct written){0, 0};
}

struct written loading_key_written(struct loading *l, struct slice name, struct slice key)
{
    struct written written = {0, 0};

    for (unsigned part = 0; part < l->origin->part_count && !written.line; part++) {
        const struct node *section;

        turn_to(l, part);
        section = first_section(l->document);
        for (; section && !written.line; section = document_next(l->document, section))
            if (slice_equal(section->name, name))
                written = find_key(l, section, key);
    }
    return written;
}

static bool read_section(struct loading *l, const struct node *section)
{
    const struct key *key = schema_find(&schema_root, section->name);
    size_t index = key ? (size_t)(key - schema_root.keys) : 0;
    uint64_t bit = UINT64_C(1) << index;

    assert(schema_root.count <= SECTIONS_LIMIT);
    if (!key) {
        report_warning(l->report, section->place, "<sipwitch> has no section <%.*s>; it is ignored",
                       (int)section->name.len, section->name.at);
        return true;
    }
    if (l->root_seen.here & bit)
        report_warning(l->report, section->place, "<%s> is given again; all of them count",
                       key->name);
    l->root_seen.here |= bit;
    if (key->kind == KEY_NOTED)
        loading_note(l, section, key, S("sipwitch"));
    return key->kind != KEY_SECTION ||
           loading_keys(l, section, key->section, &l->values, &l->seen[index]);
}

/* What may stand in a file of its own. */
static bool check_root(struct loading *l)
{
    static const char *const roots[] = {"sipwitch", "provision", "access", "routing", "provider"};
    const struct node *root = document_root(l->document);

    for (unsigned i = 0; i < COUNT_OF(roots); i++)
        if (slice_equal(root->name, slice_text(roots[i])))
            return true;
    return report_fault(l->report, root->place,
                        "the file begins with <%.*s>; begin it with <sipwitch>, or, in a part of "
                        "it, with <provision>, <access> or <routing>",
                        (int)root->name.len, root->name.at);
}

static bool read_part(struct loading *l, unsigned part)
{
    const struct node *section;

    turn_to(l, part);
    if (!check_root(l))
        return false;
    l->root_seen = (struct seen){0};
    section = first_section(l->document);
    for (; section; section = document_next(l->document, section))
        if (!read_section(l, section))
            return false;
    for (unsigned i = 0; i < SECTIONS_LIMIT; i++)
        l->seen[i] = (struct seen){.before = l->seen[i].before | l->seen[i].here};
    return true;
}

/* ---- settings */

static bool fault_in_main(struct loading *l, const char *what, struct slice text,
                          const char *remedy)
{
    turn_to(l, l->origin->main);
    return report_fault(l->report, (struct place){0}, "%s \"%.*s\"; %s", what, (int)text.len,
                        text.at, remedy);
}

static bool check_realm(struct loading *l, struct slice realm)
{
    bool ok = realm.len > 0 && realm.len <= NAME_LIMIT;

    for (size_t i = 0; ok && i < realm.len; i++)
        ok = (unsigned char)realm.at[i] >= ' ' && !strchr("\"\\\x7f", realm.at[i]);
    return ok || fault_in_main(l, "the realm cannot be", realm,
                               "write up to 255 characters without quotation marks and "
                               "backslashes");
}

static bool read_digest(struct loading *l, bool *sha256_first)
{
    struct slice forced = l->origin->forced_digest;
    struct slice name = forced.len ? forced : l->values.digest;

    *sha256_first = slice_equal_nocase(name, S("sha-256")) || slice_equal_nocase(name, S("sha256"));
    return !name.len || *sha256_first || slice_equal_nocase(name, S("md5")) ||
           fault_in_main(l, "digest in <registry> is", name, "write MD5 or SHA-256");
}

static bool read_unregistered(struct loading *l, uint16_t *status)
{
    *status = (uint16_t)l->values.unregistered;
    if (*status == 480 || *status == 410)
        return true;
    turn_to(l, l->origin->main);
    return report_fault(l->report, (struct place){0},
                        "unregistered in <registry> is %u; write 480 or 410", *status);
}

static bool is_said(struct slice name)
{
    return name.len && !slice_equal_nocase(name, S("none"));
}

/* Callers of other domains ask for our users by this name: it is ours, and they are let in. */
static bool add_published(struct loading *l, struct slice *names, struct slice name)
{
    struct settings *settings = &l->whole->config.settings;

    if (!is_said(name))
        return true;
    settings->is_public = true;
    names[settings->localname_count++] = loading_keep(l, name);
    return host_valid(name) || fault_in_main(l, "published in <stack> is", name,
                                             "write the name of a host, an address (IPv6 in "
                                             "brackets), or none");
}

static bool read_localnames(struct loading *l)
{
    struct settings *settings = &l->whole->config.settings;
    struct slice *names = keep_array(&l->whole->keeper, NAMES_LIMIT + 2, sizeof *names);
    struct slice rest = l->values.localnames, word;

    if (!names)
        return false;
    settings->localnames = names;
    while (loading_word(&rest, &word)) {
        if (settings->localname_count == NAMES_LIMIT) {
            turn_to(l, l->origin->main);
            report_warning(l->report, (struct place){0},
                           "localnames beyond the first %u are ignored", NAMES_LIMIT);
            break;
        }
        names[settings->localname_count++] = loading_keep(l, word);
    }
    return add_published(l, names, l->values.published) &&
           add_published(l, names, l->values.public);
}

/* A list of transports; GNU SIP Witch took one, and listened on UDP and TCP all the same. */
static bool read_transports(struct loading *l, struct config *config)
{
    struct slice rest = l->values.transport, name;

    while (loading_word(&rest, &name)) {
        if (slice_equal_nocase(name, S("udp")))
            config->has_udp = true;
        else if (slice_equal_nocase(name, S("tcp")))
            config->has_tcp = true;
        else if (slice_equal_nocase(name, S("tls")))
            config->has_tls = config->wants_tls = true;
        else if (slice_equal_nocase(name, S("ws")))
            config->has_ws = config->wants_ws = true;
        else if (slice_equal_nocase(name, S("wss")))
            config->has_wss = config->wants_wss = true;
        else if (slice_equal_nocase(name, S("both")))
            config->has_udp = config->has_tcp = true;
        else
            return fault_in_main(l, "transport in <stack> is", name,
                                 "write udp, tcp, tls, ws, wss, or several of them");
    }
    if (!config->has_udp && !config->has_tcp && !config->has_tls && !config->has_ws &&
        !config->has_wss)
        config->has_udp = config->has_tcp = config->has_tls = config->has_ws = config->has_wss =
            true;
    return true;
}

/* Ports are beside that of the others; and whose pages come by them. */
static bool read_websockets(struct loading *l, struct config *config)
{
    struct settings *settings = &config->settings;
    struct slice *origins = keep_array(&l->whole->keeper, ORIGINS_LIMIT, sizeof *origins);
    struct slice rest = l->values.origins, word;

    if (!origins)
        return false;
    config->ws_port = (uint16_t)l->values.ws_port;
    config->wss_port = (uint16_t)l->values.wss_port;
    config->wants_ws |= config->ws_port != 0;
    config->wants_wss |= config->wss_port != 0;
    settings->origins = origins;
    while (loading_word_of(&rest, " ,\t\r\n", &word)) {
        if (settings->origin_count == ORIGINS_LIMIT)
            return fault_in_main(l, "origins in <stack> has too many:", word,
                                 "write 64 at most, or * for all");
        if (slice_find(word, '/') < word.len && word.at[word.len - 1] == '/')
            word.len--; /* an address as a browser shows it */
        origins[settings->origin_count++] = loading_keep(l, word);
    }
    return true;
}

/* Beside the port of the others, as GNU SIP Witch had it. */
static bool read_tls(struct loading *l, struct config *config)
{
    const struct values *v = &l->values;

    config->certfile = loading_keep(l, v->certfile);
    config->keyfile = loading_keep(l, v->keyfile);
    config->authfile = loading_keep(l, v->authfile);
    config->tls_port = (uint16_t)v->tls_port;
    config->wants_tls |= v->tls_port != 0;
    if (config->keyfile.len && !config->certfile.len)
        return fault_in_main(l, "keyfile in <stack> has no certfile:", config->keyfile,
                             "write certfile, too, or leave it out");
    return true;
}

/* What stands between < and > of an Identity field, and in JSON without an escape. */
static bool is_info(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~' || strchr("<>\"\\", text.at[i]))
            return false;
    return slice_starts(text, S("https://")) && text.len > sizeof "https://" &&
           text.len <= IDENTITY_INFO_LIMIT;
}

static bool read_identity(struct loading *l, struct config *config)
{
    struct slice said = l->values.identity;

    if (!said.len || slice_equal_nocase(said, S("no")))
        return true;
    config->is_vouching = true;
    if (slice_equal_nocase(said, S("yes")))
        return true;
    config->identity = loading_keep(l, said);
    return is_info(said) ||
           fault_in_main(
               l, "identity in <stack> is", said,
               "write no, yes, or the https URI of the certificate, of up to 400 characters");
}

/* Route values; a proxy that knows no loose routing (RFC 3261 16.12) is none of today's. */
static bool write_route(struct writer *w, struct slice text)
{
    struct slice value;
    struct uri uri;

    if (!uri_parse(text, &uri) || uri.scheme > SCHEME_SIPS || uri.headers.len)
        return false;
    write_slice(w, w->len ? S(", <") : S("<"));
    write_slice(w, text);
    write_slice(w, uri_param(&uri, S("lr"), &value) ? S(">") : S(";lr>"));
    return !w->failed;
}

static bool read_service_route(struct loading *l, struct slice *route)
{
    struct slice rest = l->values.service_route, word;
    char text[SERVICE_ROUTE_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    while (loading_word_of(&rest, " ,\t\r\n", &word))
        if (!write_route(&w, word))
            return fault_in_main(l, "service-route in <stack> has", word,
                                 "write SIP URIs, like sip:192.0.2.1, of up to 1000 characters");
    *route = loading_keep(l, writer_slice(&w));
    return true;
}

/* ADDRESS or ADDRESS@PORT. */
static bool is_resolver(struct slice word)
{
    size_t at = slice_find(word, '@');
    struct address_bytes address;
    uint64_t port;

    return host_numeric(slice_until(word, at), &address) && word.at[0] != '[' &&
           (at == word.len || (slice_number(slice_from(word, at + 1), 65535, &port) && port));
}

static bool read_resolver(struct loading *l, struct slice *resolver)
{
    struct slice rest = l->values.resolver, word;
    char text[RESOLVER_LIMIT];
    struct writer w = writer_over(text, sizeof text);

    while (loading_word_of(&rest, " ,;\t\r\n", &word)) {
        if (w.len)
            write_char(&w, ' ');
        write_slice(&w, word);
        if (!is_resolver(word) || w.failed)
            return fault_in_main(l, "resolver in <stack> has", word,
                                 "write addresses of DNS servers, like 192.0.2.53 or "
                                 "192.0.2.53@5353, of up to 500 characters");
    }
    *resolver = loading_keep(l, writer_slice(&w));
    return true;
}

static bool read_trust_anchor(struct loading *l, struct slice *path)
{
    struct slice said = l->values.trust_anchor;

    if (said.len && (said.at[0] != '/' || said.len >= ANCHOR_LIMIT))
        return fault_in_main(l, "trust-anchor in <stack> is", said,
                             "write the path of a file, from / on, of up to 250 characters");
    *path = loading_keep(l, said);
    return true;
}

static void set_times(struct settings *settings, const struct values *v)
{
    if (v->expires)
        settings->expires = (uint32_t)v->expires;
    if (settings->expires < settings->expires_shortest)
        settings->expires_shortest = settings->expires;
    if (settings->expires > settings->expires_longest)
        settings->expires_longest = settings->expires;
    if (v->timer_c)
        settings->timer_c = SECONDS(v->timer_c);
    settings->answer = SECONDS(v->answer);
    settings->session_expires = (uint32_t)v->session;
    settings->session_shortest = (uint32_t)v->session_shortest;
    settings->call_longest = SECONDS(v->call);
}

static void set_guesses(struct settings *settings, const struct values *v)
{
    if (v->account_guesses)
        settings->guesses_per_account = (uint32_t)v->account_guesses;
    if (v->source_guesses)
        settings->guesses_per_source = (uint32_t)v->source_guesses;
    if (v->guess_window)
        settings->guess_window = SECONDS(v->guess_window);
    settings->stranger_source = (uint32_t)v->stranger_source;
    settings->stranger_callee = (uint32_t)v->stranger_callee;
}

/* Names of the files, and where in them stands what is told of. */
static bool note_places(struct loading *l)
{
    static const struct {
        enum setting setting;
        struct slice key;
    } keys[] = {
        {SETTING_PUBLISHED, S("published")},
        {SETTING_PUBLISHED, S("public")},
        {SETTING_SYSTEM, S("system")},
        {SETTING_ANONYMOUS, S("anon")},
        {SETTING_POLICY, S("tls-policy")},
        {SETTING_RESTRICTED, S("restricted")},
        {SETTING_STRANGER_SOURCE, S("stranger-source")},
        {SETTING_STRANGER_CALLEE, S("stranger-callee")},
    };
    struct settings *settings = &l->whole->config.settings;
    unsigned count = (unsigned)min_u64(l->origin->part_count, WRITTEN_FILES);
    struct slice *files = keep_array(&l->whole->keeper, count, sizeof *files);

    if (!files)
        return false;
    for (unsigned i = 0; i < count; i++)
        files[i] = loading_keep(l, slice_text(l->origin->parts[i].name));
    settings->files = files;
    settings->file_count = count;
    for (unsigned i = 0; i < COUNT_OF(keys); i++)
        if (!settings->written[keys[i].setting].line)
            settings->written[keys[i].setting] = loading_key_written(l, S("stack"), keys[i].key);
    return true;
}

static struct slice chosen_realm(const struct loading *l)
{
    if (l->origin->forced_realm.len)
        return l->origin->forced_realm;
    return l->values.realm.len ? l->values.realm : l->origin->realm;
}

static bool read_settings(struct loading *l)
{
    struct config *config = &l->whole->config;
    struct settings *settings = &config->settings;
    const struct values *v = &l->values;

    *settings = settings_default();
    settings->realm = loading_keep(l, chosen_realm(l));
    if (v->agent.len)
        settings->agent = loading_keep(l, v->agent);
    settings->system = loading_keep(l, v->system);
    settings->anonymous = loading_keep(l, v->anonymous);
    set_times(settings, v);
    set_guesses(settings, v);
    config->interface = loading_keep(l, v->interface);
    config->port = (uint16_t)v->port;
    config->bindings = (uint32_t)v->mapped;
    config->memory = (uint32_t)v->memory;
    config->is_traced = v->trace || v->dumping;
    return note_places(l) && read_localnames(l) && check_realm(l, settings->realm) &&
           read_digest(l, &settings->sha256_first) &&
           read_unregistered(l, &settings->unregistered) && read_transports(l, config) &&
           read_tls(l, config) && read_identity(l, config) && read_websockets(l, config) &&
           read_service_route(l, &settings->service_route) &&
           read_resolver(l, &settings->resolver) && read_trust_anchor(l, &config->trust_anchor);
}

/* ---- the whole */

static bool parse_parts(struct loading *l)
{
    unsigned count = l->origin->part_count;

    l->documents = calloc(count, sizeof *l->documents);
    l->whole = calloc(1, sizeof *l->whole);
    if (!l->documents || !l->whole)
        return false;
    for (unsigned i = 0; i < count; i++) {
        l->report->file = l->origin->parts[i].name;
        if (!document_parse(&l->documents[i], l->origin->parts[i].xml, l->report))
            return false;
    }
    return true;
}

/* The text of the root of the first part that has one names the server's state. */
static void read_state(struct loading *l)
{
    for (unsigned i = 0; i < l->origin->part_count && !l->whole->config.state.len; i++)
        if (is_whole_file(&l->documents[i]))
            l->whole->config.state = loading_keep(l, document_root(&l->documents[i])->text);
}

static bool read_all(struct loading *l)
{
    if (!parse_parts(l))
        return false;
    l->values = values_default();
    for (unsigned i = 0; i < l->origin->part_count; i++)
        if (!read_part(l, i))
            return false;
    read_state(l);
    return read_settings(l) && profiles_read(l) && nodes_read(l) && routing_read(l) &&
           domains_read(l) && fellows_read(l) && access_read(l) && media_read(l) &&
           !l->is_out_of_memory;
}

static void free_whole(struct whole *whole)
{
    keeper_free(&whole->keeper);
    explicit_bzero(whole, sizeof *whole);
    free(whole);
}

struct config *config_read(const struct config_origin *origin, struct report *report)
{
    struct loading l = {.origin = origin, .report = report};
    bool ok = read_all(&l);

    if (!ok && !report->has_fault)
        report_fault(report, (struct place){0}, "no memory to read it");
    for (unsigned i = 0; l.documents && i < origin->part_count; i++)
        document_free(&l.documents[i]);
    free(l.documents);
    free(l.known);
    free(l.stored);
    report->file = origin->parts[origin->main].name;
    if (ok)
        return &l.whole->config;
    if (l.whole)
        free_whole(l.whole);
    return NULL;
}

void config_free(struct config *config)
{
    free_whole((struct whole *)(void *)config);
}
