#include "programs/publish.h"

#include "core/dns.h"
#include "core/oddity.h"
#include "programs/greet.h"
#include "sip/uri.h"
#include "sip/via.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TTL 3600
#define RECORDS 64u
#define NAME_ROOM (DNS_NAME + 32u)

extern char **environ;

/* In the order in which others are to try them. */
static const struct service {
    const char *transport, *label, *naptr;
    unsigned order;
} services[] = {
    {"TLS", "_sips._tcp", "SIPS+D2T", 10},
    {"TCP", "_sip._tcp", "SIP+D2T", 20},
    {"UDP", "_sip._udp", "SIP+D2U", 30},
};

struct record {
    char name[NAME_ROOM]; /* absolute */
    const char *type;
    char data[NAME_ROOM + 64];
};

struct publication {
    struct session *session;
    const char *domain;
    json_t *listening;
    const char *outside; /* the address that it was learnt to have, or NULL */
    bool has_address;
    bool is_hidden; /* the certificate could not be looked at */
    unsigned count;
    struct record records[RECORDS];
};

static struct record *add(struct publication *p, const char *label, const char *type)
{
    struct record *record = &p->records[p->count];

    if (p->count == RECORDS)
        return NULL;
    p->count++;
    snprintf(record->name, sizeof record->name, "%s%s%s.", label, label[0] ? "." : "", p->domain);
    record->type = type;
    return record;
}

static void add_naptr(struct publication *p, const struct service *service)
{
    struct record *record = add(p, "", "NAPTR");

    if (record)
        snprintf(record->data, sizeof record->data, "%u 50 \"s\" \"%s\" \"\" %s.%s.",
                 service->order, service->naptr, service->label, p->domain);
}

static void add_srv(struct publication *p, const struct service *service, unsigned port)
{
    struct record *record = add(p, service->label, "SRV");

    if (record)
        snprintf(record->data, sizeof record->data, "10 10 %u sip.%s.", port, p->domain);
}

/* Each once. */
static void add_address(struct publication *p, const struct address_bytes *address)
{
    char text[64];
    struct writer w = writer_over(text, sizeof text - 1);

    write_host(&w, address);
    text[w.len] = '\0';
    text[strcspn(text, "]")] = '\0';
    const char *bare = text + (text[0] == '[');
    p->has_address = true;
    for (unsigned i = 0; i < p->count; i++)
        if (p->records[i].type[0] == 'A' && strcmp(p->records[i].data, bare) == 0)
            return;
    struct record *record = add(p, "sip", address->is_v6 ? "AAAA" : "A");
    if (record)
        snprintf(record->data, sizeof record->data, "%s", bare);
}

/* The key of the certificate that is shown there (RFC 7673 3, RFC 7671 5.1): it can be proven by
 * nothing else if the server made it itself.  One of a CA gets a new key with each renewal, mostly,
 * and is then refused by all who know the old record: it wants to be asked for. */
static void add_tlsa(struct publication *p, const struct address_bytes *address, unsigned port)
{
    struct flow place = {
        .transport = TRANSPORT_TLS, .is_v6 = address->is_v6, .port = (uint16_t)port};
    char label[32];
    struct shown shown;

    memcpy(place.address, address->at, sizeof place.address);
    p->is_hidden |= !greet(&place, p->domain, &shown).has_shown;
    if (p->is_hidden || !(shown.is_self_signed || p->session->has_tlsa))
        return;
    snprintf(label, sizeof label, "_%u._tcp.sip", port);
    struct record *record = add(p, label, "TLSA");
    if (record)
        snprintf(record->data, sizeof record->data, "3 1 1 %s", shown.key_hash);
}

/* "UDP 192.0.2.1:5060", of the server's status. */
static bool split(const char *socket, char transport[8], struct address_bytes *address,
                  unsigned *port)
{
    const char *host = strchr(socket, ' '), *colon = strrchr(socket, ':');

    if (!host || !colon || colon < host || host - socket > 7)
        return false;
    snprintf(transport, 8, "%.*s", (int)(host - socket), socket);
    *port = (unsigned)strtoul(colon + 1, NULL, 10);
    return host_numeric(slice_of(host + 1, (size_t)(colon - host - 1)), address);
}

