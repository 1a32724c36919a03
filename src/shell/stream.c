#include "shell/stream.h"

#include "base/table.h"
#include "base/timers.h"
#include "shell/notify.h"
#include "sip/framing.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define READ_ROOM (64u << 10)       /* bytes taken with one call: the fairness among streams */
#define HELD_ROOM (128u << 10)      /* of one stream: a message not yet whole, and one read more */
#define QUEUE_PAUSE (64u << 10)     /* so much unread: its requests wait until it has read */
#define KERNEL_ROOM (128 << 10)     /* bytes the kernel may hold for it, each way */
#define READY_BATCH 64              /* streams looked after in one round */
#define ACCEPT_BATCH 16u            /* taken from one listening socket in one round */
#define CONNECT_PATIENCE SECONDS(8) /* three SYNs */
#define LINGER_PATIENCE SECONDS(2)  /* for the peer to read why it is closed */
#define FULL_AGAIN SECONDS(60)      /* between two lines that say so */
#define FILES_SPARED 256u           /* open files of others: sockets, journal, libraries */
#define LISTENER (UINT64_C(1) << 31)

enum stream_state {
    STREAM_FREE,
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_ENDING,    /* what is queued still leaves; nothing more is read */
    STREAM_LINGERING, /* the peer has our end, and shall send its own */
    STREAM_DEAD,      /* closed, and the core has to be told */
};

struct stream {
    struct flow flow;
    struct table_link by_host;
    struct timer timer;
    int descriptor;
    uint8_t state;
    bool is_ours;    /* we opened it */
    bool is_kept;    /* the service manager has it, too */
    bool has_spoken; /* a whole message came by it */
    uint16_t generation;
    uint32_t interest;            /* what epoll looks for */
    uint32_t next;                /* free, dead or new: the next of these */
    uint32_t held;                /* bytes of a message that is not whole yet */
    size_t scanned;               /* see frame_next */
    uint32_t queue_at, queue_end; /* bytes not yet written */
    instant begun_at;             /* when the message not yet whole began */
    instant stuck_since;          /* since when nothing of the queue left */
    instant opened_at;
    instant active_at;
};

struct streams {
    struct log *log;
    struct streams_plan plan;
    instant now;
    int epoll;
    unsigned listeners;
    int listening[LOCAL_LIMIT];
    union netaddr addresses[LOCAL_LIMIT];
    struct socket_settings settings[LOCAL_LIMIT];
    char hosts[LOCAL_LIMIT][NETADDR_TEXT];

    size_t places;     /* the last */
    struct stream *at; /* by place */
    char *held;        /* HELD_ROOM a place; pages are touched only where they are needed */
    char *queues;      /* STREAM_QUEUE a place */
    struct table by_host;
    void *host_memory;
    struct timers timers;
    uint32_t free;  /* places to accept into */
    uint32_t dead;  /* whose end the core does not know yet */
    uint32_t fresh; /* whose beginning it does not know yet */
    instant full_said_at;

    struct epoll_event ready[READY_BATCH];
    int ready_count, ready_next;
    unsigned accepted;      /* from the listening socket at hand */
    struct stream *current; /* whose bytes are being framed */
    struct slice rest;
    char *scratch;
};

/* ---- places */

static uint32_t place_of(const struct streams *streams, const struct stream *stream)
{
    return (uint32_t)(stream - streams->at);
}

static char *held_of(const struct streams *streams, const struct stream *stream)
{
    return streams->held + (size_t)place_of(streams, stream) * HELD_ROOM;
}

static char *queue_of(const struct streams *streams, const struct stream *stream)
{
    return streams->queues + (size_t)place_of(streams, stream) * STREAM_QUEUE;
}

static struct stream *find(const struct streams *streams, const struct flow *flow)
{
    uint32_t place = connection_place(flow->connection);
    struct stream *stream = &streams->at[place];

    return place && place <= streams->places && stream->state != STREAM_FREE &&
                   stream->flow.connection == flow->connection
               ? stream
               : NULL;
}

/* Bytes of an address that count as one host. */
static size_t host_bytes(const struct flow *flow)
{
    return flow->is_v6 ? 8 : 4;
}

