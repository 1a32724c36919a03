#include "programs/router_gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE MS(250)
#define TRIES 3u /* of a protocol that may not be spoken */
#define LOOK_AGAIN SECONDS(30)
#define PROBE SECONDS(10)
#define YOUNG 10u        /* seconds of a router's life: see take_epoch */
#define UPNP_FAILURES 3u /* questions without an answer, until another router is looked for */
#define FAREWELL_WAIT 20 /* ms, that the router has for each few that it is given back */
#define ALL_HOSTS "224.0.0.1"

static void look_from(struct gate *gate, enum gate_way way, instant now)
{
    gate->way = way;
    gate->tries = 0;
    gate->due = way == GATE_NONE ? now + LOOK_AGAIN : now;
}

/* ---- where it is */

/* Where the default route leads: of several, by the least metric. */
static bool find_default(uint8_t address[4])
{
    FILE *table = fopen("/proc/net/route", "re");
    unsigned destination, gateway, flags, metric, mask, least = UINT32_MAX;
    char line[256];

    while (table && fgets(line, sizeof line, table)) {
        if (sscanf(line, "%*s %x %x %x %*d %*d %u %x", &destination, &gateway, &flags, &metric,
                   &mask) != 5 ||
            destination || mask || !(flags & RTF_GATEWAY) || metric >= least)
            continue;
        least = metric;
        memcpy(address, &gateway, 4); /* as the kernel has it */
    }
    if (table)
        fclose(table);
    return least != UINT32_MAX;
}

static bool is_nobody(const uint8_t address[4])
{
    return memcmp(address, "\0\0\0\0", 4) == 0;
}

static struct sockaddr_in place_of(const uint8_t address[4], unsigned port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    memcpy(&place.sin_addr, address, 4);
    return place;
}

/* False if it cannot be reached, and it was said why. */
static bool open_socket(struct gate *gate)
{
    struct sockaddr_in own = place_of(gate->wish.own, 0);
    struct sockaddr_in router = place_of(gate->address, PORTMAP_PORT);
    socklen_t len = sizeof own;

    gate->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (gate->fd >= 0 && !is_nobody(gate->wish.own) &&
        bind(gate->fd, (const struct sockaddr *)&own, sizeof own) < 0) {
        /* Then the one that leads there is ours. */
    }
    if (gate->fd < 0 || connect(gate->fd, (const struct sockaddr *)&router, sizeof router) < 0 ||
        getsockname(gate->fd, (struct sockaddr *)&own, &len) < 0) {
        gate->why = strerror(errno);
        return false;
    }
    memcpy(gate->own, &own.sin_addr, 4);
    return true;
}

/* Where routers say that they have started anew (RFC 6887 14.1.2, RFC 6886 3.2.1).  One may do
 * without. */
static int open_announced(const struct gate *gate)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(PORTMAP_ANNOUNCE_PORT)};
    struct ip_mreq group = {.imr_multiaddr.s_addr = inet_addr(ALL_HOSTS)};

    memcpy(&group.imr_interface, gate->own, 4);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    inet_pton(AF_INET, ALL_HOSTS, &place.sin_addr);
    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group);
    if (bind(fd, (const struct sockaddr *)&place, sizeof place) == 0)
        return fd;
    close(fd);
    return -1;
}

static void close_sockets(struct gate *gate)
{
    if (gate->fd >= 0)
        close(gate->fd);
    if (gate->announced >= 0)
        close(gate->announced);
    gate->fd = gate->announced = -1;
}

/* From the beginning: it may be another router. */
static void look(struct gate *gate, instant now)
{
    bool has_place = !is_nobody(gate->wish.router);

    close_sockets(gate);
    upnp_free(gate->upnp);
    gate->upnp = NULL;
    gate->is_found = gate->has_epoch = false;
    gate->why = NULL;
    forwards_lose(&gate->forwards, now);
    memcpy(gate->address, gate->wish.router, sizeof gate->address);
    if (!has_place && !find_default(gate->address))
        gate->why = "there is no default route";
    else if (open_socket(gate))
        gate->announced = open_announced(gate);
    look_from(gate, gate->why ? GATE_NONE : GATE_PCP, now);
}

