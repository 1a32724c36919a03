#include "programs/relay_serve.h"

#include "base/hash.h"
#include "core/leg_stream.h"
#include "shell/clock.h"
#include "shell/netaddr.h"
#include "shell/relay_parts.h"
#include "shell/relay_wire.h"
#include "shell/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8u      /* daemons and administrators at a time */
#define EVENTS 256      /* looked at between two looks at the clock */
#define BATCH 8u        /* packets of one leg at a time, so that no leg keeps others waiting */
#define DATAGRAM 65536u /* bytes of the largest */
#define SPARE 32u       /* descriptors that are no leg's */
#define NO_PORT UINT32_MAX
#define ABANDONED SECONDS(3600) /* after such silence a leg ends where no daemon is */
#define SWEEP SECONDS(10)

/* What an event of epoll is of: a leg by its index, or one of these. */
enum event_kind { EVENT_LEG, EVENT_LISTENER, EVENT_CLIENT };

struct port {
    _Alignas(8) struct leg_place key;
    struct leg leg;
    struct leg_stream stream;
    int fd; /* -1: there is none */
    bool is_v6;
    int traffic_class; /* of what it sends: DSCP and ECN (RFC 2474, RFC 3168) */
    uint32_t next;     /* in its bucket, or free */
    uint32_t other;    /* where leg.rule.other was last found */
    uint64_t opened;
};

/* A packet on its way. */
struct item {
    struct iovec bytes;
    union netaddr from;
    union netaddr to;
    char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int))];
};

struct server {
    struct relay_serve setup;
    struct hash_key key;
    int epoll;
    int clients[CLIENTS];
    unsigned client_count;
    uint32_t port_count;
    uint32_t free;
    uint32_t bucket_mask;
    uint32_t *buckets;
    struct port *ports;
    uint64_t now, idle_since, swept;
    struct relay_message message;
    struct mmsghdr in[BATCH], out[BATCH];
    struct item items[BATCH];
    uint8_t *bytes;
};

/* ---- the table */

static uint32_t bucket_of(const struct server *server, const struct leg_place *key)
{
    return (uint32_t)hash_bytes(&server->key, slice_of((const char *)key, sizeof *key)) &
           server->bucket_mask;
}

static uint32_t find(const struct server *server, const struct leg_place *key)
{
    uint32_t i = server->buckets[bucket_of(server, key)];

    while (i != NO_PORT && memcmp(&server->ports[i].key, key, sizeof *key) != 0)
        i = server->ports[i].next;
    return i;
}

static void close_port(struct server *server, uint32_t i)
{
    struct port *port = &server->ports[i];
    uint32_t *link = &server->buckets[bucket_of(server, &port->key)];

    while (*link != i)
        link = &server->ports[*link].next;
    *link = port->next;
    close(port->fd); /* which takes it out of epoll */
    *port = (struct port){.fd = -1, .next = server->free};
    server->free = i;
    server->port_count--;
}

static union netaddr address_of(const struct leg_place *place)
{
    union netaddr address = {0};

    if (relay_is_v4(place)) {
        address.v4.sin_family = AF_INET;
        memcpy(&address.v4.sin_addr, place->address + 12, 4);
        memcpy(&address.v4.sin_port, place->port, 2);
    } else {
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, place->address, 16);
        memcpy(&address.v6.sin6_port, place->port, 2);
    }
    return address;
}

static void place_of(const union netaddr *address, struct leg_place *place)
{
    memset(place, 0, sizeof *place);
    if (address->any.sa_family == AF_INET) {
        place->address[10] = place->address[11] = 0xff;
        memcpy(place->address + 12, &address->v4.sin_addr, 4);
        memcpy(place->port, &address->v4.sin_port, 2);
    } else {
        memcpy(place->address, &address->v6.sin6_addr, 16);
        memcpy(place->port, &address->v6.sin6_port, 2);
    }
}

