/* Addresses where no phone of another host can be: loopback, and those of many or of nobody. */
#pragma once

#include "core/flow.h"

/* 127.0.0.0/8 or ::1, mapped or not; multicast; the broadcast address and those that are nobody's.
 */
bool address_is_loopback(const struct address_bytes *address);
bool address_is_many(const struct address_bytes *address);

/* The peer's address, IPv4 where it is mapped into IPv6. */
struct address_bytes flow_address(const struct flow *flow);
