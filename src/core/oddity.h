/* Addresses where no phone of another host can be: loopback, and those of many or of nobody. */
#pragma once

#include "core/flow.h"

/* 127.0.0.0/8 or ::1, mapped or not; multicast; the broadcast address and those that are nobody's.
 */
bool address_is_loopback(const struct address_bytes *address);
bool address_is_many(const struct address_bytes *address);

/* Who can reach it: the higher, the fewer.  Nobody on the Internet has a way to those above
 * SECLUSION_NONE (RFC 6890). */
enum seclusion {
    SECLUSION_NONE,
    SECLUSION_PRIVATE,  /* a network of one's own: RFC 1918, RFC 6598, RFC 4193 */
    SECLUSION_LINK,     /* RFC 3927, and fe80::/10 */
    SECLUSION_LOOPBACK, /* this machine */
};
enum seclusion address_seclusion(const struct address_bytes *address);

/* The peer's address, IPv4 where it is mapped into IPv6. */
struct address_bytes flow_address(const struct flow *flow);

/* How well an address of ours serves for a peer of its family: the better, the more they have in
 * common.  ADDRESS_UNFIT, if it leads nowhere but to this machine or link, and the peer is not
 * there. */
#define ADDRESS_UNFIT 1u
unsigned address_fitness(const struct address_bytes *ours, const struct address_bytes *peer);
