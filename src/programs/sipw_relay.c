/*
 * sipw-relay: the relay of media apart from the daemon.  It loads the kernel's and keeps it
 * attached, is the process where there is none, and shows what goes through either.
 */
#include "programs/relay_list.h"
#include "programs/relay_load.h"
#include "programs/relay_serve.h"
#include "shell/place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum option_code {
    OPTION_PINS = 256,
    OPTION_USER,
    OPTION_LINK,
    OPTION_LEGS,
    OPTION_PORTS,
    OPTION_JSON,
    OPTION_PREFIX,
    OPTION_LISTENER,
    OPTION_BACKGROUND,
    OPTION_LINGER,
};

static const struct option_row option_rows[] = {
    {OPTION_PINS, "pins", "DIR", "load, watch, unload, list: where the kernel's relay is pinned"},
    {OPTION_USER, "user", "USER", "load: who may open legs (default: who calls it)"},
    {OPTION_LINK, "link", "NAME", "load, watch, unload: this link alone; may be repeated"},
    {OPTION_LEGS, "legs", "NUMBER", "load, serve: how many there may be"},
    {OPTION_PORTS, "ports", "FIRST-LAST", "load: let no program have one of these by chance"},
    {OPTION_PREFIX, "prefixpath", "DIR", "list: the server's state directory"},
    {OPTION_JSON, "json", NULL, "list: each leg as a line of JSON"},
    {OPTION_LISTENER, "listener", "FD", "serve: the socket where servers connect"},
    {OPTION_BACKGROUND, "background", NULL, "serve: in a process of its own"},
    {OPTION_LINGER, "linger", "SECONDS", "serve: end after so long without server and legs"},
    OPTIONS_USUAL,
};

static const struct program program = {
    .name = "sipw-relay",
    .synopsis = "COMMAND",
    .about =
        "Relays the media of calls apart from the server:\n\n"
        "  load                     put the relay into the kernel, and attach it to the links\n"
        "  watch                    attach it to links that come later, until this is ended\n"
        "  unload                   take it out of the kernel\n"
        "  list                     print the legs: who is heard, who is silent\n"
        "  serve                    be the process that relays, as the server starts it",
    .rows = option_rows,
    .row_count = COUNT_OF(option_rows),
};

enum { STATUS_FINE, STATUS_FAILED, STATUS_USAGE };

struct words {
    const char *command;
    const char *prefix;
    bool is_json, is_background;
    bool has_legs;
    struct relay_load load;
    struct relay_serve serve;
};

static bool read_unsigned(const char *text, unsigned long limit, unsigned *number)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value > limit)
        return false;
    *number = (unsigned)value;
    return true;
}

static bool read_ports(const char *text, struct relay_load *load)
{
    char first[8];
    const char *dash = strchr(text, '-');

    if (!dash || (size_t)(dash - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(dash - text));
    first[dash - text] = '\0';
    return read_unsigned(first, 65535, &load->first_port) &&
           read_unsigned(dash + 1, 65535, &load->last_port) && load->first_port &&
           load->first_port <= load->last_port;
}

static bool take_number(struct words *words, int code)
{
    switch (code) {
    case OPTION_LEGS:
        words->has_legs = true;
        return read_unsigned(optarg, RELAY_LEGS_MOST, &words->load.legs) && words->load.legs;
    case OPTION_PORTS: return read_ports(optarg, &words->load);
    case OPTION_LISTENER: {
        unsigned fd = 0;
        bool is_number = read_unsigned(optarg, 65535, &fd);
        words->serve.listener = (int)fd;
        return is_number;
    }
    default: return read_unsigned(optarg, 86400, &words->serve.linger);
    }
}

/* False if it is wrong, and it was said. */
static bool take_option(struct words *words, int code)
{
    switch (code) {
    case OPTION_PINS: words->load.pins = optarg; return true;
    case OPTION_USER: words->load.user = optarg; return true;
    case OPTION_LINK:
        if (words->load.link_count < RELAY_LINKS) {
            words->load.links[words->load.link_count++] = optarg;
            return true;
        }
        complain(&program, "these are more links than %u", RELAY_LINKS);
        return false;
    case OPTION_PREFIX: words->prefix = optarg; return true;
    case OPTION_JSON: return words->is_json = true;
    case OPTION_BACKGROUND: return words->is_background = true;
    case '?': return false;
    default:
        if (take_number(words, code))
            return true;
        complain(&program, "%s is not what the option takes: see --help", optarg);
        return false;
    }
}

static bool take_words(struct words *words, int count, char **at)
{
    int code;

    for (;;) {
        while ((code = options_next(&program, count, at)) != -1)
            if (!take_option(words, code))
                return false;
        if (optind == count)
            break;
        if (words->command) {
            complain(&program, "%s is one word too many: see --help", at[optind]);
            return false;
        }
        words->command = at[optind++];
    }
    if (!words->command)
        complain(&program, "what is it to do? load, watch, unload, list or serve: see --help");
    return words->command;
}

static int list(const struct words *words)
{
    char state[PATH_MAX], text[1024];
    struct writer w = writer_over(text, sizeof text);
    struct relay_setup setup = {.pins = words->load.pins};
    struct relay *relay;
    int status;

    place_state(state);
    setup.state = open(words->prefix ? words->prefix : state, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (words->prefix && !words->load.pins)
        setup.wanted = RELAY_PROCESS;
    relay = relay_open(&setup, &w);
    if (!relay) {
        complain(&program, "%.*s", (int)w.len, w.at);
        return STATUS_FAILED;
    }
    status = relay_print(&program, relay, words->is_json);
    relay_close(relay);
    return status;
}

static int serve(const struct words *words)
{
    struct relay_serve setup = words->serve;
    int is_listening = 0;
    socklen_t len = sizeof is_listening;

    if (words->has_legs)
        setup.limit = words->load.legs;
    if (getsockopt(setup.listener, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0 ||
        !is_listening) {
        complain(&program, "serve needs a socket where servers connect (--listener): the server "
                           "starts it by itself");
        return STATUS_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (words->is_background) {
        pid_t child = fork();
        if (child != 0)
            _exit(child < 0 ? STATUS_FAILED : STATUS_FINE);
    }
    return relay_serve(&setup);
}

int main(int count, char **at)
{
    struct words words = {
        .load = {.pins = NULL, .legs = RELAY_LEGS},
        .serve = {.listener = -1, .limit = RELAY_SERVE_LEGS, .linger = RELAY_LINGER},
    };

    if (!take_words(&words, count, at))
        return STATUS_USAGE;
    if (strcmp(words.command, "list") == 0)
        return list(&words);
    if (strcmp(words.command, "serve") == 0)
        return serve(&words);
    if (strcmp(words.command, "load") == 0)
        return relay_load(&program, &words.load);
    if (strcmp(words.command, "watch") == 0)
        return relay_watch(&program, &words.load);
    if (strcmp(words.command, "unload") == 0)
        return relay_unload(&program, &words.load);
    complain(&program, "%s is nothing that it does: load, watch, unload, list or serve",
             words.command);
    return STATUS_USAGE;
}
