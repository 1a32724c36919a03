/*
 * Pipes: how what a node sends by a stream (sim/wire) comes to the server.
 *
 * It is cut anywhere, and read at once or a little later together with what follows, and so comes
 * as the parts of messages and as several in one.  The server's side is framed by what the shell
 * frames with (sip/framing, sip/websocket).  What a killed server had read of a message is lost
 * with it; the rest waits for the next, if its supervisor keeps the stream.
 */
#pragma once

#include "core/flow.h"
#include "sim/dice.h"
#include "sim/wire.h"
#include "sip/websocket.h"

struct sim;

struct pipe {
    struct flow flow; /* the wire's that it belongs to */
    uint32_t sender;  /* the node at its other end */
    char *bytes;      /* owned; what was not framed yet */
    size_t len, room; /* of them */
    size_t read;      /* which the server has */
    size_t scanned;   /* see frame_next */
    struct websocket socket;
    instant busy_until; /* the last part that was put on it arrives then */
    bool is_broken;     /* nothing more is read */
    bool is_read_due;
};

struct pipes {
    struct random dice;
    struct pipe at[WIRES + DIALLED + 1]; /* by place */
};

void pipe_init(struct sim *sim, uint64_t seed);

/* What the node puts on its stream for a message, owned: as it is, or in frames of WebSocket; or
 * what no reader can make sense of. */
struct slice pipe_wrap(struct sim *sim, const struct flow *flow, struct slice message);

/* Of what is left of that, as much as arrives next, and when, if it could by then. */
size_t pipe_cut(struct sim *sim, const struct flow *flow, size_t left, instant *at);

/* A part has arrived: the server reads it now, or later. */
void pipe_feed(struct sim *sim, uint32_t sender, const struct flow *flow, struct slice part);
/* DUE_READ. */
void pipe_read_late(struct sim *sim, const struct flow *flow, uint32_t starts);

/* The server has died, and what it had read with it; another one has started. */
void pipe_server_died(struct sim *sim);
void pipe_server_started(struct sim *sim);

void pipe_free(struct sim *sim);
