/*
 * sipwitch: looks at a running server and changes what it does, by its control socket.
 *
 * Called as sipcontrol or sipwitchctl it prints the layouts of GNU SIP Witch.
 */
#include "programs/check.h"
#include "programs/columns.h"
#include "programs/heard.h"
#include "programs/old.h"
#include "programs/parts.h"
#include "programs/publish.h"
#include "programs/realm.h"
#include "programs/records.h"
#include "programs/route.h"
#include "programs/secret.h"
#include "programs/session.h"
#include "programs/users.h"
#include "shell/digests.h"
#include "sip/challenge.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPERAND_LIMIT 16u /* words: more than any command takes */

enum option_code {
    OPTION_JSON = 256,
    OPTION_STDIN,
    OPTION_EXTENSION,
    OPTION_DISPLAY,
    OPTION_SINCE,
    OPTION_AS,
    OPTION_AT,
    OPTION_RESOLVER,
    OPTION_ANCHOR,
    OPTION_KEY,
    OPTION_SERVER,
    OPTION_TLSA,
};

static const struct option_row option_rows[] = {
    {OPTION_JSON, "json", NULL, "print rows as JSON, one a line"},
    OPTIONS_SERVER,
    {'t', "timeout", "SECONDS", "wait so long for an answer (default: 10)"},
    {OPTION_STDIN, "stdin", NULL, "digest, user: read the password from standard input"},
    {OPTION_EXTENSION, "extension", "DIGITS", "user add: the number to call"},
    {OPTION_DISPLAY, "display", "NAME", "user add: the name for people"},
    {OPTION_SINCE, "since", "TIME", "records: YYYY-MM-DD[THH:MM[:SS]], or 90s, 15m, 2h, 7d ago"},
    {OPTION_AS, "as", "USER", "route: who calls, in place of somebody of another domain"},
    {OPTION_AT, "at", "TIME", "route: when, in place of now: YYYY-MM-DD[THH:MM[:SS]]"},
    {OPTION_RESOLVER, "resolver", "ADDRESS", "check: whom DNS is asked, in place of the system's"},
    {OPTION_ANCHOR, "trust-anchor", "FILE",
     "check: the key that proves DNS, in place of the root's"},
    {OPTION_KEY, "key", "FILE", "dns: write the records, with this TSIG key"},
    {OPTION_SERVER, "server", "ADDRESS", "dns: the zone's server that takes them"},
    {OPTION_TLSA, "tlsa", NULL, "dns: with the key of a certificate of a CA, too"},
    OPTIONS_USUAL,
};

/* ---- status */

static void print_line(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_line(const char *name, const char *format, ...)
{
    char value[1024], plain[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(value, sizeof value, format, values);
    va_end(values);
    printf("%-14s %s\n", name, plain_text(value, plain, sizeof plain));
}

/* Under which address those outside know it, and who says so. */
static void print_outside(const json_t *outside)
{
    const char *address = row_text(outside, "address"), *by = row_text(outside, "by");
    const char *fault = row_text(outside, "fault");

    if (address && json_object_get(outside, "first_port"))
        print_line("public", "%s, says %s, which forwards the ports %lld-%lld", address, by,
                   row_number(outside, "first_port"), row_number(outside, "last_port"));
    else if (address)
        print_line("public", "%s, says %s", address, by);
    else if (outside)
        print_line("public", "%s", fault ? "not known" : "not known yet");
    if (fault)
        print_line("", "%s", fault);
}

static void print_status(const json_t *greeting, const json_t *row)
{
    const json_t *limits = json_object_get(row, "limits"), *listening, *socket;
    char up[24];
    size_t i;

    spell_seconds((long long)time(NULL) - row_number(greeting, "started"), up);
    print_line("SIP Witch", "%s, process %lld, up %s", row_text(greeting, "server"),
               row_number(greeting, "pid"), up);
    print_line("realm", "%s", row_text(row, "realm"));
    listening = json_object_get(row, "listening");
    json_array_foreach(listening, i, socket)
        print_line(i ? "" : "listening", "%s", json_string_value(socket));
    print_outside(json_object_get(row, "outside"));
    print_line("journal", "%s", row_text(row, "journal"));
    print_line("users", "%lld", row_number(row, "users"));
    print_line("registered", "%lld of at most %lld", row_number(row, "bindings"),
               row_number(limits, "bindings"));
    print_line("calls", "%lld of at most %lld", row_number(row, "calls"),
               row_number(limits, "calls"));
    print_line("relayed", "%lld", row_number(row, "relayed"));
    print_line("pending", "%lld", row_number(row, "pending"));
    print_line("configuration", "%s", row_text(greeting, "config"));
    print_line("state", "%s", row_text(greeting, "state"));
}

static enum client_status show_status(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "status", NULL);
    json_t *row;

    if (session->is_old && !session->is_json && status == CLIENT_FINE) {
        session_finish(session);
        return old_status(session, words);
    }
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (session->is_json) {
            json_object_update_missing(row, session->client.greeting);
            print_json(row);
        } else {
            print_status(session->client.greeting, row);
        }
        json_decref(row);
    }
    return status;
}

