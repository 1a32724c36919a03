/*
 * Leading the media of a session description another way: addresses and ports are replaced in its
 * bytes, and nothing else is touched.  Keys, fingerprints, zrtp-hash and all that is not named
 * here stay as they were, byte for byte; so does o=, but that its address becomes the first place's
 * where that is of the other family, for there are phones that look there for the family; and its
 * version, where that is wished.
 *
 * The result takes the place of the description in a message by one edit (sip/compose), whether it
 * is the whole body or a part of one (sip/body): a part ends with its boundary and says no length.
 * Content-Length grows by what the result has more than the description.
 */
#pragma once

#include "sdp/description.h"

/* Where the packets of an m-line are to go instead.  Its RTCP goes to the next port, and the second
 * pair of ports to those behind. */
struct sdp_place {
    bool is_other; /* false: the m-line stays as it is */
    uint16_t port;
    struct address_bytes address;
};

/* What becomes of ICE (RFC 8839) in m-lines that are led another way. */
enum sdp_ice {
    SDP_ICE_KEPT,     /* candidates stay, and the place is added as the last that is tried */
    SDP_ICE_REPLACED, /* the place is the only candidate */
    SDP_ICE_STRIPPED, /* there is no trace of it: never half of it */
};

/*
 * Writes the description with these places, one for each m-line.  What cannot be moved (see
 * sdp_is_movable) stays: port 0, hold by 0.0.0.0, TCP, multicast.
 *
 * remote-candidates are left out wherever a place comes in: they name what their sender knows as
 * the other's addresses, which may be places that the other does not know as its own.
 */
void sdp_rewrite(struct writer *w, const struct sdp *sdp, const struct sdp_place *places,
                 enum sdp_ice ice);

/* The same, and the version in o= is one higher: for who was told the same description before, with
 * other places, would take it for that (RFC 3264 8). */
void sdp_rewrite_raised(struct writer *w, const struct sdp *sdp, const struct sdp_place *places,
                        enum sdp_ice ice);

/* Bytes that either adds to a description, at most. */
#define SDP_GROWTH (SDP_MEDIA * 512u)
