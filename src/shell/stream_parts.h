/*
 * What streams are made of; for src/shell/stream*.c only.  A stream's place is its index in `at`;
 * what it holds and queues are at the same place of arrays of their own.
 */
#pragma once

#include "base/table.h"
#include "base/timers.h"
#include "shell/channel.h"
#include "shell/stream.h"
#include "sip/websocket.h"

#include <sys/epoll.h>

#define READ_ROOM (64u << 10)        /* bytes taken with one call: the fairness among streams */
#define HELD_ROOM (132u << 10)       /* of one stream: a message not yet whole, and one read more */
#define READY_BATCH 64               /* streams looked after in one round */
#define LISTENER (UINT64_C(1) << 31) /* with its number */

enum stream_state {
    STREAM_FREE,
    STREAM_CONNECTING,
    STREAM_GREETING, /* connected; its channel is being set up */
    STREAM_OPEN,
    STREAM_ENDING,    /* what is queued still leaves; nothing more is read */
    STREAM_LINGERING, /* the peer has our end, and shall send its own */
    STREAM_DEAD,      /* closed, and the core has to be told */
};

struct stream {
    struct flow flow;
    struct table_link by_host;
    struct timer timer;
    struct channel *channel; /* NULL: a plain stream */
    int descriptor;
    uint8_t state;
    bool is_ours;     /* we opened it */
    bool is_known;    /* the core has heard of it */
    bool is_kept;     /* the service manager has it, too */
    bool has_spoken;  /* a whole message came by it */
    bool is_unproven; /* it failed since its peer did not prove what it had to */
    bool is_expected; /* its peer keeps it alive (RFC 5626) */
    bool is_upgraded; /* a WebSocket, after its opening handshake */
    uint16_t generation;
    uint32_t interest;            /* what epoll looks for */
    uint32_t next;                /* free, dead or new: the next of these */
    uint32_t held;                /* bytes of a message that is not whole yet */
    size_t scanned;               /* see frame_next */
    uint32_t queue_at, queue_end; /* bytes not yet written */
    uint32_t held_most;           /* bytes of the pages touched for what is held, */
    uint32_t queue_most;          /* for what is queued, */
    uint32_t kept;                /* and for both, in whole pages */
    instant begun_at;             /* when the message not yet whole began */
    instant stuck_since;          /* since when nothing of the queue left */
    instant opened_at;
    instant active_at;
    instant heard_at;        /* anything */
    instant pinged_at;       /* a WebSocket, last */
    struct websocket socket; /* its reader */
};

struct streams {
    struct log *log;
    struct streams_plan plan;
    instant now;
    int epoll;

    size_t places;     /* the last */
    struct stream *at; /* by place */
    char *held;        /* HELD_ROOM a place; pages are touched only where they are needed */
    char *queues;      /* STREAM_QUEUE a place */
    uint64_t kept;     /* bytes of both, in whole pages: at most about plan.room */
    struct table by_host;
    void *host_memory;
    struct timers timers;
    uint32_t free;     /* places to accept into; when there are none, ... */
    uint32_t unused;   /* ... this and those above, which never were used nor touched */
    uint32_t dead;     /* whose end the core does not know yet */
    uint32_t fresh;    /* whose beginning it does not know yet */
    uint32_t greeting; /* accepted ones whose handshake is under way */
    uint32_t left;     /* that the service manager has, too */
    instant full_said_at;

    struct epoll_event ready[READY_BATCH];
    int ready_count, ready_next;
    unsigned greeted;       /* in this round */
    unsigned accepted;      /* from the listening socket at hand */
    struct stream *current; /* whose bytes are being framed */
    struct slice rest;
    char *scratch;

    const struct settings *obeyed; /* whose pages may open WebSockets */
    instant origin_said_at;        /* that one may not */
    char *framed;                  /* a message that goes out in a frame */
    char pong[WEBSOCKET_WRITE_HEAD + WEBSOCKET_CONTROL_LIMIT]; /* the current stream's next */
    size_t pong_len;                                           /* 0 = it is owed none */
};

static inline uint32_t place_of(const struct streams *streams, const struct stream *stream)
{
    return (uint32_t)(stream - streams->at);
}

/* From now on epoll tells of it and time runs for it; its flow is set and its descriptor open.
 * False if epoll will not have it. */
bool stream_begin(struct streams *streams, struct stream *stream, enum stream_state state);

/* ---- stream.c, for stream_web.c */

/* Gives it those bytes, or queues them; it may die of it. */
void stream_put(struct streams *streams, struct stream *stream, struct slice bytes);

/* The rest of the current stream's bytes is nothing whole: it is kept for the next, and the stream
 * is no longer current. */
void stream_hold(struct streams *streams);

/* Its times have changed. */
void stream_rearm(struct streams *streams, struct stream *stream);

/* Nothing more is read; it ends when what is queued has left. */
void stream_end(struct streams *streams, struct stream *stream);

/* ---- stream_web.c: WebSockets (RFC 7118), over TCP or over TLS */

static inline bool stream_is_web(const struct stream *stream)
{
    return flow_is_web(&stream->flow);
}

/* The next event of the current stream, a WebSocket's; false if it gives none, and then it may no
 * longer be current. */
bool web_next(struct streams *streams, struct event *event);

/* Sends a message of its own. */
void web_send(struct streams *streams, struct stream *stream, struct slice message);

/* Says goodbye, with that code, and ends it. */
void web_end(struct streams *streams, struct stream *stream, unsigned code);

/* When it is to be asked whether it is there; NEVER if it is no WebSocket that stands. */
instant web_ping_due(const struct stream *stream);
void web_ping(struct streams *streams, struct stream *stream);
