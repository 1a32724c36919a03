/* The generator of the bench's rows of connections: clients that open them, do TLS, ask with
   OPTIONS and check the answer.  They come from many loopback addresses, as they would from the
   world, since servers limit what one address may hold.  Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"
#include "scan.h"

enum { EVENTS = 256, REQUEST_MAX = 1024, ANSWER_MAX = 4096, PER_ADDRESS = 200, COMPLAINTS_MAX = 5 };

static const uint64_t SECOND = 1000000000;
static const uint64_t TIMEOUT = 10000000000;

enum peer_state { PEER_NONE, PEER_CONNECTING, PEER_GREETING, PEER_ASKING, PEER_IDLE };

struct peer {
    enum peer_state state;
    int socket;
    SSL *ssl; /* NULL: plain TCP */
    uint32_t cseq;
    instant started; /* of the operation under way */
    size_t answer_length;
    char *answer; /* of ANSWER_MAX bytes, while one is awaited */
};

/* What one operation is. */
enum kind {
    KIND_CONNECT, /* a connection, its handshake, OPTIONS and 200, its end */
    KIND_OPTIONS, /* OPTIONS and 200 on one of the open connections */
    KIND_OPEN,    /* a connection that stays */
};

struct client {
    enum kind kind;
    bool is_plain;
    struct sockaddr_in server;
    uint32_t window, count; /* at a time; connections, in KIND_OPEN */
    double warmup, length;  /* seconds */
    struct meter meter;
    SSL_CTX *context;
    int epoll;
    struct peer *peers;
    uint32_t peer_count;
    uint32_t opened; /* ever, which chooses the address */
    uint32_t complaints;
    struct tally *tally;
    const char *version, *cipher;
};

/* ---- one connection */

static void peer_close(struct peer *peer)
{
    if (peer->ssl) {
        SSL_shutdown(peer->ssl);
        SSL_free(peer->ssl);
    }
    if (peer->socket >= 0)
        close(peer->socket);
    free(peer->answer);
    *peer = (struct peer){.socket = -1};
}

static void client_fail(struct client *client, struct peer *peer, const char *why)
{
    if (client->complaints++ < COMPLAINTS_MAX)
        fprintf(stderr, "bench-streams: %s: %s\n%.*s\n", why, strerror(errno),
                (int)peer->answer_length, peer->answer ? peer->answer : "");
    client->tally->wrong++;
    peer_close(peer);
}