/* Its socket, which says with each packet how it is to be treated; -errno. */
static int open_socket(const struct leg_place *key, bool is_v6)
{
    union netaddr address = address_of(key);
    int on = 1, error;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS ? -ENOSPC : -errno;
    if (is_v6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
    } else {
        setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    }
    if (bind(fd, &address.any, netaddr_length(&address)) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

static int watch(struct server *server, int fd, enum event_kind kind, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};

    return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_port(struct server *server, const struct leg_change *change)
{
    bool is_v6 = !relay_is_v4(&change->key);
    uint32_t i = find(server, &change->key), *bucket;
    struct port *port;
    int fd, error;

    if (i != NO_PORT) { /* anew: what is its socket may stay */
        server->ports[i].leg = (struct leg){.rule = change->rule};
        server->ports[i].stream = (struct leg_stream){0};
        server->ports[i].opened = server->now;
        return 0;
    }
    if (server->port_count >= server->setup.limit)
        return -ENOSPC;
    fd = open_socket(&change->key, is_v6);
    if (fd < 0)
        return fd;
    i = server->free;
    error = watch(server, fd, EVENT_LEG, i);
    if (error) {
        close(fd);
        return error;
    }
    port = &server->ports[i];
    server->free = port->next;
    server->port_count++;
    bucket = &server->buckets[bucket_of(server, &change->key)];
    *port = (struct port){.key = change->key,
                          .leg.rule = change->rule,
                          .fd = fd,
                          .is_v6 = is_v6,
                          .next = *bucket,
                          .opened = server->now};
    *bucket = i;
    return 0;
}

static int change_port(struct server *server, const struct leg_change *change)
{
    int error = relay_check_change(change);
    uint32_t i;

    if (error)
        return error;
    if (change->kind == LEG_OPEN)
        return open_port(server, change);
    i = find(server, &change->key);
    if (i == NO_PORT)
        return -ENOENT;
    if (change->kind == LEG_CLOSE)
        close_port(server, i);
    else
        server->ports[i].leg.rule = change->rule;
    return 0;
}

/* ---- packets */

/* What the packet's IP header said of its treatment. */
static int traffic_class_of(const struct msghdr *m)
{
    int class = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            class = *CMSG_DATA(c);
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            memcpy(&class, CMSG_DATA(c), sizeof class);
    }
    return class;
}

static void set_traffic_class(struct port *port, int class)
{
    if (port->traffic_class == class)
        return;
    if (port->is_v6)
        setsockopt(port->fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
    else
        setsockopt(port->fd, IPPROTO_IP, IP_TOS, &class, sizeof class);
    port->traffic_class = class;
}

/* The leg by which what comes to this one leaves, or NULL. */
static struct port *other_port(struct server *server, struct port *port)
{
    const struct leg_place *key = &port->leg.rule.other;

    if (server->ports[port->other].fd < 0 ||
        !leg_same_place(&server->ports[port->other].key, key)) {
        uint32_t i = find(server, key);
        if (i == NO_PORT)
            return NULL;
        port->other = i;
    }
    return &server->ports[port->other];
}

/* LEG_PASSES and where the item goes, or why not. */
static int judge(struct server *server, struct port *port, struct port *other, struct item *item,
                 uint32_t len)
{
    struct leg_packet packet = {.len = len, .now = server->now};
    struct leg_place to __attribute__((aligned(4)));
    int verdict;

    place_of(&item->from, &packet.from);
    memcpy(packet.head, item->bytes.iov_base, min_u64(len, sizeof packet.head));
    verdict = leg_take(&port->leg.rule, &port->leg.state, &packet);
    if (verdict != LEG_PASSES)
        return verdict;
    leg_hear(&port->leg.rule, &port->stream, &packet);
    if (!other)
        return LEG_EARLY;
    verdict = leg_aim(&other->leg.rule, &other->leg.state, &to);
    if (verdict != LEG_PASSES)
        return verdict;
    item->to = address_of(&to);
    return (item->to.any.sa_family == AF_INET6) == other->is_v6 ? LEG_PASSES : LEG_LOST;
}

/* Sends what is waiting; what the network refuses is lost. */
static void flush(struct server *server, struct port *port, struct port *other, unsigned count)
{
    unsigned sent = 0;

    while (sent < count) {
        int now = count - sent == 1
                      ? (sendmsg(other->fd, &server->out[sent].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1)
                      : sendmmsg(other->fd, server->out + sent, count - sent, MSG_DONTWAIT);
        for (int i = 0; i < now; i++)
            leg_count(&port->leg.state, LEG_PASSES,
                      (uint32_t)server->out[sent + (unsigned)i].msg_hdr.msg_iov->iov_len);
        if (now > 0) {
            sent += (unsigned)now;
        } else if (errno != EINTR) {
            leg_count(&port->leg.state, LEG_LOST, 0);
            sent++;
        }
    }
}

static void relay_batch(struct server *server, struct port *port, unsigned count)
{
    struct port *other = other_port(server, port);
    unsigned waiting = 0;

    for (unsigned i = 0; i < count; i++) {
        struct item *item = &server->items[i];
        uint32_t len = server->in[i].msg_len;
        int class, verdict = judge(server, port, other, item, len);

        if (verdict != LEG_PASSES) {
            leg_count(&port->leg.state, verdict, len);
            continue;
        }
        class = traffic_class_of(&server->in[i].msg_hdr);
        if (class != other->traffic_class) {
            flush(server, port, other, waiting);
            waiting = 0;
            set_traffic_class(other, class);
        }
        item->bytes.iov_len = len;
        server->out[waiting++].msg_hdr = (struct msghdr){.msg_name = &item->to,
                                                         .msg_namelen = netaddr_length(&item->to),
                                                         .msg_iov = &item->bytes,
                                                         .msg_iovlen = 1};
    }
    flush(server, port, other, waiting);
}

static void take_packets(struct server *server, struct port *port)
{
    int count;

    for (unsigned i = 0; i < BATCH; i++) {
        struct item *item = &server->items[i];
        item->bytes = (struct iovec){server->bytes + i * DATAGRAM, DATAGRAM};
        server->in[i].msg_hdr = (struct msghdr){.msg_name = &item->from,
                                                .msg_namelen = sizeof item->from,
                                                .msg_iov = &item->bytes,
                                                .msg_iovlen = 1,
                                                .msg_control = item->control,
                                                .msg_controllen = sizeof item->control};
    }
    count = recvmmsg(port->fd, server->in, BATCH, MSG_DONTWAIT, NULL);
    if (count > 0)
        relay_batch(server, port, (unsigned)count);
}

/* ---- daemons */

static void drop_client(struct server *server, uint32_t i)
{
    close(server->clients[i]);
    server->clients[i] = -1;
    server->client_count--;
}

/* Only who could end this process may tell it what to do. */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_client(struct server *server)
{
    int fd = accept4(server->setup.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (uint32_t i = 0; i < CLIENTS && is_trusted(fd); i++) {
        if (server->clients[i] >= 0)
            continue;
        if (watch(server, fd, EVENT_CLIENT, i) < 0)
            break;
        server->clients[i] = fd;
        server->client_count++;
        return;
    }
    close(fd);
}

static struct relay_leg leg_at(const struct server *server, uint32_t i)
{
    return (struct relay_leg){server->ports[i].key, server->ports[i].leg, server->ports[i].stream};
}

static size_t apply_changes(struct server *server, struct relay_message *m)
{
    static struct leg_change changes[RELAY_WIRE_BATCH];

    memcpy(changes, m->changes, m->count * sizeof *changes); /* the answer goes into their place */
    for (uint32_t i = 0; i < m->count; i++)
        m->errors[i] = change_port(server, &changes[i]);
    return m->count * sizeof *m->errors;
}

static size_t read_legs(struct server *server, struct relay_message *m)
{
    static struct leg_place keys[RELAY_WIRE_BATCH];

    memcpy(keys, m->keys, m->count * sizeof *keys);
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t found = find(server, &keys[i]);
        m->legs[i] = found == NO_PORT ? (struct relay_leg){.key = keys[i]} : leg_at(server, found);
    }
    return m->count * sizeof *m->legs;
}

static size_t list_legs(struct server *server, struct relay_message *m)
{
    uint32_t room = m->count;

    m->count = 0;
    for (; m->place < server->setup.limit && m->count < room; m->place++)
        if (server->ports[m->place].fd >= 0)
            m->legs[m->count++] = leg_at(server, m->place);
    return m->count * sizeof *m->legs;
}

/* The answer's bytes behind its head, or -1 if the request is none. */
static ssize_t answer(struct server *server, size_t len)
{
    static const size_t sizes[] = {[RELAY_HELLO] = 0,
                                   [RELAY_APPLY] = sizeof(struct leg_change),
                                   [RELAY_READ] = sizeof(struct leg_place),
                                   [RELAY_LIST] = 0};
    struct relay_message *m = &server->message;

    if (len < RELAY_MESSAGE_HEAD)
        return -1;
    if (m->version != RELAY_WIRE_VERSION) {
        m->version = RELAY_WIRE_VERSION;
        return 0;
    }
    if (m->question >= COUNT_OF(sizes) || m->count > RELAY_WIRE_BATCH ||
        len != RELAY_MESSAGE_HEAD + m->count * sizes[m->question])
        return -1;
    switch (m->question) {
    case RELAY_APPLY: return (ssize_t)apply_changes(server, m);
    case RELAY_READ: return (ssize_t)read_legs(server, m);
    case RELAY_LIST: return (ssize_t)list_legs(server, m);
    default:
        m->count = server->setup.limit;
        m->place = (uint32_t)getpid();
        return 0;
    }
}

static void hear_client(struct server *server, uint32_t i)
{
    int fd = server->clients[i];
    ssize_t len = recv(fd, &server->message, sizeof server->message, 0);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len > 0)
        len = answer(server, (size_t)len);
    else
        len = -1;
    if (len >= 0)
        len = send(fd, &server->message, RELAY_MESSAGE_HEAD + (size_t)len, MSG_NOSIGNAL);
    if (len < 0)
        drop_client(server, i);
}

/* ---- the loop */

/* Legs that nobody will close: their daemon has gone, and nothing came for long. */
static void sweep(struct server *server)
{
    if (server->client_count)
        server->idle_since = server->now;
    if (server->client_count || server->now - server->swept < SWEEP)
        return;
    server->swept = server->now;
    for (uint32_t i = 0; i < server->setup.limit; i++) {
        const struct port *port = &server->ports[i];
        if (port->fd >= 0 && server->now - max_u64(port->opened, port->leg.state.seen) > ABANDONED)
            close_port(server, i);
    }
}

static bool is_wanted(struct server *server)
{
    if (server->port_count || server->client_count)
        server->idle_since = server->now;
    return server->now - server->idle_since < SECONDS(server->setup.linger);
}

static void take_event(struct server *server, uint64_t data)
{
    uint32_t index = (uint32_t)data;

    switch ((enum event_kind)(data >> 32)) {
    case EVENT_LISTENER: accept_client(server); break;
    case EVENT_CLIENT:
        if (server->clients[index] >= 0)
            hear_client(server, index);
        break;
    case EVENT_LEG:
        if (server->ports[index].fd >= 0)
            take_packets(server, &server->ports[index]);
        break;
    }
}

static void run(struct server *server)
{
    static struct epoll_event events[EVENTS];

    server->now = server->idle_since = clock_now().boot;
    while (is_wanted(server)) {
        int patience = server->client_count ? -1 : 1000;
        int count = epoll_wait(server->epoll, events, EVENTS, patience);

        server->now = clock_now().boot;
        for (int i = 0; i < count; i++)
            take_event(server, events[i].data.u64);
        sweep(server);
    }
}

/* As many descriptors as are allowed, and no more legs than fit. */
static void limit_legs(struct relay_serve *setup)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < SPARE + (rlim_t)setup->limit)
        setup->limit = files.rlim_max > SPARE ? (unsigned)(files.rlim_max - SPARE) : 0;
}

