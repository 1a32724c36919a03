/*
 * sipquery: asks a SIP server where a user is registered (a REGISTER without Contact, RFC 3261
 * 10.2.3), or, without a user, whether it answers (OPTIONS, 11).
 */
#include "base/json.h"
#include "programs/columns.h"
#include "programs/options.h"
#include "programs/secret.h"
#include "shell/clock.h"
#include "shell/digests.h"
#include "shell/netaddr.h"
#include "shell/state.h"
#include "shell/trace.h"
#include "sip/address.h"
#include "sip/challenge.h"
#include "sip/message.h"
#include "sip/via.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define T1 500u /* ms: 17.1.2.1 */
#define T2 4000u

enum query_status {
    QUERY_FINE,
    QUERY_REFUSED,   /* a final response that is no success */
    QUERY_TIMED_OUT, /* none at all */
    QUERY_FAILED,    /* wrong words, no such host, no network */
};

enum option_code { OPTION_SERVER = 256, OPTION_PROXY, OPTION_FORWARD, OPTION_STDIN, OPTION_JSON };

static const struct option_row option_rows[] = {
    {OPTION_SERVER, "server", "HOST[:PORT]", "ask this one, not the user's domain"},
    {OPTION_PROXY, "proxy", "HOST[:PORT]", "send by way of this one"},
    {'p', "port", "PORT", "send from this port (default: any)"},
    {'t', "timeout", "SECONDS", "wait so long for an answer (default: 5)"},
    {OPTION_STDIN, "stdin", NULL, "read the user's password from standard input"},
    {OPTION_JSON, "json", NULL, "print the answer as JSON, an object a line"},
    {'q', "quiet", NULL, "print nothing; the exit status says it"},
    {'v', "verbose", NULL, "print the messages that are sent and received"},
    {OPTION_FORWARD, "forward", "ADDRESS", "accepted, without effect"},
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "sipquery",
    .synopsis = "[USER[@SERVER[:PORT]]]",
    .about =
        "Asks a SIP server where a user is registered, or, without a user, whether it answers.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

struct query {
    const char *home;             /* HOST[:PORT] of the domain that is asked, as written */
    const char *server;           /* where it is asked */
    const char *proxy;            /* by way of which */
    unsigned local_port, timeout; /* seconds */
    bool is_quiet, is_verbose, is_json, has_secret;
    char user[256], domain[256];
    char secret[SECRET_LIMIT];

    int fd;
    char own[NETADDR_TEXT];
    uint64_t tag, call;
    unsigned cseq;
    char request[4096];
    size_t request_len;
    char response[65536];
    struct message message; /* the final response */
    duration took;
};

/* ---- where to */

/* "sip:user@host:port" in all its shorter forms. */
static bool read_user(struct query *query, const char *text)
{
    if (strncmp(text, "sip:", 4) == 0)
        text += 4;
    size_t user = strcspn(text, "@");
    const char *host = text[user] ? text + user + 1 : NULL;

    if (!user || user >= sizeof query->user || (host && !*host))
        return false;
    snprintf(query->user, sizeof query->user, "%.*s", (int)user, text);
    for (const char *c = query->user; *c; c++)
        if ((unsigned char)*c <= ' ' || strchr("<>\"@", *c))
            return false;
    query->home = host;
    return true;
}

/* Splits HOST[:PORT]; an IPv6 address with a port is in brackets. */
static bool split(const char *text, char host[256], char port[8])
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *colon = strchr(end ? end : text, ':');
    size_t len;

    if (text[0] == '[' && !end)
        return false;
    if (!end && colon && strchr(colon + 1, ':'))
        colon = NULL; /* an IPv6 address alone */
    len = end ? (size_t)(end - text - 1) : colon ? (size_t)(colon - text) : strlen(text);
    if (!len || len >= 256 || (end && end[1] && end[1] != ':'))
        return false;
    snprintf(host, 256, "%.*s", (int)len, text + (end != NULL));
    snprintf(port, 8, "%s", colon ? colon + 1 : "5060");
    return port[0] != '\0' && strspn(port, "0123456789") == strlen(port);
}

