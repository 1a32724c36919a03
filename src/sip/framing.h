/*
 * Framing of a byte stream into messages (RFC 3261 18.3, RFC 5626 3.5.1).
 *
 * The shell appends what a connection delivers to a buffer and asks for the next frame from its
 * start.  Content-Length is mandatory on a stream, once and in digits only; anything else another
 * may read otherwise than we do, and ends the connection.
 */
#pragma once

#include "sip/message.h"

enum frame_kind {
    FRAME_NONE,    /* more bytes are needed */
    FRAME_MESSAGE, /* the first `len` bytes are a message */
    FRAME_PING,    /* CRLF CRLF: answer with CRLF */
    FRAME_SKIP,    /* stray CRLFs: drop the first `len` bytes */
    FRAME_BROKEN,  /* answer 400 if it is a request, then close; fault says why */
};

struct frame {
    enum frame_kind kind;
    size_t len;
    struct fault fault; /* FRAME_BROKEN */
};

#define FRAME_HEADER_LIMIT 32768u /* bytes up to the empty line */

/* `scanned` is where an earlier call stopped looking for the end of the headers; start with 0 for
 * each message, so that a slow sender is not scanned anew each time. */
struct frame frame_next(struct slice buffer, size_t *scanned);
