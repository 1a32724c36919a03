#include "shell/control.h"

#include "base/json.h"
#include "shell/clock.h"
#include "shell/order.h"
#include "shell/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OUT_LIMIT (256u << 10) /* bytes that wait for a client */
#define OUT_LOW (64u << 10)    /* below it a listing goes on, and the next request is read */
#define GROUPS_LIMIT 1024u     /* of a client */
#define TURNS 64u              /* connections accepted in one look */
#define ADMIN_GROUP "sipadmin"

enum client_state {
    CLIENT_FREE,
    CLIENT_READY,   /* its next request may be read */
    CLIENT_PENDING, /* its order is for the core */
    CLIENT_ASKED,   /* the core has it */
    CLIENT_WATCHES, /* it is told what happens, or is sent, and asks no more */
    CLIENT_READS,   /* it is sent the trace that was kept */
    CLIENT_LEAVES,  /* nothing but what it was sent keeps it here */
};

struct client {
    enum client_state state;
    int fd;
    uint32_t generation;
    bool has_ended;  /* it will send no more */
    uint32_t events; /* what epoll looks for */
    uint64_t turn;   /* when it last sent something */
    struct order order;
    bool traces;       /* it watches messages, not events */
    uint64_t position; /* in the trace */
    uint64_t lost;     /* lines that it was too slow for */
    size_t in_len;
    char in[ORDER_LIMIT];
    size_t out_at, out_len; /* waiting: from out_at to out_len */
    char *out;              /* OUT_LIMIT bytes */
};

struct control {
    struct log *log;
    struct control_facts facts;
    int64_t started;
    int folder;
    int listener;
    int epoll;
    bool has_group;
    gid_t group; /* ADMIN_GROUP */
    bool is_watch_told, wants_end;
    uint32_t watchers, tracers, pending;
    bool is_recording;
    struct order watch;  /* told to the core when the first begins to watch, and the last ends */
    struct trace *trace; /* while one records or looks on */
    char *row;           /* TRACE_ROW bytes, then */
    uint64_t turns;
    uint32_t next; /* whose turn it is to ask the core */
    struct client clients[CONTROL_CLIENTS];
};

/* ---- sending */

static void drop_client(struct control *control, struct client *client)
{
    if (client->state == CLIENT_PENDING)
        control->pending--;
    if (client->state == CLIENT_WATCHES && client->traces)
        control->tracers--;
    else if (client->state == CLIENT_WATCHES)
        control->watchers--;
    order_free(&client->order); /* it may hold nothing */
    /* A child that was just spawned has the descriptor, too, until it runs its program: so long to
     * close it takes nothing out of epoll, and what is told of it would be for the next client. */
    epoll_ctl(control->epoll, EPOLL_CTL_DEL, client->fd, NULL);
    close(client->fd);
    free(client->out);
    *client = (struct client){.generation = client->generation + 1};
}

static size_t waiting(const struct client *client)
{
    return client->out_len - client->out_at;
}

