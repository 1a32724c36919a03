/*
 * The relay's process (`sipw-relay serve`): a socket for each leg, and one thread that takes what
 * comes to one and sends it from another.  It needs no privilege, and outlives the daemon that
 * started it; without daemon, legs end after an hour of silence, and without legs the process does.
 */
#pragma once

#define RELAY_SERVE_LEGS                                                                           \
    8000u /* of 2000 calls with RTCP apart: what one processor carries on time */
#define RELAY_LINGER 60u

struct relay_serve {
    int listener;    /* where daemons connect */
    unsigned limit;  /* legs; as many as there may be descriptors, if that is less */
    unsigned linger; /* seconds without daemon and legs after which it ends */
};

/* The exit status. */
int relay_serve(const struct relay_serve *setup);