static bool prepare(struct server *server)
{
    uint32_t buckets = 2;

    while (buckets < 2 * server->setup.limit)
        buckets *= 2;
    server->bucket_mask = buckets - 1;
    server->buckets = malloc(buckets * sizeof *server->buckets);
    server->ports =
        aligned_alloc(64, (server->setup.limit + 1) * sizeof *server->ports / 64 * 64 + 64);
    server->bytes = malloc(BATCH * DATAGRAM);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!server->buckets || !server->ports || !server->bytes || server->epoll < 0)
        return false;
    random_fill(&server->key, sizeof server->key);
    memset(server->buckets, 0xff, buckets * sizeof *server->buckets);
    for (uint32_t i = 0; i < server->setup.limit; i++)
        server->ports[i] = (struct port){.fd = -1, .next = i + 1};
    for (uint32_t i = 0; i < CLIENTS; i++)
        server->clients[i] = -1;
    return watch(server, server->setup.listener, EVENT_LISTENER, 0) == 0;
}

int relay_serve(const struct relay_serve *setup)
{
    static struct server server;

    server.setup = *setup;
    limit_legs(&server.setup);
    if (!prepare(&server)) {
        fprintf(stderr, "sipw-relay: it cannot begin: %s\n", strerror(errno));
        return 1;
    }
    run(&server);
    return 0;
}
