#include "shell/routes.h"

#include "base/hash.h"
#include "shell/netlink.h"
#include "shell/relay_parts.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT 256u /* answers; a power of two */

struct kept {
    struct leg_place from, to;
    struct route route;
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

struct routes *routes_open(void)
{
    const unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE |
                            RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_RULE |
                            1u << (RTNLGRP_IPV6_RULE - 1) | 1u << (RTNLGRP_NEXTHOP - 1);
    struct timeval patience = {.tv_sec = 1};
    struct routes *routes = calloc(1, sizeof *routes);

    if (!routes)
        return NULL;
    routes->hears = netlink_open(groups);
    routes->asks = netlink_open(0);
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

static void hear(struct routes *routes)
{
    if (!netlink_hear(routes->hears))
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

/* The next hop of a neighbour is itself; of a gateway that is reached by IPv6 (RFC 5549) none is
 * known. */
static void read_attribute(const struct rtattr *a, struct route *route)
{
    if (a->rta_type == RTA_OIF && RTA_PAYLOAD(a) >= sizeof route->link)
        memcpy(&route->link, RTA_DATA(a), sizeof route->link);
    else if (a->rta_type == RTA_GATEWAY && RTA_PAYLOAD(a) == sizeof route->hop)
        memcpy(&route->hop, RTA_DATA(a), sizeof route->hop);
    else if (a->rta_type == RTA_VIA)
        route->hop = 0;
}

/* False if it is not to this question; a refusal has no link. */
static bool read_answer(const struct nlmsghdr *head, size_t len, uint32_t number,
                        const struct leg_place *to, struct route *route)
{
    const struct rtmsg *found = NLMSG_DATA(head);

    if (!NLMSG_OK(head, len) || head->nlmsg_seq != number)
        return false;
    *route = (struct route){0};
    if (head->nlmsg_type != RTM_NEWROUTE ||
        (found->rtm_type != RTN_UNICAST && found->rtm_type != RTN_LOCAL))
        return true;
    if (relay_is_v4(to) && found->rtm_type == RTN_UNICAST)
        memcpy(&route->hop, to->address + 12, sizeof route->hop);
    len = RTM_PAYLOAD(head);
    for (const struct rtattr *a = RTM_RTA(found); RTA_OK(a, len); a = RTA_NEXT(a, len))
        read_attribute(a, route);
    return true;
}

static struct route ask(struct routes *routes, const struct leg_place *from,
                        const struct leg_place *to)
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
    struct route route = {0};
    bool is_answered = false;

    add_address(&q, RTA_DST, to);
    add_address(&q, RTA_SRC, from);
    if (send(routes->asks, &q, q.head.nlmsg_len, 0) < 0)
        return route;
    while (!is_answered) {
        ssize_t len = recv(routes->asks, bytes, sizeof bytes, 0);
        if (len < 0 && errno != EINTR)
            break;
        is_answered = len > 0 && read_answer((const struct nlmsghdr *)bytes, (size_t)len,
                                             routes->number, to, &route);
    }
    return route;
}

static bool same_host(const struct leg_place *a, const struct leg_place *b)
{
    return memcmp(a->address, b->address, sizeof a->address) == 0;
}

struct route routes_find(struct routes *routes, const struct leg_place *from,
                         const struct leg_place *to)
{
    struct kept *kept;

    if (relay_is_v4(from) != relay_is_v4(to))
        return (struct route){0};
    hear(routes);
    kept =
        &routes
             ->kept[hash_bytes(&routes->key, slice_of((const char *)to->address, 16)) & (KEPT - 1)];
    if (!kept->is_used || !same_host(&kept->from, from) || !same_host(&kept->to, to))
        *kept = (struct kept){*from, *to, ask(routes, from, to), true};
    return kept->route;
}