/* False, and the client is gone, if it has hung up. */
static bool flush_client(struct control *control, struct client *client)
{
    while (waiting(client)) {
        ssize_t sent = send(client->fd, client->out + client->out_at, waiting(client),
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return true;
        if (sent < 0) {
            drop_client(control, client);
            return false;
        }
        client->out_at += (size_t)sent;
    }
    client->out_at = client->out_len = 0;
    return true;
}

/* False if there is no room. */
static bool put(struct client *client, struct slice lines)
{
    if (waiting(client) + lines.len > OUT_LIMIT)
        return false;
    if (client->out_len + lines.len > OUT_LIMIT) {
        memmove(client->out, client->out + client->out_at, waiting(client));
        client->out_len -= client->out_at;
        client->out_at = 0;
    }
    memcpy(client->out + client->out_len, lines.at, lines.len);
    client->out_len += lines.len;
    return true;
}

static void put_error(struct client *client, const char *code, const char *text)
{
    char line[1024];
    struct writer w = writer_over(line, sizeof line);

    json_begin(&w);
    json_text(&w, S("error"), slice_text(code));
    json_text(&w, S("text"), slice_text(text));
    json_end(&w);
    write_char(&w, '\n');
    put(client, writer_slice(&w));
}

static void put_done(struct client *client)
{
    put(client, S("{\"done\":true}\n"));
}

static void put_greeting(const struct control *control, struct client *client)
{
    char line[4 * JSON_TEXT];
    struct writer w = writer_over(line, sizeof line);

    json_begin(&w);
    json_text(&w, S("protocol"), S("sipwitch-control"));
    json_number(&w, S("version"), CONTROL_VERSION);
    json_text(&w, S("server"), slice_text(control->facts.version));
    json_number(&w, S("pid"), (uint64_t)getpid());
    json_number(&w, S("started"), (uint64_t)control->started);
    json_text(&w, S("config"), slice_text(control->facts.config));
    json_text(&w, S("state"), slice_text(control->facts.state));
    json_end(&w);
    write_char(&w, '\n');
    put(client, writer_slice(&w));
}

/* ---- who may */

static bool is_in_group(int fd, gid_t group)
{
    gid_t groups[GROUPS_LIMIT];
    socklen_t size = sizeof groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
        return false;
    for (unsigned i = 0; i < size / sizeof *groups; i++)
        if (groups[i] == group)
            return true;
    return false;
}

static bool may_ask(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid() ||
           (control->has_group && (peer.gid == control->group || is_in_group(fd, control->group)));
}

/* ---- coming */

/* The one that sent nothing for longest, of those who wait for nothing. */
static struct client *longest_idle(struct control *control)
{
    struct client *idle = NULL;

    for (unsigned i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->clients[i];
        if ((client->state == CLIENT_READY || client->state == CLIENT_LEAVES) &&
            (!idle || client->turn < idle->turn))
            idle = client;
    }
    return idle;
}

static struct client *find_place(struct control *control)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i].state == CLIENT_FREE)
            return &control->clients[i];
    struct client *idle = longest_idle(control);
    if (idle)
        drop_client(control, idle);
    return idle;
}

/* One line, if the socket takes it at once, and no more. */
static void turn_away(int fd, const char *line)
{
    if (send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        /* It did not stay to hear it. */
    }
    close(fd);
}

static void add_client(struct control *control, int fd)
{
    struct client *client;

    if (!may_ask(control, fd)) {
        turn_away(fd, "{\"error\":\"denied\",\"text\":\"only root, the server's user and members "
                      "of the group " ADMIN_GROUP " may; ask one of them\"}\n");
        return;
    }
    client = find_place(control);
    char *out = client ? malloc(OUT_LIMIT) : NULL;
    struct epoll_event event = {.events = EPOLLIN};
    if (client)
        event.data.u32 = (uint32_t)(client - control->clients) + 1;
    if (!out || epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(out);
        turn_away(fd, "{\"error\":\"busy\",\"text\":\"all places are taken by those who watch or "
                      "wait; end one and try again\"}\n");
        return;
    }
    client->state = CLIENT_READY;
    client->fd = fd;
    client->events = EPOLLIN;
    client->turn = ++control->turns;
    client->out = out;
    put_greeting(control, client);
}

static void accept_clients(struct control *control)
{
    for (unsigned n = 0; n < TURNS; n++) {
        int fd = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
            return;
        add_client(control, fd);
    }
}

/* ---- orders */

static void begin_watching(struct control *control, struct client *client)
{
    client->traces = client->order.kind == ORDER_TRACE;
    order_free(&client->order);
    client->state = CLIENT_WATCHES;
    if (client->traces)
        control->tracers++;
    else
        control->watchers++;
    put(client, S("{\"event\":\"watching\"}\n"));
}

/* ---- the trace */

static bool need_trace(struct control *control)
{
    if (!control->trace)
        control->trace = trace_create();
    if (!control->row)
        control->row = malloc(TRACE_ROW);
    return control->trace && control->row;
}

bool control_record(struct control *control)
{
    control->is_recording = need_trace(control);
    return control->is_recording;
}

static void order_trace(struct control *control, struct client *client)
{
    enum order_trace what = client->order.trace;

    if ((what == TRACE_ON || what == TRACE_STREAM) && !need_trace(control)) {
        put_error(client, "failed", "there is no memory for a trace");
        order_free(&client->order);
        return;
    }
    if (what == TRACE_STREAM) {
        begin_watching(control, client);
        return;
    }
    if (what == TRACE_ON || what == TRACE_OFF)
        control->is_recording = what == TRACE_ON;
    else if (what == TRACE_CLEAR && control->trace)
        trace_clear(control->trace);
    order_free(&client->order);
    if (what == TRACE_SHOW) {
        client->state = CLIENT_READS;
        client->position = 0;
    } else {
        put_done(client);
    }
}

