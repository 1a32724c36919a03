#include "programs/client.h"

#include "shell/control.h"
#include "shell/place.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_LIMIT (size_t)(1u << 20) /* bytes of an answer's line */

static enum client_status fail(struct client *client, enum client_status status, const char *format,
                               ...) __attribute__((format(printf, 3, 4)));

static enum client_status fail(struct client *client, enum client_status status, const char *format,
                               ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(client->why, sizeof client->why, format, values);
    va_end(values);
    return status;
}

/* ---- connecting */

/* By way of the directory's descriptor: a socket's own name must be short.  -errno on failure. */
static int connect_to(const char *path, int patience)
{
    struct timeval longest = {.tv_sec = patience / 1000, .tv_usec = patience % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    snprintf(folder, sizeof folder, "%.*s/", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return -errno;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length =
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", at, name);
    int error = 0;
    if (fd < 0)
        error = -errno;
    else if (length >= (int)sizeof address.sun_path)
        error = -ENAMETOOLONG;
    else if (patience > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest) < 0)
        error = -errno;
    else if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        error = -errno;
    close(at);
    if (!error)
        return fd;
    if (fd >= 0)
        close(fd);
    return error;
}

static bool is_absent(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
}

/* This user's own server, or else the machine's. */
static int connect_by_default(char path[PATH_MAX], int patience)
{
    place_control(NULL, path);
    int fd = connect_to(path, patience);
    if (!is_absent(fd) || geteuid() == 0)
        return fd;
    int other = connect_to("/run/sipwitch/control", patience);
    if (other >= 0 || !is_absent(other)) {
        snprintf(path, PATH_MAX, "/run/sipwitch/control");
        return other;
    }
    return fd;
}

static enum client_status read_greeting(struct client *client)
{
    json_t *row = NULL;
    enum client_status status = client_row(client, &row);

    if (status != CLIENT_FINE)
        return status;
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    json_int_t version = json_integer_value(json_object_get(row, "version"));
    client->greeting = row;
    if (!protocol || strcmp(protocol, "sipwitch-control") != 0)
        return fail(client, CLIENT_LOST, "this is not the control socket of SIP Witch");
    if (version != CONTROL_VERSION)
        return fail(client, CLIENT_LOST,
                    "the server speaks version %lld of the protocol, and this program %u: use the "
                    "program that came with the server",
                    (long long)version, CONTROL_VERSION);
    return CLIENT_FINE;
}

enum client_status client_connect(struct client *client, const char *path, int patience)
{
    char place[PATH_MAX];

    *client = (struct client){.fd = -1, .patience = patience};
    if (path)
        snprintf(place, sizeof place, "%s", path);
    int fd = path ? connect_to(path, patience) : connect_by_default(place, patience);
    if (is_absent(fd))
        return fail(client, CLIENT_OFFLINE,
                    "the server is not running (nobody answers at %s): start it with sipw(8), or "
                    "say with --socket where it is",
                    place);
    if (fd == -EACCES || fd == -EPERM)
        return fail(client, CLIENT_REFUSED,
                    "you may not speak with the server at %s: only root, its own user and members "
                    "of the group sipadmin may",
                    place);
    if (fd == -EAGAIN)
        return fail(client, CLIENT_TIMED_OUT, "the server at %s does not answer in time", place);
    if (fd < 0)
        return fail(client, CLIENT_OFFLINE, "%s: %s", place, strerror(-fd));
    client->fd = fd;
    return read_greeting(client);
}

void client_leave(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    json_decref(client->greeting);
    free(client->bytes);
}

/* ---- speaking */

enum client_status client_ask(struct client *client, json_t *request)
{
    char *line = json_dumps(request, JSON_COMPACT);
    size_t sent = 0, len = line ? strlen(line) : 0;

    json_decref(request);
    if (!line)
        return fail(client, CLIENT_LOCAL, "the request is no UTF-8 text");
    line[len++] = '\n'; /* in place of the end */
    while (sent < len) {
        ssize_t put = send(client->fd, line + sent, len - sent, MSG_NOSIGNAL);

        if (put < 0 && errno != EINTR)
            break;
        sent += put > 0 ? (size_t)put : 0;
    }
    free(line);
    return sent == len ? CLIENT_FINE : fail(client, CLIENT_LOST, "the server has hung up");
}

static bool make_room(struct client *client)
{
    if (client->start) {
        memmove(client->bytes, client->bytes + client->start, client->len);
        client->start = 0;
    }
    if (client->room - client->len >= 4096)
        return true;
    if (client->room >= LINE_LIMIT)
        return false;
    size_t room = client->room ? 2 * client->room : 16384;
    char *bytes = realloc(client->bytes, room);
    if (!bytes)
        return false;
    client->bytes = bytes;
    client->room = room;
    return true;
}

static enum client_status read_more(struct client *client)
{
    struct pollfd readable = {.fd = client->fd, .events = POLLIN};

    if (!make_room(client))
        return fail(client, CLIENT_LOST, "the server sends a line without an end");
    int ready = poll(&readable, 1, client->patience);
    if (ready == 0)
        return fail(client, CLIENT_TIMED_OUT, "the server does not answer in time");
    ssize_t got = ready < 0 ? -1
                            : recv(client->fd, client->bytes + client->start + client->len,
                                   client->room - client->start - client->len, 0);
    if (got < 0 && errno == EINTR)
        return CLIENT_FINE;
    if (got <= 0)
        return fail(client, CLIENT_LOST, "the server has hung up");
    client->len += (size_t)got;
    return CLIENT_FINE;
}

/* What the server said in place of a row. */
static enum client_status read_end(struct client *client, json_t **row)
{
    const char *error = json_string_value(json_object_get(*row, "error"));
    const char *text = json_string_value(json_object_get(*row, "text"));
    enum client_status status = CLIENT_FINE;

    if (error)
        status = fail(client, CLIENT_REFUSED, "%s", text ? text : error);
    if (error || json_object_get(*row, "done")) {
        json_decref(*row);
        *row = NULL;
    }
    return status;
}

enum client_status client_row(struct client *client, json_t **row)
{
    const char *end = NULL;

    *row = NULL;
    while (!client->len || !(end = memchr(client->bytes + client->start, '\n', client->len))) {
        enum client_status status = read_more(client);
        if (status != CLIENT_FINE)
            return status;
    }
    size_t len = (size_t)(end - client->bytes) - client->start;
    *row = json_loadb(client->bytes + client->start, len, 0, NULL);
    client->start += len + 1;
    client->len -= len + 1;
    if (!json_is_object(*row)) {
        json_decref(*row);
        *row = NULL;
        return fail(client, CLIENT_LOST, "the server's answer cannot be read");
    }
    return read_end(client, row);
}
