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

/* The TCP socket whose address a connection has; NULL if there is none any more. */
static const struct own_socket *listener_of(const struct streams *streams, int fd)
{
    const struct sockets *sockets = streams->plan.sockets;
    union netaddr own = {0};
    socklen_t len = sizeof own;

    if (getsockname(fd, &own.any, &len) < 0)
        return NULL;
    for (unsigned i = 0; i < sockets->count; i++)
        if (sockets->at[i].descriptor >= 0 && sockets->at[i].transport == TRANSPORT_TCP &&
            netaddr_same_host(&own, &sockets->at[i].address))
            return &sockets->at[i];
    return NULL;
}

static void adopt(struct streams *streams, int fd, uint32_t connection)
{
    uint32_t place = connection_place(connection);
    const struct own_socket *listener = listener_of(streams, fd);
    struct stream *stream = &streams->at[place];
    union netaddr peer = {0};
    socklen_t len = sizeof peer;

    if (place && place <= streams->plan.accepted && stream->state == STREAM_FREE && listener &&
        getpeername(fd, &peer.any, &len) == 0) {
        stream->flow =
            (struct flow){.transport = TRANSPORT_TCP,
                          .socket = (uint16_t)socket_number(streams->plan.sockets, listener),
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
    return streams;
}

void streams_adopt(struct streams *streams)
{
    notify_take_stored(adopt_named, streams);
    free_places(streams);
}

void streams_listen(struct streams *streams, unsigned number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = number | LISTENER};

    if (epoll_ctl(streams->epoll, EPOLL_CTL_ADD, streams->plan.sockets->at[number].descriptor,
                  &event) < 0)
        log_line(streams->log, LOG_FAILURE, "%s: nothing is accepted there: %s",
                 streams->plan.sockets->at[number].host, strerror(errno));
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
