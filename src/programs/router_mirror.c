#include "programs/router_mirror.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE MS(500) /* RFC 8489 6.2.1, then twice that, and so on */
#define TRIES 4u
#define AGAIN SECONDS(30)

static void fail(struct mirror *mirror, const char *why, instant now)
{
    mirror->is_silent = true;
    mirror->why = why;
    mirror->tries = 0;
    mirror->due = now + AGAIN;
}

static void close_socket(struct mirror *mirror)
{
    if (mirror->fd >= 0)
        close(mirror->fd);
    mirror->fd = -1;
}

void mirror_begin(struct mirror *mirror, const char *server, instant now)
{
    *mirror = (struct mirror){.fd = -1, .is_wanted = server[0], .due = server[0] ? now : NEVER};
    snprintf(mirror->server, sizeof mirror->server, "%s", server);
}

void mirror_end(struct mirror *mirror)
{
    close_socket(mirror);
    mirror->is_wanted = false;
    mirror->due = NEVER;
}

/* NULL if there is none, and then `why`.  Its name is looked up each time: it may have moved. */
static struct addrinfo *look_up(const struct mirror *mirror, const char **why)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
    char host[ROUTER_STUN], port[8];
    const char *colon = strrchr(mirror->server, ':');
    struct addrinfo *found = NULL;
    int error;

    snprintf(port, sizeof port, "%.5s", colon ? colon + 1 : "");
    if (!colon)
        snprintf(port, sizeof port, "%u", STUN_PORT);
    snprintf(host, sizeof host, "%.*s",
             (int)(colon ? (size_t)(colon - mirror->server) : strlen(mirror->server)),
             mirror->server);
    error = getaddrinfo(host, port, &hints, &found);
    *why = error ? gai_strerror(error) : NULL;
    return error ? NULL : found;
}

static bool open_socket(struct mirror *mirror, instant now)
{
    const char *why;
    struct addrinfo *found = look_up(mirror, &why);
    bool is_open;

    close_socket(mirror);
    if (!found) {
        fail(mirror, why, now);
        return false;
    }
    mirror->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    is_open = mirror->fd >= 0 && connect(mirror->fd, found->ai_addr, found->ai_addrlen) == 0;
    if (!is_open)
        fail(mirror, strerror(errno), now);
    freeaddrinfo(found);
    return is_open;
}

static void ask(struct mirror *mirror, instant now)
{
    char packet[32];
    struct writer w = writer_over(packet, sizeof packet);

    stun_write(&w, mirror->id);
    if (send(mirror->fd, packet, w.len, 0) < 0 && errno != ECONNREFUSED) {
        fail(mirror, strerror(errno), now);
        return;
    }
    mirror->due = now + (PATIENCE << mirror->tries++);
}

void mirror_step(struct mirror *mirror, instant now)
{
    if (mirror->due > now)
        return;
    if (mirror->tries == TRIES) {
        fail(mirror, "it does not answer", now);
        return;
    }
    if (!mirror->tries) {
        if (getrandom(mirror->id, sizeof mirror->id, 0) != sizeof mirror->id ||
            !open_socket(mirror, now))
            return;
    }
    ask(mirror, now);
}

void mirror_take(struct mirror *mirror, instant now)
{
    char packet[1024];
    ssize_t got = recv(mirror->fd, packet, sizeof packet, MSG_DONTWAIT);
    struct address_bytes address;

    if (got < 0 && errno == ECONNREFUSED && mirror->tries) {
        fail(mirror, strerror(errno), now);
        return;
    }
    if (got <= 0 || !mirror->tries ||
        !stun_read(slice_of(packet, (size_t)got), mirror->id, &address))
        return;
    mirror->address = address;
    mirror->has_address = true;
    mirror->is_silent = false;
    mirror->tries = 0;
    mirror->due = now + AGAIN;
}

bool mirror_is_settled(const struct mirror *mirror)
{
    return !mirror->is_wanted || mirror->has_address || mirror->is_silent;
}
