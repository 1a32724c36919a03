/* A socket's address, of either family. */
#pragma once

#include "core/flow.h"

#include <netinet/in.h>

union netaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline socklen_t netaddr_length(const union netaddr *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

static inline uint16_t netaddr_port(const union netaddr *a)
{
    return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

static inline void netaddr_set_port(union netaddr *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

/* Where a flow leads, and the other way: what names the peer in a flow. */
static inline union netaddr netaddr_of_flow(const struct flow *flow)
{
    union netaddr a = {0};

    if (flow->is_v6) {
        a.v6.sin6_family = AF_INET6;
        memcpy(&a.v6.sin6_addr, flow->address, 16);
    } else {
        a.v4.sin_family = AF_INET;
        memcpy(&a.v4.sin_addr, flow->address, 4);
    }
    netaddr_set_port(&a, flow->port);
    return a;
}

static inline void netaddr_to_flow(const union netaddr *a, struct flow *flow)
{
    flow->is_v6 = a->any.sa_family == AF_INET6;
    flow->port = netaddr_port(a);
    if (flow->is_v6)
        memcpy(flow->address, &a->v6.sin6_addr, 16);
    else
        memcpy(flow->address, &a->v4.sin_addr, 4);
}

/* Whatever their ports. */
static inline bool netaddr_same_host(const union netaddr *a, const union netaddr *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    return a->any.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0
                                        : a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

/* A numeric address, IPv6 with or without brackets; false if it is none. */
bool netaddr_parse(struct slice text, uint16_t port, union netaddr *address);

/* The host as SIP writes it: IPv6 in brackets. */
void netaddr_write_host(struct writer *w, const union netaddr *address);
void netaddr_write(struct writer *w, const union netaddr *address); /* with ":port" */

#define NETADDR_TEXT 64u /* bytes that hold what these write */

#define LOCAL_LIMIT 256u /* addresses of this machine that are listened on */

/* The addresses to listen on: a list, separated by blanks or commas, of numeric addresses, `*` (all
 * of this machine's), `0.0.0.0` (all IPv4) or `::` (all IPv6).  IPv6 link-local addresses are left
 * out: they mean nothing without their interface's name.  `bad` is the first word that is none of
 * these, or empty.  Returns how many were found, or -errno. */
int netaddr_list_local(struct slice text, uint16_t port, union netaddr *found, struct slice *bad);

/* Such a list names all of this machine's, at least of a family: what it stands for may change. */
bool netaddr_names_all(struct slice text);

/* It names that address itself, by its number; ports do not count. */
bool netaddr_is_written(struct slice text, const union netaddr *address);
