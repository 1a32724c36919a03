/* The STUN server, asked now and then under which address it sees us (RFC 8489). */
#pragma once

#include "programs/router_stun.h"
#include "shell/router_wire.h"

struct mirror {
    int fd; /* -1: nothing is asked */
    bool is_wanted;
    char server[ROUTER_STUN]; /* HOST or HOST:PORT */
    uint8_t id[STUN_ID];
    unsigned tries; /* of this question */
    instant due;
    bool has_address; /* it has answered, once */
    struct address_bytes address;
    bool is_silent; /* the latest question had no answer */
    const char *why;
};

/* `server` may be empty: then nothing is asked. */
void mirror_begin(struct mirror *mirror, const char *server, instant now);
void mirror_end(struct mirror *mirror);

/* What is due is asked. */
void mirror_step(struct mirror *mirror, instant now);

/* The descriptor is readable. */
void mirror_take(struct mirror *mirror, instant now);

/* It has answered, or will not. */
bool mirror_is_settled(const struct mirror *mirror);
