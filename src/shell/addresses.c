#include "shell/addresses.h"

#include "shell/netlink.h"
#include "shell/tcp.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define QUIET MS(300)         /* that nothing more must be told before they are listed */
#define LISTED_AFTER MS(2000) /* however much is told meanwhile */
#define REFUSED_LIMIT 64u     /* of which that is remembered */

/* Could not be opened, and that was said. */
struct refused {
    enum transport transport;
    union netaddr address;
};

struct addresses {
    struct addresses_plan plan;
    char *interface; /* the plan's text */
    int changes;     /* netlink, or -1 */
    bool has_begun;  /* all is open that must be */
    bool is_serving; /* a configuration is in force */
    instant due;
    instant latest;
    unsigned count;
    union netaddr found[LOCAL_LIMIT]; /* at the last look */
    unsigned refused_count;
    struct refused refused[REFUSED_LIMIT];
};

static void log_address(struct log *log, enum severity severity, const union netaddr *address,
                        const char *before, const char *behind)
{
    char text[NETADDR_TEXT];
    struct writer w = writer_over(text, sizeof text);

    netaddr_write_host(&w, address);
    log_line(log, severity, "%s%.*s%s", before, (int)w.len, text, behind);
}

/* ---- opening */

static void say_refused(const struct addresses *a, enum transport transport,
                        const union netaddr *address, int error)
{
    static const struct slice names[TRANSPORT_COUNT] = {
        [TRANSPORT_UDP] = S("/udp"), [TRANSPORT_TCP] = S("/tcp"), [TRANSPORT_TLS] = S("/tls"),
        [TRANSPORT_WS] = S("/ws"),   [TRANSPORT_WSS] = S("/wss"),
    };
    char text[NETADDR_TEXT + 8], why[256];
    struct writer w = writer_over(text, sizeof text);
    bool has_own_port = transport != TRANSPORT_UDP && transport != TRANSPORT_TCP;
    bool may_lack = a->has_begun || a->plan.may_lack[transport];

    netaddr_write(&w, address);
    write_slice(&w, names[transport]);
    if (error == EADDRINUSE)
        snprintf(
            why, sizeof why, " is in use: stop the other server or choose another port with %s%s",
            has_own_port ? names[transport].at + 1 : "-P", has_own_port ? "-port in <stack>" : "");
    else if (error == EADDRNOTAVAIL)
        snprintf(why, sizeof why, ": this machine has no such address; choose another with -A");
    else
        snprintf(why, sizeof why, " cannot be opened: %s", strerror(error));
    log_line(a->plan.log, may_lack ? LOG_WARNING : LOG_FAILURE, "%.*s%s%s%s%s", (int)w.len, text,
             why, may_lack ? "; until then there is no " : "",
             may_lack ? transport_name(transport).at : "", may_lack ? " there" : "");
}

static bool is_among(const union netaddr *found, unsigned count, const union netaddr *address)
{
    for (unsigned i = 0; i < count; i++)
        if (netaddr_same_host(&found[i], address))
            return true;
    return false;
}

static bool was_refused(const struct addresses *a, enum transport transport,
                        const union netaddr *address)
{
    for (unsigned i = 0; i < a->refused_count; i++)
        if (a->refused[i].transport == transport &&
            netaddr_same_host(&a->refused[i].address, address))
            return true;
    return false;
}

/* An IPv6 address that the network is still asked for (RFC 4862 5.4) cannot be bound yet, nor one
 * that has just gone again: the kernel tells when that has changed. */
static bool is_passing(const struct addresses *a, const union netaddr *address, int error)
{
    return error == EADDRNOTAVAIL && a->changes >= 0 &&
           !netaddr_is_written(slice_text(a->interface), address);
}

/* False if it cannot be had. */
static bool open_one(struct addresses *a, enum transport transport, const union netaddr *address)
{
    int fd = transport == TRANSPORT_UDP ? udp_bind(address) : tcp_listen(address);

    if (fd >= 0) {
        sockets_enter(a->plan.sockets, transport, address, fd);
        return true;
    }
    if (is_passing(a, address, -fd) || was_refused(a, transport, address))
        return true;
    say_refused(a, transport, address, -fd);
    if (a->refused_count < REFUSED_LIMIT)
        a->refused[a->refused_count++] = (struct refused){transport, *address};
    return a->plan.may_lack[transport];
}

/* What does not listen yet; false if something must, and cannot. */
static bool open_all(struct addresses *a)
{
    for (enum transport transport = 0; transport < TRANSPORT_COUNT; transport++) {
        uint16_t port = a->plan.ports[transport];
        for (unsigned i = 0; port && i < a->count; i++) {
            netaddr_set_port(&a->found[i], port);
            if (!sockets_find(a->plan.sockets, transport, &a->found[i]) &&
                !open_one(a, transport, &a->found[i]) && !a->has_begun)
                return false;
        }
    }
    return true;
}

/* ---- the beginning */

/* -1, and it was said, if the kernel lets nobody hear; also if there is nothing to follow. */
static int open_changes(const struct addresses *a)
{
    int fd = -1;

    if (!netaddr_names_all(slice_text(a->interface)))
        return -1;
    fd = netlink_open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
    if (fd < 0)
        log_line(a->plan.log, LOG_WARNING,
                 "addresses that come later are not listened on before the next start: netlink "
                 "cannot be opened: %s",
                 strerror(errno));
    return fd;
}

