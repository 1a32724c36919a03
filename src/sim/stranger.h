/*
 * Strangers: nodes without a password that hear what passes, lie about their address and try
 * everything.  Nothing they do may reach a phone, bind a contact or stop the server; they get
 * answers to their own requests, and nothing else.
 *
 * A stranger who repeats a genuine datagram from its genuine source is the network's duplication,
 * so none does that.
 */
#pragma once

#include "core/flow.h"

struct sim;

#define STRANGERS 3u
#define OVERHEARD 8u

/* A datagram that a stranger heard. */
struct overheard {
    struct slice bytes; /* owned */
    struct flow flow;   /* the phone's side */
};

enum ear {
    EAR_ANY,
    EAR_CREDENTIALS, /* requests with an Authorization or Proxy-Authorization */
    EAR_DIALOG,      /* requests within a dialog, by a Route of ours */
    EAR_INVITE,      /* INVITEs without a dialog */
    EAR_COUNT,
};

struct stranger {
    uint32_t node;
    struct flow address;
    char host[64];
    uint32_t serial;
};

struct ears {
    struct overheard heard[EAR_COUNT][OVERHEARD];
    unsigned count[EAR_COUNT]; /* ever heard */
    struct slice *repeated;    /* Call-IDs of the INVITEs that strangers sent; owned */
    unsigned repeated_count, repeated_room;
};

void stranger_init(struct sim *sim, struct stranger *stranger, uint32_t node);

/* What reached the server. */
void stranger_hear(struct sim *sim, const struct flow *flow, struct slice bytes);

/* One attack, thrown from the table. */
void stranger_act(struct sim *sim, struct stranger *stranger);

/* INVITEs of strangers with this Call-ID.  To a server that has forgotten the genuine one, each is
 * another call. */
unsigned stranger_repeats(const struct sim *sim, struct slice call_id);

void stranger_free_ears(struct ears *ears);