/* ---- listings */

/* What a listing prints of a row. */
typedef void row_cells(const json_t *row, struct columns *columns);

static enum client_status list(struct session *session, struct columns *columns, row_cells *cells,
                               const char *nothing)
{
    enum client_status status;
    json_t *row;

    while ((status = session_row(session, &row)) == CLIENT_FINE && row) {
        if (session->is_json)
            print_json(row);
        else
            cells(row, columns);
        json_decref(row);
    }
    if (status == CLIENT_FINE && !session->is_json)
        columns_print(columns, nothing);
    return status;
}

static void binding_cells(const json_t *row, struct columns *columns)
{
    char expires[24] = "never";

    if (json_is_integer(json_object_get(row, "expires")))
        spell_seconds(row_number(row, "expires"), expires);
    columns_add(columns, (const char *const[]){row_text(row, "extension"), row_text(row, "user"),
                                               row_text(row, "transport"), row_text(row, "address"),
                                               expires, row_text(row, "contact")});
}

static enum client_status show_registry(struct session *session, char **words)
{
    static const char *const titles[] = {">EXT", "USER", "BY", "ADDRESS", ">EXPIRES", "CONTACT"};
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    enum client_status status;

    if (session->is_old && !session->is_json)
        return old_registry(session, words);
    status = session_ask(session, "command", "registry", "user", words[0], NULL);
    return status != CLIENT_FINE ? status
                                 : list(session, &columns, binding_cells, "no phone is registered");
}

static void call_cells(const json_t *row, struct columns *columns)
{
    char lasts[24], lost[HEARD_TEXT], jitter[HEARD_TEXT];

    columns_add(columns, (const char *const[]){row_text(row, "id"), row_text(row, "state"),
                                               spell_seconds(row_number(row, "seconds"), lasts),
                                               row_text(row, "from"), row_text(row, "proof"),
                                               row_text(row, "to"), row_text(row, "media"),
                                               spell_lost(row, lost), spell_jitter(row, jitter),
                                               row_text(row, "media_reason")});
}

static enum client_status show_calls(struct session *session, char **words)
{
    static const char *const titles[] = {"CALL", "STATE", ">FOR",  "FROM",    "PROOF",
                                         "TO",   "MEDIA", ">LOST", ">JITTER", "WHY"};
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    enum client_status status;

    if (session->is_old && !session->is_json)
        return old_calls(session, words);
    status = session_ask(session, "command", "calls", "user", words[0], NULL);
    return status != CLIENT_FINE ? status : list(session, &columns, call_cells, "no calls");
}

