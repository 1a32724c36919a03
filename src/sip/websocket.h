/*
 * WebSocket frames (RFC 6455 5), as a server reads and writes them; and what SIP asks of them (RFC
 * 7118): each message is one of text or binary data, which begins and ends with it.
 *
 * What a connection delivers is appended to a buffer, the caller's.  websocket_next unmasks it
 * where it lies and closes the gaps that heads of frames leave, so that a message, in however many
 * fragments it came and whatever stood between them, is one slice of that buffer.
 */
#pragma once

#include "base/cursor.h"

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* Why a connection is closed (7.4.1). */
enum websocket_code {
    WEBSOCKET_NO_CODE = 0, /* none was said */
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_BAD_TEXT = 1007,
    WEBSOCKET_BAD_MESSAGE = 1008, /* it is no SIP */
    WEBSOCKET_TOO_LARGE = 1009,
};

#define WEBSOCKET_CONTROL_LIMIT 125u /* payload of a control frame (5.5) */
#define WEBSOCKET_READ_HEAD 14u      /* bytes of the longest head that a client may send */
#define WEBSOCKET_WRITE_HEAD 4u      /* and of the longest that we send */
/* Of a buffer after WEBSOCKET_NONE, beside the message so far: a control frame not yet whole. */
#define WEBSOCKET_REST_LIMIT (WEBSOCKET_READ_HEAD + WEBSOCKET_CONTROL_LIMIT)

/* What a connection's reader remembers; zero at its beginning. */
struct websocket {
    uint32_t whole;   /* bytes of a message's payload at the front of the buffer, unmasked */
    uint32_t raw;     /* where begins what was not looked at yet */
    uint32_t left;    /* payload still to come of the frame at hand */
    uint8_t mask[4];  /* its key, the byte that is next in front */
    uint8_t opcode;   /* of the message at hand; 0 = there is none */
    bool is_in_frame; /* one of its frames is being read, ... */
    bool is_last;     /* ... and it is the last */
};

enum websocket_kind {
    WEBSOCKET_NONE,    /* more bytes are needed */
    WEBSOCKET_MESSAGE, /* a whole one: `used` bytes of the buffer's front go once it is dealt with
                        */
    WEBSOCKET_CONTROL, /* a close, ping or pong; the buffer stays as it is */
    WEBSOCKET_BROKEN,  /* the peer does not keep to the protocol: close with `code` */
};

struct websocket_event {
    enum websocket_kind kind;
    enum websocket_opcode opcode;
    struct slice payload;
    size_t used;
    unsigned code; /* WEBSOCKET_BROKEN, and a close's, WEBSOCKET_NO_CODE if it has none */
};

/* The next event of the buffer's `*len` bytes, in which payload has `limit` bytes at most.  At
 * WEBSOCKET_NONE `*len` may have become less: what comes is appended there. */
struct websocket_event websocket_next(struct websocket *socket, char *at, size_t *len,
                                      size_t limit);

/* A message begun, or of a frame a part. */
bool websocket_is_amid(const struct websocket *socket);

/* The head of an unmasked frame of so many bytes, at most 65,535. */
void websocket_write_head(struct writer *w, enum websocket_opcode opcode, size_t len);

/* A whole close frame, with no code if that is WEBSOCKET_NO_CODE. */
void websocket_write_close(struct writer *w, unsigned code);

/* As what a SIP message is sent: text, if it is some (RFC 7118 5). */
enum websocket_opcode websocket_opcode_of(struct slice message);
