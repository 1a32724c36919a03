/*
 * Which of the machine's links leads to an address: asked of the kernel's routing tables by netlink
 * (rtnetlink(7)), which needs no privilege.  Answers are kept until a route or a link changes.
 */
#pragma once

#include "core/leg.h"

#include <stdbool.h>

struct routes;

struct routes *routes_open(void); /* NULL, and errno */
void routes_close(struct routes *routes);

/* Readable when something has changed. */
int routes_descriptor(const struct routes *routes);

/* Something has, since this was last asked, and what was kept is forgotten. */
bool routes_have_changed(struct routes *routes);

struct route {
    unsigned link; /* its index; 0 if none leads there, or `from` is no address of this machine */
    uint32_t hop;  /* of IPv4, the next hop's address, as in packets; 0: it is not known */
};

struct route routes_find(struct routes *routes, const struct leg_place *from,
                         const struct leg_place *to);