static int open_socket(struct query *query, const struct addrinfo *to)
{
    union netaddr own = {.any.sa_family = (sa_family_t)to->ai_family};
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (to->ai_family == AF_INET6)
        own.v6.sin6_port = htons((uint16_t)query->local_port);
    else
        own.v4.sin_port = htons((uint16_t)query->local_port);
    if (fd >= 0 && bind(fd, &own.any, netaddr_length(&own)) == 0 &&
        connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return fd;
    int error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

static bool reach(struct query *query)
{
    const char *where = query->proxy ? query->proxy : query->server;
    struct addrinfo wanted = {.ai_socktype = SOCK_DGRAM}, *found;
    char host[256], port[8];
    union netaddr own;
    socklen_t size = sizeof own;

    if (!split(where, host, port)) {
        complain(&program, "%s is no server; write HOST or HOST:PORT", where);
        return false;
    }
    int error = getaddrinfo(host, port, &wanted, &found);
    if (error) {
        complain(&program, "%s: %s", host, gai_strerror(error));
        return false;
    }
    query->fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *to = found; to && query->fd < 0; to = to->ai_next)
        query->fd = open_socket(query, to);
    freeaddrinfo(found);
    if (query->fd < 0 || getsockname(query->fd, &own.any, &size) < 0) {
        complain(&program, "%s cannot be reached: %s", where,
                 strerror(query->fd < 0 ? -query->fd : errno));
        return false;
    }
    struct writer w = writer_over(query->own, sizeof query->own - 1);
    netaddr_write(&w, &own);
    query->own[w.len] = '\0';
    if (split(query->home, query->domain, port))
        return true;
    complain(&program, "%s is no domain; write HOST or HOST:PORT", query->home);
    return false;
}

/* ---- requests */

static struct slice method_text(const struct query *query)
{
    return query->user[0] ? S("REGISTER") : S("OPTIONS");
}

/* The Request-URI: the domain, with brackets and port as they were written. */
static void write_target(const struct query *query, struct writer *w)
{
    write_slice(w, S("sip:"));
    write_slice(w, slice_text(query->home));
}

static void write_aor(const struct query *query, struct writer *w)
{
    bool is_v6 = strchr(query->domain, ':') != NULL;

    write_slice(w, S("<sip:"));
    write_slice(w, slice_text(query->user[0] ? query->user : "sipquery"));
    write_slice(w, is_v6 ? S("@[") : S("@"));
    write_slice(w, slice_text(query->domain));
    write_slice(w, is_v6 ? S("]>") : S(">"));
}

static void compose(struct query *query, struct slice authorization)
{
    struct writer w = writer_over(query->request, sizeof query->request);
    uint64_t branch;

    random_fill(&branch, sizeof branch);
    query->cseq++;
    write_slice(&w, method_text(query));
    write_char(&w, ' ');
    write_target(query, &w);
    write_slice(&w, S(" SIP/2.0\r\nVia: SIP/2.0/UDP "));
    write_slice(&w, slice_text(query->own));
    write_slice(&w, S(";rport;branch=" BRANCH_COOKIE));
    write_hex(&w, branch, 16);
    write_slice(&w, S("\r\nMax-Forwards: 70\r\nFrom: "));
    write_aor(query, &w);
    write_slice(&w, S(";tag="));
    write_hex(&w, query->tag, 16);
    write_slice(&w, S("\r\nTo: "));
    if (query->user[0]) {
        write_aor(query, &w);
    } else {
        write_char(&w, '<');
        write_target(query, &w);
        write_char(&w, '>');
    }
    write_slice(&w, S("\r\nCall-ID: "));
    write_hex(&w, query->call, 16);
    write_slice(&w, S("\r\nCSeq: "));
    write_number(&w, query->cseq);
    write_char(&w, ' ');
    write_slice(&w, method_text(query));
    write_slice(&w, S("\r\nUser-Agent: sipquery\r\n"));
    write_slice(&w, authorization);
    write_slice(&w, S("Content-Length: 0\r\n\r\n"));
    assert(!w.failed);
    query->request_len = w.len;
}

/* ---- the transaction */

static void show(const struct query *query, const char *way, struct slice bytes)
{
    static char copy[65536];

    if (!query->is_verbose)
        return;
    memcpy(copy, bytes.at, min_u64(bytes.len, sizeof copy));
    bytes = slice_of(copy, trace_blank(copy, min_u64(bytes.len, sizeof copy)));
    printf("%s\n", way);
    while (bytes.len) {
        size_t end = slice_find(bytes, '\n');
        char line[2048], plain[2048];
        snprintf(line, sizeof line, "%.*s", (int)end, bytes.at);
        line[strcspn(line, "\r")] = '\0';
        printf("    %s\n", plain_text(line, plain, sizeof plain));
        bytes = slice_from(bytes, end < bytes.len ? end + 1 : end);
    }
}

/* True when it is the final response to our request. */
static bool take_response(struct query *query, size_t len)
{
    struct fault fault = message_parse(slice_of(query->response, len), &query->message);
    const struct message *m = &query->message;

    if (fault.status || m->is_request || m->cseq.number != query->cseq)
        return false;
    show(query, "received", m->bytes);
    return m->status >= 200;
}

/* 17.1.2: sends it again and again, more and more seldom, until the answer comes.  1 when it did, 0
 * when none came in time, and -errno when none can. */
static int exchange(struct query *query, instant end)
{
    instant begin = clock_now().boot, resend_at = begin;
    unsigned wait = T1;

    for (;;) {
        instant now = clock_now().boot;
        struct pollfd readable = {.fd = query->fd, .events = POLLIN};

        if (now >= end)
            return 0;
        if (now >= resend_at) {
            show(query, "sent", slice_of(query->request, query->request_len));
            if (send(query->fd, query->request, query->request_len, 0) < 0 &&
                errno != ECONNREFUSED && errno != EAGAIN)
                return -errno;
            resend_at = now + MS(wait);
            wait = (unsigned)min_u64(2 * wait, T2);
        }
        int left = (int)((min_u64(resend_at, end) - now) / MS(1)) + 1;
        if (poll(&readable, 1, left) <= 0)
            continue;
        ssize_t got = recv(query->fd, query->response, sizeof query->response, 0);
        if (got > 0 && take_response(query, (size_t)got)) {
            query->took = clock_now().boot - begin;
            return 1;
        }
    }
}

/* ---- proving who we are */

/* A parameter of a challenge, without its quotes; empty if it is not there. */
static struct slice challenge_param(struct slice challenge, struct slice name)
{
    struct slice item;

    while (list_next(&challenge, &item)) {
        size_t equals = slice_find(item, '=');
        if (equals == item.len || !slice_equal_nocase(slice_trim(slice_until(item, equals)), name))
            continue;
        struct slice value = slice_trim(slice_from(item, equals + 1));
        if (value.len >= 2 && value.at[0] == '"')
            value = slice_of(value.at + 1, value.len - 2);
        return value;
    }
    return NO_SLICE;
}

/* The first challenge that we can answer, past its scheme. */
static bool find_challenge(const struct message *m, struct slice *challenge,
                           enum algorithm *algorithm)
{
    for (unsigned i = m->first[HEADER_WWW_AUTHENTICATE]; i; i = m->fields[i].next) {
        struct slice value = message_value(m, i);
        if (value.len < 7 || !slice_equal_nocase(slice_until(value, 7), S("Digest ")))
            continue;
        *challenge = slice_from(value, 7);
        struct slice name = challenge_param(*challenge, S("algorithm"));
        for (unsigned a = 0; a < ALGORITHM_COUNT; a++)
            if (slice_equal_nocase(name.len ? name : S("MD5"), algorithm_name(a))) {
                *algorithm = (enum algorithm)a;
                return true;
            }
    }
    return false;
}

static void write_param(struct writer *w, struct slice name, struct slice value)
{
    write_slice(w, name);
    write_slice(w, S("=\""));
    write_slice(w, value);
    write_slice(w, S("\", "));
}

/* Into `text`, which has 2048 bytes. */
static struct slice authorize(const struct query *query, struct slice challenge,
                              enum algorithm algorithm, char *text)
{
    struct writer w = writer_over(text, 2048);
    char uri[300], cnonce[16], response[2 * DIGEST_LIMIT];
    struct writer target = writer_over(uri, sizeof uri), fresh = writer_over(cnonce, sizeof cnonce);
    uint64_t random;
    uint8_t ha1[DIGEST_LIMIT];
    bool has_qop = challenge_param(challenge, S("qop")).len > 0;

    write_target(query, &target);
    random_fill(&random, sizeof random);
    write_hex(&fresh, random, sizeof cnonce);
    struct credentials c = {
        .username = slice_text(query->user),
        .realm = challenge_param(challenge, S("realm")),
        .nonce = challenge_param(challenge, S("nonce")),
        .uri = writer_slice(&target),
        .algorithm = algorithm,
        .qop = has_qop ? S("auth") : NO_SLICE,
        .cnonce = has_qop ? writer_slice(&fresh) : NO_SLICE,
        .nc = 1,
        .nc_text = S("00000001"),
    };
    digest_ha1(&digests_openssl, algorithm, c.username, c.realm, slice_text(query->secret), ha1);
    digest_response(&digests_openssl, &c, ha1, method_text(query), NO_SLICE, response);
    explicit_bzero(ha1, sizeof ha1);
    write_slice(&w, S("Authorization: Digest "));
    write_param(&w, S("username"), c.username);
    write_param(&w, S("realm"), c.realm);
    write_param(&w, S("nonce"), c.nonce);
    write_param(&w, S("uri"), c.uri);
    if (challenge_param(challenge, S("opaque")).at)
        write_param(&w, S("opaque"), challenge_param(challenge, S("opaque")));
    write_param(&w, S("response"), slice_of(response, 2 * digest_size(algorithm)));
    if (has_qop) {
        write_param(&w, S("cnonce"), c.cnonce);
        write_slice(&w, S("qop=auth, nc=00000001, "));
    }
    write_slice(&w, S("algorithm="));
    write_slice(&w, algorithm_name(algorithm));
    write_slice(&w, S("\r\n"));
    return w.failed ? NO_SLICE : writer_slice(&w);
}

/* ---- the whole */

static void print_row(struct writer *w)
{
    json_end(w);
    if (!w->failed)
        printf("%.*s\n", (int)w->len, w->at);
}

/* `expires` is null where the server says nothing of it. */
static void print_contact(const struct query *query, const struct address *contact)
{
    char uri[2048], plain[2048], row[8192];
    struct writer w = writer_over(row, sizeof row);
    struct slice expires;
    bool has_expires = param_find(contact->params, S("expires"), &expires);
    uint64_t seconds;

    if (query->is_json) {
        json_begin(&w);
        json_text(&w, S("contact"), contact->uri);
        if (has_expires && slice_number(expires, UINT32_MAX, &seconds))
            json_number(&w, S("expires"), seconds);
        else
            json_null(&w, S("expires"));
        print_row(&w);
        return;
    }
    snprintf(uri, sizeof uri, "%.*s", (int)contact->uri.len, contact->uri.at);
    printf("%s", plain_text(uri, plain, sizeof plain));
    if (has_expires)
        printf("  %.*s s", (int)min_u64(expires.len, 10), expires.at);
    putchar('\n');
}

static void print_contacts(const struct query *query, const struct message *m)
{
    for (unsigned i = m->first[HEADER_CONTACT]; i; i = m->fields[i].next) {
        struct slice rest = message_value(m, i);
        struct address contact;
        while (rest.len && address_next(&rest, &contact))
            print_contact(query, &contact);
    }
}

/* What the answer says, and how fast it was. */
static void print_status(const struct query *query, struct slice reason)
{
    char text[256], plain[256], row[2048];
    struct writer w = writer_over(row, sizeof row);

    if (query->is_json) {
        json_begin(&w);
        json_text(&w, S("server"), slice_text(query->server));
        json_number(&w, S("status"), query->message.status);
        json_text(&w, S("reason"), reason);
        json_number(&w, S("microseconds"), query->took / 1000);
        print_row(&w);
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)reason.len, reason.at);
    printf("%s: %u %s, %.1f ms\n", query->server, query->message.status,
           plain_text(text, plain, sizeof plain), (double)query->took / 1e6);
}

