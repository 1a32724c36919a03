/*
 * Bodies (RFC 3261 7.4): where the session description of a message is, if it can be read.
 *
 * A description is read where it is the whole body, or one part of a multipart/mixed (RFC 5621 3).
 * What is signed, encrypted, compressed or encoded belongs to those who made it.
 */
#pragma once

#include "sip/message.h"

enum body {
    BODY_WITHOUT_SDP, /* there is none, or something else */
    BODY_SDP,         /* here it is */
    BODY_OPAQUE,      /* there may be one, which cannot be read */
};

/* Parts of a multipart/mixed that are looked at; more make it opaque. */
#define BODY_PARTS 16u

enum body body_find_sdp(const struct message *m, struct slice *sdp);
