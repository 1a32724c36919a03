/*
 * What a description tells of ICE (RFC 8839) beyond who speaks it.
 */
#pragma once

#include "sdp/description.h"

/* Its sender has found the way, and names it: m= and c= are where packets go from now on, and
 * remote-candidates whom they come from (RFC 8839 4.4.1.2.2, 5.2). */
bool sdp_ice_is_concluded(const struct sdp *sdp);
