#include "shell/stream_parts.h"

#include "core/limits.h"
#include "shell/notify.h"
#include "shell/tcp.h"
#include "sip/framing.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define QUEUE_PAUSE (64u << 10)       /* so much unread: its requests wait until it has read */
#define ACCEPT_BATCH 16u              /* taken from one listening socket in one round */
#define CONNECT_PATIENCE SECONDS(4)   /* three SYNs, the third after three seconds */
#define GREETING_PATIENCE SECONDS(10) /* for all of a handshake */
#define LINGER_PATIENCE SECONDS(2)    /* for the peer to read why it is closed */
#define FULL_AGAIN SECONDS(60)        /* between two lines that say so */
#define GREETED_A_ROUND 8u            /* steps of handshakes, of up to a millisecond each */
#define PAGE 4096u
#define ALWAYS_KEPT (2 * PAGE) /* of one stream, whatever all keep */

/* ---- places */

static char *held_of(const struct streams *streams, const struct stream *stream)
{
    return streams->held + (size_t)place_of(streams, stream) * HELD_ROOM;
}

static char *queue_of(const struct streams *streams, const struct stream *stream)
{
    return streams->queues + (size_t)place_of(streams, stream) * STREAM_QUEUE;
}

static uint32_t pages_of(uint32_t bytes)
{
    return (bytes + PAGE - 1) & ~(PAGE - 1);
}

/* Counts the pages that it has touched.  False if it keeps much, and all keep too much. */
static bool charge(struct streams *streams, struct stream *stream)
{
    uint32_t kept = pages_of(stream->held_most) + pages_of(stream->queue_most);

    streams->kept = streams->kept - stream->kept + kept;
    stream->kept = kept;
    return kept <= ALWAYS_KEPT || streams->kept <= streams->plan.room;
}

/* Gives back what it held behind the bytes that it still does. */
static void give_back_held(struct streams *streams, struct stream *stream)
{
    uint32_t end = pages_of(stream->held);

    if (stream->held_most > end)
        madvise(held_of(streams, stream) + end, HELD_ROOM - end, MADV_DONTNEED);
    stream->held_most = stream->held;
}

static void give_back_queue(struct streams *streams, struct stream *stream)
{
    if (stream->queue_most > PAGE)
        madvise(queue_of(streams, stream), STREAM_QUEUE, MADV_DONTNEED);
    stream->queue_most = 0;
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
    unsigned count = 0, greeting = 0;

    for (uint32_t i = table_first(&streams->by_host, host_hash(flow)); i;
         i = table_next(&streams->by_host, i)) {
        const struct flow *other = &streams->at[i].flow;
        if (other->is_v6 != flow->is_v6 ||
            memcmp(other->address, flow->address, host_bytes(flow)) != 0)
            continue;
        greeting += streams->at[i].state == STREAM_GREETING;
        if (++count == STREAMS_PER_ADDRESS || greeting == GREETINGS_PER_ADDRESS)
            return false;
    }
    return true;
}

/* ---- time */

static duration idle_longest(const struct stream *stream)
{
    switch (stream->state) {
    case STREAM_CONNECTING: return CONNECT_PATIENCE;
    case STREAM_GREETING: return GREETING_PATIENCE;
    case STREAM_LINGERING: return LINGER_PATIENCE;
    default: return stream->is_ours ? STREAM_IDLE_OURS : STREAM_IDLE;
    }
}

/* When it must have done what is expected of it. */
static instant end_of(const struct stream *stream)
{
    instant due = stream->active_at + idle_longest(stream);

    if (!stream->is_ours && !stream->has_spoken)
        due = min_u64(due, stream->opened_at + STREAM_PATIENCE);
    if (stream->is_expected)
        due = min_u64(due, stream->heard_at + FLOW_SILENCE);
    if (stream->begun_at)
        due = min_u64(due, stream->begun_at + STREAM_PATIENCE);
    if (stream->queue_at < stream->queue_end || stream->state == STREAM_ENDING)
        due = min_u64(due, stream->stuck_since + STREAM_PATIENCE);
    return due;
}

static void arm(struct streams *streams, struct stream *stream)
{
    timer_set(&streams->timers, &stream->timer, min_u64(end_of(stream), web_ping_due(stream)));
}