static void print_answer(const struct query *query)
{
    const struct message *m = &query->message;

    if (query->is_quiet)
        return;
    if (query->user[0] && m->status < 300)
        print_contacts(query, m);
    else
        print_status(query, slice_of(m->bytes.at + m->reason.at, m->reason.len));
}

static enum query_status ask(struct query *query)
{
    instant end = clock_now().boot + SECONDS(query->timeout);
    struct slice challenge;
    enum algorithm algorithm;
    char text[2048];

    compose(query, NO_SLICE);
    int answered = exchange(query, end);
    for (unsigned tries = 0; answered == 1 && query->message.status == 401 && query->has_secret &&
                             tries < 2 && find_challenge(&query->message, &challenge, &algorithm);
         tries++) {
        struct slice authorization = authorize(query, challenge, algorithm, text);
        compose(query, authorization);
        answered = exchange(query, end);
    }
    if (answered < 0) {
        complain(&program, "%s: %s", query->server, strerror(-answered));
        return QUERY_FAILED;
    }
    if (answered == 0) {
        if (!query->is_quiet)
            complain(&program, "%s does not answer within %u s", query->server, query->timeout);
        return QUERY_TIMED_OUT;
    }
    print_answer(query);
    if (query->message.status == 401 && !query->has_secret && !query->is_quiet)
        complain(&program, "the server wants the user's password: give it with --stdin");
    return query->message.status < 300 ? QUERY_FINE : QUERY_REFUSED;
}

