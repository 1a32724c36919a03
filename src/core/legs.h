/*
 * The legs of one call: which ports of the relay each phone is told, and which legs (core/leg.h)
 * follow from what the phones have agreed on (RFC 3264, RFC 6337).
 *
 * The call's branch has one side that offers first and as many on the other as answer: each To tag
 * is an early dialog with an exchange of its own, and the packets are with the last that said
 * something, or with the one that was called (RFC 3261 13.2.2.4).  Its legs are a function of that
 * exchange; what a step changes is the difference between before and after.
 *
 * An m-line keeps its ports as long as it lives, whoever offers anew.  An offer that is refused
 * leaves everything as it was.
 *
 * A struct legs is plain bytes: its owner copies or forgets it, once legs_end was called.
 */
#pragma once

#include "core/leg.h"
#include "core/limits.h"
#include "core/ports.h"
#include "sdp/rewrite.h"

enum legs_side {
    LEGS_CALLER, /* who sent the INVITE, */
    LEGS_CALLEE, /* and who gets it */
};

/* One end as signalling knows it. */
struct legs_end {
    struct address_bytes source; /* where its messages come from */
    bool is_hidden;              /* it is behind NAT: its packets come from there too */
    bool is_known;               /* it is no stranger: where its signalling moves, it has moved */
    bool may_wait;               /* for the first packet, as gateways do: the administrator wrote it
                                    down, and an address that it names may be sent to at once */
    bool is_unproven;           /* it came by UDP, and nothing says yet that it is there: its source
                                   may be somebody else's address */
    struct address_bytes heard; /* its packets come from there as it has said; unspecified: nothing
                                   is known of that */
    bool is_v6;                 /* by which family it reaches the relay, until it says so */
};

/* Of the relay: its addresses, of IPv4 and of IPv6, and the packets a second that one leg lets in.
 */
struct legs_relay {
    bool has[2];
    struct address_bytes at[2];
    uint32_t rate;
    struct address_bytes outside[2]; /* what phones with a public address are told; unspecified: the
                                        same */
};

/* What one side says of an m-line. */
struct legs_line {
    struct address_bytes address; /* the last that it named, where it holds by 0.0.0.0 */
    uint16_t port, rtcp_port;     /* 0: RTCP has none of its own */
    uint8_t port_count;
    uint8_t direction; /* enum sdp_direction */
    uint8_t leader;
    bool is_live; /* it has a port, and can be relayed */
    bool is_rtp;
    bool is_held;
    bool is_muxed;    /* it would take RTCP on the same port */
    bool has_address; /* one was named, as a number */
    uint32_t epoch;   /* changes with its address and port */
    uint32_t clocks;  /* of the payload types that it names, as in struct leg_rule */
};

enum legs_state {
    LEGS_IDLE,      /* nothing was offered */
    LEGS_OFFERED,   /* for the first time */
    LEGS_AGREED,    /* and answered */
    LEGS_REOFFERED, /* and offered anew */
    LEGS_STATE_COUNT,
};

/* The exchange with one To tag. */
struct legs_exchange {
    uint64_t tag; /* a hash of it */
    bool is_used;
    bool is_answered; /* by a 2xx */
    uint8_t state;    /* enum legs_state */
    uint8_t offerer;  /* enum legs_side: of the pending offer, or the last that was answered */
    uint8_t answerer; /* of the last that was */
    bool is_late;     /* the pending offer came in a response: ACK or PRACK answers it */
    uint8_t offered_count, agreed_count;
    uint32_t number; /* what the pending offer, or the last, is known by */
    struct legs_line offered[LEGS_LINES];
    struct legs_line agreed[2][LEGS_LINES];
    uint16_t ports[2][LEGS_LINES]; /* what each side is told to send to; 0 = nothing */
    uint8_t pairs[LEGS_LINES];     /* of ports, that each of them has */
};

struct legs {
    uint8_t call[16];
    struct legs_relay relay;
    struct legs_end ends[2];
    uint32_t moved[2]; /* the epoch of each end's source */
    uint32_t epoch;    /* the latest given */
    bool is_offered;   /* `first` is the INVITE's offer, which every To tag answers */
    uint8_t current;   /* index of the exchange that has the packets */
    struct legs_exchange first;
    struct legs_exchange with[ANSWER_LIMIT];
};

enum legs_verdict {
    LEGS_REWRITE, /* put the places in */
    LEGS_CROSSED, /* two offers met, or one comes for which there is no exchange: it passes as it
                     is, and who gets it refuses it (RFC 3261 14.2: 491) */
    LEGS_FULL,    /* there are no ports, or too many m-lines or To tags: refuse it */
};