void gate_begin(struct gate *gate, const struct router_wish *wish, instant now)
{
    *gate = (struct gate){.wish = *wish, .fd = -1, .announced = -1, .due = NEVER};
    gate->is_wanted = wish->asks_router;
    forwards_clear(&gate->forwards);
    for (unsigned i = 0; i < wish->port_count; i++)
        forwards_add(&gate->forwards, wish->ports[i].protocol, wish->ports[i].port);
    if (wish->first_media)
        forwards_add_media(
            &gate->forwards, wish->first_media,
            (unsigned)min_u64(wish->last_media, wish->first_media + FORWARDS_MEDIA - 1));
    gate->is_wanted &= gate->forwards.count > 0;
    if (gate->is_wanted)
        look(gate, now);
}

/* ---- PCP and NAT-PMP */

static enum portmap_version version_of(const struct gate *gate)
{
    return gate->way == GATE_PCP ? PORTMAP_PCP : PORTMAP_PMP;
}

/* What does not arrive is asked for again in time. */
static void send_packet(const struct gate *gate, const struct writer *w)
{
    if (send(gate->fd, w->at, w->len, MSG_DONTWAIT) < 0) {
        /* That there is nobody is heard when it is read. */
    }
}

static void ask_for(const struct gate *gate, const struct forward *forward, uint32_t seconds)
{
    char packet[128];
    struct writer w = writer_over(packet, sizeof packet);
    const struct portmap_ask ask = {
        .protocol = forward->protocol,
        .port = forward->port,
        .lifetime = seconds,
        .nonce = gate->wish.nonce,
        .client = gate->own,
        .outside = gate->outside.at,
    };

    portmap_write(&w, version_of(gate), &ask);
    send_packet(gate, &w);
}

static void ask_address(const struct gate *gate)
{
    char packet[8];
    struct writer w = writer_over(packet, sizeof packet);

    portmap_write_address(&w);
    send_packet(gate, &w);
}

/* One that lost what it was asked for is asked for all of it.  RFC 6887 8.5 allows for some
 * seconds, in which one that has just started may start anew and nobody sees it: the next probe
 * asks it for all of it once more. */
static void take_epoch(struct gate *gate, const struct portmap_answer *answer, instant now)
{
    bool has_restarted =
        gate->has_epoch && portmap_has_restarted(version_of(gate), gate->epoch, answer->epoch,
                                                 (now - gate->epoch_at) / SECONDS(1));

    if (has_restarted)
        forwards_lose(&gate->forwards, now);
    if (has_restarted || !gate->has_epoch)
        gate->is_young = answer->epoch <= YOUNG;
    gate->has_epoch = true;
    gate->epoch = answer->epoch;
    gate->epoch_at = now;
}

#define ANOTHER_HAS_IT 11u /* PCP: CANNOT_PROVIDE_EXTERNAL */

static void take_mapping(struct gate *gate, const struct portmap_answer *answer, instant now)
{
    struct forward *forward = forwards_find(&gate->forwards, answer->protocol, answer->port);

    if (!forward || forward->state != FORWARD_ASKED ||
        (answer->version == PORTMAP_PCP &&
         memcmp(answer->nonce, gate->wish.nonce, PORTMAP_NONCE) != 0))
        return;
    if (answer->result) {
        gate->why = portmap_why(answer->version, answer->result);
        forward_refused(&gate->forwards, forward, answer->result, now);
    } else if (answer->outside_port != answer->port) {
        gate->why = portmap_why(PORTMAP_PCP, ANOTHER_HAS_IT);
        forward_refused(&gate->forwards, forward, ANOTHER_HAS_IT, now);
        ask_for(gate, forward, 0);
    } else {
        forward_held(forward, answer->lifetime, now);
    }
}

