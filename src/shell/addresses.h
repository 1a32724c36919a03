/*
 * The addresses that are listened on.  Where the plan names all of the machine's, rather than one
 * by one, they are followed: the kernel tells by netlink that some have changed (rtnetlink(7)), and
 * when no more is told for a moment, all are listed anew.  Sockets of an address that has gone are
 * closed at once; those of a new one are opened, but only read from when a configuration has them
 * (addresses_serve), for the core must know the socket that a message comes by.
 */
#pragma once

#include "shell/log.h"
#include "shell/sockets.h"
#include "shell/stream.h"
#include "shell/udp.h"

struct addresses;

struct addresses_plan {
    struct slice interface;          /* see netaddr_list_local */
    uint16_t ports[TRANSPORT_COUNT]; /* 0: none listens by it, and nothing can be opened by it */
    bool may_lack[TRANSPORT_COUNT];  /* that cannot be listened on is said, and no more */
    struct sockets *sockets;
    struct udp *udp;
    struct streams *streams;
    struct log *log;
};

/* Opens all sockets; NULL, and it was logged why, if that is not possible. */
struct addresses *addresses_open(const struct addresses_plan *plan);
void addresses_close(struct addresses *addresses);

/* Readable when addresses_hear has something to do; -1 if nothing is followed. */
int addresses_descriptor(const struct addresses *addresses);
void addresses_hear(struct addresses *addresses, instant now);

/* When they are to be listed anew; NEVER if they need not be. */
instant addresses_deadline(const struct addresses *addresses);

/* These settings are in force: what they have is read from. */
void addresses_serve(struct addresses *addresses, const struct settings *settings);

/* Lists them, opens and closes.  False if the settings in force do not say what listens now: others
 * are needed. */
bool addresses_follow(struct addresses *addresses, const struct settings *settings);
