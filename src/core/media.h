/*
 * Whether the media of a call needs a relay.  Decided once a branch, when the session is offered,
 * and anew where one of the two has moved since (core/anchor); in doubt it is relayed, for a call
 * without sound is worse than a detour.
 *
 * Who offers is not always who calls: an INVITE may have no description, and then the offer is in
 * the answer to it (RFC 3264 5, RFC 3261 13.2.1).
 */
#pragma once

#include "sdp/rewrite.h"

/* What the administrator wishes. */
enum media_mode {
    MEDIA_AUTO,
    MEDIA_NEVER,
    MEDIA_ALWAYS,
};

enum media_skill {
    MEDIA_UNSURE,
    MEDIA_WITHOUT_ICE, /* what it said last had none */
    MEDIA_WITH_ICE,
};

/* What is known of one end. */
struct media_end {
    struct address_bytes source; /* where its signalling comes from, or goes to */
    bool is_translated;          /* it calls itself by another address: it is behind NAT */
    bool is_outside;             /* a server of another domain, which answers for its phones' NAT */
    bool is_web;                 /* a browser, whose signalling does not show NAT */
    uint8_t ice;                 /* enum media_skill */
    uint16_t site;               /* what the administrator calls its network; 0 = nothing */
};

struct media_case {
    const struct sdp *offer; /* NULL: it cannot be read */
    struct media_end offerer, answerer;
    uint8_t mode;        /* enum media_mode */
    bool has_v4, has_v6; /* addresses of the relay; neither: there is none */
    bool is_suspect;     /* the last calls of these two ended at once */
};

enum media_path {
    MEDIA_DIRECT,
    MEDIA_OFFERED, /* the relay is one candidate more, and where those without ICE send to */
    MEDIA_RELAYED, /* there is no other way */
};

/* Why. */
enum media_reason {
    MEDIA_UNDECIDED,
    MEDIA_SWITCHED_OFF,
    MEDIA_UNREADABLE,
    MEDIA_NOTHING_TO_RELAY,
    MEDIA_NO_RELAY,
    MEDIA_SWITCHED_ON,
    MEDIA_FELL_SILENT,
    MEDIA_SAME_SITE,
    MEDIA_BOTH_ICE,
    MEDIA_OTHER_FAMILY,
    MEDIA_NO_ADDRESS,
    MEDIA_OFFERER_HIDDEN,
    MEDIA_ANSWERER_HIDDEN,
    MEDIA_BOTH_HIDDEN,
    MEDIA_BOTH_PUBLIC,
    MEDIA_BOTH_INSIDE,
    MEDIA_IN_AND_OUT,
    MEDIA_RELAY_FULL, /* it was offered in the answer, which nobody can refuse */
    MEDIA_REASON_COUNT,
};

struct media_decision {
    enum media_path path;
    enum media_reason reason;
    enum sdp_ice ice; /* what becomes of it in descriptions, if the path is not direct */
    bool offerer_v6;  /* by which family each end is to reach the relay */
    bool answerer_v6;
};

/* What cannot be read or has nothing to relay decides nothing: the next offer does. */
struct media_decision media_decide(const struct media_case *c);

/* In plain words, for administrators. */
struct slice media_path_text(enum media_path path);
struct slice media_reason_text(enum media_reason reason);

/* An end whose Contact, or topmost Via, has this host and whose messages come from that address is
 * behind NAT.  A name says nothing. */
bool media_is_translated(const struct address_bytes *source, struct slice host);