static struct slice write_trace_row(struct control *control, const struct trace_entry *entry)
{
    struct writer w = writer_over(control->row, TRACE_ROW);

    trace_write(&w, entry);
    return w.failed ? NO_SLICE : writer_slice(&w);
}

/* As much of the trace as it reads. */
static void show_trace(struct control *control, struct client *client)
{
    struct trace_entry entry;

    while (client->state == CLIENT_READS && waiting(client) < OUT_LOW) {
        if (control->trace && trace_next(control->trace, &client->position, &entry)) {
            put(client, write_trace_row(control, &entry));
        } else {
            client->state = CLIENT_READY;
            put_done(client);
        }
    }
}

static void carry_out(struct control *control, struct client *client)
{
    switch (client->order.kind) {
    case ORDER_CORE:
    case ORDER_RELOAD:
    case ORDER_ADD_USER:
    case ORDER_REMOVE_USER:
    case ORDER_SET_PASSWORD:
    case ORDER_RECORDS:
        client->state = CLIENT_PENDING;
        client->order.request.client =
            (uint32_t)(client - control->clients + 1) | client->generation << 8;
        control->pending++;
        return;
    case ORDER_EVENTS: begin_watching(control, client); return;
    case ORDER_TRACE: order_trace(control, client); return;
    case ORDER_DOWN: control->wants_end = true; break;
    case ORDER_CHECK: break;
    default: assert(false);
    }
    order_free(&client->order);
    put_done(client);
}

static void take_line(struct control *control, struct client *client, struct slice line)
{
    struct order_fault fault;

    if (!line.len)
        return;
    if (order_read(line, &client->order, &fault))
        carry_out(control, client);
    else
        put_error(client, fault.code, fault.text);
}

/* What it has sent, as long as there is room for answers. */
static void take_lines(struct control *control, struct client *client)
{
    while (client->state == CLIENT_READY && waiting(client) < OUT_LOW) {
        struct slice in = slice_of(client->in, client->in_len);
        size_t end = slice_find(in, '\n');

        if (end == in.len) {
            if (in.len == sizeof client->in) {
                put_error(client, "bad-request", "a request is longer than 8192 bytes");
                client->state = CLIENT_LEAVES;
                client->in_len = 0;
            } else if (client->has_ended) {
                client->state = CLIENT_LEAVES;
            }
            return;
        }
        take_line(control, client, slice_until(in, end));
        memmove(client->in, client->in + end + 1, in.len - end - 1);
        client->in_len -= end + 1;
    }
}

/* False, and the client is gone, if it failed. */
static bool read_client(struct control *control, struct client *client)
{
    ssize_t got = recv(client->fd, client->in + client->in_len, sizeof client->in - client->in_len,
                       MSG_DONTWAIT);

    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        drop_client(control, client);
        return false;
    }
    if (got > 0)
        client->in_len += (size_t)got;
    client->has_ended |= got == 0;
    client->turn = ++control->turns;
    return true;
}

static bool wants_to_read(const struct client *client)
{
    if (client->has_ended)
        return false;
    if (client->state == CLIENT_READY)
        return waiting(client) < OUT_LOW;
    /* Of those who watch, or have to leave, only the end is awaited. */
    return client->state == CLIENT_WATCHES || client->state == CLIENT_LEAVES;
}

/* What it asked for is not yet all done, and will be when it can be written to. */
static bool has_more(const struct client *client)
{
    return client->state == CLIENT_READS ||
           (client->state == CLIENT_READY && memchr(client->in, '\n', client->in_len));
}

/* Of those who watch, who was too slow is told how many lines it lost. */
static void tell_loss(struct client *client)
{
    char text[64];
    struct writer w = writer_over(text, sizeof text);

    if (!client->lost || waiting(client) >= OUT_LOW)
        return;
    json_begin(&w);
    json_text(&w, S("event"), S("lost"));
    json_number(&w, S("count"), client->lost);
    json_end(&w);
    write_char(&w, '\n');
    put(client, writer_slice(&w));
    client->lost = 0;
}

/* It will be told no more.  What it still sends is read, for an end with something unread would
 * take away from it what it was told last. */
