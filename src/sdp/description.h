/*
 * A session description as received: an index over its bytes (RFC 8866), of what says where media
 * goes.
 *
 * sdp_parse makes one pass.  Nothing is copied: the bytes belong to the caller and must stay while
 * the index is used.  What says nothing of addresses and ports is not looked at, and what is there
 * is read as tolerantly as phones read it; but where two of them could read it differently, it is
 * a fault.
 */
#pragma once

#include "base/address.h"

#define SDP_BYTES 65535u /* a span's reach, and all that a message can hold */

/* m-lines: a video conference of browsers has three or four; a line is kept for ever once it was
 * offered (RFC 3264 8). */
#define SDP_MEDIA 16u

/* Ports, or pairs of ports, of one m-line: layered codings have up to four layers. */
#define SDP_PORTS 4u

/* a=group:BUNDLE lines; each has two members at least, if it is to mean anything. */
#define SDP_BUNDLES 8u

/* Payload types with clocks that are remembered of an m-line: more than phones have codecs that
 * they prefer. */
#define SDP_CLOCKS 4u
#define SDP_DYNAMIC 35u /* the first payload type that a description gives a meaning */

enum sdp_fault {
    SDP_FINE,
    SDP_TOO_LONG,
    SDP_BAD_LINE,        /* it is no line at all */
    SDP_NO_VERSION,      /* the first line is not v=0 */
    SDP_BAD_CONNECTION,  /* c= names no address of the Internet */
    SDP_TWO_CONNECTIONS, /* which one counts? */
    SDP_NO_CONNECTION,   /* media without any */
    SDP_BAD_MEDIA,       /* m= without type, port or protocol */
    SDP_BAD_PORT,
    SDP_TOO_MANY_PORTS,
    SDP_TOO_MANY_MEDIA,
    SDP_BAD_RTCP, /* a=rtcp cannot be read, or there are two of a medium */
    SDP_TOO_MANY_BUNDLES,
    SDP_FAULT_COUNT,
};

struct sdp_verdict {
    enum sdp_fault fault;
    uint32_t line; /* which line it is about, from 1; 0 where it is about none */
};

/* What is wrong, in words for a Warning or a log. */
struct slice sdp_fault_text(enum sdp_fault fault);

/* What carries a medium. */
enum sdp_carrier {
    SDP_OTHER, /* nothing of UDP: TCP (RFC 4145), MSRP, BFCP by TCP; or nobody knows */
    SDP_UDP,   /* one port: T.38 by udptl, BFCP, data channels */
    SDP_RTP,   /* RTP, and RTCP on the next port unless something else is said */
};

enum sdp_direction {
    SDP_SENDRECV,
    SDP_SENDONLY,
    SDP_RECVONLY,
    SDP_INACTIVE,
};

/* A c= line, or the address of a=rtcp. */
struct sdp_connection {
    bool is_given;
    bool is_name; /* a host name: where it leads nobody here knows */
    bool is_multicast;
    struct span text; /* of its family and address: "IP4 224.2.1.1/127" */
    struct address_bytes address;
};

/* a=rtcp (RFC 3605). */
struct sdp_rtcp {
    bool is_given;
    struct span value;                /* "53020 IN IP6 2001:db8::1" */
    uint16_t port;                    /* 0: none was named */
    struct sdp_connection connection; /* most name only the port */
};

/* Candidates of ICE (RFC 8839 5.1) that can be read. */
struct sdp_candidates {
    uint16_t count;
    uint16_t end;       /* past the line of the last one, in the description */
    uint32_t lowest[2]; /* priority, for RTP and RTCP; 0 = there is none */
};

/* What a=rtpmap says of a payload type (RFC 8866 6.6): how often a second its timestamps rise. */
struct sdp_clock {
    uint8_t payload;
    uint32_t rate;
};

/* Those of an m-line that are not fixed by RFC 3551 6, in their order.  Left out are events (RFC
 * 4733 2.5.1.2): their timestamps stand still while their packets go on. */
struct sdp_clocks {
    uint8_t count;      /* of those that are remembered */
    bool are_different; /* they have several rates, or there are events */
    struct sdp_clock at[SDP_CLOCKS];
};

struct sdp_media {
    struct span type; /* "audio" */
    struct span port_text;
    uint16_t port;       /* 0: it is refused, or said elsewhere (bundle-only) */
    uint16_t port_count; /* of which RTP takes two each */
    struct span protocol;
    uint8_t carrier;   /* enum sdp_carrier */
    uint8_t direction; /* enum sdp_direction */
    uint8_t bundle;    /* the BUNDLE group that it is in (RFC 8843), from 1; 0 = none */
    uint8_t leader;    /* the m-line by whose port it goes: of its bundle, or itself */
    bool is_bundle_only;
    bool has_rtcp_mux; /* RFC 5761: RTCP by the port of RTP, if both wish it */
    bool has_ice;      /* it has what an agent needs: ice-ufrag and ice-pwd, here or above */
    struct sdp_connection connection; /* its own */
    struct sdp_rtcp rtcp;
    struct sdp_candidates candidates;
    struct sdp_clocks clocks;
    struct span mid;
};

struct sdp {
    struct slice bytes;
    struct sdp_connection connection; /* of media that have none */
    bool is_lite;                     /* ICE lite: it only answers checks */
    uint8_t media_count;
    uint8_t bundle_count;
    struct span bundles[SDP_BUNDLES]; /* the members' mids */
    struct sdp_media media[SDP_MEDIA];
};

/* On a fault the index is void. */
struct sdp_verdict sdp_parse(struct slice bytes, struct sdp *sdp);

static inline struct slice sdp_span(const struct sdp *sdp, struct span s)
{
    return slice_of(sdp->bytes.at + s.at, s.len);
}

/* Where the packets of an m-line are to go: its own c= counts before the session's. */
const struct sdp_connection *sdp_connection(const struct sdp *sdp, unsigned media);

/* The old way to say hold: packets are to go nowhere, 0.0.0.0 (RFC 3264 8.4).  With ICE it only
 * says that no address is known yet (RFC 8840 4.1.1). */
bool sdp_is_held(const struct sdp *sdp, unsigned media);

/* It can be led through a relay: by UDP, to one host; now, or once it is held no longer. */
bool sdp_is_relayable(const struct sdp *sdp, unsigned media);
bool sdp_is_movable(const struct sdp *sdp, unsigned media);

/* Where the RTCP of an m-line goes by what it says itself, mux aside; 0 if it has none. */
uint16_t sdp_rtcp_port(const struct sdp_media *media);