/* SRV records of one transport, a port each. */
static bool add_service(struct publication *p, const struct service *service)
{
    const json_t *socket;
    struct address_bytes address;
    unsigned port, ports[8], count = 0, known;
    char transport[8];
    size_t i;

    json_array_foreach(p->listening, i, socket)
    {
        if (!split(json_string_value(socket), transport, &address, &port) ||
            strcmp(transport, service->transport) != 0)
            continue;
        for (known = 0; known < count && ports[known] != port;)
            known++;
        if (known < count || count == COUNT_OF(ports))
            continue;
        add_srv(p, service, ports[count++] = port);
        if (strcmp(transport, "TLS") == 0)
            add_tlsa(p, &address, port);
    }
    return count > 0;
}

static void add_services(struct publication *p)
{
    for (unsigned i = 0; i < COUNT_OF(services); i++)
        if (add_service(p, &services[i]))
            add_naptr(p, &services[i]);
}

/* Those that it listens on and the world can reach; and that which leads to it from outside. */
static void add_own_addresses(struct publication *p)
{
    const json_t *socket;
    struct address_bytes address;
    unsigned port;
    char transport[8];
    size_t i;

    json_array_foreach(p->listening, i,
                       socket) if (split(json_string_value(socket), transport, &address, &port) &&
                                   address_seclusion(&address) == SECLUSION_NONE &&
                                   !address_is_many(&address)) add_address(p, &address);
    if (p->outside && host_numeric(slice_text(p->outside), &address))
        add_address(p, &address);
}

static enum client_status add_addresses(struct publication *p, char **words)
{
    struct address_bytes address;

    if (!words[0])
        add_own_addresses(p);
    for (; *words; words++) {
        if (!host_numeric(slice_text(*words), &address))
            return session_fail(p->session, CLIENT_USAGE,
                                "%s is no address; write one like 192.0.2.7 or 2001:db8::7",
                                *words);
        add_address(p, &address);
    }
    return CLIENT_FINE;
}

/* ---- as a zone file */

static void print_zone(const struct publication *p)
{
    printf("; By these records others find the SIP server of %s (RFC 3263).\n", p->domain);
    if (!p->has_address)
        printf("; It listens on addresses that nobody outside can reach: give the name sip.%s the\n"
               "; address that the world reaches it by; `sipwitch dns ADDRESS` prints that, too.\n",
               p->domain);
    if (p->is_hidden)
        printf("; Its certificate could not be looked at, so that no TLSA record is here.\n");
    for (unsigned i = 0; i < p->count; i++)
        printf("%-32s %u IN %-5s %s\n", p->records[i].name, TTL, p->records[i].type,
               p->records[i].data);
}

static void print_rows(const struct publication *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct record *record = &p->records[i];
        json_t *row = json_pack("{s:s, s:i, s:s, s:s}", "name", record->name, "ttl", TTL, "type",
                                record->type, "data", record->data);
        print_json(row);
        json_decref(row);
    }
}

/* ---- into the zone */

/* The TLSA records of an earlier call, whose certificate may be shown no more. */
static void write_old_tlsa(const struct publication *p, FILE *to)
{
    static const char start[] = "_sips._tcp.";
    unsigned port;

    for (unsigned i = 0; i < p->count; i++)
        if (strncmp(p->records[i].name, start, sizeof start - 1) == 0 &&
            sscanf(p->records[i].data, "%*u %*u %u", &port) == 1)
            fprintf(to, "update delete _%u._tcp.sip.%s. TLSA\n", port, p->domain);
}

