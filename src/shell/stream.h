/*
 * Streams: connections that carry one message after another (RFC 3261 18), accepted and opened.
 * By transport they differ in what lies below, which is where bytes are taken and given
 * (shell/channel.h), and in what makes messages of bytes.
 *
 * A stream's handle (core/flow.h) is its place here.  Whole messages are handed to the core from
 * where they were received; only what is not whole yet is kept.  What a peer does not take at once
 * is queued, up to a limit; one that does not read is not read from, and in the end closed.  Where
 * all keep more than memory allows, one that would keep more than a little is closed.
 *
 * Accepted TCP streams are put into the service manager's store (sd_pid_notify_with_fds(3)), so
 * that they outlive us: the next run finds them under their old handles.
 */
#pragma once

#include "core/action.h"
#include "core/event.h"
#include "shell/log.h"
#include "shell/sockets.h"
#include "shell/tls.h"

/* An office behind one address; of IPv6, one network of 64 bits. */
#define STREAMS_PER_ADDRESS 256u
/* That are left with the service manager: it names all to the next run in one variable of the
 * environment, which takes 128 KiB and no more; 13 bytes each.  With a longer one nothing starts.
 */
#define STREAMS_LEFT 10000u
/* Bytes that wait for a peer to read: a few of the largest messages. */
#define STREAM_QUEUE (256u << 10)
/* Handshakes that are under way: of all, some 40 MiB; and of one address. */
#define STREAM_GREETINGS 1024u
#define GREETINGS_PER_ADDRESS 64u
/* For a message once begun, the first one, or a peer to read. */
#define STREAM_PATIENCE SECONDS(32)
/* No registration lasts longer. */
#define STREAM_IDLE SECONDS(7200)
/* One that we opened: the next request opens another. */
#define STREAM_IDLE_OURS SECONDS(600)

struct streams;

struct streams_plan {
    const struct sockets *sockets; /* that listen */
    struct tls *tls;               /* for transports that need it, else NULL */
    uint32_t accepted, connected;  /* as in struct limits */
    uint64_t room;                 /* bytes that all may keep of messages, for long */
    uint32_t generation;           /* of the first handles; unlike another run's */
    instant now;
};

/* How many streams there may be for the limit of open files, which is raised as far as may be. */
uint32_t streams_possible(void);

/* NULL, and it was logged why, if that is not possible. */
struct streams *streams_open(const struct streams_plan *plan, struct log *log);
void streams_close(struct streams *streams);

/* Takes over what the service manager kept; once, when all sockets listen. */
void streams_adopt(struct streams *streams);

/* Connections are accepted from that socket from now on, until it is closed. */
void streams_listen(struct streams *streams, unsigned number);

/* Becomes readable when streams_take has something to do. */
int streams_descriptor(const struct streams *streams);
/* When time alone gives it something to do; NEVER if it does not. */
instant streams_deadline(const struct streams *streams);
/* Something has ended meanwhile: streams_next would say so at once. */
bool streams_have_news(const struct streams *streams);

/* Looks what is ready and due; then streams_next gives one event after another until false. */
void streams_take(struct streams *streams, instant now);
bool streams_next(struct streams *streams, struct event *event);

/* Whose pages may open WebSockets: settings that live until the next are obeyed. */
void streams_obey(struct streams *streams, const struct settings *settings);

/* The core's actions. */
void streams_send(struct streams *streams, const struct flow *to, struct slice bytes);
void streams_connect(struct streams *streams, const struct flow *to, struct slice plan);
void streams_end(struct streams *streams, const struct flow *flow);
void streams_expect(struct streams *streams, const struct flow *flow);
