#include "shell/load.h"

#include "config/document.h"
#include "core/oddity.h"
#include "shell/accounts.h"
#include "shell/digests.h"
#include "shell/file.h"
#include "sip/uri.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PART_BYTES (size_t)(256u << 20)
#define SMALL_BYTES (size_t)4096u /* of /etc/siprealm */
#define PARTS_LIMIT 1000u
#define INTERFACES_LIMIT 256u
#define NAMES_OF_OURS 3u /* the host's name and those of localhost */

/* All that a loading reads, until it is done. */
struct gathering {
    const struct sources *sources;
    struct report *report;
    struct config_part parts[PARTS_LIMIT];
    unsigned part_count;
    unsigned main;
    char state[NAME_MAX + 1]; /* the name in state.xml; empty = none */
    struct slice realm_file, digests_file;
    struct accounts accounts;
    struct local_network networks[INTERFACES_LIMIT];
    char interfaces[INTERFACES_LIMIT][IF_NAMESIZE];
    unsigned network_count;
};

static void wipe(struct slice *bytes)
{
    if (bytes->at)
        explicit_bzero((void *)(uintptr_t)bytes->at, bytes->len);
    free((void *)(uintptr_t)bytes->at);
    *bytes = NO_SLICE;
}

/* ---- files */

static const char *unread_remedy(const struct sources *sources, const char *path, int error)
{
    if (path != sources->config_path)
        return "mend it, or take it away";
    return error == -ENOENT
               ? "write one, as sipwitch.conf(5) says, or name another with --configpath"
               : "name another with --configpath";
}

static bool add_part(struct gathering *g, const char *path)
{
    struct config_part *part = &g->parts[g->part_count];
    int error = -ENOMEM;

    g->report->file = path;
    if (g->part_count == PARTS_LIMIT)
        return report_fault(g->report, (struct place){0}, "more than %u files; put some together",
                            PARTS_LIMIT);
    part->name = strdup(path);
    if (part->name)
        error = file_read(AT_FDCWD, path, PART_BYTES, &part->xml);
    if (error) {
        free((void *)(uintptr_t)part->name);
        return report_fault(g->report, (struct place){0}, "cannot be read: %s; %s",
                            strerror(-error), unread_remedy(g->sources, path, error));
    }
    g->part_count++;
    return true;
}

/* One that need not be there. */
static bool add_if_there(struct gathering *g, const char *folder, const char *name)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        access(path, F_OK) < 0)
        return true;
    return add_part(g, path);
}

static bool is_there(const char *folder, const char *state, const char *name)
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/%s/%s", folder, state, name) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

/* Where the state has a directory with a file of that name, that one counts. */
static bool add_of_state(struct gathering *g, const char *folder, const char *name)
{
    char path[PATH_MAX];

    if (!g->state[0] || !is_there(folder, g->state, name))
        return add_if_there(g, folder, name);
    snprintf(path, sizeof path, "%s/%s", folder, g->state);
    return add_if_there(g, path, name);
}

static int is_part(const struct dirent *entry)
{
    struct slice name = slice_text(entry->d_name);

    return name.len > 4 && name.at[0] != '.' &&
           slice_equal(slice_from(name, name.len - 4), S(".xml")) &&
           !slice_equal(name, S("state.xml"));
}

static int is_user_part(const struct dirent *entry)
{
    return is_part(entry) && slice_starts(slice_text(entry->d_name), S("user-"));
}