void stream_rearm(struct streams *streams, struct stream *stream)
{
    arm(streams, stream);
}

/* ---- what epoll looks for */

/* With the whole handle: what epoll says of one that has ended must not reach the next there. */
static uint64_t name_for_epoll(const struct streams *streams, const struct stream *stream)
{
    return (uint64_t)stream->flow.connection << 32 | place_of(streams, stream);
}

static bool wants_room(const struct stream *stream)
{
    if (stream->state == STREAM_CONNECTING)
        return true;
    if (stream->channel && stream->channel->wants_room)
        return true;
    return stream->state != STREAM_GREETING && stream->queue_at < stream->queue_end;
}

static bool is_paused(const struct stream *stream)
{
    if (stream->state == STREAM_GREETING)
        return false;
    return stream->queue_end - stream->queue_at > QUEUE_PAUSE || stream->state == STREAM_ENDING ||
           stream->state == STREAM_CONNECTING;
}

static void look_for(struct streams *streams, struct stream *stream)
{
    uint32_t interest = (is_paused(stream) ? 0u : (uint32_t)EPOLLIN) |
                        (wants_room(stream) ? (uint32_t)EPOLLOUT : 0u);
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

/* What a channel knows would be lost. */
static void keep(struct streams *streams, struct stream *stream)
{
    char name[32];

    if (stream->flow.transport != TRANSPORT_TCP || streams->left >= STREAMS_LEFT)
        return;
    name_of(stream, name, sizeof name);
    stream->is_kept = notify_store(stream->descriptor, name);
    streams->left += stream->is_kept;
}

/* ---- ending */

/* Once the core has been told, if it knew of it, its place may be another's. */
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

static void drop_channel(struct stream *stream)
{
    if (stream->channel)
        stream->channel->kind->drop(stream->channel);
    stream->channel = NULL;
}

/* Whoever has the descriptor, too: the connection ends. */
static void die(struct streams *streams, struct stream *stream)
{
    char name[32];

    name_of(stream, name, sizeof name);
    if (stream->state == STREAM_GREETING && !stream->is_ours)
        streams->greeting--;
    drop_channel(stream);
    shutdown(stream->descriptor, SHUT_RDWR);
    close(stream->descriptor);
    if (stream->is_kept) {
        notify_forget(name);
        streams->left--;
    }
    timer_clear(&streams->timers, &stream->timer);
    table_remove(&streams->by_host, place_of(streams, stream));
    stream->held = 0;
    give_back_held(streams, stream);
    give_back_queue(streams, stream);
    charge(streams, stream);
    if (streams->current == stream)
        streams->current = NULL;
    if (!stream->is_known) {
        leave_place(streams, stream);
        return;
    }
    stream->state = STREAM_DEAD;
    stream->next = streams->dead;
    streams->dead = place_of(streams, stream);
}

static void linger(struct streams *streams, struct stream *stream)
{
    if (stream->channel)
        stream->channel->kind->end(stream->channel);
    shutdown(stream->descriptor, SHUT_WR);
    stream->state = STREAM_LINGERING;
    stream->active_at = streams->now;
    stream->has_spoken = true;
    arm(streams, stream);
    look_for(streams, stream);
}

static void say_full(struct streams *streams, const char *what, const char *why)
{
    if (streams->full_said_at && streams->now - streams->full_said_at < FULL_AGAIN)
        return;
    streams->full_said_at = streams->now;
    log_line(streams->log, LOG_WARNING, "a connection was %s: %s", what, why);
}

/* It would keep more than there is memory for. */
static void die_of_room(struct streams *streams, struct stream *stream)
{
    say_full(streams, "closed",
             "what all keep of messages that are not whole or not read is as "
             "much as memory allows");
    die(streams, stream);
}

/* ---- giving bytes */

/* Bytes that left; 0 if none could, below if the stream is broken. */
static ssize_t give(struct stream *stream, const char *at, size_t len)
{
    ssize_t count;

    if (stream->channel)
        return stream->channel->kind->give(stream->channel, at, len);
    count = send(stream->descriptor, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
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
    stream->queue_most = (uint32_t)max_u64(stream->queue_most, stream->queue_end);
    if (!charge(streams, stream)) {
        die_of_room(streams, stream);
        return false;
    }
    arm(streams, stream);
    look_for(streams, stream);
    return true;
}

static void flush(struct streams *streams, struct stream *stream)
{
    char *at = queue_of(streams, stream);
    uint32_t len = stream->queue_end - stream->queue_at;
    ssize_t count = len ? give(stream, at + stream->queue_at, len) : 0;

    if (count < 0) {
        die(streams, stream);
        return;
    }
    if (count > 0)
        stream->stuck_since = stream->active_at = streams->now;
    stream->queue_at += (uint32_t)count;
    if (stream->queue_at == stream->queue_end) {
        stream->queue_at = stream->queue_end = 0;
        give_back_queue(streams, stream);
        charge(streams, stream);
        if (stream->state == STREAM_ENDING) {
            linger(streams, stream);
            return;
        }
    }
    arm(streams, stream);
    look_for(streams, stream);
}

/* What is sent to it waits. */
static bool is_beginning(const struct stream *stream)
{
    return stream->state == STREAM_CONNECTING || stream->state == STREAM_GREETING;
}

void stream_put(struct streams *streams, struct stream *stream, struct slice bytes)
{
    ssize_t count = 0;

    if (!is_beginning(stream) && stream->queue_at == stream->queue_end)
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

    if (!stream ||
        !(stream->state == STREAM_OPEN || is_beginning(stream) || stream->state == STREAM_ENDING))
        return;
    if (stream_is_web(stream))
        web_send(streams, stream, bytes);
    else
        stream_put(streams, stream, bytes);
}

void stream_end(struct streams *streams, struct stream *stream)
{
    if (streams->current == stream)
        streams->current = NULL;
    stream->state = STREAM_ENDING;
    stream->stuck_since = streams->now;
    if (stream->queue_at == stream->queue_end) {
        linger(streams, stream);
        return;
    }
    look_for(streams, stream);
    arm(streams, stream);
}

void streams_end(struct streams *streams, const struct flow *flow)
{
    struct stream *stream = find(streams, flow);

    if (stream && stream->is_ours && is_beginning(stream))
        die(streams, stream);
    if (!stream || (stream->state != STREAM_OPEN && stream->state != STREAM_ENDING))
        return;
    if (stream_is_web(stream))
        web_end(streams, stream, WEBSOCKET_BAD_MESSAGE);
    else
        stream_end(streams, stream);
}

void streams_expect(struct streams *streams, const struct flow *flow)
{
    struct stream *stream = find(streams, flow);

    if (!stream || stream->is_expected || stream->state != STREAM_OPEN)
        return;
    stream->is_expected = true;
    stream->heard_at = streams->now;
    arm(streams, stream);
}

/* ---- beginning */

bool stream_begin(struct streams *streams, struct stream *stream, enum stream_state state)
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

/* The place of the next stream that is accepted; 0 if there is none. */
static uint32_t free_place(const struct streams *streams)
{
    if (streams->free || streams->unused > streams->plan.accepted)
        return streams->free;
    return streams->unused;
}

/* What its transport needs below its bytes; false if it cannot be had. */
static bool lay_channel(struct streams *streams, struct stream *stream,
                        const struct peer_plan *plan)
{
    uint8_t transport = stream->flow.transport;

    if (transport != TRANSPORT_TLS && transport != TRANSPORT_WSS)
        return true;
    stream->channel = plan ? tls_connect(streams->plan.tls, stream->descriptor, plan)
                      : stream_is_web(stream)
                          ? tls_accept_browser(streams->plan.tls, stream->descriptor)
                          : tls_accept(streams->plan.tls, stream->descriptor);
    return stream->channel != NULL;
}

/* A new connection's handshake is one too many. */
static bool is_crowded(const struct streams *streams, const struct flow *flow)
{
    return flow->transport != TRANSPORT_TCP && flow->transport != TRANSPORT_WS &&
           streams->greeting == STREAM_GREETINGS;
}

/* Takes a place for an accepted connection, or closes it. */
static struct stream *welcome(struct streams *streams, unsigned listener, int fd,
                              const union netaddr *peer)
{
    struct flow flow = {.transport = streams->plan.sockets->at[listener].transport,
                        .socket = (uint16_t)listener};
    uint32_t place = free_place(streams);
    struct stream *stream = &streams->at[place];

    netaddr_to_flow(peer, &flow);
    if (!place || is_crowded(streams, &flow) || !host_has_room(streams, &flow)) {
        say_full(streams, "refused",
                 !place ? "there are as many as memory and open files allow"
                 : is_crowded(streams, &flow)
                     ? "1024 handshakes of TLS are under way"
                     : "one address has 256 already, or 64 handshakes of TLS");
        close(fd);
        return NULL;
    }
    if (place == streams->unused)
        stream->generation = (uint16_t)streams->plan.generation;
    flow.connection = connection_name(place, ++stream->generation);
    stream->flow = flow;
    stream->descriptor = fd;
    uint32_t next = stream->next;
    if (!lay_channel(streams, stream, NULL) ||
        !stream_begin(streams, stream, stream->channel ? STREAM_GREETING : STREAM_OPEN)) {
        drop_channel(stream);
        close(fd);
        return NULL;
    }
    streams->greeting += stream->state == STREAM_GREETING;
    if (place == streams->unused)
        streams->unused++;
    else
        streams->free = next;
    keep(streams, stream);
    return stream;
}

/* One that carries messages from now on; NULL when there is none to be had now. */
static struct stream *accept_one(struct streams *streams, unsigned listener)
{
    while (streams->accepted < ACCEPT_BATCH) {
        union netaddr peer;
        int fd = tcp_accept(streams->plan.sockets->at[listener].descriptor, &peer);

        if (fd < 0)
            break;
        streams->accepted++;
        struct stream *stream = welcome(streams, listener, fd, &peer);
        if (stream && stream->state == STREAM_OPEN && !stream_is_web(stream))
            return stream;
    }
    return NULL;
}

void streams_connect(struct streams *streams, const struct flow *to, struct slice plan_bytes)
{
    struct peer_plan plan = {0};
    struct stream *stream = &streams->at[connection_place(to->connection)];
    union netaddr peer = netaddr_of_flow(to);

    assert(stream->state == STREAM_FREE);
    stream->flow = *to;
    stream->is_ours = stream->is_known = true;
    stream->descriptor = tcp_dial(&streams->plan.sockets->at[to->socket].address, &peer);
    peer_read(plan_bytes, &plan);
    if (stream->descriptor >= 0 && lay_channel(streams, stream, &plan) &&
        stream_begin(streams, stream, STREAM_CONNECTING))
        return;
    drop_channel(stream);
    if (stream->descriptor >= 0)
        close(stream->descriptor);
    stream->state = STREAM_DEAD;
    stream->next = streams->dead;
    streams->dead = place_of(streams, stream);
}

/* From now on it carries messages. */
static void stand(struct streams *streams, struct stream *stream)
{
    if (stream->state == STREAM_GREETING && !stream->is_ours)
        streams->greeting--;
    stream->state = STREAM_OPEN;
    stream->active_at = streams->now;
    flush(streams, stream);
    if (stream->state != STREAM_OPEN || stream_is_web(stream))
        return;
    stream->next = streams->fresh;
    streams->fresh = place_of(streams, stream);
}

/* The others' turn is in the next round: messages come first. */
static void greet(struct streams *streams, struct stream *stream)
{
    if (streams->greeted++ >= GREETED_A_ROUND)
        return;
    switch (stream->channel->kind->ready(stream->channel)) {
    case CHANNEL_BEGINS: look_for(streams, stream); break;
    case CHANNEL_STANDS: stand(streams, stream); break;
    case CHANNEL_FAILED:
        stream->is_unproven = stream->channel->is_unproven;
        die(streams, stream);
        break;
    }
}

static void finish_connecting(struct streams *streams, struct stream *stream)
{
    if (!tcp_is_connected(stream->descriptor)) {
        die(streams, stream);
    } else if (stream->channel) {
        stream->state = STREAM_GREETING;
        stream->active_at = streams->now;
        arm(streams, stream);
        greet(streams, stream);
    } else {
        stand(streams, stream);
    }
}

/* ---- taking bytes */

/* Bytes taken; 0 if there are none now, below if the stream has ended. */
static ssize_t take(struct stream *stream, char *at, size_t room)
{
    ssize_t count;

    if (stream->channel)
        return stream->channel->kind->take(stream->channel, at, room);
    count = recv(stream->descriptor, at, room, MSG_DONTWAIT);
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
        if (!stream->is_upgraded) /* there a message counts, a pong does not */
            stream->active_at = streams->now;
        stream->heard_at = streams->now;
        streams->current = stream;
        streams->pong_len = 0;
        streams->rest = slice_of(at, stream->held + (size_t)count);
    }
    if (stream->channel)
        look_for(streams, stream);
}

/* The rest of the current stream's bytes is no whole message: it is kept for the next. */
void stream_hold(struct streams *streams)
{
    struct stream *stream = streams->current;
    char *at = held_of(streams, stream);
    uint32_t touched = (uint32_t)streams->rest.len;

    streams->current = NULL;
    if (stream->held) /* there it was read */
        touched = (uint32_t)(streams->rest.at + streams->rest.len - at);
    stream->held_most = (uint32_t)max_u64(stream->held_most, touched);
    if (streams->rest.len && streams->rest.at != at)
        memmove(at, streams->rest.at, streams->rest.len);
    if (!stream->begun_at)
        stream->begun_at = streams->now;
    stream->held = (uint32_t)streams->rest.len;
    if (!stream->held && !websocket_is_amid(&stream->socket))
        stream->begun_at = 0;
    if (!stream->held)
        give_back_held(streams, stream);
    if (!charge(streams, stream)) {
        give_back_held(streams, stream);
        if (!charge(streams, stream)) {
            die_of_room(streams, stream);
            return;
        }
    }
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

        if (stream_is_web(stream))
            return web_next(streams, event);
        struct frame frame = frame_next(streams->rest, &stream->scanned);
        *event = (struct event){.flow = stream->flow, .fault = frame.fault};
        event->bytes = slice_until(streams->rest, frame.len);
        switch (frame.kind) {
        case FRAME_NONE: stream_hold(streams); break;
        case FRAME_SKIP: drop_front(streams, frame.len); break;
        case FRAME_PING:
            drop_front(streams, frame.len);
            stream_put(streams, stream, S("\r\n")); /* RFC 5626 4.4.1 */
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
    if (stream->state == STREAM_GREETING) {
        greet(streams, stream);
        return;
    }
    if (stream->state == STREAM_LINGERING) {
        drain(streams, stream);
        return;
    }
    if (stream->state != STREAM_OPEN && stream->state != STREAM_ENDING)
        return;
    uint32_t readable = EPOLLIN | EPOLLHUP | EPOLLERR;
    if (stream->channel && stream->channel->wants_room)
        readable |= EPOLLOUT;
    if (ready->events & EPOLLOUT)
        flush(streams, stream);
    if (stream->state == STREAM_OPEN && ready->events & readable)
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
        if (end_of(stream) <= streams->now)
            die(streams, stream);
        else if (web_ping_due(stream) <= streams->now)
            web_ping(streams, stream);
        else
            arm(streams, stream); /* it was active since */
    }
}

void streams_take(struct streams *streams, instant now)
{
    streams->now = now;
    expire(streams);
    streams->accepted = 0;
    streams->greeted = 0;
    streams->ready_next = 0;
    streams->ready_count = epoll_wait(streams->epoll, streams->ready, READY_BATCH, 0);
}

static bool next_begun(struct streams *streams, struct event *event)
{
    struct stream *stream = &streams->at[streams->fresh];

    if (!streams->fresh)
        return false;
    streams->fresh = stream->next;
    stream->is_known = true;
    *event = (struct event){.kind = EVENT_OPENED, .flow = stream->flow};
    if (stream->channel) {
        event->bytes = tls_proven(stream->channel);
        event->credential = tls_credential(stream->channel);
    }
    return true;
}

static bool next_ended(struct streams *streams, struct event *event)
{
    struct stream *stream = &streams->at[streams->dead];

    if (!streams->dead)
        return false;
    streams->dead = stream->next;
    *event = (struct event){
        .kind = EVENT_CLOSED, .flow = stream->flow, .is_unproven = stream->is_unproven};
    leave_place(streams, stream);
    return true;
}

static bool next_accepted(struct streams *streams, unsigned listener, struct event *event)
{
    struct stream *stream = accept_one(streams, listener);

    if (!stream)
        return false;
    stream->is_known = true;
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