/* What a step wants done. */
struct legs_output {
    struct sdp_place places[SDP_MEDIA]; /* for the description's receiver */
    struct leg_change changes[LEGS_CHANGES];
    unsigned count;
};

/* What a description may be, by the message that it comes in. */
enum legs_carrier {
    LEGS_REQUEST,    /* INVITE or UPDATE: an offer */
    LEGS_COMPLETION, /* ACK or PRACK: the answer to an offer that came in a response, or an offer */
    LEGS_RESPONSE,   /* the answer to what its request offered */
    LEGS_LATE,       /* its request had none: an offer */
};

/* What comes in a message: the exchange's To tag (0: an INVITE that has none yet), who sent it, and
 * by which number its offer is known: the CSeq of the request that offer and answer belong to. */
struct legs_message {
    enum legs_side from;
    uint64_t tag;
    uint32_t number;
    bool is_final; /* a 2xx to the INVITE: this tag was answered */
    const struct sdp *sdp;
    enum legs_carrier carrier; /* for legs_hear */
};

void legs_begin(struct legs *legs, const uint8_t call[16], const struct legs_relay *relay,
                const struct legs_end ends[2]);

/* Signalling of one side comes from another address than it did: packets will, too. */
void legs_meet(struct legs *legs, enum legs_side side, const struct address_bytes *source,
               struct legs_output *out);

/* It is where it says: it knows what was sent there. */
void legs_prove(struct legs *legs, enum legs_side side, struct legs_output *out);

/* Packets of an m-line come from the address that it named: that is no other's, and what else goes
 * there may go first.  It is forgotten in a record, and seen again. */
void legs_find(struct legs *legs, enum legs_side side, unsigned line, struct legs_output *out);

/* An offer: in an INVITE, UPDATE or PRACK, or in the answer to an INVITE that had none. */
enum legs_verdict legs_offer(struct legs *legs, struct ports *ports, struct random *random,
                             const struct legs_message *m, struct legs_output *out);

/* An answer, or the same once more: many phones repeat it in 180, 183 and 200. */
enum legs_verdict legs_answer(struct legs *legs, struct ports *ports, struct random *random,
                              const struct legs_message *m, struct legs_output *out);

/* Whatever it is by its carrier and by what was before: an offer, an answer, or the same once more,
 * as when a request is sent again. */
enum legs_verdict legs_hear(struct legs *legs, struct ports *ports, struct random *random,
                            const struct legs_message *m, struct legs_output *out);

/* That offer was taken in before. */
bool legs_have_offer(struct legs *legs, const struct legs_message *m);

/* The request with this offer failed (RFC 3261 14.1, RFC 3311 5.1): m->sdp is not looked at. */
void legs_refuse(struct legs *legs, struct ports *ports, const struct legs_message *m,
                 struct legs_output *out);

/* The request with a pending offer of an established session has gone in a crash, and nobody waits
 * for its answer any more: as if it were refused.  Its sender may send it again. */
void legs_forget_offers(struct legs *legs, struct ports *ports);

/* A 2xx without a description: the exchange of an earlier provisional response stands. */
void legs_accept(struct legs *legs, uint64_t tag, struct legs_output *out);

/* No more answers to the INVITE will come: To tags that were not answered go. */
void legs_settle(struct legs *legs, struct ports *ports, struct legs_output *out);

/* The dialog with this To tag ends. */
void legs_leave(struct legs *legs, struct ports *ports, uint64_t tag, struct legs_output *out);

/* The call ends, or failed. */
void legs_end(struct legs *legs, struct ports *ports, struct legs_output *out);

/* Packets of this side do not arrive, though its description says from where they would: whoever
 * sends them from where its signalling comes from is believed. */
void legs_believe(struct legs *legs, enum legs_side side, struct legs_output *out);

/* All legs that there are to be now, as if none were open. */
void legs_list(const struct legs *legs, struct legs_output *out);

/* Where among those is the one with this key; their count, if it is none of them. */
unsigned legs_place(const struct legs_output *list, const struct leg_place *key);

/* It has an exchange with this To tag; how many it has. */
bool legs_have(const struct legs *legs, uint64_t tag);
unsigned legs_count(const struct legs *legs);

/* Bit n: an exchange is in state n of enum legs_state. */
unsigned legs_states(const struct legs *legs);

/* It comes from a record of a former run: takes the ports that it has.  What is beyond the range of
 * today stays as it is, and an m-line whose port another call has is no longer relayed. */
void legs_claim(struct legs *legs, struct ports *ports);

/* Something was offered and answered; nothing is offered, and nothing was answered. */
bool legs_are_agreed(const struct legs *legs);
bool legs_are_idle(const struct legs *legs);

/* No exchange has a leg. */
bool legs_are_closed(const struct legs *legs);