static bool list_first(struct addresses *a)
{
    static const char usage[] = "write an address of this machine, or * for all of them";
    struct slice bad;
    int count = netaddr_list_local(slice_text(a->interface), 0, a->found, &bad);

    a->count = count > 0 ? (unsigned)count : 0;
    if (bad.len)
        log_line(a->plan.log, LOG_FAILURE, "%.*s is not an address: %s", (int)bad.len, bad.at,
                 usage);
    else if (count <= 0)
        log_line(a->plan.log, LOG_FAILURE, "no address to listen on%s%s: %s", count ? ": " : "",
                 count ? strerror(-count) : "", usage);
    return !bad.len && count > 0;
}

struct addresses *addresses_open(const struct addresses_plan *plan)
{
    struct addresses *a = calloc(1, sizeof *a);
    char *interface = strndup(plan->interface.at, plan->interface.len);

    if (!a || !interface) {
        log_line(plan->log, LOG_FAILURE, "no memory for addresses");
        free(interface);
        free(a);
        return NULL;
    }
    a->plan = *plan;
    a->interface = interface;
    a->due = NEVER;
    a->changes = open_changes(a); /* first: nothing changes unheard */
    if (list_first(a) && open_all(a)) {
        a->has_begun = true;
        return a;
    }
    addresses_close(a);
    return NULL;
}

void addresses_close(struct addresses *addresses)
{
    if (addresses->changes >= 0)
        close(addresses->changes);
    free(addresses->interface);
    free(addresses);
}

/* ---- changes */

int addresses_descriptor(const struct addresses *addresses)
{
    return addresses->changes;
}

void addresses_hear(struct addresses *addresses, instant now)
{
    if (!netlink_hear(addresses->changes))
        return;
    if (addresses->due == NEVER)
        addresses->latest = now + LISTED_AFTER;
    addresses->due = min_u64(now + QUIET, addresses->latest);
}

instant addresses_deadline(const struct addresses *addresses)
{
    return addresses->due;
}

static void close_sockets_at(struct addresses *a, const union netaddr *address)
{
    struct sockets *sockets = a->plan.sockets;

    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].descriptor >= 0 && netaddr_same_host(&sockets->at[i].address, address))
            sockets_leave(sockets, i);
    log_address(a->plan.log, LOG_NOTICE, address, "", " has gone: it is not listened on any more");
}

/* Not those that the plan writes out: they are listed whether the machine has them or not. */
static void close_gone(struct addresses *a)
{
    const struct sockets *sockets = a->plan.sockets;

    for (unsigned i = 0; i < sockets->count; i++) {
        const union netaddr address = sockets->at[i].address;
        if (sockets->at[i].descriptor >= 0 && !is_among(a->found, a->count, &address))
            close_sockets_at(a, &address);
    }
}

/* What has gone may be tried, and fail, anew. */
static void forget_refused(struct addresses *a)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < a->refused_count; i++)
        if (is_among(a->found, a->count, &a->refused[i].address))
            a->refused[kept++] = a->refused[i];
    a->refused_count = kept;
}

static bool is_host_served(const struct sockets *sockets, const union netaddr *address)
{
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].is_served && netaddr_same_host(&sockets->at[i].address, address))
            return true;
    return false;
}

void addresses_serve(struct addresses *addresses, const struct settings *settings)
{
    struct sockets *sockets = addresses->plan.sockets;

    for (unsigned i = 0; i < sockets->count; i++) {
        struct own_socket *own = &sockets->at[i];
        if (own->descriptor < 0 || own->is_served || !sockets_are_known(sockets, i, settings))
            continue;
        if (addresses->is_serving && !is_host_served(sockets, &own->address))
            log_address(addresses->plan.log, LOG_NOTICE, &own->address, "listening on ",
                        ", too: the machine has it now");
        own->is_served = true;
        if (own->transport != TRANSPORT_UDP)
            streams_listen(addresses->plan.streams, i);
    }
    addresses->is_serving = true;
    udp_renew(addresses->plan.udp);
}

/* They have all that listens, and nothing more. */
static bool are_complete(const struct addresses *a, const struct settings *settings)
{
    const struct sockets *sockets = a->plan.sockets;

    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].descriptor >= 0
                ? !sockets->at[i].is_served
                : i < settings->socket_count && !settings->sockets[i].is_gone)
            return false;
    return true;
}

bool addresses_follow(struct addresses *addresses, const struct settings *settings)
{
    struct slice bad;
    int count = netaddr_list_local(slice_text(addresses->interface), 0, addresses->found, &bad);

    addresses->due = NEVER;
    if (count < 0) {
        log_line(addresses->plan.log, LOG_WARNING,
                 "the machine's addresses cannot be listed: %s; those known before are listened on",
                 strerror(-count));
        return true;
    }
    addresses->count = (unsigned)count;
    close_gone(addresses);
    forget_refused(addresses);
    open_all(addresses);
    addresses_serve(addresses, settings);
    return are_complete(addresses, settings);
}
