/* A socket's address, of either family. */
#pragma once

#include "base/cursor.h"

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
