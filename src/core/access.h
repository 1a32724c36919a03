/*
 * Access lists: which network a request comes from, and what that means.
 */
#pragma once

#include "base/slice.h"
#include "core/written.h"

enum access {
    ACCESS_TRUSTED = 1 << 0,  /* the flow of a registered phone is proof enough */
    ACCESS_ALLOWED = 1 << 1,  /* our own users are served, where they are restricted */
    ACCESS_DECLINED = 1 << 2, /* nobody is: 603 */
    ACCESS_REJECTED = 1 << 3, /* nobody is: 503 */
    ACCESS_EXEMPT = 1 << 4,   /* passwords may be guessed: core/abuse does not count */
};

struct subnet {
    uint8_t address[16]; /* IPv4 in the first four, the rest zero */
    uint8_t bits;
    bool is_v6;
    uint8_t access; /* bits of enum access */
    uint8_t site;   /* where phones reach each other directly, by number; 0 = nowhere */
    struct written written;
};

/* The first network that holds the address, NULL if there is none: they stand in order, the most
 * specific first. */
const struct subnet *access_find(const struct subnet *networks, unsigned count, bool is_v6,
                                 const uint8_t *address);

/* Those of the first network that holds the address: they stand in order, the most specific first.
 * 0 if there is none. */
unsigned access_of(const struct subnet *networks, unsigned count, bool is_v6,
                   const uint8_t *address);