/* Addresses of 127.0.1.0 and up, each with no more than a server would allow one. */
static int client_dial(struct client *client)
{
    uint32_t spread = client->peer_count / PER_ADDRESS + 8;
    struct sockaddr_in local = {.sin_family = AF_INET,
                                .sin_addr.s_addr =
                                    htonl(INADDR_LOOPBACK + 256 + client->opened++ % spread)};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0 ||
        (connect(fd, (struct sockaddr *)&client->server, sizeof client->server) < 0 &&
         errno != EINPROGRESS)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static bool client_open(struct client *client, struct peer *peer, instant now)
{
    *peer = (struct peer){.state = PEER_CONNECTING, .started = now};
    peer->socket = client_dial(client);
    if (peer->socket < 0)
        return false;
    if (!client->is_plain) {
        peer->ssl = SSL_new(client->context);
        if (!peer->ssl || SSL_set_fd(peer->ssl, peer->socket) != 1 ||
            SSL_set_tlsext_host_name(peer->ssl, "bench.test") != 1)
            return false;
        SSL_set_connect_state(peer->ssl);
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                .data.u32 = (uint32_t)(peer - client->peers)};
    return epoll_ctl(client->epoll, EPOLL_CTL_ADD, peer->socket, &event) == 0;
}

static size_t peer_request(const struct client *client, const struct peer *peer, char *bytes)
{
    char name[16];
    struct text number = text_over(name, sizeof name);
    struct text text = text_over(bytes, REQUEST_MAX);
    text_hex(&number, (uint32_t)(peer - client->peers));
    text_hex(&number, peer->cseq);
    text_say(&text, "OPTIONS sip:bench.test SIP/2.0\r\nVia: SIP/2.0/");
    text_say(&text, client->is_plain ? "TCP" : "TLS");
    text_say(&text, " client.bench.example;rport;branch=z9hG4bKbench");
    text_put(&text, name, sizeof name);
    text_say(&text, "\r\nMax-Forwards: 70\r\nFrom: <sip:caller@bench.example>;tag=f");
    text_put(&text, name, sizeof name);
    text_say(&text, "\r\nTo: <sip:bench.test>\r\nCall-ID: ");
    text_put(&text, name, sizeof name);
    text_say(&text, "@bench.example\r\nCSeq: ");
    text_decimal(&text, peer->cseq);
    text_say(&text, " OPTIONS\r\nUser-Agent: bench/1.0\r\nContent-Length: 0\r\n\r\n");
    return text_length(&text);
}

/* One write: a request is far smaller than an empty socket's buffer. */
static bool peer_ask(struct client *client, struct peer *peer)
{
    char bytes[REQUEST_MAX];
    peer->cseq++;
    size_t length = peer_request(client, peer, bytes);
    peer->state = PEER_ASKING;
    peer->answer_length = 0;
    if (!peer->answer)
        peer->answer = malloc(ANSWER_MAX);
    if (!peer->answer)
        return false;
    ssize_t sent = peer->ssl ? SSL_write(peer->ssl, bytes, (int)length)
                             : send(peer->socket, bytes, length, MSG_NOSIGNAL);
    client->tally->sent++;
    return sent == (ssize_t)length;
}

/* The end of the answer, which has no body. */
static bool peer_is_answered(const struct peer *peer)
{
    return peer->answer_length >= 4 &&
           memcmp(peer->answer + peer->answer_length - 4, "\r\n\r\n", 4) == 0;
}

static bool peer_matches(const struct client *client, const struct peer *peer)
{
    struct scan scan;
    char asked[REQUEST_MAX];
    size_t length = peer_request(client, peer, asked);
    struct scan request;
    return scan_message(&scan, peer->answer, peer->answer_length) &&
           scan_message(&request, asked, length) && scan.status == 200 && scan.via_count == 1 &&
           scan.cseq_number == peer->cseq && scan.call_id.length == request.call_id.length &&
           memcmp(scan.call_id.at, request.call_id.at, scan.call_id.length) == 0;
}

/* 1: more came; 0: nothing more now; -1: it has ended. */
static int peer_read(struct peer *peer)
{
    char ignored[512];
    char *to = peer->answer ? peer->answer + peer->answer_length : ignored;
    size_t room = peer->answer ? ANSWER_MAX - peer->answer_length : sizeof ignored;
    if (room == 0)
        return -1;
    if (peer->ssl) {
        int got = SSL_read(peer->ssl, to, (int)room);
        if (got > 0)
            peer->answer_length += peer->answer ? (size_t)got : 0;
        return got > 0 ? 1 : SSL_get_error(peer->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t got = recv(peer->socket, to, room, 0);
    if (got > 0)
        peer->answer_length += peer->answer ? (size_t)got : 0;
    return got > 0 ? 1 : got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* ---- operations */

static void client_conclude(struct client *client, struct peer *peer, instant now)
{
    if (!peer_matches(client, peer)) {
        client_fail(client, peer, "wrong answer");
        return;
    }
    client->tally->done++;
    client->tally->received++;
    latencies_add(&client->tally->latencies, now - peer->started);
    if (client->kind == KIND_CONNECT) {
        peer_close(peer);
        return;
    }
    free(peer->answer);
    peer->answer = NULL;
    peer->state = PEER_IDLE;
}

/* Connected or not is what the first write or handshake will say. */
static void client_greet(struct client *client, struct peer *peer)
{
    int done = peer->ssl ? SSL_do_handshake(peer->ssl) : 1;
    peer->state = PEER_GREETING;
    if (done == 1) {
        if (peer->ssl) {
            client->version = SSL_get_version(peer->ssl);
            client->cipher = SSL_get_cipher_name(peer->ssl);
        }
        if (!peer_ask(client, peer))
            client_fail(client, peer, "cannot be written to");
        return;
    }
    int error = SSL_get_error(peer->ssl, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        client_fail(client, peer, "no handshake");
}

static void client_serve(struct client *client, struct peer *peer, uint32_t events, instant now)
{
    if (peer->state == PEER_CONNECTING && !(events & (EPOLLOUT | EPOLLERR)))
        return;
    if (peer->state == PEER_CONNECTING || peer->state == PEER_GREETING)
        client_greet(client, peer);
    if (peer->state != PEER_ASKING && peer->state != PEER_IDLE)
        return;
    int more;
    while ((more = peer_read(peer)) > 0)
        continue;
    if (peer->state == PEER_ASKING && peer_is_answered(peer))
        client_conclude(client, peer, now);
    else if (more < 0)
        client_fail(client, peer, "the server has closed");
}

/* Begins what is due; false when there is nothing left to begin. */
static bool client_begin(struct client *client, instant now, uint32_t *busy, uint32_t *next)
{
    for (; *busy < client->window && *next < client->peer_count; (*next)++) {
        struct peer *peer = &client->peers[*next];
        if (peer->state != PEER_NONE && peer->state != PEER_IDLE)
            continue;
        bool is_new = peer->state == PEER_NONE;
        peer->started = now;
        client->tally->started++;
        if (is_new ? client_open(client, peer, now) : peer_ask(client, peer))
            (*busy)++;
        else
            client_fail(client, peer, "cannot begin");
    }
    return *next < client->peer_count;
}

static bool peer_is_busy(const struct peer *peer)
{
    return peer->state != PEER_NONE && peer->state != PEER_IDLE;
}

static void client_expire(struct client *client, instant now, uint32_t *busy)
{
    for (uint32_t i = 0; i < client->peer_count; i++) {
        struct peer *peer = &client->peers[i];
        if (!peer_is_busy(peer) || now < peer->started + TIMEOUT)
            continue;
        client->tally->missing++;
        peer_close(peer);
        (*busy)--;
    }
}

/* Goes through the connections once or, with a length of more than 0 ns, again and again for so
   long.  Ends when what was begun has ended. */
static void client_run(struct client *client, uint64_t length, struct tally *tally)
{
    struct epoll_event events[EVENTS];
    uint32_t busy = 0, next = 0;
    bool more = true;

    *tally = (struct tally){0};
    client->tally = tally;
    instant begin = meter_now(), now = begin, expired = begin;
    uint64_t cpu = meter_cpu(&client->meter);
    while (more || busy) {
        if (more)
            more = client_begin(client, now, &busy, &next);
        if (!more && length && now - begin < length) {
            next = 0;
            more = true;
        }
        more &= !length || now - begin < length;
        int count =
            epoll_wait(client->epoll, events, EVENTS, more && busy < client->window ? 0 : 10);
        now = meter_now();
        for (int i = 0; i < count; i++) {
            struct peer *peer = &client->peers[events[i].data.u32];
            bool was_busy = peer_is_busy(peer);
            client_serve(client, peer, events[i].events, now);
            busy -= was_busy && !peer_is_busy(peer);
        }
        if (now - expired >= SECOND / 10) {
            client_expire(client, now, &busy);
            expired = now;
        }
    }
    tally->elapsed = meter_now() - begin;
    tally->cpu = meter_cpu(&client->meter) - cpu;
}

static void client_tell(const struct client *client, const struct tally *tally)
{
    printf("\"version\": \"%s\", \"cipher\": \"%s\", \"samples\": [",
           client->version ? client->version : "", client->cipher ? client->cipher : "");
    report_tally(tally);
    printf("]");
}

static void client_measure(struct client *client)
{
    static struct tally tally;
    if (client->kind == KIND_OPTIONS)
        client_run(client, 0, &tally); /* opens them */
    client_run(client, (uint64_t)(client->warmup * (double)SECOND), &tally);
    client_run(client, (uint64_t)(client->length * (double)SECOND), &tally);
    client_tell(client, &tally);
}

/* A twentieth is opened first, so that what the server needs once is there.  At the end each must
   still answer. */
static void client_fill(struct client *client)
{
    static struct tally opening, asking;
    uint32_t all = client->peer_count;
    client->peer_count = all / 20;
    client_run(client, 0, &opening);
    uint64_t before = meter_memory(&client->meter);
    client->peer_count = all;
    client_run(client, 0, &opening);
    client_run(client, 0, &asking);
    uint64_t after = meter_memory(&client->meter);
    printf("\"before\": %llu, \"after\": %llu, \"connections\": %u, \"opening\": ",
           (unsigned long long)before, (unsigned long long)after, all - all / 20);
    report_tally(&opening);
    printf(", ");
    client_tell(client, &asking);
}

/* ---- the program */

static const struct option LONG_OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"kind", required_argument, NULL, 'k'},
    {"pids", required_argument, NULL, 'i'},
    {"window", required_argument, NULL, 'w'},
    {"count", required_argument, NULL, 'n'},
    {"warmup", required_argument, NULL, 'u'},
    {"length", required_argument, NULL, 'l'},
    {"plain", no_argument, NULL, 't'},
    {NULL, 0, NULL, 0},
};

static bool client_kind(struct client *client, const char *name)
{
    static const char *const NAMES[] = {"connect", "options", "open"};
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        client->kind = (enum kind)i;
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    }
    return false;
}

static bool client_arguments(struct client *client, int argc, char **argv)
{
    *client = (struct client){.window = 32, .length = 5};
    client->server =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int c; (c = getopt_long(argc, argv, "", LONG_OPTIONS, NULL)) != -1;) {
        switch (c) {
        case 'p': client->server.sin_port = htons((uint16_t)atoi(optarg)); break;
        case 'k':
            if (!client_kind(client, optarg))
                return false;
            break;
        case 'i': meter_add(&client->meter, optarg); break;
        case 'w': client->window = (uint32_t)atoi(optarg); break;
        case 'n': client->count = (uint32_t)atoi(optarg); break;
        case 'u': client->warmup = atof(optarg); break;
        case 'l': client->length = atof(optarg); break;
        case 't': client->is_plain = true; break;
        default: return false;
        }
    }
    client->peer_count = client->kind == KIND_OPEN ? client->count : client->window;
    return client->server.sin_port && client->meter.process_count && client->window;
}

static bool client_prepare(struct client *client)
{
    struct rlimit files = {client->peer_count + 64, client->peer_count + 64};
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur < files.rlim_cur &&
        setrlimit(RLIMIT_NOFILE, &files) < 0)
        return false;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to what the server has closed */
    client->peers = calloc(client->peer_count, sizeof *client->peers);
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->context = SSL_CTX_new(TLS_client_method());
    if (!client->peers || client->epoll < 0 || !client->context)
        return false;
    /* Every handshake is a whole one; who the server is does not matter here. */
    SSL_CTX_set_session_cache_mode(client->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(client->context, SSL_MODE_RELEASE_BUFFERS);
    return true;
}

int main(int argc, char **argv)
{
    static struct client client;
    if (!client_arguments(&client, argc, argv)) {
        fprintf(stderr, "usage: bench-streams --port N --pids N,N --kind connect|options|open "
                        "[--plain] [--window N] [--count N] [--warmup S] [--length S]\n");
        return 2;
    }
    if (!client_prepare(&client)) {
        fprintf(stderr, "bench-streams: %s\n", strerror(errno));
        return 1;
    }
    printf("{");
    if (client.kind == KIND_OPEN)
        client_fill(&client);
    else
        client_measure(&client);
    printf("}\n");
    return 0;
}