static void node_cells(const json_t *row, struct columns *columns)
{
    static const char *const counts[] = {"total", "current", "peak"};
    const json_t *ways[] = {json_object_get(row, "from"), json_object_get(row, "to")};
    char texts[2][3][24], ago[24] = "-";
    const char *cells[8] = {row_text(row, "node")};

    if (!cells[0])
        return; /* counters, which are printed as lines */
    for (unsigned way = 0; way < 2; way++)
        for (unsigned i = 0; i < 3; i++) {
            snprintf(texts[way][i], 24, "%lld", row_number(ways[way], counts[i]));
            cells[1 + 3 * way + i] = texts[way][i];
        }
    if (row_number(row, "last_call"))
        spell_seconds((long long)time(NULL) - row_number(row, "last_call"), ago);
    cells[7] = ago;
    columns_add(columns, cells);
}

static enum client_status show_stats(struct session *session, char **words)
{
    static const char *const titles[] = {"NODE",       ">FROM: TOTAL", ">NOW",  ">PEAK",
                                         ">TO: TOTAL", ">NOW",         ">PEAK", ">LAST CALL"};
    struct columns columns = columns_of(titles, COUNT_OF(titles));
    enum client_status status;
    json_t *row, *counters = NULL, *value;
    const char *name;

    if (session->is_old && !session->is_json)
        return old_stats(session, words);
    status = session_ask(session, "command", "stats", NULL);
    if (status == CLIENT_FINE && session->is_json)
        return session_finish(session);
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        node_cells(row, &columns);
        if (!row_text(row, "node"))
            counters = json_incref(row);
        json_decref(row);
    }
    if (status == CLIENT_FINE)
        columns_print(&columns, "");
    json_object_foreach(counters, name, value)
        print_line(name, "%lld", (long long)json_integer_value(value));
    json_decref(counters);
    return status;
}

/* ---- events */

static void print_proof(const json_t *row)
{
    const char *proof = row_text(row, "proof");
    char text[64];

    if (!proof || strcmp(proof, "own") == 0)
        return;
    if (strcmp(proof, "none") == 0)
        printf(", unproven");
    else
        printf(", proven by %s", plain_text(proof, text, sizeof text));
}

static void print_event(const json_t *row)
{
    char clock[16] = "--:--:--", line[1024], text[1024];
    time_t at = (time_t)row_number(row, "time");
    const char *event = row_text(row, "event"), *user = row_text(row, "user");
    const char *reason = row_text(row, "reason");
    struct tm local;

    if (json_object_get(row, "time") && localtime_r(&at, &local))
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (user)
        snprintf(line, sizeof line, "%s at %s", user, row_text(row, "address"));
    else if (row_text(row, "from"))
        snprintf(line, sizeof line, "%s -> %s", row_text(row, "from"), row_text(row, "to"));
    else
        snprintf(line, sizeof line, "%lld lines", row_number(row, "count"));
    printf("%s  %-12s %s", clock, event, plain_text(line, text, sizeof text));
    print_proof(row);
    if (json_object_get(row, "status"))
        printf(", %lld", row_number(row, "status"));
    if (reason)
        printf(", %s", reason);
    putchar('\n');
    fflush(stdout);
}

/* Until the server ends, or we are told to. */
static enum client_status show_events(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "events", NULL);
    json_t *row;

    (void)words;
    session->client.patience = -1;
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        const char *event = row_text(row, "event");
        bool is_ending = event && strcmp(event, "ending") == 0;
        if (session->is_json)
            print_json(row);
        else if (is_ending)
            printf("the server ends\n");
        else if (event && strcmp(event, "watching") != 0)
            print_event(row);
        json_decref(row);
        if (is_ending)
            return CLIENT_FINE;
    }
    return status;
}

/* ---- trace */

static void print_message(const json_t *row)
{
    char clock[16] = "", line[4096];
    time_t at = (time_t)row_number(row, "time");
    const char *rest = row_text(row, "message"), *end;
    struct tm local;

    if (localtime_r(&at, &local))
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    printf("%s  %s %s %s\n", clock, row_text(row, "way"), row_text(row, "transport"),
           row_text(row, "address"));
    for (; rest && *rest; rest = *end ? end + 1 : end) {
        char one[4096];
        end = rest + strcspn(rest, "\n");
        snprintf(one, sizeof one, "%.*s", (int)(end - rest), rest);
        one[strcspn(one, "\r")] = '\0';
        printf("    %s\n", plain_text(one, line, sizeof line));
    }
    putchar('\n');
}