static bool read_number(const char *name, const char *text, unsigned limit, unsigned *number)
{
    uint64_t n;

    if (slice_number(slice_text(text), limit, &n) && n) {
        *number = (unsigned)n;
        return true;
    }
    complain(&program, "%s %s is not a number from 1 to %u", name, text, limit);
    return false;
}

static bool set_option(struct query *query, int code)
{
    switch (code) {
    case OPTION_SERVER: query->server = optarg; return true;
    case OPTION_PROXY: query->proxy = optarg; return true;
    case OPTION_FORWARD: return true;
    case OPTION_STDIN: query->has_secret = true; return true;
    case 'p': return read_number("--port", optarg, 65535, &query->local_port);
    case 't': return read_number("--timeout", optarg, 3600, &query->timeout);
    case OPTION_JSON: query->is_json = true; return true;
    case 'q': query->is_quiet = true; return true;
    case 'v': query->is_verbose = true; return true;
    default: return false;
    }
}

static const char *without_scheme(const char *server)
{
    return server && strncmp(server, "sip:", 4) == 0 ? server + 4 : server;
}

static bool read_words(struct query *query, int count, char **words)
{
    int code;

    *query = (struct query){
        .server = getenv("SIP_SERVER"), .proxy = getenv("SIP_PROXY"), .timeout = 5, .fd = -1};
    while ((code = options_next(&program, count, words)) != -1)
        if (!set_option(query, code))
            return false;
    query->server = without_scheme(query->server);
    query->proxy = without_scheme(query->proxy);
    if (count - optind > 1 || (count > optind && !read_user(query, words[optind]))) {
        complain(&program, "write one user, like alice@example.org; sipquery --help tells more");
        return false;
    }
    if (!query->server)
        query->server = query->home ? query->home : "127.0.0.1";
    if (!query->home)
        query->home = query->server;
    random_fill(&query->tag, sizeof query->tag);
    random_fill(&query->call, sizeof query->call);
    return true;
}

int main(int count, char **words)
{
    static struct query query;
    enum query_status status = QUERY_FAILED;

    if (!read_words(&query, count, words))
        return QUERY_FAILED;
    const char *why = query.has_secret ? secret_read(query.secret) : NULL;
    if (why)
        complain(&program, "%s", why);
    else if (reach(&query))
        status = ask(&query);
    explicit_bzero(query.secret, sizeof query.secret);
    if (query.fd >= 0)
        close(query.fd);
    return (int)(fflush(stdout) != 0 ? QUERY_FAILED : status);
}
