/*
 * The opening handshake of a WebSocket (RFC 6455 4.2), as the server of SIP phones (RFC 7118 4.1):
 * a browser asks by HTTP for its connection to become one, and names the subprotocol sip.
 *
 * Only what a handshake needs is read of HTTP/1.1 (RFC 9112): one request without a body.  Who asks
 * for the server's certificate, by which identities are signed (RFC 8224 4), gets it; whoever asks
 * for something else hears what this server is; and the connection ends.
 */
#pragma once

#include "base/cursor.h"

#define UPGRADE_HEAD_LIMIT 8192u /* bytes of the request: cookies of other servers may be there */
#define UPGRADE_KEY 24u          /* characters of Sec-WebSocket-Key */
#define UPGRADE_SIGNED 60u       /* of what is hashed for the answer to it */
#define UPGRADE_ANSWER_LIMIT 1024u

/* Where the certificate is. */
#define UPGRADE_CERTIFICATE "/identity.pem"

/* What was asked for; slices of the request. */
struct upgrade {
    struct slice key;
    struct slice origin; /* of the page that asks; at == NULL if nobody says */
};

enum upgrade_kind {
    UPGRADE_NONE,    /* more bytes are needed */
    UPGRADE_ASKED,   /* answer it; the first `len` bytes are the request */
    UPGRADE_FETCHED, /* the certificate was asked for: answer with it, then close */
    UPGRADE_REFUSED, /* answer with `status`, then close */
};

struct upgrade_event {
    enum upgrade_kind kind;
    size_t len;
    unsigned status; /* of HTTP */
    const char *why; /* for who reads the answer */
};

/* Reads the request at the front of the bytes.  `scanned` is where an earlier call stopped looking
 * for its end; start with 0. */
struct upgrade_event upgrade_read(struct slice bytes, size_t *scanned, struct upgrade *upgrade);

/* The host of an origin (RFC 6454): of "https://phone.example.com:8443" phone.example.com.  Empty
 * where it has none ("null"). */
struct slice upgrade_origin_host(struct slice origin);

/* What Sec-WebSocket-Accept is the SHA-1 sum of, which others know to make. */
void upgrade_write_signed(char text[UPGRADE_SIGNED], const struct upgrade *upgrade);

/* 101, with that sum. */
void upgrade_write_answer(struct writer *w, const uint8_t sum[20]);

/* 200, with our certificate and those that lead from it to a CA, in PEM. */
void upgrade_write_certificate(struct writer *w, struct slice pem);

/* Any other answer; `why` is its text, for a person. */
void upgrade_write_refusal(struct writer *w, unsigned status, const char *why);