static enum client_status print_messages(struct session *session)
{
    enum client_status status;
    bool is_ending = false;
    json_t *row;

    while (!is_ending && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        const char *event = row_text(row, "event");
        is_ending = event && strcmp(event, "ending") == 0;
        if (session->is_json)
            print_json(row);
        else if (row_text(row, "message"))
            print_message(row);
        fflush(stdout);
        json_decref(row);
    }
    return is_ending ? CLIENT_FINE : status;
}

static enum client_status trace(struct session *session, char **words)
{
    const char *what = words[0] ? words[0] : "stream";
    enum client_status status = session_ask(session, "command", "trace", "trace", what, NULL);

    if (status == CLIENT_FINE && !words[0])
        session->client.patience = -1;
    return status == CLIENT_FINE ? print_messages(session) : status;
}

/* ---- changes */

static enum client_status simple(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", session->command, NULL);

    (void)words;
    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status dump(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "dump", NULL);
    json_t *row;

    (void)words;
    while (status == CLIENT_FINE && (status = session_row(session, &row)) == CLIENT_FINE && row) {
        char *text = json_dumps(row, session->is_json ? JSON_COMPACT : JSON_INDENT(2));
        printf("%s\n", text ? text : "");
        free(text);
        json_decref(row);
    }
    return status;
}