static void take_outside(struct gate *gate, const struct portmap_answer *answer)
{
    if (answer->result || !answer->has_address)
        return;
    gate->outside = answer->address;
    gate->has_outside = true;
}

static void find(struct gate *gate, instant now)
{
    gate->is_found = true;
    gate->why = NULL;
    gate->tries = 0;
    gate->due = now + PROBE;
}

/* While it is not known what it speaks. */
static void take_first(struct gate *gate, const struct portmap_answer *answer, instant now)
{
    bool is_ours = answer->version == version_of(gate) &&
                   answer->kind == (gate->way == GATE_PCP ? PORTMAP_MAPPED : PORTMAP_ADDRESS);

    if (is_ours && (!answer->result || answer->result == ANOTHER_HAS_IT)) {
        find(gate, now);
        return;
    }
    if (answer->version != version_of(gate)) { /* it names another that it speaks */
        if (gate->way == GATE_PCP)
            look_from(gate, GATE_PMP, now);
        return;
    }
    if (answer->result)
        gate->why = portmap_why(answer->version, answer->result);
    if (answer->result)
        look_from(gate, gate->way == GATE_PCP ? GATE_PMP : GATE_UPNP, now);
}

static void take_answer(struct gate *gate, const struct portmap_answer *answer, instant now)
{
    if (!gate->is_found)
        take_first(gate, answer, now);
    if (!gate->is_found || answer->version != version_of(gate))
        return;
    take_epoch(gate, answer, now);
    take_outside(gate, answer);
    if (answer->kind == PORTMAP_MAPPED)
        take_mapping(gate, answer, now);
}

static bool speaks_datagrams(const struct gate *gate)
{
    return gate->way == GATE_PCP || gate->way == GATE_PMP;
}

void gate_take(struct gate *gate, int fd, instant now)
{
    char packet[PORTMAP_PACKET];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    struct portmap_answer answer;
    ssize_t got = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &len);

    if (got < 0 && errno == ECONNREFUSED && !gate->is_found && speaks_datagrams(gate)) {
        look_from(gate, GATE_UPNP, now); /* nobody is at that port */
        return;
    }
    if (got <= 0 || memcmp(&from.sin_addr, gate->address, 4) != 0 ||
        from.sin_port != htons(PORTMAP_PORT) || !speaks_datagrams(gate) ||
        !portmap_read(slice_of(packet, (size_t)got), &answer))
        return;
    take_answer(gate, &answer, now);
}

/* ---- UPnP */

static const char *spell_own(const struct gate *gate, char text[INET_ADDRSTRLEN])
{
    return inet_ntop(AF_INET, gate->own, text, INET_ADDRSTRLEN);
}

static void find_upnp(struct gate *gate, instant now)
{
    char own[INET_ADDRSTRLEN];

    gate->upnp = upnp_find(spell_own(gate, own));
    if (!gate->upnp) {
        look_from(gate, GATE_NONE, now);
        return;
    }
    find(gate, now);
    gate->has_outside = upnp_address(gate->upnp, &gate->outside);
}

static void forward_by_upnp(struct gate *gate, struct forward *forward, instant now)
{
    int error = upnp_forward(gate->upnp, forward->protocol, forward->port, FORWARD_LIFE);

    forward_asked(forward, now);
    if (!error) {
        gate->tries = 0;
        forward_held(forward, FORWARD_LIFE, now);
    } else if (error > 0) {
        gate->why = upnp_why(error);
        forward_refused(&gate->forwards, forward, (unsigned)error, now);
    } else if (++gate->tries >= UPNP_FAILURES) {
        look(gate, now);
    }
}

static void probe_upnp(struct gate *gate, instant now)
{
    const struct forward *first = &gate->forwards.at[0];
    struct address_bytes outside;
    int has = upnp_has(gate->upnp, first->protocol, first->port);

    gate->due = now + PROBE;
    if (upnp_address(gate->upnp, &outside)) {
        gate->outside = outside;
        gate->has_outside = true;
        gate->tries = 0;
    } else if (++gate->tries >= UPNP_FAILURES) {
        look(gate, now);
        return;
    }
    if (has == 0 && first->state == FORWARD_HELD)
        forwards_lose(&gate->forwards, now);
}