static bool add_all(struct gathering *g, const char *folder,
                    int (*is_one)(const struct dirent *entry))
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_one, alphasort);
    bool ok = true;

    for (int i = 0; i < count; i++) {
        ok = ok && add_of_state(g, folder, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return ok;
}

/* The name of the state is the text of its root. */
static bool add_state(struct gathering *g)
{
    struct document document;
    struct slice name;

    if (!add_if_there(g, g->sources->state_path, "state.xml") || !g->part_count)
        return !g->report->has_fault;
    if (document_parse(&document, g->parts[0].xml, g->report)) {
        name = document_root(&document)->text;
        if (name.len < sizeof g->state && name.len && name.at[0] != '.' &&
            slice_find(name, '/') == name.len)
            memcpy(g->state, name.at, name.len);
        g->report->warnings_length = 0; /* they are said when it is read in its turn */
    }
    document_free(&document);
    return !g->report->has_fault;
}

static bool add_cache(struct gathering *g, const char *folder)
{
    return add_if_there(g, folder, "policy.xml") && add_if_there(g, folder, "profile.xml") &&
           add_if_there(g, folder, "provision.xml") && add_all(g, folder, is_user_part) &&
           add_if_there(g, folder, "provider.xml") && add_if_there(g, folder, "routing.xml");
}

static bool add_parts(struct gathering *g)
{
    const struct sources *sources = g->sources;

    if (sources->state_path && !add_state(g))
        return false;
    g->main = g->part_count;
    return add_part(g, sources->config_path) &&
           (!sources->cache_path || add_cache(g, sources->cache_path)) &&
           (!sources->state_path || add_all(g, sources->state_path, is_part));
}

/* ---- what is not XML */

/* `realm`, or `realm:digest`, in a line. */
static void read_realm(struct gathering *g, struct config_origin *origin)
{
    const char *path = g->sources->realm_path;
    struct slice line;
    size_t colon;

    if (!path || file_read(AT_FDCWD, path, SMALL_BYTES, &g->realm_file))
        return;
    line = slice_trim(slice_until(g->realm_file, slice_find(g->realm_file, '\n')));
    colon = slice_find(line, ':');
    origin->forced_realm = slice_until(line, colon);
    if (colon < line.len)
        origin->forced_digest = slice_from(line, colon + 1);
}

static struct slice read_digests(void *self, struct slice realm)
{
    struct gathering *g = self;
    char path[PATH_MAX];

    if (!g->sources->state_path || !realm.len || realm.at[0] == '.' ||
        slice_find(realm, '/') < realm.len ||
        snprintf(path, sizeof path, "%s/digests/%.*s", g->sources->state_path, (int)realm.len,
                 realm.at) >= (int)sizeof path)
        return NO_SLICE;
    if (file_read(AT_FDCWD, path, PART_BYTES, &g->digests_file))
        return NO_SLICE;
    return g->digests_file;
}

static unsigned bits_of(const uint8_t *mask, unsigned bytes)
{
    unsigned bits = 0;

    while (bits < 8 * bytes && mask[bits / 8] & 0x80 >> bits % 8)
        bits++;
    return bits;
}

static void add_interface(struct gathering *g, const struct ifaddrs *own)
{
    struct local_network *network = &g->networks[g->network_count];
    char *name = g->interfaces[g->network_count];

    if (!own->ifa_addr || !own->ifa_netmask || g->network_count == INTERFACES_LIMIT)
        return;
    if (own->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *at = (const void *)own->ifa_addr;
        const struct sockaddr_in *mask = (const void *)own->ifa_netmask;
        memcpy(network->address.at, &at->sin_addr, 4);
        network->bits = bits_of((const uint8_t *)&mask->sin_addr, 4);
    } else if (own->ifa_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *at = (const void *)own->ifa_addr;
        const struct sockaddr_in6 *mask = (const void *)own->ifa_netmask;
        network->address.is_v6 = true;
        memcpy(network->address.at, &at->sin6_addr, 16);
        network->bits = bits_of((const uint8_t *)&mask->sin6_addr, 16);
    } else {
        return;
    }
    snprintf(name, IF_NAMESIZE, "%s", own->ifa_name);
    network->name = slice_text(name);
    g->network_count++;
}

static void read_interfaces(struct gathering *g)
{
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0)
        return;
    for (const struct ifaddrs *own = list; own; own = own->ifa_next)
        add_interface(g, own);
    freeifaddrs(list);
}

/* ---- the whole */

static struct config *read_gathered(struct gathering *g)
{
    struct config_origin origin = {
        .parts = g->parts,
        .realm = g->sources->realm,
        .digests = &digests_openssl,
        .networks = g->networks,
        .stored_digests = read_digests,
        .self = g,
    };

    if (!add_parts(g))
        return NULL;
    if (g->sources->has_accounts && !accounts_read(&g->accounts)) {
        report_fault(g->report, (struct place){0}, "no memory for the system's accounts");
        return NULL;
    }
    read_realm(g, &origin);
    read_interfaces(g);
    origin.part_count = g->part_count;
    origin.main = g->main;
    origin.accounts = g->accounts.at;
    origin.account_count = g->accounts.count;
    origin.network_count = g->network_count;
    return config_read(&origin, g->report);
}

struct config *load_config(const struct sources *sources, struct report *report)
{
    struct gathering *g = calloc(1, sizeof *g);
    struct config *config;

    report_init(report, sources->config_path);
    if (!g) {
        report_fault(report, (struct place){0}, "no memory to read it");
        return NULL;
    }
    g->sources = sources;
    g->report = report;
    config = read_gathered(g);
    report->file = sources->config_path;
    for (unsigned i = 0; i < g->part_count; i++) {
        wipe(&g->parts[i].xml);
        free((void *)(uintptr_t)g->parts[i].name);
    }
    wipe(&g->realm_file);
    wipe(&g->digests_file);
    accounts_free(&g->accounts);
    explicit_bzero(g, sizeof *g);
    free(g);
    return config;
}

bool load_wants_certs(const struct sources *sources, const struct config *config)
{
    return sources->has_tls || config->is_vouching;
}

struct certs *load_certs(const struct sources *sources, const struct config *config,
                         struct report *report)
{
    const struct certs_plan plan = {
        .state_path = sources->state_path,
        .realm = config->settings.realm,
        .certfile = config->certfile,
        .keyfile = config->keyfile,
        .authfile = config->authfile,
    };