/* What an earlier call may have written goes; records of other uses of the same names stay. */
static void write_update(const struct publication *p, FILE *to)
{
    const char *at = p->session->dns_server;
    int host = at ? (int)strcspn(at, "@") : 0;

    if (at && at[host])
        fprintf(to, "server %.*s %s\n", host, at, at + host + 1);
    else if (at)
        fprintf(to, "server %s\n", at);
    for (unsigned i = 0; i < COUNT_OF(services); i++)
        fprintf(to,
                "update delete %s.%s. SRV\n"
                "update delete %s. NAPTR %u 50 \"s\" \"%s\" \"\" %s.%s.\n",
                services[i].label, p->domain, p->domain, services[i].order, services[i].naptr,
                services[i].label, p->domain);
    if (!p->is_hidden)
        write_old_tlsa(p, to);
    if (p->has_address)
        fprintf(to, "update delete sip.%s. A\nupdate delete sip.%s. AAAA\n", p->domain, p->domain);
    for (unsigned i = 0; i < p->count; i++)
        fprintf(to, "update add %s %u %s %s\n", p->records[i].name, TTL, p->records[i].type,
                p->records[i].data);
    fprintf(to, "send\n");
}

static enum client_status check_key(const struct session *session)
{
    struct stat found;

    if (stat(session->key, &found) != 0)
        return session_fail(session, CLIENT_LOCAL, "%s: %s", session->key, strerror(errno));
    if (found.st_mode & (S_IRWXG | S_IRWXO))
        return session_fail(session, CLIENT_LOCAL,
                            "%s can be read by others, who could write into the zone: chmod 600 it",
                            session->key);
    return CLIENT_FINE;
}

/* nsupdate with the file of the key, which it reads itself; our end of its input, or NULL. */
static FILE *start(const struct session *session, pid_t *child)
{
    char *words[] = {"nsupdate", "-k", (char *)(uintptr_t)session->key, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];

    if (pipe(ends) != 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    errno = posix_spawnp(child, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (!errno)
        return fdopen(ends[1], "w");
    close(ends[1]);
    return NULL;
}

static enum client_status update(const struct publication *p)
{
    enum client_status status = check_key(p->session);
    pid_t child;
    int ended = 0;

    if (status != CLIENT_FINE)
        return status;
    FILE *to = start(p->session, &child);
    if (!to)
        return session_fail(p->session, CLIENT_LOCAL,
                            "nsupdate cannot be run: %s; install bind9-dnsutils", strerror(errno));
    write_update(p, to);
    fclose(to);
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0)
        return session_fail(p->session, CLIENT_REFUSED,
                            "the records were not written: see what nsupdate says");
    if (!p->session->is_json)
        printf("%u records are written\n", p->count);
    return CLIENT_FINE;
}

/* ---- the command */

/* With room for the names below it. */
static bool is_domain(const char *realm)
{
    struct slice name = slice_text(realm);
    struct address_bytes address;

    return host_valid(name) && !host_numeric(name, &address) && strchr(realm, '.') &&
           name.len <= DNS_NAME - 16;
}

static enum client_status publish_domain(struct session *session, const json_t *server,
                                         char **words)
{
    struct publication *p = calloc(1, sizeof *p);
    const char *realm = row_text(server, "realm");
    enum client_status status;

    if (!p)
        return session_fail(session, CLIENT_LOCAL, "there is no memory for it");
    p->session = session;
    p->domain = realm;
    p->listening = json_object_get(server, "listening");
    p->outside = row_text(json_object_get(server, "outside"), "address");
    add_services(p);
    status = add_addresses(p, words);
    if (status == CLIENT_FINE && !is_domain(realm))
        status = session_fail(session, CLIENT_LOCAL,
                              "the realm %s is no domain: write its name into <realm>, or "
                              "/etc/siprealm",
                              realm);
    if (status == CLIENT_FINE && session->key)
        status = update(p);
    else if (status == CLIENT_FINE && session->is_json)
        print_rows(p);
    else if (status == CLIENT_FINE)
        print_zone(p);
    free(p);
    return status;
}

enum client_status publish(struct session *session, char **words)
{
    enum client_status status;
    json_t *server = session_status(session, &status);

    if (!server)
        return status;
    status = publish_domain(session, server, words);
    json_decref(server);
    return status;
}