/* ---- what is due */

/* Whether it speaks this at all. */
static void try_way(struct gate *gate, instant now)
{
    static const enum gate_way next[] = {[GATE_PCP] = GATE_PMP, [GATE_PMP] = GATE_UPNP};

    if (gate->way == GATE_UPNP) {
        find_upnp(gate, now);
    } else if (gate->tries == TRIES) {
        look_from(gate, next[gate->way], now);
    } else {
        gate->due = now + (PATIENCE << gate->tries++);
        if (gate->way == GATE_PMP) {
            ask_address(gate);
            return;
        }
        ask_for(gate, &gate->forwards.at[0], FORWARD_LIFE);
        gate->forwards.at[0].state = FORWARD_ASKED;
    }
}

static void probe(struct gate *gate, instant now)
{
    if (gate->way == GATE_UPNP) {
        probe_upnp(gate, now);
        return;
    }
    gate->due = now + PROBE;
    if (gate->is_young)
        forwards_lose(&gate->forwards, now);
    gate->is_young = false;
    if (gate->way == GATE_PMP)
        ask_address(gate);
    else
        gate->forwards.at[0].due = now;
}

/* One at a time where that takes long, for somebody else may have something to say. */
static void ask_for_ports(struct gate *gate, instant now)
{
    struct forward *forward;

    while ((forward = forwards_next(&gate->forwards, now))) {
        if (gate->way == GATE_UPNP) {
            forward_by_upnp(gate, forward, now);
            return;
        }
        forward_asked(forward, now);
        ask_for(gate, forward, FORWARD_LIFE);
    }
}

void gate_step(struct gate *gate, instant now)
{
    if (!gate->is_wanted)
        return;
    if (gate->due <= now && gate->way == GATE_NONE)
        look(gate, now);
    else if (gate->due <= now && !gate->is_found)
        try_way(gate, now);
    else if (gate->due <= now)
        probe(gate, now);
    if (!gate->is_found)
        return;
    ask_for_ports(gate, now);
    if (gate->forwards.at[0].state == FORWARD_UNHEARD) /* it is the one that is asked for most */
        look(gate, now);
}

instant gate_deadline(const struct gate *gate)
{
    if (!gate->is_wanted)
        return NEVER;
    return gate->is_found ? min_u64(gate->due, forwards_deadline(&gate->forwards)) : gate->due;
}

bool gate_is_settled(const struct gate *gate)
{
    return !gate->is_wanted || gate->way == GATE_NONE ||
           (gate->is_found && !forwards_count(&gate->forwards).waiting);
}

/* ---- the end */

static void give_back(struct gate *gate, const struct forward *forward, unsigned n)
{
    struct pollfd wait = {.fd = gate->fd, .events = POLLIN};
    char packet[PORTMAP_PACKET];

    if (gate->way == GATE_UPNP) {
        upnp_forward(gate->upnp, forward->protocol, forward->port, 0);
        return;
    }
    ask_for(gate, forward, 0);
    if (n % FORWARDS_AT_ONCE == 0 && poll(&wait, 1, FAREWELL_WAIT) > 0)
        while (recv(gate->fd, packet, sizeof packet, MSG_DONTWAIT) > 0)
            continue;
}

void gate_end(struct gate *gate, bool are_kept)
{
    unsigned n = 0;

    for (unsigned i = 0; i < gate->forwards.count && gate->is_found && !are_kept; i++)
        if (gate->forwards.at[i].state == FORWARD_HELD ||
            gate->forwards.at[i].state == FORWARD_ASKED)
            give_back(gate, &gate->forwards.at[i], ++n);
    close_sockets(gate);
    upnp_free(gate->upnp);
    *gate = (struct gate){.fd = -1, .announced = -1, .due = NEVER};
}
