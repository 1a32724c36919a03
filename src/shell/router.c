#include "shell/router.h"

#include "shell/place.h"
#include "shell/router_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL "3"     /* where the helper finds its socket */
#define AGAIN_SECONDS 5 /* before one that has ended is started once more */

struct router {
    struct log *log;
    struct router_wish wish;
    bool is_wanted;
    bool owes_news; /* the core does not know what is wanted now */
    bool has_told;  /* that it cannot be started, or has ended */
    int channel;    /* -1: there is none; then */
    int timer;      /* says when to start it; -1: never */
    pid_t pid;      /* of the latest, to be waited for; 0 = none */
    struct router_news news;
    struct outside_news outside;
};

struct router *router_create(const struct hash_key *secret, struct log *log)
{
    struct router *router = calloc(1, sizeof *router);
    struct hash_key nonce = hash_derive(secret, S("router"));

    if (!router)
        return NULL;
    *router = (struct router){.log = log, .owes_news = true, .channel = -1, .timer = -1};
    memcpy(router->wish.nonce, &nonce, sizeof router->wish.nonce);
    router->wish.version = ROUTER_WIRE_VERSION;
    return router;
}

/* ---- the helper's life */

static void reap(struct router *router)
{
    if (router->pid && waitpid(router->pid, NULL, WNOHANG) != 0)
        router->pid = 0;
}

static void hang_up(struct router *router)
{
    if (router->channel >= 0)
        close(router->channel);
    router->channel = -1;
    reap(router);
}

static int spawn(const char *program, int channel, pid_t *child)
{
    char *const words[] = {(char[]){"sipw-router"}, (char[]){"--server"}, (char[]){CHANNEL}, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int error;

    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel, 3);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    error = posix_spawnp(child, program, &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -error;
}

static void start_later(struct router *router)
{
    const struct itimerspec wait = {.it_value.tv_sec = AGAIN_SECONDS};

    if (router->timer < 0)
        router->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (router->timer >= 0)
        timerfd_settime(router->timer, 0, &wait, NULL);
}

static void say(struct router *router)
{
    if (router->channel >= 0 && send(router->channel, &router->wish, sizeof router->wish,
                                     MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        /* It has ended, which is seen where it is read. */
    }
}

static void start(struct router *router)
{
    char path[PATH_MAX];
    const char *program = place_program("sipw-router", path);
    int ends[2], error = 0;

    reap(router);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        error = -errno;
    } else {
        router->channel = ends[0];
        error = spawn(program, ends[1], &router->pid);
        close(ends[1]);
    }
    if (!error) {
        say(router);
        return;
    }
    hang_up(router);
    start_later(router);
    if (!router->has_told)
        log_line(router->log, LOG_WARNING,
                 "%s cannot be started: %s; without it the router is not asked for the public "
                 "address",
                 program, strerror(-error));
    router->has_told = true;
}

void router_destroy(struct router *router)
{
    router->wish.is_end = true;
    say(router);
    hang_up(router);
    if (router->timer >= 0)
        close(router->timer);
    free(router);
}

/* ---- what is wanted */

static void add_port(struct router_wish *wish, const struct socket_settings *socket)
{
    uint8_t protocol = socket->transport == TRANSPORT_UDP ? IPPROTO_UDP : IPPROTO_TCP;

    for (unsigned i = 0; i < wish->port_count; i++)
        if (wish->ports[i].port == socket->port && wish->ports[i].protocol == protocol)
            return;
    if (socket->host.at[0] != '[' && wish->port_count < ROUTER_PORTS)
        wish->ports[wish->port_count++] = (struct router_port){socket->port, protocol, 0};
}

static void write_wish(const struct settings *settings, struct router_wish *wish)
{
    const struct media_settings *media = &settings->media;

    wish->asks_router = media->asks_router;
    memcpy(wish->router, media->router.at, sizeof wish->router);
    if (media->has[0])
        memcpy(wish->own, media->own[0].at, sizeof wish->own);
    if (media->mode != MEDIA_NEVER) {
        wish->first_media = media->first_port;
        wish->last_media = media->last_port;
    }
    for (unsigned i = 0; i < settings->socket_count; i++)
        if (!settings->sockets[i].is_gone)
            add_port(wish, &settings->sockets[i]);
    assert(media->stun.len < sizeof wish->stun);
    if (media->stun.len)
        memcpy(wish->stun, media->stun.at, media->stun.len);
}

void router_want(struct router *router, const struct settings *settings)
{
    struct router_wish wish = {.version = ROUTER_WIRE_VERSION};
    bool was_wanted = router->is_wanted;

    memcpy(wish.nonce, router->wish.nonce, sizeof wish.nonce);
    write_wish(settings, &wish);
    if (memcmp(&wish, &router->wish, sizeof wish) == 0 && !router->owes_news)
        return;
    router->wish = wish;
    router->is_wanted = wish.asks_router || wish.stun[0];
    router->news = (struct router_news){.version = ROUTER_WIRE_VERSION};
    router->owes_news = !router->is_wanted || !was_wanted;
    if (router->is_wanted && router->channel < 0)
        start(router);
    else if (router->is_wanted)
        say(router);
    else if (router->channel >= 0) {
        router->wish.is_end = true;
        say(router);
        hang_up(router);
    }
}

/* ---- what it tells */

int router_descriptor(const struct router *router)
{
    return router->channel >= 0 ? router->channel : router->is_wanted ? router->timer : -1;
}

bool router_has_news(const struct router *router)
{
    return router->owes_news;
}

/* The latest that it said; false if it said nothing. */
static bool read_news(struct router *router)
{
    struct router_news news;
    ssize_t got = recv(router->channel, &news, sizeof news, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got == (ssize_t)sizeof news && news.version == ROUTER_WIRE_VERSION &&
        news.by < OUTSIDE_SOURCE_COUNT) {
        router->news = news;
        router->has_told = false;
        return true;
    }
    hang_up(router);
    start_later(router);
    if (!router->has_told)
        log_line(router->log, LOG_WARNING,
                 "the helper at the router has ended; it is started again");
    router->has_told = true;
    return false;
}

static void take_timer(struct router *router)
{
    uint64_t count;

    if (router->is_wanted && router->channel < 0 && router->timer >= 0 &&
        read(router->timer, &count, sizeof count) == sizeof count)
        start(router);
}

bool router_next(struct router *router, struct event *event)
{
    const struct router_news *news = &router->news;
    bool is_first = router->owes_news;

    take_timer(router);
    /* At the start what the last run learnt stands until more is known. */
    if (is_first && router->is_wanted)
        is_first = router->owes_news = false;
    if (!is_first && (router->channel < 0 || !read_news(router)))
        return false;
    router->owes_news = false;
    router->outside = (struct outside_news){
        .is_sought = router->is_wanted,
        .by = news->by,
        .has_address = news->has_address,
        .first_port = news->first_media,
        .last_port = news->last_media,
        .fault = slice_of(news->fault, strnlen(news->fault, sizeof news->fault)),
    };
    memcpy(router->outside.address.at, news->address, sizeof news->address);
    *event = (struct event){.kind = EVENT_OUTSIDE, .outside = &router->outside};
    return true;
}
