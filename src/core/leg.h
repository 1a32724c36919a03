/*
 * A leg: one port of the relay, towards one phone; what it lets in, and where it sends what comes
 * in on the leg beside it.
 *
 * This is the one interface between the core, which decides (core/legs), and what relays: a program
 * in the kernel whose map has these keys and values, or a process with the same table.  Both
 * outlive the daemon, and a daemon that starts finds in their tables what its predecessor had
 * opened.  So the layout is fixed, says its version, and has no types but those of <stdint.h>: the
 * kernel's program includes this file.
 *
 * A back end can open a leg, move it (put another rule in its place), close it, and list all with
 * their states.  A rule is the daemon's to write, a state the relay's.
 *
 * What a relay does with a packet that came to a leg:
 *  - Its state counts for nothing if it is of another epoch than the rule: nobody has sent yet.
 *  - The packet must be from rule.allowed, whose port 0 stands for any.  The first, if it is RTP or
 *    RTCP, STUN, DTLS or ZRTP, or any at all where the rule is LEG_PLAIN, locks the leg to its
 *    source in state.source.  Another source is dropped, but for another port of the same address
 *    with the same SSRC after silence.
 *  - It goes out from rule.other, to that leg's target, or, where the target's port is 0, to the
 *    source that it is locked to.  It is dropped where that leg is LEG_MUTE, or has neither heard
 *    of its phone nor is LEG_FIRST.
 *  - What is let in and is RTP is counted in the leg's stream (core/leg_stream.h).
 */
#pragma once

#include <stdint.h>

#define LEG_VERSION 1u

/* A transport address, as its bytes are in packets; IPv4 mapped into IPv6 (RFC 4291 2.5.5.2).  A
 * leg's key is the relay's own. */
struct leg_place {
    uint8_t address[16];
    uint8_t port[2];
    uint8_t unused[2]; /* zero */
};

enum leg_flag {
    LEG_FIRST = 1 << 0, /* packets may go to its target before any has come from there */
    LEG_MUTE = 1 << 1,  /* none go to its phone, which holds by 0.0.0.0 */
    LEG_PLAIN = 1 << 2, /* it carries other things than RTP: any packet may lock it */
    LEG_QUIET = 1 << 3, /* nothing need come: silence means nothing */
};

/* Payload types whose clock the phones have named (RFC 8866 6.6), and how fast it is: up to
 * LEG_CLOCKS of them, ten bits each.  Seven bits are the type, where 0 stands for any that is not
 * fixed (RFC 3551 6), and three the class of its clock, from 1 on; 0: there is none.  leg_clock
 * reads it. */
#define LEG_CLOCKS 3u
#define LEG_CLOCK_BITS 10u

/* What the daemon wishes. */
struct leg_rule {
    uint16_t version;
    uint16_t flags; /* bits of enum leg_flag */
    uint32_t epoch; /* another one: whoever it was locked to no longer counts */
    struct leg_place allowed;
    uint32_t rate; /* packets a second; more are dropped */
    struct leg_place target;
    uint16_t stream;   /* the m-line, from 0 */
    uint8_t component; /* 1: RTP, or whatever it is; 2: RTCP */
    uint8_t side;      /* enum legs_side: whose phone it is towards */
    uint8_t call[16];
    struct leg_place other;
    uint32_t clocks; /* of what comes from its phone; a relay that is older passes over it */
};

/* Why packets were dropped. */
enum leg_drop {
    LEG_STRANGER, /* from elsewhere than is allowed, or than it is locked to */
    LEG_EARLY,    /* where they should go is not known yet, or must not be sent to */
    LEG_FLOOD,    /* more than its rate */
    LEG_LOST,     /* the network took them not */
    LEG_DROP_COUNT,
};

/* What the relay knows. */
struct leg_state {
    uint32_t epoch;  /* the rule's, when it was locked */
    uint32_t locked; /* 1 once source is valid; set by compare-and-swap */
    struct leg_place source;
    uint32_t ssrc;    /* of the packet that locked it, or the latest from there; 0: none */
    uint64_t seen;    /* boot time in ns of the latest packet that was let in */
    uint32_t second;  /* the second that ... */
    uint32_t counted; /* ... so many packets were let in */
    uint64_t packets; /* that passed */
    uint64_t bytes;   /* of them, without headers */
    uint64_t drops[LEG_DROP_COUNT];
};

/* What the relay knows of the RTP that came to it: of one stream, and in sum of those before. */
struct leg_stream {
    uint32_t ssrc;                             /* as it is in packets */
    uint32_t first, highest;                   /* sequence numbers, counted on where they wrap */
    uint32_t received;                         /* of it, late ones and doubles too */
    uint32_t expected_before, received_before; /* of those before it */
    uint32_t odd;                              /* the number behind one that was far off */
    uint32_t clock;                            /* ticks a second of its timestamps; 0: unknown */
    uint32_t jitter;                           /* in 16ths of a tick */
    uint32_t stamp;                            /* the latest timestamp, */
    uint64_t timed;                            /* and the boot time in ns when it came */
    uint64_t heard;                            /* when the latest packet of it came */
    uint8_t is_begun;
    uint8_t is_timed;
    uint8_t unused[6];
};

/* What a stream comes to (RFC 3550 6.4.1). */
struct leg_heard {
    uint32_t expected; /* packets, by their sequence numbers; 0: there was none */
    uint32_t lost;     /* of them */
    uint32_t jitter;   /* us; LEG_UNKNOWN where its clock is */
};

#define LEG_UNKNOWN UINT32_MAX

struct leg {
    struct leg_rule rule;
    struct leg_state state;
};

_Static_assert(sizeof(struct leg_place) == 20, "a key of the relay's map");
_Static_assert(sizeof(struct leg_rule) == 96, "a rule's place is fixed");
_Static_assert(sizeof(struct leg_state) == 96, "a state's place is fixed");
_Static_assert(sizeof(struct leg) == 192, "a value of the relay's map");
_Static_assert(sizeof(struct leg_stream) == 64, "a line of the cache");

enum leg_change_kind {
    LEG_OPEN = 1, /* there was none with that key */
    LEG_MOVE,     /* its rule is this now; its state stays, and counts if the epoch is the same */
    LEG_CLOSE,    /* the rule is what it had */
};

/* What is to be done to a relay's table. */
struct leg_change {
    enum leg_change_kind kind;
    struct leg_place key;
    struct leg_rule rule;
};
