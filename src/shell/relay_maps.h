/*
 * The maps of the kernel's relay: what the daemon and the program in the kernel share.
 *
 * `rules` has what the daemon wishes, under each leg's key: an entry is replaced as a whole, so
 * that no packet sees half of one.  `slots` has what the relay knows.  It is mapped into the
 * daemon, so that reading it costs no call, and an entry says by its number which slot is its own.
 * `streams` has beside each slot what is counted of its RTP.  `pulse` says until when
 * somebody looks at each change of routes (sipw-relay watch): so long the program need not ask for
 * the next hop itself.
 *
 * A map stays as long as it is: a new program works with those that are there, under calls of an
 * older daemon, and what is new has a map of its own, which a daemon can do without.
 */
#pragma once

#include "core/leg.h"

#define RELAY_MAP_RULES "rules"     /* a hash of struct relay_entry by struct leg_place */
#define RELAY_MAP_SLOTS "slots"     /* an array of struct relay_slot, as long */
#define RELAY_MAP_STREAMS "streams" /* and one of struct leg_stream */
#define RELAY_MAP_PULSE "pulse"     /* an array of one struct relay_pulse */

struct relay_entry {
    struct leg_rule rule;
    uint32_t slot;
    uint32_t unused;
};

#define RELAY_KEEPS_HOPS 2u

struct relay_slot {
    struct leg_state state;
    struct leg_place key;
    uint32_t link;    /* by which its phone is reached; 0: by none */
    uint32_t is_used; /* RELAY_KEEPS_HOPS; an older daemon has 1 there, and minds no hop */
    uint32_t
        hop; /* of IPv4, the next on that link, as in packets; 0: the kernel's routes know it */
};

struct relay_pulse {
    uint64_t until; /* boot time in ns: hops hold; 0: there is nobody who keeps them */
};

_Static_assert(sizeof(struct relay_entry) == 104, "the value of a rule");
_Static_assert(sizeof(struct relay_slot) == 128, "two lines of the cache");
