/*
 * Channels: what lies between a stream's descriptor and its bytes.  A plain stream has none: its
 * bytes are those of the descriptor.  TLS (shell/tls.h) is one.
 *
 *     messages   framing: sip/framing.h, or a WebSocket's frames    stream.c, by transport
 *     bytes      queues, limits, timers                             stream.c
 *                channel: none, or TLS                              here
 *     octets     descriptor                                         tcp.c
 *
 * So a WebSocket is a framing over a plain stream or over TLS, and no channel.  A channel never
 * waits and keeps no plain bytes back: what it has taken from the descriptor and could open is
 * given out by the same `take`, if there was room for CHANNEL_ROOM.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The least room to take into. */
#define CHANNEL_ROOM (64u << 10)

enum channel_state {
    CHANNEL_BEGINS, /* bytes can neither be taken nor given yet */
    CHANNEL_STANDS,
    CHANNEL_FAILED,
};

struct channel;

struct channel_kind {
    /* Goes on with what comes before the first byte, a handshake; called until it stands. */
    enum channel_state (*ready)(struct channel *channel);
    /* As recv and send: bytes that were taken or left; 0 if none could now, below if it is over. */
    ssize_t (*take)(struct channel *channel, char *at, size_t room);
    ssize_t (*give)(struct channel *channel, const char *at, size_t len);
    /* Tells the peer that nothing more will be given. */
    void (*end)(struct channel *channel);
    /* Frees it; the descriptor stays its owner's. */
    void (*drop)(struct channel *channel);
};

/* The head of each kind's own. */
struct channel {
    const struct channel_kind *kind;
    bool wants_room;  /* it cannot go on before the descriptor takes more, whatever it was asked */
    bool is_unproven; /* it failed since its peer did not prove what it had to */
};