static uint32_t host_hash(const struct flow *flow)
{
    uint64_t words[2];

    memcpy(words, flow->address, sizeof words);
    words[0] &= flow->is_v6 ? UINT64_MAX : UINT32_MAX;
    return (uint32_t)((words[0] * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static bool host_has_room(const struct streams *streams, const struct flow *flow)
{
    unsigned count = 0;

    for (uint32_t i = table_first(&streams->by_host, host_hash(flow)); i;
         i = table_next(&streams->by_host, i)) {
        const struct flow *other = &streams->at[i].flow;
        count += other->is_v6 == flow->is_v6 &&
                 memcmp(other->address, flow->address, host_bytes(flow)) == 0;
        if (count == STREAMS_PER_ADDRESS)
            return false;
    }
    return true;
}

/* ---- time */

static duration idle_longest(const struct stream *stream)
{
    switch (stream->state) {
    case STREAM_CONNECTING: return CONNECT_PATIENCE;
    case STREAM_LINGERING: return LINGER_PATIENCE;
    default: return stream->is_ours ? STREAM_IDLE_OURS : STREAM_IDLE;
    }
}

/* When it must have done what is expected of it. */
static instant due_of(const struct stream *stream)
{
    instant due = stream->active_at + idle_longest(stream);

    if (!stream->is_ours && !stream->has_spoken)
        due = min_u64(due, stream->opened_at + STREAM_PATIENCE);
    if (stream->held)
        due = min_u64(due, stream->begun_at + STREAM_PATIENCE);
    if (stream->queue_at < stream->queue_end || stream->state == STREAM_ENDING)
        due = min_u64(due, stream->stuck_since + STREAM_PATIENCE);
    return due;
}

static void arm(struct streams *streams, struct stream *stream)
{
    timer_set(&streams->timers, &stream->timer, due_of(stream));
}

/* ---- what epoll looks for */

/* With the whole handle: what epoll says of one that has ended must not reach the next there. */
static uint64_t name_for_epoll(const struct streams *streams, const struct stream *stream)
{
    return (uint64_t)stream->flow.connection << 32 | place_of(streams, stream);
}

static void look_for(struct streams *streams, struct stream *stream)
{
    uint32_t queued = stream->queue_end - stream->queue_at;
    bool is_paused = queued > QUEUE_PAUSE || stream->state == STREAM_ENDING ||
                     stream->state == STREAM_CONNECTING;
    uint32_t interest = (is_paused ? 0u : (uint32_t)EPOLLIN) |
                        (queued || stream->state == STREAM_CONNECTING ? (uint32_t)EPOLLOUT : 0u);
    struct epoll_event event = {.events = interest, .data.u64 = name_for_epoll(streams, stream)};

    if (interest == stream->interest)
        return;
    stream->interest = interest;
    epoll_ctl(streams->epoll, EPOLL_CTL_MOD, stream->descriptor, &event);
}

/* ---- the service manager's store */

static void name_of(const struct stream *stream, char *text, size_t limit)
{
    snprintf(text, limit, "tcp-%08x", stream->flow.connection);
}

static void keep(struct stream *stream)
{
    char name[32];

    name_of(stream, name, sizeof name);
    stream->is_kept = notify_store(stream->descriptor, name);
}

/* ---- ending */

/* Whoever has the descriptor, too: the connection ends. */
static void die(struct streams *streams, struct stream *stream)
{
    char name[32];

    name_of(stream, name, sizeof name);
    shutdown(stream->descriptor, SHUT_RDWR);
    close(stream->descriptor);
    if (stream->is_kept)
        notify_forget(name);
    timer_clear(&streams->timers, &stream->timer);
    table_remove(&streams->by_host, place_of(streams, stream));
    if (stream->held)
        madvise(held_of(streams, stream), HELD_ROOM, MADV_DONTNEED);
    if (stream->queue_end)
        madvise(queue_of(streams, stream), STREAM_QUEUE, MADV_DONTNEED);
    if (streams->current == stream)
        streams->current = NULL;
    stream->state = STREAM_DEAD;
    stream->next = streams->dead;
    streams->dead = place_of(streams, stream);
}

/* Once the core has been told, its place may be another's. */
static void leave_place(struct streams *streams, struct stream *stream)
{
    bool is_ours = stream->is_ours;
    uint16_t generation = stream->generation;

    *stream = (struct stream){.generation = generation};
    if (is_ours)
        return;
    stream->next = streams->free;
    streams->free = place_of(streams, stream);
}

static void linger(struct streams *streams, struct stream *stream)
{
    shutdown(stream->descriptor, SHUT_WR);
    stream->state = STREAM_LINGERING;
    stream->active_at = streams->now;
    stream->has_spoken = true;
    arm(streams, stream);
    look_for(streams, stream);
}

/* ---- giving bytes */

/* Bytes that left; 0 if none could, below if the stream is broken. */
static ssize_t give(struct stream *stream, const char *at, size_t len)
{
    ssize_t count = send(stream->descriptor, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (count >= 0)
        return count;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

/* False if it died of it. */
static bool queue(struct streams *streams, struct stream *stream, struct slice bytes)
{
    char *at = queue_of(streams, stream);
    uint32_t len = stream->queue_end - stream->queue_at;

    if (bytes.len > STREAM_QUEUE - len) {
        die(streams, stream);
        return false;
    }
    if (bytes.len > STREAM_QUEUE - stream->queue_end) {
        memmove(at, at + stream->queue_at, len);
        stream->queue_at = 0;
        stream->queue_end = len;
    }
    if (!len)
        stream->stuck_since = streams->now;
    memcpy(at + stream->queue_end, bytes.at, bytes.len);
    stream->queue_end += (uint32_t)bytes.len;
    arm(streams, stream);
    look_for(streams, stream);
    return true;
}

static void flush(struct streams *streams, struct stream *stream)
{
    char *at = queue_of(streams, stream);
    ssize_t count = give(stream, at + stream->queue_at, stream->queue_end - stream->queue_at);

    if (count < 0) {
        die(streams, stream);
        return;
    }
    if (count > 0)
        stream->stuck_since = stream->active_at = streams->now;
    stream->queue_at += (uint32_t)count;
    if (stream->queue_at == stream->queue_end) {
        if (stream->queue_end > 4096)
            madvise(at, STREAM_QUEUE, MADV_DONTNEED);
        stream->queue_at = stream->queue_end = 0;
        if (stream->state == STREAM_ENDING) {
            linger(streams, stream);
            return;
        }
    }
    arm(streams, stream);
    look_for(streams, stream);
}

static void put(struct streams *streams, struct stream *stream, struct slice bytes)
{
    ssize_t count = 0;

    if (stream->state != STREAM_CONNECTING && stream->queue_at == stream->queue_end)
        count = give(stream, bytes.at, bytes.len);
    if (count < 0)
        die(streams, stream);
    else if ((size_t)count < bytes.len)
        queue(streams, stream, slice_from(bytes, (size_t)count));
    else
        stream->active_at = streams->now;
}

void streams_send(struct streams *streams, const struct flow *to, struct slice bytes)
{
    struct stream *stream = find(streams, to);

    if (stream && (stream->state == STREAM_OPEN || stream->state == STREAM_CONNECTING ||
                   stream->state == STREAM_ENDING))
        put(streams, stream, bytes);
}

void streams_end(struct streams *streams, const struct flow *flow)
{
    struct stream *stream = find(streams, flow);

    if (!stream || (stream->state != STREAM_OPEN && stream->state != STREAM_ENDING))
        return;
    stream->state = STREAM_ENDING;
    if (stream->queue_at == stream->queue_end)
        linger(streams, stream);
}

/* ---- beginning */

static void set_options(int fd, bool is_v6)
{
    int on = 1, idle = 120, between = 20, tries = 3, room = KERNEL_ROOM;
    unsigned longest = (unsigned)(STREAM_PATIENCE / MS(1));

    if (is_v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &longest, sizeof longest);
    /* A peer that vanished is found out, though it sends nothing. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

static void set_peer(struct flow *flow, const union netaddr *peer)
{
    flow->is_v6 = peer->any.sa_family == AF_INET6;
    if (flow->is_v6) {
        flow->port = ntohs(peer->v6.sin6_port);
        memcpy(flow->address, &peer->v6.sin6_addr, 16);
    } else {
        flow->port = ntohs(peer->v4.sin_port);
        memcpy(flow->address, &peer->v4.sin_addr, 4);
    }
}

/* Its flow is set, its descriptor open; false if epoll will not have it. */
static bool begin(struct streams *streams, struct stream *stream, enum stream_state state)
{
    struct epoll_event event = {.data.u64 = name_for_epoll(streams, stream)};

    event.events = state == STREAM_CONNECTING ? EPOLLOUT : EPOLLIN;
    if (epoll_ctl(streams->epoll, EPOLL_CTL_ADD, stream->descriptor, &event) < 0)
        return false;
    stream->interest = event.events;
    stream->state = (uint8_t)state;
    stream->opened_at = stream->active_at = streams->now;
    table_insert(&streams->by_host, place_of(streams, stream), host_hash(&stream->flow));
    arm(streams, stream);
    return true;
}

static void say_full(struct streams *streams, const char *what)
{
    if (streams->full_said_at && streams->now - streams->full_said_at < FULL_AGAIN)
        return;
    streams->full_said_at = streams->now;
    log_line(streams->log, LOG_WARNING, "a connection was refused: %s", what);
}

/* Takes a place for an accepted connection, or closes it. */
static struct stream *welcome(struct streams *streams, unsigned listener, int fd,
                              const union netaddr *peer)
{
    struct flow flow = {.transport = TRANSPORT_TCP,
                        .socket = (uint16_t)(streams->plan.first_socket + listener)};
    struct stream *stream = &streams->at[streams->free];

    set_peer(&flow, peer);
    if (!streams->free || !host_has_room(streams, &flow)) {
        say_full(streams, streams->free ? "one address has 256 already"
                                        : "there are as many as memory and open files allow");
        close(fd);
        return NULL;
    }
    flow.connection = connection_name(streams->free, ++stream->generation);
    stream->flow = flow;
    stream->descriptor = fd;
    uint32_t next = stream->next;
    if (!begin(streams, stream, STREAM_OPEN)) {
        close(fd);
        return NULL;
    }
    streams->free = next;
    keep(stream);
    return stream;
}

/* NULL when there is none to be had now. */
static struct stream *accept_one(struct streams *streams, unsigned listener)
{
    while (streams->accepted < ACCEPT_BATCH) {
        union netaddr peer;
        socklen_t len = sizeof peer;
        int fd =
            accept4(streams->listening[listener], &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            break;
        streams->accepted++;
        struct stream *stream = welcome(streams, listener, fd, &peer);
        if (stream)
            return stream;
    }
    return NULL;
}

static union netaddr peer_of(const struct flow *flow)
{
    union netaddr peer = {0};

    if (flow->is_v6) {
        peer.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(flow->port)};
        memcpy(&peer.v6.sin6_addr, flow->address, 16);
    } else {
        peer.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(flow->port)};
        memcpy(&peer.v4.sin_addr, flow->address, 4);
    }
    return peer;
}

/* From the address that the flow's socket listens on, so that it is the one our Via names. */
static int dial(const struct streams *streams, const struct flow *to)
{
    union netaddr peer = peer_of(to);
    union netaddr own = streams->addresses[to->socket - streams->plan.first_socket];
    int fd = socket(peer.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    set_options(fd, to->is_v6);
    if (to->is_v6)
        own.v6.sin6_port = 0;
    else
        own.v4.sin_port = 0;
    if (bind(fd, &own.any, netaddr_length(&own)) == 0 &&
        (connect(fd, &peer.any, netaddr_length(&peer)) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

void streams_connect(struct streams *streams, const struct flow *to)
{
    struct stream *stream = &streams->at[connection_place(to->connection)];

    assert(stream->state == STREAM_FREE);
    stream->flow = *to;
    stream->is_ours = true;
    stream->descriptor = dial(streams, to);
    if (stream->descriptor >= 0 && begin(streams, stream, STREAM_CONNECTING))
        return;
    if (stream->descriptor >= 0)
        close(stream->descriptor);
    stream->state = STREAM_DEAD;
    stream->next = streams->dead;
    streams->dead = place_of(streams, stream);
}

static void finish_connecting(struct streams *streams, struct stream *stream)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(stream->descriptor, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
        die(streams, stream);
        return;
    }
    stream->state = STREAM_OPEN;
    flush(streams, stream);
}

/* ---- taking bytes */

/* Bytes taken; 0 if there are none now, below if the stream has ended. */
static ssize_t take(struct stream *stream, char *at, size_t room)
{
    ssize_t count = recv(stream->descriptor, at, room, MSG_DONTWAIT);

    if (count > 0)
        return count;
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* What it sends after its end is thrown away. */
static void drain(struct streams *streams, struct stream *stream)
{
    if (take(stream, streams->scratch, READ_ROOM) < 0)
        die(streams, stream);
}

static void read_from(struct streams *streams, struct stream *stream)
{
    char *at = stream->held ? held_of(streams, stream) : streams->scratch;
    ssize_t count = take(stream, at + stream->held, READ_ROOM);

    if (count < 0) {
        die(streams, stream);
    } else if (count > 0) {
        stream->active_at = streams->now;
        streams->current = stream;
        streams->rest = slice_of(at, stream->held + (size_t)count);
    }
}

/* The rest of the current stream's bytes is no whole message: it is kept for the next. */
static void hold(struct streams *streams)
{
    struct stream *stream = streams->current;
    char *at = held_of(streams, stream);
    bool was_held = stream->held != 0;

    streams->current = NULL;
    if (streams->rest.len && streams->rest.at != at)
        memmove(at, streams->rest.at, streams->rest.len);
    if (!stream->begun_at)
        stream->begun_at = streams->now;
    stream->held = (uint32_t)streams->rest.len;
    if (!stream->held)
        stream->begun_at = 0;
    if (was_held && !stream->held)
        madvise(at, HELD_ROOM, MADV_DONTNEED);
    arm(streams, stream);
}

static void drop_front(struct streams *streams, size_t len)
{
    streams->rest = slice_from(streams->rest, len);
}

/* The next message of the current stream; false if there is none left. */
static bool next_message(struct streams *streams, struct event *event)
{
    while (streams->current) {
        struct stream *stream = streams->current;
        struct frame frame = frame_next(streams->rest, &stream->scanned);

        *event = (struct event){.flow = stream->flow, .fault = frame.fault};
        event->bytes = slice_until(streams->rest, frame.len);
        switch (frame.kind) {
        case FRAME_NONE: hold(streams); break;
        case FRAME_SKIP: drop_front(streams, frame.len); break;
        case FRAME_PING:
            drop_front(streams, frame.len);
            put(streams, stream, S("\r\n")); /* RFC 5626 4.4.1 */
            break;
        case FRAME_MESSAGE:
            drop_front(streams, frame.len);
            stream->has_spoken = true;
            stream->begun_at = 0;
            event->kind = EVENT_RECEIVED;
            return true;
        case FRAME_BROKEN:
            streams->current = NULL;
            stream->state = STREAM_ENDING;
            stream->stuck_since = streams->now;
            look_for(streams, stream);
            arm(streams, stream);
            event->kind = EVENT_BROKEN;
            return true;
        }
    }
    return false;
}

/* ---- rounds */

static void attend(struct streams *streams, const struct epoll_event *ready)
{
    struct stream *stream = &streams->at[(uint32_t)ready->data.u64];

    if (stream->flow.connection != ready->data.u64 >> 32)
        return;
    if (stream->state == STREAM_CONNECTING) {
        finish_connecting(streams, stream);
        return;
    }
    if (stream->state == STREAM_LINGERING) {
        drain(streams, stream);
        return;
    }
    if (stream->state != STREAM_OPEN && stream->state != STREAM_ENDING)
        return;
    if (ready->events & EPOLLOUT)
        flush(streams, stream);
    if (stream->state == STREAM_OPEN && ready->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_from(streams, stream);
    else if (stream->state == STREAM_ENDING && ready->events & (EPOLLHUP | EPOLLERR))
        die(streams, stream);
}

static void expire(struct streams *streams)
{
    struct timer *timer;

    while ((timer = timers_expire(&streams->timers, streams->now))) {
        struct stream *stream =
            (struct stream *)(void *)((char *)timer - offsetof(struct stream, timer));
        if (due_of(stream) <= streams->now)
            die(streams, stream);
        else
            arm(streams, stream); /* it was active since */
    }
}

void streams_take(struct streams *streams, instant now)
{
    streams->now = now;
    expire(streams);
    streams->accepted = 0;
    streams->ready_next = 0;
    streams->ready_count = epoll_wait(streams->epoll, streams->ready, READY_BATCH, 0);
}

static bool next_begun(struct streams *streams, struct event *event)
{
    struct stream *stream = &streams->at[streams->fresh];

    if (!streams->fresh)
        return false;
    streams->fresh = stream->next;
    *event = (struct event){.kind = EVENT_OPENED, .flow = stream->flow};
    return true;
}

static bool next_ended(struct streams *streams, struct event *event)
{
    struct stream *stream = &streams->at[streams->dead];

    if (!streams->dead)
        return false;
    streams->dead = stream->next;
    *event = (struct event){.kind = EVENT_CLOSED, .flow = stream->flow};
    leave_place(streams, stream);
    return true;
}

static bool next_accepted(struct streams *streams, unsigned listener, struct event *event)
{
    struct stream *stream = accept_one(streams, listener);

    if (!stream)
        return false;
    *event = (struct event){.kind = EVENT_OPENED, .flow = stream->flow};
    return true;
}

bool streams_next(struct streams *streams, struct event *event)
{
    for (;;) {
        if (next_begun(streams, event) || next_message(streams, event) ||
            next_ended(streams, event))
            return true;
        if (streams->ready_next >= streams->ready_count)
            return false;
        const struct epoll_event *ready = &streams->ready[streams->ready_next];
        if (ready->data.u64 & LISTENER &&
            next_accepted(streams, (unsigned)(ready->data.u64 & ~LISTENER), event))
            return true;
        streams->ready_next++;
        streams->accepted = 0;
        if (!(ready->data.u64 & LISTENER))
            attend(streams, ready);
    }
}

instant streams_deadline(const struct streams *streams)
{
    return timers_deadline(&streams->timers);
}

bool streams_have_news(const struct streams *streams)
{
    return streams->dead || streams->fresh;
}

int streams_descriptor(const struct streams *streams)
{
    return streams->epoll;
}

unsigned streams_socket_count(const struct streams *streams)
{
    return streams->listeners;
}

const struct socket_settings *streams_settings(const struct streams *streams)
{
    return streams->settings;
}

/* ---- what the last run left with the service manager */

static bool is_same_address(const union netaddr *a, const union netaddr *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    return a->any.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0
                                        : a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

/* The listening socket whose address a connection has; the count if there is none any more. */
static unsigned listener_of(const struct streams *streams, int fd)
{
    union netaddr own = {0};
    socklen_t len = sizeof own;
    unsigned n = 0;

    if (getsockname(fd, &own.any, &len) < 0)
        return streams->listeners;
    while (n < streams->listeners && !is_same_address(&own, &streams->addresses[n]))
        n++;
    return n;
}

static void adopt(struct streams *streams, int fd, uint32_t connection)
{
    uint32_t place = connection_place(connection);
    unsigned listener = listener_of(streams, fd);
    struct stream *stream = &streams->at[place];
    union netaddr peer = {0};
    socklen_t len = sizeof peer;

    if (place && place <= streams->plan.accepted && stream->state == STREAM_FREE &&
        listener < streams->listeners && getpeername(fd, &peer.any, &len) == 0) {
        stream->flow = (struct flow){.transport = TRANSPORT_TCP,
                                     .socket = (uint16_t)(streams->plan.first_socket + listener),
                                     .connection = connection};
        set_peer(&stream->flow, &peer);
        stream->generation = (uint16_t)(connection >> CONNECTION_BITS);
        stream->descriptor = fd;
        stream->has_spoken = true;
        if (begin(streams, stream, STREAM_OPEN)) {
            stream->is_kept = true;
            stream->next = streams->fresh;
            streams->fresh = place;
            return;
        }
    }
    char name[32];
    snprintf(name, sizeof name, "tcp-%08x", connection);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    notify_forget(name);
}

static void adopt_named(void *at, int fd, const char *name)
{
    unsigned connection;
    char end;

    if (sscanf(name, "tcp-%8x%c", &connection, &end) == 1)
        adopt(at, fd, connection);
}

/* ---- opening */

uint32_t streams_possible(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return 256;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur <= 2 * FILES_SPARED
               ? (uint32_t)files.rlim_cur / 2
               : (uint32_t)min_u64(files.rlim_cur - FILES_SPARED, UINT32_MAX);
}

static void log_listen(struct log *log, const union netaddr *address, int error)
{
    char text[NETADDR_TEXT];
    struct writer w = writer_over(text, sizeof text);

    netaddr_write(&w, address);
    if (error == EADDRINUSE)
        log_line(log, LOG_FAILURE,
                 "%.*s/tcp is in use: stop the other server or choose another port with -P",
                 (int)w.len, text);
    else if (error == EADDRNOTAVAIL)
        log_line(log, LOG_FAILURE,
                 "%.*s/tcp: this machine has no such address; choose another with -A", (int)w.len,
                 text);
    else
        log_line(log, LOG_FAILURE, "%.*s/tcp cannot be opened: %s", (int)w.len, text,
                 strerror(error));
}

static int listen_on(const union netaddr *address)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    set_options(fd, address->any.sa_family == AF_INET6);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* of old connections, not servers */
    if (bind(fd, &address->any, netaddr_length(address)) == 0 && listen(fd, 1024) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool add_listener(struct streams *streams, const union netaddr *address)
{
    unsigned n = streams->listeners;
    struct writer host = writer_over(streams->hosts[n], sizeof streams->hosts[n]);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = n | LISTENER};
    int fd = listen_on(address);

    if (fd < 0 || epoll_ctl(streams->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        log_listen(streams->log, address, errno);
        return false;
    }
    netaddr_write_host(&host, address);
    streams->listening[n] = fd;
    streams->addresses[n] = *address;
    streams->settings[n] =
        (struct socket_settings){TRANSPORT_TCP, writer_slice(&host), streams->plan.port};
    streams->listeners++;
    return true;
}

static bool listen_all(struct streams *streams)
{
    union netaddr found[LOCAL_LIMIT];
    struct slice bad;
    int count = netaddr_list_local(streams->plan.interface, streams->plan.port, found, &bad);

    if (bad.len || count <= 0) {
        log_line(streams->log, LOG_FAILURE,
                 "no address to listen on: write an address of this machine, or * for all of them");
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!add_listener(streams, &found[i]))
            return false;
    return true;
}

static void *reserve(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    madvise(at, bytes, MADV_NOHUGEPAGE); /* each stream touches a page or two of its own */
    return at;
}

static bool make_places(struct streams *streams)
{
    size_t count = streams->places + 1;
    size_t table = table_bytes((uint32_t)streams->places) + 64;

    streams->at = reserve(count * sizeof *streams->at);
    streams->held = reserve(count * HELD_ROOM);
    streams->queues = reserve(count * STREAM_QUEUE);
    streams->host_memory = reserve(table);
    streams->scratch = reserve(READ_ROOM);
    if (!streams->at || !streams->held || !streams->queues || !streams->host_memory ||
        !streams->scratch)
        return false;
    struct arena arena = arena_over(streams->host_memory, table);
    table_init(&streams->by_host, &arena, (uint32_t)streams->places, streams->at,
               sizeof *streams->at, offsetof(struct stream, by_host));
    return true;
}

/* Accepted streams take the lowest places first, so that few pages are touched. */
static void free_places(struct streams *streams)
{
    for (uint32_t place = streams->plan.accepted; place; place--) {
        struct stream *stream = &streams->at[place];
        if (stream->state != STREAM_FREE)
            continue;
        stream->generation = (uint16_t)streams->plan.generation;
        stream->next = streams->free;
        streams->free = place;
    }
}

struct streams *streams_open(const struct streams_plan *plan, struct log *log)
{
    struct streams *streams = calloc(1, sizeof *streams);

    if (!streams) {
        log_line(log, LOG_FAILURE, "no memory for connections");
        return NULL;
    }
    streams->log = log;
    streams->plan = *plan;
    streams->now = plan->now;
    timers_init(&streams->timers, plan->now);
    streams->places = plan->accepted + plan->connected;
    streams->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (streams->epoll < 0 || !make_places(streams)) {
        log_line(log, LOG_FAILURE, "no memory for connections");
        streams_close(streams);
        return NULL;
    }
    if (plan->is_listening && !listen_all(streams)) {
        streams_close(streams);
        return NULL;
    }
    notify_take_stored(adopt_named, streams);
    free_places(streams);
    return streams;
}

static void give_back(void *at, size_t bytes)
{
    if (at)
        munmap(at, bytes);
}

/* Those that the service manager has, too, stay open. */
void streams_close(struct streams *streams)
{
    size_t count = streams->places + 1;

    for (size_t place = 1; streams->at && place < count; place++) {
        const struct stream *stream = &streams->at[place];
        if (stream->state == STREAM_FREE || stream->state == STREAM_DEAD)
            continue;
        if (!stream->is_kept)
            shutdown(stream->descriptor, SHUT_RDWR);
        close(stream->descriptor);
    }
    for (unsigned i = 0; i < streams->listeners; i++)
        close(streams->listening[i]);
    if (streams->epoll >= 0)
        close(streams->epoll);
    give_back(streams->at, count * sizeof *streams->at);
    give_back(streams->held, count * HELD_ROOM);
    give_back(streams->queues, count * STREAM_QUEUE);
    give_back(streams->host_memory, table_bytes((uint32_t)streams->places) + 64);
    give_back(streams->scratch, READ_ROOM);
    free(streams);
}