    return certs_load(&plan, report);
}

/* The same address by another transport is the same name. */
static bool is_named(const struct socket_list *sockets, unsigned i)
{
    for (unsigned n = 0; n < i; n++)
        if (!sockets->at[n].is_gone && slice_equal(sockets->at[n].host, sockets->at[i].host))
            return true;
    return false;
}

/* The relay is where we listen, unless the files say where: there where most can reach it.  Those
 * outside know it by that, too, unless they say more. */
static void place_relay(struct media_settings *media, const struct socket_list *sockets)
{
    bool is_named = media->has[0] || media->has[1];

    for (unsigned i = 0; i < sockets->count && !is_named; i++) {
        struct address_bytes address;
        if (sockets->at[i].is_gone || !host_numeric(sockets->at[i].host, &address) ||
            (media->has[address.is_v6] &&
             address_seclusion(&media->own[address.is_v6]) <= address_seclusion(&address)))
            continue;
        media->has[address.is_v6] = true;
        media->own[address.is_v6] = address;
    }
    for (unsigned family = 0; family < 2; family++)
        if (address_is_unspecified(&media->outside[family]))
            media->outside[family] = media->own[family];
}

/* A relay that only this machine can reach is of use to nobody, unless somebody knows better. */
static bool may_start_relay(const struct epoch *epoch)
{
    const struct media_settings *media = &epoch->settings.media;

    for (unsigned family = 0; family < 2; family++)
        if (media->has[family] && address_seclusion(&media->own[family]) != SECLUSION_LOOPBACK)
            return true;
    return epoch->config->wants_relay;
}

/* GNU SIP Witch took the host's name where the realm was no, none or had a blank. */
static bool is_domain(struct slice realm)
{
    return host_valid(realm) && !slice_equal_nocase(realm, S("no")) &&
           !slice_equal_nocase(realm, S("none"));
}

static bool make_settings(struct epoch *epoch, bool is_public)
{
    const struct socket_list *sockets = epoch->sockets;
    struct settings *settings = &epoch->settings;
    unsigned count;

    *settings = epoch->config->settings;
    settings->sockets = sockets->at;
    settings->socket_count = sockets->count;
    settings->is_public |= is_public;
    count = settings->localname_count;
    epoch->localnames = calloc(count + sockets->count + NAMES_OF_OURS, sizeof *epoch->localnames);
    if (!epoch->localnames)
        return false;
    if (count)
        memcpy(epoch->localnames, settings->localnames, count * sizeof *epoch->localnames);
    if (gethostname(epoch->hostname, sizeof epoch->hostname - 1) == 0 && epoch->hostname[0])
        epoch->localnames[count++] = slice_text(epoch->hostname);
    if (!is_domain(settings->realm))
        settings->domain = slice_text(epoch->hostname);
    epoch->localnames[count++] = S("localhost");
    epoch->localnames[count++] = S("localhost.localdomain");
    for (unsigned i = 0; i < sockets->count; i++)
        if (!sockets->at[i].is_gone && !is_named(sockets, i))
            epoch->localnames[count++] = sockets->at[i].host;
    settings->localnames = epoch->localnames;
    settings->localname_count = count;
    place_relay(&settings->media, sockets);
    epoch->may_start_relay = may_start_relay(epoch);
    return true;
}

struct epoch *epoch_make(struct config *config, struct socket_list *sockets, bool is_public)
{
    struct epoch *epoch = sockets ? calloc(1, sizeof *epoch) : NULL;

    if (!epoch) {
        config_free(config);
        free(sockets);
        return NULL;
    }
    epoch->config = config;
    epoch->sockets = sockets;
    if (make_settings(epoch, is_public))
        return epoch;
    epoch_free(epoch);
    return NULL;
}

static uint16_t port_of(const struct settings *settings, enum transport transport)
{
    for (unsigned i = 0; i < settings->socket_count; i++)
        if (settings->sockets[i].transport == transport && !settings->sockets[i].is_gone)
            return settings->sockets[i].port;
    return 0;
}

void epoch_vouch(struct epoch *epoch, const struct certs *certs, struct report *report)
{
    struct settings *settings = &epoch->settings;
    const struct vouchers_plan plan = {
        .info = epoch->config->identity,
        .port = port_of(settings, TRANSPORT_WSS),
        .realm = settings->realm,
        .names = settings->localnames,
        .name_count = settings->localname_count,
    };

    if (epoch->config->is_vouching && certs)
        epoch->vouchers = vouchers_make(certs, &plan, report);
    if (epoch->vouchers)
        settings->vouchers = vouchers_at(epoch->vouchers, &settings->voucher_count);
}

void epoch_free(struct epoch *epoch)
{
    vouchers_free(epoch->vouchers);
    if (epoch->certs)
        certs_free(epoch->certs);
    config_free(epoch->config);
    free(epoch->localnames);
    free(epoch->sockets);
    free(epoch);
}