static enum client_status activate(struct session *session, char **words)
{
    enum client_status status =
        session_ask(session, "command", "activate", "user", words[0], "address", words[1], NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status release(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "release", "user", words[0], NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status drop(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "drop", "call", words[0], NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status forget(struct session *session, char **words)
{
    enum client_status status = session_ask(session, "command", "forget", "domain", words[0], NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

static enum client_status message(struct session *session, char **words)
{
    enum client_status status =
        session_ask(session, "command", "message", "user", words[0], "text", words[1], NULL);

    return status == CLIENT_FINE ? session_finish(session) : status;
}

/* ---- realm and digest */

static enum client_status realm(struct session *session, char **words)
{
    char found[REALM_LIMIT];
    enum client_status status = words[0] ? realm_set(session, REALM_FILE, words[0], words[1])
                                         : realm_find(session, REALM_FILE, session->state, found);

    if (status == CLIENT_FINE && !words[0])
        printf("%s\n", found);
    return status;
}

static void print_ha1(enum algorithm algorithm, const char *user, const char *realm,
                      const char *secret)
{
    uint8_t ha1[DIGEST_LIMIT];

    digest_ha1(&digests_openssl, algorithm, slice_text(user), slice_text(realm), slice_text(secret),
               ha1);
    for (unsigned i = 0; i < digest_size(algorithm); i++)
        printf("%02x", ha1[i]);
    putchar('\n');
    explicit_bzero(ha1, sizeof ha1);
}

static enum client_status digest(struct session *session, char **words)
{
    enum algorithm algorithm = ALGORITHM_MD5;
    char realm[REALM_LIMIT], secret[SECRET_LIMIT];
    enum client_status status = CLIENT_FINE;

    if (words[1] && words[2]) {
        if (strcasecmp(words[2], "sha256") == 0 || strcasecmp(words[2], "sha-256") == 0)
            algorithm = ALGORITHM_SHA256;
        else if (strcasecmp(words[2], "md5") != 0)
            return session_fail(session, CLIENT_USAGE,
                                "%s is no digest that phones use; write md5 or sha-256", words[2]);
    }
    if (words[1])
        snprintf(realm, sizeof realm, "%s", words[1]);
    else
        status = realm_find(session, REALM_FILE, session->state, realm);
    if (status != CLIENT_FINE)
        return status;
    const char *why = session->has_stdin ? secret_read(secret) : secret_ask(words[0], secret);
    if (why)
        return session_fail(session, CLIENT_LOCAL, "%s", why);
    print_ha1(algorithm, words[0], realm, secret);
    explicit_bzero(secret, sizeof secret);
    return CLIENT_FINE;
}

/* ---- the table */

static const struct command_row commands[] = {
    {"status", "", 0, 0, show_status, "the server: version, addresses, how much of what it holds"},
    {"registry", "[USER]", 0, 1, show_registry, "the phones that are registered"},
    {"calls", "[USER]", 0, 1, show_calls, "the calls that ring or go on"},
    {"records", "[USER]", 0, 1, show_records, "the calls that are over, the newest first"},
    {"route", "URI", 1, 1, show_route, "where a call would go, step by step, and why"},
    {"stats", "", 0, 0, show_stats, "what was counted since the start"},
    {"events", "", 0, 0, show_events, "registrations and calls as they come and go"},
    {"trace", "[on|off|clear|show]", 0, 1, trace, "SIP messages as they come and go"},
    {"check", "[DOMAIN]", 0, 1, check, "whether the server answers, and what others see of it"},
    {"dns", "[ADDRESS...]", 0, PUBLISH_ADDRESSES, publish,
     "the records by which others find the server"},
    {"reload", "", 0, 0, simple, "reads the configuration again"},
    {"enable", "NAME...", 1, PARTS_LIMIT, parts_enable,
     "adds parts of /etc/sipwitch.d, and reloads"},
    {"disable", "NAME...", 1, PARTS_LIMIT, parts_disable, "takes them out again, and reloads"},
    {"state", "[NAME|none]", 0, 1, parts_state,
     "shows the server's state, or sets it, and reloads"},
    {"dump", "", 0, 0, dump, "the settings in use, and the users"},
    {"user", "[list|add|remove [ID]]", 0, 2, change_users, "the users, and the database's"},
    {"realm", "[NEW [TYPE]]", 0, 2, realm, "shows the realm, or sets it in /etc/siprealm"},
    {"digest", "USER [REALM [TYPE]]", 1, 3, digest, "asks for a password and prints its digest"},
    {"activate", "USER ADDRESS", 2, 2, activate, "registers a phone that cannot, until released"},
    {"release", "USER", 1, 1, release, "takes the registrations of a user away"},
    {"drop", "CALL|USER", 1, 1, drop, "ends a call, or all calls of a user, on both sides"},
    {"forget", "DOMAIN", 1, 1, forget, "lets a domain do without the proof that it once gave"},
    {"message", "USER TEXT", 2, 2, message, "sends a text to the phones of a user"},
    {"down", "", 0, 0, simple, "ends the server"},
};

static const struct command_row *find_command(const char *name)
{
    for (unsigned i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* The help's text about the commands, made from the table. */
static const char *about(char *text, size_t room)
{
    size_t len = (size_t)snprintf(text, room,
                                  "Looks at a running SIP Witch server and changes what it does. "
                                  "Its commands are:\n\n");

    for (unsigned i = 0; i < COUNT_OF(commands) && len < room; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s %s", commands[i].name, commands[i].operands);
        len += (size_t)snprintf(text + len, room - len, "%s  %-28s %s", i ? "\n" : "", name,
                                commands[i].meaning);
    }
    return text;
}

static bool set_option(struct session *session, int code)
{
    char *end;
    long seconds;

    switch (code) {
    case OPTION_JSON: session->is_json = true; return true;
    case OPTION_STDIN: session->has_stdin = true; return true;
    case OPTION_EXTENSION: session->extension = optarg; return true;
    case OPTION_DISPLAY: session->display = optarg; return true;
    case OPTION_SINCE: session->since = optarg; return true;
    case OPTION_AS: session->as = optarg; return true;
    case OPTION_AT: session->at = optarg; return true;
    case OPTION_RESOLVER: session->resolver = optarg; return true;
    case OPTION_ANCHOR: session->anchor = optarg; return true;
    case OPTION_KEY: session->key = optarg; return true;
    case OPTION_SERVER: session->dns_server = optarg; return true;
    case OPTION_TLSA: session->has_tlsa = true; return true;
    case 't':
        seconds = strtol(optarg, &end, 10);
        session->patience = (int)seconds * 1000;
        if (end != optarg && !*end && seconds > 0 && seconds <= 86400)
            return true;
        complain(session->program, "-t %s is no time; write seconds, 1 to 86400", optarg);
        return false;
    default: return session_option(session, code);
    }
}

/* An option that a command would pass over. */
static const char *stray_option(const struct session *session)
{
    if (strcmp(session->command, "user") != 0 && (session->extension || session->display))
        return session->extension ? "extension" : "display";
    if (strcmp(session->command, "route") != 0 && (session->as || session->at))
        return session->as ? "as" : "at";
    if (strcmp(session->command, "check") != 0 && (session->resolver || session->anchor))
        return session->resolver ? "resolver" : "trust-anchor";
    if (strcmp(session->command, "dns") != 0 && (session->key || session->dns_server))
        return session->key ? "key" : "server";
    if (strcmp(session->command, "dns") != 0 && session->has_tlsa)
        return "tlsa";
    return strcmp(session->command, "records") != 0 && session->since ? "since" : NULL;
}

static enum client_status run(struct session *session, char **words)
{
    const struct command_row *row;
    enum client_status status;
    unsigned given = 0;

    static char *siplog[] = {"trace", "show", NULL}; /* as it was called */

    if (session->is_old && words[0] && strcmp(words[0], "siplog") == 0)
        words = siplog;
    session->command = words[0] ? words[0] : "";
    if (!words[0]) {
        complain(session->program, "say a command; %s --help lists them", session->program->name);
        return CLIENT_USAGE;
    }
    row = find_command(session->is_old ? old_name(words[0]) : words[0]);
    if (!row && old_command(session, words[0], &status))
        return status;
    if (!row)
        return session_fail(session, CLIENT_USAGE, "%s is no command; %s --help lists them",
                            words[0], session->program->name);
    session->command = row->name;
    while (words[1 + given])
        given++;
    if (given < row->least || given > row->most)
        return session_fail(session, CLIENT_USAGE, "too %s words; write: %s %s %s",
                            given < row->least ? "few" : "many", session->program->name, row->name,
                            row->operands);
    const char *stray = stray_option(session);
    if (stray)
        return session_fail(session, CLIENT_USAGE, "%s takes no --%s", row->name, stray);
    return row->run(session, words + 1);
}

/* The words but options, which may stand behind the command too; but what follows `message` is the
 * message's. */
static bool take_operands(struct session *session, int count, char **words, char **given)
{
    bool takes = optind < count && strcmp(words[optind], "message") != 0;
    unsigned n = 0;
    int code;

    while (optind < count && n < OPERAND_LIMIT) {
        given[n++] = words[optind++];
        while (takes && (code = options_next(session->program, count, words)) != -1)
            if (!set_option(session, code))
                return false;
    }
    return true;
}

int main(int count, char **words)
{
    static char help[4096], *given[OPERAND_LIMIT + 1];
    const char *slash = strrchr(words[0], '/'), *name = slash ? slash + 1 : words[0];
    bool is_old = strcmp(name, "sipcontrol") == 0 || strcmp(name, "sipwitchctl") == 0;
    const struct program program = {.name = is_old ? name : "sipwitch",
                                    .synopsis = "COMMAND [WORD...]",
                                    .about = about(help, sizeof help),
                                    .rows = option_rows,
                                    .row_count = COUNT_OF(option_rows)};
    struct session session;
    int code;

    session_begin(&session, &program, "");
    session.is_old = is_old;
    while ((code = options_next(&program, count, words)) != -1)
        if (!set_option(&session, code))
            return CLIENT_USAGE;
    if (!take_operands(&session, count, words, given))
        return CLIENT_USAGE;
    return session_end(&session, run(&session, given));
}
