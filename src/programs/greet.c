#include "programs/greet.h"

#include "shell/clock.h"
#include "shell/netaddr.h"
#include "sip/message.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE MS(4000) /* RFC 3261 waits 32 s; who needs more than this is no server */
#define ANSWER_ROOM 8192u

struct greeter {
    int fd;
    bool is_stream;
    instant end;
    size_t len;
    char answer[ANSWER_ROOM];
};

static int connect_to(const struct flow *place)
{
    union netaddr address = netaddr_of_flow(place);
    bool is_stream = place->transport != TRANSPORT_UDP;
    int fd = socket(address.any.sa_family,
                    (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, &address.any, netaddr_length(&address)) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* Ready for this within so many ms at most; false if it is not. */
static bool await(const struct greeter *g, short events, int most)
{
    struct pollfd wait = {.fd = g->fd, .events = events};
    instant now = clock_now().boot;
    int left = now < g->end ? (int)((g->end - now) / MS(1)) + 1 : 0;

    return poll(&wait, 1, left < most ? left : most) > 0;
}

static int pending_error(const struct greeter *g)
{
    int error = 0;
    socklen_t size = sizeof error;

    getsockopt(g->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

static size_t compose(const struct greeter *g, const char *domain, char *text, size_t room)
{
    static const char *const names[] = {"UDP", "TCP"};
    union netaddr local;
    socklen_t size = sizeof local;
    char host[NETADDR_TEXT];
    struct writer w = writer_over(host, sizeof host - 1);
    unsigned long long salt;

    getsockname(g->fd, &local.any, &size);
    netaddr_write(&w, &local);
    host[w.len] = '\0';
    if (getrandom(&salt, sizeof salt, 0) < 0)
        salt = clock_now().boot;
    int len =
        snprintf(text, room,
                 "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%llx;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:check@%s>;tag=%llx\r\nTo: <sip:%s>\r\n"
                 "Call-ID: %llx\r\nCSeq: 1 OPTIONS\r\nContact: <sip:check@%s>\r\n"
                 "Accept: application/sdp\r\nUser-Agent: sipwitch check\r\n"
                 "Content-Length: 0\r\n\r\n",
                 domain, names[g->is_stream], host, salt, host, salt + 1, domain, salt + 2, host);
    return (size_t)len < room ? (size_t)len : room;
}

/* What has come, up to the end of a head; false once that is there, or nothing more comes. */
static bool read_more(struct greeter *g)
{
    ssize_t got = recv(g->fd, g->answer + g->len, sizeof g->answer - 1 - g->len, 0);

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    g->len += (size_t)got;
    g->answer[g->len] = '\0';
    return got > 0 && g->is_stream && !strstr(g->answer, "\r\n\r\n") &&
           g->len < sizeof g->answer - 1;
}

static int64_t read_date(struct slice value)
{
    char text[64];
    struct tm when = {0};

    snprintf(text, sizeof text, "%.*s", (int)value.len, value.at);
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S", &when);
    return end ? (int64_t)timegm(&when) : 0;
}

static int64_t find_date(const char *head)
{
    const char *line = strcasestr(head, "\r\nDate:");

    return line ? read_date(slice_trim(slice_of(line + 7, strcspn(line + 7, "\r")))) : 0;
}

static struct greeting judge(const struct greeter *g)
{
    struct greeting said = {.end = g->len ? GREETING_STRANGE : GREETING_SILENT};
    char *end;

    if (strncmp(g->answer, "SIP/2.0 ", 8) != 0)
        return said;
    unsigned long status = strtoul(g->answer + 8, &end, 10);
    if (status < 100 || status > 699 || *end != ' ')
        return said;
    said.end = GREETING_ANSWERED;
    said.status = (unsigned)status;
    snprintf(said.reason, sizeof said.reason, "%.*s", (int)strcspn(end + 1, "\r\n"), end + 1);
    said.clock = find_date(g->answer);
    return said;
}

static struct greeting fail(int error)
{
    bool is_refused = error == ECONNREFUSED || error == ECONNRESET || error == EPIPE;
    bool is_late = error == ETIMEDOUT;

    return (struct greeting){.end = is_refused ? GREETING_REFUSED
                                    : is_late  ? GREETING_SILENT
                                               : GREETING_UNREACHABLE,
                             .error = error};
}

/* A provisional response is no answer yet. */
static bool is_over(struct greeter *g)
{
    if (strncmp(g->answer, "SIP/2.0 1", 9) != 0)
        return true;
    g->len = 0;
    return false;
}

/* Over datagrams sent again, each time after twice as long (17.1.2.2). */
static struct greeting converse(struct greeter *g, const char *domain)
{
    char text[2048];
    int gap = 500;

    if (g->is_stream && !await(g, POLLOUT, 4000))
        return fail(ETIMEDOUT);
    int error = pending_error(g);
    if (error)
        return fail(error);
    size_t len = compose(g, domain, text, sizeof text);
    while (clock_now().boot < g->end) {
        bool sends = !g->is_stream || gap == 500;
        if (sends && send(g->fd, text, len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            return fail(errno);
        while (await(g, POLLIN, gap)) {
            error = pending_error(g);
            if (error)
                return fail(error);
            if (!read_more(g) && is_over(g))
                return judge(g);
        }
        gap *= 2;
    }
    return judge(g);
}

struct greeting greet(const struct flow *place, const char *domain)
{
    struct greeter g = {.is_stream = place->transport != TRANSPORT_UDP,
                        .end = clock_now().boot + PATIENCE};

    g.fd = connect_to(place);
    if (g.fd < 0)
        return fail(-g.fd);
    struct greeting said = converse(&g, domain);
    close(g.fd);
    return said;
}
