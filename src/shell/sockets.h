/*
 * All that we listen on, by number: that of flows and of the settings' sockets.  A number stays as
 * long as we run.  What is opened later gets the next one; what is closed, since its address has
 * gone, keeps its own: flows name it, and Vias and Record-Routes that others hold.  When the
 * address comes back it has it again.
 *
 * The main thread's alone: a configuration has a list of its own.
 */
#pragma once

#include "core/settings.h"
#include "shell/netaddr.h"

/* Closed ones that keep their numbers: of one kind, a transport and a family.  More are forgotten,
 * the longest gone first: each message is held against all. */
#define GONE_LIMIT 16u
#define SOCKET_LIMIT (2 * TRANSPORT_COUNT * LOCAL_LIMIT)

struct own_socket {
    int descriptor; /* -1: its address has gone */
    uint8_t transport;
    bool is_v6;
    bool is_served;        /* the configuration in force has it: it may be read from */
    uint32_t closing;      /* which of all closings its was */
    union netaddr address; /* with the port */
    char host[NETADDR_TEXT];
};

struct sockets {
    unsigned count;
    uint32_t closings;
    struct own_socket at[SOCKET_LIMIT];
};

/* NULL if there is no memory. */
struct sockets *sockets_create(void);
/* Closes them. */
void sockets_destroy(struct sockets *sockets);

/* The one that listens there by that transport; NULL if there is none. */
const struct own_socket *sockets_find(const struct sockets *sockets, enum transport transport,
                                      const union netaddr *address);

/* One has been opened: the descriptor is taken over, and closed if there are LOCAL_LIMIT of that
 * transport already. */
void sockets_enter(struct sockets *sockets, enum transport transport, const union netaddr *address,
                   int descriptor);

/* Closes one: its address has gone. */
void sockets_leave(struct sockets *sockets, unsigned number);

static inline unsigned socket_number(const struct sockets *sockets, const struct own_socket *own)
{
    return (unsigned)(own - sockets->at);
}

/* As settings name them, with their texts, in one block. */
struct socket_list {
    unsigned count;
    struct socket_settings at[];
};

/* NULL if there is no memory; freed with free. */
struct socket_list *sockets_list(const struct sockets *sockets);

/* These settings have it, by its number. */
bool sockets_are_known(const struct sockets *sockets, unsigned number,
                       const struct settings *settings);