static bool may_leave(struct client *client)
{
    if (client->state != CLIENT_LEAVES || waiting(client))
        return false;
    shutdown(client->fd, SHUT_WR);
    return client->has_ended;
}

/* After anything was done for it: sends, and says what to wait for. */
static void settle(struct control *control, struct client *client)
{
    if (!flush_client(control, client))
        return;
    show_trace(control, client);
    take_lines(control, client);
    tell_loss(client);
    if (!flush_client(control, client))
        return;
    if (may_leave(client)) {
        drop_client(control, client);
        return;
    }
    uint32_t events = (wants_to_read(client) ? EPOLLIN : 0u) |
                      (waiting(client) || has_more(client) ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = events,
                                .data.u32 = (uint32_t)(client - control->clients) + 1};
    if (events != client->events)
        epoll_ctl(control->epoll, EPOLL_CTL_MOD, client->fd, &event);
    client->events = events;
}

/* Whoever watches, or has said its last, and hangs up, is gone. */
static bool has_left(struct client *client, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP))
        return true;
    return client->state == CLIENT_WATCHES && client->has_ended;
}

static void serve_client(struct control *control, struct client *client, uint32_t events)
{
    if (client->state == CLIENT_FREE)
        return;
    if (events & EPOLLIN && !read_client(control, client))
        return;
    if (client->state == CLIENT_WATCHES || client->state == CLIENT_LEAVES)
        client->in_len = 0;
    if (has_left(client, events))
        drop_client(control, client);
    else
        settle(control, client);
}

void control_look(struct control *control)
{
    struct epoll_event found[CONTROL_CLIENTS + 1];
    int count = epoll_wait(control->epoll, found, COUNT_OF(found), 0);

    for (int i = 0; i < count; i++)
        if (found[i].data.u32)
            serve_client(control, &control->clients[found[i].data.u32 - 1], found[i].events);
    for (int i = 0; i < count; i++)
        if (!found[i].data.u32)
            accept_clients(control);
    for (unsigned i = 0; count && i < CONTROL_CLIENTS; i++)
        if (control->clients[i].state != CLIENT_FREE)
            settle(control, &control->clients[i]);
}

/* ---- the core */

static bool is_watch_untold(const struct control *control)
{
    return control->is_watch_told != (control->watchers > 0);
}

static bool is_next(const struct client *client)
{
    return client->state == CLIENT_PENDING && waiting(client) < OUT_LOW;
}

bool control_is_busy(const struct control *control)
{
    if (is_watch_untold(control))
        return true;
    for (unsigned i = 0; control->pending && i < CONTROL_CLIENTS; i++)
        if (is_next(&control->clients[i]))
            return true;
    return false;
}

const struct order *control_next(struct control *control)
{
    if (is_watch_untold(control)) {
        control->is_watch_told = !control->is_watch_told;
        control->watch = (struct order){
            .kind = ORDER_CORE,
            .request.command = control->is_watch_told ? ADMIN_WATCH : ADMIN_UNWATCH,
        };
        return &control->watch;
    }
    for (unsigned i = 0; control->pending && i < CONTROL_CLIENTS; i++) {
        struct client *client = &control->clients[control->next++ % CONTROL_CLIENTS];
        if (!is_next(client))
            continue;
        client->state = CLIENT_ASKED;
        control->pending--;
        return &client->order;
    }
    return NULL;
}

static struct client *find_asked(struct control *control, uint32_t id)
{
    uint32_t index = (id & 0xff) - 1;
    struct client *client = index < CONTROL_CLIENTS ? &control->clients[index] : NULL;

    return client && client->state == CLIENT_ASKED && client->order.request.client == id ? client
                                                                                         : NULL;
}

static void tell(struct control *control, struct client *client, struct slice lines)
{
    tell_loss(client);
    if (client->lost || !put(client, lines))
        client->lost++;
    settle(control, client);
}

static void tell_all(struct control *control, bool traces, struct slice lines)
{
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i].state == CLIENT_WATCHES && control->clients[i].traces == traces)
            tell(control, &control->clients[i], lines);
}

static void finish(struct control *control, struct client *client)
{
    order_free(&client->order);
    client->state = CLIENT_READY;
    settle(control, client);
}

void control_finish(struct control *control, uint32_t id, const char *fault)
{
    struct client *client = find_asked(control, id);

    if (!client)
        return;
    if (fault)
        put_error(client, "failed", fault);
    else
        put_done(client);
    finish(control, client);
}

