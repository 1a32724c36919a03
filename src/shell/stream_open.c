#include "shell/notify.h"
#include "shell/stream_parts.h"
#include "shell/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define FRAMED_ROOM (MESSAGE_LIMIT + WEBSOCKET_WRITE_HEAD)
#define FILES_SPARED 256u /* open files of others: sockets, journal, libraries */

/* ---- what the last run left with the service manager */

/* The TCP socket whose address a connection has; the count if there is none any more. */
static unsigned listener_of(const struct streams *streams, int fd)
{
    union netaddr own = {0};
    socklen_t len = sizeof own;
    unsigned n = 0;

    if (getsockname(fd, &own.any, &len) < 0)
        return streams->listener_count;
    while (n < streams->listener_count &&
           !(streams->listeners[n].transport == TRANSPORT_TCP &&
             netaddr_same_host(&own, &streams->listeners[n].address)))
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
        listener < streams->listener_count && getpeername(fd, &peer.any, &len) == 0) {
        stream->flow = (struct flow){.transport = TRANSPORT_TCP,
                                     .socket = (uint16_t)(streams->plan.first_socket + listener),
                                     .connection = connection};
        netaddr_to_flow(&peer, &stream->flow);
        stream->generation = (uint16_t)(connection >> CONNECTION_BITS);
        stream->descriptor = fd;
        stream->has_spoken = true;
        if (stream_begin(streams, stream, STREAM_OPEN)) {
            stream->is_kept = stream->is_known = true;
            streams->left++;
            stream->next = streams->fresh;
            streams->fresh = place;
            if (streams->unused <= place)
                streams->unused = place + 1;
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

static void say_listen(const struct streams *streams, enum transport transport,
                       const union netaddr *address, int error)
{
    static const struct slice names[TRANSPORT_COUNT] = {
        [TRANSPORT_TCP] = S("/tcp"),
        [TRANSPORT_TLS] = S("/tls"),
        [TRANSPORT_WS] = S("/ws"),
        [TRANSPORT_WSS] = S("/wss"),
    };
    char text[NETADDR_TEXT + 8], why[256];
    struct writer w = writer_over(text, sizeof text);
    bool may_lack = streams->plan.may_lack[transport];

    netaddr_write(&w, address);
    write_slice(&w, names[transport]);
    if (error == EADDRINUSE)
        snprintf(why, sizeof why,
                 " is in use: stop the other server or choose another port with %s%s",
                 transport == TRANSPORT_TCP ? "-P" : names[transport].at + 1,
                 transport == TRANSPORT_TCP ? "" : "-port in <stack>");
    else if (error == EADDRNOTAVAIL)
        snprintf(why, sizeof why, ": this machine has no such address; choose another with -A");
    else
        snprintf(why, sizeof why, " cannot be opened: %s", strerror(error));
    log_line(streams->log, may_lack ? LOG_WARNING : LOG_FAILURE, "%.*s%s%s%s%s", (int)w.len, text,
             why, may_lack ? "; until then there is no " : "",
             may_lack ? transport_name(transport).at : "", may_lack ? " there" : "");
}

static bool add_listener(struct streams *streams, enum transport transport,
                         const union netaddr *address)
{
    unsigned n = streams->listener_count;
    struct listener *listener = &streams->listeners[n];
    struct writer host = writer_over(listener->host, sizeof listener->host);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = n | LISTENER};
    int fd = tcp_listen(address);

    if (fd < 0) {
        say_listen(streams, transport, address, -fd);
        return streams->plan.may_lack[transport];
    }
    if (epoll_ctl(streams->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        return false;
    }
    netaddr_write_host(&host, address);
    listener->descriptor = fd;
    listener->transport = transport;
    listener->address = *address;
    streams->settings[n] =
        (struct socket_settings){transport, writer_slice(&host), streams->plan.ports[transport]};
    streams->listener_count++;
    return true;
}

static bool listen_by(struct streams *streams, enum transport transport)
{
    union netaddr found[LOCAL_LIMIT];
    struct slice bad;
    uint16_t port = streams->plan.ports[transport];
    int count = netaddr_list_local(streams->plan.interface, port, found, &bad);

    if (bad.len || count <= 0) {
        log_line(streams->log, LOG_FAILURE,
                 "no address to listen on: write an address of this machine, or * for all of them");
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!add_listener(streams, transport, &found[i]))
            return false;
    return true;
}

static bool listen_all(struct streams *streams)
{
    for (enum transport transport = 0; transport < TRANSPORT_COUNT; transport++)
        if (streams->plan.ports[transport] && !listen_by(streams, transport))
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
    streams->framed = reserve(FRAMED_ROOM);
    if (!streams->at || !streams->held || !streams->queues || !streams->host_memory ||
        !streams->scratch || !streams->framed)
        return false;
    struct arena arena = arena_over(streams->host_memory, table);
    table_init(&streams->by_host, &arena, (uint32_t)streams->places, streams->at,
               sizeof *streams->at, offsetof(struct stream, by_host));
    return true;
}

/* Those between streams of the last run.  The lowest are taken first: few pages are touched. */
static void free_places(struct streams *streams)
{
    for (uint32_t place = streams->unused - 1; place; place--) {
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
    streams->unused = 1;
    streams->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (streams->epoll < 0 || !make_places(streams)) {
        log_line(log, LOG_FAILURE, "no memory for connections");
        streams_close(streams);
        return NULL;
    }
    if (!listen_all(streams)) {
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
        if (stream->channel) {
            stream->channel->kind->end(stream->channel);
            stream->channel->kind->drop(stream->channel);
        }
        if (!stream->is_kept)
            shutdown(stream->descriptor, SHUT_RDWR);
        close(stream->descriptor);
    }
    for (unsigned i = 0; i < streams->listener_count; i++)
        close(streams->listeners[i].descriptor);
    if (streams->epoll >= 0)
        close(streams->epoll);
    give_back(streams->at, count * sizeof *streams->at);
    give_back(streams->held, count * HELD_ROOM);
    give_back(streams->queues, count * STREAM_QUEUE);
    give_back(streams->host_memory, table_bytes((uint32_t)streams->places) + 64);
    give_back(streams->scratch, READ_ROOM);
    give_back(streams->framed, FRAMED_ROOM);
    free(streams);
}
