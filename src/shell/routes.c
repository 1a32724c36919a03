#include "shell/routes.h"

#include "base/hash.h"
#include "shell/relay_parts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT 256u /* answers; a power of two */

struct kept {
    struct leg_place from, to;
    unsigned link;
    bool is_used;
};

struct routes {
    int asks;  /* questions and answers */
    int hears; /* of changes */
    uint32_t number;
    bool has_changed;
    struct hash_key key;
    struct kept kept[KEPT];
};

struct question {
    struct nlmsghdr head;
    struct rtmsg route;
    char attributes[2 * RTA_SPACE(16)];
};

static int open_netlink(unsigned groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0), NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

struct routes *routes_open(void)
{
    const unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
                            RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    struct timeval patience = {.tv_sec = 1};
    struct routes *routes = calloc(1, sizeof *routes);

    if (!routes)
        return NULL;
    routes->hears = open_netlink(groups);
    routes->asks = open_netlink(0);
    if (routes->hears >= 0 && routes->asks >= 0) {
        setsockopt(routes->asks, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        return routes;
    }
    int error = errno;
    routes_close(routes);
    errno = error;
    return NULL;
}

void routes_close(struct routes *routes)
{
    if (routes->hears >= 0)
        close(routes->hears);
    if (routes->asks >= 0)
        close(routes->asks);
    free(routes);
}

int routes_descriptor(const struct routes *routes)
{
    return routes->hears;
}

/* What changed does not matter, nor that some of it was lost. */
static void hear(struct routes *routes)
{
    char bytes[8192];
    bool has_heard = false;

    while (recv(routes->hears, bytes, sizeof bytes, 0) > 0 || errno == ENOBUFS || errno == EINTR)
        has_heard = true;
    if (!has_heard)
        return;
    routes->has_changed = true;
    memset(routes->kept, 0, sizeof routes->kept);
}

bool routes_have_changed(struct routes *routes)
{
    bool has_changed;

    hear(routes);
    has_changed = routes->has_changed;
    routes->has_changed = false;
    return has_changed;
}

static void add_address(struct question *q, unsigned short type, const struct leg_place *place)
{
    bool is_v4 = relay_is_v4(place);
    struct rtattr *attribute = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));

    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(is_v4 ? 4 : 16);
    memcpy(RTA_DATA(attribute), place->address + (is_v4 ? 12 : 0), is_v4 ? 4 : 16);
    q->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

/* The link in an answer; 0 if it is a refusal, -1 if it is not to this question. */
static int link_of(const struct nlmsghdr *head, size_t len, uint32_t number)
{
    const struct rtmsg *route = NLMSG_DATA(head);
    int link = 0;

    if (!NLMSG_OK(head, len) || head->nlmsg_seq != number)
        return -1;
    if (head->nlmsg_type != RTM_NEWROUTE ||
        (route->rtm_type != RTN_UNICAST && route->rtm_type != RTN_LOCAL))
        return 0;
    len = RTM_PAYLOAD(head);
    for (const struct rtattr *a = RTM_RTA(route); RTA_OK(a, len); a = RTA_NEXT(a, len))
        if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof link)
            memcpy(&link, RTA_DATA(a), sizeof link);
    return link > 0 ? link : 0;
}

static unsigned ask(struct routes *routes, const struct leg_place *from, const struct leg_place *to)
{
    bool is_v4 = relay_is_v4(to);
    struct question q = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof q.route),
                 .nlmsg_type = RTM_GETROUTE,
                 .nlmsg_flags = NLM_F_REQUEST,
                 .nlmsg_seq = ++routes->number},
        .route = {.rtm_family = is_v4 ? AF_INET : AF_INET6,
                  .rtm_dst_len = is_v4 ? 32 : 128,
                  .rtm_src_len = is_v4 ? 32 : 128},
    };
    _Alignas(8) char bytes[4096];
    int link = -1;

    add_address(&q, RTA_DST, to);
    add_address(&q, RTA_SRC, from);
    if (send(routes->asks, &q, q.head.nlmsg_len, 0) < 0)
        return 0;
    while (link < 0) {
        ssize_t len = recv(routes->asks, bytes, sizeof bytes, 0);
        if (len < 0 && errno != EINTR)
            return 0;
        if (len > 0)
            link = link_of((const struct nlmsghdr *)bytes, (size_t)len, routes->number);
    }
    return (unsigned)link;
}

static bool same_host(const struct leg_place *a, const struct leg_place *b)
{
    return memcmp(a->address, b->address, sizeof a->address) == 0;
}

unsigned routes_link(struct routes *routes, const struct leg_place *from,
                     const struct leg_place *to)
{
    struct kept *kept;

    if (relay_is_v4(from) != relay_is_v4(to))
        return 0;
    hear(routes);
    kept =
        &routes
             ->kept[hash_bytes(&routes->key, slice_of((const char *)to->address, 16)) & (KEPT - 1)];
    if (!kept->is_used || !same_host(&kept->from, from) || !same_host(&kept->to, to))
        *kept = (struct kept){*from, *to, ask(routes, from, to), true};
    return kept->link;
}
