/*
 * sipw-router: the server's helper at the router before it.  It finds out the public address, by
 * the router or a STUN server, has the router forward the server's ports, and keeps both up to
 * date.
 */
#include "core/oddity.h"
#include "programs/options.h"
#include "programs/router_gate.h"
#include "programs/router_mirror.h"
#include "shell/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum option_code { OPTION_SERVER = 256 };

static const struct option_row option_rows[] = {
    {OPTION_SERVER, "server", "FD", "the socket of the server, which starts this by itself"},
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "sipw-router",
    .synopsis = "--server FD",
    .about = "Finds out the server's public address, and has the router forward its ports.",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

enum { STATUS_FINE, STATUS_FAILED, STATUS_USAGE };

enum { POLL_SERVER, POLL_SIGNALS, POLL_GATE, POLL_ANNOUNCED, POLL_MIRROR, POLL_COUNT };

struct helper {
    int server, signals;
    bool has_ended, are_kept; /* the ports, for the server that will come */
    struct gate gate;
    struct mirror mirror;
    struct router_news told;
};

/* ---- what is told */

static void write_fault(struct router_news *news, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first that there is. */
static void write_fault(struct router_news *news, const char *format, ...)
{
    va_list values;

    if (news->fault[0])
        return;
    va_start(values, format);
    vsnprintf(news->fault, sizeof news->fault, format, values);
    va_end(values);
}

static bool is_public(const struct address_bytes *address)
{
    return address_seclusion(address) == SECLUSION_NONE;
}

static void spell(const struct address_bytes *address, char text[32])
{
    struct writer w = writer_over(text, 31);

    write_address(&w, address);
    text[w.len] = '\0';
}

static void judge_absence(const struct gate *gate, struct router_news *news)
{
    if (gate->why)
        write_fault(news,
                    "the router cannot be asked: %s; let it forward ports for this machine (PCP, "
                    "NAT-PMP, UPnP), or do it by hand and write the address into public",
                    gate->why);
    else
        write_fault(news,
                    "no router answers by PCP, NAT-PMP or UPnP; switch one of them on there, or "
                    "forward the ports by hand and write the address into public");
}

static void judge_gate(const struct gate *gate, struct router_news *news)
{
    struct forwards_sum sum = forwards_count(&gate->forwards);
    char text[32];

    if (!gate->is_found) {
        judge_absence(gate, news);
        return;
    }
    spell(&gate->outside, text);
    if (!gate->has_outside)
        write_fault(news, "the router has no address outside; see to its connection");
    else if (!is_public(&gate->outside))
        write_fault(news,
                    "the router's address %s is not public, another stands before it; forward the "
                    "ports there, too, or ask the provider for a public address",
                    text);
    if (sum.refused + sum.unheard)
        write_fault(news,
                    "the router forwards %u of %u ports: %s; take what is in the way out there, or "
                    "write fewer into ports",
                    sum.held, gate->forwards.count, gate->why ? gate->why : "it does not answer");
    news->first_media = sum.first;
    news->last_media = sum.last;
}

static void take_address(struct router_news *news, const struct address_bytes *address,
                         enum outside_source by)
{
    news->has_address = true;
    news->by = (uint8_t)by;
    memcpy(news->address, address->at, sizeof news->address);
}

/* The router knows best; but one behind another knows no public address. */
static void choose_address(const struct helper *helper, struct router_news *news)
{
    static const uint8_t ways[] = {OUTSIDE_PCP, OUTSIDE_PMP, OUTSIDE_UPNP};
    const struct gate *gate = &helper->gate;
    const struct mirror *mirror = &helper->mirror;

    if (gate->is_found && gate->has_outside && is_public(&gate->outside))
        take_address(news, &gate->outside, (enum outside_source)ways[gate->way]);
    else if (mirror->has_address && is_public(&mirror->address))
        take_address(news, &mirror->address, OUTSIDE_STUN);
    else if (helper->told.has_address) { /* it was right when it was last known */
        news->has_address = true;
        news->by = helper->told.by;
        memcpy(news->address, helper->told.address, sizeof news->address);
    }
}

static void judge_mirror(const struct mirror *mirror, struct router_news *news)
{
    if (mirror->is_wanted && mirror->is_silent)
        write_fault(news,
                    "the STUN server %.80s does not help: %.60s; name another one in public, or "
                    "write the address there",
                    mirror->server, mirror->why);
}

static void tell(struct helper *helper)
{
    struct router_news news;

    if (!gate_is_settled(&helper->gate) || !mirror_is_settled(&helper->mirror))
        return;
    memset(&news, 0, sizeof news);
    news.version = ROUTER_WIRE_VERSION;
    choose_address(helper, &news);
    if (helper->gate.is_wanted)
        judge_gate(&helper->gate, &news);
    if (news.by == OUTSIDE_NOBODY || news.by == OUTSIDE_STUN)
        judge_mirror(&helper->mirror, &news);
    if (memcmp(&news, &helper->told, sizeof news) == 0)
        return;
    if (send(helper->server, &news, sizeof news, MSG_DONTWAIT | MSG_NOSIGNAL) ==
        (ssize_t)sizeof news)
        helper->told = news;
}

/* ---- what is heard */

static void begin(struct helper *helper, const struct router_wish *wish)
{
    instant now = clock_now().boot;

    gate_end(&helper->gate, false);
    mirror_end(&helper->mirror);
    gate_begin(&helper->gate, wish, now);
    mirror_begin(&helper->mirror, wish->stun, now);
    memset(&helper->told, 0, sizeof helper->told);
}

/* One that ends without a word was killed, and will be back. */
static void take_wish(struct helper *helper)
{
    struct router_wish wish;
    ssize_t got = recv(helper->server, &wish, sizeof wish, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    helper->are_kept = got <= 0;
    helper->has_ended = got != (ssize_t)sizeof wish || wish.version != ROUTER_WIRE_VERSION ||
                        wish.is_end || wish.port_count > ROUTER_PORTS ||
                        !memchr(wish.stun, '\0', ROUTER_STUN);
    if (!helper->has_ended)
        begin(helper, &wish);
}

/* Whoever ends all processes of a server that was killed means us, but not its ports. */
static void take_signal(struct helper *helper)
{
    struct signalfd_siginfo signal;

    if (read(helper->signals, &signal, sizeof signal) != sizeof signal)
        return;
    take_wish(helper);
    helper->has_ended = true;
}

static void look(struct helper *helper)
{
    struct pollfd polled[POLL_COUNT] = {
        [POLL_SERVER] = {.fd = helper->server, .events = POLLIN},
        [POLL_SIGNALS] = {.fd = helper->signals, .events = POLLIN},
        [POLL_GATE] = {.fd = helper->gate.fd, .events = POLLIN},
        [POLL_ANNOUNCED] = {.fd = helper->gate.announced, .events = POLLIN},
        [POLL_MIRROR] = {.fd = helper->mirror.fd, .events = POLLIN},
    };
    instant now = clock_now().boot;
    instant due = min_u64(gate_deadline(&helper->gate), helper->mirror.due);
    uint64_t wait = due <= now ? 0 : min_u64((due - now) / MS(1) + 1, 3600 * 1000);

    if (poll(polled, POLL_COUNT, (int)wait) <= 0)
        return;
    now = clock_now().boot;
    if (polled[POLL_GATE].revents)
        gate_take(&helper->gate, helper->gate.fd, now);
    if (polled[POLL_ANNOUNCED].revents)
        gate_take(&helper->gate, helper->gate.announced, now);
    if (polled[POLL_MIRROR].revents)
        mirror_take(&helper->mirror, now);
    if (polled[POLL_SIGNALS].revents)
        take_signal(helper);
    else if (polled[POLL_SERVER].revents)
        take_wish(helper);
}

static int run(struct helper *helper)
{
    while (!helper->has_ended) {
        instant now;
        look(helper);
        now = clock_now().boot;
        gate_step(&helper->gate, now);
        mirror_step(&helper->mirror, now);
        tell(helper);
    }
    gate_end(&helper->gate, helper->are_kept);
    mirror_end(&helper->mirror);
    return STATUS_FINE;
}

static int open_signals(void)
{
    sigset_t own;

    sigemptyset(&own);
    sigaddset(&own, SIGTERM);
    sigaddset(&own, SIGINT);
    sigprocmask(SIG_BLOCK, &own, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &own, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool take_server(const char *text, int *fd)
{
    uint64_t number;
    int type = 0;
    socklen_t len = sizeof type;

    if (!slice_number(slice_text(text), 65535, &number))
        return false;
    *fd = (int)number;
    return getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

int main(int count, char **words)
{
    static struct helper helper;
    const struct router_wish nothing = {.version = ROUTER_WIRE_VERSION};
    int code;

    helper.server = -1;
    while ((code = options_next(&program, count, words)) != -1)
        if (code != OPTION_SERVER || !take_server(optarg, &helper.server)) {
            if (code == OPTION_SERVER)
                complain(&program, "--server %s is no socket of a server", optarg);
            return STATUS_USAGE;
        }
    if (helper.server < 0) {
        complain(&program, "it is the server that starts this: see --help");
        return STATUS_USAGE;
    }
    helper.signals = open_signals();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    helper.gate = (struct gate){.fd = -1, .announced = -1};
    helper.mirror = (struct mirror){.fd = -1};
    begin(&helper, &nothing);
    return helper.signals < 0 ? STATUS_FAILED : run(&helper);
}
