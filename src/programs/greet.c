#include "programs/greet.h"

#include "shell/clock.h"
#include "shell/netaddr.h"
#include "sip/message.h"

#include <errno.h>
#include <limits.h>
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
    enum transport transport;
    bool is_stream;
    struct shake shake; /* by TLS, else without an ssl */
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

/* ---- octets, or what TLS makes of them */

static ssize_t give(const struct greeter *g, const char *text, size_t len)
{
    if (!g->shake.ssl)
        return send(g->fd, text, len, MSG_NOSIGNAL);
    return SSL_write(g->shake.ssl, text, (int)len); /* a socket's first bytes always have room */
}

/* As recv. */
static ssize_t take(const struct greeter *g, char *at, size_t room)
{
    int got;

    if (!g->shake.ssl)
        return recv(g->fd, at, room, 0);
    got = SSL_read(g->shake.ssl, at, (int)room);
    if (got <= 0 && SSL_get_error(g->shake.ssl, got) == SSL_ERROR_WANT_READ) {
        errno = EAGAIN;
        return -1;
    }
    return got > 0 ? got : 0;
}

/* Ready for this within so many ms at most; false if it is not. */
static bool await(const struct greeter *g, short events, int most)
{
    if (g->shake.ssl && events == POLLIN && SSL_pending(g->shake.ssl))
        return true;
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
    struct slice by = transport_name(g->transport);
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
                 "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%.*s %s;branch=z9hG4bK%llx;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:check@%s>;tag=%llx\r\nTo: <sip:%s>\r\n"
                 "Call-ID: %llx\r\nCSeq: 1 OPTIONS\r\nContact: <sip:check@%s>\r\n"
                 "Accept: application/sdp\r\nUser-Agent: sipwitch check\r\n"
                 "Content-Length: 0\r\n\r\n",
                 domain, (int)by.len, by.at, host, salt, host, salt + 1, domain, salt + 2, host);
    return (size_t)len < room ? (size_t)len : room;
}

/* What has come, up to the end of a head; false once that is there, or nothing more comes. */
static bool read_more(struct greeter *g)
{
    ssize_t got = take(g, g->answer + g->len, sizeof g->answer - 1 - g->len);

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

/* A stream's connection; 0, or an error. */
static int connected(const struct greeter *g)
{
    return g->is_stream && !await(g, POLLOUT, 4000) ? ETIMEDOUT : pending_error(g);
}

static struct greeting unsecured(const char *why)
{
    struct greeting said = {.end = GREETING_UNSECURED};

    snprintf(said.reason, sizeof said.reason, "%s", why);
    return said;
}

/* False if TLS does not come about: `said` is why. */
static bool secure(struct greeter *g, const struct peer_plan *plan, struct greeting *said)
{
    bool is_begun = shake_begin(&g->shake, g->fd, plan);

    *said = unsecured("no memory");
    while (is_begun) {
        enum shake_step step = shake_go_on(&g->shake);
        if (step == SHAKE_DONE)
            return true;
        *said = unsecured(step == SHAKE_FAILED ? g->shake.why : "nothing comes back");
        if (step == SHAKE_FAILED || !await(g, step == SHAKE_WANTS_READ ? POLLIN : POLLOUT, INT_MAX))
            return false;
    }
    return false;
}

/* Over datagrams sent again, each time after twice as long (17.1.2.2). */
static struct greeting converse(struct greeter *g, const char *domain)
{
    char text[2048];
    int gap = 500, error;
    size_t len = compose(g, domain, text, sizeof text);
    while (clock_now().boot < g->end) {
        bool sends = !g->is_stream || gap == 500;
        if (sends && give(g, text, len) < 0 && errno != EAGAIN)
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

static struct greeting approach(struct greeter *g, const char *domain, struct shown *shown)
{
    const struct peer_plan plan = {.domain = slice_text(domain)};
    struct greeting said;
    bool has_shown;
    int error = connected(g);

    if (error)
        return fail(error);
    if (g->transport != TRANSPORT_TLS)
        return converse(g, domain);
    if (!secure(g, &plan, &said))
        return said;
    has_shown = shake_look(&g->shake, plan.domain, shown);
    said = converse(g, domain);
    said.has_shown = has_shown;
    return said;
}

static void begin(struct greeter *g, const struct flow *place)
{
    *g = (struct greeter){.transport = place->transport,
                          .is_stream = place->transport != TRANSPORT_UDP,
                          .end = clock_now().boot + PATIENCE,
                          .fd = connect_to(place)};
}

static void end(struct greeter *g)
{
    shake_end(&g->shake);
    if (g->fd >= 0)
        close(g->fd);
}

struct greeting greet(const struct flow *place, const char *domain, struct shown *shown)
{
    struct greeter g;
    struct greeting said;

    begin(&g, place);
    said = g.fd < 0 ? fail(-g.fd) : approach(&g, domain, shown);
    end(&g);
    return said;
}

bool greet_by_dane(const struct flow *place, const struct peer_plan *plan)
{
    struct greeter g;
    struct greeting said;
    bool ok;

    begin(&g, place);
    ok = g.fd >= 0 && !connected(&g) && secure(&g, plan, &said) && shake_is_by_dane(&g.shake);
    end(&g);
    return ok;
}
