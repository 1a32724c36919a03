/*
 * The relay: who moves the packets of legs (core/leg.h) while the daemon only says which there are.
 *
 * There are two.  A program in the kernel, with maps that lie pinned in a folder: `sipw-relay load`
 * put them there (with privileges), and who may write the maps needs none.  Or a process without
 * privileges, `sipw-relay serve`, reached by a socket in the state directory; it is started here if
 * there is none.  Neither ends with the daemon, and who opens the relay again finds all legs.
 *
 * Everything here is done when it returns: what was opened takes packets.  Of one thread only.
 */
#pragma once

#include "base/cursor.h"
#include "core/leg.h"

#include <stdbool.h>

enum relay_kind {
    RELAY_ANY, /* the kernel's, or else the process */
    RELAY_KERNEL,
    RELAY_PROCESS,
};

/* Where `sipw-relay load` pins, if it is told nothing else. */
#define RELAY_PINS "/run/sipwitch/relay"

struct relay_setup {
    enum relay_kind wanted;
    const char *pins;    /* the folder; NULL: RELAY_PINS */
    int state;           /* the state directory, where the process's socket is; it stays open */
    const char *program; /* sipw-relay; NULL: the one beside this program, or in PATH */
    bool may_start;      /* the process, where there is none: not for who only looks */
};

struct relay;

/* The kernel's is taken first, unless it has no legs and a process has: those calls go on there.
 * NULL if none is to be had.  `words` is what to tell the administrator in either case: which it
 * is and why, or what is missing and what to do. */
struct relay *relay_open(const struct relay_setup *setup, struct writer *words);

/* Its legs go on. */
void relay_close(struct relay *relay);

enum relay_kind relay_kind(const struct relay *relay);

/* Legs that it can hold in all: what is beyond is refused with -ENOSPC. */
unsigned relay_limit(const struct relay *relay);

/* Becomes readable when the process has ended, and its legs with it; -1 for the kernel's, which
 * does not.  Then close it, open another, and open all legs there anew. */
int relay_descriptor(const struct relay *relay);

/*
 * Makes the changes, in order; returns how many could not be made.  `errors` has a place for each
 * (or is NULL): 0, or
 *
 *     -EADDRINUSE     another program has the port
 *     -EADDRNOTAVAIL  the relay's address is none of this machine
 *     -ENOSPC         too many legs
 *     -ENOENT         there is none to move or close
 *     -EINVAL         of another version, or no address
 *     -ENOTCONN       the process has ended
 *
 * To open a leg that is there puts a new one in its place, as after a crash.
 */
unsigned relay_apply(struct relay *relay, const struct leg_change *changes, unsigned count,
                     int *errors);

struct relay_leg {
    struct leg_place key;
    struct leg leg;
    struct leg_stream stream; /* zero where the kernel's relay is one that does not count it */
};

/* These legs; the rule's version is 0 where there is none.  0, or -errno. */
int relay_read(struct relay *relay, const struct leg_place *keys, unsigned count,
               struct relay_leg *legs);

/* Some of all legs, beginning with *place = 0, which is then where to go on.  Returns how many; 0
 * at the end; -errno.  Legs that come or go meanwhile may be missed. */
int relay_list(struct relay *relay, uint32_t *place, struct relay_leg *legs, unsigned room);