void control_refuse(struct control *control, uint32_t id, const char *fault)
{
    struct client *client = find_asked(control, id);

    if (!client)
        return;
    put_error(client, "refused", fault);
    finish(control, client);
}

void control_answer(struct control *control, const struct admin_answer *to, struct slice lines)
{
    struct client *client = find_asked(control, to->client);

    if (!to->client)
        tell_all(control, false, lines);
    if (!client)
        return; /* it has left */
    if (!put(client, lines))
        put_error(client, "failed", "the answer is too long");
    if (!to->is_part) {
        finish(control, client);
        return;
    }
    client->order.request.cursor = to->cursor;
    client->state = CLIENT_PENDING;
    control->pending++;
    settle(control, client);
}

void control_lose(struct control *control, const struct admin_answer *to)
{
    control_finish(
        control, to->client,
        "the journal cannot be written; look after the state directory's disk and try again");
}

bool control_traces(const struct control *control)
{
    return control->is_recording || control->tracers;
}

void control_trace(struct control *control, bool is_sent, const struct flow *flow,
                   struct slice bytes, struct moment now)
{
    struct trace_entry entry;

    trace_keep(control->trace, is_sent, flow, bytes, now, &entry);
    if (control->tracers)
        tell_all(control, true, write_trace_row(control, &entry));
}

bool control_wants_end(const struct control *control)
{
    return control->wants_end;
}

int control_descriptor(const struct control *control)
{
    return control->epoll;
}

/* ---- its life */

/* Opens the directory that the socket shall lie in; it is made if it is not there. */
static int open_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');

    if (!slash || (size_t)(slash - path) >= sizeof folder)
        return -ENAMETOOLONG;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    if (mkdir(folder, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* By way of the directory's descriptor: a socket's own name must be short. */
static int bind_listener(struct control *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    control->listener = fd;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control",
             control->folder);
    unlinkat(control->folder, "control", 0); /* the lock says that its server is gone */
    mode_t mask = umask(0117);
    int error = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(mask);
    if (!error && control->has_group &&
        fchownat(control->folder, "control", (uid_t)-1, control->group, 0) < 0)
        log_line(control->log, LOG_NOTICE,
                 "the control socket cannot be given to the group " ADMIN_GROUP ": %s",
                 strerror(errno));
    if (!error && listen(fd, (int)CONTROL_CLIENTS) < 0)
        error = -errno;
    return error;
}

static int open_all(struct control *control, const char *path)
{
    const struct group *group = getgrnam(ADMIN_GROUP);
    /* Edge-triggered, so that a connection that cannot be accepted now does not keep us awake. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    control->has_group = group != NULL;
    if (group)
        control->group = group->gr_gid;
    control->folder = open_folder(path);
    if (control->folder < 0)
        return control->folder;
    int error = bind_listener(control);
    if (error)
        return error;
    control->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (control->epoll < 0 ||
        epoll_ctl(control->epoll, EPOLL_CTL_ADD, control->listener, &event) < 0)
        return -errno;
    return 0;
}

struct control *control_open(const char *path, const struct control_facts *facts, struct log *log)
{
    struct control *control = calloc(1, sizeof *control);

    if (!control) {
        log_line(log, LOG_FAILURE, "no memory for the control socket");
        return NULL;
    }
    *control = (struct control){.log = log,
                                .facts = *facts,
                                .started = clock_now().wall,
                                .folder = -1,
                                .listener = -1,
                                .epoll = -1};
    int error = open_all(control, path);
    if (!error)
        return control;
    log_line(
        log, LOG_FAILURE,
        "%s: the control socket cannot be made: %s; choose another directory with --prefixpath",
        path, strerror(-error));
    control_close(control);
    return NULL;
}

void control_close(struct control *control)
{
    tell_all(control, false, S("{\"event\":\"ending\"}\n"));
    tell_all(control, true, S("{\"event\":\"ending\"}\n"));
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i].state != CLIENT_FREE)
            drop_client(control, &control->clients[i]);
    if (control->listener >= 0 && control->folder >= 0)
        unlinkat(control->folder, "control", 0);
    if (control->trace)
        trace_destroy(control->trace);
    free(control->row);
    if (control->epoll >= 0)
        close(control->epoll);
    if (control->listener >= 0)
        close(control->listener);
    if (control->folder >= 0)
        close(control->folder);
    free(control);
}
